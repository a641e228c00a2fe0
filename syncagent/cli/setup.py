"""`init`, `check`, `config schema`: getting a configuration, and knowing that it works."""

import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncagent.cli.common import App, count_of, no_source, pass_app, print_json
from syncagent.errors import FAILED, OK, AgentError

if TYPE_CHECKING:
    from syncagent.config import Config

#: A source that did not answer until then is down, for `check`.
CHECK_S = 60.0


@click.command("init", short_help="Write a commented configuration.")
@click.argument("path", default="config.toml", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Ask nothing, take the defaults.")
@pass_app
def init_command(app: App, path: Path, yes: bool) -> int:
    """Write a commented configuration to PATH (default ./config.toml).

    \b
    Example:
      syncagent init --yes && $EDITOR config.toml
    """
    from syncagent import init

    app.set_up_logs()
    is_silent = yes or not sys.stdin.isatty()
    answers = init.run(path, yes=is_silent, prompt=lambda text, default: str(click.prompt(text, default=default)))
    click.echo(f"Wrote {path}.")
    if answers.secrets:
        click.echo(f"It reads these secrets from the environment: {', '.join(answers.secrets)}.")
    click.echo("Next: syncagent check")
    return OK


@click.command("check", short_help="Name every problem of the configuration; log in everywhere.")
@click.option("--offline", is_flag=True, help="Look at the file only; log in nowhere.")
@pass_app
def check_command(app: App, offline: bool) -> int:
    """Name every problem of the configuration; then log in to each source and the mail server.

    \b
    Examples:
      syncagent check --offline
      syncagent --config /etc/syncagent/config.toml check
    """
    from importlib.metadata import packages_distributions
    from zoneinfo import ZoneInfo

    from scorecards.checks.aims import not_begun
    from syncagent.packages import strangers
    from syncagent.records import gaps

    config = app.whole_config
    for warning in config.warnings:
        click.echo(f"warning: {warning}")
    today = app.clock().astimezone(ZoneInfo(config.agent.timezone)).date()
    reporting = config.reporting()
    early = filter(None, (not_begun(kpi, today, reporting) for kpi in config.kpis.values()))
    for gap in (*gaps(config, today), *early):
        click.echo(f"warning: {gap}")
    for stranger in strangers(packages_distributions()):
        click.echo(f"warning: {stranger}")
    kpis = [name for name, kpi in config.kpis.items() if not kpi.hidden]
    if not config.sources:
        click.echo(f"warning: {no_source(config)}")
    click.echo(
        f"{config.path}: {_count(config.sources, 'source')}, {_count(kpis, 'KPI')} known,"
        f" {_count(config.scorecards, 'scorecard')}{'; no problem found' if config.sources else ''}"
    )
    problems = []
    if not offline:
        problems = [_check_source(app, config, name) for name in config.sources]
        if config.mail is not None:
            problems.append(_check_mail(config))
        problems.append(_check_kpis(app, config))
    _show_teams(config)
    _show_targets(app, config)
    return FAILED if any(problems) else OK


def _show_teams(config: "Config") -> None:
    """Calendars of teams that are none in what was synced; nothing where nothing was."""
    from syncagent.store import has_cache, read_cache
    from syncagent.teams import strangers

    with suppress(AgentError, sqlite3.DatabaseError):
        if config.calendars and has_cache(config.agent.data_dir):
            with closing(read_cache(config.agent.data_dir)) as cache:
                for stranger in strangers(config, cache):
                    click.echo(f"warning: {stranger}")


def _show_targets(app: App, config: "Config") -> None:
    """The five letters of each target that is mailed, those that lack the same together, and what to set."""
    from scorecards.targets.smart import failures, in_words, to_json
    from syncagent.smart import letters

    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, found in letters(config, app.clock().date()).items():
        alike.setdefault((in_words(to_json(found, doubts=True)), tuple(failures(found))), []).append(name)
    for (words, failed), names in alike.items():
        which = f"the target{'s' * (len(names) > 1)} of {', '.join(names)}"
        click.echo(f"{'not ' if failed else ''}SMART: {which}: {words}")
        for sentence in failed:
            click.echo(f"  {sentence}")
    if alike:
        click.echo("  (by what is configured; each scorecard also judges by its values)")


def _count(things: object, word: str) -> str:
    number = len(things)  # type: ignore[arg-type]
    return count_of(number, word)


def _check_source(app: App, config: "Config", name: str) -> bool:
    """Log in to one source and say what was reached; True when that failed, or did not end within CHECK_S."""
    from connectors.errors import ConnectorError
    from syncagent.cli.bounded import TookTooLong, bounded
    from syncagent.sunsets import endings
    from syncagent.wiring import build_connector

    waits: list[str] = []

    def told(seconds: float, why: str) -> None:
        waits.append(why)
        if seconds >= 1:
            _say_meanwhile(f"source {name}: waiting {seconds:.0f} s: {why}")

    _say_meanwhile(f"source {name}: logging in")
    try:
        with closing(build_connector(config, name, on_wait=told)) as connector:
            identity, streams = bounded(
                lambda: (connector.check(), connector.streams()), limit_s=CHECK_S, interrupt=connector.interrupt
            )
    except TookTooLong:
        why = f": {waits[-1]}" if waits else ""
        click.echo(f"source {name}: FAILED: no answer within {CHECK_S:.0f} s{why}")
        return True
    except ConnectorError as error:
        click.echo(f"source {name}: FAILED: {error}")
        return True
    what = ", ".join(part for part in (identity.instance, identity.account, identity.api_version) if part)
    click.echo(f"source {name}: ok ({what}); streams: {', '.join(stream.name for stream in streams)}")
    for warning in identity.warnings:
        click.echo(f"  warning: {warning}")
    ends = endings(identity.sunsets, app.clock())
    for end in ends:
        click.echo(f"  {'ERROR' if end.is_urgent else 'warning'}: {end.sentence}. {end.mend}".rstrip())
    _wake(config, name)
    return any(end.is_urgent for end in ends)


def _say_meanwhile(line: str) -> None:
    """What is going on, where somebody watches."""
    if sys.stderr.isatty():
        click.echo(line, err=True)


def _wake(config: "Config", name: str) -> None:
    """Its login works: a source that rests after failures may be tried again, and a refusal is no news any more."""
    from syncagent import breaker
    from syncagent.store import has_cache, open_cache
    from syncagent.sync_state import end_login_failure

    with suppress(AgentError, sqlite3.DatabaseError):
        if not has_cache(config.agent.data_dir):
            return
        with closing(open_cache(config.agent.data_dir)) as cache:
            end_login_failure(cache, name)
            rest = breaker.last_rest(cache, name)
            if rest is not None and rest.cause == "refused":
                breaker.note_success(cache, name)  # what was refused is not: the next rest would be a first one
            elif rest is not None:
                breaker.wake(cache, name)


def _check_mail(config: "Config") -> bool:
    """Connect and log in to the mail server; True when that failed."""
    from syncagent.mailer import Mailer

    assert config.mail is not None
    try:
        with Mailer(config.mail) as mailer:
            mailer.check()
    except AgentError as error:
        click.echo(f"mail: FAILED: {error}")
        return True
    click.echo(f"mail {config.mail.host}:{config.mail.port}: ok")
    return False


def _check_kpis(app: App, config: "Config") -> bool:
    """Say for each configured KPI whether its data is there; True when the cache cannot be used."""
    from syncagent.store import has_cache, read_cache

    names = sorted({kpi for card in config.scorecards.values() for kpi in card.kpis})
    if not names:
        return False
    try:
        if not has_cache(config.agent.data_dir):
            click.echo("KPIs: nothing synced yet. Run `syncagent sync`, then check again.")
            return False
        cache = read_cache(config.agent.data_dir)
    except AgentError as error:
        click.echo(f"KPIs: FAILED: {error}")
        return True
    with closing(cache):
        lacking = {name: why for name in names if (why := _lacking(app, config, cache, name))}
    there = "all" if not lacking else f"{len(names) - len(lacking)} of"
    click.echo(f"KPIs: the data of {there} {len(names)} is there")
    for name, why in lacking.items():
        click.echo(f"KPI {name}: {why}")
    return False


def _lacking(app: App, config: "Config", cache: sqlite3.Connection, name: str) -> str:
    """Why a KPI has no value now; empty when it has one."""
    from scorecards.errors import ScorecardError
    from scorecards.evaluate import evaluate

    with suppress(ScorecardError):
        result = evaluate(cache, config.kpis[name], config.kpis, config.reporting(), as_of=app.clock())
        return "" if result.status == "ok" else f"{result.status}: {result.reason or ''}".rstrip(": ")
    return "cannot be computed"


@click.group("config")
def config_group() -> None:
    """About the configuration file."""


@config_group.command("schema")
def schema_command() -> int:
    """Print the JSON Schema of the configuration, for editors.

    \b
    Example:
      syncagent config schema > syncagent.schema.json
    """
    from syncagent.config.schema import json_schema

    print_json(json_schema())
    return OK
