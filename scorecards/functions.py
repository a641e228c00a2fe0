"""What SQL cannot say by itself: local days, exchange rates and the business clock, as SQL functions.

All are pure; they are registered on a reader's connection before KPIs are asked of it.
"""

import sqlite3
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from scorecards.calendar import Clocks
from scorecards.definition import Reporting
from scorecards.exchange import Rates
from scorecards.facts import epoch
from scorecards.periods import midnight

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def register(conn: sqlite3.Connection, reporting: Reporting) -> Rates:
    """Make the functions known to a connection; returns the rates, for sums kept exact outside SQL."""
    zone = ZoneInfo(reporting.timezone)
    rates = Rates(conn, reporting.currency)
    clocks = Clocks(reporting)

    @lru_cache(maxsize=65536)
    def to_epoch(value: str | int | None) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if len(value) == 10:
            return midnight(date.fromisoformat(value), zone)
        if value.endswith("Z") and len(value) == 20:
            return epoch(value)
        moment = datetime.fromisoformat(value)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())

    @lru_cache(maxsize=65536)
    def local_day(value: str | int | None) -> str | None:
        if value is None or (isinstance(value, str) and len(value) == 10):
            return value
        moment = to_epoch(value)
        return None if moment is None else (_EPOCH + timedelta(seconds=moment)).astimezone(zone).date().isoformat()

    def stamp(moment: int | None) -> str | None:
        return None if moment is None else (_EPOCH + timedelta(seconds=moment)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def business_seconds(start: int | None, end: int | None, team: Any = None) -> int | None:
        return None if start is None or end is None else clocks.seconds(start, end, team)

    def business_deadline(start: int | None, days: int, team: Any = None) -> int | None:
        """The last second of the so manieth business day after the local day of an instant."""
        return None if start is None else clocks.deadline(start, days, team)

    def folded(text: Any) -> str | None:
        return None if text is None else str(text).casefold()

    def number(value: Any) -> int | float | None:
        try:
            found = value if isinstance(value, int | float) else float(value)
        except (TypeError, ValueError):
            return None
        return found if isfinite(found) else None

    for name, arguments, function in (
        ("folded", 1, folded),
        ("number", 1, number),
        ("epoch", 1, to_epoch),
        ("local_day", 1, local_day),
        ("stamp", 1, stamp),
        ("business_seconds", 2, business_seconds),
        ("business_seconds", 3, business_seconds),
        ("business_deadline", 2, business_deadline),
        ("business_deadline", 3, business_deadline),
        ("rate", 2, rates.factor),
        ("rate", 5, rates.factor),
        ("major", 3, rates.major),
        ("major", 6, rates.major),
    ):
        conn.create_function(name, arguments, function, deterministic=True)
    return rates
