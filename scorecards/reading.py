"""How a KPI's value reads: its unit, which way is better, which statistic it is."""

from collections.abc import Mapping

from scorecards.compiler import Compiler
from scorecards.definition import Kpi
from scorecards.figures import is_rate


def unit_of(kpi: Kpi, kpis: Mapping[str, Kpi], compiler: Compiler) -> str:
    """The public unit of a KPI's value."""
    if kpi.unit is not None:
        return kpi.unit
    if is_rate(kpi):
        return "ratio"
    if kpi.operands:
        parts = [kpis.get(name.partition(".")[0]) for name in kpi.operands]
        units = {unit_of(part, kpis, compiler) for part in parts if part is not None}
        if kpi.calc is not None:
            return units.pop() if len(units) == 1 else "number"
        return "ratio" if len(units) == 1 else "number"
    if kpi.sql is not None:
        return {"percent": "ratio", None: "number"}.get(kpi.format, "money" if kpi.format != "number" else "number")
    if kpi.duration is not None and kpi.agg not in ("count", "distinct"):
        return "days" if kpi.duration.unit == "d" else "seconds"
    if kpi.agg in ("count", "distinct") or kpi.share is not None:
        return "count"
    return "money" if is_money(kpi, kpis, compiler) else "number"


def is_money(kpi: Kpi, kpis: Mapping[str, Kpi], compiler: Compiler) -> bool:
    if kpi.unit is not None:
        return kpi.unit == "money"
    if kpi.of is None or kpi.field is None or kpi.agg in ("count", "distinct"):
        return False
    column = compiler.language.column(compiler.relation(kpi), kpi.field)
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
