"""What customers owe: invoices as they were issued, payments on their days, and the day each was paid in full."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import LIVE, Book, Fact, Row, table

#: Of an invoice that was taken back, or never sent out, nobody owes anything.
_NOT_OWED = "('void', 'voided', 'draft', 'cancelled', 'canceled')"
_INVOICES = f"""
    SELECT i.id, i.issued_date, i.due_date, i.amount_minor, i.currency, COALESCE(al.canonical, i.account_id),
           p.id, p.paid_date, p.amount_minor, COALESCE(p.currency, i.currency)
    FROM temp.wanted w CROSS JOIN invoices i ON i.id = w.id
    LEFT JOIN aliases al ON al.id = i.account_id
    LEFT JOIN payments p ON p.invoice_id = i.id AND p.paid_date IS NOT NULL AND {LIVE.format("p")}
    WHERE {LIVE.format("i")} AND COALESCE(lower(i.status), '') NOT IN {_NOT_OWED}
    ORDER BY i.id, p.paid_date, p.id
"""


def _receivables(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    """An invoice's own row and one for each payment, what was paid below 0: their sum is what is owed on any day."""
    for id_, group in groupby(rows, itemgetter(0)):
        parts = list(group)
        _, issued, due, amount, currency, account = parts[0][:6]
        payments = [row[6:] for row in parts if row[6] is not None]
        paid_in_full = None
        paid = 0
        for _, day, part, of in payments:
            # Of a payment in another currency nobody knows how much of the invoice it paid.
            paid += (part or 0) if of == currency else 0
            if paid_in_full is None and amount is not None and paid >= amount and part:
                paid_in_full = day
        yield id_, id_, "invoice", issued, amount, currency, account, issued, due, paid_in_full
        for payment, day, part, of in payments:
            yield payment, id_, "payment", day, None if part is None else -part, of, account, issued, due, None


_COLUMNS = (
    "id", "invoice_id", "kind", "day", "amount_minor", "currency", "account_id", "issued_date", "due_date", "paid_date",
)  # fmt: skip


FACT = Fact(
    kind="receivables",
    name="fact_receivables",
    columns=_COLUMNS,
    ddl=table(
        "fact_receivables",
        _COLUMNS,
        "(invoice_id)",
        "(day, kind, amount_minor, currency)",
        "(paid_date, issued_date) WHERE paid_date IS NOT NULL",
    ),
    read=_INVOICES,
    derive=_receivables,
    unit="invoice_id",
    follows={"invoices": ("id",), "payments": ("invoice_id",)},
    anchors=("day", "paid_date"),
)
