"""Vendors' values made ours."""

from zoneinfo import ZoneInfo

import pytest

from connectors import parse


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-21T10:00:00.000+0000", "2026-11-21T10:00:00Z"),
        ("2026-11-21T10:00:00.999Z", "2026-11-21T10:00:00Z"),
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("2026-11-21T12:00:00+02:00", "2026-11-21T10:00:00Z"),
        ("1763719200000", "2025-11-21T10:00:00Z"),
        (1763719200000, "2025-11-21T10:00:00Z"),
    ],
)
def test_instants_of_both_vendors_become_utc_text(given: object, expected: str) -> None:
    assert parse.instant(given) == expected


@pytest.mark.parametrize("given", ["", "soon", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00Z", True, "99999999999999"])
def test_what_is_no_instant_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse.instant(given)


def test_a_close_date_at_local_midnight_stays_on_its_day() -> None:
    local_day = parse.day_in_zone(ZoneInfo("Europe/Berlin"))
    assert local_day("2026-10-31T23:00:00Z") == "2026-11-01"
    assert local_day("2026-10-31") == "2026-10-31"


def test_a_due_date_ends_with_its_local_day() -> None:
    assert parse.end_of_day(ZoneInfo("Europe/Berlin"))("2026-10-25") == "2026-10-25T22:59:59Z"


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.345", "EUR", 1235),
        (12.5, "JPY", 13),
        ("8.6000000000000004", "USD", 860),
        ("1.234", "BHD", 1234),
        ("-5", "EUR", -500),
        ("1e3", "EUR", 100000),
    ],
)
def test_money_is_counted_in_the_currency_s_smallest_unit(amount: object, currency: str, minor: int) -> None:
    assert parse.minor_units(amount, currency) == minor


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-inf", "92233720368547758.08", "ten", float("nan")])
def test_an_amount_that_cannot_be_stored_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse.minor_units(amount, "EUR")


def test_salesforce_ids_are_made_18_characters_long() -> None:
    assert parse.salesforce_id("006R00000024gDt") == "006R00000024gDtIAI"
    assert parse.salesforce_id("006R00000024gDtIAI") == "006R00000024gDtIAI"
    with pytest.raises(ValueError, match="Salesforce id"):
        parse.salesforce_id("' OR Id != '")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://www.Acme.co.uk/about?x=1", "acme.co.uk"),
        ("acme.com", "acme.com"),
        ("user@mail.acme.com:443", "acme.com"),
        ("bücher.example.de", "example.de"),
        ("localhost", None),
        ("not a host", None),
        ("co.uk", None),
    ],
)
def test_domains_are_reduced_to_what_can_be_registered(given: str, expected: str | None) -> None:
    assert parse.domain(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"), [("+49 (0)89 / 12-34", "+490891234"), ("0049 89 1234", "+49891234"), ("n/a", None)]
)
def test_phone_numbers_are_reduced_to_digits(given: str, expected: str | None) -> None:
    assert parse.phone(given) == expected


def test_json_loses_what_sqlite_cannot_hold_and_nothing_else() -> None:
    odd = b'{"a": "x\\u0000y", "b": ["\\ud800z", "\xf0\x9f\x98\x80"]}'
    assert parse.decode_json(odd) == {
        "a": "xy",
        "b": ["z", "😀"],
    }
    assert parse.decode_json(b'{"a": "plain"}') == {"a": "plain"}
    for broken in (b"<html>", b'{"a": ', b""):
        with pytest.raises(ValueError, match=r".*"):
            parse.decode_json(broken)


@pytest.mark.parametrize(("given", "expected"), [("true", 1), (False, 0), ("Yes", 1), ("0", 0)])
def test_truth_in_every_spelling(given: object, expected: int) -> None:
    assert parse.boolean(given) == expected


