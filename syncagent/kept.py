"""Keeps the answers of complete periods in cache.db, and notes what changed so that none outlives its rows.

What may be kept, `scorecards.kept` says. Here a *revision* counts the transactions that brought facts up to date. An
answer carries the revision of the state it was computed from; what it rests on carries the revision it last changed in:
a table as a whole, a table of facts by day. A later one there, and the answer is computed anew. Between a page of a
sync and the facts that follow from it, the tables it wrote are `stale`: nothing that rests on them is given.

A reader writes nothing: `Shelf` collects, and `store` puts away afterwards, in a short transaction of a writer's.
"""

import json
import logging
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from scorecards import kept as keeping
from scorecards.compiler import Rows
from scorecards.definition import Reporting
from scorecards.facts import FACTS, Fact
from scorecards.kept import Grounds
from scorecards.periods import Slice, local_day
from syncagent.errors import StoreError
from syncagent.schema import TABLES
from syncagent.store import transaction

log = logging.getLogger(__name__)

#: Tables that are not facts and whose every change is noted. What no trigger watches (the agent's own book among it)
#: nothing kept rests on.
WATCHED = (*TABLES, "aliases")
#: Answers are kept up to so many bytes; those that were asked for the longest ago make room.
MOST_BYTES = 256_000_000
#: So long a reader waits for another writer before it gives up storing what it computed.
_PATIENCE_S = 0.25
_TABLES = (
    # key: the question; at: when it was last asked for, as the as_of of that time
    "CREATE TABLE IF NOT EXISTS kept_values (key BLOB PRIMARY KEY, revision INTEGER NOT NULL, at INTEGER NOT NULL,"
    " bounds TEXT NOT NULL, bytes INTEGER NOT NULL, parts BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS kept_values_by_use ON kept_values(at, bytes)",
    "CREATE TABLE IF NOT EXISTS kept_tables (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS kept_days (source TEXT NOT NULL, axis TEXT NOT NULL, place NOT NULL,"
    " revision INTEGER NOT NULL, PRIMARY KEY (source, axis, place)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS kept_stale (name TEXT PRIMARY KEY) WITHOUT ROWID",
)
_REVISION = "COALESCE((SELECT CAST(value AS INTEGER) FROM facts_meta WHERE key = 'revision'), 0)"


def install(conn: sqlite3.Connection, noted: Mapping[str, Collection[str]]) -> None:
    """The tables, and a trigger a watched table and event that `syncagent.changes` does not note. Safe to repeat.

    `noted`: table -> the events of which each row is noted. A note says it already, and a load is to pay for one.
    """
    for statement in _TABLES:
        conn.execute(statement)
    for table in WATCHED:
        for event in ("INSERT", "UPDATE", "DELETE"):
            name = f"kept_{table}_{event.lower()}"
            if event in noted.get(table, ()):
                conn.execute(f"DROP TRIGGER IF EXISTS {name}")
                continue
            conn.execute(
                f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} ON {table}"
                f" BEGIN INSERT INTO kept_stale VALUES ('{table}') ON CONFLICT DO NOTHING; END"
            )


def mark_stale(conn: sqlite3.Connection, table: str) -> None:
    """Notes of a table's rows are being followed: from now on this says that it changed."""
    conn.execute("INSERT INTO kept_stale VALUES (?) ON CONFLICT DO NOTHING", (table,))


# -- noting changes: in the transaction that brings facts up to date -------------------------------------------


def mark(conn: sqlite3.Connection, fact: Fact) -> None:
    """Note where the rows of the units in temp.wanted lie: to be called before and after they are replaced."""
    where = [f"{fact.unit} IN (SELECT id FROM temp.wanted)"]
    if fact.group and conn.execute("SELECT 1 FROM temp.touched LIMIT 1").fetchone():  # what its rows say of each other
        where.append(f"{fact.group} IN (SELECT grp FROM temp.touched)")
    for axis in _axes(fact):
        # Dates are places themselves; of instants the day is.
        value = f"CASE typeof({axis}) WHEN 'integer' THEN ({axis} - (({axis} % 86400) + 86400) % 86400) / 86400"
        for rows in where:
            conn.execute(
                f"INSERT INTO kept_days SELECT DISTINCT '{fact.name}', '{axis}', {value} ELSE {axis} END,"
                f" {_REVISION} + 1 FROM {fact.name} WHERE {rows} AND {axis} IS NOT NULL"
                " ON CONFLICT DO UPDATE SET revision = excluded.revision"
            )
    conn.execute(
        f"INSERT INTO kept_tables VALUES ('{fact.name}', {_REVISION} + 1)"
        " ON CONFLICT DO UPDATE SET revision = excluded.revision"
    )


