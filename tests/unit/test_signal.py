"""News or noise: the chart as it is read point by point, and how often it is right."""

import math
import random
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import mul
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.signal.backtest import backtest, raised
from scorecards.signal.chart import Bounds, baseline_of, chart, limits
from scorecards.signal.chart import judge as judged_by
from scorecards.signal.history import days_between, is_rare
from scorecards.signal.season import clear_from, season
from scorecards.values import Signal

CALM = [20.5, 21.5] * 6
POINTS = st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=60)


def judge(points: Sequence[float | None], **known: Any) -> Signal:
    return judged_by(points, **known).signal


def poisson(chance: random.Random, mean: float) -> float:
    """A count of a stable process."""
    edge, count, product = math.exp(-mean), 0, chance.random()
    while product >= edge:
        count, product = count + 1, product * chance.random()
    return float(count)


def test_limits_agree_with_a_published_library() -> None:
    """10, 50, 40, 30: 85.7, -20.7, and 65.36 between neighbours."""
    usual = limits([10, 50, 40, 30])
    assert (usual.upper, usual.lower, usual.range_limit) == pytest.approx((85.7, -20.7, 65.36))


def test_one_wild_range_is_met_with_medians() -> None:
    """Ten steps of 1 and a spike of 50: the spike does not widen the range of all."""
    points = [20.0, 21.0] * 6 + [70.0] + [20.0, 21.0] * 5
    usual = limits(points)
    assert (usual.mean, usual.mean_range) == (21.0, 1.0)
    assert (usual.lower, usual.upper, usual.range_limit) == pytest.approx((17.855, 24.145, 3.865))


def test_a_wild_range_among_equals_does_not_take_the_range_away() -> None:
    """Most neighbours are equal, so the median range is nothing: the mean form keeps its width."""
    points: list[float | None] = [1, 1, 1, 1, 1, 5, 5, 5, 3, 1, 1, 2]
    usual = limits(points)
    assert (usual.mean, usual.mean_range) == pytest.approx((27 / 12, 9 / 11))
    assert (usual.lower, usual.upper) == pytest.approx((2.25 - 2.66 * 9 / 11, 2.25 + 2.66 * 9 / 11))
    found = judge([*points, 4], floor=0.0)
    assert (found.result, found.rules, found.direction) == ("none", (), None)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5).map(float)), max_size=80))
def test_no_range_of_no_width_is_drawn(points: list[float | None]) -> None:
    """Whatever is said is said against limits that lie apart, before they are cut at what is possible."""
    for reading in chart(points).readings:
        if reading.usual is None:
            assert (reading.result, reading.rules) == ("too_few_points", ())
        else:
            assert reading.usual.lower < reading.usual.upper


def test_what_never_differed_has_no_usual_range_until_it_did() -> None:
    """30 equal points do not say by how much they differ; the first other one is what does, and is no news itself."""
    points: list[float | None] = [5.0] * 30
    assert judge([*points, 6.0]).result == "too_few_points"
    drawn = chart([*points, 6.0, 5.0, 4.0, 5.0, 6.0, 5.0]).readings
    assert [r.usual is None for r in drawn] == [True] * 31 + [False] * 5
    ranges = [r.usual.mean_range for r in drawn if r.usual is not None]
    assert ranges == sorted(ranges)  # what was equal for long is not locked in: the range grows as it is seen
    assert ranges[-1] > 2 * ranges[0]


def test_a_season_that_is_exact_leaves_no_range_to_judge_by() -> None:
    """What is left once it is out differs in the last digit of a float alone: that is no usual range."""
    assert judge([*YEAR * 3, 50.0], floor=0.0, cycle=12).result == "too_few_points"


@given(POINTS, POINTS)
def test_later_points_do_not_change_what_was_said(points: list[float | None], later: list[float | None]) -> None:
    """The chart reads forwards only: what was mailed can be found again."""
    said = chart(points, Bounds(0.0)).readings
    assert chart(points + later, Bounds(0.0)).readings[: len(points)] == said


@given(POINTS)
def test_the_newest_reading_is_what_judge_says(points: list[float | None]) -> None:
    """One mechanism for the mail and for the backtest."""
    judged, readings = judge(points, floor=0.0), chart(points, Bounds(0.0)).readings
    if judged.result != "too_few_points":
        assert (judged.result, judged.rules) == (readings[-1].result, readings[-1].rules)


