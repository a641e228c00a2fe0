"""What a field map is written in: fields, converters, what a source offers, and what the settings say of a table.

Knows our column types and closed lists, no vendor. `fields.FieldMap` is made of these.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from connectors import parse
from connectors.errors import SourceConfigError
from connectors.settings import ValueMap, nearest

Convert = Callable[[Any], Any]

#: What our closed lists hold, where a connector fills them.
CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("accounts", "kind"): ("customer", "prospect", "partner", "other"),
    ("leads", "status_category"): ("open", "converted", "disqualified"),
    ("opportunities", "state"): ("open", "won", "lost"),
    ("tickets", "status_category"): ("open", "pending", "closed"),
    ("activities", "type"): ("call", "email", "meeting", "task", "note", "chat"),
    ("activities", "direction"): ("outbound", "inbound", "two_way", "internal"),
    ("activities", "status"): ("scheduled", "open", "completed", "cancelled", "no_show"),
    ("survey_responses", "survey_type"): ("csat", "nps", "ces", "custom"),
}

#: Converters that need nothing but the value, by the word a map uses for them.
CONVERTERS: Mapping[str, Convert | None] = {
    "text": None,
    "lower": lambda value: str(value)[: parse.MAX_TEXT].strip().lower() or None,
    "instant": parse.instant,
    "day": parse.day,
    "number": parse.number,
    "integer": parse.integer,
    "boolean": parse.boolean,
    "percent": parse.share_of_percent,
    "ms": parse.seconds_of_ms,
    "email": parse.email,
    "phone": parse.phone,
    "domain": parse.domain,
    "currency": parse.currency_code,
    "sfid": parse.salesforce_id,
    "json": lambda value: str(value)[: parse.MAX_TEXT],
}


@dataclass(frozen=True, slots=True)
class Field:
    """One of our columns, the vendor's field that feeds it, and how its values become ours."""

    column: str
    theirs: str
    kind: str = "text"


def read_map(text: str) -> tuple[Field, ...]:
    """Fields written as `column=Theirs` or `column=Theirs:kind`, separated by blanks."""
    fields = []
    for word in text.split():
        column, _, rest = word.partition("=")
        theirs, _, kind = rest.partition(":")
        fields.append(Field(column, theirs, kind or "text"))
    return tuple(fields)


def read_made(text: str) -> dict[str, tuple[str, ...]]:
    """Columns by the field they are worked out from, written as `Theirs=column,column`, separated by blanks."""
    words = (word.partition("=") for word in text.split())
    return {theirs: tuple(filter(None, columns.split(","))) for theirs, _, columns in words}


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source's object has: its fields with our word for their type (None: not known, take all as there)."""

    types: Mapping[str, str] | None

    def has(self, name: str) -> bool:
        return self.types is None or name in self.types

    def kind(self, name: str) -> str:
        return "text" if self.types is None else self.types.get(name, "text")


@dataclass(frozen=True, slots=True)
class Custom:
    """What the settings say about one table: our column = their field, and column -> {theirs: ours}."""

    fields: Mapping[str, str]
    values: Mapping[str, ValueMap]


def check_custom(table: str, custom: Custom, columns: Mapping[str, str]) -> None:
    """Raise SourceConfigError where a value map names a value our closed list does not have."""
    names = {name.removeprefix("custom.") for name in custom.fields}
    for column, values in custom.values.items():
        choices = CHOICES.get((table, column))
        if choices is None:
            if column not in columns and column.removeprefix("custom.") not in names:
                raise SourceConfigError(
                    f"values.{table}.{column}: there is no such column.{nearest(column, [*columns])}"
                )
            continue
        for theirs, ours in values.items():
            if ours not in choices:
                raise SourceConfigError(
                    f"values.{table}.{column}: {theirs!r} is mapped to {ours!r}, which is not one of"
                    f" {', '.join(choices)}.{nearest(str(ours), choices)}"
                )


def custom_of(
    table: str,
    fields: Mapping[str, Mapping[str, str]],
    values: Mapping[str, Mapping[str, ValueMap]],
    skip: Collection[str] = (),
) -> Custom:
    """The part of a source's settings that is about `table`, without the keys of `fields` that are no columns."""
    own = {column: theirs for column, theirs in fields.get(table, {}).items() if column not in skip}
    return Custom(own, values.get(table, {}))
