"""What moved a KPI since the period it is compared with: its drivers, from the rows of both sides by segment."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from scorecards.definition import Kpi
from scorecards.drivers import DIGITS, Drivers, Part, chain, decimal_of, explain_change
from scorecards.errors import ScorecardError
from scorecards.figures import is_two_sided, n_min, sides
from scorecards.periods import Slice
from scorecards.plan import Plan
from scorecards.ratios import parts_of, times_of
from scorecards.reading import direction_of
from scorecards.segments import Split
from scorecards.split import is_by_owner, usual_splits
from scorecards.tally import Tally
from scorecards.values import Comparison, Signal, period_json

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: What may stand behind the name of a KPI that adds up, and adds up too.
_SUMS = ("", "value", "previous", "base", "change", "opening", "mean")
#: What a ratio is split by that is divided into what it is made of.
FACTORS = "factors"
#: The most the drivers may miss the change by: sums of floats differ in their last digits.
_TOLERANCE = 1e-9


def form_of(kpi: Kpi, kpis: Mapping[str, Kpi] = MappingProxyType({})) -> Literal["sum", "rate", "mean"] | None:
    """How a KPI's segments make the whole; None where they do not: different ones, extremes, products, own SQL.

    `kpis` are those a ratio or a sum of KPIs is made of, by name.
    """
    if kpi.operands:
        if not all(_adds_up(said, kpis) for said in kpi.operands):
            return None
        if kpi.ratio is None:
            return "sum"
        return "rate" if len(kpi.ratio.tops) == len(kpi.ratio.bottoms) == 1 else None
    if kpi.of is None or kpi.per is not None or kpi.per_distinct is not None:
        return None
    if is_two_sided(kpi):
        return "sum" if kpi.headline == "count" and kpi.share is not None else "rate"
    if kpi.agg in ("count", "sum"):
        return "sum"
    return "mean" if kpi.agg in ("avg", "median") or kpi.agg.startswith("p") else None


def _adds_up(said: str, kpis: Mapping[str, Kpi]) -> bool:
    """Is what a ratio or a sum names the sum of its segments?"""
    name, _, suffix = said.partition(".")
    form = form_of(kpis[name], kpis) if name in kpis else None
    return form is not None if suffix == "n" else form == "sum" and suffix in _SUMS


def drivers_of(
    evaluator: "Evaluator",
    kpi: Kpi,
    chosen: Plan,
    by: Sequence[str],
    compared: Sequence[Comparison],
    signal: Signal | None = None,
) -> dict[str, Any] | None:
    """The change against the first comparison that has a value, by the first dimension asked for: its public form.

    Where none is asked for, a change that is news is split by the first thing the KPI is usually split by that has
    more than one segment. A ratio that no segments add up to, or that has none, is divided into what it is made of.
    `news` of the form says whether it is. Raises ScorecardError where its effects do not add up to the change the KPI
    itself says.
    """
    against = next((c for c in compared if c.change is not None), None)
    if against is None or against.change is None:
        return None
    news = is_news(chosen, against, signal)
    if not by and not news:
        return None
    found = _divided(evaluator, kpi, chosen, by, against.against, against.change)
    return None if found is None else {**found[0].to_json(against.against, found[1]), "news": news}


def all_drivers(evaluator: "Evaluator", kpi: Kpi, chosen: Plan) -> dict[str, Any] | None:
    """Every effect on the change against the first comparison that has a value, be it news or noise.

    Split by the first of the KPI's `by`, else by what it is usually split by. Raises ScorecardError as drivers_of does.
    """
    slices = [chosen.main, *(slice_ for _, slice_ in chosen.compared)]
    now, *then = evaluator.figures(kpi, slices)
    for (against, slice_), was in zip(chosen.compared, then, strict=True):
        if now.value is None or was.value is None:
            continue
        found = _divided(evaluator, kpi, chosen, kpi.by, against, now.value - was.value)
        if found is None:
            return None
        period = period_json(slice_.period(evaluator.reporting.timezone))
        return {"with": against, "period": period, "by": found[1], **found[0].in_full()}
    return None


def _divided(
    evaluator: "Evaluator", kpi: Kpi, chosen: Plan, by: Sequence[str], against: str, change: float
) -> tuple[Drivers, str] | None:
    """A change by the dimension asked for, else by the first usual one with more than one segment, else by factors."""
    by_segment = form_of(kpi, evaluator.kpis) is not None
    usual: Iterable[str] = by[:1]
    if not by:
        usual = usual_splits(kpi, evaluator.kpis, evaluator.compiler.language, evaluator.reporting.dimensions)
    for name in usual if by_segment else ():
        found = _explained(evaluator, kpi, chosen, name, against, change)
        if found is not None and (by or len(found.effects) > 1):
            return found, name
    if kpi.ratio is None or (by and by_segment):
        return None
    found = _factored(evaluator, kpi, chosen, against, change)
    return None if found is None else (found, FACTORS)


def with_drivers(
    evaluator: "Evaluator",
    kpi: Kpi,
    chosen: Plan,
    by: Sequence[str],
    compared: Sequence[Comparison],
    signal: Signal | None,
    details: Mapping[str, Any],
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The drivers, and the details with what must be said beside them.

    Effects that do not add up are left out (`left_out`); what is split by owner or team is by today's (`owners`).
    """
    drivers, said = None, dict(details)
    try:
        drivers = drivers_of(evaluator, kpi, chosen, by, compared, signal)
    except ScorecardError as error:
        said["left_out"] = {**details.get("left_out", {}), "drivers": str(error)}
    names, language = {*by, *([drivers["by"]] if drivers else [])}, evaluator.compiler.language
    if any(is_by_owner(name, kpi, evaluator.kpis, language, evaluator.reporting.dimensions) for name in names):
        said["owners"] = "today"
    return drivers, said


