"""Targets on their way to the deadline: what there is, what the path wants, what is still needed, how it came out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.definition import Hours, Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.slots import Granularity
from scorecards.targets.baselines import accrues
from scorecards.targets.pace import Deadline, Pledges, Progress
from scorecards.values import KpiResult, TargetResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

PLAIN = REPORTING.model_copy(update={"timezone": "UTC", "hours": Hours()})
YEAR = {"want": "up", "change": "+10%", "from": {"period": "2025"}, "due": date(2026, 12, 31)}
Deals = list[tuple[date, int, bool]]


def won_on(day: date, amount: int, is_won: bool = True) -> tuple[date, int, bool]:
    return day, amount, is_won


#: 100 a month in 2025 and 95 a month from then on, and of each month one deal lost.
STEADY: Deals = [
    deal
    for month in range(26)
    for deal in (
        won_on(date(2025 + month // 12, month % 12 + 1, 10), 100 if month < 12 else 95),
        won_on(date(2025 + month // 12, month % 12 + 1, 20), 1, False),
    )
]


@contextmanager
def cache_of(folder: Path, deals: Deals) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(folder)) as conn:
        fill(conn, deals)
        yield conn


def fill(conn: sqlite3.Connection, deals: Deals) -> None:
    conn.execute("DELETE FROM opportunities")
    for number, (day, amount, is_won) in enumerate(deals):
        put(
            conn,
            "opportunities",
            f"D{number}",
            created_at="2024-06-01T00:00:00Z",
            state="won" if is_won else "lost",
            close_date=day.isoformat(),
            amount_minor=amount * 100,
            currency="EUR",
        )
    facts.refresh(conn, PLAIN)


def told(
    conn: sqlite3.Connection,
    kpi: Kpi,
    today: date,
    *,
    period: str | None = None,
    granularity: Granularity | None = None,
    pledges: Pledges | None = None,
) -> KpiResult:
    moment = datetime(today.year, today.month, today.day, tzinfo=UTC)
    evaluator = Evaluator(conn, {**BUILTINS, kpi.id: kpi}, PLAIN, as_of=moment, pledges=pledges)
    return evaluator.evaluate(kpi, period=parse_period(period) if period else None, granularity=granularity)


days = st.dates(date(2025, 1, 1), date(2026, 12, 31))
deals = st.lists(st.tuples(days, st.integers(0, 500), st.booleans()), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        yield conn


def target_of(result: KpiResult) -> TargetResult:
    assert result.target is not None
    return result.target


def progress_of(result: KpiResult) -> Progress:
    progress = target_of(result).progress
    assert progress is not None
    return progress


def revenue(**target: Any) -> Kpi:
    return override(BUILTINS["won_revenue"], {"target": {**YEAR, **target}})


def test_a_years_goal_stands_beside_the_month(tmp_path: Path) -> None:
    """1,320 wanted of 2026: 950 after ten months of 95, where 1,100 were to be expected; 370 in 44 working days."""
    with cache_of(tmp_path, STEADY) as conn:
        result = told(conn, revenue(), date(2026, 11, 5), granularity="month")
    assert result.value == 95
    assert target_of(result).share == pytest.approx(1320 * 31 / 365)
    way = progress_of(result)
    assert (way.start, way.end, way.now, way.state) == (
        date(2026, 1, 1),
        date(2027, 1, 1),
        date(2026, 11, 1),
        "running",
    )
    assert way.goal == pytest.approx(1320)
    assert (way.value, way.path) == (950, "seasonal")
    assert way.expected == pytest.approx(1100)
    assert way.passed == pytest.approx(10 / 12)
    assert way.projected == pytest.approx(1140)
    assert way.needed_rate == pytest.approx(370 / 44)  # 21 days of November, 23 of December
    assert (way.verdict, result.verdict) == ("red", "red")
    assert result.to_json()["target"]["progress"]["gap"] == pytest.approx(-150)


@pytest.mark.parametrize(
    ("path", "passed"),
    [("seasonal", 10 / 12), ("linear", 304 / 365), ("business_days", 217 / 261), ("glide", 304 / 365)],
)
def test_each_path_of_a_sum(tmp_path: Path, path: str, passed: float) -> None:
    """What has passed of the goal is the baseline's share, the days' or the working days'."""
    with cache_of(tmp_path, STEADY) as conn:
        way = progress_of(told(conn, revenue(path=path), date(2026, 11, 1), granularity="month"))
    assert way.passed == pytest.approx(passed)
    assert way.expected == pytest.approx(1320 * passed)
    assert way.path == path


