"""Numbers, money, durations, days and instants as one reader writes them: locale, currency and time zone by babel.

Values are rounded half up and only here. Knows nothing of KPIs, states or HTML; the few words around a number come
from `render.words`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from scorecards.errors import RenderError
from scorecards.render.words import Words, for_locale
from scorecards.values import Period

if TYPE_CHECKING:
    from babel import Locale

NBSP = "\u00a0"
MINUS = "\u2212"
#: Seconds of each unit a duration is said in, largest first.
_STEPS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_NUMBER_AND_UNIT = re.compile(r"([\d.,'’\s]*\d)(\D*)")
_COMPACT_FROM = 100_000  # money from here on is written short: €486.2K
_TWO_UNITS_BELOW = 10  # "3 d 4 h", but "34 d"


@contextmanager
def _half_up() -> Iterator[None]:
    with localcontext(Context(prec=40, rounding=ROUND_HALF_UP)):
        yield


def _decimal(number: float) -> Decimal:
    return Decimal(str(number))


def _rounded(number: float, digits: int) -> Decimal:
    return _decimal(number).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Formatter:
    """Writes for one reader. `get` makes and keeps them."""

    locale: "Locale"
    currency: str
    timezone: ZoneInfo
    words: Words = field(repr=False)

    # -- numbers ---------------------------------------------------------------------------------------------------
    def number(self, value: float, digits: int = 0) -> str:
        """`value` with exactly `digits` decimals, grouped, a real minus sign."""
        return self._signed(value, self._plain(abs(value), digits))

    def _plain(self, value: float, digits: int) -> str:
        from babel.numbers import format_decimal

        pattern = self.locale.decimal_formats[None].pattern
        whole = pattern.split(".", maxsplit=1)[0]
        with _half_up():
            return format_decimal(
                _rounded(value, digits), format=whole + ("." + "0" * digits if digits else ""), locale=self.locale
            )

    def percent(self, share: float, digits: int = 1) -> str:
        """A fraction as a percentage in the locale's own pattern (which has the no-break space where one belongs)."""
        from babel.numbers import format_percent

        # The decimals go into the locale's pattern: a pattern of ours would lose its space and its side of the sign.
        pattern: str = re.sub(r"0(?=\D*$)", "0." + "0" * digits if digits else "0", _pattern_of(self.locale))
        with _half_up():
            text = format_percent(_rounded(abs(share), digits + 2), format=pattern, locale=self.locale)
        return self._signed(share, text)

    def money(self, value: float, *, currency: str | None = None, short: bool = True) -> str:
        """An amount of major units: short from 100 000 on, no decimals from 1 000 on."""
        from babel.numbers import format_compact_currency, format_currency, get_currency_precision

        code, size = currency or self.currency, abs(value)
        if short and size >= _COMPACT_FROM:
            with _half_up():
                text = format_compact_currency(_decimal(size), code, locale=self.locale, fraction_digits=2)
                if re.search(r"\d{2}", text.split(self._point)[0]):
                    text = format_compact_currency(_decimal(size), code, locale=self.locale, fraction_digits=1)
            # Where CLDR has no short thousand (de, it) the result is bare digits: write it out instead.
            if not re.search(r"\d{4}", text):
                return self._signed(value, self._glued(text))
        digits = 0 if size >= 1000 or size == int(size) else get_currency_precision(code)
        pattern = self.locale.currency_formats["standard"].pattern.split(";")[0]
        pattern = re.sub(r"0\.0+", "0" + ("." + "0" * digits if digits else ""), pattern)
        with _half_up():
            text = format_currency(
                _rounded(size, digits), code, format=pattern, locale=self.locale, currency_digits=False
            )
        return self._signed(value, self._glued(text))

    def duration(self, seconds: float, clock: str = "") -> str:
        """Seconds in the largest unit of at least one, with the next unit while the first is below ten.

        Business time stops at hours: a "day" of it would be read as 24 hours.
        """
        size = abs(seconds)
        steps = _STEPS[1:] if clock == "business" else _STEPS
        if 0 < size < 1:
            return self._signed(seconds, self.words("below_unit", value=self._unit(1, "second")))
        index = next((i for i, (_, step) in enumerate(steps) if size >= step), len(steps) - 1)
        # Rounding may fill the unit ("59.6 min"): take the larger one then.
        while True:
            unit, step = steps[index]
            two = size / step < _TWO_UNITS_BELOW and index + 1 < len(steps)
            grain = steps[index + 1][1] if two else step
            whole = int(_rounded(size / grain, 0)) * grain
            if index and whole >= steps[index - 1][1]:
                index -= 1
                continue
            break
        first, rest = divmod(whole, step)
        text = self._unit(first, unit)
        if two and rest and first < _TWO_UNITS_BELOW:
            text += NBSP + self._unit(rest // grain, steps[index + 1][0])
        return self._signed(seconds, text)

    def _unit(self, number: float, unit: str, digits: int = 0) -> str:
        symbol = self.words.duration.get(unit) if self.locale.language == self.words.lang else None
        if symbol:
            return self._plain(number, digits) + NBSP + symbol
        from babel.units import format_unit

        for length in ("short", "long"):
            text = format_unit(_rounded(number, digits), f"duration-{unit}", length=length, locale=self.locale)
            if "duration-" not in text:  # babel echoes the unit where the locale has no such length
                break
        return self._glued(text)

    # -- values of KPIs --------------------------------------------------------------------------------------------
    def value(
        self,
        value: float,
        unit: str,
        *,
        scale: float | None = None,
        clock: str = "",
        currency: str | None = None,
        bare: bool = False,
    ) -> str:
        """A KPI's value in its unit; `bare` leaves "of 10" away, where it was said already."""
        if unit == "ratio":
            return self.percent(value)
        if unit == "money":
            return self.money(value, currency=currency)
        if unit == "seconds":
            return self.duration(value, clock)
        if unit in ("days", "months"):
            digits = 1 if unit == "months" or (abs(value) < 10 and value != int(value)) else 0
            return self._signed(value, self._unit(abs(value), unit[:-1], digits))
        if unit == "count":
            return self.number(value, 0 if value == int(value) else 1)
        if unit == "score":
            text = self.number(value, 2 if scale is not None else 1)  # G11: ratings with two
            if scale is None or bare:
                return text
            return self.words("out_of", value=text, scale=self.number(scale)).replace(" ", NBSP)
        text = self.number(value, 0 if abs(value) >= 1000 or value == int(value) else 1 if abs(value) >= 10 else 2)
        if unit == "per_100" and not bare:
            return self.words("per_100", value=text).replace(" ", NBSP)
        return text

    def change(
        self,
        change: float,
        unit: str,
        *,
        scale: float | None = None,
        clock: str = "",
        currency: str | None = None,
    ) -> str | None:
        """A signed difference of two values ("+2.1 pp", "−3 min"); None where it rounds to nothing."""
        size = abs(change)
        if unit == "ratio":
            text = self._plain(size * 100, 1) + NBSP + self.words("pp")
        else:
            text = self.value(size, unit, scale=scale, clock=clock, currency=currency, bare=True)
        # A true zero, or digits that all are: locales may write one and two without a digit (Arabic duals).
        if size == 0 or (re.search(r"0", text) and not re.search(r"[1-9]", text)):
            return None
        return (MINUS if change < 0 else "+") + text

    def span(self, low: str, high: str) -> str:
        """Two written values as a range: the unit once where that is clear ("19.8–27.4%"), else spaced if need be."""
        first, last = _NUMBER_AND_UNIT.fullmatch(low), _NUMBER_AND_UNIT.fullmatch(high)
        if first and last and first[2] and first[2] == last[2]:
            return f"{first[1]}–{high}"
        dash = " – " if NBSP in low + high or " " in low + high or MINUS in low + high else "–"
        return f"{low}{dash}{high}"

    def _signed(self, value: float, text: str) -> str:
        return MINUS + text if value < 0 and re.search(r"[1-9]|[^\d\W]", text) else text

    def _glued(self, text: str) -> str:
        return text.replace(" ", NBSP)

    @property
    def _point(self) -> str:
        from babel.numbers import get_decimal_symbol

        return get_decimal_symbol(self.locale)

    # -- days and instants -----------------------------------------------------------------------------------------
    def day(self, day: date, *, year: bool = True) -> str:
        """One day: "16 Nov 2026"."""
        from babel.dates import format_skeleton

        return format_skeleton("yMMMd" if year else "MMMd", day, locale=self.locale)

    def instant(self, moment: datetime) -> str:
        """An aware instant on the reader's clock, with the zone's name: "16 Nov 2026, 06:42 CET"."""
        from babel.dates import format_time

        local = moment.astimezone(self.timezone)
        clock = format_time(local, "short", tzinfo=self.timezone, locale=self.locale)
        joined: str = (
            self.locale.datetime_formats["medium"].replace("{1}", self.day(local.date())).replace("{0}", clock)
        )
        return f"{joined} {self.zone(moment)}"

    def zone(self, moment: datetime) -> str:
        """The zone's short name at that moment, as the locale knows it, else its offset: "CET", "UTC+9"."""
        from babel.dates import format_datetime

        local = moment.astimezone(self.timezone)
        name = format_datetime(local, "z", tzinfo=self.timezone, locale=self.locale)
        if re.match(r"[A-Za-z]", name):
            return name
        minutes = int((local.utcoffset() or timedelta()).total_seconds() // 60)
        if not minutes:
            return "UTC"
        hours, rest = divmod(abs(minutes), 60)
        return f"UTC{MINUS if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")

    def dates(self, period: Period, *, year: bool = True) -> str:
        """The days of a period: "9–15 Nov 2026"."""
        from babel.dates import format_interval

        last = period.end - timedelta(days=1)
        if last <= period.start:
            return self.day(period.start, year=year)
        return format_interval(period.start, last, "yMMMd" if year else "MMMd", locale=self.locale)

    def period(self, period: Period, granularity: str) -> str:
        """A period's name: "week 46", "October 2026", "Q3 2026", "2026", "16 Nov 2026"; else its days."""
        from babel.dates import format_skeleton

        start, days = period.start, (period.end - period.start).days
        if granularity == "day" and days == 1:
            return self.day(start)
        if granularity == "week" and days == 7:
            # A week that starts on Sunday belongs to the ISO week of most of its days.
            return self.words("week", n=(start + timedelta(days=3)).isocalendar().week)
        if start.day == 1 and period.end.day == 1:
            if granularity == "month" and 28 <= days <= 31:
                return format_skeleton("yMMMM", start, locale=self.locale)
            if granularity == "quarter" and 90 <= days <= 92 and start.month % 3 == 1:
                return format_skeleton("yQQQ", start, locale=self.locale)
            if granularity == "year" and start.month == 1 and days >= 365:
                return str(start.year)
        return self.dates(period)


def _pattern_of(locale: Any) -> str:
    pattern: str = locale.percent_formats[None].pattern
    return pattern.split(";")[0]


@lru_cache(maxsize=64)
def get(locale: str, currency: str, timezone: str) -> Formatter:
    """The writer for a reader. Raises RenderError for a locale or zone nobody knows."""
    from babel import Locale, UnknownLocaleError

    try:
        known = Locale.parse(locale.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError) as error:
        raise RenderError(f'locale "{locale}" is not known: use one like en-GB or de-DE') from error
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, OSError, ValueError) as error:
        raise RenderError(f'time zone "{timezone}" is not known: use one like Europe/Berlin') from error
    return Formatter(known, currency, zone, for_locale(locale))
