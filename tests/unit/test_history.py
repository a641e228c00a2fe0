"""The past a KPI is judged by: how far back, from where, told anew by what, and the same for readers and `backtest`."""

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, Reporting, build
from scorecards.evaluate import Evaluator
from scorecards.periods import Span, add_months, shifted, span_holding
from scorecards.plan import plan
from scorecards.render.format import get
from scorecards.render.rows import usual_words
from scorecards.signal.chart import judge
from scorecards.signal.history import Past, bounds_of, many, newest_signal, past_of
from scorecards.slots import Granularity
from scorecards.values import Point, Signal
from scorecards.version import definition_of
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

# -- a naive reading of the rules -----------------------------------------------------------------------------


def naive(points: list[float | None], declared: dict[int, str], floor: float | None) -> list[tuple[str, set[int], int]]:
    """(result, rules, era) of each point: docs/definitions.md read aloud, every point from scratch."""
    said: list[tuple[str, set[int], int]] = []
    start, least, usual, lock = 0, 0.0, None, 24
    for now, value in enumerate(points):
        if now in declared and now > start:
            start, least, usual, lock = now, 0.0, None, 24
        earlier = points[start:now]
        known = [p for p in earlier if p is not None]
        if value is None or len(known) + 1 < 6:
            said.append(("too_few_points", set(), start))
            continue
        if usual is None or len(known) <= lock:
            usual = naive_limits(earlier, lock, least)
        if usual is None:
            lock = len(known) + 24 if len(known) >= 24 else 24
            said.append(("too_few_points", set(), start))
            continue
        middle, width, low, high, jump = usual
        rules = set()
        if value > high or (value < low and (floor is None or low >= floor)):
            rules.add(1)
        before = points[now - 1] if now > start else None
        jumped = before is not None and abs(value - before) > jump
        way_back = bool(said) and 1 in said[-1][1] and low <= value <= high
        if jumped and not way_back:
            rules.add(1)
        if len(known) + 1 >= 12:
            eight = points[max(start, now - 7) : now + 1]
            if len(eight) == 8 and None not in eight:
                sides = {(p > middle) - (p < middle) for p in eight if p is not None}
                if sides in ({1}, {-1}):
                    rules.add(2)
            four = points[max(start, now - 3) : now + 1]
            if len(four) == 4 and value != middle:
                up = value > middle
                far = [p is not None and ((p - middle) if up else (middle - p)) > 1.33 * width for p in four]
                if far[3] and sum(far) >= 3:
                    rules.add(3)
        result = "none" if not rules else "signal" if len(known) + 1 >= 12 else "possible"
        said.append((result, rules, start))
        if 2 in rules:
            start, least, usual, lock = now - 7, width, None, 24
    return said


def naive_limits(
    earlier: list[float | None], lock: int, least: float
) -> tuple[float, float, float, float, float] | None:
    """(middle, mean range, lower, upper, most between neighbours) of the first `lock` values; None without a width."""
    while sum(p is not None for p in earlier) > lock:
        earlier = earlier[:-1]
    known = [p for p in earlier if p is not None]
    steps = [abs(b - a) for a, b in pairwise(earlier) if a is not None and b is not None]
    middle, width = sum(known) / len(known), sum(steps) / len(steps) if steps else 0.0
    by, most = 2.66, 3.268
    if steps and max(steps) > 3.5 * width and median(steps) > 0:
        middle, width, by, most = median(known), median(steps), 3.145, 3.865
    if width < least:
        width, by, most = least, 2.66, 3.268
    if width <= 0:
        return None
    return middle, width, middle - by * width, middle + by * width, most * width


LEVELS = st.lists(
    st.tuples(st.integers(0, 40), st.lists(st.one_of(st.none(), st.integers(0, 8)), max_size=30)), max_size=4
)


@given(LEVELS, st.dictionaries(st.integers(1, 80), st.just("declared"), max_size=3), st.sampled_from([None, 0.0]))
def test_the_signal_is_what_a_plain_reading_of_the_rules_says(
    levels: list[tuple[int, list[int | None]]], declared: dict[int, str], floor: float | None
) -> None:
    """Stretches at levels of their own, small whole numbers so that many are equal, with gaps."""
    points = [None if p is None else float(level + p) for level, part in levels for p in part]
    wanted = naive(points, declared, floor)
    for place, (result, rules, era) in enumerate(wanted):
        found = judge(points[: place + 1], floor=floor, declared=declared)
        if points[place] is None or sum(p is not None for p in points[: place + 1]) < 6:
            assert found.signal.result == "too_few_points"
            continue
        assert (found.signal.result, set(found.signal.rules), found.era) == (result, rules, era)


