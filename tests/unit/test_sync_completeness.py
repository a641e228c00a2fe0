"""How many records the CRM has beside how many are here: measured, kept, judged."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Merge, Page, Tombstone
from connectors.errors import StreamError
from syncagent.completeness import differs, is_incomplete
from syncagent.reconcile import always
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.connector import ScriptedConnector

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def run(cache: sqlite3.Connection, count: int | Exception, at: datetime = NOW, **options: object) -> StreamReport:
    page = Page({"leads": [{"source_id": str(n)} for n in range(20)]}, bookmark={"page": 1})
    connector = ScriptedConnector({"leads": [page]}, counts={"leads": count})
    (report,) = sync_source(connector, cache, clock=lambda: at, **options)  # type: ignore[arg-type]
    return report


def row(cache: sqlite3.Connection) -> sqlite3.Row:
    found = cache.execute("SELECT * FROM sync_state WHERE stream = 'leads'").fetchone()
    assert isinstance(found, sqlite3.Row)
    return found


def test_live_rows_are_counted_beside_the_crms_own_count(cache: sqlite3.Connection) -> None:
    dead = Page(tombstones=[Tombstone("leads", "1")], merges=[Merge("leads", "2", "3")], bookmark={"page": 2})
    page = Page({"leads": [{"source_id": str(n)} for n in range(20)]}, bookmark={"page": 1})
    connector = ScriptedConnector({"leads": [page, dead]}, counts={"leads": 19})
    (report,) = sync_source(connector, cache, clock=lambda: NOW)
    assert (report.crm_count, report.cache_count) == (19, 18)
    assert (row(cache)["crm_count"], row(cache)["cache_count"], row(cache)["counted_at"]) == (
        19, 18, "2026-03-01T00:00:00Z"
    )  # fmt: skip


def test_it_is_counted_once_an_hour_or_when_asked(cache: sqlite3.Connection) -> None:
    minutes = [0, 30, 59, 60, 61]
    counted = [run(cache, 20, NOW + timedelta(minutes=m)).crm_count is not None for m in minutes]
    assert counted == [True, False, False, True, False]
    assert run(cache, 20, NOW + timedelta(minutes=62), recounts=True).crm_count == 20
    assert run(cache, 20, NOW + timedelta(minutes=63), due=always).crm_count == 20


def test_a_crm_that_cannot_count_is_no_fault_of_the_stream(cache: sqlite3.Connection) -> None:
    report = run(cache, StreamError("no count"))
    assert (report.error, report.crm_count, row(cache)["counted_at"]) == (None, None, None)


def test_a_stream_that_was_not_read_to_its_end_is_not_counted(cache: sqlite3.Connection) -> None:
    connector = ScriptedConnector({"leads": [StreamError("no access")]}, counts={"leads": 20})
    (report,) = sync_source(connector, cache, clock=lambda: NOW)
    assert report.crm_count is None


@pytest.mark.parametrize(
    ("crm", "here", "expected"),
    [
        (20, 20, False), (20, 15, False), (20, 14, True), (14, 20, True),
        (1000, 990, False), (1000, 989, True), (0, 0, False),
    ],
)  # fmt: skip
def test_a_few_rows_or_one_in_a_hundred_are_no_difference(crm: int, here: int, expected: bool) -> None:
    assert differs(crm, here) is expected


def test_a_difference_is_a_problem_when_a_day_old_or_not_mended_by_a_comparison(cache: sqlite3.Connection) -> None:
    def look(at: datetime) -> bool:
        return is_incomplete(dict(row(cache)), at)

    run(cache, 20)
    assert not look(NOW)
    run(cache, 40, NOW + HOUR)
    assert not look(NOW + HOUR), "the next comparison may find them"
    assert not look(NOW + 24 * HOUR)
    assert look(NOW + 26 * HOUR)
    run(cache, 40, NOW + 2 * HOUR, due=always)
    assert look(NOW + 2 * HOUR), "everything was compared and it still differs"
    run(cache, 20, NOW + 3 * HOUR)
    assert not look(NOW + 30 * HOUR)


def test_a_first_difference_right_after_a_comparison_is_a_problem(cache: sqlite3.Connection) -> None:
    run(cache, 20)
    ticks = iter(range(1000))
    page = Page(bookmark={"page": 1})
    connector = ScriptedConnector({"leads": [page]}, counts={"leads": 40})
    sync_source(connector, cache, clock=lambda: NOW + HOUR + timedelta(seconds=next(ticks)), due=always)
    assert is_incomplete(dict(row(cache)), NOW + 2 * HOUR)
