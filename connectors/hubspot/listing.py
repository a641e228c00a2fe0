"""Reads the whole list of one object type, several parts of it side by side where HubSpot's order allows it.

HubSpot lists objects by id, and the mark of a next page is the last id of the page before (or one more). Where that
holds, the ids are split into ranges that are read at once, and a range that turns out long is split again: one large
object alone then uses the whole limit. It is checked on every page; on a breach the list is read anew as one chain
that follows the marks as they are given.

The position is `{"ranges": [[read up to, ends at], …]}` (ends at None: open) or `{"after": mark, "chain": true}`.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from operator import lt
from typing import Any, Generic, TypeVar

from connectors.errors import TransientError
from connectors.hubspot.answers import next_after
from connectors.hubspot.fetch import Fetcher, settle
from connectors.hubspot.width import Width

log = logging.getLogger(__name__)

T = TypeVar("T")
Object = dict[str, Any]
Position = dict[str, Any]

BLOCK = 500
BLOCK_WITH_HISTORY = 300  # those objects are large, and several blocks are under way at once
RANGES = 8
_SMALL = 2_000  # fewer objects than this are not worth splitting
_MOST_EMPTY = 20
_MOST_VAIN = 150
_LARGEST_ID = 2**62
_CHAIN_AHEAD = 3

#: One page of the list that begins after a mark.
AskPage = Callable[[str | None], dict[str, Any]]


class Unordered(Exception):
    """The list is not in the order of ids."""


@dataclass(slots=True)
class _Range:
    """Ids in (mark, end] are still to be read; end None: all above the mark."""

    mark: int  # up to here all is done
    end: int | None
    reached: int = 0  # up to here a worker has read
    extra: bool = False  # it holds one of the places all streams share

    @property
    def width(self) -> int:
        return 0 if self.end is None else self.end - max(self.mark, self.reached)


@dataclass(slots=True)
class _Block(Generic[T]):
    objects: int
    mark: int
    highest: int
    is_over: bool
    made: T


class Listing(Generic[T]):
    """One list. `ask` gets a page, `make` turns the objects of a block into what is wanted, in a worker's thread.

    `total` is how many there are about, `top` the highest id known (None: not known, one chain), `size` how many
    objects make a block, `is_there` asks for one object by its id, `width` how many workers may be at it now (None: as
    many as it is worth while).
    """

    def __init__(
        self,
        fetcher: Fetcher,
        name: str,
        ask: AskPage,
        make: Callable[[Sequence[Object]], T],
        *,
        total: int | None,
        top: int | None,
        size: int = BLOCK,
        is_there: Callable[[int], bool] = lambda _id: False,
        width: Callable[[], int] | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._size = size
        self._name = name
        self._ask = ask
        self._make = make
        self._total = total
        self._top = self._known = top or 0  # ranges are split below the one; the other has been seen
        self._may_split = total is not None and total > _SMALL and top is not None
        self._is_checked = False  # a first page came in the order of ids
        self._highest = 0  # the highest id the list itself has shown
        self._made = self._vain = 0  # blocks, and those without any object
        self._read = 0
        self._is_there = is_there
        self._width = width or Width(lambda: fetcher.worked_s, RANGES).now
        self._lock = threading.Lock()

    def blocks(self, position: Position | None) -> Iterator[tuple[T, int, Position | None]]:
        """What was made of each block, its number of objects, and the position after it (None: all is read)."""
        position = position or {}
        if not position.get("chain") and not position.get("after"):
            given = position.get("ranges") or [[0, None]]
            self._read = int(position.get("read") or 0)
            try:
                yield from self._in_ranges([_Range(int(mark), end) for mark, end in given])
                return
            except Unordered:
                log.warning(
                    "HubSpot does not list %s in the order of ids; read in one chain",
                    self._name,
                    extra={"action": "one_chain"},
                )
                position = {}
        yield from self._in_chain(position.get("after"))

    # -- ranges --------------------------------------------------------------------------------------------------------

    def _in_ranges(self, ranges: list[_Range]) -> Iterator[tuple[T, int, Position | None]]:
        running: dict[Future[_Block[T]], _Range] = {}
        try:
            while True:
                self._begin(ranges, running)
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    block, own = future.result(), running.pop(future)
                    own.mark = max(own.mark, block.mark)
                    self._note(block)
                    if block.is_over or (own.end is not None and own.mark >= own.end):
                        ranges.remove(own)
                        self._release(own)
                    self._begin(ranges, running)  # before the block is worked on: the wire is never idle
                    left = [[one.mark, one.end] for one in ranges]
                    position = {"ranges": left, "read": self._read} if ranges else None
                    yield block.made, block.objects, position
        finally:
            settle(list(running))
            for one in ranges:
                self._release(one)

    def _begin(self, ranges: list[_Range], running: dict[Future[_Block[T]], _Range]) -> None:
        """Set workers on ranges nobody reads now, splitting where there are too few for what is left."""
        idle = [one for one in ranges if one not in running.values()]
        for one in idle:  # another stream may use its place meanwhile
            self._release(one)
        width = self._width()
        while len(running) < width:
            if not idle and (fresh := self._split(ranges)) is not None:
                ranges.append(fresh)
                idle.append(fresh)
            if not idle:
                return
            one = idle[0]
            if running and not one.extra:
                one.extra = self._fetcher.extra_blocks.acquire(blocking=False)
                if not one.extra:
                    return
            idle.pop(0)
            running[self._fetcher.start(partial(self._block, one))] = one

    def _release(self, one: _Range) -> None:
        if one.extra:
            one.extra = False
            self._fetcher.extra_blocks.release()

    def _split(self, ranges: list[_Range]) -> _Range | None:
        """The upper half of the widest range, taken off it; None where what is left is not worth it."""
        left = (self._total or 0) - self._read
        is_in_vain = self._vain > _MOST_VAIN + self._made // 4  # the count was wrong: there is nothing left to find
        if not self._may_split or not self._is_checked or left < BLOCK * (len(ranges) + 1) or is_in_vain:
            return None
        with self._lock:
            for one in ranges:
                reached = max(one.mark, one.reached)
                if one.end is None and reached > self._top:
                    self._top = min(reached * 2, _LARGEST_ID)  # there are more than was thought
                if one.end is None and reached < self._top:
                    one.end = self._top
                    return _Range(self._top, None)
            widest = max(ranges, key=lambda one: one.width, default=None)
            if widest is None or widest.width < 2 * BLOCK or widest.end is None:
                return None
            middle = widest.end - widest.width // 2
            upper, widest.end = _Range(middle, widest.end), middle
            return upper

    def _note(self, block: _Block[T]) -> None:
        self._is_checked = True
        self._highest = max(self._highest, block.highest)
        self._known = max(self._known, self._highest)
        self._read += block.objects
        self._made += 1
        self._vain += block.objects == 0

    def _block(self, own: _Range) -> _Block[T]:
        """Pages of one range, until there are enough objects or it is over. Its end may come nearer meanwhile."""
        objects: list[Object] = []
        empty = 0
        is_confirmed = False
        mark = own.mark
        while True:
            page, after = self._ordered_page(mark)
            with self._lock:
                end = own.end
                if end is None or not page or int(page[-1]["id"]) <= end:  # in order: nearly always all of it
                    kept = page
                else:
                    kept = [one for one in page if int(one["id"]) <= end]
                own.reached = int(kept[-1]["id"]) if kept else mark
            objects += kept
            reached = int(page[-1]["id"]) if page else int(after) if after is not None else mark
            if after is None and max(mark, reached) < (self._known if end is None else min(end, self._known)):
                # The index knows (or another range has seen) higher ids. Deleted meanwhile, or an answer cut short?
                if is_confirmed and ((end is not None and end < self._highest) or self._is_there(self._known)):
                    raise TransientError(f"HubSpot's list of {self._name} ends before its highest ids.")
                if not is_confirmed:
                    is_confirmed = True
                    mark = max(mark, reached)
                    continue
            if page:
                empty = 0
            elif after is not None:
                empty += 1
                if empty > _MOST_EMPTY:
                    raise TransientError(f"HubSpot's pages of {self._name} lead in a circle.")
            mark = max(mark, reached)
            is_over = after is None or (end is not None and mark >= end)
            if is_over or len(objects) >= self._size:
                highest = int(objects[-1]["id"]) if objects else 0
                return _Block(len(objects), mark, highest, is_over, self._make(objects))

    def _ordered_page(self, mark: int) -> tuple[list[Object], str | None]:
        """Objects with ids above `mark` in order, and the next mark. Raises Unordered when it is not so twice."""
        for _ in range(2):
            document = self._ask(str(mark) if mark else None)
            page, after = document["results"], next_after(document)
            try:
                ids = [int(one["id"]) for one in page]
            except ValueError:
                continue
            if ids and ids[0] == mark:  # where a mark means "from here on"
                page, ids = page[1:], ids[1:]
            rises = all(map(lt, [mark, *ids], ids))
            last = ids[-1] if ids else mark
            follows = after is None or (after.isdigit() and _follows(int(after), last, is_empty=not ids))
            if rises and follows:
                return page, after
        raise Unordered

    # -- one chain -----------------------------------------------------------------------------------------------------

    def _in_chain(self, after: str | None) -> Iterator[tuple[T, int, Position | None]]:
        """The list from a mark on, in the order of its marks; blocks are made while the next pages are read."""
        seen: set[str | None] = {after}
        pages: set[int] = set()
        making: deque[tuple[Future[T], int, Position | None]] = deque()
        coming = self._fetcher.start(partial(self._ask, after))
        waiting: list[Object] = []
        empty = read = highest = 0
        is_confirmed = False
        asked = after
        is_whole = after is None  # else the highest may have come before
        try:
            while True:
                document = coming.result()
                mark = next_after(document)
                found = document["results"]
                if mark is None and not is_confirmed and read + len(found) < (self._total or 0):
                    is_confirmed = True  # fewer than were counted: gone meanwhile, or an answer cut short?
                    coming = self._fetcher.start(partial(self._ask, asked))
                    continue
                read += len(found)
                highest = max([highest, *(int(one["id"]) for one in found if str(one["id"]).isdigit())])
                is_short = mark is None and is_confirmed and is_whole and highest < self._known
                if is_short and self._is_there(self._known):
                    raise TransientError(f"HubSpot's list of {self._name} ends before its highest ids.")
                if found:
                    look = hash(tuple(str(one["id"]) for one in found))
                    if look in pages:
                        raise TransientError(f"HubSpot's list of {self._name} shows the same page again.")
                    pages.add(look)
                empty = 0 if found else empty + 1
                if mark is not None:
                    if mark in seen or empty > _MOST_EMPTY:
                        raise TransientError(f"HubSpot's pages of {self._name} lead in a circle.")
                    seen.add(mark)
                    asked = mark
                    coming = self._fetcher.start(partial(self._ask, mark))
                waiting += found
                if mark is None or len(waiting) >= self._size:
                    position = {"after": mark, "chain": True} if mark is not None else None
                    block, waiting = waiting, []
                    made = self._fetcher.start(partial(self._make, block))
                    making.append((made, len(block), position))
                while making and (mark is None or len(making) > _CHAIN_AHEAD):
                    future, size, position = making.popleft()
                    yield future.result(), size, position
                if mark is None:
                    return
        finally:
            settle([coming, *(future for future, _, _ in making)])


def _follows(after: int, last: int, *, is_empty: bool) -> bool:
    """Whether a next page's mark is the last id (or one more), or, after a page without objects, not a step back."""
    return after >= last if is_empty else after in (last, last + 1)
