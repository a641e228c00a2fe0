"""Finds the files of an entry and tells what of them is new or changed; reads no row.

A file is its path: its rows are its lines, and what it said before is replaced by what it says now. Rows without an
id of their own are named by the file's `place` and their line, so a place is never given to two files, and a file
that was moved or packed keeps its own.
"""

import errno
import glob
import hashlib
import os
import re
import stat
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.base import Bookmark
from connectors.errors import StreamError
from connectors.files import exports, notes
from connectors.files.lines import printable
from connectors.files.reader import SourceFile
from connectors.files.settings import FilesTable

#: Clocks of file systems tick at most this slowly.
_TICK_NS = 2_000_000_000
_UNSURE = -1
_DIGITS = re.compile(r"(\d+)", re.ASCII)


#: How a file begins: bytes of the unpacked content, their digest, and the last line with a row among them.
Beginning = tuple[int, str, int]


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
    length: int = 0  # bytes of the unpacked content
    earlier: tuple[Beginning, ...] = ()  # what a log held before it grew
    shared: Beginning | None = None  # the rows of this beginning belong to another file, from which this was copied
    ends_midway: bool | None = None  # its last line has no end; None: not known
    bad: list[Any] | None = None  # most of its rows cannot be used (BadRows.most)

    @property
    def beginnings(self) -> dict[int, str]:
        """Digests of the content up to some lengths, the whole among them."""
        return {length: digest for length, digest, _ in (*self.earlier, self.whole)}

    @property
    def whole(self) -> Beginning:
        return self.length, self.digest, max(self.last_line, self.shared[2] if self.shared else 0)

    def dump(self, now_ns: int) -> list[Any]:
        # A file may change twice within one tick of its clock; then only its content tells.
        mtime_ns = self.mtime_ns if self.mtime_ns < now_ns - _TICK_NS else _UNSURE
        return [
            self.size, mtime_ns, self.digest, self.last_line, self.label, self.place, self.rows,
            list(self.span) if self.span else None, self.length,
            [list(one) for one in self.earlier], list(self.shared) if self.shared else None, self.ends_midway,
            self.bad,
        ]  # fmt: skip

    @classmethod
    def load(cls, values: Sequence[Any]) -> "FileState":
        span, length, earlier, shared, ends_midway, bad = (*values[7:], *(None,) * 6)[:6]
        return replace(
            cls(*values[:7]),
            span=tuple(span) if span else None,
            length=values[0] if length is None else length,  # from before it was noted: right where nothing is packed
            earlier=tuple(tuple(one) for one in earlier or ()),
            shared=tuple(shared) if shared else None,
            ends_midway=ends_midway,
            bad=bad,
        )


