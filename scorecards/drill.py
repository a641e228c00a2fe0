"""Behind a number: the records that make it, and those somebody must touch.

Everything here reads the compiler's row statement, so a list can never disagree with its figure.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scorecards.compiler import Rows
from scorecards.conditions import in_words
from scorecards.definition import Kpi
from scorecards.figures import scaled
from scorecards.periods import Slice
from scorecards.plan import is_stock
from scorecards.question import question_of
from scorecards.ratios import sides_of
from scorecards.slots import Action, Stock
from scorecards.tally import Tally, number, tallies, together
from scorecards.values import ActionList, ActionRow

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: What a record is called, and where a person finds it: (title, url, owner) in SQL over `t` and its owner `u`.
_TITLES = {
    "opportunities": "t.name",
    "accounts": "t.name",
    "leads": "COALESCE(t.name, t.company)",
    "tickets": "t.subject",
    "contacts": "trim(COALESCE(t.first_name, '') || ' ' || COALESCE(t.last_name, ''))",
    "activities": "COALESCE(t.subject, t.type)",
}
_SURVEYS = (
    "SELECT t.id, COALESCE(k.subject, 'Answer ' || t.source_id), COALESCE(t.url, k.url), u.name, NULL, NULL,"
    " t.responded_at FROM survey_responses t LEFT JOIN tickets k ON k.id = t.ticket_id"
    " LEFT JOIN users u ON u.id = k.owner_id"
)
_REASONS = {
    "null": "needs a value",
    "no_fx": "no exchange rate",
    "open": "not finished",
    "negative": "ends before it begins",
    "immature": "too young to be judged",
    "new": "new in the period",
    "reactivated": "came back in the period",
}


def extras(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally) -> dict[str, Any]:
    """Figures that belong to one form or relation: bridges of stocks, movements of customers, linked pairs."""
    if kpi.retain is not None:
        rows = evaluator.rows(kpi, movements=True)
        moved = together(tallies(evaluator.conn, rows, [slice_], singly=False)[0]).excluded
        return {
            "attrition": (tally.n - tally.hits) / tally.n if tally.n else None,
            "active_end": tally.hits + sum(moved.values()),
            "new": moved.get("new", 0),
            "reactivated": moved.get("reactivated", 0),
        }
    if kpi.filled is not None:
        return {"fully_complete": tally.hits / tally.n if tally.n else None}
    if kpi.of == "tickets" and kpi.stock is not None and kpi.share is None and kpi.agg == "count":
        return _ticket_bridge(evaluator, kpi, slice_)
    if kpi.of == "opportunities" and kpi.agg == "sum" and not is_stock(kpi):
        return _linked(evaluator.conn)
    return {}


def _ticket_bridge(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """opening + created + reopened - closed = closing, and the ids at the end."""
    entered = dict(
        evaluator.conn.execute(
            "SELECT entry, COUNT(*) FROM fact_tickets WHERE known_from >= ? AND known_from < ? GROUP BY entry",
            (slice_.since, slice_.at),
        ).fetchall()
    )
    opening = evaluator.conn.execute(
        "SELECT COUNT(*) FROM fact_tickets WHERE is_closed = 0 AND known_from < ?1 AND known_to >= ?1",
        (slice_.since,),
    ).fetchone()[0]
    plain = set(kpi.where) == {"is_closed"}
    ids = [row["id"] for row in _rows(evaluator, evaluator.rows(kpi), slice_, limit=200)]
    bridge = {"opening": opening, "created": entered.get("created", 0), "closed": entered.get("closed", 0)}
    bridge["reopened"] = entered.get("reopened", 0)
    return {**(bridge if plain else {}), "ids": sorted(ids)}


def _linked(conn: sqlite3.Connection) -> dict[str, Any]:
    """Deals kept in both CRMs and counted once, and copies whose original was never synced."""
    pairs = conn.execute(
        "SELECT COUNT(*) FROM opportunities WHERE dup_of IS NOT NULL AND is_deleted = 0 AND is_test = 0"
    ).fetchone()[0]
    orphans = conn.execute(
        "SELECT COUNT(*) FROM opportunities WHERE sf_opportunity_id IS NOT NULL AND dup_of IS NULL"
        " AND source <> 'salesforce' AND is_deleted = 0 AND merged_into IS NULL AND is_test = 0"
        " AND NOT EXISTS (SELECT 1 FROM opportunities d WHERE d.dup_of = opportunities.id)"
    ).fetchone()[0]
    return {"linked_pairs": pairs, "orphan_links": orphans}


# -- rows that need a hand ------------------------------------------------------------------------------------


def actions(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally | None = None) -> ActionList | None:
    """The KPI's action list over the slice shown (or as things stand, where the action says so)."""
    action = kpi.action
    if action is None or kpi.of is None or kpi.retain is not None:
        return None
    wanted = _as_asked(kpi, action, slice_)
    relation = evaluator.compiler.relation(wanted)
    named = re.findall(r"{(\w+(?:\.\w+)*)}", action.reason)
    order, descending = (action.order or "").lstrip("-"), (action.order or "").startswith("-")
    show = [n for n in dict.fromkeys([*named, order, *action.show]) if n and n not in ("age", "measure", "gap")]
    show = [n for n in show if evaluator.compiler.language.column(relation, n) is not None]
    born = evaluator.compiler.language.column(relation, "created_at")
    if "age" in named and born is not None:
        show.append("created_at")
    rows = evaluator.compiler.rows(wanted, relation, question_of(wanted), show=show)
    by = {"measure": "x", "gap": "y - x"}.get(order) or (f"c{show.index(order)}" if order in show else "id")
    only = {"measure": "why IS NULL", "gap": "x < y"}.get(order, "1")
    way = "DESC" if descending else "ASC"
    found = list(_rows(evaluator, rows, slice_, only=only, order=f"{by} IS NULL, {by} {way}, id", limit=action.limit))
    if not found:
        return ActionList(action.label, (), 0)
    total = len(found)
    if total == action.limit and kpi.filled is not None and tally is not None and not action.where:
        total = tally.n - tally.hits  # counted already
    elif total == action.limit:
        counted = f"SELECT COUNT(*) FROM ({rows.sql}) WHERE {only}"
        total = evaluator.conn.execute(counted, rows.of(slice_)).fetchone()[0]
    faces = _faces(evaluator, relation.needs_table, [row["id"] for row in found])
    made = []
    for row in found:
        shown = {name: row[f"c{number}"] for number, name in enumerate(show)}
        title, url, owner, minor, currency, day = faces.get(row["id"], (None,) * 6)
        factor = _factor(evaluator, currency, day)
        made.append(
            ActionRow(
                row["id"],
                title or "(no name)",
                url,
                owner,
                _reason(action.reason or _told(action.show), shown, row, evaluator),
                float(minor * factor) if minor is not None and factor is not None else None,
            )
        )
    return ActionList(action.label, tuple(made), total)


