"""Changes of a source's schema: the first look is the baseline, each change is told once, with what it touches."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from connectors.base import Connector, FieldInfo, Stream
from connectors.errors import StreamError, TransientError
from syncagent import drift, outbox
from syncagent.config import Config, load_config
from syncagent.mailer import Mailer
from syncagent.runs import owners
from syncagent.store import open_cache, open_state
from syncagent.sync import sync_source
from tests.fakes.connector import Vendor, VendorConnector
from tests.fakes.office import Office
from tests.fakes.smtp import FaultServer

NOW = datetime(2026, 11, 2, 7, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

AMOUNT = FieldInfo("Amount", "Amount", "currency", "amount_minor", "Opportunity")
CLOSE = FieldInfo("CloseDate", "Close", "date", "close_date", "Opportunity")
NOTE = FieldInfo("Note__c", "Note", "string", "", "Opportunity")


class Offering:
    """A source that offers the fields it is told to."""

    name = "desk"
    crm = "salesforce"

    def __init__(self, *fields: FieldInfo) -> None:
        self.offered: list[FieldInfo] = list(fields)
        self.refuses = False

    def streams(self) -> list[Stream]:
        return [Stream("opportunities", ("opportunities", "stage_defs", "pipelines"))]

    def fields(self, table: str) -> list[FieldInfo]:
        if self.refuses:
            raise StreamError("Salesforce hides Opportunity from this login.")
        return self.offered if table == "opportunities" else []


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "data")) as conn:
        yield conn


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(Office(tmp_path).write())


def look(cache: sqlite3.Connection, source: Offering, at: datetime = NOW) -> int:
    return len(drift.note_fields(cache, cast(Connector, source), at))


def test_the_first_look_is_the_baseline_and_the_same_again_is_nothing(cache: sqlite3.Connection) -> None:
    source = Offering(AMOUNT, CLOSE)
    assert look(cache, source) == 0
    assert look(cache, source, LATER) == 0
    assert drift.changes(cache) == []


def test_a_field_that_is_gone_is_told_once_with_the_kpis_and_scorecards_it_feeds(
    cache: sqlite3.Connection, config: Config
) -> None:
    source = Offering(AMOUNT, CLOSE)
    look(cache, source)
    source.offered = [CLOSE]
    assert look(cache, source, LATER) == 1
    ((change, touches),) = drift.tell(cache, config, LATER)
    assert change.sentence == "desk: Opportunity.Amount is gone, or hidden from this login."
    assert touches.sentence == "It feeds won_revenue, lost_opportunities on weekly."
    assert drift.tell(cache, config, LATER) == []
    assert look(cache, source, LATER) == 0
    assert [one.told_at for one in drift.changes(cache, since=NOW)] == ["2026-11-02T08:00:00Z"]


def test_a_field_that_comes_back_is_told_again(cache: sqlite3.Connection, config: Config) -> None:
    source = Offering(AMOUNT, CLOSE)
    look(cache, source)
    source.offered = [CLOSE]
    look(cache, source)
    source.offered = [CLOSE, AMOUNT]
    look(cache, source)
    assert [change.change for change, _ in drift.tell(cache, config, NOW)] == ["removed", "added"]


def test_a_retyped_field_names_both_types(cache: sqlite3.Connection) -> None:
    source = Offering(AMOUNT)
    look(cache, source)
    source.offered = [FieldInfo("Amount", "Amount", "string", "amount_minor", "Opportunity")]
    look(cache, source)
    (change,) = drift.changes(cache)
    assert change.sentence == "desk: Opportunity.Amount changed its type (currency to string)."


def test_what_nobody_maps_is_kept_but_not_told(cache: sqlite3.Connection, config: Config) -> None:
    source = Offering(AMOUNT)
    look(cache, source)
    source.offered = [AMOUNT, NOTE]
    assert look(cache, source) == 1
    assert drift.tell(cache, config, NOW) == []
    assert cache.execute("SELECT name, change FROM source_changes").fetchone()[:2] == ("Note__c", "added")


def test_what_nobody_maps_makes_one_line_a_stream_and_of_files_no_row(
    cache: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    def keys(first: int) -> list[FieldInfo]:
        return [FieldInfo(f"k{n}", f"k{n}", "text", "", "Opportunity") for n in range(first, first + 9)]

    source = Offering(AMOUNT, *keys(0))
    source.crm = "files"
    with caplog.at_level("INFO", "syncagent.drift"):
        look(cache, source)
        assert caplog.messages == [], "the first look is the baseline"
        for first in (9, 18):
            caplog.clear()
            source.offered = [AMOUNT, *keys(first)]
            assert look(cache, source) == 0
            assert len(caplog.messages) == 1
    assert caplog.messages == [
        "desk: Opportunity, not mapped: 9 removed: k10, k11, k12, k13, k14 and 4 more;"
        " 9 added: k18, k19, k20, k21, k22 and 4 more"
    ]
    assert cache.execute("SELECT count(*) FROM source_changes").fetchone()[0] == 0
    source.offered = keys(18)
    assert look(cache, source) == 1, "what feeds a column is told as before"
    assert [change.name for change in drift.changes(cache)] == ["Amount"]


def test_a_field_the_admin_maps_anew_is_no_change_of_theirs(cache: sqlite3.Connection) -> None:
    source = Offering(AMOUNT, NOTE)
    look(cache, source)
    source.offered = [AMOUNT, FieldInfo("Note__c", "Note", "string", "loss_reason", "Opportunity")]
    assert look(cache, source) == 0
    source.offered = [AMOUNT]
    look(cache, source)
    assert [one.places for one in drift.changes(cache)] == [(("opportunities", "loss_reason"),)]


def test_an_object_that_cannot_be_described_now_has_lost_no_field(cache: sqlite3.Connection) -> None:
    source = Offering(AMOUNT)
    look(cache, source)
    source.refuses = True
    assert look(cache, source) == 0
    source.refuses = False
    assert look(cache, source) == 0


def test_the_owner_of_a_scorecard_it_touches_gets_one_mail(
    cache: sqlite3.Connection, tmp_path: Path, config: Config
) -> None:
    with FaultServer() as server, closing(open_state(tmp_path / "data")) as state:
        config = load_config(Office(tmp_path).write(port=server.port))
        assert config.mail is not None
        source = Offering(AMOUNT, CLOSE, NOTE)
        look(cache, source)
        source.offered = [NOTE]
        look(cache, source, LATER)
        for _ in range(2):
            drift.tell(cache, config, LATER, state=state, owners=owners(config))
        # A kill between the mail and the mark: told again, not mailed again.
        cache.execute("UPDATE source_changes SET told_at = NULL WHERE touches <> '[]'")
        drift.tell(cache, config, LATER, state=state, owners=owners(config))
        report = outbox.pump(state, Mailer(config.mail), lambda: LATER, owners=owners(config))
        assert report.sent == 1
        (mail,) = server.accepted
    assert mail.recipient == "owner@acme.test"
    assert mail.header("Subject") == "Weekly: a source has changed"
    assert b"Opportunity.Amount is gone" in mail.body
    assert b"Opportunity.CloseDate is gone" in mail.body


# --- what a sync looks at -----------------------------------------------------------------------------------------


class Desk(VendorConnector):
    """A vendor of leads that offers the fields it is told to."""

    offered: tuple[FieldInfo, ...] = (FieldInfo("Name", "Name", "text", "name", "Lead"),)
    more = (*offered, FieldInfo("Company", "Company", "text", "company", "Lead"))

    def fields(self, table: str) -> list[FieldInfo]:
        return list(self.offered)


def desk(*ids: str, more: bool = False) -> Desk:
    vendor = Vendor()
    for id_ in ids:
        vendor.put(id_, f"name of {id_}")
    connector = Desk(vendor, page_size=1)
    connector.offered = Desk.more if more else Desk.offered
    return connector


class Cut(Desk):
    def _call(self) -> None:
        super()._call()
        if self.calls == 4:
            raise TransientError("the server is down")


def test_a_stream_that_ended_early_says_nothing_of_its_fields(cache: sqlite3.Connection) -> None:
    sync_source(desk(*"abcd"), cache, clock=lambda: NOW)
    cut = Cut(desk(*"abcd").vendor, page_size=1)
    cut.offered = Desk.more
    sync_source(cut, cache, clock=lambda: LATER, full=True)
    assert drift.changes(cache) == []


@pytest.mark.parametrize("error", [AttributeError("x"), RecursionError("x"), OSError("x")])
def test_nothing_that_goes_wrong_with_a_look_ends_the_sync(cache: sqlite3.Connection, error: Exception) -> None:
    class Odd(Desk):
        def fields(self, table: str) -> list[FieldInfo]:
            raise error

    (report,) = sync_source(Odd(desk("a").vendor), cache, clock=lambda: NOW)
    assert (report.error, report.read) == (None, 1)


def test_a_stop_ends_a_look_that_gets_no_answer(cache: sqlite3.Connection) -> None:
    stop = threading.Event()

    class Silent(Desk):
        looked = 0

        def fields(self, table: str) -> list[FieldInfo]:
            self.looked += 1
            if self.looked == 1:  # for the reading
                return super().fields(table)
            stop.set()
            assert self.is_interrupted.wait(8)
            raise TransientError("stopped")

    began = time.monotonic()
    (report,) = sync_source(Silent(desk("a").vendor), cache, clock=lambda: NOW, stop=stop)
    assert (report.error, time.monotonic() - began < 5) == (None, True)


# --- one mail a change --------------------------------------------------------------------------------------------


def mailed(state: sqlite3.Connection) -> list[str]:
    return [bytes(row[0]).decode() for row in state.execute("SELECT mime FROM outbox ORDER BY id")]


def test_a_kill_before_the_mark_and_another_change_do_not_mail_the_first_one_twice(
    cache: sqlite3.Connection, tmp_path: Path
) -> None:
    config = load_config(Office(tmp_path).write(port=9))
    source = Offering(AMOUNT, CLOSE)
    with closing(open_state(tmp_path / "data")) as state:
        look(cache, source)
        source.offered = [CLOSE]
        look(cache, source)
        drift.tell(cache, config, NOW, state=state, owners=owners(config))
        cache.execute("UPDATE source_changes SET told_at = NULL")  # killed before the mark
        source.offered = [FieldInfo("CloseDate", "Close", "datetime", "close_date", "Opportunity")]
        look(cache, source)  # noticed in the same second
        told = drift.tell(cache, config, NOW, state=state, owners=owners(config))
        assert [change.name for change, _ in told] == ["Amount", "CloseDate"]
        first, second = mailed(state)
    assert ("Amount is gone" in first, "CloseDate changed" in first) == (True, False)
    assert ("Amount is gone" in second, "CloseDate changed" in second) == (False, True)
