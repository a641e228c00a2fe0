"""Finds the files of an entry and tells what of them is new, changed, moved or a copy; reads no row.

A file is its path: its rows are its lines, and what it said before is replaced by what it says now. Rows without an
id of their own are named by the file's `place` and their line, so a place is never given to two files, and a file
that was moved or packed keeps its own.
"""

import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.base import Bookmark
from connectors.errors import StreamError
from connectors.files import exports
from connectors.files.reader import SourceFile
from connectors.files.settings import FilesTable

#: Clocks of file systems tick at most this slowly.
_TICK_NS = 2_000_000_000
_UNSURE = -1
_DIGITS = re.compile(r"(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as the bookmark knows it. Positions in the list form are relied on elsewhere: only ever append."""

    size: int
    mtime_ns: int
    digest: str  # of the unpacked content; "" where it is to be read again
    last_line: int = 0  # the last line whose row is named by its place
    label: str = ""  # names it in the reject file
    place: str = ""  # names its rows that have no id; "" for a copy of another file, which has none
    rows: int = 0  # usable ones
    span: tuple[str, str] | None = None  # least and greatest updated_at; None: some row has none

    def dump(self, now_ns: int) -> list[Any]:
        # A file may change twice within one tick of its clock; then only its content tells.
        mtime_ns = self.mtime_ns if self.mtime_ns < now_ns - _TICK_NS else _UNSURE
        return [
            self.size, mtime_ns, self.digest, self.last_line, self.label, self.place, self.rows,
            list(self.span) if self.span else None,
        ]  # fmt: skip

    @classmethod
    def load(cls, values: Sequence[Any]) -> "FileState":
        state = cls(*values[:7])
        return replace(state, span=tuple(values[7])) if len(values) > 7 and values[7] else state


@dataclass(slots=True)
class Book:
    """A stream's bookmark."""

    files: dict[str, FileState]
    gone: dict[str, FileState]  # files of a log that are no more, but whose rows stay
    again: bool = False  # a reading from the beginning is under way
    rows: int = 0  # usable rows of the last snapshot
    suspect: str = ""  # the digests of a snapshot that was refused

    @classmethod
    def load(cls, bookmark: Bookmark | None) -> "Book":
        found = bookmark or {}
        files = {key: FileState.load(state) for key, state in (found.get("files") or {}).items()}
        gone = {key: FileState.load(state) for key, state in (found.get("gone") or {}).items()}
        return cls(files, gone, bool(found.get("again")), int(found.get("rows") or 0), str(found.get("suspect") or ""))

    def dump(self) -> Bookmark:
        now_ns = time.time_ns()  # the file system's clock, not the agent's
        bookmark: Bookmark = {"files": {key: state.dump(now_ns) for key, state in self.files.items()}}
        if self.gone:
            bookmark["gone"] = {key: state.dump(now_ns) for key, state in self.gone.items()}
        return bookmark | {
            key: value
            for key, value in (("again", self.again), ("rows", self.rows), ("suspect", self.suspect))
            if value
        }


@dataclass(frozen=True, slots=True)
class Job:
    """One file an entry matches, as it stands now."""

    entry: FilesTable
    path: Path
    key: str  # its path and how it is read: a changed mapping reads it again
    label: str
    state: FileState  # now; label and place set once settled
    before: FileState | None = None  # as the bookmark knew it
    is_read: bool = True  # False: what it holds is loaded already
    is_remapped: bool = False  # known, but read in another way than before


class NoMatch(StreamError):
    """A glob matches no file."""


def no_file(entry: FilesTable) -> StreamError:
    mend = "Paths are relative to the config file; check path."
    if glob.has_magic(entry.path):
        return NoMatch(f"no file matches {entry.path}.", mend=mend)
    if Path(entry.path).is_dir():
        return StreamError(f"{entry.path} is a folder, not a file.", mend=f'Name its files: "{entry.path}/*.csv".')
    return StreamError(f"there is no file {entry.path}.", mend=mend)


def find(entry: FilesTable) -> list[tuple[Path, os.stat_result]]:
    """The files an entry matches, in the natural order of their names: `week-9` before `week-10`. Raises StreamError.

    A file that is reached by two names through links is one file, under the first of them.
    """
    root = root_of(entry.path)
    found: dict[tuple[int, int], tuple[Path, os.stat_result]] = {}
    try:
        names = [entry.path] if _is_plain(entry.path) else glob.glob(entry.path, recursive=True)
        for name in sorted(names, key=lambda name: natural(os.path.relpath(name, root))):
            try:
                status = os.stat(name)
            except FileNotFoundError:
                continue  # taken away meanwhile, or a link to nothing
            except OSError as error:
                if error.errno is not None and "symbolic" in os.strerror(error.errno):
                    continue  # a link that leads to itself
                raise
            if stat.S_ISREG(status.st_mode):
                found.setdefault((status.st_dev, status.st_ino), (Path(name), status))
    except OSError as error:
        raise unreadable(Path(entry.path), error) from None
    return list(found.values())


def natural(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A key that sorts names with numbers in them as people read them."""
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in _DIGITS.split(name) if part)
    return parts, name


def root_of(pattern: str) -> Path:
    """The folder above the first part of a path that is a pattern."""
    path = Path(pattern)
    if _is_plain(pattern):
        return path.parent
    return next(parent for parent in path.parents if not glob.has_magic(str(parent)))


def _is_plain(pattern: str) -> bool:
    return not glob.has_magic(pattern) or Path(pattern).is_file()


def unreadable(path: Path, error: OSError) -> StreamError:
    why = error.strerror or type(error).__name__
    return StreamError(f"{path} cannot be read: {why}.", mend="Check the path and its permissions.")


def mark_of(entry: FilesTable, values: Mapping[str, Any], currency: str, timezone: str) -> str:
    """Stands for the way a file is read."""
    reading = (entry.model_dump_json(exclude={"path"}, exclude_defaults=True), values, currency, timezone)
    return hashlib.blake2b(repr((*reading, exports.VERSION)).encode(), digest_size=6).hexdigest()


def state_of(path: Path, entry: FilesTable, status: os.stat_result, known: FileState | None) -> FileState:
    """A file as it is now; its content is looked at only when size or time moved. Raises StreamError."""
    if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns) and known.digest:
        return known
    digest = hashlib.blake2b(digest_size=16)
    # Of the unpacked content: a file packed for the archive is still the same file.
    for chunk in SourceFile(path, entry).chunks():
        digest.update(chunk)
    return FileState(status.st_size, status.st_mtime_ns, digest.hexdigest())


def has_moved(path: Path, state: FileState) -> bool:
    """Whether a file was written to, replaced or taken away since `state` was noted."""
    try:
        status = path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (state.size, state.mtime_ns)


def settle(
    jobs: Sequence[Job], book: Book, held: Mapping[str, FileState]
) -> tuple[list[Job], list[FileState], dict[str, FileState]]:
    """Decide for the files of a log what is read and under which place: (jobs, what must go, files gone).

    What must go are the rows of files that became copies of another one. `held` are files that are there but cannot
    be looked at now: nobody gets their place.
    """
    paths = {str(job.path) for job in jobs}
    known = {**book.gone, **book.files}
    gone = {key: one for key, one in known.items() if one.place and key not in held and _path(key) not in paths}
    taken = {state.place for state in (*gone.values(), *held.values())}
    settled: list[Job] = []
    holders: set[tuple[str, str]] = set()
    for job in jobs:
        before = job.before
        if before is not None and before.place:
            taken.add(before.place)
            if before.digest == job.state.digest and not job.is_remapped:
                holders.add((job.state.digest, _mark(job.key)))
    dropped: list[FileState] = []
    for job in jobs:
        before, content = job.before, (job.state.digest, _mark(job.key))
        own = before.place if before is not None else ""
        if own and before is not None and before.digest == job.state.digest and not job.is_remapped:
            settled.append(_as(job, own, before.last_line, is_read=False))
        elif content in holders:
            if own and before is not None:
                dropped.append(before)
            settled.append(_as(job, "", 0, is_read=False))
        else:
            former = next((key for key, state in gone.items() if state.digest == job.state.digest), None)
            if former is not None:  # moved, perhaps over another file, whose rows are then no more
                state = gone.pop(former)
                if own and before is not None:
                    dropped.append(before)
                is_loaded = _mark(former) == content[1]
                settled.append(_as(job, state.place, state.last_line, is_read=not is_loaded, before=state))
            else:
                place = own or _free(job, taken)
                taken.add(place)
                settled.append(_as(job, place, 0, is_read=True))
            holders.add(content)
    return settled, dropped, gone


def _as(job: Job, place: str, last_line: int, *, is_read: bool, before: FileState | None = None) -> Job:
    state = replace(job.state, label=job.label, place=place, last_line=last_line)
    return replace(job, state=state, is_read=is_read, before=before or job.before)


def _free(job: Job, taken: Iterable[str]) -> str:
    """A place no other file has: its label, and a number behind it where that is taken."""
    place, number = job.label, 1
    while place in taken:
        number += 1
        place = f"{job.label}~{number}"
    return place


def labels(entries: Sequence[tuple[FilesTable, Path]]) -> list[str]:
    """A name for each file: its path below the pattern's root, with folders in front where two would be alike."""
    names = [path.relative_to(root_of(entry.path)).as_posix() for entry, path in entries]
    first: dict[str, Path] = {}
    found = []
    for (_, path), name in zip(entries, names, strict=True):
        unique, depth = name, len(Path(name).parts)
        while first.get(unique, path) != path and depth < len(path.parts):
            depth += 1
            unique = "/".join(path.parts[-depth:])
        first.setdefault(unique, path)
        found.append(unique)
    return found


def _path(key: str) -> str:
    return key.rpartition("|")[0]


def _mark(key: str) -> str:
    return key.rpartition("|")[2]
