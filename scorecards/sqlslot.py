"""The `sql` slot: an admin's own SELECT, run in a process of its own that may read the cache and nothing else.

The statement sees :start and :end (UTC instants), :start_date and :end_date (local days, half-open), :as_of and
:as_of_date. It returns `value`, and may return `segment` (one row each; the row without one is the total), `n`,
`numerator` and `denominator`. Rows with a `record_id` are the records behind the value, for `kpi explain`. A statement
that reads the table `periods` (period, start, end, start_date, end_date) answers every period in one run: it returns
`period` too.

What the process may do, `sqlchild` says. All periods of one KPI see one state of the cache: that of when it starts.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scorecards import sqlchild, sqlclock
from scorecards.definition import Reporting
from scorecards.errors import ScorecardError
from scorecards.facts import FACTS
from scorecards.sqlchild import FUNCTION

_START_S = 5.0  # for a busy machine to start a process at all
#: Columns that name or reach a person: a statement reads NULL there.
_PERSONAL_ANYWHERE = ("email", "email_norm", "phone_norm", "first_name", "last_name")
_PERSONAL = {"leads": ("name",)}
#: What the process keeps of the environment: how to find its libraries, and no secret.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LANG")
_PERIOD_WORDS = re.compile(rf":(?:{'|'.join(sqlchild.WITHIN_PERIOD)})\b|\b{sqlchild.PERIODS}\b", re.IGNORECASE)

_SAID = {
    "no_value": "returns no column named value: name one, as in SELECT COUNT(*) AS value",
    "period": "reads the table periods but does not return its period in every row: add periods.period",
    "segments": "returns several rows of one segment: group by it alone, and by the period where it returns that",
    "memory": "needed too much memory and was stopped: group or narrow its rows before they are joined or sorted",
    "ended": "was ended from outside before it answered: the next run tries again",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a statement may go."""

    time_s: float = 5.0  # one run
    total_s: float = 15.0  # all runs of one KPI
    cpu_s: int = 6  # one run, in the middle of a step of SQLite that never looks at the clock
    rows: int = 2000  # of figures, for each period
    most_records: int = 100_000


class SqlSlotError(ScorecardError):
    """The statement cannot be run or did not return what it must."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row the statement returned."""

    segment: str | None
    value: float | int | None
    n: int | None
    numerator: float | None
    denominator: float | None
    record_id: str | None = None


LIMITS = Limits()


def has_periods(statement: str) -> bool:
    """Whether the statement asks for a period at all; one that does not says how things are now."""
    return _PERIOD_WORDS.search(statement) is not None


def tables_read(reporting: Reporting) -> set[str]:
    """The tables a statement may read: the canonical ones and the facts."""
    return {*reporting.tables, *(fact.name for fact in FACTS.values())}


def personal(reporting: Reporting) -> list[str]:
    """`table.column` of all a statement reads NULL in."""
    return [
        f"{table}.{column}"
        for table, columns in reporting.tables.items()
        for column in (*_PERSONAL_ANYWHERE, *_PERSONAL.get(table, ()))
        if column in columns
    ]


def ask(
    conn: sqlite3.Connection,
    statement: str,
    periods: Sequence[Mapping[str, Any]],
    reporting: Reporting,
    *,
    records: bool = False,
    limits: Limits = LIMITS,
) -> list[list[Answer]]:
    """Run an admin's SELECT over the file of `conn`: the rows for each of `periods`, in order; records if wanted.

    Raises SqlSlotError with what is wrong and the mend, as half a sentence that follows "sql of [kpi.NAME]".
    """
    file = conn.execute("PRAGMA database_list").fetchone()[2]
    if not file:
        raise SqlSlotError("needs a cache in a file: run `syncagent sync` first")
    if clock := sqlclock.clock_of(statement):
        raise SqlSlotError(_explained("clock", clock, limits))
    job = {
        "uri": Path(file).absolute().as_uri(),
        "parent": os.getpid(),
        "statement": statement,
        "periods": [dict(values) for values in periods],
        "tables": sorted(tables_read(reporting)),
        "personal": personal(reporting),
        "records": records,
        **asdict(limits),
    }
    found = _run(json.dumps(job), limits)
    if "error" in found:
        raise SqlSlotError(_explained(found["error"], found.get("said", ""), limits))
    return [
        [
            Answer(
                row.get("segment"),
                row["value"],
                row.get("n"),
                row.get("numerator"),
                row.get("denominator"),
                row.get("record_id"),
            )
            for row in rows
        ]
        for rows in found["answers"]
    ]


def environment() -> dict[str, str]:
    """What the process sees of ours."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def _run(job: str, limits: Limits) -> dict[str, Any]:
    """Hand the job to a process of its own and hear what it says; it is gone when this returns."""
    # Isolated (-I) and without site packages (-S): nothing of the folder it is started in, or of anybody's own, runs.
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(Path(sqlchild.__file__))]
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program; the statement is told on stdin
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            encoding="utf-8",
        )
    except OSError as error:
        raise SqlSlotError(f"could not be run, no process could be started ({error.strerror})") from error
    with child:
        try:
            said, _ = child.communicate(job, timeout=limits.total_s + _START_S)
        except subprocess.TimeoutExpired:
            return {"error": "total"}
        finally:
            child.kill()
    if child.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        return {"error": "time"}
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"error": "ended"}


def _explained(code: str, said: str, limits: Limits) -> str:
    match code:
        case "time":
            stopped = f"took longer than {limits.time_s:g} s and was stopped"
            return f"{stopped}: narrow it by :start and :end, or join fewer rows"
        case "total":
            stopped = f"took longer than {limits.total_s:g} s for all its periods and was stopped"
            return f"{stopped}: select from the table periods to answer them in one run"
        case "totals":
            return f"returns {said} totals of one period: name the column that splits them segment, or add them up"
        case "rows":
            return f"returned more than {limits.rows} rows or {limits.most_records} records: group them"
        case "clock":
            read = f"may only look at what was as_of, and {said} is refused"
            return f"{read}: it is the clock's time. {sqlclock.MEND}"
        case "refused" if said.removeprefix(FUNCTION) in sqlclock.CHANGING:
            return f"may only read rows, and {said} is refused: it says something else each time. Take it away"
        case "refused":
            return f"may only read the cache's tables, and {said or 'more'} is refused: write one SELECT"
        case "prepare":
            return f"cannot be run ({said}): correct it, `syncagent check` says what it may name"
        case "run":
            return f"failed while it ran ({said}): correct what it computes"
        case "number":
            return f"returns something else than a number or null as {said}: convert it, as in CAST({said} AS REAL)"
    return _SAID.get(code, _SAID["ended"])
