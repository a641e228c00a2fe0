"""kill -9 at random moments of syncs: afterwards the cache is what the servers hold, as if nothing had happened."""

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scorecards.evaluate import evaluate
from syncagent.config import Config, load_config
from syncagent.demo_check import cache_differences, same
from syncagent.sandbox import Sandbox
from syncagent.store import read_cache

ROOT = Path(__file__).parents[2]
ROUNDS = 20
SOURCES = {"salesforce": "sf", "hubspot": "hs"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    # A week in the past, so that the company can move on without overtaking the machine's clock.
    present = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=7)
    with Sandbox(tmp_path / "sandbox", as_of=present, limits=False) as sandbox:
        yield sandbox


def start_sync(config: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "syncagent", "--config", str(config), "sync", "--json"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def rows(config: Config) -> int:
    if not (config.agent.data_dir / "cache.db").exists():
        return 0
    with closing(read_cache(config.agent.data_dir)) as cache:
        return int(cache.execute("SELECT count(*) FROM activities").fetchone()[0])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_twenty_kills_leave_a_cache_that_equals_the_truth(sandbox: Sandbox, tmp_path: Path) -> None:
    """Kills during the first load, during incremental syncs while the company moves on, and while facts are made."""
    path = sandbox.write_config(tmp_path / "config.toml")
    config = load_config(path)
    dice = random.Random(20)
    killed = 0
    for number in range(ROUNDS):
        if number % 4 == 3:
            sandbox.advance(timedelta(hours=9))
        with start_sync(path) as process:
            time.sleep(dice.uniform(0.7, 4.0))
            killed += process.poll() is None
            process.kill()
    assert killed >= ROUNDS // 2, "most syncs ended before they were killed: this machine is too quick for the test"
    with start_sync(path) as process:
        assert process.wait(200) == 0
    with closing(read_cache(config.agent.data_dir)) as cache:
        assert cache.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        assert cache_differences(cache, sandbox.truth(), SOURCES) == []
        assert _wrong_numbers(cache, config, sandbox) == []
        assert cache.execute("SELECT count(*) FROM dirty").fetchone()[0] == 0


def _wrong_numbers(cache: sqlite3.Connection, config: Config, sandbox: Sandbox) -> list[str]:
    wrong = []
    for name in ("won_revenue", "win_rate", "ticket_backlog", "lead_conversion_rate", "mean_time_to_resolution"):
        result = evaluate(cache, config.kpis[name], config.kpis, config.reporting(), as_of=sandbox.now)
        period = result.period
        truth = sandbox.kpi_truth(
            name,
            as_of=sandbox.now,
            start=period.start if period else None,
            end=period.end if period else None,
        )
        if result.status != "too_few" and not same(result.value, truth.value):
            wrong.append(f"{name}: {result.value} is not {truth.value}")
    return wrong
