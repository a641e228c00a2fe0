"""Copies both databases while they are in use, and puts a copy back; knows nothing of what is in them.

A backup is a folder (or one .tar) of cache.db, state.db and backup.json, which names each file with its hash:
SQLite keeps no checksums of its own. The cache is copied first, so that the state is never older than it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from scorecards.values import instant
from syncagent import __version__
from syncagent.errors import Refused, StoreError, UsageError
from syncagent.migrations import CACHE, STATE
from syncagent.store import (
    check_header,
    database_path,
    ensure_data_dir,
    explain_at,
    has_database,
    lock_data_dir,
    open_state,
    sync_folder,
)

MANIFEST = "backup.json"
_SCHEMAS = (CACHE, STATE)
_BLOCK = 1 << 20


def back_up(data_dir: Path, target: Path, *, now: datetime, replaces: bool = False) -> list[Path]:
    """Copy what is in `data_dir` to `target`; what was written. `target` is whole or untouched.

    Raises StoreError, Refused when it is a file that is there already, unless `replaces`.
    """
    present = [schema for schema in _SCHEMAS if has_database(data_dir, schema)]
    if not present:
        raise StoreError("there is nothing to back up yet", place=str(data_dir), mend="Run `syncagent sync` first.")
    is_tar = target.suffix == ".tar"
    if target.exists() and target.is_dir() == is_tar:
        what = "a folder" if is_tar else "a file"
        raise UsageError(f"is {what}", place=str(target), mend="Name a folder, or a file ending in .tar.")
    if target.is_file() and not replaces:
        raise Refused("there is a file already", place=str(target), mend="Name another file, or replace it by --force.")
    with _writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            draft = Path(name)
            files = {}
            for schema in present:
                copy = database_path(draft, schema)
                _copy_database(database_path(data_dir, schema), copy)
                files[copy.name] = {"sha256": _sha256(copy), "bytes": copy.stat().st_size}
            manifest = {"made_at": instant(now), "version": __version__, "files": files}
            _write_private(draft / MANIFEST, json.dumps(manifest, indent=2).encode())
            return _publish_tar(draft, target) if is_tar else _publish_folder(draft, target)


def restore(
    data_dir: Path, source: Path, *, now: datetime, settle: Callable[[sqlite3.Connection, datetime], None]
) -> Path | None:
    """Put a backup in place of what is in `data_dir`; the folder that keeps what was there before.

    `settle(state, now)` marks what was due up to now as skipped, before the copy takes its place, so that nothing
    is sent again. Raises AlreadyRunning while an instance runs, StoreError for a backup that cannot be trusted.
    """
    with lock_data_dir(data_dir, "restore"), _opened(source) as folder:
        _verify(folder, source)
        draft = Path(tempfile.mkdtemp(prefix=".restore-", dir=data_dir))
        try:
            for schema in _SCHEMAS:
                if database_path(folder, schema).exists():
                    _copy_file(database_path(folder, schema), database_path(draft, schema))
            if database_path(draft, STATE).exists():
                with contextlib.closing(open_state(draft)) as state:
                    settle(state, now)
            kept = _set_aside(data_dir, now)
            for schema in _SCHEMAS:
                if database_path(draft, schema).exists():
                    database_path(draft, schema).rename(database_path(data_dir, schema))
            sync_folder(data_dir)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return kept


# --- copying ----------------------------------------------------------------------------------------------------


def _copy_database(source: Path, target: Path) -> None:
    """All pages in one step: a stepped copy starts over with every write of the daemon."""
    _write_private(target, b"")
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as live,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            live.backup(copy, pages=-1)
            said = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        is_full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        raise explain_at(error, target.parent if is_full else source) from error
    if said != "ok":
        raise StoreError(f"is damaged: {said}", place=str(source), mend="Restore the last good backup.")
    _sync_file(target)


def _copy_file(source: Path, target: Path) -> None:
    _write_private(target, b"")
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, _BLOCK)
    _sync_file(target)


def _publish_folder(draft: Path, target: Path) -> list[Path]:
    """Move the files into place one by one, the manifest last: until then the old one does not match."""
    target.mkdir(mode=0o700, exist_ok=True)
    names = sorted((path.name for path in draft.iterdir()), key=lambda name: name == MANIFEST)
    for name in names:
        (draft / name).replace(target / name)
    sync_folder(target)
    return [target / name for name in names]


def _publish_tar(draft: Path, target: Path) -> list[Path]:
    part = draft / "backup.tar"
    _write_private(part, b"")
    with tarfile.open(part, "w") as tar:
        for name in (MANIFEST, *(f"{schema.name}.db" for schema in _SCHEMAS)):
            if (draft / name).exists():
                tar.add(draft / name, arcname=name)
    _sync_file(part)
    part.replace(target)
    sync_folder(target.parent)
    return [target]


def _set_aside(data_dir: Path, now: datetime) -> Path | None:
    """Move the databases that are there into a folder of their own, with what SQLite keeps beside them."""
    names = [f"{schema.name}.db{ending}" for schema in _SCHEMAS for ending in ("", "-wal", "-shm")]
    present = [data_dir / name for name in names if os.path.lexists(data_dir / name)]
    if not present:
        return None
    kept = data_dir / f"before-restore-{now:%Y%m%dT%H%M%SZ}"
    ensure_data_dir(kept)
    for path in present:
        path.rename(kept / path.name)
    return kept


# --- trusting ---------------------------------------------------------------------------------------------------


def _verify(folder: Path, source: Path) -> None:
    """Refuse a backup that is not whole, was changed, or is of a later version."""
    mend = "Use another backup; nothing was changed."
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"is not a backup: no readable {MANIFEST}", place=str(source), mend=mend) from error
    known = {f"{schema.name}.db": schema for schema in _SCHEMAS}
    for name, expected in files.items():
        if name not in known or not (folder / name).is_file():
            raise StoreError(f"is not whole: {name} is missing", place=str(source), mend=mend)
        if _sha256(folder / name) != expected:
            raise StoreError(f"{name} is not what was backed up", place=str(source), mend=mend)
        try:
            with contextlib.closing(
                # Nobody writes to a backup, and its folder may not be writable: no -shm is made beside it.
                sqlite3.connect(f"{(folder / name).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            ) as conn:
                check_header(conn, folder / name, known[name])
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{name} cannot be read: {error}", place=str(source), mend=mend) from error


@contextlib.contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """The folder of a backup; a tar is unpacked beside the temporary files first."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise UsageError("there is no backup here", place=str(source))
    with tempfile.TemporaryDirectory(prefix="syncagent-restore-") as name:
        try:
            with tarfile.open(source, "r:") as tar:
                for wanted in (MANIFEST, *(f"{schema.name}.db" for schema in _SCHEMAS)):
                    with contextlib.suppress(KeyError):
                        member = tar.extractfile(wanted)
                        if member is not None:
                            with (Path(name) / wanted).open("wb") as written:
                                shutil.copyfileobj(member, written, _BLOCK)
        except tarfile.TarError as error:
            raise StoreError("is not a tar file", place=str(source), mend="Use another backup.") from error
        yield Path(name)


@contextlib.contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror}", place=str(target), mend="Name a folder with room this user owns."
        ) from error


def _write_private(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
