"""Writes a source's records, deletions and merges into the canonical tables; knows nothing of streams or time.

A row is written only when something in it really differs and what arrives is not older than what is stored (or was
asked for by its id), so that reading a page twice changes nothing. Callers hold the transaction.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import orjson

from connectors.base import Children, Merge, Record, Reject, Tombstone
from syncagent.errors import StoreError
from syncagent.schema import COMMON, TABLES, column_types

#: Columns set here for every row, whatever the record holds.
_OURS = ("id", "source", "source_name", "source_instance", "first_seen_at", "synced_at")
#: What a live record says by not saying it: it is not deleted (an undelete needs no word of its own).
_LIVE: Mapping[str, int | None] = {"is_deleted": 0, "deleted_at": None}
#: What the vendor's own answer about this very id says besides: it was merged into nothing.
_CERTAIN: Mapping[str, int | None] = {**_LIVE, "merged_into": None}
_MAX_INTEGER = 2**63 - 1
#: Ids in one question to SQLite.
_CHUNK = 1000
#: Rows of one statement: what a statement costs beside its rows is a fifth of the whole.
_AT_ONCE = 50

# Python's driver seeks a way to adapt each None, as of no other plain value: told one in C, it is twice as quick.
_NOTHING: dict[None, None] = {}
sqlite3.register_adapter(type(None), _NOTHING.get)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records come from: NAME of `[source.NAME]`, the CRM, and the account reached."""

    name: str
    crm: str
    instance: str


def record_id(source_name: str, table: str, source_id: str) -> str:
    """The primary key of a row: `NAME:table:source_id`."""
    return f"{source_name}:{table}:{source_id}"


def write_records(
    conn: sqlite3.Connection,
    origin: Origin,
    table: str,
    records: Sequence[Record],
    *,
    synced_at: str,
    is_certain: bool = False,
) -> tuple[int, list[Reject]]:
    """Insert or update records; how many rows really changed, and the records that cannot be stored.

    Keys a record lacks leave what is stored untouched. `is_certain`: the vendor was asked for these very ids, so they
    are as they came, though of an older version (put back from a copy), and live and stand for themselves whatever was
    known before; what comes from a list or an index may lag.
    """
    changed = 0
    rejects: list[Reject] = []
    live = tuple((_CERTAIN if is_certain else _LIVE).items())
    for keys, group in _by_keys(records):
        # An index that lags may still show a row the vendor has deleted since; an undelete is a newer version.
        # A file that shows a row again means it, whatever its date says.
        guards = () if is_certain else ("age",) if origin.crm == "files" else ("age", "deletes")
        upsert = partial(_statement, table, keys, live, guards)
        shared = (origin.crm, origin.name, origin.instance, synced_at, record_id(origin.name, table, ""))
        rows = _rows(origin, table, keys, group)
        begun = len(rows) - len(rows) % _AT_ONCE
        blocks = (rows[at : at + _AT_ONCE] for at in range(0, begun, _AT_ONCE))
        try:
            if begun:
                several = ((*shared, *chain.from_iterable(block)) for block in blocks)
                changed += conn.executemany(upsert(_AT_ONCE), several).rowcount
            changed += conn.executemany(upsert(1), [(*shared, *row) for row in rows[begun:]]).rowcount
        except (UnicodeEncodeError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError):
            # One bad value among them: write one by one (repeating an upsert is harmless), cleaning as we go.
            more, refused = _write_singly(conn, table, upsert(1), shared, rows, group)
            changed += more
            rejects += refused
        except sqlite3.ProgrammingError as error:  # a list or an object where a plain value belongs
            more, refused = _write_singly(conn, table, upsert(1), shared, rows, group)
            if not refused:
                raise StoreError(f"{table}: {error}", place=origin.name) from error
            changed += more
            rejects += refused
    if table == "users" and records:
        _note_leavers(conn, origin, synced_at)
    return changed, rejects


def write_tombstones(
    conn: sqlite3.Connection, origin: Origin, tombstones: Iterable[Tombstone], *, synced_at: str
) -> int:
    """Mark rows as deleted, making a bare row for one never seen; how many were not so marked before.

    The bare row matters: a copy of it in another CRM that names this record must go out of every figure with it
    (docs/definitions.md).
    """
    deleted = 0
    for tombstone in tombstones:
        _known_table(tombstone.table, origin)
        deleted += conn.execute(
            f"""INSERT INTO {tombstone.table}
                    (id, source, source_name, source_instance, source_id, first_seen_at, synced_at, is_deleted,
                     deleted_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)
                ON CONFLICT (id) DO UPDATE SET is_deleted = 1, synced_at = excluded.synced_at,
                    deleted_at = coalesce(excluded.deleted_at, deleted_at)
                WHERE is_deleted = 0 OR deleted_at IS NOT coalesce(excluded.deleted_at, deleted_at)""",
            (
                record_id(origin.name, tombstone.table, tombstone.source_id),
                origin.crm,
                origin.name,
                origin.instance,
                tombstone.source_id,
                synced_at,
                synced_at,
                tombstone.deleted_at,
            ),
        ).rowcount
    return deleted


