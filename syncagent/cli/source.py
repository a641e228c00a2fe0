"""`source`: what a source offers, what we map, how well it is filled."""

from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import click

from syncagent.cli.common import App, json_option, known, offered, pass_app, print_json, print_table
from syncagent.clock import local_time
from syncagent.errors import OK, AgentError

if TYPE_CHECKING:
    from syncagent.config import Config


@click.group("source")
def source_group() -> None:
    """What the sources are and what they offer."""


@source_group.command("list")
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> int:
    """The configured sources, and when each was last synced."""
    from syncagent.status_sources import source_rows

    config = app.config
    rows = source_rows(config, app.clock())
    if as_json:
        print_json(rows)
        return OK
    print_table(
        ("source", "type", "every", "streams", "synced", "problem"),
        [
            (
                row["source"],
                row["type"],
                f"{row['every_s'] // 60} min",
                len(row["streams"]),
                local_time(row["synced_at"], config.agent.timezone),
                row["error"] or "",
            )
            for row in rows
        ],
    )
    return OK


@source_group.command("fields", short_help="The fields of a source, our columns, how well filled.")
@click.argument("source", shell_complete=offered("sources"))
@click.argument("table", required=False)
@json_option
@pass_app
def fields_command(app: App, source: str, table: str | None, as_json: bool) -> int:
    """The fields SOURCE offers for TABLE (all its tables), our column of each, and how well it is filled.

    \b
    Examples:
      syncagent source fields sf opportunities
      syncagent source fields hs --json
    """
    from syncagent.schema import TABLES
    from syncagent.wiring import build_connector

    config = app.config_for(f"source.{source}")
    known(source, config.sources, "source")
    if table is not None:
        known(table, TABLES, "table")
    with closing(build_connector(config, source)) as connector:
        connector.check()
        fed = sorted({name for stream in connector.streams() for name in stream.tables})
        tables = [table] if table else fed
        offered = {name: connector.fields(name) for name in tables}
    filled = {
        name: _filled(config, source, name, [field.column for field in fields]) for name, fields in offered.items()
    }
    rows = [
        {
            "table": name,
            "object": field.object or None,
            "field": field.name,
            "label": field.label,
            "type": field.type,
            "column": field.column or None,
            "filled": filled[name].get(field.column) if field.column else None,
        }
        for name, fields in offered.items()
        for field in fields
    ]
    if as_json:
        print_json(rows)
        return OK
    if table and not rows:
        click.echo(_why_none(source, table, fed))
        return OK
    print_table(
        ("table", "field", "label", "type", "our column", "filled"),
        [
            (
                row["table"],
                f"{row['object']}.{row['field']}" if row["object"] else row["field"],
                row["label"],
                row["type"],
                row["column"],
                "" if row["filled"] is None else f"{row['filled']:.0%}",
            )
            for row in rows
        ],
        right=(5,),
    )
    return OK


def _why_none(source: str, table: str, fed: Sequence[str]) -> str:
    if table not in fed:
        return f"{source} fills no {table}; it fills {', '.join(fed)}."
    return (
        f"{source} names no fields of {table}: nothing of it can be mapped, or this login may not read it"
        " (`syncagent check` says which)."
    )


def _filled(config: "Config", source: str, table: str, wanted: Iterable[str]) -> dict[str, float]:
    """The share of a source's live rows that have a value, by column, those of `custom` that are `wanted` too.

    Empty before the first sync.
    """
    from syncagent.schema import column_types
    from syncagent.store import read_cache

    own = list(column_types(table))
    custom = sorted({name for name in wanted if name.startswith("custom.")})
    columns = [*own, *custom]
    counted = [*own, *["json_extract(custom, ?)"] * len(custom)]
    paths = ['$."' + name.removeprefix("custom.").replace('"', '\\"') + '"' for name in custom]
    with suppress(AgentError), closing(read_cache(config.agent.data_dir)) as cache:
        counts = cache.execute(
            f"""SELECT count(*), {", ".join(f"count({one})" for one in counted)} FROM {table}
                WHERE id >= ? AND id < ? AND is_deleted = 0 AND merged_into IS NULL""",
            (*paths, f"{source}:{table}:", f"{source}:{table};"),
        ).fetchone()
        if counts[0]:
            return {column: counts[number] / counts[0] for number, column in enumerate(columns, start=1)}
    return {}
