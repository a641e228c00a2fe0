"""What a files source offers, as drift hears it at every sync: only what a header lacks now is gone."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.files.look import FIRST_LINES
from syncagent import drift
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.unit.test_files import connector
from tests.unit.test_files_properties import files_in

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "data")) as opened:
        yield opened


def told(cache: sqlite3.Connection, *entries: dict[str, Any]) -> list[tuple[str, str]]:
    """Look at the fields, as every sync does: what was ever noticed of mapped ones."""
    drift.note_fields(cache, connector(*entries), NOW)
    return [(one.name, one.change) for one in drift.changes(cache)]


def write_json(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"columns": {"source_id": "source_id", "name": "name", "industry": "industry"}},
        {"columns": {"source_id": "source_id", "name": "name"}, "extra": ["industry"]},
        {"extra": "*"},
    ],
    ids=["own names", "mapped", "extra", "all extra"],
)
def test_a_key_that_json_lines_leave_out_is_neither_gone_nor_new(
    tmp_path: Path, cache: sqlite3.Connection, how: dict[str, Any]
) -> None:
    entry = {"path": str(tmp_path / "*.jsonl"), "table": "accounts", **how}
    write_json(tmp_path / "a.jsonl", {"source_id": "1", "name": "x", "industry": "it", "odd": 1})
    assert told(cache, entry) == []
    write_json(tmp_path / "b.jsonl", {"source_id": "2", "name": "y"})
    assert told(cache, entry) == []
    write_json(tmp_path / "c.jsonl", {"source_id": "3", "name": "z", "industry": "it", "odd": 1})
    assert told(cache, entry) == []


def test_a_crms_json_lines_that_leave_out_nulls_tell_nothing(tmp_path: Path, cache: sqlite3.Connection) -> None:
    entry = {"path": str(tmp_path / "*.jsonl"), "table": "opportunities"}
    row = {"Id": "006000000000001AAA", "StageName": "New", "CreatedDate": "2026-01-01T00:00:00Z"}
    write_json(tmp_path / "a.jsonl", {**row, "Amount": 5, "Name": "x"})
    assert told(cache, entry) == []
    write_json(tmp_path / "b.jsonl", row)
    assert told(cache, entry) == []


def test_a_mapped_key_of_json_lines_is_listed_wherever_it_stands(tmp_path: Path) -> None:
    rows = [{"nr": str(number), "odd": 1} for number in range(FIRST_LINES)]
    write_json(tmp_path / "a.jsonl", *rows, {"nr": "x", "state": "new", "late": 1})
    columns = {"source_id": "nr", "status": "state"}
    source = connector({"path": str(tmp_path / "a.jsonl"), "table": "tickets", "columns": columns, "extra": "*"})
    assert [(one.name, one.label, one.column) for one in source.fields("tickets")] == [
        ("nr", "nr", "source_id"),
        ("odd", "odd (custom.odd)", ""),
        ("state", "state", "status"),
    ]


def test_files_that_were_archived_take_no_field_away(tmp_path: Path, cache: sqlite3.Connection) -> None:
    (tmp_path / "a1.csv").write_text("source_id,name,industry\n1,x,it\n")
    (tmp_path / "b1.csv").write_text("source_id,name,region\n2,x,DE\n")
    entries = [{"path": str(tmp_path / f"{name}*.csv"), "table": "accounts"} for name in "ab"]
    assert told(cache, *entries) == []
    (tmp_path / "a1.csv").unlink()
    assert told(cache, *entries) == []
    (tmp_path / "b1.csv").unlink()
    assert told(cache, *entries) == []
    (tmp_path / "a2.csv").write_text("source_id,name,industry\n3,x,it\n")
    assert told(cache, *entries) == []


def test_a_header_that_lacks_a_column_is_told_with_its_file(tmp_path: Path, cache: sqlite3.Connection) -> None:
    entry = {"path": str(tmp_path / "*.csv"), "table": "accounts"}
    (tmp_path / "week-9.csv").write_text("source_id,name,industry\n1,x,it\n")
    assert told(cache, entry) == []
    (tmp_path / "week-10.csv").write_text("source_id,name\n2,x\n")
    assert told(cache, entry) == [("industry", "absent")]
    (change,) = drift.changes(cache)
    assert change.object == "*.csv"
    assert change.sentence == "desk: *.csv.industry is not in the newest file any more."


@pytest.mark.parametrize("filler", [0, 1, 2, 3])
def test_a_row_without_a_date_counts_by_its_place_on_whichever_page_it_falls(
    tmp_path: Path, cache: sqlite3.Connection, filler: int
) -> None:
    """Pages hold three rows here."""
    folder = tmp_path / "files"
    folder.mkdir()
    fill = "".join(f"f{number},2026-01-01,x\n" for number in range(filler))
    (folder / "a.csv").write_text(f"source_id,updated_at,subject\n1,2026-01-05,dated\n{fill}1,,undated\n")
    sync_source(files_in(folder, "tickets"), cache, clock=lambda: NOW)
    assert cache.execute("SELECT subject FROM tickets WHERE source_id = '1'").fetchall()[0][0] == "undated"
