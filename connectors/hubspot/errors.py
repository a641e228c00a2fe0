"""What HubSpot's error answers mean for us: by category and policy, then by status; every field may be missing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from connectors import parse
from connectors.day import seconds_to_midnight
from connectors.errors import AuthError, ConnectorError, NotReadable, RateLimited, StreamError, TransientError
from connectors.retry import parse_retry_after
from connectors.transport import Answer

_DAY_S = 86_400
_DAY_PAUSE_S = 900.0
_TRANSIENT_STATUS = {408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524}


class TokenExpired(ConnectorError):
    """The access token is over: fetch another one and repeat the same call."""


class NotThere(StreamError):
    """HTTP 404: the object, or this version of the path, does not exist."""


class Invalid(StreamError):
    """HTTP 400: HubSpot does not understand what was asked; a property may be gone."""


class EdgeRefused(AuthError):
    """HTTP 530 of the edge before HubSpot: nearly always a malformed token; worth one more try, no more."""


class Moving(RateLimited):
    """HTTP 477: HubSpot moves the account to another data centre; nothing answers for up to a day."""


class Throttled(RateLimited):
    """HTTP 429; `policy` says which limit: "search" (a second's, of what was sent), "call" (ten seconds) or "day"."""

    def __init__(self, message: str, *, policy: str, retry_after_s: float, mend: str = "") -> None:
        super().__init__(message, retry_after_s=retry_after_s, mend=mend)
        self.policy = policy


def error_of(answer: Answer, can_refresh: bool, zone: ZoneInfo | None = None) -> ConnectorError:
    """The error an answer that is no success stands for. `zone`: the portal's, where its day ends at midnight."""
    document = _document(answer.body)
    category = str(document.get("category") or document.get("errorType") or "")
    retry_after_s = parse_retry_after(answer.headers.get("Retry-After"), now=answer.received_at())
    match answer.status:
        case 429:
            return _throttled(document, retry_after_s, _until_midnight_s(answer.received_at(), zone))
        case 401:
            if can_refresh and category != "INVALID_AUTHENTICATION":
                return TokenExpired("HubSpot says that the access token has expired.")
            return AuthError(f"HubSpot refuses the access token (HTTP 401{_in_words(category)}).", mend="Renew it.")
        case 403:
            return _forbidden(category, document)
        case 404:
            return NotThere(f"HubSpot has nothing at this address (HTTP 404{_in_words(category)}).")
        case 400:
            return Invalid(f"HubSpot cannot answer this call (HTTP 400{_in_words(category)}).")
        case 414:
            return StreamError("The list of properties is too long for one call (HTTP 414).", mend="Map fewer fields.")
        case 423:
            return RateLimited(
                "HubSpot has locked the records for a moment.", retry_after_s=max(retry_after_s or 0, 2.0)
            )
        case 477:
            return Moving(
                "HubSpot is moving this account to another data centre.",
                retry_after_s=_moving_s(answer, retry_after_s),
                mend="It goes on by itself.",
            )
        case 530:
            return EdgeRefused("HubSpot's edge refuses the call, usually for a malformed token (HTTP 530).")
    if answer.status in _TRANSIENT_STATUS:
        return (
            RateLimited(f"HubSpot had a problem of its own (HTTP {answer.status}).", retry_after_s=retry_after_s)
            if retry_after_s
            else TransientError(f"HubSpot had a problem of its own (HTTP {answer.status}).")
        )
    return StreamError(f"HubSpot cannot answer this call (HTTP {answer.status}{_in_words(category)}).")


def login_error_of(answer: Answer) -> ConnectorError:
    """The error a token endpoint's answer that is no success stands for."""
    if answer.status == 404:
        return NotThere("HubSpot has no token endpoint at this address (HTTP 404).")
    if answer.status == 429:
        return _throttled(_document(answer.body), None, None)
    if answer.status in _TRANSIENT_STATUS:
        return TransientError(f"HubSpot's login had a problem of its own (HTTP {answer.status}).")
    word = str(_document(answer.body).get("status") or "")[:40]
    return AuthError(
        f"HubSpot refused the login (HTTP {answer.status}{_in_words(word)}).",
        mend="Check client_id, client_secret and refresh_token.",
    )


def _moving_s(answer: Answer, retry_after_s: float | None) -> float:
    """Seconds the move will take: HubSpot may say up to a day, more than any other wait is believed."""
    seconds = parse.count(answer.headers.get("Retry-After"))
    if seconds is not None and seconds <= _DAY_S:
        return seconds or 1.0
    return retry_after_s or 3600.0


def _until_midnight_s(now: datetime | None, zone: ZoneInfo | None) -> float:
    """Seconds until the portal's next midnight; a quarter of an hour where its clock or zone is not known."""
    return _DAY_PAUSE_S if now is None or zone is None else seconds_to_midnight(now, zone)


def _throttled(document: Mapping[str, Any], retry_after_s: float | None, midnight_s: float | None) -> Throttled:
    """Which limit was met: by policy name, else by the words of the message."""
    words = f"{document.get('policyName') or ''} {document.get('message') or ''}".lower()
    if "daily" in words:
        return Throttled(
            "HubSpot: the account's daily calls are used up.",
            policy="day",
            retry_after_s=max(retry_after_s or 0.0, _DAY_PAUSE_S if midnight_s is None else midnight_s),
            mend="It goes on by itself after midnight in the portal's time zone.",
        )
    if "secondly" in words and "ten_secondly" not in words:
        return Throttled(
            "HubSpot asks for a pause (calls per second).", policy="search", retry_after_s=retry_after_s or 1.0
        )
    wait_s = 10.0 if retry_after_s is None else retry_after_s
    return Throttled("HubSpot asks for a pause (calls in ten seconds).", policy="call", retry_after_s=wait_s)


def _forbidden(category: str, document: Mapping[str, Any]) -> ConnectorError:
    if category in ("BANNED", "PORTAL_AUTHENTICATION_FAILED"):
        return AuthError(f"HubSpot shuts this login out (HTTP 403, {category}).", mend="Ask the portal's admin.")
    scopes = ", ".join(_scopes(document))
    mend = f"Give the app the scope {scopes}." if scopes else "Check the app's scopes."
    # One without a word of HubSpot's own may come from anything on the way.
    kind = NotReadable if category or scopes else StreamError
    return kind(f"HubSpot does not let this login read it (HTTP 403{_in_words(category)}).", mend=mend)


def not_readable(what: str, error: StreamError) -> StreamError:
    """`error`, met where one asks what there is of `what`: not allowed, or not in this portal, as HubSpot puts it."""
    kind = NotReadable if isinstance(error, NotReadable | NotThere | Invalid) else StreamError
    return kind(f"{what} cannot be read. {error.message}", mend=error.mend)


def _scopes(document: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    errors = document.get("errors")
    for part in (document, *(errors if isinstance(errors, list) else ())):
        context = part.get("context") if isinstance(part, Mapping) else None
        scopes = context.get("requiredScopes") if isinstance(context, Mapping) else None
        if isinstance(scopes, list):
            found.extend(str(scope)[:80] for scope in scopes)
    return list(dict.fromkeys(found))


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = parse.decode_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}


def _in_words(category: str) -> str:
    return f", {category[:60]}" if category else ""
