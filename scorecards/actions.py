"""The rows behind a number that somebody must touch, each with its face: title, link, owner, reason.

Reads the compiler's row statement, so a list can never disagree with its figure.
"""

import json
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from scorecards.compiler import Rows
from scorecards.definition import Kpi
from scorecards.faces import Face, faces
from scorecards.periods import Slice
from scorecards.plan import instant, is_stock
from scorecards.question import question_of
from scorecards.ranked import ranked
from scorecards.ratios import own_slice
from scorecards.reasons import WORD, reason_of, told_of
from scorecards.relations import Relation
from scorecards.slots import Action, Stock, Without
from scorecards.tally import Tally, aggregate, together
from scorecards.values import ActionList, ActionRow

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Words of an order that are no columns.
_MADE = ("age", "measure", "gap", "figure", "before", "limit")


def actions_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice, tally: Tally | None = None) -> ActionList | None:
    """The KPI's action list over the slice shown (or as things stand, where the action says so)."""
    action = kpi.action
    if action is None:
        return None
    if not action.kpi:
        return _listed(evaluator, kpi, kpi, slice_, tally) if kpi.of is not None else None
    found = []
    for name in action.kpi:
        part = evaluator.part(kpi, name)
        if not evaluator.holds(evaluator.needed_table(part)):
            continue  # nothing of the kind is kept: what else is listed stands alone
        own = action.model_copy(update={"kpi": ()})
        if len(action.kpi) > 1:  # of several each says its own order and words
            own = (part.action or own).model_copy(update={"label": action.label, "limit": action.limit})
        part = part.model_copy(update={"action": own})
        found.append(_listed(evaluator, kpi, part, own_slice(evaluator, part, slice_)))
    in_turn = [row for row in chain.from_iterable(zip_longest(*(one.rows for one in found))) if row is not None]
    return ActionList(action.label, tuple(in_turn[: action.limit]), sum(one.total for one in found))


def _listed(evaluator: "Evaluator", shown: Kpi, kpi: Kpi, slice_: Slice, tally: Tally | None = None) -> ActionList:
    """The list of a KPI's own rows; `shown` is the one it stands under, `tally` that of the rows where it is known."""
    action = kpi.action
    assert action is not None  # the caller looked
    if action.open_now and kpi.filled is None:
        slice_ = instant(evaluator.as_of, evaluator.zone)  # who is to act on it can change nothing at a period's end
    wanted = _as_asked(kpi, action, slice_)
    floor = _floor(evaluator, shown, action, slice_)
    without = _held_by(evaluator, shown, action.without, slice_) if action.without is not None else None
    if action.per is not None:
        return ranked(evaluator, shown, wanted, slice_, floor=floor, without=without or frozenset())
    asked = _Asked.of(evaluator, wanted, floor, without)
    found = asked.read(evaluator, slice_, action.limit)
    total = len(found)
    if total == action.limit and kpi.filled is not None and tally is not None and not action.where:
        total = tally.n - tally.hits  # counted already
    elif total == action.limit:
        total = asked.count(evaluator, slice_)
    return ActionList(action.label, tuple(_rows(evaluator, wanted, asked, found)), total)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A list's statement: its rows, the columns shown, which of them and in what order."""

    relation: Relation
    rows: Rows
    narrow: Rows | None  # without what is only shown
    show: Sequence[str]
    only: str
    order: str

    @classmethod
    def of(cls, evaluator: "Evaluator", kpi: Kpi, floor: float | None, without: Set[str] | None) -> "_Asked":
        action = kpi.action
        assert action is not None  # the caller looked
        compiler = evaluator.compiler
        relation = compiler.relation(kpi, evaluator.customer_model(kpi))
        order, descending = (action.order or "").lstrip("-"), (action.order or "").startswith("-")
        named = re.findall(WORD, action.reason)
        key = action.without.key if action.without is not None else None
        wanted = dict.fromkeys([*named, order, action.amount, *action.show, key, relation.party])
        show = [n for n in wanted if n and n not in _MADE and compiler.language.column(relation, n) is not None]
        # What decides which rows are listed comes first, so that it has the same place where there is nothing else.
        decides = [name for name in dict.fromkeys([order, key]) if name and name in show]
        show = [*decides, *(name for name in show if name not in decides)]
        if "age" in named and compiler.language.column(relation, "created_at") is not None:
            show.append("created_at")
        rows = compiler.rows(kpi, relation, question_of(kpi), show=show)
        by = {"measure": "x", "gap": "y - x"}.get(order) or (f"c{show.index(order)}" if order in show else "id")
        tests = [{"measure": "why IS NULL", "gap": "x < y"}.get(order, "")]
        tests.append("why IS NULL AND NOT hit" if action.missed else "why IS NULL" if kpi.retain is not None else "")
        values: dict[str, Any] = {}
        if floor is not None:
            tests.append("why IS NULL AND x * CAST(COALESCE(rate, 1) AS REAL) > :list_floor")  # money: in major units
            values["list_floor"] = floor
        if without is not None and key is not None:
            tests.append(f"c{show.index(key)} NOT IN (SELECT value FROM json_each(:list_without))")
            values["list_without"] = json.dumps(sorted(without))
        only = " AND ".join(filter(None, tests)) or "1"
        way = "DESC" if descending else "ASC"
        narrow = None
        if len(show) > len(decides) and kpi.retain is None:  # who was kept is looked up once it is known whose it is
            narrow = compiler.rows(kpi, relation, question_of(kpi), show=decides)
            narrow = replace(narrow, values={**narrow.values, **values})
        whole = replace(rows, values={**rows.values, **values})
        return cls(relation, whole, narrow, show, only, f"{by} IS NULL, {by} {way}, id")

    def read(self, evaluator: "Evaluator", slice_: Slice, limit: int) -> list[dict[str, Any]]:
        answers = evaluator.answers
        return answers.listed(self.rows, slice_, only=self.only, order=self.order, limit=limit, narrow=self.narrow)

    def count(self, evaluator: "Evaluator", slice_: Slice) -> int:
        return evaluator.answers.counted(self.narrow or self.rows, slice_, self.only)


