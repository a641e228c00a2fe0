"""One cell at a time: texts as people and programs write them."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.files import values as values

PARIS = ZoneInfo("Europe/Paris")
FORMATS = ("%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y", "%d %b %Y %H:%M", "%H:%M %d.%m.%Y")


@pytest.mark.parametrize(
    ("decimal", "text", "number"),
    [
        (".", "1,234.50", 1234.5),
        (".", " -12 ", -12.0),
        (".", "1e3", 1000.0),
        (".", "1 234 567", 1234567.0),
        (".", ".5", 0.5),
        (",", "1.234,50", 1234.5),
        (",", "1\u00a0234,5", 1234.5),
        (",", "1'234,5", 1234.5),
        (",", "12,5", 12.5),
    ],
)
def test_numbers_as_people_write_them(decimal: str, text: str, number: float) -> None:
    assert values.as_number(values.number_reader(decimal)(text)) == number


@pytest.mark.parametrize(
    ("decimal", "text"),
    [(".", t) for t in ("", ".", "-", "1,5", "12,34", "1.2.3", "0x1F", "1_000", "nan", "inf", "١")]
    + [(",", "1.5"), (",", "1,2,3")],
)
def test_what_is_no_number_is_refused_not_guessed(decimal: str, text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        values.as_number(values.number_reader(decimal)(text))


def test_whole_numbers_must_be_whole_and_fit() -> None:
    assert values.as_integer("5.0") == 5
    with pytest.raises(ValueError, match="is not a whole number"):
        values.as_integer("5.5")
    with pytest.raises(ValueError, match="is too large"):
        values.as_integer("1e300")


@pytest.mark.parametrize(
    ("digits", "currency", "minor"),
    [("1.005", "EUR", 101), ("-1.005", "EUR", -101), ("7", "JPY", 7), ("1", "KWD", 1000)],
)
def test_money_is_minor_units_of_its_currency(digits: str, currency: str, minor: int) -> None:
    assert values.as_minor(digits, currency) == minor


@pytest.mark.parametrize("text", ["true", "TRUE", " 1", "yes", "Y"])
def test_truths(text: str) -> None:
    assert values.as_boolean(text) is True


def test_neither_true_nor_false() -> None:
    with pytest.raises(ValueError, match='"maybe" is neither true nor false'):
        values.as_boolean("maybe")


@given(
    form=st.sampled_from(FORMATS),
    moment=st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1)),
)
def test_a_format_reads_back_what_it_wrote_just_as_strptime_does(form: str, moment: datetime) -> None:
    text = moment.strftime(form)
    expected = datetime.strptime(text, form).replace(tzinfo=PARIS)
    assert values.moment_reader(form, PARIS)(text) == expected


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2016-03-05T08:05:00Z", "2016-03-05T08:05:00Z"),
        ("2016-03-05T08:05:00.999Z", "2016-03-05T08:05:00Z"),
        ("2016-03-05 09:05", "2016-03-05T08:05:00Z"),
        ("2016-03-05T09:05:00+0100", "2016-03-05T08:05:00Z"),
        ("20160305T080500Z", "2016-03-05T08:05:00Z"),
        ("2016-W09-6T08:05:00Z", "2016-03-05T08:05:00Z"),
    ],
)
def test_iso_instants_become_ours(text: str, instant: str) -> None:
    assert values.instant_reader(None, PARIS)(text) == instant


def test_an_impossible_instant_of_our_own_form_is_refused() -> None:
    with pytest.raises(ValueError, match="is not an ISO 8601 date"):
        values.instant_reader(None, PARIS)("2016-02-30T08:05:00Z")


@pytest.mark.parametrize("text", ["5/3/2016 9:05", "05/03/2016 09:05", " 5/3/2016 9:05 "])
def test_days_and_hours_may_lack_their_zero(text: str) -> None:
    assert values.as_instant(values.moment_reader("%d/%m/%Y %H:%M", PARIS)(text)) == "2016-03-05T08:05:00Z"


def test_a_format_with_a_time_reads_a_bare_date_too() -> None:
    moment = values.moment_reader("%d/%m/%Y %H:%M", PARIS)("05/03/2016")
    assert (values.as_instant(moment), values.day_of(moment, naive=PARIS, local=PARIS)) == (
        "2016-03-04T23:00:00Z",
        "2016-03-05",
    )


@pytest.mark.parametrize("text", ["2016-13-01", "30/02/2016 10:00", "1/2/16 10:00", "", "0000"])
def test_impossible_dates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date of the form"):
        values.moment_reader("%d/%m/%Y %H:%M", PARIS)(text)


def test_the_ends_of_the_calendar_do_not_crash() -> None:
    with pytest.raises(ValueError, match="beyond the calendar"):
        values.as_instant(values.moment_reader(None, PARIS)("0001-01-01"))
    assert values.day_of(values.moment_reader(None, PARIS)("0001-01-01"), naive=PARIS, local=PARIS) == str(date.min)


@pytest.mark.parametrize(
    ("column", "text", "normal"),
    [
        ("email_norm", " Kim@Acme.COM ", "kim@acme.com"),
        ("phone_norm", "+49 (89) 123-456", "+4989123456"),
        ("domain_norm", "https://www.Acme.com/about?x", "acme.com"),
        ("name", " as it is ", " as it is "),
    ],
)
def test_texts_that_are_compared_are_kept_in_one_form(column: str, text: str, normal: str) -> None:
    assert values.normal_for(column)(text) == normal


def test_a_value_map_goes_before_null_texts_and_its_star_takes_the_rest() -> None:
    read = values.mapped(values.as_text, {"?": "unknown", "A": "a", "*": "rest"}, ("", "?"), None)
    assert [read(text) for text in ("A", "?", "", None, "B", "*")] == ["a", "unknown", None, None, "rest", "rest"]


def test_what_is_remembered_stays_bounded() -> None:
    seen: list[Any] = []

    def convert(cell: str) -> str:
        seen.append(cell)
        return cell.upper()

    remember: Callable[[str], str] = values.Memo(convert).__getitem__
    long = "x" * 1000
    for cell in ("a", "a", long, long, *map(str, range(50_000)), "a"):
        assert remember(cell) == cell.upper()
    assert (seen.count("a"), seen.count(long)) == (2, 2)


def test_what_is_shown_of_a_cell_is_short_and_harmless() -> None:
    assert values.shown("\x1b[31m" + "x" * 100) == '"?[31m' + "x" * 35 + '…"'
