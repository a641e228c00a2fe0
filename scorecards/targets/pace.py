"""Where a target stands on its way: baseline kept, projection to the deadline, deadline passed (docs/definitions.md).

Pure functions of values and dates; which rows they come from is for `result` and `progress` to say, where they are
kept for `syncagent.pledges`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

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
    start: date  # the days it was computed over: [start, end)
    end: date


@dataclass(frozen=True, slots=True)
class Agreed:
    """The baseline to judge by, whether it must be stored now, and what a reader must know of it."""

    baseline: Kept
    is_new: bool
    warning: str = ""

    @property
    def can_be_kept(self) -> bool:
        """Is it known, of days that are over, and not kept already?"""
        return self.is_new and self.baseline.value is not None and self.baseline.end <= self.baseline.computed_on

    def to_json(self) -> dict[str, Any]:
        """Its public form: `target.baseline` of `kpi show --json`."""
        kept = self.baseline
        return {
            "value": kept.value,
            "n": kept.n,
            "start": kept.start.isoformat(),
            "end": kept.end.isoformat(),
            "computed_on": kept.computed_on.isoformat(),
            "kept": not self.is_new,
            "warning": self.warning or None,
        }


def agree(kept: Kept | None, fresh: Kept) -> Agreed:
    """The baseline of a relative target: computed once and kept, however the past is restated since.

    A new one is made where none was kept (a person may have asked for that), or where the target now names another.
    A KPI defined anew keeps its old baseline, and says so: the two no longer measure the same.
    """
    if kept is None or kept.target != fresh.target:
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


State = Literal["running", "met", "missed", "not judged"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """running, or passed and met or missed by the value it was judged by; that no longer changes."""

    state: State
    judged_on: date | None = None
    value: float | None = None


def at_deadline(
    due: date,
    today: date,
    want: str,
    target: float | tuple[float, float] | None,
    value: float | None,
) -> Deadline:
    """A target's state on a day. `due` is its last day; `value` the one of the last complete period up to it.

    `target` is a pair of edges, both included, where `want` is "between".
    """
    if today <= due:
        return Deadline("running")
    if target is None or value is None:
        return Deadline("not judged", due)
    if isinstance(target, tuple):
        met = target[0] <= value <= target[1]
    else:
        met = value >= target if want == "up" else value <= target
    return Deadline("met" if met else "missed", due, value)


@dataclass(frozen=True, slots=True)
class Progress:
    """A target between its first day and its deadline, as it stood before the day `now`.

    `value` is what there is: of a sum on its way from a baseline the total since `start`, else the value shown; once
    the deadline has passed the one it was judged by. `verdict` compares it with what the path `expected`.
    """

    start: date | None
    end: date  # the first day after the deadline
    now: date
    state: State
    goal: float | None
    value: float | None
    expected: float | None = None
    verdict: str | None = None  # green | amber | red
    path: str | None = None
    passed: float | None = None  # the share of the way its path says has passed
    projected: float | None = None  # where a sum ends if it goes on as it has
    needed_rate: float | None = None  # what each working day left must bring
    needed_per_period: float | None = None  # by how much a rate or a stock must change each whole period left
    accrues: bool = False  # a sum over the whole way, rather than the value of a period

    def to_json(self) -> dict[str, Any]:
        """Its public form: `target.progress` of `kpi show --json`."""
        gap = None if self.value is None or self.expected is None else self.value - self.expected
        return {
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat(),
            "now": self.now.isoformat(),
            "state": self.state.replace(" ", "_"),
            "goal": self.goal,
            "value": self.value,
            "expected": self.expected,
            "gap": gap,
            "verdict": self.verdict,
            "path": self.path,
            "passed": self.passed,
            "projected": self.projected,
            "needed_rate": self.needed_rate,
            "needed_per_period": self.needed_per_period,
        }


@dataclass(frozen=True, slots=True)
class Pledges:
    """What is kept of targets: baselines, and how those whose deadline passed came out; each by (KPI, mark)."""

    baselines: Mapping[tuple[str, str], Kept] = field(default_factory=dict)
    ends: Mapping[tuple[str, str], Deadline] = field(default_factory=dict)
