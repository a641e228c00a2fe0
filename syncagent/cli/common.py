"""What all commands share: the configuration, the clock, one JSON document, tables, instants."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from syncagent.errors import StoreError, UsageError

if TYPE_CHECKING:
    import sqlite3

    from syncagent.config import Config


class App:
    """One invocation: its options, and the configuration once a command asks for it."""

    def __init__(self, config_path: str | None, verbosity: int, log_format: str) -> None:
        self.config_path = config_path
        self.verbosity = verbosity
        self.log_format = log_format

    @cached_property
    def config(self) -> "Config":
        """The checked configuration, for what neither logs in nor sends: secrets may be missing. Raises ConfigError."""
        return self._load("optional")

    @cached_property
    def whole_config(self) -> "Config":
        """The checked configuration with every secret. Raises ConfigError."""
        return self._load("required")

    def config_for(self, *sections: str) -> "Config":
        """The checked configuration with the secrets of some tables, like "source.sf" or "mail". Raises ConfigError."""
        from syncagent.errors import ConfigError

        if missing := self.config.unset_of(*sections):
            raise ConfigError(missing)
        return self.config

    def _load(self, secrets: Literal["required", "optional"]) -> "Config":
        from syncagent.config import find_config, load_config
        from syncagent.wiring import register_config_secrets

        self.set_up_logs()
        config = load_config(find_config(self.config_path), secrets=secrets)
        register_config_secrets(config)
        return config

    def set_up_logs(self, *, is_service: bool = False) -> None:
        from syncagent import logs

        logs.setup(verbosity=self.verbosity, form=self.log_format, is_service=is_service)

    @staticmethod
    def clock() -> datetime:
        return datetime.now(UTC)


pass_app = click.make_pass_decorator(App)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
as_of_option = click.option(
    "--as-of",
    metavar="T",
    help="Compute as it was known then: 2026-11-05T00:00:00Z, or a local date (its start). Default: now.",
)
period_option = click.option(
    "--period",
    metavar="P",
    help="all, 2026, 2026-Q3, 2026-10, 2026-W46, 2026-11-16 or START..END. Default: the KPI's own, last complete one.",
)


#: The command that lists KPIs.
KPIS = "syncagent kpi list"


def known(name: str, names: Iterable[str], what: str, *, listed_by: str = "") -> str:
    """`name` if it is among `names`. Raises UsageError with the nearest one; `listed_by` is what lists very many."""
    from connectors.settings import meant

    names = list(names)
    if name in names:
        return name
    by_lower = {one.lower(): one for one in names}
    near = meant(name, list(by_lower))
    if near:
        mend = f"Did you mean {by_lower[near]}?"
    elif listed_by:
        mend = f"`{listed_by}` lists them."
    elif names:
        mend = f"There {'is' if len(names) == 1 else 'are'} {', '.join(sorted(names)[:30])}{' …' * (len(names) > 30)}."
    else:
        mend = "None is configured."
    raise UsageError(f"there is no {what} of this name", place=name, mend=mend)


def no_source(config: "Config") -> UsageError:
    """What every command says that would read the sources, when there are none."""
    mend = "Add a [source.NAME] table, or begin with `syncagent init NEW.toml`."
    return UsageError("no source is configured, so there is nothing to do", place=str(config.path), mend=mend)


def parse_as_of(text: str | None, zone_name: str, now: datetime, *, option: str = "--as-of") -> datetime:
    """An instant, or the start of a local date; now when nothing is given. Raises UsageError."""
    if text is None:
        return now
    from zoneinfo import ZoneInfo

    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time(), ZoneInfo(zone_name)).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "not an instant", place=f"{option} {text}", mend="Write 2026-11-05T00:00:00Z, or a date like 2026-11-05."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone_name))
    return moment.astimezone(UTC)


def unexpected_line(error: Exception) -> str:
    """What a person sees of a mistake of ours."""
    what = " ".join(str(error).split())[:300]
    return f"unexpected: {type(error).__name__}{': ' if what else ''}{what}; run again with -vv"


def print_json(document: Any) -> None:
    """The one document of `--json`."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    sys.stdout.buffer.write(orjson.dumps(document, option=options, default=str))
    sys.stdout.buffer.flush()


def print_table(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """A table: ruled on a terminal, plain aligned columns elsewhere. `right` numbers the columns of figures."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, heading in enumerate(headings):
            table.add_column(heading, justify="right" if number in right else "left", overflow="fold")
        for row in texts:
            table.add_row(*(Text(cell) for cell in row))
        Console(width=shutil.get_terminal_size((120, 40)).columns).print(table)
        return
    everything = [list(headings), *texts]
    widths = [max(len(row[number]) for row in everything) for number in range(len(headings))]
    for row in everything:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def offered(section: Literal["kpis", "scorecards", "sources"]) -> Callable[..., list[str]]:
    """Completion of the names the configuration has; none where it cannot be read."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from syncagent.config import find_config, load_config

        path = ctx.find_root().params.get("config_path")
        with suppress(Exception):
            config = load_config(find_config(path), secrets="optional")
            return sorted(name for name in getattr(config, section) if name.startswith(incomplete))
        if section == "kpis":
            from scorecards.catalogue import BUILTINS

            return sorted(name for name in BUILTINS if name.startswith(incomplete))
        return []

    return complete


def count_of(number: int, word: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


@contextmanager
def told_before(data_dir: Path) -> "Iterator[sqlite3.Connection | None]":
    """state.db for reading what was told before; None where there is none, or none that this version can read as it is.

    A figure of today does not depend on it: whoever needs state.db itself says what is wrong with it.
    """
    from syncagent.store import has_state, read_state

    try:
        state = read_state(data_dir) if has_state(data_dir) else None
    except StoreError:
        state = None
    try:
        yield state
    finally:
        if state is not None:
            state.close()
