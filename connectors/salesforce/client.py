"""Talks to one Salesforce org: login, queries, describe. Hands out checked JSON, raises `ConnectorError`.

simple-salesforce builds the calls; the session under it is ours, so that every one of them, login included, has
timeouts, a deadline, one retry policy and one limiter. simple-salesforce never refreshes a token itself: it recurses
without bound on a refused one.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from connectors.base import Usage
from connectors.errors import AuthError, RateLimited, SourceConfigError, StreamError, TransientError
from connectors.limiter import DayShare, Limiter, Window, shared
from connectors.retry import Retry
from connectors.salesforce.errors import DayIsOver, SessionExpired, error_of, login_error_of
from connectors.salesforce.settings import SalesforceSettings
from connectors.transport import Answer, Timeouts, Transport
from connectors.transport_requests import TransportAdapter

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_LOGINS = 3
_LOGIN_WINDOW_S = 900.0
_DAY_RESERVE = 0.1
_BATCH = {"Sforce-Query-Options": "batchSize=2000", "X-PrettyPrint": "0"}


@dataclass(frozen=True, slots=True)
class QueryPage:
    """Records of one page, how many the whole query has, and the link to the next page (empty: the last one)."""

    records: list[dict[str, Any]]
    total: int
    next_link: str


class SalesforceClient:
    """One org. Safe to share between threads."""

    def __init__(
        self,
        settings: SalesforceSettings,
        *,
        retry: Retry,
        timeouts: Timeouts | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._retry = retry
        self._clock = clock
        host = urlsplit(settings.instance_url).hostname or ""
        self._transport = Transport(
            [host],
            base_url=settings.base_url,
            ca_file=settings.ca_file or ca_file,
            proxy=proxy,
            timeouts=timeouts or Timeouts(read_s=130.0, total_s=600.0),
            connections=settings.limits.concurrent,
        )
        self._limiter = shared(_account_of(settings), lambda: _make_limiter(settings))
        self._lock = threading.Lock()
        self._sdk: Any = None
        self._token = ""
        self._logins: list[float] = []
        self.login_count = 0
        self.user_id = ""
        self.last_answer_at: datetime | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("https://", TransportAdapter(self.exchange))

    @property
    def instance_url(self) -> str:
        """Where the org is, as the last login said."""
        return f"https://{self._sdk.sf_instance}" if self._sdk is not None else self._settings.instance_url

    def query(self, soql: str) -> QueryPage:
        """The first page of a query, deleted rows included."""
        return self._call(lambda sdk: _check_page(sdk.query(soql, include_deleted=True, headers=_BATCH)))

    def query_more(self, link: str) -> QueryPage:
        """The page behind `next_link`. Raises LostPosition when the server has forgotten it."""
        if not link.startswith("/services/data/"):
            raise StreamError("Salesforce sent a page link that leads elsewhere; it is not followed.")
        return self._call(lambda sdk: _check_page(sdk.query_more(link, identifier_is_url=True, headers=_BATCH)))

    def query_all(self, soql: str) -> Iterator[dict[str, Any]]:
        """Every record of a query, page after page."""
        page = self.query(soql)
        yield from page.records
        while page.next_link:
            page = self.query_more(page.next_link)
            yield from page.records

    def describe(self, name: str) -> list[dict[str, Any]]:
        """The fields of an object. Raises StreamError where it is absent or not allowed."""

        def read(sdk: Any) -> list[dict[str, Any]]:
            document = sdk.restful(f"sobjects/{name}/describe", headers=_BATCH)
            fields = document.get("fields") if isinstance(document, dict) else None
            if not isinstance(fields, list) or not all(isinstance(f, dict) and f.get("name") for f in fields):
                raise TransientError(f"Salesforce described {name} without its fields.")
            return fields

        return self._call(read)

    def usage(self) -> Usage:
        day = self._limiter.day
        return Usage(
            calls=self._transport.calls,
            retries=self._retry.retries,
            throttled=self._limiter.throttled,
            logins=self.login_count,
            daily_limit=day.limit,
            daily_used=day.used,
        )

    def interrupt(self) -> None:
        """End every wait for limits and retries, from any thread; what is under way ends with TransientError."""
        self._retry.stop.set()

    def close(self) -> None:
        self._retry.stop.set()
        self._session.close()
        self._transport.close()

    def exchange(self, request: requests.PreparedRequest) -> Answer:
        """One try of one prepared call, through limiter and transport. Raises what its answer stands for."""
        url = request.url or ""
        is_login = urlsplit(url).path.endswith("/oauth2/token")
        headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
        with self._limiter.slot("call", self._retry.stop):
            answer = self._transport.send(request.method or "GET", url, headers=headers, body=request.body)
        self._learn(answer)
        if 200 <= answer.status < 300:
            return answer
        if is_login:
            raise login_error_of(answer)
        error = error_of(answer)
        if isinstance(error, DayIsOver):
            self._limiter.day.close(error.retry_after_s or 0.0)
        elif isinstance(error, RateLimited):
            self._limiter.penalise("call", error.retry_after_s or 0.0)
        raise error

    def _call(self, attempt: Callable[[Any], T]) -> T:
        """What `attempt` makes of the logged-in SDK: retried, and once more after a fresh login on a 401."""

        def once() -> T:
            sdk, token = self._connected()
            try:
                return attempt(sdk)
            except SessionExpired:
                self._forget(token)
            sdk, token = self._connected()
            try:
                return attempt(sdk)
            except SessionExpired:
                self._forget(token)
                raise AuthError(
                    "Salesforce refuses a session it has just given out.", mend="Check the login's API permission."
                ) from None

        return self._retry.call(once)

    def _connected(self) -> tuple[Any, str]:
        """The SDK with a token, logging in when there is none; one thread logs in, the others wait for it."""
        with self._lock:
            if self._sdk is None or not self._token:
                self._token, instance_url = self._log_in()
                from simple_salesforce.api import Salesforce

                self._transport.allow(urlsplit(instance_url).hostname or "")
                self._sdk = Salesforce(
                    session_id=self._token,
                    instance_url=instance_url,
                    session=self._session,
                    version=self._settings.api_version,
                    object_pairs_hook=dict,
                )
            return self._sdk, self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:  # another thread may have logged in again already
                self._token = ""

    def _log_in(self) -> tuple[str, str]:
        """A token and the address of its org. Raises AuthError when refused, or after too many logins."""
        now = self._clock()
        self._logins = [at for at in self._logins if now - at < _LOGIN_WINDOW_S]
        if self._settings.auth == "session":
            if self.login_count:
                raise AuthError("The Salesforce session has ended.", mend="Give a fresh session_id.")
            self.login_count += 1
            return _secret(self._settings.session_id), self._settings.instance_url
        if len(self._logins) >= MAX_LOGINS:
            raise AuthError(
                f"Salesforce ended {MAX_LOGINS} fresh sessions within a quarter of an hour; no further login is tried.",
                mend="Check the session settings of the app and the user.",
            )
        reply = self._fetch_token()
        self._logins.append(now)
        self.login_count += 1
        token, instance_url = reply.get("access_token"), reply.get("instance_url") or self._settings.instance_url
        if not isinstance(token, str) or not token or not str(instance_url).startswith("https://"):
            raise TransientError("Salesforce's login answered without a token.")
        self.user_id = str(reply.get("id") or "").rpartition("/")[2]
        return token, str(instance_url)

    def _fetch_token(self) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError
        from authlib.integrations.requests_client import OAuth2Session

        url = f"{self._settings.instance_url}/services/oauth2/token"
        with OAuth2Session(self._settings.client_id, _secret(self._settings.client_secret) or None) as session:
            session.trust_env = False
            session.mount("https://", TransportAdapter(self.exchange))
            try:
                if self._settings.auth == "client_credentials":
                    return dict(session.fetch_token(url, grant_type="client_credentials"))
                session.token_endpoint_auth_method = "none"  # noqa: S105 - the signed assertion is the proof
                grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
                try:
                    assertion = self._assertion(time.time())
                    return dict(session.fetch_token(url, grant_type=grant, assertion=assertion))
                except AuthError:
                    if (vendor_s := self._vendor_clock_s()) is None:
                        raise
                    log.warning(
                        "this machine's clock is wrong; signing by Salesforce's", extra={"action": "clock_skew"}
                    )
                    assertion = self._assertion(vendor_s)
                    return dict(session.fetch_token(url, grant_type=grant, assertion=assertion))
            except (OAuthError, KeyError, TypeError, ValueError) as error:
                raise TransientError("Salesforce's login answered with something that is not a token.") from error

    def _vendor_clock_s(self) -> float | None:
        """Salesforce's clock where it is more than a minute from ours: a signed login is good for minutes only."""
        if self.last_answer_at is None:
            return None
        vendor_s = self.last_answer_at.timestamp()
        return vendor_s if abs(vendor_s - time.time()) > 60 else None

    def _assertion(self, now_s: float) -> str:
        """A login signed with the app's key, good for three minutes."""
        import jwt

        settings = self._settings
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

    def _learn(self, answer: Answer) -> None:
        """Take the vendor's clock and its count of calls from the headers."""
        self.last_answer_at = answer.received_at() or self.last_answer_at
        used, _, limit = answer.headers.get("Sforce-Limit-Info", "").partition("api-usage=")[2].partition("/")
        limit = limit.partition(";")[0].partition("(")[0].strip()
        if used.strip().isdigit() and limit.isdigit():
            self._limiter.day.see(int(limit), int(used))


def _check_page(document: Any) -> QueryPage:
    """A query's answer of the right shape; anything else is a broken answer, worth another try."""
    records = document.get("records") if isinstance(document, dict) else None
    if not isinstance(records, list) or not all(isinstance(r, dict) and r.get("Id") for r in records):
        raise TransientError("Salesforce answered a query without records, or records without ids.")
    link = document.get("nextRecordsUrl") or ""
    if document.get("done") is not True and not link:
        raise TransientError("Salesforce says that a query goes on, but not where.")
    total = document.get("totalSize")
    return QueryPage(records, total if isinstance(total, int) else len(records), str(link))


def _make_limiter(settings: SalesforceSettings) -> Limiter:
    side_by_side = Window(settings.limits.concurrent, 0.0)
    return Limiter({"call": (side_by_side,)}, DayShare(settings.limits.daily_share, _DAY_RESERVE))


def _account_of(settings: SalesforceSettings) -> str:
    who = settings.client_id or settings.username or ""
    place = f"{settings.base_url or ''}|{settings.instance_url}|{who}|{settings.limits}"
    return "salesforce:" + hashlib.sha256(place.encode()).hexdigest()


def _secret(value: Any) -> str:
    return value.get_secret_value() if value is not None else ""
