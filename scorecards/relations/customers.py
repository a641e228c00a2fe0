"""Who bought, and who is a customer from when to when: relations made of deals, orders and contracts."""

from collections.abc import Mapping

from scorecards.facts import LIVE
from scorecards.relations.column import MONEY, Column, Options, Relation, Spec, flag

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
    # A span is asked for by its own days, of which the last mostly lie ahead.
    name = "customer_spans"
    own = {
        "id": Column("f.id", "text"),
        "account_id": Column("f.account_id", "text"),
        "start_date": Column("f.start_date", "date"),
        "end_date": Column("f.end_date", "date"),
    }
    if options.customer_model == "contractual":
        return Relation(name, _CONTRACTS, own=own, anchor="start_date", needs_table="contracts", ahead="1")
    # A purchase makes a customer for `lookback_days` days from the day after it: a purchase in [T - days, T).
    days = options.lookback_days + 1
    own["start_date"] = Column("date(f.outcome_date, '+1 day')", "date", days_after=("f.outcome_date", 1))
    own["end_date"] = Column(f"date(f.outcome_date, '+{days} days')", "date", days_after=("f.outcome_date", days))
    if "orders" in options.purchases:
        deals = f"{_DEALS_BOUGHT} UNION ALL " if "deals" in options.purchases else ""
        table = "opportunities" if deals else "orders"
        return Relation(name, f"({deals}{_ORDERED})", own=own, anchor="start_date", needs_table=table, ahead="1")
    return Relation(
        name, "fact_opportunities", live=_BOUGHT, own=own, anchor="start_date", needs_table="opportunities", ahead="1"
    )


#: A deal's and an order's purchase by the account of the row `f`, for a look at what else it bought: an index each.
_OTHER_DEALS = (
    "SELECT {0} FROM fact_opportunities p WHERE p.account_id = f.account_id AND p.state = 'won'"
    " AND p.outcome_date {1} AND p.known_from < :as_of AND p.known_to >= :as_of AND p.outcome_date < :today"
)
_OTHER_ORDERS = (
    "SELECT {0} FROM (SELECT o.id, o.order_date AS outcome_date FROM orders o WHERE"
    " o.account_id IN (SELECT f.account_id UNION ALL SELECT m.id FROM aliases m WHERE m.canonical = f.account_id)"
    f" AND {LIVE.format('o')} AND o.order_date < :today AND (o.created_at IS NULL OR o.created_at < stamp(:as_of))"
    " AND COALESCE(lower(o.status), '') NOT IN ('cancelled', 'canceled')"
    " AND (o.cancelled_date IS NULL OR o.cancelled_date >= :today)) p WHERE p.outcome_date {1}"
)


def _purchases(options: Options) -> Relation:
    kinds = [kind for kind in ("deals", "orders") if kind in options.purchases] or ["deals"]
    sources = {
        "deals": _DEALS_BOUGHT.replace("f.owner_id", "f.owner_id, f.amount_minor, f.currency"),
        "orders": _ORDERED.replace("o.owner_id", "o.owner_id, o.amount_minor, o.currency"),
    }
    other = {"deals": _OTHER_DEALS, "orders": _OTHER_ORDERS}

    def others(what: str, when: str) -> str:
        return " UNION ALL ".join(other[kind].format(what, when) for kind in kinds)

    same_day = others("1", "= f.outcome_date AND p.id < f.id")
    own = {
        "id": Column("f.id", "text"),
        "account_id": Column("f.account_id", "text"),
        "owner_id": Column("f.owner_id", "text"),
        "purchase_date": Column("f.outcome_date", "date"),
        "amount": MONEY,
        "is_first": flag(f"NOT EXISTS ({others('1', '< f.outcome_date')}) AND NOT EXISTS ({same_day})"),
        "next_purchase_date": Column(
            f"(SELECT MIN(day) FROM ({others('MIN(p.outcome_date) AS day', '> f.outcome_date')}))", "date"
        ),
        "bought_before_period": flag(f"EXISTS ({others('1', '< s.day_start')})"),
        "has_live_account": flag(f"f.account_id IN (SELECT a.id FROM accounts a WHERE {LIVE.format('a')})"),
    }
    source = "(" + " UNION ALL ".join(sources[kind] for kind in kinds) + ")"
    table = "opportunities" if "deals" in kinds else "orders"
    return Relation("purchases", source, own=own, anchor="purchase_date", needs_table=table)


SPECS: Mapping[str, Spec] = {
    "purchases": Spec(made=_purchases, behind="opportunities"),
    "customer_spans": Spec(made=_customer_spans, behind="contracts"),
}
