"""Which answers of the row statement may be kept, and for how long they say the same.

Of a complete period an answer changes with three things alone: the statement, the rows it reads, and as_of. The
statement itself is the key, and with it the code that asks, so that no setting, definition or rate can be forgotten,
and nothing another release said is taken for what this one would say. The rows are told by the tables it
names: one whose rows are placed by a stored column of theirs changes a day at a time, any other as a whole. And as_of
matters where it passes what a row compares with it: `bounds` are the as_of's between which none is passed.

An answer is kept only where all of this can be told from the statement; whoever keeps it is told by `Keeper`.
"""

import hashlib
import json
import re
import sqlite3
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol

from scorecards.code import code_hash
from scorecards.compiler import KNOWN, Rows
from scorecards.definition import Reporting
from scorecards.facts import FACTS, Fact
from scorecards.periods import Slice
from scorecards.tally import Tally

#: The code that answers: its functions and tallies, and the form they are kept in, may be others tomorrow.
CODE = code_hash("scorecards")
#: The bound values that say when the question is asked.
OF_AS_OF = ("as_of", "today", "known_at", "known_day")
_WORD = re.compile(r"\w+")
#: The functions that look up exchange rates (scorecards.functions).
_RATES = re.compile(r"\b(rate|major)\(")
#: What a statement says of as_of outright, and the one form of it that can be read: a column of a table's row before
#: as_of, or not, as a condition of its own, so that neither side is part of a sum. And the names rows go by.
_OUTRIGHT = re.compile(r":(?:as_of|today)\b")
_COMPARED = re.compile(
    r"(?:^|[(,]|\b(?:WHERE|AND|OR|NOT|ON|WHEN|THEN|ELSE|SELECT)\b)\s*\+?"
    r"\b(\w+)\.(\w+) (?:<|>=) (:as_of|:today|stamp\(:as_of\))"
    r"(?=\s*(?:$|[),]|(?:AND|OR|WHEN|THEN|ELSE|END|GROUP|ORDER|LIMIT|UNION)\b))"
)
_ALIASES = re.compile(r"\b(?:FROM|JOIN) (\w+) (?:AS )?(\w+)")
_READ = re.compile(r"\b(?:FROM|JOIN) (\w+)")
#: By kind of turn, what it is compared with.
_LIMITS = {"at": ":known_at", "text": "stamp(:known_at)", "day": ":known_day"}
#: Answers with more single values than this are not kept.
_MOST_VALUES = 400_000

#: By kind of turn, (last passed, first not passed): the answer is the same for every as_of after the one and up to
#: the other. None: there is no such turn.
Bounds = Mapping[str, tuple[Any, Any]]


