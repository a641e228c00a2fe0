"""Compares what a cache holds with what a sandbox says is true; names every difference in one line.

The core works on plain rows, so that a cache.db and the in-memory cache of connector tests are judged alike.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from syncagent.sandbox.truth import DealStep, SideTruth, TableTruth, Truth, plain_steps
from syncagent.schema import TABLES

Row = dict[str, Any]
#: table -> source id -> columns; references are bare source ids.
Rows = Mapping[str, Mapping[str, Row]]
_LONGEST_CHAIN = 50


def differences(conn: sqlite3.Connection, truth: Truth, source_name: str, crm: str) -> list[str]:
    """Where the rows of one source in a cache.db are not what the CRM ("salesforce", "hubspot") shows."""
    return compare_rows(_load(conn, source_name), truth, crm)


def compare_rows(rows: Rows, truth: Truth, crm: str) -> list[str]:
    """Where rows are not what the CRM shows: table, id, column, what was expected and what was found."""
    found: list[str] = []
    for (name, table), expected in truth.tables.items():
        if name == crm:
            found += _compare_table(rows, table, expected, strict=truth.strict)
    for (name, table), side in truth.sides.items():
        if name == crm:
            found += _compare_side(rows, table, side)
    of_deal = _by_parent(rows, "opportunity_stage_history", "opportunity_id")
    for (name, source_id), steps in truth.deal_history.items():
        if name == crm:
            found += _compare_deal(of_deal.get(source_id, []), source_id, steps)
    of_ticket = _by_parent(rows, "ticket_status_history", "ticket_id")
    for (name, source_id), statuses in truth.status_history.items():
        if name == crm:
            found += _compare_ticket(of_ticket.get(source_id, []), source_id, statuses)
    return found


def _compare_table(rows: Rows, table: str, expected: TableTruth, *, strict: bool) -> Iterator[str]:
    held = rows.get(table, {})
    live = {source_id for source_id, row in held.items() if is_live(row)}
    for source_id in sorted(expected.live - live):
        yield f"{table} {source_id}: expected live, found {_state(held.get(source_id))}"
    for source_id in sorted(live - expected.live):
        if source_id in expected.erased and not strict:
            continue  # nothing has told an incremental sync
        gone = "merged" if source_id in expected.merged else "deleted" if source_id in expected.deleted else "gone"
        yield f"{table} {source_id}: expected {gone}, found live"
    for source_id, columns in expected.rows.items():
        if source_id in live:
            for column, value in columns.items():
                own = _value(held[source_id], table, column)
                if not same(own, value):
                    yield f"{table} {source_id}.{column}: expected {value!r}, found {own!r}"
    for loser, winner in expected.merged.items():
        end = _end_of_chain(held, loser)
        if end != winner:
            yield f"{table} {loser}: expected to be merged into {winner}, found {end or 'nothing'}"


def _compare_side(rows: Rows, table: str, side: SideTruth) -> Iterator[str]:
    held: dict[tuple[Any, ...], list[Row]] = {}
    for source_id, row in sorted(rows.get(table, {}).items()):
        if row.get("is_deleted"):
            continue
        row = {**row, "source_id": source_id}
        if side.parent is not None:
            parent = row.get(side.parent[0])
            if parent in side.unsure or not is_live(rows.get(side.parent[1], {}).get(str(parent), {"is_deleted": 1})):
                continue
        held.setdefault(tuple(row.get(column) for column in side.key), []).append(row)
    for key, columns in side.rows.items():
        if (
            side.parent is not None
            and (columns | dict(zip(side.key, key, strict=True))).get(side.parent[0]) in side.unsure
        ):
            continue
        own = held.pop(key, [])
        if not own:
            yield f"{table} {_name(key)}: expected there, found nothing"
            continue
        latest = max(own, key=lambda row: str(row.get("valid_from") or ""))
        if len(own) > 1 and "valid_from" not in latest:
            yield f"{table} {_name(key)}: expected once, found {len(own)} times"
        for column, value in columns.items():
            if not same(latest.get(column), value):
                yield f"{table} {_name(key)}.{column}: expected {value!r}, found {latest.get(column)!r}"
    if table not in ("stage_defs", "pipelines"):  # there, what was once so may stay
        for key in held:
            yield f"{table} {_name(key)}: expected gone, found there"


def _compare_deal(held: list[Row], source_id: str, expected: tuple[DealStep, ...]) -> Iterator[str]:
    latest: dict[str, Any] = {}
    for row in held:
        columns = ("changed_at", "stage", "state", "amount_minor", "close_date", "currency", "stage_order")
        latest[row["changed_at"]] = tuple(row.get(column) for column in columns)
    has_places = all(step[-1] is not None for step in expected)
    own = plain_steps([step if has_places else (*step[:-1], None) for step in latest.values()])
    if own != expected:
        yield f"opportunity_stage_history of {source_id}: expected {expected}, found {own}"


def _compare_ticket(held: list[Row], source_id: str, expected: tuple[tuple[str, str, str], ...]) -> Iterator[str]:
    latest: dict[str, tuple[str, str, str]] = {}
    for row in held:
        latest[row["changed_at"]] = (row["changed_at"], row["status"], row["status_category"])
    own: list[tuple[str, str, str]] = []
    for step in latest.values():
        if not own or own[-1][1] != step[1]:
            own.append(step)
    if tuple(own) != expected:
        yield f"ticket_status_history of {source_id}: expected {expected}, found {tuple(own)}"


def _by_parent(rows: Rows, table: str, parent: str) -> dict[str, list[Row]]:
    """Each record's history, oldest first."""
    found: dict[str, list[Row]] = {}
    for row in rows.get(table, {}).values():
        if not row.get("is_deleted"):
            found.setdefault(str(row[parent]), []).append(row)
    for own in found.values():
        own.sort(key=lambda row: (row["changed_at"], row["seq"]))
    return found


