"""A company of a few records of every kind, made in milliseconds: for tests that need hundreds of companies."""

from syncagent.sandbox import clock, commerce, names, sales, service
from syncagent.sandbox.company import Company
from syncagent.sandbox.model import Account, Deal
from syncagent.sandbox.people import make_account, make_users

#: One person of each team, with a seat in both CRMs.
_TEAMS = ("Sales DACH", "Sales International", "Sales Development", "Support")
USERS = [next(user for user in names.USERS if user[2] == team and user[4] == "both") for team in _TEAMS]
_HOMES = ("both", "sf", "hs", "both", "sf")  # of the accounts
_DAYS = 60  # how far back it goes


def make_small(company: Company) -> None:
    """About 5 accounts, 8 contacts, 6 leads, 8 deals, 8 tickets, 4 surveys, 3 orders and 3 invoices."""
    make_users(company, USERS)
    for number, home in enumerate(_HOMES):
        make_account(company, _moment(company, 200, 100), number, home=home, people=1 + number % 2)
    both, sf, hs = company.accounts[0], company.accounts[1], company.accounts[2]
    for account, crm in ((both, "both"), (both, "both"), (both, "hs"), (sf, "sf"), (sf, "sf"), (hs, "hs"), (hs, "hs")):
        deal = sales.make_deal(company, account, _moment(company, _DAYS, 10), crm=crm)
        _live(company, deal)
    _live(company, sales.make_deal(company, None, _moment(company, _DAYS, 10), crm="sf"))
    for number in range(6):
        lead = sales.make_lead(company, _moment(company, _DAYS, 2), "sf" if number % 2 else "hs")
        if number == 0:
            sales.answer_lead(company, lead, lead.created + 1800)
            deal = sales.make_deal(company, hs, lead.created + clock.DAY, crm="hs")
            sales.convert_lead(company, lead, deal.created, deal, deal.contact)
        elif number < 4:
            sales.run_lead(company, lead)
    for number in range(8):
        account = (both, sf, hs, company.accounts[3])[number % 4]
        service.run_ticket(company, service.make_ticket(company, _moment(company, _DAYS, 3), account))
    while len(company.surveys) < 4:
        service.make_survey(company, company.pick(company.tickets), company.now - 3600 - len(company.surveys))
    commerce.make_commerce(company, 0.01)
    _fill_up(company, sf, hs)
    for entity in company.everything():
        entity.modified = min(entity.modified, company.now - 1)


def _fill_up(company: Company, sf: Account, hs: Account) -> None:
    """Whatever chance left out: orders and lines in either CRM, and a payment."""
    at = company.now - clock.DAY
    for crm, account in (("sf", sf), ("hs", hs)):
        if not any(getattr(order, crm) for order in company.orders):
            commerce.make_order(company, account, at)
        deal = next(deal for deal in company.deals if getattr(deal, crm))
        if not any(getattr(line, crm) for deal in company.deals for line in deal.lines):
            deal.lines = [
                commerce.make_line(
                    company,
                    sf="OpportunityLineItem" if deal.sf else "",
                    kind="line_items" if deal.hs else None,
                )
            ]
    if not company.payments:
        commerce.pay(company, company.invoices[0], max(at, company.invoices[0].created))


def _moment(company: Company, most: int, least: int) -> int:
    """Some moment between two numbers of days ago."""
    return company.now - int((least + (most - least) * company.rng.random()) * clock.DAY)


def _live(company: Company, deal: Deal) -> None:
    """A few steps in a deal's life, with a little talk."""
    at = deal.created
    for _ in range(company.rng.randrange(0, 4)):
        at += int(company.rng.random() * 2 * clock.DAY) + 60
        if deal.state != "open" or at >= company.now:
            return
        sales.talk(company, deal, at - 30)
        sales.advance_deal(company, deal, at)
