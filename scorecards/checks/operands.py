"""What is wrong with the KPIs that a ratio or a calculation is made of."""

from collections.abc import Iterator, Mapping, Sequence

from scorecards.checks import Problem, meant
from scorecards.definition import Kpi
from scorecards.ratios import SUFFIXES


def problems(path: str, kpi: Kpi, names: Sequence[str], kpis: Mapping[str, Kpi]) -> Iterator[Problem]:
    """Of what stands in one slot (`path`) of a KPI: no such KPI, one made of it, what a KPI has not."""
    for said in names:
        name, _, suffix = said.partition(".")
        if name not in kpis:
            yield path, f"no KPI is called {name!r}.", meant(name, list(kpis))
        elif _leads_back(kpi, name, kpis, frozenset()):
            yield path, f"{name} is made of this KPI, which is made of it.", "Name KPIs that do not need this one."
        elif suffix in ("opening", "mean") and kpis[name].stock is None:
            yield path, f"{name} is no stock: it has no value at the start of a period.", f"Give {name} a stock."
        if suffix and suffix not in SUFFIXES:
            yield path, f"{suffix!r} is nothing a KPI has.", f"After the dot may stand {', '.join(SUFFIXES)}."


def _leads_back(kpi: Kpi, name: str, kpis: Mapping[str, Kpi], seen: frozenset[str]) -> bool:
    """Is a KPI (`name`) made of the one that is checked, by whatever steps?"""
    if name == kpi.id or name in seen:
        return True
    part = kpis.get(name)
    return part is not None and any(
        _leads_back(kpi, operand.partition(".")[0], kpis, seen | {name}) for operand in part.operands
    )
