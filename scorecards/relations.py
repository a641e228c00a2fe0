"""What a KPI may count: each relation's rows and columns, as SQL over the fact and canonical tables.

A relation is named like its table. Its columns are the canonical ones, the derived ones (docs/definitions.md G16 and
docs/tables.md), `custom.NAME`, and columns of a row referred to (`owner.name`, `account.industry`).
Aliases in the SQL: `f` the relation's own rows, `r` the canonical row behind them, `s` the slice of time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from scorecards.definition import Reporting
from scorecards.facts import FACTS, LIVE

#: Spellings of earlier pages that go on working.
SPELLINGS = {
    "owner_name": "owner.name",
    "owner_team": "owner.team",
    "owner_email": "owner.email",
    "account_name": "account.name",
    "email": "email_norm",
    "phone": "phone_norm",
    "domain": "domain_norm",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column in SQL. `epoch`: an instant in epoch seconds; `masked`: null until its own instant is past as_of."""

    sql: str
    type: str  # text integer number instant date boolean money any
    epoch: bool = False
    masked: bool = False
    joins: tuple[str, ...] = ()
    currency: str = ""  # SQL of a money column's currency
    undated: str = ""  # SQL, true where the event has happened and the row does not say when
    days_after: tuple[str, int] | None = None  # a date so many days after this column: compared without computing it

    def from_(self, day: str, comparison: str) -> str:
        """This date against a day (SQL); a computed date moves the day instead, so that an index can serve."""
        if self.days_after is None:
            return f"{self.sql} {comparison} {day}"
        column, days = self.days_after
        return f"{column} {comparison} date({day}, '{-days} days')"


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be counted: FROM `source` AS f, of which `live` holds."""

    name: str
    source: str
    live: str = ""
    versioned: bool = False
    base: str | None = None  # the canonical table behind f, joined as r where one of its columns is wanted
    own: Mapping[str, Column] = field(default_factory=dict)
    anchor: str | None = None
    needs_table: str = ""  # the canonical table that must hold rows, or there is no data


def _epoch(name: str, masked: bool = False) -> Column:
    return Column(f"f.{name}", "instant", epoch=True, masked=masked)


def _flag(sql: str) -> Column:
    return Column(f"({sql})", "flag")


def _standing(name: str) -> Column:
    """A reference as the record that stands for it today."""
    return Column(f"COALESCE((SELECT al.canonical FROM aliases al WHERE al.id = f.{name}), f.{name})", "text")


def _bit(name: str) -> Column:
    return Column(f"f.{name}", "boolean")


_MONEY = Column("f.amount_minor", "money", currency="f.currency")
_ANSWERED = "(f.score IS NOT NULL AND f.scale_max > COALESCE(f.scale_min, 0))"

_DERIVED: Mapping[str, Mapping[str, Column]] = {
    "opportunities": {
        "id": Column("f.id", "text"),
        "created_at": _epoch("created_at"),
        "state": Column("f.state", "text"),
        "stage": Column("f.stage", "text"),
        "pipeline": Column("f.pipeline", "text"),
        "outcome_date": Column("f.outcome_date", "date"),
        "is_won": _flag("f.state = 'won'"),
        "is_lost": _flag("f.state = 'lost'"),
        "is_closed": _flag("f.state <> 'open'"),
        "is_open": _bit("is_open"),
        "amount": _MONEY,
        "currency": Column("f.currency", "text"),
        "owner_id": Column("f.owner_id", "text"),
        "account_id": Column("f.account_id", "text"),
        "future_close": Column("f.future_close", "text"),
    },
    "tickets": {
        "id": Column("f.id", "text"),
        "created_at": _epoch("created_at"),
        "status_category": Column("f.status_category", "text"),
        "is_closed": _bit("is_closed"),
        "first_closed_at": _epoch("first_closed_at"),
        "last_closed_at": _epoch("last_closed_at"),
        "first_reopened_at": _epoch("first_reopened_at"),
        "reopen_count": Column("f.reopen_count", "integer"),
        "first_response_at": _epoch("first_response_at", masked=True),
        "close_reason": Column("f.close_reason", "text"),
        "priority": Column("f.priority", "text"),
        "category": Column("f.category", "text"),
        "owner_id": Column("f.owner_id", "text"),
        "account_id": Column("f.account_id", "text"),
        "has_history": _bit("has_history"),
    },
    "leads": {
        "id": Column("f.id", "text"),
        "created_at": _epoch("created_at"),
        "status_category": Column("f.status_category", "text"),
        "is_converted": _flag("f.status_category = 'converted'"),
        "converted_date": Column(
            "f.converted_date", "date", undated="f.status_category = 'converted' AND f.converted_date IS NULL"
        ),
        "source_channel": Column("f.source_channel", "text"),
        "owner_id": Column("f.owner_id", "text"),
        "converted_opportunity_id": Column("f.converted_opportunity_id", "text"),
        "first_outbound_at": _epoch("first_outbound_at", masked=True),
        "is_imported": _bit("is_imported"),
    },
    "activities": {
        **{
            name: Column(f"f.{name}", "text")
            for name in ("id", "type", "direction", "status", "owner_id", "lead_id", "contact_id", "account_id")
        },
        "occurred_at": _epoch("occurred_at"),
        "opportunity_id": Column("f.opportunity_id", "text"),
        "ticket_id": Column("f.ticket_id", "text"),
        "duration_s": Column("f.duration_s", "integer"),
        "is_touch": _bit("is_touch"),
        "is_automated": _bit("is_automated"),
        "is_public": _bit("is_public"),
        "bounced": _bit("bounced"),
        "connected": Column("f.connected", "boolean"),
    },
    "accounts": {
        "last_touch_at": Column(
            "(SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id AND a.is_touch = 1"
            " AND a.occurred_at < s.at)",
            "instant",
            epoch=True,
        ),
        "has_open_opportunity": _flag(
            "EXISTS (SELECT 1 FROM fact_opportunities o WHERE o.account_id = f.id AND o.is_open = 1"
            " AND o.known_from < s.at AND o.known_to >= s.at)"
        ),
        "in_relationship": _flag(
            "f.kind = 'customer' OR EXISTS (SELECT 1 FROM fact_opportunities o WHERE o.account_id = f.id"
            " AND o.is_open = 1 AND o.known_from < s.at AND o.known_to >= s.at)"
        ),
        "days_since_contact": Column(
            "((s.at - (SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id"
            " AND a.is_touch = 1 AND a.occurred_at < s.at)) / 86400)",
            "integer",
        ),
        "days_since_touch": Column(
            # Never touched: since the day it became a customer, by local dates (A4).
            "COALESCE((s.at - (SELECT MAX(a.occurred_at) FROM fact_activities a WHERE a.account_id = f.id"
            " AND a.is_touch = 1 AND a.occurred_at < s.at)) / 86400,"
            " CAST(julianday(s.at_day) - julianday(f.customer_since) AS INTEGER),"
            " (s.at - epoch(f.created_at)) / 86400)",
            "integer",
        ),
    },
    "survey_responses": {
        # After merges: two records of one contact are one who answers.
        **{name: _standing(name) for name in ("ticket_id", "contact_id", "account_id")},
        "score_proportional": Column(f"(CASE WHEN {_ANSWERED} THEN f.score * 1.0 / f.scale_max END)", "number"),
        "score_min_max": Column(
            f"(CASE WHEN {_ANSWERED} THEN (f.score - COALESCE(f.scale_min, 0)) * 1.0"
            " / (f.scale_max - COALESCE(f.scale_min, 0)) END)",
            "number",
        ),
    },
}

_CURRENT: Mapping[str, Mapping[str, Column]] = {
    "opportunities": {
        "is_won": _flag("f.state = 'won'"),
        "is_lost": _flag("f.state = 'lost'"),
        "is_closed": _flag("f.state <> 'open'"),
        "is_open": _flag("f.state = 'open'"),
    },
    "tickets": {"is_closed": _flag("f.status_category = 'closed'")},
    "leads": {"is_converted": _flag("f.status_category = 'converted'")},
}

_ANCHORS = {
    "opportunities": "created_at",
    "tickets": "created_at",
    "leads": "created_at",
    "activities": "occurred_at",
    "survey_responses": "responded_at",
    "survey_invitations": "sent_at",
    "orders": "order_date",
    "invoices": "issued_date",
    "payments": "paid_date",
}

_SPANS = {
    # Contracts [start, end) as they are.
    "contractual": (
        "(SELECT c.id, COALESCE(al.canonical, c.account_id) AS account_id, c.start_date AS start_date,"
        " COALESCE(c.end_date, '9999-12-31') AS end_date FROM contracts c LEFT JOIN aliases al ON al.id = c.account_id"
        f" WHERE {LIVE.format('c')} AND c.start_date IS NOT NULL)"
    ),
    # A purchase makes a customer for `lookback_days` days from the day after it: a purchase in [T - days, T).
    "repurchase": "fact_opportunities",
}
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


def _base_columns(types: Mapping[str, str], alias: str, joins: tuple[str, ...] = ()) -> dict[str, Column]:
    columns = {}
    for name, kind in types.items():
        if kind == "money":
            columns[name.removesuffix("_minor")] = Column(
                f"{alias}.{name}", "money", joins=joins, currency=f"{alias}.currency"
            )
        elif kind != "json":
            columns[name] = Column(f"{alias}.{name}", kind, joins=joins)
    return columns


class Language:
    """The relations and columns of one cache, resolved by name."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting

    def names(self) -> list[str]:
        """Everything `of` may name."""
        return [*self._reporting.tables, "purchases", "customer_spans"]

    def relation(
        self,
        name: str,
        *,
        customer_model: str = "repurchase",
        lookback_days: int = 365,
        purchases: Sequence[str] = ("deals",),
    ) -> Relation | None:
        """The relation `of` names; None when there is none of that name."""
        if name == "customer_spans":
            own = {
                "id": Column("f.id", "text"),
                "account_id": Column("f.account_id", "text"),
                "start_date": Column("f.start_date", "date"),
                "end_date": Column("f.end_date", "date"),
            }
            source = _SPANS[customer_model]
            if customer_model == "contractual":
                return Relation(name, source, own=own, anchor="start_date", needs_table="contracts")
            own["start_date"] = Column("date(f.outcome_date, '+1 day')", "date", days_after=("f.outcome_date", 1))
            own["end_date"] = Column(
                f"date(f.outcome_date, '+{lookback_days + 1} days')",
                "date",
                days_after=("f.outcome_date", lookback_days + 1),
            )
            if "orders" in purchases:
                deals = f"{_DEALS_BOUGHT} UNION ALL " if "deals" in purchases else ""
                table = "opportunities" if deals else "orders"
                return Relation(name, f"({deals}{_ORDERED})", own=own, anchor="start_date", needs_table=table)
            return Relation(name, source, live=_BOUGHT, own=own, anchor="start_date", needs_table="opportunities")
        if name == "purchases":
            own = {
                "id": Column("f.id", "text"),
                "account_id": Column("f.account_id", "text"),
                "owner_id": Column("f.owner_id", "text"),
                "purchase_date": Column("f.purchase_date", "date"),
                "amount": _MONEY,
            }
            return Relation(name, _PURCHASES, own=own, anchor="purchase_date", needs_table="opportunities")
        types = self._reporting.tables.get(name)
        if types is None:
            return None
        fact = FACTS.get(name)
        if fact is not None:
            base = _base_columns(types, "r", ("r",))
            return Relation(
                name,
                fact.name,
                versioned="known_from" in fact.columns,
                base=name,
                own={**base, **_DERIVED[name]},
                anchor=_ANCHORS[name],
                needs_table=name,
            )
        own = {**_base_columns(types, "f"), **_DERIVED.get(name, {})}
        return Relation(name, name, live=LIVE.format("f"), own=own, anchor=_ANCHORS.get(name), needs_table=name)

    def current(self, name: str) -> Relation | None:
        """A canonical table as it is now, for what has no history; with the flags its own state gives."""
        types = self._reporting.tables.get(name)
        if types is None:
            return None
        own = {**_base_columns(types, "f"), **_CURRENT.get(name, {})}
        return Relation(name, name, live=LIVE.format("f"), own=own, anchor=_ANCHORS.get(name), needs_table=name)

    def references(self, relation: Relation) -> dict[str, tuple[str, Column]]:
        """What a row refers to: word before the dot -> (table, our column holding its id)."""
        table = {"purchases": "opportunities", "customer_spans": "contracts"}.get(relation.name, relation.name)
        found = {}
        for column, target in self._reporting.references.get(table, {}).items():
            if column in relation.own:
                found[column.removesuffix("_id")] = (target, relation.own[column])
        return found

    def column(self, relation: Relation, name: str) -> Column | None:
        """Resolve a column name of a KPI; None when there is none of that name."""
        name = name if name in relation.own else SPELLINGS.get(name, name)
        if name in relation.own:
            return relation.own[name]
        alias, joins = ("r", ("r",)) if relation.base else ("f", ())
        head, _, rest = name.partition(".")
        if head == "custom" and rest:
            return Column(f"json_extract({alias}.custom, '$.\"{_json_key(rest)}\"')", "any", joins=joins)
        reference = self.references(relation).get(head)
        if not rest or reference is None:
            return None
        target, through = reference
        own_joins = (*through.joins, head)
        if rest.startswith("custom."):
            key = _json_key(rest.removeprefix("custom."))
            return Column(f"json_extract({head}.custom, '$.\"{key}\"')", "any", joins=own_joins)
        rest = SPELLINGS.get(rest, rest) if rest not in self._reporting.tables.get(target, {}) else rest
        return _base_columns(self._reporting.tables.get(target, {}), head, own_joins).get(rest)

    def join(self, relation: Relation, name: str) -> str:
        """The LEFT JOIN a column asked for."""
        if name == "r":
            return f"LEFT JOIN {relation.base} AS r ON r.id = f.id"
        table, through = self.references(relation)[name]
        return f"LEFT JOIN {table} AS {name} ON {name}.id = {through.sql}"

    def near(self, relation: Relation, name: str) -> str:
        """A sentence naming the nearest known columns."""
        known = [*relation.own, *SPELLINGS]
        for head, (target, _) in self.references(relation).items():
            known += [f"{head}.{column}" for column in self._reporting.tables.get(target, {})]
        close = get_close_matches(name, known, n=3)
        if close:
            return f"Did you mean {' or '.join(close)}?"
        return f"Columns of {relation.name}: {', '.join(sorted(relation.own)[:12])} …, or custom.NAME."


def _json_key(name: str) -> str:
    """A custom column's name as it may stand in a JSON path: quotes and controls have no business there."""
    return "".join(c for c in name if c.isprintable() and c not in "\"'\\")
