"""Comparing every record with the CRM: what is remembered of it, and its steps in the cache.

Finds what no change mark shows: records gone without a trace, records never announced, values worked out anew. The
state of a comparison stands in `sync_state.sweep`, the ids it has seen in `sweep_seen`; every step is one transaction
that leaves both in order, so that a kill anywhere costs the step alone. Knows nothing of threads or vendors.

A comparison goes through these phases: "list" (every live record passes by), "gone" (the vendor is asked about each
cached record that did not), "back" (and about each one seen that the cache takes for deleted or merged), "clean" (the
marks are taken away). "suspect" is what remains of one that found too much gone to believe it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from connectors.base import Bookmark, Page, Reject, Stream
from scorecards.values import instant
from syncagent.rows import Origin, record_id
from syncagent.store import transaction
from syncagent.sync_pages import write_page
from syncagent.sync_state import Run

Mode = Literal["list", "full"]
Phase = Literal["list", "gone", "back", "clean", "suspect"]
#: Whether to compare, given when that was last done (None: never) and the time.
Due = Callable[[datetime | None, datetime], bool]

DAILY = timedelta(hours=24)
#: The daemon compares at night, when nobody else needs the vendor's limits; by day only what is overdue.
NIGHT_HOURS = range(1, 5)
NIGHTLY = timedelta(hours=12)
OVERDUE = timedelta(hours=30)
#: A comparison that took longer begins anew: what it saw first may be long gone.
TOO_OLD = timedelta(days=3)
#: More than this gone at once is taken for a fault of the listing, not for the truth.
SUSPECT_ROWS, SUSPECT_SHARE = 100, 0.2
#: Ids in one question to the cache or the vendor.
CHUNK = 500
_CLEAN_ROWS = 10_000


def always(_last: datetime | None, _now: datetime) -> bool:
    """A person asked for it."""
    return True


def daily(last: datetime | None, now: datetime) -> bool:
    """A day after the last time; a last time that lies ahead was told by a clock since set back: never."""
    return last is None or last > now or now - last >= DAILY


def nightly(zone: ZoneInfo) -> Due:
    """Once a night of `zone`; by day only when a night was missed."""

    def is_due(last: datetime | None, now: datetime) -> bool:
        if last is None or last > now:
            return True
        return now - last >= (NIGHTLY if now.astimezone(zone).hour in NIGHT_HOURS else OVERDUE)

    return is_due


@dataclass(slots=True)
class Sweep:
    """How far a comparison is.

    mode "list" asks for a listing of its own; "full" (`sync --full`) takes what the stream's full read brings, and
    is carried out however much is gone: a person asked for it. `position` is the listing's bookmark, `wanted` the ids
    to be asked about next, `after` the last id asked about in this phase.
    """

    mode: Mode
    began_at: str
    phase: Phase = "list"
    position: Bookmark | None = None
    wanted: list[str] = field(default_factory=list)
    after: str = ""
    is_begun: bool = False  # full: the stream's bookmark is one of this read
    is_done: bool = False  # clean: everything was compared
    was_suspect: bool = False  # the comparison before this one was not believed
    gone: int = 0  # suspect: so many were not listed
    of: int = 0  # suspect: of so many
    is_counted: bool = False  # what it found was counted from its beginning on
    found_missing: int = 0  # records the cache lacked
    found_gone: int = 0  # live ones of it that are gone there
    compared: int = 0  # clean: so many passed by

    def is_too_old(self, now: datetime) -> bool:
        """Whether what it saw first may be long gone; one that begins after `now` says nothing of its age."""
        return not timedelta() <= now - datetime.fromisoformat(self.began_at) <= TOO_OLD


def load(document: dict[str, Any] | None) -> Sweep | None:
    """What `save` stored; a comparison that was not believed is over."""
    return None if document is None or document.get("phase") == "suspect" else Sweep(**document)


def last_compared(reconciled_at: datetime | None, document: dict[str, Any] | None) -> datetime | None:
    """When everything was last compared, believed or not."""
    if document is None or document.get("phase") != "suspect":
        return reconciled_at
    suspected = datetime.fromisoformat(document["began_at"])
    return suspected if reconciled_at is None else max(suspected, reconciled_at)


def save(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep | None) -> None:
    """Within the caller's transaction."""
    text = None if sweep is None else orjson.dumps(asdict(sweep)).decode()
    cache.execute(
        "UPDATE sync_state SET sweep = ? WHERE source_name = ? AND stream = ?", (text, origin.name, stream.name)
    )


def start(
    cache: sqlite3.Connection,
    origin: Origin,
    stream: Stream,
    mode: Mode,
    *,
    now: datetime,
    was_suspect: bool = False,
) -> Sweep:
    # What a full read brings is written as it comes: nobody counts what of it was missing.
    sweep = Sweep(mode, instant(now), was_suspect=was_suspect, is_counted=mode == "list")
    with transaction(cache):
        save(cache, origin, stream, sweep)
    return sweep


