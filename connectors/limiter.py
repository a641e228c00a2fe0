"""Keeps calls under a vendor's limits: one limiter an account, shared by all threads; knows no vendor's words.

Two kinds of limit: a few seconds long (`Window`) and a day long (`DayShare`). Answers' headers feed both; a header that
makes no sense is not believed.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.base import OnWait
from connectors.errors import RateLimited
from connectors.windows import Stop, Window

_TRUST_S = 900.0  # how long the vendor's own count of the day is believed
_LONGEST_DAY_S = 25 * 3600.0  # a day on which clocks go back
_MOST = 10_000_000_000  # calls a day nobody sells


class DayShare:
    """Our share of the calls a vendor allows a day, and what must stay for others.

    Own calls are counted by the hour over the last 24 hours; the vendor's own counts come from its headers and are
    trusted for a quarter of an hour, so that a full day is asked about again. The share is not spread over the day:
    a backfill that begins in the morning may use all of it, and goes on as the calls of its first hours grow a day
    old. What is not ours (`1 - share`, and the reserve) is there for others at any time.
    """

    def __init__(self, share: float, reserve: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._reserve = reserve
        self._clock = clock
        self._made_at = clock()
        self._by_hour: dict[int, int] = {}
        self._own = 0
        self.is_told = False
        self._seen_at = float("-inf")
        self._closed_until = float("-inf")
        self.limit: int | None = None
        self.used: int | None = None

    def keep_to(self, share: float, reserve: float) -> None:
        """From now on this is our share, of what was used before too, and this stays for others."""
        self._share, self._reserve = share, reserve

    @property
    def reserve(self) -> float:
        return self._reserve

    def see(self, limit: int, used: int) -> None:
        """The vendor says that `used` of `limit` calls are gone today. Numbers that cannot be are not believed."""
        if 0 < limit <= _MOST and 0 <= used <= _MOST:
            self.limit, self.used, self._seen_at = limit, used, self._clock()

    def close(self, wait_s: float) -> None:
        """The vendor refused a call because its day is over: nobody calls for `wait_s`, a day at most."""
        if wait_s > 0:  # not so for NaN
            self._closed_until = max(self._closed_until, self._clock() + min(wait_s, _LONGEST_DAY_S))

    def remember(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of earlier processes: (seconds ago, how many). Heard once: what came since is counted here."""
        if self.is_told:
            return
        self.is_told = True
        now = self._clock()
        for seconds_ago, many in calls:
            at = now - seconds_ago
            if many > 0 and at <= self._made_at:
                self._add(at, many)

    def check(self) -> None:
        """Raise RateLimited when no call may be made now."""
        now = self._clock()
        if now < self._closed_until:
            raise RateLimited(
                "The vendor's daily calls are used up.",
                retry_after_s=self._closed_until - now,
                mend="It goes on by itself when the vendor's day is over.",
            )
        self._forget(now)
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

    def count(self) -> None:
        """One more call of ours. Raises RateLimited when the day's share is used up."""
        self.check()
        self._add(self._clock(), 1)

    def _add(self, at: float, many: int) -> None:
        hour = math.floor(at / 3600)
        self._by_hour[hour] = self._by_hour.get(hour, 0) + many
        self._own += many

    def _forget(self, now: float) -> None:
        """Let go of the hours that ended a day ago or more."""
        first = math.floor(now / 3600) - 24
        if self._by_hour and min(self._by_hour) < first:
            for hour in [hour for hour in self._by_hour if hour < first]:
                self._own -= self._by_hour.pop(hour)


def seconds_to_midnight(now: datetime, zone: ZoneInfo) -> float:
    """Seconds from an aware instant to the next midnight of `zone` (HubSpot's day is the portal's)."""
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), zone)
    return max(1.0, (midnight.astimezone(UTC) - now).total_seconds())


@dataclass(frozen=True, slots=True)
class Most:
    """The most one source wants to use: a share of the day of which `reserve` stays for others, slots by kind of call,
    the seconds a kind's slots are for where they are set, and calls side by side, whatever their kind.
    """

    share: float
    reserve: float
    slots: Mapping[str, int]
    windows_s: Mapping[str, float] = field(default_factory=dict)
    at_once: int | None = None


