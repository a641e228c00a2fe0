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
        ("tickets.csv line 3", 'created_at (column "opened") "someday" is not an ISO 8601 date; set datetime_format'),
        (
            "tickets.csv line 4",
            'status_category (column "state") "waiting" is none of open, pending, closed; map it in values',
        ),
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


SNAPSHOT = """
[agent]
data_dir = "cache"
[source.desk]
type = "files"
[[source.desk.table]]
path  = "deals-*.csv"
table = "opportunities"
mode  = "snapshot"
[[source.desk.table]]
path  = "**/costs.csv"
table = "costs"
"""


@pytest.fixture
def desk(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """`sync --json` of a snapshot of deals and a log of costs: (exit code, stream -> report)."""
    (tmp_path / "config.toml").write_text(SNAPSHOT)
    (tmp_path / "costs.csv").write_text("month,kind,amount\n2026-01,sales,1\n2026-02,sales,2\n2026-03,sales,3\n")

    def run(*more: str) -> tuple[int, dict[str, Any]]:
        code = run_cli(["--config", str(tmp_path / "config.toml"), "sync", "--json", *more])
        return code, {one["stream"]: one for one in json.loads(capfdbinary.readouterr().out)["streams"]}

    return run


def deals(path: Path, first: int, last: int, updated: str = "2026-01-02") -> None:
    rows = "".join(f"{n},open,{updated}\n" for n in range(first, last))
    path.write_text("source_id,state,updated_at\n" + rows)


LIVE = "SELECT count(*), min(CAST(source_id AS INTEGER)) FROM opportunities WHERE is_deleted = 0"


def test_a_snapshot_deletes_what_it_no_longer_holds_and_brings_back_what_it_holds_again(
    desk: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    deals(tmp_path / "deals-2026-11-01.csv", 0, 10)
    assert desk()[1]["opportunities"]["changed"] == 10
    deals(tmp_path / "deals-2026-11-02.csv", 4, 12, updated="2026-01-01")
    code, streams = desk()
    assert (code, streams["opportunities"]["deleted"]) == (0, 4)
    assert rows(tmp_path, LIVE) == [(8, 4)]
    assert rows(tmp_path, "SELECT DISTINCT updated_at FROM opportunities WHERE is_deleted = 0") == [
        ("2026-01-01T00:00:00Z",)
    ]
    deals(tmp_path / "deals-2026-11-03.csv", 0, 3)
    desk()
    assert rows(tmp_path, LIVE) == [(3, 0)]
    code, streams = desk()
    assert (code, streams["opportunities"]["read"], streams["opportunities"]["changed"]) == (0, 0, 0)
    assert rows(tmp_path, "SELECT count(*) FROM sweep_seen") == [(0,)]


def test_a_tiny_snapshot_deletes_nothing_until_a_person_says_so(
    desk: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    deals(tmp_path / "deals-1.csv", 0, 300)
    desk()
    deals(tmp_path / "deals-2.csv", 0, 100)
    code, streams = desk()
    assert code == 1
    assert streams["opportunities"]["error"] == (
        "deals-2.csv holds 100 rows where there were 300: nothing was deleted. Export it again, or carry it out with "
        "`syncagent sync desk --full`."
    )
    assert (rows(tmp_path, LIVE), streams["costs"]["error"]) == ([(300, 0)], None)
    code, streams = desk("--full")
    assert (code, streams["opportunities"]["deleted"]) == (0, 200)
    assert (desk()[0], rows(tmp_path, LIVE)) == (0, [(100, 0)])


def test_as_many_rows_under_other_ids_are_not_believed_either(
    desk: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    deals(tmp_path / "deals-1.csv", 0, 300)
    desk()
    deals(tmp_path / "deals-2.csv", 1000, 1300)
    code, streams = desk()
    assert (code, streams["opportunities"]["deleted"]) == (1, 0)
    assert "rows are no longer there: nothing was deleted." in streams["opportunities"]["error"]
    deals(tmp_path / "deals-2.csv", 0, 299)
    desk()
    assert rows(tmp_path, LIVE) == [(299, 0)]


def test_a_full_sync_of_a_shorter_log_leaves_no_tail(
    desk: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    deals(tmp_path / "deals-1.csv", 0, 1)
    desk()
    (tmp_path / "costs.csv").write_text("month,kind,amount\n2026-03,sales,3\n")
    desk("--full")
    assert rows(tmp_path, "SELECT month FROM costs WHERE is_deleted = 0") == [("2026-03",)]


def test_bad_rows_of_two_files_of_one_name_are_told_apart_and_once_each(
    desk: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    deals(tmp_path / "deals-1.csv", 0, 1)
    (tmp_path / "eu").mkdir()
    for folder in ("", "eu"):
        (tmp_path / folder / "costs.csv").write_text(f"month,kind,amount\n2026-01,{folder}x,many\n")

    def told() -> list[tuple[str, str]]:
        lines = (tmp_path / "cache/rejects/desk-costs.jsonl").read_text().splitlines()
        return [(one["place"], one["content"]) for one in map(json.loads, lines)]

    bad = [("costs.csv line 2", "2026-01,x,many"), ("eu/costs.csv line 2", "2026-01,eux,many")]
    for how in ((), (), ("--full",)):
        desk(*how)
        assert told() == bad
    (tmp_path / "eu" / "costs.csv").write_text("month,kind,amount\n2026-01,eux,7\n")
    desk()
    assert told() == bad[:1]
