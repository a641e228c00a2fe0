"""The one retry policy: only what is classified as transient, never longer than a budget, interruptible."""

import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import tenacity

from connectors.base import OnWait
from connectors.errors import RateLimited, TransientError
from connectors.transport import CertificateRefused, Stopped, ending_within, parse_http_date

T = TypeVar("T")

MAX_RETRY_AFTER_S = 3600.0
_NAP_S = 0.1
_NUMBER = re.compile(r"[ \t]*\+?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?[ \t]*")


def parse_retry_after(text: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds a Retry-After asks for, clamped to an hour; None where it is absent or makes no sense.

    Seconds or an HTTP date; a number beyond a day must be milliseconds (some endpoints send those). None means that
    the caller's own shortest wait for this limit holds.
    """
    if text is None:
        return None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds > 86400:
            seconds /= 1000
        return min(seconds, MAX_RETRY_AFTER_S)
    until = parse_http_date(text)
    if until is None:
        return None
    seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try: `tries` in all, within `budget_s`, waits growing from `first_s` to `cap_s`."""

    tries: int = 6
    budget_s: float = 900.0
    first_s: float = 1.0
    cap_s: float = 60.0


#: For somebody who sits in front of it (`syncagent check`): one more try, half a minute in all.
BRIEF = Patience(tries=2, budget_s=30.0, first_s=0.5, cap_s=2.0)

_PATIENCE: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def trying(patience: Patience) -> Iterator[None]:
    """Every `Retry` called by this thread meanwhile has this patience instead of its own."""
    token = _PATIENCE.set(patience)
    try:
        yield
    finally:
        _PATIENCE.reset(token)


class StopSignal:
    """Set when the connector is interrupted or closed, or when its owner's own event is: then nobody waits on."""

    def __init__(self, outer: threading.Event | None = None) -> None:
        self._outer = outer
        self._inner = threading.Event()

    def set(self) -> None:
        """Stop waiting; the owner's event stays as it is."""
        self._inner.set()

    def is_set(self) -> bool:
        return self._inner.is_set() or (self._outer is not None and self._outer.is_set())

    def wait(self, seconds: float) -> bool:
        """Wait that long, less when stopped meanwhile; whether stopped."""
        ends_at = time.monotonic() + seconds
        while not self.is_set() and (left_s := ends_at - time.monotonic()) > 0:
            self._inner.wait(min(left_s, _NAP_S))
        return self.is_set()


class RetryBudget:
    """Keeps an outage of a busy source from multiplying its calls.

    Repeated calls are at most `share` of all calls of the last `span_s`, yet always `few`, so that a source with few
    calls may repeat them. One a connector, so one a sync: what lasts longer is the breaker's. Safe to share between
    threads.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        few: int = 20,
        span_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._few = few
        self._span_s = span_s
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: deque[list[float]] = deque()  # [when it began, calls, of those repeated]
        self._calls = self._repeated = 0.0

    def count(self) -> None:
        """One more call is made."""
        with self._lock:
            self._now()[1] += 1
            self._calls += 1

    def spend(self) -> bool:
        """Whether one more call may be repeated; if so, it is counted as such."""
        with self._lock:
            part = self._now()
            if self._repeated >= max(self._few, self._share * self._calls):
                return False
            part[2] += 1
            self._repeated += 1
            return True

    def _now(self) -> list[float]:
        now = self._clock()
        while self._parts and self._parts[0][0] < now - self._span_s:
            _, calls, repeated = self._parts.popleft()
            self._calls -= calls
            self._repeated -= repeated
        if not self._parts or self._parts[-1][0] < now - self._span_s / 20:
            self._parts.append([now, 0, 0])
        return self._parts[-1]


@dataclass(slots=True)
class Retry:
    """Calls a function until it works, within `patience` and `budget`. Safe to share between threads."""

    patience: Patience = field(default_factory=Patience)
    stop: StopSignal = field(default_factory=StopSignal)
    on_wait: OnWait | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # default: waits on `stop`
    jitter: Callable[[float, float], float] = random.uniform
    budget: RetryBudget = field(default_factory=RetryBudget)
    retries: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns. Raises its last error when it is permanent or patience is over.

        No try outlasts what is left of the time: `attempt` runs with that as the deadline of its calls.
        """
        began = self.clock()
        patience = _PATIENCE.get() or self.patience

        def left_s() -> float:
            return patience.budget_s - (self.clock() - began)

        def attempt_in_time() -> T:
            self.budget.count()
            with ending_within(left_s()):
                return attempt()

        def wait_s(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            longest = min(patience.cap_s, patience.first_s * 2.0 ** (state.attempt_number - 1))
            shortest = 0.0
            if isinstance(error, RateLimited):  # asked to wait, if not for how long: then not for next to nothing
                asked = error.retry_after_s
                if asked is None:
                    shortest = patience.first_s
                elif asked > 0:
                    shortest = min(asked, MAX_RETRY_AFTER_S)
            return max(shortest, self.jitter(0.0, longest))

        def is_over(state: tenacity.RetryCallState) -> bool:
            if state.attempt_number >= patience.tries or state.upcoming_sleep > left_s():
                return True
            return not self.budget.spend()

        def announce(state: tenacity.RetryCallState) -> None:
            with self._lock:
                self.retries += 1
            error = state.outcome.exception() if state.outcome else None
            if self.on_wait is not None and isinstance(error, TransientError):
                self.on_wait(state.upcoming_sleep, error.message)

        try:
            return attempt_in_time()  # nearly always all there is to it: no machinery for that
        except Exception as error:
            failures = [error]

        def again() -> T:
            if failures:
                raise failures.pop()
            return attempt_in_time()

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_worth_it),
            wait=wait_s,
            stop=is_over,
            sleep=self.sleep or self._sleep,
            before_sleep=announce,
            reraise=True,
        )
        return retrying(again)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("Stopped while waiting to try again.")


def _is_worth_it(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, (Stopped, CertificateRefused))


__all__ = [
    "BRIEF",
    "MAX_RETRY_AFTER_S",
    "Patience",
    "RateLimited",
    "Retry",
    "RetryBudget",
    "StopSignal",
    "Stopped",
    "parse_retry_after",
    "trying",
]
