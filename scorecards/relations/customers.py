"""Who bought, and who is a customer from when to when: relations made of deals, orders and contracts."""

from collections.abc import Mapping

from scorecards.facts import LIVE
from scorecards.relations.column import MONEY, Column, Options, Relation, Spec

#: Contracts [start, end) as they are.
_CONTRACTS = (
    "(SELECT c.id, COALESCE(al.canonical, c.account_id) AS account_id, c.start_date AS start_date,"
    " COALESCE(c.end_date, '9999-12-31') AS end_date FROM contracts c LEFT JOIN aliases al ON al.id = c.account_id"
    f" WHERE {LIVE.format('c')} AND c.start_date IS NOT NULL)"
)
_BOUGHT = (
    "f.state = 'won' AND f.outcome_date IS NOT NULL AND f.known_from < :as_of AND f.known_to >= :as_of"
    " AND f.outcome_date < :today"
)
_PURCHASES = (
    "(SELECT p.id, p.account_id, p.outcome_date AS purchase_date, p.amount_minor, p.currency, p.owner_id"
    " FROM fact_opportunities p WHERE p.state = 'won' AND p.outcome_date IS NOT NULL AND p.known_from < :as_of"
    " AND p.known_to >= :as_of AND p.outcome_date < :today)"
)


#: Orders as purchases beside won deals, under the same names.
_DEALS_BOUGHT = f"SELECT f.id, f.account_id, f.outcome_date, f.owner_id FROM fact_opportunities f WHERE {_BOUGHT}"
_ORDERED = (
    "SELECT o.id, COALESCE(al.canonical, o.account_id) AS account_id, o.order_date AS outcome_date, o.owner_id"
    f" FROM orders o LEFT JOIN aliases al ON al.id = o.account_id WHERE {LIVE.format('o')}"
    " AND o.order_date < :today AND (o.created_at IS NULL OR o.created_at < stamp(:as_of))"
    " AND COALESCE(lower(o.status), '') NOT IN ('cancelled', 'canceled')"
    " AND (o.cancelled_date IS NULL OR o.cancelled_date >= :today)"
)


def _customer_spans(options: Options) -> Relation:
    name = "customer_spans"
    own = {
        "id": Column("f.id", "text"),
        "account_id": Column("f.account_id", "text"),
        "start_date": Column("f.start_date", "date"),
        "end_date": Column("f.end_date", "date"),
    }
    if options.customer_model == "contractual":
        return Relation(name, _CONTRACTS, own=own, anchor="start_date", needs_table="contracts")
    # A purchase makes a customer for `lookback_days` days from the day after it: a purchase in [T - days, T).
    days = options.lookback_days + 1
    own["start_date"] = Column("date(f.outcome_date, '+1 day')", "date", days_after=("f.outcome_date", 1))
    own["end_date"] = Column(f"date(f.outcome_date, '+{days} days')", "date", days_after=("f.outcome_date", days))
    if "orders" in options.purchases:
        deals = f"{_DEALS_BOUGHT} UNION ALL " if "deals" in options.purchases else ""
        table = "opportunities" if deals else "orders"
        return Relation(name, f"({deals}{_ORDERED})", own=own, anchor="start_date", needs_table=table)
    return Relation(name, "fact_opportunities", live=_BOUGHT, own=own, anchor="start_date", needs_table="opportunities")


def _purchases(options: Options) -> Relation:
    own = {
        "id": Column("f.id", "text"),
        "account_id": Column("f.account_id", "text"),
        "owner_id": Column("f.owner_id", "text"),
        "purchase_date": Column("f.purchase_date", "date"),
        "amount": MONEY,
    }
    return Relation("purchases", _PURCHASES, own=own, anchor="purchase_date", needs_table="opportunities")


SPECS: Mapping[str, Spec] = {
    "purchases": Spec(made=_purchases, behind="opportunities"),
    "customer_spans": Spec(made=_customer_spans, behind="contracts"),
}
