"""Changes of a source's schema: the first look is the baseline, each change is told once, with what it touches."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from connectors.base import Connector, FieldInfo, Stream
from connectors.errors import StreamError
from syncagent import drift, outbox
from syncagent.config import Config, load_config
from syncagent.mailer import Mailer
from syncagent.runs import owners
from syncagent.store import open_cache, open_state
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
        return [Stream("opportunities", ("opportunities", "stage_defs"))]

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


def bookmarks(cache: sqlite3.Connection) -> list[str]:
    """The streams that have a place to go on from."""
    return [row[0] for row in cache.execute("SELECT stream FROM sync_state WHERE bookmark IS NOT NULL")]


@pytest.mark.parametrize(
    ("then", "is_again"),
    [
        ([AMOUNT, CLOSE], True),  # a column that could not be had
        ([CLOSE, FieldInfo("Sum__c", "Sum", "currency", "amount_minor", "Opportunity")], True),  # mapped anew
        ([CLOSE, NOTE], False),  # a field that feeds nothing
        ([], False),  # nothing can be said
        ([FieldInfo("CloseDate", "Close", "datetime", "close_date", "Opportunity")], False),  # another type
        ([CLOSE, FieldInfo("NewValue", "New", "string", "stage", "OpportunityHistory")], True),  # a whole log
    ],
)
def test_a_stream_is_read_again_for_what_it_did_not_have(
    cache: sqlite3.Connection, then: list[FieldInfo], is_again: bool
) -> None:
    source = Offering(CLOSE)
    cache.execute("INSERT INTO sync_state (source_name, stream, bookmark) VALUES ('desk', 'opportunities', '{}')")
    look(cache, source)
    assert bookmarks(cache) == ["opportunities"], "the baseline is no news"
    source.offered = then
    look(cache, source)
    assert bookmarks(cache) == ([] if is_again else ["opportunities"])
    cache.execute("UPDATE sync_state SET bookmark = '{}'")
    look(cache, source)
    assert bookmarks(cache) == ["opportunities"], "once is enough"
