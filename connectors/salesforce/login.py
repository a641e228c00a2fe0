"""The ways into a Salesforce org: client credentials, a signed assertion (JWT), a given session, SOAP login.

Every call goes through the client's own exchange (timeouts, retries, limits); nothing here refreshes by itself.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

import requests

from connectors.base import Sunset
from connectors.errors import AuthError, SourceConfigError, TransientError
from connectors.logins import LoginCount, Logins
from connectors.salesforce.errors import soap_error_of
from connectors.salesforce.settings import SalesforceSettings
from connectors.transport import Answer
from connectors.transport_requests import TransportAdapter

log = logging.getLogger(__name__)

#: SOAP login() ends with the Summer '27 release (Salesforce Help, 005132110).
SOAP_ENDS_ON = date(2027, 6, 1)
SOAP_MEND = 'Use auth = "client_credentials" or "jwt".'
_SOAP_PATH = "/services/Soap/u/"
_TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

Exchange = Callable[[requests.PreparedRequest], Answer]


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gives: a token, the address of the org, and who logged in ("" where it does not say)."""

    token: str
    instance_url: str
    user_id: str = ""


_CHECK = "Check the session settings of the app and the user."
_COUNTS: dict[str, LoginCount] = {}
_COUNTS_LOCK = threading.Lock()


def account_of(settings: SalesforceSettings) -> str:
    """A name for what shares one limit: an org, whichever app or user logs in. Holds no secret."""
    place = f"{settings.base_url or ''}|{urlsplit(settings.instance_url).hostname}"
    return "salesforce:" + hashlib.sha256(place.encode()).hexdigest()


def shared_count(settings: SalesforceSettings) -> LoginCount:
    """The count of the vain logins by these settings, one a process: it outlives the connector.

    Another secret is another login, so that a mended one is tried at once; a key is its file's content.
    """
    with _COUNTS_LOCK:
        return _COUNTS.setdefault(_key_of(settings), LoginCount(_CHECK, Logins.of(settings.limits)))


def forget(settings: SalesforceSettings) -> None:
    """Begin anew with this login, as a new process does; whoever has its count keeps it."""
    with _COUNTS_LOCK:
        _COUNTS.pop(_key_of(settings), None)


def _key_of(settings: SalesforceSettings) -> str:
    """A name for what is one login. Holds no secret."""
    secrets = [_secret(one) for one in (settings.client_secret, settings.password, settings.security_token)]
    who = [settings.client_id, settings.username, settings.auth, settings.soap_version]
    given = [account_of(settings), *who, _key_mark(settings.private_key_file), *secrets]
    return hashlib.sha256("|".join(str(one) for one in given).encode()).hexdigest()


def _key_mark(path: str | None) -> str:
    """What tells one key file's content from another's; its path where it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
    except OSError:
        return str(path)


def is_login(path: str) -> bool:
    return path.endswith(_TOKEN_PATH) or is_soap(path)


def is_soap(path: str) -> bool:
    return path.startswith(_SOAP_PATH)


def log_in(settings: SalesforceSettings, exchange: Exchange, vendor_clock: Callable[[], datetime | None]) -> Session:
    """A fresh session. Raises AuthError when refused; `vendor_clock` is Salesforce's clock as far as it is known."""
    if settings.auth == "session":
        return Session(_secret(settings.session_id), settings.instance_url)
    if settings.auth == "password":
        return _by_password(settings, exchange)
    reply = _fetch_token(settings, exchange, vendor_clock)
    token, instance_url = reply.get("access_token"), reply.get("instance_url") or settings.instance_url
    if not isinstance(token, str) or not token or not str(instance_url).startswith("https://"):
        raise TransientError("Salesforce's login answered without a token.")
    return Session(token, str(instance_url), str(reply.get("id") or "").rpartition("/")[2])


