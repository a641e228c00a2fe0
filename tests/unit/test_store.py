"""The two files: made, guarded, refused; and the lock of the data directory."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from syncagent.config import load_config
from syncagent.errors import AlreadyRunning, NewerSchema, StoreError
from syncagent.status import status
from syncagent.store import (
    has_cache,
    has_state,
    holder,
    lock_data_dir,
    open_cache,
    open_state,
    read_cache,
    read_state,
    transaction,
)
from tests.fakes.office import DUE, Office


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / "data"
    with closing(open_cache(data_dir)) as cache, closing(open_state(data_dir)):
        cache.execute("INSERT INTO leads (id) VALUES ('x')")
        assert mode(data_dir) == 0o700
        assert {mode(path) for path in data_dir.iterdir()} == {0o600}
    assert sorted(path.name for path in data_dir.iterdir()) == ["cache.db", "state.db"]


def test_a_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_cache(tmp_path).close()
    (tmp_path / "cache.db").chmod(0o644)
    open_cache(tmp_path).close()
    assert (mode(tmp_path), mode(tmp_path / "cache.db")) == (0o700, 0o600)


def test_connections_are_set_up_for_their_work(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache, closing(open_state(tmp_path)) as state:
        for conn, synchronous in ((cache, 1), (state, 2)):
            assert conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert conn.execute("PRAGMA synchronous").fetchone()[0] == synchronous
            assert conn.execute("PRAGMA busy_timeout").fetchone()[0] == 120_000
            assert conn.isolation_level is None


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    open_cache(tmp_path).close()
    open_state(tmp_path).close()
    for opened in (read_cache(tmp_path), read_state(tmp_path)):
        with closing(opened) as conn, pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
            conn.execute("CREATE TABLE x (a)")


def test_a_reader_before_the_first_sync_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"does not exist yet\. Run `syncagent sync` first\."):
        read_cache(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_commits_all_or_nothing(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache:
        with transaction(cache):
            cache.execute("INSERT INTO leads (id) VALUES ('kept')")
        with contextlib.suppress(KeyboardInterrupt), transaction(cache):
            cache.execute("INSERT INTO leads (id) VALUES ('lost')")
            raise KeyboardInterrupt
        assert [row[0] for row in cache.execute("SELECT id FROM leads")] == ["kept"]


def test_a_full_disk_loses_nothing_stored_and_work_goes_on_with_room(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache:
        with transaction(cache):
            cache.execute("INSERT INTO leads (id) VALUES ('kept')")
        pages = cache.execute("PRAGMA page_count").fetchone()[0]
        cache.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(cache):
            cache.executemany("INSERT INTO leads (id, name) VALUES (?, ?)", ((str(i), "x" * 999) for i in range(999)))
        assert cache.execute("SELECT count(*) FROM leads").fetchone()[0] == 1
        cache.execute("PRAGMA max_page_count = 1000000")
        with transaction(cache):
            cache.execute("INSERT INTO leads (id) VALUES ('later')")


@pytest.mark.parametrize("name", ["cache", "state"])
def test_an_empty_file_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.db"
    path.touch()
    with pytest.raises(StoreError, match="is empty, where a database is expected") as caught:
        (open_cache if name == "cache" else open_state)(tmp_path)
    assert (path.stat().st_size, caught.value.exit_code) == (0, 1)
    assert caught.value.mend


def test_what_is_not_a_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"This is a letter to my aunt. " * 400)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"is not a database\. Move it away: the next sync builds a new one\."):
        open_cache(tmp_path)
    assert path.read_bytes() == before


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    open_state(tmp_path).close()
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreError, match=r"is damaged\. Restore it from a backup"):
        open_state(tmp_path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "cache.db")) as conn:
        conn.execute("CREATE TABLE leads (id)")
    with pytest.raises(StoreError, match="is a database, but not a cache of syncagent"):
        open_cache(tmp_path)


def test_a_newer_schema_is_refused_and_kept(tmp_path: Path) -> None:
    open_cache(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "cache.db")) as conn:
        conn.execute("PRAGMA user_version = 999")
    with pytest.raises(NewerSchema, match="later version") as caught:
        open_cache(tmp_path)
    assert caught.value.exit_code == 2
    with pytest.raises(NewerSchema):
        read_cache(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    open_cache(tmp_path / "elsewhere").close()
    (tmp_path / "cache.db").symlink_to(tmp_path / "elsewhere" / "cache.db")
    with pytest.raises(StoreError, match="is not a plain file"):
        open_cache(tmp_path)
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere" / "lock")
    with pytest.raises(StoreError, match="lock file cannot be used"), lock_data_dir(tmp_path):
        pass


def test_a_data_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StoreError, match=r"data folder cannot be used.*Set \[agent\] data_dir"):
        open_cache(tmp_path / "data")


def opened_by_nobody(data_dir: Path) -> str:
    def ask() -> str:
        open_cache(data_dir).close()
        return "opened"

    return told_nobody(ask)


def told_nobody(ask: Callable[[], str]) -> str:
    """What a user without rights is told (the tests may run as root, whom nothing stops)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            said = ask()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        return pipe.read()


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder another user may reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="syncagent-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o700)


