"""The further figures beside a KPI's value, over the very rows of its slice, under their public names."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scorecards.bridges import extras
from scorecards.definition import Kpi
from scorecards.figures import scaled
from scorecards.periods import Slice
from scorecards.question import question_beside, question_of
from scorecards.ratios import growths
from scorecards.slots import Also
from scorecards.tally import Tally, aggregate, needs_values, tallies, together

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def details_of(evaluator: "Evaluator", kpi: Kpi, main: Slice, tally: Tally | None) -> dict[str, Any]:
    """The KPI's further figures over the slice shown, under their public names."""
    if kpi.ratio is not None:
        return growths(evaluator, kpi, main)
    if tally is None:
        return {}
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    found: dict[str, Any] = {f"excluded_{why}": tally.excluded.get(why, 0) for why in ("null", "no_fx")}
    if kpi.cohort is not None or kpi.mature is not None:
        found["immature"] = tally.excluded.get("immature", 0)
    also = kpi.also
    if isinstance(also, tuple):
        also = {name: Also(agg=name) for name in also}
    for name, wanted in also.items():
        if wanted.excluded is not None:
            found[name] = tally.excluded.get(wanted.excluded, 0)
            continue
        question = question_beside(kpi, wanted)
        if wanted.own:
            question = replace(question, where=wanted.where)
        if question.field is None and wanted.agg != "count" and kpi.duration is None:
            question = replace(question, field=kpi.field)
        if question == replace(question_of(kpi), agg=wanted.agg) and (tally.values or not needs_values(wanted.agg)):
            part = tally  # the very rows of the value
        else:
            rows = evaluator.compiler.rows(kpi, relation, question, own=wanted.own)
            part = together(tallies(evaluator.conn, rows, [main], singly=needs_values(wanted.agg))[0])
        if wanted.share is not None:
            found[name] = part.hits / part.n if part.n else None
        else:
            value = aggregate(part, wanted.agg)
            if value is not None and wanted.scale is not None:
                value *= wanted.scale
            elif value is not None and kpi.duration is not None and wanted.agg != "count":
                value = scaled(kpi, value)
            found[name] = value
    found.update(extras(evaluator, kpi, main, tally))
    return found
