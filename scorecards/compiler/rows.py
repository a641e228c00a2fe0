"""A KPI into SQL: one row per record of a slice of time, with what it weighs and why it is left out, if so.

Nothing else writes KPI SQL. The row statement has the columns
  id     the record                    seg  its segment ("" when not split)
  why    reason it is left out (null: it is used)   hit  1 when on the numerator's side
  x      its measure (minor units for money, seconds for durations)   y  its weight in the denominator
  rate   what turns x into major units of the reporting currency (null for anything but money)
and everything above it (totals, quantiles, drill-downs) reads that one statement, a slice at a time: without a
sort over all slices it stays a walk along one index.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from zoneinfo import ZoneInfo

from scorecards.compiler.measure import hit, measured
from scorecards.compiler.shapes import filled, place, retained, spans
from scorecards.compiler.statement import SLICE, Rests, Rows
from scorecards.compiler.time import axis, known_rows, local_day, neighbours, placed, rate_day
from scorecards.conditions import Sql
from scorecards.definition import Kpi, Reporting
from scorecards.question import Question
from scorecards.relations import Column, Language, Relation

#: A column of the slice asked for.
_OF_SLICE = re.compile(r"\bs\.")


class Compiler:
    """Compiles KPIs of one cache at one as_of."""

    def __init__(self, reporting: Reporting, *, as_of: int, today: str, one_rate: Callable[[str], str | None]) -> None:
        """`one_rate` gives the factor all rows of a table share (no foreign currency in it), else None."""
        self._reporting = reporting
        self._one_rate = one_rate
        self._zone = ZoneInfo(reporting.timezone)
        self.language = Language(reporting)
        # Twice: by the second names where what it is compared with is noted as a turn of the row (conditions.Sql).
        self._known = {"as_of": as_of, "today": today, "known_at": as_of, "known_day": today}

    def relation(self, kpi: Kpi, customer_model: str = "repurchase") -> Relation:
        days = int(kpi.params.get("lookback_days") or self._reporting.customers.lookback_days)
        if kpi.filled is not None:
            # Of how fields were filled at an earlier time nothing is kept: the rows as they are.
            found = self.language.current(kpi.of or "")
        else:
            bought = kpi.params.get("purchases", ("deals",))
            found = self.language.relation(
                kpi.of or "",
                customer_model=customer_model,
                lookback_days=days,
                purchases=bought,
                units=str(kpi.params.get("units", "deals")),
                pipeline=str(kpi.params.get("pipeline", "")),
            )
        if found is None:
            raise KeyError(kpi.of)
        return found

    def rows(
        self,
        kpi: Kpi,
        relation: Relation,
        question: Question,
        *,
        by: str | None = None,
        own: bool = False,
        show: Sequence[str] = (),
        movements: bool = False,
        moving: bool = False,
    ) -> Rows:
        """The row statement.

        `movements`: of a retention, also those who came in during the slice (left out, with the reason).
        `own`: without the KPI's own time and shape (figures of their own). `show`: columns of the language to
        carry along, as c0, c1 …
        `moving`: of versioned rows the versions of the slice, each with its neighbours: those that begin or end in it,
        and also those that stay all along where they need not weigh the same at both ends.
        """
        sql = self._sql(relation)
        if kpi.retain is not None and not own:
            segment = self._segment(relation, by, sql) if by is not None else ""
            found = retained(kpi, sql, movements, segment, [self._shown(kpi, sql, name) for name in show])
            return replace(found, rests=self._rests(kpi, relation, sql, [relation.live]))
        time = [] if own else placed(kpi, relation, sql)
        known = known_rows(kpi, relation, sql, own, moving)
        asked = [relation.live, *time, *sql.conditions(question.where)]
        where = [relation.live, *known, *asked[1:]]
        if kpi.filled is not None and not own:
            x, y = filled(kpi, sql)
            why: list[tuple[str, str]] = []
            on_top, money = "0", None
        else:
            x, why, money = measured(kpi, relation, question, sql, own, self._shared)
            y = x if question.weight != "count" else "1"
            on_top = hit(kpi, relation, question, sql, own)
        shared = self._shared(relation, money) if money is not None else None
        rate = "NULL"
        if money is not None:
            rate = f"'{shared}'" if shared else sql.rate(money, rate_day(kpi, sql))
        is_rated = money is not None and not shared
        is_same = not any(_OF_SLICE.search(one) for one in (*asked, *sql.joins.values(), x) if one)
        stays_out = moving and is_same and not is_rated
        if stays_out:
            where.append("(f.known_from >= s.since OR f.known_to < s.at)")
        # A measure that is looked up is null or not once it is made: asked of the row, it would be looked up again.
        is_looked_up = "(SELECT " in x and why == [(f"{x} IS NULL", "null")] and not moving
        left_out = _case(() if is_looked_up else why)
        select = (
            f"{sql.column('id').sql} AS id, {self._segment(relation, by, sql)} AS seg, {left_out} AS why,"
            f" {on_top} AS hit, {x} AS x, {y} AS y, {rate} AS rate"
        )
        for number, name in enumerate(show):
            select += f", {self._shown(kpi, sql, name)} AS c{number}"
        if moving:
            select += f", {neighbours(relation)}"
        shown = "".join(f", c{number}" for number in range(len(show)))
        if kpi.per is not None and not own:
            select, shown = f"{select}, {local_day(kpi, sql)} AS day", f"{shown}, day"
        if kpi.per_distinct is not None and not own:
            select, shown = f"{select}, {sql.column(kpi.per_distinct).sql} AS key", f"{shown}, key"
        is_one_of_each = bool(kpi.latest_per or kpi.first_per) and not own
        if is_one_of_each:
            select += f", {place(kpi, sql)} AS place"
        statement = (
            f"SELECT {select} FROM {SLICE} AS s CROSS JOIN {relation.source} AS f"
            f" {' '.join(sql.joins.values())} WHERE {' AND '.join(filter(None, where)) or '1'}"
        )
        if kpi.filled is not None and not own:
            # Every required field filled: asked of the sums once made (LIMIT keeps them from being made again).
            statement = f"SELECT id, seg, why, x >= y AS hit, x, y, rate{shown} FROM ({statement} LIMIT -1)"
        if is_one_of_each:
            statement = f"SELECT id, seg, why, hit, x, y, rate{shown} FROM ({statement}) WHERE place = 1"
        if is_looked_up:
            null = "CASE WHEN x IS NULL THEN 'null' END"
            statement = f"SELECT id, seg, {null} AS why, hit, x, y, rate{shown} FROM ({statement} LIMIT -1)"
        reasons = tuple(reason for _, reason in why)
        return Rows(
            statement,
            sql.values,
            tuple(dict.fromkeys(reasons)),
            split=by is not None,
            rated=is_rated,
            inner=kpi.per.agg if kpi.per is not None and not own else "",
            keyed=kpi.per_distinct is not None and not own,
            rests=None if own or moving else self._rests(kpi, relation, sql, where),
            stays_out=stays_out,
        )

    def _rests(self, kpi: Kpi, relation: Relation, sql: Sql, where: Sequence[str]) -> Rests:
        """Of the finished statement: its joins and turns are all noted by now."""
        column, is_date = axis(kpi, sql)
        whatever = [one for one in where if one and ":known" not in one]  # as_of may be
        return Rests(
            relation.source,
            relation.base if "r" in sql.joins else None,
            column,
            is_date,
            {kind: tuple(found) for kind, found in sql.turns.items() if found},
            f"FROM {SLICE} AS s CROSS JOIN {relation.source} AS f {' '.join(sql.joins.values())}"
            f" WHERE {' AND '.join(whatever) or '1'}",
            not any(_OF_SLICE.search(one) for one in (*whatever, *sql.joins.values(), *chain(*sql.turns.values()))),
        )

    def spans(self, kpi: Kpi, relation: Relation) -> Rows:
        """Retention's keys with the days they open and close."""
        return spans(kpi, self._sql(relation))

    def _sql(self, relation: Relation) -> Sql:
        sql = Sql(relation, self.language, self._zone, dict(self._known))
        sql.turns["at"] |= dict.fromkeys(relation.turns)
        return sql

    def _shared(self, relation: Relation, money: Column) -> str | None:
        """The factor all of a relation's rows share in a column of money, else None."""
        if set(money.joins) - {"r"}:
            return None  # an amount of another record, in that one's currency
        factors = {self._one_rate(table) for table in relation.money_tables}
        return factors.pop() if len(factors) == 1 else None

    def _shown(self, kpi: Kpi, sql: Sql, name: str) -> str:
        """A column as lists show it: money in major units, by the rate that is the row's in the figure."""
        column = sql.column(name)
        if column.type != "money":
            return sql.value_of(name)
        if self._shared(sql.relation, column):  # no row needs what its CRM makes of it
            column = replace(column, home="")
        return sql.money(column, rate_day(kpi, sql))

    def _segment(self, relation: Relation, by: str | None, sql: Sql) -> str:
        if by is None:
            return "''"
        name = relation.split_by(self._reporting.dimensions.get(by, {})) or by
        return f"COALESCE(NULLIF(CAST({sql.value_of(name)} AS TEXT), ''), '(none)')"


def _case(reasons: Sequence[tuple[str, str]]) -> str:
    if not reasons:
        return "NULL"
    return "CASE " + " ".join(f"WHEN {test} THEN '{why}'" for test, why in reasons) + " END"
