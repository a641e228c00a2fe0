"""One vendor's object becomes one record, whatever it holds; what makes no sense is null and told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import parse
from connectors.base import Reject
from connectors.field_words import CONVERTERS, Custom, Offer, read_map
from connectors.fields import FieldMap
from syncagent.schema import column_types

FIELDS = read_map(
    "name=name created_at=created:instant close_date=closed:day amount_minor=amount:money probability=chance:number"
    " type=kind:lower owner_id=owner sf_opportunity_id=sf:sfid"
)


def field_map() -> FieldMap:
    return FieldMap(
        "opportunities",
        FIELDS,
        columns=column_types("opportunities"),
        offer=Offer(None),
        custom=Custom({"custom.size": "size", "custom.note": "note"}, {"custom.size": {"big": "L"}}),
        currency="EUR",
        currency_field="currency",
    )


def mapped(**row: Any) -> tuple[dict[str, Any], list[Reject]]:
    """The record of an object, and what was told about it."""
    rejects: list[Reject] = []
    return field_map().record(row, "7", rejects), rejects


def test_empty_text_and_nothing_are_the_same() -> None:
    record, rejects = mapped(name="", created="", closed=None, amount="", chance="", kind="", currency="", note="")
    assert {value for key, value in record.items() if key not in ("currency", "custom")} == {None}
    assert record["custom"] == {"size": None, "note": None}
    assert (record["currency"], rejects) == ("EUR", [])


def test_nought_and_no_are_values() -> None:
    record, rejects = mapped(name=0, owner=False, chance=0, amount=0, note=0)
    assert (record["name"], record["owner_id"], record["probability"], record["amount_minor"]) == (0, False, 0.0, 0)
    assert (record["custom"]["note"], rejects) == (0, [])


@pytest.mark.parametrize("value", ["NaN", "inf", "1e308", "1e999999", str(2**63), "ten", [], {}, [1], {"a": 1}])
def test_money_that_makes_no_sense_is_null_and_the_rest_stays(value: Any) -> None:
    record, rejects = mapped(name="Deal", amount=value, currency="USD")
    assert (record["name"], record["amount_minor"], record["currency"]) == ("Deal", None, "USD")
    assert [one.place for one in rejects] == ["opportunities 7"]
    assert rejects[0].reason.startswith("amount: ")


def test_money_may_be_negative_and_is_in_its_own_currency() -> None:
    assert mapped(amount="-12.345", currency="jpy")[0]["amount_minor"] == -12
    record, rejects = mapped(amount="1", currency="Dollars")
    assert (record["amount_minor"], record["currency"], len(rejects)) == (100, "EUR", 1)


@pytest.mark.parametrize("size", [parse.MAX_TEXT, parse.MAX_TEXT + 1, 10_000_000])
def test_a_text_is_kept_up_to_100_000_characters_and_the_cut_is_told(size: int) -> None:
    record, rejects = mapped(name="é" * size, note="x" * size, owner="5")
    assert len(record["name"]) == len(record["custom"]["note"]) == min(size, 100_000)
    assert record["owner_id"] == "5"
    assert len(rejects) == (0 if size <= 100_000 else 2)
    assert all("100,000" in one.reason and len(one.content) <= 200 for one in rejects)


def test_a_long_text_beside_a_number_is_cut_too() -> None:
    record, rejects = mapped(name="x" * 200_000, owner=5)
    assert (len(record["name"]), record["owner_id"], len(rejects)) == (100_000, 5, 1)


_HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(["NaN", "1e999999", "²", "\x00", "2026-02-30", "2026-W47-6T10:00:00Z", "0001-01-01T00:00:00Z"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(), st.integers(), max_size=2),
)


_NAMES = ("name", "created", "closed", "amount", "chance", "kind", "owner", "sf", "currency", "size", "note")


@given(st.fixed_dictionaries(dict.fromkeys(_NAMES, _HOSTILE)))
def test_nothing_a_vendor_may_send_stops_a_record(row: dict[str, Any]) -> None:
    record, _ = mapped(**row)
    assert set(record) >= {"name", "created_at", "close_date", "amount_minor", "currency", "custom"}
    assert record["created_at"] is None or len(record["created_at"]) == 20
    assert record["close_date"] is None or len(record["close_date"]) == 10
    assert isinstance(record["amount_minor"], int | None)


_USUAL = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", None, "Deal"]),
        "created": st.sampled_from(["2026-11-21T10:00:00.000Z", "", None]),
        "closed": st.sampled_from(["2026-11-21", None]),
        "amount": st.sampled_from(["12.5", "", None, "NaN"]),
        "currency": st.sampled_from(["USD", "EUR", "usd", "", None, "?"]),
        "note": st.sampled_from(["a", "", None, 0, "x" * 100_001]),
    }
)


@given(_USUAL)
def test_the_compiled_way_and_the_way_field_by_field_say_the_same(row: dict[str, Any]) -> None:
    fields = FieldMap(
        "opportunities",
        FIELDS,
        columns=column_types("opportunities"),
        offer=Offer(None),
        custom=Custom({"custom.it's": "note", "custom.{v}": "name"}, {}),
        currency="EUR",
        currency_field="currency",
    )
    fast_rejects: list[Reject] = []
    slow_rejects: list[Reject] = []
    assert fields.record(row, "7", fast_rejects) == fields._record(row, "7", slow_rejects)
    assert fast_rejects == slow_rejects


@pytest.mark.parametrize("kind", [kind for kind, convert in CONVERTERS.items() if convert is not None])
@given(value=_HOSTILE)
def test_no_converter_raises_what_is_not_caught(kind: str, value: Any) -> None:
    fields = FieldMap(
        "accounts", read_map(f"name=x:{kind}"), columns={}, offer=Offer(None), custom=Custom({}, {}), currency="EUR"
    )
    fields.record({"x": value}, "1", [])