def sunsets(settings: SalesforceSettings) -> tuple[Sunset, ...]:
    """What of ours Salesforce will end: the API version, three years after its release at the earliest, and SOAP."""
    number = int(settings.api_version.partition(".")[0])
    months = 2023 * 12 + 9 + (number - 59) * 4 + 36  # version 59 came in October 2023, and three come a year
    ends_on = date(months // 12, months % 12 + 1, 1)
    found = [Sunset(f"Salesforce API version {settings.api_version}", ends_on, "Raise api_version.")]
    if settings.auth == "password":
        found.append(Sunset("Salesforce SOAP login", SOAP_ENDS_ON, SOAP_MEND))
    return tuple(found)


def warnings(settings: SalesforceSettings) -> list[str]:
    """What a person should know of the way in that is configured."""
    if settings.auth != "password":
        return []
    return [f'auth = "password" uses SOAP login, which Salesforce ends on {SOAP_ENDS_ON.isoformat()}. {SOAP_MEND}']


def _by_password(settings: SalesforceSettings, exchange: Exchange) -> Session:
    """SOAP login by simple-salesforce's own function over our session."""
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed
    from simple_salesforce.login import SalesforceLogin

    version = min((settings.api_version, settings.soap_version), key=float)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", TransportAdapter(exchange))
        try:
            token, host = SalesforceLogin(
                username=settings.username,
                password=_secret(settings.password),
                security_token=_secret(settings.security_token) or None,
                sf_version=version,
                scratch_url=settings.instance_url,
                session=session,
                client_id="syncagent",
            )
        except SalesforceAuthenticationFailed as error:
            raise soap_error_of(error.code) from None
        except (ExpatError, KeyError, TypeError, ValueError):
            raise TransientError("Salesforce's login answered with something that is not a session.") from None
    if not token or not host:
        raise TransientError("Salesforce's login answered without a session.")
    return Session(token, f"https://{host}")


def _fetch_token(
    settings: SalesforceSettings, exchange: Exchange, vendor_clock: Callable[[], datetime | None]
) -> dict[str, Any]:
    from authlib.integrations.base_client import OAuthError
    from authlib.integrations.requests_client import OAuth2Session

    url = f"{settings.instance_url}{_TOKEN_PATH}"
    with OAuth2Session(settings.client_id, _secret(settings.client_secret) or None) as session:
        session.trust_env = False
        session.mount("https://", TransportAdapter(exchange))
        try:
            if settings.auth == "client_credentials":
                return dict(session.fetch_token(url, grant_type="client_credentials"))
            session.token_endpoint_auth_method = "none"  # noqa: S105 - the signed assertion is the proof
            try:
                assertion = _assertion(settings, time.time())
                return dict(session.fetch_token(url, grant_type=_JWT_GRANT, assertion=assertion))
            except AuthError:
                vendor_s = _skewed_s(vendor_clock())
                if vendor_s is None:
                    raise
                log.warning("this machine's clock is wrong; signing by Salesforce's", extra={"action": "clock_skew"})
                assertion = _assertion(settings, vendor_s)
                return dict(session.fetch_token(url, grant_type=_JWT_GRANT, assertion=assertion))
        except (OAuthError, KeyError, TypeError, ValueError) as error:
            raise TransientError("Salesforce's login answered with something that is not a token.") from error


def _skewed_s(vendor: datetime | None) -> float | None:
    """Salesforce's clock where it is more than a minute from ours: a signed login is good for minutes only."""
    if vendor is None or abs(vendor.timestamp() - time.time()) <= 60:
        return None
    return vendor.timestamp()


def _assertion(settings: SalesforceSettings, now_s: float) -> str:
    """A login signed with the app's key, good for three minutes."""
    import jwt

    try:
        key = Path(settings.private_key_file or "").read_bytes()
    except OSError as error:
        raise SourceConfigError(
            f"private_key_file cannot be read ({error.strerror}).", mend="Check its path and permissions."
        ) from None
    host = urlsplit(settings.instance_url).hostname or ""
    audience = "https://test.salesforce.com" if ".sandbox." in host else "https://login.salesforce.com"
    claims = {"iss": settings.client_id, "sub": settings.username, "aud": audience, "exp": int(now_s) + 180}
    try:
        return jwt.encode(claims, key, algorithm="RS256")
    except (jwt.InvalidKeyError, ValueError, TypeError):
        raise SourceConfigError("private_key_file holds no RSA private key.", mend="Give a PEM file.") from None


def _secret(value: Any) -> str:
    return value.get_secret_value() if value is not None else ""
