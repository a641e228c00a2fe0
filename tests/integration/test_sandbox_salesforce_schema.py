"""The sandbox's Salesforce schema while it changes: features, fields, permissions, pick lists, rates, roles."""

from collections.abc import Iterator

import pytest

from syncagent.sandbox.model import Rate
from tests.integration.salesforce_calls import Caller, running


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    with running() as made:
        yield made


@pytest.fixture
def sf(caller: Caller) -> Caller:
    return caller.anew()


def fields(sf: Caller, sobject: str) -> dict[str, str]:
    return {field["name"]: field["type"] for field in sf.get(f"/sobjects/{sobject}/describe").json()["fields"]}


def objects(sf: Caller) -> set[str]:
    return {entry["name"] for entry in sf.get("/sobjects").json()["sobjects"]}


def test_every_field_of_every_object_can_be_asked_for(sf: Caller) -> None:
    assert "Order" in objects(sf)
    for sobject in objects(sf):
        names = list(fields(sf, sobject))
        reply = sf.query(f"SELECT {', '.join(names)} FROM {sobject}")
        assert reply.status_code == 200, reply.text
        for record in reply.json()["records"]:
            assert set(record) == {"attributes", *names}


@pytest.mark.parametrize(
    ("feature", "gone", "field"),
    [
        ("multi_currency", ("CurrencyType", "DatedConversionRate"), ("Opportunity", "CurrencyIsoCode")),
        ("dated_rates", ("DatedConversionRate",), None),
        ("person_accounts", (), ("Account", "IsPersonAccount")),
        ("surveys", ("SurveyInvitation", "SurveySubject", "SurveyResponse", "SurveyQuestionResponse"), None),
        ("orders", ("Order", "OrderItem"), None),
        ("contracts", ("Contract",), None),
        ("field_history", ("CaseHistory", "LeadHistory", "OpportunityFieldHistory"), None),
    ],
)
def test_features_come_and_go(sf: Caller, feature: str, gone: tuple[str, ...], field: tuple[str, str] | None) -> None:
    before = objects(sf)
    sf.server.schema.turn_off(feature)
    assert set(gone) <= before - objects(sf)
    for sobject in gone:
        assert sf.error(sf.query(f"SELECT Id FROM {sobject}")) == (400, "INVALID_TYPE")
        assert sf.get(f"/sobjects/{sobject}/describe").status_code == 404
    if field is not None:
        assert field[1] not in fields(sf, field[0])
        assert sf.error(sf.query(f"SELECT {field[1]} FROM {field[0]}")) == (400, "INVALID_FIELD")
    sf.server.schema.turn_on(feature)
    assert objects(sf) == before
    if field is not None:
        assert field[1] in fields(sf, field[0])


def test_a_field_is_added_retyped_and_removed(sf: Caller) -> None:
    schema = sf.server.schema
    schema.add_field("Lead", "Score__c", "double", lambda row: float(len(row["LastName"])))
    assert fields(sf, "Lead")["Score__c"] == "double"
    assert all(r["Score__c"] == len(r["LastName"]) for r in sf.rows("SELECT LastName, Score__c FROM Lead"))
    schema.retype_field("Lead", "Score__c", "string")
    assert fields(sf, "Lead")["Score__c"] == "string"
    assert all(isinstance(r["Score__c"], str) for r in sf.rows("SELECT Score__c FROM Lead WHERE Score__c != null"))
    assert sf.error(sf.query("SELECT Id FROM Lead WHERE Score__c > 3")) == (400, "INVALID_FIELD")
    schema.remove_field("Lead", "Score__c")
    assert "Score__c" not in fields(sf, "Lead")


def test_more_fields_than_an_address_holds(sf: Caller) -> None:
    names = sf.server.schema.add_many("Lead", 400)
    assert set(names) <= fields(sf, "Lead").keys()
    assert sf.query(f"SELECT {', '.join(names)} FROM Lead").status_code == 414
    assert all(
        row[names[0]] == f"about {row['Id']}" for row in sf.rows(f"SELECT Id, {', '.join(names[:50])} FROM Lead")
    )


def test_what_permissions_hide_is_as_if_it_were_not(sf: Caller) -> None:
    schema = sf.server.schema
    schema.hide("Case.Priority", "Lead")
    assert "Priority" not in fields(sf, "Case")
    reply = sf.query("SELECT Id, Priority FROM Case")
    assert sf.error(reply) == (400, "INVALID_FIELD")
    message = reply.json()[0]["message"]
    assert message.startswith("\nSELECT Id, Priority FROM Case\n           ^\nERROR at Row:1:Column:12\n")
    assert "No such column 'Priority' on entity 'Case'" in message
    assert sf.get("/sobjects/Lead/describe").status_code == 404
    assert sf.error(sf.query("SELECT Id FROM Lead")) == (400, "INVALID_TYPE")
    assert sf.error(sf.query("SELECT Id, Lead.Name FROM LeadHistory")) == (400, "INVALID_FIELD")
    schema.show("Case.Priority", "Lead")
    assert sf.query("SELECT Id, Priority FROM Case").status_code == 200


