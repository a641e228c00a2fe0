"""A KPI's target at an instant: its baseline from the rows, its path, and the verdict (docs/definitions.md)."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from scorecards.definition import Hours, Kpi
from scorecards.figures import is_rate
from scorecards.judgement import Stretch, judge
from scorecards.periods import Span, add_months, cut, parse_period
from scorecards.plan import Plan, is_stock
from scorecards.slots import Band, Target
from scorecards.values import TargetResult

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

_UNIT_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a value against its target."""

    target: TargetResult | None = None
    verdict: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def against_target(
    evaluator: "Evaluator", kpi: Kpi, chosen: Plan, value: float | None, hours: Hours | None = None
) -> Verdict:
    """Judge a value of the slice shown. `hours`: whose working days time passes by; everybody's when not said."""
    hours = hours or evaluator.reporting.hours
    target = in_unit(kpi)
    if target is None:
        return Verdict()
    prorated = _accrues(kpi)
    other_grain = chosen.granularity == "all" or (kpi.period is not None and chosen.granularity != kpi.period)
    if prorated and target.value is not None and other_grain:
        return Verdict()  # so much a month says nothing of a year
    base_span = _baseline(target)
    base = _base_value(evaluator, kpi, base_span, target)
    full = target.value
    if target.change is not None:
        full = None if base is None or base <= 0 else base * (1 + target.change)
    term = _begun(base_span, chosen.main.span) if prorated else None
    stretch = _stretch(evaluator, target, chosen, prorated, base_span)
    if term is not None:
        stretch = Stretch(term.start, term.end, chosen.main.day_end)
    elif prorated and full is not None and base_span is not None and not _same_length(base_span, chosen.main.span):
        # A goal for the year, judged by the month: its share of the days.
        factor = chosen.main.span.days / base_span.days
        full, base = full * factor, None if base is None else base * factor

    def seasonal() -> float | None:
        return _season(evaluator, kpi, chosen, base_span) if base_span is not None else None

    path = target.path
    if path is None and prorated and target.change is not None:
        target = target.model_copy(update={"path": "seasonal" if seasonal() is not None else "linear"})
    found = judge(
        target,
        value,
        full=full,
        base=base,
        stretch=stretch,
        prorated=prorated,
        is_rate=is_rate(kpi),
        hours=hours,
        seasonal=seasonal,
    )
    details: dict[str, Any] = {}
    if target.change is not None and full is not None and value is not None:
        linear = judge(
            target.model_copy(update={"path": "linear"}),
            value,
            full=full,
            base=base,
            stretch=stretch,
            prorated=prorated,
            is_rate=is_rate(kpi),
            hours=hours,
        )
        details = {
            "target": full,
            "expected_to_date": found.result.expected,
            "gap": found.gap,
            "rag": found.verdict,
            "linear_expected_to_date": linear.result.expected,
            "linear_rag": linear.verdict,
        }
    return Verdict(found.result, found.verdict, details)


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


def wanted_at_end(evaluator: "Evaluator", kpi: Kpi) -> float | None:
    """The value wanted when the target is due (None without a target, or without a baseline)."""
    target = in_unit(kpi)
    if target is None or target.value is not None:
        return target.value if target else None
    base = _base_value(evaluator, kpi, _baseline(target), target)
    return None if base is None or base <= 0 or target.change is None else base * (1 + target.change)


def _accrues(kpi: Kpi) -> bool:
    """Does the value grow over the period? Rates, means and stocks do not, and are never prorated."""
    sums = kpi.agg in ("count", "sum") and kpi.share is None and kpi.cohort is None
    return sums and not is_stock(kpi) and kpi.of is not None and kpi.retain is None and kpi.window is None


def _baseline(target: Target) -> Span | None:
    if target.from_ is None or target.from_.period is None:
        return None
    return parse_period(target.from_.period)


def _base_value(evaluator: "Evaluator", kpi: Kpi, span: Span | None, target: Target) -> float | None:
    if target.from_ is None:
        return None
    plain = kpi.model_copy(update={"n_min": 0, "target": None})
    if span is None:
        assert target.from_.at is not None  # a baseline is one or the other
        day = target.from_.at
        span = Span(day, day + timedelta(1))
        moment = datetime.combine(day + timedelta(1), time(), evaluator.zone)
        if not is_stock(kpi):
            span = Span(day - timedelta(364), day + timedelta(1))
        return evaluator.figures(plain, [cut(span, min(moment, evaluator.as_of), evaluator.zone)])[0].value
    return evaluator.figures(plain, [cut(span, evaluator.as_of, evaluator.zone)])[0].value


def _stretch(
    evaluator: "Evaluator", target: Target, chosen: Plan, prorated: bool, base_span: Span | None
) -> Stretch | None:
    """What the target is measured over while it still runs; None when the slice shown is whole."""
    main = chosen.main
    if prorated:
        return None if main.complete else Stretch(main.span.start, main.span.end, main.day_end)
    if target.due is None or target.change is None:
        return None
    begun = target.start or (base_span.end if base_span else None)
    begun = begun or (target.from_.at if target.from_ else None)
    if begun is None:
        return None
    now = min(main.at_day, evaluator.today)
    end = target.due + timedelta(1)
    return Stretch(begun, end, min(now, end)) if begun < end else None


def _same_length(a: Span, b: Span) -> bool:
    return a.granularity == b.granularity if a.granularity and b.granularity else abs(a.days - b.days) <= 3


def _begun(base: Span | None, span: Span) -> Span | None:
    """The term a relative target runs over, where the range shown is that term so far: 2026 of a 2025 to 1 October.

    Calendar periods are not: a month is judged by its own share.
    """
    if base is None or span.granularity is not None or span.start != base.end or span.days >= base.days:
        return None
    if base.start.day != base.end.day:
        return Span(base.end, base.end + timedelta(base.days))
    months = (base.end.year - base.start.year) * 12 + base.end.month - base.start.month
    return Span(base.end, add_months(base.end, months))


def _season(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, base: Span) -> float | None:
    """The share of the baseline cycle that had passed at the same point of it: B(elapsed part) / B(total)."""
    main = chosen.main
    if _begun(base, main.span) is None and (main.complete or not _same_length(base, main.span)):
        return None
    elapsed = _days_into(base.start, main.span.start, main.day_end)
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
