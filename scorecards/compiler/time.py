"""When a row counts: which version of it is known, which slice it falls into, on which day it is converted."""

from scorecards.compiler.statement import KNOWN
from scorecards.conditions import Sql
from scorecards.definition import Kpi
from scorecards.facts import FACTS
from scorecards.facts.fact import NEIGHBOURS
from scorecards.relations import Column, Relation


def known_rows(kpi: Kpi, relation: Relation, sql: Sql, own: bool, moving: bool = False) -> list[str]:
    """Rows, and of versioned rows the one version, known at as_of (at the slice's instant for a stock).

    `moving`: every version known at any time of the slice.
    """
    is_stock = (kpi.stock is not None or kpi.filled is not None) and not own
    if relation.versioned and moving:
        return ["f.known_from < s.at AND f.known_to >= s.since"]
    if relation.versioned:
        if is_stock:
            return ["f.known_from < s.at AND f.known_to >= s.at"]
        return [f"{sql.past('f.known_from')} AND {sql.not_past('f.known_to')}"]
    found = []
    if "created_at" in relation.own:
        created = sql.column("created_at")
        found.append(f"({created.sql} IS NULL OR {_has_come(created, sql, is_stock)})")
    if relation.anchor is not None and (own or relation.anchor != kpi.date):
        # What lies ahead has not happened, whatever else is asked of it (G2).
        happened = sql.column(relation.anchor)
        come = _has_come(happened, sql, is_stock)
        found.append(f"({happened.sql} IS NULL OR {come}{relation.ahead and f' OR {relation.ahead}'})")
    return found


def _has_come(column: Column, sql: Sql, is_stock: bool) -> str:
    """True when the column's moment lies before as_of (before the slice's instant for a stock)."""
    if column.type == "date":
        return f"{column.sql} < s.at_day" if is_stock else sql.past_day(column.sql)
    if column.epoch:
        return f"{column.sql} < s.at" if is_stock else sql.past(column.sql)
    return f"{column.sql} < s.at_text" if is_stock else sql.past_text(column.sql)


def placed(kpi: Kpi, relation: Relation, sql: Sql) -> list[str]:
    if kpi.stock is not None:
        # A version known at the instant is of a record created before it.
        implied = relation.versioned and kpi.stock.opens == "created_at"
        opens = "1" if implied else before(sql, kpi.stock.opens, "s.at", "s.at_day")
        if kpi.stock.closes is None:
            return [opens]
        closes = sql.value_of(kpi.stock.closes)
        still = before(sql, kpi.stock.closes, "s.at", "s.at_day")
        return [f"{opens} AND ({closes} IS NULL OR NOT ({still}))"]
    name = anchor(kpi)
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


def before(sql: Sql, name: str, moment: str, day: str) -> str:
    """True when the column's moment lies before an instant: a date when its day is over, one that dawns when it came.

    Null opens are rows known from the start.
    """
    column = sql.column(name)
    if column.type == "instant" and column.epoch:
        return f"COALESCE({sql.value_of(name)}, {moment} - 1) < {moment}"
    if column.type == "date":
        return f"COALESCE({column.sql}, '0001-01-01') {'<=' if column.dawns else '<'} {day}"
    return f"COALESCE(epoch({column.sql}), {moment} - 1) < {moment}"


def instant(sql: Sql, name: str) -> str:
    """Any column as epoch seconds: a date is the start of its local day."""
    column = sql.column(name)
    value = sql.value_of(name)
    return value if column.epoch else f"epoch({value})"


def anchor(kpi: Kpi) -> str | None:
    """The column that places a row in time; None: every row known at as_of."""
    if kpi.stock is not None or kpi.filled is not None:
        return None
    return kpi.date


def axis(kpi: Kpi, sql: Sql) -> tuple[str, bool]:
    """The stored column of f that places rows in a slice, and whether it holds dates; none where an expression does."""
    if kpi.stock is not None or kpi.filled is not None:
        return (KNOWN if sql.relation.versioned else ""), False
    if kpi.date is None:
        return "", False
    column = sql.column(kpi.date)
    name = column.sql.removeprefix("f.")
    stored = column.sql.startswith("f.") and name.isidentifier() and (column.type == "date" or column.epoch)
    return (name if stored else ""), column.type == "date"


def rate_day(kpi: Kpi, sql: Sql) -> str:
    """The day whose rate converts a row: its anchor's for flows, the slice's own for stocks (G10)."""
    name = anchor(kpi)
    if kpi.stock is not None or name is None:
        return "s.at_day"
    column = sql.column(name)
    return column.sql if column.type == "date" else f"local_day({column.sql})"


def local_day(kpi: Kpi, sql: Sql) -> str:
    """The local day the KPI's date places a row on."""
    column = sql.column(kpi.date or "created_at")
    return column.sql if column.type == "date" else f"local_day({column.sql})"


def neighbours(relation: Relation) -> str:
    """Of a version: from when to when it is known, its state, and that of the versions of the record beside it.

    Those two are null where there is none, or (where the rows do not say it themselves) none within the slice.
    """
    state = f"f.{relation.state}" if relation.state else "''"
    fact = next((fact for fact in FACTS.values() if fact.name == relation.source), None)
    if relation.state and fact is not None and set(NEIGHBOURS) <= set(fact.columns):
        before, after = (f"f.{name}" for name in NEIGHBOURS)
    else:
        # Of most of a stock nothing begins or ends in the slice, and who came before or after is not asked.
        earlier = _beside(relation, state, "v.known_to = f.known_from", "DESC")
        later = _beside(relation, state, "v.known_from = f.known_to", "ASC")
        before = f"(CASE WHEN f.known_from >= s.since THEN {earlier} END)"
        after = f"(CASE WHEN f.known_to < s.at THEN {later} END)"
    return f"f.known_from AS begins, f.known_to AS ends, {state} AS state, {before} AS came_from, {after} AS went_to"


def _beside(relation: Relation, state: str, is_next: str, way: str) -> str:
    return (
        f"(SELECT COALESCE({state.replace('f.', 'v.')}, '') FROM {relation.source} v WHERE v.id = f.id AND {is_next}"
        " AND (v.known_from, v.known_to) <> (f.known_from, f.known_to)"
        f" ORDER BY v.known_from {way}, v.known_to {way} LIMIT 1)"
    )
