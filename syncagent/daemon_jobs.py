"""What the daemon does when a job fires: look what is due, sync a source, empty the outbox, keep house.

Each job opens its own connections and leaves nothing behind; no job raises.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec
from zoneinfo import ZoneInfo

from connectors.base import Connector
from connectors.errors import ConnectorError
from scorecards.errors import ScorecardError
from scorecards.values import instant
from syncagent import breaker
from syncagent.clock import ClockGuard, local_time
from syncagent.config import Config
from syncagent.deliveries import note_deliveries
from syncagent.errors import FAILED, OK, AgentError
from syncagent.migrations import CACHE, STATE
from syncagent.reconcile import nightly
from syncagent.stopping import StopEvent
from syncagent.store import database_path, explain, explain_unplaced, open_cache, open_state, read_cache, transaction
from syncagent.sync import LOGIN, STOPPED, StreamReport, login_failed, refresh_facts, sync_source
from syncagent.wiring import build_connector

if TYPE_CHECKING:
    from syncagent.mailer import Mailer

log = logging.getLogger(__name__)

#: How long the record of sync runs is kept.
KEEP_RUNS = timedelta(days=90)
#: How long what is due waits after a start for sources that are read or tried for the first time.
FIRST_SYNC_S = 600.0
#: The same complaint of the same job is not said more often.
REPEAT_S = 900.0
#: A wait a source asks for is worth a line from here on.
TELL_WAIT_S = 5.0

P = ParamSpec("P")


def _job(work: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Count the job as running; say what went wrong instead of raising into the scheduler."""

    @wraps(work)
    def run(self: "Jobs", /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.stop.is_set():
            return
        with self.busy():
            try:
                work(self, *args, **kwargs)
            except (AgentError, ConnectorError, ScorecardError) as error:
                self.complain(work.__name__, args, str(error))
            except sqlite3.OperationalError as error:
                self.complain(work.__name__, args, str(explain_unplaced(error)))
            except Exception:
                log.exception("%s: unexpected", work.__name__, extra={"action": f"{work.__name__}_failed"})
            else:
                self.complaints.pop((work.__name__, args), None)

    return run


class Jobs:
    """The daemon's work on one data folder. `config` may be replaced between two jobs."""

    def __init__(self, config: Config, *, clock: Callable[[], datetime], stop: StopEvent) -> None:
        self.config = config
        self.clock = clock
        self.stop = stop
        self.ticked_at = time.monotonic()
        self._guard = ClockGuard()
        self._idle = threading.Condition()
        self._running = 0
        self._files: dict[str, tuple[int, int]] = {}
        self._mailer: Mailer | None = None
        self.complaints: dict[tuple[Any, ...], tuple[str, float]] = {}
        self._awaited: set[str] = set()
        self._awaited_until = 0.0
        self._derived_for: str | None = None
        self._connectors: dict[str, Connector] = {}

    # --- jobs -----------------------------------------------------------------------------------------------

    @_job
    def tick(self) -> None:
        """Write down what became due, compute it, and put its messages into the outbox."""
        try:
            self._tick()
        finally:
            self.ticked_at = time.monotonic()

    @_job
    def write_down(self) -> None:
        """Write down what became due up to now, and compute nothing."""
        from syncagent import runs

        with closing(open_state(self.config.agent.data_dir)) as state:
            runs.tick(self.config, None, state, clock=self.clock, guard=self._guard, composes=False)

    @_job
    def sync(self, name: str) -> None:
        """Read what is new in one source."""
        try:
            self._sync(name)
        finally:
            self._awaited.discard(name)

    @_job
    def wake(self, names: tuple[str, ...]) -> None:
        """Let these sources, whose settings have changed, try again: what was refused may be mended."""
        with closing(open_cache(self.config.agent.data_dir)) as cache:
            for name in names:
                breaker.wake(cache, name)

    @_job
    def pump(self) -> None:
        """Hand over the messages that are owed."""
        self._pump()

    @_job
    def upkeep(self) -> None:
        """Forget what is past its time, and fold the write-ahead logs into the files."""
        from syncagent import archive

        data_dir = self.config.agent.data_dir
        now = self.clock()
        with closing(open_cache(data_dir)) as cache:
            with transaction(cache):
                cache.execute("DELETE FROM sync_runs WHERE started_at < ?", (instant(now - KEEP_RUNS),))
            cache.execute("PRAGMA optimize")
            cache.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with closing(open_state(data_dir)) as state:
            with transaction(state):
                archive.prune(state, now - timedelta(seconds=self.config.agent.retention))
            state.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def run_once(self) -> int:
        """Everything that is due now, one thing after the other; 1 when something failed."""
        failed = False
        with self.busy():
            for name in self.config.sources:
                failed |= any(report.error for report in self._sync(name))
            for _ in range(2):  # what became of the messages settles the runs, which may owe more
                if not self.stop.is_set():
                    self._tick()
                    failed |= self._pump()
        return FAILED if failed else OK

    # --- the work -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        from syncagent import runs

        config, data_dir = self.config, self.config.agent.data_dir
        if self._derived_for != config.hash:
            # What an end between a page and its facts left to be done, or another time zone asks for.
            with closing(open_cache(data_dir)) as writer:
                refresh_facts(writer, config.reporting())
            note_deliveries(data_dir)  # a cache made anew knows of none
            self._derived_for = config.hash
        with closing(read_cache(data_dir)) as cache, closing(open_state(data_dir)) as state:
            report = runs.tick(
                config,
                cache,
                state,
                clock=self.clock,
                stop=self.stop,
                guard=self._guard,
                composes=self.is_read(),
            )
        log.debug("ticked: %s", report, extra={"action": "ticked"})

    def _sync(self, name: str) -> list[StreamReport]:
        config = self.config
        if name not in config.sources:
            return []
        if self.stop.is_set():
            return [StreamReport(name, LOGIN, error=STOPPED)]
        with closing(open_cache(config.agent.data_dir)) as cache:
            rest = breaker.resting(cache, name, self.clock())
            if rest is not None:
                sentence = f"rests until {local_time(rest.until, config.agent.timezone)}: {rest.reason}"
                log.debug("source %s %s", name, sentence, extra={"action": "source_rests", "source": name})
                return [StreamReport(name, LOGIN, error=sentence)]
            began = self.clock()
            try:
                reports = self._read(name, cache)
            except sqlite3.DatabaseError as error:
                raise explain(error, cache) from error
            rest = breaker.resting(cache, name, self.clock())
            if rest is not None:
                until = rest.until.isoformat(timespec="minutes")
                line = f"source {name} rests until {until} {rest.because}: {rest.reason}"
                log.warning("%s", line, extra={"action": "source_rests", "source": name})
            self._tell_changes(cache)
        if not self.stop.is_set():
            for report in reports:
                if report.error:
                    place = f"{report.source} {report.stream}"
                    extra = {"action": "sync_failed", "source": report.source, "stream": report.stream}
                    is_known = report.withdrawn_at is not None and report.withdrawn_at < began - timedelta(seconds=1)
                    level = logging.INFO if is_known else logging.WARNING  # it lasts until a person does something
                    log.log(level, "%s: %s", place, report.error, extra=extra)
        return reports

    def _read(self, name: str, cache: sqlite3.Connection) -> list[StreamReport]:
        config = self.config
        try:
            connector = build_connector(config, name, on_wait=self._told_wait(name), stop=self.stop)
        except Exception as error:  # its own settings: the other sources go on
            return [login_failed(cache, name, error, self.clock())]
        self._connectors[name] = connector
        try:
            return sync_source(
                connector,
                cache,
                clock=self.clock,
                stop=self.stop,
                reporting=config.reporting(),
                due=nightly(ZoneInfo(config.agent.timezone)),
            )
        finally:
            self._connectors.pop(name, None)
            connector.close()

    def _tell_changes(self, cache: sqlite3.Connection) -> None:
        """Tell what changed in a source's schema: a line in the log, and a mail to whom it concerns."""
        from syncagent import drift, runs

        if drift.changes(cache, untold=True):
            with closing(open_state(self.config.agent.data_dir)) as state:
                drift.tell(cache, self.config, self.clock(), state=state, owners=runs.owners(self.config))

    def _pump(self) -> bool:
        """Empty the outbox; True when a message could not be handed over for good."""
        from syncagent import outbox, runs
        from syncagent.mailer import Mailer

        config = self.config
        if config.mail is None:
            return False
        with closing(open_state(config.agent.data_dir)) as state:
            self._mailer = Mailer(config.mail)
            try:
                report = outbox.pump(state, self._mailer, self.clock, self.stop, owners=runs.owners(config))
            finally:
                self._mailer = None
        if report.sent or report.deferred or report.failed or report.uncertain:
            note_deliveries(config.agent.data_dir)
        if report.trouble:
            log.warning("mail: %s", report.trouble, extra={"action": "mail_trouble"})
        if report.sent or report.failed or report.uncertain:
            log.info(
                "mail: %d sent, %d put off, %d given up, %d uncertain",
                report.sent,
                report.deferred,
                report.failed,
                report.uncertain,
                extra={"action": "mailed"},
            )
        return bool(report.failed or report.uncertain or report.deferred)

    def _told_wait(self, name: str) -> Callable[[float, str], None]:
        def tell(seconds: float, why: str) -> None:
            if seconds >= TELL_WAIT_S:
                log.info("%s: waiting %.0f s: %s", name, seconds, why, extra={"action": "waiting", "source": name})

        return tell

    def delay_until_sync(self, name: str, every_s: float) -> timedelta:
        """Until a source's interval since the start of its last sync is over; none for one never read or failing."""
        with closing(read_cache(self.config.agent.data_dir)) as cache:
            row = cache.execute(
                "SELECT min(started_at) AS started_at, count(error) AS errors FROM sync_state"
                " WHERE source_name = ? AND withdrawn_at IS NULL",
                (name,),
            ).fetchone()
        if row["started_at"] is None or row["errors"]:
            return timedelta()
        due = datetime.fromisoformat(row["started_at"]) + timedelta(seconds=every_s)
        return min(max(due - self.clock(), timedelta()), timedelta(seconds=every_s))

    # --- what the daemon asks -------------------------------------------------------------------------------

    def await_sources(self) -> None:
        """After a start, what is due is computed once the sources whose turn has come were read, or failed."""
        self._awaited = {
            name for name, settings in self.config.sources.items() if not self.delay_until_sync(name, settings.every)
        }
        self._awaited_until = time.monotonic() + FIRST_SYNC_S

    def is_read(self) -> bool:
        """Whether no source is awaited any more."""
        return not self._awaited & self.config.sources.keys() or time.monotonic() > self._awaited_until

    def complain(self, job: str, args: tuple[Any, ...], line: str) -> None:
        """Say what went wrong, but not with every tick."""
        told, at = self.complaints.get((job, args), ("", 0.0))
        if line == told and time.monotonic() - at < REPEAT_S:
            return
        self.complaints[job, args] = (line, time.monotonic())
        log.error("%s: %s", job, line, extra={"action": f"{job}_failed"})

    @contextmanager
    def busy(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def wait_idle(self, deadline: float) -> bool:
        """Whether every job ended before `deadline` (monotonic)."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, max(0.0, deadline - time.monotonic()))

    def interrupt(self) -> None:
        """End the calls to sources under way, and the wait for a silent mail server (never after the final dot)."""
        for connector in list(self._connectors.values()):
            with suppress(ConnectorError):
                connector.interrupt()
        mailer = self._mailer
        if mailer is not None:
            mailer.interrupt()

    @contextmanager
    def watching_files(self) -> Iterator[None]:
        """Meanwhile know which files the databases are: writing to an unlinked one succeeds, and is lost.

        They are held open, or a new file might be given the number of one that is gone. O_PATH, where there is such a
        thing: closing any other descriptor of a file lets go of all locks this process has on it.
        """
        held = []
        for schema in (CACHE, STATE):
            path = database_path(self.config.agent.data_dir, schema)
            held.append(os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC))
            status = os.fstat(held[-1])
            self._files[str(path)] = (status.st_dev, status.st_ino)
        try:
            yield
        finally:
            for fd in held:
                os.close(fd)

    def files_changed(self) -> str | None:
        """A sentence when a database is gone or another file stands in its place."""
        for path, known in self._files.items():
            try:
                status = os.stat(path)
            except OSError:
                return f"{path} is gone; put it back (or restore a backup) and start syncagent again"
            if (status.st_dev, status.st_ino) != known:
                return f"{path} was replaced while running; start syncagent again"
        return None
