"""Which KPIs the configuration and the cache can compute; of the others what is missing, and where it is to be mapped.

Knows the sources that are configured; what a KPI needs of the cache is `scorecards.needs`'s to say.
"""

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.files.settings import FilesSettings
from scorecards.definition import Kpi
from scorecards.evaluate import Evaluator
from scorecards.needs import Lack, how_to_map, lack_of
from scorecards.uses import MADE_OF_EITHER, table_behind
from scorecards.values import KpiResult
from scorecards.wanted import any_of
from syncagent.config.result import Config, SourceSettings
from syncagent.schema import TABLES

#: The parts of the business a scorecard looks at, in the order in which they are listed.
PERSPECTIVES = ("Front office", "Back office", "Business associations", "Analysis")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one KPI can be computed: None where nobody can tell before a first sync."""

    can_compute: bool | None
    status: str = "ok"  # else no_data, not_configured, not_synced
    lacks: str = ""  # what is missing, in a few words
    mend: str = ""  # what to do, a sentence


def verdicts(config: Config, cache: sqlite3.Connection | None, *, as_of: datetime) -> dict[str, Verdict]:
    """Every KPI that is not hidden, by name. Without a cache only what no source can give is known to be missing."""
    shown = {name: kpi for name, kpi in config.kpis.items() if not kpi.hidden}
    if cache is None:
        return {name: _unsynced(config, kpi) for name, kpi in shown.items()}
    evaluator = Evaluator(cache, config.kpis, config.reporting(), as_of=as_of)
    return {name: _verdict(config, cache, lack_of(evaluator, kpi)) for name, kpi in shown.items()}


def perspective_of(kpi: Kpi) -> str:
    """The heading a KPI is listed under."""
    return kpi.perspective or "Your own"


def _unsynced(config: Config, kpi: Kpi) -> Verdict:
    """Before the first sync: a table that no configured source gives will not be there after it either."""
    for table in sorted(_tables(kpi, config.kpis)):
        if not _givers(config, table):
            return Verdict(
                False, "no_data", table.replace("_", " "), _how_to_get(config, table, kpi.maps or how_to_map(table))
            )
    return Verdict(None, "not_synced", "a first sync", "Run `syncagent sync`.")


def _verdict(config: Config, cache: sqlite3.Connection, lack: Lack | None) -> Verdict:
    if lack is None:
        return Verdict(True)
    table = lack.table
    if table is None or table not in TABLES:
        return Verdict(False, lack.status, lack.needs, named(config, lack.maps))
    givers = _givers(config, table)
    if not givers:
        return Verdict(False, lack.status, lack.needs, _how_to_get(config, table, lack.maps))
    read = {row[0] for row in cache.execute("SELECT DISTINCT source_name FROM sync_state WHERE ok_at IS NOT NULL")}
    if waiting := [name for name in givers if name not in read]:
        mend = f"{' and '.join(waiting)} {'was' if len(waiting) == 1 else 'were'} not read yet: run `syncagent sync`."
        return Verdict(False, lack.status, lack.needs, mend)
    mend = f"{' and '.join(givers)} {'has' if len(givers) == 1 else 'have'} no {table.replace('_', ' ')}."
    if "[[source." not in lack.maps:
        mend = f"{mend} {named(config, lack.maps)}".strip()
    return Verdict(False, lack.status, lack.needs, mend)


def _how_to_get(config: Config, table: str, maps: str) -> str:
    """Where a table could come from that no source gives: a CRM told to leave it out, else a file."""
    maps = maps if maps != how_to_map(table) else ""
    for name, settings in config.sources.items():
        if not isinstance(settings, FilesSettings) and table in settings.offered():
            more = "" if "[[source." in maps else named(config, maps)
            return f'Add "{table}" to streams of [source.{name}]. {more}'.rstrip()
    if "[[source." in maps:
        return maps  # it says so itself
    said = f'No source gives {table.replace("_", " ")}: read them from a file, [[source.NAME.table]] table = "{table}".'
    return f"{said} {named(config, maps)}".rstrip()


def placed(config: Config, result: KpiResult) -> KpiResult:
    """The result as those who wrote this configuration can use it: why there is no value names their sources."""
    return replace(result, reason=named(config, result.reason)) if result.reason else result


def named(config: Config, maps: str) -> str:
    """A sentence of where to map, with the one source it can mean in place of NAME; files map by `columns`."""

    def place(found: re.Match[str]) -> str:
        givers = _givers(config, found["table"])
        name = givers[0] if len(givers) == 1 else "NAME"
        may_give = givers or config.sources  # of a table nobody gives: whoever could
        if found["key"] == "fields" and all(isinstance(config.sources[one], FilesSettings) for one in may_give):
            return f"columns of [[source.{name}.table]]:"
        return f"[source.{name}.{found['key']}.{found['table']}]" if name != "NAME" else found[0]

    return re.sub(r"\[source\.NAME\.(?P<key>fields|values)\.(?P<table>\w+)\]", place, maps)


def _givers(config: Config, table: str) -> list[str]:
    """The configured sources that are to read a table."""
    return [name for name, settings in config.sources.items() if table in _tables_of(settings)]


def _tables_of(settings: SourceSettings) -> set[str]:
    if isinstance(settings, FilesSettings):
        return {one.table for one in settings.table}
    asked = getattr(settings, "streams", None)
    return {*(settings.offered() if asked is None else asked), *settings.side_tables()}


def _tables(kpi: Kpi, kpis: Mapping[str, Kpi]) -> set[str]:
    """The tables of which a KPI, and what it is made of, cannot do without a row."""
    found = {rows[0].table for rows in map(any_of, kpi.requires) if len(rows) == 1}
    if kpi.of is not None and kpi.of not in MADE_OF_EITHER and (table := table_behind(kpi.of)) is not None:
        found.add(table)
    for operand in kpi.operands if kpi.calc is None else kpi.calc.minus:
        part = kpis.get(operand.partition(".")[0])
        found |= _tables(part, kpis) if part is not None else set()
    return found & TABLES.keys()
