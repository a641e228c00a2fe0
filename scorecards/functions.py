"""What SQL cannot say by itself: local days, exchange rates and the business clock, as SQL functions.

All are pure; they are registered on a reader's connection before KPIs are asked of it.
"""

import sqlite3
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from scorecards.calendar import Clocks
from scorecards.definition import Reporting
from scorecards.facts import epoch
from scorecards.periods import midnight

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rates:
    """Exchange rates of one cache: the factor from a currency's minor units to major units of ours."""

    def __init__(self, conn: sqlite3.Connection, currency: str) -> None:
        self._own = currency
        self._days: dict[str, list[str]] = {}
        self._rates: dict[str, list[Decimal]] = {}
        for name, valid_from, rate in conn.execute(
            "SELECT currency, valid_from, rate_to_reporting FROM fx_rates"
            " WHERE rate_to_reporting IS NOT NULL AND is_deleted = 0 ORDER BY currency, valid_from, id"
        ):
            self._days.setdefault(name, []).append(valid_from or "0001-01-01")
            self._rates.setdefault(name, []).append(Decimal(str(rate)))
        self._memo: dict[tuple[str | None, str | None], str | None] = {}

    def factor(self, currency: str | None, day: str | None) -> str | None:
        """Major units of the reporting currency per minor unit, as decimal text; None without a rate.

        The rate valid on the day is the latest with valid_from <= day (G10); rows without a currency are ours.
        """
        key = (currency, day)
        if key not in self._memo:
            self._memo[key] = self._factor(currency or self._own, day)
        return self._memo[key]

    def _factor(self, currency: str, day: str | None) -> str | None:
        minor = Decimal(1).scaleb(-digits(currency))
        if currency == self._own:
            return str(minor)
        days = self._days.get(currency)
        place = bisect_right(days, day or "9999-12-31") - 1 if days else -1
        return None if place < 0 else str(self._rates[currency][place] * minor)

    def major(self, minor: int | None, currency: str | None, day: str | None) -> float | None:
        factor = self.factor(currency, day)
        return None if minor is None or factor is None else float(minor * Decimal(factor))


@lru_cache
def digits(currency: str) -> int:
    """Decimal places of a currency (ISO 4217): 2 for EUR, 0 for JPY."""
    from babel.numbers import get_currency_precision

    return get_currency_precision(currency)


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
        ("major", 3, rates.major),
    ):
        conn.create_function(name, arguments, function, deterministic=True)
    return rates