def test_describe_tells_what_has_not_changed(sf: Caller) -> None:
    first = sf.get("/sobjects/Lead/describe")
    since = {"If-Modified-Since": first.headers["Last-Modified"]}
    again = sf.get("/sobjects/Lead/describe", headers=since)
    assert (again.status_code, again.content) == (304, b"")
    assert sf.get("/sobjects", headers={"If-Modified-Since": "rubbish"}).status_code == 200
    sf.server._company.now += 60
    sf.server.schema.hide("Lead.Title")
    assert sf.get("/sobjects/Lead/describe", headers=since).status_code == 200
    assert sf.get("/sobjects", headers=since).status_code == 200
    assert sf.get("/sobjects/Case/describe", headers=since).status_code == 304


def test_stages_are_renamed_reordered_switched_off_and_removed(sf: Caller) -> None:
    shown, company = sf.server.shown, sf.server._company
    stages = "SELECT ApiName, MasterLabel, SortOrder, IsActive, SystemModstamp FROM OpportunityStage"
    before = {row["ApiName"]: row for row in sf.rows(stages)}
    company.now += 60
    company.stage_labels["OpportunityStage", "Qualification"] = "Qualifizierung"
    company.stages_removed["OpportunityStage", "Needs Analysis"] = company.now
    shown.change_status("OpportunityStage", "Closed Lost", SortOrder=1, IsActive=False)
    after = {row["ApiName"]: row for row in sf.rows(stages)}
    assert after.keys() == before.keys() - {"Needs Analysis"}
    assert after["Qualification"]["MasterLabel"] == "Qualifizierung"
    assert after["Qualification"]["SystemModstamp"] > before["Qualification"]["SystemModstamp"]
    assert (after["Closed Lost"]["SortOrder"], after["Closed Lost"]["IsActive"]) == (1, False)
    assert after["Closed Won"] == before["Closed Won"]


def test_a_new_api_name_moves_the_deals_without_a_stamp(sf: Caller) -> None:
    deals = "SELECT Id, StageName, SystemModstamp FROM Opportunity"
    before = {row["Id"]: row for row in sf.rows(deals)}
    stage = next(iter(before.values()))["StageName"]
    sf.server.shown.change_status("OpportunityStage", stage, ApiName="Brand New", MasterLabel="Brand New")
    after = {row["Id"]: row for row in sf.rows(deals)}
    moved = {key for key, row in before.items() if row["StageName"] == stage}
    assert {key for key, row in after.items() if row["StageName"] == "Brand New"} == moved != set()
    assert all(after[key]["SystemModstamp"] == before[key]["SystemModstamp"] for key in before)


def test_a_role_is_renamed_without_a_word_from_its_users(sf: Caller) -> None:
    users = "SELECT Id, UserRole.Name, SystemModstamp FROM User WHERE UserRoleId != null"
    before = sf.rows(users)
    team = before[0]["UserRole"]["Name"]
    sf.server._company.team_names[team] = "Brand New"
    sf.server.refresh_fixed()
    after = sf.rows(users)
    assert after[0]["UserRole"]["Name"] == "Brand New"
    assert [row["SystemModstamp"] for row in after] == [row["SystemModstamp"] for row in before]


def test_currencies_and_their_dated_rates(sf: Caller) -> None:
    company = sf.server._company
    types = {row["IsoCode"]: row for row in sf.rows("SELECT IsoCode, ConversionRate, IsCorporate FROM CurrencyType")}
    assert (types["EUR"]["IsCorporate"], types["EUR"]["ConversionRate"]) == (True, 1.0)
    assert not types["USD"]["IsCorporate"]
    company.rates.append(Rate("USD", "2026-11-15", 1.0))
    dated = sf.rows(
        "SELECT StartDate, NextStartDate, ConversionRate FROM DatedConversionRate WHERE IsoCode = 'USD'"
        " ORDER BY StartDate"
    )
    assert (dated[-1]["StartDate"], dated[-1]["ConversionRate"]) == ("2026-11-15", 1.0)
    assert [row["NextStartDate"] for row in dated[:-1]] == [row["StartDate"] for row in dated[1:]]
    assert sf.rows("SELECT ConversionRate FROM CurrencyType WHERE IsoCode = 'USD'")[0]["ConversionRate"] == 1.0


def test_references_with_15_characters(sf: Caller) -> None:
    before = sf.rows("SELECT Id, OwnerId FROM Opportunity")
    sf.server.schema.shorten_ids()
    after = sf.rows("SELECT Id, OwnerId, AccountId FROM Opportunity")
    assert [row["Id"] for row in after] == [row["Id"] for row in before]
    assert [row["OwnerId"] for row in after] == [row["OwnerId"][:15] for row in before]
    assert sf.rows(f"SELECT Id FROM User WHERE Id = '{after[0]['OwnerId']}'")