def write_merges(conn: sqlite3.Connection, origin: Origin, merges: Iterable[Merge], *, synced_at: str) -> int:
    """Point each merged-away row at its survivor, making a bare row for one never seen; how many changed."""
    changed = 0
    for merge in merges:
        _known_table(merge.table, origin)
        changed += conn.execute(
            f"""INSERT INTO {merge.table}
                    (id, source, source_name, source_instance, source_id, first_seen_at, synced_at, merged_into)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET merged_into = excluded.merged_into, synced_at = excluded.synced_at
                WHERE merged_into IS NOT excluded.merged_into""",
            (
                record_id(origin.name, merge.table, merge.source_id),
                origin.crm,
                origin.name,
                origin.instance,
                merge.source_id,
                synced_at,
                synced_at,
                record_id(origin.name, merge.table, merge.into),
            ),
        ).rowcount
    return changed


def write_children(
    conn: sqlite3.Connection,
    origin: Origin,
    children: Iterable[Children],
    records: Mapping[str, Sequence[Record]],
    *,
    synced_at: str,
) -> int:
    """Mark the rows of these parents that the page (`records`) does not hold as deleted; how many were not before.

    Since when is not known: no deleted_at, so that a row seen again is simply there again.
    """
    deleted = 0
    for one in children:
        _known_table(one.table, origin)
        unknown = [name for name in (one.parent, *one.where) if name not in _types(one.table)]
        if unknown:
            what = f"{one.table} has no column {', '.join(unknown)}"
            raise StoreError(what, place=origin.name, mend="This is a mistake in the connector.")
        parents = TABLES[one.table].references.get(one.parent)
        held = {record_id(origin.name, one.table, record["source_id"]) for record in records.get(one.table, ())}
        for start in range(0, len(one.ids), _CHUNK):
            part = one.ids[start : start + _CHUNK]
            ids = part if parents is None else [record_id(origin.name, parents, id_) for id_ in part]
            only = "".join(f" AND {column} = ?" for column in one.where)
            found = conn.execute(
                f"""SELECT id FROM {one.table} WHERE is_deleted = 0 AND source_name = ?
                    AND {one.parent} IN (SELECT value FROM json_each(?)){only}""",
                (origin.name, orjson.dumps(ids).decode(), *one.where.values()),
            )
            gone = [(synced_at, row[0]) for row in found if row[0] not in held]
            if gone:
                conn.executemany(
                    f"UPDATE {one.table} SET is_deleted = 1, deleted_at = NULL, synced_at = ? WHERE id = ?", gone
                )
            deleted += len(gone)
    return deleted


# --- records to rows --------------------------------------------------------------------------------------------


def _by_keys(records: Sequence[Record]) -> list[tuple[tuple[str, ...], Sequence[Record]]]:
    """Records that have the same keys together, in the order they came; nearly always a single group."""
    if not records:
        return []
    first = tuple(records[0])
    if all(map(first.__eq__, map(tuple, records))):
        return [(first, records)]
    groups: dict[frozenset[str], list[Record]] = {}
    for record in records:
        groups.setdefault(frozenset(record), []).append(record)
    return [(tuple(sorted(keys)), group) for keys, group in groups.items()]


