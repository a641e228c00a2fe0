"""What is remembered of a sync: bookmarks, runs, errors, logins.

Writes `sync_state`, `sync_runs` and `sources`; knows nothing of vendors.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from connectors.base import Bookmark, Connector, Identity, Page, Reject, Stream, StreamNote
from connectors.errors import ConnectorError, NotReadable, StreamError
from scorecards.values import instant
from syncagent.inputs import AGAIN, Inputs, load
from syncagent.store import transaction

log = logging.getLogger(__name__)

#: Name under which a failed login is reported: it belongs to no stream.
LOGIN = "login"


@dataclass(slots=True)
class Run:
    """The counts of a sync run while it goes on."""

    id: int
    read: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    merged: int = 0  # of those changed, the ones that counted here until then
    first_reject: Reject | None = None
    is_complete: bool = False
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What earlier syncs of a stream left behind. `sweep` is the state of a reconciliation that has not ended.

    `is_again`: what `bookmark` stands for is to be read from its beginning; `inputs`: what it was read with.
    """

    bookmark: Bookmark | None
    is_again: bool
    ok_at: datetime | None
    reconciled_at: datetime | None
    counted_at: datetime | None
    sweep: dict[str, Any] | None
    inputs: Inputs | None


def remembered(cache: sqlite3.Connection, source: str, stream: str) -> Remembered:
    """What is known of a stream that `begin` has been called for."""
    bookmark, ok_at, reconciled_at, counted_at, sweep, inputs = cache.execute(
        """SELECT bookmark, ok_at, reconciled_at, counted_at, sweep, inputs FROM sync_state
           WHERE source_name = ? AND stream = ?""",
        (source, stream),
    ).fetchone()
    place = _document(bookmark)
    is_again = place is not None and bool(place.pop(AGAIN, False))
    moments = (_moment(ok_at), _moment(reconciled_at), _moment(counted_at))
    return Remembered(place, is_again, *moments, _document(sweep), load(inputs))


