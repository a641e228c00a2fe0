"""How the company serves: tickets answered, closed, reopened and escalated, and what customers say after."""

from itertools import accumulate

from syncagent.sandbox import clock, names
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Change, Milestone, Survey, Ticket
from syncagent.sandbox.sales import make_activity

TICKETS = 4_000
_WAIT = {"urgent": 25.0, "high": 60.0, "medium": 130.0, "low": 240.0}


def make_ticket(company: Company, at: int, account: Account | None) -> Ticket:
    """A new ticket of a customer's contact, in one CRM."""
    rng = company.rng
    in_sf = account is None or (bool(account.sf) and (not account.hs or company.chance(0.6)))
    crm = "sf" if in_sf else "hs"
    number = f"{1000 + len(company.tickets):08d}"
    people = (
        [c for c in company.contacts_of.get(account.key, []) if c.deleted is None and (c.sf if in_sf else c.hs)]
        if account
        else []
    )
    ticket = Ticket(
        key=company.key(),
        created=at,
        modified=at,
        number=number,
        subject=company.pick(names.SUBJECTS).format(n=4000 + len(company.tickets)),
        account=account,
        contact=company.pick(people) if people else None,
        owner=company.queue if in_sf and company.chance(0.03) else company.person("Support", crm),
        priority=rng.choices(("low", "medium", "high", "urgent"), (20, 52, 21, 7))[0],
        category=rng.choices(("question", "problem", "complaint", "idea"), (42, 38, 13, 7))[0],
        origin=rng.choices(("email", "web", "phone", "chat"), (48, 25, 19, 8))[0],
    )
    company.place(ticket, "Case" if in_sf else None, None if in_sf else "tickets")
    ticket.milestone = Milestone(None, at) if in_sf else None
    set_status(company, ticket, at, "new")
    company.tickets.append(ticket)
    return ticket


def set_status(company: Company, ticket: Ticket, at: int, status: str) -> None:
    ticket.history.append(Change(at, status, company.ids.sf("CaseHistory") if ticket.sf else ""))
    company.touch(ticket, at)


def reply(company: Company, ticket: Ticket, at: int) -> None:
    """A public answer to the customer; the first one counts as the response."""
    if ticket.owner.is_queue:
        company.give(ticket, company.person("Support", "sf"), at)
    kind = "call" if ticket.origin == "phone" and company.chance(0.4) else "email"
    if kind == "email" and ticket.sf and ticket.origin == "web" and company.chance(0.15):
        kind = "comment"
    more: dict[str, object] = {"connected": True, "seconds": int(company.rng.lognormvariate(5.4, 0.6))}
    make_activity(
        company,
        kind,
        at,
        ticket.owner,
        "sf" if ticket.sf else "hs",
        subject=f"Re: {ticket.subject}",
        public=True,
        thread=f"ticket-{ticket.key}",
        ticket=ticket,
        account=ticket.account,
        contact=ticket.contact,
        **(more if kind == "call" else {}),
    )
    if ticket.first_response is None:
        ticket.first_response = at
        if ticket.milestone is not None:
            ticket.milestone = Milestone(at, at)
        company.touch(ticket, at)


def close(company: Company, ticket: Ticket, at: int, reason: str | None = None) -> None:
    ticket.close_reason = (
        reason or company.rng.choices(("resolved", "workaround", "no_response", None), (78, 9, 10, 3))[0]
    )
    set_status(company, ticket, at, "closed")
    if ticket.close_reason not in ("spam", "duplicate") and company.chance(0.32):
        answer = at + int(company.minutes(600, 1.2) * 60)
        if answer < company.now:
            make_survey(company, ticket, answer)


def make_survey(company: Company, ticket: Ticket, at: int) -> None:
    rng = company.rng
    slow = (ticket.history[-1].at - ticket.created) > 4 * clock.DAY
    scale = 10 if ticket.sf and company.chance(0.25) else 5
    score = rng.choices((5, 4, 3, 2, 1), (28, 30, 20, 12, 10) if slow else (48, 32, 10, 6, 4))[0]
    survey = Survey(
        key=company.key(),
        created=at,
        modified=at,
        score=None if company.chance(0.02) else score * scale // 5,
        scale=scale,
        at=at,
        comment=company.pick(names.COMMENTS) if company.chance(0.35) else None,
        ticket=ticket,
        contact=ticket.contact,
    )
    company.place(survey, "Survey_Response__c" if ticket.sf else None, None if ticket.sf else "feedback_submissions")
    company.surveys.append(survey)
    company.touch(survey, at)


def run_ticket(company: Company, ticket: Ticket) -> None:
    """Let a ticket's life run until the present."""
    rng = company.rng
    if company.chance(0.02):
        at = clock.work_after(ticket.created, company.minutes(90))
        if at < company.now:
            close(company, ticket, at, "spam" if company.chance(0.7) else "duplicate")
        return
    at = clock.work_after(ticket.created, company.minutes(_WAIT[ticket.priority], 0.9))
    if at >= company.now:
        return
    if company.chance(0.97):
        reply(company, ticket, at)
        set_status(company, ticket, at, "working")
    if company.chance(0.055):
        at = clock.work_after(at, company.minutes(300))
        if at < company.now:
            ticket.escalated = True
            set_status(company, ticket, at, "escalated")
    if company.chance(0.4):
        at = clock.work_after(at, company.minutes(200))
        if at < company.now:
            set_status(company, ticket, at, "waiting")
    at = clock.work_after(at, company.minutes(480, 1.2))
    if company.chance(0.025) or at >= company.now:
        return
    if company.chance(0.2):
        reply(company, ticket, at)
    close(company, ticket, at + 1)
    if company.chance(0.07):
        again = at + int(company.minutes(2.5 * 1440, 0.9) * 60)
        if again < company.now:
            reopen(company, ticket, again)
            done = clock.work_after(again, company.minutes(500, 1.0))
            if done < company.now and rng.random() < 0.92:
                close(company, ticket, done)


def reopen(company: Company, ticket: Ticket, at: int) -> None:
    ticket.close_reason = None
    set_status(company, ticket, at, "working")


def make_tickets(company: Company) -> None:
    """Two years of tickets, mostly from customers."""
    rng = company.rng
    weights = [rng.lognormvariate(0, 0.8) * (3 if a.kind == "customer" else 0.5) for a in company.accounts]
    moments = sorted(company.office_instant(weekend=0.3) for _ in range(TICKETS))
    sums = list(accumulate(weights))
    for at in moments:
        home = rng.choices(company.accounts, cum_weights=sums)[0]
        if home.created >= at:
            home = rng.choices(company.accounts, cum_weights=sums)[0]
        known = home.created < at and not company.chance(0.02)
        run_ticket(company, make_ticket(company, at, home if known else None))
