"""A list of one line for each value of a column: whom a figure is high for, or has fallen most for."""

from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.faces import Face, faces
from scorecards.figures import figure
from scorecards.periods import Slice
from scorecards.ratios import base_of
from scorecards.reading import unit_of
from scorecards.reasons import in_time, reason_of, said_of
from scorecards.tally import Tally, quantile
from scorecards.values import ActionList, ActionRow

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: Rows without a value in the column (`compiler.rows`).
_NOBODY = "(none)"


def ranked(
    evaluator: "Evaluator", shown: Kpi, kpi: Kpi, slice_: Slice, *, floor: float | None, without: Set[str]
) -> ActionList:
    """The KPI's figure for each value of `action.per`, the highest first (`order = "figure"`: the lowest).

    `floor`: only figures above it. `without`: values left out. With `fallen` those that are lower than in the period
    `shown` is compared with, the furthest first; with `below` those under a number, or a quantile of all that have rows
    enough for a figure. A value that is an account, contact or lead has its face.
    """
    action = kpi.action
    assert action is not None  # the caller looked
    assert action.per is not None  # the caller looked
    slices = [slice_, base_of(evaluator, shown, kpi, slice_)] if action.fallen else [slice_]
    parts = evaluator.parts(kpi, evaluator.rows(kpi, action.per), slices)
    now, before = _figures(kpi, parts[0]), _figures(kpi, parts[-1])
    limit = None
    if action.below is not None:
        now = _figures(kpi, parts[0], are_judged=True)
        limit = _limit(action.below, list(now.values()))
        found = {name: value for name, value in now.items() if limit is not None and value < limit}
    elif action.fallen:
        changes = {name: now.get(name, 0) - was for name, was in before.items()}
        found = {name: change for name, change in changes.items() if change < 0}
    else:
        found = {name: value for name, value in now.items() if floor is None or value > floor}
    found = {name: value for name, value in found.items() if name not in without}
    lowest_first = action.fallen or action.below is not None or action.order == "figure"
    order = sorted(found, key=lambda name: (found[name] if lowest_first else -found[name], name))
    unit = unit_of(kpi, evaluator.kpis, evaluator.compiler)
    listed = order[: action.limit]
    known = {
        id_: face
        for table in ("accounts", "contacts", "leads")
        for id_, face in faces(evaluator, table, listed).items()
    }
    rows = []
    for name in listed:
        face = known.get(name, Face())
        words = {"figure": _written(now.get(name, 0), unit), "before": _written(before.get(name, 0), unit)}
        words["limit"] = "" if limit is None else _written(limit, unit)
        amount = found[name] if unit == "money" else None
        title = face.title or said_of(action.per, name, evaluator)
        reason = reason_of(action.reason, {}, None, evaluator, **words)
        rows.append(ActionRow(name, title, face.url, face.owner, reason, amount))
    return ActionList(action.label, tuple(rows), len(order))


def _limit(said: float | str, figures: Sequence[float]) -> float | None:
    """A number, or the quantile of the figures; None where there are none."""
    if not isinstance(said, str):
        return said
    return quantile(sorted(figures), 0.5 if said == "median" else int(said[1:]) / 100) if figures else None


def _figures(kpi: Kpi, parts: Mapping[str, Tally], *, are_judged: bool = False) -> dict[str, float]:
    """The figure of each value, however few rows make it (a list ranks), unless they `are_judged` by it."""
    plain = kpi if are_judged else kpi.model_copy(update={"n_min": 0})
    values = {name: figure(plain, tally).value for name, tally in parts.items() if name != _NOBODY}
    return {name: value for name, value in values.items() if value is not None}


def _written(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value:.1%}"
    if unit == "seconds":
        return in_time(round(value))
    return f"{value:,.0f}" if unit in ("money", "count") or float(value).is_integer() else f"{value:,.1f}"
