"""Exchange rates of one cache: which one holds for a currency on a day, and which a figure was made with.

Rates come from files, Salesforce and HubSpot. For a currency and a day the first of these that has one is asked, always
in that order, so that a portal's own list never stands between two entries of the books (docs/definitions.md G10). Last
comes what a CRM says an amount is in its own currency.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Noted:
    """(foreign currency, day) of the rates asked for, and of those that only the CRM's own conversion gave."""

    asked: set[tuple[str, str | None]] = field(default_factory=set)
    by_crm: set[tuple[str, str | None]] = field(default_factory=set)


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
        self._noted: Noted | None = None

    def at(self, currency: str, day: str | None) -> ExchangeRate | None:
        """The rate of a day: the latest with valid_from <= day, of the first source that has one (None: the newest)."""
        for _, series in sorted(self._known.get(currency, {}).items()):
            place = bisect_right(series, day or "9999-12-31", key=lambda rate: rate.valid_from) - 1
            if place >= 0:
                return series[place]
        return None

    def factor(
        self,
        currency: str | None,
        day: str | None,
        amount: int | None = None,
        home: float | None = None,
        home_currency: str | None = None,
    ) -> str | None:
        """Major units of the reporting currency per minor unit, as decimal text; None without a rate.

        Rows without a currency are in ours. Where no source has a rate it is what the CRM makes of an `amount` (minor
        units): so much (`home`, major units) in its own currency, if that is ours.
        """
        key = (currency, day)
        if key not in self._memo:
            self._memo[key] = self._factor(currency or self._own, day)
        found = self._memo[key]
        by_crm = found is None and bool(amount) and home is not None and home_currency == self._own
        if self._noted is not None and currency is not None and currency != self._own:
            (self._noted.by_crm if by_crm else self._noted.asked).add((currency, day))
        return str(Decimal(repr(home)) / Decimal(amount or 1)) if by_crm else found

    def _factor(self, currency: str, day: str | None) -> str | None:
        minor = Decimal(1).scaleb(-digits(currency))
        if currency == self._own:
            return str(minor)
        found = self.at(currency, day)
        return None if found is None else str(found.rate * minor)

    def major(
        self,
        minor: int | None,
        currency: str | None,
        day: str | None,
        amount: int | None = None,
        home: float | None = None,
        home_currency: str | None = None,
    ) -> float | None:
        """An amount in major units of the reporting currency; None without one, or without a rate (as `factor`)."""
        factor = self.factor(currency, day, amount, home, home_currency)
        return None if minor is None or factor is None else float(minor * Decimal(factor))

    @contextmanager
    def noted(self) -> Iterator["Noted"]:
        """Every rate asked for meanwhile."""
        self._noted = Noted()
        try:
            yield self._noted
        finally:
            self._noted = None


@lru_cache
def digits(currency: str) -> int:
    """Decimal places of a currency (ISO 4217): 2 for EUR, 0 for JPY."""
    from babel.numbers import get_currency_precision

    return get_currency_precision(currency)


def rates_of(evaluator: "Evaluator", kpi: Kpi, main: Slice) -> tuple[RatesOf, ...]:
    """The rates amounts of one slice were converted by, a currency each, and the days that had none."""
    noted = Noted()
    for part in _counted(evaluator, kpi):
        rows = evaluator.rows(part)
        if rows.rated:
            found = evaluator.answers.recalled(rows, main, "rates", partial(_noted, evaluator, rows, main))
            noted.asked.update((currency, day) for currency, day in found["asked"])
            noted.by_crm.update((currency, day) for currency, day in found["by_crm"])
    return tuple(
        _rates_of(evaluator.rates, noted, currency)
        for currency in sorted({currency for currency, _ in noted.asked | noted.by_crm})
    )


def _rates_of(rates: Rates, noted: Noted, currency: str) -> RatesOf:
    days = sorted(day for name, day in noted.asked if name == currency and day is not None)
    by_day = {day: rates.at(currency, day) for day in days}
    used = sorted({rate for rate in by_day.values() if rate is not None}, key=lambda rate: rate.valid_from)
    missing = [date.fromisoformat(day) for day, rate in by_day.items() if rate is None]
    is_by_crm = any(name == currency for name, _ in noted.by_crm)
    return RatesOf(currency, tuple(used), tuple(missing), is_by_crm)


def _noted(evaluator: "Evaluator", rows: Rows, main: Slice) -> dict[str, list[list[str | None]]]:
    with evaluator.rates.noted() as noted:
        # Why a row is left out asks for the rates of those that have an amount, and of no others.
        evaluator.conn.execute(f"SELECT COUNT(why) FROM ({rows.sql})", rows.of(main)).fetchone()
    return {
        "asked": [[currency, day] for currency, day in noted.asked],
        "by_crm": [[currency, day] for currency, day in noted.by_crm],
    }


def _counted(evaluator: "Evaluator", kpi: Kpi) -> Iterator[Kpi]:
    """The KPIs over rows that a KPI is, or is made of."""
    if kpi.of is not None and kpi.retain is None and evaluator.holds(evaluator.needed_table(kpi)):
        yield kpi
    for operand in kpi.operands:
        part = evaluator.kpis.get(operand.partition(".")[0])
        if part is not None:
            yield from _counted(evaluator, part)
