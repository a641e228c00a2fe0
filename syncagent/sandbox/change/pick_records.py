"""Random changes of records: new ones, edits, steps on, and links between them."""

from collections.abc import Sequence

from syncagent.sandbox.change import links, records
from syncagent.sandbox.change.pick import Chooser, Done, home, who
from syncagent.sandbox.clock import DAY, day_text
from syncagent.sandbox.hubspot.props import DEAL_STAGES
from syncagent.sandbox.model import LOST, OPEN_STAGES, WON, Account, Deal, Entity, Lead, Order, Ticket

_STAGES = (*OPEN_STAGES, WON, LOST)
_STATUSES = ("new", "working", "waiting", "escalated", "closed")


# -- new records -----------------------------------------------------------------------------------------------------


def new_account(c: Chooser, at: int) -> Done:
    account = records.new_account(c.company, c.rng.choice(("sf", "hs", "both")), at=at)
    return f"{who(account)} is new", [account]


def new_contact(c: Chooser, at: int) -> Done:
    account = c.one(c.company.accounts, lambda a: not a.is_person)
    if account is None:
        return None
    contact = records.new_contact(c.company, account, at=at)
    return f"{who(contact)} at {who(account)}", [contact]


def new_lead(c: Chooser, at: int) -> Done:
    lead = records.new_lead(c.company, c.rng.choice(("sf", "hs")), at=at)
    return f"{who(lead)} is new", [lead]


def new_deal(c: Chooser, at: int) -> Done:
    account = c.one(c.company.accounts)
    if account is None:
        return None
    deal = records.new_deal(c.company, account, home(account), at=at)
    return f"{who(deal)} of {who(account)}", [deal]


def new_ticket(c: Chooser, at: int) -> Done:
    ticket = records.new_ticket(c.company, c.one(c.company.accounts), at=at)
    return f"{who(ticket)} is new", [ticket]


def new_activity(c: Chooser, at: int) -> Done:
    groups: tuple[Sequence[Deal | Ticket | Lead], ...] = (c.company.deals, c.company.tickets, c.company.leads)
    about = c.one(c.rng.choice(groups), lambda e: not (isinstance(e, Deal) and e.sf_deleted is not None))
    if about is None:
        return None
    kind = c.rng.choice(("call", "email", "meeting", "task", "note"))
    activity = records.new_activity(c.company, kind, about, at=at)
    return f"a {kind} about {who(about)}: {who(activity)}", [activity]


def new_survey(c: Chooser, at: int) -> Done:
    ticket = c.one(c.company.tickets)
    if ticket is None:
        return None
    survey = records.new_survey(c.company, ticket, at=at)
    return f"{who(survey)} about {who(ticket)}", [survey]


def new_paper(c: Chooser, at: int) -> Done:
    kind = c.rng.choice(("order", "invoice", "contract", "invitation", "mail"))
    account = c.account("hs" if kind == "invoice" else "sf" if kind == "contract" else c.rng.choice(("sf", "hs")))
    if kind == "invitation":
        ticket = c.one(c.company.tickets, lambda t: t.sf is not None)
        made: Entity | None = records.new_invitation(c.company, ticket, at=at) if ticket else None
    elif kind == "mail":
        contact = c.one(c.company.contacts, lambda one: bool(one.hs and one.email))
        if contact is None:
            return None
        return f"{len(records.new_mail(c.company, contact, at=at))} events of a mail to {who(contact)}", [contact]
    elif account is None:
        return None
    else:
        make = {"order": records.new_order, "invoice": records.new_invoice, "contract": records.new_contract}[kind]
        made = make(c.company, account, at=at)
    return None if made is None else (f"{who(made)} is new", [made])


def pay(c: Chooser, at: int) -> Done:
    invoice = c.one(c.company.invoices, lambda one: one.status == "open")
    if invoice is None:
        return None
    amount = invoice.amount // 2 if c.rng.random() < 0.4 else None
    payment = records.new_payment(c.company, invoice, at=at, amount=amount)
    return f"{who(payment)} for {who(invoice)}", [payment, invoice]


# -- edits -----------------------------------------------------------------------------------------------------------


def rename(c: Chooser, at: int) -> Done:
    groups: tuple[Sequence[Entity], ...] = (
        c.company.accounts, c.company.contacts, c.company.leads, c.company.deals, c.company.tickets,
        c.company.activities, c.company.surveys,
    )  # fmt: skip
    entity = c.one(c.rng.choice(groups), lambda e: not (isinstance(e, Account) and e.is_person))
    if entity is None:
        return None
    name = records.random_name(c.company)
    records.rename(c.company, entity, name, at=at)
    return f"{who(entity)} is called {name!r}", [entity]