def enter(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep, phase: Phase) -> None:
    """Go on to the next phase."""
    sweep.phase, sweep.after = phase, ""
    with transaction(cache):
        save(cache, origin, stream, sweep)


# --- list -------------------------------------------------------------------------------------------------------


class Known(NamedTuple):
    """What the cache holds of a record."""

    updated_at: str | None
    is_deleted: int
    merged_into: str | None

    @property
    def is_live(self) -> bool:
        return not self.is_deleted and self.merged_into is None


def compare_page(
    cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page, run: Run, sweep: Sweep, *, now: datetime
) -> list[Reject]:
    """One page of the listing: take over what is known at this version, note the rest as wanted; rows of no use.

    A listing has no history, so a record that is new to the cache, of another version, or there as deleted or merged is
    asked for by its id: an older version may be that of a listing that lags, or of a record put back as it was. At the
    same version the later read wins: a formula or a link has changed.
    """
    table = stream.tables[0]
    records = page.records.get(table, ())
    known = _known(cache, origin, table, [*(str(record["source_id"]) for record in records), *page.alive])
    same, wanted = [], []
    for record in records:
        row = known.get(str(record["source_id"]))
        version = record.get("updated_at")
        if row is None or not row.is_live or (version is not None and version != row.updated_at):
            wanted.append(str(record["source_id"]))
        else:
            same.append(record)
    wanted += [id_ for id_ in page.alive if id_ in known and not known[id_].is_live]
    sweep.wanted = list(dict.fromkeys([*sweep.wanted, *wanted]))
    sweep.position = page.bookmark if page.bookmark is not None else sweep.position

    def also(conn: sqlite3.Connection) -> None:
        see(conn, origin, stream, page)
        save(conn, origin, stream, sweep)

    known_page = replace(page, records={**page.records, table: same}, read=0)
    return write_page(cache, origin, stream, known_page, run, now=now, also=also).rejects


def see(cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page) -> None:
    """Mark the records of a page as seen, within the caller's transaction."""
    ids = [str(record["source_id"]) for record in page.records.get(stream.tables[0], ())]
    cache.executemany(
        "INSERT OR IGNORE INTO sweep_seen (source_name, stream, source_id) VALUES (?, ?, ?)",
        [(origin.name, stream.name, id_) for id_ in (*ids, *page.alive)],
    )


def _known(cache: sqlite3.Connection, origin: Origin, table: str, ids: Sequence[str]) -> dict[str, Known]:
    prefix = record_id(origin.name, table, "")
    found: dict[str, Known] = {}
    for begin in range(0, len(ids), CHUNK):
        asked = orjson.dumps([prefix + id_ for id_ in ids[begin : begin + CHUNK]]).decode()
        rows = cache.execute(
            f"""SELECT source_id, updated_at, is_deleted, merged_into FROM {table}
                WHERE id IN (SELECT value FROM json_each(?))""",
            (asked,),
        )
        found |= {row[0]: Known(*row[1:]) for row in rows}
    return found


# --- asked by id ------------------------------------------------------------------------------------------------


def write_answer(
    cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page, run: Run, sweep: Sweep, *, now: datetime
) -> list[Reject]:
    """A page of what the vendor answered about ids it was asked for; the rows of it that could not be used.

    Counts the records the cache lacked, and the live ones of it that are gone.
    """
    table = stream.tables[0]
    alive = [str(record["source_id"]) for record in page.records.get(table, ())]
    gone = [one.source_id for one in page.tombstones if one.table == table]
    gone += [one.source_id for one in page.merges if one.table == table]
    known = _known(cache, origin, table, [*alive, *gone])
    missing = [id_ for id_ in dict.fromkeys(alive) if id_ not in known or not known[id_].is_live]
    lost = [id_ for id_ in dict.fromkeys(gone) if id_ in known and known[id_].is_live]
    unmarked = replace(page, bookmark=None)
    sweep.found_missing += len(missing)
    sweep.found_gone += len(lost)

    def also(conn: sqlite3.Connection) -> None:
        see(conn, origin, stream, page)
        save(conn, origin, stream, sweep)  # asked again after a kill, they are here, and not counted twice

    return write_page(cache, origin, stream, unmarked, run, now=now, also=also, is_certain=True).rejects


def forget_wanted(
    cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep, asked: Iterable[str]
) -> None:
    """These were asked about."""
    done = set(asked)
    sweep.wanted = [id_ for id_ in sweep.wanted if id_ not in done]
    with transaction(cache):
        save(cache, origin, stream, sweep)


