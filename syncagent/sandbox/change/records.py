"""What people do to records: make them, edit them, move them on. Each moves the stamps the vendors would.

Every function takes the company first and `at` (epoch seconds, the stamp of the change) by keyword.
"""

from syncagent.sandbox import clock, commerce, merging, names, people, sales, service
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import (
    LOST,
    WON,
    Account,
    Activity,
    Contact,
    Contract,
    Deal,
    Entity,
    Invitation,
    Invoice,
    Lead,
    MailEvent,
    Milestone,
    Order,
    Payment,
    Survey,
    Ticket,
    User,
)


def crm_of(entity: Entity) -> str:
    """The CRM something new about a record is made in: sf where it is there."""
    return "sf" if entity.sf else "hs"


# -- making ----------------------------------------------------------------------------------------------------------


def new_account(company: Company, home: str, *, at: int) -> Account:
    """A firm without contacts; `home`: sf, hs or both."""
    return people.make_account(company, at, len(company.accounts), home=home, people=0)


def new_person_account(company: Company, *, at: int) -> Account:
    return commerce.make_person(company, at)


def new_contact(company: Company, account: Account, *, at: int) -> Contact:
    return people.make_contact(company, at, account)


def new_lead(company: Company, crm: str, *, at: int) -> Lead:
    return sales.make_lead(company, at, crm)


def new_deal(company: Company, account: Account | None, crm: str, *, at: int) -> Deal:
    """`crm`: sf, hs or both (an account that is in both)."""
    deal = sales.make_deal(company, account, at, crm=crm)
    commerce.dress(company, deal)
    return deal


def new_ticket(company: Company, account: Account | None, *, at: int) -> Ticket:
    return service.make_ticket(company, at, account)


def new_activity(company: Company, kind: str, about: Deal | Ticket | Lead, *, at: int) -> Activity:
    """A call, email, meeting, task or note about a record, in that record's CRM."""
    links: dict[str, object] = {"contact": about.contact}
    if isinstance(about, Lead):
        links["lead"] = about
    else:
        links |= {"account": about.account, "deal" if isinstance(about, Deal) else "ticket": about}
    more: dict[str, object] = {"subject": f"{kind.capitalize()} {company.side.randrange(1000)}"}
    if kind == "call":
        more |= {"connected": True, "seconds": company.side.randrange(10, 3000)}
    elif kind == "meeting":
        begins = at + 3600
        more |= {"direction": "two_way", "seconds": 1800, "due": begins, "completed": None, "status": "scheduled"}
    elif kind == "task":
        more |= {"direction": "internal", "due": at + 3 * clock.DAY, "completed": None, "status": "open"}
    elif kind == "note":
        more["direction"] = "internal"
    elif kind == "email":
        more |= {"thread": f"thread-{about.key}", "public": True}
    owner = about.owner if not about.owner.is_queue else commerce.seated(company, crm_of(about))
    activity = sales.make_activity(company, kind, at, owner, crm_of(about), **more, **links)
    if kind == "meeting":
        activity.at = at + 3600
    return activity


def new_survey(company: Company, ticket: Ticket, *, at: int) -> Survey:
    service.make_survey(company, ticket, at)
    return company.surveys[-1]


def new_order(company: Company, account: Account, *, at: int) -> Order:
    return commerce.make_order(company, account, at)


def new_invoice(company: Company, account: Account, *, at: int) -> Invoice:
    return commerce.make_invoice(company, account, at)


def new_payment(company: Company, invoice: Invoice, *, at: int, amount: int | None = None) -> Payment:
    """Money arrives: all of the invoice, or `amount`; the invoice is paid once all is there."""
    return commerce.pay(company, invoice, at, amount)


def new_contract(company: Company, account: Account, *, at: int) -> Contract:
    return commerce.make_contract(company, account, at)


def new_invitation(company: Company, ticket: Ticket | None, *, at: int) -> Invitation:
    return commerce.make_invitation(company, at, ticket)


def new_mail(company: Company, contact: Contact, *, at: int) -> list[MailEvent]:
    """A marketing mail goes out; what becomes of it later is known as soon as it lies before the present."""
    before = len(company.mail_events)
    events = commerce.mail(company, contact, at)
    company.mail_events.sort(key=lambda event: (event.at, event.id))
    assert len(company.mail_events) == before + len(events)
    return events


# -- editing ---------------------------------------------------------------------------------------------------------


