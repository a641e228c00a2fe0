"""One KPI over another: "name", or "name.previous", ".base", ".change", ".target", ".gap"."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import prod
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi
from scorecards.figures import Figure, is_rate, n_min
from scorecards.periods import Slice, Span, cut, like_for_like, rolling, shifted, span_holding, year_ago
from scorecards.plan import is_stock
from scorecards.slots import Ratio

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

SUFFIXES = (
    "value", "previous", "base", "change", "target", "gap", "opening", "mean", "n", "numerator", "denominator",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Operand:
    value: float | None
    sides: dict[tuple[str, Slice], Figure]


def ratio_figures(evaluator: "Evaluator", kpi: Kpi, slices: Sequence[Slice]) -> list[Figure]:
    """The ratio for each slice: no_denominator unless the bottom is above 0, too_few when a side is thin (G12)."""
    assert kpi.ratio is not None  # the caller looked
    tops = _multiplied(evaluator, kpi, kpi.ratio.tops, slices)
    bottoms = _multiplied(evaluator, kpi, kpi.ratio.bottoms, [_below_of(evaluator, kpi, one) for one in slices])
    times = [times_of(kpi.ratio, slice_) for slice_ in slices]
    return [_over(kpi, *sides) for sides in zip(tops, bottoms, times, strict=True)]


def calc_figures(evaluator: "Evaluator", kpi: Kpi, slices: Sequence[Slice]) -> list[Figure]:
    """KPIs added up for each slice: what has no data is left out of the sum, but nothing may be taken away unknown."""
    assert kpi.calc is not None  # the caller looked
    added = [_operands(evaluator, kpi, name, slices) for name in kpi.calc.plus]
    taken = [_operands(evaluator, kpi, name, slices) for name in kpi.calc.minus]
    return [_summed([part[at] for part in added], [part[at] for part in taken]) for at in range(len(slices))]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the names a ratio or a sum is made of, as written, with its value and the KPIs it was asked of.

    `is_top`: above the line, or added. `sides`: each KPI, with the slice it was asked over.
    """

    said: str
    is_top: bool
    value: float | None
    sides: tuple[tuple[Kpi, Slice], ...]


def parts_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> list[Part]:
    """What a ratio or a sum is made of over a slice."""
    tops = kpi.ratio.tops if kpi.ratio is not None else kpi.calc.plus if kpi.calc is not None else ()
    found = []
    for place, said in enumerate(kpi.operands):
        name, _, suffix = said.partition(".")
        over = slice_ if place < len(tops) else _below_of(evaluator, kpi, slice_)
        operand = _operands(evaluator, kpi, said, [over])[0]
        part = _asked(evaluator, kpi, name)
        sides = [side for _, side in operand.sides]
        if suffix == "mean":
            sides.append(own_slice(evaluator, part, over))  # it rests on the rows of its start, but is made of both
        found.append(Part(said, place < len(tops), operand.value, tuple((part, side) for side in sides)))
    return found


def _below_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> Slice:
    """The slice that stands below the line of one above: a ratio's `lag` earlier, after as much time of it."""
    if kpi.ratio is None or not kpi.ratio.lag or slice_.span.granularity == "all":
        return slice_
    lag = timedelta(seconds=kpi.ratio.lag)
    earlier = Span(slice_.span.start - lag, slice_.span.end - lag)
    return like_for_like(earlier, slice_, evaluator.as_of, evaluator.zone)


def times_of(ratio: Ratio, slice_: Slice) -> float:
    """What a ratio is multiplied by over a slice."""
    return days_of(slice_) if ratio.times == "period_days" else ratio.times


def days_of(slice_: Slice) -> int:
    """Local days of the period, so far where it still runs."""
    return max(1, (min(slice_.day_end, slice_.at_day) - slice_.day_start).days)


def _summed(added: Sequence[_Operand], taken: Sequence[_Operand]) -> Figure:
    figures = [side for operand in (*added, *taken) for side in operand.sides.values()]
    n = sum(side.n for operand in added for side in operand.sides.values())
    coverage = min((f.coverage for f in figures if f.coverage is not None), default=None)
    known = [operand.value for operand in added if operand.value is not None]
    lacking = [operand for operand in taken if operand.value is None] or ([] if known else list(added))
    if lacking:
        why = next(iter(lacking[0].sides.values()))
        return Figure(None, None, None, n, why.status if why.status != "ok" else "no_data", why.reason, coverage)
    value = sum(known) - sum(operand.value for operand in taken if operand.value is not None)
    partial = next((side for side in figures if side.status == "partial"), None)
    if partial is not None:
        return Figure(value, None, None, n, "partial", partial.reason, coverage)
    return Figure(value, None, None, n, "ok", None, coverage)


