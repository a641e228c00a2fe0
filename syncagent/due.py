"""When a scorecard is due: schedule expressions as pure functions of dates and zones; never looks at a clock.

A local time that does not exist (clocks go forward) is due when the gap ends; one that occurs twice is due
the first time; so every local date asked for gives exactly one due time.
"""

import calendar
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WORKING_WEEKDAYS = frozenset(range(5))
FORMS = (
    '"monday 08:00", "daily 07:30", "weekdays 08:00", "monday,thursday 08:00", "day 1 of month 06:00", '
    '"last day of month 18:00" or "working day 2 of month 08:00"'
)
#: Every month has this many days, and this many working days whatever its holidays.
_LAST_SAFE_DAY = 28
_LAST_SAFE_WORKING_DAY = 15
#: A cron expression must be due within five years of this day to be accepted (29 February is, 31 February is not).
_CRON_ANCHOR = datetime(2024, 1, 1, tzinfo=UTC)
_CRON_HORIZON = timedelta(days=5 * 366)
_LONGEST_MONTH = 31
_LOOK_AHEAD = timedelta(days=25 * 366)
#: Python's calendar ends with the year 9999.
_END_OF_TIME = datetime(9990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed `send` (or `cron`) expression. `rule` is weekly | month_day | month_last | working_day | cron."""

    expression: str
    rule: str
    at: time = time(0)
    weekdays: frozenset[int] = frozenset()  # monday is 0
    number: int = 0
    default_period: str = "day"  # day | week | month

    def due_between(
        self,
        start: datetime,
        end: datetime,
        zone: ZoneInfo,
        holidays: Collection[date] = (),
        working_weekdays: Collection[int] = WORKING_WEEKDAYS,
    ) -> list[datetime]:
        """The due times after `start` up to and including `end` (aware), in UTC, oldest first."""
        return list(self._due_after(start, end, zone, holidays, working_weekdays))

    def upcoming(
        self,
        after: datetime,
        count: int,
        zone: ZoneInfo,
        holidays: Collection[date] = (),
        working_weekdays: Collection[int] = WORKING_WEEKDAYS,
    ) -> list[datetime]:
        """The next `count` due times after an instant, in UTC."""
        found: list[datetime] = []
        end = after + _LOOK_AHEAD if after < _END_OF_TIME - _LOOK_AHEAD else _END_OF_TIME
        if after >= end:
            return found
        for due in self._due_after(after, end, zone, holidays, working_weekdays):
            if len(found) == count:
                break
            found.append(due)
        return found

    def latest(
        self,
        until: datetime,
        zone: ZoneInfo,
        holidays: Collection[date] = (),
        working_weekdays: Collection[int] = WORKING_WEEKDAYS,
    ) -> datetime | None:
        """The newest due time at or before an instant; None when the last five years hold none."""
        for days in (2, 9, 62, 366, 5 * 366):
            found = self.due_between(until - timedelta(days=days), until, zone, holidays, working_weekdays)
            if found:
                return found[-1]
        return None

    def _due_after(
        self,
        start: datetime,
        end: datetime,
        zone: ZoneInfo,
        holidays: Collection[date],
        working_weekdays: Collection[int],
    ) -> Iterator[datetime]:
        if self.rule == "cron":
            yield from _cron_after(self.expression, start, end, zone)
            return
        day = start.astimezone(zone).date() - timedelta(days=1)
        last = end.astimezone(zone).date() + timedelta(days=1)
        while day <= last:
            if self._falls_on(day, holidays, working_weekdays):
                due = instant_of(datetime.combine(day, self.at), zone)
                if start < due <= end:
                    yield due
            day += timedelta(days=1)

    def _falls_on(self, day: date, holidays: Collection[date], working_weekdays: Collection[int]) -> bool:
        match self.rule:
            case "weekly":
                return day.weekday() in self.weekdays
            case "month_day":
                return day.day == self.number
            case "month_last":
                return day.day == calendar.monthrange(day.year, day.month)[1]
            case _:
                return day == _working_day(day.year, day.month, self.number, holidays, working_weekdays)


def parse_send(expression: str) -> Schedule:
    """Read a `send` expression; ValueError with one plain sentence when it is not one."""
    words = " ".join(expression.lower().split()).replace(", ", ",")
    match = re.fullmatch(r"(.*) (\d{1,2}):(\d{2})", words)
    if match is None:
        raise ValueError(f'"{expression}" has no time of day; write {FORMS}')
    when, hour, minute = match[1], int(match[2]), int(match[3])
    if hour > 23 or minute > 59:
        raise ValueError(f'"{match[2]}:{match[3]}" is not a time of day; write 00:00 to 23:59')
    at = time(hour, minute)
    if when in ("daily", "weekdays"):
        days = frozenset(range(7)) if when == "daily" else WORKING_WEEKDAYS
        return Schedule(expression, "weekly", at, days)
    if when == "last day of month":
        return Schedule(expression, "month_last", at, default_period="month")
    if of_month := re.fullmatch(r"(working )?day (\d+) of month", when):
        number = int(of_month[2])
        return _of_month(expression, at, number, is_working=of_month[1] is not None)
    return Schedule(expression, "weekly", at, _weekdays(expression, when), default_period="week")


def parse_cron(expression: str) -> Schedule:
    """Read a five-field cron expression (0 and 7 are sunday); ValueError when it is wrong or never due."""
    if len(expression.split()) != 5:
        raise ValueError(f'"{expression}" is not a cron expression; write five fields, for example "0 8 * * 1"')
    try:
        first = next(CronSim(expression, _CRON_ANCHOR), None)
    except CronSimError as error:
        raise ValueError(f'"{expression}" is not a cron expression that can be due ({error})') from None
    if first is None or first - _CRON_ANCHOR > _CRON_HORIZON:
        raise ValueError(f'"{expression}" is never due within five years; change its day or month')
    spec = CronSim(expression, _CRON_ANCHOR)
    weekdays = {day if isinstance(day, int) else day[0] for day in spec.weekdays}
    if len(spec.days) < _LONGEST_MONTH:
        period = "month"
    else:
        period = "week" if len({day % 7 for day in weekdays}) < len(WORKING_WEEKDAYS) else "day"
    return Schedule(expression, "cron", default_period=period)


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a naive local time: the first where it occurs twice, the end of the gap where it does not."""
    earlier = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if earlier.astimezone(zone).replace(tzinfo=None) == local:
        return earlier
    # In a gap fold=0 reads the clock before the change, fold=1 the one after it: the change lies between the two.
    low = int(local.replace(tzinfo=zone, fold=1).timestamp())
    high = int(earlier.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _cron_after(expression: str, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    previous = start
    for local in CronSim(expression, start.astimezone(zone)):
        due = local.astimezone(UTC)
        if due > end:
            return
        if due > previous:  # a daily time in a gap and one at its end are one due time
            previous = due
            yield due


def _of_month(expression: str, at: time, number: int, *, is_working: bool) -> Schedule:
    last = _LAST_SAFE_WORKING_DAY if is_working else _LAST_SAFE_DAY
    if not 1 <= number <= last:
        kind = "working day" if is_working else "day"
        mend = f'write {kind} 1 to {last}, or "last day of month {at:%H:%M}"'
        raise ValueError(f'"{expression}": {kind} {number} is not in every month; {mend}')
    return Schedule(expression, "working_day" if is_working else "month_day", at, number=number, default_period="month")


def _weekdays(expression: str, words: str) -> frozenset[int]:
    days = set()
    for word in words.split(","):
        name = next((day for day in WEEKDAYS if word in (day, day[:3])), None)
        if name is None:
            near = get_close_matches(word, [*WEEKDAYS, "daily", "weekdays"], 1)
            hint = f'did you mean "{near[0]}"?' if near else f"write {FORMS}"
            raise ValueError(f'"{expression}" is not a time to send: "{word}" is not a day; {hint}')
        days.add(WEEKDAYS.index(name))
    return frozenset(days)


def _working_day(
    year: int, month: int, number: int, holidays: Collection[date], working_weekdays: Collection[int]
) -> date | None:
    found = 0
    for day in range(1, calendar.monthrange(year, month)[1] + 1):
        candidate = date(year, month, day)
        found += candidate.weekday() in working_weekdays and candidate not in holidays
        if found == number:
            return candidate
    return None
