"""What the rows of the sandbox's Salesforce hold: hostile text, amounts at the edge, lines, owners, formulas."""

from collections.abc import Iterator

import pytest

from syncagent.sandbox.clock import DAY, sf_instant
from syncagent.sandbox.model import Line
from tests.integration.salesforce_calls import Caller, running, table

LEADS = "SELECT Id, LastName, SystemModstamp FROM Lead"


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with running() as made:
        yield made


@pytest.fixture
def sf(caller: Caller) -> Caller:
    return caller.anew()


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "a\ud800b", "Ann\r\nBcc: all@example.org", "x" * 130_000, "Zoë 👩‍🚒", "\u202egpj.exe", "=HYPERLINK(1)"],
)
def test_hostile_text_goes_out_as_it_is(sf: Caller, text: str) -> None:
    row_id = next(iter(sf.server.rows.tables["Lead"]))
    sf.server.shown.put_in(row_id, LastName=text)
    assert {row["LastName"] for row in sf.rows(f"{LEADS} WHERE Id = '{row_id}'")} == {text}
    lines = {line[0]: line[1] for line in table(sf.results(sf.finished_job(LEADS)))}
    assert lines[row_id] == text.replace("\ud800", "?")


@pytest.mark.parametrize("amount", [1e308, float(2**63), 2**70, -12.5, 8.6000000000000004, 0])
def test_amounts_at_the_edge(sf: Caller, amount: float) -> None:
    row_id = next(iter(sf.server.rows.tables["Opportunity"]))
    sf.server.shown.put_in(row_id, Amount=amount)
    soql = f"SELECT Id, Amount FROM Opportunity WHERE Id = '{row_id}'"
    assert sf.rows(soql)[0]["Amount"] == amount
    assert float(table(sf.results(sf.finished_job(soql)))[1][1]) == amount


def test_a_value_put_in_survives_a_change_of_the_record(sf: Caller) -> None:
    lead = next(lead for lead in sf.server._company.leads if lead.sf and not lead.erased)
    sf.server.shown.put_in(str(lead.sf), Title="Boss", SystemModstamp=sf_instant(sf.server._company.now + DAY))
    lead.last = "Later"
    sf.server.refresh([lead])
    row = sf.rows(f"SELECT LastName, Title, SystemModstamp FROM Lead WHERE Id = '{lead.sf}'")[0]
    assert (row["LastName"], row["Title"]) == ("Later", "Boss")
    assert row["SystemModstamp"] == sf_instant(sf.server._company.now + DAY)


def test_lines_hang_on_their_parents(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    order = next(order for order in company.orders if order.sf)
    kept = Line(company.ids.sf("OrderItem"), "", "Team", 3.0, 1050)
    gone = Line(company.ids.sf("OrderItem"), "", "Starter", 1.0, 500, at=company.now)
    order.lines, order.removed_lines = [kept], [gone]
    server.refresh([order])
    fields = "Id, IsDeleted, Product2.Name, Quantity, UnitPrice, TotalPrice"
    soql = f"SELECT {fields} FROM OrderItem WHERE OrderId = '{order.sf}'"
    rows = {row["Id"]: row for row in sf.rows(soql)}
    assert rows[kept.sf]["Product2"]["Name"] == "Team"
    assert (rows[kept.sf]["Quantity"], rows[kept.sf]["UnitPrice"], rows[kept.sf]["TotalPrice"]) == (3.0, 3.5, 10.5)
    assert (rows[kept.sf]["IsDeleted"], rows[gone.sf]["IsDeleted"]) == (False, True)
    assert [row["Id"] for row in sf.rows(f"{soql} AND IsDeleted = false")] == [kept.sf]
    head = sf.rows(f"SELECT TotalAmount, Account.Name FROM Order WHERE Id = '{order.sf}'")[0]
    assert (head["TotalAmount"], head["Account"]["Name"]) == (10.5, order.account.name)


def test_a_change_of_owner_is_two_rows_of_history(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    deal = next(deal for deal in company.deals if deal.sf and not deal.erased)
    other = next(user for user in company.users if user.sf and user is not deal.owner)
    before = deal.owner
    company.give(deal, other, company.now)
    server.refresh([deal])
    rows = sf.rows(
        "SELECT Id, Field, OldValue, NewValue, CreatedDate FROM OpportunityFieldHistory"
        f" WHERE OpportunityId = '{deal.sf}' AND Field = 'Owner' ORDER BY Id"
    )
    assert {(row["OldValue"], row["NewValue"]) for row in rows} == {(before.sf, other.sf), (before.name, other.name)}
    assert len({row["Id"] for row in rows}) == 2
    assert {row["CreatedDate"] for row in rows} == {sf_instant(company.now)}


def test_a_formula_drifts_without_a_stamp(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    deal = next(deal for deal in company.deals if deal.sf and not deal.erased)
    soql = f"SELECT Health__c, SystemModstamp FROM Opportunity WHERE Id = '{deal.sf}'"
    before = sf.rows(soql)[0]
    deal.health = "red" if deal.health != "red" else "green"
    company.drift(deal, company.now)
    server.refresh([deal])
    after = sf.rows(soql)[0]
    assert after["Health__c"] == deal.health.capitalize() != before["Health__c"]
    assert after["SystemModstamp"] == before["SystemModstamp"]
    calculated = [f["name"] for f in sf.get("/sobjects/Opportunity/describe").json()["fields"] if f["calculated"]]
    assert "Health__c" in calculated


def test_a_person_is_an_account_and_a_contact(sf: Caller) -> None:
    persons = sf.rows("SELECT Id, PersonContactId, LastName, Website FROM Account WHERE IsPersonAccount = true")
    assert persons
    for person in persons:
        contact = sf.rows(f"SELECT AccountId, IsPersonAccount FROM Contact WHERE Id = '{person['PersonContactId']}'")
        assert [(row["AccountId"], row["IsPersonAccount"]) for row in contact] == [(person["Id"], True)]
        assert person["LastName"]
        assert person["Website"] is None


def test_answers_may_be_kept_by_salesforce_surveys(sf: Caller) -> None:
    server, company = sf.server, sf.server._company
    own = sf.rows("SELECT Id FROM Survey_Response__c")
    server.shown.maker.native_answers = True
    server.refresh(company.surveys)
    assert not sf.rows("SELECT Id FROM Survey_Response__c")
    native = sf.rows(
        "SELECT NumberValue, ResponseValue, Response.CompletionDateTime, Question.QuestionType,"
        " Invitation.ParticipantId FROM SurveyQuestionResponse"
    )
    assert len(native) == len(own) > 0
    assert {row["Question"]["QuestionType"] for row in native} <= {"CSAT", "NPS"}
    assert all(row["Response"]["CompletionDateTime"] for row in native)
    invitations = sf.rows("SELECT Id, CreatedDate, Survey_Type__c, ContactId FROM SurveyInvitation")
    assert {row["Id"] for row in invitations} == {invitation.sf for invitation in company.invitations}


def test_a_row_of_nobody(sf: Caller) -> None:
    template = next(iter(sf.server.rows.tables["Lead"].values()))
    sf.server.shown.add_row("Lead", template | {"Id": "00QZZ0000000001AAA", "LastName": "Stray"})
    assert [row["LastName"] for row in sf.rows(f"{LEADS} WHERE Id = '00QZZ0000000001AAA'")] == ["Stray"]
    with pytest.raises(KeyError):
        sf.server.shown.put_in("00QZZ0000000002AAA", LastName="Nobody")
