"""What a deal, an order or a customer bought, where the customer came from, and whether it had bought before."""

from collections.abc import Sequence

from scorecards.aliases import filed_under
from scorecards.facts import ITS_IDS, LIVE
from scorecards.facts.spans import NOT_CANCELLED
from scorecards.relations.column import Column

#: The one segment of what has several products, so that segments add up to the whole.
SEVERAL = "(several)"


def _one_of(products: str) -> str:
    """The product (SQL) of rows with a column `product`; several are one segment of their own."""
    return (
        f"(SELECT CASE WHEN MIN(g.product) <> MAX(g.product) THEN '{SEVERAL}' ELSE MIN(g.product) END"
        f" FROM ({products}) g)"
    )


def _lines(table: str, ids: str) -> str:
    named = "SELECT NULLIF(trim(l.product), '') AS product"
    return f"{named} FROM {table}_lines l WHERE l.{table}_id {ids} AND {LIVE.format('l')}"


def product_of_deal(row: str) -> str:
    """The product (SQL) on a deal's own lines; on those of the records it stands for where it has none."""
    own, others = (f"= {row}.id", f"IN ({ITS_IDS.format(row)})")
    return f"COALESCE({_one_of(_lines('opportunity', own))}, {_one_of(_lines('opportunity', others))})"


def product_of_order(row: str) -> str:
    """The product (SQL) on an order's lines."""
    return _one_of(_lines("order", f"= {row}.id"))


def won(deal: str) -> str:
    """Whether a version of a deal (SQL, its alias) is the one known at as_of, and won."""
    return f"{deal}.state = 'won' AND {deal}.known_from < :as_of AND {deal}.known_to >= :as_of"


def ordered(order: str) -> str:
    """Whether an order (SQL, its alias) counts and stands, as far as that is known at as_of."""
    return (
        f"{LIVE.format(order)} AND ({order}.created_at IS NULL OR {order}.created_at < stamp(:as_of))"
        f" AND {NOT_CANCELLED.format(order)} AND ({order}.cancelled_date IS NULL OR {order}.cancelled_date >= :today)"
    )


def _won_with(account: str) -> str:
    """Of `p`, the deals won with an account (SQL) before today."""
    return f"p.account_id = {account} AND {won('p')} AND p.outcome_date < :today"


def product_of_customer(kinds: Sequence[str], until: str) -> str:
    """What the account of a row had bought by a condition on the day, itself SQL: "< DAY"."""
    products = {
        "deals": f"SELECT {product_of_deal('p')} AS product FROM fact_opportunities p"
        f" WHERE {_won_with('f.account_id')} AND p.outcome_date {until}",
        "orders": f"SELECT {product_of_order('o')} AS product FROM orders o WHERE o.account_id IN"
        f" {filed_under('f.account_id')} AND {ordered('o')} AND o.order_date < :today AND o.order_date {until}",
    }
    return _one_of(" UNION ALL ".join(products[kind] for kind in kinds))


#: Where the account of a row came from: the lead source of the first deal won with it.
FIRST_LEAD_SOURCE = Column(
    "(SELECT d.lead_source FROM fact_opportunities p JOIN opportunities d ON d.id = p.id"
    f" WHERE {_won_with('f.account_id')} ORDER BY p.outcome_date, p.id LIMIT 1)",
    "text",
)
#: Why the account of a row may have left: the reason of the last deal lost with it since it became a customer.
CHURN_REASON = Column(
    "(SELECT d.loss_reason FROM opportunities d CROSS JOIN fact_opportunities p ON p.id = d.id"
    f" WHERE d.account_id IN {filed_under('f.account_id')} AND p.state = 'lost'"
    " AND p.known_from < :as_of AND p.known_to >= :as_of AND p.outcome_date < :today"
    " AND p.outcome_date >= f.start_date AND p.outcome_date < s.day_end"
    " ORDER BY p.outcome_date DESC, p.id LIMIT 1)",
    "text",
)


def new_or_returning(account: str, day: str, otherwise: str = "NULL") -> Column:
    """Whether an account (SQL) had won a deal with us before a day (SQL); `otherwise` (SQL) where there is none."""
    bought = f"SELECT 1 FROM fact_opportunities p WHERE {_won_with('w.account')} AND p.outcome_date < w.day"
    return Column(
        f"(SELECT CASE WHEN w.account IS NULL THEN {otherwise} WHEN EXISTS ({bought}) THEN 'returning' ELSE 'new' END"
        f" FROM (SELECT {account} AS account, {day} AS day) w)",
        "text",
    )
