"""Whether a target says anything of the period shown: a goal holds for a period of its own (docs/definitions.md)."""

from datetime import date
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.figures import is_two_sided
from scorecards.periods import midnight, span_holding
from scorecards.plan import Plan, is_stock
from scorecards.reading import unit_of
from scorecards.sqlslot import has_periods
from scorecards.targets.baselines import accrues, baseline_days, first_day, same_length
from scorecards.targets.slot import Band, Target

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Aggregates that grow with the stretch they are taken over; means and percentiles do not.
_GROWING = ("count", "sum", "distinct", "min", "max")


def why_unjudged(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan) -> str:
    """Why the period shown is not judged by a target, as the end of a sentence; empty where it is."""
    main = chosen.main
    if chosen.shows_period and main.since >= int(evaluator.as_of.timestamp()):
        return "this period has not begun"
    begins = first_day(kpi, target, evaluator.reporting)
    if begins is not None and _ends_by(evaluator, kpi, chosen, begins):
        return f"its goal begins on {begins.day} {begins:%b %Y}"
    if not grows(evaluator, kpi):
        return ""
    return _of_another_length(evaluator, kpi, target, chosen) or _while_it_runs(evaluator, kpi, target, chosen)


def _ends_by(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, day: date) -> bool:
    """Is what is shown over by the beginning of a day?"""
    if is_stock(kpi):
        return chosen.main.at <= midnight(day, evaluator.zone)
    return min(chosen.main.day_end, evaluator.today) <= day


def _of_another_length(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan) -> str:
    main = chosen.main
    if target.change is None:
        own = span_holding(main.span.start, chosen.own, evaluator.reporting)
        if (own.start, own.end) == (main.span.start, main.span.end):
            return ""
        return _said(chosen.own)
    if accrues(kpi):  # of a longer or shorter one it has a share; all time has no share of anything
        return "" if chosen.granularity != "all" else "its goal has no share of all time"
    base = baseline_days(kpi, target, evaluator.reporting)
    if base is None or same_length(base, main.span):
        return ""
    return (
        _said(base.granularity) if base.granularity else f"its goal is for {base.days} days: this period is not judged"
    )


def _while_it_runs(evaluator: "Evaluator", kpi: Kpi, target: Target, chosen: Plan) -> str:
    """Only of counts and sums with one goal is it known what a part of the time should have brought.

    Once the deadline has passed what runs no longer matters: the target is judged by what was.
    """
    main = chosen.main
    has_path = accrues(kpi) and not isinstance(target.want, Band)
    has_ended = target.due is not None and min(main.day_end, evaluator.today) > target.due
    return "" if main.complete or has_path or has_ended else "its goal is for a whole period, and this one still runs"


def _said(grain: str) -> str:
    if grain == "all":
        return "its goal is for all time: this period is not judged"
    return f"its goal is for a {grain.removeprefix('fiscal_')}: this period is not judged"


def grows(evaluator: "Evaluator", kpi: Kpi) -> bool:
    """Is the value of a longer period another one because it is longer? So of counts and sums, of how many stayed.

    Not of rates, means and what has a window of its own.
    """
    if kpi.window is not None or is_stock(kpi):
        return False
    if kpi.calc is not None:
        return any(_operand_grows(evaluator, name) for name in kpi.operands)
    if kpi.ratio is not None:
        tops, bottoms = (
            sum(_operand_grows(evaluator, n) for n in side) for side in (kpi.ratio.tops, kpi.ratio.bottoms)
        )
        return kpi.ratio.times != "period_days" and tops != bottoms
    if kpi.sql is not None:
        return has_periods(kpi.sql) and unit_of(kpi, evaluator.kpis, evaluator.compiler) != "ratio"
    if kpi.retain is not None or kpi.per_distinct is not None:
        return True
    if is_two_sided(kpi):
        return kpi.share is not None and kpi.headline == "count"
    return kpi.per is None and kpi.agg in _GROWING


def _operand_grows(evaluator: "Evaluator", said: str) -> bool:
    name, _, suffix = said.partition(".")
    part = evaluator.kpis[name]
    if suffix in ("target", "opening", "mean"):
        return False
    if suffix in ("n", "numerator", "denominator"):
        return part.window is None and not is_stock(part)
    return grows(evaluator, part)