def _as_asked(kpi: Kpi, action: Action, slice_: Slice) -> Kpi:
    """The KPI whose rows the action lists: its own further filtered, or the records as they stand."""
    changes: dict[str, Any] = {"where": {**kpi.where, **action.where}, "latest_per": kpi.latest_per}
    if action.open_now:
        stock = kpi.stock or Stock(opens="created_at")
        changes = {"where": {**(kpi.where if is_stock(kpi) else {}), **action.where}, "stock": stock}
        if kpi.filled is None:
            changes |= {"share": None, "cohort": None, "duration": None, "mature": None, "date": None, "unless": None}
        else:
            changes.pop("stock")
        changes |= {"agg": kpi.agg if kpi.filled is not None else "count"}
    return kpi.model_copy(update=changes)


def _rows(
    evaluator: "Evaluator", rows: Rows, slice_: Slice, *, only: str = "1", order: str = "id", limit: int = -1
) -> Iterator[dict[str, Any]]:
    statement = f"SELECT * FROM ({rows.sql}) WHERE {only} ORDER BY {order} LIMIT {limit}"
    cursor = evaluator.conn.execute(statement, rows.of(slice_))
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _faces(evaluator: "Evaluator", table: str, ids: Sequence[str]) -> Mapping[str, tuple[Any, ...]]:
    """id -> (title, url, owner, amount_minor, currency, day of its rate)."""
    marks = ", ".join("?" * len(ids))
    if table == "survey_responses":
        rows = evaluator.conn.execute(f"{_SURVEYS} WHERE t.id IN ({marks})", tuple(ids))
    else:
        types = evaluator.reporting.tables.get(table, {})
        money = "t.amount_minor, t.currency" if "amount_minor" in types else "NULL, NULL"
        day = "t.close_date" if "close_date" in types else "NULL"
        owner = "LEFT JOIN users u ON u.id = t.owner_id" if "owner_id" in types else "LEFT JOIN users u ON 0"
        rows = evaluator.conn.execute(
            f"SELECT t.id, {_TITLES.get(table, 't.source_id')}, t.url, u.name, {money}, {day} FROM {table} t {owner}"
            f" WHERE t.id IN ({marks})",
            tuple(ids),
        )
    return {row[0]: tuple(row)[1:] for row in rows}


def _factor(evaluator: "Evaluator", currency: str | None, day: str | None) -> Decimal | None:
    found = evaluator.rates.factor(currency, day)
    return None if found is None else Decimal(found)


def _reason(template: str, shown: Mapping[str, Any], row: Mapping[str, Any], evaluator: "Evaluator") -> str:
    """Fill the words of a row's reason: {age}, {measure}, or a column."""

    def word(found: re.Match[str]) -> str:
        name = found[1]
        if name == "age":
            return _age(shown.get("created_at"), int(evaluator.as_of.timestamp()))
        if name == "measure":
            return in_time(row["x"])
        return _said(name, shown.get(name), evaluator)

    return re.sub(r"{(\w+(?:\.\w+)*)}", word, template)


