"""What is wrong with an admin's own SELECT, said before it is run: it is compiled against the cache's tables, empty."""

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from difflib import get_close_matches

from scorecards import sqlclock
from scorecards.checks import Problem
from scorecards.definition import Reporting
from scorecards.facts import FACTS
from scorecards.sqlchild import FUNCTION, PERIODS, WITHIN_PERIOD, Gate, Stopped, prepare
from scorecards.sqlslot import personal, tables_read

#: What a statement may ask for as :NAME.
VALUES = (*WITHIN_PERIOD, "as_of", "as_of_date")
_WRITE = "Write one SELECT that returns a column named value."


def problems(statement: str, reporting: Reporting) -> Iterator[Problem]:
    """Every problem of the statement: (path, sentence, mend). Runs nothing of it."""
    if not re.match(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values)\b", statement, re.IGNORECASE | re.DOTALL):
        yield "sql", "is not a SELECT.", _WRITE
        return
    columns = _columns(reporting)
    with closing(_empty(columns)) as conn:
        gate = Gate(conn, tables_read(reporting), personal(reporting))
        try:
            prepare(conn, statement, dict.fromkeys(VALUES), gate)
        except Stopped as stop:
            yield _refused(stop.said) if stop.code == "refused" else _misread(stop.said, statement, columns)
            return
        if clock := sqlclock.clock_of(statement):
            yield "sql", f"{clock} is refused: it is the clock's time, not that the KPI is asked for.", sqlclock.MEND
        for place in sorted(gate.blanked):
            column = place.partition(".")[2]
            if re.search(rf"\b{column}\b", statement, re.IGNORECASE):
                mend = "Count ids instead, or filter in a KPI without sql."
                yield "sql", f"{place} names a person, and reads as null here.", mend
        if not _returns(conn, "value", statement):
            yield "sql", "returns no column named value.", "Name one, as in SELECT COUNT(*) AS value."
        if PERIODS in gate.read and not _returns(conn, "period", statement):
            said = "reads the table periods, and does not return the period of each row."
            yield "sql", said, "Add periods.period to what it selects."


def _columns(reporting: Reporting) -> dict[str, tuple[str, ...]]:
    canonical = {table: tuple(columns) for table, columns in reporting.tables.items()}
    return {**canonical, **{fact.name: fact.columns for fact in FACTS.values()}}


def _empty(columns: Mapping[str, Collection[str]]) -> sqlite3.Connection:
    """The tables a statement may read, without a row."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    for table, names in columns.items():
        conn.execute(f"CREATE TABLE {table} ({', '.join(names)})")
    conn.execute(f"CREATE TEMP TABLE {PERIODS} (period, {', '.join(WITHIN_PERIOD)})")
    conn.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    return conn


def returns_segments(statement: str, reporting: Reporting) -> bool:
    """Whether the statement says of which segment a row is."""
    with closing(_empty(_columns(reporting))) as conn:
        return _returns(conn, "segment", statement)


def _returns(conn: sqlite3.Connection, column: str, statement: str) -> bool:
    """Whether the statement has such a column: asked of the compiler, since to run it might never end."""
    inner = re.sub(r"[;\s]+$", "", statement)
    try:
        conn.execute(f"EXPLAIN SELECT asked.{column} FROM ({inner}\n) AS asked", dict.fromkeys(VALUES)).close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        return "no such column" not in str(error)  # anything else is no word on it
    return True


def _refused(what: str) -> Problem:
    if what.removeprefix(FUNCTION) in sqlclock.CHANGING:
        return "sql", f"{what} is refused: it says something else each time it is asked.", "Take it away."
    return "sql", f"may only read the cache's tables: {what or 'more'} is refused.", _WRITE


def _misread(said: str, statement: str, columns: Mapping[str, Collection[str]]) -> Problem:
    """SQLite's word on it, with what was meant."""
    if found := re.fullmatch(r"no such table: (.+)", said):
        return "sql", f"no table is called {found[1]!r}.", _meant(found[1].rpartition(".")[2], [*columns, PERIODS])
    if found := re.fullmatch(r"no such column: (.+)", said):
        named = {table for table in columns if re.search(rf"\b{table}\b", statement)}
        known = sorted({column for table in named or columns for column in columns[table]})
        return "sql", f"no column is called {found[1]!r}.", _meant(found[1].rpartition(".")[2], known)
    if found := re.search(r"binding parameter :(\w+)", said):
        return "sql", f"no value is called :{found[1]}.", _meant(found[1], VALUES)
    if "one statement at a time" in said:
        return "sql", "is more than one statement.", _WRITE
    return "sql", f"cannot be read: {said}.", _WRITE


def _meant(said: str, known: Collection[str]) -> str:
    near = get_close_matches(said.lower(), known, 1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Known are: {', '.join(known)}." if len(known) <= 8 else "docs/tables.md lists them."
