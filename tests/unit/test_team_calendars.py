"""Hours of single teams: the clock itself, whose hours a row's clock runs by, and what depends on them."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scorecards.calendar import Clocks
from scorecards.catalogue import BUILTINS
from scorecards.definition import Hours, Reporting, build, override
from scorecards.evaluate import evaluate
from scorecards.facts import FACTS, Book, Fact
from scorecards.periods import Span
from scorecards.uses import columns_used
from scorecards.values import KpiResult
from scorecards.version import definition_of
from syncagent import facts
from syncagent.config import load_config
from syncagent.store import open_cache
from syncagent.teams import strangers
from tests.unit.facts.frame import REPORTING, put

DAY = 1440
Weekly = dict[int, tuple[tuple[int, int], ...]]


def naive_seconds(start: int, end: int, hours: Hours) -> int:
    """Open minutes counted one by one by the clock on the wall; both ends are full minutes."""
    if end < start:
        return -naive_seconds(end, start, hours)
    zone, total = ZoneInfo(hours.timezone), 0
    for moment in range(start, end, 60):
        local = datetime.fromtimestamp(moment, zone)
        at = local.hour * 60 + local.minute
        if local.date() not in hours.holidays:
            total += 60 * any(opens <= at < closes for opens, closes in hours.weekly.get(local.weekday(), ()))
    return total


#: Zones with the days around which their clocks change: by an hour, by half of one, at midnight, over it, never.
_CHANGES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),
    "America/Santiago": (date(2026, 4, 5), date(2026, 9, 6)),
    "America/St_Johns": (date(2010, 3, 14), date(2010, 11, 7)),
    "Asia/Kolkata": (date(2026, 5, 1),),
}


@st.composite
def spans(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """One or two stretches of a day, up to all of it; often an hour in which clocks change begins or ends one."""
    marks = st.sampled_from([0, 60, 90, 120, 150, 180, 540, 1080, 1380, DAY]) | st.integers(0, DAY)
    found = sorted(draw(st.sets(marks, min_size=2, max_size=4)))
    pairs = zip(found[::2], found[1::2], strict=False)
    return tuple(pairs)


@st.composite
def working(draw: st.DrawFn) -> tuple[Hours, int, int]:
    """A calendar, and two instants around a change of its clocks."""
    zone = draw(st.sampled_from(sorted(_CHANGES)))
    change = draw(st.sampled_from(_CHANGES[zone]))
    weekly: Weekly = draw(st.dictionaries(st.integers(0, 6), spans(), min_size=1))
    holidays = draw(st.sets(st.integers(-3, 3).map(lambda days: change + timedelta(days))))
    begin = datetime(change.year, change.month, change.day, tzinfo=UTC) + timedelta(
        minutes=draw(st.integers(-3 * DAY, 2 * DAY))
    )
    start = int(begin.timestamp())
    return (
        Hours(weekly=weekly, holidays=frozenset(holidays), timezone=zone),
        start,
        start + 60 * draw(st.integers(-DAY, 4 * DAY)),
    )


@pytest.mark.slow
@given(working())
@settings(max_examples=120)
@example((Hours(weekly={6: ((60, 150),)}, timezone="Europe/Berlin"), 1792875600, 1792882800))  # open at 02:15, twice
def test_a_teams_clock_counts_its_open_minutes(case: tuple[Hours, int, int]) -> None:
    """Whatever clocks do: an hour there twice is open twice, one that never was is not; holidays are closed."""
    hours, start, end = case
    clocks = Clocks(Reporting(calendars={"night": hours}))
    assert clocks.seconds(start, end, "night") == naive_seconds(start, end, hours)
    assert Book(Reporting(calendars={"night": hours})).business(start, end, "night") == clocks.seconds(
        start, end, "night"
    )
    assert clocks.seconds(start, end, "another") == clocks.seconds(start, end) == naive_seconds(start, end, Hours())


@given(working(), st.integers(1, 6))
@settings(max_examples=60)
def test_a_teams_deadline_is_the_end_of_its_nth_working_day(case: tuple[Hours, int, int], days: int) -> None:
    """Days of its own zone with hours and no holiday; counted from the day after the instant's."""
    hours, start, _ = case
    zone = ZoneInfo(hours.timezone)
    day, left = datetime.fromtimestamp(start, zone).date(), days
    while left:
        day += timedelta(1)
        left -= bool(hours.weekly.get(day.weekday())) and day not in hours.holidays
    last = Clocks(Reporting(calendars={"night": hours})).deadline(start, days, "night")
    assert datetime.fromtimestamp(last, zone).date() == day
    assert datetime.fromtimestamp(last + 1, zone).date() > day


