"""How a KPI's value reads: its unit, which way is better, which statistic it is."""

from collections import Counter
from collections.abc import Mapping, Sequence

from scorecards.compiler import Compiler
from scorecards.definition import Kpi
from scorecards.figures import is_rate, is_two_sided

#: Units that leave what they multiply or divide what it is: revenue per deal is money.
_BARE = {"count", "number", "ratio", "per_100"}


def unit_of(kpi: Kpi, kpis: Mapping[str, Kpi], compiler: Compiler) -> str:
    """The public unit of a KPI's value."""
    if kpi.unit is not None:
        return kpi.unit
    if is_rate(kpi):
        return "ratio"
    if kpi.operands:
        return _as_written(kpi, _of_parts(kpi, kpis, compiler))
    if kpi.sql is not None:
        return {"percent": "ratio", None: "number"}.get(kpi.format, "money" if kpi.format != "number" else "number")
    if kpi.duration is not None and kpi.agg not in ("count", "distinct"):
        return "days" if kpi.duration.unit == "d" else "seconds"
    if kpi.agg in ("count", "distinct") or kpi.share is not None:
        return "count"
    return "money" if is_money(kpi, kpis, compiler) else "number"


def unit_of_part(said: str, kpis: Mapping[str, Kpi], compiler: Compiler) -> str:
    """The unit of a name in a ratio or a sum, with its suffix: "won_revenue.n" is a count of deals."""
    name, _, suffix = said.partition(".")
    part = kpis.get(name)
    if part is None:
        return "number"
    if suffix == "n":
        return "count"
    if suffix not in ("numerator", "denominator"):
        return unit_of(part, kpis, compiler)
    if part.ratio is not None:
        names = part.ratio.tops if suffix == "numerator" else part.ratio.bottoms
        return _over([unit_of_part(one, kpis, compiler) for one in names], [])
    if is_two_sided(part):
        if part.weight != "count":
            return "money" if _holds_money(part, part.weight, compiler) else "number"
        return "number" if part.filled is not None else "count"
    if part.of is None or suffix == "numerator":
        return "money" if part.field is not None and _holds_money(part, part.field, compiler) else "number"
    return "count"


def _of_parts(kpi: Kpi, kpis: Mapping[str, Kpi], compiler: Compiler) -> str:
    """What follows from the units of what a KPI is made of."""
    if kpi.ratio is None:
        units = {unit_of_part(said, kpis, compiler) for said in kpi.operands}
        return units.pop() if len(units) == 1 else "number"
    tops, bottoms = ([unit_of_part(s, kpis, compiler) for s in side] for side in (kpi.ratio.tops, kpi.ratio.bottoms))
    found = _over(tops, bottoms)
    if kpi.ratio.times == "period_days":
        return "days" if found == "ratio" else "number"
    return "number" if found == "ratio" and kpi.ratio.times != 1 else found


def _over(tops: Sequence[str], bottoms: Sequence[str]) -> str:
    """The unit of units multiplied and divided: what is the same on both sides cancels, counts and rates are bare.

    A share of one unit of the same is a "ratio"; what has no name is a "number".
    """
    above, below = Counter(tops) - Counter(bottoms), Counter(bottoms) - Counter(tops)
    if not above and not below:
        return "ratio"
    if not below and above.total() == 1:
        return next(iter(above))
    with_units = [unit for unit in above.elements() if unit not in _BARE]
    is_plain = len(with_units) == 1 and with_units[0] != "score" and not set(below) - _BARE
    return with_units[0] if is_plain else "number"


def _as_written(kpi: Kpi, unit: str) -> str:
    """Of a number of nothing `format` says what it is; of one unit over the same, whether it is a share."""
    if unit not in ("number", "ratio") or kpi.format in (None, "months"):
        return unit
    if kpi.format in ("percent", "number"):
        return "ratio" if kpi.format == "percent" else "number"
    return "money" if unit == "number" else unit


def is_money(kpi: Kpi, kpis: Mapping[str, Kpi], compiler: Compiler) -> bool:
    """Is a KPI's value an amount of the reporting currency?"""
    if kpi.unit is not None or kpi.operands:
        return unit_of(kpi, kpis, compiler) == "money"
    if kpi.of is None or kpi.field is None or kpi.agg in ("count", "distinct"):
        return False
    return _holds_money(kpi, kpi.field, compiler)


def _holds_money(kpi: Kpi, name: str, compiler: Compiler) -> bool:
    column = compiler.language.column(compiler.relation(kpi), name) if kpi.of is not None else None
    return column is not None and column.type == "money"


def direction_of(kpi: Kpi) -> str:
    """Which way is better: said outright, or what the target wants."""
    if kpi.direction is not None:
        return kpi.direction
    if kpi.target is not None and isinstance(kpi.target.want, str):
        return kpi.target.want
    return "neutral"


def stat_of(kpi: Kpi) -> str:
    names = {"avg": "mean", "count": "", "sum": "", "distinct": ""}
    measured = kpi.duration is not None or kpi.agg in ("median", "min", "max") or kpi.agg.startswith("p")
    return names.get(kpi.agg, kpi.agg) if measured else ""
