"""The business clock: how many open seconds lie between two instants (docs/definitions.md G7).

Hours are local wall-clock times in the calendar's own zone, so a day with a clock change keeps its opening
hours; holidays count nothing. Knows nothing of KPIs.
"""

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Hours


class BusinessClock:
    """Open time as a position on one growing line, so that a duration is a difference of two positions."""

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._zone = ZoneInfo(hours.timezone)
        self._first: date | None = None
        self._last: date | None = None
        self._low = self._high = 0  # epoch seconds the table covers: [low, high)
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []  # open seconds before each interval

    def seconds(self, start: int, end: int) -> int:
        """Open seconds in [start, end), epoch seconds; negative when end lies before start."""
        for moment in (start, end):
            if not self._low <= moment < self._high:
                self._cover(moment)
        return self._position(end) - self._position(start)

    def _position(self, moment: int) -> int:
        index = bisect_right(self._starts, moment) - 1
        if index < 0:
            return 0
        return self._before[index] + min(moment, self._ends[index]) - self._starts[index]

    def _cover(self, moment: int) -> None:
        """Grow the table of open intervals to hold this instant, with years to spare on both sides."""
        day = datetime.fromtimestamp(moment, UTC).date()
        wanted_first, wanted_last = date(max(2, day.year - 2), 1, 1), date(min(9998, day.year + 2), 12, 31)
        first = min(self._first, wanted_first) if self._first else wanted_first
        last = max(self._last, wanted_last) if self._last else wanted_last
        self._first, self._last = first, last
        self._low, self._high = self._epoch(first, 0), self._epoch(last, 0)
        starts, ends, before, total = [], [], [], 0
        for offset in range((last - first).days + 1):
            current = first + timedelta(offset)
            if current in self._hours.holidays:
                continue
            for opens, closes in self._hours.weekly.get(current.weekday(), ()):
                start, end = self._epoch(current, opens), self._epoch(current, closes)
                if end <= start:
                    continue
                starts.append(start)
                ends.append(end)
                before.append(total)
                total += end - start
        self._starts, self._ends, self._before = starts, ends, before

    def _epoch(self, day: date, minutes: int) -> int:
        if minutes >= 24 * 60:
            day, minutes = day + timedelta(1), minutes - 24 * 60
        local = datetime.combine(day, time(minutes // 60, minutes % 60), self._zone)
        return int(local.astimezone(UTC).timestamp())


def business_days(start: date, end: date, hours: Hours) -> int:
    """Days with opening hours in [start, end), holidays left out."""
    return sum(
        1
        for offset in range(max(0, (end - start).days))
        if hours.weekly.get((start + timedelta(offset)).weekday()) and start + timedelta(offset) not in hours.holidays
    )


def after_business_days(day: date, days: int, hours: Hours) -> date:
    """The first day after so many business days that follow `day`; a calendar that never opens counts every day."""
    never = not any(hours.weekly.values())
    at = day
    while days > 0:
        at += timedelta(1)
        if never or (hours.weekly.get(at.weekday()) and at not in hours.holidays):
            days -= 1
    return at + timedelta(1)
