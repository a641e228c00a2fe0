"""A files source through the command: what a bad file comes to, and that nothing of what was there is lost."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncagent.cli import run_cli

CONFIG = """
[agent]
data_dir = "cache"
timezone = "Europe/Paris"

[source.desk]
type = "files"
[[source.desk.table]]
path    = "tickets.csv"
table   = "tickets"
columns = { source_id = "number", created_at = "opened", owner_id = "by", status_category = "state" }
[[source.desk.table]]
path  = "payments-*.csv"
table = "payments"
"""
HEADER = "number,opened,by,state\n"
GOOD = HEADER + "1,2026-01-01 09:00,kim,open\n2,2026-01-02 09:00,,closed\n"

Sync = Callable[[], tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def sync(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Sync:
    """`sync --json` of the config above: (exit code, streams)."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "tickets.csv").write_text(GOOD)
    (tmp_path / "payments-1.csv").write_text("paid_date,amount\n2026-01-03,12.50\n2026-01-03,12.50\n")

    def run() -> tuple[int, list[dict[str, Any]]]:
        code = run_cli(["--config", str(tmp_path / "config.toml"), "sync", "--json"])
        return code, json.loads(capfdbinary.readouterr().out)["streams"]

    return run


def rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(tmp_path / "cache" / "cache.db")) as cache:
        return cache.execute(sql).fetchall()


def test_rows_arrive_under_their_ids_with_references_and_events_keep_both_of_two_like_rows(
    sync: Sync, tmp_path: Path
) -> None:
    code, streams = sync()
    assert (code, [(s["stream"], s["read"], s["changed"]) for s in streams]) == (
        0,
        [("tickets", 2, 2), ("payments", 2, 2)],
    )
    assert rows(tmp_path, "SELECT id, source, source_name, created_at, owner_id FROM tickets ORDER BY id") == [
        ("desk:tickets:1", "files", "desk", "2026-01-01T08:00:00Z", "desk:users:kim"),
        ("desk:tickets:2", "files", "desk", "2026-01-02T08:00:00Z", None),
    ]
    assert rows(tmp_path, "SELECT id, amount_minor, currency FROM payments ORDER BY id") == [
        ("desk:payments:payments-1.csv#2", 1250, "EUR"),
        ("desk:payments:payments-1.csv#3", 1250, "EUR"),
    ]


def test_reading_again_changes_nothing_and_a_changed_file_only_what_differs(sync: Sync, tmp_path: Path) -> None:
    sync()
    again = sync()
    (tmp_path / "tickets.csv").write_text(GOOD.replace("kim,open", "kim,closed") + "3,2026-01-05 09:00,,open\n")
    changed = sync()
    assert [[(s["read"], s["changed"]) for s in streams] for _, streams in (again, changed)] == [
        [(0, 0), (0, 0)],
        [(3, 2), (0, 0)],
    ]


def test_bad_rows_go_to_the_reject_file_with_line_and_reason_and_the_rest_loads(sync: Sync, tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text(
        HEADER + "1,2026-01-01,=cmd|' /C calc'!A0,open\n2,someday,,open\n3,2026-01-01,,waiting\n4,2026-01-01\n"
        f"5,2026-01-01,{'x' * 5_000_000},open\n"
    )
    code, streams = sync()
    rejects = [json.loads(line) for line in (tmp_path / "cache/rejects/desk-tickets.jsonl").read_text().splitlines()]
    assert (code, streams[0]["read"], streams[0]["rejected"]) == (0, 5, 4)
    assert rows(tmp_path, "SELECT owner_id FROM tickets") == [("desk:users:=cmd|' /C calc'!A0",)]
    assert [(reject["place"], reject["reason"]) for reject in rejects] == [
        ("tickets.csv line 3", 'created_at "someday" is not an ISO 8601 date; set datetime_format'),
        ("tickets.csv line 4", 'status_category "waiting" is none of open, pending, closed; map it in values'),
        ("tickets.csv line 5", "2 cells where the header has 4"),
        ("tickets.csv line 6", "a cell has more than 1,000,000 characters"),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no file {path}. Paths are relative to the config file; check path."),
        (b"", "tickets.csv is empty: it has not even a header. Export it again."),
        (
            b"number,opend,by,state\n",
            'tickets.csv: it has no column "opened". Did you mean "opend"? '
            'The file has: "number", "opend", "by", "state".',
        ),
        (
            HEADER.encode() + b"3,2026-01-01,Ren\xe9,open\n",
            "tickets.csv line 2: byte 0xE9 at position 17 is not utf-8 text. "
            'Set the file\'s encoding, for example encoding = "cp1252".',
        ),
    ],
    ids=["missing", "empty", "column", "encoding"],
)
def test_a_bad_file_fails_its_stream_alone_and_keeps_what_was_there(
    sync: Sync, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    sync()
    path = tmp_path / "tickets.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "payments-2.csv").write_text("paid_date,amount\n2026-01-04,1\n")
    code, streams = sync()
    assert (code, [(s["changed"], s["error"]) for s in streams]) == (
        1,
        [(0, sentence.format(path=path)), (1, None)],
    )
    assert rows(tmp_path, "SELECT count(*) FROM tickets") == [(2,)]
    path.write_text(GOOD + "3,2026-01-05 09:00,,open\n")
    assert sync()[0] == 0
    assert rows(tmp_path, "SELECT count(*) FROM tickets") == [(3,)]
