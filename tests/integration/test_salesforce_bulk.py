"""Large reads by Bulk 2.0 against the bundled server: the same rows as by REST, whatever becomes of the job."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import TransientError
from connectors.salesforce.bulk import BulkJobs
from connectors.transport import Timeouts
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.integration.crm_cache import NOW, MemoryCache, differences, salesforce

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
JOBS = "/services/data/v66.0/jobs/query"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox"), as_of=AS_OF, limits=False) as box:
        yield box


@pytest.fixture
def box(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox with small pages of results, and without faults before and after."""
    bulk = sandbox.salesforce.bulk

    def calm() -> None:
        sandbox.faults.clear()
        bulk.clear_faults()
        bulk.jobs.clear()
        sandbox.salesforce.calls.clear()
        bulk.created = bulk.aborted = bulk.deleted = 0

    calm()
    bulk.page_rows, bulk.polls_needed = 500, 1
    yield sandbox
    calm()


def _read(connector: Any, stream: str, cache: MemoryCache | None = None, *, pages: int | None = None) -> MemoryCache:
    """A stream read into a cache; with `pages`: broken off, as if killed, after so many."""
    cache = cache or MemoryCache()
    try:
        found = connector.fetch_pages(stream, cache.bookmarks.get(stream), full=False, since=None, now=NOW)
        for seen, page in enumerate(found, start=1):
            cache.apply(stream, page)
            if seen == pages:
                break
    finally:
        connector.close()
    return cache


def _by_rest(box: Sandbox, stream: str) -> MemoryCache:
    return _read(salesforce(box), stream)


@pytest.mark.slow
def test_everything_by_jobs_equals_the_org_and_leaves_no_job_behind(box: Sandbox) -> None:
    connector, cache = salesforce(box, bulk_from=1), MemoryCache()
    cache.sync(connector)
    assert differences(cache, box.truth(), "salesforce") == []
    assert box.salesforce.bulk.created > 10
    cache.reconcile(connector)
    assert differences(cache, box.truth(strict=True), "salesforce") == []
    made = box.salesforce.bulk.created
    cache.sync(connector)
    connector.close()
    assert box.salesforce.bulk.created == made  # what is new is little
    assert box.salesforce.bulk.jobs == {}


@pytest.mark.parametrize("stream", ["leads", "users", "opportunities", "tickets", "activities", "orders"])
def test_a_row_of_a_job_is_the_row_of_rest(box: Sandbox, stream: str) -> None:
    by_job = _read(salesforce(box, bulk_from=1), stream)
    assert box.salesforce.bulk.created
    assert by_job.rows == _by_rest(box, stream).rows
    assert by_job.rejects == []


def test_few_rows_are_read_by_rest(box: Sandbox) -> None:
    _read(salesforce(box), "leads")
    assert box.salesforce.bulk.created == 0


