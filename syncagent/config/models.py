"""The sections of the configuration that belong to the agent itself: frozen models and what may stand in them.

Sources, mail, KPIs and scorecards are described beside their users. Time zones, currencies, locales and holidays
are looked up only when a value is given, so that importing this costs little.
"""

import re
from datetime import date, time
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from syncagent.identity.tables import LINKED

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 365 * 86400}

DayName = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def seconds(value: Any) -> Any:
    """Turn `"15m"`, `"6h"`, `"90d"`, `"3y"` into seconds; other values are left to the model to refuse."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,6})([smhdwy])", value)
        if not match:
            raise ValueError("is not a duration")
        return int(match[1]) * _UNIT_S[match[2]]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError("is not a duration")
    return value


#: Seconds, written as "15m", "6h", "90d", "3y".
Duration = Annotated[int, BeforeValidator(seconds), Field(gt=0)]


def check_timezone(value: str) -> str:
    """A name of the IANA time zone database. Raises ValueError with the nearest one."""
    from zoneinfo import ZoneInfo, available_timezones

    from syncagent.config.problems import did_you_mean

    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):  # also a folder of the database, a path, a missing zone
        near = did_you_mean(value, available_timezones()) or 'Write it like "Europe/Berlin" or "UTC".'
        raise ValueError(f"not a time zone; {near}") from None
    return value


def check_currency(value: str) -> str:
    """A three-letter currency code in use. Raises ValueError."""
    from babel.numbers import list_currencies

    if value not in list_currencies():
        mend = (
            f'write "{value.upper()}"' if value.upper() in list_currencies() else 'write the ISO 4217 code, like "EUR"'
        )
        raise ValueError(f"not a currency; {mend}")
    return value


def check_locale(value: str) -> str:
    """A language and country babel knows, like `en-GB`. Raises ValueError."""
    from babel import Locale, UnknownLocaleError

    try:
        Locale.parse(value.replace("_", "-"), sep="-")
    except (ValueError, TypeError, UnknownLocaleError):
        raise ValueError('not a language and country we know; write it like "en-GB" or "de-DE"') from None
    return value


def check_proxy(value: str) -> str:
    """The address of an HTTP proxy. Raises ValueError."""
    try:
        parts = urlsplit(value)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_fine = False
    if not is_fine or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError('not the address of a proxy; write it like "http://proxy.acme.com:3128"')
    return value


def _checked(check: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: check(value) if isinstance(value, str) else value)


TimeZoneName = Annotated[str, _checked(check_timezone)]
CurrencyCode = Annotated[str, _checked(check_currency)]
LocaleName = Annotated[str, _checked(check_locale)]
ProxyAddress = Annotated[str, _checked(check_proxy)]


class Section(BaseModel):
    """Root of the agent's own sections: frozen, nothing unknown, no guessing of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Agent(Section):
    """`[agent]`: who sends, where it keeps things, and how it counts days and money."""

    name: str = Field(default="syncagent", min_length=1, max_length=100)
    data_dir: str = Field(default="data", min_length=1)
    timezone: TimeZoneName = "UTC"
    currency: CurrencyCode = "EUR"
    locale: LocaleName = "en-GB"
    retention: Duration = 3 * _UNIT_S["y"]
    ca_file: str | None = None
    proxy: ProxyAddress | None = None


def minute_of_day(value: Any) -> int:
    """Minutes since midnight of `09:00:00` or `"09:00"`; "24:00" is the end of the day. Raises ValueError."""
    if isinstance(value, time):
        return value.hour * 60 + value.minute
    match = re.fullmatch(r"(\d{1,2}):(\d{2})(:00)?", value) if isinstance(value, str) else None
    minute = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else -1
    if not 0 <= minute <= 24 * 60:
        raise ValueError('not a time of day; write it like "08:30"')
    return minute


def _spans(value: Any) -> Any:
    """One pair of times, or a list of pairs, as minutes in order. Raises ValueError."""
    pairs = value if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)) else [value]
    spans = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValueError('not an opening and a closing time; write them like ["08:00", "18:00"]')
        spans.append((minute_of_day(pair[0]), minute_of_day(pair[1])))
    edges = [minute for span in spans for minute in span]
    if any(earlier >= later for earlier, later in zip(edges[::2], edges[1::2], strict=True)):
        raise ValueError("closes before it opens; put the earlier time first")
    if edges != sorted(edges):
        raise ValueError("the times overlap; put them in order, one after the other")
    return tuple(spans)


#: Opening times of one day: half-open spans of minutes.
Spans = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_spans),
    WithJsonSchema({"type": "array", "examples": [["08:00", "18:00"]]}),
]
Minute = Annotated[int, BeforeValidator(minute_of_day), WithJsonSchema({"type": "string", "examples": ["09:00:00"]})]


