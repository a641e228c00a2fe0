"""Turns the rows of files into pages of records, some thousands at a time; decides nothing about which files."""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from connectors.base import Bookmark, Page, Record, Reject, Tombstone
from connectors.errors import SourceConfigError, StreamError, TransientError
from connectors.files.bad_rows import BadRows
from connectors.files.footers import without_footer
from connectors.files.inventory import Job, has_moved
from connectors.files.mapping import BadRow, Plan, Target, compile_plan
from connectors.files.owners import Owners
from connectors.files.reader import Row, SourceFile
from connectors.files.settings import FilesSettings, FilesTable

#: Rows of a page: one transaction, and what is held in memory at once.
PAGE_ROWS = 5_000
_SALESFORCE_ID = re.compile(r"00[0-9A-Za-z]{13}(?:[0-9A-Za-z]{3})?", re.ASCII)
#: Characters of a bad row kept for the reject file.
_CONTENT = 1_000


@dataclass(slots=True)
class Outcome:
    """What reading one file came to."""

    last_line: int = 0  # the last line whose row is named by its place
    rows: int = 0  # usable ones, and unusable ones whose id can be read
    nameless: int = 0  # bad rows whose id cannot be read
    has_moved: bool = False  # it was written to meanwhile
    is_cut: bool = False  # its last row is bad and has no line end
    is_open: bool = False  # its last row was left out: it has no line end, as those of its program have
    ends_midway: bool = False  # its last line has no end
    bad: BadRows = field(default_factory=BadRows)
    _low: str | None = None
    _high: str | None = None
    _undated: bool = False

    def saw(self, updated_at: str | None) -> None:
        if updated_at is None:
            self._undated = True
        else:
            self._low = updated_at if self._low is None or updated_at < self._low else self._low
            self._high = updated_at if self._high is None or updated_at > self._high else self._high

    @property
    def span(self) -> tuple[str, str] | None:
        """Least and greatest updated_at; None where a row has none."""
        return None if self._undated or self._low is None or self._high is None else (self._low, self._high)