def test_the_baseline_is_locked_on_the_first_points() -> None:
    """After 24 points a slow drift upwards no longer widens or lifts the limits."""
    points: list[float | None] = [21.5, 20.5] * 12
    drift = [21.0 + step / 10 for step in range(1, 30)]
    found = chart([*points, *drift]).readings
    assert {(r.usual.mean, r.usual.mean_range) for r in found[24:31] if r.usual} == {(21.0, 1.0)}
    assert found[31].rules == (2,)  # 21.1 … 21.8: eight above the line


def test_gaps_are_no_points() -> None:
    """A baseline of 12 holds 12 values, and no range is taken across a gap."""
    points = [1.0, None, 3.0, None, 5.0, 6.0]
    assert baseline_of(points, 3) == [1.0, None, 3.0, None, 5.0]
    assert limits(points).mean_range == 1.0


def test_a_shift_begins_an_era_and_keeps_the_old_limits() -> None:
    """Eight above the old average: said once, then judged against the new level."""
    points = [*CALM, *[23.0, 23.5] * 8]
    drawn = chart(points)
    assert [r.at for r in drawn.readings if 2 in r.rules] == [19]
    assert [(era.first, era.reason) for era in drawn.eras] == [(0, ""), (12, "8 in a row")]
    old, new = (era.usual for era in drawn.eras)
    assert old is not None
    assert new is not None
    assert [old.mean, new.mean] == pytest.approx([21.816, 23.233], abs=0.001)
    assert new.mean_range >= old.mean_range
    assert drawn.readings[-1].result == "none"


def test_a_declared_change_begins_an_era() -> None:
    """From a new price list on, old points say nothing; the reason stays with the limits."""
    drawn = chart([*CALM, *[40.0, 41.0] * 4], declared={12: "new price list"})
    assert [(era.first, era.reason) for era in drawn.eras] == [(0, ""), (12, "new price list")]
    assert [r.result for r in drawn.readings[12:]] == ["too_few_points"] * 5 + ["none"] * 3


def test_the_way_back_is_no_news() -> None:
    """A spike is told once; the return to the usual range is not told as a jump."""
    found = chart([*CALM, 68.0, 21.0]).readings
    assert [r.result for r in found[-2:]] == ["signal", "none"]
    assert found[-1].moved


def test_few_points_say_little() -> None:
    """Below 6 nothing, below 12 only "possible" and only by rule 1."""
    assert judge(CALM[:5]).result == "too_few_points"
    assert judge([*CALM[:5], 68.0]).result == "possible"
    assert judge([*CALM[:8], *[22.6] * 3]).rules == ()
    assert judge([*CALM, 68.0]).result == "signal"
    assert judge([*CALM, None]).result == "too_few_points"


@pytest.mark.parametrize(
    ("points", "floor", "ceiling"), [([1, 3] * 6 + [0], 0.0, None), ([0.9, 1.0] * 6 + [1], 0, 1.0)]
)
def test_a_side_cut_at_what_is_possible_raises_nothing(points: list[float], floor: float, ceiling: float) -> None:
    """Zero of a count whose limit lies below zero is no news."""
    found = judge(points, floor=floor, ceiling=ceiling)
    assert (found.result, found.rules) == ("none", ())
    assert found.lower is not None
    assert found.lower >= floor


YEAR = [50, 55, 60, 80, 90, 100, 130, 140, 110, 90, 70, 60]


def test_a_season_is_taken_out_once_it_is_clear() -> None:
    """July of the third year is news by its own month, though other months reach as high."""
    chance = random.Random(1)
    history = [value * chance.uniform(0.95, 1.05) for _ in range(2) for value in YEAR]
    usual = judge([*history, 50.0], floor=0.0, cycle=12)
    assert usual.result == "none"
    assert usual.upper is not None
    assert 50 < usual.upper < 75
    odd = judge([*history, 85.0], floor=0.0, cycle=12)
    assert (odd.result, odd.direction) == ("signal", "above")
    assert judge([*history, 85.0], floor=0.0).result == "none"


