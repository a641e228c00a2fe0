"""Keeps calls under a vendor's limits: one limiter an account, shared by all threads; knows no vendor's words.

A slot is reusable a window's length after the *response* of its last call. The vendor saw the call somewhere between
sending and response, so N slots can never put more than N arrivals into any window, whatever the network does.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from typing import Protocol

from connectors.errors import RateLimited, TransientError

_NAP_S = 0.25  # how soon a waiting thread sees that it shall stop
_LONGEST_HOLD_S = 30.0  # a longer pause is for the caller to hear of, not to be waited here in silence
_TRUST_S = 900.0  # how long the vendor's own count of the day is believed


class Stop(Protocol):
    """Whatever says that waiting makes no sense any longer."""

    def is_set(self) -> bool: ...


class Window:
    """`slots` calls in any `window_s` seconds. With a window of 0: `slots` calls side by side."""

    def __init__(self, slots: int, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._size = slots
        self._target = slots
        self._window_s = window_s
        self._extra_s = 0.0
        self._idle: deque[float] = deque([float("-inf")] * slots)  # when each idle slot may be used, soonest first
        self._held_until = float("-inf")
        self._foreign = 0
        self._foreign_until = float("-inf")

    def take(self, stop: Stop | None = None) -> float:
        """Wait for a slot; the seconds waited. Raises TransientError when `stop` is set meanwhile."""
        began = self._clock()
        with self._changed:
            while True:
                if stop is not None and stop.is_set():
                    raise TransientError("Stopped while waiting for the vendor's limit.")
                wait_s = self._wait_s()
                if wait_s is not None and wait_s <= 0:
                    self._idle.popleft()
                    return self._clock() - began
                self._changed.wait(_NAP_S if wait_s is None else min(wait_s, _NAP_S))

    def give_back(self) -> None:
        """The response of a call is here (or was given up on): its slot is free a window from now."""
        with self._changed:
            if self._size > self._target:
                self._size -= 1
            else:
                self._idle.append(self._clock() + self._window_s + self._extra_s)
            self._extra_s *= 0.995
            self._changed.notify()

    def resize(self, slots: int) -> None:
        """The vendor allows `slots` calls a window."""
        with self._changed:
            self._target = max(1, slots)
            while self._size > self._target and self._idle:
                self._idle.pop()
                self._size -= 1
            while self._size < self._target:
                self._idle.append(self._clock() + self._window_s)
                self._size += 1
            self._changed.notify()

    def see_remaining(self, maximum: int, remaining: int) -> None:
        """The vendor counts `maximum - remaining` calls in its window; more than ours are somebody else's."""
        with self._changed:
            now = self._clock()
            resting = sum(1 for _ in takewhile(lambda free_at: free_at > now, reversed(self._idle)))
            ours = self._size - len(self._idle) + resting
            foreign = maximum - remaining - ours
            if foreign > 0 or now >= self._foreign_until:
                self._foreign = max(0, foreign)
                self._foreign_until = now + self._window_s

    def penalise(self, wait_s: float) -> None:
        """A call was refused: nobody calls for `wait_s`, and slots rest a little longer from now on."""
        with self._changed:
            self._held_until = max(self._held_until, self._clock() + min(wait_s, _LONGEST_HOLD_S))
            self._extra_s = min(self._extra_s + 0.05, max(self._window_s, 0.05))

    def _wait_s(self) -> float | None:
        """Seconds until a slot may be taken (0 or less: now); None when all are in flight."""
        now = self._clock()
        reserve = min(self._foreign, self._size - 1) if now < self._foreign_until else 0
        if len(self._idle) <= reserve:
            return None
        return max(self._idle[reserve], self._held_until) - now


class DayShare:
    """Our share of the calls a vendor allows a day, and what must stay for others.

    Own calls are counted by the hour over the last 24 hours of this process; the vendor's own counts come from its
    headers and are trusted for a quarter of an hour, so that a full day is asked about again.
    """

    def __init__(self, share: float, reserve: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._reserve = reserve
        self._clock = clock
        self._hours: deque[tuple[int, int]] = deque()
        self._own = 0
        self._seen_at = float("-inf")
        self._closed_until = float("-inf")
        self.limit: int | None = None
        self.used: int | None = None

    def see(self, limit: int, used: int) -> None:
        """The vendor says that `used` of `limit` calls are gone today."""
        self.limit, self.used, self._seen_at = limit, used, self._clock()

    def close(self, wait_s: float) -> None:
        """The vendor refused a call because its day is over: nobody calls for `wait_s`."""
        self._closed_until = self._clock() + wait_s

    def count(self) -> None:
        """One more call of ours. Raises RateLimited when the day's share is used up."""
        now = self._clock()
        if now < self._closed_until:
            raise RateLimited(
                "The vendor's daily calls are used up.",
                retry_after_s=self._closed_until - now,
                mend="It goes on by itself when the vendor's day is over.",
            )
        hour = int(now // 3600)
        while self._hours and self._hours[0][0] <= hour - 24:
            self._own -= self._hours.popleft()[1]
        if self.limit and self._own >= self._share * self.limit:
            raise RateLimited(
                f"Our share of the vendor's daily calls is used up ({self._own} of {self.limit} a day).",
                retry_after_s=3600.0,
                mend="It goes on by itself; raise limits.daily_share to allow more.",
            )
        is_fresh = now - self._seen_at < _TRUST_S
        if self.limit and self.used is not None and is_fresh and self.limit - self.used <= self._reserve * self.limit:
            raise RateLimited(
                f"The vendor's daily calls are nearly used up ({self.used} of {self.limit}).",
                retry_after_s=_TRUST_S,
                mend="It goes on by itself when the vendor's day is over.",
            )
        if self._hours and self._hours[-1][0] == hour:
            self._hours[-1] = (hour, self._hours[-1][1] + 1)
        else:
            self._hours.append((hour, 1))
        self._own += 1


class Limiter:
    """All limits of one account by kind of call: `kinds["search"]` are the windows a search must pass."""

    def __init__(self, kinds: dict[str, Sequence[Window]], day: DayShare) -> None:
        self.kinds = kinds
        self.day = day
        self._lock = threading.Lock()
        self.throttled = 0

    @contextmanager
    def slot(self, kind: str, stop: Stop | None = None) -> Iterator[None]:
        """One call: waits for every window of its kind, and frees the slots when the call is over."""
        with ExitStack() as held:
            for window in self.kinds[kind]:
                window.take(stop)
                held.callback(window.give_back)
            with self._lock:
                self.day.count()
            yield

    def penalise(self, kind: str, wait_s: float) -> None:
        """The vendor refused a call for its rate: rest the narrowest window of this kind."""
        with self._lock:
            self.throttled += 1
        self.kinds[kind][-1].penalise(wait_s)


_LIMITERS: dict[str, Limiter] = {}
_LIMITERS_LOCK = threading.Lock()


def shared(account: str, make: Callable[[], Limiter]) -> Limiter:
    """The limiter of this account, made once a process: limits outlive the connector that uses them."""
    with _LIMITERS_LOCK:
        if account not in _LIMITERS:
            _LIMITERS[account] = make()
        return _LIMITERS[account]