# -- how far back ---------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["day", "week", "month", "quarter", "fiscal_quarter", "year"]),
    st.dates(date(1995, 1, 1), date(2060, 1, 1)),
    st.sampled_from([(105, 52), (37, 12), (92, 91), (25, 12)]),
)
def test_the_first_period_stays_the_same_for_a_whole_step(
    grain: Granularity, day: date, reach: tuple[int, int]
) -> None:
    """From one period to the next the past is one longer, and once in a step a step shorter."""
    reporting = Reporting(fiscal_year_starts=4)
    span = span_holding(day, grain, reporting)
    lengths = [many(shifted(span, step), reach) for step in range(reach[1] + 1)]
    assert all(reach[0] <= length < sum(reach) for length in lengths)
    steps = [after - before for before, after in pairwise(lengths)]
    assert sorted(steps) == [1 - reach[1], *[1] * (reach[1] - 1)]


# -- of rows --------------------------------------------------------------------------------------------------

OWN: dict[str, dict[str, Any]] = {
    "made": {"of": "opportunities", "date": "created_at"},
    "made_weekly": {"of": "opportunities", "date": "created_at", "period": "week"},
    "still_open": {"of": "opportunities", "stock": {"opens": "created_at", "closes": "outcome_date"}},
    "rolling": {"of": "opportunities", "date": "created_at", "period": "week", "window": "28d"},
    "won_share": {"of": "opportunities", "date": "created_at", "share": {"is_won": True}, "n_min": 1},
    "per_won": {"ratio": {"top": "made", "bottom": "won"}, "n_min": 1},
    "won": {"of": "opportunities", "date": "created_at", "where": {"is_won": True}},
    "large": {"of": "opportunities", "date": "created_at", "where": {"pipeline": "large"}},
    "asked": {"sql": "SELECT COUNT(*) AS value FROM opportunities WHERE created_at >= :start AND created_at < :end"},
}  # fmt: skip
KPIS: dict[str, Kpi] = {**BUILTINS, **{name: build(name, table) for name, table in OWN.items()}}
FIRST = date(2022, 3, 7)
WEEKS = 190  # up to 25 October 2025


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """Deals of three and a half years: more from the summer of 2024 on, and most of all in Decembers."""
    conn = open_cache(tmp_path_factory.mktemp("past"))
    chance, number = random.Random(5), 0
    for week in range(WEEKS):
        monday = FIRST + timedelta(weeks=week)
        count = chance.randint(2, 5) + (4 if monday >= date(2024, 7, 1) else 0) + (6 if monday.month == 12 else 0)
        for _ in range(count):
            day, number = monday + timedelta(chance.randrange(7)), number + 1
            pipeline = "large" if chance.random() < 0.02 else "usual"
            state = chance.choice(["won", "lost", "open"])
            closed = None if state == "open" else (day + timedelta(chance.randrange(20))).isoformat()
            put(
                conn, "opportunities", f"D {number}", state=state, close_date=closed, currency="EUR",
                created_at=f"{day}T10:00:00Z", pipeline=pipeline,
            )  # fmt: skip
    facts.refresh(conn, REPORTING)
    yield conn
    conn.close()


def shown(cache: sqlite3.Connection, kpi: Kpi, day: date) -> Any:
    as_of = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    return Evaluator(cache, {**KPIS, kpi.id: kpi}, REPORTING, as_of=as_of).evaluate(kpi)


def backtested(cache: sqlite3.Connection, kpi: Kpi, day: date, count: int) -> list[Signal]:
    as_of = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    evaluator = Evaluator(cache, {**KPIS, kpi.id: kpi}, REPORTING, as_of=as_of)
    newest = plan(kpi, REPORTING, as_of=as_of).newest
    assert newest is not None
    past = past_of(evaluator, kpi, newest, shown=count)
    return [past.signal(place) for place in range(len(past.points) - count, len(past.points))]


TODAY = date(2025, 10, 27)


