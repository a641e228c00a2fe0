"""What a login may read only later, and what an org turns on in mid-life, is in every row without any comparison."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from syncagent import drift
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import sync_source
from syncagent.sync_state import AGAIN
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

NAMES = {"hubspot": "hs", "salesforce": "sf"}
BUILD: dict[str, Callable[..., Any]] = {"hubspot": crm_cache.hubspot, "salesforce": crm_cache.salesforce}


@pytest.fixture(scope="module", autouse=True)
def _servers() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.fixture
def box() -> Sandbox:
    return one_box.fresh_box(5)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(one_box.fresh_cache(tmp_path))) as cache:
        yield cache


def sync(cache: sqlite3.Connection, box: Sandbox, crm: str, *, times: int = 1) -> None:
    """Plain syncs a quarter of an hour apart; nothing is compared."""
    for _ in range(times):
        with closing(BUILD[crm](box)) as connector:
            sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False)
        box.pass_time(900)


def wrong(cache: sqlite3.Connection, box: Sandbox, crm: str) -> list[str]:
    return differences(cache, box.truth(), NAMES[crm], crm)


def began_anew(cache: sqlite3.Connection) -> set[str]:
    """The streams that will be read from their beginning."""
    again = "bookmark IS NULL OR json_extract(bookmark, ?)"
    return {row[0] for row in cache.execute(f"SELECT stream FROM sync_state WHERE {again}", (f"$.{AGAIN}",))}


@pytest.mark.parametrize("kind", ["companies", "contacts", "deals", "tickets", "invoices", "line_items", "leads"])
def test_an_object_hubspot_grants_later_is_linked_everywhere(
    box: Sandbox, cache: sqlite3.Connection, kind: str
) -> None:
    box.hubspot.schema.disable(kind)
    sync(cache, box, "hubspot")
    box.hubspot.schema.enable(kind)
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


def test_an_object_hubspot_takes_away_for_a_while_is_linked_to_what_came_meanwhile(
    box: Sandbox, cache: sqlite3.Connection
) -> None:
    sync(cache, box, "hubspot")
    box.hubspot.schema.disable("companies")
    box.advance(timedelta(days=1))
    sync(cache, box, "hubspot")
    box.hubspot.schema.enable("companies")
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []


def test_what_may_be_read_as_before_is_not_read_again(box: Sandbox, cache: sqlite3.Connection) -> None:
    box.hubspot.schema.disable("invoices")
    sync(cache, box, "hubspot", times=2)
    assert began_anew(cache) == {"invoices"}, "which was never read"
    box.hubspot.schema.enable("invoices")
    sync(cache, box, "hubspot")
    assert began_anew(cache) == {"payments", "email_events", "fx_rates"}, "payments are linked to invoices"


@pytest.mark.parametrize(
    "name",
    [
        "Account",
        "Contact",
        "Case",
        "User",
        "OpportunityStage",
        "CaseStatus",
        "CaseMilestone",
        "MilestoneType",
        "TaskRelation",
    ],
)
def test_an_object_salesforce_shows_later_is_in_every_row(box: Sandbox, cache: sqlite3.Connection, name: str) -> None:
    box.salesforce.schema.hide(name)
    sync(cache, box, "salesforce")
    box.salesforce.schema.show(name)
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []


def test_several_currencies_turned_on_in_mid_life_are_told_and_in_every_amount(
    box: Sandbox, cache: sqlite3.Connection
) -> None:
    box.salesforce.schema.turn_off("multi_currency", "dated_rates")
    sync(cache, box, "salesforce")
    box.salesforce.schema.turn_on("multi_currency", "dated_rates")
    sync(cache, box, "salesforce", times=2)
    assert wrong(cache, box, "salesforce") == []
    told = {(one.object, one.name): {column for _, column in one.places} for one in drift.changes(cache)}
    assert told["Opportunity", "CurrencyIsoCode"] == {"currency", "amount_minor"}
    assert told["OpportunityHistory", "CurrencyIsoCode"] == {"currency", "amount_minor"}
    mixed = "SELECT count(*) FROM opportunity_stage_history WHERE currency <> 'EUR'"
    assert cache.execute(mixed).fetchone()[0] > 0


def test_the_currency_hubspot_shows_later_is_told_and_in_every_amount(box: Sandbox, cache: sqlite3.Connection) -> None:
    box.hubspot.schema.hide("deals", "deal_currency_code")
    sync(cache, box, "hubspot")
    box.hubspot.schema.show("deals", "deal_currency_code")
    sync(cache, box, "hubspot", times=2)
    assert wrong(cache, box, "hubspot") == []
    (told,) = [one for one in drift.changes(cache) if one.name == "deal_currency_code"]
    assert {column for _, column in told.places} == {"currency", "amount_minor"}


def test_a_history_without_a_currency_of_its_own_has_that_of_its_deal(box: Sandbox, cache: sqlite3.Connection) -> None:
    box.salesforce.schema.hide("OpportunityHistory.CurrencyIsoCode")
    sync(cache, box, "salesforce")
    assert wrong(cache, box, "salesforce") == []
