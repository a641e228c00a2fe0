"""The schema as the login sees it now: features of the org, fields that come and go, what permissions hide.

A hidden field or object is, to the one who asks, exactly like one that does not exist.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from syncagent.sandbox.salesforce.describe import describe, summary
from syncagent.sandbox.salesforce.fields import FEATURES, OBJECTS, Field

Row = dict[str, Any]


class Schema:
    """Objects and fields of the org. `now` is the vendor's clock: a change moves an object's `changed_at`."""

    def __init__(self, now: Callable[[], int] = lambda: 0) -> None:
        self._now = now
        self._objects = {name: dict(fields) for name, fields in OBJECTS.items()}
        self._off: set[str] = set()  # features
        self._hidden: set[str] = set()  # objects, and fields as Object.Field
        self._seen: dict[str, dict[str, Field]] = {}
        self._lower: dict[str, dict[str, str]] = {}
        self._relations: dict[str, dict[str, Field]] = {}
        self._names: dict[str, str] = {}
        self.short_ids = False
        self._began = now()
        self._changed_at: dict[str, int] = {}
        self._work_out()

    @property
    def every_object(self) -> list[str]:
        """All objects there can be, seen or not."""
        return list(self._objects)

    # -- changes ---------------------------------------------------------------------------------------------------

    def turn_on(self, *features: str) -> None:
        """Give the org features (`sf_fields.FEATURES`): multi_currency, person_accounts, surveys ..."""
        self._off -= set(features)
        self._changed(*(name for feature in features for name in FEATURES[feature]))

    def turn_off(self, *features: str) -> None:
        self._off |= {feature for feature in features if FEATURES[feature]}
        self._changed(*(name for feature in features for name in FEATURES[feature]))

    def add_field(self, sobject: str, name: str, kind: str = "string", value: Any = None, **more: Any) -> None:
        """A new field; `value` is what every row holds, or a function of the row."""
        make = value if callable(value) else lambda row: value
        self._objects[sobject][name] = Field(name, kind, make=make, **more)
        self._changed(sobject)

    def add_many(self, sobject: str, number: int) -> list[str]:
        """So many text fields at once, with names as long as may be; returns the names."""
        names = [f"Filler_{'x' * 28}_{place:04d}__c" for place in range(number)]
        for name in names:
            self._objects[sobject][name] = Field(name, "string", make=lambda row: f"about {row['Id']}")
        self._changed(sobject)
        return names

    def remove_field(self, sobject: str, name: str) -> None:
        """Take a field away for good."""
        del self._objects[sobject][name]
        self._changed(sobject)

    def retype_field(self, sobject: str, name: str, kind: str, convert: Callable[[Any], Any] = str) -> None:
        """Give a field another type; its values are shown through `convert` (null stays null)."""
        old = self._objects[sobject][name]
        read = old.make or (lambda row: row.get(name))

        def make(row: Row) -> Any:
            held = read(row)
            return None if held is None else convert(held)

        self._objects[sobject][name] = replace(old, type=kind, make=make)
        self._changed(sobject)

    def hide(self, *names: str) -> None:
        """Take permissions away: for objects (`Case`) or fields (`Case.Priority`)."""
        self._hidden |= set(names)
        self._changed(*names)

    def show(self, *names: str) -> None:
        """Give permissions back."""
        self._hidden -= set(names)
        self._changed(*names)

    def shorten_ids(self, on: bool = True) -> None:
        """Every reference to another record is shown with 15 characters instead of 18 (own Ids keep 18)."""
        self.short_ids = on

    def _changed(self, *names: str) -> None:
        for name in names:
            self._changed_at[name.partition(".")[0]] = self._now()
        self._work_out()

    def _work_out(self) -> None:
        gone = {name for feature in self._off for name in FEATURES[feature]} | self._hidden
        self._seen = {
            name: {field: one for field, one in fields.items() if f"{name}.{field}" not in gone}
            for name, fields in self._objects.items()
            if name not in gone
        }
        self._names = {name.lower(): name for name in self._seen}
        self._lower = {name: {field.lower(): field for field in fields} for name, fields in self._seen.items()}
        self._relations = {
            name: {f.relationship.lower(): f for f in fields.values() if f.relationship}
            for name, fields in self._seen.items()
        }

    # -- questions -------------------------------------------------------------------------------------------------

    def objects(self) -> list[str]:
        return list(self._seen)

    def fields(self, sobject: str) -> Mapping[str, Field]:
        return self._seen.get(sobject, {})

    def find_object(self, name: str) -> str | None:
        """An object's name as describe spells it; None when it is not to be seen."""
        return self._names.get(name.lower())

    def find_field(self, sobject: str, name: str) -> str | None:
        return self._lower.get(sobject, {}).get(name.lower())

    def relation(self, sobject: str, name: str) -> Field | None:
        """The reference field behind a relationship's name, if what it refers to can be seen."""
        field = self._relations.get(sobject, {}).get(name.lower())
        return field if field is not None and any(target in self._seen for target in field.reference_to) else None

    def reader(self, field: Field) -> Callable[[Row], Any] | None:
        """How to read a field off a row, where it is more than the value held under its name."""
        if self.short_ids and field.type == "reference":
            return lambda row: (row.get(field.name) or "")[:15] or None
        return field.make

    def changed_at(self, sobject: str) -> int:
        return self._changed_at.get(sobject, self._began)

    @property
    def newest_change(self) -> int:
        return max([self._began, *self._changed_at.values()])

    def describe(self, sobject: str) -> dict[str, object]:
        return describe(sobject, self.fields(sobject))

    def summaries(self) -> list[dict[str, object]]:
        return [summary(name, fields) for name, fields in self._seen.items()]
