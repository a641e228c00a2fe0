"""Finds what changed by searches, whatever moves meanwhile, however many share a moment and however ids are sorted.

HubSpot shows at most 10,000 rows of a search, in pages (`limits.search_page`) that shift while objects are edited. So
no second page is ever read, and how many rows a search shows makes no difference: each begins where the last one's
rows ended. Where its order cannot be relied on (rows out of order,
rows that a count says are missing), a window is halved until one answer holds it whole, which needs no order at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

from connectors import parse
from connectors.errors import TransientError
from connectors.hubspot.answers import next_after, total_of
from connectors.hubspot.fields import ObjectType

Object = dict[str, Any]

_LARGEST_ID = 2**53
_LARGEST_MS = 4_102_444_800_000  # the year 2100: whatever is stamped later is a mistake
_MOST_FRUITLESS = 100
_ID = "hs_object_id"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Searcher(Protocol):
    """Whoever sends a search (the client)."""

    def search(self, object_type: str, body: Mapping[str, Any], /) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class _Hits:
    """One answer: (id, ms) as given, whether there is more, and how many there are in all (None: not said)."""

    stamped: list[tuple[str, int]]
    is_more: bool
    total: int | None

    @property
    def is_sorted(self) -> bool:
        stamps = [ms for _, ms in self.stamped]
        return all(one <= other for one, other in pairwise(stamps))


class Changes:
    """Ids of one object type changed in `[from_ms, to_ms]` (to_ms None: up to now and beyond).

    `page`: how many hits to ask for at once; `lacking`: only of objects that hold nothing in these properties.
    """

    def __init__(
        self,
        searcher: Searcher,
        kind: ObjectType,
        from_ms: int,
        to_ms: int | None = None,
        *,
        page: int,
        lacking: Sequence[str] = (),
    ) -> None:
        self._searcher = searcher
        self._kind = kind
        self._from_ms = max(from_ms, 1000)  # 0 makes HubSpot fail
        self._to_ms = to_ms
        self._page = page
        self._lacking = [{"propertyName": name, "operator": "NOT_HAS_PROPERTY"} for name in lacking]
        self._seen: set[tuple[str, int]] = set()
        self._fruitless = 0

    def blocks(self) -> Iterator[tuple[list[str], int]]:
        """Blocks of ids, oldest change first, each with the milliseconds up to which all is found."""
        floor, expected = self._from_ms, None
        before = floor
        while True:
            hits = self._ask(floor, self._to_ms)
            if not hits.is_sorted:
                yield from self._halves(floor, self._to_ms)
                return
            if expected is not None and hits.total is not None and hits.total < expected:
                # Fewer than were still to come: deleted since, or what was shown was not all up to there.
                yield from self._halves(before, floor - 1)
            top = max((ms for _, ms in hits.stamped), default=floor)
            top = max(top, floor)
            if fresh := self._fresh(hits.stamped):
                yield fresh, top
            if not hits.is_more:
                return
            below = sum(ms < top for _, ms in hits.stamped)
            expected = None if hits.total is None else hits.total - below
            before = floor
            if top == floor:  # more in one millisecond than an answer holds
                yield from self._in_one_ms(floor)
                before, expected = floor + 1, None
                top = floor + 1
            floor = top
            self._seen = {entry for entry in self._seen if entry[1] >= floor}

    def _halves(self, low: int, high: int | None) -> Iterator[tuple[list[str], int]]:
        """All of a window, halved until one answer holds it; no order is relied on."""
        windows = [(low, _LARGEST_MS if high is None else high)]
        while windows:
            begin, end = windows.pop()
            if begin > end:
                continue
            hits = self._ask(begin, end)
            if not hits.is_more:
                if fresh := self._fresh(hits.stamped):
                    yield fresh, min(end, max([begin, *(ms for _, ms in hits.stamped)]))
                continue
            if begin == end:
                yield from self._in_one_ms(begin)
                continue
            stamps = sorted(ms for _, ms in hits.stamped if begin <= ms < end)
            middle = stamps[len(stamps) // 2] if stamps else (begin + end) // 2
            windows += [(middle + 1, end), (begin, middle)]

    def _in_one_ms(self, ms: int) -> Iterator[tuple[list[str], int]]:
        """All that changed in one millisecond, by halving the ids, whichever way HubSpot sorts those."""
        spans = [(0, _LARGEST_ID, False)]
        is_prefix = True  # an answer holds the lowest ids of its span
        while spans:
            low, high, is_foreseen = spans.pop()
            hits = self._ask(ms, ms, (low, high))
            if not hits.is_more:
                if fresh := self._fresh(hits.stamped):
                    yield fresh, ms
                continue
            is_prefix = is_prefix and not is_foreseen
            if low == high:
                raise TransientError(f"HubSpot's search of {self._kind.name} shows one object on several pages.")
            ids = [int(one) for one, _ in hits.stamped if one.isdigit() and low <= int(one) < high]
            if not ids:
                middle = (low + high) // 2
            elif is_prefix and ids == sorted(ids):
                middle = ids[-1]  # one answer will hold all up to there
            else:
                middle = (min(ids) + max(ids)) // 2
            spans += [(middle + 1, high, False), (low, middle, is_prefix)]

    def _fresh(self, stamped: Sequence[tuple[str, int]]) -> list[str]:
        fresh = [entry for entry in dict.fromkeys(stamped) if entry not in self._seen]
        self._seen.update(fresh)
        if fresh:
            self._fruitless = 0
        return list(dict.fromkeys(one for one, _ in fresh))

    def _ask(self, low: int, high: int | None, ids: tuple[int, int] | None = None) -> _Hits:
        """One search of a window and, where given, of a span of ids; empty pages before its rows are passed over."""
        cursor = self._kind.cursor
        filters = [{"propertyName": cursor, "operator": "GTE", "value": str(low)}, *self._lacking]
        if high is not None:  # half open: a stamp may have parts of a millisecond that it does not show
            filters.append({"propertyName": cursor, "operator": "LT", "value": str(high + 1)})
        if ids is not None:
            span = {"value": str(ids[0]), "highValue": str(ids[1])}
            filters.append({"propertyName": _ID, "operator": "BETWEEN", **span})
        body: dict[str, Any] = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": cursor if ids is None else _ID, "direction": "ASCENDING"}],
            "properties": [cursor],
            "limit": self._page,
        }
        marks: set[str] = set()
        while True:
            self._fruitless += 1
            if self._fruitless > _MOST_FRUITLESS:
                raise TransientError(f"HubSpot's search of {self._kind.name} goes on and on without bringing anything.")
            document = self._searcher.search(self._kind.name, body)
            after = next_after(document)
            if document["results"] or after is None:
                stamped = [self._stamp(one, low, high) for one in document["results"]]
                return _Hits(stamped, after is not None, total_of(document))
            if after in marks:
                raise TransientError(f"HubSpot's search of {self._kind.name} leads in a circle.")
            marks.add(after)
            body["after"] = after

    def _stamp(self, one: Object, low: int, high: int | None) -> tuple[str, int]:
        """Id and change of a row; parts of a millisecond may put it a little outside the window asked for."""
        ms = changed_ms(one, self._kind.cursor)
        ms = low if ms is None else max(ms, low)
        return str(one["id"]), ms if high is None else min(ms, high)


def changed_ms(one: Object, cursor: str) -> int | None:
    """When an object last changed, in milliseconds; None where it does not say."""
    properties = one.get("properties")
    value = (properties.get(cursor) if isinstance(properties, Mapping) else None) or one.get("updatedAt")
    if not value:
        return None
    try:
        plain = str(value)
        return int(plain) if plain.isdigit() else (_aware(parse.to_datetime(plain)) - _EPOCH) // _MS
    except (ValueError, OverflowError):
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def count(searcher: Searcher, kind: ObjectType, from_ms: int | None = None) -> tuple[int | None, int | None]:
    """How many live objects there are (changed since `from_ms`), and the highest id as far as HubSpot's order shows."""
    filters = [{"propertyName": kind.cursor, "operator": "GTE", "value": str(max(from_ms or 0, 1000))}]
    body: dict[str, Any] = {
        "filterGroups": [{"filters": filters}] if from_ms is not None else [],
        "sorts": [{"propertyName": _ID, "direction": "DESCENDING"}],
        "properties": [_ID],
        "limit": 1,
    }
    document = searcher.search(kind.name, body)
    ids = [str(one["id"]) for one in document["results"]]
    return total_of(document), int(ids[0]) if ids and ids[0].isdigit() else None
