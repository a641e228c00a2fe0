"""The company's records as HubSpot objects: properties as text, histories newest first, links by type."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from syncagent.sandbox.clock import DAY, hs_instant, local_midnight
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.activities import activity_props, survey_props
from syncagent.sandbox.hubspot.commerce import (
    PRODUCT_IDS,
    invoice_props,
    line_props,
    order_history,
    order_props,
    payment_props,
    product_props,
)
from syncagent.sandbox.hubspot.props import (
    DEAL_STAGES,
    LEAD_PIPELINE,
    LEAD_STAGES,
    PIPELINE_IDS,
    TICKET_STAGES,
    created_property,
    modified_property,
)
from syncagent.sandbox.hubspot.values import (
    History,
    Links,
    Props,
    id_of,
    links_to,
    money,
    owner_versions,
    text_of,
    versions,
)
from syncagent.sandbox.merging import absorbed
from syncagent.sandbox.model import (
    LOST,
    WON,
    Account,
    Activity,
    Contact,
    Deal,
    Entity,
    Invoice,
    Lead,
    Order,
    Payment,
    Survey,
    Ticket,
)

_CATEGORY = {
    "question": "GENERAL_INQUIRY", "problem": "PRODUCT_ISSUE", "complaint": "COMPLAINT", "idea": "FEATURE_REQUEST",
}  # fmt: skip
_KINDS = {
    "Contact": "contacts", "Account": "companies", "Deal": "deals", "Ticket": "tickets", "Lead": "leads",
    "Survey": "feedback_submissions", "Order": "orders", "Invoice": "invoices", "Payment": "commerce_payments",
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
    links: Links = field(default_factory=dict)

    def stamp(self, at: int) -> str:
        return hs_instant(at // 1000, at % 1000)

    def restamp(self) -> None:
        """Write the stamps into the properties."""
        self.props["hs_object_id"] = self.id
        self.props[created_property(self.kind)] = self.stamp(self.created)
        self.props[modified_property(self.kind)] = self.stamp(self.modified)
        if self.kind != "contacts":
            self.props["hs_createdate"] = self.stamp(self.created)


def millisecond(id_: str) -> int:
    """Within their second, stamps lie anywhere; those of one record always at the same place."""
    return int(id_) * 37 % 1000


def kind_of(entity: Entity) -> str | None:
    """The HubSpot object a record is shown as."""
    match entity:
        case Activity():
            return entity.kind + "s"
        case _:
            return _KINDS.get(type(entity).__name__)


def product_records(company: Company) -> Iterator[Record]:
    """The products, made before the history began."""
    at = (company.start - 300 * DAY) * 1000
    for name, id_ in PRODUCT_IDS.items():
        record = Record("products", id_, int(id_), at, at, None, product_props(name))
        record.restamp()
        yield record


def records_of(company: Company, entity: Entity) -> list[Record]:
    """The HubSpot objects of a record: itself and its lines. None when it is not there, erased or merged away."""
    if entity.hs is None or entity.erased or entity.merged_into is not None or kind_of(entity) is None:
        return []
    kind, props, history, links = _parts(company, entity)
    ms = millisecond(entity.hs)
    created = entity.created * 1000 + ms
    modified = max(entity.hs_modified * 1000 + ms, created)
    record = Record(kind, entity.hs, int(entity.hs), created, modified, None, props, history, links)
    if entity.deleted is not None:
        record.archived = entity.deleted * 1000
    record.restamp()
    if entity.merged:
        props["hs_merged_object_ids"] = ";".join(loser.hs for loser in absorbed(entity) if loser.hs)
    return [record, *_lines(entity)]


def _lines(entity: Entity) -> Iterator[Record]:
    """The line items of a deal or an order. Those taken off, and those of a deleted one, are archived."""
    if not isinstance(entity, Deal | Order):
        return
    kind = "deals" if isinstance(entity, Deal) else "orders"
    for line, removed in [*((one, False) for one in entity.lines), *((one, True) for one in entity.removed_lines)]:
        if not line.hs:
            continue
        ms = millisecond(line.hs)
        created, modified = entity.created * 1000 + ms, (line.at or entity.hs_modified) * 1000 + ms
        props, links = line_props(line, entity.currency), {kind: [entity.hs or ""]}
        record = Record("line_items", line.hs, int(line.hs), created, modified, None, props, {}, links)
        if removed or entity.deleted is not None:
            record.archived = (line.at if removed else entity.deleted or 0) * 1000
        record.restamp()
        yield record


def _per_eur(company: Company, currency: str) -> float:
    """Today's rate. HubSpot converts at the newest one, whatever day the deal is of."""
    rates = [rate for rate in company.rates if rate.currency == currency]
    return max(rates, key=lambda rate: rate.valid_from).per_eur if rates else 1.0


