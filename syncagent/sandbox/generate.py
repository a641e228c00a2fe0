"""Makes the company, and puts in what real CRMs hold besides good rows: test rows, deletions, merges, orphans."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from syncagent.sandbox import clock, commerce, sales, service
from syncagent.sandbox.company import Company
from syncagent.sandbox.merging import (
    delete,
    delete_in_salesforce,
    erase,
    may_merge,
    merge_accounts,
    merge_contacts,
    merge_deals,
    merge_leads,
    merge_tickets,
)
from syncagent.sandbox.model import Entity
from syncagent.sandbox.people import make_accounts, make_users
from syncagent.sandbox.small import make_small

E = TypeVar("E", bound=Entity)
TEST_DOMAIN = "sandbox-test.example"
TEST_NAME = "ZZTEST"


def generate(seed: int, as_of: datetime, size: str = "full") -> Company:
    """The company as of an aware instant; the same for the same arguments. `size`: "full", or "tiny" for tests."""
    company = Company(seed, as_of, size)
    if size == "tiny":
        make_small(company)
        company.touched.clear()
        return company
    make_users(company)
    make_accounts(company)
    sales.make_sales(company)
    service.make_tickets(company)
    _test_rows(company)
    _mishaps(company)
    commerce.make_commerce(company)
    company.touched.clear()
    return company


def _test_rows(company: Company) -> None:
    """Rows someone made to try things out; the numbers must not know them."""
    for number in range(6):
        lead = company.pick(company.leads)
        if lead.converted_at is None:
            lead.email, lead.last, lead.is_test = f"try{number}@{TEST_DOMAIN}", TEST_NAME, True
            lead.first = TEST_NAME
            if lead.contact is not None:
                lead.contact.email, lead.contact.is_test = lead.email, True
                lead.contact.first = lead.contact.last = TEST_NAME
    for number in range(4):
        deal = sales.make_deal(
            company, None, company.now - (20 + 30 * number) * clock.DAY, crm="sf" if number % 2 else "hs"
        )
        deal.name, deal.is_test = f"{TEST_NAME} deal {number}", True
        sales.settle(company, deal, deal.created + clock.DAY, "won")


def _mishaps(company: Company) -> None:
    rng = company.rng

    def past(entity: Entity) -> int:
        return min(entity.modified + rng.randrange(3600, 30 * clock.DAY), company.now - 600)

    plain_leads = [lead for lead in company.leads if lead.converted_at is None and not lead.is_test]
    groups: tuple[tuple[list[Entity], int], ...] = (
        (list(plain_leads), 25),
        (list(company.deals), 18),
        (list(company.tickets), 25),
        (list(company.activities), 60),
    )
    for entities, count in groups:
        for entity in rng.sample(entities, count):
            delete(company, entity, past(entity))
    for entity in rng.sample(groups[0][0], 4) + rng.sample(groups[2][0], 4):
        erase(company, entity)
    _merges(company)
    both = [d for d in company.deals if d.sf and d.hs and d.deleted is None]
    for deal in both[:2]:
        delete_in_salesforce(company, deal, past(deal))
    lone = [d for d in company.deals if d.hs and not d.sf and d.deleted is None and d.merged_into is None]
    for deal in lone[:2]:
        deal.orphan_link = company.ids.sf("Opportunity")


def _merges(company: Company) -> None:
    """Duplicates someone cleaned up, in each CRM; HubSpot alone merges deals, Salesforce alone leads."""
    for crm in ("sf", "hs"):
        for contacts in _pairs(company, company.contacts, crm, 8):
            merge_contacts(company, *contacts)
        for accounts in _pairs(company, company.accounts, crm, 4):
            merge_accounts(company, *accounts)
        for tickets in _pairs(company, company.tickets, crm, 6):
            merge_tickets(company, *tickets)
    for leads in _pairs(company, [lead for lead in company.leads if lead.converted_at is None], "sf", 6):
        merge_leads(company, *leads)
    for deals in _pairs(company, company.deals, "hs", 3):
        merge_deals(company, *deals)


def _pairs(company: Company, rows: Sequence[E], crm: str, count: int) -> Iterator[tuple[E, E, int]]:
    """Two live records of one CRM alone, and a moment after both were last touched."""
    rng = company.rng
    lone = [row for row in rows if (row.sf if crm == "sf" else row.hs) and not (row.hs if crm == "sf" else row.sf)]
    rng.shuffle(lone)
    for first in lone:
        if count == 0:
            return
        second = next((row for row in lone if row is not first and may_merge(first, row)), None)
        if second is not None:
            known = max(first.modified, second.modified)
            yield first, second, known + rng.randrange(60, max(61, min(company.now - 900 - known, 60 * clock.DAY)))
            count -= 1
