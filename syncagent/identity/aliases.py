"""Follows every chain of merges and links to its end: `aliases` holds who stands for whom."""

import logging
import sqlite3
from collections.abc import Iterable

from syncagent.identity.tables import ALIASED

log = logging.getLogger(__name__)

MAX_HOPS = 10
_NAMED = 5
_AT_ONCE = 5000

_STEPS = " UNION ALL ".join(
    f"SELECT t.id, COALESCE(t.merged_into, t.dup_of) FROM temp.asked q CROSS JOIN {table} t ON t.id = q.id"
    " WHERE t.merged_into IS NOT NULL OR t.dup_of IS NOT NULL"
    for table in ALIASED
)
_BEFORE = " UNION ALL ".join(
    f"SELECT t.id FROM temp.asked q CROSS JOIN {table} t ON t.merged_into = q.id UNION ALL"
    f" SELECT t.id FROM temp.asked q CROSS JOIN {table} t ON t.dup_of = q.id"
    for table in ALIASED
)


def refresh_aliases(conn: sqlite3.Connection, *, once_more: bool = False) -> bool:
    """Follow anew the chains that changed rows (`dirty` of kind identity) are part of; True if any ends elsewhere now.

    temp.moved then holds the ids others stand for than before: id, was (who did), now (who does); `once_more`: beside
    those it holds already.
    """
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS moved (id TEXT PRIMARY KEY, was TEXT, now TEXT) WITHOUT ROWID")
    if not once_more:
        conn.execute("DELETE FROM temp.moved")
    lost: set[str] = set()
    last = ""
    while True:
        page = "SELECT id FROM dirty WHERE kind = 'identity' AND id > ? ORDER BY id LIMIT ?"
        ids = [row[0] for row in conn.execute(page, (last, _AT_ONCE))]
        if not ids:
            break
        last = ids[-1]
        _refresh(conn, ids, lost)
    if lost:
        log.warning(
            "the merges of %s records run in a circle or over %s steps; they are left out: %s",
            len(lost),
            MAX_HOPS,
            ", ".join(sorted(lost)[:_NAMED]) + (" ..." if len(lost) > _NAMED else ""),
            extra={"action": "merge_circle"},
        )
    return conn.execute("SELECT 1 FROM temp.moved LIMIT 1").fetchone() is not None


def _refresh(conn: sqlite3.Connection, ids: Iterable[str], lost: set[str]) -> None:
    affected: set[str] = set()
    frontier = set(ids)
    while frontier:
        affected |= frontier
        frontier = {row[0] for row in _asked(conn, frontier, _BEFORE)} - affected
    step: dict[str, str] = {}
    frontier = affected
    for _ in range(MAX_HOPS + 1):
        found: dict[str, str] = {row[0]: row[1] for row in _asked(conn, frontier, _STEPS)}
        step |= found
        frontier = set(found.values()) - step.keys()
        if not frontier:
            break
    ends = {id_: _end(id_, step) for id_ in affected & step.keys()}
    lost |= {id_ for id_, end in ends.items() if end is None}
    known = _asked(conn, affected, "SELECT l.id, l.canonical FROM temp.asked q CROSS JOIN aliases l ON l.id = q.id")
    present = {row[0]: row[1] for row in known}
    changed = [id_ for id_ in affected if present.get(id_) != ends.get(id_)]
    conn.executemany("DELETE FROM aliases WHERE id = ?", [(id_,) for id_ in changed])
    conn.executemany("INSERT INTO aliases VALUES (?, ?)", [(id_, ends[id_]) for id_ in changed if ends.get(id_)])
    conn.executemany(
        "INSERT INTO temp.moved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET now = excluded.now",
        [(id_, present.get(id_), ends.get(id_)) for id_ in changed],
    )


def _asked(conn: sqlite3.Connection, ids: Iterable[str], statement: str) -> list[tuple[str, ...]]:
    """What a statement over temp.asked(id) says of these ids."""
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS asked (id TEXT PRIMARY KEY) WITHOUT ROWID")
    conn.execute("DELETE FROM temp.asked")
    conn.executemany("INSERT INTO temp.asked VALUES (?)", [(id_,) for id_ in ids])
    conn.execute("ANALYZE temp.asked")  # else taken for a million, and whole tables are read for a few
    return [tuple(row) for row in conn.execute(statement)]


def _end(id_: str, step: dict[str, str]) -> str | None:
    """The record a chain of merges ends at; None where it has no end, or too far away to be believed."""
    at = id_
    for _ in range(MAX_HOPS + 1):
        if at not in step:
            return at
        at = step[at]
    return None
