"""The season of a series: what its months (or weekdays) do every time round, where that is clear beyond chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

#: Fewer points than this show no season, whatever the cycle; and two whole cycles are needed.
FEWEST = 24
#: The standard normal at 99 %: one series in a hundred without a season is taken for one with.
_Z = 2.3263


@dataclass(frozen=True, slots=True)
class Season:
    """Index by place in the cycle (their mean is 1), and how much wider ranges cleaned of it must be taken.

    Indices come from the very points they clean, which leaves those too smooth: `widened` is the ratio of what a new
    point varies by to what these do.
    """

    indices: tuple[float, ...]
    widened: float

    def index(self, place: int) -> float:
        return self.indices[place % len(self.indices)]


def season(points: Sequence[float | None], cycle: int) -> Season | None:
    """The season of a series, oldest first, from its whole cycles; None where there is none to speak of.

    Each cycle is first divided by its own mean, so growth from year to year is not taken for a season.
    """
    rounds = len(points) // cycle
    if cycle < 2 or rounds < 2 or rounds * cycle < FEWEST:
        return None
    scaled: list[list[float]] = []
    for number in range(rounds):
        part = points[number * cycle : (number + 1) * cycle]
        values = [p for p in part if p is not None]
        mean = sum(values) / len(values) if values else 0.0
        if len(values) < cycle or mean <= 0:
            return None  # a gap, or nothing to divide by
        scaled.append([value / mean for value in values])
    indices = [sum(part[place] for part in scaled) / rounds for place in range(cycle)]
    if min(indices) <= 0:
        return None
    between = rounds * sum((index - 1) ** 2 for index in indices)
    within = sum((part[place] - indices[place]) ** 2 for part in scaled for place in range(cycle))
    first, second = cycle - 1, (cycle - 1) * (rounds - 1)
    if between == 0 or (within > 0 and (between / first) / (within / second) < clear_from(first, second)):
        return None
    return Season(tuple(indices), sqrt((rounds + 1) / (rounds - 1)))


def clear_from(first: int, second: int) -> float:
    """The F value only 1 % of series without a season reach (Paulson's approximation, within 2 % from 5 degrees on)."""
    a, b = 2 / (9 * first), 2 / (9 * second)
    top = (1 - a) * (1 - b) + _Z * sqrt((1 - a) ** 2 * b + (1 - b) ** 2 * a - a * b * _Z**2)
    return float((top / ((1 - b) ** 2 - b * _Z**2)) ** 3)
