"""Connectors for tests: one that answers from a script, page by page, and one over a small vendor that can change."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from connectors.base import Bookmark, FieldInfo, Identity, Merge, Page, Record, Stream, Sunset, Tombstone, Usage
from connectors.errors import TransientError
from connectors.tally import count_call
from scorecards.values import instant

T = TypeVar("T")

#: What a source holds: pages by stream, or what goes wrong in their place; a callable is called before going on.
Script = Mapping[str, Sequence[Page | Exception | Callable[[], object]]]


class ScriptedConnector:
    """Yields the pages given for each stream; an exception among them is raised in its place.

    A page is skipped when the bookmark says it was read: its bookmark is its number.
    """

    name = "sf"
    crm = "salesforce"

    def __init__(
        self,
        pages: Script,
        *,
        login: Exception | None = None,
        warnings: tuple[str, ...] = (),
        sunsets: tuple[Sunset, ...] = (),
        side_by_side: int = 1,
        counts: Mapping[str, int | Exception] | None = None,
        listing: Script | None = None,
        by_id: Mapping[str, Page | Exception] | None = None,
    ) -> None:
        self.pages = pages
        self.login = login
        self.warnings = warnings
        self.sunsets = sunsets
        self.side_by_side = side_by_side
        self.counts = counts or {}
        self.listing = listing or {}
        self.by_id = by_id or {}
        self.asked: list[tuple[str, Bookmark | None, bool]] = []
        self.asked_ids: list[str] = []
        self.remembered: list[tuple[float, int]] = []
        self.calls = 0
        self.logins = 0
        self.closed_in: list[tuple[str, int]] = []  # generators that were closed, and in which thread
        self.is_interrupted = threading.Event()
        self.is_closed = False

    def check(self) -> Identity:
        self._call()
        self.logins += 1
        if self.login is not None:
            raise self.login
        return Identity(
            "org1",
            account="agent@acme.test",
            timezone="UTC",
            currency="EUR",
            warnings=self.warnings,
            sunsets=self.sunsets,
        )

    def streams(self) -> list[Stream]:
        return [Stream(name, (name,)) for name in self.pages]

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        self.asked.append((stream, bookmark, full))
        yield from self._play(stream, self.pages[stream], None if full else bookmark)

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        yield from self._play(stream, self.listing.get(stream, ()), bookmark)

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        self.asked_ids += ids
        for id_ in ids:
            if id_ in self.by_id:
                yield from self._play(stream, [self.by_id[id_]], None)

    def _play(
        self, stream: str, pages: Sequence[Page | Exception | Callable[[], object]], bookmark: Bookmark | None
    ) -> Iterator[Page]:
        done = (bookmark or {}).get("page", 0)
        thread = threading.get_ident()
        try:
            for page in pages[done:]:
                if callable(page):
                    page()
                    continue
                self._call()
                if isinstance(page, Exception):
                    raise page
                yield page
        finally:
            assert threading.get_ident() == thread
            self.closed_in.append((stream, thread))

    def wait(self, gate: threading.Event, limit_s: float = 10.0) -> Callable[[], None]:
        """For a script: wait for `gate` as for a vendor, until interrupted."""

        def waiting() -> None:
            for _ in range(int(limit_s / 0.01)):
                if gate.wait(0.01):
                    return
                if self.is_interrupted.is_set():
                    raise TransientError("Stopped while waiting to try again.")
            raise TransientError("no answer in time.")

        return waiting

    def _call(self) -> None:
        self.calls += 1
        count_call()

    def count(self, stream: str) -> int | None:
        found = self.counts.get(stream)
        if isinstance(found, Exception):
            raise found
        return found

    def remember_calls(self, calls: Sequence[tuple[float, int]]) -> None:
        self.remembered = list(calls)

    def covered_from(self, stream: str) -> date | None:
        return None

    def fields(self, table: str) -> list[FieldInfo]:
        return [FieldInfo("Name", "Name", "text", "name")]

    @property
    def looks(self) -> int:
        return 0

    def usage(self) -> Usage:
        return Usage(calls=self.calls)

    def interrupt(self) -> None:
        self.is_interrupted.set()

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Vendor:
    """A vendor with one kind of record. `version` stands for its clock: every announced change takes the next one."""

    live: dict[str, Record] = field(default_factory=dict)
    dead: dict[str, Tombstone | Merge] = field(default_factory=dict)
    version: int = 0

    def stamp(self) -> str:
        self.version += 1
        return instant(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.version))

    def put(self, id_: str, name: str, *, announced: bool = True) -> None:
        """Create, change or bring back; not announced: its stamp stays what it was (a formula), or is an old one."""
        old = self.live.get(id_)
        stamp = self.stamp() if announced else str(old["updated_at"]) if old else "2025-12-31T00:00:00Z"
        self.live[id_] = {"source_id": id_, "name": name, "updated_at": stamp}
        self.dead.pop(id_, None)

    def remove(self, id_: str) -> None:
        self.live.pop(id_, None)
        self.dead[id_] = Tombstone("leads", id_)

    def merge(self, id_: str, into: str) -> None:
        self.live.pop(id_, None)
        self.dead[id_] = Merge("leads", id_, into)


class VendorConnector(ScriptedConnector):
    """Reads a `Vendor`: changes by their stamp, the listing and ids as it is now. Of deletions it has no word."""

    def __init__(self, vendor: Vendor, *, page_size: int = 3, side_by_side: int = 1) -> None:
        super().__init__({"leads": []}, side_by_side=side_by_side)
        self.vendor = vendor
        self.page_size = page_size
        self.hidden: set[str] = set()  # ids the listing leaves out although they live

    def fetch_pages(
        self, stream: str, bookmark: Bookmark | None, *, full: bool, since: date | None, now: datetime
    ) -> Iterator[Page]:
        self.asked.append((stream, bookmark, full))
        after = ("", "") if full or bookmark is None else (bookmark["at"], bookmark["id"])
        changed = sorted((str(r["updated_at"]), str(r["source_id"])) for r in self._listed())
        for chunk in self._pages([key for key in changed if key > after]):
            at, last = chunk[-1]
            records = [dict(self.vendor.live[id_]) for _, id_ in chunk]
            yield Page({"leads": records}, read=len(chunk), bookmark={"at": at, "id": last})

    def reconcile_pages(self, stream: str, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        after = "" if bookmark is None else bookmark["id"]
        for chunk in self._pages(sorted(str(r["source_id"]) for r in self._listed() if r["source_id"] > after)):
            records = [dict(self.vendor.live[id_]) for id_ in chunk]
            yield Page({"leads": records}, read=len(chunk), bookmark={"id": chunk[-1]})

    def read_ids(self, stream: str, ids: Sequence[str], *, now: datetime) -> Iterator[Page]:
        self.asked_ids += ids
        for chunk in self._pages(list(ids)):
            dead = [self.vendor.dead.get(id_, Tombstone("leads", id_)) for id_ in chunk if id_ not in self.vendor.live]
            yield Page(
                {"leads": [dict(self.vendor.live[id_]) for id_ in chunk if id_ in self.vendor.live]},
                [one for one in dead if isinstance(one, Tombstone)],
                [one for one in dead if isinstance(one, Merge)],
                read=len(chunk),
            )

    def count(self, stream: str) -> int | None:
        return len(self.vendor.live)

    def _listed(self) -> list[Record]:
        return [record for id_, record in self.vendor.live.items() if id_ not in self.hidden]

    def _pages(self, things: Sequence[T]) -> Iterable[Sequence[T]]:
        for start in range(0, len(things), self.page_size):
            self._call()
            yield things[start : start + self.page_size]