def is_news(chosen: Plan, compared: Comparison, signal: Signal | None) -> bool:
    """Is the change from the period before beyond what such changes usually are, rather than noise?

    The newest whole period is judged: it left its usual range the way it changed, or it moved more than neighbours
    usually do. Eight in a row on one side are news of the level; the last step may be as small as any. A stock
    on a weekly scorecard is compared with a month ago, which is no neighbour: of it only the first is asked.
    """
    if signal is None or signal.result not in ("signal", "possible") or 1 not in signal.rules:
        return False
    change, value = compared.change, compared.value
    if change is None or value is None or chosen.main not in chosen.series[-1:]:
        return False
    if compared.against not in ("previous", "month_ago"):
        return False
    above = signal.upper is not None and value + change > signal.upper
    below = signal.lower is not None and value + change < signal.lower
    is_neighbour = dict(chosen.compared).get(compared.against) in chosen.series[-2:-1]
    return change > 0 if above else change < 0 if below else is_neighbour


def _explained(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, by: str, against: str, change: float) -> Drivers | None:
    form = form_of(kpi, evaluator.kpis)
    assert form is not None  # the caller looked
    slices = [dict(chosen.compared)[against], chosen.main]
    split = Split(evaluator, by)
    sides = _made(kpi, split, slices) if kpi.operands else _counted(kpi, split, slices)
    if sides is None:
        return None
    of_median = form == "mean" and kpi.agg != "avg"
    found = explain_change(sides[0], sides[1], form, n_min=n_min(kpi), of_median=of_median, direction=direction_of(kpi))
    if found is None:
        return None
    if not of_median:
        _check(found, change, f"segments by {by}")
    return found


def _check(found: Drivers, change: float, what: str) -> None:
    gap = abs(float(found.change) - change)
    if gap > _TOLERANCE * max(1.0, abs(float(found.before)), abs(float(found.after))):
        raise ScorecardError(f"the {what} miss the change by {gap:g}")


def _factored(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, against: str, change: float) -> Drivers | None:
    """A ratio's change by its factors: what is multiplied, 1 over what it is divided by, and the days it counts."""
    before = _factors(evaluator, kpi, dict(chosen.compared)[against])
    now = _factors(evaluator, kpi, chosen.main)
    if before is None or now is None:
        return None
    found = chain(before, now)
    _check(found, change, "factors")
    return found


def _factors(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Decimal] | None:
    """By name, what the ratio is the product of; None where one of them has no value, or nothing can be divided by."""
    assert kpi.ratio is not None  # the caller looked
    found: dict[str, Decimal] = {}
    times = decimal_of(times_of(kpi.ratio, slice_))
    with localcontext(prec=DIGITS):
        for part in parts_of(evaluator, kpi, slice_):
            if part.value is None or (not part.is_top and not part.value):
                return None
            name, _, suffix = part.said.partition(".")
            title = f"{evaluator.kpis[name].title} {suffix.removesuffix('value')}".rstrip()
            factor = decimal_of(part.value) if part.is_top else 1 / decimal_of(part.value)
            found[title] = found.get(title, Decimal(1)) * factor
        if kpi.ratio.times == "period_days":
            return {**found, "Days": times}
        return {title: factor * (times if place == 0 else 1) for place, (title, factor) in enumerate(found.items())}


def _counted(kpi: Kpi, split: Split, slices: Sequence[Slice]) -> tuple[dict[str, Part], dict[str, Part]]:
    """The segments of both sides of a KPI that counts rows."""
    before, now = split.tallies(kpi, slices, singly=False)
    return _parts(kpi, before), _parts(kpi, now)


def _made(kpi: Kpi, split: Split, slices: Sequence[Slice]) -> tuple[dict[str, Part], dict[str, Part]] | None:
    """The segments of both sides of a ratio or a sum of KPIs; None where of one it is not known what it holds."""
    sides: tuple[dict[str, Part], dict[str, Part]] = {}, {}
    for name, figures in split.figures(kpi, slices).items():
        for side, slice_, found in zip(sides, slices, figures, strict=True):
            top = found.value if kpi.ratio is None else found.numerator
            bottom = 1 if kpi.ratio is None else found.denominator
            if top is None or bottom is None:
                return None
            times = 1.0 if kpi.ratio is None else times_of(kpi.ratio, slice_)
            side[name] = Part(decimal_of(top) * decimal_of(times), decimal_of(bottom), found.n)
    return sides


def _parts(kpi: Kpi, tallied: Mapping[str, Tally]) -> dict[str, Part]:
    return {segment: _part(kpi, tally) for segment, tally in tallied.items() if tally.n}


def _part(kpi: Kpi, tally: Tally) -> Part:
    if is_two_sided(kpi):
        above, below = sides(kpi, tally)
        return Part(decimal_of(above), decimal_of(below), tally.n)
    top = Decimal(tally.n) if kpi.agg == "count" else tally.x
    if kpi.scale is not None and kpi.duration is None:
        top *= decimal_of(kpi.scale)  # answers on their scale
    # Days are divided by below, not above: seconds are whole, their 86,400th is not.
    bottom = tally.n * (86400 if kpi.duration is not None and kpi.duration.unit == "d" else 1)
    return Part(top, Decimal(bottom), tally.n)