def test_a_sync_says_whether_a_job_was_used(box: Sandbox, tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache:

        def read(**settings: Any) -> dict[str, bool]:
            connector = salesforce(box, **settings)
            reports = sync_source(connector, cache, clock=lambda: NOW, streams=["users", "leads"], full=True)
            connector.close()
            return {report.stream: report.bulk for report in reports}

        assert read(bulk_from=1000) == {"users": False, "leads": True}
        assert read() == {"users": False, "leads": False}


def test_the_job_is_noted_down_before_it_is_first_looked_at(box: Sandbox) -> None:
    cache = _read(salesforce(box, bulk_from=100), "leads", pages=2)
    job = cache.bookmarks["leads"]["feeds"]["Lead"]["job"]
    assert job["id"] in box.salesforce.bulk.jobs
    assert box.salesforce.calls[f"GET {JOBS}/{job['id']}"] == 0


def test_a_read_killed_after_each_page_goes_on_with_the_same_job(box: Sandbox) -> None:
    cache = MemoryCache()
    for _ in range(12):
        _read(salesforce(box, bulk_from=100), "leads", cache, pages=3)
    assert box.salesforce.bulk.created == 1
    assert cache.rows == _by_rest(box, "leads").rows


def test_a_job_made_but_not_noted_down_is_deleted_and_another_made(box: Sandbox) -> None:
    cache = _read(salesforce(box, bulk_from=100), "leads", pages=1)  # the intent alone
    assert box.salesforce.bulk.created == 0
    connector = salesforce(box, bulk_from=100)
    reading = connector.fetch_pages("leads", cache.bookmarks["leads"], full=False, since=None, now=NOW)
    next(reading)  # made, but the page that says so is never committed
    connector.close()
    assert box.salesforce.bulk.created == 1
    _read(salesforce(box, bulk_from=100), "leads", cache)
    assert box.salesforce.bulk.created == 2
    assert box.salesforce.bulk.jobs == {}
    assert cache.rows == _by_rest(box, "leads").rows


def test_jobs_of_other_programs_are_left_alone(box: Sandbox) -> None:
    connector = salesforce(box, bulk_from=100)
    jobs = BulkJobs(connector._client)
    cache = MemoryCache()
    theirs = ""
    for page in connector.fetch_pages("leads", None, full=False, since=None, now=NOW):
        cache.apply("leads", page)
        theirs = theirs or jobs.make("Lead", "SELECT Id FROM Lead")
    assert list(box.salesforce.bulk.jobs) == [theirs]  # a good run
    intent = _read(salesforce(box, bulk_from=100), "leads", pages=1)
    others = [theirs, jobs.make("Lead", "SELECT Id, Name FROM Lead"), jobs.make("Lead", "SELECT Id FROM Lead")]
    _read(salesforce(box, bulk_from=100), "leads", intent)
    connector.close()
    assert list(box.salesforce.bulk.jobs) == others
    assert box.salesforce.bulk.aborted == 0


@pytest.mark.parametrize("kind", ["failed", "aborted", "partial", "expired", "short", "unauthorised", "count_missing"])
def test_a_job_that_comes_to_nothing_once_is_replaced(box: Sandbox, kind: str) -> None:
    box.salesforce.bulk.fault(kind, sobject="Lead")
    cache = _read(salesforce(box, bulk_from=100), "leads")
    expected = 1 if kind in ("unauthorised", "count_missing") else 2
    assert box.salesforce.bulk.created == expected
    assert box.salesforce.bulk.jobs == {}
    assert cache.rows == _by_rest(box, "leads").rows


@pytest.mark.parametrize("kind", ["failed", "partial", "expired", "short", "count_wrong", "limit", "unsupported"])
def test_where_jobs_come_to_nothing_for_good_rows_come_by_rest(box: Sandbox, kind: str) -> None:
    box.salesforce.bulk.fault(kind, sobject="Lead", times=None)
    cache = _read(salesforce(box, bulk_from=100), "leads")
    assert box.salesforce.bulk.created == (0 if kind in ("limit", "unsupported") else 2)
    assert cache.rows == _by_rest(box, "leads").rows


def test_a_job_that_stands_still_is_given_up(box: Sandbox) -> None:
    box.salesforce.bulk.fault("stuck", sobject="Lead", times=None)
    began = time.monotonic()
    cache = _read(salesforce(box, bulk_from=100, timeouts=Timeouts(1.0, 0.5, 0.3)), "leads")
    assert time.monotonic() - began < 10
    assert box.salesforce.bulk.aborted == 2
    assert cache.rows == _by_rest(box, "leads").rows


def test_a_wait_for_a_job_can_be_interrupted_and_goes_on_later(box: Sandbox) -> None:
    box.salesforce.bulk.fault("stuck", sobject="Lead", times=1)
    connector, cache = salesforce(box, bulk_from=100), MemoryCache()
    threading.Timer(0.4, connector.interrupt).start()
    with pytest.raises(TransientError):
        _read(connector, "leads", cache)
    job = cache.bookmarks["leads"]["feeds"]["Lead"]["job"]["id"]
    box.salesforce.bulk.clear_faults()
    box.salesforce.bulk.jobs[job].fault = None
    _read(salesforce(box, bulk_from=100), "leads", cache)
    assert box.salesforce.bulk.created == 1
    assert cache.rows == _by_rest(box, "leads").rows


def test_a_reconciliation_by_a_job_goes_on_where_it_was(box: Sandbox) -> None:
    position, seen = None, set[str]()
    for _ in range(12):
        connector = salesforce(box, bulk_from=100)
        for count, page in enumerate(connector.reconcile_pages("leads", position, now=NOW), start=1):
            seen |= {record["source_id"] for record in page.records.get("leads", ())}
            position = page.bookmark or position
            if count == 3:
                break
        else:
            connector.close()
            break
        connector.close()
    assert position is not None
    assert position["done"]
    assert seen == box.truth().tables["salesforce", "leads"].live
    assert box.salesforce.bulk.created == 1
    assert box.salesforce.bulk.jobs == {}


def test_a_full_read_lets_go_of_the_job_of_the_one_before(box: Sandbox) -> None:
    cache = _read(salesforce(box, bulk_from=100), "leads", pages=2)
    connector = salesforce(box, bulk_from=100)
    for page in connector.fetch_pages("leads", cache.bookmarks["leads"], full=True, since=None, now=NOW):
        cache.apply("leads", page)
    connector.close()
    assert box.salesforce.bulk.created == 2
    assert box.salesforce.bulk.jobs == {}


def test_a_position_far_behind_is_read_by_a_job_too(box: Sandbox) -> None:
    old = "2020-01-01T00:00:00Z"
    mark = {"at": old, "id": "", "done": True, "far": old}
    cache = MemoryCache(bookmarks={"leads": {"feeds": {"Lead": mark}}})
    _read(salesforce(box, bulk_from=100), "leads", cache)
    assert box.salesforce.bulk.created == 1
    assert cache.rows == _by_rest(box, "leads").rows