def test_a_read_only_folder_is_said_so(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    said = opened_by_nobody(shared_folder / "data")
    assert said.startswith("StoreError: ")
    assert "data folder cannot be used: Permission denied. Set [agent] data_dir" in said


def test_a_folder_that_became_read_only_is_said_so(shared_folder: Path) -> None:
    shared_folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(shared_folder, 65534, 65534)
    shared_folder.chmod(0o500)
    assert "cannot be opened: Permission denied. Let this user read and write" in opened_by_nobody(shared_folder)


def test_a_read_only_file_is_said_so(shared_folder: Path) -> None:
    data_dir = shared_folder / "data"
    open_cache(data_dir).close()
    if os.geteuid() == 0:
        os.chown(data_dir, 65534, 65534)
        os.chown(data_dir / "cache.db", 65534, 65534)
    (data_dir / "cache.db").chmod(0o400)
    assert "cannot be written. Let this user read and write" in opened_by_nobody(data_dir)


def test_a_folder_nobody_may_look_into_is_no_folder_without_files(shared_folder: Path) -> None:
    """`status` and what else only reads: one line that says so, not that nothing was synced yet."""
    data_dir = shared_folder / "data"
    open_cache(data_dir).close()
    data_dir.chmod(0)
    for look in (has_cache, has_state, read_cache):
        said = told_nobody(lambda look=look: str(look(data_dir)))  # type: ignore[misc]
        assert said.startswith("StoreError: ")
        assert ".db: cannot be read: Permission denied. Let this user read and write the data folder" in said


def test_status_of_a_folder_nobody_may_look_into_is_a_problem_like_others(shared_folder: Path) -> None:
    office = Office(shared_folder)
    office.write()
    config = load_config(office.config)
    open_cache(office.data_dir).close()
    assert [problem["code"] for problem in status(config, DUE)["problems"]] == ["source_never_synced"]
    office.data_dir.chmod(0)
    said = told_nobody(lambda: " ".join(problem["message"] for problem in status(config, DUE)["problems"]))
    assert said.count("cannot be read: Permission denied") == 2
    assert "Error" not in said


def test_a_second_instance_is_turned_away(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path):
        assert holder(tmp_path) == "run"
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}") as caught, lock_data_dir(tmp_path):
            pass
        assert caught.value.exit_code == 75
    assert holder(tmp_path) is None
    with lock_data_dir(tmp_path):
        pass


def test_who_holds_the_folder_is_known(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with lock_data_dir(tmp_path):
        assert holder(tmp_path) == "run"
    with lock_data_dir(tmp_path, "scorecard send"):
        assert holder(tmp_path) == "scorecard send"
        said = rf"process {os.getpid()}, `syncagent scorecard send`"
        with pytest.raises(AlreadyRunning, match=said), lock_data_dir(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_a_killed_instance_frees_its_lock_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from syncagent.store import lock_data_dir\n"
        "with lock_data_dir(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert holder(tmp_path) == "run"
        process.kill()
        process.wait()
    assert holder(tmp_path) is None


_LOOKER = """
import sys; from pathlib import Path; from syncagent.store import holder
seen = set()
print("looking", flush=True)
for _ in range(int(sys.argv[2])):
    seen.add(str(holder(Path(sys.argv[1]))))
print(",".join(sorted(seen)), flush=True)
"""


def test_many_who_look_at_once_see_that_nobody_holds_the_folder(tmp_path: Path) -> None:
    """Looking must not itself look like holding."""
    with lock_data_dir(tmp_path):
        pass
    command = [sys.executable, "-c", _LOOKER, str(tmp_path), "4000"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        said = [process.communicate()[0].split() for process in (one, other)]
    assert said == [["looking", "None"]] * 2


def test_the_former_holder_is_never_named(tmp_path: Path) -> None:
    """While one takes the lock the file still says what the one before was: a daemon that was killed, say."""
    command = [sys.executable, "-c", _LOOKER, str(tmp_path), "20000"]
    with lock_data_dir(tmp_path, "scorecard preview"):
        pass
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as looker:
        assert looker.stdout is not None
        looker.stdout.readline()
        while looker.poll() is None:
            (tmp_path / "lock").write_text(f"{dead.pid} scorecard preview --of-a-very-long-name")
            with suppress(AlreadyRunning), lock_data_dir(tmp_path, "sync"):  # the looker never lets go
                time.sleep(0.002)
        seen = set(looker.stdout.readline().strip().split(","))
    assert seen <= {"None", "sync"}
    assert "sync" in seen


def test_a_holder_whose_process_cannot_be_seen_is_believed(tmp_path: Path) -> None:
    """One in a container of its own holds the folder under a number that means nothing here."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    with lock_data_dir(tmp_path):
        (tmp_path / "lock").write_text(f"{dead.pid} run\n")
        assert holder(tmp_path) == "run"


def test_a_database_held_by_another_writer_is_waited_for(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as first, closing(open_cache(tmp_path)) as second:
        with transaction(first):
            first.execute("INSERT INTO leads (id) VALUES ('a')")
        with transaction(second):
            second.execute("INSERT INTO leads (id) VALUES ('b')")
        assert first.execute("SELECT count(*) FROM leads").fetchone()[0] == 2