@dataclass(slots=True)
class Book:
    """A stream's bookmark."""

    files: dict[str, FileState]
    gone: dict[str, FileState]  # files of a log that are no more, but whose rows stay
    again: bool = False  # a reading from the beginning is under way
    rows: int = 0  # usable rows of the last snapshot
    suspect: str = ""  # the digests of a snapshot that was refused
    several: bool = False  # rows of more than one file may be here, whatever became of the files
    guessed: dict[str, str] = field(default_factory=dict)  # stage -> the state it stands for, as no column says it
    dry: list[str] = field(default_factory=list)  # patterns whose files are all gone
    folders: list[str] = field(default_factory=list)  # what matched now and is a folder; not kept

    @classmethod
    def load(cls, bookmark: Bookmark | None) -> "Book":
        found = bookmark or {}
        files = {key: FileState.load(state) for key, state in (found.get("files") or {}).items()}
        gone = {key: FileState.load(state) for key, state in (found.get("gone") or {}).items()}
        return cls(
            files,
            gone,
            bool(found.get("again")),
            int(found.get("rows") or 0),
            str(found.get("suspect") or ""),
            bool(found.get("several")),
            dict(found.get("guessed") or {}),
            list(found.get("dry") or ()),
        )

    def after(self, files: dict[str, FileState], gone: dict[str, FileState], *, rows: int = 0) -> "Book":
        """The bookmark of a reading that got so far, and is none from the beginning any more."""
        return replace(self, files=files, gone=gone, rows=rows, again=False, suspect="")

    def dump(self) -> Bookmark:
        now_ns = time.time_ns()  # the file system's clock, not the agent's
        bookmark: Bookmark = {"files": {key: state.dump(now_ns) for key, state in self.files.items()}}
        if self.gone:
            bookmark["gone"] = {key: state.dump(now_ns) for key, state in self.gone.items()}
        return bookmark | {
            key: value
            for key, value in (
                ("again", self.again),
                ("rows", self.rows),
                ("suspect", self.suspect),
                ("several", self.several),
                ("guessed", self.guessed),
                ("dry", self.dry),
                ("notes", notes.of_bookmark(self.guessed, self.dry, self.folders)),
            )
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
    beginnings: Mapping[int, str] = field(default_factory=dict)  # digests of its content up to lengths known
    is_read: bool = True  # False: what it holds is loaded already
    is_remapped: bool = False  # known, but read in another way than before
    is_ended: bool = False  # its program ends every line, so a last one without an end has broken off


class NoMatch(StreamError):
    """A glob matches no file."""


def no_file(entry: FilesTable) -> StreamError:
    mend = "Paths are relative to the config file; check path."
    if glob.has_magic(entry.path):
        return NoMatch(f"no file matches {printable(entry.path)}.", mend=mend)
    if Path(entry.path).is_dir():
        path = printable(entry.path)
        return StreamError(f"{path} is a folder, not a file.", mend=f'Name its files: "{path}/*.csv".')
    return StreamError(f"there is no file {printable(entry.path)}.", mend=mend)


@dataclass(slots=True)
class Survey:
    """What an entry matches, each in the natural order of their names: `week-9` before `week-10`.

    `lost`: links that lead to no file, each with what to say of it; `folders`: their names, where files were meant.
    """

    files: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    lost: list[tuple[str, StreamError]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    newest_lost: list[tuple[str, StreamError]] = field(default_factory=list)  # those behind the last file


def find(entry: FilesTable) -> list[tuple[Path, os.stat_result]]:
    """The files an entry matches. Raises StreamError."""
    return survey(entry).files


def survey(entry: FilesTable) -> Survey:
    """Look at everything an entry matches. Raises StreamError.

    A file that is reached by two names through links is one file, under the first of them.
    """
    root = root_of(entry.path)
    names_folders = Path(entry.path).name.strip("*") == ""  # `*` matches them beside the files
    seen: set[tuple[int, int]] = set()
    links: set[str] = set()
    found = Survey()
    try:
        names = [entry.path] if _is_plain(entry.path) else glob.glob(entry.path, recursive=True)
        for name in sorted(names, key=lambda name: natural(os.path.relpath(name, root))):
            try:
                status = os.stat(name)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
                # Without the links on the way: a folder that holds itself leads to its files by too many of them.
                real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
                if os.path.islink(real) and not os.path.exists(real) and real not in links:
                    links.add(real)
                    found.lost.append((name, _lost(name)))
                    found.newest_lost.append(found.lost[-1])
                continue  # else taken away meanwhile
            if stat.S_ISDIR(status.st_mode) and glob.has_magic(entry.path) and not names_folders:
                found.folders.append(printable(name))
            elif stat.S_ISREG(status.st_mode):
                found.newest_lost.clear()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    found.files.append((Path(name), status))
    except OSError as error:
        raise unreadable(Path(entry.path), error) from None
    return found


def _lost(name: str) -> StreamError:
    mend = "Is the disk it is on mounted? Else mend the link, or take it away."
    return StreamError(f"{printable(name)} is a link to a file that is not there.", mend=mend)


def key_of(path: Path, mark: str) -> str:
    """Under what the bookmark knows a file: its path, and how it is read."""
    return f"{printable(str(path))}|{mark}"


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


def name_of(entry: FilesTable, entries: Sequence[FilesTable]) -> str:
    """Names an entry among those of its table: its pattern, and a number behind it where another has the same."""
    patterns = [Path(one.path).relative_to(root_of(one.path)).as_posix() for one in entries]
    at = entries.index(entry)
    return patterns[at] if patterns[at] not in patterns[:at] else f"{patterns[at]}~{at + 1}"


def _is_plain(pattern: str) -> bool:
    return not glob.has_magic(pattern) or Path(pattern).is_file()


def unreadable(path: Path, error: OSError) -> StreamError:
    why = error.strerror or type(error).__name__
    return StreamError(f"{printable(str(path))} cannot be read: {why}.", mend="Check the path and its permissions.")


def mark_of(entry: FilesTable, values: Mapping[str, Any], currency: str, timezone: str) -> str:
    """Stands for the way a file is read."""
    reading = (entry.model_dump_json(exclude={"path"}, exclude_defaults=True), values, currency, timezone)
    return hashlib.blake2b(repr((*reading, exports.VERSION)).encode(), digest_size=6).hexdigest()


def state_of(
    path: Path, entry: FilesTable, status: os.stat_result, known: FileState | None, lengths: Collection[int] = ()
) -> tuple[FileState, Mapping[int, str]]:
    """A file as it is now, and digests of its beginnings of these `lengths`. Raises StreamError.

    The content is looked at only when size or time moved; else the beginnings are those that were noted.
    """
    if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns) and known.digest:
        return known, known.beginnings
    digest, length = hashlib.blake2b(digest_size=16), 0
    beginnings: dict[int, str] = {}
    ends = sorted({one for one in lengths if one > 0}, reverse=True)
    # Of the unpacked content: a file packed for the archive is still the same file.
    for chunk in SourceFile(path, entry).chunks():
        rest = memoryview(chunk)
        while ends and ends[-1] <= length + len(rest):
            end = ends.pop()
            digest.update(rest[: end - length])
            rest, length = rest[end - length :], end
            beginnings[end] = digest.hexdigest()
        digest.update(rest)
        length += len(rest)
    whole = digest.hexdigest()
    return FileState(status.st_size, status.st_mtime_ns, whole, length=length), {**beginnings, length: whole}


def ends_midway(path: Path, entry: FilesTable) -> bool | None:
    """Whether the last line of a file has no end; None where it has no line, or cannot be looked at."""
    last = b""
    try:
        for chunk in SourceFile(path, entry).chunks():
            last = (last + chunk[-4:])[-4:]
    except StreamError:
        return None
    return last.rstrip(b"\0")[-1:] not in (b"\n", b"\r") if last else None  # UTF-16 and 32 have zeros behind


def has_moved(path: Path, state: FileState) -> bool:
    """Whether a file was written to, replaced or taken away since `state` was noted."""
    try:
        status = path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (state.size, state.mtime_ns)


def labels(entries: Sequence[tuple[FilesTable, Path]]) -> list[str]:
    """A name for each file: its path below the pattern's root, with folders in front where two would be alike."""
    names = [printable(path.relative_to(root_of(entry.path)).as_posix()) for entry, path in entries]
    first: dict[str, Path] = {}
    found = []
    for (_, path), name in zip(entries, names, strict=True):
        unique, depth = name, len(Path(name).parts)
        while first.get(unique, path) != path and depth < len(path.parts):
            depth += 1
            unique = printable("/".join(path.parts[-depth:]))
        first.setdefault(unique, path)
        found.append(unique)
    return found
