"""What the company sells on paper: lines, orders, invoices and payments, contracts; and mails and surveys it sends.

Drawn from a generator of its own (`company.side`), after everything else.
"""

from datetime import date, timedelta
from typing import TypeVar

from syncagent.sandbox import clock, names
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import (
    Account,
    Contact,
    Contract,
    Deal,
    Entity,
    Invitation,
    Invoice,
    Line,
    MailEvent,
    Order,
    Payment,
    Rate,
    Ticket,
    User,
)

E = TypeVar("E", bound=Entity)
#: How many of each a company of full size gets.
ORDERS, INVOICES, CONTRACTS, INVITATIONS, MAILS, PERSONS = 300, 300, 80, 200, 600, 6
PRICES = {"Starter": 4_900, "Team": 19_900, "Enterprise": 99_000, "Support Plus": 29_000, "Onboarding": 150_000}
#: Units for one euro; each has an exact decimal both ways, as CRMs write one or the other.
_RATES = {"USD": (1.25, 1.28, 1.0), "GBP": (0.8, 0.78125, 0.64)}
_FOREIGN = {"full": 0.03, "tiny": 0.15}


def make_rates(company: Company) -> None:
    """What foreign money was worth: a rate from before the history on, and a new one each quarter."""
    first = date.fromisoformat(clock.day_text(company.start // clock.DAY)).replace(day=1) - timedelta(days=366)
    for currency, rates in _RATES.items():
        for number in range(14):
            day = date(first.year + (first.month + 3 * number - 1) // 12, (first.month + 3 * number - 1) % 12 + 1, 1)
            if day <= date.fromisoformat(clock.day_text(company.now // clock.DAY)):
                company.rates.append(Rate(currency, day.isoformat(), company.side.choice(rates)))


def make_commerce(company: Company, share: float = 1.0) -> None:
    """All of it; `share` of the usual numbers."""
    make_rates(company)
    for deal in company.deals:
        dress(company, deal)
    for _ in range(round(PERSONS * share) or 1):
        make_person(company, _past(company))
    for _ in range(round(ORDERS * share) or 3):
        account = live(company, company.accounts)
        if account is not None:
            _age(company, make_order(company, account, _since(company, account)))
    for _ in range(round(INVOICES * share) or 3):
        account = live(company, company.accounts, "hs")
        if account is not None:
            _bill(company, account)
    for _ in range(round(CONTRACTS * share) or 2):
        account = live(company, company.accounts, "sf")
        if account is not None:
            make_contract(company, account, _since(company, account))
    for _ in range(round(INVITATIONS * share) or 2):
        ticket = live(company, company.tickets, "sf")
        if ticket is not None:
            make_invitation(company, _since(company, ticket), ticket)
    for _ in range(round(MAILS * share) or 3):
        contact = live(company, company.contacts, "hs")
        if contact is not None and contact.email is not None:
            mail(company, contact, _since(company, contact))
    company.mail_events.sort(key=lambda event: (event.at, event.id))


def live(company: Company, entities: list[E], crm: str | None = None) -> E | None:
    """A record that is there, in one of the CRMs or (None) in any; None when a few tries find none."""
    for _ in range(60):
        entity = company.side.choice(entities)
        there = crm is None or bool(entity.sf if crm == "sf" else entity.hs)
        if there and entity.deleted is None and entity.merged_into is None and not entity.is_test:
            return entity
    return None


def _past(company: Company) -> int:
    return company.start + int(company.side.random() * (company.now - 7 * clock.DAY - company.start))


def _since(company: Company, entity: Entity) -> int:
    """A moment of the history after a record was made."""
    first = max(company.start, entity.created) + 60
    return first + int(company.side.random() * max(0, company.now - 600 - first))


def days_after(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def dress(company: Company, deal: Deal) -> None:
    """What a deal has besides its steps: its health, for a few a foreign currency, in HubSpot often lines."""
    deal.health = company.side.choice(("green", "green", "amber", "red"))
    if not deal.is_test and company.side.random() < _FOREIGN[company.size]:
        deal.currency = company.side.choice(tuple(_RATES))
    if deal.hs and not deal.sf and deal.amount and company.side.random() < 0.4:
        deal.lines = make_lines(company, sf="", kind="line_items", count=company.side.randrange(1, 4))


def make_lines(company: Company, *, sf: str, kind: str | None, count: int) -> list[Line]:
    """New lines, with ids under a Salesforce object ("" for none) and a HubSpot kind (None for none)."""
    return [make_line(company, sf=sf, kind=kind) for _ in range(count)]


def make_line(company: Company, *, sf: str, kind: str | None) -> Line:
    product = company.side.choice(names.PRODUCTS)
    quantity = company.side.randrange(1, 25)
    return Line(
        company.ids.sf(sf) if sf else "",
        company.ids.hs(kind) if kind else "",
        product,
        float(quantity),
        quantity * PRICES[product],
    )


def make_person(company: Company, at: int) -> Account:
    """A private customer: one account and one contact in Salesforce, both the same person."""
    rng = company.side
    first, last = rng.choice(names.FIRST), rng.choice(names.LAST)
    owner = seated(company, "sf")
    account = Account(
        key=company.key(),
        created=at,
        modified=at,
        name=f"{first} {last}",
        domain="",
        kind="prospect",
        industry="",
        region="DACH",
        country="Germany",
        tier="C",
        owner=owner,
        employees=0,
        is_person=True,
    )
    company.place(account, "Account", None)
    account.person = Contact(
        key=company.key(),
        created=at,
        modified=at,
        first=first,
        last=last,
        email=f"person{account.key}@private.example",
        phone=None,
        title=None,
        account=account,
        owner=owner,
    )
    company.place(account.person, "Contact", None)
    company.accounts.append(account)
    company.contacts.append(account.person)
    company.contacts_of[account.key] = [account.person]
    company.touch(account, at)
    company.touch(account.person, at)
    return account


def seated(company: Company, crm: str) -> User:
    """Anyone active with a seat in a CRM."""
    return company.side.choice([u for u in company.users if u.active and (u.sf if crm == "sf" else u.hs)])


def make_order(company: Company, account: Account, at: int) -> Order:
    """A new order with its lines, in one CRM."""
    rng = company.side
    crm = "sf" if account.sf and (not account.hs or rng.random() < 0.6) else "hs"
    day = clock.local_date(at)
    lines = make_lines(
        company, sf="OrderItem" if crm == "sf" else "", kind="line_items" if crm == "hs" else None, count=1
    )
    order = Order(
        key=company.key(),
        created=at,
        modified=at,
        account=account,
        owner=seated(company, crm),
        status="draft",
        ordered=day,
        promised=days_after(day, rng.randrange(5, 30)) if rng.random() < 0.9 else None,
        currency="EUR" if rng.random() > _FOREIGN[company.size] else rng.choice(tuple(_RATES)),
        lines=lines + make_lines(
            company,
            sf="OrderItem" if crm == "sf" else "",
            kind="line_items" if crm == "hs" else None,
            count=rng.randrange(0, 3),
        ),
    )  # fmt: skip
    company.place(order, "Order" if crm == "sf" else None, "orders" if crm == "hs" else None)
    company.orders.append(order)
    company.touch(order, at)
    return order


def move_order(company: Company, order: Order, at: int, status: str) -> None:
    """The next status of an order, with the day it brings."""
    order.status = status
    if status == "delivered":
        order.delivered = clock.local_date(at)
    elif status == "cancelled":
        order.cancelled = clock.local_date(at)
    company.touch(order, at)


def _age(company: Company, order: Order) -> None:
    at = order.created
    for status, wait in (("activated", 3), (company.side.choices(("delivered", "cancelled"), (9, 1))[0], 30)):
        at += int(company.side.random() * wait * clock.DAY) + 60
        if at >= company.now:
            return
        move_order(company, order, at, status)


def make_invoice(company: Company, account: Account, at: int) -> Invoice:
    """A draft invoice in HubSpot."""
    day = clock.local_date(at)
    invoice = Invoice(
        key=company.key(),
        created=at,
        modified=at,
        account=account,
        number=f"INV-{len(company.invoices) + 1:05d}",
        issued=day,
        due=days_after(day, company.side.choice((14, 30))),
        amount=company.side.randrange(100, 90_000) * 100 + company.side.choice((0, 0, 50, 99)),
        currency="EUR" if company.side.random() > _FOREIGN[company.size] else company.side.choice(tuple(_RATES)),
        status="open",
    )
    company.place(invoice, None, "invoices")
    company.invoices.append(invoice)
    company.touch(invoice, at)
    return invoice


def pay(company: Company, invoice: Invoice, at: int, amount: int | None = None) -> Payment:
    """Money for an invoice comes in: all of it, or `amount`."""
    payment = Payment(
        key=company.key(),
        created=at,
        modified=at,
        invoice=invoice,
        paid=clock.local_date(at),
        amount=invoice.amount if amount is None else amount,
        currency=invoice.currency,
    )
    company.place(payment, None, "commerce_payments")
    company.payments.append(payment)
    company.touch(payment, at)
    if sum(p.amount for p in company.payments if p.invoice is invoice and p.deleted is None) >= invoice.amount:
        invoice.status = "paid"
        company.touch(invoice, at)
    return payment


def _bill(company: Company, account: Account) -> None:
    invoice = make_invoice(company, account, _since(company, account))
    at = invoice.created + int(company.side.random() * 45 * clock.DAY) + 60
    turn = company.side.random()
    if turn < 0.04:
        invoice.status = "voided"
    elif turn < 0.1 and at < company.now:
        pay(company, invoice, at, invoice.amount // 2)
    elif turn < 0.85 and at < company.now:
        pay(company, invoice, at)


def make_contract(company: Company, account: Account, at: int) -> Contract:
    day = clock.local_date(at)
    contract = Contract(
        key=company.key(),
        created=at,
        modified=at,
        account=account,
        number=f"{100 + len(company.contracts):08d}",
        start=days_after(day, company.side.randrange(0, 20)),
        end=None,
    )
    if company.side.random() < 0.85:
        contract.end = days_after(contract.start, 365 * company.side.randrange(1, 4) - 1)
    company.place(contract, "Contract", None)
    company.contracts.append(contract)
    company.touch(contract, at)
    return contract


def make_invitation(company: Company, at: int, ticket: Ticket | None) -> Invitation:
    """A survey goes out in Salesforce, mostly after a ticket."""
    invitation = Invitation(
        key=company.key(),
        created=at,
        modified=at,
        kind="csat",
        sent=at,
        ticket=ticket,
        contact=ticket.contact if ticket else None,
    )
    company.place(invitation, "SurveyInvitation", None)
    company.invitations.append(invitation)
    company.touch(invitation, at)
    return invitation


def mail(company: Company, contact: Contact, at: int) -> list[MailEvent]:
    """A marketing mail to a contact and what became of it, as far as the present; returns the new events."""
    rng = company.side
    assert contact.email is not None
    campaign, send = f"{380_000 + rng.randrange(12)}", f"send-{company.key()}"
    happens: list[tuple[str, int, bool, str | None]] = [("sent", at, False, None)]
    if contact.bounced:
        happens.append(("bounce", at + 5, False, None))
    else:
        happens.append(("delivered", at + 4, False, None))
        opened = at + 30 + int(rng.random() * clock.DAY)
        if rng.random() < 0.6:
            happens.append(("open", opened, rng.random() < 0.25, None))
        if rng.random() < 0.3:
            link = rng.choices(("content", "unsubscribe", "preferences"), (8, 1, 1))[0]
            happens.append(("click", opened + 20, rng.random() < 0.2, link))
        if rng.random() < 0.04:
            happens.append((rng.choice(("unsubscribe", "spam")), opened + 60, False, None))
    events = [
        MailEvent(
            id=send if kind == "sent" else f"{send}-{number}",
            campaign=campaign,
            send=send,
            contact=contact,
            recipient=contact.email,
            type=kind,
            at=when,
            filtered=filtered,
            link=link,
        )
        for number, (kind, when, filtered, link) in enumerate(happens)
        if when < company.now
    ]
    company.mail_events += events
    return events
