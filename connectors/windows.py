"""Slots for calls within a vendor's short-term limit; knows no vendor's words.

A slot is reusable a window's length after the *response* of its last call. The vendor saw the call somewhere between
sending and response, so N slots can never put more than N arrivals into any window, rolling or fixed, whatever the
network does. The price is the time of a round trip: `window / (window + round trip)` of the limit can be used. Where
that would be less than 95 %, slots come back earlier by part of the shortest round trip seen lately: that much time
passes on the way back and on the next way there in any case, so the arrivals still lie a window apart.

A quarter of the slots may go at once, so that a few calls take no time; the others are spread over most of the window.
Otherwise whoever shares the limit would find it used up for seconds, and nothing could be given up for them meanwhile.
"""

import math
import threading
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from connectors.base import OnWait
from connectors.transport import Stopped

_NAP_S = 0.25  # how soon the first of the line sees that it shall stop; it wakes the next one, and so on
_LONG_NAP_S = 1.0  # the others need to look only in case their own owner alone stops
_TELL_S = 3.0  # a shorter wait is not worth a word
_LONGEST_HOLD_S = 30.0  # a longer pause is for the caller to hear of, not to be waited here in silence
_STRICT_S = 600.0  # after a refusal, no slot comes back early for so long
_SAMPLES = 500  # round trips behind one "shortest"
_LOSS = 0.05  # share of the limit round trips may cost before slots come back early
_FEW = 10  # so many slots may always go at once
_SPREAD = 0.8  # share of the window the slots are spread over
_NOISE = 5  # calls by which our own view of the vendor's count may be off
_SHARE_S = 60.0  # what "lately" means in `share`
_REGROW_S = 30.0  # how soon a lowered number of calls side by side grows by one again


class Stop(Protocol):
    """Whatever says that waiting makes no sense any longer."""

    def is_set(self) -> bool: ...


