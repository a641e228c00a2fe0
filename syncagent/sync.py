"""One source into the cache: its streams side by side, each page one transaction with its bookmark.

A kill at any moment neither loses nor repeats anything that matters. One stream failing never stops the others;
a refused login, or a source that nobody can reach, stops its source. Knows nothing of vendors, schedules or terminals.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from connectors.base import Connector, Identity, Stream
from connectors.errors import AuthError, ConnectorError, NotReadable, SourceConfigError, TransientError
from syncagent import breaker, memory, reconcile
from syncagent.errors import AgentError
from syncagent.reconcile import Due
from syncagent.reject_file import count_rejects, reject_file
from syncagent.rows import Origin
from syncagent.store import data_dir_of, explain
from syncagent.sync_crew import Cancelled, Crew, Script, alongside
from syncagent.sync_report import STOPPED, Progress, StreamReport
from syncagent.sync_state import (
    LOGIN,
    Run,
    calls_of_last_day,
    end,
    note_error,
    note_login,
    note_login_failure,
    note_offered,
    notes_of,
)
from syncagent.sync_stream import Reading, Wishes

if TYPE_CHECKING:
    from scorecards.definition import Reporting

__all__ = ["LOGIN", "STOPPED", "Progress", "StreamReport", "login_failed", "refresh_facts", "sync_source"]

log = logging.getLogger(__name__)

#: After so many streams in a row that could not be reached, the rest wait for the next sync.
GIVE_UP_AFTER = 3
#: While it is in doubt whether the source can be reached, one more stream is begun after so long, though others run.
DOUBT_S = 60.0


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
    due: Due = reconcile.daily,
    recounts: bool = False,
) -> list[StreamReport]:
    """Read what is new in every stream (or those named), and bring the facts up to date when `reporting` is given.

    `due` says whether a stream's records are all compared with the CRM's too, `recounts` counts them however lately
    that was done. `stop` ends between two pages, and what the vendor is being waited for with it. Never raises for a
    source's fault: it is in the reports.
    """
    started = time.monotonic()
    try:
        connector.remember_calls(calls_of_last_day(cache, connector.name, clock()))
        identity, offered = alongside(
            lambda: (_log_in(connector), connector.streams()),
            cache,
            name=f"{connector.name} {LOGIN}",
            interrupt=connector.interrupt,
            stop=stop,
        )
    except sqlite3.DatabaseError:
        raise
    except Exception as error:  # a source that cannot even be begun with must not keep the others from being read
        seconds, calls = time.monotonic() - started, connector.usage().calls
        if isinstance(error, Cancelled) or _is_our_stop(error, stop):
            return [StreamReport(connector.name, LOGIN, seconds=seconds, calls=calls, error=STOPPED)]
        return [replace(login_failed(cache, connector.name, error, clock()), seconds=seconds, calls=calls)]
    memory.collect_less_often()  # only now is the vendor's package loaded
    for warning in identity.warnings:
        log.info("%s: %s", connector.name, warning, extra={"action": "source_warning", "source": connector.name})
    is_probe = breaker.last_rest(cache, connector.name) is not None
    note_login(cache, connector, identity, offered, clock())
    wanted = [stream for stream in offered if streams is None or stream.name in streams]
    work = _Source(
        connector,
        cache,
        Origin(connector.name, connector.crm, identity.instance),
        wanted,
        Wishes(full, since, due, recounts),
        clock=clock,
        on_progress=on_progress,
        crew=Crew(cache, interrupt=connector.interrupt, stop=stop),
        is_probe=is_probe,
    )
    reports = [
        replace(report, warnings=tuple(one for one in identity.warnings if one.startswith(f"{report.stream}: ")))
        for report in work.run()
    ]
    if work.given_up is not None:
        rest = breaker.note_failure(cache, connector.name, work.given_up, clock())
        reports = [
            replace(report, rests_until=rest.until, rest_cause=rest.cause) if rest else report for report in reports
        ]
    if stop is not None and stop.is_set():
        return reports or [StreamReport(connector.name, LOGIN, error=STOPPED)]
    if work.given_up is None:
        breaker.note_success(cache, connector.name)
        if streams is None:
            note_offered(cache, connector.name, [stream.name for stream in offered], clock())
            _note_fields(connector, cache, work.complete, clock(), stop)
    if reporting is not None and not (stop is not None and stop.is_set()):
        refresh_facts(cache, reporting)
    return reports


def login_failed(cache: sqlite3.Connection, source: str, error: Exception, now: datetime) -> StreamReport:
    """Keep why a source cannot be begun with, its settings included; the report that says so."""
    if not isinstance(error, ConnectorError):
        log.error("%s: unexpected", source, exc_info=error, extra={"action": "sync_failed", "source": source})
        sentence = error.message if isinstance(error, AgentError) else f"unexpected: {type(error).__name__}: {error}"
        error = ConnectorError(sentence, mend=getattr(error, "mend", "") or "Run again with -vv.")
    note_login_failure(cache, source, error, now)
    rest = breaker.note_failure(cache, source, error, now)
    report = StreamReport(source, LOGIN, error=str(error))
    return replace(report, rests_until=rest.until, rest_cause=rest.cause) if rest else report


def _log_in(connector: Connector) -> Identity:
    """Where we are. Files need no login: one that is missing fails its own stream, not the others."""
    try:
        return connector.check()
    except SourceConfigError:
        if connector.crm != "files":
            raise
        return Identity(connector.name)


def _is_our_stop(error: Exception, stop: threading.Event | None) -> bool:
    """A wait that we ended ourselves is no fault of the source."""
    return stop is not None and stop.is_set() and isinstance(error, TransientError)


def _note_fields(
    connector: Connector,
    cache: sqlite3.Connection,
    complete: Collection[str],
    now: datetime,
    stop: threading.Event | None,
) -> None:
    """Notice fields that came, went or changed their type: what was read is described already, so it costs little.

    `complete`: the streams that were read to their end; what ended early says nothing.
    """
    from syncagent import drift

    try:
        described = alongside(
            lambda: drift.describe(connector, complete),
            cache,
            name=f"{connector.name} fields",
            interrupt=connector.interrupt,
            stop=stop,
        )
        drift.note_fields(cache, connector, now, described=described)
    except Cancelled:
        return
    except ConnectorError as error:
        log.info("%s: fields not looked at: %s", connector.name, error, extra={"action": "not_described"})
    except Exception:
        log.exception("%s: fields not looked at", connector.name, extra={"action": "not_described"})


def refresh_facts(cache: sqlite3.Connection, reporting: "Reporting") -> int:
    """Bring what is derived from rows up to date with those that changed; how many facts that touched."""
    from syncagent import facts

    return facts.refresh(cache, reporting)


class _Source:
    """The streams of one source: which is read when, and what becomes of it. All in the writer's thread."""

    def __init__(
        self,
        connector: Connector,
        cache: sqlite3.Connection,
        origin: Origin,
        streams: Collection[Stream],
        wishes: Wishes,
        *,
        clock: Callable[[], datetime],
        on_progress: Callable[[Progress], None] | None,
        crew: Crew[None],
        is_probe: bool,
    ) -> None:
        self.given_up: ConnectorError | None = None  # what stopped the source as a whole
        self._connector = connector
        self._cache = cache
        self._origin = origin
        self._streams = streams
        self._wishes = wishes
        self._clock = clock
        self._on_progress = on_progress
        self._crew = crew
        self._waiting = deque(streams)
        self._readings: dict[str, Reading] = {}
        self._reports: dict[str, StreamReport] = {}
        self._side_by_side = max(1, connector.side_by_side)
        #: Streams that could not be reached, one after the other without an answer between them.
        self._unreached = 0
        self._is_probe = self._is_in_doubt = is_probe
        self._began_at = 0.0
        self._was_heard = False
        #: The streams read to their end.
        self.complete: list[str] = []

    def run(self) -> list[StreamReport]:
        """Read them; the reports, in the order of the streams. One that a stop kept from beginning has none."""
        try:
            self._crew.work(self._next, self._ended)
        except KeyboardInterrupt:  # asked again, or the grace is over: what was read is told all the same
            if not self._crew.is_stopped:
                raise
        if self.given_up is not None:
            for stream in self._waiting:
                note_error(self._cache, self._origin.name, stream.name, self.given_up, self._clock())
                self._reports[stream.name] = StreamReport(
                    self._origin.name, stream.name, error=f"not read: {self.given_up}"
                )
        return [self._reports[stream.name] for stream in self._streams if stream.name in self._reports]

    def _next(self) -> Script[None] | None:
        """The next stream to begin now; none while it is in doubt whether the source can be reached at all.

        So an outage costs the patience of the streams that run when it comes, once, and not that of every stream.
        """
        room = 1 if self._is_in_doubt else self._side_by_side
        if room < self._side_by_side and time.monotonic() - self._began_at > DOUBT_S:
            room = self._side_by_side  # one that waits long for its answer (a bulk job) says nothing of the source
        if not self._waiting or self.given_up is not None or self._crew.running >= room:
            return None
        self._began_at = time.monotonic()
        stream = self._waiting.popleft()
        reading = Reading(
            self._connector, self._origin, stream, self._wishes, self._clock, tell=self._tell, heard=self._heard
        )
        self._readings[stream.name] = reading
        return Script(stream.name, reading.read)

    def _heard(self) -> None:
        self._unreached, self._is_in_doubt, self._was_heard = 0, False, True
        self._is_probe = False

    def _ended(self, script: Script[None]) -> None:
        """Close the books of a stream whose reader has ended, and see what that says of the source."""
        reading = self._readings[script.name]
        was_cancelled = script.lane is not None and script.lane.is_cancelled
        error = self._explained(script, was_cancelled)
        if was_cancelled and script.error is not None and self.given_up is not None:
            error = self.given_up
        self._close(script, reading, error)
        if was_cancelled or self.given_up is not None:
            return
        if isinstance(error, AuthError):
            self.given_up = error
            self._crew.cancel()
        elif isinstance(error, TransientError):
            self._unreached += 1
            self._is_in_doubt = True
            # Those that ran side by side all failed: that is once, however many they were.
            enough = min(self._side_by_side, GIVE_UP_AFTER) if self._side_by_side > 1 else GIVE_UP_AFTER
            enough = GIVE_UP_AFTER if self._is_probe else enough  # the first alone may be what is broken
            was_all = not self._waiting and not self._crew.running
            if self._unreached >= enough or (was_all and not self._was_heard):
                self.given_up = error
        else:
            self._heard()

    def _explained(self, script: Script[None], was_cancelled: bool) -> Exception | None:
        """What ended a stream early, as something to tell; None when it was read to its end, or we stopped it."""
        error = script.error
        if isinstance(error, sqlite3.DatabaseError):
            return explain(error, self._cache)
        if error is None or was_cancelled or isinstance(error, Cancelled):
            return None  # whatever a reader runs into after it was told to end is no fault of the source
        if isinstance(error, ConnectorError):
            return None if self._crew.is_stopped and isinstance(error, TransientError) else error
        if isinstance(error, AgentError):
            return error
        # A mistake of ours in one stream must not keep the other streams from being read.
        place = f"{self._origin.name} {script.name}"
        log.error("%s: unexpected", place, exc_info=error, extra={"action": "sync_failed"})
        return AgentError(f"unexpected: {type(error).__name__}: {error}", mend="Run again with -vv.")

    def _close(self, script: Script[None], reading: Reading, error: Exception | None) -> None:
        source, name = self._origin.name, script.name
        run, withdrawn_at = reading.run, None
        seconds = time.monotonic() - script.began
        sentence = str(error) if error else None
        if sentence is None and (script.error is not None or run is None):
            sentence = STOPPED
        if run is None:
            run = Run(0)
            if error is not None:
                note_error(self._cache, source, name, error, self._clock())
        else:
            run.error = error
            if run.is_complete:
                self.complete.append(name)
            if reading.book is not None:
                with contextlib.suppress(OSError):
                    run.rejected -= reading.book.settle()
            withdrawn_at = end(
                self._cache,
                source,
                reading.stream,
                run,
                sentence,
                seconds=seconds,
                calls=reading.tally.calls,
                now=self._clock(),
            )
        is_left_out = isinstance(error, NotReadable) and withdrawn_at is None
        self._tell(reading, done=True)
        rejects = reject_file(data_dir_of(self._cache), source, name)
        still_rejected = max(count_rejects(rejects) - run.rejected, 0)
        self._reports[name] = StreamReport(
            source,
            name,
            run.read,
            run.changed,
            run.deleted,
            run.rejected,
            seconds,
            reading.tally.calls,
            None if is_left_out else sentence,
            reject_file=rejects if run.rejected or still_rejected else None,
            first_reject=f"{run.first_reject.place}: {run.first_reject.reason}" if run.first_reject else None,
            reconciled=reading.is_reconciled,
            found_missing=reading.missing,
            found_gone=reading.gone,
            is_counted=reading.is_counted,
            crm_count=reading.crm_count,
            cache_count=reading.cache_count,
            still_rejected=still_rejected,
            compared=reading.compared,
            suspect=reading.suspect,
            bulk=reading.tally.is_bulk,
            withdrawn_at=withdrawn_at,
            not_readable=sentence if is_left_out else None,
            notes=notes_of(self._cache, source, name),
            merged=run.merged,
        )

    def _tell(self, reading: Reading, *, done: bool = False) -> None:
        if self._on_progress is None:
            return
        usage = self._connector.usage()
        daily = usage.daily_used / usage.daily_limit if usage.daily_limit and usage.daily_used is not None else None
        self._on_progress(
            Progress(
                self._origin.name,
                reading.stream.name,
                reading.seen,
                reading.total,
                done,
                reading.phase,
                usage.window_share,
                daily,
            )
        )
