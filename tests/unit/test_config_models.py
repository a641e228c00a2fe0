"""The agent's own sections: durations, hours, holidays, and plain sentences about what they refuse."""

from collections.abc import Callable
from datetime import date, time

import pytest
from pydantic import ValidationError

from syncagent.config.models import (
    Agent,
    BusinessHours,
    Calendar,
    check_currency,
    check_holidays,
    check_locale,
    check_proxy,
    check_timezone,
    holiday_dates,
    minute_of_day,
    seconds,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 30), ("15m", 900), ("6h", 21600), ("90d", 7776000), ("2w", 1209600), ("3y", 94608000)],
)
def test_durations(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("value", ["15", "15x", "-5m", "1.5h", "", "m", "15 m", 15, 1.5, "9999999d"])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(time(9), 540), ("08:30", 510), ("8:30", 510), ("24:00", 1440), ("09:00:00", 540)]
)
def test_times_of_day(value: object, expected: int) -> None:
    assert minute_of_day(value) == expected


@pytest.mark.parametrize("value", ["24:01", "12:60", "noon", 9, None])
def test_what_is_no_time_of_day(value: object) -> None:
    with pytest.raises(ValueError, match="not a time of day"):
        minute_of_day(value)


def test_both_forms_of_business_hours_mean_the_same() -> None:
    days = BusinessHours.model_validate({"days": ["mon", "tue"], "from": time(8), "to": time(18)})
    weekly = BusinessHours.model_validate({"weekly": {"mon": ["08:00", "18:00"], "tue": [["08:00", "18:00"]]}})
    assert days.by_weekday() == weekly.by_weekday() == {0: ((480, 1080),), 1: ((480, 1080),)}


@pytest.mark.parametrize(
    "hours",
    [
        {"days": ["mon"], "weekly": {"mon": ["08:00", "18:00"]}},
        {"days": []},
        {"weekly": {}},
        {"from": time(18), "to": time(8)},
        {"to": time(8)},
        {"weekly": {"mon": ["18:00", "08:00"]}},
        {"weekly": {"mon": [["08:00", "12:00"], ["11:00", "13:00"]]}},
        {"weekly": {"mon": "08:00"}},
        {"weekly": {"mon": []}},
    ],
)
def test_hours_that_cannot_be(hours: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BusinessHours.model_validate(hours)


def test_holidays_by_list_and_by_place() -> None:
    listed = Calendar.model_validate({"holidays": [date(2026, 12, 25)]})
    assert holiday_dates(listed.holidays, 2026, 2026) == {date(2026, 12, 25)}
    bavaria = holiday_dates("DE-BY", 2026, 2027)
    assert {date(2026, 1, 6), date(2027, 1, 6)} <= bavaria  # Epiphany
    assert date(2026, 1, 6) not in holiday_dates("DE-BE", 2026, 2026)
    assert date(2026, 7, 4) in holiday_dates("US", 2026, 2026)


@pytest.mark.parametrize(
    ("check", "value", "said"),
    [
        (check_timezone, "Europe/Berln", 'not a time zone; Did you mean "Europe/Berlin"?'),
        (check_timezone, "Europe", "not a time zone"),
        (check_timezone, "../../etc/passwd", "not a time zone"),
        (check_currency, "EURO", "not a currency"),
        (check_currency, "eur", 'write "EUR"'),
        (check_locale, "klingon", "not a language"),
        (check_proxy, "proxy:3128", "not the address of a proxy"),
        (check_proxy, "http://proxy:port", "not the address of a proxy"),
        (check_holidays, "XX", "not a country"),
        (check_holidays, "DE-ZZ", "no region of DE"),
        (check_holidays, "", "not a country"),
    ],
)
def test_names_the_world_does_not_know(check: Callable[[str], object], value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        check(value)


def test_names_the_world_knows() -> None:
    assert [check_timezone("UTC"), check_currency("JPY"), check_locale("de_AT"), check_locale("en")] == [
        "UTC", "JPY", "de_AT", "en",
    ]  # fmt: skip


def test_the_defaults_are_themselves_allowed() -> None:
    default = Agent()
    assert check_timezone(default.timezone)
    assert check_currency(default.currency)
    assert check_locale(default.locale)
