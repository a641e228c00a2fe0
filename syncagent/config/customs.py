"""Whether a source fills the `custom.NAME` columns that KPIs and dimensions name: what none maps is empty for ever."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.files.settings import FilesSettings
from scorecards.definition import Kpi, Reporting
from scorecards.relations import Language, Relation
from scorecards.takes import near
from syncagent.config.report import Report
from syncagent.config.result import SourceSettings
from syncagent.config.toml import KeyPath

#: `custom.NAME`, or of a row referred to: `owner.custom.NAME`.
_NAMED = re.compile(r"(?:(\w+)\.)?custom\.(\S+)")
#: Table -> its custom columns; None where a file brings whatever it holds.
Filled = Mapping[str, set[str] | None]


def check_customs(
    report: Report,
    tree: Mapping[str, Any],
    kpis: Mapping[str, Kpi],
    sources: Mapping[str, SourceSettings],
    reporting: Reporting,
) -> None:
    """Note every custom column of `[kpi]` and `[dimension]` that no source fills: misspelt it is a mistake."""
    if not sources or set(sources) != set(tree["source"]):
        return  # of a source with a mistake nobody knows what it fills
    language, filled = Language(reporting), filled_by(sources)
    named: list[tuple[KeyPath, str, Any]] = []
    for name, table in _tables(tree, "kpi"):
        if name in kpis and (of := kpis[name].of) is not None:
            action = table.get("action")
            is_elsewhere = isinstance(action, Mapping) and "kpi" in action  # the rows of another KPI
            named.append((("kpi", name), of, {**table, "action": {}} if is_elsewhere else table))
    for name, table in _tables(tree, "dimension"):
        named += [(("dimension", name, of), of, column) for of, column in table.items()]
    for place, of, written in named:
        if (relation := language.relation(of)) is not None:
            for path, said, mend, is_misspelt in unfilled(written, relation, language, filled):
                (report.problem if is_misspelt else report.warning)((*place, *path), said, mend)


def _tables(tree: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
    tables = tree.get(section)
    found = tables.items() if isinstance(tables, Mapping) else ()
    return [(name, table) for name, table in found if isinstance(table, Mapping)]


def filled_by(sources: Mapping[str, SourceSettings]) -> Filled:
    """The custom columns the sources fill, by table."""
    found: dict[str, set[str] | None] = {}

    def add(table: str, names: Any) -> None:
        known = found.setdefault(table, set())
        found[table] = None if known is None or names is None else known | {n.removeprefix("custom.") for n in names}

    for settings in sources.values():
        if isinstance(settings, FilesSettings):
            for entry in settings.table:
                add(entry.table, None if entry.extra == "*" else entry.extra)
        else:
            for table, columns in settings.fields.items():
                add(table, columns)
    return found


def unfilled(
    written: Any, relation: Relation, language: Language, filled: Filled
) -> Iterator[tuple[KeyPath, str, str, bool]]:
    """The custom columns named in a table of the file that nobody fills: (path in it, what, mend, is it misspelt)."""
    for path, name in _texts(written, ()):
        said = _NAMED.fullmatch(name)
        table = _table(relation, language, said[1]) if said is not None else None
        if said is None or table is None or (known := filled.get(table, set())) is None or said[2] in known:
            continue
        meant = near(said[2], tuple(sorted(known)))
        mend = meant.replace("mean ", f"mean {name.removesuffix(said[2])}")
        other = f'Map it: [source.NAME.fields.{table}] {said[2]} = "THEIRS", or name it under extra of a file.'
        yield path, f"no source fills custom.{said[2]} of {table}", mend or other, bool(meant)


def _table(relation: Relation, language: Language, head: str | None) -> str | None:
    """The table a custom column stands in."""
    if head is None:
        return relation.base or relation.needs_table or None
    reference = language.references(relation).get(head)
    return reference[0] if reference is not None else None


def _texts(node: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every key and every text of a table with its place."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield (*path, key), key
            yield from _texts(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, (*path, index))
