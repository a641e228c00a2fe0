"""Streams of one source side by side: readers in threads of their own, one writer, and how all of it ends."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Page
from connectors.errors import AuthError, StreamError, TransientError
from syncagent.store import open_cache
from syncagent.sync import STOPPED, Progress, StreamReport, sync_source
from syncagent.sync_crew import AHEAD
from tests.fakes.connector import Script, ScriptedConnector

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("users", "accounts", "contacts", "leads", "opportunities", "tickets", "activities", "orders")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def page(number: int, *ids: str, table: str = "leads") -> Page:
    return Page({table: [{"source_id": i} for i in ids]}, read=len(ids), bookmark={"page": number})


def run(cache: sqlite3.Connection, connector: ScriptedConnector, **options: object) -> dict[str, StreamReport]:
    reports = sync_source(connector, cache, clock=lambda: NOW, **options)  # type: ignore[arg-type]
    return {report.stream: report for report in reports}


def bookmarks(cache: sqlite3.Connection) -> dict[str, str | None]:
    return {row[0]: row[1] for row in cache.execute("SELECT stream, bookmark FROM sync_state")}


def test_streams_are_read_side_by_side_and_reported_in_order(cache: sqlite3.Connection) -> None:
    together = threading.Barrier(3, timeout=10)
    names = NAMES[:3]
    pages: Script = {name: [page(1, "a", table=name), together.wait, page(3, "b", table=name)] for name in names}
    reports = run(cache, ScriptedConnector(pages, side_by_side=3))
    assert list(reports) == list(names)
    assert [(r.read, r.calls, r.error) for r in reports.values()] == [(2, 2, None)] * 3


def test_never_more_than_the_connector_says(cache: sqlite3.Connection) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def enter() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)

    def leave() -> None:
        nonlocal running
        with lock:
            running -= 1

    pages: Script = {name: [enter, leave, page(1, "a", table=name)] for name in NAMES}
    reports = run(cache, ScriptedConnector(pages, side_by_side=2))
    assert len(reports) == len(NAMES)
    assert most == 2


def test_a_reader_is_never_more_than_a_few_pages_ahead(cache: sqlite3.Connection) -> None:
    """Otherwise a fast source fills the memory while the disk is slow."""
    connector = ScriptedConnector({"leads": [page(n, str(n)) for n in range(1, 21)]})
    ahead: list[int] = []

    def slow(progress: Progress) -> None:
        time.sleep(0.005)
        ahead.append(connector.calls - 1 - progress.read)  # pages pulled and not written; one call is the login

    run(cache, connector, on_progress=slow)
    # The queue, the page being written, and the one in the reader's hands.
    assert 0 < max(ahead) <= AHEAD + 1


def test_after_a_failed_write_no_later_page_of_the_stream_is_written(cache: sqlite3.Connection) -> None:
    """The pages behind it are already queued; their bookmark would skip the failed one."""
    broken = Page({"leads": [{"source_id": "b"}], "nonsense": [{"source_id": "c"}]}, bookmark={"page": 2})
    pages: Script = {
        "leads": [page(1, "a"), broken, page(3, "d"), page(4, "e")],
        "users": [page(1, "u", table="users")],
    }
    reports = run(cache, ScriptedConnector(pages, side_by_side=2))
    assert "nonsense" in (reports["leads"].error or "")
    assert bookmarks(cache) == {"leads": '{"page":1}', "users": '{"page":1}'}
    assert [row[0] for row in cache.execute("SELECT source_id FROM leads")] == ["a"]


def test_a_stop_ends_every_reader_at_once_and_leaves_none_behind(cache: sqlite3.Connection) -> None:
    stop, never = threading.Event(), threading.Event()
    connector = ScriptedConnector({}, side_by_side=3)
    connector.pages = {
        name: [page(1, "a", table=name), connector.wait(never), page(3, "b", table=name)] for name in NAMES[:4]
    }
    written: list[str] = []

    def stop_when_all_wait(progress: Progress) -> None:
        if progress.read:
            written.append(progress.stream)
        if len(set(written)) == 3:
            stop.set()

    before = time.monotonic()
    reports = run(cache, connector, stop=stop, on_progress=stop_when_all_wait)
    assert time.monotonic() - before < 3
    assert {name: report.error for name, report in reports.items()} == dict.fromkeys(NAMES[:3], STOPPED)
    assert [stream for stream, _ in connector.closed_in] != []
    assert len(connector.closed_in) == 3, "every generator is closed"
    assert threading.get_ident() not in {thread for _, thread in connector.closed_in}
    assert cache.execute("SELECT count(*) FROM sync_state WHERE error IS NOT NULL").fetchone()[0] == 0


def test_a_login_that_hangs_is_ended_by_a_stop(cache: sqlite3.Connection) -> None:
    stop, never = threading.Event(), threading.Event()

    class Silent(ScriptedConnector):
        def streams(self) -> list[object]:  # type: ignore[override]
            threading.Timer(0.1, stop.set).start()
            self.wait(never)()
            return []

    (report,) = run(cache, Silent({}), stop=stop).values()
    time.sleep(0.15)  # the timer's thread
    assert (report.stream, report.error) == ("login", STOPPED)
    assert cache.execute("SELECT count(*) FROM sync_state").fetchone()[0] == 0


def test_a_refused_login_in_one_stream_ends_the_others_at_once(cache: sqlite3.Connection) -> None:
    never, waits = threading.Event(), threading.Event()
    connector = ScriptedConnector({}, side_by_side=2)
    connector.pages = {
        "users": [page(1, "u", table="users"), waits.set, connector.wait(never)],
        "leads": [page(1, "a"), connector.wait(waits), AuthError("the token was refused")],
        "tickets": [page(1, "t", table="tickets")],
    }
    before = time.monotonic()
    reports = run(cache, connector)
    assert time.monotonic() - before < 3
    assert reports["leads"].error == "the token was refused"
    assert reports["users"].error == "the token was refused"
    assert reports["tickets"].error == "not read: the token was refused"
    assert "tickets" not in [asked[0] for asked in connector.asked]
    assert bookmarks(cache)["users"] == '{"page":1}', "what was read stays"


def test_an_outage_costs_the_patience_of_those_that_run_and_no_more(cache: sqlite3.Connection) -> None:
    gone: Script = {name: [lambda: time.sleep(0.05), TransientError("the server is down")] for name in NAMES}
    connector = ScriptedConnector(gone, side_by_side=4)
    reports = run(cache, connector)
    assert sorted(asked[0] for asked in connector.asked) == sorted(NAMES[:4])
    assert [report.error for report in reports.values()] == [
        *["the server is down"] * 4, *["not read: the server is down"] * 4
    ]  # fmt: skip


def test_while_it_is_in_doubt_no_further_stream_begins(cache: sqlite3.Connection) -> None:
    """One stream that cannot be reached may be the source: the others that run decide, then all go on."""
    failed, connector = threading.Event(), ScriptedConnector({}, side_by_side=2)
    asked_while_in_doubt: list[list[str]] = []

    def look() -> None:
        time.sleep(0.1)
        asked_while_in_doubt.append([asked[0] for asked in connector.asked])

    connector.pages = {
        "users": [failed.set, TransientError("this one is down")],
        "leads": [connector.wait(failed), look, page(3, "a")],
        "tickets": [page(1, "t", table="tickets")],
    }
    reports = run(cache, connector)
    assert sorted(asked_while_in_doubt[0]) == ["leads", "users"]
    assert (reports["leads"].error, reports["tickets"].error) == (None, None)
    assert reports["users"].error == "this one is down"


def test_a_stream_that_fails_stops_no_other(cache: sqlite3.Connection) -> None:
    pages: Script = {
        "users": [StreamError("no access")],
        "leads": [page(1, "a"), ValueError("oops")],
        "tickets": [page(1, "t", table="tickets")],
        "orders": [TransientError("down")],
        "accounts": [page(1, "x", table="accounts")],
    }
    reports = run(cache, ScriptedConnector(pages, side_by_side=2))
    assert (reports["tickets"].error, reports["accounts"].error) == (None, None)
    assert "oops" in (reports["leads"].error or "")


def test_what_ends_the_writer_ends_the_readers(cache: sqlite3.Connection) -> None:
    """A second Ctrl-C, which comes as an exception in the writer's thread."""
    never = threading.Event()
    connector = ScriptedConnector({}, side_by_side=2)
    connector.pages = {"users": [connector.wait(never)], "leads": [page(1, "a"), connector.wait(never)]}

    def interrupt(progress: Progress) -> None:
        if progress.read:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cache, connector, on_progress=interrupt)
    assert connector.is_interrupted.is_set()