def test_a_good_month_is_not_yet_a_good_year(tmp_path: Path) -> None:
    """150 in October are a third more than its share; the year is behind all the same, and so is the verdict."""
    with cache_of(tmp_path, [*STEADY, won_on(date(2026, 10, 12), 55)]) as conn:
        result = told(conn, revenue(), date(2026, 11, 5), granularity="month")
    assert result.value == 150
    assert (result.value or 0) > (target_of(result).share or 0)
    assert (progress_of(result).value, result.verdict) == (1005, "amber")


@settings(max_examples=60)
@given(
    deals=deals,
    today=st.dates(date(2026, 1, 2), date(2027, 2, 1)),
    target=st.sampled_from(
        [
            {},
            {"path": "linear"},
            {"due": date(2026, 6, 30)},
            {"due": date(2026, 6, 30), "start": date(2026, 3, 1)},
            {"change": None, "from": None, "value": 40},
        ]
    ),
    granularity=st.sampled_from(["day", "month", "year"]),
)
def test_one_period_rules_all_that_is_said(
    shared: sqlite3.Connection, deals: Deals, today: date, target: dict[str, Any], granularity: Granularity
) -> None:
    """Goal, gap, colour and pace are of the way, or all of the period shown, by the value that is named for it."""
    fill(shared, deals)
    kpi = revenue(**target)
    if target.get("value") is not None:
        kpi = kpi.model_copy(update={"period": granularity})
    result = told(shared, kpi, today, granularity=granularity)
    said, details = target_of(result), result.details
    public = said.to_json()
    way = said.progress
    if said.is_of_way:
        assert way is not None
        assert (public["judged"], said.value, said.expected) == ("way", way.goal, way.expected)
        if way.goal is not None:
            assert (said.needed_rate, said.projected) == (way.needed_rate, way.projected)
        assert public["progress"]["gap"] == (None if said.gap is None else pytest.approx(said.gap))
    else:
        assert public["judged"] == "period"
        assert way is None or not way.accrues
    judged = way.value if way is not None and said.is_of_way else result.value
    if said.expected is None or judged is None:
        assert (said.gap, result.verdict) == (None, None)
        return
    assert said.gap is not None
    assert said.gap == pytest.approx(judged - said.expected)
    if way is not None and way.state != "running":
        assert result.verdict == ("green" if said.gap >= 0 else "red")
    elif said.expected == 0:
        assert result.verdict is None  # its season has brought nothing yet
    elif abs(said.gap) > 1e-9:
        worst = "amber" if said.gap >= -0.1 * said.expected * (1 + 1e-12) else "red"
        assert result.verdict == ("green" if said.gap > 0 else worst)
    if "rag" in details:
        share = pytest.approx(said.gap / said.expected) if said.expected else None
        assert (details["rag"], details["gap"]) == (result.verdict, share)
        assert (details["target"], details["expected_to_date"]) == (said.value, said.expected)


def test_half_a_year_is_half_the_goal(tmp_path: Path) -> None:
    """Of a way shorter than its baseline the share of the days is wanted, on a straight path."""
    with cache_of(tmp_path, STEADY) as conn:
        way = progress_of(told(conn, revenue(due=date(2026, 6, 30)), date(2026, 4, 1), granularity="month"))
    assert way.goal == pytest.approx(1320 * 181 / 365)
    assert way.path == "linear"
    assert way.expected == pytest.approx(1320 * 90 / 365)


