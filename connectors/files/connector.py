"""The files connector: CSV and JSON Lines, and globs of them, into our tables; knows nothing of SQLite or KPIs.

The bookmark holds each file's size, time and digest: a file that did not change costs nothing, one that did is read
again from its start. Upserts by id make that harmless, as they do a crash inside a file.
"""

import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from connectors.base import Bookmark, FieldInfo, Identity, Page, Record, Reject, Stream, Tombstone, Usage
from connectors.errors import ConnectorError, SourceConfigError, StreamError
from connectors.files.mapping import BadRow, Plan, TableShape, Target, compile_plan
from connectors.files.reader import SourceFile
from connectors.files.settings import FilesSettings, FilesTable

__all__ = ["FilesConnector", "FilesSettings"]

#: Rows of a page: one transaction, and what is held in memory at once.
PAGE_ROWS = 5_000
#: Characters of a bad row kept for the reject file.
_CONTENT = 1_000

#: A file as the bookmark knows it: size, time of change (ns), digest, and the last line named by its place alone.
FileState = list[Any]


@dataclass(frozen=True, slots=True)
class _Job:
    """One file an entry matches."""

    entry: FilesTable
    path: Path
    key: str  # names it in the bookmark, together with how it is read: a changed mapping reads it again
    place: str  # names it in the ids of rows that have none; survives a move of the whole folder
    is_ordered: bool  # no time decides between two rows of one id, so the later file must be written later


@dataclass(slots=True)
class _Batch:
    """The rows of the page being filled."""

    read: int = 0
    records: list[Record] = field(default_factory=list)
    by_id: dict[str, Record] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    last_place: int = 0  # of the whole file so far: the last line whose row has no id but its place

    def page(self, table: str, bookmark: Bookmark | None = None, gone: Sequence[Tombstone] = ()) -> Page:
        records = self.records or list(self.by_id.values())
        return Page({table: records} if records else {}, gone, (), self.rejects, self.read, bookmark=bookmark)


