"""The daemon: APScheduler ticks, the ledger decides what is due; signals, drain, reload and self-checks.

Jobs: `tick` (a thread of its own, so that slow sources never delay a scorecard), `sync:NAME` for each source,
`outbox`, `upkeep`. Every job is harmless to kill: whatever it was doing, the next start goes on there.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from syncagent.config import Config, load_config
from syncagent.daemon_jobs import Jobs
from syncagent.errors import FAILED, OK, AgentError, ConfigError
from syncagent.running import ConfigWatch, SecretWatch, remove_note, write_note
from syncagent.service_manager import notify, watchdog_s
from syncagent.stopping import StopEvent
from syncagent.store import lock_data_dir, open_cache, open_state

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

log = logging.getLogger(__name__)

#: From the signal to the exit. What still runs then is cut off, which nothing minds.
DRAIN_S = 17.0
#: The wall clock may be corrected by this much without anyone being told.
CLOCK_STEP_S = 60.0
#: A tick is late when it did not end for so long; then the scheduler is taken for dead.
TICK_DEAD_S = 600.0
UPKEEP_EVERY = timedelta(hours=24)


class Daemon:
    """One instance. `clock` gives aware UTC; `tick_s` is how often it looks what is due (15 s at most)."""

    def __init__(self, config: Config, *, clock: Callable[[], datetime], tick_s: float = 10.0) -> None:
        self._config = config
        self._clock = clock
        self._tick_s = tick_s
        self._stop = StopEvent()
        self._wants_reload = False
        self._config_watch, self._secret_watch = ConfigWatch(config), SecretWatch(config)
        self._jobs = Jobs(config, clock=clock, stop=self._stop)
        self._scheduler: BackgroundScheduler | None = None
        self._failure: str | None = None

    def run(self, *, once: bool = False) -> int:
        """Run until told to stop (or, with `once`, do all that is due now); the exit code.

        Raises AlreadyRunning, StoreError.
        """
        data_dir = self._config.agent.data_dir
        with lock_data_dir(data_dir):
            # Made and migrated before anything else, and checked from now on to be the same files.
            open_cache(data_dir).close()
            open_state(data_dir).close()
            handlers = self._take_signals()
            try:
                with self._jobs.watching_files():
                    return self._once() if once else self._serve()
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _once(self) -> int:
        """All that is due now, in a thread of its own, so that a signal can cut it short as it does the service."""
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(1)
        work = pool.submit(self._jobs.run_once)
        while not work.done() and not self._stop.wait(0.05):
            pass
        was_cut_short = not work.done()
        if was_cut_short:
            self._failure = "stopped before all was done"
            self._drain()
        pool.shutdown()
        return FAILED if was_cut_short else work.result()

    # --- the service ----------------------------------------------------------------------------------------

    def _serve(self) -> int:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._scheduler = BackgroundScheduler(
            executors={
                "tick": ThreadPoolExecutor(1),
                "outbox": ThreadPoolExecutor(1),
                "default": ThreadPoolExecutor(16),
            },
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        log.info(
            "started: sources %s; scorecards %s",
            ", ".join(self._config.sources) or "none",
            ", ".join(self._config.scorecards) or "none",
            extra={"action": "started", "config": self._config.hash},
        )
        self._jobs.await_sources()
        self._schedule_all()
        self._scheduler.start()
        write_note(self._config, self._clock())
        notify("READY=1")
        try:
            self._watch()
        finally:
            remove_note(self._config.agent.data_dir)
            self._drain()
        return OK if self._failure is None else FAILED

    def _schedule_all(self) -> None:
        assert self._scheduler is not None
        # APScheduler lives by the system's clock, the agent's may be another (tests): hand over delays, not instants.
        now = datetime.now(UTC)
        every = {"seconds": self._tick_s, "next_run_time": now}
        self._scheduler.add_job(self._jobs.tick, "interval", id="tick", executor="tick", replace_existing=True, **every)
        self._scheduler.add_job(
            self._jobs.pump, "interval", id="outbox", executor="outbox", replace_existing=True, **every
        )
        self._scheduler.add_job(
            self._jobs.upkeep,
            "interval",
            id="upkeep",
            seconds=UPKEEP_EVERY.total_seconds(),
            next_run_time=now + timedelta(minutes=5),
            replace_existing=True,
        )
        self._schedule_syncs()

    def _schedule_syncs(self) -> None:
        """A job for each source, first run when its interval since the last start is over; none for any other."""
        assert self._scheduler is not None
        wanted = {f"sync:{name}": name for name in self._config.sources}
        for job in self._scheduler.get_jobs():
            if job.id.startswith("sync:") and job.id not in wanted:
                job.remove()
        for id_, name in wanted.items():
            every = self._config.sources[name].every
            self._scheduler.add_job(
                self._jobs.sync,
                "interval",
                args=[name],
                id=id_,
                seconds=every,
                next_run_time=datetime.now(UTC) + self._jobs.delay_until_sync(name, every),
                replace_existing=True,
            )

    def _watch(self) -> None:
        """The main thread: takes signals, and looks after the scheduler, the files and the clock."""
        step = min(1.0, self._tick_s)
        wall, steady = self._clock(), time.monotonic()
        ping_s = watchdog_s()
        pinged = steady
        while not self._stop.wait(step):
            if self._wants_reload:
                self._wants_reload = False
                self._reload()
            elif self._config_watch.has_changed():
                log.warning(
                    "the configuration file has changed; send SIGHUP (systemctl reload) to use it",
                    extra={"action": "config_changed"},
                )
            elif self._secret_watch.has_changed() and self._config_watch.is_as_loaded():
                # Renewed where it is kept: nobody has to say so here as well.
                log.info("a secret's file has changed", extra={"action": "secret_changed"})
                self._reload()
            now, at = self._clock(), time.monotonic()
            drift = (now - wall).total_seconds() - (at - steady)
            wall, steady = now, at
            if abs(drift) > CLOCK_STEP_S:
                self._after_clock_step(drift)
            self._failure = self._jobs.files_changed() or self._tick_died()
            if self._failure is not None:
                log.critical("%s", self._failure, extra={"action": "giving_up"})
                return
            if ping_s is not None and at - pinged >= ping_s / 2:
                notify("WATCHDOG=1")
                pinged = at

    def _after_clock_step(self, drift: float) -> None:
        """The scheduler counts in wall time: after a step back it would be silent until the old time comes again."""
        log.warning("the clock was set by %+.0f s", drift, extra={"action": "clock_step", "seconds": round(drift)})
        self._schedule_all()

    def _tick_died(self) -> str | None:
        if time.monotonic() - self._jobs.ticked_at > max(TICK_DEAD_S, 20 * self._tick_s):
            return f"nothing was looked after for {TICK_DEAD_S:.0f} s; restart syncagent"
        if self._scheduler is not None and not self._scheduler.running:
            return "the scheduler stopped; restart syncagent"
        return None

    def _drain(self) -> None:
        """Stop taking work, let what runs reach a safe point, and go within DRAIN_S whatever happens."""
        notify("STOPPING=1")
        log.info("stopping", extra={"action": "stopping"})
        deadline = time.monotonic() + DRAIN_S
        self._stop.set()
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        self._jobs.interrupt()
        if not self._jobs.wait_idle(deadline):
            log.warning("cut off what was still running; the next start goes on there", extra={"action": "cut_off"})
            logging.shutdown()
            # Threads in the middle of a call to a silent server would keep the interpreter alive.
            os._exit(OK if self._failure is None else FAILED)
        log.info("stopped", extra={"action": "stopped"})

    # --- signals --------------------------------------------------------------------------------------------

    def _take_signals(self) -> dict[int, Any]:
        def stop(number: int, _: object) -> None:
            if self._stop.is_set():
                os._exit(FAILED)
            self._stop.set()

        def reload(number: int, _: object) -> None:
            self._wants_reload = True

        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
        return {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def _reload(self) -> None:
        """Read the configuration again; a bad one changes nothing but the log."""
        from syncagent.wiring import register_config_secrets

        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = load_config(self._config.path)
            if config.agent.data_dir != self._config.agent.data_dir:
                raise AgentError("data_dir cannot change while running", mend="Restart syncagent for that.")
        except ConfigError as error:
            for problem in error.problems:
                log.error("not reloaded: %s", problem, extra={"action": "reload_failed"})
        except AgentError as error:
            log.error("not reloaded: %s", error, extra={"action": "reload_failed"})
        else:
            register_config_secrets(config)
            # What became due by the old schedules, and where the new ones begin, is written down before anything
            # can end the process.
            self._jobs.write_down()
            before, self._config = self._config, config
            self._config_watch, self._secret_watch = ConfigWatch(config), SecretWatch(config)
            self._jobs.config = config
            self._jobs.write_down()
            changed = [name for name, one in config.sources.items() if before.sources.get(name) != one]
            self._jobs.wake(tuple(changed))
            self._schedule_syncs()
            write_note(config, self._clock())
            log.info("configuration read again", extra={"action": "reloaded", "config": config.hash})
        notify("READY=1")
