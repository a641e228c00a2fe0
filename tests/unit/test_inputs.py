"""What records were read with is kept page by page; once there is more, their stream is read from its beginning."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from connectors.base import Connector, FieldInfo, Stream
from connectors.errors import AuthError, NotReadable, TransientError
from syncagent import inputs
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.connector import Vendor, VendorConnector

NOW = datetime(2026, 11, 2, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NAME = FieldInfo("Name", "Name", "text", "name", "Lead")
COMPANY = FieldInfo("Company", "Company", "text", "company", "Lead")
LOG = FieldInfo("CreatedDate", "Created", "datetime", "converted_at", "LeadHistory", beside="Lead")
NOTE = FieldInfo("Note__c", "Note", "text", "", "Lead")
OTHER = FieldInfo("Name", "Name", "text", "name", "Prospect")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "data")) as conn:
        yield conn


class Desk(VendorConnector):
    """A vendor of leads that offers the fields it is told to, fewer of them after so many pages."""

    offered: tuple[FieldInfo, ...] = (NAME,)
    left: tuple[FieldInfo, ...] | None = None
    pages_until = 2
    pages_in_all = 99

    def fields(self, table: str) -> list[FieldInfo]:
        return list(self.offered)

    @property
    def looks(self) -> int:
        return int(self.left is not None and self.offered == self.left)

    def _call(self) -> None:
        super()._call()
        if self.left is not None and self.calls == self.pages_until:
            self.offered = self.left
        if self.calls > self.pages_in_all:
            raise TransientError("the server is down")


def desk(vendor: Vendor, *offered: FieldInfo) -> Desk:
    connector = Desk(vendor, page_size=1)
    connector.offered = offered
    return connector


def sync(cache: sqlite3.Connection, connector: Desk, at: datetime = LATER, *, full: bool = False) -> StreamReport:
    (report,) = sync_source(connector, cache, clock=lambda: at, full=full, due=lambda _last, _now: False)
    return report


@pytest.fixture
def vendor() -> Vendor:
    vendor = Vendor()
    for id_ in "abcd":
        vendor.put(id_, f"name of {id_}")
    return vendor


@pytest.mark.parametrize(
    ("then", "read"),
    [
        ((NAME, COMPANY), 4),  # a column that could not be had
        ((FieldInfo("Label__c", "Label", "text", "name", "Lead"),), 4),  # mapped anew
        ((NAME, NOTE), 0),  # a field that feeds nothing
        ((), 0),  # nothing can be said
        ((FieldInfo("Name", "Name", "string", "name", "Lead"),), 0),  # another type
        ((NAME, LOG), 4),  # a whole log
        ((LOG,), 0),  # of records that cannot be read
        ((NAME, OTHER), 0),  # what has a position of its own begins by itself
    ],
)
def test_a_stream_is_read_again_once_for_what_it_did_not_have(
    cache: sqlite3.Connection, vendor: Vendor, then: tuple[FieldInfo, ...], read: int
) -> None:
    assert sync(cache, desk(vendor, NAME), NOW).read == 4
    assert sync(cache, desk(vendor, NAME)).read == 0
    assert sync(cache, desk(vendor, *then)).read == read
    assert sync(cache, desk(vendor, *then)).read == 0, "once is enough"


def test_a_read_that_was_killed_before_or_after_its_first_page_is_read_again(
    cache: sqlite3.Connection, vendor: Vendor
) -> None:
    sync(cache, desk(vendor, NAME), NOW)
    for pages, left in ((0, 4), (3, 4), (99, 1)):
        connector = desk(vendor, NAME, COMPANY)
        connector.pages_in_all = pages + 1  # the login is a call
        assert sync(cache, connector).read == min(pages, left)
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 0


def test_what_vanished_in_the_middle_is_kept_with_the_page_that_lacked_it(
    cache: sqlite3.Connection, vendor: Vendor
) -> None:
    cut = desk(vendor, NAME, COMPANY)
    cut.left, cut.pages_until, cut.pages_in_all = (NAME,), 3, 3
    assert sync(cache, cut, NOW).read == 2
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 4
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 0


def test_a_full_read_has_read_everything_with_what_is_there_now(cache: sqlite3.Connection, vendor: Vendor) -> None:
    sync(cache, desk(vendor, NAME), NOW)
    sync(cache, desk(vendor, NAME, COMPANY), full=True)
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 0


def test_a_cache_that_kept_nothing_yet_is_not_read_again(cache: sqlite3.Connection, vendor: Vendor) -> None:
    sync(cache, desk(vendor, NAME), NOW)
    cache.execute("UPDATE sync_state SET inputs = NULL")
    vendor.put("e", "name of e")
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 1
    assert sync(cache, desk(vendor, NAME, COMPANY, LOG)).read == 5


def test_a_full_comparison_a_person_asked_for_stays_asked_for(cache: sqlite3.Connection, vendor: Vendor) -> None:
    sync(cache, desk(vendor, NAME), NOW)
    cut = desk(vendor, NAME)
    cut.pages_in_all = 3
    sync(cache, cut, full=True)
    vendor.live.pop("a")
    report = sync(cache, desk(vendor, NAME, COMPANY))
    sweep = cache.execute("SELECT sweep FROM sync_state WHERE stream = 'leads'").fetchone()[0]
    assert (report.reconciled, report.found_gone, sweep) == (True, 1, None)


@pytest.mark.parametrize("error", [TransientError("down"), NotReadable("hidden"), RuntimeError("ours")])
def test_a_look_that_fails_neither_loses_anything_nor_has_it_read_again(
    cache: sqlite3.Connection, vendor: Vendor, error: Exception
) -> None:
    class Odd(Desk):
        def fields(self, table: str) -> list[FieldInfo]:
            raise error

    sync(cache, desk(vendor, NAME, COMPANY), NOW)
    vendor.put("e", "name of e")
    report = sync(cache, Odd(vendor, page_size=1))
    assert (report.error, report.read) == (None, 1)
    assert sync(cache, desk(vendor, NAME, COMPANY)).read == 0


def test_a_refused_login_is_no_passing_trouble(vendor: Vendor) -> None:
    class Refused(Desk):
        def fields(self, table: str) -> list[FieldInfo]:
            raise AuthError("refused")

    with pytest.raises(AuthError):
        inputs.offered(cast(Connector, Refused(vendor)), Stream("leads", ("leads",)))
