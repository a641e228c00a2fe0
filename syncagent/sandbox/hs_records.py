"""A record of the company as HubSpot objects: properties as text, histories newest first, links by type."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncagent.sandbox.clock import DAY, hs_instant, local_midnight
from syncagent.sandbox.hs_props import (
    DEAL_STAGES,
    DISPOSITIONS,
    LEAD_PIPELINE,
    LEAD_STAGES,
    PIPELINE_IDS,
    TICKET_STAGES,
    created_property,
    modified_property,
)
from syncagent.sandbox.merging import absorbed
from syncagent.sandbox.model import LOST, WON, Account, Activity, Contact, Deal, Entity, Lead, Survey, Ticket, User

Props = dict[str, str | None]
History = dict[str, list[dict[str, str]]]
_CATEGORY = {
    "question": "GENERAL_INQUIRY", "problem": "PRODUCT_ISSUE", "complaint": "COMPLAINT", "idea": "FEATURE_REQUEST",
}  # fmt: skip
_KINDS = {
    "Contact": "contacts", "Account": "companies", "Deal": "deals", "Ticket": "tickets", "Lead": "leads",
    "Survey": "feedback_submissions",
}  # fmt: skip
_SOURCE = {"email": "EMAIL", "web": "FORM", "phone": "PHONE", "chat": "CHAT"}
_LIFECYCLE = {"customer": "customer", "prospect": "opportunity", "partner": "other", "other": "other"}


@dataclass(slots=True)
class Record:
    """One HubSpot object. Times in epoch milliseconds."""

    kind: str
    id: str
    number: int
    created: int
    modified: int
    archived: int | None
    props: Props
    history: History = field(default_factory=dict)
    links: dict[str, list[str]] = field(default_factory=dict)  # kind -> ids

    def stamp(self, at: int) -> str:
        return hs_instant(at // 1000, at % 1000)


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _money(minor: int | None) -> str | None:
    """Decimal text as HubSpot writes it: no trailing zeros."""
    if minor is None:
        return None
    return str(minor // 100) if minor % 100 == 0 else f"{minor / 100:.2f}".rstrip("0")


def _id(entity: Entity | None) -> str | None:
    return entity.hs if entity is not None else None


def _links(**targets: Entity | None) -> dict[str, list[str]]:
    return {kind: [entity.hs] for kind, entity in targets.items() if entity is not None and entity.hs}


def _history(values: Iterable[tuple[int, str | None]], ms: int) -> list[dict[str, str]]:
    """Versions of a property, newest first; a value that did not change makes no version."""
    out: list[dict[str, str]] = []
    before: str | None = None
    for at, value in values:
        if out and value == before:
            continue
        out.append(
            {
                "value": value or "",
                "timestamp": hs_instant(at, ms),
                "sourceType": "CRM_UI",
                "sourceId": "userId:9586501",
            }
        )
        before = value
    return out[::-1]


def kind_of(entity: Entity) -> str | None:
    """The HubSpot object a record is shown as."""
    match entity:
        case Activity():
            return entity.kind + "s"
        case _:
            return _KINDS.get(type(entity).__name__)


def record_of(entity: Entity) -> Record | None:
    """The HubSpot object of a record; None when it is not there, erased, or merged away."""
    if entity.hs is None or entity.erased or isinstance(entity, User):
        return None
    if entity.merged_into is not None:
        return None
    kind, props, history, links = _parts(entity)
    number = int(entity.hs)
    ms = number * 37 % 1000
    created, modified = entity.created * 1000 + ms, max(entity.modified * 1000, entity.created * 1000) + ms
    record = Record(kind, entity.hs, number, created, modified, None, props, history, links)
    if entity.deleted is not None:
        record.archived = entity.deleted * 1000
    props["hs_object_id"] = entity.hs
    props[created_property(kind)] = record.stamp(created)
    props[modified_property(kind)] = record.stamp(modified)
    if kind != "contacts":
        props["hs_createdate"] = record.stamp(created)
    if entity.merged:
        props["hs_merged_object_ids"] = ";".join(loser.hs for loser in absorbed(entity) if loser.hs)
    return record


def _parts(entity: Entity) -> tuple[str, Props, History, dict[str, list[str]]]:
    match entity:
        case Contact():
            return "contacts", _contact(entity), {}, _links(companies=entity.account)
        case Account():
            return "companies", _company(entity), {}, {}
        case Deal():
            return (
                "deals",
                _deal(entity),
                _deal_history(entity),
                _links(companies=entity.account, contacts=entity.contact),
            )
        case Ticket():
            links = _links(companies=entity.account, contacts=entity.contact)
            return "tickets", _ticket(entity), _stage_history(entity), links
        case Lead():
            links = _links(contacts=entity.contact, companies=entity.account, deals=entity.deal)
            return "leads", _lead(entity), _stage_history(entity), links
        case Survey():
            return "feedback_submissions", _survey(entity), {}, _links(contacts=entity.contact, tickets=entity.ticket)
        case Activity():
            links = _links(
                contacts=entity.contact,
                companies=entity.account,
                deals=entity.deal,
                tickets=entity.ticket,
                leads=entity.lead,
            )
            return (*_activity(entity), {}, links)
    raise TypeError(type(entity).__name__)


def _contact(contact: Contact) -> Props:
    account = contact.account
    return {
        "firstname": contact.first,
        "lastname": contact.last,
        "email": contact.email,
        "phone": contact.phone,
        "jobtitle": contact.title,
        "company": account.name if account else None,
        "lifecyclestage": _LIFECYCLE[account.kind] if account else contact.lifecycle,
        "hs_lead_status": None,
        "hubspot_owner_id": _id(contact.owner),
        "associatedcompanyid": _id(account),
        "hs_email_optout": "true" if contact.opted_out else None,
        "hs_email_bounce": "1" if contact.bounced else None,
        "hs_email_hard_bounce_reason_enum": "UNKNOWN_USER" if contact.bounced else None,
        "salesforcecontactid": contact.sf,
        "salesforceaccountid": account.sf if account and contact.sf else None,
    }


def _company(account: Account) -> Props:
    link = account.sf[:15] if account.sf and account.short_link else account.sf
    return {
        "name": account.name,
        "domain": account.domain,
        "website": f"www.{account.domain}",
        "industry": account.industry.upper(),
        "numberofemployees": str(account.employees),
        "annualrevenue": f"{account.employees * 90_000}.0",
        "country": account.country,
        "type": {"prospect": "PROSPECT", "partner": "PARTNER", "other": "OTHER"}.get(account.kind),
        "lifecyclestage": _LIFECYCLE[account.kind],
        "hubspot_owner_id": _id(account.owner),
        "hs_parent_company_id": _id(account.parent),
        "salesforceaccountid": link,
        "tier": account.tier,
        "region": account.region,
        "customer_since": account.customer_since,
    }


def close_at(deal: Deal, upto: int) -> int:
    """HubSpot's closedate after a step: the planned day's local midnight while open, the moment when settled."""
    step = deal.steps[upto]
    if step.stage not in (WON, LOST):
        return local_midnight(step.close)
    return next(s.at for i, s in enumerate(deal.steps) if all(t.stage == step.stage for t in deal.steps[i : upto + 1]))


def _deal(deal: Deal) -> Props:
    last = deal.steps[-1]
    stage, _, chance = DEAL_STAGES[deal.pipeline][last.stage]
    closed_at = close_at(deal, len(deal.steps) - 1)
    link = deal.sf[:15] if deal.sf and deal.short_link else deal.sf
    minor = last.amount
    props: Props = {
        "dealname": deal.name,
        "pipeline": PIPELINE_IDS[deal.pipeline],
        "dealstage": stage,
        "amount": _money(minor),
        "deal_currency_code": "EUR",
        "amount_in_home_currency": _money(minor),
        "closedate": hs_instant(closed_at),
        "hs_is_closed": _text(deal.state != "open"),
        "hs_is_closed_won": _text(deal.state == WON),
        "hs_is_closed_lost": _text(deal.state == LOST),
        "hs_deal_stage_probability": str(chance),
        "closed_lost_reason": deal.loss_reason,
        "dealtype": {"renewal": "existingbusiness"}.get(deal.kind, deal.kind),
        "hs_analytics_source": {"Web": "DIRECT_TRAFFIC", "Advertisement": "PAID_SEARCH"}.get(deal.source, "OFFLINE"),
        "hubspot_owner_id": _id(deal.owner),
        "hs_projected_amount": None if minor is None else repr(minor / 100 * chance),
        "days_to_close": str(max(0, (closed_at - deal.created) // DAY)),
        "hs_salesforceopportunityid": deal.orphan_link or link,
        "salesforcelastsynctime": hs_instant(deal.modified) if deal.sf else None,
    }
    for step in deal.steps:
        props[f"hs_v2_date_entered_{DEAL_STAGES[deal.pipeline][step.stage][0]}"] = hs_instant(step.at)
    return props


def _deal_history(deal: Deal) -> History:
    stages = DEAL_STAGES[deal.pipeline]
    ms = int(deal.hs or 0) * 37 % 1000
    steps = deal.steps
    return {
        "dealstage": _history([(s.at, stages[s.stage][0]) for s in steps], ms),
        "amount": _history([(s.at, _money(s.amount)) for s in steps], ms),
        "closedate": _history([(s.at, hs_instant(close_at(deal, i))) for i, s in enumerate(steps)], ms),
        "pipeline": _history([(deal.created, PIPELINE_IDS[deal.pipeline])], ms),
        "hubspot_owner_id": _history([(deal.created, _id(deal.owner))], ms),
    }


def _stage_history(entity: Ticket | Lead) -> History:
    stages = TICKET_STAGES if isinstance(entity, Ticket) else LEAD_STAGES
    ms = int(entity.hs or 0) * 37 % 1000
    pipeline = "0" if isinstance(entity, Ticket) else LEAD_PIPELINE
    return {
        "hs_pipeline_stage": _history([(c.at, stages[c.status][0]) for c in entity.history], ms),
        "hs_pipeline": _history([(entity.created, pipeline)], ms),
        "hubspot_owner_id": _history([(entity.created, _id(entity.owner))], ms),
    }


def _ticket(ticket: Ticket) -> Props:
    closes = [c.at for c in ticket.history if c.status == "closed"]
    closed = ticket.status == "closed"
    before = zip(ticket.history, ticket.history[1:], strict=False)
    reopens = [new.at for old, new in before if old.status == "closed" and new.status != "closed"]
    reply = ticket.first_response
    return {
        "subject": ticket.subject,
        "hs_ticket_id": ticket.hs,
        "hs_pipeline": "0",
        "hs_pipeline_stage": TICKET_STAGES[ticket.status][0],
        "hs_ticket_priority": ticket.priority.upper(),
        "hs_ticket_category": _CATEGORY[ticket.category],
        "source_type": _SOURCE[ticket.origin],
        "hubspot_owner_id": _id(ticket.owner),
        "closed_date": hs_instant(closes[-1]) if closed else None,
        "hs_last_closed_date": hs_instant(closes[-1]) if closes else None,
        "hs_is_closed": _text(closed),
        "first_agent_reply_date": hs_instant(reply) if reply is not None else None,
        "time_to_first_agent_reply": str((reply - ticket.created) * 1000) if reply is not None else None,
        "time_to_close": str((closes[-1] - ticket.created) * 1000) if closed else None,
        "hs_ticket_reopened_at": hs_instant(reopens[-1]) if reopens else None,
        "close_reason": ticket.close_reason,
        "escalated": "true" if ticket.escalated else None,
        **{f"hs_v2_date_entered_{TICKET_STAGES[c.status][0]}": hs_instant(c.at) for c in ticket.history},
    }


def _lead(lead: Lead) -> Props:
    return {
        "hs_lead_name": lead.name,
        "hs_pipeline": LEAD_PIPELINE,
        "hs_pipeline_stage": LEAD_STAGES[lead.status][0],
        "hs_lead_type": "NEW_BUSINESS",
        "hs_lead_label": None,
        "hs_lead_source": lead.source.upper().replace(" ", "_"),
        "hubspot_owner_id": _id(lead.owner),
        "hs_associated_contact_email": lead.email,
        "hs_associated_company_name": lead.company,
        "hs_primary_contact_id": _id(lead.contact),
        **{f"hs_v2_date_entered_{LEAD_STAGES[c.status][0]}": hs_instant(c.at) for c in lead.history},
    }


def _survey(survey: Survey) -> Props:
    return {
        "hs_survey_type": "CSAT",
        "hs_survey_id": "31",
        "hs_survey_name": "After the ticket",
        "hs_survey_channel": "EMAIL",
        "hs_value": _text(survey.score),
        "hs_response_group": None,
        "hs_sentiment": None,
        "hs_content": survey.comment,
        "hs_submission_timestamp": hs_instant(survey.at),
        "hs_contact_id": _id(survey.contact),
        "hs_ticket_id": _id(survey.ticket),
        "hubspot_owner_id": None,
    }


def _activity(activity: Activity) -> tuple[str, Props]:
    base: Props = {
        "hubspot_owner_id": _id(activity.owner),
        "hs_timestamp": hs_instant(activity.at),
        "hs_object_source": "CRM_UI",
    }
    if activity.kind == "call":
        return "calls", base | {
            "hs_call_title": activity.subject,
            "hs_call_direction": activity.direction.upper(),
            "hs_call_disposition": DISPOSITIONS["Connected" if activity.connected else "No answer"],
            "hs_call_duration": None if activity.seconds is None else str(activity.seconds * 1000),
            "hs_call_status": "COMPLETED" if activity.connected else "NO_ANSWER",
        }
    if activity.kind == "email":
        incoming = activity.direction == "inbound"
        customer = activity.contact.email if activity.contact else None
        ends = (customer, activity.owner.email) if incoming else (activity.owner.email, customer)
        return "emails", base | {
            "hs_email_subject": activity.subject,
            "hs_email_direction": "INCOMING_EMAIL" if incoming else "EMAIL",
            "hs_email_status": "BOUNCED" if activity.bounced else "SENT",
            "hs_email_thread_id": activity.thread,
            "hs_email_message_id": f"<{activity.key}@northwind.example>",
            "hs_email_from_email": ends[0],
            "hs_email_to_email": ends[1],
        }
    if activity.kind == "meeting":
        outcome = {"completed": "COMPLETED", "no_show": "NO_SHOW", "cancelled": "CANCELED"}
        return "meetings", base | {
            "hs_meeting_title": activity.subject,
            "hs_meeting_start_time": hs_instant(activity.at),
            "hs_meeting_end_time": hs_instant(activity.at + (activity.seconds or 0)),
            "hs_meeting_outcome": outcome.get(activity.status, "SCHEDULED"),
        }
    if activity.kind == "task":
        return "tasks", base | {
            "hs_timestamp": hs_instant(activity.due if activity.due is not None else activity.at),
            "hs_task_subject": activity.subject,
            "hs_task_status": "COMPLETED" if activity.status == "completed" else "NOT_STARTED",
            "hs_task_priority": "NONE",
            "hs_task_type": "TODO",
            "hs_task_completion_date": hs_instant(activity.completed) if activity.completed is not None else None,
        }
    return "notes", base | {"hs_note_body": activity.subject}