def _parts(company: Company, entity: Entity) -> tuple[str, Props, History, Links]:
    match entity:
        case Contact():
            return "contacts", _contact(entity), {}, links_to(companies=entity.account)
        case Account():
            return "companies", _company(entity), {}, {}
        case Deal():
            links = links_to(companies=entity.account, contacts=entity.contact)
            return "deals", _deal(entity, _per_eur(company, entity.currency)), _deal_history(entity), links
        case Ticket():
            links = links_to(companies=entity.account, contacts=entity.contact)
            return "tickets", _ticket(entity), _stage_history(entity), links
        case Lead():
            links = links_to(contacts=entity.contact, companies=entity.account, deals=entity.deal)
            return "leads", _lead(entity), _stage_history(entity), links
        case Survey():
            links = links_to(contacts=entity.contact, tickets=entity.ticket)
            return "feedback_submissions", survey_props(entity), {}, links
        case Order():
            history = order_history(entity, millisecond(entity.hs or "0"))
            props = order_props(entity, _per_eur(company, entity.currency))
            return "orders", props, history, links_to(companies=entity.account)
        case Invoice():
            props = invoice_props(entity, _per_eur(company, entity.currency))
            return "invoices", props, {}, links_to(companies=entity.account)
        case Payment():
            return "commerce_payments", payment_props(entity), {}, links_to(invoices=entity.invoice)
        case Activity():
            links = links_to(
                contacts=[entity.contact, *entity.also],
                companies=entity.account,
                deals=entity.deal,
                tickets=entity.ticket,
                leads=entity.lead,
            )
            return (*activity_props(entity), {}, links)
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
        "hubspot_owner_id": id_of(contact.owner),
        "associatedcompanyid": id_of(account),
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
        "domain": account.domain or None,
        "website": f"www.{account.domain}" if account.domain else None,
        "industry": account.industry.upper() or None,
        "numberofemployees": str(account.employees),
        "annualrevenue": f"{account.employees * 90_000}.0",
        "country": account.country,
        "type": {"prospect": "PROSPECT", "partner": "PARTNER", "other": "OTHER"}.get(account.kind),
        "lifecyclestage": _LIFECYCLE[account.kind],
        "hubspot_owner_id": id_of(account.owner),
        "hs_parent_company_id": id_of(account.parent),
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


def _deal(deal: Deal, per_eur: float) -> Props:
    last = deal.steps[-1]
    stage, _, chance = DEAL_STAGES[deal.pipeline][last.stage]
    closed_at = close_at(deal, len(deal.steps) - 1)
    link = deal.sf[:15] if deal.sf and deal.short_link else deal.sf
    minor = last.amount
    props: Props = {
        "dealname": deal.name,
        "pipeline": PIPELINE_IDS[deal.pipeline],
        "dealstage": stage,
        "amount": money(minor),
        "deal_currency_code": deal.currency,
        "amount_in_home_currency": money(None if minor is None else round(minor / per_eur)),
        "closedate": hs_instant(closed_at),
        "hs_is_closed": text_of(deal.state != "open"),
        "hs_is_closed_won": text_of(deal.state == WON),
        "hs_is_closed_lost": text_of(deal.state == LOST),
        "hs_deal_stage_probability": str(chance),
        "closed_lost_reason": deal.loss_reason,
        "dealtype": {"renewal": "existingbusiness"}.get(deal.kind, deal.kind),
        "hs_analytics_source": {"Web": "DIRECT_TRAFFIC", "Advertisement": "PAID_SEARCH"}.get(deal.source, "OFFLINE"),
        "hubspot_owner_id": id_of(deal.owner),
        "hs_projected_amount": None if minor is None else repr(minor / 100 * chance),
        "days_to_close": str(max(0, (closed_at - deal.created) // DAY)),
        "hs_salesforceopportunityid": deal.orphan_link or link,
        "salesforcelastsynctime": hs_instant(deal.hs_modified) if deal.sf else None,
        "deal_health": deal.health,
    }
    for step in deal.steps:
        props[f"hs_v2_date_entered_{DEAL_STAGES[deal.pipeline][step.stage][0]}"] = hs_instant(step.at)
    return props


def _deal_history(deal: Deal) -> History:
    stages = DEAL_STAGES[deal.pipeline]
    ms = millisecond(deal.hs or "0")
    steps = deal.steps
    return {
        "dealstage": versions([(s.at, stages[s.stage][0]) for s in steps], ms),
        "amount": versions([(s.at, money(s.amount)) for s in steps], ms),
        "closedate": versions([(s.at, hs_instant(close_at(deal, i))) for i, s in enumerate(steps)], ms),
        "pipeline": versions([(deal.created, PIPELINE_IDS[deal.pipeline])], ms),
        "hubspot_owner_id": versions(owner_versions(deal.owners, deal.owner, deal.created), ms),
    }


def _stage_history(entity: Ticket | Lead) -> History:
    stages = TICKET_STAGES if isinstance(entity, Ticket) else LEAD_STAGES
    ms = millisecond(entity.hs or "0")
    pipeline = "0" if isinstance(entity, Ticket) else LEAD_PIPELINE
    return {
        "hs_pipeline_stage": versions([(c.at, stages[c.status][0]) for c in entity.history], ms),
        "hs_pipeline": versions([(entity.created, pipeline)], ms),
        "hubspot_owner_id": versions(owner_versions(entity.owners, entity.owner, entity.created), ms),
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
        "hubspot_owner_id": id_of(ticket.owner),
        "closed_date": hs_instant(closes[-1]) if closed else None,
        "hs_last_closed_date": hs_instant(closes[-1]) if closes else None,
        "hs_is_closed": text_of(closed),
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
        "hubspot_owner_id": id_of(lead.owner),
        "hs_associated_contact_email": lead.email,
        "hs_associated_company_name": lead.company,
        "hs_primary_contact_id": id_of(lead.contact),
        **{f"hs_v2_date_entered_{LEAD_STAGES[c.status][0]}": hs_instant(c.at) for c in lead.history},
    }
