"""The generated company: the same for a seed, of the promised size, with the trouble real CRMs hold."""

from datetime import UTC, datetime, timedelta

import pytest

from syncagent.sandbox.advance import advance
from syncagent.sandbox.clock import instant, local_date, work_after
from syncagent.sandbox.company import Company
from syncagent.sandbox.generate import generate
from syncagent.sandbox.ids import PREFIXES, Ids, to_18
from syncagent.sandbox.truth import truth

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def company() -> Company:
    return generate(7, AS_OF)


def test_checksum_of_a_known_id() -> None:
    assert to_18("006R00000024gDt") == "006R00000024gDtIAI"


def test_ids_carry_their_prefix_and_a_right_checksum() -> None:
    ids = Ids()
    for sobject, prefix in PREFIXES.items():
        made = ids.sf(sobject)
        assert (made[:3], len(made), to_18(made[:15])) == (prefix, 18, made)


def test_hubspot_ids_cross_a_power_of_ten(company: Company) -> None:
    numbers = {len(contact.hs) for contact in company.contacts if contact.hs}
    assert numbers == {3, 4}


def test_size(company: Company) -> None:
    sizes = [len(rows) for rows in (company.accounts, company.leads, company.tickets, company.users)]
    assert sizes == [506, 3000, 4000, 18]
    assert 2000 <= len(company.deals) <= 2020
    assert 10_000 <= len(company.activities) <= 14_000


def test_size_of_what_is_sold_on_paper(company: Company) -> None:
    assert [len(rows) for rows in (company.orders, company.invoices, company.contracts, company.invitations)] == [
        300,
        300,
        80,
        200,
    ]
    assert 150 <= len(company.payments) <= 280
    assert 1_500 <= len(company.mail_events) <= 2_500
    assert {rate.currency for rate in company.rates} == {"USD", "GBP"}
    assert {deal.currency for deal in company.deals} == {"EUR", "USD", "GBP"}
    assert sum(bool(deal.lines) for deal in company.deals) > 500
    assert [account.person is not None for account in company.accounts if account.is_person] == [True] * 6


def test_every_deal_has_a_rate_for_its_currency(company: Company) -> None:
    for deal in company.deals:
        if deal.currency != "EUR":
            days = [rate.valid_from for rate in company.rates if rate.currency == deal.currency]
            assert min(days) <= local_date(deal.created)


@pytest.mark.parametrize("seed", range(20))
def test_a_tiny_company_has_a_few_of_everything(seed: int) -> None:
    company = generate(seed, AS_OF, "tiny")
    assert [len(one) for one in (company.users, company.leads, company.tickets, company.invoices)] == [4, 6, 8, 3]
    assert 3 <= len(company.orders) <= 5
    groups = (
        company.accounts,
        company.contacts,
        company.deals,
        company.activities,
        company.surveys,
        company.contracts,
        company.invitations,
        company.mail_events,
        company.rates,
        company.payments,
    )
    assert all(groups)
    assert any(deal.sf and deal.hs for deal in company.deals)
    for crm in ("sf", "hs"):
        assert any(getattr(line, crm) for deal in company.deals for line in deal.lines)
        assert any(getattr(line, crm) for order in company.orders for line in order.lines)
    for entity in company.everything():
        assert entity.created <= entity.modified < company.now


def test_one_seed_makes_one_tiny_company() -> None:
    assert truth(generate(7, AS_OF, "tiny")) == truth(generate(7, AS_OF, "tiny"))
    assert truth(generate(7, AS_OF, "tiny")) != truth(generate(8, AS_OF, "tiny"))


def test_one_seed_makes_one_company(company: Company) -> None:
    again = generate(7, AS_OF)
    assert truth(again) == truth(company)


def test_nothing_is_known_before_it_happens(company: Company) -> None:
    for entity in company.everything():
        assert entity.created <= entity.modified < company.now


def test_history_is_in_order(company: Company) -> None:
    for deal in company.deals:
        moments = [step.at for step in deal.steps]
        assert moments == sorted(moments)
    for ticket in company.tickets:
        moments = [change.at for change in ticket.history]
        assert moments == sorted(moments)


def test_it_holds_what_real_crms_hold(company: Company) -> None:
    deals, tickets = company.deals, company.tickets
    assert any(deal.sf and deal.hs for deal in deals)
    assert any(deal.orphan_link for deal in deals)
    assert any(deal.sf_deleted for deal in deals)
    assert any(deal.merged for deal in deals)
    assert any(deal.amount is None for deal in deals)
    assert any("lost" in [s.stage for s in deal.steps] and deal.state == "won" for deal in deals)
    assert any([c.status for c in ticket.history].count("closed") > 1 for ticket in tickets)
    assert {entity.is_test for entity in company.leads} == {True, False}
    assert any(not user.active for user in company.users)
    assert any("ע" in account.name for account in company.accounts)


def test_advance_makes_every_kind_of_change() -> None:
    company = generate(3, AS_OF)
    leads, deals, tickets, old = len(company.leads), len(company.deals), len(company.tickets), company.now
    changed = advance(company, timedelta(days=1))
    assert company.now == old + 86_400
    assert (leads < len(company.leads), deals < len(company.deals), tickets < len(company.tickets)) == (True,) * 3
    assert any(entity.deleted is not None for entity in changed)
    assert any(entity.merged for entity in changed)
    assert any(entity.restored for entity in changed)
    assert all(old < entity.modified < company.now for entity in changed)


def test_work_time_skips_nights_and_weekends() -> None:
    friday = int(datetime(2026, 11, 13, 16, 30, tzinfo=UTC).timestamp())  # 17:30 in Berlin
    assert instant(work_after(friday, 60)) == "2026-11-16T08:30:00Z"
    assert local_date(friday) == "2026-11-13"
