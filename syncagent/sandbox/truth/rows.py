"""The columns of one record as a cache must hold them, per CRM, worked out from the company alone.

References are source ids. A column that is absent is not compared: HubSpot does not hold it, or (unless `strict`)
nothing has told an incremental sync of its value.
"""

from typing import Any

from syncagent.sandbox.clock import instant, local_date
from syncagent.sandbox.commerce import days_after
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot import records as hs_records
from syncagent.sandbox.hubspot.props import DEAL_STAGES, LEAD_STAGES, ORDER_STAGES, PIPELINE_IDS, TICKET_STAGES
from syncagent.sandbox.merging import is_there
from syncagent.sandbox.model import (
    Account,
    Activity,
    Contact,
    Contract,
    Deal,
    Entity,
    Invitation,
    Invoice,
    Lead,
    Order,
    Payment,
    Survey,
    Ticket,
    User,
)
from syncagent.sandbox.salesforce import fixed as sf_fixed
from syncagent.sandbox.truth import activities as truth_activities

Columns = dict[str, Any]
CATEGORY = {"new": "open", "working": "open", "escalated": "open", "waiting": "pending", "closed": "closed"}
LEAD_CATEGORY = {"new": "open", "working": "open", "converted": "converted", "disqualified": "disqualified"}
_TOUCHPOINT = {"web": "form"}  # HubSpot's word where it is not ours


def hs_close_date(deal: Deal) -> str:
    """The local day of HubSpot's closedate."""
    return local_date(hs_records.close_at(deal, len(deal.steps) - 1))


def stage_name(deal: Deal, stage: str, crm: str) -> str:
    """The API name (Salesforce) or id (HubSpot) of one of our stages."""
    return sf_fixed.STAGES[stage][0] if crm == "salesforce" else DEAL_STAGES[deal.pipeline][stage][0]


