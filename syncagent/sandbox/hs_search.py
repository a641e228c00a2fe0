"""HubSpot's search language: groups of filters over properties, one sort, and its limits."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from syncagent.sandbox.hs_props import PROPERTIES
from syncagent.sandbox.hs_records import Record

Test = Callable[[Record], bool]
MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS = 5, 6, 18


class SearchError(Exception):
    """A request HubSpot answers 400 VALIDATION_ERROR."""


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


def read_filters(kind: str, body: Mapping[str, Any]) -> list[list[Test]]:
    """The tests of a search body: any group, all of its filters. Raises SearchError."""
    groups: Sequence[Mapping[str, Any]] = body.get("filterGroups") or []
    if not groups and body.get("filters"):
        groups = [{"filters": body["filters"]}]
    sizes = [len(group.get("filters") or []) for group in groups]
    if len(groups) > MAX_GROUPS or max(sizes, default=0) > MAX_FILTERS or sum(sizes) > MAX_ALL_FILTERS:
        raise SearchError("The number of filters or filter groups exceeds the limit.")
    return [[_test(kind, filter_) for filter_ in group.get("filters") or []] for group in groups]


def _test(kind: str, filter_: Mapping[str, Any]) -> Test:
    name, operator = str(filter_.get("propertyName")), str(filter_.get("operator"))
    if name not in PROPERTIES[kind]:
        raise SearchError(f"There was a problem with the request. Property {name} does not exist")
    type_ = PROPERTIES[kind][name]

    def held(record: Record) -> Any:
        return comparable(type_, record.props.get(name))

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


def sort_of(kind: str, body: Mapping[str, Any], *, ids_as_text: bool) -> tuple[Callable[[Record], Any], bool]:
    """The sort key of a search body and whether it descends. One sort; oldest first where none is given."""
    sorts = body.get("sorts") or []
    if len(sorts) > 1:
        raise SearchError("Only one sort is allowed.")
    name, descending = "hs_object_id", False
    if sorts and isinstance(sorts[0], str):
        descending, name = sorts[0].startswith("-"), sorts[0].lstrip("-")
    elif sorts:
        name, descending = sorts[0]["propertyName"], sorts[0].get("direction") == "DESCENDING"
    if name not in PROPERTIES[kind]:
        raise SearchError(f"Property {name} does not exist")
    if name == "hs_object_id" and ids_as_text:
        return (lambda record: record.id), descending
    type_ = PROPERTIES[kind][name]

    def key(record: Record) -> Any:
        value = comparable(type_, record.props.get(name))
        return (value is not None, value if value is not None else 0, record.number)

    return key, descending
