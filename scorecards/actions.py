"""The rows behind a number that somebody must touch, each with its face: title, link, owner, reason.

Reads the compiler's row statement, so a list can never disagree with its figure.
"""

import re
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi
from scorecards.periods import Slice
from scorecards.plan import is_stock
from scorecards.question import question_of
from scorecards.ratios import own_slice
from scorecards.relations.column import standing
from scorecards.slots import Action, Stock
from scorecards.tally import Tally
from scorecards.values import ActionList, ActionRow

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: What a record is called, and where a person finds it: (title, url, owner) in SQL over `t` and its owner `u`.
_TITLES = {
    "opportunities": "t.name",
    "accounts": "t.name",
    "leads": "COALESCE(t.name, t.company)",
    "tickets": "t.subject",
    "contacts": "COALESCE(NULLIF(trim(COALESCE(t.first_name, '') || ' ' || COALESCE(t.last_name, '')), ''),"
    " t.email_norm)",
    "activities": "COALESCE(t.subject, t.type)",
    "email_events": "COALESCE((SELECT c.email_norm FROM contacts c WHERE c.id = t.contact_id), 'Mail ' || t.send_id)",
    "users": "t.name",
}
_LATEST = 7_258_118_400  # 2200-01-01: milliseconds are no seconds
#: What is said of a column without a value.
_UNSET = {"loss_reason": "no reason given", "comment": "no comment", "last_outbound_at": "never"}
_SURVEYS = (
    "SELECT t.id, COALESCE(k.subject, 'Answer ' || t.source_id), COALESCE(t.url, k.url), u.name, NULL, NULL,"
    " t.responded_at FROM survey_responses t LEFT JOIN tickets k ON k.id = t.ticket_id"
    f" LEFT JOIN users u ON u.id = {standing('k.owner_id')}"
)
#: Rows of the agent's own book: named by whose they are, found where their source is.
_OWN_FACES = {
    "sync_state": (
        "SELECT t.source_name || ' ' || t.stream AS id, t.source_name || ' ' || t.stream, o.url, NULL, NULL, NULL, NULL"
        " FROM sync_state t LEFT JOIN sources o ON o.source_name = t.source_name"
    ),
    "sync_runs": (
        "SELECT CAST(t.id AS TEXT) AS id, t.source_name || ' ' || t.stream, o.url, NULL, NULL, NULL, NULL"
        " FROM sync_runs t LEFT JOIN sources o ON o.source_name = t.source_name"
    ),
    "deliveries": "SELECT CAST(t.id AS TEXT) AS id, t.scorecard, NULL, NULL, NULL, NULL, NULL FROM deliveries t",
}
#: What several CRMs keep may be a person, a company or a deal.
_OWN_FACES["entity_links"] = " UNION ALL ".join(
    f"SELECT t.id, {_TITLES[name]}, t.url, u.name, NULL, NULL, NULL"
    f" FROM {name} t LEFT JOIN users u ON u.id = {standing('t.owner_id')}"
    for name in ("contacts", "accounts", "opportunities")
)