def rename(company: Company, entity: Entity, name: str, *, at: int) -> None:
    """A record's name, subject or last name becomes another."""
    match entity:
        case Account() | Deal():
            entity.name = name
        case Contact() | Lead():
            entity.last = name
        case Ticket() | Activity():
            entity.subject = name
        case Survey():
            entity.comment = name
        case _:
            raise TypeError(f"a {type(entity).__name__} has no name")
    company.touch(entity, at)


def set_amount(company: Company, deal: Deal, amount: int | None, *, at: int) -> None:
    last = deal.steps[-1]
    sales.add_step(company, deal, at, last.stage, amount, last.close)


def set_close_date(company: Company, deal: Deal, day: str, *, at: int) -> None:
    last = deal.steps[-1]
    sales.add_step(company, deal, at, last.stage, last.amount, day)


def set_priority(company: Company, ticket: Ticket, priority: str, *, at: int) -> None:
    ticket.priority = priority
    company.touch(ticket, at)


def set_milestone(company: Company, ticket: Ticket, completed: int | None, *, at: int) -> None:
    """Someone says when a Salesforce case was first answered, or that it was not yet: the case is not stamped."""
    ticket.milestone = Milestone(completed, at)
    company.touched[ticket.key] = ticket


def set_title(company: Company, contact: Contact, title: str | None, *, at: int) -> None:
    contact.title = title
    company.touch(contact, at)


def set_kind(company: Company, account: Account, kind: str, *, at: int) -> None:
    """customer, prospect, partner or other; HubSpot moves the lifecycle of its contacts along."""
    merging.set_kind(company, account, kind, at)
    company.touch(account, at)


# -- moving on -------------------------------------------------------------------------------------------------------


def move_deal(company: Company, deal: Deal, stage: str, *, at: int) -> None:
    """To any stage: on, back, to one it was in before, won, lost, or open again."""
    if stage in (WON, LOST):
        sales.settle(company, deal, at, stage)
        return
    deal.loss_reason = None
    last = deal.steps[-1]
    sales.add_step(company, deal, at, stage, last.amount, last.close)


def move_ticket(company: Company, ticket: Ticket, status: str, *, at: int) -> None:
    """To any status; leaving closed reopens it, coming back to one re-enters it."""
    ticket.escalated = ticket.escalated or status == "escalated"
    ticket.close_reason = company.side.choice(("resolved", "workaround")) if status == "closed" else None
    service.set_status(company, ticket, at, status)


def move_lead(company: Company, lead: Lead, status: str, *, at: int) -> None:
    """new, working or disqualified."""
    sales.set_status(company, lead, at, status)


def convert(company: Company, lead: Lead, account: Account, *, at: int) -> Deal:
    """A lead becomes a deal of an account of its CRM; in Salesforce also a contact there."""
    crm = crm_of(lead)
    deal = new_deal(company, account, crm, at=at)
    person = deal.contact
    if crm == "sf":
        person = people.make_contact(company, at, account, email=lead.email)
    sales.convert_lead(company, lead, at, deal, person)
    return deal


def give(company: Company, entity: Entity, owner: User, *, at: int) -> None:
    """Another owner."""
    match entity:
        case Deal() | Lead() | Ticket():
            company.give(entity, owner, at)
        case Account() | Contact() | Order() | Activity():
            entity.owner = owner
            company.touch(entity, at)
        case _:
            raise TypeError(f"a {type(entity).__name__} has no owner")


def finish(company: Company, activity: Activity, *, at: int) -> None:
    """A task is done, a meeting held (in HubSpot someone says so)."""
    if activity.kind == "meeting":
        at = max(at, activity.modified)
        activity.status, activity.completed = "completed", activity.at + (activity.seconds or 0)
    else:
        activity.status, activity.completed, activity.at = "completed", at, at
    company.touch(activity, at)


def move_order(company: Company, order: Order, status: str, *, at: int) -> None:
    """activated, delivered or cancelled."""
    commerce.move_order(company, order, at, status)


def void(company: Company, invoice: Invoice, *, at: int) -> None:
    invoice.status = "voided"
    company.touch(invoice, at)


def end_contract(company: Company, contract: Contract, day: str | None, *, at: int) -> None:
    """The last day it holds becomes another; None: it goes on."""
    contract.end = day
    company.touch(contract, at)


def random_name(company: Company) -> str:
    """A new name, now and then one that trips careless code."""
    if company.side.random() < 0.2:
        return company.side.choice(names.ODD_FIRMS)
    return f"{company.side.choice(names.FIRM_A)} {company.side.choice(names.LAST)} {company.side.randrange(10_000)}"
