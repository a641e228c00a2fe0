"""`source`: what a source offers, what we map, how well it is filled."""

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
        tables = [table] if table else sorted({name for stream in connector.streams() for name in stream.tables})
        offered = {name: connector.fields(name) for name in tables}
    filled = {name: _filled(config, source, name) for name in tables}
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


def _filled(config: "Config", source: str, table: str) -> dict[str, float]:
    """The share of a source's rows that have a value, by column; empty before the first sync."""
    from syncagent.schema import column_types
    from syncagent.store import read_cache

    columns = list(column_types(table))
    with suppress(AgentError), closing(read_cache(config.agent.data_dir)) as cache:
        counts = cache.execute(
            f"""SELECT count(*), {", ".join(f"count({column})" for column in columns)} FROM {table}
                WHERE id >= ? AND id < ? AND is_deleted = 0""",
            (f"{source}:{table}:", f"{source}:{table};"),
        ).fetchone()
        if counts[0]:
            return {column: counts[number] / counts[0] for number, column in enumerate(columns, start=1)}
    return {}
