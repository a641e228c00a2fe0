"""What became of scorecards' messages, told to the cache: KPIs read cache.db alone, the outbox lies in state.db.

A copy of few columns, and of no address: what is in it can be made anew from the outbox at any time, an admin's own
SQL reads nobody's name, and there is nothing in it to forget.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from syncagent.store import has_state, open_cache, read_state, transaction

_OUTBOX = """
    SELECT id, scorecard, due_at, created_at, sent_at, state, attempts, CASE state WHEN 'dropped' THEN updated_at END
    FROM outbox WHERE kind = 'due' AND id {0}
"""
#: A message that was sent stays so; all others, even dropped ones, may still become something else.
_OPEN = "SELECT id FROM deliveries WHERE state <> 'sent'"
_AT_ONCE = 500


def note_deliveries(data_dir: Path) -> int:
    """Bring the cache's copy up to date with the outbox of a data folder; returns how many messages changed."""
    if not has_state(data_dir):
        return 0
    with closing(open_cache(data_dir)) as cache, closing(read_state(data_dir)) as state:
        return copy_deliveries(cache, state)


def copy_deliveries(cache: sqlite3.Connection, state: sqlite3.Connection) -> int:
    """Copy messages that are new, and those that had not been settled; returns how many changed.

    A copy that knows more than the outbox is one of another outbox (a backup was restored): it is made anew.
    """
    newest = state.execute("SELECT COALESCE(MAX(id), 0) FROM outbox WHERE kind = 'due'").fetchone()[0]
    known = cache.execute("SELECT COALESCE(MAX(id), 0) FROM deliveries").fetchone()[0]
    with transaction(cache):
        if known > newest:
            cache.execute("DELETE FROM deliveries")
            known = 0
        open_ = [row[0] for row in cache.execute(_OPEN)]
        found = [tuple(row) for row in state.execute(_OUTBOX.format("> ?"), (known,))]
        for first in range(0, len(open_), _AT_ONCE):
            some = open_[first : first + _AT_ONCE]
            found += [tuple(row) for row in state.execute(_OUTBOX.format(f"IN ({', '.join('?' * len(some))})"), some)]
        before = cache.total_changes
        cache.executemany(
            "INSERT INTO deliveries (id, scorecard, due_at, queued_at, delivered_at, state, attempts, dropped_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET delivered_at = excluded.delivered_at,"
            " state = excluded.state, attempts = excluded.attempts, dropped_at = excluded.dropped_at WHERE"
            " state <> excluded.state OR attempts <> excluded.attempts OR dropped_at IS NOT excluded.dropped_at",
            found,
        )
        return cache.total_changes - before