class Keeper(Protocol):
    """What keeps answers. It may forget any at any time; the one it gives is the one that would be computed."""

    def kept(self, rows: Rows, slice_: Slice, form: str) -> bytes | None:
        """The answer to a form of question about a slice's rows."""

    def keep(self, rows: Rows, slice_: Slice, form: str, said: bytes) -> None:
        """Told of an answer that was computed."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """The tables an answer rests on: those it changes with as a whole, and the one that changes a day at a time."""

    tables: frozenset[str]
    source: str = ""
    axis: str = ""
    #: The table of the records behind the source's rows: its changes show in the source, once they are followed.
    followed: str = ""


def grounds(rows: Rows, tables: Collection[str], unwatched: Collection[str]) -> Grounds | None:
    """What the statement rests on; None where that cannot be told.

    `tables` are those whose changes are noted, `unwatched` all others there are.
    """
    if rows.rests is None or not is_told(rows):
        return None
    words = _WORD.findall(rows.sql)
    named = set(words)
    if _RATES.search(rows.sql):
        named.add("fx_rates")
    if named & set(unwatched):
        return None
    found = named & set(tables)
    source, base = rows.rests.source, rows.rests.base
    fact = next((fact for fact in FACTS.values() if fact.name == source), None)
    if fact is None or words.count(source) != 1 or not _is_told_by_day(fact, rows.rests.axis):
        return Grounds(frozenset(found))
    found.discard(source)
    # Every change of a record has the fact rows of that record derived anew, which tells their days.
    is_followed = fact.kind == base and fact.unit == "id" and "id" in fact.follows.get(base, ())
    if base is not None and is_followed and words.count(base) == 1:
        found.discard(base)
        return Grounds(frozenset(found), source, rows.rests.axis, base)
    return Grounds(frozenset(found), source, rows.rests.axis)


def is_told(rows: Rows) -> bool:
    """Does the statement say how its rows compare with as_of? Without that an answer says nothing of another one."""
    return rows.rests is not None and ":known" not in rows.rests.among and beside(rows.sql) is not None


def may_be_kept(rows: Rows, reporting: Reporting) -> bool:
    """Would a keeper take answers of the statement? The same with and without one: it says how much may be asked."""
    return is_told(rows) and watched(reporting).issuperset(_READ.findall(rows.sql))


def watched(reporting: Reporting) -> frozenset[str]:
    """The tables whose changes a keeper notes: the canonical ones, who stands for whom, and facts."""
    return frozenset((*reporting.tables, "aliases", *(fact.name for fact in FACTS.values())))


@lru_cache(maxsize=4096)
def beside(sql: str) -> tuple[tuple[str, str, str], ...] | None:
    """What of rows beside its own a statement compares with as_of, outright: (kind of turn, table, column).

    None where it says :as_of or :today in any other way than `alias.column < :as_of` or `>=`, of a table's alias, and
    as a condition that stands alone: of `alias.column < :as_of - 60` the turn is another.
    """
    found = _COMPARED.findall(sql)
    if len(found) != len(_OUTRIGHT.findall(sql)):
        return None
    tables: dict[str, set[str]] = {}
    for table, alias in _ALIASES.findall(sql):
        tables.setdefault(alias, set()).add(table)
    kinds = {":as_of": "at", ":today": "day"}
    named = {
        (kinds.get(limit, "text"), table, column) for alias, column, limit in found for table in tables.get(alias, ())
    }
    return tuple(sorted(named)) if all(alias in tables for alias, _, _ in found) else None


def _is_told_by_day(fact: Fact, axis: str) -> bool:
    return axis in fact.anchors or (axis == KNOWN and KNOWN in fact.columns)


def stretch(rows: Rows, slice_: Slice) -> tuple[Any, Any]:
    """The places on the axis whose rows the slice may hold, both ends included: dates, or days since 1970 in UTC."""
    assert rows.rests is not None  # the caller has its grounds
    if rows.rests.axis == KNOWN:
        return -(10**9), place(slice_.at)
    if rows.rests.is_date:
        return slice_.day_start.isoformat(), slice_.day_end.isoformat()
    return place(slice_.since), place(slice_.until)


def place(moment: int) -> int:
    return moment // 86400


def key(rows: Rows, slice_: Slice, form: str, reporting: Reporting) -> bytes:
    """What tells the question from every other one. as_of has no part in it: that is what `bounds` are for."""
    values = {name: value for name, value in rows.of(slice_).items() if not name.startswith(OF_AS_OF)}
    shape = (rows.reasons, rows.split, rows.rated, rows.inner, rows.keyed)
    settings = (reporting.timezone, reporting.currency, _opening(reporting))
    said = (CODE, rows.sql, sorted(values.items()), repr(slice_), form, shape, settings)
    return hashlib.sha256(repr(said).encode()).digest()


def _opening(reporting: Reporting) -> list[Any]:
    """When anybody works, in an order that is the same in every process."""
    calendars = [("", reporting.hours), *sorted(reporting.calendars.items())]
    return [(team, sorted(of.weekly.items()), sorted(of.holidays), of.timezone) for team, of in calendars]


def bounds(conn: sqlite3.Connection, rows: Rows, slice_: Slice) -> Bounds:
    """Between which as_of's nothing the slice's rows compare with it is passed."""
    assert rows.rests is not None  # the caller has its grounds
    asked = [(kind, turn) for kind, turns in rows.rests.turns.items() for turn in turns]
    return _passed(conn, asked, rows.rests.among, rows.of(slice_))


def bounds_beside(conn: sqlite3.Connection, kind: str, table: str, column: str, values: Mapping[str, Any]) -> Bounds:
    """The same of a column of all rows of a table, as of the as_of in `values`."""
    if not _is_indexed(conn, table, column):
        return _passed(conn, [(kind, column)], f"FROM {table}", values)
    # Either end is the first that an index comes upon, where both at once would read all of it.
    wanted = f"(SELECT MAX({column}) {{0}} < {_LIMITS[kind]}), (SELECT MIN({column}) {{0}} >= {_LIMITS[kind]})"
    low, high = conn.execute(f"SELECT {wanted.format(f'FROM {table} WHERE {column}')}", values).fetchone()
    return {kind: (low, high)}


def _is_indexed(conn: sqlite3.Connection, table: str, column: str) -> bool:
    """Does an index of all rows of a table begin with a column?"""
    of_all = "SELECT name FROM pragma_index_list(?) WHERE partial = 0"
    return any(
        conn.execute("SELECT name FROM pragma_index_info(?) WHERE seqno = 0", (name,)).fetchone()[0] == column
        for (name,) in map(tuple, conn.execute(of_all, (table,)).fetchall())
    )


def narrower(one: Bounds, other: Bounds) -> Bounds:
    """Where both hold."""
    made = dict(one)
    for kind, (low, high) in other.items():
        lows = [x for x in (made.get(kind, (None, None))[0], low) if x is not None]
        highs = [x for x in (made.get(kind, (None, None))[1], high) if x is not None]
        made[kind] = (max(lows, default=None), min(highs, default=None))
    return made


def _passed(
    conn: sqlite3.Connection, asked: Sequence[tuple[str, str]], among: str, values: Mapping[str, Any]
) -> Bounds:
    if not asked:
        return {}
    wanted = ", ".join(
        f"MAX(CASE WHEN {turn} < {limit} THEN {turn} END), MIN(CASE WHEN {turn} >= {limit} THEN {turn} END)"
        for turn, limit in ((turn, _LIMITS[kind]) for kind, turn in asked)
    )
    found = conn.execute(f"SELECT {wanted} {among}", values).fetchone()
    made: Bounds = {}
    for number, (kind, _) in enumerate(asked):
        made = narrower(made, {kind: (found[2 * number], found[2 * number + 1])})
    return made


def holds(said: Bounds, as_of: int, today: str) -> bool:
    """Is as_of one for which the answer is the same?"""
    asked = {"at": as_of, "text": datetime.fromtimestamp(as_of, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "day": today}
    return all(
        (low is None or low < asked[kind]) and (high is None or asked[kind] <= high)
        for kind, (low, high) in said.items()
    )


# -- tallies as bytes -----------------------------------------------------------------------------------------


def packed(parts: Mapping[str, Tally]) -> bytes | None:
    """The tallies of a slice as bytes; None where they are too many, or hold what bytes cannot give back."""
    if sum(len(tally.values or ()) + len(tally.keys) for tally in parts.values()) > _MOST_VALUES:
        return None
    numbers: list[bytes] = []
    heads = {}
    for segment, tally in parts.items():
        head = _head(tally)
        if tally.values is not None:
            values = _as_numbers(tally.values)
            if values is None:
                head["values"] = list(tally.values)
            else:
                head["values"] = {"type": values.typecode, "bytes": values.itemsize * len(values)}
                numbers.append(values.tobytes())
        heads[segment] = head
    head_bytes = as_text(heads)
    if head_bytes is None:
        return None
    return len(head_bytes).to_bytes(4, "big") + head_bytes + b"".join(numbers)


def as_text(said: Any) -> bytes | None:
    """Plain values as JSON; None where JSON would not give them back."""
    try:
        return json.dumps(said, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None


def unpacked(said: bytes) -> dict[str, Tally]:
    length = int.from_bytes(said[:4], "big")
    offset = 4 + length
    found = {}
    for segment, head in json.loads(said[4:offset]).items():
        values = head["values"]
        if isinstance(values, dict):
            numbers = array(values["type"])
            numbers.frombytes(said[offset : offset + values["bytes"]])
            offset += values["bytes"]
            values = numbers.tolist()
        x, x_hit, y = (Decimal(head[name]) for name in ("x", "x_hit", "y"))
        found[segment] = Tally(
            head["n"], head["hits"], x, x_hit, y, head["excluded"], values, set(head["keys"]), head["used"]
        )
    return found


def _head(tally: Tally) -> dict[str, Any]:
    sums = {name: str(getattr(tally, name)) for name in ("x", "x_hit", "y")}
    plain = {name: getattr(tally, name) for name in ("n", "hits", "excluded", "used")}
    return {**plain, **sums, "keys": list(tally.keys), "values": None}


def _as_numbers(values: Sequence[Any]) -> "array[int] | array[float] | None":
    """Numbers of one kind, in order: sorting them again costs next to nothing."""
    kinds = set(map(type, values))
    try:
        if kinds == {int}:
            return array("q", sorted(values))
        if kinds == {float}:
            return array("d", sorted(values))
    except OverflowError:
        pass
    return None
