"""SOQL for one object: conditions, order, and field lists cut to what the address of a call may hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

from connectors import parse
from connectors.errors import StreamError

Row = dict[str, Any]

STAMP = "SystemModstamp"


@dataclass(frozen=True, slots=True)
class Select:
    """One query: the names asked for (Id and the order's field first), conditions that all hold, field to order by."""

    object: str
    names: tuple[str, ...]
    where: tuple[str, ...] = ()
    by: str = "Id"

    @property
    def soql(self) -> str:
        order = "Id ASC" if self.by == "Id" else f"{self.by} ASC, Id ASC"
        return f"{self.unordered} ORDER BY {order}"

    @property
    def unordered(self) -> str:
        """Without ORDER BY, which keeps a bulk job from splitting its work."""
        return f"SELECT {', '.join(self.names)} FROM {self.object}{where_of(self.where)}"

    @property
    def keys(self) -> tuple[str, ...]:
        """What every part of the query must have: the row's id, its place and its version."""
        return tuple(dict.fromkeys(("Id", self.by, *(name for name in self.names if name == STAMP))))

    def parts(self, room: int) -> list["Select"]:
        """This query cut into as many as its field list needs, none longer in an address than `room` bytes.

        Each has the keys, the first stands for the rows.
        """
        if length_of(self.soql) <= room:
            return [self]
        room -= length_of(replace(self, names=self.keys).soql) + _RANGE
        parts: list[list[str]] = [[]]
        left = room
        for name in self.names:
            if name in self.keys:
                continue
            size = length_of(f", {name}")
            if size > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(name)
            left -= size
        return [replace(self, names=(*self.keys, *names)) for names in parts]

    def over(self, first: Mapping[str, Any], last: Mapping[str, Any]) -> "Select":
        """The same for the rows from `first` to `last` in this order."""
        one, other = first["Id"], last["Id"]
        if self.by == "Id":
            return replace(self, where=(*self.where, f"Id >= '{one}'", f"Id <= '{other}'"))
        begin, end = literal(first[self.by]), literal(last[self.by])
        after = f"({self.by} > {begin} OR ({self.by} = {begin} AND Id >= '{one}'))"
        until = f"({self.by} < {end} OR ({self.by} = {end} AND Id <= '{other}'))"
        return replace(self, where=(*self.where, after, until))


_RANGE = 500  # what `over` adds, encoded


def where_of(conditions: Iterable[str]) -> str:
    """` WHERE a AND b`, empty for none."""
    joined = " AND ".join(one for one in conditions if one)
    return f" WHERE {joined}" if joined else ""


def count_of(name: str, conditions: Iterable[str]) -> str:
    return f"SELECT COUNT() FROM {name}{where_of(conditions)}"


def literal(instant: Any) -> str:
    """An instant as SOQL wants it, without quotes."""
    return parse.instant(instant)


def id_list(ids: Sequence[str]) -> str:
    """`('a', 'b')`. Ids are checked: nothing else may get into a query."""
    for one in ids:
        if not (one.isascii() and one.isalnum()):
            raise StreamError("A record id holds what no Salesforce id does.")
    return "(" + ", ".join(f"'{one}'" for one in ids) + ")"


def by_room(ids: Sequence[str], base: str, room: int, *, at_most: int = 2000) -> list[Sequence[str]]:
    """`ids` in groups that fit into the `room` (bytes) of one address beside `base`."""
    size = max(1, min(at_most, (room - length_of(base)) // _ID_BYTES))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


_ID_BYTES = 28  # an id of 18 characters with its quotes, comma and blank, encoded


def length_of(text: str) -> int:
    """Bytes of a text in an address."""
    return len(quote_plus(text))


def merge(row: Row, more: Mapping[str, Any]) -> None:
    """Add the fields of another part of the same record."""
    for name, value in more.items():
        held = row.get(name)
        if isinstance(held, dict) and isinstance(value, dict):
            held.update(value)
        else:
            row[name] = value