def edit_deal(c: Chooser, at: int) -> Done:
    deal = c.one(c.company.deals, lambda d: d.sf_deleted is None)
    if deal is None:
        return None
    if c.rng.random() < 0.5:
        amount = c.rng.choice((None, 0, c.rng.randrange(1, 10**7)))
        records.set_amount(c.company, deal, amount, at=at)
        return f"{who(deal)} is worth {amount}", [deal]
    day = day_text(at // DAY + c.rng.randrange(-30, 90))
    records.set_close_date(c.company, deal, day, at=at)
    return f"{who(deal)} is to close on {day}", [deal]


def edit_other(c: Chooser, at: int) -> Done:
    turn = c.rng.randrange(5)
    if turn == 0 and (ticket := c.one(c.company.tickets)):
        priority = c.rng.choice(("low", "medium", "high", "urgent"))
        records.set_priority(c.company, ticket, priority, at=at)
        return f"{who(ticket)} is {priority}", [ticket]
    if turn == 1 and (contact := c.one(c.company.contacts)):
        title = c.rng.choice((None, "CEO", "Buyer"))
        records.set_title(c.company, contact, title, at=at)
        return f"{who(contact)} has title {title}", [contact]
    if turn == 2 and (account := c.one(c.company.accounts)):
        kind = c.rng.choice(("customer", "prospect", "other"))
        records.set_kind(c.company, account, kind, at=at)
        return f"{who(account)} is a {kind}", [account]
    if turn == 3 and (order := c.one(c.company.orders, lambda o: o.status in ("draft", "activated"))):
        status = "activated" if order.status == "draft" else c.rng.choice(("delivered", "cancelled"))
        records.move_order(c.company, order, status, at=at)
        return f"{who(order)} is {status}", [order]
    if turn == 4 and (contract := c.one(c.company.contracts)):
        day = c.rng.choice((None, day_text(at // DAY + 400)))
        records.end_contract(c.company, contract, day, at=at)
        return f"{who(contract)} ends {day}", [contract]
    return None


def answer(c: Chooser, at: int) -> Done:
    ticket = c.one(c.company.tickets, lambda t: t.milestone is not None)
    if ticket is None:
        return None
    completed = None if c.rng.random() < 0.2 else max(ticket.created, at - c.rng.randrange(7200))
    records.set_milestone(c.company, ticket, completed, at=at)
    return f"{who(ticket)} was first answered at {completed}", [ticket]


def move_deal(c: Chooser, at: int) -> Done:
    deal = c.one(c.company.deals, lambda d: d.sf_deleted is None)
    if deal is None:
        return None
    ids = {stage: DEAL_STAGES[deal.pipeline][stage][0] for stage in _STAGES}
    there = [stage for stage in _STAGES if not deal.hs or ("deals", ids[stage]) not in c.company.stages_removed]
    stage = c.rng.choice([stage for stage in there if stage != deal.stage])
    before = deal.stage
    records.move_deal(c.company, deal, stage, at=at)
    return f"{who(deal)} goes from {before} to {stage}", [deal]


def move_ticket(c: Chooser, at: int) -> Done:
    ticket = c.one(c.company.tickets)
    if ticket is None:
        return None
    before = ticket.status
    status = c.rng.choice([status for status in _STATUSES if status != before])
    records.move_ticket(c.company, ticket, status, at=at)
    return f"{who(ticket)} goes from {before} to {status}", [ticket]


def move_lead(c: Chooser, at: int) -> Done:
    lead = c.one(c.company.leads, lambda one: one.converted_at is None)
    if lead is None:
        return None
    if c.rng.random() < 0.4 and (account := c.account(records.crm_of(lead))):
        deal = records.convert(c.company, lead, account, at=at)
        return f"{who(lead)} converts into {who(deal)}", [lead, deal]
    status = c.rng.choice([status for status in ("new", "working", "disqualified") if status != lead.status])
    records.move_lead(c.company, lead, status, at=at)
    return f"{who(lead)} is {status}", [lead]


def finish(c: Chooser, at: int) -> Done:
    activity = c.one(c.company.activities, lambda a: a.kind == "task" and a.status == "open")
    if activity is None:
        return None
    records.finish(c.company, activity, at=at)
    return f"{who(activity)} is done", [activity]


def give(c: Chooser, at: int) -> Done:
    groups: tuple[Sequence[Entity], ...] = (
        c.company.accounts, c.company.contacts, c.company.leads, c.company.deals, c.company.tickets, c.company.orders,
    )  # fmt: skip
    entity = c.one(c.rng.choice(groups), lambda e: not (isinstance(e, Deal) and e.sf_deleted is not None))
    owner = c.owner(entity) if entity else None
    if entity is None or owner is None:
        return None
    records.give(c.company, entity, owner, at=at)
    return f"{who(entity)} belongs to {owner.name}", [entity]


# -- links -----------------------------------------------------------------------------------------------------------


def link(c: Chooser, at: int) -> Done:
    turn = c.rng.randrange(4)
    deal = c.one(c.company.deals, lambda d: d.sf_deleted is None)
    ticket = c.one(c.company.tickets)
    record: Deal | Ticket | None = deal if turn % 2 else ticket
    if record is None:
        return None
    seats = [crm for crm in ("sf", "hs") if getattr(record, crm)]

    def fits(entity: Entity) -> bool:
        return all(getattr(entity, crm) for crm in seats)

    if turn < 2:
        account = c.one(c.company.accounts, fits) if c.rng.random() < 0.7 else None
        links.link_account(c.company, record, account, at=at)
        return f"{who(record)} is of {who(account) if account else 'no account'}", [record]
    contact = c.one(c.company.contacts, fits) if c.rng.random() < 0.7 else None
    links.link_contact(c.company, record, contact, at=at)
    return f"{who(record)} has contact {who(contact) if contact else 'none'}", [record]


def link_activity(c: Chooser, at: int) -> Done:
    activity = c.one(c.company.activities, lambda a: a.hs is not None)
    contact = c.one(c.company.contacts, lambda one: one.hs is not None)
    if activity is None or contact is None or contact is activity.contact:
        return None
    if contact in activity.also:
        links.drop_contact(c.company, activity, contact, at=at)
        return f"{who(activity)} is no more about {who(contact)}", [activity]
    links.add_contact(c.company, activity, contact, at=at)
    return f"{who(activity)} is also about {who(contact)}", [activity]


def relate(c: Chooser, at: int) -> Done:
    activity = c.one(c.company.activities, lambda a: (a.sf or "")[:3] in ("00T", "00U"))
    contact = c.one(c.company.contacts, lambda one: one.sf is not None)
    if activity is None or contact is None:
        return None
    there = [one.contact for one in activity.relations if not one.gone]
    if there and (contact in there or c.rng.random() < 0.3):
        contact = c.rng.choice(there)
        links.unrelate(c.company, activity, contact, at=at)
        return f"{who(activity)} is no more about {who(contact)}", [activity]
    links.relate(c.company, activity, contact, at=at)
    return f"{who(activity)} is also about {who(contact)}", [activity]


def move_contact(c: Chooser, at: int) -> Done:
    contact = c.one(c.company.contacts, lambda one: not (one.account is not None and one.account.is_person))
    if contact is None:
        return None
    seats = [crm for crm in ("sf", "hs") if getattr(contact, crm)]
    account = c.one(c.company.accounts, lambda a: not a.is_person and all(getattr(a, crm) for crm in seats))
    links.move_contact(c.company, contact, account, at=at)
    return f"{who(contact)} goes to {who(account) if account else 'nobody'}", [contact]


def line(c: Chooser, at: int) -> Done:
    groups: tuple[Sequence[Deal | Order], ...] = (c.company.deals, c.company.orders)
    record = c.one(c.rng.choice(groups), lambda e: not (isinstance(e, Deal) and e.sf_deleted is not None))
    if record is None:
        return None
    line = c.rng.choice(record.lines) if record.lines else None
    turn = c.rng.random()
    if line is None or turn < 0.35:
        links.add_line(c.company, record, at=at)
        return f"{who(record)} gets a line", [record]
    if turn < 0.6:
        links.change_line(c.company, record, line, at=at, quantity=float(c.rng.randrange(1, 90)))
        return f"line {line.sf or line.hs} of {who(record)} changes", [record]
    if turn < 0.8 and not record.sf:
        links.unlink_line(c.company, record, line, at=at)
        return f"line {line.hs} leaves {who(record)}", [record]
    links.remove_line(c.company, record, line, at=at)
    return f"line {line.sf or line.hs} of {who(record)} is deleted", [record]


def drift(c: Chooser, at: int) -> Done:
    deal = c.one(c.company.deals, lambda d: d.sf_deleted is None)
    if deal is None:
        return None
    health = c.rng.choice([one for one in ("green", "amber", "red") if one != deal.health])
    links.drift(c.company, deal, health, at=at)
    return f"{who(deal)} is {health}", [deal]