class Limiter:
    """All limits of one account by kind of call: `kinds["search"]` are the windows a search must pass.

    A vendor that meters searches apart has `{"call": (general,), "search": (searches,)}`: searches take no general
    slot. Should it count them there as well, its headers show them as somebody else's calls and they are yielded to.
    """

    def __init__(self, kinds: dict[str, Sequence[Window]], day: DayShare, *, at_once: Window | None = None) -> None:
        self.kinds = kinds
        self.day = day
        self._at_once = at_once
        self._lock = threading.Lock()
        self._wanted: dict[str, Most] = {}
        self._allowed: dict[str, int] = {}
        self.throttled = 0
        self.foreign_throttled = 0

    def keep_to(self, owner: str, most: Most) -> None:
        """`owner` (a source) wants to use no more than this.

        Of what all owners want the strictest counts, limit by limit, and of one owner what it said last.
        """
        with self._lock:
            self._wanted[owner] = most
            wanted = self._wanted.values()
            self.day.keep_to(min(one.share for one in wanted), max(one.reserve for one in wanted))
            for kind in most.slots:
                self._resize(kind)
            lanes = [one.at_once for one in wanted if one.at_once is not None]
            if self._at_once is not None and lanes:
                self._at_once.resize(min(lanes))

    def allow(self, kind: str, slots: int) -> None:
        """The vendor says how many calls of a kind it allows a window."""
        with self._lock:
            self._allowed[kind] = slots
            self._resize(kind)

    def _resize(self, kind: str) -> None:
        slots = [one.slots[kind] for one in self._wanted.values() if kind in one.slots]
        slots += [self._allowed[kind]] if kind in self._allowed else []
        windows_s = [one.windows_s[kind] for one in self._wanted.values() if kind in one.windows_s]
        self.kinds[kind][-1].resize(min(slots), max(windows_s, default=None))

    @contextmanager
    def slot(self, kind: str, stop: Stop | None = None, tell: OnWait | None = None) -> Iterator[None]:
        """One call: waits for every window of its kind, and frees the slots when the call is over.

        `tell` hears of a long wait. Raises RateLimited when the day allows no call, Stopped when `stop` is set while
        waiting.
        """
        with self._lock:
            self.day.check()
        with ExitStack() as held:
            # Side by side last: who waits for a window must not keep others from calling meanwhile.
            for window in self.kinds[kind]:
                window.take(stop, tell, begins=False)
                held.callback(window.give_back)
            if self._at_once is not None:
                self._at_once.take(stop, tell)
                held.callback(self._at_once.give_back)
            with self._lock:
                self.day.count()
            for window in self.kinds[kind]:
                window.begin()
            yield

    def penalise(self, kind: str, wait_s: float) -> None:
        """The vendor refused a call for its rate: rest the narrowest window of this kind.

        Told apart: refusals although our own calls cannot have been too many are somebody else's doing.
        """
        window = self.kinds[kind][-1]
        is_foreign = window.kept_to_limit()
        with self._lock:
            self.throttled += 1
            self.foreign_throttled += is_foreign
        window.penalise(wait_s)

    def remember(self, calls: Sequence[tuple[float, int]]) -> None:
        """Calls of earlier processes on this account: (seconds ago, how many). Only the first telling counts."""
        with self._lock:
            is_first = not self.day.is_told
            self.day.remember(calls)
        if is_first:
            for window in {id(one): one for windows in self.kinds.values() for one in windows}.values():
                window.remember(calls)

    def window_share(self) -> float | None:
        """Share of the tightest short-term limit used over the last minute, 0 to 1; None where there is none."""
        shares = [share for windows in self.kinds.values() for one in windows if (share := one.share()) is not None]
        return max(shares, default=None)


_LIMITERS: dict[str, Limiter] = {}
_LIMITERS_LOCK = threading.Lock()


def forget(account: str) -> None:
    """Begin anew with an account, as a new process does; whoever has its limiter keeps it."""
    with _LIMITERS_LOCK:
        _LIMITERS.pop(account, None)


def shared(account: str, make: Callable[[], Limiter]) -> Limiter:
    """The limiter of this account, made once a process: limits outlive the connector that uses them."""
    with _LIMITERS_LOCK:
        if account not in _LIMITERS:
            _LIMITERS[account] = make()
        return _LIMITERS[account]


__all__ = ["DayShare", "Limiter", "Most", "Stop", "Window", "forget", "seconds_to_midnight", "shared"]