def settle(conn: sqlite3.Connection) -> None:
    """The end of a transaction that brought facts up to date: what was stale has changed, in a revision of its own."""
    conn.execute(
        f"INSERT INTO kept_tables SELECT name, {_REVISION} + 1 FROM kept_stale WHERE true"
        " ON CONFLICT DO UPDATE SET revision = excluded.revision"
    )
    conn.execute("DELETE FROM kept_stale")
    if conn.execute(f"SELECT 1 FROM kept_tables WHERE revision > {_REVISION} LIMIT 1").fetchone() is not None:
        _count(conn)


def forget(conn: sqlite3.Connection) -> None:
    """Everything is another now, or will be: facts are built anew."""
    for table in ("kept_values", "kept_tables", "kept_days"):
        conn.execute(f"DELETE FROM {table}")
    _count(conn)


def _count(conn: sqlite3.Connection) -> None:
    conn.execute(f"INSERT OR REPLACE INTO facts_meta VALUES ('revision', {_REVISION} + 1)")


def _axes(fact: Fact) -> list[str]:
    return [*fact.anchors, *(["known_from"] if "known_from" in fact.columns else [])]


# -- reading ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """An answer to be stored."""

    key: bytes
    bounds: str
    parts: bytes


class Shelf:
    """What one reader finds kept in the state it sees, and what it would have stored."""

    def __init__(self, conn: sqlite3.Connection, reporting: Reporting, as_of: datetime) -> None:
        """`conn` must be inside a transaction: what is kept and the rows it stands for are of one state.

        Outside of one, and while facts are built, nothing is given and nothing taken.
        """
        self._conn = conn
        self._reporting = reporting
        self.as_of, self._today = int(as_of.timestamp()), local_day(as_of, ZoneInfo(reporting.timezone)).isoformat()
        self._grounds: dict[str, Grounds | None] = {}
        self._revisions: dict[str, int] = {}
        self._stale: set[str] = set()
        self._watched: set[str] = set()
        self._unwatched: set[str] = set()
        self._bounds: dict[tuple[str, str], keeping.Bounds] = {}
        self._latest: dict[tuple[str, str, Any, Any], int] = {}
        self.revision = 0
        self.puts: dict[bytes, Put] = {}
        self.hits: set[bytes] = set()
        self.is_open = self._look()

    def _look(self) -> bool:
        if not self._conn.in_transaction:
            return False
        present = {(row[0], row[1], row[2]) for row in self._conn.execute("PRAGMA table_list")}
        names = {name for schema, name, kind in present if schema == "main" and kind == "table"}
        if not {"kept_values", "kept_stale", "kept_days", "kept_tables", "facts_meta"} <= names:
            return False
        if self._conn.execute("SELECT 1 FROM facts_meta WHERE key = 'building'").fetchone() is not None:
            return False
        beside = {name for schema, name, kind in present if schema != "main" or kind != "table"}
        self._watched = (names & {*WATCHED, *(fact.name for fact in FACTS.values())}) - beside
        self._unwatched = ({name for _, name, _ in present}) - self._watched
        self._stale = {row[0] for row in self._conn.execute("SELECT name FROM kept_stale")}
        for table in WATCHED:
            notes = f"changed_{table}"
            if notes in names and self._conn.execute(f"SELECT 1 FROM {notes} LIMIT 1").fetchone() is not None:
                self._stale.add(table)
        self._revisions = dict(map(tuple, self._conn.execute("SELECT name, revision FROM kept_tables")))
        self.revision = self._conn.execute(f"SELECT {_REVISION}").fetchone()[0]
        return True

    def kept(self, rows: Rows, slice_: Slice, form: str) -> bytes | None:
        """The answer kept of a slice, where nothing it rests on has changed."""
        on = self._on(rows, slice_)
        if on is None:
            return None
        key = keeping.key(rows, slice_, form, self._reporting)
        if key in self.puts:  # computed a moment ago: several KPIs ask for one figure
            return self.puts[key].parts
        row = self._conn.execute("SELECT revision, bounds, parts FROM kept_values WHERE key = ?", (key,)).fetchone()
        if row is None or self._changed(on, rows, slice_) > row[0]:
            return None
        if not keeping.holds(json.loads(row[1]), self.as_of, self._today):
            return None
        self.hits.add(key)
        return bytes(row[2])

    def keep(self, rows: Rows, slice_: Slice, form: str, said: bytes) -> None:
        """Note an answer that was computed from the state seen, to be stored."""
        if self._on(rows, slice_) is None:
            return
        try:
            bounds = self._bounds_of(rows, slice_)
        except sqlite3.Error:  # a row beside the ones asked for holds what cannot be compared
            return
        key = keeping.key(rows, slice_, form, self._reporting)
        self.puts[key] = Put(key, json.dumps(bounds), said)

    def _bounds_of(self, rows: Rows, slice_: Slice) -> keeping.Bounds:
        """Asked once of what is the same for many: of all rows, whatever the slice, and of whole tables."""
        rests, values = rows.rests, rows.of(slice_)
        bound = sorted((name, value) for name, value in rows.values.items() if not name.startswith(keeping.OF_AS_OF))
        asked = (rests.among, repr((rests.turns, bound))) if rests is not None and rests.of_all else ("", "")
        if not any(asked) or asked not in self._bounds:
            self._bounds[asked] = keeping.bounds(self._conn, rows, slice_)
        found = self._bounds[asked]
        for kind, table, column in keeping.beside(rows.sql) or ():
            whole = (kind, f"{table}.{column}")
            if whole not in self._bounds:
                self._bounds[whole] = keeping.bounds_beside(self._conn, kind, table, column, values)
            found = keeping.narrower(found, self._bounds[whole])
        return found

    def _on(self, rows: Rows, slice_: Slice) -> Grounds | None:
        if not self.is_open or not slice_.complete or slice_.day_start >= slice_.day_end:
            return None  # a period that still runs, or a mere instant: nobody asks for it again
        if slice_.span.granularity == "all":
            return None  # all there is up to as_of: another question every time
        if rows.sql not in self._grounds:
            self._grounds[rows.sql] = keeping.grounds(rows, self._watched, self._unwatched)
        on = self._grounds[rows.sql]
        if on is None or on.followed in self._stale or on.tables & self._stale:
            return None
        return on

    def _changed(self, on: Grounds, rows: Rows, slice_: Slice) -> int:
        """The revision in which what the answer rests on last changed."""
        latest = max((self._revisions.get(table, 0) for table in on.tables), default=0)
        if not on.source:
            return latest
        asked = (on.source, on.axis, *keeping.stretch(rows, slice_))
        if asked not in self._latest:
            found = self._conn.execute(
                "SELECT MAX(revision) FROM kept_days WHERE source = ? AND axis = ? AND place BETWEEN ? AND ?", asked
            ).fetchone()[0]
            self._latest[asked] = found or 0
        return max(latest, self._latest[asked])


