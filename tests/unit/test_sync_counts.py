"""What a sync counts as changed, deleted and merged."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Merge, Page
from syncagent.cli import run_cli
from syncagent.cli.sync_said import show_reports
from syncagent.store import open_cache
from syncagent.sync import StreamReport, sync_source
from tests.fakes.connector import ScriptedConnector
from tests.fakes.office import Office


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.chdir(tmp_path)
    office = Office(tmp_path)
    office.write()
    return office


def test_what_was_merged_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A count that falls with nothing deleted is explained."""
    report = StreamReport("hs", "accounts", changed=2, merged=1)
    show_reports([report], "UTC")
    told = capsys.readouterr().out.splitlines()[2:]
    assert told == ["hs accounts: 1 record was merged into others there and counts no more"]
    assert report.to_json()["merged"] == 1


def test_a_row_of_a_file_that_says_it_is_deleted_counts_as_deleted(
    office: Office, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def counts() -> tuple[int, int]:
        assert run_cli(["sync", "--json"]) == 0
        report = json.loads(capsysbinary.readouterr().out)["streams"][0]
        return report["changed"], report["deleted"]

    def write(*gone: int) -> None:
        rows = [
            f"00600000000000{n},{'true' if n in gone else 'false'},Closed Won,2026-10-01,true,true" for n in range(4)
        ]
        header = "Id,IsDeleted,StageName,CloseDate,IsClosed,IsWon"
        (office.folder / "deals.csv").write_text("\n".join([header, *rows]) + "\n")

    write(0)
    assert counts() == (3, 1)
    write(0, 1)
    assert counts() == (0, 1)
    write(1)
    assert counts() == (1, 0), "one is back"


def test_merges_count_once_as_changed_and_as_merged(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    records = {"accounts": [{"source_id": "1"}, {"source_id": "2"}]}
    of_old = [Merge("accounts", "7", "2")]  # never counted here
    pages = [
        Page(records, merges=of_old, bookmark={"page": 1}),
        Page(merges=[Merge("accounts", "1", "2")], bookmark={"page": 2}),
    ]
    connector = ScriptedConnector({"accounts": pages})
    with closing(open_cache(tmp_path)) as cache:
        (report,) = sync_source(connector, cache, clock=lambda: now)
        assert (report.changed, report.deleted, report.merged) == (4, 0, 1)
        (report,) = sync_source(connector, cache, clock=lambda: now)
        assert (report.changed, report.deleted, report.merged) == (0, 0, 0)