class Teller:
    """Says what a cache must hold of the records of one CRM."""

    def __init__(self, company: Company, crm: str, *, strict: bool) -> None:
        self.company, self.strict, self._crm = company, strict, crm
        self._sf = crm == "salesforce"
        self.admin = next(user.sf for user in company.users if user.sf)

    def id_of(self, entity: Entity | None) -> str | None:
        """A record's id in this CRM."""
        return None if entity is None else entity.sf if self._sf else entity.hs

    def is_gone(self, entity: Entity) -> bool:
        """Deleted here alone."""
        return self._sf and isinstance(entity, Deal) and entity.sf_deleted is not None

    def has_drifted(self, entity: Entity) -> bool:
        """Something happened to it here that moved no stamp."""
        return (entity.sf_drift if self._sf else entity.hs_drift) is not None

    def columns(self, entity: Entity) -> Columns:
        """The columns of a live record."""
        modified = entity.modified if self._sf else entity.hs_modified
        common = {"created_at": instant(entity.created), "updated_at": instant(modified)}
        if self._sf and not isinstance(entity, User):
            common["updated_by_kind"] = "human"  # nobody else works here
        match entity:
            case User():
                return common | self._user(entity)
            case Account():
                return common | self._account(entity)
            case Contact():
                return common | self._contact(entity)
            case Lead():
                return common | self._lead(entity)
            case Deal():
                return common | self._deal(entity)
            case Ticket():
                return common | self._ticket(entity)
            case Activity():
                tell = truth_activities.in_salesforce if self._sf else truth_activities.in_hubspot
                return common | {"is_automated": 0} | tell(self, entity)
            case Survey():
                return common | self._survey(entity)
            case _:
                return common | self._paper(entity)

    def link(self, entity: Entity, **targets: Entity | None) -> Columns:
        """References that are fields in Salesforce and associations in HubSpot.

        An association goes when the record it names does; neither that nor a link set or cut moves a stamp.
        """
        if self._sf:
            return {column: self.id_of(target) for column, target in targets.items()}
        found: Columns = {}
        for column, target in targets.items():
            unsure = target is not None and (not is_there(target) or target.restored)
            if self.strict or not (unsure or self.has_drifted(entity)):
                found[column] = self.id_of(target) if is_there(target) else None
        return found

    # -- people ----------------------------------------------------------------------------------------------------

    def _user(self, user: User) -> Columns:
        columns: Columns = {"name": user.name, "email": user.email, "is_active": int(user.active)}
        known = self.strict or not self.has_drifted(user)
        if known and not user.is_queue and (user.active or self._sf):
            columns["team"] = self.company.team_names.get(user.team, user.team)
        if known and self._sf and not user.is_queue:
            columns["manager"] = user.manager.name if user.manager is not None and user.manager.sf else None
        return columns

    def _account(self, account: Account) -> Columns:
        kind = "other" if account.kind == "partner" and not self._sf else account.kind
        columns: Columns = {
            "name": account.name,
            "domain_norm": account.domain or None,
            "kind": kind,
            "tier": account.tier,
            "industry": (account.industry if self._sf else account.industry.upper()) or None,
            "region": account.region,
            "customer_since": account.customer_since,
            "owner_id": self.id_of(account.owner) or (self.admin if self._sf else None),
            "parent_id": self.id_of(account.parent),
        }
        if not self._sf:
            columns["sf_account_id"] = account.sf
        return columns

    def _contact(self, contact: Contact) -> Columns:
        columns: Columns = {
            "email_norm": contact.email,
            "phone_norm": contact.phone and contact.phone.replace(" ", ""),
            "first_name": contact.first,
            "last_name": contact.last,
            "job_title": contact.title,
            "account_id": self.id_of(contact.account),
            "owner_id": self.id_of(contact.owner) or (self.admin if self._sf else None),
            "bounced": int(contact.bounced),
            "opted_out": int(contact.opted_out),
            "dnc": 0,
        }
        if not self._sf:
            lifecycle = {"customer": "customer", "prospect": "opportunity"}
            columns |= {"sf_contact_id": contact.sf, "sf_lead_id": None}
            columns["lifecycle"] = (
                contact.lifecycle if contact.account is None else lifecycle.get(contact.account.kind, "other")
            )
        return columns

    # -- selling ---------------------------------------------------------------------------------------------------

    def _lead(self, lead: Lead) -> Columns:
        at = lead.converted_at
        columns: Columns = {
            "name": lead.name,
            "email_norm": lead.email,
            "company": lead.company,
            "source_channel": lead.source if self._sf else lead.source.upper().replace(" ", "_"),
            "status": sf_fixed.LEAD_STATUS[lead.status] if self._sf else LEAD_STAGES[lead.status][0],
            "status_category": LEAD_CATEGORY[lead.status],
            "converted_date": None if at is None else local_date(at),
            "owner_id": self.id_of(lead.owner),
        }
        columns["converted_at"] = None if at is None else instant(at)
        if self._sf or at is not None:
            contact = lead.person if self._sf else lead.contact
            columns |= self.link(
                lead,
                converted_opportunity_id=lead.deal,
                converted_account_id=lead.account,
                converted_contact_id=contact,
            )
        return columns

    def _deal(self, deal: Deal) -> Columns:
        last = deal.steps[-1]
        sf_chance, hs_chance = sf_fixed.STAGES[last.stage][1] / 100, DEAL_STAGES[deal.pipeline][last.stage][2]
        columns: Columns = {
            "name": deal.name,
            "owner_id": self.id_of(deal.owner),
            "state": deal.state,
            "stage": stage_name(deal, deal.stage, self._crm),
            "amount_minor": deal.amount,
            "currency": deal.currency,
            "close_date": last.close if self._sf else hs_close_date(deal),
            "type": deal.kind if self._sf else {"renewal": "existingbusiness"}.get(deal.kind, deal.kind),
            "probability": sf_chance if self._sf else hs_chance,
            "loss_reason": deal.loss_reason,
            **self.link(deal, account_id=deal.account),
        }
        if self._sf:
            columns["lead_source"] = deal.source
            columns["pipeline"] = sf_fixed.record_type(deal)
        else:
            channels = {"Web": "DIRECT_TRAFFIC", "Advertisement": "PAID_SEARCH"}
            columns["lead_source"] = channels.get(deal.source, "OFFLINE")
            columns["pipeline"] = PIPELINE_IDS[deal.pipeline]
            columns["sf_opportunity_id"] = deal.orphan_link or deal.sf
            columns["close_at"] = instant(hs_records.close_at(deal, len(deal.steps) - 1))
        if self.strict or not self.has_drifted(deal):
            columns["custom.health"] = deal.health
        return columns

    # -- serving ---------------------------------------------------------------------------------------------------

    def _ticket(self, ticket: Ticket) -> Columns:
        columns: Columns = {
            "subject": ticket.subject,
            "owner_id": self.id_of(ticket.owner),
            "status": sf_fixed.CASE_STATUS[ticket.status] if self._sf else TICKET_STAGES[ticket.status][0],
            "status_category": CATEGORY[ticket.status],
            "category": ticket.category,
            "priority": ticket.priority,
            "touchpoint": ticket.origin if self._sf else _TOUCHPOINT.get(ticket.origin, ticket.origin),
            "close_reason": ticket.close_reason,
            "closed_at": instant(ticket.history[-1].at) if ticket.status == "closed" else None,
            **self.link(ticket, account_id=ticket.account, contact_id=ticket.contact),
        }
        if self._sf:
            columns["is_escalated"] = int(ticket.escalated)
            columns["pipeline"] = sf_fixed.RECORD_TYPES["Case"]["Support"]
            done = ticket.milestone and ticket.milestone.completed
            columns["first_response_at"] = None if done is None else instant(done)
        else:
            columns["pipeline"] = "0"
            columns["is_escalated"] = 1 if ticket.escalated else None
            reply = ticket.first_response
            columns["first_response_at"] = None if reply is None else instant(reply)
        return columns

    def _survey(self, survey: Survey) -> Columns:
        return {
            "survey_type": "csat",
            "score": survey.score,
            "scale_min": 1,
            "scale_max": survey.scale,
            "responded_at": instant(survey.at),
            "comment": survey.comment,
            "ticket_id": self.id_of(survey.ticket),
            "contact_id": self.id_of(survey.contact),
        }

    # -- papers ----------------------------------------------------------------------------------------------------

    def _paper(self, entity: Entity) -> Columns:
        match entity:
            case Order():
                stage = ORDER_STAGES[entity.status][1].lower()
                # Worked out from its lines: in HubSpot it changes without a stamp.
                amount = {"amount_minor": entity.amount} if self.strict or not self.has_drifted(entity) else {}
                return {
                    **amount,
                    "owner_id": self.id_of(entity.owner),
                    "status": entity.status.capitalize() if self._sf else stage,
                    "order_date": entity.ordered,
                    "promised_date": entity.promised,
                    "delivered_date": entity.delivered,
                    "cancelled_date": entity.cancelled,
                    "currency": entity.currency,
                    **self.link(entity, account_id=entity.account),
                }
            case Invoice():
                return {
                    "issued_date": entity.issued,
                    "due_date": entity.due,
                    "amount_minor": entity.amount,
                    "currency": entity.currency,
                    "status": entity.status,
                    **self.link(entity, account_id=entity.account),
                }
            case Payment():
                return {
                    "paid_date": entity.paid,
                    "amount_minor": entity.amount,
                    "currency": entity.currency,
                    **self.link(entity, invoice_id=entity.invoice),
                }
            case Contract():
                return {
                    "account_id": self.id_of(entity.account),
                    "start_date": entity.start,
                    "end_date": None if entity.end is None else days_after(entity.end, 1),
                }
            case Invitation():
                return {
                    "survey_type": entity.kind,
                    "sent_at": instant(entity.sent),
                    "ticket_id": self.id_of(entity.ticket),
                    "contact_id": self.id_of(entity.contact),
                }
        raise TypeError(type(entity).__name__)
