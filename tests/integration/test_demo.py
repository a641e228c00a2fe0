"""`demo` and `sandbox`: the main job with nothing configured."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncagent.demo import MARK
from syncagent.demo_check import cache_differences
from syncagent.sandbox.truth import TableTruth, Truth
from syncagent.store import open_cache

ROOT = Path(__file__).parents[2]


def demo(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "HOME": str(cwd)}
    return subprocess.run(
        [sys.executable, "-m", "syncagent", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=cwd,
        env=env,
    )


@pytest.mark.slow
def test_the_demo_does_the_main_job_and_names_what_to_open(tmp_path: Path) -> None:
    said = demo(cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert " NO" not in said.stdout
    opened = said.stdout.rpartition("Open:")[2].splitlines()
    files = [Path(line.split()[0]) for line in opened if line.strip()]
    assert {file.suffix for file in files} == {".html", ".eml", ".db", ".toml"}
    assert all((tmp_path / file).is_file() for file in files)
    again = demo(cwd=tmp_path)
    assert again.returncode == 0, "a folder a demo made is replaced by the next"


def test_a_folder_of_ones_own_is_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("the only copy")
    said = demo("--keep", str(mine), cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr == f"{mine}: is in use and was not made by a demo. Name another folder with --keep.\n"
    assert (mine / "thesis.txt").read_text() == "the only copy"
    assert not (mine / MARK).exists()


@pytest.mark.slow
def test_the_sandbox_serves_until_told_to_stop(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "syncagent", "sandbox", "--dir", str(tmp_path / "box"), "--advance", "1d"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        config = tmp_path / "box" / "config.toml"
        deadline = time.monotonic() + 60
        while not config.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        synced = subprocess.run(
            [sys.executable, "-m", "syncagent", "--config", str(config), "sync", "sf", "--stream", "users", "--json"],
            capture_output=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (synced.returncode, process.returncode) == (0, 0), said


def test_the_check_sees_what_is_missing_wrong_and_too_many(tmp_path: Path) -> None:
    rows: dict[str, dict[str, Any]] = {"1": {"name": "Ann", "owner_id": "U1"}, "2": {"name": "Bob", "owner_id": None}}
    truth = Truth(
        {("salesforce", "leads"): TableTruth(rows=rows, deleted={"4"}), ("hubspot", "leads"): TableTruth()}, {}, {}
    )
    with closing(open_cache(tmp_path)) as cache:
        cache.executemany(
            "INSERT INTO leads (id, source_id, source_name, name, owner_id, is_deleted) VALUES (?, ?, 'sf', ?, ?, ?)",
            [
                ("sf:leads:1", "1", "Anne", "sf:users:U1", 0),
                ("sf:leads:3", "3", "Eve", None, 0),
                ("sf:leads:4", "4", "Gone", None, 1),
            ],
        )
        found = cache_differences(cache, truth, {"salesforce": "sf"})
    assert found == [
        "sf:leads:2 is missing",
        "sf:leads:3 should not be live",
        "sf:leads:1: name is 'Anne', not 'Ann'",
    ]
