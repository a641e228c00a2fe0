"""The season of a series: what its months (or weekdays) do every time round, where that is clear beyond chance.

A series that grows, shrinks or bends is higher at one end of each cycle than at the other, without any season. So a
smooth course is fitted together with the season, and only what comes back in each cycle on top of it is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

#: Fewer points than this show no season, whatever the cycle; and two whole cycles are needed.
FEWEST = 24
#: A season that moves points by less than this share on average (root mean square) is not worth taking out.
_LEAST = 0.01
#: The standard normal at 99 %: one series in a hundred without a season is taken for one with.
_Z = 2.3263
#: Neighbours among what a course and a season leave of mere noise: they differ more than by chance, by about so much.
_OF_NOISE = -0.25
#: Squares below this share of others are the last digits of floats.
_NOTHING = 1e-18


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


@dataclass(frozen=True, slots=True)
class _Fit:
    """A course and a season fitted together by least squares."""

    effects: list[float]  # of each place in the cycle; their sum is 0
    left: list[float]  # what neither explains, a point each
    explained: float  # the squares the season explains beside the course


def season(points: Sequence[float | None], cycle: int) -> Season | None:
    """The season of a series, oldest first, from its whole cycles; None where there is none to speak of.

    Points are taken as shares of their course, so a season grows with the series. It must pass an F test beside that
    course, made stricter where what is left still drifts: a pattern of such leftovers comes back by chance more often.
    """
    rounds = len(points) // cycle
    if cycle < 2 or rounds < 2 or rounds * cycle < FEWEST:
        return None
    values = [p for p in points[: rounds * cycle] if p is not None]
    if len(values) < rounds * cycle:
        return None  # a gap
    plain = _fit(values, cycle)
    course = [value - plain.effects[at % cycle] - plain.left[at] for at, value in enumerate(values)]
    if min(course) <= 0:
        return None  # nothing to be a share of
    found = _fit([value / usual for value, usual in zip(values, course, strict=True)], cycle)
    indices = tuple(1 + effect for effect in found.effects)
    if min(indices) <= 0 or _dot(found.effects, found.effects) < cycle * _LEAST**2:
        return None
    first, second = cycle - 1, rounds * cycle - (rounds + 3) - (cycle - 1)
    within = _dot(found.left, found.left)
    if within > _NOTHING * found.explained:
        ratio = (found.explained / first) / (within / second)
        drift = max(0.0, _dot(found.left[1:], found.left[:-1]) / within - _OF_NOISE)
        if ratio * (1 - drift) < clear_from(first, second) * (1 + drift):
            return None
    return Season(indices, sqrt((rounds + 1) / (rounds - 1)))


def clear_from(first: int, second: int) -> float:
    """The F value only 1 % of series without a season reach (Paulson's approximation, within 2 % from 5 degrees on)."""
    a, b = 2 / (9 * first), 2 / (9 * second)
    top = (1 - a) * (1 - b) + _Z * sqrt((1 - a) ** 2 * b + (1 - b) ** 2 * a - a * b * _Z**2)
    return float((top / ((1 - b) ** 2 - b * _Z**2)) ** 3)


# -- a course and a season beside it --------------------------------------------------------------------------


def _fit(values: Sequence[float], cycle: int) -> _Fit:
    """Least squares: the season is fitted to what the course leaves, against what the course leaves of any season."""
    bare = _without_course(values, cycle)
    sums = [sum(bare[place::cycle]) for place in range(cycle)]
    effects = [_dot(row, sums) for row in _weights(len(values) // cycle, cycle)]
    pattern = _without_course([effects[at % cycle] for at in range(len(values))], cycle)
    left = [value - usual for value, usual in zip(bare, pattern, strict=True)]
    return _Fit(effects, left, _dot(effects, sums))


def _without_course(values: Sequence[float], cycle: int) -> list[float]:
    left = list(values)
    for part in _course(len(values) // cycle, cycle):
        share = _dot(part, left)
        left = [value - share * p for value, p in zip(left, part, strict=True)]
    return left


@lru_cache(maxsize=64)
def _course(rounds: int, cycle: int) -> tuple[tuple[float, ...], ...]:
    """What a smooth course is made of: cubic splines with one knot a cycle, at right angles to each other.

    They bend too slowly to come back every cycle, so they cannot take a season for a course.
    """
    parts: list[tuple[float, ...]] = []
    for knot in range(-1, rounds + 2):
        part = [_bump((at + 0.5) / cycle - knot) for at in range(rounds * cycle)]
        for before in parts * 2:  # twice: once leaves the rounding of the first time
            share = _dot(before, part)
            part = [p - share * b for p, b in zip(part, before, strict=True)]
        length = sqrt(_dot(part, part))
        parts.append(tuple(p / length for p in part))
    return tuple(parts)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _bump(away: float) -> float:
    """The cubic B-spline, so many knots away from its middle."""
    away = abs(away)
    return 2 / 3 - away**2 + away**3 / 2 if away < 1 else (2 - away) ** 3 / 6 if away < 2 else 0.0


@lru_cache(maxsize=64)
def _weights(rounds: int, cycle: int) -> tuple[tuple[float, ...], ...]:
    """By place, how its effect follows from the sums of all places: the inverse of the normal equations.

    1 added to each of them says that effects sum to 0, which the course leaves open.
    """
    rows: list[list[float]] = []
    for place in range(cycle):
        bare = _without_course([float(at % cycle == place) for at in range(rounds * cycle)], cycle)
        rows.append([1 + sum(bare[other::cycle]) for other in range(cycle)])
        rows[-1] += [float(other == place) for other in range(cycle)]
    for place in range(cycle):  # Gauss and Jordan; the equations are positive definite, so no row is 0 where it is used
        rows[place] = [value / rows[place][place] for value in rows[place]]
        for other in range(cycle):
            if other != place:
                factor = rows[other][place]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[place], strict=True)]
    return tuple(tuple(row[cycle:]) for row in rows)
