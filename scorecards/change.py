"""What moved a KPI since the period it is compared with: its drivers, from the rows of both sides by segment."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from scorecards.definition import Kpi
from scorecards.drivers import Part, decimal_of, explain_change
from scorecards.figures import is_two_sided, n_min, sides
from scorecards.plan import Plan
from scorecards.reading import direction_of
from scorecards.tally import Tally, tallies
from scorecards.values import Comparison

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def form_of(kpi: Kpi) -> Literal["sum", "rate", "mean"] | None:
    """How a KPI's segments make the whole; None where they do not: different ones, extremes, other KPIs, own SQL."""
    if kpi.of is None or kpi.retain is not None or kpi.per is not None or kpi.per_distinct is not None:
        return None
    if is_two_sided(kpi):
        return "sum" if kpi.headline == "count" and kpi.share is not None else "rate"
    if kpi.agg in ("count", "sum"):
        return "sum"
    return "mean" if kpi.agg in ("avg", "median") or kpi.agg.startswith("p") else None


def drivers_of(
    evaluator: "Evaluator", kpi: Kpi, chosen: Plan, by: Sequence[str], compared: Sequence[Comparison]
) -> dict[str, Any] | None:
    """The change against the first comparison that has a value, by the first dimension asked for: its public form."""
    form = form_of(kpi)
    against = next((c.against for c in compared if c.change is not None), None)
    if form is None or against is None or not by:
        return None
    earlier = dict(chosen.compared)[against]
    before, now = tallies(evaluator.conn, evaluator.rows(kpi, by[0]), [earlier, chosen.main], singly=False)
    found = explain_change(
        _parts(kpi, before),
        _parts(kpi, now),
        form,
        n_min=n_min(kpi),
        of_median=form == "mean" and kpi.agg != "avg",
        direction=direction_of(kpi),
    )
    return None if found is None else found.to_json(against, by[0])


def _parts(kpi: Kpi, tallied: Mapping[str, Tally]) -> dict[str, Part]:
    return {segment: _part(kpi, tally) for segment, tally in tallied.items() if tally.n}


def _part(kpi: Kpi, tally: Tally) -> Part:
    if is_two_sided(kpi):
        above, below = sides(kpi, tally)
        return Part(decimal_of(above), decimal_of(below), tally.n)
    top = Decimal(tally.n) if kpi.agg == "count" else tally.x
    if kpi.scale is not None and kpi.duration is None:
        top *= decimal_of(kpi.scale)  # answers on their scale
    # Days are divided by below, not above: seconds are whole, their 86,400th is not.
    bottom = tally.n * (86400 if kpi.duration is not None and kpi.duration.unit == "d" else 1)
    return Part(top, Decimal(bottom), tally.n)
