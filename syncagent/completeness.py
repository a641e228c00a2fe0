"""How many live records the CRM has, and how many the cache: measured, kept, and judged."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from connectors.base import Stream
from scorecards.values import instant
from syncagent.rows import Origin
from syncagent.store import transaction

#: Counting costs the vendor a call or two: not with every sync.
COUNT_EVERY = timedelta(hours=1)
#: Records come and go between two looks: only more than this of both is a difference.
FEW_ROWS, FEW_SHARE = 5, 0.01
#: A difference the daily comparison had no chance to mend yet is no problem for so long.
MAY_DIFFER = timedelta(hours=24)


def is_time(counted_at: datetime | None, now: datetime) -> bool:
    """Whether to count again; one counted later than now was counted by a clock that has been set back."""
    return counted_at is None or not timedelta() <= now - counted_at < COUNT_EVERY


def note_count(
    cache: sqlite3.Connection, origin: Origin, stream: Stream, crm_count: int, *, now: datetime, is_compared: bool
) -> int:
    """Keep what the CRM says it has beside what is here; the live rows here.

    `is_compared`: every record was compared just now, so what still differs is no matter of time.
    """
    table = stream.tables[0]
    here: int = cache.execute(
        f"SELECT count(*) FROM {table} WHERE id >= ? AND id < ? AND is_deleted = 0 AND merged_into IS NULL",
        (f"{origin.name}:{table}:", f"{origin.name}:{table};"),
    ).fetchone()[0]
    with transaction(cache):
        cache.execute(
            """UPDATE sync_state SET crm_count = ?1, cache_count = ?2, counted_at = ?3,
                   differs_since = CASE WHEN NOT ?4 THEN NULL
                                        WHEN ?5 THEN min(coalesce(differs_since, reconciled_at, ?3), ?3)
                                        ELSE min(coalesce(differs_since, ?3), ?3) END
               WHERE source_name = ?6 AND stream = ?7""",
            (crm_count, here, instant(now), differs(crm_count, here), is_compared, origin.name, stream.name),
        )
    return here


def differs(crm_count: int, cache_count: int) -> bool:
    """Whether two counts differ by more than what comes and goes between two looks."""
    return abs(crm_count - cache_count) > max(FEW_ROWS, FEW_SHARE * max(crm_count, cache_count))


def is_incomplete(row: Mapping[str, Any], now: datetime) -> bool:
    """Whether a stream's counts differ although its records were compared since, or for more than a day.

    `row`: differs_since, reconciled_at and counted_at of `sync_state`.
    """
    since, compared, counted = (row[name] for name in ("differs_since", "reconciled_at", "counted_at"))
    if since is None:
        return False
    if compared is not None and since <= compared <= counted:
        return True
    return now - datetime.fromisoformat(since) > MAY_DIFFER
