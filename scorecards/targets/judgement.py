"""Is it good? A value against its target and the path to it (docs/definitions.md), and nothing else.

Knows values, dates and working days; knows no SQL. Durations here are in the KPI's own unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from scorecards.calendar import business_days
from scorecards.definition import Hours
from scorecards.targets.pace import needed, projected
from scorecards.targets.slot import Band, Target
from scorecards.values import TargetResult

GREEN, AMBER, RED = "green", "amber", "red"
#: docs/definitions.md: how far behind the path is still amber, as a share of what is expected.
TOLERANCE, TOLERANCE_OF_RATES = 0.10, 0.05


@dataclass(frozen=True, slots=True)
class Stretch:
    """The stretch of days a target is measured over: [start, end), of which the days before `now` have passed."""

    start: date
    end: date
    now: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def passed(self) -> int:
        return min(max((self.now - self.start).days, 0), self.days)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target met or not: what is said of it, the verdict, and the relative gap behind the verdict."""

    result: TargetResult
    verdict: str | None
    gap: float | None


def judge(
    target: Target,
    value: float | None,
    *,
    full: float | None,
    base: float | None,
    stretch: Stretch | None,
    prorated: bool,
    is_rate: bool,
    hours: Hours,
    seasonal: Callable[[], float | None] | None = None,
) -> Judged:
    """Value against target.

    `full` is the value wanted at the end (absolute, or baseline times change), `base` the baseline's value;
    `stretch` is given while the measured stretch still runs. `prorated` flows are expected in the proportion of
    time passed; rates and stocks glide from base to full; a finished stretch is judged against `full`.
    `seasonal` gives the share of the baseline cycle that had passed at the same point of it.
    """
    if isinstance(target.want, Band):
        return _in_band(target, value)
    if full is None:
        return Judged(TargetResult(target.want, None, None, None, target.due), None, None)
    path = target.path or ("business_days" if prorated else "glide")
    share = share_passed(path, stretch, hours, seasonal)
    if share is None:
        path, share = "linear", share_passed("linear", stretch, hours, None)
    assert share is not None  # linear always has an answer
    if prorated:
        expected = full * share
    elif stretch is not None and base is not None:
        expected = base + (full - base) * share
    else:
        expected = full
    daily = ending = None
    if stretch is not None and prorated:
        daily, ending = needed(full, value, business_days(stretch.now, stretch.end, hours)), projected(value, share)
    gap = relative_gap(target.want, value, expected)
    result = TargetResult(
        target.want,
        full,
        expected,
        None if value is None else value - expected,
        target.due,
        daily,
        path=path if stretch is not None else None,
        projected=ending,
    )
    if prorated and share == 0:
        return Judged(result, None, None)  # no day that counts has passed: nothing is early or late
    return Judged(result, colour(gap, tolerance(target, is_rate=is_rate)), gap)


def tolerance(target: Target, *, is_rate: bool) -> float:
    """How far behind what is expected is still amber."""
    return target.amber if target.amber is not None else TOLERANCE_OF_RATES if is_rate else TOLERANCE


def relative_gap(want: str, value: float | None, expected: float) -> float | None:
    """Ahead (+) or behind (-) as a share of what is expected; of an expected 0, the absolute gap (4.5)."""
    if value is None:
        return None
    ahead = (value - expected) * (1 if want == "up" else -1)
    return ahead / abs(expected) if expected else ahead


def colour(gap: float | None, tolerance: float) -> str | None:
    """Green, amber or red; None of an unknown gap."""
    if gap is None:
        return None
    if gap >= 0:
        return GREEN
    # Twelve digits: a gap of exactly the tolerance must not turn red over the last bit of a float.
    return AMBER if round(gap, 12) >= -tolerance else RED


def share_passed(
    path: str, stretch: Stretch | None, hours: Hours, seasonal: Callable[[], float | None] | None
) -> float | None:
    """The share of a stretch that its path says has passed; None where there is no season to go by."""
    if stretch is None:
        return 1.0
    if path == "seasonal":
        return seasonal() if seasonal is not None else None
    if path == "business_days":
        whole = business_days(stretch.start, stretch.end, hours)
        if whole:
            return business_days(stretch.start, stretch.now, hours) / whole
    return stretch.passed / stretch.days if stretch.days else 1.0


def _in_band(target: Target, value: float | None) -> Judged:
    assert isinstance(target.want, Band)  # the caller looked
    low, high = target.want.between
    outside = None if value is None else max(low - value, value - high, 0.0)
    gap = None if outside is None else -outside / (high - low)
    signed = None if value is None else (value - low if value < low else value - high if value > high else 0.0)
    result = TargetResult("between", None, None, signed, target.due, low=low, high=high)
    return Judged(result, colour(gap, tolerance(target, is_rate=False)), gap)