def _rows(evaluator: "Evaluator", kpi: Kpi, asked: _Asked, found: Sequence[dict[str, Any]]) -> Sequence[ActionRow]:
    action, relation = kpi.action, asked.relation
    assert action is not None  # the caller looked
    table = "accounts" if kpi.retain is not None else relation.stands_for or relation.needs_table
    known = faces(evaluator, table, [row["id"] for row in found]) if found else {}
    party = f"c{asked.show.index(relation.party)}" if relation.party else None
    parties = _parties(evaluator, {row[party] for row in found if row[party]}) if party else {}
    made = []
    for row in found:
        shown = {name: row[f"c{number}"] for number, name in enumerate(asked.show)}
        face = known.get(row["id"], Face())
        whose = parties.get(row[party] or "", Face()) if party else Face()
        title, url = (whose.title, whose.url or face.url) if whose.title else (face.title, face.url)
        made.append(
            ActionRow(
                row["id"],
                title or "(no name)",
                url,
                face.owner,
                reason_of(action.reason or told_of(action.show), shown, row["x"], evaluator),
                face.amount if action.amount is None else _number(shown.get(action.amount)),
            )
        )
    return made


def _floor(evaluator: "Evaluator", shown: Kpi, action: Action, slice_: Slice) -> float | None:
    """What a measure must be above to be listed: a number, or a quantile of the KPI shown."""
    if not isinstance(action.above, str):
        return action.above
    parts = evaluator.parts(shown, evaluator.rows(shown), [own_slice(evaluator, shown, slice_)], singly=True)
    return aggregate(together(parts[0]), action.above)


def _held_by(evaluator: "Evaluator", shown: Kpi, without: Without, slice_: Slice) -> frozenset[str]:
    """What another KPI's rows name in a column."""
    part = evaluator.part(shown, without.kpi)
    relation = evaluator.compiler.relation(part, evaluator.customer_model(part))
    rows = evaluator.compiler.rows(part, relation, question_of(part), show=[without.by])
    return frozenset(evaluator.answers.named(rows, own_slice(evaluator, part, slice_), "c0"))


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


def _number(value: Any) -> float | None:
    """What a CRM calls a number may be a text."""
    return float(value) if isinstance(value, int | float) else None


def _parties(evaluator: "Evaluator", ids: Set[str]) -> dict[str, Face]:
    """The faces of accounts, contacts and leads by their ids."""
    wanted = sorted(ids)
    return {
        id_: face for name in ("accounts", "contacts", "leads") for id_, face in faces(evaluator, name, wanted).items()
    }
