"""Every version of a CRM's stage definitions is kept, and what changed is told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Page, Record, Stream
from syncagent.rows import Origin
from syncagent.stages import StageChange, write_stage_defs
from syncagent.store import open_cache, transaction
from syncagent.sync import sync_source
from tests.fakes.connector import ScriptedConnector

ORIGIN = Origin("hs", "hubspot", "42")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def stage(name: str, label: str, order: int = 1, state: str = "open", object_: str = "opportunities") -> Record:
    return {
        "source_id": f"{object_}:default:{name}",
        "object": object_,
        "pipeline": "default",
        "stage": name,
        "label": label,
        "stage_order": order,
        "state": state,
        "valid_from": None,
    }


def write(cache: sqlite3.Connection, *records: Record, days: int = 0) -> list[StageChange]:
    with transaction(cache):
        return write_stage_defs(cache, ORIGIN, records, at=NOW + timedelta(days=days))


def stored(cache: sqlite3.Connection) -> list[tuple[Any, ...]]:
    rows = cache.execute("SELECT stage, label, valid_from, is_deleted FROM stage_defs ORDER BY stage, valid_from")
    return [tuple(row) for row in rows]


def test_the_first_definitions_are_no_change_and_hold_since_ever(cache: sqlite3.Connection) -> None:
    assert write(cache, stage("new", "New"), stage("won", "Won", 9, "won")) == []
    assert write(cache, stage("new", "New"), stage("won", "Won", 9, "won"), days=1) == []
    assert stored(cache) == [("new", "New", None, 0), ("won", "Won", None, 0)]


def test_each_version_is_a_row_of_its_own(cache: sqlite3.Connection) -> None:
    write(cache, stage("new", "New"))
    assert write(cache, stage("new", "Fresh"), days=1) == [
        StageChange("renamed", "opportunities", "new", "New", "Fresh")
    ]
    assert write(cache, stage("new", "Fresh"), days=2) == []
    changes = write(cache, stage("new", "Fresh", 2, "lost"), days=3)
    assert [(change.kind, change.old, change.new) for change in changes] == [
        ("state", "open", "lost"),
        ("order", "1", "2"),
    ]
    assert stored(cache) == [
        ("new", "New", None, 0),
        ("new", "Fresh", "2026-03-02T00:00:00Z", 0),
        ("new", "Fresh", "2026-03-04T00:00:00Z", 0),
    ]
    ids = [row[0] for row in cache.execute("SELECT source_id FROM stage_defs ORDER BY source_id")]
    assert ids[1] == "opportunities:default:new@2026-03-02T00:00:00Z"


def test_a_stage_no_longer_listed_goes_and_may_come_back(cache: sqlite3.Connection) -> None:
    write(cache, stage("new", "New"), stage("old", "Old"))
    write(cache, stage("new", "New"), stage("old", "Older"), days=1)
    assert write(cache, stage("new", "New"), days=2) == [StageChange("removed", "opportunities", "old", "Older", None)]
    assert write(cache, stage("new", "New"), days=3) == []
    assert write(cache, stage("new", "New"), stage("old", "Older"), days=4) == [
        StageChange("added", "opportunities", "old", None, "Older")
    ]
    assert stored(cache)[1:] == [
        ("old", "Old", None, 0),
        ("old", "Older", "2026-03-02T00:00:00Z", 1),
        ("old", "Older", "2026-03-05T00:00:00Z", 0),
    ]


def test_objects_are_apart(cache: sqlite3.Connection) -> None:
    write(cache, stage("new", "New"))
    assert write(cache, stage("new", "New", object_="tickets"), days=1) == []
    assert write(cache, stage("closed", "Closed", object_="tickets"), days=2) == [
        StageChange("added", "tickets", "closed", None, "Closed"),
        StageChange("removed", "tickets", "new", "New", None),
    ]


def test_a_stage_may_be_called_anything(cache: sqlite3.Connection) -> None:
    write(cache, stage("won@acme@2026", "Won"))
    assert write(cache, stage("won@acme@2026", "Won"), days=1) == []
    assert len(write(cache, stage("won@acme@2026", "Sold"), days=2)) == 1
    assert write(cache, stage("won@acme@2026", "Sold"), days=3) == []


def test_a_sync_writes_them_and_notes_what_changed(cache: sqlite3.Connection) -> None:
    for label in ("New", "Fresh"):
        pages = [Page({"stage_defs": [stage("new", label)]}), Page(bookmark={"page": 0})]
        sync_source(ScriptedConnector({"opportunities": pages}), cache, clock=lambda: NOW)
    assert [row[1] for row in stored(cache)] == ["New", "Fresh"]
    noted = cache.execute("SELECT source_name, object, name, change FROM source_changes").fetchall()
    assert [tuple(row) for row in noted] == [("sf", "opportunities", "new", "stage")]


def test_definitions_that_are_a_stream_of_their_own_are_rows_like_others(cache: sqlite3.Connection) -> None:
    """A file says itself since when a label holds."""

    class Desk(ScriptedConnector):
        def streams(self) -> list[Stream]:
            return [Stream("stage_defs", ("stage_defs",))]

    record = {**stage("new", "New"), "valid_from": "2020-01-01T00:00:00Z"}
    for label in ("New", "Fresh"):
        pages = [Page({"stage_defs": [{**record, "label": label}]}, bookmark={"page": 0})]
        sync_source(Desk({"stage_defs": pages}), cache, clock=lambda: NOW)
    assert stored(cache) == [("new", "Fresh", "2020-01-01T00:00:00Z", 0)]


@pytest.mark.parametrize("labels", [("Three", "Four"), ("Two", "Two"), ("", "Three")])
def test_a_version_that_lies_ahead_is_put_right_once(cache: sqlite3.Connection, labels: tuple[str, str]) -> None:
    """The clock was ahead and is set back."""
    other = stage("won", "Won", 9, "won")
    write(cache, stage("new", "One"), other)
    write(cache, stage("new", "Two"), other, days=30)
    for label in labels:
        write(cache, *([stage("new", label)] if label else []), other, days=1)
    before = stored(cache)
    for days in (2, 3):
        assert write(cache, stage("new", labels[-1]), other, days=days) == []
    assert stored(cache) == before
    assert [row[:3] for row in before if row[0] == "new"] == [
        ("new", "One", None),
        ("new", labels[-1], "2026-03-02T00:00:00Z"),
    ]
