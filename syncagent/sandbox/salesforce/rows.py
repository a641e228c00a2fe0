"""A record of the company as Salesforce rows: field names, spellings and flags of the REST API."""

from collections.abc import Iterator
from typing import Any

from syncagent.sandbox.clock import DAY, local_date, sf_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import (
    WON,
    Account,
    Activity,
    Contact,
    Contract,
    Deal,
    Entity,
    Invitation,
    Lead,
    Order,
    Survey,
    Ticket,
    User,
)
from syncagent.sandbox.salesforce.activities import activity_row, id_of
from syncagent.sandbox.salesforce.commerce import (
    answer_rows,
    contract_row,
    invitation_rows,
    lines_of,
    order_rows,
    owner_history,
)
from syncagent.sandbox.salesforce.entitlements import milestone_rows
from syncagent.sandbox.salesforce.fixed import (
    ACCOUNT_TYPE,
    CASE_STATUS,
    CASE_TYPE,
    CLOSE_REASON,
    DEAL_TYPE,
    LEAD_STATUS,
    RECORD_TYPES,
    ROLES,
    STAGES,
    record_type,
)
from syncagent.sandbox.salesforce.relations import relation_rows

Row = dict[str, Any]


def _major(minor: int | None) -> float | None:
    return None if minor is None else minor / 100