def _multiplied(evaluator: "Evaluator", kpi: Kpi, names: Sequence[str], slices: Sequence[Slice]) -> list[_Operand]:
    """One side of a ratio: the product of its names for each slice."""
    factors = [_operands(evaluator, kpi, name, slices) for name in names]
    if len(factors) == 1:
        return factors[0]
    found = []
    for at in range(len(slices)):
        parts = [factor[at] for factor in factors]
        known = [part.value for part in parts if part.value is not None]
        sides = {key: side for part in parts for key, side in part.sides.items()}
        found.append(_Operand(prod(known) if len(known) == len(parts) else None, sides))
    return found


def _over(kpi: Kpi, top: _Operand, bottom: _Operand, times: float) -> Figure:
    sides = {**top.sides, **bottom.sides}
    # A rate rests on what it divides by; a change rests on both its sides (G12, A12).
    rests_on = kpi.ratio.rests if kpi.ratio is not None else "both"
    counted = bottom.sides if is_rate(kpi) or rests_on != "both" else sides
    n = sum(side.n for side in counted.values())
    value_below = bottom.value
    if rests_on not in ("both", "bottom"):
        if rests_on != "bottom_value":
            value_below = next((side.value for (name, _), side in bottom.sides.items() if name == rests_on), None)
        n = int(value_below or 0)
    coverages = [side.coverage for side in sides.values() if side.coverage is not None]
    coverage = min(coverages, default=None)
    missing = next((side for side in sides.values() if side.status in ("no_data", "error")), None)
    if missing is not None:
        return Figure(None, None, None, n, "no_data", missing.reason, coverage)
    if top.value is None or bottom.value is None or bottom.value <= 0:
        return Figure(None, top.value, bottom.value, n, "no_denominator", "nothing to compare with", coverage)
    least = n_min(kpi)
    if rests_on not in ("both", "bottom") and (value_below or 0) < least:
        reason = f"{_below(kpi)} {_plain(value_below or 0)}: too few to rate (at least {least} needed)"
        return Figure(None, top.value, bottom.value, n, "too_few", reason, coverage)
    if rests_on in ("both", "bottom") and any(side.n < least for side in counted.values()):
        thin = min(side.n for side in counted.values())
        where = "on one side" if rests_on == "both" else "below the line"
        reason = f"{thin} rows {where}: too few to rate (at least {least} needed)"
        return Figure(None, top.value, bottom.value, n, "too_few", reason, coverage)
    value = top.value / bottom.value * times
    partial = next((side for side in sides.values() if side.status == "partial"), None)
    if partial is not None:
        return Figure(value, top.value, bottom.value, n, "partial", partial.reason, coverage)
    return Figure(value, top.value, bottom.value, n, "ok", None, coverage)


def _below(kpi: Kpi) -> str:
    """What a ratio is made over, in words: it may be no number of rows, but money, or so many units and a half."""
    assert kpi.ratio is not None  # only ratios rest on a value
    names = kpi.ratio.bottoms if kpi.ratio.rests == "bottom_value" else (kpi.ratio.rests,)
    return " times ".join(name.replace("_", " ").replace(".", " ") for name in names)


