"""What becomes of records: deleted, brought back, gone for good, merged."""

from syncagent.sandbox import merging
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Contact, Deal, Entity, Lead, Ticket


def delete(company: Company, entity: Entity, *, at: int) -> None:
    """To the recycle bin and the archive: in every CRM it is in."""
    merging.delete(company, entity, at)


def delete_in_salesforce(company: Company, deal: Deal, *, at: int) -> None:
    merging.delete_in_salesforce(company, deal, at)


def undelete_in_salesforce(company: Company, deal: Deal, *, at: int) -> None:
    merging.undelete_in_salesforce(company, deal, at)


def undelete(company: Company, entity: Entity, *, at: int) -> None:
    merging.undelete(company, entity, at)


def erase(company: Company, entity: Entity, *, at: int) -> None:
    """A hard delete, a GDPR delete: gone from every answer, with no stamp and no word of it."""
    for gone in merging.erase(company, entity):
        company.touched[gone.key] = gone
    del at  # nothing keeps the moment


def merge(company: Company, winner: Entity, loser: Entity, *, at: int) -> Entity:
    """Two records of one kind and one CRM become one; returns what stands for both from then on.

    HubSpot makes a new deal of two. A winner may be merged again later: chains come of that.
    """
    match winner, loser:
        case Account(), Account():
            merging.merge_accounts(company, winner, loser, at)
        case Contact(), Contact():
            merging.merge_contacts(company, winner, loser, at)
        case Ticket(), Ticket():
            merging.merge_tickets(company, winner, loser, at)
        case Lead(), Lead():
            merging.merge_leads(company, winner, loser, at)
        case Deal(), Deal():
            return merging.merge_deals(company, winner, loser, at)
        case _:
            raise TypeError("only two of a kind can be merged")
    return winner
