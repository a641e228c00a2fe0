"""A KPI split by a dimension: one value a segment, with its own verdict where the target says one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.figures import figure
from scorecards.plan import Plan
from scorecards.tally import needs_values, tallies
from scorecards.targets import against_target
from scorecards.values import SegmentValue

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def segments_of(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, by: Sequence[str]) -> list[SegmentValue]:
    found: list[SegmentValue] = []
    if kpi.sql is not None:
        return evaluator.asked.segments(kpi, chosen.main)
    if kpi.of is None or kpi.retain is not None:
        return found
    for dimension in by:
        parts = tallies(evaluator.conn, evaluator.rows(kpi, dimension), [chosen.main], singly=needs_values(kpi.agg))[0]
        for segment in sorted(parts, key=lambda name: (-parts[name].n, name)):
            part = figure(kpi, parts[segment])
            wanted = (kpi.target.segments.get(dimension, {}) if kpi.target else {}).get(segment)
            verdict = None
            if wanted is not None and part.value is not None and kpi.target is not None:
                own = kpi.target.model_copy(update={"value": float(wanted), "change": None})
                verdict = against_target(evaluator, kpi.model_copy(update={"target": own}), chosen, part.value).verdict
            found.append(
                SegmentValue(
                    segment, part.value, part.numerator, part.denominator, part.n, part.status, verdict, dimension
                )
            )
    return found
