"""HubSpot's connector finds everything: what lags, what leaves no trace, what lies in other threads, what breaks."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.base import Page, Tombstone
from connectors.errors import AuthError, ConnectorError, TransientError
from connectors.tally import Tally, counted
from syncagent.sandbox import Sandbox
from syncagent.sandbox.change import fates as change_fates
from syncagent.sandbox.change import links as change_links
from syncagent.sandbox.change import records as change_records
from syncagent.sandbox.hubspot import gate as hs_gate
from tests.integration.crm_cache import NOW, MemoryCache, differences, hubspot

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
OAUTH: dict[str, Any] = {
    "access_token": None,
    "client_id": hs_gate.CLIENT_ID,
    "client_secret": hs_gate.CLIENT_SECRET,
    "refresh_token": hs_gate.REFRESH_TOKEN,
}


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


# -- what shows late, and what shows nowhere ---------------------------------------------------------------------------


@pytest.mark.parametrize("lag_s", [30, 900, 3540])
@pytest.mark.parametrize("every_s", [300, 1500, 7200])
def test_what_searches_show_late_is_found_once_it_shows(box: Sandbox, lag_s: int, every_s: int) -> None:
    cache = MemoryCache()
    _sync(box, cache)
    rng = random.Random(lag_s + every_s)
    for _ in range(6):
        box.change(rng, late_s=lag_s)
    waited = 0
    while waited < 3900 + every_s:  # an hour and a sync later
        box.pass_time(every_s)
        waited += every_s
        _sync(box, cache)
    assert differences(cache, box.truth(), "hubspot") == []


def test_each_change_is_read_again_when_it_is_an_hour_old_and_then_no_more(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache, streams=["tickets"])
    ticket = next(one for one in box.company.tickets if one.hs and one.deleted is None)
    box.pass_time(7200)
    _sync(box, cache, streams=["tickets"])
    box.apply(change_records.set_priority, ticket, "high" if ticket.priority != "high" else "low")
    read = []
    for _ in range(15):
        connector = hubspot(box, streams=["tickets"])
        pages = _pages(connector, "tickets", cache.bookmarks["tickets"])
        connector.close()
        for page in pages:
            cache.apply("tickets", page)
        read += [one["source_id"] for page in pages for one in page.records.get("tickets", ())]
        box.pass_time(900)
    # Once when it is new, again if the next sync comes within the overlap, once more an hour later.
    assert set(read) == {ticket.hs}
    assert 2 <= len(read) <= 3


def test_a_look_at_everything_finds_what_left_no_trace(box: Sandbox) -> None:
    cache = MemoryCache()
    _sync(box, cache)
    deals = [deal for deal in box.company.deals if deal.hs and deal.deleted is None and deal.merged_into is None]
    box.erase(deals[0])
    box.apply(change_links.drift, deals[1], "red" if deals[1].health != "red" else "green")
    box.apply(change_links.link_account, deals[2], box.company.accounts[0])
    box.pass_time(600)
    _sync(box, cache)
    assert deals[0].hs in cache.live("opportunities")
    connector = hubspot(box)
    cache.reconcile(connector)
    connector.close()
    assert differences(cache, box.truth(strict=True), "hubspot") == []


def test_a_look_at_everything_goes_on_where_it_was_broken_off(box: Sandbox) -> None:
    connector = hubspot(box)
    whole = {one["source_id"] for page in connector.reconcile_pages("activities", None, now=NOW)
             for one in page.records.get("activities", ())}  # fmt: skip
    found: set[str] = set()
    bookmark = None
    rounds = 0
    while rounds < 50:
        rounds += 1
        pages = connector.reconcile_pages("activities", bookmark, now=NOW)
        page = next(pages, None)
        if page is None:
            break
        assert "opportunity_stage_history" not in page.records
        found |= {one["source_id"] for one in page.records.get("activities", ())}
        bookmark = page.bookmark
    connector.close()
    assert found == whole == box.truth().tables["hubspot", "activities"].live
    assert rounds >= 5


def test_ids_are_told_as_alive_deleted_gone_or_merged(box: Sandbox) -> None:
    company = box.company
    contacts = [
        one for one in company.contacts if one.hs and not one.sf and one.deleted is None and not one.merged_into
    ]
    contacts = contacts if len(contacts) >= 5 else [
        one for one in company.contacts if one.hs and one.deleted is None and not one.merged_into
    ]  # fmt: skip
    alive, deleted, erased, winner, loser = contacts[:5]
    box.apply(change_fates.delete, deleted)
    box.erase(erased)
    box.apply(change_fates.merge, winner, loser)
    ids = [str(one.hs) for one in (alive, deleted, erased, loser)]
    connector = hubspot(box)
    pages = list(connector.read_ids("contacts", ids, now=NOW))
    records = {one["source_id"] for page in pages for one in page.records.get("contacts", ())}
    gone = {one.source_id: one.deleted_at for page in pages for one in page.tombstones}
    merged = {one.source_id: one.into for page in pages for one in page.merges}
    connector.close()
    assert {ids[0], str(winner.hs)} <= records
    assert gone[ids[1]] is not None
    assert gone[ids[2]] is None
    assert merged[ids[3]] == winner.hs
    assert ids[3] not in gone
    assert all(page.bookmark is None for page in pages)


def test_of_kinds_that_cannot_be_read_now_nothing_is_said(box: Sandbox) -> None:
    calls = [one["source_id"] for one in _read(box, "activities").live("activities").values() if one["type"] == "call"]
    box.hubspot.schema.disable("calls")
    connector = hubspot(box)
    pages = list(connector.read_ids("activities", [calls[0], "999999999999"], now=NOW))
    connector.close()
    assert not any(page.tombstones for page in pages)
    box.hubspot.schema.enable("calls")
    connector = hubspot(box)
    pages = list(connector.read_ids("activities", [calls[0], "999999999999"], now=NOW))
    connector.close()
    assert [one for page in pages for one in page.tombstones] == [Tombstone("activities", "999999999999")]
    assert [one["source_id"] for page in pages for one in page.records.get("activities", ())] == [calls[0]]


def test_counts_are_the_portal_s(box: Sandbox) -> None:
    connector = hubspot(box)
    live = box.truth().tables
    for stream in ("contacts", "opportunities", "activities", "orders", "invoices", "payments"):
        assert connector.count(stream) == len(live["hubspot", stream].live), stream
    assert connector.count("users") == len(_read(box, "users").rows["users"])
    assert connector.count("email_events") is None
    connector.close()


def test_what_is_older_than_the_start_makes_no_record_but_is_alive(box: Sandbox) -> None:
    stamps = sorted(row["updated_at"] for row in _read(box, "activities").live("activities").values())
    start = date.fromisoformat(stamps[len(stamps) // 2][:10])
    connector, cache = hubspot(box, start=start), MemoryCache()
    for page in connector.reconcile_pages("activities", None, now=NOW):
        cache.apply("activities", page)
    expected = connector.count("activities")
    connector.close()
    live = set(cache.live("activities"))
    assert live | cache.alive["activities"] == box.truth().tables["hubspot", "activities"].live
    assert 0 < len(live) < len(stamps)
    assert expected == len(live)


def test_fields_name_the_object_they_belong_to(box: Sandbox) -> None:
    connector = hubspot(box)
    found = {(one.object, one.name): one.column for one in connector.fields("activities")}
    lines = {(one.object, one.name): one.column for one in connector.fields("opportunity_lines")}
    connector.close()
    assert found["calls", "hs_call_duration"] == "duration_s"
    assert found["tasks", "hs_timestamp"] == "due_at"
    assert lines["line_items", "amount"] == "amount_minor"


def _read(box: Sandbox, stream: str, **more: Any) -> MemoryCache:
    connector, cache = hubspot(box, **more), MemoryCache()
    for page in _pages(connector, stream):
        cache.apply(stream, page)
    connector.close()
    return cache


# -- many threads ------------------------------------------------------------------------------------------------------


def test_all_streams_read_at_once_are_the_portal_and_their_calls_add_up(box: Sandbox) -> None:
    connector, cache, lock = hubspot(box), MemoryCache(), threading.Lock()
    connector.check()
    before = connector.usage().calls
    tallies = {stream.name: Tally() for stream in connector.streams()}

    def read(stream: str) -> None:
        with counted(tallies[stream]):
            for page in connector.fetch_pages(stream, None, full=False, since=None, now=NOW):
                with lock:
                    cache.apply(stream, page)

    with ThreadPoolExecutor(len(tallies)) as threads:
        list(threads.map(read, tallies))
    used = connector.usage().calls - before
    connector.close()
    assert differences(cache, box.truth(), "hubspot") == []
    assert sum(tally.calls for tally in tallies.values()) == used
    assert all(tally.calls for tally in tallies.values())


def test_threads_that_need_a_token_at_once_log_in_once(box: Sandbox) -> None:
    connector = hubspot(box, **OAUTH)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda name: _pages(connector, name), ["users", "accounts", "contacts", "leads", "tickets"]))
    assert connector.usage().logins == 1
    connector.close()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_token_that_ends_within_a_stream_costs_nothing_but_a_login(box: Sandbox, place: int) -> None:
    box.faults.hubspot.hubspot_error(401, "EXPIRED_AUTHENTICATION", path="/crm/objects", after=place)
    connector = hubspot(box, **OAUTH)
    cache = MemoryCache()
    for page in _pages(connector, "contacts"):
        cache.apply("contacts", page)
    assert connector.usage().logins == 2
    connector.close()
    assert set(cache.live("contacts")) == box.truth().tables["hubspot", "contacts"].live


@pytest.mark.parametrize("shape", ["object", "list", "html", "empty"])
def test_a_refusal_for_ever_ends_after_three_logins_at_most(box: Sandbox, shape: str) -> None:
    fault = box.faults.hubspot.unauthorized(shape, path="/crm/|/account", times=None)
    logins = 0
    for number in range(5):  # as many connectors, one after the other, in one process
        connector = hubspot(box, same_login=number > 0, **OAUTH)
        with pytest.raises(AuthError):
            connector.check()
        logins += connector.usage().logins
        connector.close()
    assert logins <= 3
    assert fault.hits <= 10


def test_interrupt_ends_a_call_under_way(box: Sandbox) -> None:
    box.faults.hubspot.black_hole(path="/crm/objects", times=None)
    from connectors.transport import Timeouts

    connector = hubspot(box, timeouts=Timeouts(5.0, 30.0, 30.0))
    ended: list[BaseException] = []

    def read() -> None:
        try:
            _pages(connector, "contacts")
        except ConnectorError as error:
            ended.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    connector.interrupt()
    thread.join(15)
    connector.close()
    assert time.monotonic() - began < 15, "the server would have kept it for half a minute"
    assert isinstance(ended[0], TransientError)


# -- anything in any order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 25))])
def test_any_history_with_any_habit_and_faults_ends_in_the_portal(sandbox: Sandbox, seed: int) -> None:
    sandbox.reset(seed=seed, as_of=AS_OF)
    rng, server, cache = random.Random(seed), sandbox.hubspot, MemoryCache()
    server.ids_as_text, server.scrambled = rng.random() < 0.3, rng.random() < 0.3
    server.opaque_tokens, server.below_ms = rng.random() < 0.3, rng.choice((0, 0, 1))
    server.short_pages, server.empty_pages = rng.choice((0, 0, 0.3)), rng.choice((0, 0, 0.2))
    for _ in range(rng.randrange(3, 9)):
        for _ in range(rng.randrange(1, 6)):
            sandbox.change(rng, late_s=rng.choice((0, 0, 30, 600, 3500)))
        sandbox.pass_time(rng.choice((1, 60, 600, 3000, 20_000)))
        for _ in range(rng.randrange(4)):
            kind = rng.choice(("html", "truncate", "reset", "drop", "cut"))
            path = rng.choice((".*", "search", "batch/read", "associations", "GET /crm/objects"))
            sandbox.faults.hubspot.add(kind, path, after=rng.randrange(6))
        connector = hubspot(sandbox)
        cache.sync(connector, stop_after=rng.choice((None, None, 1, 2)))
        connector.close()
    sandbox.faults.clear()
    sandbox.pass_time(7300)
    connector = hubspot(sandbox)
    cache.sync(connector)
    assert differences(cache, sandbox.truth(), "hubspot") == []
    cache.reconcile(connector)
    connector.close()
    assert differences(cache, sandbox.truth(strict=True), "hubspot") == []
