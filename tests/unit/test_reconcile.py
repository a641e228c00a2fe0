"""Comparing every record with the CRM: what it finds, what it never does, and that a kill anywhere costs nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.base import Children, Page, Reject
from connectors.errors import StreamError, TransientError
from syncagent.reconcile import always, daily, nightly
from syncagent.reject_file import append_rejects
from syncagent.store import data_dir_of, open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.connector import ScriptedConnector, Vendor, VendorConnector

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def vendor_of(*ids: str) -> Vendor:
    vendor = Vendor()
    for id_ in ids:
        vendor.put(id_, f"name of {id_}")
    return vendor


def run(cache: sqlite3.Connection, connector: ScriptedConnector, at: datetime = NOW, **options: Any) -> StreamReport:
    (report,) = sync_source(connector, cache, clock=lambda: at, **options)
    return report


def held(cache: sqlite3.Connection) -> dict[str, str]:
    """The live rows: name by id."""
    rows = cache.execute("SELECT source_id, name FROM leads WHERE is_deleted = 0 AND merged_into IS NULL")
    return {row[0]: row[1] for row in rows}


def truth(vendor: Vendor) -> dict[str, str]:
    return {id_: record["name"] for id_, record in vendor.live.items()}


def state(cache: sqlite3.Connection) -> sqlite3.Row:
    row = cache.execute("SELECT * FROM sync_state WHERE stream = 'leads'").fetchone()
    assert isinstance(row, sqlite3.Row)
    return row


def is_clean(cache: sqlite3.Connection) -> bool:
    marks = cache.execute("SELECT count(*) FROM sweep_seen").fetchone()[0]
    return marks == 0 and state(cache)["sweep"] is None


# --- what it finds ----------------------------------------------------------------------------------------------


def test_it_finds_what_no_change_mark_shows(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("gone", "loser", "winner", "formula", "same")
    connector = VendorConnector(vendor)
    run(cache, connector)
    vendor.remove("gone")
    vendor.merge("loser", "winner")
    vendor.put("formula", "worked out anew", announced=False)
    vendor.put("never announced", "Nan", announced=False)
    assert held(cache) != truth(vendor)
    report = run(cache, connector, NOW + DAY)
    assert held(cache) == truth(vendor)
    assert (report.reconciled, report.found_missing, report.found_gone) == (True, 1, 2)
    assert cache.execute("SELECT merged_into FROM leads WHERE source_id = 'loser'").fetchone()[0] == "sf:leads:winner"
    assert sorted(connector.asked_ids) == ["gone", "loser", "never announced"]
    assert is_clean(cache)
    assert state(cache)["reconciled_at"] == "2026-03-02T00:00:00Z"


@pytest.mark.parametrize("how", ["list", "full"])
def test_what_the_cache_takes_for_dead_and_lives_is_back(cache: sqlite3.Connection, how: str) -> None:
    """Restored with its old stamp, which neither an index nor a guard against a lagging one lets through."""
    vendor = vendor_of("deleted", "loser", "winner")
    connector = VendorConnector(vendor)
    run(cache, connector)
    old = {id_: dict(vendor.live[id_]) for id_ in ("deleted", "loser")}
    vendor.remove("deleted")
    vendor.merge("loser", "winner")
    run(cache, connector, due=always)
    cache.execute("UPDATE leads SET deleted_at = '2026-02-28T00:00:00Z' WHERE source_id = 'deleted'")
    assert held(cache) == truth(vendor)
    vendor.live |= old
    report = run(cache, connector, NOW + DAY, full=how == "full")
    assert held(cache) == truth(vendor)
    assert (report.reconciled, report.found_missing) == (True, 2)


def test_a_record_the_listing_leaves_out_is_asked_for_before_it_is_taken_for_gone(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a", "b", "c")
    connector = VendorConnector(vendor)
    run(cache, connector)
    connector.hidden = {"b"}
    report = run(cache, connector, NOW + DAY)
    assert (connector.asked_ids, report.found_gone, held(cache)) == (["b"], 0, truth(vendor))


def test_of_which_nothing_is_said_it_stays(cache: sqlite3.Connection) -> None:
    """An object this login may not read now: no word is no death."""
    vendor = vendor_of("a", "b")
    run(cache, VendorConnector(vendor))
    report = run(cache, ScriptedConnector({"leads": []}), NOW + DAY, due=always)
    assert (report.error, report.reconciled, len(held(cache))) == (None, True, 2)


def test_an_older_version_in_the_listing_overwrites_nothing(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a")
    run(cache, VendorConnector(vendor))
    stale = {"source_id": "a", "name": "as it was", "updated_at": "2020-01-01T00:00:00Z"}
    listing = ScriptedConnector({"leads": []}, listing={"leads": [Page({"leads": [stale]}, bookmark={"page": 1})]})
    run(cache, listing, NOW + DAY)
    assert held(cache) == truth(vendor)


def test_a_row_first_seen_after_it_began_is_no_candidate(cache: sqlite3.Connection) -> None:
    """Its place in the listing may lie before the page the comparison goes on at."""
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    cut = Failing(vendor, page_size=2)
    cut.deadly = 4
    assert run(cache, cut, NOW + DAY).error == "the server is down"
    vendor.put("0 new", "sorted before all others")
    connector = VendorConnector(vendor)
    assert run(cache, connector, NOW + DAY + timedelta(hours=1)).reconciled
    assert (connector.asked_ids, held(cache)) == ([], truth(vendor))


def test_rows_first_seen_while_the_clock_was_ahead_are_compared_too(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a", "b")
    run(cache, VendorConnector(vendor), NOW + 10 * DAY)
    vendor.remove("a")
    report = run(cache, VendorConnector(vendor), NOW)
    assert (report.reconciled, report.found_gone, held(cache)) == (True, 1, truth(vendor))


def test_ids_that_make_no_record_are_alive(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a", "b")
    run(cache, VendorConnector(vendor))
    listing = {"leads": [Page({}, alive=["a", "b"], bookmark={"page": 1})]}
    connector = ScriptedConnector({"leads": []}, listing=listing)
    run(cache, connector, NOW + DAY)
    assert (connector.asked_ids, len(held(cache))) == ([], 2)


def test_a_fault_in_the_comparison_is_told_and_what_was_read_counts(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a")
    run(cache, VendorConnector(vendor))
    failing = ScriptedConnector({"leads": []}, listing={"leads": [StreamError("the list cannot be read")]})
    report = run(cache, failing, NOW + DAY)
    assert (report.error, report.reconciled) == ("the list cannot be read", False)
    assert state(cache)["ok_at"] == "2026-03-02T00:00:00Z"
    assert state(cache)["reconciled_at"] == "2026-03-01T00:00:00Z"


# --- when -------------------------------------------------------------------------------------------------------


def test_a_first_load_counts_and_the_next_comparison_is_a_day_later(cache: sqlite3.Connection) -> None:
    connector = VendorConnector(vendor_of("a"))
    times = [NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=24), NOW + timedelta(hours=25)]
    assert [run(cache, connector, at).reconciled for at in times] == [False, False, True, False]
    assert run(cache, connector, times[-1], due=always).reconciled


def test_a_cache_of_before_is_compared_at_once(cache: sqlite3.Connection) -> None:
    connector = VendorConnector(vendor_of("a"))
    run(cache, connector)
    cache.execute("UPDATE sync_state SET reconciled_at = NULL")
    assert run(cache, connector).reconciled


def test_a_stream_that_cannot_be_listed_is_not_compared(cache: sqlite3.Connection) -> None:
    class Log(VendorConnector):
        def streams(self) -> list[Any]:
            from connectors.base import Stream

            return [Stream("leads", ("leads",), reconciles=False)]

    connector = Log(vendor_of("a"))
    run(cache, connector)
    connector.vendor.remove("a")
    report = run(cache, connector, NOW + 3 * DAY, full=True)
    assert (report.reconciled, report.error, len(held(cache))) == (False, None, 1)


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        (11, "2026-03-02T01:30:00Z", False),  # 02:30 in Berlin, but it was done in the evening
        (12, "2026-03-02T01:30:00Z", True),
        (25, "2026-03-02T09:00:00Z", False),  # by day it waits for the night
        (30, "2026-03-02T09:00:00Z", True),
        (12, "2026-03-02T04:00:00Z", False),  # 05:00 in Berlin
    ],
)
def test_the_daemon_compares_at_night_and_by_day_what_is_overdue(hours: int, at: str, expected: bool) -> None:
    now = datetime.fromisoformat(at)
    assert nightly(ZoneInfo("Europe/Berlin"))(now - timedelta(hours=hours), now) is expected
    assert nightly(ZoneInfo("Europe/Berlin"))(None, now)
    assert not daily(now - timedelta(hours=23, minutes=59), now)


def test_a_last_time_that_lies_ahead_is_none(cache: sqlite3.Connection) -> None:
    ahead = NOW + 365 * DAY
    assert daily(ahead, NOW)
    assert nightly(ZoneInfo("Europe/Berlin"))(ahead, NOW.replace(hour=12))
    vendor = vendor_of("a", "b")
    run(cache, VendorConnector(vendor), ahead)
    assert run(cache, VendorConnector(vendor), NOW).crm_count == 2, "counted, too"


def test_a_comparison_that_began_later_than_now_begins_anew(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    cut = Failing(vendor, page_size=2)
    cut.deadly = 3
    assert run(cache, cut, NOW + 9 * DAY).error == "the server is down"
    vendor.remove("a")  # seen alive on the page before the fault
    assert run(cache, VendorConnector(vendor), NOW + DAY).reconciled
    assert held(cache) == truth(vendor)


# --- suspect ----------------------------------------------------------------------------------------------------


def test_an_empty_list_after_many_rows_deletes_nothing(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*(f"{n:03}" for n in range(150)))
    connector = VendorConnector(vendor, page_size=50)
    run(cache, connector)
    before, vendor.live = vendor.live, {}
    report = run(cache, connector, NOW + DAY)
    assert (report.reconciled, report.error, len(held(cache)), connector.asked_ids) == (False, None, 150, [])
    assert report.suspect == (150, 150)
    assert '"phase":"suspect"' in state(cache)["sweep"]
    assert '"gone":150,"of":150' in state(cache)["sweep"]
    assert run(cache, connector, NOW + DAY + timedelta(hours=1)).reconciled is False
    vendor.live = before
    report = run(cache, connector, NOW + 2 * DAY)
    assert (report.reconciled, report.compared, report.suspect) == (True, 150, None)
    assert is_clean(cache)


def test_a_person_carries_out_what_was_not_believed(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*(f"{n:03}" for n in range(300)))
    connector = VendorConnector(vendor, page_size=50)
    run(cache, connector)
    for n in range(150):
        vendor.remove(f"{n:03}")
    assert run(cache, connector, NOW, due=always).found_gone == 0
    assert len(held(cache)) == 300
    report = run(cache, connector, full=True)
    assert (report.found_gone, held(cache)) == (150, truth(vendor))


def test_even_a_person_has_to_ask_twice_for_everything_to_go(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*(f"{n:03}" for n in range(150)))
    connector = VendorConnector(vendor, page_size=50)
    run(cache, connector)
    vendor.live = {}
    assert run(cache, connector, full=True).found_gone == 0
    assert len(held(cache)) == 150
    assert run(cache, connector, full=True).found_gone == 150
    assert held(cache) == {}


# --- full -------------------------------------------------------------------------------------------------------


def test_a_full_read_removes_no_row_before_it_has_seen_everything(cache: sqlite3.Connection) -> None:
    vendor = vendor_of("a", "b", "c", "d")
    connector = VendorConnector(vendor, page_size=1)
    run(cache, connector)
    vendor.remove("a")
    counts: list[int] = []
    run(cache, connector, full=True, on_progress=lambda progress: counts.append(len(held(cache))))
    assert set(counts) == {3, 4}
    assert counts == sorted(counts, reverse=True)
    assert held(cache) == truth(vendor)


class Failing(VendorConnector):
    """Ends with a fault at the call of that number."""

    deadly = 0

    def _call(self) -> None:
        super()._call()
        if self.calls == self.deadly:
            raise TransientError("the server is down")


@pytest.mark.parametrize("deadly", range(2, 9))
def test_a_full_read_cut_short_goes_on_where_it_was(cache: sqlite3.Connection, deadly: int) -> None:
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    vendor.remove("b")
    cut = Failing(vendor, page_size=1)
    cut.deadly = deadly
    first = run(cache, cut, full=True)
    connector = VendorConnector(vendor, page_size=1)
    later = run(cache, connector)  # not asked for anything in particular: a daemon's sync
    assert held(cache) == truth(vendor)
    assert first.reconciled or later.reconciled
    assert is_clean(cache)
    if 3 <= deadly <= 6:
        assert connector.asked[0][2] is False, "the pages before the fault are not read again"


def test_a_first_full_read_cut_short_and_asked_for_again_goes_on_where_it_was(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*"abcdef")
    cut = Failing(vendor, page_size=1)
    cut.deadly = 5
    run(cache, cut, full=True)
    read = len(held(cache))
    connector = VendorConnector(vendor, page_size=1)
    assert run(cache, connector, full=True).error is None
    assert (read, connector.asked[0][1:], held(cache)) == (
        3,
        ({"at": "2026-01-01T00:00:03Z", "id": "c"}, False),
        truth(vendor),
    )


@pytest.mark.parametrize("deadly", range(2, 9))
def test_a_comparison_cut_short_goes_on_where_it_was(cache: sqlite3.Connection, deadly: int) -> None:
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    vendor.remove("b")
    vendor.put("x", "unannounced", announced=False)
    cut = Failing(vendor, page_size=2)
    cut.deadly = deadly
    first = run(cache, cut, NOW + DAY)
    later = run(cache, VendorConnector(vendor, page_size=2), NOW + DAY)
    assert held(cache) == truth(vendor)
    assert first.reconciled or later.reconciled
    assert is_clean(cache)


def test_one_that_is_days_old_begins_anew(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    cut = Failing(vendor, page_size=2)
    cut.deadly = 3
    assert run(cache, cut, NOW + DAY).error == "the server is down"
    vendor.remove("a")  # seen alive on the page before the fault
    assert run(cache, VendorConnector(vendor), NOW + 5 * DAY).reconciled
    assert held(cache) == truth(vendor)


# --- links and lines --------------------------------------------------------------------------------------------


def test_links_that_are_gone_go_and_come_back(cache: sqlite3.Connection) -> None:
    def listed(*links: str) -> ScriptedConnector:
        rows = [{"source_id": f"A-{x}", "activity_id": "A", "object": "contacts", "object_id": x} for x in links]
        page = Page(
            {"leads": [{"source_id": "a"}], "activity_links": rows},
            children=[Children("activity_links", "activity_id", ["A"])],
            bookmark={"page": 1},
        )
        return ScriptedConnector({"leads": []}, listing={"leads": [page]}, by_id={"a": page})

    def live() -> set[str]:
        return {row[0] for row in cache.execute("SELECT source_id FROM activity_links WHERE is_deleted = 0")}

    for links in ("12", "1", "123", ""):
        run(cache, listed(*links), due=always)
        assert live() == {f"A-{x}" for x in links}


def test_reading_again_from_a_day_on_compares_nothing_and_disturbs_nothing(cache: sqlite3.Connection) -> None:
    vendor = vendor_of(*"abcdef")
    run(cache, VendorConnector(vendor))
    cut = Failing(vendor, page_size=2)
    cut.deadly = 3
    run(cache, cut, full=True)
    vendor.remove("a")
    report = run(cache, VendorConnector(vendor, page_size=2), NOW + DAY, since=NOW.date())
    assert (report.reconciled, report.error, "a" in held(cache)) == (False, None, True)
    assert run(cache, VendorConnector(vendor, page_size=2), NOW + DAY).reconciled
    assert held(cache) == {**truth(vendor), "a": "name of a"}, "seen alive before the fault; the next comparison tells"
    assert run(cache, VendorConnector(vendor), NOW + 2 * DAY).reconciled
    assert held(cache) == truth(vendor)


def test_a_reject_is_settled_once_a_comparison_reads_its_row_well(cache: sqlite3.Connection) -> None:
    """Else it stands, a row of an earlier sync, until the record is edited."""
    vendor = vendor_of("a", "b")
    run(cache, VendorConnector(vendor))
    append_rejects(data_dir_of(cache), "sf", "leads", [Reject("leads b", "bad"), Reject("leads c", "bad")], run=0)
    assert run(cache, VendorConnector(vendor), NOW + timedelta(hours=1)).still_rejected == 2
    report = run(cache, VendorConnector(vendor), NOW + DAY, due=always)
    assert (report.reconciled, report.rejected, report.still_rejected) == (True, 0, 1)
