"""How the company sells: leads that are answered, converted or dropped, and deals through their stages."""

from itertools import accumulate

from syncagent.sandbox import clock, merging, names
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import (
    LOST,
    OPEN_STAGES,
    WON,
    Account,
    Activity,
    Change,
    Contact,
    Deal,
    Lead,
    Line,
    Step,
    User,
)
from syncagent.sandbox.people import make_contact

LEADS, DEALS = 3_000, 2_000
_WIN_SHARE = 0.38


def make_activity(company: Company, kind: str, at: int, owner: User, crm: str, **more: object) -> Activity:
    """Something someone did, logged in one CRM the moment it happened."""
    activity = Activity(
        key=company.key(),
        created=at,
        modified=at,
        kind=kind,
        at=at,
        owner=owner,
        **{"direction": "outbound", "subject": kind.capitalize(), "completed": at, **more},  # type: ignore[arg-type]
    )
    if crm == "sf":
        mail = kind == "email" and (activity.ticket is not None or activity.lead is None)
        comment = "CaseComment" if kind == "comment" else "Task"
        sobject = "EmailMessage" if mail else "Event" if kind == "meeting" else comment
        company.place(activity, sobject, None)
    else:
        company.place(activity, None, {"comment": "note"}.get(kind, kind) + "s")
    company.activities.append(activity)
    company.touch(activity, at)
    return activity


# -- deals -------------------------------------------------------------------------------------------------------


def make_deal(company: Company, account: Account | None, at: int, *, crm: str | None = None) -> Deal:
    """A new deal at its first stage, with its contact; `crm` (sf, hs, both) forces where it lives."""
    rng = company.rng
    in_sf, in_hs = _home(company, account, crm)
    seat = "sf" if in_sf else "hs"
    team = "Sales DACH" if account is None or account.region == "DACH" else "Sales International"
    people = [c for c in company.contacts_of.get(account.key, []) if c.deleted is None] if account else []
    earlier = account is not None and account.customer_since is not None
    kind = rng.choices(("existingbusiness", "renewal"), (3, 2))[0] if earlier else "newbusiness"
    product = company.pick(names.PRODUCTS)
    deal = Deal(
        key=company.key(),
        created=at,
        modified=at,
        name=f"{account.name if account else 'Walk-in'} - {product}",
        account=account,
        contact=company.pick(people) if people else None,
        owner=company.person(team, seat) if account is None or company.chance(0.3) else _seated(account, company, seat),
        kind=kind,
        source=company.pick(names.LEAD_SOURCES),
    )
    company.place(deal, "Opportunity" if in_sf else None, "deals" if in_hs else None)
    deal.short_link = in_sf and in_hs and company.chance(0.25)
    if in_hs and not in_sf and kind == "renewal":
        deal.pipeline = "renewals"
    amount = None if company.chance(0.04) else int(rng.lognormvariate(9.1, 0.8)) * 100 + rng.choice((0, 0, 0, 50, 99))
    planned = clock.local_date(at + int((30 + 70 * rng.random()) * clock.DAY))
    add_step(company, deal, at, OPEN_STAGES[0], amount, planned)
    if deal.sf and amount and company.chance(0.4):
        line_id = company.ids.sf("OpportunityLineItem")
        hs_line = company.ids.hs("line_items") if deal.hs else ""
        deal.lines.append(Line(line_id, hs_line, product, float(rng.randrange(1, 40)), amount))
    company.deals.append(deal)
    return deal


def _home(company: Company, account: Account | None, crm: str | None) -> tuple[bool, bool]:
    if crm:
        return crm != "hs", crm != "sf"
    if account is None:
        return (True, False) if company.chance(0.7) else (False, True)
    if account.sf and account.hs:
        spot = company.rng.random()
        return spot < 0.8, spot > 0.4
    return bool(account.sf), bool(account.hs)


def _seated(account: Account, company: Company, seat: str) -> User:
    owner = account.owner
    return owner if (owner.sf if seat == "sf" else owner.hs) else company.person(owner.team, seat)


def add_step(company: Company, deal: Deal, at: int, stage: str, amount: int | None, close: str) -> None:
    deal.steps.append(Step(at, stage, amount, close, company.ids.sf("OpportunityHistory") if deal.sf else ""))
    if stage == WON and deal.account is not None:
        day = clock.local_date(at)
        if deal.account.customer_since is None or day < deal.account.customer_since:
            deal.account.customer_since = day
        if deal.account.kind == "prospect":
            merging.set_kind(company, deal.account, "customer", at)
        company.touch(deal.account, at)
    company.touch(deal, at)


