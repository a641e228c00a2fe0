"""A sync run, from a scripted source into a real cache."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.base import FieldInfo, Page, Reject, Tombstone
from connectors.errors import AuthError, RateLimited, StreamError, TransientError
from scorecards.catalogue import BUILTINS
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from syncagent.reject_book import RejectBook
from syncagent.reject_file import append_rejects, count_rejects, read_rejects, reject_file
from syncagent.store import open_cache
from syncagent.sync import Progress, StreamReport, refresh_facts, sync_source
from syncagent.sync_state import begin
from tests.fakes.connector import Script, ScriptedConnector
from tests.unit.facts.frame import REPORTING, put

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def page(number: int, *ids: str, table: str = "leads") -> Page:
    records = [{"source_id": i, "updated_at": "2026-02-01T00:00:00Z"} for i in ids]
    return Page({table: records}, read=len(ids), bookmark={"page": number}, total=3)


def run(cache: sqlite3.Connection, connector: ScriptedConnector, **options: object) -> list[StreamReport]:
    return sync_source(connector, cache, clock=lambda: NOW, **options)  # type: ignore[arg-type]


def state(cache: sqlite3.Connection, stream: str = "leads") -> sqlite3.Row:
    row = cache.execute("SELECT * FROM sync_state WHERE stream = ?", (stream,)).fetchone()
    assert isinstance(row, sqlite3.Row)
    return row


def test_a_stream_is_read_to_its_end(cache: sqlite3.Connection) -> None:
    connector = ScriptedConnector({"leads": [page(1, "a", "b"), page(2, "c")]})
    (report,) = run(cache, connector)
    assert (report.read, report.changed, report.calls, report.error) == (3, 3, 2, None)
    row = state(cache)
    assert (row["ok_at"], row["rows"], row["watermark"]) == ("2026-03-01T00:00:00Z", 3, "2026-02-01T00:00:00Z")
    assert json.loads(row["bookmark"]) == {"page": 2}
    assert tuple(cache.execute("SELECT ok, read, changed FROM sync_runs").fetchone()) == (1, 3, 3)
    assert cache.execute("SELECT instance FROM sources").fetchone()[0] == "org1"


def test_the_next_sync_goes_on_at_the_bookmark(cache: sqlite3.Connection) -> None:
    run(cache, ScriptedConnector({"leads": [page(1, "a")]}))
    connector = ScriptedConnector({"leads": [page(1, "a"), page(2, "b")]})
    (report,) = run(cache, connector)
    assert connector.asked == [("leads", {"page": 1}, False)]
    assert (report.read, report.changed) == (1, 1)
    (again,) = run(cache, connector, full=True)
    assert connector.asked[-1] == ("leads", {"page": 2}, True)
    assert (again.read, again.changed) == (2, 0)


def test_a_failing_stream_keeps_its_pages_and_stops_no_other(cache: sqlite3.Connection) -> None:
    pages: Script = {
        "leads": [page(1, "a"), StreamError("the object Lead cannot be read.", mend="Give the login access.")],
        "tickets": [page(1, "t", table="tickets")],
    }
    leads, tickets = run(cache, ScriptedConnector(pages))
    assert leads.error == "the object Lead cannot be read. Give the login access."
    assert (leads.read, tickets.error) == (1, None)
    row = state(cache)
    assert (row["ok_at"], row["error"]) == (None, "the object Lead cannot be read.")
    assert json.loads(row["bookmark"]) == {"page": 1}


def test_an_error_is_dated_from_its_start_and_forgotten_after_success(cache: sqlite3.Connection) -> None:
    failing = ScriptedConnector({"leads": [TransientError("the server is down")]})
    run(cache, failing)
    sync_source(failing, cache, clock=lambda: datetime(2026, 3, 2, tzinfo=UTC))
    assert state(cache)["error_at"] == "2026-03-01T00:00:00Z"
    run(cache, ScriptedConnector({"leads": [page(1, "a")]}))
    assert (state(cache)["error"], state(cache)["error_at"]) == (None, None)


def test_a_refused_login_stops_the_source(cache: sqlite3.Connection) -> None:
    pages: Script = {"leads": [AuthError("the token was refused")], "tickets": [page(1, "t", table="tickets")]}
    connector = ScriptedConnector(pages)
    _, tickets = run(cache, connector)
    assert tickets.error == "not read: the token was refused"
    assert [asked[0] for asked in connector.asked] == ["leads"]


def test_a_source_that_is_down_is_not_asked_for_every_stream(cache: sqlite3.Connection) -> None:
    names = ("users", "accounts", "contacts", "leads", "tickets")
    connector = ScriptedConnector({name: [RateLimited("429")] for name in names})
    reports = run(cache, connector)
    assert [asked[0] for asked in connector.asked] == list(names[:3])
    assert all(report.error for report in reports)


def test_a_login_that_fails_is_one_report_and_fails_the_known_streams(cache: sqlite3.Connection) -> None:
    run(cache, ScriptedConnector({"leads": [page(1, "a")]}))
    (report,) = run(cache, ScriptedConnector({"leads": []}, login=AuthError("refused", mend="Renew it.")))
    assert (report.stream, report.error) == ("login", "refused Renew it.")
    assert (state(cache)["error"], state(cache)["ok_at"]) == ("refused", "2026-03-01T00:00:00Z")


def test_a_first_login_that_fails_is_remembered_until_one_succeeds(cache: sqlite3.Connection) -> None:
    run(cache, ScriptedConnector({"leads": []}, login=AuthError("refused")))
    assert state(cache, "login")["error"] == "refused"
    run(cache, ScriptedConnector({"leads": []}))
    assert cache.execute("SELECT count(*) FROM sync_state WHERE stream = 'login'").fetchone()[0] == 0


def test_a_mistake_in_a_connector_is_reported_not_raised(cache: sqlite3.Connection) -> None:
    pages: Script = {"leads": [ValueError("oops")], "tickets": [page(1, "t", table="tickets")]}
    leads, tickets = run(cache, ScriptedConnector(pages))
    assert leads.error == "unexpected: ValueError: oops. Run again with -vv."
    assert tickets.error is None


def test_stop_ends_between_pages_and_the_next_sync_goes_on_there(cache: sqlite3.Connection) -> None:
    stop = threading.Event()

    def stop_after_first(progress: Progress) -> None:
        if progress.read:
            stop.set()

    connector = ScriptedConnector({"leads": [page(1, "a"), page(2, "b")], "tickets": []})
    (report,) = run(cache, connector, stop=stop, on_progress=stop_after_first)
    assert report.read == 1
    assert "stopped before the end" in (report.error or "")
    assert (state(cache)["ok_at"], state(cache)["error"]) == (None, None)
    leads, _ = run(cache, connector)
    assert (leads.read, leads.error) == (1, None)


def test_progress_says_how_far_it_is(cache: sqlite3.Connection) -> None:
    told: list[Progress] = []
    run(cache, ScriptedConnector({"leads": [page(1, "a", "b"), page(2, "c")]}), on_progress=told.append)
    assert [(p.read, p.total, p.done) for p in told] == [(0, None, False), (2, 3, False), (3, 3, False), (3, 3, True)]


def test_only_the_named_streams_are_read(cache: sqlite3.Connection) -> None:
    connector = ScriptedConnector({"leads": [], "tickets": []})
    assert [report.stream for report in run(cache, connector, streams=["tickets"])] == ["tickets"]


def test_rows_that_cannot_be_used_go_to_the_reject_file(cache: sqlite3.Connection, tmp_path: Path) -> None:
    bad = Page({"leads": [{"source_id": "x", "name": 2**70}]}, rejects=[Reject("f.csv line 2", "bad date", "a;b")])
    (report,) = run(cache, ScriptedConnector({"leads": [bad]}))
    assert report.rejected == 2
    path = tmp_path / "rejects" / "sf-leads.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["place"] for line in lines] == ["f.csv line 2", "leads x"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_deletions_are_counted(cache: sqlite3.Connection) -> None:
    pages = [page(1, "a"), Page(tombstones=[Tombstone("leads", "a")], bookmark={"page": 2})]
    (report,) = run(cache, ScriptedConnector({"leads": pages}))
    assert report.deleted == 1


def test_a_page_and_its_bookmark_are_committed_together(cache: sqlite3.Connection) -> None:
    broken = Page({"leads": [{"source_id": "b"}], "nonsense": [{"source_id": "c"}]}, bookmark={"page": 2})
    (report,) = run(cache, ScriptedConnector({"leads": [page(1, "a"), broken]}))
    assert "nonsense" in (report.error or "")
    assert json.loads(state(cache)["bookmark"]) == {"page": 1}
    assert [row[0] for row in cache.execute("SELECT source_id FROM leads")] == ["a"]


def test_the_first_day_a_stream_covers_is_known(cache: sqlite3.Connection) -> None:
    """A figure of a time before a source's start is no data, not a small number."""
    as_of = datetime(2026, 3, 1, tzinfo=UTC)
    put(cache, "opportunities", "D", state="lost", close_date="2026-01-10")
    begin(cache, "sf", "opportunities", as_of, covered_from=date(2026, 1, 1))
    for period, status in (("2026-01", "ok"), ("2025-12", "no_data")):
        result = evaluate(
            cache, BUILTINS["lost_opportunities"], BUILTINS, REPORTING, as_of=as_of, period=parse_period(period)
        )
        assert (result.status, result.reason) == (
            status,
            None if status == "ok" else "no data: history begins 2026-01-01",
        )


