"""Who bought, and who is a customer from when to when: relations made of deals, orders and contracts."""

from collections.abc import Mapping
from dataclasses import replace

from scorecards.aliases import filed_under
from scorecards.facts import LIVE
from scorecards.facts.spans import CONTRACTS, made_of
from scorecards.relations.bought import (
    CHURN_REASON,
    FIRST_LEAD_SOURCE,
    new_or_returning,
    ordered,
    product_of_customer,
    product_of_deal,
    product_of_order,
    won,
)
from scorecards.relations.column import MONEY, OWNER, Column, Options, Relation, Spec, converted, converted_by, flag

#: Orders as purchases beside won deals, under the same names.
_DEALS_BOUGHT = (
    "SELECT f.id, f.account_id, f.outcome_date, f.owner_id FROM fact_opportunities f"
    f" WHERE {won('f')} AND f.outcome_date < :today"
)
_ORDERED = (
    "SELECT o.id, COALESCE(al.canonical, o.account_id) AS account_id, o.order_date AS outcome_date, o.owner_id"
    f" FROM orders o LEFT JOIN aliases al ON al.id = o.account_id WHERE {ordered('o')} AND o.order_date < :today"
)


#: Asked of each row rather than of all accounts beforehand: a week's rows are few, and its accounts among many.
LIVE_ACCOUNT = flag(f"EXISTS (SELECT 1 FROM accounts a WHERE a.id = f.account_id AND {LIVE.format('a')})")


#: What an account pays in a year: by its contracts that cover the day before the period; else what it bought in the
#: 365 days before the period, won deals in major units.
_YEARLY = (
    "COALESCE((SELECT SUM(major(c.mrr_minor, c.currency, s.day_start)) * 12 FROM contracts c"
    f" WHERE c.account_id IN {filed_under('f.account_id')} AND {LIVE.format('c')}"
    " AND c.start_date <= s.day_start AND (c.end_date IS NULL OR c.end_date > s.day_start)),"
    f" (SELECT SUM(major(p.amount_minor, p.currency, p.outcome_date, {converted('d')})) FROM fact_opportunities p"
    f" CROSS JOIN opportunities d ON d.id = p.id WHERE p.account_id = f.account_id AND {won('p')}"
    " AND p.outcome_date >= date(s.day_start, '-365 days') AND p.outcome_date < s.at_day))"
)

#: What an account pays in a year as of the first day of the period: by the contracts that cover it, or bought in the
#: 365 days before it.
_CONTRACTED = (
    "(SELECT SUM(major(c.mrr_minor, c.currency, s.day_start)) * 12 FROM contracts c"
    f" WHERE c.account_id IN {filed_under('f.account_id')} AND {LIVE.format('c')}"
    " AND (c.created_at IS NULL OR c.created_at < stamp(:as_of))"
    " AND c.start_date <= s.day_start AND (c.end_date IS NULL OR c.end_date > s.day_start))"
)
_YEAR_BEFORE = "{0} >= date(s.day_start, '-365 days') AND {0} < s.day_start"
_SPENT = {
    "deals": f"SELECT major(p.amount_minor, p.currency, p.outcome_date, {converted('d')}) AS amount"
    " FROM fact_opportunities p CROSS JOIN opportunities d ON d.id = p.id"
    f" WHERE p.account_id = f.account_id AND {won('p')} AND {_YEAR_BEFORE.format('p.outcome_date')}",
    "orders": f"SELECT major(o.amount_minor, o.currency, o.order_date, {converted('o')}) AS amount FROM orders o"
    f" WHERE o.account_id IN {filed_under('f.account_id')} AND {ordered('o')}"
    f" AND {_YEAR_BEFORE.format('o.order_date')}",
}


def _revenue_at_start(options: Options, made: str) -> str:
    if made == CONTRACTS:
        return _CONTRACTED
    return f"(SELECT SUM(amount) FROM ({' UNION ALL '.join(_SPENT[kind] for kind in _kinds(options))}))"


def _made(options: Options) -> str:
    if options.customer_model == "contractual":
        return CONTRACTS
    return made_of(options.lookback_days, options.purchases)


def _kinds(options: Options) -> list[str]:
    return [kind for kind in ("deals", "orders") if kind in options.purchases] or ["deals"]


