"""Calendar periods and the slices of time a KPI is computed over: pure functions of dates and a time zone.

A period is local days [start, end). A slice adds what was known at as_of: instants count below `until`, dates
below `day_end` (a date counts once its local day is over), stocks are taken at `at` = min(end, as_of).
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Reporting
from scorecards.slots import Granularity
from scorecards.values import Period

FIRST_DAY = date(1, 1, 1)
LAST_DAY = date(9999, 12, 31)
#: Instants before and after everything, as epoch seconds (0001-01-01 and 9999-12-31 in UTC).
FOREVER_AGO, FOREVER = -62135596800, 253402214400
#: Months of a granularity made of them.
MONTHS = {"month": 1, "quarter": 3, "year": 12, "fiscal_quarter": 3, "fiscal_year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """Local days [start, end), and the granularity it is one of (None: any other range)."""

    start: date
    end: date
    granularity: Granularity | None = None

    @property
    def days(self) -> int:
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True)
class Slice:
    """A span cut at what was known: instants in epoch seconds [since, until), dates [day_start, day_end)."""

    span: Span
    since: int
    until: int
    day_start: date
    day_end: date
    at: int  # a stock's instant
    at_day: date  # the local date of `at`
    complete: bool

    def period(self, zone: str) -> Period:
        return Period(self.span.start, self.span.end, zone, self.complete)


def midnight(day: date, zone: ZoneInfo) -> int:
    """The epoch second a local day begins at; where midnight does not exist, the first instant after the gap."""
    if day <= FIRST_DAY:
        return FOREVER_AGO
    if day >= LAST_DAY:
        return FOREVER
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp())


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def add_months(day: date, months: int) -> date:
    """The same day of another month, clipped to that month's end."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    if not 1 <= year <= 9999:
        return FIRST_DAY if year < 1 else LAST_DAY
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def span_holding(day: date, granularity: Granularity, reporting: Reporting) -> Span:
    """The calendar period a day falls in."""
    if granularity == "day":
        return Span(day, day + timedelta(1), granularity)
    if granularity == "week":
        start = day - timedelta((day.weekday() - reporting.week_starts) % 7)
        return Span(start, start + timedelta(7), granularity)
    if granularity == "all":
        return Span(FIRST_DAY, LAST_DAY, granularity)
    months = MONTHS[granularity]
    offset = reporting.fiscal_year_starts - 1 if granularity.startswith("fiscal") else 0
    start = date(day.year, day.month, 1)
    start = add_months(start, -((start.month - 1 - offset) % months))
    return Span(start, add_months(start, months), granularity)


def shifted(span: Span, steps: int) -> Span:
    """The period `steps` later (earlier when negative); any other range moves by its own number of days."""
    if span.granularity == "all" or steps == 0:
        return span
    if span.granularity in MONTHS:
        months = MONTHS[span.granularity] * steps
        return Span(add_months(span.start, months), add_months(span.end, months), span.granularity)
    move = timedelta(span.days * steps)
    return Span(span.start + move, span.end + move, span.granularity)


def year_ago(span: Span) -> Span:
    """The like period a year before: the same dates; a week the same weekdays 52 weeks earlier."""
    if span.granularity == "week":
        return shifted(span, -52)
    if span.granularity == "all":
        return span
    return Span(add_months(span.start, -12), add_months(span.end, -12), span.granularity)


def last_complete(as_of: datetime, granularity: Granularity, reporting: Reporting, zone: ZoneInfo) -> Span:
    """The newest period that is over at as_of."""
    running = span_holding(local_day(as_of, zone), granularity, reporting)
    return running if granularity == "all" else shifted(running, -1)


def rolling(span: Span, window_s: int) -> Span:
    """The stretch of whole days that ends where `span` ends."""
    return Span(span.end - timedelta(max(1, window_s // 86400)), span.end)


def cut(span: Span, as_of: datetime, zone: ZoneInfo) -> Slice:
    """A span with what was known at as_of."""
    now, today = int(as_of.timestamp()), local_day(as_of, zone)
    since, end = midnight(span.start, zone), midnight(span.end, zone)
    until = min(end, now)
    at_day = span.end if end <= now else today
    complete = end <= now or span.granularity == "all"
    return Slice(span, since, until, span.start, min(span.end, today), until, at_day, complete)


def like_for_like(other: Span, running: Slice, as_of: datetime, zone: ZoneInfo) -> Slice:
    """An earlier period cut after as much time as has passed of the running one, clipped to its own end (G13)."""
    whole = cut(other, as_of, zone)
    if running.complete:
        return whole
    days = max(0, (running.day_end - running.span.start).days)
    day_end = min(other.start + timedelta(days), whole.day_end)
    local = as_of.astimezone(zone)
    elapsed = (local.date() - running.span.start).days
    mark = datetime.combine(other.start + timedelta(elapsed), local.time().replace(tzinfo=None), zone)
    until = min(int(mark.astimezone(UTC).timestamp()), whole.until)
    at_day = min(other.start + timedelta(elapsed), other.end)
    return Slice(other, whole.since, until, other.start, day_end, until, at_day, complete=False)


_FORMS = (
    (re.compile(r"^(\d{4})$"), "year"),
    (re.compile(r"^(\d{4})-Q([1-4])$"), "quarter"),
    (re.compile(r"^(\d{4})-(\d{2})$"), "month"),
    (re.compile(r"^(\d{4})-W(\d{2})$"), "week"),
    (re.compile(r"^(\d{4})-(\d{2})-(\d{2})$"), "day"),
)
PERIOD_HELP = 'Write "all", "2026", "2026-Q3", "2026-10", "2026-W46", "2026-11-16" or "START..END".'


def parse_period(text: str, week_starts: int = 0) -> Span:
    """Read a `--period`. Raises ValueError with a plain sentence.

    A week that starts on another day than Monday (0) is the ISO week of most of its days, as mails name it.
    """
    if text == "all":
        return Span(FIRST_DAY, LAST_DAY, "all")
    try:
        if ".." in text:
            start, end = (date.fromisoformat(part.strip()) for part in text.split("..", 1))
            if end <= start:
                raise ValueError(f"{text!r} ends before it starts: the end is the first day left out.")
            return Span(start, end)
        for pattern, kind in _FORMS:
            found = pattern.match(text)
            if not found:
                continue
            year, *rest = (int(part) for part in found.groups())
            if kind == "year":
                return Span(date(year, 1, 1), date(year + 1, 1, 1), "year")
            if kind == "quarter":
                start = date(year, rest[0] * 3 - 2, 1)
                return Span(start, add_months(start, 3), "quarter")
            if kind == "month":
                start = date(year, rest[0], 1)
                return Span(start, add_months(start, 1), "month")
            if kind == "week":
                start = date.fromisocalendar(year, rest[0], 1) + timedelta((week_starts + 3) % 7 - 3)
                return Span(start, start + timedelta(7), "week")
            start = date(year, rest[0], rest[1])
            return Span(start, start + timedelta(1), "day")
    except ValueError as error:
        reason = str(error)
        if "ends before" in reason:
            raise
        raise ValueError(f"{text!r} is not a period: no such date. {PERIOD_HELP}") from error
    raise ValueError(f"{text!r} is not a period. {PERIOD_HELP}")