class Rows:
    """Turns records into (object, row) pairs.

    `native_answers`: survey answers are kept by Salesforce Surveys, not in the org's own object. `stage_names`: API
    names of stages that were replaced, for the deals (their history keeps the old one).
    """

    def __init__(self, company: Company) -> None:
        self._company = company
        self.native_answers = False
        self.stage_names: dict[str, str] = {}
        self._admin = next(user for user in company.users if user.sf)

    def of(self, entity: Entity) -> Iterator[tuple[str, Row]]:
        """Every row a record has in Salesforce (none when it is not there)."""
        if entity.sf is None or entity.erased:
            return
        match entity:
            case Deal():
                yield from self._deal(entity)
            case Ticket():
                yield from self._ticket(entity)
            case Lead():
                yield from self._lead(entity)
            case Activity():
                base = self._base(entity, entity.owner)
                sobject, row = activity_row(entity, base, self._company.now)
                yield sobject, row
                yield from relation_rows(entity, sobject, row, base)
            case Contact():
                yield "Contact", self._contact(entity)
            case Account():
                yield "Account", self._account(entity)
            case Survey() if self.native_answers:
                yield from answer_rows(entity, self._base(entity), self._invitation_of(entity))
            case Survey():
                yield "Survey_Response__c", self._survey(entity)
            case Order():
                yield from order_rows(entity, self._base(entity, entity.owner))
            case Contract():
                yield "Contract", contract_row(entity, self._base(entity))
            case Invitation():
                yield from invitation_rows(entity, self._base(entity))
            case User():
                yield ("Group", self._group(entity)) if entity.is_queue else ("User", self._user(entity))

    def _base(self, entity: Entity, owner: User | None = None) -> Row:
        by = id_of(owner) if owner is not None and not owner.is_queue else None
        by = by or self._admin.sf
        stamp = sf_instant(entity.modified)
        return {
            "Id": entity.sf,
            "IsDeleted": entity.deleted is not None,
            "CreatedDate": sf_instant(entity.created),
            "CreatedById": by,
            "LastModifiedDate": stamp,
            "LastModifiedById": by,
            "SystemModstamp": stamp,
        }

    def _invitation_of(self, survey: Survey) -> str | None:
        """The invitation an answer belongs to: the one sent about the same case."""
        invitations = self._company.invitations
        return next((one.sf for one in invitations if survey.ticket is not None and one.ticket is survey.ticket), None)

    def _user(self, user: User) -> Row:
        row = self._base(user)
        del row["IsDeleted"]
        return row | {
            "Username": user.email,
            "FirstName": user.first,
            "LastName": user.last,
            "Name": user.name,
            "Email": user.email,
            "IsActive": user.active,
            "UserRoleId": ROLES.get(user.team),
            "ManagerId": id_of(user.manager),
            "Department": user.team,
            "Title": None,
            "UserType": "Standard",
            "TimeZoneSidKey": "Europe/Berlin",
        }

    def _group(self, user: User) -> Row:
        row = self._base(user)
        return {key: row[key] for key in ("Id", "CreatedDate", "LastModifiedDate", "SystemModstamp")} | {
            "Name": user.name,
            "DeveloperName": "Inbound_Queue",
            "Type": "Queue",
            "Email": user.email,
        }

    def _account(self, account: Account) -> Row:
        person = account.person
        return self._base(account, account.owner) | {
            "MasterRecordId": id_of(account.merged_into),
            "Name": account.name,
            "Type": ACCOUNT_TYPE[account.kind],
            "ParentId": id_of(account.parent),
            "BillingCountry": account.country,
            "Phone": None,
            "Website": f"https://www.{account.domain}/" if account.domain else None,
            "Industry": account.industry or None,
            "AnnualRevenue": float(account.employees * 90_000) if account.employees else None,
            "NumberOfEmployees": account.employees or None,
            "OwnerId": id_of(account.owner) or self._admin.sf,
            "Tier__c": account.tier,
            "Region__c": account.region,
            "Customer_Since__c": account.customer_since,
            "BillingAddress": {"city": None, "country": account.country, "postalCode": None, "street": None},
            "IsPersonAccount": account.is_person,
            "PersonContactId": id_of(person),
            "PersonEmail": person.email if person else None,
            "FirstName": person.first if person else None,
            "LastName": person.last if person else None,
        }

    def _contact(self, contact: Contact) -> Row:
        return self._base(contact, contact.owner) | {
            "MasterRecordId": id_of(contact.merged_into),
            "AccountId": id_of(contact.account),
            "LastName": contact.last,
            "FirstName": contact.first,
            "Name": f"{contact.first} {contact.last}",
            "Phone": contact.phone,
            "Email": contact.email,
            "Title": contact.title,
            "OwnerId": id_of(contact.owner) or self._admin.sf,
            "HasOptedOutOfEmail": contact.opted_out,
            "DoNotCall": False,
            "EmailBouncedReason": "550 no such user" if contact.bounced else None,
            "EmailBouncedDate": sf_instant(contact.created + DAY) if contact.bounced else None,
            "IsEmailBounced": contact.bounced,
            "LeadSource": None,
            "IsPersonAccount": contact.account is not None and contact.account.person is contact,
        }

    def _lead(self, lead: Lead) -> Iterator[tuple[str, Row]]:
        yield (
            "Lead",
            self._base(lead, lead.owner)
            | {
                "MasterRecordId": id_of(lead.merged_into),
                "LastName": lead.last,
                "FirstName": lead.first,
                "Name": lead.name,
                "Title": None,
                "Company": lead.company,
                "Phone": None,
                "Email": lead.email,
                "LeadSource": lead.source,
                "Status": LEAD_STATUS[lead.status],
                "Rating": None,
                "OwnerId": id_of(lead.owner),
                "IsConverted": lead.converted_at is not None,
                "ConvertedDate": None if lead.converted_at is None else local_date(lead.converted_at),
                "ConvertedAccountId": id_of(lead.account),
                "ConvertedContactId": id_of(lead.person),
                "ConvertedOpportunityId": id_of(lead.deal),
            },
        )
        before = None
        for change in lead.history:
            field = "created" if before is None else "leadConverted" if change.status == "converted" else "Status"
            yield (
                "LeadHistory",
                self._change(lead, change.sf, change.at, field, before, LEAD_STATUS[change.status], "LeadId"),
            )
            before = LEAD_STATUS[change.status]
        yield from self._owners("LeadHistory", lead, "LeadId")

    def _owners(self, sobject: str, entity: Deal | Lead | Ticket, parent: str) -> Iterator[tuple[str, Row]]:
        gone = entity.deleted is not None
        for row in owner_history(str(entity.sf), entity.owners, parent=parent, by=str(self._admin.sf), is_deleted=gone):
            yield sobject, row

    def _change(
        self, entity: Entity, history_id: str, at: int, field: str, old: str | None, new: str, parent: str
    ) -> Row:
        plain = field == "Status"
        return {
            "Id": history_id,
            "IsDeleted": entity.deleted is not None,
            parent: entity.sf,
            "CreatedById": self._admin.sf,
            "CreatedDate": sf_instant(at),
            "Field": field,
            "DataType": "DynamicEnum" if plain else "Text",
            "OldValue": old if plain else None,
            "NewValue": new if plain else None,
        }

    def _deal(self, deal: Deal) -> Iterator[tuple[str, Row]]:
        last = deal.steps[-1]
        api_name, probability, category, label = STAGES[last.stage]
        gone = deal.deleted is not None or deal.sf_deleted is not None
        entered = next(s.at for i, s in enumerate(deal.steps) if all(t.stage == last.stage for t in deal.steps[i:]))
        amount = _major(last.amount)
        yield (
            "Opportunity",
            self._base(deal, deal.owner)
            | {
                "IsDeleted": gone,
                "AccountId": id_of(deal.account),
                "ContactId": id_of(deal.contact),
                "Name": deal.name,
                "StageName": self.stage_names.get(api_name, api_name),
                "Amount": amount,
                "Probability": probability,
                "ExpectedRevenue": None if amount is None else amount * probability / 100,
                "CloseDate": last.close,
                "Type": DEAL_TYPE[deal.kind],
                "NextStep": None,
                "LeadSource": deal.source,
                "IsClosed": deal.state != "open",
                "IsWon": deal.state == WON,
                "ForecastCategory": category,
                "ForecastCategoryName": label,
                "OwnerId": id_of(deal.owner),
                "LastStageChangeDate": sf_instant(entered),
                "HasOpportunityLineItem": bool(deal.lines),
                "Loss_Reason__c": deal.loss_reason,
                "Health__c": deal.health and deal.health.capitalize(),
                "CurrencyIsoCode": deal.currency,
                "RecordTypeId": record_type(deal),
            },
        )
        before = None
        for step in deal.steps:
            api_name, probability, category, _ = STAGES[step.stage]
            amount = _major(step.amount)
            yield (
                "OpportunityHistory",
                {
                    "Id": step.sf,
                    "IsDeleted": gone,
                    "OpportunityId": deal.sf,
                    "CreatedById": id_of(deal.owner),
                    "CreatedDate": sf_instant(step.at),
                    "StageName": api_name,
                    "Amount": amount,
                    "ExpectedRevenue": None if amount is None else amount * probability / 100,
                    "CloseDate": step.close,
                    "Probability": probability,
                    "ForecastCategory": category,
                    "CurrencyIsoCode": deal.currency,
                    "PrevAmount": None if before is None else _major(before.amount),
                    "PrevCloseDate": None if before is None else before.close,
                    "SystemModstamp": sf_instant(step.at),
                },
            )
            before = step
        yield from lines_of(deal, self._base(deal, deal.owner), gone)
        yield from self._owners("OpportunityFieldHistory", deal, "OpportunityId")

    def _ticket(self, ticket: Ticket) -> Iterator[tuple[str, Row]]:
        closed = ticket.status == "closed"
        yield (
            "Case",
            self._base(ticket, ticket.owner)
            | {
                "MasterRecordId": id_of(ticket.merged_into),
                "CaseNumber": ticket.number,
                "ContactId": id_of(ticket.contact),
                "AccountId": id_of(ticket.account),
                "Type": CASE_TYPE[ticket.category],
                "Status": CASE_STATUS[ticket.status],
                "Reason": None,
                "Origin": ticket.origin.capitalize(),
                "Subject": ticket.subject,
                "Priority": ticket.priority.capitalize(),
                "IsClosed": closed,
                "ClosedDate": sf_instant(ticket.history[-1].at) if closed else None,
                "IsEscalated": ticket.escalated,
                "OwnerId": id_of(ticket.owner),
                "Close_Reason__c": CLOSE_REASON.get(ticket.close_reason or ""),
                "RecordTypeId": RECORD_TYPES["Case"]["Support"],
            },
        )
        before = None
        for change in ticket.history:
            field = "created" if before is None else "Status"
            yield (
                "CaseHistory",
                self._change(ticket, change.sf, change.at, field, before, CASE_STATUS[change.status], "CaseId"),
            )
            before = CASE_STATUS[change.status]
        yield from self._owners("CaseHistory", ticket, "CaseId")
        yield from milestone_rows(ticket, self._base(ticket))

    def _survey(self, survey: Survey) -> Row:
        return self._base(survey) | {
            "Name": f"SR-{survey.key:06d}",
            "OwnerId": self._admin.sf,
            "Score__c": None if survey.score is None else float(survey.score),
            "Scale_Max__c": float(survey.scale),
            "Responded_At__c": sf_instant(survey.at),
            "Comment__c": survey.comment,
            "Case__c": id_of(survey.ticket),
            "Contact__c": id_of(survey.contact),
        }