def _customer_spans(options: Options) -> Relation:
    made = _made(options)
    only_orders = "deals" not in options.purchases
    # A purchase makes a customer from the next day; a deal may be won on the very day its contract begins.
    until = "<=" if made == CONTRACTS else "<"
    needs_table = "contracts" if made == CONTRACTS else "orders" if only_orders else "opportunities"
    or_table = "orders" if needs_table == "opportunities" and "orders" in options.purchases else ""
    own = {
        "id": Column("f.account_id", "text"),
        "account_id": Column("f.account_id", "text"),
        # A span is asked for by its own days, of which the last mostly lie ahead.
        "start_date": Column("f.start_date", "date", dawns=True),
        "end_date": Column("f.end_date", "date", dawns=True),
        "has_live_account": LIVE_ACCOUNT,
        "has_left": flag("f.end_date <= s.at_day"),
        "tenure_days": Column("(julianday(MIN(f.end_date, s.at_day)) - julianday(f.start_date))", "number"),
        # The first day of the period on which it was one, and how many there were.
        "day": Column("(CASE WHEN f.end_date > s.day_start THEN MAX(f.start_date, s.day_start) END)", "date"),
        "days_in_period": Column(
            "(julianday(MIN(f.end_date, s.day_end)) - julianday(MAX(f.start_date, s.day_start)))", "number"
        ),
        "yearly_revenue": Column(_YEARLY, "number"),
        "revenue_at_start": Column(_revenue_at_start(options, made), "number"),
        "days_left": Column("(julianday(f.end_date) - julianday(s.at_day))", "number"),
        # Bought in the period, it would say of those who stay that they bought more: of the kept alone.
        "product": Column(product_of_customer(_kinds(options), f"{until} MAX(f.start_date, s.day_start)"), "text"),
        "first_lead_source": FIRST_LEAD_SOURCE,
        "churn_reason": CHURN_REASON,
    }
    return Relation(
        "customer_spans",
        "fact_customer_spans",
        live=f"f.made_of = '{made}' AND f.known_from < :known_at AND f.known_to >= :known_at",
        turns=("f.known_from", "f.known_to"),
        own=own,
        anchor="start_date",
        needs_table=needs_table,
        or_table=or_table,
        rests=(" or ".join(f"{table}.account_id" for table in (needs_table, or_table) if table),),
        ahead="1",
        made_of=made,
        looks_back=0 if made == CONTRACTS else options.lookback_days,
        stands_for="accounts",
    )


#: A deal's and an order's purchase by the account of the row `f`, for a look at what else it bought: an index each.
_OTHER_DEALS = (
    f"SELECT {{0}} FROM fact_opportunities p WHERE p.account_id = f.account_id AND {won('p')}"
    " AND p.outcome_date {1} AND p.outcome_date < :today"
)
_OTHER_ORDERS = (
    "SELECT {0} FROM (SELECT o.id, o.order_date AS outcome_date FROM orders o WHERE"
    " o.account_id IN (SELECT f.account_id UNION ALL SELECT m.id FROM aliases m WHERE m.canonical = f.account_id)"
    f" AND {ordered('o')} AND o.order_date < :today) p WHERE p.outcome_date {{1}}"
)


#: What a deal cost; nobody's deals have a cost where none of them has.
_COST = "(SELECT d.cost_minor FROM opportunities d WHERE d.id = f.id) AS cost_minor"
_HAVE_COST = {
    "deals": "EXISTS (SELECT 1 FROM opportunities cost WHERE cost.cost_minor IS NOT NULL AND cost.is_deleted = 0)",
    "orders": "EXISTS (SELECT 1 FROM orders cost WHERE cost.cost_minor IS NOT NULL AND cost.is_deleted = 0)",
}
#: What its CRM makes of a purchase, a deal or an order.
_HOME = converted_by("f.id", "opportunities", "orders")

_SPOKEN_SINCE = (
    "(SELECT MIN(t.occurred_at) FROM fact_touches t WHERE t.party_id = f.account_id AND t.is_touch = 1"
    " AND t.occurred_at >= epoch(date(f.outcome_date, '+1 day')) AND t.occurred_at < :as_of)"
)


