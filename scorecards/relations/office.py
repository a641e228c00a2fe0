"""Orders, invoices and payments."""

from collections.abc import Mapping

from scorecards.relations.column import Column, Spec, flag, of_live

SPECS: Mapping[str, Spec] = {
    "orders": Spec(
        # The first promise is the one that was made; one moved since is no other.
        own={
            "due_date": Column("COALESCE(f.original_promised_date, f.promised_date)", "date"),
            "is_cancelled": flag("lower(f.status) IN ('cancelled', 'canceled')"),
        },
        anchor="order_date",
    ),
    "order_lines": Spec(live=of_live("orders", "order_id")),
    "invoices": Spec(anchor="issued_date"),
    "payments": Spec(anchor="paid_date", live=of_live("invoices", "invoice_id")),
}
