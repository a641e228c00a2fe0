"""What `check` sees in one file without loading it: whether it can be read, and what of it a person should know."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from connectors.files.bad_rows import BadRows, error_of
from connectors.files.footers import may_be_footer
from connectors.files.mapping import BadRow, Plan, Target, lenient_header
from connectors.files.pages import plan_for
from connectors.files.reader import Row, SourceFile
from connectors.files.settings import FilesSettings, FilesTable

#: Lines of JSON Lines that are looked at for their keys, where only what there may be is told.
FIRST_LINES = 1_000
#: So many rows are taken as a sync would.
_FIRST_ROWS = 200
#: Stands for a time later than any close date of an export.
_LATE = "9999-12-31T23:59:59Z"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file was recognised as ("": no CRM's export), and the stages of it whose meaning was guessed."""

    export: str = ""
    guessed: Mapping[str, str] = field(default_factory=dict)


def look(path: Path, entry: FilesTable, settings: FilesSettings, target: Target) -> Seen:
    """Look at the header and the first rows. Raises ConnectorError where a sync would refuse the file."""
    source = SourceFile(path, entry)
    header = source.header(most_lines=FIRST_LINES)
    if not source.has_header:
        if not header:
            return Seen()
        header = lenient_header(entry, target, header)
    plan = plan_for(entry, settings, target, header, label=source.label, now=_LATE)
    rows = BadRows()
    with closing(source.rows(header)) as found:
        for row in islice(found, _FIRST_ROWS):
            _take(row, plan, target, rows)
    if most := rows.most:
        raise error_of(source.label, most, first=True)
    return Seen(plan.export.object if plan.export else "", plan.guessed)


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
