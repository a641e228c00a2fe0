"""The records that need a hand, as `kpi show` prints them and as its JSON has them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorecards.render.format import Formatter
    from scorecards.values import KpiResult


def records_json(result: "KpiResult") -> dict[str, Any] | None:
    """`actions` of `kpi show --json`; None of a KPI without a list."""
    if result.actions is None:
        return None
    rows = [
        {"id": r.id, "title": r.title, "url": r.url, "owner": r.owner, "reason": r.reason, "amount": r.amount}
        for r in result.actions.rows
    ]
    return {"label": result.actions.label, "total": result.actions.total, "records": rows}


def records_said(result: "KpiResult", fmt: "Formatter") -> Iterator[str]:
    """Lines for people: each record with what is to be said of it, and below it its link."""
    if result.actions is None or not result.actions.rows:
        return
    yield f"  {result.actions.label} ({len(result.actions.rows)} of {result.actions.total})"
    for row in result.actions.rows:
        amount = "" if row.amount is None else fmt.money(row.amount, currency=result.currency, short=False)
        yield f"    {', '.join(said for said in (row.title, amount, row.reason, row.owner) if said)}"
        if row.url:
            yield f"      {row.url}"
