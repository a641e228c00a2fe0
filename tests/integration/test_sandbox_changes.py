"""The sandbox's verbs over real HTTP: what happens shows at once, late where asked, and a reset forgets it all."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import fates, links, office, records
from syncagent.sandbox.clock import hs_instant
from syncagent.sandbox.hubspot.gate import ACCESS_TOKEN
from syncagent.sandbox.model import Deal
from tests.integration.crm_cache import MemoryCache, compare, hubspot, salesforce

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)


class Both:
    """A client of both CRMs of one sandbox."""

    def __init__(self, box: Sandbox, session: requests.Session) -> None:
        self.box, self._session = box, session

    def fresh(self, seed: int = 1) -> Deal:
        """Another tiny company; a deal that is in both CRMs."""
        self.box.reset(seed=seed, as_of=AS_OF)
        body = {"grant_type": "client_credentials", "client_id": "3MVGsandboxclient"}
        body["client_secret"] = self.box.salesforce.client_secret
        answer = self._session.post(f"{self.box.salesforce_url}/services/oauth2/token", data=body, timeout=5)
        self._token = answer.json()["access_token"]
        return next(deal for deal in self.box.company.deals if deal.sf and deal.hs)

    def searched(self, deal: Deal) -> str:
        """A deal's name in HubSpot's search index."""
        filters = [{"propertyName": "hs_object_id", "operator": "EQ", "value": deal.hs}]
        body = {"filterGroups": [{"filters": filters}], "properties": ["dealname"]}
        return self._name(self._hubspot("/crm/v3/objects/deals/search", body))

    def read(self, deal: Deal) -> str:
        """Its name in a batch read."""
        body = {"inputs": [{"id": deal.hs}], "properties": ["dealname"]}
        return self._name(self._hubspot("/crm/v3/objects/deals/batch/read", body))

    def queried(self, deal: Deal) -> str:
        """Its name in Salesforce."""
        rows = self.soql(f"SELECT Name FROM Opportunity WHERE Id = '{deal.sf}'")
        return str(rows[0]["Name"]) if rows else ""

    def soql(self, query: str) -> list[dict[str, Any]]:
        url = f"{self.box.salesforce_url}/services/data/v66.0/query"
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = self._session.get(url, params={"q": query}, headers=headers, timeout=5)
        found: list[dict[str, Any]] = answer.json()["records"]
        return found

    def _hubspot(self, path: str, body: object) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {ACCESS_TOKEN}"}
        answer = self._session.post(self.box.hubspot_url + path, json=body, headers=headers, timeout=5)
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    @staticmethod
    def _name(found: list[dict[str, Any]]) -> str:
        return str(found[0]["properties"]["dealname"]) if found else ""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("sandbox")
    with Sandbox(folder, as_of=AS_OF, limits=False, size="tiny") as box, requests.Session() as session:
        yield Both(box, session)


def test_what_happens_shows_at_once_and_takes_a_second(both: Both) -> None:
    deal, before = both.fresh(), both.box.company.now
    both.box.apply(records.rename, deal, "At once")
    assert (both.searched(deal), both.read(deal), both.queried(deal)) == ("At once",) * 3
    assert (both.box.company.now, deal.modified) == (before + 1, before)


def test_what_is_late_waits_for_its_time(both: Both) -> None:
    deal = both.fresh()
    old = deal.name
    both.box.apply(records.rename, deal, "Late", late_s=600)
    assert (both.searched(deal), both.read(deal), both.queried(deal)) == (old, "Late", old)
    both.box.pass_time(599)
    assert (both.searched(deal), both.queried(deal)) == (old, old)
    both.box.pass_time(1)
    assert (both.searched(deal), both.queried(deal)) == ("Late", "Late")


def test_a_record_made_late_is_not_there_before(both: Both) -> None:
    both.fresh()
    account = next(account for account in both.box.company.accounts if account.sf and account.hs)
    deal = both.box.apply(records.new_deal, account, "both", late_s=60)
    assert (both.searched(deal), both.queried(deal)) == ("", "")
    assert both.read(deal) == deal.name
    both.box.pass_time(60)
    assert (both.searched(deal), both.queried(deal)) == (deal.name, deal.name)


def test_the_next_thing_can_be_made_late(both: Both) -> None:
    deal = both.fresh()
    old = deal.name
    both.box.late(deal, 30)
    both.box.apply(records.rename, deal, "Next")
    assert (both.searched(deal), both.queried(deal)) == (old, old)
    both.box.pass_time(30)
    assert (both.searched(deal), both.queried(deal)) == ("Next", "Next")


def test_links_formulas_and_deletions_show(both: Both) -> None:
    deal = both.fresh()
    both.box.apply(links.link_account, deal, None)
    both.box.apply(links.drift, deal, "red")
    line = both.box.apply(links.add_line, deal)
    row = both.soql(f"SELECT AccountId, Health__c FROM Opportunity WHERE Id = '{deal.sf}'")[0]
    assert (row["AccountId"], row["Health__c"]) == (None, "Red")
    assert len(both.soql(f"SELECT Id FROM OpportunityLineItem WHERE Id = '{line.sf}'")) == 1
    both.box.apply(fates.delete, deal)
    assert (both.searched(deal), both.read(deal), both.queried(deal)) == ("", "", "")
    both.box.apply(fates.undelete, deal)
    assert both.searched(deal) == both.queried(deal) == deal.name
    both.box.apply(fates.erase, deal)
    assert (both.searched(deal), both.read(deal), both.queried(deal)) == ("", "", "")


def test_stages_roles_and_rates_show(both: Both) -> None:
    both.fresh()
    user = both.box.company.users[0]
    both.box.apply(office.label_stage, "OpportunityStage", "Closed Won", "Hooray")
    both.box.apply(office.rename_team, user.team, "Closers")
    both.box.apply(office.set_rate, "USD", 2.0)
    stage = both.soql("SELECT MasterLabel FROM OpportunityStage WHERE ApiName = 'Closed Won'")
    assert [row["MasterLabel"] for row in stage] == ["Hooray"]
    role = both.soql(f"SELECT UserRole.Name FROM User WHERE Id = '{user.sf}'")
    assert role[0]["UserRole"]["Name"] == "Closers"
    rates = both.soql("SELECT ConversionRate FROM DatedConversionRate WHERE StartDate = 2026-11-16")
    assert [row["ConversionRate"] for row in rates] == [2.0]


def test_a_reset_is_a_new_sandbox(both: Both) -> None:
    deal = both.fresh(seed=1)
    both.box.apply(records.rename, deal, "Forgotten", late_s=3600)
    both.box.faults.hubspot.add("status", "/crm", status=500)
    again = both.fresh(seed=1)
    assert (both.searched(again), both.read(again), both.queried(again)) == (again.name,) * 3
    assert again.name != "Forgotten"
    with Sandbox(both.box.dir / "other", seed=1, as_of=AS_OF, size="tiny") as other:
        assert both.box.truth(strict=True) == other.truth(strict=True)
    assert hs_instant(both.box.company.now) == "2026-11-16T06:00:00.000Z"


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_is_what_the_connectors_read_after_anything(both: Both, seed: int) -> None:
    both.fresh(seed)
    rng, box = random.Random(seed), both.box
    happened: list[str] = []

    def go_on(changes: int) -> None:
        for _ in range(changes):
            happened.append(str(box.change(rng, late_s=rng.choice((0, 0, 20)))))
            box.pass_time(rng.randrange(1, 900))
        box.pass_time(20)

    go_on(25)
    for crm, make in (("salesforce", salesforce), ("hubspot", hubspot)):
        cache = MemoryCache()
        with closing(make(box)) as connector:
            cache.sync(connector)
            assert compare(box.truth(strict=True), cache, crm) == [], happened
            go_on(10)
        with closing(make(box)) as connector:
            cache.sync(connector)
            assert compare(box.truth(), cache, crm) == [], happened
            cache.reconcile(connector)
            assert compare(box.truth(strict=True), cache, crm) == [], happened
