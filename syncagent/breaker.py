"""Lets a source that fails again and again rest; what it knows is in the cache, so a restart does not hammer.

Five failures of a source in a row, or one refused login, and it rests: a quarter of an hour, then twice as long each
time it fails again, at most six hours. When the rest is over one sync is the probe; it begins with one login and one
stream. A person's own sync is a probe at any time, and one that fails makes the rest no longer.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from connectors.errors import AuthError, ConnectorError, RateLimited
from scorecards.values import instant
from syncagent.store import transaction

#: Failures in a row before the first rest.
PATIENT_FOR = 5
FIRST_REST, LONGEST_REST = timedelta(minutes=15), timedelta(hours=6)


#: What brings a rest, as `because` says it.
Cause = Literal["refused", "asked", "failures"]


@dataclass(frozen=True, slots=True)
class Rest:
    """A source rests until then; why, in a sentence, and what can be done about it.

    `failures` is how far the rests have grown: a refused login stands for five.
    """

    until: datetime
    failures: int
    reason: str
    mend: str = ""
    cause: Cause = "failures"

    @property
    def because(self) -> str:
        return because(self.cause, self.failures)


def because(cause: str | None, failures: int) -> str:
    """What brought a rest, to be read after "rests until ..."."""
    if cause == "refused":
        return "because its login was refused"
    if cause == "asked":
        return "because it asked for a pause"
    return "after 1 failure" if failures == 1 else f"after {failures} failures in a row"


def resting(cache: sqlite3.Connection, source: str, now: datetime) -> Rest | None:
    """The rest of a source that is not over yet. One that ends later than any rest can was set by a clock ahead."""
    rest = last_rest(cache, source)
    return rest if rest is not None and now < rest.until <= now + LONGEST_REST else None


def last_rest(cache: sqlite3.Connection, source: str) -> Rest | None:
    """The rest a source was last sent to, over or not; None since it last worked."""
    row = cache.execute(
        """SELECT rests_until, failures, rest_reason, rest_mend, rest_cause FROM sources
           WHERE source_name = ? AND rests_until IS NOT NULL""",
        (source,),
    ).fetchone()
    if row is None:
        return None
    until, failures, reason, mend, cause = row
    return Rest(datetime.fromisoformat(until), failures, reason or "", mend or "", cause or "failures")


def note_success(cache: sqlite3.Connection, source: str) -> None:
    """It works: whatever was, is forgotten."""
    with transaction(cache):
        cache.execute(
            """UPDATE sources SET failures = 0, rests_until = NULL, rest_reason = NULL, rest_mend = NULL,
                   rest_cause = NULL
               WHERE source_name = ? AND (failures > 0 OR rests_until IS NOT NULL)""",
            (source,),
        )


def note_failure(cache: sqlite3.Connection, source: str, error: ConnectorError, now: datetime) -> Rest | None:
    """One more failure of the source as a whole; the rest it is sent to, if any.

    A refused login counts as five: trying again what was refused locks accounts. Where the vendor says how long to
    stay away, that long at least. While it rests only a person tries it: that is not counted.
    """
    with transaction(cache):
        before = resting(cache, source, now)
        row = cache.execute("SELECT failures FROM sources WHERE source_name = ?", (source,)).fetchone()
        failures = row[0] if row else 0
        cause: Cause = "refused" if isinstance(error, AuthError) else "failures"
        until = before.until if before else None
        if before is None:
            failures = max(failures + 1, PATIENT_FOR) if cause == "refused" else failures + 1
            if failures >= PATIENT_FOR:
                until = now + min(FIRST_REST * 2 ** min(failures - PATIENT_FOR, 10), LONGEST_REST)
        asked = error.retry_after_s if isinstance(error, RateLimited) else None
        pause = now + min(timedelta(seconds=asked), LONGEST_REST) if asked else None
        if pause is not None and (until is None or pause > until):
            until, cause = pause, "asked"
        if before is not None and until == before.until and cause != "refused":
            return before
        rest = Rest(until, failures, error.message, error.mend, cause) if until else None
        cache.execute(
            """INSERT INTO sources (source_name, failures, rests_until, rest_reason, rest_mend, rest_cause)
               VALUES (?, ?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET failures = excluded.failures, rests_until = excluded.rests_until,
                   rest_reason = excluded.rest_reason, rest_mend = excluded.rest_mend,
                   rest_cause = excluded.rest_cause""",
            (source, failures, *((instant(rest.until), rest.reason, rest.mend, rest.cause) if rest else (None,) * 4)),
        )
    return rest


def wake(cache: sqlite3.Connection, source: str) -> None:
    """End a rest, because the settings have changed; the failures still count."""
    with transaction(cache):
        cache.execute(
            """UPDATE sources SET rests_until = NULL, rest_reason = NULL, rest_mend = NULL, rest_cause = NULL
               WHERE source_name = ?""",
            (source,),
        )
