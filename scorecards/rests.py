"""Which columns must be filled somewhere for a KPI to say anything, in the words of `requires`. Reads no rows.

A column nobody fills makes no 0: of tickets whose answers nobody recorded, none is known to be unanswered. Asked of
what a figure is made of alone: not of splits, lists or what is told beside it, nor of what may as well be empty.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scorecards.conditions import ANY
from scorecards.definition import Kpi, Reporting
from scorecards.made_of import MADE_OF
from scorecards.relations import SPELLINGS, Relation

_PERSON_OR_LINK = "activities.contact_id or activity_links"
_FIRST_RESPONSE = "tickets.first_response_at or activities.ticket_id or activity_links.object=tickets"
_CONVERTED = "leads.converted_date or leads.converted_at or no leads.status_category=converted"
_CLOSED = "tickets.closed_at or ticket_status_history or no tickets.status_category=closed"
_OF_ACCOUNTS = ("last_touch_at", "days_since_contact", "days_since_touch", "last_outreach_at", "days_since_outreach")

#: Of derived columns: what has to be filled for them to say anything, of which any will do.
_FILLED_BY: Mapping[str, Mapping[str, str]] = {
    "tickets": {
        "first_response_at": _FIRST_RESPONSE,
        **dict.fromkeys(("first_closed_at", "last_closed_at"), _CLOSED),
    },
    "leads": {
        "first_outbound_at": f"activities.lead_id or {_PERSON_OR_LINK}",
        "converted_date": _CONVERTED,
        "is_converted": "leads.status_category",
    },
    "accounts": {
        **dict.fromkeys(_OF_ACCOUNTS, f"activities.account_id or {_PERSON_OR_LINK}"),
        "in_relationship": "accounts.kind=customer or opportunities.account_id",
    },
    "opportunities": {
        "outcome_date": "opportunities.close_date or opportunities.close_at or opportunity_stage_history"
    },
    "purchases": {"worth": "opportunities.amount_minor or orders.amount_minor"},
    "handled": {
        "customer": "tickets.account_id or tickets.contact_id or activities.account_id"
        f" or activities.lead_id or {_PERSON_OR_LINK}"
    },
    "survey_responses": {
        "has_comment": "survey_responses.comment",
        **dict.fromkeys(("ticket_response_s", "ticket_response_business_s"), _FIRST_RESPONSE),
    },
}


def rests_on(kpi: Kpi, relation: Relation, reporting: Reporting) -> Iterator[str]:
    """What must be there beside rows of the relation: each as `requires` would say it, some perhaps twice."""
    yield from relation.rests
    for name in _needed(kpi):
        name = name if name in relation.own else SPELLINGS.get(name, name)
        if said := _FILLED_BY.get(relation.name, {}).get(name):
            yield said
        elif name in _asked_by_value(kpi) and name not in MADE_OF.get(relation.name, {}):
            known = reporting.tables.get(relation.name, {})
            column = f"{name}_minor" if f"{name}_minor" in known else name
            if column in known:
                yield f"{relation.name}.{column}"


def _needed(kpi: Kpi) -> Iterator[str]:
    """The columns a figure is made of, however they are asked for."""
    yield from _asked_by_value(kpi)
    yield from (name for slot in (kpi.where, kpi.share or {}) for name in slot if name != ANY)


def _asked_by_value(kpi: Kpi) -> dict[str, None]:
    """Those that must have a value for a row to count."""
    found = [kpi.field, kpi.date, kpi.per_distinct, kpi.per.field if kpi.per is not None else None]
    found.append(kpi.weight if kpi.weight != "count" else None)
    if kpi.duration is not None:
        found += [kpi.duration.from_, kpi.duration.to]
    if kpi.deadline is not None:
        found += [kpi.deadline.from_, kpi.deadline.to, kpi.deadline.due]
    if kpi.cohort is not None and not kpi.cohort.or_:
        found.append(kpi.cohort.reaches)
    for slot in (kpi.where, kpi.share or {}):
        found += [name for name, test in slot.items() if name != ANY and _wants_a_value(test)]
    return dict.fromkeys(name for name in found if name)


def _wants_a_value(test: Any) -> bool:
    """Does a filter pass only what has a value? What is False, or not something, may as well have none."""
    if isinstance(test, Mapping):
        return not set(test) <= {"not"} and test.get("set") is not False
    return test is not False and test is not None
