"""What every connector owes the agent (`connectors/base.py`), asked of each of them by the same tests."""

import gc
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.base import Connector, Page
from connectors.errors import StreamError, TransientError
from connectors.retry import Retry
from connectors.tally import Tally, counted
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.schema import TABLES
from tests.fakes import contract_worlds as worlds
from tests.fakes.contract_cache import ContractCache
from tests.fakes.contract_checks import (
    all_of,
    at_rest,
    faults_of,
    interrupted,
    is_swept,
    listed,
    loaded,
    names,
    opened,
    refused,
    settles,
    source_ids,
    unbroken,
)
from tests.fakes.contract_files import FilesWorld, JsonLinesWorld, SnapshotWorld
from tests.fakes.contract_worlds import World
from tests.integration.crm_cache import COLUMNS, NOW

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORLDS: Mapping[str, type[World]] = {
    "salesforce-rest": worlds.SalesforceWorld,
    "salesforce-bulk": worlds.BulkWorld,
    "hubspot-token-dated": worlds.HubSpotWorld,
    "hubspot-oauth-numbered": worlds.HubSpotOAuthWorld,
    "files-append": FilesWorld,
    "files-snapshot": SnapshotWorld,
    "files-jsonl": JsonLinesWorld,
}
_SERVERS = ("uvicorn", "asyncio")  # the other side, which may say what it likes


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A source of its own for each test; nothing said about it holds one of its secrets."""
    kind: Any = WORLDS[request.param]
    if issubclass(kind, worlds.CrmWorld):
        box: Sandbox = request.getfixturevalue("sandbox")
        box.reset(seed=11, as_of=AS_OF)
        made: World = kind(box)
    else:
        made = kind(tmp_path)
    caplog: pytest.LogCaptureFixture = request.getfixturevalue("caplog")
    caplog.set_level(logging.DEBUG)
    yield made
    made.mend()
    formatter = logging.Formatter("%(message)s %(args)s %(exc_text)s")
    said = [
        formatter.format(one) + repr(one.__dict__)
        for one in caplog.get_records("call")
        if not one.name.startswith(_SERVERS)
    ]
    for text in (*said, *made.heard):
        for secret in made.secrets:
            assert secret not in text, f"a secret is told: {text[:200]}"


# -- records -----------------------------------------------------------------------------------------------------------


def test_records_have_known_columns_of_the_right_types_and_bare_references(world: World) -> None:
    found: dict[str, str] = {}
    seen: set[str] = set()
    with opened(world) as connector:
        for stream in connector.streams():
            pages = all_of(connector, stream.name)
            if stream.name in is_swept(world, connector):
                pages += connector.reconcile_pages(stream.name, None, now=NOW)
                ids = [*dict.fromkeys(source_ids(pages, stream.name))]
                pages += connector.read_ids(stream.name, ids, now=NOW)
            for page in pages:
                allowed = {*stream.tables, "users"} if world.crm == "files" else set(stream.tables)
                assert set(page.records) <= allowed
                seen |= {table for table, rows in page.records.items() if rows}
                found |= {fault.split(": ", 1)[0]: fault for table, rows in page.records.items() for row in rows
                          for fault in faults_of(world, table, row)}  # fmt: skip
    assert [*found.values()] == []
    assert world.crm == "files" or seen >= {"users", "opportunity_stage_history", "stage_defs", "pipelines", "fx_rates"}


def test_main_records_say_where_they_come_from(world: World) -> None:
    """Every record but a file's names the instance it is of: one login may not fill the rows of another."""
    with opened(world) as connector:
        instance = connector.check().instance
        for stream in names(connector):
            for page in all_of(connector, stream):
                for rows in page.records.values():
                    assert {row.get("source_instance", instance) for row in rows} <= {instance}


# -- bookmarks ---------------------------------------------------------------------------------------------------------


def test_a_first_read_brings_everything_and_a_second_changes_nothing(world: World) -> None:
    cache = loaded(world)
    before, rejects = cache.copy(), len(cache.rejects)
    with opened(world) as connector:
        for stream in names(connector):
            assert cache.fetch(connector, stream) >= 1
            assert stream in cache.bookmarks
    assert cache.rows == before
    assert (rejects, len(cache.rejects)) == (0, 0)