# -- whose hours ----------------------------------------------------------------------------------------------

TOKYO = Hours(
    weekly=dict.fromkeys(range(5), ((600, 960),)), holidays=frozenset({date(2026, 10, 12)}), timezone="Asia/Tokyo"
)
NIGHTS = Hours(weekly=dict.fromkeys(range(7), ((0, DAY),)), timezone="America/New_York")
TEAMS = REPORTING.model_copy(update={"calendars": {"Tokyo": TOKYO, "Nights": NIGHTS}})
MONTH = Span(date(2026, 10, 1), date(2026, 11, 1), "month")
AS_OF = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    yield conn
    conn.close()


def asked(conn: sqlite3.Connection, kpi: str, reporting: Reporting = TEAMS, **table: Any) -> KpiResult:
    facts.refresh(conn, reporting)
    changed = override(BUILTINS[kpi], {"n_min": 1, **table})
    return evaluate(conn, changed, {**BUILTINS, kpi: changed}, reporting, as_of=AS_OF, period=MONTH)


def people(conn: sqlite3.Connection) -> None:
    for name, team in (("T", "Tokyo"), ("N", "Nights"), ("B", "Berlin"), ("O", None)):
        put(conn, "users", name, team=team)


def hours_of(team: str | None) -> Hours:
    return {"Tokyo": TOKYO, "Nights": NIGHTS}.get(team or "", REPORTING.hours)


