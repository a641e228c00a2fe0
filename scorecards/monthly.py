"""What is noted once a month (costs): of a period that lacks a month a figure is a part, and says so."""

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.figures import Figure, noun
from scorecards.periods import Slice, add_months
from scorecards.question import question_of

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Months named in a sentence.
_NAMED = 3


def with_gaps(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, found: Figure) -> Figure:
    """The figure of a slice: partial where a month that has a day in it has no row, covering as much as its months."""
    if kpi.every is None or kpi.date is None or found.status not in ("ok", "partial"):
        return found
    if slice_.span.granularity == "all":
        return found  # since when they are noted nobody says
    wanted = _months(slice_.day_start, min(slice_.day_end, slice_.at_day))
    missing = sorted(wanted - _noted(evaluator, kpi, slice_))
    if not missing:
        return found
    there = len(wanted) - len(missing)
    coverage = min(there / len(wanted), 1.0 if found.coverage is None else found.coverage)
    said = f"{noun(kpi)} are known of {there} of {len(wanted)} months, not of {_listed(missing)}"
    return replace(found, status="partial", reason=said, coverage=coverage)


def _months(start: date, end: date) -> set[str]:
    """The calendar months that have a day in [start, end)."""
    found, month = set(), start.replace(day=1)
    while month < end:
        found.add(f"{month:%Y-%m}")
        month = add_months(month, 1)
    return found


def _noted(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> set[str]:
    """The months of rows that are in the figure; one whose rows have no amount is not known."""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    rows = evaluator.compiler.rows(kpi, relation, question_of(kpi), show=(kpi.date or "",))
    statement = f"SELECT DISTINCT substr(c0, 1, 7) FROM ({rows.sql}) WHERE why IS NULL"
    return {row[0] for row in evaluator.conn.execute(statement, rows.of(slice_))}


def _listed(months: list[str]) -> str:
    """At most three by name."""
    more = f" and {len(months) - _NAMED} more" if len(months) > _NAMED else ""
    return f"{', '.join(months[:_NAMED])}{more}"
