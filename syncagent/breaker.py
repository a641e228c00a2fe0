"""Lets a source that fails again and again rest; what it knows is in the cache, so a restart does not hammer.

Five failures of a source in a row, or one refused login, and it rests: a quarter of an hour, then twice as long each
time it fails again, at most six hours. When the rest is over one sync is the probe; it begins with one login and one
stream. A person's own sync is a probe at any time.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.errors import AuthError, ConnectorError, RateLimited
from scorecards.values import instant
from syncagent.store import transaction

#: Failures in a row before the first rest.
PATIENT_FOR = 5
FIRST_REST, LONGEST_REST = timedelta(minutes=15), timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Rest:
    """A source rests until then, after so many failures; why, in a sentence."""

    until: datetime
    failures: int
    reason: str


def resting(cache: sqlite3.Connection, source: str, now: datetime) -> Rest | None:
    """The rest of a source that is not over yet. One that ends later than any rest can was set by a clock ahead."""
    rest = last_rest(cache, source)
    return rest if rest is not None and now < rest.until <= now + LONGEST_REST else None


def last_rest(cache: sqlite3.Connection, source: str) -> Rest | None:
    """The rest a source was last sent to, over or not; None since it last worked."""
    row = cache.execute(
        "SELECT rests_until, failures, rest_reason FROM sources WHERE source_name = ? AND rests_until IS NOT NULL",
        (source,),
    ).fetchone()
    return None if row is None else Rest(datetime.fromisoformat(row[0]), row[1], row[2] or "")


def note_success(cache: sqlite3.Connection, source: str) -> None:
    """It works: whatever was, is forgotten."""
    with transaction(cache):
        cache.execute(
            """UPDATE sources SET failures = 0, rests_until = NULL, rest_reason = NULL
               WHERE source_name = ? AND (failures > 0 OR rests_until IS NOT NULL)""",
            (source,),
        )


def note_failure(cache: sqlite3.Connection, source: str, error: ConnectorError, now: datetime) -> Rest | None:
    """One more failure of the source as a whole; the rest it is sent to, if any.

    A refused login counts as five: trying again what was refused locks accounts. Where the vendor says how long to
    stay away, that long at least.
    """
    with transaction(cache):
        row = cache.execute("SELECT failures FROM sources WHERE source_name = ?", (source,)).fetchone()
        failures = (row[0] if row else 0) + 1
        if isinstance(error, AuthError):
            failures = max(failures, PATIENT_FOR)
        until = None
        if failures >= PATIENT_FOR:
            until = now + min(FIRST_REST * 2 ** min(failures - PATIENT_FOR, 10), LONGEST_REST)
        asked = error.retry_after_s if isinstance(error, RateLimited) else None
        if asked:
            until = max(until or now, now + min(timedelta(seconds=asked), LONGEST_REST))
        cache.execute(
            """INSERT INTO sources (source_name, failures, rests_until, rest_reason) VALUES (?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET failures = excluded.failures, rests_until = excluded.rests_until,
                   rest_reason = excluded.rest_reason""",
            (source, failures, instant(until) if until else None, error.message if until else None),
        )
    return Rest(until, failures, error.message) if until else None


def wake(cache: sqlite3.Connection, source: str) -> None:
    """End a rest, because the settings have changed; the failures still count."""
    with transaction(cache):
        cache.execute("UPDATE sources SET rests_until = NULL, rest_reason = NULL WHERE source_name = ?", (source,))
