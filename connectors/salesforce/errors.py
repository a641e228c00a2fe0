"""What Salesforce's error answers mean for us: by error code, never by status alone or by full text."""

from collections.abc import Mapping
from typing import Any

from connectors import parse
from connectors.errors import (
    AuthError,
    ConnectorError,
    NotReadable,
    RateLimited,
    SourceConfigError,
    StreamError,
    TransientError,
)
from connectors.retry import parse_retry_after
from connectors.transport import Answer

#: An org's whole day is used up: ask again in a quarter of an hour, not sooner.
DAY_PAUSE_S = 900.0


_METERED_PAUSE_S = 30.0


class SessionExpired(ConnectorError):
    """The token is no longer good: log in again and repeat the same call."""


class UnknownField(StreamError):
    """A field that describe named is not there (any more); `field` says which where the answer does."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class DayIsOver(RateLimited):
    """The org's calls of the day are used up: nobody calls for a while."""


class LostPosition(StreamError):
    """The server forgot the page link: ask again from the last bookmark."""


class Short(TransientError):
    """Not as many records came as the query has."""


class TooMuch(StreamError):
    """The query takes too long or touches too much: ask for less of it at once."""


class Mistake(TransientError):
    """Something of the vendor's own broke (UNKNOWN_EXCEPTION): worth few tries only."""


class Metered(RateLimited):
    """Transaction security holds calls back: try again slowly, and not for ever."""


_TRANSIENT_CODES = {"SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"}
_MISTAKE_CODES = {"UNKNOWN_EXCEPTION", "APEX_ERROR"}
_TOO_MUCH_CODES = {"QUERY_TIMEOUT", "OPERATION_TOO_LARGE"}
_PERMISSION_CODES = {
    "INSUFFICIENT_ACCESS",
    "INSUFFICIENT_ACCESS_OR_READONLY",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "INVALID_TYPE",
    "INVALID_TYPE_FOR_OPERATION",
    "NOT_FOUND",
}
_API_OFF_CODES = {"API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"}
_TOO_MUCH_MENDS = {"OPERATION_TOO_LARGE": "Give the login the permission View All Data."}
_TRANSIENT_STATUS = {406, 408, 420, 423, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}


def error_of(answer: Answer) -> ConnectorError:
    """The error an answer that is no success stands for."""
    code, message = _code_and_message(answer.body)
    retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), now=answer.received_at())
    if answer.status == 401:
        if code == "INVALID_SESSION_ID" and "not valid for use with the REST API" in message:
            return AuthError(
                "Salesforce refuses this login for the API (high assurance sessions only).",
                mend="Ask the Salesforce admin to allow API use at the session's security level.",
            )
        if code == "TXN_SECURITY_METERING_ERROR":
            return _metered()
        if code in _API_OFF_CODES:
            return _api_off(code)
        return SessionExpired("Salesforce says that the session has expired.")
    if code == "REQUEST_LIMIT_EXCEEDED":
        if "concurrent" in message.lower():
            return RateLimited("Salesforce: too many long calls at once.", retry_after_s=retry_after_s)
        return DayIsOver(
            "Salesforce: the org's daily API calls are used up (REQUEST_LIMIT_EXCEEDED).",
            retry_after_s=max(retry_after_s or 0.0, DAY_PAUSE_S),
            mend="It goes on by itself as calls become free.",
        )
    if code in _TRANSIENT_CODES:
        return TransientError(f"Salesforce is busy ({code}).")
    if code in _MISTAKE_CODES:
        return Mistake(f"Salesforce failed with an error of its own ({code}).")
    if code == "TXN_SECURITY_METERING_ERROR":
        return _metered()
    if code in _TOO_MUCH_CODES:
        return TooMuch(f"Salesforce cannot answer this query at once ({code}).", mend=_TOO_MUCH_MENDS.get(code, ""))
    if code == "INVALID_FIELD":
        return UnknownField("Salesforce knows no field of that name (INVALID_FIELD).", _field_in(message))
    if code == "INVALID_QUERY_LOCATOR":
        return LostPosition("Salesforce no longer knows the page link.")
    if code in _PERMISSION_CODES:
        return NotReadable(
            f"Salesforce does not let this login read the object ({code}).", mend="Check the object's permissions."
        )
    if code in _API_OFF_CODES:
        return _api_off(code)
    if answer.status == 429:
        return RateLimited("Salesforce asks for a pause (HTTP 429).", retry_after_s=retry_after_s)
    if answer.status in _TRANSIENT_STATUS:
        return TransientError(f"Salesforce had a problem of its own (HTTP {answer.status}).")
    if answer.status == 410:
        return SourceConfigError("Salesforce has retired this API version (HTTP 410).", mend="Raise api_version.")
    if answer.status == 404:
        return NotReadable(f"Salesforce does not have what was asked for (HTTP 404{_in_words(code)}).")
    if answer.status in (414, 431):
        return StreamError(f"The address of the call is too long (HTTP {answer.status}).")
    if answer.status == 403:
        return StreamError(f"Salesforce forbids this call (HTTP 403{_in_words(code)}).", mend="Check the permissions.")
    return StreamError(f"Salesforce cannot answer this call (HTTP {answer.status}{_in_words(code)}).")