def _document(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def begin(
    cache: sqlite3.Connection, source: str, stream: str, now: datetime, *, covered_from: date | None = None
) -> tuple[Run, Bookmark | None]:
    """Note that a stream is being read, and from which day on it covers; its stored bookmark."""
    with transaction(cache):
        cache.execute(
            """INSERT INTO sync_state (source_name, stream, started_at, covered_from) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET started_at = excluded.started_at, covered_from = excluded.covered_from,
                   withdrawn_at = iif(error IS NULL, NULL, withdrawn_at)""",  # what the login lost, until read
            (source, stream, instant(now), covered_from.isoformat() if covered_from else None),
        )
        run_id = cache.execute(
            "INSERT INTO sync_runs (source_name, stream, started_at) VALUES (?, ?, ?)", (source, stream, instant(now))
        ).lastrowid
        stored = cache.execute(
            "SELECT bookmark FROM sync_state WHERE source_name = ? AND stream = ?", (source, stream)
        ).fetchone()[0]
    return Run(run_id or 0), None if stored is None else orjson.loads(stored)


def notes_of(cache: sqlite3.Connection, source: str, stream: str) -> list[StreamNote]:
    """What the stream's bookmark has to say to a person."""
    row = cache.execute(
        "SELECT json_extract(bookmark, '$.notes') FROM sync_state WHERE source_name = ? AND stream = ?",
        (source, stream),
    ).fetchone()
    found: list[StreamNote] = orjson.loads(row[0]) if row is not None and row[0] else []
    return found


def save_bookmark(cache: sqlite3.Connection, source: str, stream: str, page: Page) -> None:
    """The bookmark, and the newest change seen (for people; nothing is read by it)."""
    times = [record.get("updated_at") for records in page.records.values() for record in records]
    newest = max(filter(None, times), default=None)
    bookmark = page.bookmark or {}
    cache.execute(
        """UPDATE sync_state SET bookmark = ?1,
               watermark = CASE WHEN watermark IS NULL OR ?2 > watermark THEN ?2 ELSE watermark END
           WHERE source_name = ?3 AND stream = ?4""",
        (orjson.dumps(bookmark).decode(), newest, source, stream),
    )


def end(
    cache: sqlite3.Connection,
    source: str,
    stream: Stream,
    run: Run,
    sentence: str | None,
    *,
    seconds: float,
    calls: int,
    now: datetime,
) -> datetime | None:
    """Close the run; since when the stream is withdrawn, if it is. `ok_at` moves only when it was read to its end."""
    with contextlib.suppress(sqlite3.DatabaseError), transaction(cache):
        cache.execute(
            """UPDATE sync_runs SET ended_at = ?, ok = ?, read = ?, changed = ?, deleted = ?, rejected = ?,
                   seconds = ?, calls = ?, error = ? WHERE id = ?""",
            (
                instant(now),
                int(run.is_complete),
                run.read,
                run.changed,
                run.deleted,
                run.rejected,
                round(seconds, 3),
                calls,
                sentence,
                run.id,
            ),
        )
        if run.is_complete:
            rows = sum(_count(cache, source, table) for table in stream.tables[:1])
            # A first load that was read to its end has compared everything.
            cache.execute(
                """UPDATE sync_state SET ok_at = ?1, error = NULL, error_mend = NULL, error_at = NULL, rows = ?2,
                       withdrawn_at = NULL,
                       reconciled_at = CASE WHEN ok_at IS NULL AND sweep IS NULL THEN coalesce(reconciled_at, ?1)
                                            ELSE reconciled_at END
                   WHERE source_name = ?3 AND stream = ?4""",
                (instant(now), rows, source, stream.name),
            )
    if isinstance(run.error, NotReadable):
        return _note_not_readable(cache, source, stream, run.error, now)
    if run.error is not None:
        note_error(cache, source, stream.name, run.error, now)
    else:
        log.info(
            "%s %s: %d read, %d changed, %d deleted in %.1f s",
            source,
            stream.name,
            run.read,
            run.changed,
            run.deleted,
            seconds,
            extra={"action": "synced", "source": source, "stream": stream.name, "calls": calls},
        )
    return None


def _note_not_readable(
    cache: sqlite3.Connection, source: str, stream: Stream, error: ConnectorError, now: datetime
) -> datetime | None:
    """This login may not read a stream: withdrawn (since when) where it was read before, else one it never had (None).

    Either waits for a person and holds up nobody. What never was read holds nothing that could be fresh or old.
    """
    log.info("%s %s: %s", source, stream.name, error, extra={"action": "object_skipped", "source": source})
    place = (source, stream.name)
    with transaction(cache):
        cache.execute(
            """UPDATE sync_state SET error_at = CASE WHEN withdrawn_at IS NULL THEN ?1 ELSE coalesce(error_at, ?1) END,
                   error = ?2, error_mend = ?3, withdrawn_at = coalesce(withdrawn_at, ?1)
               WHERE source_name = ?4 AND stream = ?5""",
            (instant(now), error.message, error.mend or None, *place),
        )
        bookmark, since = cache.execute(
            "SELECT bookmark, withdrawn_at FROM sync_state WHERE source_name = ? AND stream = ?", place
        ).fetchone()
        if bookmark is not None or _count(cache, source, stream.tables[0]):
            return _moment(since)
        cache.execute(
            """UPDATE sync_state SET ok_at = NULL, covered_from = NULL, reconciled_at = NULL, sweep = NULL, rows = 0
               WHERE source_name = ? AND stream = ?""",
            place,
        )
        cache.execute("DELETE FROM sweep_seen WHERE source_name = ? AND stream = ?", place)
    return None


def _count(cache: sqlite3.Connection, source: str, table: str) -> int:
    """Rows of a source in a table, by the range of its ids (';' follows ':')."""
    found: int = cache.execute(
        f"SELECT count(*) FROM {table} WHERE id >= ? AND id < ?", (f"{source}:{table}:", f"{source}:{table};")
    ).fetchone()[0]
    return found


def note_error(cache: sqlite3.Connection, source: str, stream: str, error: Exception, now: datetime) -> None:
    """Keep what is wrong with a stream, what can be done about it, and since when.

    Of one that is withdrawn, what ails the source as a whole says nothing; any other fault of its own ends that.
    """
    is_its_own = isinstance(error, StreamError) or not isinstance(error, ConnectorError)
    sentence = getattr(error, "message", None) or str(error)
    mend = getattr(error, "mend", None) or None
    with contextlib.suppress(sqlite3.DatabaseError), transaction(cache):
        cache.execute(
            """INSERT INTO sync_state (source_name, stream, error, error_at, error_mend) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET error_at = CASE WHEN error IS NULL THEN ?4 ELSE error_at END, error = ?3,
                   error_mend = ?5, withdrawn_at = NULL WHERE withdrawn_at IS NULL OR ?6""",
            (source, stream, sentence, instant(now), mend, is_its_own),
        )


def note_login(
    cache: sqlite3.Connection, connector: Connector, identity: Identity, offered: Iterable[Stream], now: datetime
) -> None:
    """Keep what a login reached, and the streams it offers."""
    with transaction(cache):
        cache.execute(
            """INSERT INTO sources (source_name, crm, instance, account, timezone, currency, url, checked_at, sunsets,
                   streams)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET crm = excluded.crm, instance = excluded.instance,
                   account = excluded.account, timezone = excluded.timezone, currency = excluded.currency,
                   url = excluded.url, checked_at = excluded.checked_at, sunsets = excluded.sunsets,
                   streams = excluded.streams""",
            (
                connector.name,
                connector.crm,
                identity.instance,
                identity.account,
                identity.timezone,
                identity.currency,
                getattr(identity, "url", None),
                instant(now),
                _sunsets(identity),
                orjson.dumps([stream.name for stream in offered]).decode(),
            ),
        )
        cache.execute("DELETE FROM sync_state WHERE source_name = ? AND stream = ?", (connector.name, LOGIN))
    end_login_failure(cache, connector.name)


def offered_streams(cache: sqlite3.Connection) -> dict[str, list[str]]:
    """The streams each source offered at its last login, in its order; sources that never said are not in it."""
    rows = cache.execute("SELECT source_name, streams FROM sources WHERE streams IS NOT NULL")
    return {name: orjson.loads(streams) for name, streams in rows}


def note_offered(cache: sqlite3.Connection, source: str, streams: Collection[str], now: datetime) -> None:
    """Note since when the other streams of a source, read before, are not offered any more."""
    with transaction(cache):
        cache.execute(
            f"""UPDATE sync_state SET withdrawn_at = ?, error = NULL, error_mend = NULL, error_at = NULL
                WHERE source_name = ? AND withdrawn_at IS NULL
                AND stream NOT IN ({", ".join("?" * len(streams))})""",
            (instant(now), source, *streams),
        )


def _sunsets(identity: Identity) -> str | None:
    if not identity.sunsets:
        return None
    return orjson.dumps([[one.what, one.ends_on, one.mend] for one in identity.sunsets]).decode()


def calls_of_last_day(cache: sqlite3.Connection, source: str, now: datetime) -> list[tuple[float, int]]:
    """The calls of this source's runs of the last 24 hours: (seconds ago, how many)."""
    found = cache.execute(
        """SELECT coalesce(ended_at, started_at) AS at, sum(calls) FROM sync_runs
           WHERE source_name = ? AND started_at > ? AND started_at < ? AND calls > 0 GROUP BY at""",
        (source, instant(now - timedelta(hours=24)), instant(now + timedelta(hours=24))),
    )
    return [(max((now - datetime.fromisoformat(at)).total_seconds(), 0.0), calls) for at, calls in found]


def end_login_failure(cache: sqlite3.Connection, source: str) -> None:
    """A login that works ends what was said of the login, also in streams that are not read now."""
    said = {
        row[0]
        for row in cache.execute(
            """SELECT DISTINCT error FROM sync_runs WHERE source_name = ?1 AND stream = ?2 AND ok = 0
               UNION SELECT rest_reason FROM sources WHERE source_name = ?1 AND rest_cause = 'refused'""",
            (source, LOGIN),
        )
    }
    failing = cache.execute(
        "SELECT stream, error, error_mend FROM sync_state WHERE source_name = ? AND error IS NOT NULL", (source,)
    ).fetchall()
    ended = [(source, row[0]) for row in failing if {row[1], f"{row[1]} {row[2] or ''}".strip()} & said]
    if ended:
        with transaction(cache):
            cache.executemany(
                """UPDATE sync_state SET error = NULL, error_mend = NULL, error_at = NULL
                   WHERE source_name = ? AND stream = ?""",
                ended,
            )


def note_login_failure(cache: sqlite3.Connection, source: str, error: ConnectorError, now: datetime) -> None:
    """A login that fails fails every stream of the source; before the first sync there is none, so it gets a row."""
    known = [row[0] for row in cache.execute("SELECT stream FROM sync_state WHERE source_name = ?", (source,))]
    for stream in known or [LOGIN]:
        note_error(cache, source, stream, error, now)
    with transaction(cache):
        cache.execute(
            """INSERT INTO sync_runs (source_name, stream, started_at, ended_at, ok, error)
               VALUES (?1, ?2, ?3, ?3, 0, ?4)""",
            (source, LOGIN, instant(now), str(error)),
        )


# --- rows that could not be used --------------------------------------------------------------------------------
