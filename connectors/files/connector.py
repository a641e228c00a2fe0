"""The files connector: CSV and JSON Lines, and globs of them, into our tables; knows nothing of SQLite or KPIs.

The bookmark holds each file's size, time and digest: a file that did not change costs one look at its size, one that
did is read again from its start. Upserts by id make that harmless, as they do a crash inside a file.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from connectors.base import Bookmark, FieldInfo, Identity, Page, Record, Stream, Tombstone, Usage
from connectors.errors import SourceConfigError, StreamError
from connectors.files import inventory, notes
from connectors.files.failures import together
from connectors.files.look import FIRST_LINES, Look
from connectors.files.mapping import TableShape, Target, lenient_header
from connectors.files.pages import PAGE_ROWS, plan_for
from connectors.files.reader import SourceFile
from connectors.files.reading import Reading
from connectors.files.settings import FilesSettings, FilesTable

__all__ = ["PAGE_ROWS", "FilesConnector", "FilesSettings"]


class FilesConnector:
    """One `[source.NAME]` of type "files".

    `columns` gives every table's columns with their types, `tables` what else is said of each (closed lists, flags,
    whether it is a log); `currency` and `timezone` are the agent's, for rows that do not say. A page holds `page_rows`.
    """

    crm = "files"
    side_by_side = 1  # one processor reads them, whatever their number

    def __init__(
        self,
        name: str,
        settings: FilesSettings,
        *,
        columns: Mapping[str, Mapping[str, str]],
        tables: Mapping[str, TableShape],
        currency: str,
        timezone: str,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.name = name
        self._page_rows = page_rows
        self._settings = settings
        self._stop = threading.Event()
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
        look = Look(self._settings, self._targets)
        seen = [look.entry(entry) for entry in entries]
        problems = [together(one.failures) for one in seen if one.failures]
        if all(one.is_hopeless for one in seen):
            raise SourceConfigError(problems[0].message, mend=problems[0].mend)
        warnings = [notes.sentence(note) for one in seen for note in notes.of_bookmark(one.guessed, (), one.folders)]
        count = len({path for entry in entries for path in _paths(entry)})
        account = "1 file" if count == 1 else f"{count} files"
        if look.exports:
            account += f" ({', '.join(look.exports)})"
        return Identity(instance=self.name, account=account, warnings=(*map(str, problems), *warnings))

    def streams(self) -> list[Stream]:
        """None is reconciled: a snapshot says itself what is gone, and of an appended file nothing is."""
        return [Stream(table, (table,), reconciles=False) for table in self._targets]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Read every file of the stream that is new or changed; `since` also those changed from that day.

        A file that cannot be read does not keep the others of its stream from being read; it is raised at the end.
        """
        return self._reading(stream, now).pages(bookmark, full=full, since=since)

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        """Every row there is now; small enough a thing to begin anew after a crash, so no page has a bookmark."""
        return self._reading(stream, now).everything()

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        """The rows of these ids; tombstones for those a snapshot does not hold. Reads the files once."""
        reading = self._reading(stream, now)
        wanted = set(ids)
        missing = set(ids)
        for page in reading.everything():
            records: list[Record] = [one for one in page.records.get(stream, ()) if one["source_id"] in wanted]
            missing -= {one["source_id"] for one in records} | set(page.alive)
            if records:
                yield Page({stream: records}, read=len(records))
        if reading.is_snapshot:
            yield Page(tombstones=[Tombstone(stream, source_id) for source_id in ids if source_id in missing])

    def _reading(self, stream: str, now: datetime) -> Reading:
        if stream not in self._targets:
            raise StreamError(f"no file feeds {stream}.", mend=f"Streams: {', '.join(self._targets)}.")
        return Reading(
            self.name,
            self._settings,
            self._targets[stream],
            now=now,
            stop=self._stop,
            page_rows=self._page_rows,
            users=self._targets.get("users"),
        )

    def count(self, stream: str) -> int | None:
        """Files do not say: of an appended one rows stay that it no longer holds."""
        return None

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        """Files have no limit."""

    def covered_from(self, stream: str) -> date | None:
        """Files are all there is."""
        return None

    def fields(self, table: str) -> list[FieldInfo]:
        """The columns of the newest file of each entry, once for every column of ours they feed.

        Each entry is an object of its own: one without a file says nothing, and takes nothing from the others. JSON
        Lines leave out what is null, so there all that is mapped is listed, whatever keys the file has.
        """
        found: dict[FieldInfo, None] = {}
        entries = [entry for entry in self._settings.table if entry.table == table]
        for entry in entries:
            if paths := _paths(entry):
                name = inventory.name_of(entry, entries)
                found.update(dict.fromkeys(self._fields(paths[-1], entry, self._targets[table], name)))
        return list(found)

    def _fields(self, path: Path, entry: FilesTable, target: Target, name: str) -> Iterator[FieldInfo]:
        source = SourceFile(path, entry)
        header = source.header(most_lines=FIRST_LINES)
        if source.has_header:
            plan = plan_for(entry, self._settings, target, header, label=source.label)
        else:
            keys = set(header)
            header = lenient_header(entry, target, header)
            plan = plan_for(entry, self._settings, target, header, label=source.label)
        named = name if plan.export is None else f"{name} ({plan.export.object})"
        fed: list[tuple[str, str]] = list(plan.fed)
        labels: dict[str, str] = {}
        for ours, index, _ in plan.custom:
            if source.has_header or ours in entry.extra_types:
                fed.append((header[index], f"custom.{ours}"))
            elif ours in keys:  # extra = "*": it may be missing from the next file without being gone
                labels[ours] = f"{ours} (custom.{ours})"
        for theirs in header:
            columns = [column for one, column in fed if one == theirs]
            for column in columns or [""]:
                yield FieldInfo(theirs, labels.get(theirs, theirs), "text", column, named)

    @property
    def looks(self) -> int:
        """Files are looked at as they are read."""
        return 0

    def usage(self) -> Usage:
        return Usage()

    def interrupt(self) -> None:
        """Ends a reading under way at its next page."""
        self._stop.set()

    def close(self) -> None:
        """Nothing is kept open between pages."""


def _paths(entry: FilesTable) -> list[Path]:
    """The files an entry matches, by name."""
    return [path for path, _ in inventory.find(entry)]
