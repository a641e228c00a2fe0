"""News or noise: the XmR chart of a KPI's own past (docs/definitions.md, after Wheeler)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scorecards.values import Signal

#: Below MINIMUM points nothing is said, below FULL only rule 1 and only "possible".
MINIMUM, FULL, MAX_BASELINE = 6, 12, 24


@dataclass(frozen=True, slots=True)
class Limits:
    """The usual range: mean, its limits, and the most two neighbours usually differ by."""

    mean: float
    mean_range: float
    lower: float
    upper: float
    range_limit: float


def limits(baseline: Sequence[float | None]) -> Limits:
    """Limits of a baseline, oldest first; None is a gap, no range is taken across it. Needs two values."""
    values = [v for v in baseline if v is not None]
    ranges = [abs(b - a) for a, b in itertools.pairwise(baseline) if a is not None and b is not None]
    mean = sum(values) / len(values)
    mean_range = sum(ranges) / len(ranges) if ranges else 0.0
    if mean_range and any(r > 3.5 * mean_range for r in ranges):
        # One wild range would widen the limits for all: the median forms are not moved by it.
        mean, mean_range = median(values), median(ranges)
        return Limits(mean, mean_range, mean - 3.145 * mean_range, mean + 3.145 * mean_range, 3.865 * mean_range)
    return Limits(mean, mean_range, mean - 2.66 * mean_range, mean + 2.66 * mean_range, 3.268 * mean_range)


def judge(points: Sequence[float | None], *, floor: float | None = None, ceiling: float | None = None) -> Signal:
    """Is the newest complete point news? `floor` and `ceiling` are what the KPI cannot pass (0, 100 %)."""
    values = [v for v in points if v is not None]
    if not points or points[-1] is None or len(values) < MINIMUM:
        return Signal("too_few_points", points=len(values))
    # Limits come from what went before: a point must not widen the range it is judged against.
    baseline = points[: min(max(len(points) - 1, MINIMUM - 1), MAX_BASELINE)][:FULL]
    usual = limits(baseline)
    newest = points[-1]
    low = usual.lower if floor is None else max(usual.lower, floor)
    high = usual.upper if ceiling is None else min(usual.upper, ceiling)
    rules = []
    # A side cut at what is possible raises no signal.
    outside_low = newest < usual.lower and low == usual.lower
    outside_high = newest > usual.upper and high == usual.upper
    before = points[-2] if len(points) > 1 else None
    jumped = before is not None and usual.range_limit > 0 and abs(newest - before) > usual.range_limit
    if outside_low or outside_high or jumped:
        rules.append(1)
    if len(values) >= FULL:
        if _same_side(points[-8:], usual.mean):
            rules.append(2)
        if _near_limit(points[-4:], usual):
            rules.append(3)
    result = "none" if not rules else ("signal" if len(values) >= FULL else "possible")
    direction = None if not rules else ("above" if newest > usual.mean else "below")
    return Signal(result, tuple(rules), usual.mean, low, high, len(values), direction)


def _same_side(points: Sequence[float | None], mean: float) -> bool:
    """Eight in a row on one side of the mean; a point on it, or a gap, breaks the run."""
    if len(points) < 8 or any(p is None or p == mean for p in points):
        return False
    above = [p > mean for p in points if p is not None]
    return all(above) or not any(above)


def _near_limit(points: Sequence[float | None], usual: Limits) -> bool:
    """Three of four in a row nearer a limit than the mean, on one side."""
    edge = 1.33 * usual.mean_range
    if len(points) < 4 or edge == 0:
        return False
    above = sum(1 for p in points if p is not None and p > usual.mean + edge)
    below = sum(1 for p in points if p is not None and p < usual.mean - edge)
    return above >= 3 or below >= 3