def _plain(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _operands(evaluator: "Evaluator", kpi: Kpi, said: str, slices: Sequence[Slice]) -> list[_Operand]:
    name, _, suffix = said.partition(".")
    part = _asked(evaluator, kpi, name)
    slices = [own_slice(evaluator, part, slice_) for slice_ in slices]
    if suffix in ("", "value"):
        return [_Operand(f.value, {(name, s): f}) for s, f in zip(slices, evaluator.figures(part, slices), strict=True)]
    if suffix in ("n", "numerator", "denominator"):
        return [_part(name, s, f, suffix) for s, f in zip(slices, evaluator.figures(part, slices), strict=True)]
    if suffix in ("opening", "mean"):
        return _opened(evaluator, part, suffix, slices)
    if suffix in ("target", "gap"):
        return _wanted(evaluator, part, suffix, slices)
    others = [_other(evaluator, kpi, part, slice_, suffix) for slice_ in slices]
    there = evaluator.figures(part, others)
    if suffix in ("previous", "base"):
        return [_Operand(f.value, {(name, s): f}) for s, f in zip(others, there, strict=True)]
    here = evaluator.figures(part, slices)
    found = []
    for slice_, now, other, then in zip(slices, here, others, there, strict=True):
        change = now.value - then.value if now.value is not None and then.value is not None else None
        found.append(_Operand(change, {(name, slice_): now, (name, other): then}))
    return found


def _asked(evaluator: "Evaluator", kpi: Kpi, name: str) -> Kpi:
    """A KPI as it is asked for another's sake: how many rows are enough is that one's to say, where it says."""
    part = evaluator.part(kpi, name)
    return part.model_copy(update={"n_min": 0}) if part.stock is None and kpi.n_min is not None else part


def _part(name: str, slice_: Slice, figure: Figure, suffix: str) -> _Operand:
    value: float | None = figure.n if suffix == "n" else getattr(figure, suffix)
    return _Operand(value, {(name, slice_): figure})


def _opened(evaluator: "Evaluator", part: Kpi, suffix: str, slices: Sequence[Slice]) -> list[_Operand]:
    """A stock at the start of each slice, or the mean of its start and its end; it rests on those of the start."""
    starts = [replace(slice_, at=slice_.since, at_day=slice_.day_start) for slice_ in slices]
    found = []
    ends = evaluator.figures(part, slices) if suffix == "mean" else []
    for number, (start, opening) in enumerate(zip(starts, evaluator.figures(part, starts), strict=True)):
        value = opening.value
        if suffix == "mean":
            closing = ends[number].value
            value = None if value is None or closing is None else (value + closing) / 2
        found.append(_Operand(value, {(part.id, start): opening}))
    return found


def own_slice(evaluator: "Evaluator", part: Kpi, slice_: Slice) -> Slice:
    """What an operand is asked over: its own window or running period, as it stood at the end of this slice."""
    if part.window is not None:
        return cut(rolling(Span(slice_.day_start, slice_.at_day), part.window), evaluator.as_of, evaluator.zone)
    if part.partial is None or part.period in (None, "all", slice_.span.granularity) or is_stock(part):
        return slice_
    span = span_holding(slice_.day_end - timedelta(1), part.period or "month", evaluator.reporting)
    return cut(span, datetime.fromtimestamp(slice_.until, UTC), evaluator.zone)


def _wanted(evaluator: "Evaluator", part: Kpi, suffix: str, slices: Sequence[Slice]) -> list[_Operand]:
    """The target's end value, or what is still missing to it, at each slice."""
    from scorecards.targets.baselines import wanted_at_end

    full = wanted_at_end(evaluator, part)
    found = []
    for slice_, now in zip(slices, evaluator.figures(part, slices), strict=True):
        if suffix == "target" or full is None or now.value is None:
            found.append(_Operand(full if suffix == "target" else None, {(part.id, slice_): now}))
        else:
            found.append(_Operand(full - now.value, {(part.id, slice_): now}))
    return found


def _other(evaluator: "Evaluator", kpi: Kpi, part: Kpi, slice_: Slice, suffix: str) -> Slice:
    """The slice compared with: the previous period, or the base that `params.compare` chooses."""
    compare = "previous" if suffix == "previous" else compared_with(evaluator, kpi, part)
    span = year_ago(slice_.span) if compare == "year_ago" else shifted(slice_.span, -1)
    if not kpi.params.get("like_for_like", True):
        return cut(span, evaluator.as_of, evaluator.zone)
    return like_for_like(span, slice_, evaluator.as_of, evaluator.zone)


def base_of(evaluator: "Evaluator", kpi: Kpi, part: Kpi, slice_: Slice) -> Slice:
    """What a KPI's part is compared with over a slice: like for like, by `params.compare`."""
    return _other(evaluator, kpi, part, slice_, "base")


def compared_with(evaluator: "Evaluator", kpi: Kpi, part: Kpi) -> str:
    """params.compare: year_ago, previous_period, or by the data: a year ago with 13 months of it."""
    said = str(kpi.params.get("compare", "auto")).removesuffix("_period")
    if said != "auto":
        return said
    relation = evaluator.compiler.relation(part)
    column = evaluator.compiler.language.column(relation, part.date or relation.anchor or "created_at")
    if column is None or "s." in column.sql:  # placed by the period itself: it has no first day
        return "previous"
    source = f"{relation.source} AS f"
    values = {"as_of": int(evaluator.as_of.timestamp()), "today": evaluator.today.isoformat()}
    first = evaluator.conn.execute(f"SELECT local_day(MIN({column.sql})) FROM {source}", values).fetchone()[0]
    if first is None:
        return "previous"
    begun = date.fromisoformat(first)
    months = (evaluator.today.year - begun.year) * 12 + evaluator.today.month - begun.month
    return "year_ago" if months >= 13 else "previous"


def growths(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> dict[str, Any]:
    """A growth against both bases, whichever is the headline; the year's to its end against the same days last year.

    `grows_from`: the first day of the period it is of, and the day after its last.
    """
    assert kpi.ratio is not None  # the caller looked
    name, _, suffix = kpi.ratio.top.partition(".")
    if suffix != "change":
        return {}
    # Whole where the period is: what was won up to its end may be kept.
    year = span_holding(slice_.span.end - timedelta(1), "year", evaluator.reporting)
    to_date = cut(Span(year.start, slice_.span.end), evaluator.as_of, evaluator.zone)
    found: dict[str, Any] = {}
    for said, compare, over in (
        ("year_on_year", "year_ago", slice_),
        ("on_previous", "previous", slice_),
        ("year_to_date", "year_ago", to_date),
    ):
        other = kpi.model_copy(update={"params": {**kpi.params, "compare": compare}})
        if said == "year_to_date" and slice_.span.granularity == "all":
            continue
        found[said] = ratio_figures(evaluator, other, [over])[0].value
    base = base_of(evaluator, kpi, _asked(evaluator, kpi, name), slice_)
    return {**found, "grows_from": {"start": base.span.start.isoformat(), "end": base.day_end.isoformat()}}