class BusinessHours(Section):
    """When the clock of business durations runs: the same hours on some days, or hours a weekday."""

    days: tuple[Weekday, ...] | None = Field(default=None, strict=False)
    from_: Minute | None = Field(default=None, alias="from")
    to: Minute | None = None
    weekly: dict[Weekday, Spans] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.weekly is not None and (self.days, self.from_, self.to) != (None, None, None):
            raise ValueError("two forms at once; keep either weekly, or days with from and to")
        if self.weekly == {} or self.days == ():
            raise ValueError('no day is open; name at least one, like days = ["mon"]')
        if any(opens >= closes for spans in self.by_weekday().values() for opens, closes in spans):
            raise ValueError("closes before it opens; put the earlier time in from")
        return self

    def by_weekday(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Open minutes of each weekday (0 is Monday), whichever form was written; 9 to 18 where not said."""
        if self.weekly is not None:
            return {WEEKDAYS.index(day): spans for day, spans in self.weekly.items()}
        opens = 9 * 60 if self.from_ is None else self.from_
        closes = 18 * 60 if self.to is None else self.to
        return {WEEKDAYS.index(day): ((opens, closes),) for day in self.days or WEEKDAYS[:5]}


def check_holidays(value: Any) -> Any:
    """`"DE"` or `"DE-BY"` as the `holidays` package knows them; a list of dates passes. Raises ValueError."""
    if not isinstance(value, str):
        return value
    from holidays import list_supported_countries

    from syncagent.config.problems import did_you_mean

    country, _, region = value.partition("-")
    known = list_supported_countries(include_aliases=True)
    if country not in known:
        near = did_you_mean(country, known) if len(country) > 1 else ""
        raise ValueError(f"not a country whose holidays we know; {near or 'write its two letters, or a list of dates'}")
    if region and region not in known[country]:
        some = ", ".join(f"{country}-{name}" for name in known[country][:4])
        near = did_you_mean(region, known[country]) or (f"there are {some} ..." if some else f"write {country}")
        raise ValueError(f"no region of {country} whose holidays we know; {near}")
    return value


HolidayList = Annotated[str | Annotated[tuple[date, ...], Field(strict=False)], BeforeValidator(check_holidays)]


class Calendar(Section):
    """`[calendar]`: weeks, fiscal years, business hours and holidays."""

    week_starts: DayName = "monday"
    fiscal_year_starts: int = Field(default=1, ge=1, le=12)
    business_hours: BusinessHours = BusinessHours.model_validate(
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "18:00"}
    )
    holidays: HolidayList = ()


class TeamCalendar(Section):
    """`[calendar.NAME]`: when the teams it is for work; what it does not say is as in `[calendar]`."""

    teams: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(default=None, strict=False, min_length=1)
    timezone: TimeZoneName | None = None
    business_hours: BusinessHours | None = None
    holidays: HolidayList | None = None


def holiday_dates(holidays: str | tuple[date, ...], first_year: int, last_year: int) -> frozenset[date]:
    """The days off from `first_year` to `last_year`, both included: of a country or region, or as listed."""
    if not isinstance(holidays, str):
        return frozenset(holidays)
    from holidays import country_holidays

    country, _, region = holidays.partition("-")
    return frozenset(country_holidays(country, subdiv=region or None, years=range(first_year, last_year + 1)))


def _record_pair(value: Any) -> Any:
    """Two ids of one table. Raises ValueError."""
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(one, str) for one in value):
        raise ValueError('not a pair of records; write it like ["sf:accounts:001A", "hs:accounts:9"]')
    tables = []
    for one in value:
        parts = one.split(":", 2)
        if len(parts) != 3 or not all(parts) or parts[1] not in LINKED:
            raise ValueError(
                f'"{one}" is not the id of a record that can be linked; write SOURCE:TABLE:ID, with a table of'
                f" {', '.join(sorted(LINKED))}"
            )
        tables.append(parts[1])
    if tables[0] != tables[1]:
        raise ValueError("these are of two tables; only records of one kind can be the same")
    if value[0] == value[1]:
        raise ValueError("this is one record; name two")
    return tuple(value)


#: Two records, by the ids the cache has of them.
RecordPair = Annotated[
    tuple[str, str],
    BeforeValidator(_record_pair),
    WithJsonSchema({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}),
]


class Identity(Section):
    """`[identity]`: which CRM's row counts where both have the same record, and what people say of records."""

    system_of_record: Literal["salesforce", "hubspot"] = "salesforce"
    link: tuple[RecordPair, ...] = Field(default=(), strict=False)
    never_link: tuple[RecordPair, ...] = Field(default=(), strict=False)
    deal_heuristic: Literal["off", "suggest", "auto"] = "suggest"

    @model_validator(mode="after")
    def _one_word_each(self) -> Self:
        both = {frozenset(pair) for pair in self.link} & {frozenset(pair) for pair in self.never_link}
        if both:
            first = " and ".join(sorted(min(both, key=sorted)))
            raise ValueError(f"{first} stand in link and in never_link; keep one of the two")
        return self