def _resumed(world: World, connector: Connector, stream: str, whole: ContractCache) -> None:
    """Broken off after each page in turn and gone on with: always the rows of an unbroken read."""
    for after in range(1, len(all_of(connector, stream)) + 1):
        cache = ContractCache()
        cache.fetch(connector, stream, at_most=after)
        cache.fetch(connector, stream)
        assert cache.rows == whole.rows, f"{stream} broken off after page {after}"


def test_a_read_broken_off_after_any_page_goes_on_from_its_bookmark(world: World) -> None:
    with opened(world) as connector:
        for stream in dict.fromkeys(("opportunities", world.stream)):
            _resumed(world, connector, stream, unbroken(connector, stream))


@pytest.mark.slow
def test_a_read_of_any_stream_broken_off_after_any_page_goes_on(world: World) -> None:
    with opened(world) as connector:
        for stream in names(connector):
            _resumed(world, connector, stream, unbroken(connector, stream))


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(world: World) -> None:
    """Nothing but the bookmark is left of the connector that was killed."""
    with opened(world) as connector:
        whole = unbroken(connector, world.stream)
        pages = len(all_of(connector, world.stream))
    for after in range(1, pages + 1):
        cache = ContractCache()
        with opened(world) as connector:
            cache.fetch(connector, world.stream, at_most=after)
        with opened(world) as connector:
            cache.fetch(connector, world.stream)
        assert cache.rows == whole.rows, f"killed after page {after}"


@pytest.mark.slow
def test_many_records_broken_off_after_any_page_are_all_there(world: World) -> None:
    stream = world.many(4_500)  # several of what one connector or another hands out at once
    with opened(world) as connector:
        whole = unbroken(connector, stream)
        assert set(whole.live(stream)) == world.live(stream)
        assert len(all_of(connector, stream)) >= 3
        _resumed(world, connector, stream, whole)


def test_what_happens_while_a_read_is_broken_off_is_not_missed(world: World) -> None:
    ids = sorted(world.live(world.stream))
    cache = ContractCache()
    with opened(world) as connector:
        cache.fetch(connector, world.stream, at_most=2)
        for number, source_id in enumerate(ids[:4]):
            world.edit(source_id, f"Changed meanwhile {number}")
        new = world.create()
        for _ in range(3):
            cache.fetch(connector, world.stream, at_most=2)
            world.edit(ids[0], "Changed once more")
        cache.fetch_all(connector)
    assert world.wrong(cache) == []
    assert new in cache.live(world.stream)


def test_a_full_read_brings_everything_wherever_the_bookmark_stands(world: World) -> None:
    done = loaded(world)
    with opened(world) as connector:
        for stream in names(connector):
            expected = set(done.live(stream))
            midway = ContractCache()
            midway.fetch(connector, stream, at_most=1)
            for bookmark in (done.bookmarks[stream], midway.bookmarks.get(stream)):
                fresh = ContractCache()
                fresh.take(stream, connector.fetch_pages(stream, bookmark, full=True, since=None, now=NOW))
                assert set(fresh.live(stream)) == expected, stream
            fresh.fetch(connector, stream)
            assert set(fresh.live(stream)) == expected, stream


