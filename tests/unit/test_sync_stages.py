"""Every version of a CRM's stages and pipelines is kept, and what changed is told."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Page, Record, Stream
from syncagent.rows import Origin
from syncagent.stages import DefinitionChange, write_definitions
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


def write(cache: sqlite3.Connection, *records: Record, days: int = 0) -> list[DefinitionChange]:
    with transaction(cache):
        return write_definitions(cache, ORIGIN, "stage_defs", records, at=NOW + timedelta(days=days))


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
        DefinitionChange("renamed", "opportunities", "new", "New", "Fresh")
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
    assert write(cache, stage("new", "New"), days=2) == [
        DefinitionChange("removed", "opportunities", "old", "Older", None)
    ]
    assert write(cache, stage("new", "New"), days=3) == []
    assert write(cache, stage("new", "New"), stage("old", "Older"), days=4) == [
        DefinitionChange("added", "opportunities", "old", None, "Older")
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
        DefinitionChange("added", "tickets", "closed", None, "Closed"),
        DefinitionChange("removed", "tickets", "new", "New", None),
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


# -- pipelines -------------------------------------------------------------------------------------------------------


def pipeline(name: str, label: str, *, active: int = 1, order: int | None = None) -> Record:
    return {
        "source_id": f"tickets:{name}",
        "object": "tickets",
        "pipeline": name,
        "label": label,
        "display_order": order,
        "is_active": active,
        "valid_from": None,
    }


def write_pipelines(cache: sqlite3.Connection, *records: Record, days: int = 0) -> list[DefinitionChange]:
    with transaction(cache):
        return write_definitions(cache, ORIGIN, "pipelines", records, at=NOW + timedelta(days=days))


def test_pipelines_are_kept_as_stages_are(cache: sqlite3.Connection) -> None:
    first = (pipeline("1", "Support"), pipeline("2", "Returns", order=1))
    assert write_pipelines(cache, *first) == []
    assert write_pipelines(cache, *first, days=1) == []
    changed = (pipeline("1", "Help"), pipeline("2", "Returns", active=0, order=2), pipeline("3", "Spare parts"))
    assert write_pipelines(cache, *changed, days=2) == [
        DefinitionChange("renamed", "tickets", "1", "Support", "Help", "pipeline"),
        DefinitionChange("active", "tickets", "2", "1", "0", "pipeline"),
        DefinitionChange("order", "tickets", "2", "1", "2", "pipeline"),
        DefinitionChange("added", "tickets", "3", None, "Spare parts", "pipeline"),
    ]
    assert write_pipelines(cache, *changed[:2], days=3) == [
        DefinitionChange("removed", "tickets", "3", "Spare parts", None, "pipeline")
    ]
    assert write(cache, stage("new", "New")) == [], "stages are apart"
    rows = cache.execute("SELECT pipeline, label, is_active, valid_from, is_deleted FROM pipelines ORDER BY source_id")
    assert [tuple(row) for row in rows] == [
        ("1", "Support", 1, None, 0),
        ("1", "Help", 1, "2026-03-03T00:00:00Z", 0),
        ("2", "Returns", 1, None, 0),
        ("2", "Returns", 0, "2026-03-03T00:00:00Z", 0),
        ("3", "Spare parts", 1, None, 1),
    ]