def lognormal(chance: random.Random, points: int, spread: float) -> list[float]:
    return [math.exp(chance.gauss(0, spread)) for _ in range(points)]


def wandering(chance: random.Random, points: int, spread: float) -> list[float]:
    """A stock: each month is the one before and what came and went."""
    return list(accumulate(lognormal(chance, points, spread), mul))


#: What goes up or down without a season, and how much it varies around that.
COURSES: dict[str, tuple[Callable[[int], float], float]] = {
    "level": (lambda _: 100, 0.05),
    "1 % a month": (lambda at: 1.01**at, 0.03),
    "2 % a month": (lambda at: 1.02**at, 0.08),
    "3 % a month": (lambda at: 1.03**at, 0.08),
    "3 % a month, calm": (lambda at: 1.03**at, 0.002),
    "shrinking": (lambda at: 0.97**at, 0.05),
    "so much more each month": (lambda at: 15 + 7.6 * at, 0.05),
    "a new product": (lambda at: 50 + 300 / (1 + math.exp((18 - at) / 4)), 0.03),
    "a step": (lambda at: 100 if at < 17 else 180, 0.05),
    "up and down again": (lambda at: 100 + 80 * math.sin(math.pi * at / 40), 0.03),
}


@pytest.mark.parametrize("months", [24, 36])
@pytest.mark.parametrize("course", [*COURSES, "wandering"])
def test_a_course_is_no_season(course: str, months: int) -> None:
    """However a series goes up or down: in less than one of twenty a season is seen that is not there.

    Two cycles of a stock that wanders are the one exception, at about that.
    """
    found, seeds = 0, 200
    for seed in range(seeds):
        chance = random.Random(seed)
        if course == "wandering":
            points = wandering(chance, months, 0.05)
        else:
            usual, spread = COURSES[course]
            points = [usual(at) * by for at, by in enumerate(lognormal(chance, months, spread))]
        found += season(points, 12) is not None
    assert found / seeds < (0.06 if (course, months) == ("wandering", 24) else 0.05)


@pytest.mark.parametrize(
    "points", [[100 + 5 * at for at in range(36)], [1.05**at for at in range(48)], [100 - at for at in range(24)]]
)
def test_growth_without_noise_is_no_season(points: list[float]) -> None:
    assert season(points, 12) is None


@pytest.mark.parametrize(
    ("pattern", "spread", "months", "least"),
    [
        ("many months", 0.10, 36, 0.99),
        ("many months", 0.05, 24, 0.95),
        ("a wave of 20 %", 0.08, 36, 0.90),
        ("a wave of 20 %", 0.05, 24, 0.80),
        ("December by half", 0.08, 36, 0.90),
    ],
)
@pytest.mark.parametrize("growth", [0.0, 0.02])
def test_a_season_is_found_on_its_course(pattern: str, spread: float, months: int, least: float, growth: float) -> None:
    """Also of what grows: the indices are those of the season, not of the growth."""
    index = {
        "many months": [value / (sum(YEAR) / 12) for value in YEAR],
        "a wave of 20 %": [1 + 0.2 * math.sin(place * math.pi / 6) for place in range(12)],
        "December by half": [*[1 - 0.5 / 12] * 11, 1.5 - 0.5 / 12],
    }[pattern]
    seen, seeds = [], 100
    for seed in range(seeds):
        noise = lognormal(random.Random(seed), months, spread)
        found = season([(1 + growth) ** at * index[at % 12] * by for at, by in enumerate(noise)], 12)
        if found is not None:
            seen.append(found.indices)
    assert len(seen) / seeds >= least
    means = [sum(indices[place] for indices in seen) / len(seen) for place in range(12)]
    assert means == pytest.approx(index, abs=0.03)


def test_the_usual_range_of_what_grows_lies_among_its_values() -> None:
    """A backlog from 15 to 356 is not told that 475 is usual."""
    points = [15 + 7.6 * at + random.Random(at).gauss(0, 5) for at in range(46)]
    usual = judge(points, floor=0.0, cycle=12)
    assert usual.mean is not None
    assert min(points[-13:]) < usual.mean < max(points[-13:])


