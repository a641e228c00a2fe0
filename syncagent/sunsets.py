"""What a vendor will end, and how soon: told for a year, as an error for the last three months."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import orjson

from connectors.base import Sunset

TOLD_FROM, URGENT_FROM = timedelta(days=365), timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Ending:
    """A sentence about an end that is near, its mend, and whether it is urgent."""

    sentence: str
    mend: str
    is_urgent: bool


def endings(sunsets: Iterable[Sunset], now: datetime) -> list[Ending]:
    """The ends to tell of now, soonest first."""
    today = now.date()
    found = []
    for one in sorted(sunsets, key=lambda one: one.ends_on):
        left = one.ends_on - today
        if left > TOLD_FROM:
            continue
        days = "1 day" if left.days == 1 else f"{left.days:,} days"
        when = f"ends on {one.ends_on} (in {days})" if left.days > 0 else f"may have ended on {one.ends_on}"
        found.append(Ending(f"{one.what} {when}", one.mend, left <= URGENT_FROM))
    return found


def stored(cache: sqlite3.Connection) -> dict[str, list[Sunset]]:
    """What each source said at its last login."""
    rows = cache.execute("SELECT source_name, sunsets FROM sources WHERE sunsets IS NOT NULL")
    return {
        name: [Sunset(what, date.fromisoformat(ends_on), mend) for what, ends_on, mend in orjson.loads(document)]
        for name, document in rows
    }
