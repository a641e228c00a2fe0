"""Who was a customer on which day: retention over many periods from one look at each day.

The row statement of the compiler says the same of one period, record by record; this counts sets, so that a
series of periods that share their borders reads each border once.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.facts import LIVE
from scorecards.periods import Slice
from scorecards.tally import Tally

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def retained(evaluator: "Evaluator", kpi: Kpi, slices: Sequence[Slice]) -> list[Tally]:
    """Per slice: n customers at its start, hits of them still there at its end (as known at as_of)."""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    rows = evaluator.compiler.spans(kpi, relation)
    spans = [tuple(row) for row in evaluator.conn.execute(rows.sql, rows.values)]
    live = {row[0] for row in evaluator.conn.execute(f"SELECT id FROM accounts a WHERE {LIVE.format('a')}")}
    found: dict[date, set[str]] = {}

    def active(day: date) -> set[str]:
        if day not in found:
            at = day.isoformat()
            found[day] = live.intersection(key for key, opens, closes in spans if opens <= at < closes)
        return found[day]

    tallies = []
    for slice_ in slices:
        start, end = active(slice_.day_start), active(slice_.at_day)
        kept = len(start & end)
        tallies.append(Tally(n=len(start), hits=kept, x=Decimal(len(start)), x_hit=Decimal(kept)))
    return tallies
