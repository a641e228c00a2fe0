"""News or noise: the XmR chart of a KPI's own past (docs/definitions.md, after Wheeler).

The chart is read as it was drawn: what is said of a point follows from that point and those before it, never from
later ones. Limits come from the first points of an era, are firm from 12 and locked at 24; a new era begins only when
the process has shifted (eight in a row on one side) or somebody declared a change.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scorecards.signal.season import season
from scorecards.values import SHIFTED, Signal

#: Below MINIMUM points nothing is said, below FULL only rule 1 and only "possible".
MINIMUM, FULL, MAX_BASELINE = 6, 12, 24
#: So many in a row on one side are a shift.
RUN = 8
#: A mean range below this share of the values is the last digit of a float: neighbours never differed.
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """The usual range: mean, its limits, and the most two neighbours usually differ by."""

    mean: float
    mean_range: float
    lower: float
    upper: float
    range_limit: float

    @property
    def has_width(self) -> bool:
        """Do they lie apart? Where no two neighbours ever differed nobody knows by how much they usually do."""
        return self.mean_range > _NOTHING * abs(self.mean)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a KPI cannot pass (0, 100 %). A limit cut there raises no signal."""

    floor: float | None = None
    ceiling: float | None = None

    def cut(self, usual: Limits) -> tuple[float, float]:
        """The limits as they are drawn."""
        low = usual.lower if self.floor is None else max(usual.lower, self.floor)
        high = usual.upper if self.ceiling is None else min(usual.upper, self.ceiling)
        return low, high