def test_numbers_must_be_finite() -> None:
    assert parse.integer("8.6") == 9
    assert parse.seconds_of_ms("61500") == 62
    for bad in ("NaN", "inf", "1e30"):
        with pytest.raises(ValueError, match="number"):
            parse.integer(bad)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-21T10:00:00.123456789Z", "2026-11-21T10:00:00Z"),  # finer than a microsecond
        ("2026-11-21T100000.000Z", "2026-11-21T10:00:00Z"),
        ("20261121T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("2026-W47-6T10:00:00Z", "2026-11-21T10:00:00Z"),
        ("2026-11-21 10:00:00Z", "2026-11-21T10:00:00Z"),
        ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("2026-02-29T00:00:00Z", None),
        ("2026-11-21T24:00:00Z", None),
        ("2026-11-21T23:59:60Z", None),
        ("1899-12-31T23:59:59Z", None),
        ("2200-01-01T00:00:00Z", None),
        (-1, "1969-12-31T23:59:59Z"),
        (951782400999, "2000-02-29T00:00:00Z"),
        (float("nan"), None),
        (float("inf"), None),
        ("²²²²²²²²²²", None),
        ("-" * 12, None),
        ([], None),
        ({}, None),
    ],
)
def test_instants_in_odd_forms(given: object, expected: str | None) -> None:
    """Ours are always of one form: what cannot be brought into it is refused."""
    assert parse.instant_or_none(given) == expected


@pytest.mark.parametrize("given", ["2026-W47-6", "20261121", "2026-02-29", "1899-12-31", "2200-01-01", "2026-1-1", ""])
def test_what_is_no_day_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse.day(given)


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Europe/Berlin", "2026-03-28T22:59:59Z", "2026-03-28"),
        ("Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-29"),  # 23 hours long
        ("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30"),
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25"),  # 25 hours long
        ("Asia/Kolkata", "2026-11-21T18:29:59Z", "2026-11-21"),  # the day changes within an hour of UTC
        ("Asia/Kolkata", "2026-11-21T18:30:00Z", "2026-11-22"),
        ("Asia/Kathmandu", "2026-11-21T18:14:59Z", "2026-11-21"),
        ("Asia/Kathmandu", "2026-11-21T18:15:00Z", "2026-11-22"),
        ("Pacific/Apia", "2011-12-30T10:30:00Z", "2011-12-31"),  # which had no 30th
    ],
)
def test_local_days_change_when_they_do(zone: str, moment: str, day: str) -> None:
    convert = parse.day_in_zone(ZoneInfo(zone))
    assert [convert(moment), convert(moment)] == [day, day]


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0.30000000000000004", "EUR", 30),
        ("-0.0", "EUR", 0),
        (".5", "EUR", 50),
        ("7.", "EUR", 700),
        ("007.10", "EUR", 710),
        ("12.34", "JPY", 12),
        ("12.5", "BHD", 12500),
        ("-1234.565", "EUR", -123457),
        ("92233720368547758.07", "EUR", 2**63 - 1),
        (12, "EUR", 1200),
    ],
)
def test_money_in_odd_forms(amount: object, currency: str, minor: int) -> None:
    assert parse.minor_units(amount, currency) == minor


@pytest.mark.parametrize(
    "amount",
    ["1e308", "1e999999", "1e99999999999", "-1e999999", "sNaN", "", ".", "1.2.3", "1,5", "²", "- 5", [], True],
)
def test_no_amount_stops_a_page(amount: object) -> None:
    """An exponent beyond what Decimal can do is an ArithmeticError of its own kind."""
    with pytest.raises(ValueError, match="amount"):
        parse.minor_units(amount, "EUR")


def test_json_nested_without_end_is_not_whole_json() -> None:
    with pytest.raises(ValueError, match="deep"):
        parse.decode_json(b"[" * 200_000)


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b'{"a": "\xe9"}', b"\x00", b'{"a": ' + b"9" * 5000 + b"}"])
def test_bytes_that_are_no_utf_8_json_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse.decode_json(body)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("190", 190),
        (" 0 ", 0),
        ("²", None),
        ("٣", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        (None, None),
        ("9" * 13, None),
    ],
)
def test_a_count_in_a_header_is_plain_digits(text: str | None, number: int | None) -> None:
    assert parse.count(text) == number
