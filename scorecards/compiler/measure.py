"""What a row weighs, why it is left out, and whether it is on the numerator's side."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from scorecards.compiler.deadline import decided
from scorecards.compiler.time import instant, rate_day
from scorecards.conditions import Sql
from scorecards.definition import Kpi
from scorecards.question import Question
from scorecards.relations import Column, Relation
from scorecards.slots import DurationSlot

if TYPE_CHECKING:
    from scorecards.compiler.rows import Compiler

#: The factor all rows share in a column of money (no foreign currency in it), else None.
OneRate = Callable[[Relation, Column], str | None]


def measured(
    kpi: Kpi, relation: Relation, question: Question, sql: Sql, own: bool, one_rate: OneRate
) -> tuple[str, list[tuple[str, str]], Column | None]:
    """(x, why, money column): the measure, and the tests a row is left out by with their reasons."""
    reasons = [] if own else _left_out(kpi, relation, sql)
    if kpi.deadline is not None and question.field is None and not own:
        return "1", [*reasons, *decided(kpi, sql)[0]], None
    if kpi.cohort is not None and not own and (undated := sql.column(kpi.cohort.reaches).undated):
        reasons.append((undated, "null"))  # it has happened, nobody knows when: on neither side (G5)
    if kpi.duration is not None and question.field is None and question.agg != "count" and not own:
        begin, end = (_end_of_duration(kpi, sql, name) for name in (kpi.duration.from_, kpi.duration.to))
        if kpi.duration.within is not None:
            end = f"(CASE WHEN {end} <= {begin} + {kpi.duration.within} THEN {end} END)"
        reasons.append((f"{begin} IS NULL", "null"))
        if kpi.duration.pause_on:
            reasons.append((f"NOT {sql.column('has_history').sql}", "null"))  # nobody knows when it waited
        if kpi.duration.unfinished == "so_far":
            end = f"COALESCE({end}, {'epoch(:today)' if _by_days(kpi, sql) else ':as_of'})"
        else:
            reasons.append((f"{end} IS NULL", "open"))
        reasons.append((f"{end} < {begin}", "negative"))
        return _between(kpi, question, sql, begin, end), reasons, None
    name = question.field
    if kpi.per is not None and not own:
        name = kpi.per.field
    if question.weight != "count":
        name = question.weight
    counts = question.agg == "count" and question.weight == "count" and kpi.per is None
    if name is None or counts:
        return "1", reasons, None
    column = sql.column(name)
    value = sql.value_of(name)
    if column.type == "any" and question.agg != "distinct":
        value = f"number({value})"
    reasons.append((f"{value} IS NULL", "null"))
    if column.type == "money":
        day = rate_day(kpi, sql)
        if one_rate(relation, column) is None:
            reasons.append((f"{sql.rate(column, day)} IS NULL", "no_fx"))
        return value, reasons, column
    return value, reasons, None


def _left_out(kpi: Kpi, relation: Relation, sql: Sql) -> list[tuple[str, str]]:
    """The tests that leave a row out before it is measured: ruled out by name, of nobody, too young."""
    reasons = [(" AND ".join(sql.conditions(only)), name) for name, only in kpi.out.items()]
    for name in (*kpi.first_per, *((kpi.per_distinct,) if kpi.per_distinct else ())):
        reasons.append((f"{sql.column(name).sql} IS NULL", "null"))
    wait = kpi.cohort.within if kpi.cohort else kpi.mature.wait if kpi.mature else None
    if wait is not None:
        after = kpi.mature.after if kpi.mature else None
        start = instant(sql, after or kpi.date or relation.anchor or "created_at")
        reasons.append((sql.not_past(f"{start} + {wait} - 1"), "immature"))  # its time is up at as_of itself
    return reasons


def _between(kpi: Kpi, question: Question, sql: Sql, begin: str, end: str) -> str:
    assert kpi.duration is not None  # the caller looked
    if question.clock == "business":
        whole = sql.business_seconds(begin, end)
    elif _by_days(kpi, sql):
        # Between two dates lie whole days, whatever the clocks did in between.
        return f"CAST(round((({end}) - ({begin})) / 86400.0) AS INTEGER) * 86400"
    else:
        whole = f"({end}) - ({begin})"
    return f"{whole} - {_paused(kpi.duration, question, sql, begin, end)}" if kpi.duration.pause_on else whole


def _paused(slot: DurationSlot, question: Question, sql: Sql, begin: str, end: str) -> str:
    """How much of the time between two instants the record was in a state the clock is stopped for."""
    relation = sql.relation
    since, until = f"MAX(p.known_from, {begin})", f"MIN(p.known_to, {end})"
    time = sql.business_seconds(since, until) if question.clock == "business" else f"{until} - {since}"
    states = ", ".join(map(sql.bind, slot.pause_on))
    return (
        f"COALESCE((SELECT SUM({time}) FROM {relation.source} p WHERE p.id = f.id AND p.{relation.state} IN ({states})"
        f" AND p.known_from < {end} AND p.known_to > {begin}), 0)"
    )


def _by_days(kpi: Kpi, sql: Sql) -> bool:
    """Is one end of the duration a date? Then it runs from day to day: what is done the same day took 0 days."""
    assert kpi.duration is not None  # the caller looked
    return "date" in (sql.column(kpi.duration.from_).type, sql.column(kpi.duration.to).type)


def runs_by_days(compiler: "Compiler", kpi: Kpi) -> bool:
    """Is the KPI a duration between days, on which no clock ticks?"""
    if kpi.duration is None:
        return False
    relation = compiler.relation(kpi)
    ends = (compiler.language.column(relation, name) for name in (kpi.duration.from_, kpi.duration.to))
    return any(column is not None and column.type == "date" for column in ends)


def _end_of_duration(kpi: Kpi, sql: Sql, name: str) -> str:
    moment = instant(sql, name)
    return f"epoch(local_day({moment}))" if _by_days(kpi, sql) else moment


def hit(kpi: Kpi, relation: Relation, question: Question, sql: Sql, own: bool) -> str:
    """SQL, true when a row is on the numerator's side."""
    if kpi.deadline is not None and question.share is None and not own:
        return decided(kpi, sql)[1]
    if question.share is not None:
        wanted = sql.conditions(question.share)
        if kpi.unless is not None and not own:
            start, event = instant(sql, kpi.date or "created_at"), instant(sql, kpi.unless.reaches)
            limit = f"{start} + {int(kpi.unless.within)}"
            wanted.append(f"NOT COALESCE({event} <= {limit} AND {sql.past(event)}, 0)")
        return f"COALESCE({' AND '.join(wanted) or '1'}, 0)"
    if kpi.cohort is not None and not own:
        if kpi.cohort.or_:
            without = kpi.model_copy(update={"cohort": kpi.cohort.model_copy(update={"or_": {}})})
            at_once = f"COALESCE({' AND '.join(sql.conditions(kpi.cohort.or_))}, 0)"
            return f"({at_once} OR {hit(without, relation, question, sql, own)})"
        start = instant(sql, kpi.date or "created_at")
        column = sql.column(kpi.cohort.reaches)
        if column.type == "date":
            # A date-only event within H days: on or before the local day H days after the start.
            limit = f"date(local_day({start}), '+{int(kpi.cohort.within) // 86400} days')"
            known = "1" if relation.versioned else sql.past_day(column.sql)
            return f"COALESCE({column.sql} <= {limit} AND {known}, 0)"
        reached = instant(sql, kpi.cohort.reaches)
        return f"COALESCE({reached} <= {start} + {int(kpi.cohort.within)} AND {sql.past(reached)}, 0)"
    return "1"
