"""Reads one HubSpot object type: first the whole list, then what changed, and what was archived.

The position of a type is `{"phase", …}`: while the list is read, where each range of it is, and `began_ms`; afterwards
two cursors in milliseconds of the vendor's clock. `ms` follows close behind with a small overlap (`limits.lookback`).
`far_ms` reads every change once more when it is over an hour old (`limits.lag`): the search index may show a row up to
59 minutes after its stamp, and no small overlap finds that one. Searches find ids only: some values are null there
that a batch read has.
"""

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from connectors import parse
from connectors.base import Merge, Page, Tombstone
from connectors.errors import StreamError, TransientError
from connectors.hubspot.answers import is_archived, next_after
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.errors import NotThere
from connectors.hubspot.fetch import MERGING, Fetcher, merged_ids
from connectors.hubspot.fields import LINE_ITEMS, Lines, ObjectType
from connectors.hubspot.listing import BLOCK, BLOCK_WITH_HISTORY, Listing
from connectors.hubspot.pages import Mapper, joined
from connectors.hubspot.portal import Portal
from connectors.hubspot.search import Changes, count

log = logging.getLogger(__name__)

_SKEW_MS = 15 * 60_000  # two clocks seldom differ by more
_JITTER_MS = 60_000  # the Date headers of several servers; less than an index that is settled has in reserve
_HOUR_MS = 3_600_000
_ARCHIVED_PAGE = 1_000
_POSITION = ("ranges", "read", "after", "chain")

Marks = dict[str, Any]


