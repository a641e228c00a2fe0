"""By what a KPI can be split: its own rows', or those of all the KPIs it is made of."""

from collections.abc import Iterator, Mapping

from scorecards.definition import Kpi

#: What is said of a KPI for the whole alone: a goal has no segments.
_WHOLE = ("target", "gap")


def counted(kpi: Kpi, kpis: Mapping[str, Kpi], seen: frozenset[str] = frozenset()) -> Iterator[Kpi]:
    """The KPIs that count rows behind one: itself, or those it is made of. Those that are not there are left out."""
    if not kpi.operands:
        yield kpi
        return
    for said in kpi.operands:
        name = said.partition(".")[0]
        if name in kpis and name not in seen:
            yield from counted(kpis[name], kpis, seen | {kpi.id, name})


def why_whole(kpi: Kpi, kpis: Mapping[str, Kpi], seen: frozenset[str] = frozenset()) -> str:
    """Why a KPI cannot be split by a dimension; empty where it can."""
    if kpi.sql is not None:
        return "its own statement says its segments"
    for said in kpi.operands:
        name, _, suffix = said.partition(".")
        if suffix in _WHOLE:
            return f"{said} is set for the whole"
        if name in kpis and name not in seen and (why := why_whole(kpis[name], kpis, seen | {kpi.id, name})):
            return why if kpis[name].operands else f"{name}: {why}"
    return ""