@pytest.mark.parametrize("name", sorted(OWN))
def test_a_backtest_says_last_what_the_scorecard_says(cache: sqlite3.Connection, name: str) -> None:
    """On the same day, of the same KPI; and of each period before what was said on its day."""
    found = backtested(cache, KPIS[name], TODAY, 2 if KPIS[name].sql else 6)  # a statement is a process each time
    assert found[-1] == shown(cache, KPIS[name], TODAY).signal
    step = 7 if KPIS[name].period == "week" else 0
    for back, said in enumerate(reversed(found)):
        day = TODAY - timedelta(step * back) if step else add_months(TODAY, -back)
        if KPIS[name].stock is None:  # what was open then may be known otherwise now
            assert said == shown(cache, KPIS[name], day).signal


def test_the_series_shows_13_points_and_the_signal_knows_more(cache: sqlite3.Connection) -> None:
    """A shift of 15 months ago is in nobody's series; the usual range of today begins with it all the same."""
    found = shown(cache, KPIS["made"], TODAY)
    assert len(found.series) == 13
    assert found.signal.because == "8 in a row"
    assert found.signal.since < found.series[0].start


def test_limits_stand_still_from_one_week_to_the_next(cache: sqlite3.Connection) -> None:
    """Without a shift the mean and the limits of 12 weeks are those of one locked baseline."""
    weekly = KPIS["made_weekly"]
    found = [shown(cache, weekly, date(2023, 9, 4) + timedelta(weeks=week)).signal for week in range(12)]
    assert len({(signal.mean, signal.lower, signal.upper, signal.since) for signal in found}) == 1
    assert found[0].since < date(2023, 6, 1)


@pytest.mark.parametrize(("name", "least"), [("made", 37), ("won_share", 37), ("rows_stored", 13), ("is_repeat", 13)])
def test_what_nobody_keeps_is_judged_by_a_shorter_past(cache: sqlite3.Connection, name: str, least: int) -> None:
    """The agent's own runs, which nothing watches, and what looks at other rows: computed anew each time."""
    repeat = build("is_repeat", {"of": "opportunities", "date": "created_at", "where": {"is_repeat": True}})
    kpis = {**KPIS, "is_repeat": repeat}
    newest = plan(kpis[name], REPORTING, as_of=datetime(2025, 10, 27, 6, tzinfo=UTC)).newest
    assert newest is not None
    evaluator = Evaluator(cache, kpis, REPORTING, as_of=datetime(2025, 10, 27, 6, tzinfo=UTC))
    assert least <= len(past_of(evaluator, kpis[name], newest).points) < least + 12


def test_a_declared_change_begins_a_usual_range(cache: sqlite3.Connection) -> None:
    """From the month the day is in; what the mail says of it names the change. It changes no value."""
    changed = build("made", {**OWN["made"], "changes": [{"at": date(2024, 12, 15), "reason": "a new price list"}]})
    found = shown(cache, changed, TODAY)
    assert (found.signal.since, found.signal.because) == (date(2024, 12, 1), "a new price list")
    assert found.signal.points == 10
    words = usual_words(found, get("en-GB", "EUR", "UTC"))
    assert words.startswith("usual range ")
    assert words.endswith(" since 1 Dec 2024 (a new price list)")
    assert found.to_json()["signal"]["because"] == "a new price list"
    assert found.to_json()["signal"]["since"] == "2024-12-01"
    assert definition_of(changed, KPIS, REPORTING) == definition_of(KPIS["made"], KPIS, REPORTING)
    future = build("made", {**OWN["made"], "changes": [{"at": date(2026, 1, 1), "reason": "planned"}]})
    assert shown(cache, future, TODAY).signal == shown(cache, KPIS["made"], TODAY).signal


@pytest.mark.parametrize(
    "table",
    [
        {"changes": [{"at": date(2024, 1, 1)}]},
        {"changes": [{"at": date(2024, 1, 1), "reason": ""}]},
        {"changes": [{"at": "2024-01-01", "reason": "text is no date"}]},
        {"changes": [{"at": datetime(2024, 1, 1, tzinfo=UTC), "reason": "an instant"}]},
        {"changes": [{"at": date(2024, 1, 1), "reason": "a"}, {"at": date(2024, 1, 1), "reason": "b"}]},
        {"changes": [{"at": date(2024, 1, 1), "reason": "never looked at"}], "signal": "off"},
    ],
)
def test_a_change_is_a_day_and_a_reason(table: dict[str, Any]) -> None:
    """And is not written where nothing would come of it."""
    with pytest.raises(ValidationError):
        build("made", {**OWN["made"], **table})