def test_a_login_that_we_cut_short_ourselves_is_no_fault_of_the_source(cache: sqlite3.Connection) -> None:
    stop = threading.Event()
    stop.set()
    (report,) = run(cache, ScriptedConnector({}, login=TransientError("Stopped while waiting")), stop=stop)
    assert "stopped before the end" in (report.error or "")
    assert cache.execute("SELECT count(*) FROM sync_state WHERE error IS NOT NULL").fetchone()[0] == 0


def test_a_bad_record_stands_in_the_reject_file_until_it_is_read_well(
    cache: sqlite3.Connection, tmp_path: Path
) -> None:
    """Twice bad is one line; a record that was not read again stays."""
    path = tmp_path / "rejects" / "sf-leads.jsonl"
    bad = [Reject(f"leads {id_}", "score: not a number", "x") for id_ in "abc"]
    pages = [
        Page({"leads": [{"source_id": id_} for id_ in "abc"]}, rejects=bad, read=3, bookmark={"page": 1}),
        Page({"leads": [{"source_id": "a"}, {"source_id": "b"}]}, rejects=bad[1:2], read=2, bookmark={"page": 2}),
        Page({"leads": [{"source_id": "b"}, {"source_id": "c"}]}, read=2, bookmark={"page": 3}),
    ]
    found = []
    for count in (1, 2, 2, 3):
        (report,) = run(cache, ScriptedConnector({"leads": pages[:count]}))
        found.append(([row["place"] for row in read_rejects(path)], report.reject_file, report.first_reject))
    assert found == [
        (["leads a", "leads b", "leads c"], path, "leads a: score: not a number"),
        (["leads c", "leads b"], path, "leads b: score: not a number"),
        (["leads c", "leads b"], path, None),
        ([], None, None),
    ]
    assert not path.exists()


