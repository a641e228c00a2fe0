"""Exchange rates of one cache: which one holds for a currency on a day, and which a figure was made with.

Rates come from files, Salesforce and HubSpot. For a currency and a day the first of these that has one is asked, always
in that order, so that a portal's own list never stands between two entries of the books (docs/definitions.md G10).
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from scorecards.compiler import Rows
from scorecards.definition import Kpi
from scorecards.periods import Slice
from scorecards.values import ExchangeRate, RatesOf

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Whose word goes before whose: what a file says (0) is said by people, then the CRM that keeps rates by day.
_PLACES = {"salesforce": 1, "hubspot": 2}
#: The first day of a rate that has none of its own.
_ALWAYS = "0001-01-01"


class Rates:
    """The factor from a currency's minor units to major units of the reporting currency, by day."""

    def __init__(self, conn: sqlite3.Connection, currency: str) -> None:
        self._own = currency
        self._known: dict[str, dict[int, list[ExchangeRate]]] = {}
        for name, valid_from, rate, source in conn.execute(
            "SELECT currency, valid_from, rate_to_reporting, source FROM fx_rates"
            " WHERE rate_to_reporting IS NOT NULL AND is_deleted = 0 ORDER BY currency, valid_from, id"
        ):
            series = self._known.setdefault(name, {}).setdefault(_PLACES.get(source, 0), [])
            series.append(ExchangeRate(Decimal(str(rate)), valid_from or _ALWAYS, source))
        self._memo: dict[tuple[str | None, str | None], str | None] = {}
        self._asked: set[tuple[str, str | None]] | None = None

    def at(self, currency: str, day: str | None) -> ExchangeRate | None:
        """The rate of a day: the latest with valid_from <= day, of the first source that has one (None: the newest)."""
        for _, series in sorted(self._known.get(currency, {}).items()):
            place = bisect_right(series, day or "9999-12-31", key=lambda rate: rate.valid_from) - 1
            if place >= 0:
                return series[place]
        return None

    def factor(self, currency: str | None, day: str | None) -> str | None:
        """Major units of the reporting currency per minor unit, as decimal text; None without a rate.

        Rows without a currency are in ours.
        """
        if self._asked is not None and currency is not None and currency != self._own:
            self._asked.add((currency, day))
        key = (currency, day)
        if key not in self._memo:
            self._memo[key] = self._factor(currency or self._own, day)
        return self._memo[key]

    def _factor(self, currency: str, day: str | None) -> str | None:
        minor = Decimal(1).scaleb(-digits(currency))
        if currency == self._own:
            return str(minor)
        found = self.at(currency, day)
        return None if found is None else str(found.rate * minor)

    def major(self, minor: int | None, currency: str | None, day: str | None) -> float | None:
        """An amount in major units of the reporting currency; None without one, or without a rate."""
        factor = self.factor(currency, day)
        return None if minor is None or factor is None else float(minor * Decimal(factor))

    @contextmanager
    def noted(self) -> Iterator[set[tuple[str, str | None]]]:
        """The (foreign currency, day) of every rate asked for meanwhile."""
        self._asked = set()
        try:
            yield self._asked
        finally:
            self._asked = None


@lru_cache
def digits(currency: str) -> int:
    """Decimal places of a currency (ISO 4217): 2 for EUR, 0 for JPY."""
    from babel.numbers import get_currency_precision

    return get_currency_precision(currency)


def rates_of(evaluator: "Evaluator", kpi: Kpi, main: Slice) -> tuple[RatesOf, ...]:
    """The rates amounts of one slice were converted by, a currency each, and the days that had none."""
    asked: set[tuple[str, str | None]] = set()
    for part in _counted(evaluator, kpi):
        rows = evaluator.rows(part)
        if rows.rated:
            noted = evaluator.answers.recalled(rows, main, "rates", partial(_noted, evaluator, rows, main))
            asked |= {(currency, day) for currency, day in noted}
    found = []
    for currency in sorted({currency for currency, _ in asked}):
        days = sorted(day for name, day in asked if name == currency and day is not None)
        by_day = {day: evaluator.rates.at(currency, day) for day in days}
        rates = sorted({rate for rate in by_day.values() if rate is not None}, key=lambda rate: rate.valid_from)
        missing = [date.fromisoformat(day) for day, rate in by_day.items() if rate is None]
        found.append(RatesOf(currency, tuple(rates), tuple(missing)))
    return tuple(found)


def _noted(evaluator: "Evaluator", rows: Rows, main: Slice) -> list[list[str | None]]:
    with evaluator.rates.noted() as noted:
        # Why a row is left out asks for the rates of those that have an amount, and of no others.
        evaluator.conn.execute(f"SELECT COUNT(why) FROM ({rows.sql})", rows.of(main)).fetchone()
    return [[currency, day] for currency, day in noted]


def _counted(evaluator: "Evaluator", kpi: Kpi) -> Iterator[Kpi]:
    """The KPIs over rows that a KPI is, or is made of."""
    if kpi.of is not None and kpi.retain is None and evaluator.holds(evaluator.needed_table(kpi)):
        yield kpi
    for operand in kpi.operands:
        part = evaluator.kpis.get(operand.partition(".")[0])
        if part is not None and not part.operands:
            yield from _counted(evaluator, part)
