"""Asks the row statement of one cache; of complete periods, what was answered before, where it is still so."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from scorecards.compiler import Rows
from scorecards.definition import Kpi
from scorecards.figures import Figure, figure
from scorecards.kept import Keeper, as_text, packed, unpacked
from scorecards.periods import Slice
from scorecards.tally import Tally, needs_values, records, tallies, together
from scorecards.version import short_hash

#: What of a KPI no figure depends on.
_ASIDE = {"id", "target", "action", "by", "compare", "also", "signal", "changes", "review_by"}


class Answers:
    """Answers about the rows of a slice. `keeper` gives those it has kept, and is told of those computed."""

    def __init__(self, conn: sqlite3.Connection, keeper: Keeper | None) -> None:
        self._conn = conn
        self.keeper = keeper
        self._once: dict[str, Any] = {}

    def parts(self, rows: Rows, slices: Sequence[Slice], *, singly: bool) -> list[dict[str, Tally]]:
        """Per slice, the tally of each segment; `singly`: with every value."""
        if self.keeper is None:
            return tallies(self._conn, rows, slices, singly=singly)
        form, found = "singly" if singly else "sums", []
        for slice_ in slices:
            said = self.keeper.kept(rows, slice_, form)
            if said is not None:
                found.append(unpacked(said))
                continue
            found += tallies(self._conn, rows, [slice_], singly=singly)
            if (said := packed(found[-1])) is not None:
                self.keeper.keep(rows, slice_, form, said)
        return found

    def figures(self, kpi: Kpi, rows: Rows, slices: Sequence[Slice]) -> list[Figure]:
        """The KPI's figure over the rows of each slice: a few bytes are kept, however many rows there are."""
        singly = needs_values(kpi.agg)
        if self.keeper is None:
            return [figure(kpi, together(part)) for part in tallies(self._conn, rows, slices, singly=singly)]

        def compute(slice_: Slice) -> list[Any]:
            made = figure(kpi, together(tallies(self._conn, rows, [slice_], singly=singly)[0]))
            return [getattr(made, name) for name in Figure.__slots__]

        form = f"figure {short_hash(kpi.model_dump(mode='json', exclude=_ASIDE))}"
        return [Figure(*self.recalled(rows, slice_, form, partial(compute, slice_))) for slice_ in slices]

    def listed(
        self, rows: Rows, slice_: Slice, *, only: str, order: str, limit: int, narrow: Rows | None = None
    ) -> list[dict[str, Any]]:
        """The first rows of a slice in an order, of those a condition holds for.

        `narrow`: the same rows with no columns but those that `only` and `order` name. Which ones are listed is asked
        of it, and what they show is looked up of those alone.
        """

        def read() -> list[dict[str, Any]]:
            if narrow is None:
                return list(records(self._conn, rows, slice_, only=only, order=order, limit=limit))
            first = list(records(self._conn, narrow, slice_, only=only, order=order, limit=limit))
            ids = {f"list_id{number}": row["id"] for number, row in enumerate(first)}
            if not ids:
                return []
            named = replace(rows, values={**rows.values, **ids})
            its = f"id IN ({', '.join(f':{name}' for name in ids)}) AND ({only})"
            found = list(records(self._conn, named, slice_, only=its, order=order))
            if len(found) > len(first):  # a relation with several rows of one id: which of them come first?
                return list(records(self._conn, rows, slice_, only=only, order=order, limit=limit))
            return found

        return list(self.recalled(rows, slice_, f"list {limit} of {only} by {order}", read))

    def counted(self, rows: Rows, slice_: Slice, only: str) -> int:
        """How many rows of a slice there are that a condition holds for."""
        statement = f"SELECT COUNT(*) FROM ({rows.sql}) WHERE {only}"

        def count() -> Any:
            return self._conn.execute(statement, rows.of(slice_)).fetchone()[0]

        return int(self.recalled(rows, slice_, f"count of {only}", count))

    def named(self, rows: Rows, slice_: Slice, column: str) -> list[Any]:
        """What the rows of a slice hold in a column, each value once, in order."""
        statement = f"SELECT DISTINCT {column} FROM ({rows.sql}) WHERE {column} IS NOT NULL ORDER BY 1"

        def read() -> list[Any]:
            return [value for (value,) in map(tuple, self._conn.execute(statement, rows.of(slice_)))]

        return list(self.recalled(rows, slice_, f"named {column}", read))

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """What is the same for all KPIs at one as_of, computed for the first that asks by its name."""
        if name not in self._once:
            self._once[name] = compute()
        return self._once[name]

    def recalled(self, rows: Rows, slice_: Slice, form: str, compute: Callable[[], Any]) -> Any:
        """What `compute` makes of a slice's rows and of nothing else: plain values, equal to what JSON gives back."""
        if self.keeper is None:
            return compute()
        said = self.keeper.kept(rows, slice_, form)
        if said is not None:
            return json.loads(said)
        found = compute()
        if (said := as_text(found)) is not None:
            self.keeper.keep(rows, slice_, form, said)
        return found