class Reader:
    """One object type of one stream, read from one thread."""

    def __init__(self, client: HubSpotClient, fetcher: Fetcher, portal: Portal, mapper: Mapper) -> None:
        self._client = client
        self._fetcher = fetcher
        self._portal = portal
        self._limits = client.limits
        self._lag_ms = client.limits.lag_ms  # by then the index shows whatever was stamped
        self._mapper = mapper
        self._kind = mapper.kind
        self._over = f"{self._kind.name}:over"  # the name of the mark up to which it is known what is over

    def read(
        self,
        marks: Marks,
        *,
        full: bool,
        since: date | None,
        now: datetime,
        counted: tuple[int | None, int | None],
        total: int | None,
    ) -> Iterator[Page]:
        """Pages of this type; each one's bookmark holds the positions of all types in `marks`.

        `counted`: how many there are and the highest id, where the list is read; `total`: those of the whole stream.
        """
        name = self._kind.name
        for one in marks.keys() & {name, self._over, self._kind.lines.name if self._kind.lines else name}:
            marks[one] = in_time(marks[one], self._client.now_ms(now), self._lag_ms)
        mark = None if full else marks.get(name)
        if mark is None:
            marks.pop(self._over, None)
        if mark is None or mark.get("phase") == "list":
            yield from self._read_list(marks, mark or {}, now, counted, total)
            if mark is not None:
                # Resumed, maybe days later: what changed meanwhile may stand before the place where it went on.
                yield from self._read_changes(marks, since, now)
        else:
            if self._kind.ends:
                marks.setdefault(self._over, {"ms": int(mark["ms"])})
            yield from self._read_changes(marks, since, now)
        if self._kind.ends:
            yield from self._read_over(marks, now)
        if self._kind.lines is not None:
            yield from self._read_lines(self._kind.lines, marks, since, now)
        yield from self._read_archived(self._kind, (self._kind.table,), marks, now)

    # -- the list ------------------------------------------------------------------------------------------------------

    def _read_list(
        self,
        marks: Marks,
        mark: Mapping[str, Any],
        now: datetime,
        counted: tuple[int | None, int | None],
        total: int | None,
    ) -> Iterator[Page]:
        name = self._kind.name
        began_ms = int(mark.get("began_ms") or self._client.now_ms(now))  # before any of it is read
        self._mapper.known.now = parse.from_ms(self._client.now_ms(now))
        live = {"phase": "live", "ms": began_ms, "far_ms": began_ms - self._lag_ms, "done": True}
        if self._kind.lines is not None:  # lines come with what they are on; a mark that stays is of lines now lost
            marks.setdefault(self._kind.lines.name, dict(live))
        there, top = counted
        fetcher, mapper = self._fetcher, self._mapper
        size = BLOCK_WITH_HISTORY if self._kind.history else BLOCK

        def is_there(one: int) -> bool:
            found = fetcher.read(name, [str(one)], ("hs_object_id",)).objects
            return any(str(each["id"]) == str(one) for each in found)

        listing = Listing(
            fetcher, name, mapper.ask_page, mapper.from_list, total=there, top=top, size=size, is_there=is_there
        )

        def pages() -> Generator[Page, None, None]:
            for page, size, position in listing.blocks({key: mark[key] for key in _POSITION if key in mark}):
                if position is None:
                    marks[name] = live
                    if self._kind.ends:
                        marks[self._over] = {"ms": began_ms}
                else:
                    marks[name] = {"phase": "list", "began_ms": began_ms, **position}
                yield replace(page, read=size, total=total, bookmark=self._bookmark(marks))

        with closing(pages()) as listed:  # what runs side by side ends with us
            yield from joined(listed)

    # -- what changed --------------------------------------------------------------------------------------------------

    def _read_changes(self, marks: Marks, since: date | None, now: datetime) -> Iterator[Page]:
        self._mapper.known.now = parse.from_ms(self._client.now_ms(now))
        name, table = self._kind.name, self._kind.table
        for ids, mark in self._changed(self._kind, marks[name], since, now):
            page, found = self._mapper.read(ids)
            marks[name] = mark
            merged = (Merge(table, loser, into) for loser, into in sorted(found.merged.items()))
            merges = list(dict.fromkeys((*page.merges, *merged)))
            yield replace(page, merges=merges, read=len(ids), bookmark=self._bookmark(marks))

    def _changed(
        self, kind: ObjectType, mark: Mapping[str, Any], since: date | None, now: datetime
    ) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """Ids to read again, and the mark once that is done; at the end always a mark, with the ids left over."""
        now_ms = self._client.now_ms(now)  # as of before the first search
        settled_ms = now_ms - self._lag_ms
        near_ms = int(mark["ms"])
        far_ms = int(mark.get("far_ms", near_ms - self._lag_ms))
        floor = near_ms - (self._limits.lookback_ms if mark.get("done") else 0)  # broken off: the other finds what lags
        if since is not None:
            floor = min(floor, _day_ms(since))
        state = dict(mark)

        def upto(top: int) -> int:
            return min(top, now_ms)  # a stamp in the future is no place to go on from

        if floor <= settled_ms:  # long ago: one pass does for both
            begin = min(floor, far_ms)
            for ids, top in self._gathered(self._changes(kind, begin)):
                state |= {"ms": upto(top), "far_ms": min(top, max(settled_ms, far_ms)), "done": False}
                yield ids, dict(state)
            state |= {"ms": now_ms, "far_ms": max(settled_ms, far_ms), "done": True}
            yield [], dict(state)
            return
        for ids, top in self._gathered(self._changes(kind, floor)):
            state |= {"ms": upto(top), "done": False}
            yield ids, dict(state)
        state |= {"ms": now_ms, "done": True}
        yield [], dict(state)
        if far_ms < settled_ms:
            for ids, top in self._gathered(self._changes(kind, far_ms, settled_ms)):
                state |= {"far_ms": top}
                yield ids, dict(state)
            state |= {"far_ms": settled_ms}
            yield [], dict(state)

    def _read_over(self, marks: Marks, now: datetime) -> Iterator[Page]:
        """What came to its end since the last look, which changes nothing in it (a meeting held)."""
        now_ms = self._client.now_ms(now)
        self._mapper.known.now = parse.from_ms(now_ms)
        from_ms = int(marks[self._over]["ms"]) // 1000 * 1000  # clocks are compared by the second
        there = {str(one["name"]) for one in self._portal.properties(self._kind.name)}
        ends = [name for name in self._kind.ends if name in there]
        for number, cursor in enumerate(ends):
            kind = replace(self._kind, cursor=cursor)
            for ids, _ in self._gathered(self._changes(kind, from_ms, now_ms, ends[:number])):
                page, _ = self._mapper.read(ids)
                yield replace(page, read=len(ids))
        marks[self._over] = {"ms": now_ms}
        yield Page(bookmark=self._bookmark(marks))

    def _changes(
        self, kind: ObjectType, from_ms: int, to_ms: int | None = None, lacking: Sequence[str] = ()
    ) -> Changes:
        return Changes(self._client, kind, from_ms, to_ms, page=self._limits.search_page, lacking=lacking)

    def _gathered(self, changes: Changes) -> Iterator[tuple[list[str], int]]:
        """Blocks of ids large enough to be worth a page; the next search is under way meanwhile."""
        waiting: list[str] = []
        top = 0
        for ids, top in self._fetcher.ahead(changes.blocks()):
            waiting += ids
            if len(waiting) >= BLOCK:
                yield list(dict.fromkeys(waiting)), top
                waiting = []
        if waiting:
            yield list(dict.fromkeys(waiting)), top

    def _read_lines(self, lines: Lines, marks: Marks, since: date | None, now: datetime) -> Iterator[Page]:
        """Line items that changed or went: what they are on is read again, with all its lines."""
        if self._portal.reason_unreadable(lines.name) is not None:
            return
        now_ms = self._client.now_ms(now)
        fresh = {"phase": "live", "ms": now_ms, "far_ms": now_ms - self._lag_ms, "done": True}
        begin = marks.setdefault(lines.name, fresh)
        own = self._kind.name
        for ids, mark in self._changed(LINE_ITEMS, begin, since, now):
            parents = self._fetcher.links(lines.name, (own,), ids).get(own) if ids else None
            wholes = dict.fromkeys(one for found in parents.by_id.values() for one in found) if parents else {}
            page, _ = self._mapper.read(list(wholes))
            marks[lines.name] = mark
            yield replace(page, read=len(ids), bookmark=self._bookmark(marks))
        yield from self._read_archived(LINE_ITEMS, (lines.table,), marks, now)

    # -- what was archived ---------------------------------------------------------------------------------------------

    def _read_archived(self, kind: ObjectType, tables: Sequence[str], marks: Marks, now: datetime) -> Iterator[Page]:
        """Tombstones of what was archived since the last look; the more there is, the more seldom it is looked at."""
        mark = dict(marks[kind.name])
        now_ms = self._client.now_ms(now)
        swept_ms, pages = mark.get("swept_ms"), int(mark.get("sweep_pages") or 1)
        if swept_ms is not None and now_ms - swept_ms < min(_HOUR_MS, (pages - 1) * 60_000):
            return
        from_ms = (swept_ms if swept_ms is not None else int(mark["ms"]) if kind is LINE_ITEMS else 0) - self._lag_ms
        tombstones: list[Tombstone] = []
        merges: list[Merge] = []  # a survivor that is gone before anybody saw it was the end of others too
        read = 0
        try:
            for objects in self._archived_pages(kind.name):
                read += len(objects)
                for one in filter(is_archived, objects):
                    own, deleted_at = str(one["id"]), parse.instant_or_none(one.get("archivedAt"))
                    if deleted_at is None or parse.to_ms(deleted_at) >= from_ms:
                        tombstones += [Tombstone(table, own, deleted_at) for table in tables]
                        losers = sorted(merged_ids(one))
                        merges += [Merge(table, loser, own) for loser in losers for table in tables]
                if len(tombstones) >= _ARCHIVED_PAGE:
                    yield Page(tombstones=tombstones, merges=merges)
                    tombstones, merges = [], []
        except NotThere:
            return  # this type has no list of archived objects
        marks[kind.name] = mark | {"swept_ms": now_ms, "sweep_pages": read // self._limits.list_page + 1}
        yield Page(tombstones=tombstones, merges=merges, bookmark=self._bookmark(marks))

    def _archived_pages(self, name: str) -> Iterator[list[dict[str, Any]]]:
        names = "hs_object_id,hs_merged_object_ids" if name in MERGING else "hs_object_id"
        query = {"limit": self._limits.list_page, "archived": "true", "properties": names}
        seen: set[str] = set()
        mark: str | None = None
        while True:
            document = self._fetcher.list_page(name, {**query, "after": mark} if mark else query)
            yield document["results"]
            mark = next_after(document)
            if mark is None:
                return
            if mark in seen:
                raise TransientError(f"HubSpot's pages of archived {name} lead in a circle.")
            seen.add(mark)

    def _bookmark(self, marks: Marks) -> dict[str, Any]:
        return {"objects": {name: dict(mark) for name, mark in marks.items()}}


def in_time(mark: Mapping[str, Any], now_ms: int, lag_ms: int) -> dict[str, Any]:
    """A mark without positions in the future: a clock was wrong when they were noted, so what came since is read again.

    `now_ms`: milliseconds, as of now; `lag_ms`: how late a row may show.
    """
    begin = now_ms - _SKEW_MS - lag_ms
    given = {key: int(mark[key]) for key in ("ms", "far_ms", "began_ms", "swept_ms") if mark.get(key) is not None}
    late_by = {"far_ms": lag_ms}
    if all(ms <= now_ms + _JITTER_MS - late_by.get(key, 0) for key, ms in given.items()):
        return dict(mark)
    return dict(mark) | {key: min(ms, begin) for key, ms in given.items()}


def counted(client: HubSpotClient, kind: ObjectType, from_ms: int | None = None) -> tuple[int | None, int | None]:
    """How many live objects there are and the highest id; None where HubSpot does not say."""
    try:
        return count(client, kind, from_ms)
    except StreamError as error:
        log.info("%s cannot be counted: %s", kind.name, error, extra={"action": "not_counted"})
        return None, None


def _day_ms(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(milliseconds=1)