@pytest.mark.parametrize("seed", range(4))
def test_every_row_runs_by_the_hours_of_its_team(cache: sqlite3.Connection, seed: int) -> None:
    """A ticket's own team where the dimension says one, else its owner's; the limit and the mean as counted by hand."""
    people(cache)
    random, teams = Random(seed), {"T": "Tokyo", "N": "Nights", "B": "Berlin", "O": None, None: None, "X": None}
    waits: list[int] = []
    for number in range(40):
        owner = random.choice(list(teams))
        start = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp()) + 60 * random.randrange(29 * DAY)
        end = start + 60 * random.randrange(3 * DAY)
        put(
            cache,
            "tickets",
            f"t{number}",
            owner_id=owner,
            created_at=f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ}",
            first_response_at=f"{datetime.fromtimestamp(end, UTC):%Y-%m-%dT%H:%M:%SZ}",
            custom=f'{{"queue": "{random.choice(["Tokyo", "Nights", "Berlin"])}"}}',
        )
        waits.append(naive_seconds(start, end, hours_of(teams[owner])))
    mean = asked(cache, "first_response_time", params={"stat": "mean"})
    assert mean.value == pytest.approx(sum(waits) / len(waits))
    rate = asked(cache, "first_response_sla_rate", params={"target_seconds": 7200})
    assert (rate.numerator, rate.denominator) == (sum(wait <= 7200 for wait in waits), len(waits))

    queues = TEAMS.model_copy(update={"dimensions": {"team": {"tickets": "custom.queue"}}})
    own = [
        naive_seconds(_at(row[0]), _at(row[1]), hours_of(row[2]))
        for row in cache.execute("SELECT created_at, first_response_at, json_extract(custom, '$.queue') FROM tickets")
    ]
    found = asked(cache, "first_response_time", queues, params={"stat": "mean"})
    assert found.value == pytest.approx(sum(own) / len(own))


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_an_answer_waits_by_the_hours_of_the_team_of_its_ticket(cache: sqlite3.Connection) -> None:
    """A response the desk gave in no time of its own is quick; a low answer is followed up by its working days."""
    people(cache)
    for id_, owner in (("t", "T"), ("b", "B")):
        # Friday 02:00 UTC is 11:00 in Tokyo; the whole morning there passes before Berlin opens.
        put(cache, "tickets", id_, owner_id=owner, created_at="2026-10-09T02:00:00Z", contact_id=f"c{id_}",
            first_response_at="2026-10-09T06:00:00Z")  # fmt: skip
        put(cache, "contacts", f"c{id_}")
        put(cache, "survey_responses", f"r{id_}", survey_type="csat", score=1, scale_min=1, scale_max=5,
            responded_at="2026-10-09T16:00:00Z", ticket_id=id_, contact_id=f"c{id_}")  # fmt: skip
        # Monday the 12th is a holiday in Tokyo, where it was Saturday already: day one is Tuesday.
        put(cache, "activities", f"a{id_}", type="call", direction="outbound", status="completed",
            occurred_at="2026-10-13T23:00:00Z", contact_id=f"c{id_}")  # fmt: skip
    fast = asked(cache, "fast_but_dissatisfied_rate", params={"target_seconds": 3600})
    assert (fast.numerator, fast.denominator) == (1, 1)  # Berlin's alone: 0 of its seconds; Tokyo's took 4 h
    one_day = {"followup_business_days": 2}
    assert asked(cache, "detractor_followup_rate", params=one_day).numerator == 1
    shared = asked(cache, "detractor_followup_rate", REPORTING, params=one_day)
    assert shared.numerator == 0  # by everybody's days both are late


def test_a_teams_goal_passes_by_its_working_days(cache: sqlite3.Connection) -> None:
    """A segment's own target is expected in proportion to the days that team works."""
    people(cache)
    only_late = Hours(weekly={0: ((540, 1080),)}, holidays=frozenset(), timezone="Europe/Berlin")
    reporting = REPORTING.model_copy(
        update={"calendars": {"Tokyo": only_late}, "dimensions": {"team": {"tickets": "owner.team"}}}
    )
    for number, owner in enumerate("TTNN"):
        put(cache, "tickets", f"t{number}", owner_id=owner, created_at="2026-10-05T10:00:00Z")
    facts.refresh(cache, reporting)
    goal = {"want": "up", "value": 8, "team": {"Tokyo": 8, "Nights": 8}}
    kpi = build("k", {"of": "tickets", "date": "created_at", "by": "team", "period": "month", "target": goal})
    october = Span(date(2026, 10, 1), date(2026, 11, 1), "month")
    asked_on = datetime(2026, 10, 9, 22, tzinfo=UTC)  # 7 of 22 working days; for Tokyo 1 Monday of 4
    found = evaluate(cache, kpi, {"k": kpi}, reporting, as_of=asked_on, period=october, by=("team",))
    assert {one.segment: one.verdict for one in found.segments} == {"Tokyo": "green", "Nights": "red"}


# -- what follows from a change of them -----------------------------------------------------------------------


def test_a_changed_calendar_rebuilds_only_what_uses_it(cache: sqlite3.Connection) -> None:
    put(cache, "leads", "L", created_at="2026-01-01T00:00:00Z")
    put(cache, "tickets", "T", created_at="2026-01-01T00:00:00Z")
    timed: Mapping[str, Fact] = {
        kind: replace(fact, uses=("hours", "calendars")) if kind == "tickets" else fact for kind, fact in FACTS.items()
    }
    facts.refresh(cache, REPORTING, facts=timed)
    assert facts.refresh(cache, TEAMS, facts=timed) == 1
    assert facts.refresh(cache, TEAMS.model_copy(deep=True), facts=timed) == 0


