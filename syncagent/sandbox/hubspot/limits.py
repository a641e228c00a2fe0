"""HubSpot's limits on calls: windows that roll or begin anew, shared with a foreign consumer, and what was counted."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

ROLLING, FIXED = "rolling", "fixed"
#: Calls per 10 s by plan: Free and Starter; Professional and Enterprise; with the limit increase.
PLANS = {"starter": 100, "professional": 190, "increase": 250}


@dataclass(slots=True)
class Counted:
    """What one bucket saw. `arrivals`: monotonic instants of every call, refused ones too. `refused`: how many got a
    429. `own_refused`: how many would have got one had the foreign consumer not been there."""

    arrivals: list[float] = field(default_factory=list)
    refused: int = 0
    own_refused: int = 0

    @property
    def foreign_refused(self) -> int:
        """429s that only the foreign consumer explains."""
        return self.refused - self.own_refused

    def used(self, start: float, end: float) -> int:
        """Calls that arrived in [start, end)."""
        return sum(start <= at < end for at in self.arrivals)

    def peak(self, seconds: float) -> int:
        """The most calls that arrived within any stretch of so many seconds."""
        most = first = 0
        for last, at in enumerate(self.arrivals):
            while self.arrivals[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


class _Window:
    """Calls admitted lately, counted over the last `seconds` or since the last multiple of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._calls: deque[float] = deque()

    def add(self, at: float) -> None:
        self._calls.append(at)

    def clear(self) -> None:
        self._calls.clear()

    def count(self, now: float, kinds: Sequence[str]) -> int:
        """The fullest of the windows asked for."""
        calls = self._calls
        while calls and calls[0] <= now - self.seconds:
            calls.popleft()
        counts = [len(calls)] if ROLLING in kinds else []
        if FIXED in kinds:
            begin = math.floor(now / self.seconds) * self.seconds
            counts.append(sum(at >= begin for at in calls))
        return max(counts, default=0)


class Bucket:
    """At most `size` calls in each window of `seconds`. A refused call takes no room.

    `windows`: `rolling`, `fixed` (starting at multiples of `seconds` of the monotonic clock), or both at once.
    """

    def __init__(self, size: int, seconds: float, windows: Sequence[str] = (ROLLING,)) -> None:
        self.size = size
        self.seconds = seconds
        self.windows = tuple(windows)
        self.counted = Counted()
        self._all = _Window(seconds)
        self._own = _Window(seconds)  # as it would be without the foreign consumer
        self._foreign_per_s = 0.0
        self._burst_s: float | None = None
        self._foreign_next = 0.0

    def foreign(self, per_s: float, burst_s: float | None, now: float) -> None:
        """From now on somebody else makes `per_s` calls: evenly, or all those of `burst_s` seconds at once."""
        self._foreign_per_s, self._burst_s, self._foreign_next = per_s, burst_s, now

    def take(self, now: float, *, enforced: bool) -> bool:
        """A call arrives; False when it is refused."""
        self._let_foreigners(now)
        self.counted.arrivals.append(now)
        own_room = self._own.count(now, self.windows) < self.size
        if own_room:
            self._own.add(now)
        if enforced and self._all.count(now, self.windows) >= self.size:
            self.counted.refused += 1
            self.counted.own_refused += not own_room
            return False
        self._all.add(now)
        return True

    def remaining(self, now: float) -> int:
        """Calls left in the fullest window, as the headers say."""
        self._let_foreigners(now)
        return max(0, self.size - self._all.count(now, self.windows))

    def clear(self) -> None:
        """Everything that was admitted is long past."""
        self._all.clear()
        self._own.clear()

    def _let_foreigners(self, now: float) -> None:
        """The foreign consumer's calls up to now take their room, as long as there is some."""
        if self._foreign_per_s <= 0:
            return
        step = self._burst_s or 1 / self._foreign_per_s
        at_once = max(1, round(step * self._foreign_per_s))
        # Older ones are out of every window.
        self._foreign_next += max(0, math.floor((now - self.seconds - self._foreign_next) / step)) * step
        while self._foreign_next <= now:
            for _ in range(at_once):
                if self._all.count(self._foreign_next, self.windows) < self.size:
                    self._all.add(self._foreign_next)
            self._foreign_next += step


class Limits:
    """The limits of one account: `calls` (10 s), `search` (1 s) and the day's."""

    def __init__(self, *, per_10s: int, search_per_s: int, daily: int, windows: Sequence[str]) -> None:
        self.calls = Bucket(per_10s, 10.0, windows)
        self.search = Bucket(search_per_s, 1.0, windows)
        self.daily = daily
        self.daily_used = 0
        self.daily_refused = 0
        self._day = ""

    def foreign(self, calls_per_s: float, search_per_s: float, burst_s: float | None) -> None:
        now = time.monotonic()
        self.calls.foreign(calls_per_s, burst_s, now)
        self.search.foreign(search_per_s, burst_s, now)

    def take(self, *, search: bool, day: str, enforced: bool) -> str | None:
        """A call arrives on a local day. The limit that refuses it: DAILY, SECONDLY or TEN_SECONDLY."""
        if day != self._day:  # the day's count begins anew at the portal's midnight
            self._day, self.daily_used = day, self.daily_used if not self._day else 0
        if enforced and self.daily_used >= self.daily:
            self.daily_refused += 1
            return "DAILY"
        self.daily_used += 1
        bucket = self.search if search else self.calls
        if bucket.take(time.monotonic(), enforced=enforced):
            return None
        return "SECONDLY" if search else "TEN_SECONDLY"
