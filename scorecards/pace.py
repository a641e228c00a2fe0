"""Where a target stands on its way: baseline kept, projection to the deadline, deadline passed (docs/definitions.md).

Pure functions of values and dates; which rows they come from is `targets`' to say, where they are kept `syncagent`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Literal

import orjson

#: Before a fifth of the way nothing is projected: a good first week is not a good year.
LEAST_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Kept:
    """A baseline as it was computed once, under which definition and for which target."""

    value: float | None
    n: int
    definition: str  # hash of the KPI's definition then
    target: str  # hash of what of the target it belongs to
    computed_on: date


@dataclass(frozen=True, slots=True)
class Agreed:
    """The baseline to judge by, whether it must be stored now, and what a reader must know of it."""

    baseline: Kept
    is_new: bool
    warning: str = ""


def definition_of(said: Mapping[str, Any]) -> str:
    """The hash of a definition: the same slots and parameters, the same hash, in whatever order they were written."""
    return sha256(orjson.dumps(dict(said), option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:16]


def agree(kept: Kept | None, fresh: Kept, *, rebaseline: bool = False) -> Agreed:
    """The baseline of a relative target: computed once and kept, however the past is restated since.

    A new one is made where none was kept, where the target now names another baseline, or where a person asks for it.
    A KPI defined anew keeps its old baseline, and says so: the two no longer measure the same.
    """
    if kept is None or rebaseline or kept.target != fresh.target:
        return Agreed(fresh, is_new=True)
    if kept.definition != fresh.definition:
        said = f"the definition changed after the baseline of {kept.computed_on.isoformat()}"
        return Agreed(kept, is_new=False, warning=said)
    return Agreed(kept, is_new=False)


def goal(base: float | None, change: float, *, points: bool = False) -> float | None:
    """The value wanted by the deadline: base x (1 + change), or base + change where points are meant.

    None where the baseline is unknown or not above 0: ten per cent more than nothing is nothing.
    """
    if base is None or (base <= 0 and not points):
        return None
    return base + change if points else base * (1 + change)


def projected(actual: float | None, weight: float) -> float | None:
    """Where a sum will end if it goes on as it has: actual / weight passed; None before a fifth has."""
    return actual / weight if actual is not None and weight >= LEAST_WEIGHT else None


def needed(target: float, actual: float | None, days_left: int) -> float | None:
    """What each working day left must bring; None when none is left. Below 0: already more than enough."""
    return (target - actual) / days_left if actual is not None and days_left > 0 else None


def glide_needed(target: float, value: float | None, periods_left: int) -> float | None:
    """By how much a rate or a stock must change each period left to be there in time."""
    return needed(target, value, periods_left)


@dataclass(frozen=True, slots=True)
class Deadline:
    """running, or passed and met or missed by the value it was judged by; that no longer changes."""

    state: Literal["running", "met", "missed", "not judged"]
    judged_on: date | None = None
    value: float | None = None


def at_deadline(
    due: date | None, today: date, want: str, target: float | None, value: float | None, frozen: Deadline | None = None
) -> Deadline:
    """A target's state on a day. `due` is its last day; `value` the one of the last complete period up to it.

    What was found when it passed is handed back as `frozen` from then on, whatever is restated later.
    """
    if due is None or today <= due:
        return Deadline("running")
    if frozen is not None and frozen.state in ("met", "missed"):
        return frozen
    if target is None or value is None:
        return Deadline("not judged", due)
    met = value >= target if want == "up" else value <= target
    return Deadline("met" if met else "missed", due, value)
