"""Which local day an instant lies on, and when a local day is over."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Reporting
from scorecards.periods import midnight

#: So many hours are remembered at once, two years and a bit; facts ask for the same few thousand again and again.
_MOST_HOURS = 20_000


class Day:
    """Local days of instants in the reporting zone, memoised by the hour: few hours hold a midnight or a new offset."""

    def __init__(self, reporting: Reporting) -> None:
        self.zone = ZoneInfo(reporting.timezone)
        self._of: dict[str, str | None] = {}
        self._end: dict[str, int] = {}

    def of(self, instant: str) -> str:
        """The local date (text) of a UTC instant (text)."""
        hour = instant[:13]
        try:
            found = self._of[hour]
        except KeyError:
            if len(self._of) >= _MOST_HOURS:
                self._of.clear()
            found = self._of[hour] = self._all_of(hour)
        return self._local(instant).date().isoformat() if found is None else found

    def _all_of(self, hour: str) -> str | None:
        """The local date of a whole hour; None where it has two, or clocks change within it."""
        first, last = self._local(f"{hour}:00:00Z"), self._local(f"{hour}:59:59Z")
        is_one = first.date() == last.date() and first.utcoffset() == last.utcoffset()
        return first.date().isoformat() if is_one else None

    def _local(self, instant: str) -> datetime:
        return datetime.fromisoformat(instant).astimezone(self.zone)

    def last_second(self, day: str) -> int:
        """The last epoch second of a local date: an event "that day" is known once the day is over."""
        found = self._end.get(day)
        if found is None:
            found = self._end[day] = midnight(date.fromisoformat(day) + timedelta(1), self.zone) - 1
        return found
