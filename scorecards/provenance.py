"""How fresh the rows are and since when there are any: read from what the sync left in the cache."""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from scorecards.definition import Kpi
from scorecards.facts import FACTS
from scorecards.values import Freshness
from scorecards.wanted import Wanted, any_of

#: The name under which the sync notes a refused login; no table is called so.
LOGIN = "login"


def freshness(
    conn: sqlite3.Connection, tables: Collection[str], sources: Collection[str] | None = None
) -> list[Freshness]:
    """Per source that fills one of these tables (of every table when none is named): when it was last complete.

    `sources` are those configured now (None: all there is a note of): of any other one no sync will come.
    """
    rows = conn.execute(
        "SELECT source_name, stream, ok_at, error, error_at, withdrawn_at FROM sync_state ORDER BY source_name, stream"
    ).fetchall()
    found: dict[str, Freshness] = {}
    refused: dict[str, Freshness] = {}
    for name, stream, ok_at, error, error_at, withdrawn_at in rows:
        if sources is not None and name not in sources:
            continue
        if stream == LOGIN:
            # Not a stream of rows: it only says that a source cannot be reached at all.
            if error is not None:
                refused[name] = Freshness(name, None, error, _moment(error_at))
            continue
        if tables and stream not in tables:
            continue
        if withdrawn_at is not None and not holds_records(conn, name, stream):
            continue
        known = found.get(name)
        synced = _moment(ok_at)
        if known is not None and (known.synced_at is None or (synced is not None and known.synced_at <= synced)):
            synced = known.synced_at  # a source is as fresh as its oldest stream
        error = None if withdrawn_at is not None else error  # its records say themselves that they are old
        failing = error or (known.error if known else None)
        since = _moment(error_at) if error else (known.failing_since if known else None)
        gone = [*(known.withdrawn if known else ())]
        if withdrawn_at is not None:
            gone.append((stream, _moment(ok_at)))
        found[name] = Freshness(name, synced, failing, since, gone)
    for name, said in refused.items():
        if name in found or not tables:
            synced = found[name].synced_at if name in found else None
            found[name] = replace(said, synced_at=synced)
    return list(found.values())


def late(ages: Sequence[Freshness], as_of: datetime, max_age_s: float | None) -> str | None:
    """Why the figure is old, when a source it needs was not synced within max_age_s before as_of."""
    if max_age_s is None:
        return None
    for age in ages:
        for stream, read_at in age.withdrawn:
            if read_at is None or (as_of - read_at).total_seconds() > max_age_s:
                return no_longer_read(age.source, stream, read_at)
        if age.synced_at is None:
            return f"{age.source} has never been synced completely"
        if (as_of - age.synced_at).total_seconds() > max_age_s:
            return f"{age.source} was last synced {age.synced_at:%Y-%m-%d %H:%M} UTC"
    return None


def no_longer_read(source: str, stream: str, read_at: datetime | None) -> str:
    """`hs tickets can no longer be read since 2026-11-02 03:00 UTC`: until then its records are as they were."""
    since = f" since {read_at:%Y-%m-%d %H:%M} UTC" if read_at is not None else ", and never was completely"
    return f"{source} {stream} can no longer be read{since}"


def holds_records(conn: sqlite3.Connection, source: str, stream: str) -> bool:
    """Whether records of a stream still count. One that is withdrawn and left none says nothing about any figure."""
    if conn.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (stream,)).fetchone() is None:
        return False
    statement = f'SELECT 1 FROM "{stream}" WHERE source_name = ? AND is_deleted = 0 LIMIT 1'
    return conn.execute(statement, (source,)).fetchone() is not None


def history_begins(conn: sqlite3.Connection, table: str) -> date | None:
    """The first day every source of a table covers; None when they cover all there is."""
    row = conn.execute("SELECT MAX(covered_from) FROM sync_state WHERE stream = ?", (table,)).fetchone()
    return date.fromisoformat(row[0][:10]) if row and row[0] else None


def unset(has: Callable[[Wanted], bool], kpi: Kpi) -> str | None:
    """What is not configured of that a KPI must have, as a sentence: a parameter or a mapping nobody set."""
    for wanted in kpi.configured_by:
        name = wanted.removeprefix("params.")
        is_set = bool(kpi.params.get(name)) if name != wanted else has(any_of(wanted)[0])
        if not is_set:
            hint = kpi.maps or (f"Set params.{name}." if name != wanted else f"Map {wanted}.")
            return f"not configured: {wanted.replace('_', ' ')} is not set. {hint}"
    return None


def has(conn: sqlite3.Connection, wanted: Wanted, *, ever: bool = False) -> bool:
    """Is there any live row that is as wanted in every column? Of what there is to be none of: is there none?

    `ever`: a row deleted since will do, for it shows as well that somebody fills the columns.
    """
    tests = [f"{column} IS NOT NULL" if value is None else f"{column} = ?" for column, value in wanted.columns]
    live = [] if ever and tests and not wanted.is_none else ["is_deleted = 0"]
    statement = f"SELECT 1 FROM {wanted.table} WHERE {' AND '.join([*live, *tests])} LIMIT 1"
    found = conn.execute(statement, [value for _, value in wanted.columns if value is not None]).fetchone()
    return (found is None) == wanted.is_none


def facts_are_whole(conn: sqlite3.Connection) -> bool:
    """False while a build of the fact tables is not at its end: what they hold is part of what there is.

    And where an earlier version made them, with other columns: the next sync builds them anew.
    """
    if conn.execute("SELECT 1 FROM facts_meta WHERE key = 'building'").fetchone() is not None:
        return False
    found: dict[str, list[str]] = {}
    for table, column in conn.execute(
        "SELECT m.name, c.name FROM sqlite_master m CROSS JOIN pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name LIKE 'fact@_%' ESCAPE '@' ORDER BY m.name, c.cid"
    ):
        found.setdefault(table, []).append(column)
    return all(found.get(fact.name, [*fact.columns]) == [*fact.columns] for fact in FACTS.values())


def facts_lack(conn: sqlite3.Connection, part: str, asked: object) -> bool:
    """Is this none of what facts were made for, of a part of the settings they are made by (`Fact.uses`)?"""
    row = conn.execute("SELECT value FROM facts_meta WHERE key = ?", (f"made {part}",)).fetchone()
    return row is not None and asked not in json.loads(row[0])


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
