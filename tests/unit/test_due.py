"""When a scorecard is due: every form, every clock change, every date exactly once."""

import itertools
import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.due import Schedule, instant_of, parse_cron, parse_send

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Tehran",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/St_Johns",
    "Africa/Casablanca",
    "Asia/Gaza",
)


def local(
    expression: str, start: str, end: str, zone: str = "Europe/Berlin", holidays: frozenset[date] = frozenset()
) -> list[str]:
    """Due times from start up to end, both local, as local text."""
    area = ZoneInfo(zone)
    since, until = (datetime.fromisoformat(text).replace(tzinfo=area) for text in (start, end))
    dues = parse_send(expression).due_between(since, until, area, holidays)
    return [f"{due.astimezone(area):%a %Y-%m-%d %H:%M}" for due in dues]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("monday 08:00", ["Mon 2026-11-02 08:00", "Mon 2026-11-09 08:00"]),
        ("Mon 08:00", ["Mon 2026-11-02 08:00", "Mon 2026-11-09 08:00"]),
        ("weekdays 7:30", [f"{d} 07:30" for d in ("Mon 2026-11-02", "Tue 2026-11-03", "Wed 2026-11-04")]),
        ("daily 07:30", [f"{d} 07:30" for d in ("Sun 2026-11-01", "Mon 2026-11-02", "Tue 2026-11-03")]),
        ("monday, thursday 08:00", ["Mon 2026-11-02 08:00", "Thu 2026-11-05 08:00", "Mon 2026-11-09 08:00"]),
        ("day 1 of month 06:00", ["Sun 2026-11-01 06:00", "Tue 2026-12-01 06:00"]),
        ("last day of month 18:00", ["Sat 2026-10-31 18:00", "Mon 2026-11-30 18:00"]),
        ("working day 2 of month 08:00", ["Tue 2026-11-03 08:00", "Wed 2026-12-02 08:00"]),
    ],
)
def test_every_form_of_the_interface(expression: str, expected: list[str]) -> None:
    assert local(expression, "2026-10-31T12:00", "2026-12-31T00:00")[: len(expected)] == expected


@pytest.mark.parametrize(
    ("expression", "period"),
    [
        ("monday 08:00", "week"),
        ("monday,thursday 08:00", "week"),
        ("daily 07:30", "day"),
        ("weekdays 08:00", "day"),
        ("day 1 of month 06:00", "month"),
        ("last day of month 18:00", "month"),
        ("working day 2 of month 08:00", "month"),
    ],
)
def test_the_period_follows_the_schedule(expression: str, period: str) -> None:
    assert parse_send(expression).default_period == period


@pytest.mark.parametrize(
    ("cron", "period"),
    [
        ("0 8 * * 1", "week"),
        ("0 8 * * 1-5", "day"),
        ("30 7 * * *", "day"),
        ("0 6 1 * *", "month"),
        ("0 8 * * 0,7", "week"),
    ],
)
def test_the_period_follows_cron_too(cron: str, period: str) -> None:
    assert parse_cron(cron).default_period == period


def test_a_due_time_belongs_to_the_interval_that_ends_with_it() -> None:
    assert local("daily 08:00", "2026-11-02T08:00", "2026-11-03T08:00") == ["Tue 2026-11-03 08:00"]


def test_working_days_leave_out_holidays_and_closed_weekdays() -> None:
    holidays = frozenset({date(2027, 1, 1), date(2027, 1, 6)})
    expression, start, end = "working day 3 of month 08:00", "2027-01-01T00:00", "2027-01-31T00:00"
    assert local(expression, start, end, holidays=holidays) == [
        "Wed 2027-01-06 08:00".replace("Wed", "Thu").replace("06", "07")
    ]
    area = ZoneInfo("Asia/Dubai")
    since, until = datetime(2027, 1, 1, tzinfo=area), datetime(2027, 1, 31, tzinfo=area)
    [due] = parse_send("working day 1 of month 08:00").due_between(since, until, area, (), {6, 0, 1, 2, 3})
    assert due.astimezone(area).date() == date(2027, 1, 3)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("mondy 08:00", 'did you mean "monday"?'),
        ("monday", "has no time of day"),
        ("monday 8", "has no time of day"),
        ("monday 24:00", "is not a time of day"),
        ("day 31 of month 06:00", '"last day of month 06:00"'),
        ("day 0 of month 06:00", "day 0 is not in every month"),
        ("working day 23 of month 06:00", "working day 1 to 15"),
        ("every monday 08:00", "is not a time to send"),
        ("", "has no time of day"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_mend(expression: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_send(expression)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 0 31 2 *", "can be due"),
        ("0 0 31 4,6,9,11 *", "can be due"),
        ("61 * * * *", "Bad minute"),
        ("0 8 * *", "five fields"),
        ("0 0 8 * * 1", "five fields"),
        ("@daily", "five fields"),
    ],
)
def test_an_impossible_cron_is_refused(expression: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_cron(expression)


def test_the_29th_of_february_is_possible() -> None:
    found = parse_cron("0 8 29 2 *").upcoming(datetime(2026, 1, 1, tzinfo=UTC), 2, ZoneInfo("UTC"))
    assert [due.date() for due in found] == [date(2028, 2, 29), date(2032, 2, 29)]


def test_numeric_weekdays_are_crons() -> None:
    """APScheduler reads 1-5 as tuesday to saturday."""
    area = ZoneInfo("Europe/Berlin")
    found = parse_cron("0 8 * * 1-5").upcoming(datetime(2026, 11, 1, tzinfo=area), 5, area)
    assert [due.astimezone(area).weekday() for due in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("zone", "day", "at", "expected"),
    [
        ("Europe/Paris", "2026-10-25", "02:30", "2026-10-25T00:30"),
        ("Europe/Paris", "2027-03-28", "02:30", "2027-03-28T01:00"),
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30"),
        ("America/New_York", "2027-03-14", "02:30", "2027-03-14T07:00"),
        ("Europe/Berlin", "2027-03-28", "02:00", "2027-03-28T01:00"),
        ("Africa/Cairo", "2027-04-30", "00:00", "2027-04-29T22:00"),
    ],
)
def test_a_local_time_around_a_clock_change_is_due_once(zone: str, day: str, at: str, expected: str) -> None:
    """By words and by cron alike (the vectors of the clock changes)."""
    area, wanted = ZoneInfo(zone), datetime.fromisoformat(expected).replace(tzinfo=UTC)
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=area)
    hour, minute = at.split(":")
    for schedule in (parse_send(f"daily {at}"), parse_cron(f"{int(minute)} {int(hour)} * * *")):
        found = schedule.due_between(noon - timedelta(hours=18), noon, area)
        assert [due for due in found if due.astimezone(area).date().isoformat() == day] == [wanted]