@settings(max_examples=40)
@given(deals=deals, today=st.dates(date(2026, 1, 2), date(2027, 2, 1)), path=st.sampled_from([None, "linear"]))
def test_as_plain_loops_say(shared: sqlite3.Connection, deals: Deals, today: date, path: str | None) -> None:
    """Totals, path, projection and what each day must bring, of any deals on any day, shown by the day before."""
    fill(shared, deals)
    result = told(shared, revenue(path=path), today, granularity="day")
    base = sum(amount for day, amount, won in deals if won and day.year == 2025)
    target = target_of(result)
    assert target.baseline is not None
    assert target.baseline.baseline.value == base
    way = progress_of(result)
    value = sum(amount for day, amount, won in deals if won and day.year == 2026 and day < today)
    end = date(2027, 1, 1)
    assert way.value == value
    if not base:
        assert (way.goal, way.verdict, way.needed_rate) == (None, None, None)
        return
    goal = base * 1.1
    assert way.goal == pytest.approx(goal)
    if today >= end:
        assert way.state == ("met" if value >= goal else "missed")
        assert result.verdict == ("green" if value >= goal else "red")
        return
    like = sum(amount for day, amount, won in deals if won and day < today.replace(year=2025) and day.year == 2025)
    passed = (today - date(2026, 1, 1)).days / 365 if path else like / base
    left = sum((today + timedelta(n)).weekday() < 5 for n in range((end - today).days))
    assert way.expected == pytest.approx(goal * passed)
    assert way.projected == (pytest.approx(value / passed) if passed >= 0.2 else None)
    assert way.needed_rate == (pytest.approx((goal - value) / left) if left else None)
    assert way.state == "running"


def test_a_rate_says_how_much_it_must_still_change(tmp_path: Path) -> None:
    """From 50 % to 60 % by the end of the year, two months left: five points each; half of it was expected in July."""
    said = {"n_min": 1, "target": {**YEAR, "change": "+20%"}}
    rate = override(BUILTINS["win_rate"], said)
    with cache_of(tmp_path, STEADY) as conn:
        way = progress_of(told(conn, rate, date(2026, 11, 3), granularity="month"))
        july = told(conn, rate, date(2026, 7, 2), granularity="month")
    assert way.goal == pytest.approx(0.6)
    assert way.value == 0.5
    assert way.needed_per_period == pytest.approx(0.05)
    assert (way.projected, way.needed_rate) == (None, None)  # a rate is never prorated
    assert progress_of(july).expected == pytest.approx(0.5 + 0.1 * 181 / 365)


def test_points_are_added_where_they_are_said(tmp_path: Path) -> None:
    """+5pp of 50 % is 55 %, +5% of it 52.5 %."""
    with cache_of(tmp_path, STEADY) as conn:
        for change, goal in (("+5pp", 0.55), ("+5%", 0.525), (0.05, 0.525)):
            rate = override(BUILTINS["win_rate"], {"n_min": 1, "target": {**YEAR, "change": change}})
            assert progress_of(told(conn, rate, date(2026, 11, 3), granularity="month")).goal == pytest.approx(goal)


def test_a_deadline_judges_the_last_whole_period_up_to_it(tmp_path: Path) -> None:
    """30 % of every month: by a deadline within November October is the last whole one, whatever follows."""
    target = {"want": "up", "value": 0.4, "due": date(2026, 11, 20)}
    rate = override(BUILTINS["win_rate"], {"n_min": 1, "target": target})
    october = [won_on(date(2026, 10, 5), 1), won_on(date(2026, 10, 6), 1, False)]
    with cache_of(tmp_path, [*october, won_on(date(2026, 11, 25), 1, False)]) as conn:
        running = told(conn, rate, date(2026, 11, 20), granularity="month")
        passed = told(conn, rate, date(2026, 12, 2), granularity="month")
    assert progress_of(running).state == "running"
    assert passed.value == 0
    assert (progress_of(passed).state, progress_of(passed).value) == ("met", 0.5)
    assert passed.verdict == "green"


