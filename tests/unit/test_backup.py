"""A copy of both databases, and putting it back."""

import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncagent.backup import back_up, restore
from syncagent.errors import AlreadyRunning, Refused, StoreError, UsageError
from syncagent.store import lock_data_dir, open_cache, open_state, read_cache, transaction

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settle(state: sqlite3.Connection, now: datetime) -> None:
    state.execute("CREATE TABLE IF NOT EXISTS settled (at TEXT)")
    state.execute("INSERT INTO settled VALUES (?)", (now.isoformat(),))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with one lead and an empty state."""
    data_dir = tmp_path / "data"
    with closing(open_cache(data_dir)) as cache, transaction(cache):
        cache.execute("INSERT INTO leads (id, name) VALUES ('a', 'Ann')")
    open_state(data_dir).close()
    return data_dir


def leads(data_dir: Path) -> list[str]:
    with closing(read_cache(data_dir)) as cache:
        return [row[0] for row in cache.execute("SELECT id FROM leads ORDER BY id")]


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_backup_can_be_put_back(data_dir: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "backups" / name
    back_up(data_dir, target, now=NOW)
    with closing(open_cache(data_dir)) as cache:
        cache.execute("INSERT INTO leads (id) VALUES ('later')")
    kept = restore(data_dir, target, now=NOW, settle=settle)
    assert leads(data_dir) == ["a"]
    assert kept is not None
    assert leads(kept) == ["a", "later"]
    with closing(open_state(data_dir)) as state:
        assert state.execute("SELECT at FROM settled").fetchone()[0] == NOW.isoformat()


def test_a_backup_where_nothing_can_be_written_can_be_put_back(data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    back_up(data_dir, target, now=NOW)
    target.chmod(0o500)
    try:
        if os.access(target, os.W_OK):
            pytest.skip("this user may write everywhere")
        restore(data_dir, target, now=NOW, settle=settle)
    finally:
        target.chmod(0o700)
    assert leads(data_dir) == ["a"]


def test_a_backup_of_a_database_in_use_holds_what_was_committed(data_dir: Path, tmp_path: Path) -> None:
    with closing(open_cache(data_dir)) as cache:
        with transaction(cache):
            cache.execute("INSERT INTO leads (id) VALUES ('b')")
        cache.execute("BEGIN IMMEDIATE")
        cache.execute("INSERT INTO leads (id) VALUES ('not yet')")
        back_up(data_dir, tmp_path / "copy", now=NOW)
        cache.execute("ROLLBACK")
    assert leads(tmp_path / "copy") == ["a", "b"]


def test_a_backup_is_private_and_names_its_files(data_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    written = back_up(data_dir, target, now=NOW)
    assert sorted(path.name for path in target.iterdir()) == ["backup.json", "cache.db", "state.db"]
    assert sorted(written) == sorted(target.iterdir())
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    manifest = json.loads((target / "backup.json").read_text())
    assert manifest["made_at"] == "2026-03-01T12:00:00Z"
    assert set(manifest["files"]) == {"cache.db", "state.db"}


def test_a_backup_replaces_the_one_before_only_when_asked_to(data_dir: Path, tmp_path: Path) -> None:
    back_up(data_dir, tmp_path / "copy.tar", now=NOW)
    with closing(open_cache(data_dir)) as cache:
        cache.execute("DELETE FROM leads")
    with pytest.raises(Refused, match="there is a file already"):
        back_up(data_dir, tmp_path / "copy.tar", now=NOW)
    back_up(data_dir, tmp_path / "copy.tar", now=NOW, replaces=True)
    restore(data_dir, tmp_path / "copy.tar", now=NOW, settle=settle)
    assert leads(data_dir) == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_restore_refuses_while_an_instance_runs(data_dir: Path, tmp_path: Path) -> None:
    back_up(data_dir, tmp_path / "copy", now=NOW)
    with lock_data_dir(data_dir), pytest.raises(AlreadyRunning):
        restore(data_dir, tmp_path / "copy", now=NOW, settle=settle)


def _flip(folder: Path) -> None:
    path = folder / "state.db"
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    path.write_bytes(content)


def _later(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "cache.db")) as conn:
        conn.execute("PRAGMA user_version = 99")
    import hashlib

    manifest = json.loads((folder / "backup.json").read_text())
    manifest["files"]["cache.db"]["sha256"] = hashlib.sha256((folder / "cache.db").read_bytes()).hexdigest()
    (folder / "backup.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_flip, "state.db is not what was backed up"),
        (_later, "later version"),
        (lambda folder: (folder / "cache.db").unlink(), "is not whole: cache.db is missing"),
        (lambda folder: (folder / "backup.json").unlink(), "is not a backup"),
        (lambda folder: (folder / "backup.json").write_text("[]"), "is not a backup"),
    ],
)
def test_a_backup_that_cannot_be_trusted_changes_nothing(
    data_dir: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    back_up(data_dir, tmp_path / "copy", now=NOW)
    spoil(tmp_path / "copy")
    with pytest.raises(StoreError, match=said):
        restore(data_dir, tmp_path / "copy", now=NOW, settle=settle)
    assert leads(data_dir) == ["a"]
    left = {path.name for path in data_dir.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert left == {"cache.db", "lock", "state.db"}


def test_what_is_no_backup_is_said_so(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backup here"):
        restore(data_dir, tmp_path / "nothing", now=NOW, settle=settle)
    (tmp_path / "x.tar").write_text("hello")
    with pytest.raises(StoreError, match="not a tar file"):
        restore(data_dir, tmp_path / "x.tar", now=NOW, settle=settle)
    with pytest.raises(UsageError, match="is a file"):
        back_up(data_dir, tmp_path / "data" / "cache.db", now=NOW)


def test_a_tar_cannot_write_outside(data_dir: Path, tmp_path: Path) -> None:
    back_up(data_dir, tmp_path / "copy", now=NOW)
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for path in (tmp_path / "copy").iterdir():
            tar.add(path, arcname=path.name)
        tar.add(tmp_path / "copy" / "backup.json", arcname="../escaped.json")
    restore(data_dir, tmp_path / "evil.tar", now=NOW, settle=settle)
    assert not (tmp_path / "escaped.json").exists()


def test_nothing_to_back_up_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to back up yet"):
        back_up(tmp_path / "data", tmp_path / "copy", now=NOW)
