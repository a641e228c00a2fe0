"""The business clock: how many open seconds lie between two instants (docs/definitions.md G7).

Hours are local wall-clock times in the calendar's own zone, so a day with a clock change keeps its opening
hours; holidays count nothing. A team may have hours of its own. Knows nothing of KPIs.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from scorecards.definition import Hours, Reporting
from scorecards.periods import midnight

_DAY_S = 86400


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
        self._low, self._high = midnight(first, self._zone), midnight(last, self._zone)
        starts, ends, before, total = [], [], [], 0
        begin = self._low
        for offset in range((last - first).days):
            day = first + timedelta(offset)
            over = midnight(day + timedelta(1), self._zone)
            for start, end in self._open(day, begin, over):
                starts.append(start)
                ends.append(end)
                before.append(total)
                total += end - start
            begin = over
        self._starts, self._ends, self._before = starts, ends, before

    def _open(self, day: date, begin: int, over: int) -> Iterator[tuple[int, int]]:
        """When a local day that lasts [begin, over) is open. One on which clocks change is read minute by minute:

        an hour there twice is open twice, one there never is not.
        """
        if over - begin == _DAY_S:
            if day not in self._hours.holidays:
                for opens, closes in self._hours.weekly.get(day.weekday(), ()):
                    if opens < closes:
                        yield begin + opens * 60, begin + closes * 60
            return
        for is_open, minutes in groupby(range(begin, over, 60), self._is_open_at):
            if is_open:
                first, *rest = minutes
                yield first, min(over, (rest[-1] if rest else first) + 60)

    def _is_open_at(self, moment: int) -> bool:
        local = datetime.fromtimestamp(moment, self._zone)
        at = local.hour * 60 + local.minute
        spans = () if local.date() in self._hours.holidays else self._hours.weekly.get(local.weekday(), ())
        return any(opens <= at < closes for opens, closes in spans)


class Clocks:
    """The business clock of every team: by its own calendar where it has one, else by everybody's."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting
        self._zone = ZoneInfo(reporting.timezone)
        self._shared = BusinessClock(reporting.hours)
        self._own: dict[str, BusinessClock] = {}

    def seconds(self, start: int, end: int, team: object = None) -> int:
        """Open seconds of a team in [start, end), epoch seconds; negative when end lies before start."""
        if not isinstance(team, str) or team not in self._reporting.calendars:
            return self._shared.seconds(start, end)
        if team not in self._own:
            self._own[team] = BusinessClock(self._reporting.calendars[team])
        return self._own[team].seconds(start, end)

    def deadline(self, start: int, days: int, team: object = None) -> int:
        """The last second (epoch) of a team's so manieth business day after the local day of an instant.

        Days are those of the team's own zone; of everybody's calendar, the reporting zone's.
        """
        hours = self._reporting.hours_of(team)
        zone = self._zone if hours is self._reporting.hours else ZoneInfo(hours.timezone)
        day = datetime.fromtimestamp(start, zone).date()
        return midnight(after_business_days(day, days, hours), zone) - 1


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
