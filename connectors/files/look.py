"""What `check` sees in files without loading them: whether they can be read, and what of them a person should know."""

from collections import deque
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from connectors.errors import ConnectorError, StreamError
from connectors.files import inventory
from connectors.files.bad_rows import BadRows, error_of
from connectors.files.failures import Failure
from connectors.files.footers import may_be_footer
from connectors.files.mapping import BadRow, Plan, Target, lenient_header
from connectors.files.pages import plan_for
from connectors.files.reader import Row, SourceFile
from connectors.files.settings import FilesSettings, FilesTable

#: Lines of JSON Lines that are looked at for their keys, where only what there may be is told.
FIRST_LINES = 1_000
#: So many rows are taken as a sync would.
_FIRST_ROWS = 200
#: A file no larger than this is read to its end, while all of a source together are no larger than the other.
WHOLE_BYTES, WHOLE_BYTES_IN_ALL = 4_000_000, 8_000_000
_PACKED = 8  # how much a packed file may hold for its size
#: Files of an entry that are looked at: the newest ones.
LOOKED_AT = 50
#: Stands for a time later than any close date of an export.
_LATE = "9999-12-31T23:59:59Z"


class Look:
    """One look at all files of a source. `exports`: what of them is a CRM's own export, in the order seen."""

    def __init__(self, settings: FilesSettings, targets: Mapping[str, Target]) -> None:
        self.exports: dict[str, None] = {}
        self._settings = settings
        self._targets = targets
        self._room = WHOLE_BYTES_IN_ALL

    def entry(self, entry: FilesTable) -> "Seen":
        """The newest LOOKED_AT files of an entry, of a snapshot the newest alone."""
        try:
            there = inventory.survey(entry)
        except StreamError as error:
            return Seen([(entry.path, error)])
        paths = [path for path, _ in there.files]
        lost = there.newest_lost if entry.mode == "snapshot" else there.lost
        seen = Seen([(Path(name).name, error) for name, error in lost], folders=there.folders)
        if lost and (not paths or entry.mode == "snapshot"):
            return seen
        if not paths:
            return Seen([(entry.path, inventory.no_file(entry))])
        looked_at = paths[-1:] if entry.mode == "snapshot" else paths[-LOOKED_AT:]
        failed = 0
        for path in reversed(looked_at):
            try:
                plan = _look(path, entry, self._settings, self._targets[entry.table], whole=self._has_room(path))
            except ConnectorError as error:
                seen.failures.append((path.name, error))
                failed += 1
                continue
            if plan is not None:
                seen.guessed |= plan.guessed
                if plan.export is not None:
                    self.exports[plan.export.object] = None
        seen.will_do = failed < len(looked_at)
        return seen

    def _has_room(self, path: Path) -> bool:
        """Whether a file is small enough to be read to its end."""
        try:
            size = path.stat().st_size * (_PACKED if path.suffix.lower() == ".gz" else 1)
        except OSError:
            return False
        is_small = size <= min(WHOLE_BYTES, self._room)
        self._room -= size if is_small else 0
        return is_small


@dataclass(slots=True)
class Seen:
    """What was seen of an entry: files a sync will refuse, whether one will do, stages guessed, folders skipped."""

    failures: list[Failure] = field(default_factory=list)
    will_do: bool = False
    guessed: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        """A pattern without a file is not: they may be archived once they are loaded."""
        return bool(self.failures) and not self.will_do and not isinstance(self.failures[0][1], inventory.NoMatch)


def _look(path: Path, entry: FilesTable, settings: FilesSettings, target: Target, *, whole: bool) -> Plan | None:
    """Look at the header and the first rows. None: there is no row. Raises ConnectorError where a sync would refuse it.

    `whole`: also whether the rest of it can be read, so that nothing but what becomes of its rows is left to a sync.
    """
    source = SourceFile(path, entry)
    header = source.header(most_lines=None if whole else FIRST_LINES)
    if not source.has_header:
        if not header:
            return None
        if not whole:
            header = lenient_header(entry, target, header)
    plan = plan_for(entry, settings, target, header, label=source.label, now=_LATE)
    rows = BadRows()
    with closing(source.rows(header)) as found:
        for row in islice(found, _FIRST_ROWS):
            _take(row, plan, target, rows)
        if whole:
            deque(found, maxlen=0)
    if most := rows.most:
        raise error_of(source.label, most, first=True)
    return plan


def _take(row: Row, plan: Plan, target: Target, rows: BadRows) -> None:
    """Count one row as a sync would."""
    if plan.export is not None and plan.export.is_report and may_be_footer(row):
        return
    rows.rows += 1
    try:
        if row.problem:
            raise BadRow(row.problem)
        record = plan.record(row.cells)
        if record is not None and not target.shape.is_event and not record.get("source_id"):
            raise BadRow("source_id is missing", column="source_id")
    except BadRow as error:
        rows.note(error)