def test_a_stock_is_judged_as_it_stood_at_the_end_of_its_last_day(tmp_path: Path) -> None:
    """Two tickets open on 30 September, wanted half of that by the end of the year: one it is, then three."""
    target = {"want": "down", "change": "-50%", "from": {"at": date(2026, 9, 30)}, "due": date(2026, 12, 31)}
    stock = override(BUILTINS["ticket_backlog"], {"target": target})
    with closing(open_cache(tmp_path)) as conn:
        times = [("2026-09-01", "2026-11-01"), ("2026-09-30", None), ("2027-01-01", None), ("2027-01-01", None)]
        for number, (opened, closed) in enumerate(times):
            put(
                conn,
                "tickets",
                f"T{number}",
                created_at=f"{opened}T12:00:00Z",
                closed_at=f"{closed}T12:00:00Z" if closed else None,
                status_category="closed" if closed else "open",
            )
        facts.refresh(conn, PLAIN)
        october = told(conn, stock, date(2026, 11, 1), granularity="month")
        after = told(conn, stock, date(2027, 2, 1), granularity="month")
    way = progress_of(october)
    assert target_of(october).baseline is not None
    assert (way.start, way.goal, way.value) == (date(2026, 10, 1), 1, 2)
    assert way.expected == pytest.approx(2 - 31 / 92)  # the whole of the way is October to December
    assert way.needed_per_period == pytest.approx(-0.5)
    assert (after.value, progress_of(after).state, progress_of(after).value) == (3, "met", 1)


def test_a_band_is_met_within_its_edges(tmp_path: Path) -> None:
    """Both edges are in."""
    for low, state in ((0.5, "met"), (0.51, "missed")):
        target = {"want": {"between": [low, 0.9]}, "due": date(2026, 10, 31)}
        rate = override(BUILTINS["win_rate"], {"n_min": 1, "target": target})
        with cache_of(tmp_path, STEADY) as conn:
            assert progress_of(told(conn, rate, date(2026, 11, 2), granularity="month")).state == state


def test_without_a_value_at_the_deadline_nothing_is_judged(tmp_path: Path) -> None:
    """November's deals make no verdict of October's."""
    rate = override(
        BUILTINS["win_rate"], {"n_min": 1, "target": {"want": "up", "value": 0.1, "due": date(2026, 10, 31)}}
    )
    with cache_of(tmp_path, [won_on(date(2026, 11, 5), 1)]) as conn:
        result = told(conn, rate, date(2026, 12, 1), granularity="month")
    assert (progress_of(result).state, result.verdict) == ("not judged", None)
    assert result.to_json()["target"]["progress"]["state"] == "not_judged"


def test_what_was_kept_is_judged_by_whatever_is_restated(tmp_path: Path) -> None:
    """A baseline of 1,000, and a goal missed with 1,099: neither moves with the deals."""
    kpi = revenue()
    with cache_of(tmp_path, STEADY) as conn:
        first = target_of(told(conn, kpi, date(2026, 3, 2), granularity="month"))
        assert first.baseline is not None
        assert first.baseline.can_be_kept
        baseline = replace(first.baseline.baseline, value=1000.0)
        ends = {(kpi.id, first.mark): Deadline("missed", date(2026, 12, 31), 1099.0)}
        pledges = Pledges({(kpi.id, baseline.target): baseline}, ends)
        march = target_of(told(conn, kpi, date(2026, 3, 2), granularity="month", pledges=pledges))
        after = told(conn, kpi, date(2027, 1, 4), granularity="month", pledges=pledges)
        other = told(conn, revenue(change="+20%"), date(2027, 1, 4), granularity="month", pledges=pledges)
        before = target_of(told(conn, kpi, date(2026, 3, 1), granularity="month", pledges=pledges))
    assert march.baseline is not None
    assert (march.baseline.baseline.value, march.baseline.is_new, march.baseline.warning) == (1000, False, "")
    assert march.progress is not None
    assert march.progress.goal == pytest.approx(1100)
    assert (progress_of(after).state, progress_of(after).value, after.verdict) == ("missed", 1099, "red")
    assert progress_of(other).state == "missed"
    assert progress_of(other).goal == pytest.approx(1200)
    assert before.baseline is not None
    assert before.baseline.baseline.value == 1200  # it was not known then