def _told(show: Sequence[str]) -> str:
    """The reason of an action that names columns to show instead."""
    return " · ".join(f"{name.replace('_', ' ').replace('.', ' ')}: {{{name}}}" for name in show)


def _age(created: Any, now: int) -> str:
    if isinstance(created, str):
        created = int(datetime.fromisoformat(created).timestamp())
    return in_time(now - created) if created is not None else "an unknown time"


def in_time(seconds: int | None) -> str:
    """A duration in its largest whole unit: "46 days", "3 hours", "12 minutes"."""
    if seconds is None:
        return "an unknown time"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "under a minute"


def _said(name: str, value: Any, evaluator: "Evaluator") -> str:
    if value is None or value == "":
        return {"loss_reason": "no reason given", "comment": "no comment"}.get(name, "not set")
    if isinstance(value, int) and name.endswith("_at"):
        return f"{datetime.fromtimestamp(value, UTC).astimezone(evaluator.zone):%-d %b %Y}"
    if isinstance(value, str) and name.endswith("_date"):
        return f"{date.fromisoformat(value):%-d %b %Y}"
    return str(value)


# -- explain --------------------------------------------------------------------------------------------------


def explain(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """`kpi explain`: the filters in words, the statement, its values, and every record with its part in it."""
    figure = evaluator.figures(kpi, [slice_])[0]
    found: dict[str, Any] = {
        "kpi": kpi.id,
        "value": figure.value,
        "status": figure.status,
        "filters": words(kpi),
        "sql": kpi.sql or "",
        "parameters": dict(kpi.params),
        "records": [],
        "sources": [],
    }
    if kpi.ratio is not None:
        found["of"] = [
            explain(evaluator, evaluator.kpis[name], side) | {"period": f"{side.day_start}..{side.day_end}"}
            for name, side in sides_of(evaluator, kpi, slice_)
        ]
        return found
    if kpi.sql is not None:
        return found
    rows = evaluator.rows(kpi, movements=True)
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    table = {"purchases": "opportunities", "customer_spans": "accounts"}.get(relation.name, relation.name)
    urls = dict(evaluator.conn.execute(f"SELECT id, url FROM {table} WHERE url IS NOT NULL").fetchall())
    found["sql"] = " ".join(rows.sql.split())
    found["parameters"] |= rows.of(slice_)
    two_sided = kpi.share is not None or kpi.cohort is not None or kpi.retain is not None
    for row in _rows(evaluator, rows, slice_):
        if row["why"] is not None:
            role = "excluded"
        elif not two_sided:
            role = "both" if kpi.filled is not None else "numerator"
        else:
            role = "both" if row["hit"] else "denominator"
        reason = _REASONS.get(row["why"], row["why"]) if row["why"] else None
        record = {"id": row["id"], "url": urls.get(row["id"]), "role": role, "reason": reason}
        if not two_sided or question_of(kpi).weight == "amount":
            record["measure"] = _measured(kpi, row)
        if kpi.filled is not None:
            record["required"] = row["y"]
        found["records"].append(record)
    return found


def _measured(kpi: Kpi, row: Mapping[str, Any]) -> Any:
    """A record's part in the value, in the value's own unit: converted money, answers on their scale."""
    if row["x"] is None or isinstance(row["x"], str):
        return row["x"]
    return scaled(kpi, row["x"] if row["rate"] is None else number(Decimal(row["x"]) * Decimal(row["rate"])))


def words(kpi: Kpi) -> list[str]:
    """What is counted and how it is narrowed, as short phrases."""
    said = [f"{kpi.agg} of {kpi.field.replace('_', ' ')}" if kpi.field else kpi.agg]
    if kpi.of:
        said.append(f"over {kpi.of.replace('_', ' ')} that are not deleted, merged, duplicates or tests")
    said += in_words(kpi.where)
    if kpi.date:
        said.append(f"placed by {kpi.date.replace('_', ' ')}")
    if kpi.share:
        said.append(f"counted on top: {' and '.join(in_words(kpi.share))}")
    if kpi.cohort:
        said.append(f"reaching {kpi.cohort.reaches.replace('_', ' ')} within {kpi.cohort.within // 86400} days")
    if kpi.unless:
        said.append(f"without {kpi.unless.reaches.replace('_', ' ')} within {kpi.unless.within // 86400} days")
    if kpi.duration:
        slot = kpi.duration
        said.append(f"time from {slot.from_} to {slot.to}, {slot.clock} clock".replace("_", " "))
    if kpi.ratio:
        said = [f"{kpi.ratio.top} over {kpi.ratio.bottom}"]
    if kpi.sql:
        said = ["as the statement says"]
    return said
