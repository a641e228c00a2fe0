"""Opens cache.db and state.db: makes, migrates and guards the two files; knows nothing of what is in them.

Every writer works in `transaction(conn)`; readers use connections of their own that cannot write. A file that is
not ours, is empty, or was written by a later version is refused and left as it is.
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from syncagent.errors import AlreadyRunning, NewerSchema, StoreError
from syncagent.migrations import CACHE, STATE, Schema, migrate

#: Deriving the facts of a first load is one transaction; other writers wait for it.
BUSY_TIMEOUT_S = 120.0
LOCK_NAME = "lock"
#: The command that holds the data directory as long as it is to be kept up to date.
DAEMON = "run"
_DAEMON_THERE = "The daemon syncs and sends by itself; for a command of your own, stop it first."
#: How often, and how long between, one looks who has just taken the lock.
_LOOKS, _LOOK_S = 20, 0.01

_RIGHTS = "Let this user read and write the data folder and the files in it."
_LOST = {
    "cache": "Move it away: the next sync builds a new one.",
    "state": "Restore it from a backup; without it the agent no longer knows what it has sent.",
}


def open_cache(data_dir: Path) -> sqlite3.Connection:
    """A writing connection to cache.db, made and migrated where needed. Raises StoreError."""
    conn = _open_writer(data_dir, CACHE, synchronous="NORMAL")
    try:
        _install_facts(conn, data_dir)
    except BaseException:
        conn.close()
        raise
    return conn


def open_state(data_dir: Path) -> sqlite3.Connection:
    """A writing connection to state.db, made and migrated where needed. Raises StoreError."""
    return _open_writer(data_dir, STATE, synchronous="FULL")


def read_cache(data_dir: Path) -> sqlite3.Connection:
    """A connection to cache.db that cannot write. Raises StoreError where there is no cache yet."""
    return _open_reader(data_dir, CACHE, "Run `syncagent sync` first.")


def read_state(data_dir: Path) -> sqlite3.Connection:
    """A connection to state.db that cannot write. Raises StoreError where there is none yet."""
    return _open_reader(data_dir, STATE, "It is made by the first `syncagent run` or `syncagent scorecard send`.")


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when the block raises (a kill signal included)."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield conn
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:  # SQLite itself rolls back when the disk is full
            conn.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def lock_data_dir(data_dir: Path, command: str = DAEMON) -> Iterator[None]:
    """Hold the data directory for one instance; the kernel frees it when the process ends, however it ends.

    `command` is what `holder` answers meanwhile. Raises AlreadyRunning. The lock file is never deleted: that would let
    two instances hold two locks.
    """
    ensure_data_dir(data_dir)
    fd = _open_lock(data_dir)
    try:
        # A `status` looking whether the lock is free holds it for a moment; that must not turn a start away.
        for attempt in range(5):
            if _try_lock(fd):
                break
            time.sleep(0.05 * (attempt + 1))
        else:
            process, command = _holder(fd)
            raise AlreadyRunning(
                f"another syncagent{f' (process {process}, `syncagent {command}`)' if process else ''} is using this"
                " folder",
                place=str(data_dir),
                mend=_DAEMON_THERE if command == DAEMON else "Wait for its end, or stop it.",
            )
        text = f"{os.getpid()} {command}\n".encode()
        os.pwrite(fd, text, 0)  # the line's end ends it, whatever longer text of a killed one is still behind it
        os.ftruncate(fd, len(text))
        try:
            yield
        finally:
            os.ftruncate(fd, 0)  # the next one is not to be taken for this one while it takes the lock
    finally:
        os.close(fd)


def holder(data_dir: Path) -> str | None:
    """The command that holds the data directory right now: DAEMON, "sync" ...; None where nobody does.

    Who has just taken the lock has not said so yet, and the file may still name one that was killed: what it says is
    believed once that process lives; or, after a moment, as it stands (one in another container is not seen).
    """
    try:
        fd = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        for _ in range(_LOOKS):
            if _try_lock(fd, fcntl.LOCK_SH):  # shared: two that look do not take each other for a holder
                return None
            process, command = _holder(fd)
            if _lives(process):
                break
            time.sleep(_LOOK_S)
        return command
    finally:
        os.close(fd)


def _holder(fd: int) -> tuple[str, str]:
    """Process and command as they stand in the lock file; no process where nobody has said so yet."""
    line, _, _ = os.pread(fd, 200, 0).decode("ascii", "replace").partition("\n")
    process, _, command = line.strip().partition(" ")
    return process, command or DAEMON


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True  # it is another user's
    except (ValueError, OverflowError, OSError):
        return False
    return True


def ensure_data_dir(data_dir: Path) -> None:
    """Make the folder, readable by its owner alone. Raises StoreError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(data_dir.stat().st_mode) & 0o077:
            data_dir.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"the data folder cannot be used: {error.strerror}",
            place=str(data_dir),
            mend="Set [agent] data_dir to a folder this user may write to.",
        ) from error