def test_a_baseline_that_still_runs_is_not_kept(tmp_path: Path) -> None:
    """Ten per cent on a year that is not over yet: nothing to keep, and no way to be on."""
    kpi = revenue(**{"from": {"period": "2026"}, "due": date(2027, 12, 31)})
    with cache_of(tmp_path, STEADY) as conn:
        target = target_of(told(conn, kpi, date(2026, 11, 2), granularity="month"))
    assert target.baseline is not None
    assert not target.baseline.can_be_kept
    assert target.progress is None


def test_a_baseline_of_another_definition_is_said(tmp_path: Path) -> None:
    """The filter changed since: the two no longer measure the same."""
    with cache_of(tmp_path, STEADY) as conn:
        first = target_of(told(conn, revenue(), date(2026, 3, 2), granularity="month"))
        assert first.baseline is not None
        kept = first.baseline.baseline
        pledges = Pledges({("won_revenue", kept.target): kept})
        kpi = override(revenue(), {"where": {"is_won": True, "type": "new"}})
        found = target_of(told(conn, kpi, date(2026, 4, 2), granularity="month", pledges=pledges)).baseline
    assert found is not None
    assert found.warning == "the definition changed after the baseline of 2026-03-02"
    assert found.baseline.value == 1200


def test_old_data_says_nothing_of_the_way(tmp_path: Path) -> None:
    """Neither a colour nor a projection of values that are stale."""
    with cache_of(tmp_path, STEADY) as conn:
        synced = "2026-11-01T00:00:00Z"
        conn.execute("INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('sf', 'opportunities', ?)", (synced,))
        evaluator = Evaluator(conn, BUILTINS, PLAIN, as_of=datetime(2026, 11, 5, tzinfo=UTC))
        result = evaluator.evaluate(revenue(), granularity="month", max_age_s=1)
    assert (result.status, result.verdict, target_of(result).progress) == ("stale", None, None)
    said = target_of(result)
    assert said.value == pytest.approx(1320)  # the goal stands as it did
    assert (said.expected, said.gap) == (None, None)
    assert said.share == pytest.approx(1320 * 31 / 365)


def test_all_time_has_no_share_of_a_goal(tmp_path: Path) -> None:
    with cache_of(tmp_path, STEADY) as conn:
        result = told(conn, revenue(), date(2026, 11, 5), period="all")
    assert (target_of(result).value, target_of(result).expected, result.verdict) == (None, None, None)


@pytest.mark.parametrize("name", sorted(name for name, kpi in BUILTINS.items() if kpi.additivity is not None))
def test_what_adds_up_over_time_accrues(name: str) -> None:
    """Each built-in whose catalogue says that it does, and none else: a rate by a deadline is a rate."""
    assert accrues(BUILTINS[name]) == (BUILTINS[name].additivity == "A")


def test_a_year_of_a_sum_of_kpis_is_a_year(tmp_path: Path) -> None:
    """Profit is what came in less 10 a month: of ten months ten twelfths are wanted, not the whole year of each."""
    profit = override(BUILTINS["net_profit"], {"target": YEAR})
    with cache_of(tmp_path, STEADY) as conn:
        for month in range(24):
            said = f"{2025 + month // 12}-{month % 12 + 1:02d}"
            put(conn, "costs", f"C{month}", month=said, kind="other", amount_minor=1000, currency="EUR")
        facts.refresh(conn, PLAIN)
        result = told(conn, profit, date(2026, 11, 5), granularity="month")
    assert result.value == pytest.approx(85)
    assert progress_of(result).value == pytest.approx(850)
    assert progress_of(result).goal == pytest.approx(1188)
    assert progress_of(result).expected == pytest.approx(990)


