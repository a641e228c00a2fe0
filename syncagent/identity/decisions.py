"""What people said of two records: that they are the same, or that they are not, whatever the rules say.

Said in the configuration (`[identity] link`, `never_link`) or by a command. What a command said lives in state.db,
which cannot be rebuilt; the cache holds a copy that every opening of it brings up to date. The configuration goes
first.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from syncagent.identity.clusters import Saying

CONFIG, COMMAND = "config", "command"
LINK, NEVER = "link", "never"

STATE_SCHEMA = """
CREATE TABLE link_decisions (
    a_id TEXT NOT NULL,              -- a_id < b_id
    b_id TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('link', 'never')),
    said_by TEXT NOT NULL,
    said_at TEXT NOT NULL,
    note TEXT,
    PRIMARY KEY (a_id, b_id)
) WITHOUT ROWID;
"""

#: Pair -> (verdict, who said so, since when, why).
Said = Mapping[tuple[str, str], tuple[str, str, str | None, str | None]]


def ordered(a: str, b: str) -> tuple[str, str]:
    """A pair as it is stored."""
    return (a, b) if a < b else (b, a)


def adopt_config(cache: sqlite3.Connection, links: Iterable[tuple[str, str]], never: Iterable[tuple[str, str]]) -> None:
    """Hold what the configuration says now; rows of which something else is said are marked as changed."""
    said: dict[tuple[str, str], tuple[str, str, str | None, str | None]]
    said = {ordered(*pair): (LINK, CONFIG, None, None) for pair in links}
    said |= {ordered(*pair): (NEVER, CONFIG, None, None) for pair in never}
    _adopt(cache, CONFIG, said)


def commanded(state: sqlite3.Connection) -> Said:
    """What commands said, as state.db holds it."""
    rows = state.execute("SELECT a_id, b_id, verdict, said_by, said_at, note FROM link_decisions")
    return {(a, b): (verdict, by, at, note) for a, b, verdict, by, at, note in rows}


def is_held(cache: sqlite3.Connection, said: Said) -> bool:
    """Does the cache hold just this of what commands said?"""
    return _held(cache, COMMAND) == said


def adopt_commands(cache: sqlite3.Connection, said: Said) -> None:
    """Hold in the cache what state.db holds, within the caller's transaction."""
    _adopt(cache, COMMAND, said)


def decide(
    state: sqlite3.Connection, pair: tuple[str, str], verdict: str, *, said_by: str, said_at: str, note: str | None
) -> None:
    """Keep what somebody said of two records; it replaces what was said of them before."""
    state.execute(
        "INSERT OR REPLACE INTO link_decisions (a_id, b_id, verdict, said_by, said_at, note) VALUES (?, ?, ?, ?, ?, ?)",
        (*ordered(*pair), verdict, said_by, said_at, note),
    )


def take_back(state: sqlite3.Connection, pair: tuple[str, str]) -> bool:
    """Forget what a command said of two records; False where none did."""
    return state.execute("DELETE FROM link_decisions WHERE a_id = ? AND b_id = ?", ordered(*pair)).rowcount > 0


def sayings_of(cache: sqlite3.Connection, table: str) -> dict[tuple[str, str], Saying]:
    """What is said of the pairs among the ids in a temp table."""
    rows = cache.execute(
        f"SELECT d.a_id, d.b_id, d.verdict, d.said_by, d.said_at, d.note FROM {table} q"
        " CROSS JOIN link_decisions d ON d.a_id = q.id ORDER BY d.origin = 'config'"
    )
    return {(a, b): Saying(verdict, by, at, note) for a, b, verdict, by, at, note in rows}


def said_of(cache: sqlite3.Connection, pair: tuple[str, str], origin: str) -> str | None:
    """The verdict on two records from one side: link, never, or None where nothing is said."""
    found = cache.execute(
        "SELECT verdict FROM link_decisions WHERE a_id = ? AND b_id = ? AND origin = ?", (*ordered(*pair), origin)
    ).fetchone()
    return str(found[0]) if found else None


def _held(cache: sqlite3.Connection, origin: str) -> Said:
    rows = cache.execute(
        "SELECT a_id, b_id, verdict, said_by, said_at, note FROM link_decisions WHERE origin = ?", (origin,)
    )
    return {(a, b): (verdict, by, at, note) for a, b, verdict, by, at, note in rows}


def _adopt(cache: sqlite3.Connection, origin: str, said: Said) -> None:
    known = _held(cache, origin)
    for pair in known.keys() | said.keys():
        if known.get(pair) == said.get(pair):
            continue
        cache.execute("DELETE FROM link_decisions WHERE a_id = ? AND b_id = ? AND origin = ?", (*pair, origin))
        if pair in said:
            cache.execute(
                "INSERT INTO link_decisions (a_id, b_id, origin, verdict, said_by, said_at, note)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*pair, origin, *said[pair]),
            )
        cache.executemany("INSERT INTO dirty VALUES ('identity', ?) ON CONFLICT DO NOTHING", [(id_,) for id_ in pair])