def database_path(data_dir: Path, schema: Schema) -> Path:
    return data_dir / f"{schema.name}.db"


def has_database(data_dir: Path, schema: Schema) -> bool:
    """Whether the file is there. Raises StoreError where the folder does not let this user see."""
    path = database_path(data_dir, schema)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", place=str(path), mend=_RIGHTS) from error
    return True


def has_cache(data_dir: Path) -> bool:
    """Whether anything was synced yet. Raises StoreError as above."""
    return has_database(data_dir, CACHE)


def has_state(data_dir: Path) -> bool:
    """Whether anything was due yet. Raises StoreError as above."""
    return has_database(data_dir, STATE)


def data_dir_of(conn: sqlite3.Connection) -> Path:
    """The folder of an open connection's main file."""
    return Path(conn.execute("PRAGMA database_list").fetchone()[2]).parent


# --- opening ----------------------------------------------------------------------------------------------------


def _open_writer(data_dir: Path, schema: Schema, *, synchronous: str) -> sqlite3.Connection:
    ensure_data_dir(data_dir)
    path = database_path(data_dir, schema)
    if not os.path.lexists(path):
        _create(path, schema)
    _check_file(path, schema)
    if not os.access(path, os.R_OK | os.W_OK):  # SQLite would open it for reading only, and fail in mid-work
        raise StoreError("cannot be written", place=str(path), mend=_RIGHTS)
    with _explained(path, schema):
        conn = _connect(path, read_only=False)
    try:
        with _explained(path, schema):
            version = check_header(conn, path, schema)
            conn.execute("PRAGMA journal_mode = WAL")
            conn.execute(f"PRAGMA synchronous = {synchronous}")
            conn.execute("PRAGMA cache_size = -16000")
            # Pages of an index are written again and again while much is read: 16 MB of them go to the file at once.
            conn.execute("PRAGMA wal_autocheckpoint = 4000")
            if version < schema.version:
                if schema is STATE:
                    _copy_before_migration(conn, path, version)
                migrate(conn, schema)
        conn.row_factory = sqlite3.Row
    except BaseException:
        conn.close()
        raise
    return conn


def _open_reader(data_dir: Path, schema: Schema, mend: str) -> sqlite3.Connection:
    path = database_path(data_dir, schema)
    if not has_database(data_dir, schema):
        raise StoreError("this file does not exist yet", place=str(path), mend=mend)
    _check_file(path, schema)
    with _explained(path, schema):
        conn = _connect(path, read_only=True)
    try:
        with _explained(path, schema):
            if check_header(conn, path, schema) < schema.version:
                raise StoreError("this file was made by an earlier version", place=str(path), mend=mend)
            conn.execute("PRAGMA query_only = 1")
            conn.execute("PRAGMA cache_size = -64000")
        conn.row_factory = sqlite3.Row
    except BaseException:
        conn.close()
        raise
    return conn


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    # rw, not rwc: a file that vanished between the check and now must not come back empty.
    mode = "ro" if read_only else "rw"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )


def _create(path: Path, schema: Schema) -> None:
    """Make a whole new database beside its place and link it there: a kill never leaves half a file behind."""
    draft = path.with_name(f"{path.name}.new-{os.getpid()}")
    with _explained(path, schema):
        draft.unlink(missing_ok=True)
        # Made here and not by SQLite, so that it and its -wal and -shm are readable by their owner alone.
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            with contextlib.closing(_connect(draft, read_only=False)) as conn:
                migrate(conn, schema)
            with contextlib.suppress(FileExistsError):  # another process was quicker: its file is as good
                os.link(draft, path)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
            draft.with_name(f"{draft.name}-journal").unlink(missing_ok=True)