def test_since_reads_again_what_changed_and_skips_nothing_unread(world: World) -> None:
    cache = loaded(world)
    stamps = sorted(row["updated_at"] for row in cache.live(world.stream).values())
    day = date.fromisoformat(stamps[len(stamps) // 2][:10])
    for row in cache.rows[world.stream].values():
        if row["updated_at"] >= day.isoformat():
            row |= {"subject": "spoilt", "updated_at": "2000-01-01T00:00:00Z"}
    with opened(world) as connector:
        cache.fetch(connector, world.stream, since=day)
        assert world.wrong(cache) == []
        # A day later than where a broken read stands: nothing in between is left out for it.
        for pages in (1, 2):
            broken = ContractCache()
            broken.fetch(connector, world.stream, at_most=pages)
            broken.fetch(connector, world.stream, since=(NOW + timedelta(days=2)).date())
            broken.fetch(connector, world.stream)
            assert set(broken.live(world.stream)) == world.live(world.stream)


def test_changes_are_brought_by_the_next_read(world: World) -> None:
    cache = loaded(world)
    ids = sorted(world.live(world.stream))
    world.edit(ids[0], "Another title")
    new = world.create()
    world.delete(ids[1])
    with opened(world) as connector:
        cache.fetch_all(connector)
    assert world.wrong(cache) == []
    assert new in cache.live(world.stream)
    assert cache.live(world.stream)[ids[0]]["subject"] == "Another title"


# -- reads that end early, and side by side ----------------------------------------------------------------------------


def test_a_read_closed_in_its_middle_leaves_no_thread_and_no_connection(world: World) -> None:
    with opened(world) as connector:  # what is made once and kept: modules, descriptors of the event loop
        all_of(connector, world.stream)
    gc.collect()
    threads = set(threading.enumerate())
    files = at_rest(lambda: len(os.listdir("/dev/fd")))
    connector = world.connector()
    swept = is_swept(world, connector)
    for stream in names(connector):
        for pages in (
            connector.fetch_pages(stream, None, full=False, since=None, now=NOW),
            *([connector.reconcile_pages(stream, None, now=NOW)] if stream in swept else []),
        ):
            next(pages, None)
            cast(Any, pages).close()
    assert all_of(connector, world.stream)  # it is as good as before
    connector.close()
    del connector, pages
    assert settles(lambda: set(threading.enumerate()) - threads, set()) == set()
    assert settles(lambda: len(os.listdir("/dev/fd")) <= files, True)


def test_two_streams_at_once_are_what_they_are_one_by_one(world: World) -> None:
    streams = ("opportunities", world.wide)
    with opened(world) as connector:
        one_by_one = {stream: unbroken(connector, stream).rows for stream in streams}

    def read(stream: str) -> tuple[Any, int]:
        with counted(Tally()) as tally:
            barrier.wait()
            return unbroken(connector, stream).rows, tally.calls

    barrier = threading.Barrier(2)
    with opened(world) as connector:
        connector.check()
        before, seen_before = connector.usage().calls, world.requests
        with ThreadPoolExecutor(2) as threads:
            found = dict(zip(streams, threads.map(read, streams), strict=True))
        calls = connector.usage().calls - before
        assert calls == world.requests - seen_before
    assert {stream: rows for stream, (rows, _) in found.items()} == one_by_one
    assert sum(count for _, count in found.values()) == calls
    assert all(bool(count) is world.has_server for _, count in found.values())


def test_a_stream_that_is_not_there_is_a_connector_error(world: World) -> None:
    with opened(world) as connector:
        asked: tuple[Callable[[], Any], ...] = (
            lambda: all_of(connector, "nonsense"),
            lambda: all_of(connector, "nonsense", full=True),
            lambda: list(connector.reconcile_pages("nonsense", None, now=NOW)),
            lambda: list(connector.read_ids("nonsense", ["1"], now=NOW)),
        )
        for ask in asked:
            with refused(world):
                ask()


# -- reconciliation ----------------------------------------------------------------------------------------------------


def test_a_reconciliation_lists_exactly_the_live_records(world: World) -> None:
    world.delete(world.create())
    world.erase(world.create())
    with opened(world) as connector:
        for stream in is_swept(world, connector):
            pages = list(connector.reconcile_pages(stream, None, now=NOW))
            assert listed(pages, stream) == world.live(stream), stream
            assert not any(page.tombstones for page in pages)


def test_a_reconciliation_goes_on_from_each_of_its_bookmarks(world: World) -> None:
    with opened(world) as connector:
        for stream in dict.fromkeys((world.stream, world.wide)):
            pages = list(connector.reconcile_pages(stream, None, now=NOW))
            for number, page in enumerate(pages):
                place = json.loads(json.dumps(page.bookmark))
                rest = list(connector.reconcile_pages(stream, place, now=NOW))
                assert listed(pages[: number + 1] + rest, stream) == world.live(stream), f"{stream} page {number}"


def test_what_has_become_of_ids_is_said_once_and_rightly(world: World) -> None:
    alive, dead, erased, loser, winner = (world.create() for _ in range(5))
    world.delete(dead)
    world.erase(erased)
    is_merged = world.merge(winner, loser)
    ids = [alive, dead, erased, loser, winner, world.never()]
    with opened(world) as connector:
        pages = list(connector.read_ids(world.stream, ids, now=NOW))
    assert all(page.bookmark is None for page in pages)
    said = [(one, "live") for one in source_ids(pages, world.stream)]
    said += [(one.source_id, "gone") for page in pages for one in page.tombstones if one.table == world.stream]
    said += [(one.source_id, f"in {one.into}") for page in pages for one in page.merges]
    # Rows stay that a file which is appended to no longer holds: nothing is said of them.
    gone = [] if world.tells_erased == "" else [(one, "gone") for one in (dead, erased, world.never())]
    merged = [(loser, f"in {winner}" if is_merged else "live")]
    assert sorted(said) == sorted([(alive, "live"), (winner, "live"), *gone, *merged])


def test_asking_by_no_ids_says_nothing(world: World) -> None:
    with opened(world) as connector:
        pages = list(connector.read_ids(world.stream, [], now=NOW))
    assert not any(page.tombstones or page.merges or source_ids([page], world.stream) for page in pages)


def test_what_cannot_be_read_now_is_not_declared_dead(world: World) -> None:
    ids = sorted(world.live(world.wide))
    hidden = world.lose_part()
    assert hidden
    told: list[Page] = []
    with opened(world) as connector:
        try:
            told += connector.read_ids(world.wide, ids, now=NOW)
        except StreamError as error:
            world.hear(error)
        assert not hidden & {one.source_id for page in told for one in page.tombstones}
        assert not hidden & {one.source_id for page in told for one in page.merges}
    world.mend()
    word = world.lose(world.stream)
    assert word
    told.clear()
    with opened(world) as connector:
        try:
            told += connector.read_ids(world.stream, sorted(world.live(world.stream)), now=NOW)
        except StreamError as error:
            world.hear(error)
    assert not any(page.tombstones or page.merges for page in told)


def test_counts_are_those_of_the_live_records(world: World) -> None:
    world.delete(world.create())
    cache = loaded(world)
    with opened(world) as connector:
        for stream in names(connector):
            count = connector.count(stream)
            assert (count is None) is (stream in world.uncounted), stream
            assert count in (None, len(cache.live(stream))), stream


def test_a_reconciliation_mends_what_reads_leave_wrong(world: World) -> None:
    erased = world.create()
    moved = world.create()
    cache = loaded(world)
    world.erase(erased)
    account = world.relink(moved)
    with opened(world) as connector:
        cache.fetch_all(connector)
        assert (erased in cache.live(world.stream)) is (world.tells_erased != "read")
        if world.tells_erased == "reconciliation":
            assert world.wrong(cache, strict=True)
        cache.reconcile(connector)
    assert world.wrong(cache, strict=True) == []
    assert cache.live(world.stream)[moved]["account_id"] == account


# -- what breaks -------------------------------------------------------------------------------------------------------


def test_a_passing_fault_leaves_a_good_bookmark(world: World) -> None:
    for place in world.places(world.stream):
        world.break_at(world.stream, place)
        cache = ContractCache()
        with opened(world) as connector:
            with refused(world, world.fault_error):
                cache.fetch(connector, world.stream)
            assert (connector.usage().retries > 0) is world.has_server
            world.mend()
        with opened(world) as connector:
            cache.fetch_all(connector)
        assert world.wrong(cache) == [], f"broken at {place}"


def test_permission_lost_on_one_stream_leaves_the_others(world: World) -> None:
    cache, midway = loaded(world), ContractCache()
    with opened(world) as connector:
        midway.fetch(connector, world.stream, at_most=2)
    word = world.lose(world.stream)
    with opened(world) as connector:
        for one in (cache, midway):
            with refused(world, StreamError):
                one.fetch(connector, world.stream)
        for stream in {*names(connector)} - {world.stream}:
            cache.fetch(connector, stream)
        identity = connector.check()
        world.hear(identity)
    assert any(word in warning for warning in identity.warnings)
    world.mend()
    with opened(world) as connector:
        cache.fetch_all(connector)
        midway.fetch_all(connector)
    assert world.wrong(cache) == []
    assert world.wrong(midway) == []


def test_what_cannot_be_read_for_a_while_is_not_lost(world: World) -> None:
    """Part of a stream is out of sight for a read and a reconciliation, and comes back."""
    cache = loaded(world)
    hidden = world.lose_part()
    with opened(world) as connector:
        for ask in (lambda: cache.fetch(connector, world.wide), lambda: cache.reconcile(connector)):
            try:
                ask()
            except StreamError as error:
                world.hear(error)
            assert hidden <= cache.live(world.wide).keys()
    world.mend()
    with opened(world) as connector:
        cache.fetch_all(connector)
        cache.reconcile(connector)
    assert world.wrong(cache, strict=True) == []


def test_an_interrupt_ends_a_read_at_once(world: World) -> None:
    """Whether nobody answers, or we are asked to wait. Files are never waited for: they end at the next page."""
    if not world.has_server:
        world.many(60)
        before = len(os.listdir("/dev/fd"))
        with opened(world) as connector:
            pages = connector.fetch_pages(world.stream, None, full=False, since=None, now=NOW)
            next(pages)
            connector.interrupt()
            with pytest.raises(TransientError) as caught:
                list(pages)
            # While somebody holds on to the error (to log it), it holds no file open.
            assert len(os.listdir("/dev/fd")) == before, caught.value
        return
    for hinder in (world.silence, world.ask_to_wait):
        connector = world.connector(timeouts=Timeouts(60.0, 60.0, 60.0), retry=Retry())
        connector.check()
        hinder()
        ended = interrupted(world, connector, partial(all_of, connector, world.stream))
        assert isinstance(ended, TransientError), f"{hinder.__name__}: {ended!r}"
        world.mend()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["check", "count", "reconcile_pages", "read_ids"])
def test_an_interrupt_ends_whatever_waits_for_a_server(world: World, what: str) -> None:
    connector = world.connector(**({"timeouts": Timeouts(60.0, 60.0, 60.0)} if world.has_server else {}))
    asked: Mapping[str, Callable[[], object]] = {
        "check": connector.check,
        "count": lambda: connector.count(world.stream),
        "reconcile_pages": lambda: list(connector.reconcile_pages(world.stream, None, now=NOW)),
        "read_ids": lambda: list(connector.read_ids(world.stream, sorted(world.live(world.stream)), now=NOW)),
    }
    if world.has_server:
        world.silence_all()
        assert isinstance(interrupted(world, connector, asked[what]), TransientError)
    else:
        connector.interrupt()
        if what in ("reconcile_pages", "read_ids"):
            with refused(world, TransientError):
                asked[what]()
        connector.close()


def test_closing_twice_is_harmless(world: World) -> None:
    for is_used in (False, True):
        connector = world.connector()
        if is_used:
            connector.check()
            next(connector.fetch_pages(world.stream, None, full=False, since=None, now=NOW))
        connector.close()
        connector.close()
        connector.interrupt()
        connector.close()


# -- what a source says of itself --------------------------------------------------------------------------------------


def test_check_says_where_we_are(world: World) -> None:
    with opened(world) as connector:
        identity = connector.check()
        world.hear(identity)
    assert identity.instance
    assert identity.warnings == () or world.has_server
    if world.crm == "files":
        assert identity.instance == connector.name
    else:
        assert (identity.timezone, identity.currency) == ("Europe/Berlin", "EUR")
        assert identity.api_version


def test_fields_name_object_type_and_column_of_all_that_is_mapped(world: World) -> None:
    mapped = world.mapped()
    assert mapped
    with opened(world) as connector:
        for table in (stream.name for stream in connector.streams()):
            offered = connector.fields(table)
            for one in offered:
                assert one.name
                assert one.label
                assert one.type
                assert one.object or world.crm == "files"
                column = one.column
                assert column == "" or column in COLUMNS[table] or column.startswith("custom."), (table, one)
            for ours, theirs in mapped.get(table, {}).items():
                fed = {one.column for one in offered if one.name == theirs}
                assert fed & {ours, f"custom.{ours}"}, f"{table}.{ours} from {theirs}"


def test_usage_counts_the_calls(world: World) -> None:
    before = world.requests
    with opened(world) as connector:
        assert connector.usage().calls == 0
        ContractCache().fetch(connector, world.stream)
        used = connector.usage()
        assert used.calls == world.requests - before
        assert (used.calls > 0) is world.has_server
        assert (used.retries, used.throttled) == (0, 0)
        connector.remember_calls([(60.0, 3)])
        assert connector.usage().calls == used.calls


def test_streams_name_known_tables_owners_first(world: World) -> None:
    with opened(world) as connector:
        streams = connector.streams()
        assert [one.name for one in streams] == [one.tables[0] for one in streams]
        assert {table for one in streams for table in one.tables} <= TABLES.keys()
        order = [one.name for one in streams]
        assert order.index("accounts") < order.index("opportunities")
        assert all(connector.covered_from(name) is None for name in order)
