"""Deals and activities kept in several CRMs and counted once: how a figure comes from each CRM's (docs/links.md)."""

import sqlite3
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi
from scorecards.errors import ScorecardError
from scorecards.facts import FACTS
from scorecards.figures import is_two_sided, scaled
from scorecards.periods import Slice
from scorecards.tally import Tally, aggregate, together

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: The relation that holds the copies of a relation's rows, each as its own CRM has it.
_COPIES = {"opportunities": "opportunity_copies", "activities": "activity_copies"}
#: The column that names the CRM.
_CRM = "source"
#: Sums of converted money may differ in the last digits of their rates.
_TOLERANCE = 1e-9


def between_crms(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """For a count or sum of deals or activities: `crm_bridge` in the KPI's unit; of deals also the pairs and orphans.

    `crm_bridge`: each CRM's figure over all its live rows, what the copies among them hold (`linked`, below 0), and the
    `total` of these, which is the KPI's value. Empty where nothing is kept twice. Raises ScorecardError where it does
    not add up.
    """
    copied = _COPIES.get(kpi.of or "")
    if copied is None or kpi.agg not in ("count", "sum") or is_two_sided(kpi) or not _adds_up(kpi):
        return {}
    found: dict[str, Any] = _linked(evaluator.conn) if kpi.agg == "sum" and kpi.of == "opportunities" else {}
    has_copies = evaluator.conn.execute(f"SELECT 1 FROM {FACTS[copied].name} LIMIT 1").fetchone() is not None
    if not has_copies or _CRM in evaluator.reporting.dimensions:  # a dimension of that name splits by something else
        return found
    counted = _by_crm(evaluator, kpi, slice_)
    copies = _by_crm(evaluator, kpi.model_copy(update={"of": copied}), slice_)
    of_all = {source: together({"counted": counted.get(source, Tally()), "copies": copies.get(source, Tally())})
              for source in sorted(counted.keys() | copies.keys())}  # fmt: skip
    if not any(copy.n for copy in copies.values()):
        return found
    bridge = {source: _value(kpi, tally) for source, tally in of_all.items()}
    bridge["linked"] = -_value(kpi, together(copies))
    total = _value(kpi, together(counted))
    gap = sum(bridge.values()) - total
    if abs(gap) > _TOLERANCE * max(1.0, *(abs(amount) for amount in bridge.values())):
        raise ScorecardError(f"what is in each CRM does not add up: {gap:+g} off the value")
    return {**found, "crm_bridge": {**bridge, "total": total}}


def _adds_up(kpi: Kpi) -> bool:
    """Is the figure of all rows that of some plus that of the others?"""
    return not (kpi.latest_per or kpi.first_per or kpi.per or kpi.per_distinct or kpi.duration)


def _by_crm(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Tally]:
    return evaluator.parts(kpi, evaluator.rows(kpi, _CRM), [slice_], singly=False)[0]


def _value(kpi: Kpi, tally: Tally) -> float | int:
    return scaled(kpi, aggregate(tally, kpi.agg) or 0)


def _linked(conn: sqlite3.Connection) -> dict[str, Any]:
    """Deals kept in both CRMs and counted once, and copies whose original was never synced."""
    pairs = conn.execute(
        "SELECT COUNT(*) FROM opportunities WHERE dup_of IS NOT NULL AND is_deleted = 0 AND is_test = 0"
    ).fetchone()[0]
    orphans = conn.execute(
        "SELECT COUNT(*) FROM opportunities WHERE sf_opportunity_id IS NOT NULL AND dup_of IS NULL"
        " AND source <> 'salesforce' AND is_deleted = 0 AND merged_into IS NULL AND is_test = 0"
        " AND NOT EXISTS (SELECT 1 FROM link_names n WHERE n.object = 'opportunities' AND n.copy = opportunities.id)"
    ).fetchone()[0]
    return {"linked_pairs": pairs, "orphan_links": orphans}