def login_error_of(answer: Answer) -> ConnectorError:
    """The error a token endpoint's answer that is no success stands for."""
    if answer.status in _TRANSIENT_STATUS:
        retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), now=answer.received_at())
        if answer.status == 429:
            return RateLimited("Salesforce asks for a pause before the next login.", retry_after_s=retry_after_s)
        return TransientError(f"Salesforce's login had a problem of its own (HTTP {answer.status}).")
    word = said = ""
    try:
        document = parse.decode_json(answer.body)
    except ValueError:
        document = None
    if isinstance(document, Mapping):
        word, said = str(document.get("error") or "")[:60], str(document.get("error_description") or "").lower()
    if "client credentials user" in said:
        return AuthError(
            f"Salesforce refused the login (HTTP {answer.status}{_in_words(word)}): the app names no user to run as.",
            mend="Set the run-as user in the app's client credentials settings.",
        )
    mends = {
        "invalid_grant": "Check the user, the app's policies and this machine's clock (a signed login lives minutes).",
        "invalid_client": "Check client_secret.",
        "invalid_client_id": "Check client_id.",
        "unsupported_grant_type": "Allow this flow in the app's OAuth settings.",
    }
    return AuthError(
        f"Salesforce refused the login (HTTP {answer.status}{_in_words(word)}).",
        mend=mends.get(word, "Check client_id, client_secret and the app's policies."),
    )


_SOAP_MENDS = {
    "INVALID_LOGIN": "Check username and password, security_token, and that the user is not locked out.",
    "LOGIN_MUST_USE_SECURITY_TOKEN": "Set security_token: this machine's address is not one the org trusts.",
    "INVALID_OPERATION": 'SOAP login is switched off in this org: use auth = "client_credentials" or "jwt".',
    "UNSUPPORTED_API_VERSION": 'SOAP login is gone: use auth = "client_credentials" or "jwt".',
    "INVALID_SSO_GATEWAY_URL": 'This user logs in through single sign-on: use auth = "jwt".',
    "PASSWORD_LOCKOUT": "The user is locked out; unlock it in Salesforce.",
    "INVALID_NEW_PASSWORD": "The password has expired; set a new one.",
    "LOGIN_DURING_RESTRICTED_DOMAIN": "The user may not log in from this machine's address.",
    "LOGIN_DURING_RESTRICTED_TIME": "The user may not log in at this hour.",
    "API_DISABLED_FOR_ORG": "Switch API access on.",
}
#: The last one is simple-salesforce's own word for an answer that is neither a session nor a refusal.
_SOAP_PASSING = {
    "SERVER_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
    "LOGIN_RATE_EXCEEDED",
    "UNKNOWN_EXCEPTION",
    "UNKNOWN_EXCEPTION_CODE",
}


def soap_error_of(code: object) -> ConnectorError:
    """The error a refused SOAP login stands for; `code` is its exceptionCode."""
    word = str(code or "")[:60].rpartition(":")[2]
    if word in _SOAP_PASSING:
        return TransientError(f"Salesforce's login had a problem of its own ({word}).")
    if word == "LOGIN_MUST_USE_SECURITY_TOKEN":
        said = "Salesforce refused the login: the security token is missing or wrong (LOGIN_MUST_USE_SECURITY_TOKEN)."
    elif word in ("INVALID_OPERATION", "UNSUPPORTED_API_VERSION"):
        said = f"Salesforce refused the login: SOAP login is disabled ({word})."
    else:
        said = f"Salesforce refused the login ({word or 'no reason given'})."
    return AuthError(said, mend=_SOAP_MENDS.get(word, "Check username, password and security_token."))


def _metered() -> ConnectorError:
    return Metered(
        "Salesforce's transaction security holds calls back (TXN_SECURITY_METERING_ERROR).",
        retry_after_s=_METERED_PAUSE_S,
        mend="Exempt this login from the org's transaction security policy, or wait.",
    )


def _api_off(code: str) -> ConnectorError:
    return AuthError(f"Salesforce: the API is off for this org or user ({code}).", mend="Switch API access on.")


def _code_and_message(body: bytes) -> tuple[str, str]:
    try:
        document: Any = parse.decode_json(body)
    except ValueError:
        return "", ""
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, Mapping):
        return "", ""
    return str(first.get("errorCode") or first.get("error") or ""), str(first.get("message") or "")


def _field_in(message: str) -> str:
    """The field of `No such column 'X' on entity 'Y'`, empty where the text says it otherwise."""
    _, found, rest = message.partition("No such column '")
    return rest.partition("'")[0] if found else ""


def _in_words(code: str) -> str:
    return f", {code}" if code else ""
