"""Rows of an object by the million that are made as they are read: for what a reader's memory does with them."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

from syncagent.sandbox.clock import sf_instant
from syncagent.sandbox.ids import to_18

Row = dict[str, Any]
_STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
_PER_SECOND = 100  # how many share a stamp


@lru_cache(maxsize=64)
def _stamp(at: int) -> str:
    return sf_instant(at)


class Flood:
    """`number` rows like `template`, with ids and stamps of their own: older, and of lower ids, than all real rows."""

    def __init__(self, template: Row, number: int, began: int) -> None:
        self._template = template
        self._prefix = template["Id"][:3] + "F"
        self._suffix = to_18(f"{self._prefix}{0:011d}")[15:]  # digits have no capitals: the same for all
        self._stamps = [name for name in _STAMPS if name in template]
        self._began = began
        self.number = number

    def row(self, place: int) -> Row:
        row = self._template.copy()
        row["Id"] = f"{self._prefix}{place:011d}{self._suffix}"
        row.update(dict.fromkeys(self._stamps, _stamp(self._began + place // _PER_SECOND)))
        return row

    def within(self, tests: Sequence[Callable[[Row], bool]]) -> range:
        """The stretch that meets all tests, each of which is true from some row on, up to some row, or throughout."""
        low, high = 0, self.number
        for test in tests:
            first, last = test(self.row(0)), test(self.row(self.number - 1))
            if not first and not last:
                return range(0)
            if not first:
                low = max(low, self._border(test))
            elif not last:
                high = min(high, self._border(lambda row, test=test: not test(row)))  # type: ignore[misc]
        return range(low, max(low, high))

    def _border(self, test: Callable[[Row], bool]) -> int:
        """The first row of which a test is true that is true of all after it."""
        low, high = 0, self.number - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if test(self.row(middle)) else (middle + 1, high)
        return low


class Joined(Sequence[Row]):
    """A stretch of a flood with real rows behind it; a slice of it is one too."""

    def __init__(self, flood: Flood, stretch: range, rows: Sequence[Row]) -> None:
        self._flood = flood
        self._stretch = stretch
        self._rows = rows

    def __len__(self) -> int:
        return len(self._stretch) + len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> "Joined": ...

    def __getitem__(self, place: int | slice) -> "Row | Joined":
        made = len(self._stretch)
        if isinstance(place, int):
            place = range(len(self))[place]
            return self._flood.row(self._stretch[place]) if place < made else self._rows[place - made]
        start, stop, _ = place.indices(len(self))
        return Joined(self._flood, self._stretch[start:stop], self._rows[max(0, start - made) : max(0, stop - made)])

    def __iter__(self) -> Iterator[Row]:
        for place in self._stretch:
            yield self._flood.row(place)
        yield from self._rows
