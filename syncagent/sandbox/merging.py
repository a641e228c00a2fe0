"""Deleting, erasing and merging records, with what that does to their children."""

from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Activity, Contact, Deal, Entity, Lead, Ticket


def delete(company: Company, entity: Entity, at: int) -> None:
    """To the recycle bin (Salesforce, with the activities on it) or the archive (HubSpot, without them)."""
    entity.deleted = at
    company.touch(entity, at)
    for activity in _kept_on(company, entity):
        if activity.deleted is None:
            activity.deleted = at
            company.touch(activity, at)


def delete_in_salesforce(company: Company, deal: Deal, at: int) -> None:
    """Delete a deal in Salesforce alone; its HubSpot copy stays."""
    deal.sf_deleted = at
    company.touch(deal, at)
    for activity in _kept_on(company, deal):
        activity.deleted = activity.deleted or at
        company.touch(activity, at)


def _kept_on(company: Company, entity: Entity) -> list[Activity]:
    """A Salesforce record's activities there."""
    if entity.sf is None or not isinstance(entity, Deal | Ticket | Lead):
        return []
    return [a for a in company.activities if a.sf and entity in (a.deal, a.ticket, a.lead)]


def undelete(company: Company, entity: Entity, at: int) -> None:
    gone, entity.deleted, entity.restored = entity.deleted, None, True
    company.touch(entity, at)
    for activity in _kept_on(company, entity):
        if activity.deleted == gone:
            activity.deleted, activity.restored = None, True
            company.touch(activity, at)


def erase(company: Company, entity: Entity) -> list[Entity]:
    """Gone without a trace, with a Salesforce record's activities: no deleted row, no stamp. Returns what went."""
    gone = [entity, *_kept_on(company, entity)]
    for one in gone:
        one.erased = True
        one.deleted = one.deleted or one.modified
    return gone


def may_merge(first: Entity, second: Entity) -> bool:
    """Two live records someone may take for one: contacts, deals and tickets of one account."""
    live = all(e.deleted is None and e.merged_into is None and not e.is_test for e in (first, second))
    if isinstance(first, Contact | Deal | Ticket) and isinstance(second, Contact | Deal | Ticket):
        return live and first.account is not None and first.account is second.account
    return live


def absorbed(entity: Entity) -> list[Entity]:
    """Everything merged into a record, over several merges too."""
    found = []
    for loser in entity.merged:
        found += [loser, *absorbed(loser)]
    return found


def _absorb(company: Company, winner: Entity, loser: Entity, at: int) -> None:
    loser.merged_into, loser.deleted = winner, at
    winner.merged.append(loser)
    company.touch(loser, at)
    company.touch(winner, at)


def _repoint(company: Company, rows: list[Activity], name: str, winner: Entity, loser: Entity, at: int) -> None:
    for row in rows:
        if getattr(row, name) is loser:
            setattr(row, name, winner)
            company.touch(row, at)


def merge_accounts(company: Company, winner: Account, loser: Account, at: int) -> None:
    _absorb(company, winner, loser, at)
    children: list[Deal | Contact | Ticket | Activity] = [*company.deals, *company.contacts, *company.tickets]
    children += company.activities
    for child in children:
        if child.account is loser:
            child.account = winner
            company.touch(child, at)
    for lead in company.leads:
        if lead.account is loser:
            lead.account = winner
            company.touch(lead, at)
    for account in company.accounts:
        if account.parent is loser:
            account.parent = winner if account is not winner else None
            company.touch(account, at)
    company.contacts_of[winner.key] += company.contacts_of.pop(loser.key)
    company.contacts_of[loser.key] = []
    if loser.kind == "customer":
        winner.kind = "customer"
        days = [day for day in (winner.customer_since, loser.customer_since) if day]
        winner.customer_since = min(days) if days else None


def merge_contacts(company: Company, winner: Contact, loser: Contact, at: int) -> None:
    _absorb(company, winner, loser, at)
    for deal in company.deals:
        if deal.contact is loser:
            deal.contact = winner
            company.touch(deal, at)
    for ticket in company.tickets:
        if ticket.contact is loser:
            ticket.contact = winner
            company.touch(ticket, at)
    for lead in company.leads:
        if lead.contact is loser or lead.person is loser:
            lead.contact = winner if lead.contact is loser else lead.contact
            lead.person = winner if lead.person is loser else lead.person
            company.touch(lead, at)
    for survey in company.surveys:
        if survey.contact is loser:
            survey.contact = winner
            company.touch(survey, at)
    _repoint(company, company.activities, "contact", winner, loser, at)


def merge_tickets(company: Company, winner: Ticket, loser: Ticket, at: int) -> None:
    _absorb(company, winner, loser, at)
    for survey in company.surveys:
        if survey.ticket is loser:
            survey.ticket = winner
            company.touch(survey, at)
    _repoint(company, company.activities, "ticket", winner, loser, at)


def merge_leads(company: Company, winner: Lead, loser: Lead, at: int) -> None:
    """Salesforce alone merges leads."""
    _absorb(company, winner, loser, at)
    _repoint(company, company.activities, "lead", winner, loser, at)


def merge_deals(company: Company, winner: Deal, loser: Deal, at: int) -> Deal:
    """HubSpot alone merges deals, and makes a new one of the two, with the first one's history."""
    created = min(winner.created, loser.created)
    made = Deal(
        key=company.key(),
        created=created,
        modified=at,
        hs=company.ids.hs("deals"),
        name=winner.name,
        account=winner.account,
        contact=winner.contact,
        owner=winner.owner,
        kind=winner.kind,
        source=winner.source,
        # Its history begins with it, as every deal's does.
        steps=[winner.steps[0]._replace(at=created), *winner.steps[1:]],
        loss_reason=winner.loss_reason,
        pipeline=winner.pipeline,
    )
    company.deals.append(made)
    for old in (winner, loser):
        _absorb(company, made, old, at)
        _repoint(company, company.activities, "deal", made, old, at)
        for lead in company.leads:
            if lead.deal is old:
                lead.deal = made
                company.touch(lead, at)
    return made
