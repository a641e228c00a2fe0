"""`run` and `status`."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from syncagent.cli.common import App, json_option, no_source, pass_app, print_json, print_table
from syncagent.clock import local_time
from syncagent.errors import FAILED, OK, AgentError, ConfigError, one_line

if TYPE_CHECKING:
    from syncagent.config import Config


@click.command("run")
@click.option("--once", is_flag=True, help="Do all that is due now, then exit.")
@click.option("--tick", "tick_s", default=10.0, hidden=True, type=click.FloatRange(0.05, 15))
@pass_app
def run_command(app: App, once: bool, tick_s: float) -> int:
    """The daemon: sync, compute and mail, each at its time.

    SIGTERM stops it. A changed configuration is used once it gets SIGHUP (`systemctl reload`), or is started again.

    \b
    Examples:
      syncagent --log-format json run
      syncagent run --once        from cron, where no daemon is wanted
    """
    config = app.whole_config
    if not config.sources:
        click.echo(f"warning: {no_source(config)}", err=True)
    app.set_up_logs(is_service=True)
    from syncagent.daemon import Daemon

    return Daemon(config, clock=app.clock, tick_s=tick_s).run(once=once)


@click.command("status")
@json_option
@pass_app
def status_command(app: App, as_json: bool) -> int:
    """How things stand; exits 0 when healthy, 1 when not. Needs no running daemon.

    \b
    Example:
      syncagent status --json | jq .problems
    """
    from syncagent.config import find_config
    from syncagent.config.partly import load_partly
    from syncagent.status import status

    try:
        config, code = app.config, None
        found = status(config, app.clock())
    except ConfigError as error:  # a daemon goes on with what it had read before
        config, code = load_partly(find_config(app.config_path)), error.exit_code
        found = _with_mistakes(status(config, app.clock()), error)
    code = code or (OK if found["healthy"] else FAILED)
    if as_json:
        print_json(found)
        return code
    busy = f" (`syncagent {found['busy']}` is at work)" if found["busy"] else ""
    running = "running" if found["running"] else f"not running{busy}"
    click.echo(f"{'healthy' if found['healthy'] else 'NOT HEALTHY'}; {running}")
    for problem in found["problems"]:
        kind = "note: " if problem["severity"] == "warning" else ""
        click.echo(f"- {kind}{one_line('', problem['message'], problem['mend'])}")
    zone = config.agent.timezone
    if found["sources"]:
        click.echo()
        more = ("last read", "problem")
        print_table(
            ("source", "streams", "here, of CRM" if any(map(_counted, found["sources"])) else "here", *more),
            [
                (
                    row["source"],
                    sum(
                        stream["stream"] != "login" and stream["outcome"] != "not_readable" for stream in row["streams"]
                    ),
                    _held(config, row),
                    local_time(row["synced_at"], zone),
                    row["error"] or "",
                )
                for row in found["sources"]
            ],
            right=(1, 2),
        )
    if found["scorecards"]:
        click.echo()
        print_table(
            ("scorecard", "next due", "last due", "state"),
            [
                (
                    row["scorecard"],
                    local_time(row["next_due_at"], zone) if row["next_due_at"] else "by hand",
                    local_time(row["last"]["due_at"], zone) if row["last"] else "",
                    row["last"]["state"] if row["last"] else "",
                )
                for row in found["scorecards"]
            ],
        )
    states = found["outbox"]["states"]
    click.echo(f"\noutbox: {', '.join(f'{n} {state}' for state, n in states.items()) if states else 'empty'}")
    return code


def _counted(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams of a source that its CRM counts."""
    return [s for s in row["streams"] if s["crm_count"] is not None and not s["withdrawn_at"]]


def _held(config: "Config", row: dict[str, Any]) -> str:
    """The live records of a source beside the CRM's own count, as `sync` has them; here alone where nobody counts."""
    from syncagent.cli.sync_said import held

    if counted := _counted(row):
        return held(sum(s["cache_count"] for s in counted), sum(s["crm_count"] for s in counted))
    return f"{_live(config, row['source'], [stream['stream'] for stream in row['streams']]):,}"


def _live(config: "Config", source: str, streams: Sequence[str]) -> int:
    """How many records of these streams are here, neither deleted nor merged away."""
    from syncagent.schema import TABLES
    from syncagent.store import read_cache

    ranges = {name: (f"{source}:{name}:", f"{source}:{name};") for name in streams if name in TABLES}
    with suppress(AgentError, sqlite3.DatabaseError), closing(read_cache(config.agent.data_dir)) as cache:
        sql = "SELECT count(*) FROM {} WHERE id >= ? AND id < ? AND is_deleted = 0 AND merged_into IS NULL"
        return sum(cache.execute(sql.format(name), ends).fetchone()[0] for name, ends in ranges.items())
    return 0


def _with_mistakes(found: dict[str, Any], error: ConfigError) -> dict[str, Any]:
    """How things stand, with what is wrong with the configuration in front."""
    mistakes = [
        {"code": "config", "severity": "error", "message": str(replace(problem, mend="")), "mend": problem.mend}
        for problem in error.problems
    ]
    changed = [problem for problem in found["problems"] if problem["code"] == "config_changed"]
    for problem in changed:
        problem["mend"] = f"It goes on with that one. Once the mistakes are mended: {problem['mend']}"
    others = [problem for problem in found["problems"] if problem not in changed]
    return {**found, "healthy": False, "problems": [*mistakes, *changed, *others]}
