"""One stream of one source, as its reader's thread goes through it: what is new, the comparison, the count.

Everything here runs in a thread of its own and touches the cache only through its lane; what goes wrong is raised.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import TypeVar

from connectors.base import Connector, Page, Stream
from connectors.errors import AuthError, ConnectorError
from connectors.tally import Tally, counted
from scorecards.values import instant
from syncagent import completeness, inputs, reconcile, sync_anew
from syncagent.inputs import Inputs
from syncagent.reconcile import CHUNK, Due, Mode, Sweep
from syncagent.reject_book import RejectBook
from syncagent.reject_file import reject_file
from syncagent.rows import Origin
from syncagent.store import data_dir_of, transaction
from syncagent.sync_crew import Lane
from syncagent.sync_pages import write_page
from syncagent.sync_report import Phase
from syncagent.sync_state import Remembered, Run, begin, remembered, save_bookmark

log = logging.getLogger(__name__)

T = TypeVar("T")

#: So many ids are collected before the vendor is asked about them.
ASK_AT = 200


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of a sync. `due`: whether to compare every record now; `recounts`: count however lately it was."""

    full: bool = False
    since: date | None = None
    due: Due = reconcile.daily
    recounts: bool = False


@dataclass(slots=True)
class Reading:
    """One stream being read: what the reader and the writer know of it together."""

    connector: Connector
    origin: Origin
    stream: Stream
    wishes: Wishes
    clock: Callable[[], datetime]
    tell: Callable[["Reading"], None]  # in the writer's thread, after every page
    heard: Callable[[], None]  # in the writer's thread: the source answered
    tally: Tally = field(default_factory=Tally)
    run: Run | None = None
    book: RejectBook | None = None
    phase: Phase = "reading"
    seen: int = 0  # records of this phase
    total: int | None = None
    looked: tuple[int, Inputs | None] | None = None  # what records are read with, after so many looks of the source
    kept: Inputs | None = None  # what every record since the beginning was read with, as far as it is written
    is_anew: bool = False  # a reading from the beginning is under way (files)
    known_rows: int = 0  # live ones before it
    is_reconciled: bool = False
    missing: int = 0
    gone: int = 0
    compared: int = 0  # live records that passed by
    is_counted: bool = True  # missing and gone are those of the whole comparison
    suspect: tuple[int, int] | None = None  # so many of so many were not listed, which was not believed
    crm_count: int | None = None
    cache_count: int | None = None

    # --- the reader's thread --------------------------------------------------------------------------------

    def read(self, lane: Lane) -> None:
        """Everything there is to do for the stream. Raises what ends it early."""
        with counted(self.tally):
            covered_from = self.connector.covered_from(self.stream.name)
            before = lane.ask(partial(self._begin, covered_from))
            if inputs.has_more(self._look(), before.inputs):
                before = lane.ask(self._read_again)
            sweep = self._resume(lane, before)
            self._read_new(lane, before, sweep)
            if self.wishes.since is None:
                self._compare(lane, before, sweep)
            self._count(lane, before)

    def _resume(self, lane: Lane, before: Remembered) -> Sweep | None:
        """The comparison to go on with, or the one `full` begins; None where there is none yet."""
        if not self.stream.reconciles:
            return None
        sweep = reconcile.load(before.sweep)
        if sweep is not None:
            is_old = sweep.is_too_old(self.clock())
            if sweep.phase == "clean" or is_old or (self.wishes.full and sweep.mode != "full"):
                if sweep.phase != "clean":
                    lane.ask(self._on(reconcile.give_up, sweep))
                self._clean(lane, sweep)
                self._take_counts(sweep)
                self.is_reconciled = sweep.is_done
                sweep = None
        if sweep is None and self.wishes.full and self.wishes.since is None:
            return self._start(lane, before, "full")
        return sweep

    def _read_new(self, lane: Lane, before: Remembered, sweep: Sweep | None) -> None:
        """What changed since the bookmark; or everything, from the start or from where a full read was cut short."""
        is_sweeping = sweep is not None and sweep.mode == "full" and sweep.phase == "list"
        full = self.wishes.full and sweep is None
        if sweep is not None and is_sweeping:
            full = not sweep.is_begun
        full = full or before.is_again
        if full or before.bookmark is None:
            lane.ask(self._forget_rejects)
        else:
            self.kept = before.inputs
        # What was read before is told even where all is read from its beginning: a file's rows keep their places by
        # it, and a CRM knows by it what this login has lost.
        pages = self.connector.fetch_pages(
            self.stream.name, before.bookmark, full=full, since=self.wishes.since, now=self.clock()
        )
        with _closing(pages):
            for page in pages:
                lane.post(partial(self._write, page, self._look(), before, sweep))
                del page  # once it is written nobody holds it any more
        lane.ask(self._note_complete)

    def _look(self) -> Inputs | None:
        """What records are read with now; asked for anew where the source was found to offer otherwise."""
        looks = self.connector.looks
        if self.looked is None or self.looked[0] != looks:
            self.looked = (looks, inputs.offered(self.connector, self.stream))
        return self.looked[1]

    def _compare(self, lane: Lane, before: Remembered, sweep: Sweep | None) -> None:
        """Every record with the CRM's, when it is time."""
        if not self.stream.reconciles:
            return
        if sweep is None:
            last = reconcile.last_compared(before.reconciled_at, before.sweep)
            if before.ok_at is None or self.is_reconciled:  # has just been read whole, or its comparison just ended
                last = self.clock()
            if not self.wishes.due(last, self.clock()):
                return
            sweep = self._start(lane, before, "list")
        lane.ask(partial(self._enter, "comparing"))
        if sweep.mode == "full" and sweep.phase == "list":
            lane.ask(self._on(reconcile.enter, sweep, phase="gone"))
        elif sweep.phase == "list":
            self._list(lane, sweep)
        if sweep.phase == "gone":
            if not sweep.after and lane.ask(self._on(reconcile.is_suspect, sweep)):
                lane.ask(self._on(reconcile.give_up, sweep))
                self.suspect = (sweep.gone, sweep.of)
            else:
                self._ask_each(lane, sweep, reconcile.unseen)
                lane.ask(self._on(reconcile.enter, sweep, phase="back"))
        if sweep.phase == "back":
            self._ask_each(lane, sweep, reconcile.seen_but_dead)
            compared = lane.ask(self._on(reconcile.count_seen, sweep))
            lane.ask(self._on(reconcile.conclude, sweep, compared=compared))
        self._clean(lane, sweep)
        self._take_counts(sweep)
        self.is_reconciled = sweep.is_done

    def _list(self, lane: Lane, sweep: Sweep) -> None:
        """Let every live record pass by; ask for those whose history is wanted too."""
        pages = self.connector.reconcile_pages(self.stream.name, sweep.position, now=self.clock())
        with _closing(pages):
            for page in pages:
                if lane.ask(partial(self._compare_page, page, sweep)) >= ASK_AT:
                    self._ask_wanted(lane, sweep)
        self._ask_wanted(lane, sweep)
        lane.ask(self._on(reconcile.enter, sweep, phase="gone"))

    def _ask_wanted(self, lane: Lane, sweep: Sweep) -> None:
        while sweep.wanted:
            asked = sweep.wanted[:CHUNK]
            self._ask(lane, asked, sweep)
            lane.ask(self._on(reconcile.forget_wanted, sweep, asked=asked))

    def _ask_each(self, lane: Lane, sweep: Sweep, next_ids: Callable[..., list[str]]) -> None:
        while ids := lane.ask(self._on(next_ids, sweep)):
            self._ask(lane, ids, sweep)
            lane.ask(self._on(reconcile.note_asked, sweep, last=ids[-1]))

    def _ask(self, lane: Lane, ids: Sequence[str], sweep: Sweep) -> None:
        """The vendor's answers about these ids into the cache."""
        pages = self.connector.read_ids(self.stream.name, ids, now=self.clock())
        with _closing(pages):
            for page in pages:
                lane.post(partial(self._write_answer, page, sweep))

    def _clean(self, lane: Lane, sweep: Sweep) -> None:
        while not lane.ask(self._on(reconcile.clean, sweep, now=self.clock())):
            pass

    def _start(self, lane: Lane, before: Remembered, mode: Mode) -> Sweep:
        was_suspect = (before.sweep or {}).get("phase") == "suspect"
        return lane.ask(
            lambda cache: reconcile.start(
                cache, self.origin, self.stream, mode, now=self.clock(), was_suspect=was_suspect
            )
        )

    def _count(self, lane: Lane, before: Remembered) -> None:
        """Ask the CRM how many there are. That it cannot say now is no fault of the stream, whose records are here."""
        is_time = completeness.is_time(before.counted_at, self.clock())
        if not (is_time or self.wishes.recounts or self.is_reconciled):
            return
        try:
            self.crm_count = self.connector.count(self.stream.name)
        except AuthError:
            raise
        except ConnectorError as error:
            log.info(
                "%s %s: not counted: %s", self.origin.name, self.stream.name, error, extra={"action": "not_counted"}
            )
            return
        if self.crm_count is not None:
            self.cache_count = lane.ask(partial(self._note_count, self.crm_count))

    # --- the writer's thread --------------------------------------------------------------------------------

    def _begin(self, covered_from: date | None, cache: sqlite3.Connection) -> Remembered:
        source, stream = self.origin.name, self.stream.name
        self.run, _ = begin(cache, source, stream, self.clock(), covered_from=covered_from)
        self.book = RejectBook(data_dir_of(cache), source, stream, self.run.id)
        self.tell(self)
        return remembered(cache, source, stream)

    def _read_again(self, cache: sqlite3.Connection) -> Remembered:
        source, stream = self.origin.name, self.stream.name
        with transaction(cache):
            inputs.read_again(cache, source, stream, instant(self.clock()))
        return remembered(cache, source, stream)

    def _forget_rejects(self, cache: sqlite3.Connection) -> None:
        """Everything is read anew, and what is still bad noted anew."""
        reject_file(data_dir_of(cache), self.origin.name, self.stream.name).unlink(missing_ok=True)

    def _write(
        self, page: Page, now_with: Inputs | None, before: Remembered, sweep: Sweep | None, cache: sqlite3.Connection
    ) -> None:
        assert self.run is not None
        assert self.book is not None

        now, deleted = self.clock(), 0

        def first(conn: sqlite3.Connection) -> None:
            if not self.is_anew:
                self.known_rows = sync_anew.count_live(conn, self.origin, self.stream)
                sync_anew.forget_seen(conn, self.origin, self.stream)
            sync_anew.make_way(conn, self.origin, self.stream, page)

        def also(conn: sqlite3.Connection) -> None:
            nonlocal deleted
            if page.anew:
                sync_anew.note_seen(conn, self.origin, self.stream, page)
            if page.whole:
                deleted = sync_anew.delete_unseen(
                    conn,
                    self.origin,
                    self.stream,
                    synced_at=instant(now),
                    is_asked=self.wishes.full,
                    known=self.known_rows,
                )
            if page.bookmark is not None:
                save_bookmark(conn, self.origin.name, self.stream.name, page)
                self._keep_inputs(conn, now_with)
            if sweep is not None:  # what is read while a comparison is open is there, whoever reads it
                reconcile.see(conn, self.origin, self.stream, page)
                is_its_own = sweep.mode == "full" and sweep.phase == "list"
                if is_its_own and page.bookmark is not None and not sweep.is_begun:
                    sweep.is_begun = True
                    reconcile.save(conn, self.origin, self.stream, sweep)

        written = write_page(
            cache, self.origin, self.stream, page, self.run, now=now, first=first if page.anew else None, also=also
        )
        self.is_anew = self.is_anew or page.anew
        self.run.deleted += deleted
        self.book.note(page, before.bookmark, written.rejects)
        self.seen = self.run.read
        self.total = page.total if page.total is not None else self.total
        self._answered()

    def _keep_inputs(self, cache: sqlite3.Connection, now: Inputs | None) -> None:
        kept = self.kept if now is None else inputs.common(now, self.kept)
        if kept is not None and kept != self.kept:
            inputs.save(cache, self.origin.name, self.stream.name, kept)
            self.kept = kept

    def _note_complete(self, cache: sqlite3.Connection) -> None:
        assert self.run is not None
        if self.is_anew:
            with transaction(cache):
                sync_anew.forget_seen(cache, self.origin, self.stream)
        self.run.is_complete = True
        self.heard()

    def _enter(self, phase: Phase, _cache: sqlite3.Connection) -> None:
        self.phase, self.seen, self.total = phase, 0, None
        self.tell(self)

    def _compare_page(self, page: Page, sweep: Sweep, cache: sqlite3.Connection) -> int:
        assert self.run is not None
        assert self.book is not None
        refused = reconcile.compare_page(cache, self.origin, self.stream, page, self.run, sweep, now=self.clock())
        self.book.note(replace(page, bookmark=None), None, refused)
        self.seen += page.read
        self.total = page.total if page.total is not None else self.total
        self._answered()
        return len(sweep.wanted)

    def _write_answer(self, page: Page, sweep: Sweep, cache: sqlite3.Connection) -> None:
        assert self.run is not None
        assert self.book is not None
        refused = reconcile.write_answer(cache, self.origin, self.stream, page, self.run, sweep, now=self.clock())
        self.book.note(replace(page, bookmark=None), None, refused)
        self._take_counts(sweep)
        self._answered()

    def _take_counts(self, sweep: Sweep) -> None:
        """What a comparison has found, also in runs before this one that were cut short."""
        self.missing, self.gone, self.compared = sweep.found_missing, sweep.found_gone, sweep.compared
        self.is_counted = sweep.is_counted

    def _note_count(self, count: int, cache: sqlite3.Connection) -> int:
        return completeness.note_count(
            cache, self.origin, self.stream, count, now=self.clock(), is_compared=self.is_reconciled
        )

    def _answered(self) -> None:
        self.heard()
        self.tell(self)

    def _on(self, step: Callable[..., T], sweep: Sweep, **more: object) -> Callable[[sqlite3.Connection], T]:
        """A step of the comparison, for this stream."""
        return lambda cache: step(cache, self.origin, self.stream, sweep, **more)


@contextmanager
def _closing(pages: Iterable[Page]) -> Iterator[None]:
    """Let a generator of pages give back what it holds when we stop early, in the thread it ran in."""
    try:
        yield
    finally:
        close = getattr(pages, "close", None)
        if close is not None:
            close()
