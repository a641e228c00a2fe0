"""The sandbox's HubSpot over real HTTP: lists, searches, batches with history, associations, limits."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


class Portal:
    """A client of one sandbox's HubSpot."""

    def __init__(self, sandbox: Sandbox, session: requests.Session) -> None:
        self.sandbox = sandbox
        self._session = session

    def get(self, path: str, **params: Any) -> requests.Response:
        return self._session.get(self.sandbox.hubspot_url + path, params=params, timeout=5)

    def post(self, path: str, body: object) -> requests.Response:
        return self._session.post(self.sandbox.hubspot_url + path, json=body, timeout=5)

    def everything(self, path: str, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=100, **params, **after).json()
            rows += page["results"]
            if "paging" not in page:
                return rows
            after = {"after": page["paging"]["next"]["after"]}


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with (
        Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False) as running,
        requests.Session() as session,
    ):
        session.headers["Authorization"] = "Bearer " + ACCESS_TOKEN
        yield Portal(running, session)


@pytest.mark.parametrize("base", ["/crm/v3/objects", "/crm/objects/2026-09"])
def test_a_list_holds_every_live_object_once(portal: Portal, base: str) -> None:
    expected = portal.sandbox.truth()
    for kind, table in (("deals", "opportunities"), ("tickets", "tickets"), ("0-136", "leads")):
        rows = portal.everything(f"{base}/{kind}", properties="hs_lastmodifieddate")
        ids = [row["id"] for row in rows]
        assert len(ids) == len(set(ids))
        assert set(ids) == expected.tables["hubspot", table].live


def test_archived_and_merged_objects(portal: Portal) -> None:
    expected = portal.sandbox.truth().tables["hubspot", "opportunities"]
    archived = portal.everything("/crm/v3/objects/deals", archived="true")
    assert {row["id"] for row in archived} == expected.deleted
    assert all(row["archived"] and row["archivedAt"] for row in archived)
    survivors = portal.everything("/crm/v3/objects/deals", properties="hs_merged_object_ids")
    named = [row["properties"]["hs_merged_object_ids"] for row in survivors]
    assert {one for names in named if names for one in names.split(";")} == set(expected.merged)
    loser, winner = next(iter(expected.merged.items()))
    assert portal.get(f"/crm/v3/objects/deals/{loser}").json()["id"] == winner


def test_values_are_text_or_null(portal: Portal) -> None:
    row = portal.get("/crm/v3/objects/deals", limit=1, properties="amount,hs_is_closed,closed_lost_reason,nope").json()
    props = row["results"][0]["properties"]
    assert "nope" not in props
    assert {"createdate", "hs_lastmodifieddate", "hs_object_id"} <= set(props)
    assert all(value is None or isinstance(value, str) for value in props.values())


def test_batch_read_with_history_newest_first(portal: Portal) -> None:
    histories = {k: v for k, v in portal.sandbox.truth().stage_history.items() if k[0] == "hubspot"}
    ids = [source_id for _, source_id in list(histories)[:50]]
    body = {
        "inputs": [{"id": one} for one in ids],
        "properties": ["dealstage"],
        "propertiesWithHistory": ["dealstage", "amount"],
    }
    reply = portal.post("/crm/v3/objects/deals/batch/read", body)
    assert reply.status_code == 200
    for row in reply.json()["results"]:
        versions = row["propertiesWithHistory"]["dealstage"]
        assert versions[0]["value"] == row["properties"]["dealstage"]
        stamps = [version["timestamp"] for version in versions]
        assert stamps == sorted(stamps, reverse=True)
        steps = [(version["timestamp"][:19] + "Z", version["value"]) for version in reversed(versions)]
        assert steps == [(at, stage) for at, stage, _ in histories["hubspot", row["id"]]]


def test_batch_read_limits_and_missing_ids(portal: Portal) -> None:
    path = "/crm/objects/2026-09/deals/batch/read"
    many = [{"id": str(number)} for number in range(51)]
    refused = portal.post(path, {"inputs": many, "propertiesWithHistory": ["dealstage"]})
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    partly = portal.post(path, {"inputs": [{"id": "1"}]})
    assert (partly.status_code, partly.json()["numErrors"]) == (207, 1)
    assert partly.json()["errors"][0]["context"]["ids"] == ["1"]


def test_search_by_modification_time(portal: Portal) -> None:
    since = int((portal.sandbox.now - timedelta(days=60)).timestamp() * 1000)
    body = {
        "filterGroups": [
            {"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": str(since)}]},
        ],
        "sorts": [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
        "limit": 20,
        "properties": ["lastmodifieddate"],
    }
    first = portal.post("/crm/v3/objects/contacts/search", body).json()
    assert first["paging"]["next"]["after"] == "20"
    second = portal.post("/crm/v3/objects/contacts/search", {**body, "after": "20"}).json()
    stamps = [r["properties"]["lastmodifieddate"] for r in first["results"] + second["results"]]
    assert stamps == sorted(stamps)
    rows = portal.everything("/crm/v3/objects/contacts", properties="lastmodifieddate")
    edge = (portal.sandbox.now - timedelta(days=60)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert first["total"] == sum(row["properties"]["lastmodifieddate"] >= edge for row in rows)


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 200, "after": "9900"},
        {"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "EQ", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "dealname", "operator": "EQ", "value": "1"}]}] * 6},
        {"sorts": ["dealname", "amount"]},
    ],
)
def test_search_refuses_what_the_vendor_refuses(portal: Portal, body: dict[str, Any]) -> None:
    reply = portal.post("/crm/v3/objects/deals/search", body)
    assert (reply.status_code, reply.json()["category"]) == (400, "VALIDATION_ERROR")


