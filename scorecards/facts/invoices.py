"""What customers owe: each invoice as it was issued, what was still owed of it when, the day it was paid in full."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from scorecards.facts.fact import LIVE, Book, Fact, Row, table
from scorecards.periods import FOREVER, FOREVER_AGO

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
    """An invoice as it was issued, and (is_owed) versions of what is still owed of it, a currency at a time."""
    for id_, group in groupby(rows, itemgetter(0)):
        parts = list(group)
        _, issued, due, amount, currency, account = parts[0][:6]
        payments = [row[7:] for row in parts if row[6] is not None]
        paid_in_full = None
        paid = 0
        moves = [] if issued is None else [(issued, amount, currency)]
        for day, part, of in payments:
            if issued is not None and amount is not None:  # else what was paid would lessen what others owe
                moves.append((day, None if part is None else -part, of))
            # Of a payment in another currency nobody knows how much of the invoice it paid.
            paid += (part or 0) if of == currency else 0
            if paid_in_full is None and amount is not None and paid >= amount and part:
                paid_in_full = day
        tail = (account, issued, due)
        known = FOREVER_AGO if issued is None else book.last_second(issued)
        yield id_, known, FOREVER, 0, issued, amount, currency, *tail, paid_in_full
        for since, until, day, owed, of in _balances(moves, book):
            yield id_, since, until, 1, day, owed, of, *tail, None


def _balances(moves: list[tuple[str, int | None, str | None]], book: Book) -> Iterator[Row]:
    """(known from, known to, day, balance, currency) while there is one; what came without an amount stays unknown."""
    moves.sort(key=lambda move: move[0])
    for currency in dict.fromkeys(move[2] for move in moves):
        balance = 0
        steps: dict[str, int] = {}
        for day, amount, of in moves:
            if of != currency:
                continue
            if amount is None:
                yield book.last_second(day), FOREVER, day, None, currency
                continue
            balance += amount
            steps[day] = balance
        ends = [book.last_second(day) for day in list(steps)[1:]]
        for (day, owed), until in zip(steps.items(), [*ends, FOREVER], strict=False):  # without steps no end either
            if owed:
                yield book.last_second(day), until, day, owed, currency


_COLUMNS = (
    "id", "known_from", "known_to", "is_owed", "day", "amount_minor", "currency", "account_id", "issued_date",
    "due_date", "paid_date",
)  # fmt: skip


FACT = Fact(
    kind="receivables",
    name="fact_receivables",
    columns=_COLUMNS,
    ddl=table(
        "fact_receivables",
        _COLUMNS,
        "(id)",
        "(known_to, known_from, amount_minor, currency, day, id) WHERE is_owed = 1",
        "(day, known_from, known_to, amount_minor, currency) WHERE is_owed = 0",
        "(paid_date, issued_date) WHERE paid_date IS NOT NULL",
    ),
    read=_INVOICES,
    derive=_receivables,
    follows={"invoices": ("id",), "payments": ("invoice_id",)},
    anchors=("day", "paid_date"),
)
