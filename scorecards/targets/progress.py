"""How far a target has come on its way to its deadline, and how it came out there (docs/definitions.md).

A sum on its way from a baseline is taken as a whole, from its first day on, whatever period a scorecard shows; rates,
stocks and what is wanted of each single period are judged by the last whole period up to the deadline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from scorecards.calendar import business_days
from scorecards.definition import Kpi, Reporting
from scorecards.periods import Slice, Span, cut, midnight, shifted, span_holding
from scorecards.plan import Plan, is_stock, plan
from scorecards.sqlslot import has_periods
from scorecards.targets.baselines import (
    accrues,
    baseline_days,
    baseline_span,
    first_day,
    mark,
    same_length,
    season_share,
)
from scorecards.targets.judgement import Judged, Stretch, colour, relative_gap, share_passed, tolerance
from scorecards.targets.pace import Agreed, Deadline, Progress, at_deadline, glide_needed, needed, projected
from scorecards.targets.slot import Band, Target

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


@dataclass(frozen=True, slots=True)
class Standing:
    """A value shown, as it was judged: what is wanted when the target is due, and the baseline that came from."""

    value: float | None
    full: float | None  # of the whole way, not of the period shown
    agreed: Agreed | None
    found: Judged


def progress_of(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan, standing: Standing) -> Progress | None:
    """A target with a deadline, as it stood at the end of what is shown; None before its first day is over."""
    assert target.due is not None  # the caller looked
    start, end = first_day(kpi, target, evaluator.reporting), target.due + timedelta(1)
    now = min(chosen.main.at_day if is_stock(kpi) else chosen.main.day_end, evaluator.today)
    if start is not None and (start >= end or now <= start):
        return None
    if (found := way_of_sum(kpi, target, standing.full, evaluator.reporting)) is not None:
        return _of_sum(evaluator, kpi, target, chosen, standing, *found, now)
    return _of_period(evaluator, kpi, target, chosen, standing, start, now)


def way_of_sum(kpi: Kpi, target: Target, full: float | None, reporting: Reporting) -> tuple[Span, float | None] | None:
    """The days a total is on its way from its baseline to its deadline, and its goal: so much a year, of half a year
    half of it. None of what is no such total.
    """
    start, base = first_day(kpi, target, reporting), baseline_days(kpi, target, reporting)
    if target.due is None or target.change is None or start is None or start > target.due or not accrues(kpi):
        return None
    way = Span(start, target.due + timedelta(1))
    if full is not None and base is not None and not same_length(base, way):
        full *= way.days / base.days
    return way, full


def _of_sum(
    evaluator: "Evaluator",
    kpi: Kpi,
    target: Target,
    chosen: Plan,
    standing: Standing,
    way: Span,
    goal: float | None,
    now: date,
) -> Progress:
    """A total from the first day on, against the share of the goal that its path has passed."""
    stretch = Stretch(way.start, way.end, min(now, way.end))
    value = _so_far(evaluator, kpi, chosen, standing, way, now)
    season = baseline_span(target, evaluator.reporting)

    def seasonal() -> float | None:
        if season is None or not same_length(season, way):
            return None
        return season_share(evaluator, kpi, season, way.start, stretch.now)

    hours = evaluator.reporting.hours
    path = target.path or "seasonal"
    share = share_passed(path, stretch, hours, seasonal)
    if share is None:
        path, share = "linear", share_passed("linear", stretch, hours, None)
    assert share is not None  # linear always has an answer
    ended = _ended(evaluator, kpi, target, goal, lambda: value, now)
    if ended is not None:
        total = value if ended.state == "not judged" else ended.value
        return Progress(way.start, way.end, way.end, ended.state, goal, total, goal, passed=1.0, accrues=True)
    expected = goal * share if goal is not None else None
    gap = relative_gap(str(target.want), value, expected) if expected is not None and share > 0 else None
    return Progress(
        way.start,
        way.end,
        stretch.now,
        "running",
        goal,
        value,
        expected,
        colour(gap, tolerance(target, is_rate=False)),
        path,
        share,
        projected(value, share),
        needed(goal, value, business_days(stretch.now, way.end, hours)) if goal is not None else None,
        accrues=True,
    )


def _so_far(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, standing: Standing, way: Span, now: date) -> float | None:
    """The total up to the end of what is shown; where that is a period that still runs, up to this moment."""
    is_running = not chosen.main.complete and now < way.end
    if is_running and chosen.main.span.start == way.start:
        return standing.value
    span = way if is_running else Span(way.start, min(now, way.end))
    return _value(evaluator, kpi, cut(span, evaluator.as_of, evaluator.zone))


def _of_period(
    evaluator: "Evaluator",
    kpi: Kpi,
    target: Target,
    chosen: Plan,
    standing: Standing,
    start: date | None,
    now: date,
) -> Progress:
    """A rate, a stock, or what is wanted of each period: the value shown, and how much it must still change."""
    assert target.due is not None  # the caller looked
    end, result = target.due + timedelta(1), standing.found.result
    goal = standing.full
    ended = _ended(evaluator, kpi, target, goal, lambda: _at_the_end(evaluator, kpi, target, chosen, standing), now)
    if ended is not None:
        return Progress(start, end, end, ended.state, goal, ended.value, goal, passed=1.0)
    left = _periods_left(evaluator, chosen, now, end)
    stretch = Stretch(start, end, now) if start is not None else None
    is_glide = not accrues(kpi) and goal is not None and left > 0
    return Progress(
        start,
        end,
        now,
        "running",
        goal,
        standing.value,
        result.expected,
        standing.found.verdict,
        result.path,
        stretch.passed / stretch.days if stretch is not None else None,
        needed_per_period=glide_needed(goal, standing.value, left) if is_glide and goal is not None else None,
    )


def _periods_left(evaluator: "Evaluator", chosen: Plan, now: date, end: date) -> int:
    """How many periods end between the end of what is shown and the deadline."""
    if chosen.granularity == "all":
        return 0
    span, left = span_holding(now, chosen.granularity, evaluator.reporting), 0
    while span.end <= end:
        left, span = left + 1, shifted(span, 1)
    return left


def _ended(
    evaluator: "Evaluator",
    kpi: Kpi,
    target: Target,
    goal: float | None,
    value: Callable[[], float | None],
    now: date,
) -> Deadline | None:
    """How it came out, once what is shown reaches past the deadline; None before. What was kept of it stands."""
    assert target.due is not None  # the caller looked
    if evaluator.today <= target.due or now <= target.due:
        return None
    kept = evaluator.pledges.ends.get((kpi.id, mark(target)))
    wanted: float | tuple[float, float] | None = goal
    want = "between" if isinstance(target.want, Band) else target.want
    if isinstance(target.want, Band):
        wanted = target.want.between
    return kept or at_deadline(target.due, evaluator.today, want, wanted, value())


def _at_the_end(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan, standing: Standing) -> float | None:
    """What it is judged by at the deadline: a stock of that day's end, else the last whole period up to it."""
    assert target.due is not None  # the caller looked
    if kpi.is_only_now or (kpi.sql is not None and not has_periods(kpi.sql)):
        return standing.value  # nobody kept what it was like then: the first value known after it
    end = target.due + timedelta(1)
    if is_stock(kpi):
        return _value(evaluator, kpi, cut(Span(target.due, end, "day"), evaluator.as_of, evaluator.zone))
    moment = datetime.fromtimestamp(midnight(end, evaluator.zone), UTC)
    whole = kpi.model_copy(update={"partial": None})
    then = plan(whole, evaluator.reporting, as_of=moment, granularity=chosen.granularity)
    return _value(evaluator, kpi, then.main)


def _value(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> float | None:
    figure = evaluator.figures(kpi, [slice_])[0]
    return figure.value if figure.status in ("ok", "partial") else None