def test_the_calls_of_the_last_day_are_handed_to_the_connector(cache: sqlite3.Connection) -> None:
    run(cache, ScriptedConnector({"leads": [page(1, "a"), page(2, "b")], "users": [page(1, "u", table="users")]}))
    connector = ScriptedConnector({"leads": []})
    later = datetime(2026, 3, 1, 1, tzinfo=UTC)
    sync_source(connector, cache, clock=lambda: later)
    assert connector.remembered == [(3600.0, 3)]
    sync_source(connector, cache, clock=lambda: datetime(2026, 3, 2, 0, 30, tzinfo=UTC))
    assert connector.remembered == []


def test_a_full_read_goes_through_the_same_books(cache: sqlite3.Connection) -> None:
    told: list[tuple[str, str, bool]] = []
    run(
        cache,
        ScriptedConnector({"leads": [page(1, "a")]}),
        on_progress=lambda p: told.append((p.stream, p.phase, p.done)),
    )
    assert told == [("leads", "reading", False), ("leads", "reading", False), ("leads", "reading", True)]


def test_one_that_waits_long_holds_the_others_up_for_a_while_only(
    cache: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of one stream leaves it in doubt whether the source answers; a bulk job may not answer for an hour."""
    monkeypatch.setattr("syncagent.sync.DOUBT_S", 0.3)
    gate, others = threading.Event(), threading.Event()
    connector = ScriptedConnector({}, side_by_side=2)
    connector.pages = {
        "users": [TransientError("503")],
        "accounts": [connector.wait(gate), page(1, "a", table="accounts")],
        "leads": [others.set, page(1, "a")],
        "tickets": [gate.set, page(1, "a", table="tickets")],
    }
    reports = run(cache, connector)
    assert [report.error for report in reports.values()] == ["503", None, None, None]
