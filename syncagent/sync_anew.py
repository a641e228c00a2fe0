"""Readings of a stream from its beginning, as files make them. Every step is within the caller's transaction.

In such a reading the first sight of a record outdoes what is stored, whatever its `updated_at` says: a corrected date
or time zone moves it back. What a whole reading did not hold is gone.
"""

import sqlite3

from connectors.base import Page, Stream
from connectors.errors import StreamError
from syncagent.reconcile import SUSPECT_ROWS, SUSPECT_SHARE, see
from syncagent.rows import Origin, record_id

#: A whole reading that lacks more rows than this, and more than this share of them, is not believed: as of a CRM.
BELIEVED_LOSS, BELIEVED_SHARE = SUSPECT_ROWS, SUSPECT_SHARE


def forget_seen(cache: sqlite3.Connection, origin: Origin, stream: Stream) -> None:
    """Take every mark of the stream away."""
    cache.execute("DELETE FROM sweep_seen WHERE source_name = ? AND stream = ?", (origin.name, stream.name))


def make_way(cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page) -> None:
    """Before a page is written: take the date from rows that its records, seen for the first time, would not outdo."""
    table = stream.tables[0]
    dated = [
        (record_id(origin.name, table, record["source_id"]), record["updated_at"], record["source_id"])
        for record in page.records.get(table, ())
        if record.get("updated_at")
    ]
    cache.executemany(
        f"""UPDATE {table} SET updated_at = NULL
            WHERE id = ?1 AND updated_at > ?2 AND NOT EXISTS (SELECT 1 FROM sweep_seen AS s
                WHERE s.source_name = ?4 AND s.stream = ?5 AND s.source_id = ?3)""",
        [(*row, origin.name, stream.name) for row in dated],
    )


def note_seen(cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page) -> None:
    """After a page is written: mark what it held."""
    see(cache, origin, stream, page)


def count_live(cache: sqlite3.Connection, origin: Origin, stream: Stream) -> int:
    """The live rows of the stream: asked before a reading begins, it is what the reading is held against."""
    table = stream.tables[0]
    found: int = cache.execute(
        f"SELECT count(*) FROM {table} WHERE id >= ? AND id < ? AND is_deleted = 0", _span(origin, table)
    ).fetchone()[0]
    return found


def delete_unseen(
    cache: sqlite3.Connection,
    origin: Origin,
    stream: Stream,
    *,
    synced_at: str,
    is_asked: bool,
    known: int,
) -> int:
    """After the last page of a whole reading: mark what it did not hold as deleted; how many rows.

    `known`: the live rows when it began. Since when is not known: no deleted_at. Raises
    StreamError, before anything is changed, where too much would go; `is_asked` (a person's own `sync --full`)
    carries it out all the same.
    """
    table = stream.tables[0]
    unseen = (
        f"{table} WHERE id >= ?1 AND id < ?2 AND is_deleted = 0 AND NOT EXISTS (SELECT 1 FROM sweep_seen AS s"
        f" WHERE s.source_name = ?3 AND s.stream = ?4 AND s.source_id = {table}.source_id)"
    )
    names = (*_span(origin, table), origin.name, stream.name)
    gone: int = cache.execute(f"SELECT count(*) FROM {unseen}", names).fetchone()[0]
    if gone > max(BELIEVED_LOSS, BELIEVED_SHARE * known) and not is_asked:
        raise StreamError(
            f"{gone:,} of {known:,} rows are no longer there: nothing was deleted.",
            mend=f"If that is right, run `syncagent sync {origin.name} --full`.",
        )
    if gone:
        cache.execute(
            f"UPDATE {table} SET is_deleted = 1, deleted_at = NULL, synced_at = ?5"
            f" WHERE id IN (SELECT id FROM {unseen})",
            (*names, synced_at),
        )
    forget_seen(cache, origin, stream)
    return gone


def _span(origin: Origin, table: str) -> tuple[str, str]:
    """The ids of a source in a table lie between these (';' follows ':')."""
    return f"{origin.name}:{table}:", f"{origin.name}:{table};"
