"""What HubSpot refuses, breaks or takes away costs no more than it must."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.base import Page
from connectors.errors import RateLimited, StreamError, TransientError
from syncagent.sandbox import Sandbox
from syncagent.sandbox.hubspot.props import ORDER_STAGES
from syncagent.sandbox.merging import is_there
from tests.integration.crm_cache import NOW, MemoryCache, differences, hubspot

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Sandbox:
    """A tiny company of its own for each test."""
    sandbox.reset(seed=11, as_of=AS_OF)
    return sandbox


def _sync(box: Sandbox, cache: MemoryCache, **more: Any) -> None:
    connector = hubspot(box, **more)
    try:
        cache.sync(connector)
    finally:
        connector.close()


def _pages(connector: Any, stream: str, bookmark: Any = None) -> list[Page]:
    return list(connector.fetch_pages(stream, bookmark, full=False, since=None, now=NOW))


def _read(box: Sandbox, stream: str, **more: Any) -> MemoryCache:
    connector, cache = hubspot(box, **more), MemoryCache()
    for page in _pages(connector, stream):
        cache.apply(stream, page)
    connector.close()
    return cache


# -- what HubSpot says -------------------------------------------------------------------------------------------------


def test_a_move_of_the_account_pauses_the_source_for_as_long_as_it_says(box: Sandbox) -> None:
    fault = box.faults.hubspot.add("status", "/crm/objects", times=None, status=477, headers={"retry-after": "7200"})
    connector = hubspot(box)
    with pytest.raises(RateLimited) as caught:
        _pages(connector, "contacts")
    with pytest.raises(RateLimited):
        _pages(connector, "tickets")
    connector.close()
    assert caught.value.retry_after_s == 7200
    assert fault.hits == 1


def test_ids_that_fail_within_a_batch_are_asked_for_again_alone(box: Sandbox) -> None:
    cache = _read(box, "tickets")
    ids = sorted(cache.live("tickets"))[:6]
    failed = ids[:2]

    def break_some(document: Any) -> Any:
        kept = [one for one in document["results"] if one["id"] not in failed]
        error = {"status": "error", "category": "INTERNAL_ERROR", "message": "x", "context": {"ids": failed}}
        return document | {"results": kept, "numErrors": 1, "errors": [error]}

    fault = box.faults.hubspot.mangle(break_some, path="tickets/batch/read", status=207, times=1)
    connector = hubspot(box)
    pages = list(connector.read_ids("tickets", ids, now=NOW))
    assert fault.hits == 1
    assert connector.usage().retries == 1
    connector.close()
    assert sorted(one["source_id"] for page in pages for one in page.records["tickets"]) == ids


def test_rows_a_batch_forgets_are_asked_for_one_by_one(box: Sandbox) -> None:
    ids = sorted(_read(box, "tickets").live("tickets"))[:6]
    box.faults.hubspot.mangle(
        lambda document: document | {"results": document["results"][:2]}, path="tickets/batch/read", times=1
    )
    connector = hubspot(box)
    pages = list(connector.read_ids("tickets", ids, now=NOW))
    connector.close()
    assert sorted(one["source_id"] for page in pages for one in page.records["tickets"]) == ids
    assert not any(page.tombstones for page in pages)


def test_a_stray_404_on_a_dated_path_does_not_move_us_to_the_numbered_one(box: Sandbox) -> None:
    box.faults.hubspot.dated_404(path="/crm/objects/2026-09/contacts", times=1)
    connector = hubspot(box)
    _pages(connector, "contacts")
    assert connector.check().warnings == ()
    assert not connector._client.numbered_families
    connector.close()


@pytest.mark.parametrize("family", ["objects", "associations", "properties", "owners", "pipelines", "account"])
def test_each_family_falls_back_alone_and_its_end_is_told(box: Sandbox, family: str) -> None:
    box.hubspot.undated = {"account-info" if family == "account" else family}
    connector, cache = hubspot(box), MemoryCache()
    cache.sync(connector)
    identity = connector.check()
    connector.close()
    assert differences(cache, box.truth(), "hubspot") == []
    assert [warning for warning in identity.warnings if "numbered" in warning and family in warning]
    ends = {sunset.what: sunset.ends_on.isoformat() for sunset in identity.sunsets}
    assert ends["HubSpot API release 2026-09"] == "2028-03-01"
    assert ends["HubSpot associations v4" if family == "associations" else "HubSpot numbered paths (v3)"] == (
        "2027-03-30" if family == "associations" else "2027-09-01"
    )


# -- what the portal takes away ----------------------------------------------------------------------------------------


def test_a_property_that_vanishes_while_we_read_leaves_what_was_there(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache, streams=["accounts"])
    before = {key: row["name"] for key, row in cache.live("accounts").items()}
    connector = hubspot(box, streams=["accounts"])
    connector.check()  # knows the property
    box.hubspot.schema.hide("companies", "name")
    cache.sync(connector, full=True)
    connector.close()
    assert {key: row["name"] for key, row in cache.live("accounts").items()} == before
    assert any(before.values())


def test_a_property_of_another_type_costs_its_values_alone(box: Sandbox) -> None:
    box.hubspot.schema.retype("deals", "closedate", "string", convert=lambda _value: "some day")
    cache = _read(box, "opportunities")
    live = cache.live("opportunities")
    assert set(live) == box.truth().tables["hubspot", "opportunities"].live
    assert all(row["close_date"] is None for row in live.values())
    assert any(reject.reason.startswith("closedate") for reject in cache.rejects)


def test_an_object_this_login_may_not_read_loses_only_that(box: Sandbox) -> None:
    for kind in ("leads", "calls", "line_items", "orders"):
        box.hubspot.schema.disable(kind)
    connector, cache = hubspot(box), MemoryCache()
    cache.sync(connector)
    warnings = " ".join(connector.check().warnings)
    connector.close()
    assert all(f"{kind} cannot be read" in warnings for kind in ("leads", "calls", "line_items", "orders"))
    assert "scope" in warnings
    assert {row["type"] for row in cache.live("activities").values()} >= {"email", "task"}
    assert cache.live("opportunities")
    assert not cache.live("leads")


def test_one_endpoint_in_trouble_stops_neither_the_check_nor_the_other_streams(box: Sandbox) -> None:
    box.faults.hubspot.add("status", "/properties/2026-09/orders|/email/public", times=None, status=500)
    connector, cache = hubspot(box), MemoryCache()
    assert connector.check().instance
    for stream in connector.streams():
        pages = connector.fetch_pages(stream.name, None, full=False, since=None, now=NOW)
        if stream.name in ("orders", "email_events"):
            with pytest.raises(TransientError):
                list(pages)
            continue
        for page in pages:
            cache.apply(stream.name, page)
    connector.close()
    wanted = {line.split(" ")[0].split(".")[0] for line in differences(cache, box.truth(), "hubspot")}
    assert wanted <= {"orders", "order_lines", "pipelines", "email_events"}


def test_an_object_that_could_be_read_before_is_missed_after_the_others(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache, streams=["activities"])
    kept = cache.bookmarks["activities"]["objects"]["calls"]
    box.hubspot.schema.disable("calls")
    box.pass_time(7200)
    connector = hubspot(box, streams=["activities"])
    with pytest.raises(StreamError, match="scope"):
        cache.sync(connector)
    connector.close()
    marks = cache.bookmarks["activities"]["objects"]
    assert marks["calls"] == kept
    assert marks["emails"]["ms"] > kept["ms"]


def test_an_order_is_told_by_what_its_stage_is_called(box: Sandbox) -> None:
    ids = {label.lower() for _, label in ORDER_STAGES.values()}
    cache = MemoryCache()
    with closing(hubspot(box, streams=("orders",))) as connector:
        cache.sync(connector)
    assert {row["status"] for row in cache.live("orders").values()} <= ids
    told = MemoryCache()
    values = {"orders": {"status": {"Delivered": "done"}}}
    with closing(hubspot(box, streams=("orders",), values=values)) as connector:
        told.sync(connector)
    assert {row["status"] for row in told.live("orders").values()} & {"done", "delivered"} <= {"done"}


def test_orders_are_read_whole_where_the_names_of_their_stages_may_not_be(box: Sandbox) -> None:
    box.faults.hubspot.hubspot_error(403, "MISSING_SCOPES", path="pipelines/[^/]+/orders|pipelines/orders", times=None)
    cache = MemoryCache()
    with closing(hubspot(box, streams=("orders",))) as connector:
        cache.sync(connector)
    assert len(cache.live("orders")) == len([o for o in box.company.orders if o.hs and is_there(o)])
