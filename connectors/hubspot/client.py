"""Talks to one HubSpot portal: token, paths, calls. Hands out checked JSON, raises `ConnectorError`.

One cached `ApiClient` of hubspot-api-client builds the calls; the pool under it is ours, so that each has timeouts, a
deadline, one retry policy and one limiter, and its body goes straight to the fast parser. The package's models are not
used: they hide a broken answer as an empty page.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import requests

from connectors import parse
from connectors.base import Usage
from connectors.errors import AuthError, RateLimited, TransientError
from connectors.hubspot.answers import (
    Json,
    check_associations,
    check_events,
    check_list,
    check_object,
    check_results,
    failures,
)
from connectors.hubspot.errors import EdgeRefused, Moving, NotThere, Throttled, TokenExpired, error_of, login_error_of
from connectors.hubspot.limits import learn, make_account, make_limiter, most_of
from connectors.hubspot.login import account_of, portal_of, shared_login
from connectors.hubspot.paths import PATHS, paths_of
from connectors.hubspot.raised import explained
from connectors.hubspot.settings import HubSpotSettings
from connectors.limiter import shared
from connectors.logins import Logins
from connectors.retry import Retry
from connectors.transport import Answer, Timeouts, Transport

log = logging.getLogger(__name__)

T = TypeVar("T")
Check = Callable[[Any], Json]
Item = Mapping[str, str]

HOST = "api.hubapi.com"
_SHORTEST_DAY_PAUSE_S = 60.0


class _Pool:
    """Stands where the SDK keeps its connection pool; sends through the client instead."""

    def __init__(self, client: "HubSpotClient") -> None:
        self._client = client

    def request(self, method: str, url: str, **options: Any) -> Any:
        fields = options.get("fields")
        address = f"{url}?{urlencode(fields, safe=',')}" if fields else url
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
        owner: str = "",
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._retry = retry
        self._clock = clock
        self._transport = Transport(
            [HOST],
            base_url=settings.base_url,
            ca_file=settings.ca_file or ca_file,
            proxy=proxy,
            timeouts=timeouts or Timeouts(read_s=60.0, total_s=120.0),
            connections=settings.limits.at_once,
        )
        self.limits = settings.limits
        self._limiter = shared(account_of(settings), lambda: make_limiter(self.limits))
        self._login = shared_login(settings, HOST, clock)
        self._most, self._logins = most_of(self.limits), Logins.of(self.limits)
        self._limiter.keep_to(owner, self._most)
        self._login.keep_to(owner, self._logins)
        self._lock = threading.Lock()
        self._api: Any = None
        self._login_count = 0
        self._rests_until = float("-inf")
        self._numbered: set[tuple[str, str]] = set()
        self._proven: set[tuple[str, str]] = set()
        self.zone: ZoneInfo | None = None  # the portal's, once known: its day ends at midnight there
        self.warnings: list[str] = []
        self.last_answer_at: datetime | None = None

    # -- calls ---------------------------------------------------------------------------------------------------------

    def get(self, family: str, path: str = "", query: Mapping[str, Any] | None = None) -> Json:
        """The JSON object at a path of a family."""
        return self._checked("GET", family, path, query, None, check_object)

    def results(self, family: str, path: str = "", query: Mapping[str, Any] | None = None, body: Any = None) -> Json:
        """An answer whose `results` are objects with an `id`. POST where there is a body."""
        return self._checked("POST" if body is not None else "GET", family, path, query, body, check_results)

    def search(self, object_type: str, body: Mapping[str, Any]) -> Json:
        """One page of a search."""
        return self.results("objects", f"/{object_type}/search", body=body)

    def dispositions(self) -> list[Json]:
        """The call outcomes this portal has: `id` and `label`."""
        found: list[Json] = self._checked("GET", "calling", "/dispositions", None, None, check_list)["results"]
        return found

    def mail_events(self, query: Mapping[str, Any]) -> Json:
        """One page of the log of marketing mail, newest first."""
        return self._checked("GET", "mail", "/events", query, None, check_events)

    def batch(
        self, object_type: str, ids: Sequence[str], more: Mapping[str, Any], query: Mapping[str, Any] | None = None
    ) -> tuple[list[Json], set[str]]:
        """Objects by id and the ids HubSpot says are not there; `more` is the rest of the question.

        What fails in part (HTTP 207) is asked for again, and only that.
        """
        found, missing = self._in_batch(
            "objects", f"/{object_type}/batch/read", [{"id": one} for one in ids], more, query, check_results
        )
        return found, missing

    def associations(self, from_type: str, to_type: str, inputs: Sequence[Item]) -> tuple[list[Json], set[str]]:
        """For each id of `inputs` that has some: what it is associated with. Ids without any are left out.

        Beside it the ids HubSpot could not say anything about.
        """
        path = f"/{from_type}/{to_type}/batch/read"
        return self._in_batch("associations", path, inputs, {}, None, check_associations)

    # -- what it has used, and its end ---------------------------------------------------------------------------------

    @property
    def numbered_families(self) -> frozenset[str]:
        """The families of paths read by their numbered version, as set or because the dated one is not there."""
        if self._settings.api_path == "v3":
            return frozenset(name for name, (dated, _) in PATHS.items() if dated)
        return frozenset(family for family, _ in self._numbered)

    def usage(self) -> Usage:
        day = self._limiter.day
        return Usage(
            calls=self._transport.calls,
            retries=self._retry.retries,
            throttled=self._limiter.throttled,
            foreign_throttled=self._limiter.foreign_throttled,
            logins=self._login_count,
            window_share=self._limiter.window_share(),
            daily_limit=day.limit,
            daily_used=day.used,
        )

    def belong_to(self, portal_id: str) -> None:
        """The token is one of this portal, which meters searches and the day over all its apps."""
        name = portal_of(self._settings, portal_id)
        self._limiter.join(shared(name, lambda: make_account(self.limits)))

    def now_ms(self, now: datetime) -> int:
        """Milliseconds of the vendor's clock as last seen, at most the agent's (`now`).

        A position in the future would hide what changes until then: of two clocks the earlier one is safe.
        """
        return int(min(self.last_answer_at or now, now).timestamp() * 1000)

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of earlier processes count towards the limits: (seconds ago, how many)."""
        self._limiter.remember(self._owner, calls)

    def interrupt(self) -> None:
        """From any thread: end every wait and every call under way; they end with TransientError."""
        self._retry.stop.set()
        self._transport.interrupt()

    def close(self) -> None:
        """End what is under way. What this source wants of the limits counts no longer; what it called does."""
        self._retry.stop.set()
        self._limiter.release(self._owner, self._most)
        self._login.release(self._owner, self._logins)
        self._transport.close()

    # -- one call ------------------------------------------------------------------------------------------------------

    def exchange(self, method: str, url: str, headers: Mapping[str, str], body: str | bytes | None) -> "_Whole":
        """One try of one call, through limiter and transport. Raises what its answer stands for."""
        path = urlsplit(url).path
        kind = "search" if path.endswith("/search") else "call"
        wanted = {**headers, "Accept-Encoding": "gzip", "Accept": "application/json"}
        rests_s = self._rests_until - self._clock()
        if rests_s > 0:
            raise RateLimited("HubSpot is moving this account to another data centre.", retry_after_s=rests_s)
        with self._limiter.slot(kind, self._retry.stop, self._retry.on_wait):
            answer = self._transport.send(method, url, headers=wanted, body=body)
            self._learn(answer)
        if 200 <= answer.status < 300:
            return _Whole(answer)
        error = (
            login_error_of(answer)
            if path.startswith("/oauth/")
            else error_of(answer, self._login.can_refresh, self.zone)
        )
        self._heed(error, kind)
        raise explained(error, self.limits)

    def _heed(self, error: Exception, kind: str) -> None:
        """Let the other calls of this account know of a limit that was met, by a call of this kind."""
        if isinstance(error, Moving):
            self._rests_until = self._clock() + (error.retry_after_s or 0.0)
        elif isinstance(error, Throttled) and error.policy == "day":
            self._limiter.day.close(max(error.retry_after_s or 0.0, _SHORTEST_DAY_PAUSE_S))
        elif isinstance(error, Throttled):
            # A limit by the second is of what was sent: searches have one, and so may lists and batches.
            self._limiter.penalise(kind if error.policy == "search" else error.policy, error.retry_after_s or 0.0)

    def _in_batch(
        self,
        family: str,
        path: str,
        inputs: Sequence[Item],
        more: Mapping[str, Any],
        query: Mapping[str, Any] | None,
        check: Check,
    ) -> tuple[list[Json], set[str]]:
        found: list[Json] = []
        missing: set[str] = set()
        pending = list(inputs)

        def take(document: Any) -> Json:
            nonlocal pending
            checked = check(document)
            gone, failed, is_unclear = failures(checked)
            left = [one for one in pending if one["id"] in failed]
            if is_unclear or len(left) < len(failed):  # failed under names we did not ask by: which, nobody can tell
                raise TransientError("HubSpot could not read all objects of a batch.")
            found.extend(checked["results"])
            missing.update(gone)
            pending = left
            if pending:
                raise TransientError(f"HubSpot could not read {len(pending)} objects of a batch.")
            return checked

        self._checked("POST", family, path, query, lambda: {"inputs": pending, **more}, take)
        return found, missing

    def _checked(
        self, method: str, family: str, path: str, query: Mapping[str, Any] | None, body: Any, check: Check
    ) -> Json:
        """A call with retry and shape check, on the dated path or, where there is none, on the numbered one."""

        def ask(prefix: str, path: str = path, query: Mapping[str, Any] | None = query, check: Check = check) -> Json:
            return self._retry.call(
                lambda: self._with_token(
                    lambda api, token: check(
                        _call(api, token, method, prefix + path, query, body() if callable(body) else body)
                    )
                )
            )

        dated, numbered = paths_of(family, self._settings)
        place = (family, path.split("/", 2)[1] if path else "")
        if not dated or place in self._numbered:
            return ask(numbered)
        try:
            document = ask(dated)
        except NotThere as error:
            # One record that is not there, or no such path? A list that must be there, asked again, tells.
            is_record = family == "objects" and method == "GET" and path.count("/") > 1
            if is_record and place in self._proven:
                raise
            witness: tuple[Any, ...] = (f"/{place[1]}", {"limit": 1}, check_results) if is_record else ()
            try:
                document = ask(dated, *witness)
            except NotThere:
                try:
                    document = ask(numbered, *witness)
                except NotThere:
                    raise error from None
                self._note_fallback(place)
                return ask(numbered) if is_record else document
            if is_record:
                raise error from None
        self._proven.add(place)
        return document

    def _note_fallback(self, place: tuple[str, str]) -> None:
        """From now on, and until the next run, this is read by its numbered path."""
        with self._lock:
            is_new = place[0] not in self.numbered_families
            self._numbered.add(place)
            if not is_new:
                return
            text = (
                f"HubSpot has no {self._settings.api_path} path for {place[0]}; using the numbered one, which HubSpot"
                " will retire in 2027"
            )
            self.warnings.append(text)
        log.warning(text, extra={"action": "path_fallback"})

    def _with_token(self, attempt: Callable[[Any, str], T]) -> T:
        """What `attempt` makes of the SDK's client with a good token; once more with a new one after a 401."""
        api, token = self._connected()
        try:
            return attempt(api, token)
        except TokenExpired:
            self._login.forget(token)
        except EdgeRefused:  # nearly always a malformed token, but the edge has bad moments too
            if self._retry.stop.wait(1.0):
                raise
        api, token = self._connected()
        try:
            return attempt(api, token)
        except TokenExpired:
            self._login.forget(token)
            raise AuthError("HubSpot refuses a token it has just given out.", mend="Check the app.") from None

    def _connected(self) -> tuple[Any, str]:
        """The SDK's client and a token."""
        token, logins = self._login.token(self._exchange_prepared)
        with self._lock:
            self._login_count += logins
            if self._api is None:
                self._api = self._make_api()
            return self._api, token

    def _make_api(self) -> Any:
        from hubspot.crm.objects import ApiClient, Configuration

        configuration = Configuration(host=f"https://{HOST}")
        configuration.retries = False
        api = ApiClient(configuration)
        api.user_agent = "syncagent"
        api.rest_client.pool_manager = _Pool(self)
        return api

    def _exchange_prepared(self, request: requests.PreparedRequest) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
        return self.exchange(request.method or "GET", request.url or "", headers, request.body).answer

    def _learn(self, answer: Answer) -> None:
        """Take the vendor's clock and limits from the headers."""
        self.last_answer_at = answer.received_at() or self.last_answer_at
        learn(self._limiter, answer)


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


def _call(api: Any, token: str, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Any:
    answer: _Whole = api.call_api(
        path,
        method,
        query_params=dict(query or {}),
        header_params={"Authorization": f"Bearer {token}"},
        body=body,
        auth_settings=None,
        _preload_content=False,
    )
    return answer.json()
