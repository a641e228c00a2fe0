"""From the row statement to figures: exact sums, means and quantiles per slice and segment.

Totals are recomputed from rows, never from segments; money is summed in minor units per rate and converted as
Decimal, so the order of rows does not matter.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import floor

from scorecards.compiler import Rows

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
    excluded_hits: dict[str, int] = field(default_factory=dict)
    values: list[float] | None = None

    @property
    def rows(self) -> int:
        """Rows seen, used or not."""
        return self.n + sum(self.excluded.values())

    @property
    def coverage(self) -> float | None:
        """Used / (used + left out for want of a value or a rate); None without rows (rulings)."""
        eligible = self.n + self.excluded.get("null", 0) + self.excluded.get("no_fx", 0)
        return self.n / eligible if eligible else None


def needs_values(agg: str) -> bool:
    return agg in SINGLY or agg.startswith("p")


def tallies(conn: sqlite3.Connection, rows: Rows, *, slices: int, singly: bool) -> list[dict[str, Tally]]:
    """Per slice, the tally of each segment ("" when not split)."""
    result: list[dict[str, Tally]] = [defaultdict(Tally) for _ in range(slices)]
    prefix, statement = _parted(rows.sql)
    grouped = (
        f"{prefix} SELECT slice, seg, why, rate, cur, COUNT(*), SUM(hit), SUM(x), SUM(CASE WHEN hit THEN x END),"
        f" SUM(y) FROM ({statement}) GROUP BY slice, seg, why, rate, cur"
    )
    for slice_, seg, why, rate, _, count, hits, x, x_hit, y in conn.execute(grouped, rows.values):
        tally = result[slice_][seg]
        if why is not None:
            tally.excluded[why] = tally.excluded.get(why, 0) + count
            tally.excluded_hits[why] = tally.excluded_hits.get(why, 0) + (hits or 0)
            continue
        factor = Decimal(rate) if rate is not None else Decimal(1)
        tally.n += count
        tally.hits += hits or 0
        tally.x += _exact(x) * factor
        tally.x_hit += _exact(x_hit) * factor
        tally.y += _exact(y) * factor
    if singly:
        listed = f"{prefix} SELECT slice, seg, x, rate FROM ({statement}) WHERE why IS NULL"
        for slice_, seg, x, rate in conn.execute(listed, rows.values):
            tally = result[slice_][seg]
            if tally.values is None:
                tally.values = []
            tally.values.append(x if rate is None else float(_exact(x) * Decimal(rate)))
    return result


def _parted(sql: str) -> tuple[str, str]:
    """The WITH of the slices, and the statement behind it."""
    mark = sql.index("SELECT", sql.index("(VALUES"))
    return sql[:mark], sql[mark:]


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
        for own, others in ((whole.excluded, part.excluded), (whole.excluded_hits, part.excluded_hits)):
            for why, count in others.items():
                own[why] = own.get(why, 0) + count
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