def test_a_segment_is_judged_by_its_own_value(tmp_path: Path) -> None:
    """Whatever became of the whole by its deadline; an edge of a band is no goal of a segment."""
    target = {"want": "up", "value": 0.9, "due": date(2026, 9, 30), "owner_id": {"ann": 0.5, "bob": 0.6}}
    rate = override(BUILTINS["win_rate"], {"n_min": 1, "by": ["owner_id"], "target": target})
    with cache_of(tmp_path, STEADY) as conn:
        conn.execute("UPDATE opportunities SET owner_id = 'ann'")
        facts.refresh(conn, PLAIN)
        result = told(conn, rate, date(2026, 11, 5), granularity="month")
        band = {**target, "want": {"between": [0.4, 0.6]}, "value": None}
        banded = told(conn, override(rate, {"target": band}), date(2026, 11, 5), granularity="month")
    assert (progress_of(result).state, result.verdict) == ("missed", "red")
    assert [(part.segment, part.verdict) for part in result.segments] == [("ann", "green")]
    assert (banded.status, progress_of(banded).state) == ("ok", "met")


@pytest.mark.parametrize(
    ("target", "today", "period", "begins"),
    [
        (
            {},
            date(2026, 1, 5),
            None,
            "1 Jan 2026",
        ),  # what January's scorecard shows is December, of the baseline itself
        ({}, date(2026, 11, 5), "2024-06", "1 Jan 2026"),
        ({}, date(2026, 11, 5), "2025", "1 Jan 2026"),
        ({"start": date(2026, 7, 1)}, date(2026, 8, 5), "2026-06", "1 Jul 2026"),
        ({"change": None, "value": 1500}, date(2026, 11, 5), "2025-12", "1 Jan 2026"),
    ],
)
def test_before_its_way_begins_nothing_is_judged(
    tmp_path: Path, target: dict[str, Any], today: date, period: str | None, begins: str
) -> None:
    with cache_of(tmp_path, STEADY) as conn:
        result = told(conn, revenue(**target), today, period=period, granularity="month" if period is None else None)
    assert result.verdict is None
    assert result.unjudged == f"its goal begins on {begins}"
    assert target_of(result).baseline is not None  # kept by the first scorecard, judged or not
    assert target_of(result).value is None


def test_a_rate_is_no_longer_on_target_before_its_way_begins(tmp_path: Path) -> None:
    target = {"want": "up", "change": "+10%", "from": {"period": "2026-Q2"}, "start": "2026-07-01", "due": "2026-12-31"}
    kpi = override(BUILTINS["win_rate"], {"n_min": 1, "target": target})
    with cache_of(tmp_path, STEADY) as conn:
        before = told(conn, kpi, date(2026, 11, 5), period="2025-Q3")
        after = told(conn, kpi, date(2026, 11, 5), period="2026-Q3")
    assert (before.verdict, before.unjudged) == (None, "its goal begins on 1 Jul 2026")
    assert (after.verdict is not None, after.unjudged) == (True, "")


def test_the_first_whole_period_of_a_way_is_judged(tmp_path: Path) -> None:
    with cache_of(tmp_path, STEADY) as conn:
        result = told(conn, revenue(), date(2026, 2, 1), granularity="month")
    assert (result.verdict is not None, result.unjudged) == (True, "")


def test_a_season_that_brought_nothing_so_far_is_no_reason_for_green(tmp_path: Path) -> None:
    """The year before nothing was won until March: 0 in February is neither early nor late."""
    late = [won_on(date(2025, month, 10), 100) for month in range(3, 13)]
    with cache_of(tmp_path, late) as conn:
        year = override(revenue(), {"period": "year", "partial": "to_date"})
        result = told(conn, year, date(2026, 2, 15))
        month = told(conn, revenue(), date(2026, 2, 15), granularity="month")
        first = told(conn, year, date(2026, 1, 1))
        later = told(conn, year, date(2026, 4, 15))
    assert (result.value, target_of(result).expected, result.verdict) == (0, 0, None)
    assert (progress_of(month).expected, progress_of(month).verdict, month.verdict) == (0, None, None)
    assert (first.value, first.verdict) == (0, None)
    assert later.verdict == "red"
