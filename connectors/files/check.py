"""What is wrong with a files source that can be told from the settings alone, all of it at once."""

from collections.abc import Iterator, Mapping

from connectors.files import exports
from connectors.files.mapping import OWN, TableShape, Target, resolve
from connectors.files.settings import FilesSettings, FilesTable
from connectors.settings import nearest

#: Where in the settings, what is wrong, and what to do about it.
Problem = tuple[tuple[str | int, ...], str, str]


def check_tables(
    settings: FilesSettings, columns: Mapping[str, Mapping[str, str]], tables: Mapping[str, TableShape]
) -> list[Problem]:
    """Compare every entry with our tables: names of tables and columns, ids, and values of closed lists."""
    problems: list[Problem] = []
    for place, entry in enumerate(settings.table):
        at: tuple[str | int, ...] = ("table", place)
        if entry.table not in columns:
            mend = nearest(entry.table, list(columns)).strip() or f"Tables: {', '.join(columns)}."
            problems.append(((*at, "table"), f'there is no table "{entry.table}"', mend))
            continue
        target = Target(entry.table, columns[entry.table], tables[entry.table], "", "UTC")
        problems += _columns(at, entry, target)
        problems += _values((*at, "values"), entry.values, entry, target)
    for table, maps in settings.values.items():
        if table in columns:
            target = Target(table, columns[table], tables[table], "", "UTC")
            for name, values in maps.items():
                problems += _closed_list(("values", table, name), name, values, target)
    return problems


def _columns(at: tuple[str | int, ...], entry: FilesTable, target: Target) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in entry.columns:
        column = resolve(name, target)
        if name in OWN:
            yield (*at, "columns", name), f"{name} is written by the agent itself", "Take it out."
        elif column is None and name not in entry.extra_types:
            near = nearest(name, list(target.columns)).strip()
            mend = f"{near} To keep it as custom.{name}, name it under extra too.".strip()
            yield (*at, "columns", name), f"{target.name} has no column {name}", mend
        elif column is not None and seen.setdefault(column, name) != name:
            yield (*at, "columns", name), f"{seen[column]} and {name} are the same column", "Keep one of them."
    has_id = target.shape.is_event or bool({"source_id", "id"} & entry.columns.keys())
    if entry.columns and not has_id and not _may_be_export(entry):
        yield (
            (*at, "columns"),
            f"nothing says what identifies a row of {target.name}",
            'Map source_id = "their id column".',
        )


def _values(
    at: tuple[str | int, ...], maps: Mapping[str, Mapping[str, object]], entry: FilesTable, target: Target
) -> Iterator[Problem]:
    for name, values in maps.items():
        is_read = (
            not entry.columns
            or name in entry.columns
            or name in entry.extra_types
            or entry.extra == "*"
            or _may_be_export(entry)
        )
        if not is_read:
            near = nearest(name, [*entry.columns, *entry.extra_types]).strip()
            yield (*at, name), f"{name} is in neither columns nor extra", near or "Map it there, or take it out."
        yield from _closed_list((*at, name), name, values, target)


def _closed_list(
    at: tuple[str | int, ...], name: str, values: Mapping[str, object], target: Target
) -> Iterator[Problem]:
    allowed = target.shape.choices.get(name, ())
    for theirs, ours in values.items() if allowed else ():
        if str(ours) not in allowed:
            yield (*at, theirs), f'{name} cannot be "{ours}"', f"It is one of {', '.join(allowed)}."


def _may_be_export(entry: FilesTable) -> bool:
    """Whether what is mapped may override single columns of an export that is recognised by its header."""
    if entry.export == "none":
        return False
    return entry.export != "auto" or exports.may_be_export(entry.table, list(entry.columns.values()))