@pytest.mark.parametrize("cron", ["0 0 1 * *", "30 0 1 * *"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Europe/London"])
def test_no_april_is_lost(zone: str, cron: str) -> None:
    area = ZoneInfo(zone)
    start, end = datetime(2024, 1, 1, tzinfo=area), datetime(2035, 12, 31, tzinfo=area)
    months = {due.astimezone(area).strftime("%Y-%m") for due in parse_cron(cron).due_between(start, end, area)}
    assert len(months | {"2024-01"}) == 144


def test_half_hours_go_on_through_the_repeated_hour() -> None:
    area = ZoneInfo("Europe/Berlin")
    start, end = datetime(2026, 10, 24, 23, 59, tzinfo=UTC), datetime(2026, 10, 25, 2, tzinfo=UTC)
    found = parse_cron("*/30 * * * *").due_between(start, end, area)
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {timedelta(minutes=30)}


@pytest.mark.parametrize("zone", ZONES)
def test_every_date_is_due_exactly_once(zone: str) -> None:
    """16 daily times from 00:00 to 03:45 over two years, enumerated in ticks of uneven length."""
    area = ZoneInfo(zone)
    start, end = datetime(2026, 1, 1, 12, tzinfo=area), datetime(2028, 1, 1, 12, tzinfo=area)
    dates = [date(2026, 1, 2) + timedelta(days=n) for n in range(730)]
    for quarter in range(16):
        schedule = Schedule("", "weekly", time(quarter // 4, quarter % 4 * 15), frozenset(range(7)))
        assert [due.astimezone(area).date() for due in schedule.due_between(start, end, area)] == dates


@settings(max_examples=60)
@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from(
        ["daily 02:30", "monday,sunday 00:15", "day 28 of month 01:00", "last day of month 23:59"]
    ),
    start=st.integers(0, 730 * 86400),
    steps=st.lists(st.integers(1, 40 * 86400), max_size=8),
)
def test_ticks_of_any_length_find_the_same_due_times(zone: str, expression: str, start: int, steps: list[int]) -> None:
    area, schedule = ZoneInfo(zone), parse_send(expression)
    marks = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start)]
    for step in steps:
        marks.append(marks[-1] + timedelta(seconds=step))
    in_ticks = [due for a, b in itertools.pairwise(marks) for due in schedule.due_between(a, b, area)]
    assert in_ticks == schedule.due_between(marks[0], marks[-1], area)


@settings(max_examples=100)
@given(zone=st.sampled_from(ZONES), moment=st.integers(0, 5 * 366 * 86400))
def test_a_local_time_reads_back_as_itself_or_as_the_end_of_its_gap(zone: str, moment: int) -> None:
    area, asked = ZoneInfo(zone), datetime.fromisoformat("2025-01-01") + timedelta(seconds=moment)
    back = instant_of(asked, area).astimezone(area).replace(tzinfo=None)
    assert back == asked or (back > asked and back - asked <= timedelta(hours=1))


def test_latest_and_upcoming_meet_at_now() -> None:
    area, now = ZoneInfo("Europe/Berlin"), datetime(2026, 11, 2, 7, tzinfo=UTC)
    schedule = parse_send("monday 08:00")
    assert schedule.latest(now, area) == now
    assert schedule.upcoming(now, 1, area) == [now + timedelta(days=7)]
    assert parse_send("last day of month 18:00").latest(now, area) == datetime(2026, 10, 31, 17, tzinfo=UTC)


def test_a_month_of_minutes_is_enumerated_quickly() -> None:
    area = ZoneInfo("Europe/Berlin")
    end = datetime(2026, 11, 2, tzinfo=UTC)
    assert len(parse_cron("* * * * *").due_between(end - timedelta(days=7), end, area)) == 7 * 1440
