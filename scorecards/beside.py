"""Which figures beside a KPI's value its readers see: those whose definition says how (`also` with `said`), and two
that belong to a form: the year to date of a growth, the records that lack nothing.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scorecards.alsoslot import Also
from scorecards.definition import Kpi
from scorecards.reading import unit_of
from scorecards.values import Beside

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def said_beside(evaluator: "Evaluator", kpi: Kpi, details: Mapping[str, Any]) -> tuple[Beside, ...]:
    """In the order of the definition; of what has no value nothing is said."""
    found = []
    year = details.get("year_to_date")
    if isinstance(year, int | float) and year != details.get("year_on_year"):  # of January and of a year it is that
        found.append(Beside("year_to_date", "{value} in the year to date", year, "ratio"))
    if kpi.filled is not None and (whole := details.get("fully_complete")) is not None:
        found.append(Beside("fully_complete", "{value} of the records lack nothing", whole, "ratio"))
    if isinstance(kpi.also, tuple):
        return tuple(found)
    for name, also in kpi.also.items():
        value = details.get(name)
        if also.clock is not None and kpi.duration is not None and also.clock == kpi.duration.clock:
            continue  # it is the value itself
        if also.said and isinstance(value, int | float) and not isinstance(value, bool):
            unit = _unit(evaluator, kpi, also)
            currency = evaluator.reporting.currency if unit == "money" else None
            found.append(Beside(name, also.said, value, unit, currency, also.clock or ""))
    return tuple(found)


def _unit(evaluator: "Evaluator", kpi: Kpi, also: Also) -> str:
    """What a further figure is of: its own word goes first, else what it is made of says it."""
    if also.unit is not None:
        return also.unit
    if also.kpi is not None:
        other = evaluator.part(kpi, also.kpi)
        whole = unit_of(other, evaluator.kpis, evaluator.compiler)
        return whole if also.part == "value" else "count" if also.part == "n" else "number"
    if also.share is not None or (kpi.retain is not None and also.excluded is None):
        return "ratio"
    if also.excluded is not None or (also.agg in ("count", "distinct")):
        return "count"
    if also.field is not None and also.field != kpi.field:
        column = evaluator.compiler.language.column(evaluator.compiler.relation(kpi), also.field)
        return "money" if column is not None and column.type == "money" else "number"
    return unit_of(kpi, evaluator.kpis, evaluator.compiler)
