"""`sync`: one pass over the sources now, with its progress."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from syncagent.cli.common import App, json_option, known, no_source, offered, pass_app, print_json
from syncagent.cli.sync_progress import progress_shown
from syncagent.cli.sync_said import show_changes, show_reports, show_unfilled
from syncagent.errors import FAILED, OK, UsageError
from syncagent.stopping import StopEvent, stop_here, stopped_line

if TYPE_CHECKING:
    from syncagent.config import Config
    from syncagent.sync import StreamReport

#: A source that does not answer is waited for so long once we are told to stop.
GRACE_S = 15


@click.command("sync", short_help="Read what is new in the sources into the cache.")
@click.argument("sources", nargs=-1, shell_complete=offered("sources"))
@click.option("--full", is_flag=True, help="Read everything from the configured start, not only what is new.")
@click.option("--since", metavar="DATE", help="Read again what changed from this day on.")
@click.option("--reconcile", is_flag=True, help="Compare every record with the CRM now (else once a day).")
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Only this stream; may be repeated.")
@json_option
@pass_app
def sync_command(
    app: App,
    sources: tuple[str, ...],
    full: bool,
    since: str | None,
    reconcile: bool,
    streams: tuple[str, ...],
    as_json: bool,
) -> int:
    """Read what is new in the sources (all of them, or SOURCES) into the cache.

    `read` counts records, `changed` the rows that became others here: lines, links and history of a record too, so that
    it may be more.

    \b
    Examples:
      syncagent sync
      syncagent sync hs --stream tickets --full
      syncagent sync sf --reconcile
      syncagent sync --since 2026-11-01 --json
    """
    from syncagent.store import lock_data_dir

    config = app.config_for(*([f"source.{name}" for name in sources] or ["source"]))
    names = [known(name, config.sources, "source") for name in sources] or list(config.sources)
    if not names:
        raise no_source(config)
    _check_names(config, names, streams)
    began = app.clock()
    day = _day(since, began.astimezone(ZoneInfo(config.agent.timezone)).date())
    if day is not None and full:
        message = "--since reads a part, --full reads everything: the two do not go together"
        raise UsageError(message, mend="Give one of the two.")
    if day is not None and reconcile:
        raise UsageError("--since reads a part, --reconcile compares everything", mend="Give one of the two.")
    locked = lock_data_dir(config.agent.data_dir, "sync")
    with locked, stop_on_signals() as stop, progress_shown(as_json) as tell:
        reports = sync_all(
            config,
            names,
            stop=stop,
            tell=tell,
            full=full,
            since=day,
            streams=streams or None,
            clock=app.clock,
            reconciles=reconcile,
        )
    was_stopped = stop.is_set()
    is_ok = not was_stopped and all(report.error is None for report in reports)
    if as_json:
        print_json({"ok": is_ok, "stopped": was_stopped, "streams": [report.to_json() for report in reports]})
    else:
        is_quiet = app.verbosity < 0
        show_reports(reports, config.agent.timezone, is_quiet=is_quiet)
        if not is_quiet:
            show_unfilled(config, reports)
            show_changes(config, began)
    if was_stopped:
        click.echo(stopped_line(["sync"]), err=True)
    return OK if is_ok else FAILED


def _check_names(config: "Config", sources: Sequence[str], streams: Sequence[str]) -> None:
    """Raises UsageError for a stream that none of the sources has."""
    has = {name: source.stream_names for name, source in config.sources.items()}
    offered = dict.fromkeys(name for source in sources for name in has[source])
    for stream in streams:
        elsewhere = [name for name in config.sources if stream in has[name]]
        if elsewhere and stream not in offered:
            message = f"{' and '.join(sources)} {'has' if len(sources) == 1 else 'have'} no stream {stream}"
            raise UsageError(message, mend=f"{' and '.join(elsewhere)} {'has' if len(elsewhere) == 1 else 'have'} it.")
        known(stream, offered, "stream")


def sync_all(
    config: "Config",
    names: Sequence[str],
    *,
    clock: Any,
    stop: StopEvent | None = None,
    tell: Any = None,
    full: bool = False,
    since: date | None = None,
    streams: Sequence[str] | None = None,
    reconciles: bool = False,
) -> list["StreamReport"]:
    """Sync the named sources one after the other, then bring the facts up to date.

    A stop leaves the sources that were not begun with a report that says so, and the facts to the next sync.
    """
    from syncagent.reconcile import always, daily
    from syncagent.store import open_cache
    from syncagent.sync import LOGIN, STOPPED, StreamReport, login_failed, refresh_facts, sync_source
    from syncagent.wiring import build_connector

    reports: list[StreamReport] = []
    with closing(open_cache(config.agent.data_dir)) as cache:
        for name in names:
            if stop is not None and stop.is_set():
                reports.append(StreamReport(name, LOGIN, error=STOPPED))
                continue
            on_wait = partial(tell.wait, name) if hasattr(tell, "wait") else None
            try:
                built = build_connector(config, name, on_wait=on_wait, stop=stop)
            except Exception as error:
                reports.append(login_failed(cache, name, error, clock()))
                continue
            with _unless_stopped(stop), closing(built) as connector:
                reports += sync_source(
                    connector,
                    cache,
                    clock=clock,
                    full=full,
                    since=since,
                    streams=streams,
                    on_progress=tell,
                    stop=stop,
                    due=always if reconciles else daily,
                    recounts=True,
                )
        if stop is None or not stop.is_set():
            with _unless_stopped(stop):
                refresh_facts(cache, config.reporting())
    return reports


@contextmanager
def _unless_stopped(stop: StopEvent | None) -> Iterator[None]:
    """Asked to stop and asked again, or for too long: leave this, but tell what was read until then."""
    try:
        yield
    except KeyboardInterrupt:
        if stop is None or not stop.is_set():
            raise


@contextmanager
def stop_on_signals(*, quietly: bool = False) -> Iterator[StopEvent]:
    """An event that SIGINT and SIGTERM set; a second one, or GRACE_S without an end, ends the process at once."""
    stop = StopEvent()

    def ask(number: int, _: object) -> None:
        if stop.is_set():
            stop_here()
        stop.set()
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, ask)
        signal.alarm(GRACE_S)
        if not quietly:
            sys.stderr.write("stopping after this page; press again to stop at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        if signal.SIGALRM in before:
            signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _day(text: str | None, today: date) -> date | None:
    if text is None:
        return None
    place = f"--since {text}"
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError("not a date", place=place, mend="Write it like 2026-11-01.") from None
    if day > today:
        raise UsageError("this day lies ahead", place=place, mend=f"Give today, {today}, or a day before it.")
    return day
