"""Keeps every version of a CRM's stage definitions: a stage that is renamed keeps what it was called before.

A definition that differs from the newest one stored becomes a row of its own, valid from the instant it was seen (no
CRM says since when a label is what it is); callers hold the transaction.
"""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from connectors.base import Record
from scorecards.values import instant
from syncagent.rows import Origin, write_records

Kind = Literal["renamed", "removed", "added", "state", "order"]

#: What a later version's source_id ends with.
_SINCE = re.compile(r"@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
_COMPARED: tuple[tuple[str, Kind], ...] = (("label", "renamed"), ("state", "state"), ("stage_order", "order"))


@dataclass(frozen=True, slots=True)
class StageChange:
    """One thing that changed of one stage: `old` and `new` label (renamed, added, removed), state or place."""

    kind: Kind
    object: str
    stage: str
    old: str | None = None
    new: str | None = None


def write_stage_defs(
    cache: sqlite3.Connection, origin: Origin, records: Sequence[Record], *, at: datetime
) -> list[StageChange]:
    """Store the definitions of whole objects (`records` are all of each object they name); what changed since.

    The first definitions of an object are no change. A stage no longer listed has its newest row marked as deleted.
    """
    changes: list[StageChange] = []
    by_object: dict[str, list[Record]] = {}
    for record in records:
        by_object.setdefault(str(record["object"]), []).append(record)
    for name, listed in by_object.items():
        changes += _write_object(cache, origin, name, listed, instant(at))
    return changes


def _write_object(
    cache: sqlite3.Connection, origin: Origin, name: str, listed: Sequence[Record], at: str
) -> list[StageChange]:
    newest = _newest(cache, origin, name)
    changes: list[StageChange] = []
    written: list[Record] = []
    for record in listed:
        key, stage = str(record["source_id"]), str(record.get("stage"))
        known = newest.get(key)
        if known is None or known["is_deleted"]:
            if newest:
                changes.append(StageChange("added", name, stage, None, _text(record.get("label"))))
            written.append(record if known is None else _version(record, at, known))
            continue
        found = [
            StageChange(kind, name, stage, _text(known[column]), _text(record.get(column)))
            for column, kind in _COMPARED
            if known[column] != record.get(column)
        ]
        changes += found
        if found:
            written.append(_version(record, at, known))
        else:  # what else it says may have changed; since when it holds stays
            same = {column: value for column, value in record.items() if column != "valid_from"}
            if _lies_ahead(known, at) and known["source_id"] != key:
                same["valid_from"] = at
            written.append({**same, "source_id": known["source_id"]})
    write_records(cache, origin, "stage_defs", written, synced_at=at)
    gone = [row for key, row in newest.items() if not row["is_deleted"] and key not in _keys(listed)]
    for row in gone:
        changes.append(StageChange("removed", name, str(row["stage"]), _text(row["label"]), None))
        cache.execute(
            "UPDATE stage_defs SET is_deleted = 1, deleted_at = ?1, synced_at = ?1 WHERE id = ?2", (at, row["id"])
        )
    return changes


def _newest(cache: sqlite3.Connection, origin: Origin, name: str) -> dict[str, dict[str, Any]]:
    """The newest stored version of each stage of an object, by the source_id of its first."""
    columns = ("id", "source_id", "stage", "label", "stage_order", "state", "is_deleted", "valid_from")
    rows = cache.execute(
        f"""SELECT {", ".join(columns)} FROM stage_defs WHERE id >= ? AND id < ? AND object = ?
            ORDER BY coalesce(valid_from, ''), source_id""",
        (f"{origin.name}:stage_defs:", f"{origin.name}:stage_defs;", name),
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