# -- storing ---------------------------------------------------------------------------------------------------


def put_away(cache: sqlite3.Connection, shelf: Shelf) -> None:
    """Store what a reader of `cache` computed, by a writer of its own. Where that cannot be, the next one computes."""
    if cache.in_transaction or not (shelf.puts or shelf.hits):
        return
    try:
        with closing(_writer_beside(cache)) as writer:
            store(writer, shelf)
    except (StoreError, sqlite3.Error) as error:
        log.info("values are not kept: %s", error, extra={"action": "kept.not_stored"})


def _writer_beside(cache: sqlite3.Connection) -> sqlite3.Connection:
    """A writer for what may as well be given up: it waits for nobody long, and installs nothing."""
    path = Path(cache.execute("PRAGMA database_list").fetchone()[2])
    uri = f"{path.absolute().as_uri()}?mode=rw"
    conn = sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None)
    conn.execute("PRAGMA synchronous = NORMAL")
    return conn


def store(conn: sqlite3.Connection, shelf: Shelf, *, most_bytes: int = MOST_BYTES) -> int:
    """Store what a reader computed, where the facts are still those it saw; returns how many answers were stored."""
    if not shelf.puts and not shelf.hits:
        return 0
    with transaction(conn):
        if conn.execute(f"SELECT {_REVISION}").fetchone()[0] != shelf.revision:
            return 0
        conn.executemany(
            "UPDATE kept_values SET at = ?1 WHERE key = ?2 AND at < ?1", [(shelf.as_of, k) for k in shelf.hits]
        )
        conn.executemany(
            "INSERT OR REPLACE INTO kept_values VALUES (?, ?, ?, ?, ?, ?)",
            [(p.key, shelf.revision, shelf.as_of, p.bounds, len(p.parts), p.parts) for p in shelf.puts.values()],
        )
        _make_room(conn, most_bytes)
    return len(shelf.puts)


def _make_room(conn: sqlite3.Connection, most_bytes: int) -> None:
    total = conn.execute("SELECT COALESCE(SUM(bytes), 0) FROM kept_values").fetchone()[0]
    if total <= most_bytes:
        return
    gone: list[tuple[int]] = []
    for rowid, size in conn.execute("SELECT rowid, bytes FROM kept_values ORDER BY at, rowid").fetchall():
        if total <= most_bytes:
            break
        gone.append((rowid,))
        total -= size
    conn.executemany("DELETE FROM kept_values WHERE rowid = ?", gone)
