"""Which columns of the canonical tables a KPI reads: what a change in a source's fields touches.

Names are resolved as the compiler resolves them; a derived column stands for those it is made of. Nothing is read.
"""

import re
from collections.abc import Iterator, Mapping

from scorecards.conditions import columns_of
from scorecards.definition import Kpi, Reporting
from scorecards.made_of import MADE_OF, Place
from scorecards.relations import SPECS, SPELLINGS, Language

#: The table behind a relation that is made of others.
_BEHIND = {
    "purchases": "opportunities",
    "funnel_steps": "opportunities",
    "opportunity_copies": "opportunities",
    "customer_spans": "contracts",
    "campaign_sends": "email_events",
    **dict.fromkeys(("activity_copies", "touches", "approaches", "sent_mails", "engagements"), "activities"),
    "handled": "tickets",
    "link_clusters": "contacts",
    "inconsistencies": "opportunities",
    "receivables": "invoices",
    "units_sold": "opportunity_lines",
}
#: Relations with rows of two tables, of which one will do.
MADE_OF_EITHER = frozenset({"handled"})
#: The agent's own book, which no source fills: it is never late itself, being what lateness is told by.
OWN_BOOK = frozenset({"streams", "sync_state", "sync_runs", "deliveries"})
#: What converts the money of a record, beside its currency: what its CRM makes of it.
_HOME = ("home_amount", "home_currency")
#: Words in a KPI that say it leans on activities.
_TOUCHING = (
    "touch", "contact'", "first_outbound_at", "first_response_at", "last_outbound_at", "wait_", "worked_in_",
    "followed_at", "first_call_at", "acted_at", "idle_days", "seen_to_at", "age_days", "is_unattached",
)  # fmt: skip
#: Other words -> the tables the columns they stand for are made of.
_LEANS_ON = {
    "ticket_response": {"tickets", "activities"},
    "is_invited": {"survey_invitations"},
    "sold_date": {"opportunities"},
    "of_customer": {"accounts"},
    "has_open_work": {"opportunities", "tickets"},
}
#: Relations whose rows are made of those of another table too, or stand for what became of them there.
_MADE_WITH = {
    "receivables": {"payments"},
    "funnel_steps": {"opportunity_stage_history"},
    "units_sold": {"opportunities"},
    "handled": {"activities"},
    "link_clusters": {"contacts", "accounts", "opportunities"},
    "inconsistencies": {"opportunities", "contacts", "accounts", "leads", "tickets", "activities", "users"},
    "survey_invitations": {"survey_responses"},
}


def table_behind(relation: str) -> str | None:
    """The one canonical table a relation's rows are made of; None where that is a matter of settings."""
    made_by_settings = ("purchases", "customer_spans", "units_sold")
    return None if relation in made_by_settings else _BEHIND.get(relation, relation)


def tables_beside(kpi: Kpi) -> set[str]:
    """The tables a KPI leans on beside the one it counts: a touch or a first answer is an activity."""
    said = repr((kpi.field, kpi.where, kpi.share, kpi.duration, kpi.deadline, kpi.cohort, kpi.stock))
    leans_on = {table for name, tables in _LEANS_ON.items() if name in said for table in tables}
    leans_on |= _MADE_WITH.get(kpi.of or "", set())
    return leans_on | ({"activities"} if any(name in said for name in _TOUCHING) else set())


