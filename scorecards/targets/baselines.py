"""What a relative target starts from: the value of its baseline, kept or computed, and the season that cycle had."""

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi, Reporting
from scorecards.figures import is_two_sided
from scorecards.periods import Span, cut, parse_period, rolling
from scorecards.plan import is_stock
from scorecards.targets.pace import Agreed, Kept, agree, goal
from scorecards.targets.slot import Band, Target
from scorecards.version import definition_of, short_hash

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

_UNIT_S = {"s": 1, "m": 60, "h": 3600}
#: What makes a target another one: how it came out is kept by these.
_SAID = {"want", "value", "change", "points", "from_", "start", "due"}


def in_unit(kpi: Kpi) -> Target | None:
    """The target with durations in seconds, as values are: "4" of a KPI in hours is 14,400."""
    target = kpi.target
    factor = _UNIT_S.get(kpi.duration.unit or "s", 1) if kpi.duration else 1
    if target is None or factor == 1:
        return target
    changes: dict[str, Any] = {}
    if target.value is not None:
        changes["value"] = target.value * factor
    if isinstance(target.want, Band):
        low, high = target.want.between
        changes["want"] = Band(between=(low * factor, high * factor))
    return target.model_copy(update=changes)


def wanted(target: Target, base: float | None) -> float | None:
    """The value wanted when the target is due: absolute, or the baseline's with its change; None of a band."""
    return target.value if target.change is None else goal(base, target.change, points=target.points)


def mark(target: Target) -> str:
    """The hash of what makes a target another one: how it came out is kept by it."""
    return short_hash(target.model_dump(mode="json", by_alias=True, include=_SAID))


def wanted_at_end(evaluator: "Evaluator", kpi: Kpi) -> float | None:
    """The value wanted when the target is due (None without a target, or without a baseline)."""
    target = in_unit(kpi)
    if target is None or target.value is not None:
        return target.value if target else None
    agreed = baseline_of(evaluator, kpi, target)
    return wanted(target, agreed.baseline.value) if agreed is not None else None


def accrues(kpi: Kpi) -> bool:
    """Does the value grow over the period? Rates, means and stocks do not, and are never prorated.

    Of a sum of KPIs its catalogue says so: nothing else knows whether the parts do.
    """
    if is_stock(kpi) or kpi.retain is not None or kpi.window is not None:
        return False
    if kpi.calc is not None:
        return kpi.additivity == "A"
    if kpi.of is None or kpi.per is not None or kpi.per_distinct is not None or kpi.agg not in ("count", "sum"):
        return False
    return not is_two_sided(kpi) or (kpi.share is not None and kpi.headline == "count")


def baseline_span(target: Target, reporting: Reporting) -> Span | None:
    """The whole period a relative target starts from; None where it starts from a date, or from nothing."""
    if target.from_ is None or target.from_.period is None:
        return None
    return parse_period(target.from_.period, reporting.week_starts)


def baseline_days(kpi: Kpi, target: Target, reporting: Reporting) -> Span | None:
    """The days the baseline is computed over: its period, the day itself of a stock, else the year up to it."""
    span = baseline_span(target, reporting)
    if span is not None or target.from_ is None or target.from_.at is None:
        return span
    day = Span(target.from_.at, target.from_.at + timedelta(1))
    if kpi.window is not None:
        return rolling(day, kpi.window)
    return day if is_stock(kpi) else Span(day.end - timedelta(365), day.end)


def first_day(kpi: Kpi, target: Target, reporting: Reporting) -> date | None:
    """The day the way to a target begins: as said, else where the baseline ends; None without either."""
    days = baseline_days(kpi, target, reporting)
    return target.start or (days.end if days is not None else None)


def baseline_of(evaluator: "Evaluator", kpi: Kpi, target: Target) -> Agreed | None:
    """The baseline as it was kept, else as it is now; None without one. Until its days are over it has no value."""
    days = baseline_days(kpi, target, evaluator.reporting)
    if days is None or target.from_ is None:
        return None
    start = short_hash(target.from_.model_dump(mode="json"))
    definition = definition_of(kpi, evaluator.kpis, evaluator.reporting)
    kept = evaluator.pledges.baselines.get((kpi.id, start))
    if kept is not None and kept.computed_on <= evaluator.today:
        return agree(kept, replace(kept, definition=definition))
    value, n = None, 0
    if baseline_is_over(days, target, evaluator.today):
        plain = kpi.model_copy(update={"n_min": 0, "target": None})
        found = evaluator.figures(plain, [cut(days, evaluator.as_of, evaluator.zone)])[0]
        value, n = found.value, found.n
    return agree(None, Kept(value, n, definition, start, evaluator.today, days.start, days.end))


def baseline_is_over(days: Span, target: Target, today: date) -> bool:
    """Are the days of a baseline over? A day named itself may still run: what is open on it is known."""
    is_of_a_day = target.from_ is not None and target.from_.at is not None
    return days.end <= today + timedelta(1 if is_of_a_day else 0)


def same_length(a: Span, b: Span) -> bool:
    """Two months, two years: what one brought says what the other may."""
    return a.granularity == b.granularity if a.granularity and b.granularity else abs(a.days - b.days) <= 3


def season_share(evaluator: "Evaluator", kpi: Kpi, base: Span, start: date, now: date) -> float | None:
    """What the baseline cycle had brought at the point where a stretch begun on `start` is on `now`, as a share."""
    elapsed = _days_into(base.start, start, now)
    if elapsed <= base.start:
        return 0.0
    plain = kpi.model_copy(update={"n_min": 0, "target": None})
    slices = [
        cut(Span(base.start, elapsed), evaluator.as_of, evaluator.zone),
        cut(base, evaluator.as_of, evaluator.zone),
    ]
    part, whole = (f.value for f in evaluator.figures(plain, slices))
    return part / whole if part is not None and whole else None


def _days_into(base_start: date, start: date, now: date) -> date:
    """The same day of the baseline: same month and day for years, else as many days in."""
    if (start.month, start.day) == (base_start.month, base_start.day):
        years = base_start.year - start.year
        try:
            return now.replace(year=now.year + years)
        except ValueError:  # 29 February of a year without one
            return date(now.year + years, 3, 1)
    return base_start + (now - start)