class Pager:
    """Collects the rows of one stream's files into pages; small files share one."""

    def __init__(
        self,
        target: Target,
        settings: FilesSettings,
        *,
        anew: bool,
        to_read: int,
        now: str,
        stop: threading.Event,
        page_rows: int,
        is_one_file: bool,
        owners: Owners,
        guessed: dict[str, str],
    ) -> None:
        self._guessed = guessed  # filled here: the stages whose meaning no column says
        self._target = target
        self._settings = settings
        self._anew = anew
        self._bytes_in_all = to_read
        self._bytes_done = 0
        self._rows_done = 0
        self._now = now
        self._stop = stop
        self._page_rows = page_rows
        self.gone: list[Tombstone] = []  # told with the next page
        # A row of a file without dates has none, or that of its copy in another file would be taken for its own.
        self._says_undated = not is_one_file and "updated_at" in target.columns
        # An export that names owners is often all there is of them: each becomes a user, unless a file gives that one.
        self._users_of_files = owners
        self._owners: dict[str, str] = {}  # as the export calls them -> source_id
        self._over: Record | None = None  # begins the next page
        self._begin()

    def _begin(self) -> None:
        self._read = 0
        self._records: list[Record] = []
        self._by_id: dict[str, Record] = {}
        self._rejects: list[Reject] = []
        self._alive: list[str] = []
        self._users: list[Record] = []

    @property
    def is_full(self) -> bool:
        return self._read >= self._page_rows

    def page(self, bookmark: Bookmark | None = None, *, position: int = 0, whole: bool = False) -> Page:
        """What was collected, and begin the next one. `position`: bytes read of the file under way.

        Raises TransientError once the connector was interrupted.
        """
        if self._stop.is_set():
            raise TransientError("interrupted while reading files.")
        self._rows_done += self._read
        done = self._bytes_done + position
        total = None
        if self._bytes_in_all and done and self._rows_done:
            total = max(self._rows_done, round(self._rows_done * self._bytes_in_all / min(done, self._bytes_in_all)))
        records = self._records or list(self._by_id.values())
        tables = {"users": self._users, self._target.name: records}
        page = Page(
            {table: rows for table, rows in tables.items() if rows},
            self.gone,
            rejects=self._rejects,
            alive=self._alive,
            read=self._read,
            total=total,
            bookmark=bookmark,
            anew=self._anew,
            whole=whole,
        )
        self.gone = []
        self._begin()
        return page

    def read(self, job: Job, outcome: Outcome, bookmark: Bookmark | None = None) -> Iterator[Page]:
        """Every full page of one file; what is left over waits for the next file, or for `page`. Raises StreamError.

        `bookmark` covers the files before this one: the first page that is told carries it.
        """
        source = SourceFile(job.path, job.entry, job.label)
        header = source.header()
        if header:  # else JSON Lines without a line
            plan = plan_for(job.entry, self._settings, self._target, header, label=job.label, now=self._now)
            others = job.state.shared[2] if job.state.shared else 0  # lines whose rows belong to another file
            with closing(source.rows(header)) as rows:  # an error on the way must not leave the file open
                settled = _settled(rows, source, job, outcome)
                if plan.export is not None and plan.export.is_report:
                    settled = without_footer(settled, job.label)
                for row in settled:
                    if row.line <= others:
                        continue
                    if self.is_full:
                        yield self.page(bookmark, position=source.position)
                        bookmark = None
                    self._take(row, plan, job, outcome)
                    if plan.guessed:
                        self._guessed |= plan.guessed
                        plan.guessed.clear()
                    if self._over is not None:
                        over, self._over = self._over, None
                        yield self.page(bookmark, position=source.position)
                        bookmark = None
                        self._by_id[over["source_id"]] = over
            outcome.is_cut = (source.ends_midway or source.ends_in_value) and outcome.is_cut
            outcome.ends_midway = source.ends_midway
        outcome.has_moved = has_moved(job.path, job.state)
        self._bytes_done += job.state.size

    def _take(self, row: Row, plan: Plan, job: Job, outcome: Outcome) -> None:
        self._read += 1
        outcome.bad.rows += 1
        outcome.is_cut = False
        try:
            if row.problem:
                raise BadRow(row.problem)
            record = plan.record(row.cells)
            if record is None:
                return
            source_id = record.get("source_id")
            if plan.names_owners:
                self._note_owner(record)
            if self._target.shape.is_event:
                if not source_id:
                    record["source_id"] = f"{job.state.place}#{row.line}"
                    outcome.last_line = row.line
                outcome.rows += 1
                self._records.append(record)
            elif not source_id:
                raise BadRow("source_id is missing", column="source_id")
            else:
                updated_at = record.get("updated_at")
                if self._says_undated:
                    record["updated_at"] = updated_at
                outcome.saw(updated_at)
                outcome.rows += 1
                held = self._by_id.get(source_id)
                # The rule rows of different pages are held to: a row without a date counts by its place.
                if held is not None and updated_at and not held.get("updated_at"):
                    self._over = record  # in a page of its own: what it follows outdoes rows it does not itself
                elif held is None or not updated_at or updated_at >= (held.get("updated_at") or ""):
                    self._by_id[source_id] = record
        except BadRow as error:
            outcome.bad.note(error)
            self._reject(row, str(error), plan, job, outcome)

    def _note_owner(self, record: Record) -> None:
        owner = record.get("owner_id")
        if not owner or _SALESFORCE_ID.fullmatch(owner):
            return
        if owner not in self._owners:
            known = self._users_of_files.find(owner)
            self._owners[owner] = known or owner
            if known is None:
                self._users.append({"source_id": owner, "source": record["source"], "name": owner})
        record["owner_id"] = self._owners[owner]

    def _reject(self, row: Row, reason: str, plan: Plan, job: Job, outcome: Outcome) -> None:
        outcome.is_cut = True
        self._rejects.append(Reject(f"{job.label} line {row.line}", reason, _content(row)))
        if self._target.shape.is_event and "source_id" not in {step[0] for step in plan.steps}:
            self._alive.append(f"{job.state.place}#{row.line}")
            outcome.last_line = row.line
        elif source_id := plan.source_id(row.cells):
            self._alive.append(source_id)
            outcome.rows += 1
        else:
            outcome.nameless += 1


def plan_for(
    entry: FilesTable, settings: FilesSettings, target: Target, header: Sequence[str], *, label: str, now: str = ""
) -> Plan:
    """How the rows under `header` become records. Raises StreamError where they cannot."""
    try:
        return compile_plan(entry, settings, target, header, now=now)
    except SourceConfigError as error:
        raise StreamError(f"{label}: {error.message}", mend=error.mend) from None


def _settled(rows: Iterable[Row], source: SourceFile, job: Job, outcome: Outcome) -> Iterator[Row]:
    """The rows of a file; its last one only if it is not half of one: being written right now, or broken off."""
    held: Row | None = None
    for row in rows:
        if held is not None:
            yield held
        held = row
    if held is None or (source.ends_midway and has_moved(job.path, job.state)):
        return
    if job.is_ended and source.ends_in_value and not held.problem:
        outcome.is_open = True
        return
    yield held


def _content(row: Row) -> str:
    """A bad row for the reject file, cut where it is long."""
    text = row.text.strip() or ",".join("" if cell is None else str(cell)[:_CONTENT] for cell in row.cells)
    return text[:_CONTENT]