def _check_file(path: Path, schema: Schema) -> None:
    """Refuse what must not even be opened: a link, a folder, an empty file (to SQLite a valid new database)."""
    try:
        status = path.lstat()
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", place=str(path), mend=_RIGHTS) from error
    if not stat.S_ISREG(status.st_mode):
        raise StoreError("is not a plain file", place=str(path), mend="Put the database itself there, not a link.")
    if status.st_size == 0:
        raise StoreError("is empty, where a database is expected", place=str(path), mend=_LOST[schema.name])
    if stat.S_IMODE(status.st_mode) & 0o077:
        with contextlib.suppress(OSError):
            path.chmod(0o600)


def check_header(conn: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The schema version of a file that is ours. Raises StoreError for any other."""
    application_id = conn.execute("PRAGMA application_id").fetchone()[0]
    version: int = conn.execute("PRAGMA user_version").fetchone()[0]
    conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != schema.application_id:
        raise StoreError(
            f"is a database, but not a {schema.name} of syncagent", place=str(path), mend="Move it away; it is kept."
        )
    if version > schema.version:
        raise NewerSchema(
            f"was written by a later version (schema {version}, this one knows {schema.version})",
            place=str(path),
            mend="Install that version again, or restore a backup made before it.",
        )
    return version


@contextlib.contextmanager
def _explained(path: Path, schema: Schema) -> Iterator[None]:
    """Turn SQLite's and the system's words into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _explain(error, path, schema) from error
    except OSError as error:
        raise StoreError(
            f"cannot be opened: {error.strerror}",
            place=str(path),
            mend=_RIGHTS,
        ) from error


def _explain(error: sqlite3.DatabaseError, path: Path, schema: Schema) -> StoreError:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    place = str(path)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        what = "is not a database" if code == sqlite3.SQLITE_NOTADB else "is damaged"
        return StoreError(what, place=place, mend=_LOST[schema.name])
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError("cannot be written", place=place, mend=_RIGHTS)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"has been locked by another program for {BUSY_TIMEOUT_S:.0f} s", place=place, mend="Close that program."
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreError("the disk is full", place=place, mend="Make room; nothing stored was lost.")
    if code == sqlite3.SQLITE_IOERR:
        mend = "Make room on the disk, and see that it is in order; nothing stored was lost."
        return StoreError("cannot be read or written (disk I/O error)", place=place, mend=mend)
    return StoreError(f"the database answers: {error}", place=place)


def explain(error: sqlite3.DatabaseError, conn: sqlite3.Connection) -> StoreError:
    """The StoreError for what an open connection of ours raised in the middle of its work."""
    return explain_at(error, Path(conn.execute("PRAGMA database_list").fetchone()[2]))


def explain_at(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    """The same for the file at `path`."""
    return _explain(error, path, STATE if path.name == "state.db" else CACHE)


def explain_unplaced(error: sqlite3.DatabaseError) -> StoreError:
    """The same where it is not known which of the two files it was."""
    told = _explain(error, Path("cache.db or state.db"), STATE)
    if told.mend == _LOST[STATE.name]:
        told.mend = "`syncagent backup PATH` names it. A cache.db can be moved away, a state.db must be restored."
    return told


def _copy_before_migration(conn: sqlite3.Connection, path: Path, version: int) -> None:
    """Keep state.db as it was: it is the one file that cannot be rebuilt."""
    copy = path.with_name(f"{path.name}.before-{version + 1}")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as target:
        conn.backup(target, pages=-1)


def _install_facts(conn: sqlite3.Connection, data_dir: Path) -> None:
    """The derived tables and the triggers that notice changes, and what people said of records."""
    from syncagent import facts  # late: these open transactions of ours
    from syncagent.identity import home

    facts.install(conn)
    home.adopt_said(conn, data_dir)


# --- small helpers ----------------------------------------------------------------------------------------------


def _open_lock(data_dir: Path) -> int:
    try:
        return os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        place, mend = str(data_dir / LOCK_NAME), "It must be a plain file this user may write to."
        raise StoreError(f"the lock file cannot be used: {error.strerror}", place=place, mend=mend) from error


def _try_lock(fd: int, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