def _rows(origin: Origin, table: str, keys: tuple[str, ...], records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """The values of each record, in the order of the question marks of its statement."""
    to_row = _compiled(origin.name, origin.crm, origin.instance, table, keys)
    rows = [to_row(record) for record in records]
    if table == "activity_links" and "object" in keys and "object_id" in keys:
        given = _parameters(keys)
        rows = _prefix_links(origin, rows, given.index("object"), given.index("object_id"))
    return rows


@lru_cache(maxsize=256)
def _compiled(
    name: str, crm: str, instance: str, table: str, keys: tuple[str, ...]
) -> Callable[[Record], tuple[Any, ...]]:
    """A function from a record with exactly these keys to the values that differ from row to row.

    One expression made for the purpose: half the time of a loop over the columns.
    """
    references, flags = _references(table), _flags(table)
    parts = []
    for key in _parameters(keys):
        value = f"r[{key!r}]"
        if key in ("source", "source_instance"):
            parts.append(f"{value} or {(crm if key == 'source' else instance)!r}")
        elif key in references:
            parts.append(f"None if (v := {value}) is None else {f'{name}:{references[key]}:'!r} + v")
        elif key in flags:
            parts.append(f"0 if (v := {value}) is None else v")
        elif key == "custom":
            parts.append(f"None if (v := {value}) is None else _json(v)")
        else:
            parts.append(value)
    # Built from our own words; what is not ours is in it only as literals made by repr.
    made: Callable[[Record], tuple[Any, ...]] = eval(f"lambda r: ({', '.join(parts)},)", {"_json": _json})  # noqa: S307
    return made


def _prefix_links(origin: Origin, rows: Iterable[tuple[Any, ...]], at_object: int, at_id: int) -> list[tuple[Any, ...]]:
    """An activity may be linked to a row of any table: the table is named beside the id."""
    return [
        row if row[at_id] is None else (*row[:at_id], f"{origin.name}:{row[at_object]}:{row[at_id]}", *row[at_id + 1 :])
        for row in rows
    ]


def _given(keys: tuple[str, ...]) -> list[str]:
    """The record's own columns among `keys`."""
    return [key for key in keys if key not in _OURS]


def _parameters(keys: tuple[str, ...]) -> list[str]:
    """The columns whose values come from the record itself; all others are the same for every row of a page."""
    return [*(key for key in ("source", "source_instance") if key in keys), *_given(keys)]


@lru_cache(maxsize=256)
def _statement(
    table: str, keys: tuple[str, ...], live: tuple[tuple[str, int | None], ...], guards: tuple[str, ...], rows: int
) -> str:
    """The upsert of so many records with exactly these keys, and the columns of `live` they do not have.

    Its parameters: CRM, source, account, now, what an id begins with; then the values of each row.
    """
    types = _types(table)
    unknown = [key for key in keys if key not in types]
    if unknown or "source_id" not in keys:
        what = f"unknown columns {', '.join(sorted(unknown))}" if unknown else "no source_id"
        raise StoreError(f"a record for {table} has {what}", mend="This is a mistake in the connector.")
    given, parameters = _given(keys), _parameters(keys)
    shared = {"source": "?1", "source_name": "?2", "source_instance": "?3", "first_seen_at": "?4", "synced_at": "?4"}
    shared |= {column: "NULL" if value is None else str(value) for column, value in live if column not in given}
    shared = {column: value for column, value in shared.items() if column not in parameters}
    columns = ["id", *parameters, *shared]
    # SQLite's own limit of parameters is far above this many rows of our widest table.
    first = range(6, 6 + rows * len(parameters), len(parameters))
    own = parameters.index("source_id")
    values = [
        ", ".join([f"?5 || ?{at + own}", *(f"?{at + place}" for place in range(len(parameters))), *shared.values()])
        for at in first
    ]
    # first_seen_at stays; synced_at moves only when something else does.
    compared = [column for column in columns if column not in ("id", "first_seen_at", "synced_at")]
    conditions = [f"({', '.join(f't.{c}' for c in compared)}) IS NOT ({', '.join(f'excluded.{c}' for c in compared)})"]
    if "updated_at" in given and "age" in guards:
        conditions.append(
            "(t.updated_at IS NULL OR excluded.updated_at IS NULL OR excluded.updated_at >= t.updated_at)"
        )
        if "deletes" in guards and "is_deleted" not in given:
            conditions.append("(t.is_deleted = 0 OR t.deleted_at IS NULL OR excluded.updated_at >= t.deleted_at)")
    return f"""INSERT INTO {table} AS t ({", ".join(columns)})
        VALUES ({"), (".join(values)})
        ON CONFLICT (id) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in (*compared, "synced_at"))}
        WHERE {" AND ".join(conditions)}"""


@lru_cache(maxsize=64)
def _types(table: str) -> Mapping[str, str]:
    return column_types(table) if table in TABLES else {}


@lru_cache(maxsize=64)
def _references(table: str) -> Mapping[str, str]:
    return {**TABLES[table].references, "merged_into": table}


@lru_cache(maxsize=64)
def _flags(table: str) -> tuple[str, ...]:
    return (*(column for column, kind in COMMON.items() if kind == "boolean"), *TABLES[table].flags)


def _known_table(table: str, origin: Origin) -> None:
    if table not in TABLES:
        raise StoreError(f"there is no table {table}", place=origin.name, mend="This is a mistake in the connector.")


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


# --- values SQLite cannot take ----------------------------------------------------------------------------------


def _write_singly(
    conn: sqlite3.Connection,
    table: str,
    statement: str,
    shared: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    records: Sequence[Record],
) -> tuple[int, list[Reject]]:
    changed, rejects = 0, []
    for row, record in zip(rows, records, strict=True):
        try:
            changed += conn.execute(statement, [*shared, *map(_storable, row)]).rowcount
        except (
            ValueError,
            OverflowError,
            sqlite3.DataError,
            sqlite3.InterfaceError,
            sqlite3.ProgrammingError,
        ) as error:
            rejects.append(Reject(f"{table} {record.get('source_id')}", f"cannot be stored: {error}", repr(record)))
    return changed, rejects


def _storable(value: Any) -> Any:
    """The value as SQLite can hold it: lone surrogates replaced; ValueError where that would change its meaning."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise ValueError("a whole number beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (dict, list, tuple)):
        raise ValueError("a list or an object where a plain value belongs")
    return value


def _note_leavers(conn: sqlite3.Connection, origin: Origin, now: str) -> None:
    """CRMs do not say since when a user is inactive; the first time we see it is the best there is."""
    conn.execute(
        """UPDATE users SET first_seen_inactive_at = CASE WHEN is_active = 0 THEN ? END
           WHERE source_name = ? AND ((is_active = 0 AND first_seen_inactive_at IS NULL)
                                   OR (is_active = 1 AND first_seen_inactive_at IS NOT NULL))""",
        (now, origin.name),
    )
