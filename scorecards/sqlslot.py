"""The `sql` slot: an admin's own SELECT, read-only, allowed to look and nothing else, and stopped after a while.

The statement sees :start and :end (UTC instants), :start_date and :end_date (local days, half-open), :as_of and
:as_of_date. It returns `value`, and may return `segment` (one row each; the row without one is the total), `n`,
`numerator` and `denominator`.
"""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from scorecards.errors import ScorecardError

TIME_LIMIT_S = 5.0
MAX_ROWS = 2000
MAX_BYTES = 4_000_000
_STEPS = 20_000  # SQLite instructions between two looks at the clock
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
#: Functions that could reach outside the rows, or fill the memory in one step.
_BANNED = {"load_extension", "zeroblob", "randomblob", "printf", "format", "readfile", "writefile", "edit"}


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


def ask(conn: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> list[Answer]:
    """Run an admin's SELECT. Raises SqlSlotError with a plain sentence."""
    deadline = time.monotonic() + TIME_LIMIT_S

    def authorise(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        denied = action == sqlite3.SQLITE_READ and (first or "").startswith("sqlite_")
        denied |= action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _BANNED
        return sqlite3.SQLITE_OK if action in _ALLOWED and not denied else sqlite3.SQLITE_DENY

    # A step limit is asked for by time: this is a stop for runaways, no figure depends on it.
    conn.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
    conn.set_authorizer(authorise)
    longest = conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)  # one giant text would outrun the clock
    try:
        cursor = conn.execute(statement, values)
        names = [column[0].lower() for column in cursor.description or ()]
        if "value" not in names:
            raise SqlSlotError("the statement must return a column named value.")
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(MAX_ROWS + 1)]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise SqlSlotError(f"took longer than {TIME_LIMIT_S:g} s and was stopped.") from error
        raise SqlSlotError(f"cannot be run: {error}.") from error
    except sqlite3.DatabaseError as error:
        said = "it may only read" if "not authorized" in str(error) else str(error)
        raise SqlSlotError(f"cannot be run: {said}.") from error
    finally:
        conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        conn.set_authorizer(None)
        conn.set_progress_handler(None, _STEPS)
    if len(rows) > MAX_ROWS:
        raise SqlSlotError(f"returned more than {MAX_ROWS} rows; group them.")
    for row in rows:
        if row["value"] is not None and not (isinstance(row["value"], int | float) and isfinite(row["value"])):
            raise SqlSlotError("value must be a number or null.")
    return [
        Answer(
            None if row.get("segment") is None else str(row["segment"]),
            row["value"],
            row.get("n"),
            row.get("numerator"),
            row.get("denominator"),
        )
        for row in rows
    ]
