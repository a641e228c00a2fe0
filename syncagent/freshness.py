"""How old the data behind a scorecard is: the last complete sync of each source its KPIs read.

A stream that its source gives no more (the settings leave it out, the login may not read it) makes nothing wait: no
sync to come would bring it. What it left behind is told instead.
"""

import sqlite3
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from scorecards.definition import Kpi
from scorecards.provenance import holds_records, no_longer_read
from scorecards.uses import OWN_BOOK, table_behind, tables_beside
from scorecards.values import Freshness
from syncagent.ledger import moment
from syncagent.schema import TABLES
from syncagent.sync_state import LOGIN

#: Withdrawn streams named in one note.
_GONE_NAMED = 2


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
        if kpi.of in OWN_BOOK:
            continue
        if kpi.operands:
            waiting += [part.partition(".")[0] for part in kpi.operands]
        elif kpi.of is not None and (table := table_behind(kpi.of)) is not None and table in TABLES:
            tables |= {table} | tables_beside(kpi)
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
        there = [row for row in used if row["withdrawn_at"] is None]
        gone = [row for row in used if row not in there and cache and holds_records(cache, source, row["stream"])]
        if streams and not there and not gone:
            continue
        synced = [row["ok_at"] for row in there or gone]
        failing = [row for row in known if row["error"] and (row in there or row["stream"] == LOGIN)]
        found.append(
            Freshness(
                source,
                moment(min(synced)) if synced and all(synced) else None,
                error=failing[0]["error"] if failing else None,
                failing_since=moment(failing[0]["error_at"]) if failing and failing[0]["error_at"] else None,
                withdrawn=tuple((row["stream"], moment(row["ok_at"]) if row["ok_at"] else None) for row in gone),
                is_withdrawn=bool(gone) and not there,
            )
        )
    return found


def late(found: Collection[Freshness], due_at: datetime, max_age_s: float | None) -> list[Freshness]:
    """Those synced longer than `max_age_s` before the due time, or never, whom a sync to come can bring up to date."""
    return [one for one in found if not one.is_withdrawn and _is_old(one, due_at, max_age_s)]


def late_for_good(found: Collection[Freshness], due_at: datetime, max_age_s: float | None) -> list[Freshness]:
    """All of them, if every one is withdrawn and that old: nothing of the scorecard would be fresh, now or later."""
    return list(found) if found and all(one.is_withdrawn and _is_old(one, due_at, max_age_s) for one in found) else []


def _is_old(one: Freshness, due_at: datetime, max_age_s: float | None) -> bool:
    if max_age_s is None:
        return False
    return one.synced_at is None or one.synced_at < due_at - timedelta(seconds=max_age_s)


def withdrawn_note(found: Collection[Freshness]) -> tuple[str, ...]:
    """Said on every message that counts records nobody reads any more."""
    gone = [no_longer_read(one.source, stream, at) for one in found for stream, at in one.withdrawn]
    if not gone:
        return ()
    more = f"; and {len(gone) - _GONE_NAMED} more" if len(gone) > _GONE_NAMED else ""
    return (f"Old data: {'; '.join(gone[:_GONE_NAMED])}{more}. Their records count as they were last seen.",)


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
        "SELECT stream, ok_at, error, error_at, withdrawn_at FROM sync_state WHERE source_name = ?", (source,)
    ).fetchall()
