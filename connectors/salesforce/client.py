"""Talks to one Salesforce org: session, queries, describe. Hands out checked JSON, raises `ConnectorError`.

simple-salesforce builds the calls; the session under it is ours, so that every one of them, login included, has
timeouts, a deadline, one retry policy and one limiter. simple-salesforce never refreshes a token itself: it recurses
without bound on a refused one.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from connectors.base import Usage
from connectors.day import DayShare
from connectors.errors import AuthError, NotReadable, RateLimited, StreamError, TransientError
from connectors.limiter import Limiter, Most, Window, shared
from connectors.logins import Logins
from connectors.retry import Retry, Stopped
from connectors.salesforce import login
from connectors.salesforce.answers import QueryPage, check_page, usage_of
from connectors.salesforce.errors import (
    DayIsOver,
    LostPosition,
    Metered,
    Mistake,
    SessionExpired,
    Short,
    TooMuch,
    error_of,
    login_error_of,
)
from connectors.salesforce.settings import SalesforceLimits, SalesforceSettings
from connectors.tally import carried
from connectors.transport import Answer, Timeouts, Transport
from connectors.transport_requests import TransportAdapter

log = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")

_MISTAKES = 3  # tries of a call that fails with an error of Salesforce's own
_RESTARTS = 3  # asks again when a page link is lost
_HELPERS = 4  # threads that read what belongs to the records of a page
SKEW = timedelta(minutes=15)  # how far our clock may be from Salesforce's


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
        owner: str = "",
    ) -> None:
        self._settings = settings
        self._owner = owner
        self.retry = retry
        self._clock = clock
        self.timeouts = timeouts or Timeouts(read_s=130.0, total_s=600.0)
        host = urlsplit(settings.instance_url).hostname or ""
        self._transport = Transport(
            [host],
            base_url=settings.base_url,
            ca_file=settings.ca_file or ca_file,
            proxy=proxy,
            timeouts=self.timeouts,
            connections=settings.limits.concurrent,
        )
        self.limits = settings.limits
        self._headers = {"Sforce-Query-Options": f"batchSize={self.limits.page}", "X-PrettyPrint": "0"}
        self._limiter = shared(login.account_of(settings), lambda: _make_limiter(self.limits))
        self._most, self._logins = _most(self.limits), Logins.of(self.limits)
        self._limiter.keep_to(owner, self._most)
        self._lock = threading.Lock()  # held while logging in: one thread does, the others wait for it
        self._sdk: Any = None
        self._token = ""
        self._count = login.shared_count(settings)
        self._count.keep_to(owner, self._logins)
        self.login_count = 0
        self.user_id = ""
        self.last_answer_at: datetime | None = None
        self._helpers_lock = threading.Lock()
        self._helpers: ThreadPoolExecutor | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount("https://", TransportAdapter(self.exchange))

    @property
    def instance_url(self) -> str:
        """Where the org is, as the last login said."""
        sdk = self._sdk
        return f"https://{sdk.sf_instance}" if sdk is not None else self._settings.instance_url

    def vendor_now(self, now: datetime) -> datetime:
        """Salesforce's clock when it last answered; ours (`now`), a good deal earlier, where it never said.

        One that is further ahead of ours than clocks are is not believed: a position that rests in the future would
        hide what changes now, one that rests too early only costs reading again.
        """
        ours, theirs = now.astimezone(UTC), self.last_answer_at
        return ours - SKEW if theirs is None or theirs > ours + SKEW else theirs

    # -- reading ---------------------------------------------------------------------------------------------------

    def query(self, soql: str) -> QueryPage:
        """The first page of a query, deleted and archived rows included."""
        return self.call(lambda sdk: check_page(sdk.query(soql, include_deleted=True, headers=self._headers)))

    def query_more(self, link: str) -> QueryPage:
        """The page behind `next_link`. Raises LostPosition when the server has forgotten it."""
        if not link.startswith("/services/data/"):
            raise StreamError("Salesforce sent a page link that leads elsewhere; it is not followed.")
        return self.call(lambda sdk: check_page(sdk.query_more(link, identifier_is_url=True, headers=self._headers)))

    def query_all(self, soql: str) -> Iterator[dict[str, Any]]:
        """Every record of a query, page after page. Raises Short when there were not as many as it has."""
        page = self.query(soql)
        total, seen = page.total, len(page.records)
        yield from page.records
        while page.next_link:
            page = self.query_more(page.next_link)
            seen += len(page.records)
            if seen > total:
                raise Short("Salesforce sends the same page again and again.")
            yield from page.records
        if seen != total:
            raise Short(f"Salesforce sent {seen} of {total} records.")

    def query_whole(self, soql: str) -> list[dict[str, Any]]:
        """Every record of a query at once; begun again where a page link is lost. TransientError: again and again."""
        for left in reversed(range(_RESTARTS)):
            try:
                return list(self.query_all(soql))
            except (LostPosition, Short) as error:
                if not left:
                    raise TransientError(error.message) from None
        raise AssertionError("the last try ends above")

    def query_ids(self, soql: Callable[[Sequence[str]], str], ids: Sequence[str]) -> list[dict[str, Any]]:
        """Every record of a query about these ids; asked in halves where it is too much at once."""
        try:
            return self.query_whole(soql(ids))
        except TooMuch:
            if len(ids) <= 1:
                raise
            half = len(ids) // 2
            return [*self.query_ids(soql, ids[:half]), *self.query_ids(soql, ids[half:])]

    def count(self, soql: str) -> int:
        """The number a `SELECT COUNT() …` answers, deleted and archived rows included unless it says otherwise."""

        def read(sdk: Any) -> int:
            document = sdk.query(soql, include_deleted=True, headers=self._headers)
            total = document.get("totalSize") if isinstance(document, dict) else None
            if not isinstance(total, int) or isinstance(total, bool) or total < 0:
                raise TransientError("Salesforce answered a count without a number.")
            return total

        return self.call(read)

    def describe(self, name: str) -> dict[str, Any]:
        """What Salesforce says of an object. Raises NotReadable where it is absent or not allowed."""

        def read(sdk: Any) -> dict[str, Any]:
            document = sdk.restful(f"sobjects/{name}/describe", headers=self._headers)
            fields = document.get("fields") if isinstance(document, dict) else None
            if not isinstance(fields, list) or not all(isinstance(f, dict) and f.get("name") for f in fields):
                raise TransientError(f"Salesforce described {name} without its fields.")
            return dict(document)

        found = self.call(read)
        if found.get("queryable") is False:
            raise NotReadable(f"Salesforce does not let this login query {name}.", mend="Check its permissions.")
        return found

    def send(self, method: str, path: str, *, accept: str = "application/json", **query: Any) -> requests.Response:
        """One call below `/services/data/vX/` that simple-salesforce has no function for."""

        def one(sdk: Any) -> requests.Response:
            headers = {"Authorization": f"Bearer {sdk.session_id}", "Accept": accept, "X-PrettyPrint": "0"}
            url = f"{sdk.base_url}{path}"
            response: requests.Response = self._session.request(method, url, headers=headers, params=query)
            return response

        return self.call(one)

    def together(self, work: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
        """`work` of every item, in order, a few at a time; `work` makes calls but hands out none itself."""
        if len(items) <= 1:
            yield from map(work, items)
            return
        with self._helpers_lock:
            if self._helpers is None:
                self._helpers = ThreadPoolExecutor(_HELPERS, thread_name_prefix="salesforce")
            helpers = self._helpers
        waiting = iter(items)
        futures = deque(helpers.submit(carried(work), item) for item in islice(waiting, _HELPERS * 2))
        try:
            while futures:
                result = futures[0].result()
                futures.popleft()  # with it goes what it found, once the caller is done with that
                futures.extend(helpers.submit(carried(work), item) for item in islice(waiting, 1))
                yield result
                del result
        finally:
            for future in futures:
                future.cancel()

    def wait(self, seconds: float, why: str) -> None:
        """Wait without holding a slot. Raises Stopped when interrupted meanwhile."""
        if self.retry.on_wait is not None and seconds >= 1:
            self.retry.on_wait(seconds, why)
        if self.retry.stop.wait(seconds):
            raise Stopped("Stopped while waiting for Salesforce.")

    # -- housekeeping ----------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        day = self._limiter.day
        return Usage(
            calls=self._transport.calls,
            retries=self.retry.retries,
            throttled=self._limiter.throttled,
            foreign_throttled=self._limiter.foreign_throttled,
            logins=self.login_count,
            window_share=self._limiter.window_share(),
            daily_limit=day.limit,
            daily_used=day.used,
        )

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of earlier processes: (seconds ago, how many)."""
        self._limiter.remember(self._owner, calls)

    def interrupt(self) -> None:
        """End every wait and every call under way, from any thread, with TransientError."""
        self.retry.stop.set()
        self._transport.interrupt()

    def close(self) -> None:
        """End what is under way. What this source wants of the limits counts no longer; what it called does."""
        self.retry.stop.set()
        self._limiter.release(self._owner, self._most)
        self._count.release(self._owner, self._logins)
        with self._helpers_lock:
            helpers, self._helpers = self._helpers, None
        if helpers is not None:
            helpers.shutdown(wait=False, cancel_futures=True)
        self._session.close()
        self._transport.close()

    # -- one call --------------------------------------------------------------------------------------------------

    def exchange(self, request: requests.PreparedRequest) -> Answer:
        """One try of one prepared call, through limiter and transport. Raises what its answer stands for."""
        url = request.url or ""
        path = urlsplit(url).path
        headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
        is_login = login.is_login(path)
        with self._limiter.slot("call", self.retry.stop, self.retry.on_wait):
            answer = self._transport.send(request.method or "GET", url, headers=headers, body=request.body)
        self._learn(answer)
        is_fault = login.is_soap(path) and b"exceptionCode" in answer.body
        refusal = None if 200 <= answer.status < 300 or is_fault else login_error_of(answer) if is_login else None
        if refusal is not None:
            raise refusal
        if 200 <= answer.status < 300 or is_fault:
            return answer  # simple-salesforce reads the reason out of a fault
        error = error_of(answer)
        if isinstance(error, DayIsOver):
            self._limiter.day.close(error.retry_after_s or 0.0)
        elif isinstance(error, RateLimited) and not isinstance(error, Metered):
            self._limiter.penalise("call", error.retry_after_s or 0.0)
        raise error

    def call(self, attempt: Callable[[Any], T]) -> T:
        """What `attempt` makes of the logged-in SDK: retried, and again after a fresh login on a 401."""
        mistakes = 0
        # Not handed back through the retry: what it keeps of a call lives until the next full garbage collection,
        # and pages of many megabytes would pile up.
        found: list[T] = []

        def once() -> None:
            nonlocal mistakes
            while True:
                sdk, token = self._connected()
                try:
                    found[:] = [attempt(sdk)]
                    return
                except SessionExpired:
                    self._forget(token)  # logging in again is what is limited, so this ends
                except Mistake as error:
                    mistakes += 1
                    if mistakes < _MISTAKES:
                        raise
                    raise StreamError(error.message, mend="If it lasts, tell Salesforce's support.") from None

        try:
            self.retry.call(once)
            return found.pop()
        except Metered as error:
            raise AuthError(error.message, mend=error.mend) from None

    def _connected(self) -> tuple[Any, str]:
        """The SDK with a token, logging in when there is none; one thread logs in, the others wait for it."""
        with self._lock:
            if self._sdk is None or not self._token:
                session = self._log_in()
                self._token = session.token
                self.user_id = session.user_id or self.user_id
                from simple_salesforce.api import Salesforce

                self._transport.allow(urlsplit(session.instance_url).hostname or "")
                self._sdk = Salesforce(
                    session_id=self._token,
                    instance_url=session.instance_url,
                    session=self._session,
                    version=self._settings.api_version,
                    object_pairs_hook=dict,
                )
            return self._sdk, self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:  # another thread may have logged in again already
                self._token = ""
                self._count.lost(self._clock())

    def _log_in(self) -> login.Session:
        """A fresh session. Raises AuthError when refused, or after too many logins."""
        if self._settings.auth == "session" and self.login_count:
            raise AuthError("The Salesforce session has ended.", mend="Give a fresh session_id.")
        self._count.check(self._clock())  # one thread logs in at a time: see `_connected`
        try:
            session = login.log_in(self._settings, self.exchange, lambda: self.last_answer_at)
        except AuthError:
            self._count.refused(self._clock())
            raise
        self._count.succeeded()
        self.login_count += 1
        return session

    def _learn(self, answer: Answer) -> None:
        """Take the vendor's clock and its counts of calls from the headers."""
        self.last_answer_at = answer.received_at() or self.last_answer_at
        counts = usage_of(answer.headers)
        if (org := counts.get("")) is not None:
            self._limiter.day.see(*org)
        limit, used = counts.get("per-app-", (0, 0))
        if limit and limit - used <= self._limiter.day.reserve * limit:
            self._limiter.day.see(limit, used)  # an allowance of the app's own, nearly used up


def _most(limits: SalesforceLimits) -> Most:
    return Most(limits.daily_share, limits.daily_reserve, {"call": limits.concurrent})


def _make_limiter(limits: SalesforceLimits) -> Limiter:
    side_by_side = Window(limits.concurrent, 0.0)
    return Limiter({"call": (side_by_side,)}, DayShare(limits.daily_share, limits.daily_reserve))
