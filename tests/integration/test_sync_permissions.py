"""What becomes of a stream this login may not read: one that was read before, and one it never could read.

Through whole syncs into a real cache, for both CRMs alike.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Connector, Stream
from connectors.errors import AuthError, StreamError
from scorecards import provenance
from syncagent import freshness, reconcile
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from syncagent.sync_state import begin, end, note_login_failure
from tests.fakes.truth_check import differences
from tests.integration.crm_cache import hubspot, salesforce

pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Place:
    """One CRM, one cache, and the hours that pass."""

    def __init__(self, crm: str, box: Sandbox, cache: sqlite3.Connection) -> None:
        self.crm, self.box, self.cache = crm, box, cache
        self.name = "sf" if crm == "salesforce" else "hs"

    def connector(self, **more: Any) -> Connector:
        return salesforce(self.box, **more) if self.crm == "salesforce" else hubspot(self.box, **more)

    def sync(self, *, named: list[str] | None = None, **more: Any) -> dict[str, StreamReport]:
        """An hour later: the reports by stream. `named`: the streams the settings ask for."""
        self.box.pass_time(int(HOUR.total_seconds()))
        with closing(self.connector(**({"streams": named} if named else {}))) as connector:
            reports = sync_source(connector, self.cache, clock=lambda: self.box.now, **more)
        return {report.stream: report for report in reports}

    def hide(self, stream: str) -> None:
        """All of a stream, or the one of several objects behind it that `activities` and `lines` stand for."""
        if self.crm == "salesforce":
            self.box.salesforce.schema.hide(
                {"tickets": "Case", "activities": "Event", "lines": "OpportunityLineItem"}[stream]
            )
        else:
            self.box.hubspot.schema.disable(
                {"tickets": "tickets", "activities": "calls", "lines": "line_items"}[stream]
            )

    def show(self) -> None:
        if self.crm == "salesforce":
            self.box.salesforce.schema.show("Case", "Event", "OpportunityLineItem")
        else:
            self.box.hubspot.schema.disabled.clear()

    def state(self, stream: str) -> dict[str, Any]:
        row = self.cache.execute("SELECT * FROM sync_state WHERE stream = ?", (stream,)).fetchone()
        return dict(row) if row else {}

    def live(self, table: str) -> int:
        found: int = self.cache.execute(f"SELECT count(*) FROM {table} WHERE is_deleted = 0").fetchone()[0]
        return found

    def wrong(self) -> list[str]:
        return differences(self.cache, self.box.truth(strict=True), self.name, self.crm)


@pytest.fixture(scope="module")
def one_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("box"), as_of=AS_OF, limits=False, size="tiny") as box:
        yield box


@pytest.fixture(params=["salesforce", "hubspot"])
def place(request: pytest.FixtureRequest, one_box: Sandbox, tmp_path: Path) -> Iterator[Place]:
    one_box.reset(seed=1, as_of=AS_OF)
    with closing(open_cache(tmp_path / "data")) as cache:
        yield Place(request.param, one_box, cache)


# -- read again from the beginning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "stream"), [("tickets", "tickets"), ("activities", "activities"), ("lines", "opportunities")]
)
def test_a_full_read_does_not_make_what_cannot_be_read_fresh(place: Place, lost: str, stream: str) -> None:
    place.sync()
    read_at, rows = place.state(stream)["ok_at"], place.live(stream)
    lines = place.live("opportunity_lines")
    place.hide(lost)
    for full in (False, True, False, True, False):
        report = place.sync(full=full)[stream]
        assert report.error is not None
        state = place.state(stream)
        assert (state["ok_at"], state["error"] is None) == (read_at, False)
        assert (place.live(stream), place.live("opportunity_lines")) == (rows, lines)
    place.show()
    assert place.sync()[stream].error is None
    assert place.state(stream)["error"] is None
    assert place.state(stream)["ok_at"] > read_at
    place.sync(due=reconcile.always)
    assert place.wrong() == []


def test_what_comes_back_after_a_full_read_without_it_is_read_whole(place: Place) -> None:
    """The full read was to put right what no change mark shows: the part it could not reach is owed it."""
    place.sync()
    kind = "meeting" if place.crm == "salesforce" else "call"
    assert place.cache.execute("SELECT count(*) FROM activities WHERE type = ?", (kind,)).fetchone()[0]
    place.hide("activities")
    place.sync(full=True)
    place.cache.execute("UPDATE activities SET subject = 'spoilt' WHERE type = ?", (kind,))
    place.cache.execute("DELETE FROM sweep_seen")
    place.cache.execute("UPDATE sync_state SET sweep = NULL")
    place.show()
    place.sync()
    spoilt = "SELECT count(*) FROM activities WHERE subject = 'spoilt'"
    assert place.cache.execute(spoilt).fetchone()[0] == 0


def test_a_stream_that_is_to_be_read_again_is_known_to_have_been_read(place: Place) -> None:
    """What is to be read from its beginning, as a field came back, is missed all the same if it is hidden by then."""
    crm = place.box.salesforce if place.crm == "salesforce" else place.box.hubspot
    field = ("Task.Subject",) if place.crm == "salesforce" else ("tasks", "hs_task_subject")
    crm.schema.hide(*field)
    place.sync()
    crm.schema.show(*field)
    place.sync()
    place.hide("activities")
    read_at = place.state("activities")["ok_at"]
    assert place.sync()["activities"].error
    assert place.state("activities")["ok_at"] == read_at


# -- read before, and not now ----------------------------------------------------------------------------------------

WEEK = timedelta(days=7)
MAX_AGE_S = 6 * 3600.0


@pytest.mark.parametrize(
    ("lost", "stream"), [("tickets", "tickets"), ("activities", "activities"), ("lines", "opportunities")]
)
def test_what_was_read_before_and_cannot_be_now_is_withdrawn_and_waits_for_nobody(
    place: Place, lost: str, stream: str
) -> None:
    place.sync()
    read_at = place.state(stream)["ok_at"]
    place.hide(lost)
    since = None
    for _ in range(3):
        place.box.pass_time(int(WEEK.total_seconds()))
        reports = place.sync()
        assert reports[stream].outcome == "withdrawn"
        assert "cannot be read" in (reports[stream].error or "")
        assert {one.outcome for one in reports.values()} <= {"ok", "withdrawn", "not_readable"}
        since = since or place.state(stream)["withdrawn_at"]
        assert place.state(stream)["withdrawn_at"] == since == max(since, read_at)
        found = freshness.of_sources(place.cache, [place.name], {stream, "accounts"})
        assert freshness.late(found, place.box.now, MAX_AGE_S) == []
        assert [name for one in found for name, _ in one.withdrawn] == [stream]
        assert all(one.error is None for one in provenance.freshness(place.cache, {stream}))
    place.show()
    reports = place.sync()
    assert (reports[stream].outcome, reports[stream].error) == ("ok", None)
    state = place.state(stream)
    assert (state["withdrawn_at"], state["error"], state["error_mend"]) == (None, None, None)
    place.sync(due=reconcile.always)
    assert place.wrong() == []


def test_an_outage_or_a_refused_login_meanwhile_ends_no_withdrawal(place: Place) -> None:
    place.sync()
    place.hide("tickets")
    place.sync()
    before = place.state("tickets")
    faults = place.box.faults.salesforce if place.crm == "salesforce" else place.box.faults.hubspot
    faults.add("status", times=None, status=503)
    place.sync()
    assert place.state("tickets") == before
    assert place.state("accounts")["error"]
    faults.clear()
    note_login_failure(place.cache, place.name, AuthError("refused"), place.box.now)
    assert place.state("tickets") == before
    place.sync(named=["accounts"])
    place.sync()
    assert place.state("tickets")["withdrawn_at"] == before["withdrawn_at"]


def test_a_withdrawn_stream_that_fails_otherwise_is_failing(place: Place) -> None:
    place.sync()
    place.hide("tickets")
    place.sync()
    place.show()
    run, _ = begin(place.cache, place.name, "tickets", place.box.now)
    run.error = StreamError("HTTP 418")
    end(place.cache, place.name, Stream("tickets", ("tickets",)), run, "HTTP 418", seconds=0, calls=0, now=AS_OF)
    state = place.state("tickets")
    assert (state["withdrawn_at"], state["error"]) == (None, "HTTP 418")


# -- never readable --------------------------------------------------------------------------------------------------


def test_what_could_never_be_read_is_no_fresh_stream_of_no_rows(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    place.hide("tickets")
    for more in ({}, {"full": True}, {"due": reconcile.always}):
        reports = place.sync(**more)
        report = reports.pop("tickets")
        assert (report.outcome, report.error, report.reconciled) == ("not_readable", None, False)
        assert "cannot be read" in (report.not_readable or "")
        assert {one.outcome for one in reports.values()} <= {"ok", "not_readable"}
        state = place.state("tickets")
        assert (state["ok_at"], state["covered_from"], state["sweep"], state["rows"]) == (None, None, None, 0)
        assert freshness.of_sources(place.cache, [place.name], {"tickets"}) == []
        assert provenance.freshness(place.cache, {"tickets"}) == []
    skipped = [record for record in caplog.records if getattr(record, "action", "") == "object_skipped"]
    assert {record.levelname for record in skipped} == {"INFO"}, "it is no news with every sync"
    place.show()
    assert place.sync()["tickets"].outcome == "ok"
    assert place.live("tickets")
    assert place.state("tickets")["withdrawn_at"] is None
    place.sync(due=reconcile.always)
    assert place.wrong() == []


def test_one_that_was_asked_for_by_name_is_an_error(place: Place) -> None:
    place.hide("tickets")
    report = place.sync(named=["accounts", "tickets"])["tickets"]
    assert (report.outcome, place.state("tickets")["withdrawn_at"]) == ("failing", None)
    assert "cannot be read" in (report.error or "")


def test_rows_of_an_older_cache_that_called_it_read_say_nothing(place: Place) -> None:
    """Earlier versions noted a stream they had left out as read, with no rows and no place to go on from."""
    place.hide("tickets")
    place.cache.execute(
        "INSERT INTO sync_state (source_name, stream, ok_at, rows) VALUES (?, 'tickets', '2026-11-01T00:00:00Z', 0)",
        (place.name,),
    )
    assert place.sync()["tickets"].outcome == "not_readable"
    assert place.state("tickets")["ok_at"] is None