def _of_deal(what: str) -> str:
    """Something (SQL over `d`) of the deal a purchase is; an order has none of it."""
    return f"(SELECT {what} FROM opportunities d WHERE d.id = f.id)"


def _purchases(options: Options) -> Relation:
    kinds = _kinds(options)
    sources = {
        "deals": _DEALS_BOUGHT.replace("f.owner_id", f"f.owner_id, f.amount_minor, f.currency, {_COST}"),
        "orders": _ORDERED.replace("o.owner_id", "o.owner_id, o.amount_minor, o.currency, o.cost_minor"),
    }
    other = {"deals": _OTHER_DEALS, "orders": _OTHER_ORDERS}

    def others(what: str, when: str) -> str:
        return " UNION ALL ".join(other[kind].format(what, when) for kind in kinds)

    have_cost = f"({' OR '.join(_HAVE_COST[kind] for kind in kinds)})"
    was_customer = (
        "EXISTS (SELECT 1 FROM fact_customer_spans c WHERE c.account_id = f.account_id"
        f" AND +c.made_of = '{_made(options)}' AND +c.known_from < :as_of AND +c.known_to >= :as_of"
        " AND c.start_date <= s.day_end AND c.end_date > s.day_start)"  # the + keeps the index of accounts
    )
    same_day = others("1", "= f.outcome_date AND p.id < f.id")
    own = {
        "id": Column("f.id", "text"),
        "account_id": Column("f.account_id", "text"),
        "owner_id": OWNER,
        "purchase_date": Column("f.outcome_date", "date"),
        "amount": replace(MONEY, home=_HOME),
        "is_first": flag(f"NOT EXISTS ({others('1', '< f.outcome_date')}) AND NOT EXISTS ({same_day})"),
        "next_purchase_date": Column(
            f"(SELECT MIN(day) FROM ({others('MIN(p.outcome_date) AS day', '> f.outcome_date')}))", "date"
        ),
        "bought_before_period": flag(f"EXISTS ({others('1', '< s.day_start')})"),
        "days_ago": Column("(julianday(s.at_day) - julianday(f.outcome_date))", "number"),
        # The first time anybody of ours spoke with the account after the day it bought.
        "spoken_since_at": Column(_SPOKEN_SINCE, "instant", epoch=True),
        "has_live_account": LIVE_ACCOUNT,
        "was_customer": flag(was_customer),
        # Profit where purchases say what they cost, else revenue.
        "worth": Column(
            f"(CASE WHEN {have_cost} THEN f.amount_minor - f.cost_minor ELSE f.amount_minor END)",
            "money",
            currency="f.currency",
            home=_HOME,
        ),
        "product": Column(f"COALESCE({product_of_deal('f')}, {product_of_order('f')})", "text"),
        "first_lead_source": FIRST_LEAD_SOURCE,
        "new_or_returning": new_or_returning("f.account_id", "f.outcome_date"),
        **{name: Column(_of_deal(f"d.{name}"), "text") for name in ("lead_source", "pipeline", "type")},
        "with_partner": Column(_of_deal("CASE WHEN d.partner_account_id IS NULL THEN 'no' ELSE 'yes' END"), "text"),
        "source": Column(
            f"COALESCE({_of_deal('d.source')}, (SELECT o.source FROM orders o WHERE o.id = f.id))", "text"
        ),
        "worth_is": Column(f"(CASE WHEN {have_cost} THEN 'profit' ELSE 'revenue' END)", "text"),
    }
    source = "(" + " UNION ALL ".join(sources[kind] for kind in kinds) + ")"
    table = "opportunities" if "deals" in kinds else "orders"
    also = "orders" if table == "opportunities" and "orders" in kinds else ""
    return Relation(
        "purchases",
        source,
        own=own,
        anchor="purchase_date",
        needs_table=table,
        or_table=also,
        rests=(" or ".join(f"{one}.account_id" for one in (table, also) if one),),
        party="account_id",
    )


SPECS: Mapping[str, Spec] = {
    "contracts": Spec(
        own={
            "start_date": Column("f.start_date", "date", dawns=True),
            "end_date": Column("f.end_date", "date", dawns=True),
        },
    ),
    "purchases": Spec(made=_purchases, behind="opportunities"),
    "customer_spans": Spec(made=_customer_spans, behind="contracts"),
}
