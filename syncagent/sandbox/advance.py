"""Lets time pass in the company: new, changed, deleted, restored, erased, merged, reopened, converted records."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from syncagent.sandbox import merging, names, sales, service
from syncagent.sandbox.clock import DAY
from syncagent.sandbox.company import Company
from syncagent.sandbox.hubspot.activities import lacks_outcome
from syncagent.sandbox.model import LOST, WON, Deal, Entity, Lead
from syncagent.sandbox.people import make_account

E = TypeVar("E", bound=Entity)
Event = Callable[[Company, int], object]


def advance(company: Company, span: timedelta) -> list[Entity]:
    """Move the company's clock on by `span`; returns the records that changed, were made or vanished.

    However short the span, each kind of event happens once; over days they come at the company's usual pace.
    """
    seconds = int(span.total_seconds())
    if seconds < 60:
        raise ValueError("advance by a minute or more")
    begin, end = company.now, company.now + seconds
    company.touched.clear()
    events: list[Event] = list(_EVENTS)
    for event, per_day in _PACE.items():
        expected = per_day * seconds / DAY
        events += [event] * (int(expected) + company.chance(expected % 1))
    company.rng.shuffle(events)
    moments = sorted(begin + 1 + int(company.rng.random() * (seconds - 2)) for _ in events)
    for at, event in zip(moments, events, strict=True):
        company.now = at + 1
        event(company, at)
    company.now = end
    _hold_meetings(company, end)
    changed = list(company.touched.values())
    company.touched.clear()
    return changed


def _any(company: Company, entities: Sequence[E], wanted: Callable[[E], bool]) -> E | None:
    """A live record that meets a condition."""
    for _ in range(400):
        entity = company.pick(entities)
        live = entity.deleted is None and entity.merged_into is None and not entity.is_test
        if live and wanted(entity):
            return entity
    return None


# -- leads and deals ---------------------------------------------------------------------------------------------


def _new_lead(company: Company, at: int) -> None:
    sales.make_lead(company, at, "sf" if company.chance(0.77) else "hs")


def _answer_lead(company: Company, at: int) -> None:
    lead = _any(company, company.leads, lambda lead: lead.status == "new")
    if lead is not None:
        sales.answer_lead(company, lead, at)


def _drop_lead(company: Company, at: int) -> None:
    lead = _any(company, company.leads, lambda lead: lead.status == "working")
    if lead is not None:
        sales.set_status(company, lead, at, "disqualified")


def _convert_lead(company: Company, at: int) -> None:
    lead = _any(company, company.leads, lambda lead: lead.status in ("new", "working"))
    if lead is None:
        return
    crm = "sf" if lead.sf else "hs"
    account = _any(company, company.accounts, lambda a: bool(a.sf if crm == "sf" else a.hs))
    if account is not None:
        deal = sales.make_deal(company, account, at, crm=crm)
        sales.convert_lead(company, lead, at, deal, deal.contact)


def _new_deal(company: Company, at: int) -> None:
    account = _any(company, company.accounts, lambda account: account.kind != "other")
    sales.make_deal(company, account, at)


def _open(deal: Deal) -> bool:
    return deal.state == "open" and deal.sf_deleted is None


def _move_deal(company: Company, at: int) -> None:
    deal = _any(company, company.deals, _open)
    if deal is not None:
        sales.advance_deal(company, deal, at)


def _win_deal(company: Company, at: int) -> None:
    deal = _any(company, company.deals, _open)
    if deal is not None:
        sales.settle(company, deal, at, WON)


def _lose_deal(company: Company, at: int) -> None:
    deal = _any(company, company.deals, _open)
    if deal is not None:
        sales.settle(company, deal, at, LOST)


def _reopen_deal(company: Company, at: int) -> None:
    deal = _any(company, company.deals, lambda deal: deal.state == LOST and deal.sf_deleted is None)
    if deal is not None:
        sales.reopen(company, deal, at)


def _talk(company: Company, at: int) -> None:
    deal = _any(company, company.deals, _open)
    if deal is not None:
        sales.talk(company, deal, at)


def _change_owner(company: Company, at: int) -> None:
    deal = _any(company, company.deals, _open)
    if deal is not None:
        company.give(deal, company.person("Sales", "sf" if deal.sf else "hs"), at)


# -- tickets -----------------------------------------------------------------------------------------------------


def _new_ticket(company: Company, at: int) -> None:
    account = _any(company, company.accounts, lambda account: account.kind == "customer")
    service.make_ticket(company, at, account)


def _answer_ticket(company: Company, at: int) -> None:
    ticket = _any(company, company.tickets, lambda ticket: ticket.status == "new")
    if ticket is not None:
        service.reply(company, ticket, at)
        service.set_status(company, ticket, at, "working")


def _close_ticket(company: Company, at: int) -> None:
    ticket = _any(company, company.tickets, lambda ticket: ticket.status not in ("new", "closed"))
    if ticket is not None:
        service.close(company, ticket, at)


def _reopen_ticket(company: Company, at: int) -> None:
    recent = company.tickets[-400:]
    ticket = _any(company, recent, lambda ticket: ticket.status == "closed" and ticket.history[-1].at < at)
    if ticket is not None:
        service.reopen(company, ticket, at)


def _escalate(company: Company, at: int) -> None:
    ticket = _any(company, company.tickets, lambda ticket: ticket.status == "working")
    if ticket is not None:
        ticket.escalated = True
        service.set_status(company, ticket, at, "escalated")


def _answer_survey(company: Company, at: int) -> None:
    ticket = _any(company, company.tickets[-600:], lambda ticket: ticket.status == "closed")
    if ticket is not None:
        service.make_survey(company, ticket, at)


# -- people, and what befalls records ----------------------------------------------------------------------------


def _new_account(company: Company, at: int) -> None:
    make_account(company, at, len(company.accounts))


def _edit_contact(company: Company, at: int) -> None:
    contact = _any(company, company.contacts, lambda contact: contact.account is not None)
    if contact is not None:
        contact.title = company.pick(names.TITLES)
        company.touch(contact, at)


def _edit_account(company: Company, at: int) -> None:
    account = _any(company, company.accounts, lambda account: True)
    if account is not None:
        account.tier = "A" if account.tier != "A" else "B"
        company.touch(account, at)


def _finish_task(company: Company, at: int) -> None:
    task = _any(company, company.activities, lambda a: a.kind == "task" and a.status == "open")
    if task is not None:
        task.status, task.completed, task.at = "completed", at, at
        company.touch(task, at)


def _lone(crm: str) -> Callable[[Entity], bool]:
    """In one CRM alone."""
    if crm == "sf":
        return lambda entity: bool(entity.sf) and not entity.hs
    return lambda entity: bool(entity.hs) and not entity.sf


def _delete(company: Company, at: int) -> None:
    groups: tuple[Sequence[Entity], ...] = (company.leads, company.deals, company.tickets, company.activities)
    entity = _any(company, company.pick(groups), lambda e: not (isinstance(e, Lead) and e.converted_at is not None))
    if entity is not None:
        merging.delete(company, entity, at)


def _restore(company: Company, at: int) -> None:
    groups: tuple[Sequence[Entity], ...] = (company.leads, company.tickets, company.activities)
    binned = [
        entity
        for group in groups
        for entity in group
        if entity.deleted is not None and entity.merged_into is None and not entity.erased
    ]
    if binned:
        merging.undelete(company, company.pick(binned), at)


def _merge_contacts(company: Company, at: int) -> None:
    crm = "sf" if company.chance(0.5) else "hs"
    first, second = _pair(company, company.contacts, _lone(crm))
    if first is not None and second is not None:
        merging.merge_contacts(company, first, second, at)


def _merge_accounts(company: Company, at: int) -> None:
    crm = "sf" if company.chance(0.6) else "hs"
    first, second = _pair(company, company.accounts, _lone(crm))
    if first is not None and second is not None:
        merging.merge_accounts(company, first, second, at)


def _merge_tickets(company: Company, at: int) -> None:
    crm = "sf" if company.chance(0.6) else "hs"
    first, second = _pair(company, company.tickets, _lone(crm))
    if first is not None and second is not None:
        merging.merge_tickets(company, first, second, at)


def _merge_leads(company: Company, at: int) -> None:
    first, second = _pair(company, company.leads, lambda lead: bool(lead.sf) and lead.converted_at is None)
    if first is not None and second is not None:
        merging.merge_leads(company, first, second, at)


def _merge_deals(company: Company, at: int) -> None:
    first, second = _pair(company, company.deals, _lone("hs"))
    if first is not None and second is not None:
        merging.merge_deals(company, first, second, at)


def _pair(company: Company, entities: Sequence[E], wanted: Callable[[E], bool]) -> tuple[E | None, E | None]:
    """Two records that may be merged."""
    for _ in range(40):
        first = _any(company, entities, wanted)
        if first is None:
            break
        mates = [e for e in entities if e is not first and wanted(e) and merging.may_merge(first, e)]
        if mates:
            return first, company.pick(mates)
    return None, None


def _hold_meetings(company: Company, end: int) -> None:
    """Meetings whose end has come are marked as held; where nobody says so, no stamp moves."""
    for meeting in company.activities:
        ends = meeting.at + (meeting.seconds or 0)
        if meeting.kind == "meeting" and meeting.status == "scheduled" and ends < end and meeting.deleted is None:
            meeting.status, meeting.completed = "completed", ends
            if meeting.hs is None or not lacks_outcome(meeting):
                company.touch(meeting, ends)


#: What happens at least once in every advance.
_EVENTS: tuple[Event, ...] = (
    _new_lead, _answer_lead, _drop_lead, _convert_lead, _new_deal, _move_deal, _win_deal, _lose_deal, _reopen_deal,
    _talk, _change_owner, _new_ticket, _answer_ticket, _close_ticket, _reopen_ticket, _escalate, _answer_survey,
    _new_account, _edit_contact, _edit_account, _finish_task, _delete, _delete, _restore, _merge_contacts,
    _merge_accounts, _merge_tickets, _merge_leads, _merge_deals,
)  # fmt: skip
#: How often the usual things happen in a day.
_PACE: dict[Event, float] = {
    _new_lead: 4, _answer_lead: 4, _drop_lead: 2, _convert_lead: 0.5, _new_deal: 2.5, _move_deal: 8, _talk: 10,
    _new_ticket: 6, _answer_ticket: 6, _close_ticket: 6, _answer_survey: 1.5, _edit_contact: 1,
}  # fmt: skip
