"""HubSpot's search language: groups of filters over properties, one sort, and its limits."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from syncagent.sandbox.hubspot.props import modified_property
from syncagent.sandbox.hubspot.records import Record
from syncagent.sandbox.hubspot.schema import Schema

Test = Callable[[Record], bool]
MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS = 5, 6, 18


class SearchError(Exception):
    """A request HubSpot answers 400 VALIDATION_ERROR."""


class SearchCrash(Exception):
    """A request HubSpot answers 500: seen with a time of 0 as a filter's value."""


def comparable(type_: str, value: Any) -> Any:
    """A property's text, or a filter's value, as something that compares: number, epoch ms, or lower-case text."""
    if value is None or value == "":
        return None
    text = str(value)
    if type_ == "number":
        try:
            return float(text)
        except ValueError:
            raise SearchError(f"{text} was not a valid number.") from None
    if type_ in ("datetime", "date"):
        if text.lstrip("-").isdigit():
            return float(text)
        try:
            parsed = datetime.fromisoformat(text.replace("Z", "+00:00") if "T" in text else text + "T00:00:00+00:00")
        except ValueError:
            raise SearchError(f"{text} was not a valid long or date.") from None
        return parsed.timestamp() * 1000
    return text.lower()


def read_filters(schema: Schema, kind: str, body: Mapping[str, Any], *, below_ms: int = 0) -> list[list[Test]]:
    """The tests of a search body: any group, all of its filters. Raises SearchError.

    `below_ms`: let rows pass that lie so little below a lower bound in time.
    """
    groups: Sequence[Mapping[str, Any]] = body.get("filterGroups") or []
    if not groups and body.get("filters"):
        groups = [{"filters": body["filters"]}]
    sizes = [len(group.get("filters") or []) for group in groups]
    if len(groups) > MAX_GROUPS or max(sizes, default=0) > MAX_FILTERS or sum(sizes) > MAX_ALL_FILTERS:
        raise SearchError("The number of filters or filter groups exceeds the limit.")
    return [[_test(schema, kind, filter_, below_ms) for filter_ in group.get("filters") or []] for group in groups]


def holder(schema: Schema, kind: str, name: str) -> Callable[[Record], Any]:
    """How to get at a property as something that compares. Stamps and ids are at hand without reading their text."""
    type_ = schema.types[kind].get(name)
    if type_ is None:
        raise SearchError(f"There was a problem with the request. Property {name} does not exist")
    if name == modified_property(kind):
        return lambda record: float(record.modified)
    if name == "hs_object_id":
        return lambda record: float(record.number)
    return lambda record: comparable(type_, schema.value(record, name))


def _test(schema: Schema, kind: str, filter_: Mapping[str, Any], below_ms: int) -> Test:
    name, operator = str(filter_.get("propertyName")), str(filter_.get("operator"))
    held = holder(schema, kind, name)
    type_ = schema.types[kind][name]
    if operator == "HAS_PROPERTY":
        return lambda record: held(record) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda record: held(record) is None
    if operator in ("IN", "NOT_IN"):
        wanted = {comparable(type_, value) for value in filter_.get("values") or []}
        return (lambda r: held(r) in wanted) if operator == "IN" else (lambda r: held(r) not in wanted)
    if "value" not in filter_:
        raise SearchError("A filter has no value.")
    value = comparable(type_, filter_["value"])
    if type_ == "datetime":
        if value == 0:
            raise SearchCrash
        value -= below_ms if operator in ("GT", "GTE") else 0
    if operator == "BETWEEN":
        high = comparable(type_, filter_.get("highValue"))
        return lambda r: (found := held(r)) is not None and value <= found <= high
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        token = str(value).strip("*")
        return lambda r: (token in str(held(r) or "")) is (operator == "CONTAINS_TOKEN")
    if operator == "EQ":
        return lambda r: held(r) == value
    if operator == "NEQ":
        return lambda r: held(r) != value
    compare: Callable[[Any], bool]
    if operator == "LT":
        compare = lambda found: found < value  # noqa: E731
    elif operator == "LTE":
        compare = lambda found: found <= value  # noqa: E731
    elif operator == "GT":
        compare = lambda found: found > value  # noqa: E731
    elif operator == "GTE":
        compare = lambda found: found >= value  # noqa: E731
    else:
        raise SearchError(f"{operator} is not a valid filter operator.")
    return lambda r: (found := held(r)) is not None and compare(found)


def sort_of(
    schema: Schema, kind: str, body: Mapping[str, Any], *, ids_as_text: bool
) -> tuple[Callable[[Record], Any], bool]:
    """The sort key of a search body and whether it descends. One sort; oldest first where none is given."""
    sorts = body.get("sorts") or []
    if len(sorts) > 1:
        raise SearchError("Only one sort is allowed.")
    name, descending = "hs_object_id", False
    if sorts and isinstance(sorts[0], str):
        descending, name = sorts[0].startswith("-"), sorts[0].lstrip("-")
    elif sorts:
        name, descending = sorts[0]["propertyName"], sorts[0].get("direction") == "DESCENDING"
    held = holder(schema, kind, name)
    if name == "hs_object_id":
        return ((lambda record: record.id) if ids_as_text else (lambda record: record.number)), descending

    def key(record: Record) -> Any:
        value = held(record)
        return (value is not None, value if value is not None else 0, record.id if ids_as_text else record.number)

    return key, descending
