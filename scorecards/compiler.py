"""A KPI into SQL: one row per record of a slice of time, with what it weighs and why it is left out, if so.

Nothing else writes KPI SQL. The row statement has the columns
  id     the record                    seg  its segment ("" when not split)
  why    reason it is left out (null: it is used)   hit  1 when on the numerator's side
  x      its measure (minor units for money, seconds for durations)   y  its weight in the denominator
  rate   what turns x into major units of the reporting currency (null for anything but money)
and everything above it (totals, quantiles, drill-downs) reads that one statement, a slice at a time: without a
sort over all slices it stays a walk along one index.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from scorecards.conditions import Sql
from scorecards.definition import Kpi, Reporting
from scorecards.periods import Slice
from scorecards.question import Question
from scorecards.relations import Column, Language, Relation

#: What a blank text is made of: spaces, tabs, line ends, hard spaces.
_BLANKS = "char(32, 9, 10, 13, 160)"
PLACEHOLDERS = ("n/a", "na", "none", "unknown", "-", "test", "tbd")


@dataclass(frozen=True, slots=True)
class Rows:
    """The row statement. `split` and `rated` say whether seg and rate differ from row to row."""

    sql: str
    values: Mapping[str, Any]
    reasons: tuple[str, ...] = ()
    split: bool = False
    rated: bool = False

    def of(self, slice_: Slice) -> dict[str, Any]:
        """The bound values for one slice."""
        return {
            **self.values,
            "s_since": slice_.since,
            "s_until": slice_.until,
            "s_day_start": slice_.day_start.isoformat(),
            "s_day_end": slice_.day_end.isoformat(),
            "s_at": slice_.at,
            "s_at_day": slice_.at_day.isoformat(),
        }


#: The slice as a row of its own, so that every part of the statement can name it.
_SLICE = (
    "(SELECT :s_since AS since, :s_until AS until, stamp(:s_since) AS since_text, stamp(:s_until) AS until_text,"
    " :s_day_start AS day_start, :s_day_end AS day_end, :s_at AS at, stamp(:s_at) AS at_text, :s_at_day AS at_day)"
)


class Compiler:
    """Compiles KPIs of one cache at one as_of."""

    def __init__(self, reporting: Reporting, *, as_of: int, today: str, one_rate: Callable[[str], str | None]) -> None:
        """`one_rate` gives the factor all rows of a table share (no foreign currency in it), else None."""
        self._reporting = reporting
        self._one_rate = one_rate
        self._zone = ZoneInfo(reporting.timezone)
        self.language = Language(reporting)
        self._known = {"as_of": as_of, "today": today}

    def relation(self, kpi: Kpi, customer_model: str = "repurchase") -> Relation:
        days = int(kpi.params.get("lookback_days") or self._reporting.customers.lookback_days)
        if kpi.filled is not None:
            # Of how fields were filled at an earlier time nothing is kept: the rows as they are.
            found = self.language.current(kpi.of or "")
        else:
            bought = kpi.params.get("purchases", ("deals",))
            found = self.language.relation(
                kpi.of or "", customer_model=customer_model, lookback_days=days, purchases=bought
            )
        if found is None:
            raise KeyError(kpi.of)
        return found

    def anchor(self, kpi: Kpi, relation: Relation) -> str | None:
        """The column that places a row in time; None: every row known at as_of."""
        if kpi.stock is not None or kpi.filled is not None:
            return None
        return kpi.date

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
    ) -> Rows:
        """The row statement.

        `movements`: of a retention, also those who came in during the slice (left out, with the reason).
        `own`: without the KPI's own time and shape (figures of their own). `show`: columns of the language to
        carry along, as c0, c1 …
        """
        sql = Sql(relation, self.language, self._zone, dict(self._known))
        if kpi.retain is not None and not own:
            return self._retained(kpi, relation, sql, movements)
        time = [] if own else self._time(kpi, relation, sql)
        where = [relation.live, *self._known_rows(kpi, relation, sql, own), *time, *sql.conditions(question.where)]
        if kpi.filled is not None and not own:
            x, y = self._filled(kpi, sql)
            why: list[tuple[str, str]] = []
            hit, money = "0", None
        else:
            x, why, money = self._measure(kpi, relation, question, sql, own)
            y = x if question.weight == "amount" else "1"
            hit = self._hit(kpi, relation, question, sql, own)
        shared = self._one_rate(relation.needs_table) if money is not None else None
        rate = "NULL"
        if money is not None:
            rate = f"'{shared}'" if shared else f"rate({money.currency}, {self._rate_day(kpi, relation, sql)})"
        select = (
            f"{sql.column('id').sql} AS id, {self._segment(relation, by, sql)} AS seg, {_case(why)} AS why,"
            f" {hit} AS hit, {x} AS x, {y} AS y, {rate} AS rate"
        )
        for number, name in enumerate(show):
            column = sql.column(name)
            value = sql.value_of(name)
            select += f", {sql.money(column, 's.at_day') if column.type == 'money' else value} AS c{number}"
        shown = "".join(f", c{number}" for number in range(len(show)))
        latest = kpi.latest_per and not own
        if latest:
            select += f", {self._latest(kpi, sql)} AS place"
        statement = (
            f"SELECT {select} FROM {_SLICE} AS s CROSS JOIN {relation.source} AS f"
            f" {' '.join(sql.joins.values())} WHERE {' AND '.join(filter(None, where)) or '1'}"
        )
        if kpi.filled is not None and not own:
            # Every required field filled: asked of the sums once made (LIMIT keeps them from being made again).
            statement = f"SELECT id, seg, why, x >= y AS hit, x, y, rate{shown} FROM ({statement} LIMIT -1)"
        if latest:
            statement = f"SELECT id, seg, why, hit, x, y, rate{shown} FROM ({statement}) WHERE place = 1"
        reasons = tuple(reason for _, reason in why)
        return Rows(statement, sql.values, reasons, by is not None, money is not None and not shared)

    # -- when -------------------------------------------------------------------------------------------------

    def _known_rows(self, kpi: Kpi, relation: Relation, sql: Sql, own: bool) -> list[str]:
        """Rows, and of versioned rows the one version, known at as_of (at the slice's instant for a stock)."""
        moment = "s.at" if (kpi.stock is not None or kpi.filled is not None) and not own else ":as_of"
        if relation.versioned:
            return [f"f.known_from < {moment} AND f.known_to >= {moment}"]
        if "created_at" not in relation.own:
            return []
        created = sql.column("created_at").sql
        text = "s.at_text" if moment == "s.at" else "stamp(:as_of)"
        return [f"({created} IS NULL OR {created} < {text})"]

    def _time(self, kpi: Kpi, relation: Relation, sql: Sql) -> list[str]:
        if kpi.stock is not None:
            # A version known at the instant is of a record created before it.
            implied = relation.versioned and kpi.stock.opens == "created_at"
            opens = "1" if implied else self._before(sql, kpi.stock.opens, "s.at", "s.at_day")
            if kpi.stock.closes is None:
                return [opens]
            closes = sql.value_of(kpi.stock.closes)
            still = self._before(sql, kpi.stock.closes, "s.at", "s.at_day")
            return [f"{opens} AND ({closes} IS NULL OR NOT ({still}))"]
        name = self.anchor(kpi, relation)
        if name is None:
            return []
        column = sql.column(name)
        if column.type == "date" or (column.type == "any"):
            if column.type == "any":
                day = f"local_day({column.sql})"
                return [f"{day} >= s.day_start AND {day} < s.day_end"]
            return [f"{column.sql} >= s.day_start AND {column.sql} < s.day_end"]
        if column.epoch:
            return [f"{column.sql} >= s.since AND {column.sql} < s.until"]
        return [f"{column.sql} >= s.since_text AND {column.sql} < s.until_text"]

    def _before(self, sql: Sql, name: str, instant: str, day: str) -> str:
        """True when the column's moment lies before an instant; a date when its day is over by then.

        Null opens are rows known from the start.
        """
        column = sql.column(name)
        if column.type == "instant" and column.epoch:
            return f"COALESCE({sql.value_of(name)}, {instant} - 1) < {instant}"
        if column.type == "date":
            return f"COALESCE({column.sql}, '0001-01-01') < {day}"
        return f"COALESCE(epoch({column.sql}), {instant} - 1) < {instant}"

    # -- what -------------------------------------------------------------------------------------------------

    def _measure(
        self, kpi: Kpi, relation: Relation, question: Question, sql: Sql, own: bool
    ) -> tuple[str, list[tuple[str, str]], Column | None]:
        """(x, why, money column): the measure, and the tests a row is left out by with their reasons."""
        reasons: list[tuple[str, str]] = []
        mature = kpi.cohort.within if kpi.cohort else kpi.mature
        if mature is not None and not own:
            start = self._instant(sql, kpi.date or relation.anchor or "created_at")
            reasons.append((f"{start} + {int(mature)} > :as_of", "immature"))
        if kpi.cohort is not None and not own and (undated := sql.column(kpi.cohort.reaches).undated):
            reasons.append((undated, "null"))  # it has happened, nobody knows when: on neither side (G5)
        if kpi.duration is not None and question.field is None and question.agg != "count" and not own:
            begin, end = (self._end_of_duration(kpi, sql, name) for name in (kpi.duration.from_, kpi.duration.to))
            reasons.append((f"{begin} IS NULL", "null"))
            if kpi.duration.unfinished == "so_far":
                end = f"COALESCE({end}, {'epoch(:today)' if self._by_days(kpi, sql) else ':as_of'})"
            else:
                reasons.append((f"{end} IS NULL", "open"))
            reasons.append((f"{end} < {begin}", "negative"))
            return self._between(kpi, question, sql, begin, end), reasons, None
        name = question.field
        if question.weight == "amount":
            name = name or "amount"
        if name is None or (question.agg == "count" and question.weight != "amount"):
            return "1", reasons, None
        column = sql.column(name)
        value = sql.value_of(name)
        if column.type == "any" and question.agg != "distinct":
            value = f"number({value})"
        reasons.append((f"{value} IS NULL", "null"))
        if column.type == "money":
            day = self._rate_day(kpi, relation, sql)
            if self._one_rate(relation.needs_table) is None:
                reasons.append((f"rate({column.currency}, {day}) IS NULL", "no_fx"))
            return value, reasons, column
        return value, reasons, None

    def _between(self, kpi: Kpi, question: Question, sql: Sql, begin: str, end: str) -> str:
        if question.clock == "business":
            return f"business_seconds({begin}, {end})"
        if self._by_days(kpi, sql):
            # Between two dates lie whole days, whatever the clocks did in between.
            return f"CAST(round((({end}) - ({begin})) / 86400.0) AS INTEGER) * 86400"
        return f"({end}) - ({begin})"

    def _by_days(self, kpi: Kpi, sql: Sql) -> bool:
        """Is one end of the duration a date? Then it runs from day to day: what is done the same day took 0 days."""
        assert kpi.duration is not None  # the caller looked
        return "date" in (sql.column(kpi.duration.from_).type, sql.column(kpi.duration.to).type)

    def _end_of_duration(self, kpi: Kpi, sql: Sql, name: str) -> str:
        moment = self._instant(sql, name)
        return f"epoch(local_day({moment}))" if self._by_days(kpi, sql) else moment

    def _instant(self, sql: Sql, name: str) -> str:
        """Any column as epoch seconds: a date is the start of its local day."""
        column = sql.column(name)
        value = sql.value_of(name)
        return value if column.epoch else f"epoch({value})"

    def _hit(self, kpi: Kpi, relation: Relation, question: Question, sql: Sql, own: bool) -> str:
        if question.share is not None:
            wanted = sql.conditions(question.share)
            if kpi.unless is not None and not own:
                start, event = self._instant(sql, kpi.date or "created_at"), self._instant(sql, kpi.unless.reaches)
                limit = f"{start} + {int(kpi.unless.within)}"
                wanted.append(f"NOT COALESCE({event} <= {limit} AND {event} < :as_of, 0)")
            return f"COALESCE({' AND '.join(wanted) or '1'}, 0)"
        if kpi.cohort is not None and not own:
            start = self._instant(sql, kpi.date or "created_at")
            column = sql.column(kpi.cohort.reaches)
            if column.type == "date":
                # A date-only event within H days: on or before the local day H days after the start.
                limit = f"date(local_day({start}), '+{int(kpi.cohort.within) // 86400} days')"
                known = "1" if relation.versioned else f"{column.sql} < :today"
                return f"COALESCE({column.sql} <= {limit} AND {known}, 0)"
            reached = self._instant(sql, kpi.cohort.reaches)
            return f"COALESCE({reached} <= {start} + {int(kpi.cohort.within)} AND {reached} < :as_of, 0)"
        return "1"

    def _rate_day(self, kpi: Kpi, relation: Relation, sql: Sql) -> str:
        """The day whose rate converts a row: its anchor's for flows, the slice's own for stocks (G10)."""
        name = self.anchor(kpi, relation)
        if kpi.stock is not None or name is None:
            return "s.at_day"
        column = sql.column(name)
        return column.sql if column.type == "date" else f"local_day({column.sql})"

    def _filled(self, kpi: Kpi, sql: Sql) -> tuple[str, str]:
        """Weights filled and weights required of a row."""
        assert kpi.filled is not None  # the caller looked
        placeholders = {str(word).strip().lower() for word in kpi.params.get("placeholders", PLACEHOLDERS)}
        listed = ", ".join(sql.bind(word) for word in ["", *sorted(placeholders)])
        filled, wanted = [], []
        for name, rule in kpi.filled.required.items():
            weight, only = (rule, None) if isinstance(rule, int | float) else (rule["weight"], rule.get("where"))
            column = sql.column(name)
            has = f"{column.sql} IS NOT NULL"
            if column.type in ("text", "any"):
                zeros = f"({column.sql} GLOB '000*' AND trim({column.sql}, '0') = '')"
                has = f"COALESCE(lower(trim({column.sql}, {_BLANKS})) NOT IN ({listed}) AND NOT {zeros}, 0)"
            applies = f"COALESCE({' AND '.join(sql.conditions(only))}, 0)" if only else ""
            wanted.append(f"{weight:.12g} * ({applies})" if applies else f"{weight:.12g}")
            filled.append(f"{weight:.12g} * ({applies} AND {has})" if applies else f"{weight:.12g} * ({has})")
        return " + ".join(filled) or "0", " + ".join(wanted) or "0"

    def _segment(self, relation: Relation, by: str | None, sql: Sql) -> str:
        if by is None:
            return "''"
        name = self._reporting.dimensions.get(by, {}).get(relation.name, by)
        return f"COALESCE(NULLIF(CAST({sql.value_of(name)} AS TEXT), ''), '(none)')"

    def _latest(self, kpi: Kpi, sql: Sql) -> str:
        """Rows of one key count once, the latest; rows whose keys beyond the first are all empty stand alone."""
        keys = [sql.column(name).sql for name in kpi.latest_per]
        alone = " AND ".join(f"{key} IS NULL" for key in keys[1:]) or "0"
        newest = sql.column(kpi.date or "created_at").sql
        own = sql.column("id").sql
        return (
            f"ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)}, CASE WHEN {alone} THEN {own} END"
            f" ORDER BY {newest} DESC, {own} DESC)"
        )

    def _retained(self, kpi: Kpi, relation: Relation, sql: Sql, movements: bool) -> Rows:
        """Who was in at the start, and whether at the end: hit 1 kept, 0 lost; why new or reactivated for the rest."""
        assert kpi.retain is not None  # the caller looked
        key = sql.column(kpi.retain.key).sql
        live = (
            f"{key} IN (SELECT id FROM accounts WHERE is_deleted = 0 AND merged_into IS NULL AND dup_of IS NULL"
            " AND is_test = 0)"
        )
        where = " AND ".join(filter(None, [relation.live, live, *sql.conditions(kpi.where)]))
        joins = " ".join(sql.joins.values())

        def keys(condition: str) -> str:
            return f"SELECT {key} FROM {relation.source} AS f {joins} WHERE {condition} AND {where}"

        start, end = (self._open_on(kpi, sql, day) for day in (":s_day_start", ":s_at_day"))
        statement = (
            f"SELECT key AS id, '' AS seg, NULL AS why, key IN ({keys(end)}) AS hit, 1 AS x, 1 AS y, NULL AS rate"
            f" FROM (SELECT DISTINCT {key} AS key FROM {relation.source} AS f {joins} WHERE {start} AND {where})"
        )
        if not movements:
            return Rows(statement, sql.values)
        before = self._opened_before(kpi, sql, ":s_day_start")
        statement += (
            f" UNION ALL SELECT key, '', CASE WHEN key IN ({keys(before)}) THEN 'reactivated' ELSE 'new' END, 1, 1, 1,"
            f" NULL FROM (SELECT DISTINCT {key} AS key FROM {relation.source} AS f {joins} WHERE {end} AND {where})"
            f" WHERE key NOT IN ({keys(start)})"
        )
        return Rows(statement, sql.values, ("new", "reactivated"))

    def spans(self, kpi: Kpi, relation: Relation) -> tuple[Rows, int, int]:
        """Retention's keys with the days they open and close, and how many days are to be added to each of the two."""
        assert kpi.retain is not None  # the caller looked
        sql = Sql(relation, self.language, self._zone, dict(self._known))
        key = sql.column(kpi.retain.key).sql
        (opens, later), (closes, longer) = (
            sql.column(name).days_after or (sql.column(name).sql, 0) for name in (kpi.retain.opens, kpi.retain.closes)
        )
        where = [relation.live, *(f"{c} IS NOT NULL" for c in (key, opens, closes)), *sql.conditions(kpi.where)]
        joins = " ".join(sql.joins.values())
        statement = f"SELECT {key}, {opens}, {closes} FROM {relation.source} AS f {joins}"
        return Rows(f"{statement} WHERE {' AND '.join(filter(None, where))}", sql.values), later, longer

    def _open_on(self, kpi: Kpi, sql: Sql, day: str) -> str:
        """True for a span that covers a local day: opened on or before it, not closed by it."""
        assert kpi.retain is not None  # the caller looked
        opens, closes = sql.column(kpi.retain.opens), sql.column(kpi.retain.closes)
        return f"{opens.from_(day, '<=')} AND {closes.from_(day, '>')}"

    def _opened_before(self, kpi: Kpi, sql: Sql, day: str) -> str:
        assert kpi.retain is not None  # the caller looked
        return sql.column(kpi.retain.opens).from_(day, "<")


def _case(reasons: Sequence[tuple[str, str]]) -> str:
    if not reasons:
        return "NULL"
    return "CASE " + " ".join(f"WHEN {test} THEN '{why}'" for test, why in reasons) + " END"
