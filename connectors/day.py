"""Keeps calls under what a vendor allows a day: our share of it, and what stays for others; knows no vendor's words."""

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.errors import RateLimited

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
        self._told: dict[str, dict[int, int]] = {}  # owner -> its calls of earlier processes, by the hour
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

    def remember(self, owner: str, calls: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
        """Calls of `owner` (a source): (seconds ago, how many). Those that were made by earlier processes.

        Each owner is heard once, and its calls before that count: what came since is counted here.
        """
        if owner in self._told:
            return []
        told = self._told[owner] = {}
        now = self._clock()
        earlier = [(ago_s, many) for ago_s, many in calls if many > 0 and now - ago_s <= self._made_at]
        for ago_s, many in earlier:
            hour = self._add(now - ago_s, many)
            told[hour] = told.get(hour, 0) + many
        return earlier

    def take_over(self, other: "DayShare") -> None:
        """What `other` counted and was told of counts here and no longer there; what both were told of counts once."""
        known = [told for owner, told in other._told.items() if owner in self._told]
        for hour, many in other._by_hour.items():
            self._add(hour * 3600.0, many - sum(told.get(hour, 0) for told in known))
        self._told = {**other._told, **self._told}
        other._by_hour, other._own = {}, 0
        if other._seen_at > self._seen_at:
            self.limit, self.used, self._seen_at = other.limit, other.used, other._seen_at
        self._closed_until = max(self._closed_until, other._closed_until)

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

    def _add(self, at: float, many: int) -> int:
        hour = math.floor(at / 3600)
        self._by_hour[hour] = self._by_hour.get(hour, 0) + many
        self._own += many
        return hour

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
