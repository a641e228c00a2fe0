"""Orders, invoices and payments."""

from collections.abc import Mapping

from scorecards.relations.column import Spec

SPECS: Mapping[str, Spec] = {
    "orders": Spec(anchor="order_date"),
    "invoices": Spec(anchor="issued_date"),
    "payments": Spec(anchor="paid_date"),
}
