"""Keeps every version of a CRM's stages and pipelines: one that is renamed keeps what it was called before.

A definition that differs from the newest one stored becomes a row of its own, valid from the instant it was seen (no
CRM says since when a label is what it is); callers hold the transaction.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from connectors.base import Record
from scorecards.values import instant
from syncagent.rows import Origin, write_records

Kind = Literal["renamed", "removed", "added", "state", "active", "order"]

#: What a later version's source_id ends with.
_SINCE = re.compile(r"@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")


@dataclass(frozen=True, slots=True)
class _Defined:
    """What one table defines: the column that names it, and the columns that make another version."""

    what: str
    compared: tuple[tuple[str, Kind], ...]


#: The tables of definitions.
DEFINITIONS: Mapping[str, _Defined] = {
    "stage_defs": _Defined("stage", (("label", "renamed"), ("state", "state"), ("stage_order", "order"))),
    "pipelines": _Defined("pipeline", (("label", "renamed"), ("is_active", "active"), ("display_order", "order"))),
}


@dataclass(frozen=True, slots=True)
class DefinitionChange:
    """One thing that changed of one stage or pipeline: `old` and `new` label (renamed, added, removed), state,
    whether it is in use (1 or 0), or place.
    """

    kind: Kind
    object: str
    name: str
    old: str | None = None
    new: str | None = None
    what: str = "stage"


def write_definitions(
    cache: sqlite3.Connection, origin: Origin, table: str, records: Sequence[Record], *, at: datetime
) -> list[DefinitionChange]:
    """Store the definitions of whole objects (`records` are all of each object they name); what changed since.

    The first definitions of an object are no change. One no longer listed has its newest row marked as deleted.
    """
    changes: list[DefinitionChange] = []
    by_object: dict[str, list[Record]] = {}
    for record in records:
        by_object.setdefault(str(record["object"]), []).append(record)
    for name, listed in by_object.items():
        changes += _write_object(cache, origin, table, name, listed, instant(at))
    return changes


def _write_object(
    cache: sqlite3.Connection, origin: Origin, table: str, name: str, listed: Sequence[Record], at: str
) -> list[DefinitionChange]:
    defined = DEFINITIONS[table]
    newest = _newest(cache, origin, table, name)
    changes: list[DefinitionChange] = []

    def note(kind: Kind, own: str, old: Any, new: Any) -> None:
        changes.append(DefinitionChange(kind, name, own, _text(old), _text(new), defined.what))

    written: list[Record] = []
    for record in listed:
        key, own = str(record["source_id"]), str(record.get(defined.what))
        known = newest.get(key)
        if known is None or known["is_deleted"]:
            if newest:
                note("added", own, None, record.get("label"))
            written.append(record if known is None else _version(record, at, known))
            continue
        others = [(column, kind) for column, kind in defined.compared if known[column] != record.get(column)]
        for column, kind in others:
            note(kind, own, known[column], record.get(column))
        if others:
            written.append(_version(record, at, known))
        else:  # what else it says may have changed; since when it holds stays
            same = {column: value for column, value in record.items() if column != "valid_from"}
            if _lies_ahead(known, at) and known["source_id"] != key:
                same["valid_from"] = at
            written.append({**same, "source_id": known["source_id"]})
    write_records(cache, origin, table, written, synced_at=at)
    gone = [row for key, row in newest.items() if not row["is_deleted"] and key not in _keys(listed)]
    for row in gone:
        note("removed", str(row[defined.what]), row["label"], None)
        cache.execute(
            f"UPDATE {table} SET is_deleted = 1, deleted_at = ?1, synced_at = ?1 WHERE id = ?2", (at, row["id"])
        )
    return changes


def _newest(cache: sqlite3.Connection, origin: Origin, table: str, name: str) -> dict[str, dict[str, Any]]:
    """The newest stored version of each definition of an object, by the source_id of its first."""
    defined = DEFINITIONS[table]
    own = (defined.what, *(column for column, _ in defined.compared))
    columns = ("id", "source_id", *own, "is_deleted", "valid_from")
    rows = cache.execute(
        f"""SELECT {", ".join(columns)} FROM {table} WHERE id >= ? AND id < ? AND object = ?
            ORDER BY coalesce(valid_from, ''), source_id""",
        (f"{origin.name}:{table}:", f"{origin.name}:{table};", name),
    )
    return {_SINCE.sub("", str(row[1])): dict(zip(columns, row, strict=True)) for row in rows}


def _version(record: Record, at: str, known: dict[str, Any]) -> Record:
    """The next version of `known`; in its place where that was to hold from later on (a clock since set back)."""
    own = known["source_id"] if _lies_ahead(known, at) else f"{record['source_id']}@{at}"
    return {**record, "source_id": own, "valid_from": at}


def _lies_ahead(known: dict[str, Any], at: str) -> bool:
    return str(known["valid_from"] or "") >= at


def _keys(listed: Sequence[Record]) -> set[str]:
    return {str(record["source_id"]) for record in listed}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
