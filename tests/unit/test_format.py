"""Numbers, money, durations and times in the reader's locale."""

import re
from datetime import UTC, date, datetime

import pytest

from scorecards.errors import RenderError
from scorecards.render.format import Formatter, get
from scorecards.values import Period

NB, NNB, RLM = "\u00a0", "\u202f", "\u200f"


def english() -> Formatter:
    return get("en-GB", "EUR", "Europe/Berlin")


@pytest.mark.parametrize(
    ("locale", "percent", "thousands", "millions", "plain", "time"),
    [
        ("de-DE", f"18,2{NB}%", f"486.200{NB}€", f"1,28{NB}Mio.{NB}€", f"58.250{NB}€", f"2{NB}Std.{NB}15{NB}Min."),
        ("fr-FR", f"18,2{NB}%", f"486,2{NB}k{NB}€", f"1,28{NB}M{NB}€", f"58{NNB}250{NB}€", f"2{NNB}h{NB}15{NB}min"),
        ("it-IT", "18,2%", f"486.200{NB}€", f"1,28{NB}Mln{NB}€", f"58.250{NB}€", f"2{NB}h{NB}15{NB}min"),
        ("ja-JP", "18.2%", "€48.6万", "€128.4万", "€58,250", f"2{NB}時間{NB}15{NB}分"),
        ("hi-IN", "18.2%", f"€4.86{NB}लाख", f"€12.8{NB}लाख", "€58,250", f"2{NB}घं॰{NB}15{NB}मि॰"),
        ("ar-EG", "18.2%", f"486.2{NB}ألف{NB}€", f"1.28{NB}مليون{NB}€", f"{RLM}58,250{NB}€", f"2{NB}س{NB}15{NB}د"),
        ("en-GB", "18.2%", "€486.2K", "€1.28M", "€58,250", f"2{NB}h{NB}15{NB}min"),
    ],
)
def test_each_locale_writes_its_own_numbers(
    locale: str, percent: str, thousands: str, millions: str, plain: str, time: str
) -> None:
    fmt = get(locale, "EUR", "Europe/Berlin")
    written = (fmt.percent(0.182), fmt.money(486_200), fmt.money(1_284_000), fmt.money(58_250), fmt.duration(8100))
    assert written == (percent, thousands, millions, plain, time)


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR", "it-IT", "ja-JP", "hi-IN", "ar-EG", "en-GB", "sv-SE", "de-CH"])
def test_no_run_of_four_ungrouped_digits(locale: str) -> None:
    fmt = get(locale, "EUR", "Europe/Berlin")
    for value in (1000, 9999, 12_345, 99_999.5, 486_200, 1_234_567, 98_765_432, 1.2e12):
        assert not re.search(r"\d{4}", fmt.money(value)), fmt.money(value)
        assert not re.search(r"\d{4}", fmt.money(value, short=False))
        assert not re.search(r"\d{4}", fmt.value(value, "count"))


@pytest.mark.parametrize(
    ("seconds", "clock", "written"),
    [
        (0, "", "0 s"),
        (0.4, "", "< 1 s"),
        (42, "", "42 s"),
        (90, "", "1 min 30 s"),
        (660, "", "11 min"),
        (3599, "", "1 h"),
        (5040, "", "1 h 24 min"),
        (36_000, "", "10 h"),
        (86_399, "", "1 d"),
        (90_000, "calendar", "1 d 1 h"),
        (90_000, "business", "25 h"),
        (34 * 86_400, "", "34 d"),
        (-180, "", "−3 min"),
    ],
)
def test_durations_take_the_largest_unit_and_a_second_one_below_ten(seconds: float, clock: str, written: str) -> None:
    assert english().duration(seconds, clock).replace(NB, " ") == written


@pytest.mark.parametrize(
    ("value", "unit", "scale", "written"),
    [
        (231, "count", None, "231"),
        (1234567, "count", None, "1,234,567"),
        (0.1225, "ratio", None, "12.3%"),
        (-0.05, "ratio", None, "−5.0%"),
        (12.5, "money", None, "€12.50"),
        (12, "money", None, "€12"),
        (999.5, "money", None, "€999.50"),
        (-1250.6, "money", None, "−€1,251"),
        (8.125, "score", 10, "8.13 of 10"),
        (4.325, "score", 5, "4.33 of 5"),
        (-12, "score", None, "−12.0"),
        (6.25, "days", None, "6.3 d"),
        (34.4, "days", None, "34 d"),
        (14.26, "months", None, "14.3 mo"),
        (2.8, "number", None, "2.80"),
        (28.04, "number", None, "28.0"),
        (3.25, "per_100", None, "3.25 per 100"),
    ],
)
def test_values_by_unit_round_half_up(value: float, unit: str, scale: float | None, written: str) -> None:
    assert english().value(value, unit, scale=scale).replace(NB, " ") == written


