"""How a KPI's signal would have done on its own past: what it flagged, how often without cause, what it finds.

Nobody knows which weeks of a real history were stable, so false alarms and misses are measured on histories made of
the KPI's own points in random order: no shift survives the shuffling, the spread does. Seeds are fixed: the same
points give the same answer. What was said of each real point, `history` says as it says it to readers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scorecards.signal.chart import FULL, Bounds, chart
from scorecards.signal.season import season

#: A lasting rise of so much must be found within so many points.
PLANTED, WITHIN = 0.30, 8
SEEDS = 200


@dataclass(frozen=True, slots=True)
class Backtest:
    """Shares are of 1; None where the history is too short to measure them."""

    false_alarms: float | None  # share of the periods of stable histories that are flagged
    found: float | None  # share of lasting rises found in time
    points_to_find: float | None  # how many points that takes, in the middle
    seasonal: bool


def backtest(
    points: Sequence[float | None],
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    cycle: int | None = None,
    planted: float = PLANTED,
    within: int = WITHIN,
    seeds: int = SEEDS,
) -> Backtest:
    """Measure the signal on shuffled copies of a history, without its season where that is clear."""
    found = season(points, cycle) if cycle else None
    values = [p if found is None else p / found.index(place) for place, p in enumerate(points) if p is not None]
    if len(values) < FULL + within:
        return Backtest(None, None, None, found is not None)
    bounds = Bounds(floor, None if found else ceiling)
    flagged = total = 0
    waits: list[int] = []
    for seed in range(seeds):
        chance = random.Random(seed)  # noqa: S311 - a simulation, and one that must repeat
        stable = chance.sample(values, len(values))
        flagged += sum(reading.result == "signal" for reading in chart(stable, bounds).readings)
        total += len(stable)
        start = chance.randint(FULL, len(values) - within)
        risen = stable[:start] + [raised(p, planted, ceiling) for p in stable[start : start + within]]
        wait = next((r.at - start + 1 for r in chart(risen, bounds).readings[start:] if r.result == "signal"), None)
        if wait is not None:
            waits.append(wait)
    middle = float(median(waits)) if waits else None
    return Backtest(flagged / total, len(waits) / seeds, middle, found is not None)


def raised(value: float, by: float, ceiling: float | None) -> float:
    """A point after a lasting rise, as far as the KPI can go."""
    risen = value + abs(value) * by
    return risen if ceiling is None else min(risen, ceiling)
