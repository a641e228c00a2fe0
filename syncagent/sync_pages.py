"""Writes one page: records, lines and links gone, deletions, merges, definitions, bookmark; in one transaction."""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from connectors.base import Merge, Page, Record, Reject, Stream
from scorecards.values import instant
from syncagent.reject_file import append_rejects
from syncagent.rows import Origin, record_id, write_children, write_merges, write_records, write_tombstones
from syncagent.schema import TABLES
from syncagent.stages import DEFINITIONS, write_definitions
from syncagent.store import data_dir_of, transaction
from syncagent.sync_state import Run

log = logging.getLogger(__name__)

#: What else belongs into the page's transaction: a bookmark, the marks of a reconciliation.
Also = Callable[[sqlite3.Connection], object]


@dataclass(frozen=True, slots=True)
class Written:
    """What a page did: rows changed (merges included), rows deleted, rows that could not be used."""

    changed: int
    deleted: int
    rejects: list[Reject]


def write_page(
    cache: sqlite3.Connection,
    origin: Origin,
    stream: Stream,
    page: Page,
    run: Run,
    *,
    now: datetime,
    first: Also | None = None,
    also: Also | None = None,
    is_certain: bool = False,
) -> Written:
    """What comes `first`, everything a page holds, and `also`, in one transaction.

    The counts of `run` move only when it is committed.

    `is_certain`: the vendor was asked for these very ids (see `rows.write_records`).
    """
    changed = deleted = 0
    rejects = list(page.rejects)
    synced_at = instant(now)
    with transaction(cache):
        if first is not None:
            first(cache)
        merged = _live_losers(cache, origin, page.merges)
        for table, records in page.records.items():
            if table in DEFINITIONS and stream.name != table:
                changes = write_definitions(cache, origin, table, records, at=now)
                changed += len(changes)
                if changes:
                    from syncagent import drift

                    drift.note_definitions(cache, origin.name, changes, now)
                continue
            marked = _marked(cache, origin, table, records)
            written, refused = write_records(
                cache, origin, table, records, synced_at=synced_at, is_certain=is_certain and table == stream.name
            )
            gone = len(_marked(cache, origin, table, records) - marked)
            changed += written - gone
            deleted += gone
            rejects += refused
        deleted += write_children(cache, origin, page.children, page.records, synced_at=synced_at)
        deleted += write_tombstones(cache, origin, page.tombstones, synced_at=synced_at)
        changed += write_merges(cache, origin, page.merges, synced_at=synced_at)
        if also is not None:
            also(cache)
        if rejects:
            # Before the commit: told twice after a kill is better than never told.
            append_rejects(data_dir_of(cache), origin.name, stream.name, rejects, run=run.id)
    run.read += page.read
    run.changed += changed
    run.deleted += deleted
    run.merged += merged
    run.rejected += len(rejects)
    run.first_reject = run.first_reject or next(iter(rejects), None)
    log.debug(
        "%s %s: a page written: %d read, %d changed, %d deleted, %d rejected",
        origin.name, stream.name, page.read, changed, deleted, len(rejects),
        extra={"action": "page_written"},
    )  # fmt: skip
    return Written(changed, deleted, rejects)


def _live_losers(cache: sqlite3.Connection, origin: Origin, merges: Iterable[Merge]) -> int:
    """How many that counted here until now are merged away; those of old, which a first load brings, never did."""
    ids: dict[str, list[str]] = {}
    for merge in merges:
        ids.setdefault(merge.table, []).append(record_id(origin.name, merge.table, merge.source_id))
    here = "is_deleted = 0 AND merged_into IS NULL AND id IN (SELECT value FROM json_each(?))"
    return sum(
        cache.execute(f"SELECT count(*) FROM {table} WHERE {here}", (orjson.dumps(own).decode(),)).fetchone()[0]
        for table, own in ids.items()
        if table in TABLES
    )


def _marked(cache: sqlite3.Connection, origin: Origin, table: str, records: Sequence[Record]) -> set[str]:
    """Those of the records that say themselves that they are deleted, as a CRM's export does, and are so here."""
    if origin.crm != "files":
        return set()  # a CRM's deletions are tombstones
    ids = [record_id(origin.name, table, record["source_id"]) for record in records if record.get("is_deleted")]
    if not ids:
        return set()
    here = f"SELECT id FROM {table} WHERE is_deleted = 1 AND id IN (SELECT value FROM json_each(?))"
    return {row[0] for row in cache.execute(here, (orjson.dumps(ids).decode(),))}