def columns_used(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> frozenset[Place]:
    """Every (table, column) a KPI's value, segments and action list are read from."""
    return frozenset(_places(kpi, kpis, reporting))


def _places(kpi: Kpi, kpis: Mapping[str, Kpi], reporting: Reporting) -> Iterator[Place]:
    for operand in kpi.operands:
        part = kpis.get(operand.partition(".")[0])
        if part is not None:
            yield from _places(part, kpis, reporting)
    if kpi.action is not None:
        others = (*kpi.action.kpi, *((kpi.action.without.kpi,) if kpi.action.without is not None else ()))
        for part in filter(None, map(kpis.get, others)):
            yield from _places(part.model_copy(update={"action": None}), kpis, reporting)
    if kpi.sql is not None:
        words = set(re.findall(r"\w+", kpi.sql))
        for table in words & reporting.tables.keys():
            yield from ((table, column) for column in reporting.tables[table] if column in words)
    if kpi.of is not None:
        for name in _names(kpi, reporting):
            yield from _resolved(kpi.of, name, reporting)


def _names(kpi: Kpi, reporting: Reporting) -> Iterator[str]:
    """The columns a KPI names, and those its shape implies."""
    assert kpi.of is not None
    relation = Language(reporting).relation(kpi.of)
    yield from (name for name in (kpi.field, kpi.date, relation.anchor if relation else None) if name)
    for slot in (kpi.where, kpi.share or {}, *kpi.out.values(), kpi.action.where if kpi.action else {}):
        yield from columns_of(slot)
    if kpi.action is not None:
        key = kpi.action.without.key if kpi.action.without is not None else None
        named = (kpi.action.order, kpi.action.amount, kpi.action.per, key, *kpi.action.show)
        yield from (name for name in named if name)
    for goal in (kpi.cohort, kpi.unless):
        if goal is not None:
            yield goal.reaches
            yield from columns_of(goal.or_)
    if kpi.mature is not None and kpi.mature.after is not None:
        yield kpi.mature.after
    if kpi.deadline is not None:
        limit = kpi.deadline.within.by if kpi.deadline.within is not None else None
        ends = (kpi.deadline.from_, kpi.deadline.to, kpi.deadline.due, kpi.deadline.void, limit)
        yield from (name for name in ends if name)
    yield from (name for name in (kpi.per.field if kpi.per else None, kpi.per_distinct) if name)
    if kpi.weight != "count":
        yield kpi.weight
    if kpi.duration is not None:
        yield from (kpi.duration.from_, kpi.duration.to)
        if kpi.duration.pause_on and relation is not None:
            yield relation.state
    if kpi.duration is not None or kpi.deadline is not None:
        yield from _team(kpi.of, reporting)
    if kpi.stock is not None:
        yield from (name for name in (kpi.stock.opens, kpi.stock.closes) if name)
    if kpi.retain is not None:
        yield from (kpi.retain.opens, kpi.retain.closes, kpi.retain.key)
    if kpi.filled is not None:
        for name, rule in kpi.filled.required.items():
            yield name
            yield from (rule.get("where", {}) if isinstance(rule, Mapping) else ())
    yield from (*kpi.latest_per, *kpi.first_per)
    for beside in kpi.also.values() if isinstance(kpi.also, dict) else ():
        yield from (name for name in (beside.field, *columns_of(beside.where), *columns_of(beside.share or {})) if name)
    for dimension in kpi.by:
        yield (relation.split_by(reporting.dimensions.get(dimension, {})) if relation else None) or dimension


def _team(of: str, reporting: Reporting) -> Iterator[str]:
    """The column that says whose hours a row's clock runs by, where teams have calendars of their own."""
    language = Language(reporting)
    relation = language.relation(of)
    if relation is not None and language.team(relation) is not None:
        said = relation.split_by(reporting.dimensions.get("team", {}))
        yield said or ("owner.team" if "owner" in language.references(relation) else "ticket.owner_id")


def _refers(relation: str) -> Mapping[str, str]:
    """What a relation's rows refer to by columns of its own."""
    return SPECS[relation].refers if relation in SPECS else {}


def _resolved(relation: str, name: str, reporting: Reporting) -> Iterator[Place]:
    name = name.lstrip("-")
    table = _BEHIND.get(relation, relation)
    made_of = MADE_OF.get(table, {})
    known = reporting.tables.get(table, {})
    name = name if name in known or name in made_of else SPELLINGS.get(name, name)
    if name in made_of:
        yield from made_of[name]
        return
    if relation == "handled" and name == "customer":
        yield from ((table, "account_id"), (table, "contact_id"), ("activities", "account_id"))
        return
    if relation == "handled" and name == "handled_at":
        yield from (*made_of["first_closed_at"], ("activities", "occurred_at"))
        return
    if relation == "handled" and name == "arrived_at":
        yield from ((table, "created_at"), ("activities", "occurred_at"))
        return
    if name in ("purchase_date", "start_date", "end_date") and relation != table:
        yield from made_of.get("outcome_date", ((table, name),))
        return
    head, _, rest = name.partition(".")
    if head == "custom" and rest:
        yield table, name
    elif rest and (target := {**reporting.references.get(table, {}), **_refers(relation)}.get(f"{head}_id")):
        yield from _resolved(relation, f"{head}_id", reporting)
        yield from _resolved(target, rest, reporting)
    else:
        column = f"{name}_minor" if f"{name}_minor" in known else name
        if column in known:
            yield table, column
        if known.get(column) == "money":
            yield from ((table, beside) for beside in ("currency", *_HOME) if beside in known)
