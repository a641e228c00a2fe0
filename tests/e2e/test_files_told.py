"""What `check`, `sync` and `status` say of files that can be read and still are not what they should be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncagent.cli import run_cli

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """A command over the one entry that `entry.toml` in the folder says: (exit code, all it said)."""

    def command(*args: str) -> tuple[int, str]:
        entry = (tmp_path / "entry.toml").read_text()
        (tmp_path / "config.toml").write_text(
            '[agent]\ndata_dir = "cache"\ntimezone = "UTC"\n[source.desk]\ntype = "files"\n'
            f"[[source.desk.table]]\n{entry}\n"
        )
        code = run_cli(["--config", str(tmp_path / "config.toml"), *args])
        said = capfdbinary.readouterr()
        return code, (said.out + said.err).decode()

    return command


def problems(run: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("status", "--json")[1])["problems"]
    return found


def test_stages_taken_for_won_are_named_by_sync_and_status(run: Run, tmp_path: Path) -> None:
    (tmp_path / "entry.toml").write_text('path = "deals.csv"\ntable = "opportunities"')
    (tmp_path / "deals.csv").write_text("Record ID,Deal Name,Deal Stage\n1,A,Not won\n2,B,Closed Won\n")
    code, said = run("sync")
    taken = 'so stages were taken for it: won "Closed Won"; open "Not won"'
    assert code == 0
    assert taken in said
    assert 'values = { state = { "Not won" = "lost" } }' in said
    assert [(one["code"], one["severity"]) for one in problems(run)] == [("states_guessed", "warning")]
    assert taken in run("status")[1]
    assert json.loads(run("sync", "--json")[1])["streams"][0]["notes"][0]["code"] == "states_guessed"


def test_a_file_without_a_usable_row_fails_its_stream_and_the_source_is_not_healthy(run: Run, tmp_path: Path) -> None:
    (tmp_path / "entry.toml").write_text('path = "tickets.csv"\ntable = "tickets"')
    rows = [f"{number},13/10/2026" for number in range(20)]
    (tmp_path / "tickets.csv").write_text("\n".join(["id,created_at", *rows]) + "\n")
    code, said = run("check")
    assert code != 0
    assert "tickets.csv: none of the first 20 rows can be used, for their created_at. Set datetime_format" in said
    for _ in range(2):
        code, said = run("sync")
        assert code == 1
        assert "desk tickets: tickets.csv: none of its 20 rows can be used, for their created_at." in said
        assert run("status")[0] == 1
    assert [one["code"] for one in problems(run)] == ["source_failing", "rejected_rows"]
    (tmp_path / "entry.toml").write_text('path = "tickets.csv"\ntable = "tickets"\ndatetime_format = "%d/%m/%Y"')
    assert run("sync")[0] == 0
    assert problems(run) == []


def test_check_names_the_stages_it_guesses(run: Run, tmp_path: Path) -> None:
    (tmp_path / "entry.toml").write_text('path = "deals.csv"\ntable = "opportunities"')
    (tmp_path / "deals.csv").write_text("Record ID,Deal Name,Deal Stage\n1,A,Not won\n2,B,Closed Won\n")
    assert (
        'warning: no column says which deals are won or lost, so stages were taken for it: won "Closed Won"'
        in (run("check")[1])
    )


def test_a_pattern_whose_files_are_all_gone_is_told_in_plain_words_until_one_is_back(run: Run, tmp_path: Path) -> None:
    (tmp_path / "entry.toml").write_text('path = "t-*.csv"\ntable = "tickets"')
    (tmp_path / "t-1.csv").write_text("id,status\n1,a\n")
    assert run("sync")[0] == 0
    (tmp_path / "t-1.csv").rename(tmp_path / "gone.csv")
    for _ in range(2):
        code, said = run("sync")
        assert code == 0
        assert f"desk tickets: no file matches {tmp_path}/t-*.csv any more; the rows loaded stay. If its" in said
        assert "action=" not in said
    assert [(one["code"], one["severity"]) for one in problems(run)] == [("files_gone", "warning")]
    assert "no file matches" in run("status")[1]
    (tmp_path / "t-2.csv").write_text("id,status\n2,a\n")
    assert "no file matches" not in run("sync")[1]
    assert problems(run) == []
