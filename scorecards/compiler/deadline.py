"""Done in time or not: which rows are decided, which are still pending, void or out of order, in SQL."""

from scorecards.compiler.time import instant
from scorecards.conditions import Sql
from scorecards.definition import Kpi
from scorecards.slots import Deadline

Reasons = list[tuple[str, str]]


def decided(kpi: Kpi, sql: Sql) -> tuple[Reasons, str]:
    """(the reasons a row is on neither side, true when it was done in time)."""
    assert kpi.deadline is not None  # the caller looked
    slot = kpi.deadline
    if slot.due is not None and (slot.by == "day" or "date" in (sql.column(slot.due).type, sql.column(slot.to).type)):
        return _by_days(slot, sql)
    return _by_instants(slot, sql)


def _by_days(slot: Deadline, sql: Sql) -> tuple[Reasons, str]:
    """Whole local days: what is done on the last day is in time, and late is what that day ended without."""
    assert slot.due is not None  # the caller looked
    due = _day(sql, slot.due)
    limit = f"date({due}, '+{slot.grace // 86400} days')"
    done = f"(CASE WHEN {_is_past(sql, slot.to)} THEN {_day(sql, slot.to)} END)"
    reasons = [(f"{due} IS NULL", "null")]
    if slot.wait:
        reasons.append((f"NOT ({sql.past_day(limit)})", "immature"))
    if slot.void is not None:
        ended = f"{_is_past(sql, slot.void)} AND {_day(sql, slot.void)} < {limit}"
        reasons.append((f"{done} IS NULL AND {ended}", "void"))
    reasons.append((f"{done} IS NULL AND NOT ({sql.past_day(limit)})", "pending"))
    return reasons, f"COALESCE({done} <= {limit}, 0)"


def _by_instants(slot: Deadline, sql: Sql) -> tuple[Reasons, str]:
    """To the second, on the calendar or the business clock; the limit itself is in time.

    Business days are days of the calendar whichever clock is named: no seconds are counted.
    """
    begin = instant(sql, slot.from_ or slot.due or "")
    done = f"(CASE WHEN {_is_past(sql, slot.to)} THEN {instant(sql, slot.to)} END)"
    seconds = str(slot.grace) if slot.within is None else _seconds(slot, sql)
    days = None if slot.within is None else slot.within.business_days
    is_business = slot.clock == "business" and days is None
    if is_business:
        in_time = f"{sql.business_seconds(begin, done)} <= {seconds}"
        has_passed = f"{sql.business_seconds(begin, ':as_of')} > {seconds}"
    else:
        limit = f"({begin} + {seconds})" if days is None else sql.business_deadline(begin, days)
        in_time, has_passed = f"{done} <= {limit}", sql.past(limit)
    reasons = [(f"{begin} IS NULL", "null")]
    if slot.from_ is not None:
        reasons.append((f"{done} < {begin}", "negative"))
    if slot.wait:
        reasons.append((f"NOT ({has_passed})", "immature"))
    if slot.void is not None:
        ended = instant(sql, slot.void)
        early = f"{sql.business_seconds(begin, ended)} < {seconds}" if is_business else f"{ended} < {limit}"
        reasons.append((f"{done} IS NULL AND {_is_past(sql, slot.void)} AND {early}", "void"))
    reasons.append((f"{done} IS NULL AND NOT ({has_passed})", "pending"))
    return reasons, f"COALESCE({in_time}, 0)"


def _seconds(slot: Deadline, sql: Sql) -> str:
    """The time there is, which a column's value may change."""
    assert slot.within is not None  # the caller looked
    if slot.within.by is None:
        return str(slot.within.seconds)
    return sql.chosen(slot.within.by, slot.within.of, slot.within.seconds)


def _is_past(sql: Sql, name: str) -> str:
    """Known at as_of: an instant before it, a date whose day is over."""
    column = sql.column(name)
    return sql.past_day(column.sql) if column.type == "date" else sql.past(instant(sql, name))


def _day(sql: Sql, name: str) -> str:
    column = sql.column(name)
    return column.sql if column.type == "date" else f"local_day({sql.value_of(name)})"