def note_asked(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep, last: str) -> None:
    """Ids up to `last` were asked about in this phase."""
    sweep.after = last
    with transaction(cache):
        save(cache, origin, stream, sweep)


# --- gone and back ----------------------------------------------------------------------------------------------


def is_suspect(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep) -> bool:
    """Whether so much was not listed that nothing may be concluded from it; notes how much."""
    table = stream.tables[0]
    where, parameters = _live(origin, table)
    sweep.of = cache.execute(f"SELECT count(*) FROM {table} t WHERE {where}", parameters).fetchone()[0]
    where, parameters = _unseen(origin, stream, sweep)
    sweep.gone = cache.execute(f"SELECT count(*) FROM {table} t WHERE {where}", parameters).fetchone()[0]
    if sweep.mode == "full" and (sweep.was_suspect or sweep.gone < sweep.of):
        return False  # a person asked; only an empty answer has to come twice
    return sweep.gone > max(SUSPECT_ROWS, sweep.of * SUSPECT_SHARE)


def unseen(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep) -> list[str]:
    """The next live records of the cache that were not seen, in the order of their ids."""
    table = stream.tables[0]
    where, parameters = _unseen(origin, stream, sweep)
    rows = cache.execute(
        f"SELECT source_id FROM {table} t WHERE {where} AND t.id > ? ORDER BY t.id LIMIT ?",
        (*parameters, record_id(origin.name, table, sweep.after), CHUNK),
    )
    return [row[0] for row in rows]


def seen_but_dead(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep) -> list[str]:
    """The next records that were seen although the cache takes them for deleted or merged, in the order of ids."""
    table = stream.tables[0]
    rows = cache.execute(
        f"""SELECT s.source_id FROM sweep_seen s CROSS JOIN {table} t ON t.id = ? || s.source_id
            WHERE s.source_name = ? AND s.stream = ? AND s.source_id > ?
              AND (t.is_deleted = 1 OR t.merged_into IS NOT NULL)
            ORDER BY s.source_id LIMIT ?""",
        (record_id(origin.name, table, ""), origin.name, stream.name, sweep.after, CHUNK),
    )
    return [row[0] for row in rows]


def count_seen(cache: sqlite3.Connection, origin: Origin, stream: Stream, _sweep: Sweep) -> int:
    """How many records have passed by."""
    found: int = cache.execute(
        "SELECT count(*) FROM sweep_seen WHERE source_name = ? AND stream = ?", (origin.name, stream.name)
    ).fetchone()[0]
    return found


def _live(origin: Origin, table: str) -> tuple[str, tuple[str, ...]]:
    return (
        "t.id >= ? AND t.id < ? AND t.is_deleted = 0 AND t.merged_into IS NULL",
        (f"{origin.name}:{table}:", f"{origin.name}:{table};"),
    )


def _unseen(origin: Origin, stream: Stream, sweep: Sweep) -> tuple[str, tuple[str, ...]]:
    """Live rows that have not passed by since the comparison began, in its listing or in what was read beside it."""
    where, parameters = _live(origin, stream.tables[0])
    return (
        f"""{where} AND NOT EXISTS (SELECT 1 FROM sweep_seen s
            WHERE s.source_name = ? AND s.stream = ? AND s.source_id = t.source_id)""",
        (*parameters, origin.name, stream.name),
    )


# --- the end ----------------------------------------------------------------------------------------------------


def give_up(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep) -> None:
    """End without a conclusion."""
    sweep.is_done = False
    enter(cache, origin, stream, sweep, "clean")


def conclude(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep, *, compared: int) -> None:
    """Everything was compared: so many records passed by."""
    sweep.is_done, sweep.gone, sweep.of, sweep.compared = True, 0, 0, compared
    enter(cache, origin, stream, sweep, "clean")


def clean(cache: sqlite3.Connection, origin: Origin, stream: Stream, sweep: Sweep, *, now: datetime) -> bool:
    """Take some marks away; whether that was all, and the comparison is over."""
    with transaction(cache):
        left = cache.execute(
            "DELETE FROM sweep_seen WHERE source_name = ?1 AND stream = ?2 AND source_id IN (SELECT source_id"
            " FROM sweep_seen WHERE source_name = ?1 AND stream = ?2 ORDER BY source_id LIMIT ?3)",
            (origin.name, stream.name, _CLEAN_ROWS),
        ).rowcount
        if left == _CLEAN_ROWS:
            return False
        rest = None
        if not sweep.is_done and sweep.gone:
            rest = Sweep(sweep.mode, sweep.began_at, "suspect", gone=sweep.gone, of=sweep.of)
        save(cache, origin, stream, rest)
        if sweep.is_done:
            cache.execute(
                "UPDATE sync_state SET reconciled_at = ? WHERE source_name = ? AND stream = ?",
                (instant(now), origin.name, stream.name),
            )
    return True
