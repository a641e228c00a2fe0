"""Walks one query in its order, whatever breaks: lost page links, fields that vanish, windows that take too long.

A place is a keyset (value of the order's field, Id). Every row of the window is handed out once, in order, with the
place moved behind it; asking again from a place is always right.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors import parse
from connectors.errors import TransientError
from connectors.salesforce import wide
from connectors.salesforce.answers import QueryPage
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import LostPosition, Short, TooMuch, UnknownField
from connectors.salesforce.query import Row, Select
from connectors.salesforce.schema import OrgSchema

log = logging.getLogger(__name__)

#: Rows handed out at once, of a page of 2,000: twice as many as are asked for in one call of what belongs to them.
PART = 800
_MAX_RESTARTS = 3
#: Salesforce began in 1999: nothing is older.
_BEGINNING = "1999-01-01T00:00:00Z"


@dataclass(slots=True)
class Place:
    """Everything up to `id` at `at` has been handed out; without an id everything before `at` (None: nothing)."""

    at: str | None = None
    id: str = ""

    def condition(self, field: str) -> str:
        if self.at is None:
            return ""
        if not self.id:
            return f"{field} >= {self.at}"
        return f"({field} > {self.at} OR ({field} = {self.at} AND Id > '{self.id}'))"


@dataclass(frozen=True, slots=True)
class Window:
    """What to read: an object by one of its instants, up to `until` (exclusive; None: no end)."""

    object: str
    by: str
    until: str | None = None
    also: tuple[str, ...] = ()


class Walker:
    """Reads windows of one org. Not shared between threads."""

    def __init__(self, client: SalesforceClient, schema: OrgSchema) -> None:
        self._client = client
        self._schema = schema

    def walk(self, window: Window, place: Place, now: Callable[[], str]) -> Iterator[tuple[Sequence[Row], int]]:
        """Rows, a part of a page at a time, and how many the query has. Raises Short at the end when rows are missing.

        `now` is the vendor's clock, where a window must be halved.
        """
        restarts = 0
        cap: str | None = None  # the end of the piece that is asked for, where the whole is too much
        while True:
            begin = (place.at, place.id)
            end = cap or window.until
            try:
                yield from self._piece(window, place, end, is_last_try=restarts >= _MAX_RESTARTS)
            except LostPosition as error:
                restarts = 0 if (place.at, place.id) != begin else restarts + 1
                if restarts > _MAX_RESTARTS:
                    raise TransientError(f"Salesforce kept losing its place in {window.object}.") from None
                log.info("%s: %s", window.object, error.message, extra={"action": "page_lost"})
                continue
            except TooMuch as error:
                cap = _middle(place.at or _BEGINNING, end or now())
                if cap is None:
                    raise
                log.info("%s: %s Reading less at once.", window.object, error.message, extra={"action": "window_cut"})
                continue
            if cap is None:
                return
            width = parse.to_datetime(cap) - parse.to_datetime(begin[0] or _BEGINNING)
            place.at, place.id = cap, ""
            wider = parse.to_datetime(cap) + max(width * 2, timedelta(seconds=1))
            last = parse.to_datetime(window.until or now())
            cap = parse.format_instant(wider) if wider < last else None

    def ids_in_order(self, name: str, names: Sequence[str], last_id: str, also: Sequence[str]) -> Iterator[QueryPage]:
        """Pages of an object ordered by Id, from behind `last_id` ("": all)."""
        restarts = 0
        while True:
            after = (f"Id > '{last_id}'",) if last_id else ()
            received, expected = 0, 0
            try:
                for page in wide.pages(self._client, Select(name, tuple(names), (*also, *after))):
                    received += len(page.records) + page.dropped
                    expected = max(expected, page.total)
                    if received > expected:
                        raise LostPosition("Salesforce sends the same page again and again.")
                    yield page
                    if page.records:
                        last_id, restarts = page.records[-1]["Id"], 0
                if received < expected:
                    raise Short(f"Salesforce sent {received} of {expected} records of {name}.")
                return
            except LostPosition:
                restarts += 1
                if restarts > _MAX_RESTARTS:
                    raise TransientError(f"Salesforce kept losing its place in {name}.") from None

    def _piece(
        self, window: Window, place: Place, end: str | None, *, is_last_try: bool
    ) -> Iterator[tuple[Sequence[Row], int]]:
        received, expected, is_sorted = 0, 0, True
        for page in self._pages(window, place, end):
            received += len(page.records) + page.dropped
            expected = max(expected, page.total)
            if received > expected:
                raise LostPosition("Salesforce sends the same page again and again.")
            is_sorted = is_sorted and self._is_behind(window, place, page.records)
            if not is_sorted and not is_last_try:
                raise LostPosition("Salesforce sent rows out of order.")
            while rows := page.records[:PART]:
                del page.records[:PART]  # what has been handed out is not kept till the page's end
                if is_sorted:
                    place.at, place.id = parse.instant(rows[-1][window.by]), rows[-1]["Id"]
                yield rows, expected
                del rows
            del page  # before the next one is asked for
        if received < expected:
            raise Short(f"Salesforce sent {received} of {expected} records of {window.object}.")

    def _pages(self, window: Window, place: Place, end: str | None) -> Iterator[QueryPage]:
        """Pages of a query; a field that turns out to be missing is dropped and the query asked again."""
        while True:
            conditions = [place.condition(window.by), f"{window.by} < {end}" if end else "", *window.also]
            names = self._schema.wanted(window.object, window.by)
            select = Select(window.object, names, tuple(one for one in conditions if one), window.by)
            try:
                yield from wide.pages(self._client, select)
                return
            except UnknownField as error:
                if not self._schema.forget(window.object, error.field):
                    raise
                if not self._schema.offer(window.object).has(window.by):
                    message = f"Salesforce no longer shows {window.object}.{window.by}, which it was read by."
                    raise TransientError(message, mend="The next sync reads it by another date.") from None

    @staticmethod
    def _is_behind(window: Window, place: Place, rows: Sequence[Row]) -> bool:
        """Whether every row stands at or behind the one before: how the server sorts ids is its own business."""
        before = place.at or ""
        for row in rows:
            at = parse.instant(row[window.by])
            if at < before:
                return False
            before = at
        return True


def _middle(begin: str, end: str) -> str | None:
    """The instant halfway, None where there is none between."""
    first, last = parse.to_datetime(begin), parse.to_datetime(end)
    half = (last - first) // 2
    if half < timedelta(seconds=1):
        return None
    return parse.format_instant(first + half)
