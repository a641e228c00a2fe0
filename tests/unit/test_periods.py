"""Periods, slices and the business clock, over clock changes and odd calendars."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.calendar import BusinessClock, business_days
from scorecards.definition import Hours, Reporting
from scorecards.periods import (
    Span,
    add_months,
    cut,
    last_complete,
    like_for_like,
    parse_period,
    shifted,
    span_holding,
    year_ago,
)
from scorecards.render.format import get
from scorecards.values import Period

BERLIN = ZoneInfo("Europe/Berlin")
days = st.dates(date(2015, 1, 1), date(2035, 12, 31))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", date(2026, 1, 1), date(2027, 1, 1)),
        ("2026-Q3", date(2026, 7, 1), date(2026, 10, 1)),
        ("2026-12", date(2026, 12, 1), date(2027, 1, 1)),
        ("2026-W53", date(2026, 12, 28), date(2027, 1, 4)),
        ("2026-11-16", date(2026, 11, 16), date(2026, 11, 17)),
        ("2026-11-16..2026-12-01", date(2026, 11, 16), date(2026, 12, 1)),
    ],
)
def test_period_texts(text: str, start: date, end: date) -> None:
    """Every documented form of --period is read as its local days."""
    span = parse_period(text)
    assert (span.start, span.end) == (start, end)


@pytest.mark.parametrize("text", ["2026-13", "2026-02-30", "2027-W53", "soon", "2026-11-16..2026-11-16", ""])
def test_impossible_periods_are_refused(text: str) -> None:
    """An impossible period is named, with the forms that would do."""
    with pytest.raises(ValueError, match="period|ends before"):
        parse_period(text)


def test_a_month_with_a_clock_change_is_cut_at_local_midnights() -> None:
    """October 2026 in Berlin has 745 hours."""
    whole = cut(parse_period("2026-10"), datetime(2026, 12, 1, tzinfo=UTC), BERLIN)
    assert (whole.until - whole.since) / 3600 == 745


def test_a_running_month_is_compared_with_as_many_days() -> None:
    """29 days of March against all 28 of February; a date of the as_of day is not known yet."""
    as_of = datetime(2026, 3, 30, tzinfo=UTC)
    running = cut(parse_period("2026-03"), as_of, ZoneInfo("UTC"))
    before = like_for_like(parse_period("2026-02"), running, as_of, ZoneInfo("UTC"))
    assert running.day_end == date(2026, 3, 30)
    assert before.day_end == date(2026, 3, 1)
    assert not running.complete


@given(days)
def test_shifting_there_and_back_is_nothing(day: date) -> None:
    """A period shifted by n and by -n is itself."""
    for granularity in ("day", "week", "month", "quarter", "year"):
        span = last_complete(datetime(day.year, day.month, day.day, tzinfo=UTC), granularity, Reporting(), BERLIN)
        assert shifted(shifted(span, 7), -7) == span
        assert shifted(span, 1).start == span.end


@given(days, st.integers(-60, 60))
def test_months_are_added_within_the_month(day: date, months: int) -> None:
    """The month is the wanted one, the day never later than it was."""
    moved = add_months(day, months)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == months
    assert moved.day <= day.day


def test_a_week_a_year_ago_has_the_same_weekdays() -> None:
    """Weeks are compared 52 weeks back, not by date."""
    assert year_ago(parse_period("2026-W46")).start.weekday() == 0


def test_week_may_start_on_sunday() -> None:
    """`week_starts` moves the week."""
    span = last_complete(datetime(2026, 11, 18, tzinfo=UTC), "week", Reporting(week_starts=6), ZoneInfo("UTC"))
    assert span == Span(date(2026, 11, 8), date(2026, 11, 15), "week")


@given(st.dates(date(2015, 1, 5), date(2035, 12, 20)), st.integers(0, 6))
def test_a_week_is_asked_for_by_the_name_the_mail_gives_it(day: date, starts: int) -> None:
    """Whatever day it starts on, it is the ISO week of most of its days."""
    reporting = Reporting(week_starts=starts)
    span = span_holding(day, "week", reporting)
    named = get("en-GB", "EUR", "UTC").period(Period(span.start, span.end, "UTC", True), "week")
    most = Counter((span.start + timedelta(n)).isocalendar()[:2] for n in range(7)).most_common(1)[0][0]
    assert parse_period(f"{most[0]}-W{most[1]:02d}", starts) == span
    assert named == f"week {most[1]}"


def test_fiscal_year() -> None:
    """A fiscal year that starts in October."""
    span = last_complete(
        datetime(2026, 11, 18, tzinfo=UTC), "fiscal_year", Reporting(fiscal_year_starts=10), ZoneInfo("UTC")
    )
    assert span.start == date(2025, 10, 1)


HOURS = Hours(
    weekly={0: ((480, 720), (780, 1080)), 1: ((480, 1080),), 4: ((480, 900),), 5: ((0, 1440),)},
    holidays=frozenset({date(2026, 10, 26)}),
    timezone="Europe/Berlin",
)


def _naive(start: int, end: int) -> int:
    """Open minutes counted one by one."""
    if end < start:
        return -_naive(end, start)
    total = 0
    for minute in range(start // 60, end // 60):
        local = datetime.fromtimestamp(minute * 60, UTC).astimezone(BERLIN)
        spans = HOURS.weekly.get(local.weekday(), ()) if local.date() not in HOURS.holidays else ()
        at = local.hour * 60 + local.minute
        total += 60 * any(opens <= at < closes for opens, closes in spans)
    return total


@given(
    st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 3)),
    st.timedeltas(timedelta(days=-4), timedelta(days=9)),
)
def test_business_clock_counts_open_minutes(begin: datetime, length: timedelta) -> None:
    """Over a clock change, a holiday, a lunch break and a full day, forwards and backwards."""
    start = int(begin.replace(tzinfo=UTC).timestamp()) // 60 * 60
    end = start + int(length.total_seconds()) // 60 * 60
    assert BusinessClock(HOURS).seconds(start, end) == _naive(start, end)


@given(st.lists(st.integers(0, 2_000_000_000), min_size=3, max_size=3))
def test_business_clock_adds_up(moments: list[int]) -> None:
    """a to c is a to b and b to c, however far apart, whatever was asked before."""
    a, b, c = sorted(moments)
    clock = BusinessClock(Hours())
    assert clock.seconds(a, b) + clock.seconds(b, c) == clock.seconds(a, c)


def test_business_days_leave_out_weekends_and_holidays() -> None:
    """Only days with hours count."""
    hours = Hours(holidays=frozenset({date(2026, 12, 25)}))
    assert business_days(date(2026, 12, 21), date(2026, 12, 28), hours) == 4