@pytest.mark.parametrize("error", [KeyError("records"), RecursionError("deep"), OSError("x")])
def test_a_mistake_at_the_login_is_its_report(cache: sqlite3.Connection, error: Exception) -> None:
    (report,) = run(cache, ScriptedConnector({"leads": []}, login=error))
    assert report.stream == "login"
    assert (report.error or "").startswith(f"unexpected: {type(error).__name__}: ")
    assert (state(cache, "login")["error"] or "").startswith("unexpected")


def test_a_full_reject_file_counts_what_it_does_not_list(tmp_path: Path) -> None:
    path = reject_file(tmp_path, "sf", "leads")

    def refuse(first: int, last: int, run: int = 1) -> None:
        rejects = [Reject(f"f.csv line {n}", "bad date", "x" * 100) for n in range(first, last)]
        append_rejects(tmp_path, "sf", "leads", rejects, run=run, most=1000)

    refuse(0, 5)
    assert (count_rejects(path), len(read_rejects(path))) == (5, 5)
    refuse(5, 40)
    size = path.stat().st_size
    refuse(40, 1340)
    assert count_rejects(path) == 1340
    assert abs(path.stat().st_size - size) < 10
    *listed, last = read_rejects(path)
    assert [row["place"] for row in listed] == [f"f.csv line {n}" for n in range(len(listed))]
    assert last["reason"] == f"{1340 - len(listed):,} more rows are not listed: the file is full."
    book = RejectBook(tmp_path, "sf", "leads", 2)
    book.note(Page(), None, [Reject(row["place"], "") for row in listed])
    book.settle()
    assert count_rejects(path) == 0


def test_streams_no_longer_offered_are_withdrawn_until_they_are_offered_again(cache: sqlite3.Connection) -> None:
    both: Script = {"leads": [page(1, "a")], "tickets": [page(1, "t", table="tickets")]}
    run(cache, ScriptedConnector(both))
    run(cache, ScriptedConnector({"leads": []}), streams=["leads"])
    assert state(cache, "tickets")["withdrawn_at"] is None, "a part says nothing of the rest"
    run(cache, ScriptedConnector({"leads": [page(1, "a"), TransientError("down")]}))
    assert state(cache, "tickets")["withdrawn_at"] is None
    run(cache, ScriptedConnector({"leads": []}))
    assert (state(cache)["withdrawn_at"], state(cache, "tickets")["withdrawn_at"]) == (None, "2026-03-01T00:00:00Z")
    run(cache, ScriptedConnector(both))
    assert state(cache, "tickets")["withdrawn_at"] is None


def test_a_stop_during_the_look_at_the_fields_leaves_the_facts(cache: sqlite3.Connection) -> None:
    stop = threading.Event()

    class Stopping(ScriptedConnector):
        def fields(self, table: str) -> list[FieldInfo]:
            stop.set()
            return super().fields(table)

    put(cache, "leads", "old", created_at="2026-02-01T00:00:00Z")
    run(cache, Stopping({"leads": [page(1, "a")]}), stop=stop, reporting=REPORTING)
    assert refresh_facts(cache, REPORTING) > 0, "nothing of it was done before"
