"""Exchange rates deleted in a CRM: nothing says so, and no figure counts with them any more."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Connector
from connectors.whole import Whole
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import office
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.integration.crm_cache import MemoryCache, differences, hubspot, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONNECTORS: dict[str, Callable[..., Connector]] = {"hubspot": hubspot, "salesforce": salesforce}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """The sandbox with a company of its own, whose org keeps rates by day."""
    sandbox.reset(seed=11, as_of=AS_OF)
    sandbox.faults.clear()
    sandbox.salesforce.schema.turn_on("multi_currency", "dated_rates")
    return sandbox


def sync(box: Sandbox, cache: MemoryCache, crm: str, **more: Any) -> None:
    connector = CONNECTORS[crm](box, streams=["fx_rates"], **more)
    try:
        for stream in connector.streams():
            assert stream.name == "fx_rates"
        cache.sync(connector)
    finally:
        connector.close()


def held(cache: MemoryCache) -> dict[tuple[str, str], Any]:
    return {
        (row["currency"], row["valid_from"]): pytest.approx(row["rate_to_reporting"])
        for row in cache.live("fx_rates").values()
    }


def truth(box: Sandbox) -> dict[tuple[str, str], float]:
    return {(rate.currency, rate.valid_from): 1 / rate.per_eur for rate in box.company.rates}


@pytest.mark.parametrize("crm", list(CONNECTORS))
def test_a_rate_and_a_whole_currency_deleted_there_are_gone_here(box: Sandbox, crm: str) -> None:
    cache = MemoryCache()
    sync(box, cache, crm)
    dollars = [rate.valid_from for rate in box.company.rates if rate.currency == "USD"]
    assert len(dollars) > 2
    assert held(cache) == truth(box)
    for day in (dollars[1], dollars[-1]):
        box.apply(office.remove_rate, "USD", day)
        box.pass_time(60)
        sync(box, cache, crm)
        assert ("USD", day) not in held(cache)
        assert held(cache) == truth(box)
    box.apply(office.remove_rate, "GBP")
    box.pass_time(60)
    sync(box, cache, crm)
    assert "GBP" in {currency for currency, _ in held(cache)}, "so much at once is believed the second time"
    sync(box, cache, crm)
    assert {currency for currency, _ in held(cache)} == {"USD"}
    assert held(cache) == truth(box)


@pytest.mark.parametrize("crm", list(CONNECTORS))
def test_an_empty_list_once_deletes_nothing_and_twice_is_believed(box: Sandbox, crm: str) -> None:
    cache, rates = MemoryCache(), list(box.company.rates)
    sync(box, cache, crm)
    before = held(cache)
    for is_empty in (True, False, True, False):
        box.company.rates[:] = [] if is_empty else rates
        box.pass_time(60)
        sync(box, cache, crm)
        assert held(cache) == before
    box.company.rates[:] = []
    for _ in range(2):
        box.pass_time(60)
        sync(box, cache, crm)
    assert held(cache) == {}


@pytest.mark.parametrize("crm", list(CONNECTORS))
def test_a_rate_noted_again_is_there_again(box: Sandbox, crm: str) -> None:
    cache = MemoryCache()
    day = box.apply(office.set_rate, "USD", 1.25).valid_from
    sync(box, cache, crm)
    box.apply(office.remove_rate, "USD", day)
    sync(box, cache, crm)
    assert ("USD", day) not in held(cache)
    box.apply(office.set_rate, "USD", 1.5)
    sync(box, cache, crm)
    assert held(cache)["USD", day] == 1 / 1.5
    assert held(cache) == truth(box)


@pytest.mark.parametrize(("crm", "day"), [("hubspot", ""), ("salesforce", "2024-02-01")])
def test_read_in_full_the_same_is_gone(box: Sandbox, crm: str, day: str) -> None:
    """A currency of Salesforce's can only be turned off."""
    cache = MemoryCache()
    sync(box, cache, crm)
    box.apply(office.remove_rate, "GBP", day)
    assert held(cache) != truth(box)
    connector = CONNECTORS[crm](box)
    for page in connector.fetch_pages("fx_rates", None, full=True, since=None, now=AS_OF):
        cache.apply("fx_rates", page)
    connector.close()
    assert held(cache) == truth(box)


def test_what_is_missing_from_a_list_is_believed_by_how_much_it_is() -> None:
    names = [f"USD:{n}" for n in range(100)]
    first = Whole(None, names)
    assert (first.doubt, first.bookmark) == ("", {"held": 100})
    assert Whole(first.bookmark, names[:80]).doubt == ""
    assert Whole(first.bookmark, names[:80], may_go_on=True).doubt == "20 of 100 are missing"
    less = Whole(first.bookmark, names[:79])
    assert less.doubt == "21 of 100 are missing"
    assert Whole(less.bookmark, names[:78]).doubt == "22 of 100 are missing", "not the same as before"
    assert (Whole(less.bookmark, names[:79]).doubt, Whole(less.bookmark, names).doubt) == ("", "")
    assert Whole(Whole(None, names[:4]).bookmark, []).doubt == "the list is empty"
    assert Whole({"objects": {}}, []).doubt == "the list is empty", "how many there were is not known"
    assert Whole(Whole(None, []).bookmark, []).doubt == ""


def test_a_rate_that_cannot_be_read_deletes_none(box: Sandbox) -> None:
    cache = MemoryCache()
    sync(box, cache, "hubspot")
    before = held(cache)
    box.company.rates[0] = box.company.rates[0]._replace(currency="no currency")
    connector = hubspot(box)
    pages = list(connector.fetch_pages("fx_rates", None, full=False, since=None, now=AS_OF))
    connector.close()
    for page in pages:
        cache.apply("fx_rates", page)
    assert [len(page.rejects) for page in pages] == [1]
    assert held(cache) == before


@pytest.mark.parametrize("crm", list(CONNECTORS))
def test_rates_towards_another_currency_leave_none_towards_the_one_before(box: Sandbox, crm: str) -> None:
    cache = MemoryCache()
    sync(box, cache, crm)
    connector = CONNECTORS[crm](box, currency="USD")
    for page in connector.fetch_pages("fx_rates", cache.bookmarks["fx_rates"], full=False, since=None, now=AS_OF):
        cache.apply("fx_rates", page)
    connector.close()
    assert {currency for currency, _ in held(cache)} == {"EUR", "GBP"}


@pytest.mark.parametrize("crm", list(CONNECTORS))
def test_no_figure_counts_with_a_rate_that_is_gone(box: Sandbox, tmp_path: Path, crm: str) -> None:
    rates = "SELECT currency, valid_from FROM fx_rates WHERE is_deleted = 0"
    with closing(open_cache(tmp_path)) as cache:
        for last in (False, True):
            with closing(CONNECTORS[crm](box, streams=["fx_rates"])) as connector:
                sync_source(connector, cache, clock=lambda: AS_OF)
            assert {tuple(row) for row in cache.execute(rates)} == truth(box).keys()
            if not last:
                box.apply(office.remove_rate, "USD", box.company.rates[-1].valid_from)


def test_the_rest_of_the_truth_holds(box: Sandbox) -> None:
    box.apply(office.remove_rate, "USD", next(r.valid_from for r in box.company.rates if r.currency == "USD"))
    for crm, make in CONNECTORS.items():
        connector, cache = make(box), MemoryCache()
        cache.sync(connector)
        connector.close()
        assert differences(cache, box.truth(), crm) == []