class FilesConnector:
    """One `[source.NAME]` of type "files".

    `columns` gives every table's columns with their types, `tables` what else is said of each (closed lists, flags,
    whether it is a log); `currency` and `timezone` are the agent's, for rows that do not say.
    """

    crm = "files"

    def __init__(
        self,
        name: str,
        settings: FilesSettings,
        *,
        columns: Mapping[str, Mapping[str, str]],
        tables: Mapping[str, TableShape],
        currency: str,
        timezone: str,
    ) -> None:
        self.name = name
        self._settings = settings
        for entry in settings.table:
            if entry.table not in columns:
                raise SourceConfigError(f"there is no table {entry.table}.", mend=f"Tables: {', '.join(columns)}.")
        fed = {entry.table for entry in settings.table}
        # In the order of the schema, which names owners before what they own.
        self._targets = {
            table: Target(table, columns[table], tables[table], currency, timezone) for table in columns if table in fed
        }

    def check(self) -> Identity:
        """Look whether the files are there and have the columns mapped. Raises SourceConfigError when none will do.

        A glob without a match is never more than a warning: its files may be archived once they are loaded.
        """
        entries = self._settings.table
        problems = [problem for entry in entries if (problem := self._problem(entry)) is not None]
        is_hopeless = len(problems) == len(entries) and not any(isinstance(p, _NoMatch) for p in problems)
        if is_hopeless:
            raise SourceConfigError(problems[0].message, mend=problems[0].mend)
        count = len({path for entry in entries for path in _paths(entry)})
        account = "1 file" if count == 1 else f"{count} files"
        return Identity(instance=self.name, account=account, warnings=tuple(map(str, problems)))

    def _problem(self, entry: FilesTable) -> ConnectorError | None:
        """What keeps an entry from being read; None when one of its files will do."""
        problem: ConnectorError | None = _no_file(entry)
        for number, path in enumerate(_paths(entry)):
            try:
                source = SourceFile(path, entry)
                if source.has_header:
                    self._plan(entry, path, self._targets[entry.table], source.header())
                return None
            except ConnectorError as error:
                problem = error if number == 0 else problem
        return problem

    def streams(self) -> list[Stream]:
        return [Stream(table, (table,)) for table in self._targets]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Read every file of the stream that is new or changed; `since` also those changed from that day.

        A file that cannot be read does not keep the others of its stream from being read; it is raised at the end.
        """
        if stream not in self._targets:
            raise StreamError(f"no file feeds {stream}.", mend=f"Streams: {', '.join(self._targets)}.")
        known: dict[str, FileState] = {} if full or bookmark is None else bookmark.get("files", {})
        failures: list[ConnectorError] = []
        jobs = self._jobs(stream, failures, is_first=not known)
        done: dict[str, FileState] = {}
        for place, job in enumerate(jobs):
            try:
                state = _state(job.path, known.get(job.key))
                is_asked_for = since is not None and _changed_on(state) >= since
                if _same_content(state, known.get(job.key)) and not is_asked_for:
                    done[job.key] = state
                    continue
                if job.is_ordered:
                    known = {}
                before = known.get(job.key)
                later = {after.key: known[after.key] for after in jobs[place + 1 :] if after.key in known}
                batch = _Batch()
                for batch in self._batches(job, self._targets[stream]):
                    if batch.read == PAGE_ROWS:
                        yield batch.page(stream)
                if _state(job.path, state) == state:  # else it was being written meanwhile: once more next time
                    done[job.key] = [*state[:3], batch.last_place]
                last = batch if batch.read < PAGE_ROWS else _Batch()
                yield last.page(stream, {"files": {**later, **done}}, _gone(stream, job, before, batch.last_place))
            except ConnectorError as error:
                failures.append(error)
        yield Page(bookmark={"files": done})
        if failures:
            more = f" ({len(failures) - 1} more files have errors.)" if len(failures) > 1 else ""
            raise StreamError(failures[0].message, mend=f"{failures[0].mend}{more}")

    def covered_from(self, stream: str) -> date | None:
        """Files are all there is."""
        return None

    def fields(self, table: str) -> list[FieldInfo]:
        """The columns of the first file of each entry, once for every column of ours they feed."""
        found: dict[FieldInfo, None] = {}
        for entry in self._settings.table:
            if entry.table == table and (paths := _paths(entry)):
                header = SourceFile(paths[0], entry).header()
                plan = self._plan(entry, paths[0], self._targets[table], header)
                fed = [*plan.fed, *((header[index], f"custom.{name}") for name, index, _ in plan.custom)]
                for name in header:
                    columns = [column for theirs, column in fed if theirs == name]
                    found.update(dict.fromkeys(FieldInfo(name, name, "text", column) for column in columns or [""]))
        return list(found)

    def usage(self) -> Usage:
        return Usage()

    def close(self) -> None:
        """Nothing is kept open between pages."""

    def _jobs(self, table: str, failures: list[ConnectorError], *, is_first: bool) -> list[_Job]:
        """The files of a stream in the order they are read; what cannot be found goes to `failures`."""
        target = self._targets[table]
        jobs = []
        places: dict[str, Path] = {}
        for entry in self._settings.table:
            if entry.table != table:
                continue
            paths = _paths(entry)
            # A glob may run dry when files are archived once they are loaded; a plain path may not.
            if not paths and (is_first or not glob.has_magic(entry.path)):
                failures.append(_no_file(entry))
            root = _root(entry.path)
            reading = (entry.model_dump_json(exclude={"path"}), self._settings.value_maps(entry), target.currency)
            mark = hashlib.blake2b(repr((*reading, target.timezone)).encode(), digest_size=6).hexdigest()
            for path in paths:
                place = path.relative_to(root).as_posix()
                if target.shape.is_event and places.setdefault(place, path) != path:
                    mend = "Their rows have no id of their own: give the files different names."
                    failures.append(StreamError(f"two files called {place} feed {table}.", mend=mend))
                    continue
                is_ordered = not target.shape.is_event and "updated_at" not in entry.columns
                jobs.append(_Job(entry, path, f"{path}|{mark}", place, is_ordered))
        return jobs

    def _plan(self, entry: FilesTable, path: Path, target: Target, header: Sequence[str]) -> Plan:
        try:
            return compile_plan(entry, self._settings, target, header)
        except SourceConfigError as error:
            raise StreamError(f"{path.name}: {error.message}", mend=error.mend) from None

    def _batches(self, job: _Job, target: Target) -> Iterator[_Batch]:
        """The rows of one file as records, some thousands at a time; the last batch may be short."""
        source = SourceFile(job.path, job.entry)
        header = source.header()
        if not header:
            return  # JSON Lines without a line
        plan = self._plan(job.entry, job.path, target, header)
        batch = _Batch()
        is_event = target.shape.is_event
        for line, cells, problem in source.rows(header):
            if batch.read == PAGE_ROWS:
                yield batch
                batch = _Batch(last_place=batch.last_place)
            batch.read += 1
            try:
                if problem:
                    raise BadRow(problem)
                record = plan.record(cells)
                source_id = record.get("source_id")
                if is_event:
                    if not source_id:
                        record["source_id"] = f"{job.place}#{line}"
                        batch.last_place = line
                    batch.records.append(record)
                elif not source_id:
                    raise BadRow("source_id is missing")
                else:
                    held = batch.by_id.get(source_id)
                    if held is None or (record.get("updated_at") or "") >= (held.get("updated_at") or ""):
                        batch.by_id[source_id] = record
            except BadRow as error:
                batch.rejects.append(Reject(f"{job.path.name} line {line}", str(error), _content(cells)))
        yield batch


def _paths(entry: FilesTable) -> list[Path]:
    """The files an entry matches, by name."""
    literal = Path(entry.path)
    if literal.is_file():
        return [literal]
    return sorted(path for name in glob.glob(entry.path, recursive=True) if (path := Path(name)).is_file())


class _NoMatch(StreamError):
    """A glob matches no file."""


def _no_file(entry: FilesTable) -> StreamError:
    mend = "Paths are relative to the config file; check path."
    if glob.has_magic(entry.path):
        return _NoMatch(f"no file matches {entry.path}.", mend=mend)
    return StreamError(f"there is no file {entry.path}.", mend=mend)


def _root(pattern: str) -> Path:
    """The folder above the first part of a path that is a pattern."""
    path = Path(pattern)
    if path.is_file() or not glob.has_magic(pattern):
        return path.parent
    return next(parent for parent in path.parents if not glob.has_magic(str(parent)))


def _gone(table: str, job: _Job, before: FileState | None, last_place: int) -> list[Tombstone]:
    """Rows named by a place beyond the end of a file that became shorter: their lines moved up, or are no more."""
    ended_at = before[3] if before is not None and len(before) > 3 else 0
    return [Tombstone(table, f"{job.place}#{line}") for line in range(last_place + 1, ended_at + 1)]


def _state(path: Path, known: FileState | None) -> FileState:
    """Size, time and digest of a file; the digest is not taken again while size and time stand. Raises StreamError."""
    try:
        stat = path.stat()
        if known is not None and known[:2] == [stat.st_size, stat.st_mtime_ns]:
            return known
        with path.open("rb") as binary:
            digest = hashlib.file_digest(binary, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StreamError(f"{path} cannot be read: {why}.", mend="Check the path and its permissions.") from None
    return [stat.st_size, stat.st_mtime_ns, digest]


def _same_content(state: FileState, known: FileState | None) -> bool:
    return known is not None and state[2] == known[2]


def _changed_on(state: FileState) -> date:
    return datetime.fromtimestamp(state[1] / 1e9, UTC).date()


def _content(cells: Sequence[Any]) -> str:
    """A bad row for the reject file, cut where it is long."""
    return ",".join("" if cell is None else str(cell)[:_CONTENT] for cell in cells)[:_CONTENT]
