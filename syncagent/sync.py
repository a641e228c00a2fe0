"""One source into the cache: bookmark -> pages -> rows, deletions, merges and bookmark in one transaction a page.

A kill at any moment neither loses nor repeats anything that matters. One stream failing never stops the others;
a refused login stops its source. Knows nothing of vendors, schedules or terminals.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.base import Connector, Identity, Page, Reject, Stream
from connectors.errors import AuthError, ConnectorError, SourceConfigError, TransientError
from scorecards.values import instant
from syncagent.errors import AgentError
from syncagent.rows import Origin, write_merges, write_records, write_tombstones
from syncagent.store import data_dir_of, explain, transaction
from syncagent.sync_state import (
    LOGIN,
    RejectBook,
    Run,
    append_rejects,
    begin,
    end,
    note_error,
    note_login,
    note_login_failure,
    reject_file,
    save_bookmark,
)

if TYPE_CHECKING:
    from scorecards.definition import Reporting

log = logging.getLogger(__name__)

#: After so many streams in a row that could not be reached, the rest wait for the next sync.
GIVE_UP_AFTER = 3
STOPPED = "stopped before the end; the next sync goes on there"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is: records seen, how many there are in all (None: not said), whether it ended."""

    source: str
    stream: str
    read: int
    total: int | None
    done: bool


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What one sync run of one stream did. `error` is one sentence with its mend, None when all was read.

    `reject_file` holds the rows that could not be used; `first_reject` is the place and reason of the first one.
    """

    source: str
    stream: str
    read: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    seconds: float = 0.0
    calls: int = 0
    error: str | None = None
    reject_file: Path | None = None
    first_reject: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "stream": self.stream,
            "read": self.read,
            "changed": self.changed,
            "deleted": self.deleted,
            "rejected": self.rejected,
            "seconds": round(self.seconds, 3),
            "calls": self.calls,
            "error": self.error,
            "reject_file": str(self.reject_file) if self.reject_file else None,
        }


def sync_source(
    connector: Connector,
    cache: sqlite3.Connection,
    *,
    clock: Callable[[], datetime],
    full: bool = False,
    since: date | None = None,
    streams: Collection[str] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    reporting: "Reporting | None" = None,
) -> list[StreamReport]:
    """Read what is new in every stream (or those named), and bring the facts up to date when `reporting` is given.

    `stop` ends between two pages. Never raises for a source's fault: it is in the reports.
    """
    started = time.monotonic()
    try:
        identity = _log_in(connector)
        offered = connector.streams()
    except ConnectorError as error:
        sentence = str(error)
        if _is_our_stop(error, stop):
            sentence = STOPPED
        else:
            note_login_failure(cache, connector.name, error, clock())
        seconds = time.monotonic() - started
        return [StreamReport(connector.name, LOGIN, seconds=seconds, calls=connector.usage().calls, error=sentence)]
    for warning in identity.warnings:
        log.info("%s: %s", connector.name, warning, extra={"action": "source_warning", "source": connector.name})
    note_login(cache, connector, identity, clock())
    origin = Origin(connector.name, connector.crm, identity.instance)
    reports = []
    unreachable = 0
    refused: ConnectorError | None = None
    for stream in offered:
        if streams is not None and stream.name not in streams:
            continue
        if stop is not None and stop.is_set():
            break
        if refused is not None:
            note_error(cache, connector.name, stream.name, refused, clock())
            reports.append(StreamReport(connector.name, stream.name, error=f"not read: {refused}"))
            continue
        report, fault = _sync_stream(
            connector, cache, origin, stream, clock=clock, full=full, since=since, on_progress=on_progress, stop=stop
        )
        reports.append(report)
        unreachable = unreachable + 1 if isinstance(fault, TransientError) else 0
        if isinstance(fault, ConnectorError) and (isinstance(fault, AuthError) or unreachable >= GIVE_UP_AFTER):
            refused = fault
    if reporting is not None and not (stop is not None and stop.is_set()):
        refresh_facts(cache, reporting)
    return reports


def _log_in(connector: Connector) -> Identity:
    """Where we are. Files need no login: one that is missing fails its own stream, not the others."""
    try:
        return connector.check()
    except SourceConfigError:
        if connector.crm != "files":
            raise
        return Identity(connector.name)


def _is_our_stop(error: ConnectorError, stop: threading.Event | None) -> bool:
    """A wait that we ended ourselves is no fault of the source."""
    return stop is not None and stop.is_set() and isinstance(error, TransientError)


def refresh_facts(cache: sqlite3.Connection, reporting: "Reporting") -> int:
    """Bring what is derived from rows up to date with those that changed; how many facts that touched."""
    from syncagent import facts

    return facts.refresh(cache, reporting)


def _sync_stream(
    connector: Connector,
    cache: sqlite3.Connection,
    origin: Origin,
    stream: Stream,
    *,
    clock: Callable[[], datetime],
    full: bool,
    since: date | None,
    on_progress: Callable[[Progress], None] | None,
    stop: threading.Event | None,
) -> tuple[StreamReport, Exception | None]:
    """One stream; its report, and what ended it early."""
    started = time.monotonic()
    calls = connector.usage().calls
    total: int | None = None

    def tell(*, done: bool) -> None:
        if on_progress is not None:
            on_progress(Progress(origin.name, stream.name, run.read, total, done))

    covered_from = connector.covered_from(stream.name)
    run, bookmark = begin(cache, origin.name, stream.name, clock(), covered_from=covered_from)
    rejects = reject_file(data_dir_of(cache), origin.name, stream.name)
    if full or bookmark is None:
        rejects.unlink(missing_ok=True)
    book = RejectBook(data_dir_of(cache), origin.name, stream.name, run.id)
    tell(done=False)
    try:
        pages = connector.fetch_pages(stream.name, None if full else bookmark, full=full, since=since, now=clock())
        with _closing(pages):
            for page in pages:
                refused = _write_page(cache, origin, stream, page, run, synced_at=instant(clock()))
                book.note(page, bookmark, refused)
                total = page.total if page.total is not None else total
                tell(done=False)
                if stop is not None and stop.is_set():
                    break
            else:
                run.is_complete = True
    except ConnectorError as error:
        run.error = None if _is_our_stop(error, stop) else error
    except sqlite3.DatabaseError as error:
        run.error = explain(error, cache)
    except AgentError as error:
        run.error = error
    except Exception as error:
        # A mistake of ours in one stream must not keep the other streams from being read.
        log.exception("%s %s: unexpected", origin.name, stream.name, extra={"action": "sync_failed"})
        run.error = AgentError(f"unexpected: {type(error).__name__}: {error}", mend="Run again with -vv.")
    seconds = time.monotonic() - started
    calls = connector.usage().calls - calls
    sentence = str(run.error) if run.error else None
    if sentence is None and not run.is_complete:
        sentence = STOPPED
    with contextlib.suppress(OSError):
        book.settle()
    end(cache, origin.name, stream, run, sentence, seconds=seconds, calls=calls, now=clock())
    tell(done=True)
    report = StreamReport(
        origin.name,
        stream.name,
        run.read,
        run.changed,
        run.deleted,
        run.rejected,
        seconds,
        calls,
        sentence,
        reject_file=rejects if run.rejected else None,
        first_reject=f"{run.first_reject.place}: {run.first_reject.reason}" if run.first_reject else None,
    )
    return report, run.error


def _write_page(
    cache: sqlite3.Connection, origin: Origin, stream: Stream, page: Page, run: Run, *, synced_at: str
) -> list[Reject]:
    """Everything a page holds and its bookmark, in one transaction; the counts move only when it is committed.

    Returns the rows that could not be used.
    """
    changed = deleted = 0
    rejects = list(page.rejects)
    with transaction(cache):
        for table, records in page.records.items():
            written, refused = write_records(cache, origin, table, records, synced_at=synced_at)
            changed += written
            rejects += refused
        deleted += write_tombstones(cache, origin, page.tombstones, synced_at=synced_at)
        changed += write_merges(cache, origin, page.merges, synced_at=synced_at)
        if page.bookmark is not None:
            save_bookmark(cache, origin.name, stream.name, page)
        if rejects:
            # Before the commit: told twice after a kill is better than never told.
            append_rejects(data_dir_of(cache), origin.name, stream.name, rejects, run=run.id)
    run.read += page.read
    run.changed += changed
    run.deleted += deleted
    run.rejected += len(rejects)
    run.first_reject = run.first_reject or next(iter(rejects), None)
    return rejects


@contextlib.contextmanager
def _closing(pages: Iterable[Page]) -> Iterator[None]:
    """Let a generator of pages give back what it holds when we stop early."""
    try:
        yield
    finally:
        close = getattr(pages, "close", None)
        if close is not None:
            close()
