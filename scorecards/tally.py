"""From the row statement to figures: exact sums, means and quantiles per slice and segment.

Totals are recomputed from rows, never from segments; money is summed in minor units per rate and converted as
Decimal, so the order of rows does not matter.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import floor, fsum
from typing import Any

from scorecards.compiler import Rows
from scorecards.periods import Slice

#: Aggregates that need every value, not just sums.
SINGLY = ("median", "min", "max", "distinct")


@dataclass(slots=True)
class Tally:
    """Sums over one slice (and segment). x, x_hit and y are exact; `values` only where they were asked for."""

    n: int = 0
    hits: int = 0
    x: Decimal = Decimal(0)
    x_hit: Decimal = Decimal(0)
    y: Decimal = Decimal(0)
    excluded: dict[str, int] = field(default_factory=dict)
    values: list[float] | None = None
    keys: set[Any] = field(default_factory=set)  # the different ones it belongs to, of per_distinct
    used: int | None = None  # rows used, where n counts something else: days

    @property
    def rows(self) -> int:
        """Rows seen, used or not."""
        return self.n + sum(self.excluded.values())

    @property
    def coverage(self) -> float | None:
        """Used / (used + left out for want of a value or a rate); None without rows (docs/definitions.md)."""
        used = self.n if self.used is None else self.used
        eligible = used + self.excluded.get("null", 0) + self.excluded.get("no_fx", 0)
        return used / eligible if eligible else None


def needs_values(agg: str) -> bool:
    return agg in SINGLY or agg.startswith("p")


def tallies(conn: sqlite3.Connection, rows: Rows, slices: Sequence[Slice], *, singly: bool) -> list[dict[str, Tally]]:
    """Per slice, the tally of each segment ("" when not split)."""
    if rows.inner:
        return [_per_day(conn, rows, slice_) for slice_ in slices]
    if rows.keyed:
        return [_keyed(conn, rows, rows.of(slice_)) for slice_ in slices]
    read = (_listed if rows.split or rows.rated else _plain) if singly else _grouped
    return [read(conn, rows, rows.of(slice_)) for slice_ in slices]


def _grouped(conn: sqlite3.Connection, rows: Rows, values: Mapping[str, Any]) -> dict[str, Tally]:
    """Sums made in SQL, grouped only by what differs from row to row: most KPIs need no sort at all."""
    keys = [name for name, differs in (("seg", rows.split), ("rate", rows.rated)) if differs]
    used = "why IS NULL" if rows.reasons else "1"
    left_out = "".join(f", SUM(why = '{reason}')" for reason in rows.reasons)
    grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
    statement = (
        f"SELECT {'seg' if rows.split else chr(39) * 2}, MAX(rate), SUM({used}), SUM(CASE WHEN {used} THEN hit END),"
        f" SUM(CASE WHEN {used} THEN x END), SUM(CASE WHEN {used} AND hit THEN x END),"
        f" SUM(CASE WHEN {used} THEN y END){left_out} FROM ({rows.sql}){grouping}"
    )
    found: dict[str, Tally] = {}
    for seg, rate, count, hits, x, x_hit, y, *counts in conn.execute(statement, values):
        if count is None:
            continue  # no row at all
        tally = found.setdefault(seg, Tally())
        factor = Decimal(rate) if rate is not None else Decimal(1)
        tally.n += count
        tally.hits += hits or 0
        tally.x += _exact(x) * factor
        tally.x_hit += _exact(x_hit) * factor
        tally.y += _exact(y) * factor
        for reason, left in zip(rows.reasons, counts, strict=True):
            if left:
                tally.excluded[reason] = tally.excluded.get(reason, 0) + left
    return found


def _listed(conn: sqlite3.Connection, rows: Rows, values: Mapping[str, Any]) -> dict[str, Tally]:
    """Every value, for quantiles: one pass over the rows."""
    found: dict[str, Tally] = {}
    for seg, why, hit, x, rate in conn.execute(f"SELECT seg, why, hit, x, rate FROM ({rows.sql})", values):
        tally = found.get(seg)
        if tally is None:
            tally = found[seg] = Tally(values=[])
        if why is not None:
            tally.excluded[why] = tally.excluded.get(why, 0) + 1
            continue
        tally.n += 1
        tally.hits += hit
        tally.values.append(x if rate is None else float(_exact(x) * Decimal(rate)))  # type: ignore[union-attr]
    for tally in found.values():
        tally.x = _sum(tally.values or [])
    return found


def _plain(conn: sqlite3.Connection, rows: Rows, values: Mapping[str, Any]) -> dict[str, Tally]:
    """The same of rows neither split nor in several currencies: most quantiles, and nothing but the values read."""
    used = f"SELECT x, rate FROM ({rows.sql})" + (" WHERE why IS NULL" if rows.reasons else "")
    read = conn.execute(used, values).fetchall()
    found = [x for x, _ in read]
    if read and read[0][1] is not None:
        factor = Decimal(read[0][1])
        found = [float(_exact(x) * factor) for x in found]
    tally = Tally(n=len(found), hits=len(found), x=_sum(found), values=found)
    if rows.reasons:
        left_out = f"SELECT why, COUNT(*) FROM ({rows.sql}) WHERE why IS NOT NULL GROUP BY why"
        tally.excluded.update(conn.execute(left_out, values).fetchall())
    return {"": tally} if tally.rows else {}


def _keyed(conn: sqlite3.Connection, rows: Rows, values: Mapping[str, Any]) -> dict[str, Tally]:
    """Sums, and the different ones they belong to."""
    found: dict[str, Tally] = {}
    for seg, why, x, rate, key in conn.execute(f"SELECT seg, why, x, rate, key FROM ({rows.sql})", values):
        tally = found.setdefault(seg, Tally())
        if why is not None:
            tally.excluded[why] = tally.excluded.get(why, 0) + 1
            continue
        tally.n += 1
        tally.hits += 1
        tally.x += _exact(x) * (Decimal(rate) if rate is not None else 1)
        tally.keys.add(key)
    return found


def _per_day(conn: sqlite3.Connection, rows: Rows, slice_: Slice) -> dict[str, Tally]:
    """One value a local day of the slice, 0 where it has no rows; n is the number of days."""
    days = max(0, (min(slice_.day_end, slice_.at_day) - slice_.day_start).days)
    held: dict[str, dict[str, list[Any]]] = {}
    excluded: dict[str, dict[str, int]] = {}
    for seg, why, x, rate, day in conn.execute(f"SELECT seg, why, x, rate, day FROM ({rows.sql})", rows.of(slice_)):
        if why is not None:
            counts = excluded.setdefault(seg, {})
            counts[why] = counts.get(why, 0) + 1
            continue
        value = x if rate is None else float(_exact(x) * Decimal(rate))
        held.setdefault(seg, {}).setdefault(day, []).append(value)
    found = {}
    for seg in held.keys() | excluded.keys():
        made = [_of_day(values, rows.inner) for values in held.get(seg, {}).values()]
        made += [0] * (days - len(made))
        used = sum(map(len, held.get(seg, {}).values()))
        left_out = excluded.get(seg, {})
        found[seg] = Tally(n=len(made), hits=len(made), x=_sum(made), values=made, excluded=left_out, used=used)
    return found


def _of_day(values: Sequence[Any], agg: str) -> float:
    if agg == "distinct":
        return len(set(values))
    return len(values) if agg == "count" else float(_sum(values))


def records(
    conn: sqlite3.Connection, rows: Rows, slice_: Slice, *, only: str = "1", order: str = "id", limit: int = -1
) -> Iterator[dict[str, Any]]:
    """The rows of the statement themselves, by column: what lists and explanations are made of."""
    statement = f"SELECT * FROM ({rows.sql}) WHERE {only} ORDER BY {order} LIMIT {limit}"
    cursor = conn.execute(statement, rows.of(slice_))
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _sum(values: Sequence[Any]) -> Decimal:
    """An exact sum of numbers; of texts (what a distinct count looks at) none is made."""
    if not values or isinstance(values[0], str):
        return Decimal(0)
    return _exact(fsum(values) if any(isinstance(v, float) for v in values) else sum(values))


def _exact(value: float | int | None) -> Decimal:
    if value is None:
        return Decimal(0)
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def together(parts: Mapping[str, Tally]) -> Tally:
    """All segments as one."""
    whole = Tally()
    for part in parts.values():
        whole.n += part.n
        whole.hits += part.hits
        whole.x += part.x
        whole.x_hit += part.x_hit
        whole.y += part.y
        for why, count in part.excluded.items():
            whole.excluded[why] = whole.excluded.get(why, 0) + count
        whole.keys |= part.keys
        if part.used is not None:
            whole.used = (whole.used or 0) + part.used
        if part.values is not None:
            whole.values = [*(whole.values or []), *part.values]
    return whole


def aggregate(tally: Tally, agg: str) -> float | int | None:
    """One figure; None where there is nothing to average or rank. Quantiles are type 7 (G8)."""
    if agg == "count":
        return tally.n
    if agg == "sum":
        return number(tally.x)
    if tally.n == 0:
        return 0 if agg == "distinct" else None
    if agg == "avg":
        return float(tally.x / tally.n)
    values = tally.values or []
    if agg == "distinct":
        return len(set(values))
    ordered = sorted(values)
    if agg in ("min", "max"):
        return ordered[0 if agg == "min" else -1]
    return quantile(ordered, 0.5 if agg == "median" else int(agg[1:]) / 100)


def quantile(ordered: Sequence[float], p: float) -> float:
    """Type 7: x[h] + (h - floor h)(x[h + 1] - x[h]) at h = (n - 1) p. Needs at least one value, in order."""
    place = (len(ordered) - 1) * p
    low = floor(place)
    if low + 1 >= len(ordered):
        return ordered[-1]
    return ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])


def number(value: Decimal) -> float | int:
    """A Decimal as JSON has it: whole numbers stay whole."""
    return int(value) if value == value.to_integral_value() else float(value)
