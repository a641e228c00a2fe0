"""The command: arguments -> one call -> exit code, and every error as one line with its mend.

Each group of commands is a module beside this and imports what it needs inside the command: `--help` stays quick.
"""

import os
import sys
import traceback
from typing import NoReturn

import click

from syncagent import __version__
from syncagent.cli.backup import backup_command, restore_command
from syncagent.cli.common import App, unexpected_line
from syncagent.cli.demo import demo_command, sandbox_command
from syncagent.cli.kpi import kpi_group
from syncagent.cli.links import links_group
from syncagent.cli.not_built import NOT_BUILT
from syncagent.cli.outbox import outbox_group
from syncagent.cli.run import run_command, status_command
from syncagent.cli.scorecard import scorecard_group
from syncagent.cli.setup import check_command, config_group, init_command
from syncagent.cli.source import source_group
from syncagent.cli.sync import sync_command
from syncagent.errors import FAILED, USAGE, AgentError
from syncagent.stopping import stopped_line, was_told_to_stop

_GLOBAL_FLAGS = frozenset({"-v", "-vv", "-vvv", "--verbose", "-q", "--quiet"})

EPILOG = """\b
Examples:
  syncagent demo                          try everything, nothing to set up
  syncagent init && syncagent check       write a configuration and test it
  syncagent sync                          read all sources now
  syncagent kpi show win_rate             one number, and what it is made of
  syncagent scorecard preview weekly      the mail as it would be, in a folder
  syncagent run                           the daemon: sync, compute, mail, on time

\b
Exit codes: 0 done and healthy, 1 something failed, 2 wrong usage or configuration,
3 refused on purpose, 75 another instance holds the data directory.

\b
Completion of commands and options: for bash, put this into ~/.bashrc (zsh and fish alike)
  eval "$(_SYNCAGENT_COMPLETE=bash_source syncagent)"
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="syncagent", message="%(prog)s %(version)s")
@click.option(
    "--config",
    "config_path",
    metavar="PATH",
    help="Default: $SYNCAGENT_CONFIG, ./config.toml, /etc/syncagent/config.toml.",
)
@click.option("-v", "--verbose", count=True, help="Say what is done; -vv: everything, with tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Say errors only.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Of the log on stderr.")
@click.pass_context
def cli(ctx: click.Context, config_path: str | None, verbose: int, quiet: bool, log_format: str) -> None:
    """Pull Salesforce, HubSpot and files into SQLite, compute KPIs, mail scorecards."""
    ctx.obj = App(config_path, -1 if quiet else verbose, log_format)


for command in (
    init_command,
    check_command,
    source_group,
    sync_command,
    kpi_group,
    scorecard_group,
    outbox_group,
    links_group,
    run_command,
    status_command,
    backup_command,
    restore_command,
    config_group,
    sandbox_command,
    demo_command,
    *NOT_BUILT,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Where an installed script may begin; `syncagent.__main__` heeds signals before it loads this."""
    from syncagent.__main__ import main as begin

    begin()


def run_cli(arguments: list[str]) -> int:
    """Run one command; its exit code. Whatever goes wrong is one line on stderr."""
    verbose = sum(argument.count("v") for argument in arguments if argument in ("-v", "-vv", "-vvv", "--verbose")) >= 2
    was_told_to_stop()  # what an earlier command of this process was told is over
    try:
        code = cli.main(_globals_first(arguments), prog_name="syncagent", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _say(stopped_line(arguments), FAILED)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "syncagent"
        return _say(f"{path}: {_sentence(error.format_message())} See `{path} --help`.", USAGE)
    except click.ClickException as error:
        return _say(f"syncagent: {_sentence(error.format_message())}", USAGE)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; nothing more can be told it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if was_told_to_stop():
            return _say(stopped_line(arguments), FAILED)
        if isinstance(error, AgentError):
            return _fail(str(error), error.exit_code, verbose)
        return _fail(*_explained(error), verbose)


def _globals_first(arguments: list[str]) -> list[str]:
    """Let the global options stand anywhere: `check --config x.toml` is what people type."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            rest += [argument, *left]
        elif argument in ("--config", "--log-format"):
            first += [argument, *(value for value in [next(left, None)] if value is not None)]
        elif argument.startswith(("--config=", "--log-format=")) or argument in _GLOBAL_FLAGS:
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def _explained(error: Exception) -> tuple[str, int]:
    """The line and exit code of what the leaves raise, or of a mistake of ours."""
    import sqlite3

    from connectors.errors import ConnectorError, SourceConfigError
    from scorecards.errors import DefinitionError, ScorecardError

    if isinstance(error, ConnectorError):
        return f"source: {error}", USAGE if isinstance(error, SourceConfigError) else FAILED
    if isinstance(error, ScorecardError):
        return f"scorecard: {error}", USAGE if isinstance(error, DefinitionError) else FAILED
    if isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 1) != sqlite3.SQLITE_ERROR:
        from syncagent.store import explain_unplaced

        return str(explain_unplaced(error)), FAILED
    return unexpected_line(error), FAILED


def _fail(line: str, code: int, verbose: bool) -> int:
    from syncagent.logs import redact

    if verbose:
        sys.stderr.write(redact(traceback.format_exc()))
    return _say(redact(line), code)


def _say(line: str, code: int) -> int:
    try:
        sys.stderr.write(f"{line}\n")
    except (OSError, ValueError):  # stderr is closed: the exit code still tells
        return code
    return code


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
