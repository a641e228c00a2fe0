"""A disk that is full in the middle of a sync, a cache that was damaged: nothing is lost, and it is said plainly."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncagent.config import load_config
from syncagent.sandbox import Sandbox
from syncagent.store import open_cache, read_cache
from syncagent.sync import sync_source
from tests.fakes import one_box
from tests.fakes.truth_check import differences
from tests.integration import crm_cache

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    one_box.stop()


@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
@pytest.mark.parametrize("room", [3, 250])
def test_a_disk_that_is_full_in_the_middle_loses_and_doubles_nothing(crm: str, room: int, tmp_path: Path) -> None:
    """So many pages are left when the sync begins: too few for it; later there is room."""
    box = one_box.fresh_box(6)
    box.reset(seed=6, as_of=one_box.PRESENT, size="full")  # a tiny company fits into the empty tables' pages
    box.salesforce.limits.daily_limit = box.hubspot.daily_limit = 1_000_000_000
    rng = random.Random(room)
    name, build = ("sf", crm_cache.salesforce) if crm == "salesforce" else ("hs", crm_cache.hubspot)

    def sync(cache: sqlite3.Connection) -> list[str]:
        with closing(build(box)) as connector:
            reports = sync_source(connector, cache, clock=lambda: box.now, due=lambda _last, _now: False)
        return [report.error for report in reports if report.error]

    folder = one_box.fresh_cache(tmp_path)
    with closing(open_cache(folder)) as cache:
        pages = cache.execute("PRAGMA page_count").fetchone()[0]
        cache.execute(f"PRAGMA max_page_count = {pages + room}")
        try:
            said = " ".join(sync(cache))
        except sqlite3.OperationalError as error:
            said = str(error)
        assert "full" in said
    with closing(open_cache(folder)) as cache:  # there is room again
        assert cache.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        for _ in range(10):
            box.change(rng)
        box.pass_time(90 * 60)
        cache.execute("UPDATE sources SET failures = 0, rests_until = NULL")
        assert sync(cache) == []
        assert differences(cache, box.truth(), name, crm) == []


@pytest.mark.parametrize("table", ["opportunities", "sync_state", "sqlite_schema"])
def test_a_cache_with_a_flipped_bit_is_refused_plainly_and_built_anew(table: str, tmp_path: Path) -> None:
    present = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with Sandbox(tmp_path / "sandbox", as_of=present, limits=False, size="tiny") as box:
        path = box.write_config(tmp_path / "config.toml")
        data = load_config(path).agent.data_dir
        assert _sync(path).returncode == 0
        _flip(data / "cache.db", table)
        refused = _sync(path)
        assert refused.returncode == 1
        assert refused.stderr
        for line in refused.stderr.splitlines():
            assert "is damaged" in line or "is not a database" in line
            assert "move" in line.lower()  # and what to do about it
        (data / "cache.db").rename(tmp_path / "away.db")
        assert _sync(path).returncode == 0
        with closing(read_cache(data)) as cache:
            for crm, name in {"salesforce": "sf", "hubspot": "hs"}.items():
                assert differences(cache, box.truth(), name, crm) == []


def _sync(config: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "syncagent", "--config", str(config), "sync"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def _flip(path: Path, table: str) -> None:
    """Turn one bit round: of the first byte, by which a page says what it is, of a table's first page."""
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = conn.execute("PRAGMA page_size").fetchone()[0]
        row = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    place = 100 if row is None else (row[0] - 1) * size  # the first page begins with the file's own header
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(bytes(content))