def actions_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally | None = None) -> ActionList | None:
    """The KPI's action list over the slice shown (or as things stand, where the action says so)."""
    action = kpi.action
    if action is not None and action.kpi is not None:
        listed = {"action": action.model_copy(update={"kpi": None})}
        part = evaluator.part(kpi, action.kpi).model_copy(update=listed)
        return actions_of(evaluator, part, own_slice(evaluator, part, slice_))
    if action is None or kpi.of is None or kpi.retain is not None:
        return None
    wanted = _as_asked(kpi, action, slice_)
    relation = evaluator.compiler.relation(wanted, evaluator.customer_model(wanted))
    named = re.findall(r"{(\w+(?:\.\w+)*)}", action.reason)
    order, descending = (action.order or "").lstrip("-"), (action.order or "").startswith("-")
    show = [
        n
        for n in dict.fromkeys([*named, order, action.amount, *action.show])
        if n and n not in ("age", "measure", "gap")
    ]
    show = [n for n in show if evaluator.compiler.language.column(relation, n) is not None]
    born = evaluator.compiler.language.column(relation, "created_at")
    if "age" in named and born is not None:
        show.append("created_at")
    if relation.party:
        show.append(relation.party)
    rows = evaluator.compiler.rows(wanted, relation, question_of(wanted), show=show)
    by = {"measure": "x", "gap": "y - x"}.get(order) or (f"c{show.index(order)}" if order in show else "id")
    only = {"measure": "why IS NULL", "gap": "x < y"}.get(order, "1")
    only = "why IS NULL AND NOT hit" if action.missed else only
    way = "DESC" if descending else "ASC"
    order = f"{by} IS NULL, {by} {way}, id"
    found = evaluator.answers.listed(rows, slice_, only=only, order=order, limit=action.limit)
    if not found:
        return ActionList(action.label, (), 0)
    total = len(found)
    if total == action.limit and kpi.filled is not None and tally is not None and not action.where:
        total = tally.n - tally.hits  # counted already
    elif total == action.limit:
        total = evaluator.answers.counted(rows, slice_, only)
    known = faces(evaluator, relation.stands_for or relation.needs_table, [row["id"] for row in found])
    parties = _parties(evaluator, {row[f"c{len(show) - 1}"] for row in found}) if relation.party else {}
    made = []
    for row in found:
        shown = {name: row[f"c{number}"] for number, name in enumerate(show)}
        title, url, owner, minor, currency, day = known.get(row["id"], (None,) * 6)
        whose = parties.get(shown.get(relation.party or "") or "", (None, None))
        title, url = (whose[0], whose[1] or url) if whose[0] else (title, url)
        factor = _factor(evaluator, currency, day)
        amount = float(minor * factor) if minor is not None and factor is not None else None
        made.append(
            ActionRow(
                row["id"],
                title or "(no name)",
                url,
                owner,
                _reason(action.reason or _told(action.show), shown, row, evaluator),
                amount if action.amount is None else _number(shown.get(action.amount)),
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


def faces(evaluator: "Evaluator", table: str, ids: Sequence[str]) -> Mapping[str, tuple[Any, ...]]:
    """id -> (title, url, owner, amount_minor, currency, day of its rate)."""
    marks = ", ".join("?" * len(ids))
    if table == "survey_responses":
        rows = evaluator.conn.execute(f"{_SURVEYS} WHERE t.id IN ({marks})", tuple(ids))
    elif table in _OWN_FACES:
        rows = evaluator.conn.execute(f"SELECT * FROM ({_OWN_FACES[table]}) WHERE id IN ({marks})", tuple(ids))
    else:
        types = evaluator.reporting.tables.get(table, {})
        money = "t.amount_minor, t.currency" if "amount_minor" in types else "NULL, NULL"
        day = "t.close_date" if "close_date" in types else "NULL"
        owner = (
            f"LEFT JOIN users u ON u.id = {standing('t.owner_id')}" if "owner_id" in types else "LEFT JOIN users u ON 0"
        )
        rows = evaluator.conn.execute(
            f"SELECT t.id, {_TITLES.get(table, 't.source_id')}, t.url, u.name, {money}, {day} FROM {table} t {owner}"
            f" WHERE t.id IN ({marks})",
            tuple(ids),
        )
    return {row[0]: tuple(row)[1:] for row in rows}


def _number(value: Any) -> float | None:
    """What a CRM calls a number may be a text."""
    return float(value) if isinstance(value, int | float) else None


def _parties(evaluator: "Evaluator", ids: Set[str]) -> dict[str, tuple[Any, ...]]:
    """id -> (title, url, …) of accounts, contacts and leads."""
    wanted = sorted(ids)
    return {
        id_: face for name in ("accounts", "contacts", "leads") for id_, face in faces(evaluator, name, wanted).items()
    }


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
    at = _epoch(created)
    return in_time(now - at) if at is not None else "an unknown time"


def _epoch(value: Any) -> int | None:
    """Epoch seconds of an instant as rows hold them, None of anything else: a custom field may hold what it likes."""
    if isinstance(value, int):
        return value if abs(value) < _LATEST else None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


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
        return _UNSET.get(name, "not set")
    if name.endswith("_at") and (at := _epoch(value)) is not None:
        return f"{datetime.fromtimestamp(at, evaluator.zone):%-d %b %Y}"
    if name.endswith("_date") and (day := _day(value)) is not None:
        return f"{day:%-d %b %Y}"
    return str(value)


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        return None