def test_taking_a_season_out_raises_few_false_alarms() -> None:
    """The ranges of cleaned points are widened by what cleaning took away."""
    flagged, seeds = 0, 400
    for seed in range(seeds):
        noise = lognormal(random.Random(seed), 37, 0.08)
        flagged += judge([YEAR[at % 12] * by for at, by in enumerate(noise)], floor=0.0, cycle=12).result == "signal"
    assert flagged / seeds <= 0.05


def test_noise_is_seldom_taken_for_a_season() -> None:
    """1 % of series without one, by construction; below 24 points, with gaps or around zero never."""
    found = 0
    for seed in range(400):
        chance = random.Random(seed)
        found += season([poisson(chance, 40) for _ in range(36)], 12) is not None
    assert found <= 12
    assert season([1, 2] * 11, 2) is None
    assert season([*YEAR, *YEAR[:-1], None], 12) is None
    assert season([-1, 1] * 20, 2) is None


def test_the_threshold_of_a_season_is_the_tables() -> None:
    """F at 1 %: 4.46, 3.18 and 2.84 for 11 and 11, 22, 33 degrees."""
    found = [clear_from(11, second) for second in (11, 22, 33)]
    assert found == pytest.approx([4.46, 3.18, 2.84], rel=0.02)


@given(st.lists(st.floats(0.1, 100), min_size=36, max_size=36))
def test_indices_of_a_season_are_one_on_average(points: list[float]) -> None:
    """Taking a season out moves values between months, not up or down."""
    found = season(points, 12)
    if found is not None:
        assert sum(found.indices) / 12 == pytest.approx(1)


def test_rare_events_are_told_by_the_days_between() -> None:
    """Three escalations in a quarter of 91 days."""
    assert is_rare([0, 1, 0, 0, 2])
    assert not is_rare([1, 1])
    assert days_between([1, 0, 2], [31, 28, 32]) == pytest.approx(91 / 3)
    assert days_between([0, 0], [31, 28]) is None


def test_stable_weeks_are_left_alone_and_lasting_rises_found() -> None:
    """At 40 a week: at most 3 % of 104 stable weeks flagged, +30 % found within 8 weeks in at least 90 %."""
    flagged = found = 0
    seeds = 400
    for seed in range(seeds):
        chance = random.Random(seed)
        weeks = [poisson(chance, 40) for _ in range(104)]
        flagged += sum(r.result == "signal" for r in chart(weeks, Bounds(0.0)).readings)
        start = chance.randint(12, 60)
        risen = weeks[:start] + [poisson(chance, 52) for _ in range(8)]
        found += any(r.result == "signal" for r in chart(risen, Bounds(0.0)).readings[start:])
    assert flagged / (seeds * 104) <= 0.03
    assert found / seeds >= 0.90


def test_a_backtest_measures_the_same_on_a_kpis_own_points() -> None:
    """Shuffled, its past holds no shift; with a rise planted it does. The same points give the same answer."""
    chance = random.Random(7)
    weeks: list[float | None] = [poisson(chance, 60) for _ in range(104)]
    found = backtest(weeks, floor=0.0, seeds=100)
    assert found == backtest(weeks, floor=0.0, seeds=100)
    assert found.false_alarms is not None
    assert found.found is not None
    assert found.points_to_find is not None
    assert 0 < found.false_alarms <= 0.04
    assert found.found >= 0.95
    assert 1 <= found.points_to_find <= 4


def test_a_backtest_of_a_short_history_measures_nothing() -> None:
    """19 points: 12 to know the usual range and 8 to find a rise are more."""
    found = backtest(CALM + CALM[:7])
    assert (found.false_alarms, found.found) == (None, None)


def test_a_planted_rise_stops_at_what_is_possible() -> None:
    """99 % cannot rise by 30 %; a loss of 10 rises to a loss of 7."""
    assert (raised(0.5, 0.3, 1.0), raised(0.99, 0.3, 1.0), raised(-10, 0.3, None)) == (0.65, 1.0, -7)


def test_pairs_of_neighbours_make_the_range() -> None:
    """The mean range is what neighbours differ by, not what all points do."""
    assert limits(CALM).mean_range == sum(abs(b - a) for a, b in pairwise(CALM)) / 11