def test_calculated_values_are_missing_in_searches_alone(portal: Portal) -> None:
    name = "time_to_first_agent_reply"
    body = {
        "filterGroups": [{"filters": [{"propertyName": name, "operator": "HAS_PROPERTY"}]}],
        "properties": [name],
        "limit": 5,
    }
    found = portal.post("/crm/v3/objects/tickets/search", body).json()["results"]
    read = portal.post(
        "/crm/v3/objects/tickets/batch/read", {"inputs": [{"id": r["id"]} for r in found], "properties": [name]}
    ).json()["results"]
    assert {row["properties"][name] for row in found} == {None}
    assert all(int(row["properties"][name]) > 0 for row in read)


@pytest.mark.parametrize("base", ["/crm/v4/associations", "/crm/associations/2026-09"])
def test_associations(portal: Portal, base: str) -> None:
    expected = portal.sandbox.truth(strict=True).tables["hubspot", "opportunities"].rows
    linked = {key: row["account_id"] for key, row in expected.items() if row["account_id"]}
    alone = next(key for key, row in expected.items() if not row["account_id"])
    ids = [*list(linked)[:200], alone]
    reply = portal.post(f"{base}/deals/companies/batch/read", {"inputs": [{"id": one} for one in ids]})
    assert reply.status_code == 207
    body = reply.json()
    assert body["errors"][0]["context"]["fromObjectId"] == [alone]
    assert {row["from"]["id"]: str(row["to"][0]["toObjectId"]) for row in body["results"]} == {
        one: linked[one] for one in ids[:-1]
    }
    assert [kind["typeId"] for kind in body["results"][0]["to"][0]["associationTypes"]] == [5, 341]
    inline = portal.get(f"/crm/v3/objects/deals/{ids[0]}", associations="companies").json()
    assert inline["associations"]["companies"]["results"][0]["id"] == linked[ids[0]]


def test_account_owners_pipelines_and_properties(portal: Portal) -> None:
    details = portal.get("/account-info/v3/details").json()
    assert (details["timeZone"], details["companyCurrency"]) == ("Europe/Berlin", "EUR")
    active = portal.get("/crm/v3/owners").json()["results"]
    gone = portal.get("/crm/owners/2026-09/", archived="true").json()["results"]
    assert {owner["archived"] for owner in active} == {False}
    assert [owner["archived"] for owner in gone] == [True]
    stages = portal.get("/crm/v3/pipelines/deals").json()["results"][1]["stages"]
    assert [stage["metadata"]["isClosed"] for stage in stages] == ["false"] * 4 + ["true"] * 2
    names = {item["name"] for item in portal.get("/crm/properties/2026-09/deals").json()["results"]}
    assert "hs_salesforceopportunityid" in names


def test_tokens(portal: Portal) -> None:
    url = portal.sandbox.hubspot_url
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    bad = requests.post(url + "/oauth/v1/token", data=form | {"refresh_token": "x"}, timeout=5)
    assert (bad.status_code, bad.json()["status"]) == (400, "BAD_REFRESH_TOKEN")
    good = requests.post(url + "/oauth/2026-03/token", data=form | {"refresh_token": REFRESH_TOKEN}, timeout=5).json()
    assert good["expires_in"] == 1800
    headers = {"Authorization": "Bearer " + good["access_token"]}
    assert requests.get(url + "/crm/v3/owners", headers=headers, timeout=5).status_code == 200
    portal.sandbox.hubspot.expire_tokens()
    expired = requests.get(url + "/crm/v3/owners", headers=headers, timeout=5)
    assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    nobody = requests.get(url + "/crm/v3/owners", timeout=5)
    assert (nobody.status_code, nobody.json()["category"]) == (401, "INVALID_AUTHENTICATION")


def test_dated_paths_can_be_missing(portal: Portal) -> None:
    portal.sandbox.hubspot.dated = False
    try:
        assert portal.get("/crm/objects/2026-09/deals").status_code == 404
        assert portal.get("/crm/v3/objects/deals").status_code == 200
    finally:
        portal.sandbox.hubspot.dated = True


def test_limits_are_real(portal: Portal) -> None:
    server = portal.sandbox.hubspot
    server.limits, server.per_10s = True, 20
    try:
        answers = [portal.get("/crm/v3/owners") for _ in range(25)]
        refused = answers[-1]
        assert (refused.status_code, refused.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
        assert refused.headers["X-HubSpot-RateLimit-Max"] == "20"
        server.rate.search.clear()  # those of the tests before, less than a second ago
        searches = [portal.post("/crm/v3/objects/deals/search", {"limit": 1}) for _ in range(6)]
        assert [reply.status_code for reply in searches] == [200] * 5 + [429]
        assert "policyName" not in searches[-1].json()
        assert not any(name.lower().startswith("x-hubspot-ratelimit") for name in searches[0].headers)
        assert server.count_429 == sum(reply.status_code == 429 for reply in answers) + 1
    finally:
        server.limits, server.per_10s = False, 190


def test_asked_for_429(portal: Portal) -> None:
    portal.sandbox.faults.hubspot.too_many(retry_after="7", path="/owners")
    reply = portal.get("/crm/v3/owners")
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    assert portal.get("/crm/v3/owners").status_code == 200


def test_an_erased_object_leaves_nothing(portal: Portal) -> None:
    ticket = next(t for t in portal.sandbox.company.tickets if t.hs and t.deleted is None)
    portal.sandbox.erase(ticket)
    for archived in ("false", "true"):
        rows = portal.everything("/crm/v3/objects/tickets", archived=archived)
        assert ticket.hs not in {row["id"] for row in rows}
    assert ticket.hs in portal.sandbox.truth().tables["hubspot", "tickets"].erased
