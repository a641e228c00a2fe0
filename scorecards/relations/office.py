"""The back office: orders, invoices and payments, units sold and monthly costs."""

from collections.abc import Mapping
from dataclasses import replace

from scorecards.aliases import standing
from scorecards.facts import LIVE
from scorecards.facts.fact import ITS_IDS
from scorecards.relations.bought import ordered, product_of_order, won
from scorecards.relations.column import MONEY, OWNER, Column, Options, Relation, Spec, bit, converted_by, flag, of_live

#: Lines of won deals by the day they were won, as known at as_of; lines of a merged deal are the survivor's.
_DEAL_LINES = f"""(
    SELECT l.id, l.product, l.quantity, d.outcome_date AS sold_date, d.account_id, d.owner_id
    FROM fact_opportunities d CROSS JOIN opportunity_lines l
    WHERE {won("d")} AND l.opportunity_id IN ({ITS_IDS.format("d")}) AND {LIVE.format("l")})"""
#: Lines of orders that were not cancelled, by the day they were ordered.
_ORDER_LINES = f"""(
    SELECT l.id, l.product, l.quantity, o.order_date AS sold_date, {standing("o.account_id")} AS account_id, o.owner_id
    FROM orders o CROSS JOIN order_lines l ON l.order_id = o.id
    WHERE {ordered("o")} AND {LIVE.format("l")})"""


def _units_sold(options: Options) -> Relation:
    own = {name: Column(f"f.{name}", "text") for name in ("id", "product", "account_id")}
    own |= {"owner_id": OWNER, "quantity": Column("f.quantity", "number"), "sold_date": Column("f.sold_date", "date")}
    source, table = (_ORDER_LINES, "order_lines") if options.units == "orders" else (_DEAL_LINES, "opportunity_lines")
    return Relation("units_sold", source, own=own, anchor="sold_date", needs_table=table)


#: What is owed of an invoice in whatever currencies, and the one of its rows that stands for them.
_ITS_BALANCES = (
    "FROM fact_receivables o WHERE o.id = f.id AND o.is_owed = 1 AND o.known_from < s.at AND o.known_to >= s.at"
)
#: What is owed or paid of an invoice in its own currency is converted as the invoice.
_AS_ITS_INVOICE = "h.currency = {0}.currency"
_OWED_IN_HOME = converted_by("o.id", "invoices", only=_AS_ITS_INVOICE.format("o"))
_OWED = f"(SELECT SUM(major(o.amount_minor, o.currency, s.at_day, {_OWED_IN_HOME})) {_ITS_BALANCES})"
_IS_MAIN = f"f.is_owed = 1 AND f.rowid = (SELECT MIN(o.rowid) {_ITS_BALANCES})"


def _receivables(options: Options) -> Relation:
    own = {name: Column(f"f.{name}", "text") for name in ("id", "account_id")}
    own |= {name: Column(f"f.{name}", "date") for name in ("day", "issued_date", "due_date", "paid_date")}
    amount = replace(MONEY, home=converted_by("f.id", "invoices", only=_AS_ITS_INVOICE.format("f")))
    own |= {"is_owed": bit("is_owed"), "amount": amount, "owed": Column(_OWED, "number"), "is_main": flag(_IS_MAIN)}
    return Relation(
        "receivables",
        "fact_receivables",
        versioned=True,
        own=own,
        anchor="day",
        needs_table="invoices",
        amounts_in="fact_receivables",
    )


def _days(since: str, until: str) -> str:
    return f"julianday({until}) - julianday({since})"


#: The month of a cost, and where it and the period asked for begin and end together.
_MONTH = "(substr(f.month, 1, 7) || '-01')"
_NEXT = f"date({_MONTH}, '+1 month')"
_FROM, _TO = f"MAX({_MONTH}, s.day_start)", f"MIN({_NEXT}, s.day_end)"


SPECS: Mapping[str, Spec] = {
    "orders": Spec(
        # The first promise is the one that was made; one moved since is no other.
        own={
            "due_date": Column("COALESCE(f.original_promised_date, f.promised_date)", "date"),
            "product": Column(product_of_order("f"), "text"),
            "is_cancelled": flag("lower(f.status) IN ('cancelled', 'canceled')"),
        },
        anchor="order_date",
    ),
    "order_lines": Spec(live=of_live("orders", "order_id")),
    "units_sold": Spec(made=_units_sold, behind="opportunities"),
    "invoices": Spec(anchor="issued_date"),
    "payments": Spec(
        own={"amount": replace(MONEY, home=converted_by("f.invoice_id", "invoices", only=_AS_ITS_INVOICE.format("f")))},
        anchor="paid_date",
        live=of_live("invoices", "invoice_id"),
    ),
    "receivables": Spec(made=_receivables, behind="invoices"),
    "costs": Spec(
        # The first day of the month that lies in the period, and as much of its cost as days of it do.
        own={
            "day": Column(f"(CASE WHEN {_NEXT} > s.day_start THEN {_FROM} END)", "date"),
            "cost": Column(
                f"(f.amount_minor * ({_days(_FROM, _TO)}) / ({_days(_MONTH, _NEXT)}))",
                "money",
                currency="f.currency",
            ),
        },
        anchor="day",
    ),
}
