"""How old the data behind a scorecard is: the last complete sync of each source its KPIs read."""

import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from scorecards.definition import Kpi
from scorecards.values import Freshness
from syncagent.ledger import moment
from syncagent.schema import TABLES
from syncagent.sync_state import LOGIN


def tables_of(names: Collection[str], kpis: Mapping[str, Kpi]) -> set[str] | None:
    """The tables some KPIs count; None when one of them cannot tell (custom SQL, a derived relation)."""
    tables: set[str] = set()
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        kpi = kpis.get(name)
        if kpi is None or name in seen:
            continue
        seen.add(name)
        if kpi.ratio is not None:
            waiting += [part.partition(".")[0] for part in (kpi.ratio.top, kpi.ratio.bottom)]
        elif kpi.of is not None and kpi.of in TABLES:
            tables.add(kpi.of)
        else:
            return None
    return tables


def of_sources(
    cache: sqlite3.Connection | None, sources: Collection[str], tables: Collection[str] | None
) -> list[Freshness]:
    """Each configured source that feeds one of the tables (all sources when None), by its oldest stream."""
    found = []
    for source in sources:
        known = _streams(cache, source)
        streams = [row for row in known if row["stream"] != LOGIN]
        used = [row for row in streams if tables is None or row["stream"] in tables]
        if streams and not used:
            continue
        synced = [row["ok_at"] for row in used]
        oldest = moment(min(synced)) if synced and all(synced) else None
        failing = [row for row in known if row["error"] and (row in used or row["stream"] == LOGIN)]
        found.append(
            Freshness(
                source,
                oldest,
                error=failing[0]["error"] if failing else None,
                failing_since=moment(failing[0]["error_at"]) if failing and failing[0]["error_at"] else None,
            )
        )
    return found


def late(found: Collection[Freshness], due_at: datetime, max_age_s: float) -> list[Freshness]:
    """Those synced longer than `max_age_s` before the due time, or never."""
    limit = due_at - timedelta(seconds=max_age_s)
    return [one for one in found if one.synced_at is None or one.synced_at < limit]


def sentence(found: Collection[Freshness]) -> str:
    """`sf last synced 2026-11-02 03:00 UTC, hs never synced`."""
    return ", ".join(
        f"{one.source} {f'last synced {one.synced_at:%Y-%m-%d %H:%M} UTC' if one.synced_at else 'never synced'}"
        for one in found
    )


def _streams(cache: sqlite3.Connection | None, source: str) -> list[sqlite3.Row]:
    if cache is None:
        return []
    return cache.execute(
        "SELECT stream, ok_at, error, error_at FROM sync_state WHERE source_name = ?", (source,)
    ).fetchall()
