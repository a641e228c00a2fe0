"""Deleting, erasing and merging records, with what that does to their children."""

from collections.abc import Iterable

from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Activity, Contact, Deal, Entity, Lead, Ticket


def is_there(entity: Entity | None) -> bool:
    """Neither deleted nor gone nor merged into another."""
    return entity is not None and entity.deleted is None and entity.merged_into is None and not entity.erased


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


def undelete_in_salesforce(company: Company, deal: Deal, at: int) -> None:
    """A deal deleted in Salesforce alone comes back there, with the activities that went with it."""
    gone, deal.sf_deleted = deal.sf_deleted, None
    company.touch(deal, at)
    for activity in _kept_on(company, deal):
        if gone is not None and activity.deleted == gone and activity.merged_into is None and not activity.erased:
            activity.deleted, activity.restored = None, True
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


def set_kind(company: Company, account: Account, kind: str, at: int) -> None:
    """customer, prospect, partner or other. HubSpot moves the lifecycle of a company's contacts with it."""
    if kind != account.kind:
        account.kind = kind
        for contact in company.contacts_of.get(account.key, []):
            if contact.hs and contact.merged_into is None:
                company.touch(contact, at)


def _repoint(company: Company, rows: Iterable[Entity], name: str, winner: Entity, loser: Entity, at: int) -> None:
    """References to the loser name the winner from now on; HubSpot does not stamp what only changes its links."""
    for row in rows:
        if getattr(row, name) is loser:
            setattr(row, name, winner)
            company.touch_sf(row, at)


def merge_accounts(company: Company, winner: Account, loser: Account, at: int) -> None:
    _absorb(company, winner, loser, at)
    for rows in (
        company.deals, company.tickets, company.activities, company.leads, company.orders, company.invoices,
        company.contracts,
    ):  # fmt: skip
        _repoint(company, rows, "account", winner, loser, at)
    for contact in company.contacts:
        if contact.account is loser:  # a property too, so HubSpot stamps it
            contact.account = winner
            company.touch(contact, at)
    for account in company.accounts:
        if account.parent is loser:
            account.parent = winner if account is not winner else None
            company.touch(account, at)
    company.contacts_of[winner.key] += company.contacts_of.pop(loser.key)
    company.contacts_of[loser.key] = []
    if loser.kind == "customer":
        set_kind(company, winner, "customer", at)
        days = [day for day in (winner.customer_since, loser.customer_since) if day]
        winner.customer_since = min(days) if days else None


def merge_contacts(company: Company, winner: Contact, loser: Contact, at: int) -> None:
    _absorb(company, winner, loser, at)
    for rows in (company.deals, company.tickets, company.leads, company.invitations, company.activities):
        _repoint(company, rows, "contact", winner, loser, at)
    _repoint(company, company.leads, "person", winner, loser, at)
    for survey in company.surveys:
        if survey.contact is loser:  # a property
            survey.contact = winner
            company.touch(survey, at)
    for activity in company.activities:
        if loser in activity.also:
            activity.also = list(dict.fromkeys(winner if one is loser else one for one in activity.also))
            company.touch_sf(activity, at)


def merge_tickets(company: Company, winner: Ticket, loser: Ticket, at: int) -> None:
    _absorb(company, winner, loser, at)
    for survey in company.surveys:
        if survey.ticket is loser:  # a property
            survey.ticket = winner
            company.touch(survey, at)
    _repoint(company, company.invitations, "ticket", winner, loser, at)
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
        lines=[*winner.lines, *loser.lines],
        currency=winner.currency,
        health=winner.health,
        owners=list(winner.owners),
    )
    company.deals.append(made)
    for old in (winner, loser):
        _absorb(company, made, old, at)
        _repoint(company, company.activities, "deal", made, old, at)
        _repoint(company, company.leads, "deal", made, old, at)
    return made