def is_live(row: Mapping[str, Any]) -> bool:
    return not row.get("is_deleted") and not row.get("merged_into")


def same(one: Any, other: Any) -> bool:
    """Equal; numbers within one part in a billion."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def _value(row: Row, table: str, column: str) -> Any:
    """A column, or with `custom.NAME` an extra field; flags a connector does not set are 0."""
    if column.startswith("custom."):
        custom = row.get("custom") or {}
        custom = json.loads(custom) if isinstance(custom, str) else custom
        return custom.get(column.removeprefix("custom."))
    value = row.get(column)
    return 0 if value is None and column in TABLES[table].flags else value


def _state(row: Row | None) -> str:
    if row is None:
        return "nothing"
    return "deleted" if row.get("is_deleted") else f"merged into {row.get('merged_into')}"


def _end_of_chain(held: Mapping[str, Row], source_id: str) -> str | None:
    """Where a merged row leads in the end; None where it is not merged."""
    end = None
    for _ in range(_LONGEST_CHAIN):
        into = held.get(source_id, {}).get("merged_into")
        if not into:
            break
        source_id = end = into
    return end


def _name(key: tuple[Any, ...]) -> str:
    return " ".join(str(part) for part in key if part is not None)


def _load(conn: sqlite3.Connection, source_name: str) -> dict[str, dict[str, Row]]:
    """Every row of one source, references as the CRM's own ids."""
    loaded: dict[str, dict[str, Row]] = {}
    for table, schema in TABLES.items():
        cursor = conn.execute(f"SELECT * FROM {table} WHERE source_name = ?", (source_name,))
        names = [column[0] for column in cursor.description]
        bare = [name for name in names if name in schema.references or name in ("merged_into", "object_id")]
        own = loaded[table] = {}
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            for name in bare:
                row[name] = _bare(row[name], source_name)
            own[str(row["source_id"])] = row
    return loaded


def _bare(value: Any, source_name: str) -> Any:
    if isinstance(value, str) and value.startswith(f"{source_name}:"):
        return value.split(":", 2)[2]
    return value
