"""The things that can happen to a company: each moves the stamps its vendor would, and shows in the truth."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncagent.sandbox.change import KINDS, fates, links, office, random_change, records
from syncagent.sandbox.clock import instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.generate import generate
from syncagent.sandbox.model import Deal, Entity, Ticket
from syncagent.sandbox.truth import Truth, truth

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


@pytest.fixture
def company() -> Company:
    return generate(5, AS_OF, "tiny")


def both(company: Company) -> Deal:
    return next(deal for deal in company.deals if deal.sf and deal.hs)


def lone(company: Company, crm: str) -> Deal:
    return next(
        deal for deal in company.deals if getattr(deal, crm) and not getattr(deal, "hs" if crm == "sf" else "sf")
    )


def row(told: Truth, crm: str, table: str, entity: Entity) -> dict[str, object]:
    return told.tables[crm, table].rows[(entity.sf if crm == "salesforce" else entity.hs) or ""]


def story(seed: int, steps: int) -> Iterator[tuple[Company, str]]:
    company, rng = generate(seed, AS_OF, "tiny"), random.Random(seed)
    for _ in range(steps):
        company.now += 7
        yield company, str(random_change(rng, company, company.now - 1))


def test_one_seed_makes_one_story() -> None:
    first = [text for _, text in story(3, 80)]
    assert first == [text for _, text in story(3, 80)]
    assert first != [text for _, text in story(4, 80)]


def test_every_kind_of_change_happens_and_keeps_the_company_whole() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(40):
        happened = list(story(seed, 60))
        kinds.update(text.split(":")[0] for _, text in happened)
        company = happened[-1][0]
        for strict in (False, True):
            truth(company, strict=strict)
        for deal in company.deals:
            assert [step.at for step in deal.steps] == sorted(step.at for step in deal.steps)
        for entity in company.everything():
            assert entity.hs_modified <= entity.modified
    assert set(kinds) == set(KINDS)


def test_only_the_kinds_asked_for() -> None:
    company, rng = generate(1, AS_OF, "tiny"), random.Random(1)
    made = {random_change(rng, company, company.now, ("drift", "merge")).kind for _ in range(30)}
    assert made <= {"drift", "merge", "nothing"}
    assert "drift" in made


def test_an_edit_stamps_both_crms(company: Company) -> None:
    deal, at = both(company), company.now
    records.rename(company, deal, "Renamed", at=at)
    told = truth(company)
    for crm in ("salesforce", "hubspot"):
        assert row(told, crm, "opportunities", deal) | {"name": "Renamed", "updated_at": instant(at)} == row(
            told, crm, "opportunities", deal
        )


def test_a_link_stamps_salesforce_alone_and_only_the_strict_truth_knows_it_of_hubspot(company: Company) -> None:
    deal, at, before = both(company), company.now, both(company).hs_modified
    links.link_account(company, deal, None, at=at)
    assert (deal.modified, deal.hs_modified) == (at, before)
    assert row(truth(company), "salesforce", "opportunities", deal)["account_id"] is None
    assert "account_id" not in row(truth(company), "hubspot", "opportunities", deal)
    assert row(truth(company, strict=True), "hubspot", "opportunities", deal)["account_id"] is None
    records.rename(company, deal, "Stamped", at=at + 1)  # the next stamp brings the link with it
    assert row(truth(company), "hubspot", "opportunities", deal)["account_id"] is None
    assert deal.hs_modified == at + 1


def test_a_formula_moves_no_stamp(company: Company) -> None:
    deal = both(company)
    before = (deal.modified, deal.hs_modified)
    links.drift(company, deal, "red", at=company.now)
    assert (deal.modified, deal.hs_modified) == before
    for crm in ("salesforce", "hubspot"):
        assert "custom.health" not in row(truth(company), crm, "opportunities", deal)
        assert row(truth(company, strict=True), crm, "opportunities", deal)["custom.health"] == "red"


def test_lines_come_change_and_go(company: Company) -> None:
    deal, at = lone(company, "hs"), company.now
    before = deal.hs_modified
    line = links.add_line(company, deal, at=at)
    line = links.change_line(company, deal, line, at=at, quantity=3.0)
    side = truth(company, strict=True).sides["hubspot", "opportunity_lines"]
    assert side.rows[line.hs,]["quantity"] == 3.0
    assert deal.hs in truth(company).sides["hubspot", "opportunity_lines"].unsure
    links.unlink_line(company, deal, line, at=at)
    assert (line.hs,) not in truth(company, strict=True).sides["hubspot", "opportunity_lines"].rows
    assert deal.hs_modified == before
    in_sf = lone(company, "sf")
    gone = links.add_line(company, in_sf, at=at)
    links.remove_line(company, in_sf, gone, at=at + 1)
    assert [one.sf for one in in_sf.removed_lines] == [gone.sf]
    assert in_sf.modified == at + 1


def test_merged_records_lead_to_the_end_of_their_chain(company: Company) -> None:
    first, second, third = (
        records.new_contact(company, account, at=company.now) for account in company.accounts[1:2] * 3
    )
    fates.merge(company, second, first, at=company.now)
    fates.merge(company, third, second, at=company.now + 1)
    merged = truth(company).tables["salesforce", "contacts"].merged
    assert {first.sf: third.sf, second.sf: third.sf}.items() <= merged.items()
    fates.delete(company, third, at=company.now + 2)
    told = truth(company).tables["salesforce", "contacts"]
    assert {first.sf, second.sf, third.sf} <= told.deleted
    fates.undelete(company, third, at=company.now + 3)
    fates.erase(company, third, at=company.now + 4)
    assert {first.sf, second.sf, third.sf} <= truth(company).tables["salesforce", "contacts"].erased


def test_hubspot_makes_a_new_deal_of_two(company: Company) -> None:
    one, two = [deal for deal in company.deals if deal.hs and not deal.sf][:2]
    made = fates.merge(company, one, two, at=company.now)
    assert made not in (one, two)
    told = truth(company).tables["hubspot", "opportunities"]
    assert {one.hs: made.hs, two.hs: made.hs}.items() <= told.merged.items()
    assert made.hs in told.live


def test_an_erased_record_moves_no_stamp(company: Company) -> None:
    ticket = company.tickets[0]
    before = ticket.modified
    fates.erase(company, ticket, at=company.now)
    assert ticket.modified == before
    crm = "salesforce" if ticket.sf else "hubspot"
    assert (ticket.sf or ticket.hs) in truth(company).tables[crm, "tickets"].erased


def test_histories_hold_every_step(company: Company) -> None:
    deal, ticket, at = lone(company, "sf"), next(t for t in company.tickets if t.sf), company.now
    for number, stage in enumerate(("won", "proposal", "lost", "proposal")):
        records.move_deal(company, deal, stage, at=at + number)
    records.set_amount(company, deal, 777, at=at + 9)
    for number, status in enumerate(("closed", "working", "closed")):
        records.move_ticket(company, ticket, status, at=at + number)
    told = truth(company)
    stages = told.stage_history["salesforce", deal.sf or ""]
    assert [state for _, _, state in stages][-4:] == ["won", "open", "lost", "open"]
    last = told.deal_history["salesforce", deal.sf or ""][-1]
    assert (last[0], last[2], last[3]) == (instant(at + 9), "open", 777)
    assert [category for *_, category in told.status_history["salesforce", ticket.sf or ""]][-2:] == ["open", "closed"]


def test_who_a_record_belonged_to_is_kept(company: Company) -> None:
    deal = both(company)
    first, second = deal.owner, next(user for user in company.users if user is not deal.owner)
    records.give(company, deal, second, at=company.now)
    assert [(one.at, one.owner) for one in deal.owners] == [(deal.created, first), (company.now, second)]
    assert row(truth(company), "salesforce", "opportunities", deal)["owner_id"] == second.sf


def test_a_renamed_team_shows_on_its_people_without_a_stamp(company: Company) -> None:
    user = company.users[0]
    before = user.modified
    office.rename_team(company, user.team, "The closers", at=company.now)
    assert user.modified == before
    assert "team" not in row(truth(company), "salesforce", "users", user)
    assert row(truth(company, strict=True), "salesforce", "users", user)["team"] == "The closers"


def test_stages_rates_and_labels(company: Company) -> None:
    office.label_stage(company, "deals", "closedwon", "Hooray")
    office.remove_stage(company, "deals", "61820043", at=company.now)
    office.set_rate(company, "USD", 2.0, at=company.now)
    sides = truth(company).sides
    assert sides["hubspot", "stage_defs"].rows["opportunities", "default", "closedwon"]["label"] == "Hooray"
    assert not [key for key in sides["hubspot", "stage_defs"].rows if key[2] == "61820043"]
    assert sides["salesforce", "fx_rates"].rows["USD", "2026-11-16"] == {"rate_to_reporting": 0.5}


def test_a_burst_stamps_alike_and_a_fast_clock_ahead(company: Company) -> None:
    tickets: list[Ticket] = company.tickets[:5]
    office.burst(company, tickets, at=company.now)
    assert {ticket.modified for ticket in tickets} == {company.now}
    office.stamp_ahead(company, tickets[0], at=company.now, ahead_s=300)
    assert tickets[0].modified == company.now + 300


def test_money_arrives_in_parts(company: Company) -> None:
    account = next(account for account in company.accounts if account.hs)
    invoice = records.new_invoice(company, account, at=company.now)
    records.new_payment(company, invoice, at=company.now, amount=invoice.amount // 2)
    assert invoice.status == "open"
    records.new_payment(company, invoice, at=company.now, amount=invoice.amount - invoice.amount // 2)
    assert invoice.status == "paid"


def test_a_lead_becomes_a_deal_with_a_contact_in_salesforce(company: Company) -> None:
    lead = next(lead for lead in company.leads if lead.sf and lead.converted_at is None)
    account = next(account for account in company.accounts if account.sf)
    deal = records.convert(company, lead, account, at=company.now)
    told = row(truth(company), "salesforce", "leads", lead)
    assert told["converted_opportunity_id"] == deal.sf
    assert told["converted_contact_id"] is not None
    assert told["status_category"] == "converted"
