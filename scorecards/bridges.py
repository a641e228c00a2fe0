"""What moved a number: the bridge of a stock, the movements of customers."""

from typing import TYPE_CHECKING, Any

from scorecards.crms import between_crms
from scorecards.definition import Kpi
from scorecards.periods import Slice
from scorecards.tally import Tally, records, tallies, together

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def extras(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally) -> dict[str, Any]:
    """Figures that belong to one form or relation: bridges of stocks, movements of customers, linked pairs."""
    if kpi.retain is not None:
        rows = evaluator.rows(kpi, movements=True)
        moved = together(tallies(evaluator.conn, rows, [slice_], singly=False)[0]).excluded
        return {
            "retention": tally.hits / tally.n if tally.n else None,
            "attrition": (tally.n - tally.hits) / tally.n if tally.n else None,
            "active_end": tally.hits + sum(moved.values()),
            "new": moved.get("new", 0),
            "reactivated": moved.get("reactivated", 0),
        }
    if kpi.filled is not None:
        return {"fully_complete": tally.hits / tally.n if tally.n else None}
    if kpi.of == "tickets" and kpi.stock is not None and kpi.share is None and kpi.agg == "count":
        return _ticket_bridge(evaluator, kpi, slice_)
    return between_crms(evaluator, kpi, slice_)


def _ticket_bridge(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """opening + created + reopened - closed = closing, and the ids at the end."""
    entered = dict(
        evaluator.conn.execute(
            "SELECT entry, COUNT(*) FROM fact_tickets WHERE known_from >= ? AND known_from < ? GROUP BY entry",
            (slice_.since, slice_.at),
        ).fetchall()
    )
    opening = evaluator.conn.execute(
        "SELECT COUNT(*) FROM fact_tickets WHERE is_closed = 0 AND known_from < ?1 AND known_to >= ?1",
        (slice_.since,),
    ).fetchone()[0]
    plain = set(kpi.where) == {"is_closed"}
    ids = [row["id"] for row in records(evaluator.conn, evaluator.rows(kpi), slice_, limit=200)]
    bridge = {"opening": opening, "created": entered.get("created", 0), "closed": entered.get("closed", 0)}
    bridge["reopened"] = entered.get("reopened", 0)
    return {**(bridge if plain else {}), "ids": sorted(ids)}
