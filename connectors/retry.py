"""The one retry policy: only what is classified as transient, never longer than a budget, interruptible."""

import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import tenacity

from connectors.base import OnWait
from connectors.errors import RateLimited, TransientError
from connectors.transport import parse_http_date

T = TypeVar("T")

MAX_RETRY_AFTER_S = 3600.0
_NAP_S = 0.25


def parse_retry_after(text: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds a Retry-After asks for, clamped to an hour; None where it is absent or makes no sense.

    Seconds or an HTTP date; a number beyond a day must be milliseconds (some endpoints send those).
    """
    if text is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
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


class Stopped(TransientError):
    """We were asked to stop while waiting to try again."""


@dataclass(slots=True)
class Retry:
    """Calls a function until it works, within `patience`. Safe to share between threads."""

    patience: Patience = field(default_factory=Patience)
    stop: StopSignal = field(default_factory=StopSignal)
    on_wait: OnWait | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # default: waits on `stop`
    jitter: Callable[[float, float], float] = random.uniform
    retries: int = 0

    def call(self, attempt: Callable[[], T]) -> T:
        """What `attempt` returns. Raises its last error when it is permanent or patience is over."""
        began = self.clock()

        def wait_s(state: tenacity.RetryCallState) -> float:
            longest = min(self.patience.cap_s, self.patience.first_s * 2.0 ** (state.attempt_number - 1))
            asked = getattr(state.outcome.exception(), "retry_after_s", None) if state.outcome else None
            return max(asked or 0.0, self.jitter(0.0, longest))

        def is_over(state: tenacity.RetryCallState) -> bool:
            return (
                state.attempt_number >= self.patience.tries
                or self.clock() - began + state.upcoming_sleep > self.patience.budget_s
            )

        def announce(state: tenacity.RetryCallState) -> None:
            self.retries += 1
            error = state.outcome.exception() if state.outcome else None
            if self.on_wait is not None and isinstance(error, TransientError):
                self.on_wait(state.upcoming_sleep, error.message)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_worth_it),
            wait=wait_s,
            stop=is_over,
            sleep=self.sleep or self._sleep,
            before_sleep=announce,
            reraise=True,
        )
        return retrying(attempt)

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("Stopped while waiting to try again.")


def _is_worth_it(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, Stopped)


__all__ = ["MAX_RETRY_AFTER_S", "Patience", "RateLimited", "Retry", "StopSignal", "Stopped", "parse_retry_after"]
