"""Which stretches of time a KPI is asked for: the one shown, those it is compared with, and its series."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Kpi, Reporting
from scorecards.periods import (
    MONTHS,
    Slice,
    Span,
    add_months,
    cut,
    last_complete,
    like_for_like,
    local_day,
    rolling,
    shifted,
    span_holding,
    year_ago,
)
from scorecards.slots import Granularity
from scorecards.sqlslot import has_periods

POINTS = 13  # periods of a series: a year of months and the month before


@dataclass(frozen=True, slots=True)
class Plan:
    """Slices by their use; one slice may have several."""

    main: Slice
    shows_period: bool  # False: a stock at as_of, or all rows known
    compared: tuple[tuple[str, Slice], ...]
    series: tuple[Slice, ...]
    granularity: Granularity
    own: Granularity  # the period the KPI's goal is of, whichever is asked for
    newest: Span | None = None  # the calendar period its series ends with; None without a series

    def slices(self) -> list[Slice]:
        """Every slice once."""
        return list(dict.fromkeys([self.main, *(c for _, c in self.compared), *self.series]))


def is_stock(kpi: Kpi) -> bool:
    """Taken at an instant rather than over a stretch."""
    return kpi.stock is not None or kpi.filled is not None or (kpi.ratio is not None and kpi.ratio.at is not None)


def plan(
    kpi: Kpi,
    reporting: Reporting,
    *,
    as_of: datetime,
    period: Span | None = None,
    granularity: Granularity | None = None,
) -> Plan:
    """`period` is asked for outright; `granularity` is the scorecard's. Neither: the KPI's own, last complete one."""
    zone = ZoneInfo(reporting.timezone)
    own: Granularity = kpi.period or granularity or kpi.usual_period
    grain: Granularity = (period.granularity if period else None) or own
    if period is None and is_stock(kpi) and granularity is None and kpi.period is None:
        return _stock_now(kpi, reporting, as_of, zone, grain)
    timeless = not is_stock(kpi) and kpi.date is None and kpi.of is not None and kpi.retain is None
    if grain == "all" or timeless:
        everything = cut(span_holding(local_day(as_of, zone), "all", reporting), as_of, zone)
        return Plan(everything, not timeless, (), (), "all", "all" if timeless else own)
    span = period or _shown(kpi, reporting, as_of, zone, grain)
    main = cut(windowed(kpi, span), as_of, zone)
    if kpi.is_only_now or (kpi.sql is not None and not has_periods(kpi.sql)):
        # What the rows were like then, nobody kept: today's values say nothing of an earlier day. No more does a
        # statement that asks for no period.
        return Plan(main, True, (), (), grain, own)
    compared = []
    for against in kpi.compare:
        other = _OTHERS[against](span)
        compared.append((against, like_for_like(windowed(kpi, other), main, as_of, zone)))
    newest = span if main.complete else _before_running(span, main)
    series = [cut(windowed(kpi, shifted(newest, -step)), as_of, zone) for step in reversed(range(POINTS))]
    return Plan(main, True, tuple(compared), tuple(series), grain, own, newest)


def _shown(kpi: Kpi, reporting: Reporting, as_of: datetime, zone: ZoneInfo, grain: Granularity) -> Span:
    if kpi.partial == "to_date":
        return span_holding(local_day(as_of, zone), grain, reporting)
    span = last_complete(as_of, grain, reporting, zone)
    wait = kpi.cohort.within if kpi.cohort else kpi.mature.wait if kpi.mature else None
    while wait is not None and cut(span, as_of, zone).until + wait > int(as_of.timestamp()):
        span = shifted(span, -1)  # the newest cohort whose youngest row has had its time
    return span


def _before_running(span: Span, main: Slice) -> Span:
    """The newest whole period before one that still runs (a series never shows a half one)."""
    before = shifted(span, -1)
    return before if main.span.start < main.day_end or before.end <= main.day_end else shifted(before, -1)


def _period_before(span: Span) -> Span:
    return shifted(span, -1)


def _month_ago(span: Span) -> Span:
    """What ends a month before a period does, as long as it: of a month the one before."""
    if span.granularity in MONTHS:
        return Span(add_months(span.start, -1), add_months(span.end, -1), span.granularity)
    end = add_months(span.end, -1)
    return Span(end - timedelta(span.days), end, span.granularity)


_OTHERS = {"previous": _period_before, "month_ago": _month_ago, "year_ago": year_ago}


def windowed(kpi: Kpi, span: Span) -> Span:
    """What a KPI looks at for a calendar period: that, or its window up to the period's end."""
    return rolling(span, kpi.window) if kpi.window else span


def _stock_now(kpi: Kpi, reporting: Reporting, as_of: datetime, zone: ZoneInfo, grain: Granularity) -> Plan:
    """A stock at as_of itself: compared with one period before, and with a year before."""
    main = instant(as_of, zone)
    if kpi.is_only_now:
        return Plan(main, False, (), (), grain, grain)
    whole = last_complete(as_of, grain, reporting, zone)
    series = [cut(windowed(kpi, shifted(whole, -step)), as_of, zone) for step in reversed(range(POINTS))]
    compared = [(against, instant(moment_before(against, as_of, grain, zone), zone)) for against in kpi.compare]
    return Plan(main, False, tuple(compared), tuple(series), grain, grain, whole)


def moment_before(against: str, moment: datetime, grain: Granularity, zone: ZoneInfo) -> datetime:
    """What a stock at a moment is compared with: the same local time a month, a year or one period before."""
    day = moment.astimezone(zone).date()
    if against == "previous" and grain in ("day", "week"):
        earlier = day - timedelta(1 if grain == "day" else 7)
    else:
        months = {"month_ago": 1, "year_ago": 12}.get(against) or MONTHS.get(grain, 12)
        earlier = add_months(day, -months)
    return datetime.combine(earlier, moment.astimezone(zone).time().replace(tzinfo=None), zone).astimezone(UTC)


def instant(moment: datetime, zone: ZoneInfo) -> Slice:
    """A slice that is only an instant; its flows are those of the local day so far."""
    today, epoch = local_day(moment, zone), int(moment.timestamp())
    whole = cut(Span(today, today + timedelta(1), "day"), moment, zone)
    return Slice(whole.span, whole.since, epoch, today, today, epoch, today, complete=True)
