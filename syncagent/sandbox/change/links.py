"""What happens between records: links set and cut, lines come and go, values worked out anew.

HubSpot moves no stamp when an association changes, Salesforce stamps the record whose reference changed; a formula
changes its value in both without a stamp.
"""

from syncagent.sandbox import commerce
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Activity, Contact, Deal, Line, Order, Relation, Ticket


def link_account(company: Company, record: Deal | Ticket, account: Account | None, *, at: int) -> None:
    """A deal's or ticket's firm becomes another, or none."""
    record.account = account
    company.touch_sf(record, at)


def link_contact(company: Company, record: Deal | Ticket | Activity, contact: Contact | None, *, at: int) -> None:
    record.contact = contact
    company.touch_sf(record, at)


def move_contact(company: Company, contact: Contact, account: Account | None, *, at: int) -> None:
    """A person changes firms: in HubSpot too a property of the contact, so both stamp it."""
    if contact.account is not None and contact in company.contacts_of.get(contact.account.key, []):
        company.contacts_of[contact.account.key].remove(contact)
    if account is not None:
        company.contacts_of[account.key].append(contact)
    contact.account = account
    company.touch(contact, at)


def add_contact(company: Company, activity: Activity, contact: Contact, *, at: int) -> None:
    """A HubSpot activity is about one more person."""
    activity.also.append(contact)
    company.touch_sf(activity, at)


def drop_contact(company: Company, activity: Activity, contact: Contact, *, at: int) -> None:
    activity.also.remove(contact)
    company.touch_sf(activity, at)


def relate(company: Company, activity: Activity, contact: Contact, *, at: int) -> None:
    """A Salesforce task or meeting is about one more person: the activity is not stamped."""
    sobject = {"00T": "TaskRelation", "00U": "EventRelation"}[str(activity.sf)[:3]]
    activity.relations = [*activity.relations, Relation(company.ids.sf(sobject), contact, at)]
    company.touched[activity.key] = activity


def unrelate(company: Company, activity: Activity, contact: Contact, *, at: int) -> None:
    activity.relations = [
        one._replace(gone=True, at=at) if one.contact is contact and not one.gone else one for one in activity.relations
    ]
    company.touched[activity.key] = activity


# -- lines -----------------------------------------------------------------------------------------------------------


def add_line(company: Company, record: Deal | Order, *, at: int) -> Line:
    """One more product: Salesforce stamps the deal or order with its line, HubSpot's keeps its stamp."""
    sobject = ("OpportunityLineItem" if isinstance(record, Deal) else "OrderItem") if record.sf else ""
    line = commerce.make_line(company, sf=sobject, kind="line_items" if record.hs else None)._replace(at=at)
    record.lines = [*record.lines, line]
    company.touch_sf(record, at)
    return line


def change_line(company: Company, record: Deal | Order, line: Line, *, at: int, quantity: float) -> Line:
    """Another quantity at the same price each."""
    each = line.amount / line.quantity
    new = line._replace(quantity=quantity, amount=round(each * quantity), at=at)
    record.lines = [new if one is line else one for one in record.lines]
    company.touch_sf(record, at)
    return new


def remove_line(company: Company, record: Deal | Order, line: Line, *, at: int) -> None:
    """The line is deleted: a deleted row in Salesforce, an archived line item in HubSpot."""
    record.lines = [one for one in record.lines if one is not line]
    record.removed_lines = [*record.removed_lines, line._replace(at=at)]
    company.touch_sf(record, at)


def unlink_line(company: Company, record: Deal | Order, line: Line, *, at: int) -> None:
    """HubSpot alone: a line item stays, but belongs to the record no more."""
    if record.sf:
        raise ValueError("a Salesforce line cannot be without its record")
    record.lines = [one for one in record.lines if one is not line]
    company.touch_sf(record, at)


# -- formulas --------------------------------------------------------------------------------------------------------


def drift(company: Company, deal: Deal, health: str, *, at: int) -> None:
    """What a formula says of a deal becomes something else; nothing is stamped."""
    deal.health = health
    company.drift(deal, at)
