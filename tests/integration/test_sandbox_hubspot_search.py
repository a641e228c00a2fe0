"""The sandbox's HubSpot searches: an index that lags behind, bursts, order, gaps in pages, and clocks that differ."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from syncagent.sandbox.company import Company
from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot.server import HubSpotServer
from syncagent.sandbox.merging import delete, erase
from syncagent.sandbox.model import Contact
from tests.fakes.portal import Portal

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
HOUR = 3600


@pytest.fixture(scope="module")
def served() -> Iterator[HubSpotServer]:
    server = HubSpotServer(generate(7, AS_OF), limits=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def portal(served: HubSpotServer) -> Iterator[Portal]:
    served.reset(served._company)
    served.limits = False
    with Portal(served) as portal:
        yield portal


@pytest.fixture
def company(portal: Portal) -> Company:
    return portal.server._company


def _someone(company: Company) -> Contact:
    return next(c for c in company.contacts if c.hs and c.deleted is None and c.merged_into is None and not c.erased)


def _rename(portal: Portal, contact: Contact, name: str) -> None:
    company = portal.server._company
    contact.first = name
    company.touch(contact, company.now)
    portal.server.refresh([contact])


def _by_id(id_: str | None) -> dict[str, Any]:
    filters = [{"propertyName": "hs_object_id", "operator": "EQ", "value": id_}]
    return {"filterGroups": [{"filters": filters}], "properties": ["firstname"]}


def _searched(portal: Portal, contact: Contact) -> str | None:
    """The first name searches know, None where they do not know the contact."""
    answer = portal.search("contacts", **_by_id(contact.hs))
    assert answer["total"] == len(answer["results"])
    return answer["results"][0]["properties"]["firstname"] if answer["results"] else None


# -- lag ---------------------------------------------------------------------------------------------------------------


def test_a_change_is_read_at_once_and_found_late(portal: Portal, company: Company) -> None:
    contact = _someone(company)
    old = contact.first
    portal.server.hide_until(contact, company.now + 59 * 60)
    _rename(portal, contact, "Late")
    assert portal.read("contacts", [contact.hs or ""], "firstname").json()["results"][0]["properties"]["firstname"] == (
        "Late"
    )
    one = portal.get(f"/crm/v3/objects/contacts/{contact.hs}", properties="firstname").json()
    assert one["properties"]["firstname"] == "Late"
    assert _searched(portal, contact) == old
    company.now += 59 * 60 - 1
    assert _searched(portal, contact) == old
    company.now += 1
    assert _searched(portal, contact) == "Late"


def test_a_new_object_is_listed_at_once_and_found_late(portal: Portal, company: Company) -> None:
    before = portal.search("contacts", limit=0)["total"]
    model = _someone(company)
    contact = Contact(
        key=company.key(), created=company.now, modified=company.now, first="New", last="One", email=None, phone=None,
        title=None, account=model.account, owner=model.owner,
    )  # fmt: skip
    company.place(contact, None, "contacts")
    company.contacts.append(contact)
    portal.server.hide_until(contact, company.now + 60)
    portal.server.refresh([contact])
    assert contact.hs in {row["id"] for row in portal.all("contacts")}
    assert (_searched(portal, contact), portal.search("contacts", limit=0)["total"]) == (None, before)
    company.now += 60
    assert (_searched(portal, contact), portal.search("contacts", limit=0)["total"]) == ("New", before + 1)


def test_a_deleted_object_is_found_for_a_while(portal: Portal, company: Company) -> None:
    contact = _someone(company)
    portal.server.hide_until(contact, company.now + 60)
    delete(company, contact, company.now)
    portal.server.refresh([contact])
    assert portal.get(f"/crm/v3/objects/contacts/{contact.hs}").status_code == 404
    assert _searched(portal, contact) is not None
    company.now += 60
    assert _searched(portal, contact) is None
    erase(company, contact)
    portal.server.refresh([contact])
    assert contact.hs not in {row["id"] for row in portal.all("contacts", archived="true")}


def test_every_change_lags_by_its_own_while(portal: Portal, company: Company) -> None:
    first, second = [c for c in company.contacts if c.hs and c.deleted is None and c.merged_into is None][:2]
    portal.server.lag(lambda entity: 10 if entity is first else 20)
    _rename(portal, first, "Soon")
    _rename(portal, second, "Later")
    company.now += 10
    assert (_searched(portal, first), _searched(portal, second) == "Later") == ("Soon", False)
    _rename(portal, second, "Latest")  # overtakes nothing: its own time is longer
    company.now += 10
    assert _searched(portal, second) == "Later"
    portal.server.lag(None)
    _rename(portal, second, "Now")
    assert _searched(portal, second) == "Now"


# -- stamps and order --------------------------------------------------------------------------------------------------


def _stamps(portal: Portal, **more: Any) -> list[tuple[str, str]]:
    sorts = [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}]
    rows = portal.search_all("contacts", sorts=sorts, properties=["lastmodifieddate"], **more)
    return [(row["properties"]["lastmodifieddate"], row["id"]) for row in rows]


def test_a_burst_in_one_millisecond(portal: Portal, company: Company) -> None:
    some = [c for c in company.contacts if c.hs and c.deleted is None and c.merged_into is None][:300]
    for contact in some:
        company.touch(contact, company.now)
    portal.server.burst(some, 123)
    stamps = _stamps(portal)
    burst = [(stamp, id_) for stamp, id_ in stamps if stamp == stamps[-1][0]]
    assert len(burst) == 300
    assert burst[0][0].endswith(".123Z")
    assert len({stamp[-5:-1] for stamp, _ in stamps}) > 100, "stamps lie at any millisecond otherwise"


def test_scrambled_rows_are_all_there_and_nearly_in_order(portal: Portal) -> None:
    straight = _stamps(portal)
    portal.server.scrambled = True
    mixed = _stamps(portal)
    assert straight == sorted(straight, key=lambda row: row[0])
    assert (mixed == straight, sorted(mixed) == sorted(straight)) == (False, True)
    places = {id_: place for place, (_, id_) in enumerate(straight)}
    assert max(abs(places[id_] - place) for place, (_, id_) in enumerate(mixed)) <= 6
    assert mixed == _stamps(portal), "the same search has the same order"


def test_ids_sort_as_text_or_as_numbers(portal: Portal) -> None:
    sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    numbers = [row["id"] for row in portal.search_all("contacts", sorts=sorts)]
    portal.server.ids_as_text = True
    texts = [row["id"] for row in portal.search_all("contacts", sorts=sorts)]
    assert numbers == sorted(numbers, key=int)
    assert texts == sorted(numbers) != numbers


def test_gaps_in_pages_lose_nothing(portal: Portal) -> None:
    whole = sorted(row["id"] for row in portal.all("companies"))
    portal.server.short_pages, portal.server.empty_pages = 0.5, 0.3
    pages = portal.pages("companies", limit=20)
    assert sorted(row["id"] for page in pages for row in page) == whole
    assert min(len(page) for page in pages[:-1]) == 0
    assert any(0 < len(page) < 20 for page in pages[:-1])
    sorts = [{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}]
    assert sorted(row["id"] for row in portal.search_all("companies", limit=20, sorts=sorts)) == whole
    first = portal.search("companies", limit=20, sorts=sorts)
    assert first["total"] == len(whole)


def test_tokens_nobody_can_make(portal: Portal) -> None:
    whole = [row["id"] for row in portal.all("companies")]
    portal.server.opaque_tokens = True
    token = portal.get("/crm/v3/objects/companies", limit=10).json()["paging"]["next"]["after"]
    assert not token.isdigit()
    assert [row["id"] for row in portal.all("companies")] == whole
    assert portal.get("/crm/v3/objects/companies", after="?").status_code == 400


def test_more_hits_than_a_search_gives() -> None:
    """12,000 contacts changed in one millisecond: 10,000 of them by offset, the rest by id."""
    company = generate(9, AS_OF, "tiny")
    model = _someone(company)
    for number in range(12_000):
        contact = Contact(
            key=company.key(), created=company.now, modified=company.now, first=f"N{number}", last="Many", email=None,
            phone=None, title=None, account=None, owner=model.owner,
        )  # fmt: skip
        company.place(contact, None, "contacts")
        company.contacts.append(contact)
    server = HubSpotServer(company, limits=False)
    many = [c for c in company.contacts if c.last == "Many"]
    server.burst(many, 0)
    server.start()
    try:
        with Portal(server) as portal:
            stamp = str(company.now * 1000)
            filters = [{"propertyName": "lastmodifieddate", "operator": "EQ", "value": stamp}]
            sorts = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
            page = portal.search("contacts", filterGroups=[{"filters": filters}], sorts=sorts, limit=200, after="9800")
            assert (page["total"], len(page["results"])) == (12_000, 200)
            beyond = {"filterGroups": [{"filters": filters}], "limit": 200, "after": "10000"}
            assert portal.post("/crm/v3/objects/contacts/search", beyond).status_code == 400
            last = page["results"][-1]["id"]
            filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": last})
            assert portal.search("contacts", filterGroups=[{"filters": filters}], limit=1)["total"] == 2_000
    finally:
        server.stop()


def test_rows_a_little_below_the_bound(portal: Portal) -> None:
    stamps = [stamp for stamp, _ in _stamps(portal)]
    bound = int(datetime.fromisoformat(stamps[-50]).timestamp() * 1000) + 1
    filters = [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": str(bound)}]
    exact = portal.search("contacts", filterGroups=[{"filters": filters}])["total"]
    portal.server.below_ms = 1
    assert portal.search("contacts", filterGroups=[{"filters": filters}])["total"] == exact + stamps.count(stamps[-50])


def test_a_time_of_nought_breaks_the_search(portal: Portal) -> None:
    filters = [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": "0"}]
    assert portal.post("/crm/v3/objects/contacts/search", {"filterGroups": [{"filters": filters}]}).status_code == 500


# -- clocks ------------------------------------------------------------------------------------------------------------


def test_a_servers_clock_may_be_wrong(portal: Portal, company: Company) -> None:
    portal.server.skew_s = 600
    answer = portal.read("contacts", ["1"])
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == company.now + 600
    assert datetime.fromisoformat(answer.json()["completedAt"]).timestamp() == company.now + 600