def test_rare_events_are_told_by_the_days_between(cache: sqlite3.Connection) -> None:
    """Large deals: fewer than one a month. One in so many days, since the first there was."""
    found = shown(cache, KPIS["large"], TODAY)
    said = found.signal
    assert (said.result, said.mean, said.rules) == ("too_few_points", None, ())
    rows = cache.execute("SELECT created_at FROM opportunities WHERE pipeline = 'large' ORDER BY 1").fetchall()
    first = date.fromisoformat(rows[0][0][:10]).replace(day=1)
    events = sum(row[0] < "2025-10-01" for row in rows)
    assert said.days_between == pytest.approx((date(2025, 10, 1) - first).days / events)
    words = usual_words(found, get("en-GB", "EUR", "UTC"))
    assert words == f"too rare for a usual range: one in {round(said.days_between)} days"
    rare_stock = build("still_open", {**OWN["still_open"], "where": {"pipeline": "large"}})
    assert shown(cache, rare_stock, TODAY).signal.days_between is None


def test_a_statement_that_cannot_say_more_is_judged_by_what_is_shown(cache: sqlite3.Connection) -> None:
    """Of periods long ago it fails; the 13 shown are its past then, and the figure is the one it says."""
    long_ago = "abs(CASE WHEN :start < '2024-08-30' THEN -9223372036854775808 ELSE 1 END)"  # an overflow
    own = build("asked", {"sql": f"SELECT length(:start) + {long_ago} AS value"})
    found = shown(cache, own, TODAY)
    assert (found.status, found.value, len(found.series)) == ("ok", 21, 13)
    assert found.signal.points == 13


def test_where_no_signal_is_wanted_no_past_is_computed(cache: sqlite3.Connection) -> None:
    """Nor where there is no series."""
    as_of = datetime(2025, 10, 27, tzinfo=UTC)
    evaluator = Evaluator(cache, KPIS, REPORTING, as_of=as_of)
    off, timeless = build("made", {**OWN["made"], "signal": "off"}), build("known", {"of": "opportunities"})
    for kpi in (off, timeless):
        assert newest_signal(evaluator, kpi, plan(kpi, REPORTING, as_of=as_of)) is None


def test_before_the_calendar_there_is_no_past(cache: sqlite3.Connection) -> None:
    """The year 3 has few weeks before it."""
    evaluator = Evaluator(cache, KPIS, REPORTING, as_of=datetime(2025, 10, 27, tzinfo=UTC))
    past = past_of(evaluator, KPIS["made_weekly"], Span(date(3, 1, 6), date(3, 1, 13), "week"))
    assert past.signal(len(past.points) - 1).result == "too_few_points"


@pytest.mark.parametrize(
    ("written", "floor"),
    [
        ({"ratio": {"top": "won_revenue", "bottom": "won_revenue.previous"}}, 0.0),
        ({"calc": {"plus": ["won_deals_here", "lost_opportunities.n"]}}, 0.0),
        ({"calc": {"plus": ["won_revenue"], "minus": ["upsell_revenue"]}}, None),
        ({"ratio": {"top": "won_revenue.change", "bottom": "won_revenue.base"}}, None),
        ({"ratio": {"top": "less", "bottom": "won_revenue"}}, None),
        ({"ratio": {"top": "won_revenue", "bottom": "lost_opportunities", "times": -1}}, None),
        ({"sql": "SELECT COUNT(*) AS value FROM leads WHERE created_at >= :start AND created_at < :end"}, None),
    ],
)
def test_what_no_part_can_take_below_zero_has_its_floor_there(
    cache: sqlite3.Connection, written: dict[str, Any], floor: float | None
) -> None:
    """Revenue over that of the month before has no usual range from -18 %."""
    kpi = build("own", written)
    more = {
        "won_deals_here": build("won_deals_here", {"of": "opportunities", "date": "outcome_date"}),
        "less": build("less", {"calc": {"plus": ["won_revenue"], "minus": ["upsell_revenue"]}}),
    }
    evaluator = Evaluator(cache, {**BUILTINS, **more, "own": kpi}, REPORTING, as_of=datetime(2026, 10, 21, tzinfo=UTC))
    assert bounds_of(evaluator, kpi)[0] == floor


def test_what_was_below_zero_once_has_no_floor_there() -> None:
    """Deals may cost more than they bring."""
    day = date(2024, 1, 1)
    points = [Point(add_months(day, at), add_months(day, at + 1), (-3.0, 4.0)[at % 2], 9, "ok") for at in range(14)]
    past = Past(tuple(points), "month", (37, 12), 0.0, None, None, False, False, None, {})
    usual = past.signal(13)
    assert usual.lower is not None
    assert usual.lower < 0
