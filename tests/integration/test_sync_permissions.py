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

from connectors.base import Connector
from syncagent import reconcile
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.truth_check import differences
from tests.integration.crm_cache import hubspot, salesforce

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
