"""What is noted once a month (costs): of a period that lacks a month a figure is a part, and says so."""

from collections.abc import Sequence
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
    return all_with_gaps(evaluator, kpi, slice_, [found])[0]


def all_with_gaps(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, figures: Sequence[Figure]) -> list[Figure]:
    """The figures of a slice's segments: a month nobody noted is lacking in each.

    One that only a segment has no row of is not: of it nothing was spent then.
    """
    if kpi.every is None or kpi.date is None or not any(one.status in ("ok", "partial") for one in figures):
        return list(figures)
    if slice_.span.granularity == "all":
        return list(figures)  # since when they are noted nobody says
    wanted = _months(slice_.day_start, min(slice_.day_end, slice_.at_day))
    missing = sorted(wanted - _noted(evaluator, kpi, slice_))
    if not missing:
        return list(figures)
    there = len(wanted) - len(missing)
    said = f"{noun(kpi)} are known of {there} of {len(wanted)} months, not of {_listed(missing)}"
    made = []
    for one in figures:
        if one.status in ("ok", "partial"):
            coverage = min(there / len(wanted), 1.0 if one.coverage is None else one.coverage)
            one = replace(one, status="partial", reason=said, coverage=coverage)
        made.append(one)
    return made


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