class Window:
    """`slots` calls in any `window_s` seconds. With a window of 0: `slots` calls side by side.

    Threads are served in the order they come. A call's thread takes the slot, sees the headers and gives it back.
    """

    def __init__(self, slots: int, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[threading.Condition] = deque()
        self._size = self._target = self._ceiling = max(1, slots)
        self._window_s = window_s
        self._extra_s = 0.0
        self._idle: list[float] = [float("-inf")] * self._size  # when each idle slot may be used, soonest first
        self._in_flight: dict[int, float] = {}  # thread -> when its call began, infinity: not yet
        self._mine = threading.local()  # .taken_at: when this thread's last call began
        self._arrived: list[float] = []  # when the vendor saw the answered calls, as far as one can tell
        self._taken: deque[tuple[int, int]] = deque()  # (second, calls begun in it)
        self._next_at = self._told_until = float("-inf")
        self._held_until = self._strict_until = self._loose_until = float("-inf")
        self._foreign = 0
        self._foreign_until = self._foreign_since = self._foreign_seen_at = float("-inf")
        self._allowed: int | None = None  # calls a window, as the vendor says
        self._mean_s = 0.0
        self._shortest_s = [math.inf, math.inf]  # of this batch of round trips, of the one before
        self._trips = 0
        self._changed_at = float("-inf")

    def take(self, stop: Stop | None = None, tell: OnWait | None = None, *, begins: bool = True) -> float:
        """Wait for a slot; the seconds waited. `tell` hears of a long wait.

        The call begins at once, or else when `begin` says so: until then the vendor cannot have seen it. Raises Stopped
        when `stop` is set meanwhile.
        """
        began = self._clock()
        with self._lock:
            if stop is not None and stop.is_set():
                raise Stopped("Stopped while waiting for the vendor's limit.")
            if self._queue or not self._is_ready():
                self._stand_in_line(stop, tell)
            now = self._clock()
            self._idle.pop(0)
            if self._window_s and bisect_right(self._idle, now) < self._size - max(_FEW, self._size // 4):
                self._next_at = now + _SPREAD * self._window_s / self._size
            self._in_flight[threading.get_ident()] = math.inf
            if begins:
                self._begin(now)
            if self._queue:
                self._queue[0].notify()
            return now - began

    def begin(self) -> None:
        """The call that this thread's slot was taken for begins now."""
        with self._lock:
            self._begin(self._clock())

    def give_back(self) -> None:
        """The response of a call is here (or was given up on): its slot is free a window from now.

        That of a call that never began is free at once.
        """
        with self._lock:
            now = self._clock()
            taken_at = self._in_flight.pop(threading.get_ident(), now)
            if taken_at == math.inf:
                insort(self._idle, now)
            elif self._window_s:
                insort(self._arrived, (taken_at + now) / 2)
                if len(self._arrived) > 2 * self._size + 100:
                    del self._arrived[: bisect_right(self._arrived, now - 2 * self._window_s)]
                self._note_trip(now - taken_at)
                insort(self._idle, now + self._window_s + self._extra_s - self._early_s(now))
                self._extra_s *= 0.995
            else:
                self._idle.append(now)
                self._regrow(now)
            self._trim()
            if self._queue:
                self._queue[0].notify()

    @property
    def window_s(self) -> float:
        return self._window_s

    @property
    def slots(self) -> int:
        return self._ceiling

    def beside(self, slots: int, window_s: float) -> "Window":
        """A window of another length for the same calls: it knows of those made of late."""
        other = Window(slots, window_s, clock=self._clock)
        other.adopt(self)
        return other

    def adopt(self, other: "Window") -> None:
        """The calls and refusals that `other` knows of count here too."""
        with other._lock:
            extra_s, held_until, strict_until = other._extra_s, other._held_until, other._strict_until
            begun = [at for at in other._in_flight.values() if at != math.inf]
            made, mean_s = [*other._arrived, *begun], other._mean_s
        with self._lock:
            self._arrived = sorted([*self._arrived, *made])
            self._mean_s = self._mean_s or mean_s
            self._extra_s = max(self._extra_s, extra_s)
            self._held_until = max(self._held_until, held_until)
            self._strict_until = max(self._strict_until, strict_until)
            now = self._clock()
        self.remember([(now - at, 1) for at in made])

    def resize(self, slots: int) -> None:
        """The vendor allows `slots` calls a window."""
        slots = max(1, slots)
        with self._lock:
            if slots == self._ceiling:
                return
            if slots < self._ceiling:
                self._loose_until = self._clock() + 2 * self._window_s
            self._ceiling = self._target = slots
            self._trim()
            self._grow()
            if self._queue:
                self._queue[0].notify()

    def see_remaining(self, maximum: int, remaining: int) -> None:
        """The vendor counts `maximum - remaining` calls in its window; more than ours are somebody else's.

        To be called by the thread whose answer said so, before it gives the slot back. A strange program's refused
        calls may be counted nowhere, so one call of the limit is always left over: whoever comes can be seen to come.
        """
        if not 0 <= remaining <= maximum or not maximum or not self._window_s:
            return
        with self._lock:
            self._allowed = maximum
            now = self._clock()
            trip_s = now - self._in_flight.get(threading.get_ident(), now)
            seen_at = now - trip_s / 2
            foreign = maximum - remaining - self._ours_at(seen_at)
            if now >= self._foreign_until:
                self._foreign = 0
            if foreign <= _NOISE or trip_s > 2 * self._mean_s + 0.05:  # or so slow that it says nothing of now
                foreign = 0
            else:
                foreign = self._projected(foreign, now)
            if not remaining:
                foreign = max(foreign, self._foreign + 1)
            self._yield_to(foreign, now)

    def penalise(self, wait_s: float) -> None:
        """A call was refused: nobody calls for `wait_s`, and slots rest a little longer from now on.

        Where calls run side by side, half as many do for a while.
        """
        with self._lock:
            now = self._clock()
            pause_s = min(wait_s, _LONGEST_HOLD_S) if wait_s > 0 else 0.0
            self._held_until = max(self._held_until, now + pause_s)
            self._strict_until = now + _STRICT_S
            if self._window_s:
                self._extra_s = min(self._extra_s + 0.05, self._window_s)
                if now >= self._loose_until:  # others are at it, more than was known
                    known = self._foreign if now < self._foreign_until else 0
                    self._yield_to(known + 1 + self._size // 20, now)
            elif getattr(self._mine, "taken_at", now) >= self._changed_at:  # not begun when there were more
                self._target = max(1, self._target // 2)
                self._changed_at = now
                self._trim()

    def kept_to_limit(self) -> bool:
        """Whether our own calls cannot have been too many for the vendor, as far as its limit is known."""
        with self._lock:
            if not self._window_s or self._clock() < self._loose_until:
                return False
            return self._allowed is None or self._size <= self._allowed

    def remember(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of an earlier process: (seconds ago, how many). Those within the window take their slots."""
        with self._lock:
            now = self._clock()
            for seconds_ago, many in calls:
                if 0 <= seconds_ago < self._window_s:
                    for _ in range(min(many, bisect_right(self._idle, now))):
                        self._idle.pop(0)
                        insort(self._idle, now - seconds_ago + self._window_s)

    def share(self) -> float | None:
        """Share of the limit used over the last minute, 0 to 1; None for calls side by side."""
        if not self._window_s:
            return None
        with self._lock:
            now = self._clock()
            self._forget_counts(now)
            if not self._taken:
                return 0.0
            span_s = min(max(now - self._taken[0][0], self._window_s), _SHARE_S)
            used = sum(many for _, many in self._taken)
            return min(1.0, used * self._window_s / (self._ceiling * span_s))

    # -- within the lock -------------------------------------------------------------------------------------------

    def _stand_in_line(self, stop: Stop | None, tell: OnWait | None) -> None:
        """Wait until this thread is the first of the line and a slot is ready."""
        turn = threading.Condition(self._lock)
        self._queue.append(turn)
        try:
            while self._queue[0] is not turn or not self._is_ready():
                if self._queue[0] is turn:
                    self._say_how_long(tell)
                    wait_s = self._wait_s()
                    turn.wait(_NAP_S if wait_s is None else min(max(wait_s, 0.0), _NAP_S))
                else:
                    turn.wait(_LONG_NAP_S)
                if stop is not None and stop.is_set():
                    raise Stopped("Stopped while waiting for the vendor's limit.")
        finally:
            self._queue.remove(turn)
            if self._queue:
                self._queue[0].notify()

    def _say_how_long(self, tell: OnWait | None) -> None:
        """Have one of those who wait say so where nobody will call for long; without the lock, telling takes time."""
        now = self._clock()
        if tell is None or not self._window_s or now < self._told_until:
            return
        wait_s, why = self._wait_s(), f"the limit of {self._ceiling:,} calls in {self._window_s:g} s is used up"
        if wait_s is not None and self._held_until >= now + wait_s:
            why = "the vendor asked for a pause"
        if wait_s is None and now < self._foreign_until:
            wait_s, why = self._foreign_until - now, "another program uses the limit"
        if wait_s is None or wait_s < _TELL_S:
            return
        self._told_until = now + wait_s
        self._lock.release()
        try:
            tell(wait_s, why)
        finally:
            self._lock.acquire()

    def _begin(self, now: float) -> None:
        self._in_flight[threading.get_ident()] = self._mine.taken_at = now
        self._count(now)

    def _is_ready(self) -> bool:
        wait_s = self._wait_s()
        return wait_s is not None and wait_s <= 0

    def _wait_s(self) -> float | None:
        """Seconds until a slot may be taken (0 or less: now); None when all are in flight."""
        now = self._clock()
        reserve = 0
        if now < self._foreign_until:
            room = (self._allowed or self._size) - self._size  # never ours: others may have it all
            reserve = max(0, min(self._foreign - room, self._size - 1))
        if len(self._idle) <= reserve:
            return None
        return max(self._idle[reserve], self._held_until, self._next_at) - now

    def _ours_at(self, seen_at: float) -> int:
        """How many of our calls the vendor's window held at this instant, as far as one can tell."""
        way_s = self._mean_s / 2
        coming = sum(1 for taken_at in self._in_flight.values() if taken_at + way_s <= seen_at)
        arrived = self._arrived
        return coming + bisect_right(arrived, seen_at) - bisect_right(arrived, seen_at - self._window_s)

    def _projected(self, foreign: int, now: float) -> int:
        """How many calls of others to expect, of which so many are in the window now: they may just have begun."""
        if now - self._foreign_seen_at > self._window_s:
            self._foreign_since = now
        self._foreign_seen_at = now
        known_s = max(now - self._foreign_since, self._window_s / 4)
        foreign = int(foreign * max(1.0, self._window_s / known_s))
        return foreign + 1 + foreign // 8

    def _yield_to(self, foreign: int, now: float) -> None:
        """Leave so many calls to others for a window's length; a lower number waits for that to be over."""
        if foreign >= self._foreign or now >= self._foreign_until:
            self._foreign = max(0, min(foreign, self._ceiling))
            self._foreign_until = now + self._window_s

    def _trim(self) -> None:
        """Take away what is too much. Slots ready to use go first: a resting one stands for a call just made."""
        while self._size > self._target and self._idle:
            self._idle.pop(0)
            self._size -= 1

    def _grow(self) -> None:
        while self._size < self._target:
            insort(self._idle, self._clock() + self._window_s)
            self._size += 1

    def _regrow(self, now: float) -> None:
        if self._target < self._ceiling and now - self._changed_at >= _REGROW_S:
            self._target += 1
            self._changed_at = now
            self._grow()

    def _note_trip(self, trip_s: float) -> None:
        self._mean_s += 0.02 * (trip_s - self._mean_s) if self._trips else trip_s
        self._shortest_s[0] = min(self._shortest_s[0], trip_s)
        self._trips += 1
        if self._trips % _SAMPLES == 0:
            self._shortest_s = [math.inf, self._shortest_s[0]]

    def _early_s(self, now: float) -> float:
        """By how much a slot comes back before its window is over."""
        if self._mean_s <= _LOSS * self._window_s or self._trips < _SAMPLES or now < self._strict_until:
            return 0.0
        # Three quarters: the shortest trip seen is a little longer than the shortest there can be.
        early_s = 0.75 * min(self._shortest_s) - 0.01
        if early_s <= 0:
            return 0.0
        self._loose_until = now + 2 * self._window_s
        return min(early_s, self._window_s / 2)

    def _count(self, now: float) -> None:
        second = int(now)
        if self._taken and self._taken[-1][0] == second:
            self._taken[-1] = (second, self._taken[-1][1] + 1)
        else:
            self._taken.append((second, 1))
            self._forget_counts(now)

    def _forget_counts(self, now: float) -> None:
        while self._taken and self._taken[0][0] < now - _SHARE_S:
            self._taken.popleft()
