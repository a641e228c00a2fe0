"""Talks to one HubSpot portal: token, paths, calls. Hands out checked JSON, raises `ConnectorError`.

One cached `ApiClient` of hubspot-api-client builds the calls; the pool under it is ours, so that each has timeouts, a
deadline, one retry policy and one limiter, and its body goes straight to the fast parser. The package's models are not
used: they hide a broken answer as an empty page.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import requests

from connectors import parse
from connectors.base import Usage
from connectors.errors import AuthError, StreamError, TransientError
from connectors.hubspot.errors import NotThere, Throttled, TokenExpired, error_of, login_error_of
from connectors.hubspot.settings import HubSpotSettings
from connectors.limiter import DayShare, Limiter, Window, shared
from connectors.retry import Retry
from connectors.transport import Answer, Timeouts, Transport
from connectors.transport_requests import TransportAdapter

log = logging.getLogger(__name__)

T = TypeVar("T")

HOST = "api.hubapi.com"
MAX_LOGINS = 3
_LOGIN_WINDOW_S = 900.0
_DAY_RESERVE = 0.05
_WINDOW_S = 10.0

#: Where each family of paths lives: by date, and in the numbered version it falls back to.
_PATHS: Mapping[str, tuple[str, str]] = {
    "objects": ("/crm/objects/{v}", "/crm/v3/objects"),
    "associations": ("/crm/associations/{v}", "/crm/v4/associations"),
    "owners": ("/crm/owners/{v}", "/crm/v3/owners"),
    "pipelines": ("/crm/pipelines/{v}", "/crm/v3/pipelines"),
    "properties": ("/crm/properties/{v}", "/crm/v3/properties"),
    "account": ("/account-info/{v}", "/account-info/v3"),
    "oauth": ("/oauth/{v}", "/oauth/v1"),
}


class _Pool:
    """Stands where the SDK keeps its connection pool; sends through the client instead."""

    def __init__(self, client: "HubSpotClient") -> None:
        self._client = client

    def request(self, method: str, url: str, **options: Any) -> Any:
        fields = options.get("fields")
        address = f"{url}?{urlencode(fields)}" if fields else url
        return self._client.exchange(method, address, options.get("headers") or {}, options.get("body"))


class HubSpotClient:
    """One portal. Safe to share between threads."""

    def __init__(
        self,
        settings: HubSpotSettings,
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
        self._transport = Transport(
            [HOST],
            base_url=settings.base_url,
            ca_file=settings.ca_file or ca_file,
            proxy=proxy,
            timeouts=timeouts or Timeouts(read_s=60.0, total_s=120.0),
        )
        self._limiter = shared(_account_of(settings), lambda: _make_limiter(settings))
        self._lock = threading.Lock()
        self._api: Any = None
        self._token = ""
        self._renew_at = float("inf")
        self._logins: list[float] = []
        self.login_count = 0
        self._fallen_back: set[str] = set()
        self.warnings: list[str] = []
        self.last_answer_at: datetime | None = None

    def get(self, family: str, path: str = "", query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object at a path of a family."""
        return self._checked("GET", family, path, query, None, _check_object)

    def results(
        self, family: str, path: str = "", query: Mapping[str, Any] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """An answer whose `results` are objects with an `id`. POST where there is a body."""
        return self._checked("POST" if body is not None else "GET", family, path, query, body, _check_results)

    def search(self, object_type: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One page of a search."""
        return self.results("objects", f"/{object_type}/search", body=body)

    def associations(self, from_type: str, to_type: str, inputs: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """For each id of `inputs` that has some: what it is associated with. Ids without any are left out."""
        path = f"/{from_type}/{to_type}/batch/read"
        document = self._checked("POST", "associations", path, None, {"inputs": list(inputs)}, _check_associations)
        found: list[dict[str, Any]] = document["results"]
        return found

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
        self._transport.close()

    def exchange(self, method: str, url: str, headers: Mapping[str, str], body: str | bytes | None) -> "_Whole":
        """One try of one call, through limiter and transport. Raises what its answer stands for."""
        path = urlsplit(url).path
        kind = "search" if path.endswith("/search") else "call"
        wanted = {**headers, "Accept-Encoding": "gzip", "Accept": "application/json"}
        with self._limiter.slot(kind, self._retry.stop):
            answer = self._transport.send(method, url, headers=wanted, body=body)
            self._learn(answer)
        if 200 <= answer.status < 300:
            return _Whole(answer)
        if path.startswith("/oauth/"):
            raise login_error_of(answer)
        error = error_of(answer, can_refresh=self._settings.access_token is None)
        if isinstance(error, Throttled) and error.policy != "day":
            self._limiter.penalise("search" if error.policy == "search" else "call", error.retry_after_s or 0.0)
        elif isinstance(error, Throttled):
            self._limiter.day.close(error.retry_after_s or 0.0)
        raise error

    def _checked(
        self,
        method: str,
        family: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        check: Callable[[Any], dict[str, Any]],
    ) -> dict[str, Any]:
        """A call with retry and shape check, on the dated path or, where there is none, on the numbered one."""

        def once(prefix: str) -> dict[str, Any]:
            return self._with_token(lambda api: check(self._call(api, method, prefix + path, query, body)))

        dated, numbered = _PATHS[family]
        version = self._settings.api_path
        if version == "v3" or family in self._fallen_back:
            return self._retry.call(lambda: once(numbered))
        try:
            return self._retry.call(lambda: once(dated.format(v=version)))
        except NotThere:
            document = self._retry.call(lambda: once(numbered))  # a 404 here too: it is the object that is missing
        self._note_fallback(family)
        return document

    def _note_fallback(self, family: str) -> None:
        with self._lock:
            if family in self._fallen_back:
                return
            self._fallen_back.add(family)
            text = (
                f"HubSpot has no {self._settings.api_path} path for {family}; using the numbered one, which HubSpot"
                " will retire in 2027"
            )
            self.warnings.append(text)
        log.warning(text, extra={"action": "path_fallback"})

    @staticmethod
    def _call(api: Any, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Any:
        answer: _Whole = api.call_api(
            path,
            method,
            query_params=dict(query or {}),
            header_params={},
            body=body,
            auth_settings=["oauth2"],
            _preload_content=False,
        )
        return answer.json()

    def _with_token(self, attempt: Callable[[Any], T]) -> T:
        """What `attempt` makes of the SDK's client with a good token; once more with a new one after a 401."""
        api, token = self._connected()
        try:
            return attempt(api)
        except TokenExpired:
            self._forget(token)
        api, token = self._connected()
        try:
            return attempt(api)
        except TokenExpired:
            self._forget(token)
            raise AuthError("HubSpot refuses a token it has just given out.", mend="Check the app.") from None

    def _connected(self) -> tuple[Any, str]:
        """The SDK's client with a token; one thread fetches it, the others wait."""
        with self._lock:
            if not self._token or self._clock() >= self._renew_at:
                self._token = self._fetch_token()
                if self._api is None:
                    self._api = self._make_api()
                self._api.configuration.access_token = self._token
            return self._api, self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:  # another thread may have fetched a new one already
                self._token = ""

    def _make_api(self) -> Any:
        from hubspot.crm.objects import ApiClient, Configuration

        configuration = Configuration(host=f"https://{HOST}")
        configuration.retries = False
        api = ApiClient(configuration)
        api.user_agent = "syncagent"
        api.rest_client.pool_manager = _Pool(self)
        return api

    def _fetch_token(self) -> str:
        """An access token. Raises AuthError when refused, or after too many refreshes."""
        if self._settings.access_token is not None:
            return self._settings.access_token.get_secret_value()
        now = self._clock()
        self._logins = [at for at in self._logins if now - at < _LOGIN_WINDOW_S]
        if len(self._logins) >= MAX_LOGINS:
            raise AuthError(
                f"HubSpot refused {MAX_LOGINS} fresh tokens within a quarter of an hour; no further one is fetched.",
                mend="Check the app and its scopes.",
            )
        try:
            reply = self._refresh("/oauth/2026-03/token")
        except NotThere:
            reply = self._refresh("/oauth/v1/token")
        self._logins.append(now)
        self.login_count += 1
        token, life_s = reply.get("access_token"), reply.get("expires_in")
        if not isinstance(token, str) or not token:
            raise TransientError("HubSpot's login answered without a token.")
        self._renew_at = now + 0.8 * (float(life_s) if isinstance(life_s, (int, float)) else 1800.0)
        return token

    def _refresh(self, path: str) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError
        from authlib.integrations.requests_client import OAuth2Session

        def secret(value: Any) -> str:
            return value.get_secret_value() if value is not None else ""

        settings = self._settings
        with OAuth2Session(
            settings.client_id,
            secret(settings.client_secret),
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 - the name of a method
        ) as session:
            session.trust_env = False
            session.mount("https://", TransportAdapter(self._exchange_prepared))
            try:
                token = secret(settings.refresh_token)
                return dict(session.refresh_token(f"https://{HOST}{path}", refresh_token=token))
            except (OAuthError, KeyError, TypeError, ValueError) as error:
                raise TransientError("HubSpot's login answered with something that is not a token.") from error

    def _exchange_prepared(self, request: requests.PreparedRequest) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
        return self.exchange(request.method or "GET", request.url or "", headers, request.body).answer

    def _learn(self, answer: Answer) -> None:
        """Take the vendor's clock and limits from the headers (searches carry none)."""
        self.last_answer_at = answer.received_at() or self.last_answer_at
        limit, left = _count(answer, "Daily"), _count(answer, "Daily-Remaining")
        if limit is not None and left is not None:
            self._limiter.day.see(limit, limit - left)
        maximum, remaining = _count(answer, "Max"), _count(answer, "Remaining")
        interval = _count(answer, "Interval-Milliseconds")
        if maximum and interval == _WINDOW_S * 1000:
            general = self._limiter.kinds["call"][0]
            general.resize(min(maximum, self._settings.limits.per_10s))
            if remaining is not None:
                general.see_remaining(maximum, remaining)


class _Whole:
    """A whole successful answer, in the shape the SDK hands through."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.status = answer.status
        self.data = answer.body

    def json(self) -> Any:
        try:
            return parse.decode_json(self.answer.body)
        except ValueError:
            raise TransientError("HubSpot answered with something that is not whole JSON.") from None


def _check_object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise TransientError("HubSpot answered with something that is no object.")
    return document


def _check_results(document: Any) -> dict[str, Any]:
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(isinstance(one, dict) and _has_name(one) for one in results):
        raise TransientError("HubSpot answered without results, or with results without ids.")
    _check_failures(document)
    checked: dict[str, Any] = document
    return checked


def _check_failures(document: Mapping[str, Any]) -> None:
    """A batch may work in part (HTTP 207). What is not there is left out; what could not be read is asked for again."""
    errors = document.get("errors")
    for error in errors if isinstance(errors, list) else ():
        category = str(error.get("category") or "") if isinstance(error, Mapping) else ""
        if category not in ("", "OBJECT_NOT_FOUND", "VALIDATION_ERROR"):
            raise TransientError(f"HubSpot could not read all objects of a batch ({category[:60]}).")


def _has_name(one: Mapping[str, Any]) -> bool:
    return bool(one.get("id") or one.get("name"))


def _check_associations(document: Any) -> dict[str, Any]:
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(
        isinstance(one, dict) and isinstance(one.get("from"), dict) and isinstance(one.get("to"), list)
        for one in results
    ):
        raise TransientError("HubSpot answered a question for associations without results.")
    _check_failures(document)
    checked: dict[str, Any] = document
    return checked


def next_after(document: Mapping[str, Any]) -> str | None:
    """The mark of the next page, None on the last one. A page without rows may still have a next one."""
    paging = document.get("paging")
    link = paging.get("next") if isinstance(paging, Mapping) else None
    after = link.get("after") if isinstance(link, Mapping) else None
    return str(after) if after not in (None, "") else None


def _count(answer: Answer, name: str) -> int | None:
    text = answer.headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(text) if text.isdigit() else None


def _make_limiter(settings: HubSpotSettings) -> Limiter:
    general = Window(settings.limits.per_10s, _WINDOW_S)
    search = Window(settings.limits.search_per_s, 1.0)
    day = DayShare(settings.limits.daily_share, _DAY_RESERVE)
    return Limiter({"call": (general,), "search": (general, search)}, day)


def _account_of(settings: HubSpotSettings) -> str:
    secret = settings.access_token or settings.refresh_token
    who = secret.get_secret_value() if secret is not None else ""
    place = f"{settings.base_url or ''}|{settings.client_id}|{who}|{settings.limits}"
    return "hubspot:" + hashlib.sha256(place.encode()).hexdigest()


__all__ = ["HubSpotClient", "NotThere", "StreamError", "next_after"]