@dataclass(frozen=True, slots=True)
class Era:
    """A stretch of points with one usual range: from `first` until the next era's. `usual` None: too few points."""

    first: int
    reason: str  # "" at the start of history, "8 in a row", or what was declared
    usual: Limits | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One point as it was judged when it was the newest."""

    at: int  # its place among the points
    result: str  # as Signal.result
    rules: tuple[int, ...] = ()
    moved: bool = False  # by its distance from the point before it
    usual: Limits | None = None
    points: int = 0  # of its era, itself included
    era: int = 0  # the place its era begins at
    because: str = ""  # as Era.reason


@dataclass(frozen=True, slots=True)
class Judged:
    """What the chart says of its newest point, and the place its usual range begins at."""

    signal: Signal
    era: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """Every point as it was judged, and the eras with their limits, oldest first: old limits stay drawn."""

    readings: tuple[Reading, ...]
    eras: tuple[Era, ...]


def limits(baseline: Sequence[float | None], *, widened: float = 1.0) -> Limits:
    """Limits of a baseline, oldest first; None is a gap, no range is taken across it. Needs two values.

    `widened` makes up for ranges known to be too narrow, those of points cleaned of a season they themselves gave.
    """
    values = [v for v in baseline if v is not None]
    ranges = [abs(b - a) * widened for a, b in itertools.pairwise(baseline) if a is not None and b is not None]
    mean = sum(values) / len(values)
    mean_range = sum(ranges) / len(ranges) if ranges else 0.0
    if mean_range and any(r > 3.5 * mean_range for r in ranges) and median(ranges) > _NOTHING * abs(mean):
        # One wild range would widen the limits for all: the median forms are not moved by it. Where most neighbours
        # are equal their median is nothing, which is no range at all.
        mean, mean_range = median(values), median(ranges)
        return Limits(mean, mean_range, mean - 3.145 * mean_range, mean + 3.145 * mean_range, 3.865 * mean_range)
    return Limits(mean, mean_range, mean - 2.66 * mean_range, mean + 2.66 * mean_range, 3.268 * mean_range)


def baseline_of(points: Sequence[float | None], size: int = FULL) -> Sequence[float | None]:
    """The stretch that holds the first `size` values; gaps do not count as points."""
    held = 0
    for place, point in enumerate(points):
        held += point is not None
        if held == size:
            return points[: place + 1]
    return points


def broken(
    points: Sequence[float | None], usual: Limits, bounds: Bounds, *, full: bool = True
) -> tuple[tuple[int, ...], bool]:
    """The rules the newest of `points` breaks against a usual range, and whether it jumped from its neighbour."""
    newest = points[-1]
    if newest is None:
        return (), False
    low, high = bounds.cut(usual)
    outside_low = newest < usual.lower and low == usual.lower
    outside_high = newest > usual.upper and high == usual.upper
    before = points[-2] if len(points) > 1 else None
    moved = before is not None and usual.range_limit > 0 and abs(newest - before) > usual.range_limit
    rules = [1] if outside_low or outside_high or moved else []
    if full and _same_side(points[-RUN:], usual.mean):
        rules.append(2)
    if full and _near_limit(points[-4:], usual):
        rules.append(3)
    return tuple(rules), moved


def chart(
    points: Sequence[float | None],
    bounds: Bounds = Bounds(),
    *,
    baseline: int = MAX_BASELINE,
    declared: Mapping[int, str] | None = None,
    widened: float = 1.0,
) -> Chart:
    """The whole chart of complete periods, oldest first; None is a gap.

    `baseline` is how many points lock an era's limits (FULL to MAX_BASELINE); `declared` changes of the process by the
    place of their first point, with the reason given for them. Two things keep false alarms of a stable process low:
    the way back from a point that was news is none, and eight points on one side, chosen for lying there, do not make
    the ranges of the era they begin narrower than those of the era before. While all points of an era are equal nothing
    is said, and nothing is locked: limits begin with the first that differs.
    """
    size = min(max(baseline, FULL), MAX_BASELINE)
    readings: list[Reading] = []
    eras: list[Era] = []
    first, reason, usual, least, lock = 0, "", None, 0.0, size
    for place, point in enumerate(points):
        if declared and place in declared and place > first:
            eras.append(Era(first, reason, usual))
            first, reason, usual, least, lock = place, declared[place], None, 0.0, size
        # Limits come from what went before: a point must not widen the range it is judged against.
        before = points[first:place]
        held = sum(p is not None for p in before)
        total = held + (point is not None)
        if point is None or total < MINIMUM:
            readings.append(Reading(place, "too_few_points", points=total, era=first, because=reason))
            continue
        if usual is None or held <= lock:
            found = _no_narrower(limits(baseline_of(before, lock), widened=widened), least)
            usual = found if found.has_width else None
        if usual is None:
            lock = held + size if held >= size else size
            readings.append(Reading(place, "too_few_points", points=total, era=first, because=reason))
            continue
        full = total >= FULL
        rules, moved = broken(points[first : place + 1], usual, bounds, full=full)
        if moved and readings and 1 in readings[-1].rules and usual.lower <= point <= usual.upper:
            rules = tuple(rule for rule in rules if rule != 1)
        result = "none" if not rules else "signal" if full else "possible"
        readings.append(Reading(place, result, rules, moved, usual, total, first, reason))
        if 2 in rules:
            eras.append(Era(first, reason, usual))
            least = usual.mean_range
            first, reason, usual, lock = place - RUN + 1, SHIFTED, None, size
    eras.append(Era(first, reason, usual))
    return Chart(tuple(readings), tuple(eras))


def judge(
    points: Sequence[float | None],
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    cycle: int | None = None,
    baseline: int = MAX_BASELINE,
    declared: Mapping[int, str] | None = None,
) -> Judged:
    """Is the newest complete point news? `floor` and `ceiling` are what the KPI cannot pass (0, 100 %).

    `cycle` is how many points make a year (or a week of days): where the history shows a clear season, points are
    compared without it, and the limits said are those of the newest point's own place in it.
    """
    values = [v for v in points if v is not None]
    if not points or points[-1] is None or len(values) < MINIMUM:
        return Judged(Signal("too_few_points", points=len(values)))
    bounds, factor, widened = Bounds(floor, ceiling), 1.0, 1.0
    found = season(points[:-1], cycle) if cycle else None
    if found is not None:
        factor, widened = found.index(len(points) - 1), found.widened
        points = [None if p is None else p / found.index(place) for place, p in enumerate(points)]
        # The ceiling differs from month to month once the season is out: the newest point's is the one it is held to.
        bounds = Bounds(*(None if edge is None else edge / factor for edge in (floor, ceiling)))
    drawn = chart(points, bounds, baseline=baseline, declared=declared, widened=widened)
    reading, newest = drawn.readings[-1], points[-1]
    usual, because = reading.usual, reading.because
    if usual is None or newest is None:
        return Judged(Signal("too_few_points", points=reading.points, because=because), reading.era)
    low, high = (edge * factor for edge in bounds.cut(usual))
    direction = None if not reading.rules else ("above" if newest > usual.mean else "below")
    signal = Signal(
        reading.result, reading.rules, usual.mean * factor, low, high, reading.points, direction, because=because
    )
    return Judged(signal, reading.era)


def _no_narrower(usual: Limits, mean_range: float) -> Limits:
    if usual.mean_range >= mean_range:
        return usual
    return Limits(
        usual.mean,
        mean_range,
        usual.mean - 2.66 * mean_range,
        usual.mean + 2.66 * mean_range,
        3.268 * mean_range,
    )


def _same_side(points: Sequence[float | None], mean: float) -> bool:
    """Eight in a row on one side of the mean; a point on it, or a gap, breaks the run."""
    if len(points) < RUN or any(p is None or p == mean for p in points):
        return False
    above = [p > mean for p in points if p is not None]
    return all(above) or not any(above)


def _near_limit(points: Sequence[float | None], usual: Limits) -> bool:
    """Three of four in a row nearer a limit than the mean, on one side; the newest is one of the three."""
    edge = 1.33 * usual.mean_range
    if len(points) < 4 or edge == 0 or points[-1] is None:
        return False
    side = 1 if points[-1] > usual.mean else -1
    near = [p is not None and (p - usual.mean) * side > edge for p in points]
    return near[-1] and sum(near) >= 3