@pytest.mark.parametrize(
    ("change", "unit", "written"),
    [
        (-0.031, "ratio", "−3.1 pp"),
        (0.0004, "ratio", None),
        (0.0, "count", None),
        (3, "count", "+3"),
        (36_500, "money", "+€36,500"),
        (-180, "seconds", "−3 min"),
        (-0.1, "score", "−0.10"),
        (0.5, "seconds", "+< 1 s"),
    ],
)
def test_changes_are_signed_and_rates_in_points(change: float, unit: str, written: str | None) -> None:
    found = english().change(change, unit, scale=10)
    assert (found.replace(NB, " ") if found else None) == written


def test_a_currency_without_cents_has_none() -> None:
    assert get("en-GB", "JPY", "UTC").money(12.4) == "JP¥12"


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        ("28", "55", "28–55"),
        ("19.8%", "27.4%", "19.8–27.4%"),
        ("3 h", "5 h", "3–5 h"),
        ("45 min", "5 h", "45 min – 5 h"),
        ("1 h 45 min", "2 h 52 min", "1 h 45 min – 2 h 52 min"),
        ("€389K", "€496K", "€389K–€496K"),
        ("1,12 Mio. €", "1,34 Mio. €", "1,12–1,34 Mio. €"),
        ("486.200 €", "1,2 Mio. €", "486.200 € – 1,2 Mio. €"),
        ("−5.0%", "5.0%", "−5.0% – 5.0%"),
    ],
)
def test_a_range_names_its_unit_once_where_that_is_clear(low: str, high: str, written: str) -> None:
    assert english().span(low.replace(" ", NB), high.replace(" ", NB)).replace(NB, " ") == written


def test_instants_are_on_the_readers_clock_with_the_zones_name() -> None:
    winter, summer = datetime(2026, 11, 16, 5, 42, tzinfo=UTC), datetime(2026, 7, 16, 5, 42, tzinfo=UTC)
    assert english().instant(winter) == "16 Nov 2026, 06:42 CET"
    assert english().instant(summer) == "16 Jul 2026, 07:42 CEST"
    assert get("de-DE", "EUR", "Europe/Berlin").instant(winter) == "16. Nov. 2026, 06:42 MEZ"
    assert get("en-US", "USD", "America/New_York").instant(winter) == "Nov 16, 2026, 12:42\u202fAM EST"
    assert get("fr-FR", "EUR", "Asia/Kolkata").instant(winter) == "16 nov. 2026, 11:12 UTC+5:30"
    assert get("en-GB", "EUR", "UTC").instant(winter) == "16 Nov 2026, 05:42 UTC"


@pytest.mark.parametrize(
    ("start", "end", "granularity", "name"),
    [
        (date(2026, 11, 9), date(2026, 11, 16), "week", "week 46"),
        (date(2026, 11, 8), date(2026, 11, 15), "week", "week 46"),  # weeks from Sunday
        (date(2026, 12, 28), date(2027, 1, 4), "week", "week 53"),
        (date(2026, 10, 1), date(2026, 11, 1), "month", "October 2026"),
        (date(2026, 10, 1), date(2027, 1, 1), "quarter", "Q4 2026"),
        (date(2026, 2, 1), date(2026, 5, 1), "quarter", "1 Feb – 30 Apr 2026"),  # of a fiscal year
        (date(2026, 1, 1), date(2027, 1, 1), "year", "2026"),
        (date(2026, 11, 16), date(2026, 11, 17), "day", "16 Nov 2026"),
        (date(2026, 8, 18), date(2026, 11, 16), "month", "18 Aug – 15 Nov 2026"),
    ],
)
def test_periods_have_names(start: date, end: date, granularity: str, name: str) -> None:
    found = english().period(Period(start, end, "Europe/Berlin"), granularity)
    assert re.sub(r"\s", " ", found) == name


def test_unknown_locale_and_zone_are_named() -> None:
    with pytest.raises(RenderError, match='locale "xx-YY" is not known'):
        get("xx-YY", "EUR", "UTC")
    with pytest.raises(RenderError, match='time zone "Mars/Base" is not known'):
        get("en-GB", "EUR", "Mars/Base")