def test_a_value_by_other_calendars_is_another_definition() -> None:
    kpi = BUILTINS["first_response_time"]
    hashes = {
        definition_of(kpi, BUILTINS, one)
        for one in (
            REPORTING,
            TEAMS,
            REPORTING.model_copy(update={"calendars": {"Tokyo": NIGHTS}}),
            TEAMS.model_copy(update={"dimensions": {"team": {"tickets": "custom.queue"}}}),
        )
    }
    assert len(hashes) == 4


def test_the_team_is_among_the_columns_a_clock_is_read_from() -> None:
    """So that a field that vanishes in the CRM is told with what it feeds."""
    kpi = BUILTINS["first_response_time"]
    assert {("users", "team"), ("tickets", "owner_id")} <= columns_used(kpi, BUILTINS, TEAMS)
    assert ("users", "team") not in columns_used(kpi, BUILTINS, REPORTING)
    queues = TEAMS.model_copy(update={"dimensions": {"team": {"tickets": "custom.queue"}}})
    assert ("tickets", "custom.queue") in columns_used(kpi, BUILTINS, queues)


# -- the configuration ----------------------------------------------------------------------------------------

CONFIG = """
[agent]
timezone = "Europe/Berlin"
[calendar]
holidays = [2026-12-25]
business_hours = { days = ["mon"], from = 09:00:00, to = 17:00:00 }
[calendar.Tokyo]
timezone = "Asia/Tokyo"
holidays = "JP"
[calendar.late]
teams = ["EMEA Support", "EMEA Sales"]
business_hours = { weekly = { tue = ["12:00", "24:00"] } }
"""


def test_what_a_team_does_not_say_is_as_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    reporting = load_config(path, environ={}).reporting()
    assert set(reporting.calendars) == {"Tokyo", "EMEA Support", "EMEA Sales"}
    tokyo, late = reporting.calendars["Tokyo"], reporting.calendars["EMEA Sales"]
    assert (tokyo.timezone, tokyo.weekly) == ("Asia/Tokyo", {0: ((540, 1020),)})
    assert date(2026, 1, 1) in tokyo.holidays  # New Year's Day in Japan
    assert date(2026, 12, 25) not in tokyo.holidays
    assert (late.timezone, late.weekly) == ("Europe/Berlin", {1: ((720, 1440),)})
    assert late.holidays == {date(2026, 12, 25)}
    assert reporting.hours_of("nobody's") == reporting.hours_of(None) == reporting.hours


def test_teams_nobody_is_in_are_named(tmp_path: Path, cache: sqlite3.Connection) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    config = load_config(path, environ={})
    assert list(strangers(config, cache)) == []  # nothing was read yet
    put(cache, "users", "u")
    mend = 'Nobody is in a team: map one, [source.NAME.fields.users] team = "FIELD".'
    assert next(strangers(config, cache)) == f"[calendar.Tokyo]: no team uses it. {mend}"
    people(cache)
    put(cache, "users", "s", team="EMEA Support")
    assert list(strangers(config, cache)) == [
        "[calendar.late] teams: nobody is in EMEA Sales. Teams are Berlin, EMEA Support, Nights, Tokyo."
    ]
    put(cache, "users", "T", team="Tokio")
    path.write_text(f'{CONFIG}\n[dimension]\nteam = {{ tickets = "custom.queue" }}', encoding="utf-8")
    config = load_config(path, environ={})
    tokyo, _ = strangers(config, cache)
    assert tokyo == '[calendar.Tokyo]: no team uses it. Did you mean "Tokio"?'
    put(cache, "tickets", "t", custom='{"queue": "Tokyo"}')
    put(cache, "tickets", "t2", custom='{"queue": "EMEA Sales"}')
    assert list(strangers(config, cache)) == []