def close_date_when(company: Company, deal: Deal, stage: str, at: int) -> str:
    """The close date a seller leaves behind: Salesforce pulls a future one to today (UTC) on a win only."""
    planned, today = deal.steps[-1].close, clock.day_text(at // clock.DAY)
    if stage == WON:
        return today if planned > today or company.chance(0.75) else planned
    return today if stage == LOST and company.chance(0.5) else planned


def advance_deal(company: Company, deal: Deal, at: int) -> None:
    """The next thing that happens to an open deal: a stage on, back, a new amount or date, won or lost."""
    rng = company.rng
    last = deal.steps[-1]
    index = OPEN_STAGES.index(last.stage)
    amount, close = last.amount, last.close
    turn = rng.random()
    if turn < 0.13 and amount is not None:
        amount = max(100, int(amount * rng.choice((0.8, 0.9, 1.1, 1.25)) / 100) * 100)
        if deal.lines:
            deal.lines = [deal.lines[0]._replace(amount=amount, at=at)]
        add_step(company, deal, at, last.stage, amount, close)
    elif turn < 0.2:
        add_step(company, deal, at, last.stage, amount, clock.local_date(at + rng.randrange(20, 70) * clock.DAY))
    elif turn < 0.24 and index:
        add_step(company, deal, at, OPEN_STAGES[index - 1], amount, close)
    elif rng.random() < (0.16, 0.2, 0.3, 1.0)[index]:
        settle(company, deal, at, WON if company.chance(_WIN_SHARE + 0.11 * (index - 1)) else LOST)
    else:
        add_step(company, deal, at, OPEN_STAGES[min(index + 1, 3)], amount, close)


def settle(company: Company, deal: Deal, at: int, stage: str) -> None:
    """Win or lose a deal."""
    deal.loss_reason = None if stage == WON or company.chance(0.12) else company.pick(names.LOSS_REASONS)
    add_step(company, deal, at, stage, deal.amount, close_date_when(company, deal, stage, at))


def reopen(company: Company, deal: Deal, at: int) -> None:
    """A settled deal comes back to negotiation."""
    deal.loss_reason = None
    add_step(company, deal, at, "negotiation", deal.amount, clock.local_date(at + 30 * clock.DAY))


def live_through(company: Company, deal: Deal) -> None:
    """Let a deal's life run until it is settled or the present is reached, with the talk around it."""
    at, pace = deal.created, company.minutes(40, 0.5)
    while deal.state == "open":
        at = clock.work_after(at, 60 * company.minutes(pace, 0.7))
        if at >= company.now:
            break
        if company.chance(0.42):
            talk(company, deal, clock.work_after(deal.steps[-1].at, company.rng.random() * 600))
        advance_deal(company, deal, at)
    if deal.state == LOST and company.chance(0.06):
        again = clock.work_after(at, 60 * 9 * company.rng.randrange(10, 90))
        if again < company.now:
            reopen(company, deal, again)
            later = clock.work_after(again, 60 * 9 * company.rng.randrange(3, 40))
            if later < company.now:
                settle(company, deal, later, WON if company.chance(0.6) else LOST)


def talk(company: Company, deal: Deal, at: int) -> None:
    """A call, mail, meeting, task or note on a deal."""
    if at >= company.now:
        return
    rng = company.rng
    crm = "sf" if deal.sf else "hs"
    kind = rng.choices(("call", "email", "meeting", "task", "note"), (30, 34, 18, 12, 6))[0]
    about = {"deal": deal, "account": deal.account, "contact": deal.contact}
    if kind == "call":
        seconds = int(rng.lognormvariate(5.6, 0.8))
        hit = company.chance(0.75)
        make_activity(
            company,
            "call",
            at,
            deal.owner,
            crm,
            direction="outbound" if company.chance(0.8) else "inbound",
            seconds=seconds if hit else None,
            connected=hit,
            subject="Call about the offer",
            **about,
        )
    elif kind == "email":
        inbound = company.chance(0.4)
        make_activity(
            company,
            "email",
            at,
            deal.owner,
            crm,
            direction="inbound" if inbound else "outbound",
            subject=f"{'Re: ' if inbound else ''}{deal.name}",
            thread=f"deal-{deal.key}",
            bounced=not inbound and company.chance(0.015),
            **about,
        )
    elif kind == "meeting":
        begins = clock.work_after(at, 60 * 9 * rng.randrange(1, 8))
        late = begins + 3600 >= company.now
        status = "scheduled" if late else rng.choices(("completed", "no_show", "cancelled"), (88, 5, 7))[0]
        if crm == "sf" and not late:
            status = "completed"  # an Event has no outcome field
        make_activity(
            company,
            "meeting",
            at,
            deal.owner,
            crm,
            direction="two_way",
            seconds=3600,
            due=begins,
            completed=begins + 3600 if status == "completed" else None,
            status=status,
            subject="Meeting: " + deal.name,
            **about,
        )
        company.activities[-1].at = begins
    elif kind == "task":
        due = at + rng.randrange(1, 12) * clock.DAY
        done = clock.work_after(at, 60 * rng.randrange(1, 120))
        open_ = done >= company.now or company.chance(0.08)
        task = make_activity(
            company,
            "task",
            at,
            deal.owner,
            crm,
            direction="internal",
            due=due,
            completed=None if open_ else done,
            status="open" if open_ else "completed",
            subject="Send the offer",
            **about,
        )
        if not open_:
            task.at = done
            company.touch(task, done)
    else:
        make_activity(company, "note", at, deal.owner, crm, direction="internal", subject="Note on the deal", **about)


# -- leads -------------------------------------------------------------------------------------------------------


def make_lead(company: Company, at: int, crm: str, *, account: Account | None = None) -> Lead:
    """A new lead; in HubSpot with the contact it is tied to."""
    first, last = company.pick(names.FIRST), company.pick(names.LAST)
    number = company.key()
    domain = account.domain if account else f"lead{number}.example"
    firm = f"{company.pick(names.FIRM_A)} {company.pick(names.FIRM_B)}"
    lead = Lead(
        key=number,
        created=at,
        modified=at,
        first=first,
        last=last,
        company=account.name if account else firm,
        email=f"contact{number}@{domain}",
        source=company.pick(names.LEAD_SOURCES),
        status="new",
        owner=company.queue if crm == "sf" and company.chance(0.05) else company.person("Sales Development", crm),
    )
    company.place(lead, "Lead" if crm == "sf" else None, "leads" if crm == "hs" else None)
    if crm == "hs":
        lead.contact = make_contact(company, at, None, email=lead.email, hubspot=True)
        lead.contact.first, lead.contact.last = first, last
    set_status(company, lead, at, "new")
    company.leads.append(lead)
    return lead


def set_status(company: Company, lead: Lead, at: int, status: str) -> None:
    lead.status = status
    lead.history.append(Change(at, status, company.ids.sf("LeadHistory") if lead.sf else ""))
    company.touch(lead, at)


def answer_lead(company: Company, lead: Lead, at: int) -> None:
    """The first human call or mail to a lead, and the move to working."""
    owner = lead.owner if not lead.owner.is_queue else company.person("Sales Development", "sf")
    kind = "call" if company.chance(0.55) else "email"
    more: dict[str, object] = {"subject": "First contact", "lead": lead, "contact": lead.contact}
    if kind == "call":
        hit = company.chance(0.6)
        more |= {"connected": hit, "seconds": int(company.rng.lognormvariate(5.0, 0.7)) if hit else None}
    make_activity(company, kind, at, owner, "sf" if lead.sf else "hs", **more)
    company.give(lead, owner, at)
    lead.first_response = at
    set_status(company, lead, at, "working")


def convert_lead(company: Company, lead: Lead, at: int, deal: Deal, person: Contact | None) -> None:
    lead.converted_at, lead.deal, lead.account, lead.person = at, deal, deal.account, person
    set_status(company, lead, at, "converted")


def run_lead(company: Company, lead: Lead) -> None:
    """The life of a lead that does not convert."""
    at = clock.work_after(lead.created, company.minutes(95, 1.3))
    if company.chance(0.88) and at < company.now:
        answer_lead(company, lead, at)
        for _ in range(company.rng.choices((0, 1, 2), (55, 30, 15))[0]):
            at = clock.work_after(at, 60 * 9 * company.rng.random() * 6)
            if at < company.now:
                follow_up(company, lead, at)
    if company.chance(0.68):
        end = clock.work_after(at, 60 * 9 * company.minutes(12, 0.8))
        if end < company.now:
            set_status(company, lead, end, "disqualified")


def follow_up(company: Company, lead: Lead, at: int) -> None:
    inbound = company.chance(0.3)
    make_activity(
        company,
        "call",
        at,
        lead.owner,
        "sf" if lead.sf else "hs",
        direction="inbound" if inbound else "outbound",
        connected=inbound or company.chance(0.5),
        seconds=int(company.rng.lognormvariate(4.8, 0.6)),
        subject="Follow-up",
        lead=lead,
        contact=lead.contact,
    )


def make_sales(company: Company) -> None:
    """Two years of leads and deals."""
    rng = company.rng
    weights = [rng.lognormvariate(0, 0.7) * (0.2 if a.kind == "other" else 1) for a in company.accounts]
    moments = sorted(company.office_instant(weekend=0.02) for _ in range(DEALS))
    sums = list(accumulate(weights))
    for at in moments:
        home: Account | None = None
        for _ in range(8):
            home = rng.choices(company.accounts, cum_weights=sums)[0]
            if home.created < at - 2 * clock.DAY:
                break
        if home is None or home.created >= at or company.chance(0.02):
            home = None
        deal = make_deal(company, home, at)
        if home is not None and deal.kind == "newbusiness" and company.chance(0.5):
            _lead_behind(company, deal)
        live_through(company, deal)
    for _ in range(LEADS - len(company.leads)):
        lead = make_lead(company, company.office_instant(weekend=0.25), "sf" if company.chance(0.77) else "hs")
        run_lead(company, lead)


def _lead_behind(company: Company, deal: Deal) -> None:
    """The lead a deal came from."""
    came = max(company.start, deal.created - int(company.minutes(14 * 1440, 0.9) * 60))
    lead = make_lead(company, min(came, deal.created - 3600), "sf" if deal.sf else "hs", account=deal.account)
    if company.chance(0.93):
        answer_lead(company, lead, min(clock.work_after(lead.created, company.minutes(60, 1.1)), deal.created - 60))
    convert_lead(company, lead, deal.created, deal, deal.contact)
