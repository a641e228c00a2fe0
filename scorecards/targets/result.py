"""A KPI's target at an instant: its baseline from the rows, its path, and the verdict (docs/definitions.md)."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from scorecards.definition import Hours, Kpi
from scorecards.figures import is_rate
from scorecards.periods import Span, add_months
from scorecards.plan import Plan
from scorecards.targets.applies import why_unjudged
from scorecards.targets.baselines import (
    accrues,
    baseline_of,
    baseline_span,
    first_day,
    in_unit,
    mark,
    same_length,
    season_share,
    wanted,
)
from scorecards.targets.judgement import GREEN, RED, Judged, Stretch, judge
from scorecards.targets.pace import Progress
from scorecards.targets.progress import Standing, progress_of, way_of_sum
from scorecards.targets.slot import Target
from scorecards.values import TargetResult

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a value against its target."""

    target: TargetResult | None = None
    verdict: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    is_final: bool = False  # the deadline has passed: nothing moves it any more
    unjudged: str = ""  # why the goal says nothing of the period shown


def against_target(
    evaluator: "Evaluator",
    kpi: Kpi,
    chosen: Plan,
    value: float | None,
    hours: Hours | None = None,
    *,
    is_stale: bool = False,
) -> Verdict:
    """Judge a value of the slice shown; of old data (`is_stale`) nothing is judged, nor is what it has come to.

    `hours`: whose working days time passes by; everybody's when not said.
    """
    hours = hours or evaluator.reporting.hours
    target = in_unit(kpi)
    if target is None:
        return Verdict()
    if unjudged := why_unjudged(evaluator, kpi, target, chosen):
        return Verdict(_not_judged(evaluator, kpi, target), unjudged=unjudged)
    prorated = accrues(kpi)
    base_span = baseline_span(target, evaluator.reporting)
    agreed = baseline_of(evaluator, kpi, target)
    base = agreed.baseline.value if agreed is not None else None
    full = wanted(target, base)
    whole = full
    term = _begun(base_span, chosen.main.span) if prorated else None
    stretch = _stretch(evaluator, kpi, target, chosen, prorated)
    if term is not None:
        stretch = Stretch(term.start, term.end, chosen.main.day_end)
    elif prorated and full is not None and base_span is not None and not same_length(base_span, chosen.main.span):
        # A goal for the year, judged by the month: its share of the days.
        factor = chosen.main.span.days / base_span.days
        full, base = full * factor, None if base is None else base * factor

    def seasonal() -> float | None:
        return _season(evaluator, kpi, chosen, base_span) if base_span is not None else None

    path = target.path
    if path is None and prorated and target.change is not None:
        target = target.model_copy(update={"path": "seasonal" if seasonal() is not None else "linear"})
    found = judge(
        target,
        value,
        full=full,
        base=base,
        stretch=stretch,
        prorated=prorated,
        is_rate=is_rate(kpi),
        hours=hours,
        seasonal=seasonal,
    )
    asked = in_unit(kpi)
    assert asked is not None  # it was above
    linear = target.model_copy(update={"path": "linear"})
    straight = judge(
        linear,
        value,
        full=full,
        base=base,
        stretch=stretch,
        prorated=prorated,
        is_rate=is_rate(kpi),
        hours=hours,
    )
    progress = None
    if asked.due is not None and not is_stale:
        progress = progress_of(evaluator, kpi, asked, chosen, Standing(value, whole, agreed, found))
    sum_of_way = way_of_sum(kpi, asked, whole, evaluator.reporting)
    is_way = progress is not None and (progress.accrues or progress.state != "running")
    if is_way and term is not None and progress is not None and progress.state == "running":
        is_way = not same_length(term, Span(term.start, progress.end))  # else the range shown is the way so far
    if progress is not None and is_way:  # a good month is not yet a good year
        known = value is not None
        found = _of_the_way(kpi, asked, progress, evaluator.reporting.hours, is_known=known)
        straight = _of_the_way(kpi, linear, progress, evaluator.reporting.hours, is_known=known)
    verdict, is_final = found.verdict, False
    if progress is not None and progress.state != "running" and value is not None:
        verdict, is_final = {"met": GREEN, "missed": RED}.get(progress.state), True
    details: dict[str, Any] = {}
    if target.change is not None and found.result.value is not None and value is not None:
        details = {
            "target": found.result.value,
            "expected_to_date": found.result.expected,
            "gap": found.gap,
            "rag": verdict,
            "linear_expected_to_date": straight.result.expected,
            "linear_rag": verdict if is_final else straight.verdict,
        }
    result = replace(found.result, progress=progress, is_of_way=is_way)
    if sum_of_way is not None and is_stale:  # the goal stands, but nothing is said of it
        result = replace(TargetResult(result.want, sum_of_way[1], None, None, asked.due), is_of_way=True)
    share = full if sum_of_way is not None and term is None and result.is_of_way else None
    result = replace(result, baseline=agreed, mark=mark(asked), share=share)
    return Verdict(result, verdict, details, is_final)


def _not_judged(evaluator: "Evaluator", kpi: Kpi, target: Target) -> TargetResult | None:
    """Of a target that says nothing of the period shown, the baseline, to be kept; None of one without."""
    agreed = baseline_of(evaluator, kpi, target)
    if agreed is None:
        return None
    return TargetResult(str(target.want), None, None, None, target.due, baseline=agreed, mark=mark(target))


def _of_the_way(kpi: Kpi, target: Target, progress: Progress, hours: Hours, *, is_known: bool) -> Judged:
    """A target judged by the value its way has come to, or was judged by at the deadline, not by the one shown.

    Nothing is judged where the value shown is not known (`is_known`).
    """
    stretch = None
    if progress.state == "running" and progress.start is not None:
        stretch = Stretch(progress.start, progress.end, progress.now)
    return judge(
        target if target.path == "linear" else target.model_copy(update={"path": progress.path}),
        progress.value if is_known else None,
        full=progress.goal,
        base=None,
        stretch=stretch,
        prorated=progress.accrues,
        is_rate=is_rate(kpi),
        hours=hours,
        seasonal=lambda: progress.passed,
    )


def _stretch(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan, prorated: bool) -> Stretch | None:
    """What the target is measured over while it still runs; None when the slice shown is whole."""
    main = chosen.main
    if prorated:
        return None if main.complete else Stretch(main.span.start, main.span.end, main.day_end)
    if target.due is None or target.from_ is None:
        return None
    begun = first_day(kpi, target, evaluator.reporting)
    if begun is None:
        return None
    now = min(main.at_day, evaluator.today)
    end = target.due + timedelta(1)
    return Stretch(begun, end, min(now, end)) if begun < end else None


def _begun(base: Span | None, span: Span) -> Span | None:
    """The term a relative target runs over, where the range shown is that term so far: 2026 of a 2025 to 1 October.

    Calendar periods are not: a month is judged by its own share.
    """
    if base is None or span.granularity is not None or span.start != base.end or span.days >= base.days:
        return None
    if base.start.day != base.end.day:
        return Span(base.end, base.end + timedelta(base.days))
    months = (base.end.year - base.start.year) * 12 + base.end.month - base.start.month
    return Span(base.end, add_months(base.end, months))


def _season(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, base: Span) -> float | None:
    """The share of the baseline cycle that had passed at the same point of it: B(elapsed part) / B(total)."""
    main = chosen.main
    if _begun(base, main.span) is None and (main.complete or not same_length(base, main.span)):
        return None
    return season_share(evaluator, kpi, base, main.span.start, main.day_end)
