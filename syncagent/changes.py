"""Notes which canonical rows changed, and says which units of which facts follow from them.

One trigger a table and event notes the id, in the writer's own transaction; what that means to every fact is worked out
for many rows at once by `expand`, before facts are brought up to date. So a row costs a first load one note, however
many facts there are. Only what a row says no longer must be marked at once: the unit it was moved away from.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

from scorecards.facts import ITS_IDS, Fact
from syncagent import identity, kept
from syncagent.store import transaction

#: Units whose fact rows are to be derived anew, and (`identity`) rows whose merge or link is to be followed.
DIRTY = "CREATE TABLE IF NOT EXISTS dirty (kind TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID"
#: A row once more is as good as once: no key, which would cost more than the note.
_NOTES = "CREATE TABLE IF NOT EXISTS changed_{0} (id TEXT NOT NULL, event TEXT NOT NULL)"
_AT_ONCE = 20_000

#: `new` says everything of a row, `changed` that a fact follows it, `read` that others read what is now another value.
_NEW, _CHANGED, _READ = "new", "changed", "read"


def install(conn: sqlite3.Connection, facts: Mapping[str, Fact]) -> None:
    """Make the notes and the triggers that write them, and drop those no fact asks for any more. Safe to repeat."""
    conn.execute(DIRTY)
    wanted: dict[str, str] = {}
    for table in _noted(facts):
        conn.execute(_NOTES.format(table))
        wanted |= _triggers(table, facts)
    present = dict(
        conn.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND (name LIKE 'dirty!_%' ESCAPE '!'"
            " OR name LIKE 'identity!_%' ESCAPE '!' OR name LIKE 'changed!_%' ESCAPE '!')"
        ).fetchall()
    )
    for name, statement in present.items():
        if wanted.get(name) != statement:
            conn.execute(f"DROP TRIGGER {name}")
    for name, statement in wanted.items():
        if present.get(name) != statement:
            conn.execute(statement)


def noted(facts: Mapping[str, Fact]) -> dict[str, tuple[str, ...]]:
    """The tables, and the events of which each row is noted."""
    return {table: ("INSERT", "UPDATE") if _says_every_change(table, facts) else ("INSERT",) for table in _noted(facts)}


def _says_every_change(table: str, facts: Mapping[str, Fact]) -> bool:
    return bool(_followers(table, facts) or _names(table, facts))


def forget(conn: sqlite3.Connection, facts: Mapping[str, Fact]) -> None:
    """Drop every note: all units are marked as it is."""
    for table in _noted(facts):
        conn.execute(f"DELETE FROM changed_{table}")


def expand(conn: sqlite3.Connection, facts: Mapping[str, Fact], *, at_once: int = _AT_ONCE) -> None:
    """Mark the units that follow from what was noted, and drop the notes.

    Within the caller's transaction; without one in some of its own, so that other writers get their turn.
    """
    for table in _noted(facts):
        page = f"SELECT max(rowid) FROM (SELECT rowid FROM changed_{table} ORDER BY rowid LIMIT {at_once})"
        while (last := conn.execute(page).fetchone()[0]) is not None:
            with _own_transaction(conn):
                for statement in _marks(table, facts):
                    conn.execute(statement, (last,))
                conn.execute(f"DELETE FROM changed_{table} WHERE rowid <= ?", (last,))
                kept.mark_stale(conn, table)


def _own_transaction(conn: sqlite3.Connection) -> AbstractContextManager[object]:
    return nullcontext() if conn.in_transaction else transaction(conn)


def _noted(facts: Mapping[str, Fact]) -> list[str]:
    """The canonical tables facts follow or read, and those whose rows may stand for others."""
    found = {table for fact in facts.values() for table in fact.follows}
    found |= {table for fact in facts.values() for table, *_ in (*fact.reads, *fact.named)}
    return sorted(found.union(identity.ALIASED))


def _followers(table: str, facts: Mapping[str, Fact]) -> list[tuple[str, str]]:
    """(kind, column of the table that holds its unit) of every fact that follows the table."""
    return [(fact.kind, column) for fact in facts.values() for column in fact.follows.get(table, ())]


def _names(table: str, facts: Mapping[str, Fact]) -> list[tuple[Fact, tuple[str, str, str, str, str]]]:
    return [(fact, name) for fact in facts.values() for name in fact.named if name[0] == table]


def _naming(kind: str, name: tuple[str, str, str, str, str], said: str) -> str:
    """Mark the units of the rows that hold one of the values `said` (SQL)."""
    _, _, between, column, unit = name
    return (
        f"INSERT INTO dirty SELECT '{kind}', own.{unit} FROM {between} own"
        f" WHERE own.{column} IN ({said}) AND own.{unit} IS NOT NULL ON CONFLICT DO NOTHING"
    )


def _triggers(table: str, facts: Mapping[str, Fact]) -> dict[str, str]:
    followers = _followers(table, facts)
    read = sorted({column for fact in facts.values() for place, column, *_ in fact.reads if place == table})
    linked = identity.columns_of(table)

    def made(name: str, happening: str, *statements: str, when: str = "") -> dict[str, str]:
        full = f"changed_{table}_{name}"
        condition = f" WHEN {when}" if when else ""
        body = " ".join(f"{one};" for one in statements)
        return {full: f"CREATE TRIGGER {full} AFTER {happening} ON {table}{condition} BEGIN {body} END"}

    def differs(columns: list[str]) -> str:
        return " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)

    def note(row: str, event: str) -> str:
        return f"INSERT INTO changed_{table} VALUES ({row}.id, '{event}')"

    def leave(kind: str, column: str, when: str = "") -> str:
        # The unit itself and who stands for it. Not OR IGNORE: in a trigger the outer statement's conflict rule would
        # override it.
        return (
            f"INSERT INTO dirty SELECT '{kind}', u FROM (SELECT OLD.{column} AS u UNION ALL"
            f" SELECT a.canonical FROM aliases a WHERE a.id = OLD.{column}) WHERE u IS NOT NULL{when}"
            " ON CONFLICT DO NOTHING"
        )

    left = [leave(k, c, f" AND OLD.{c} IS NOT NEW.{c}") for k, c in followers if c != "id"]
    gone = [leave(kind, column) for kind, column in followers]
    found = made("new", "INSERT", note("NEW", _NEW))
    # Few rows, seldom changed, that many are named after: what they said is marked where it is said no longer.
    named = [_naming(fact.kind, name, f"OLD.{name[1]}") for fact, name in _names(table, facts)]
    if named:
        found |= made("said", "UPDATE", note("NEW", _CHANGED), *named)
        found |= made("said_gone", "DELETE", *named)
    if followers:
        found |= made("changed", "UPDATE", note("NEW", _CHANGED), *left)
        found |= made("gone", "DELETE", *gone)
    if read:
        found |= made("read", f"UPDATE OF {', '.join(read)}", note("NEW", _READ), when=differs(read))
        found |= made("read_gone", "DELETE", note("OLD", _READ))
    if linked:
        # A merge or a link alone changes no fact's own row, yet whose row it is.
        mark = "INSERT INTO dirty VALUES ('identity', {0}.id) ON CONFLICT DO NOTHING"
        found |= made("linked", f"UPDATE OF {', '.join(linked)}", mark.format("NEW"), when=differs(linked))
        found |= made("link_gone", "DELETE", mark.format("OLD"))
    if key := identity.key_of(table):
        said = identity.key_said(table, "OLD")
        parted = f"INSERT INTO link_left VALUES ('{table}', {said}) ON CONFLICT DO NOTHING"
        found |= made("key_left", f"UPDATE OF {key}", parted, when=f"{said} IS NOT NULL AND {differs([key])}")
        found |= made("key_gone", "DELETE", parted, when=f"{said} IS NOT NULL")
    return found


def _marks(table: str, facts: Mapping[str, Fact]) -> Iterator[str]:
    """Statements that mark all that follows from the notes of a table up to a rowid."""

    def noted(*events: str) -> str:
        return f"n.rowid <= ?1 AND n.event IN ({', '.join(map(repr, events))})"

    for kind, column in _followers(table, facts):
        if column == "id":
            source, unit = f"changed_{table} n", "n.id"
        else:
            source, unit = f"changed_{table} n CROSS JOIN {table} t ON t.id = n.id", f"t.{column}"
        yield (
            f"INSERT INTO dirty SELECT '{kind}', {unit} FROM {source}"
            f" WHERE {noted(_NEW, _CHANGED)} AND {unit} IS NOT NULL ON CONFLICT DO NOTHING"
        )
    for fact in facts.values():
        for place, _, between, column, unit in fact.reads:
            if place == table:  # rows that name it, or one that it stands for
                yield (
                    f"INSERT INTO dirty SELECT '{fact.kind}', own.{unit} FROM changed_{table} n"
                    f" CROSS JOIN {between} own ON own.{column} IN ({ITS_IDS.format('n')})"
                    f" WHERE {noted(_NEW, _READ)} AND own.{unit} IS NOT NULL ON CONFLICT DO NOTHING"
                )
    for fact, name in _names(table, facts):
        said = f"SELECT t.{name[1]} FROM changed_{table} n CROSS JOIN {table} t ON t.id = n.id"
        yield _naming(fact.kind, name, f"{said} WHERE {noted(_NEW, _CHANGED)}")
    if identity.columns_of(table):
        yield (
            f"INSERT INTO dirty SELECT 'identity', n.id FROM changed_{table} n CROSS JOIN {table} t ON t.id = n.id"
            f" WHERE {noted(_NEW)} AND ({identity.concerns_new(table)}) ON CONFLICT DO NOTHING"
        )
    if sources := identity.note_sources_of(table):
        yield sources
