"""Helpers of the catalogue whose names an admin has given to KPIs of their own: both are kept apart."""

from collections.abc import Collection, Mapping
from typing import Any

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build

#: What a definition names other KPIs by.
_NAMING = ("top", "bottom", "plus", "minus", "kpi", "rests_on", "params_of")


def is_helper(name: str) -> bool:
    """Is it the name of a built-in that only others are worked out from?"""
    return name in BUILTINS and BUILTINS[name].hidden


def set_apart(kpis: Mapping[str, Kpi], taken: Collection[str]) -> dict[str, Kpi]:
    """`kpis` with the built-ins worked out from the catalogue's own helpers, whose names (`taken`) others have.

    Those helpers get names no KPI of a file can have.
    """
    if not taken:
        return dict(kpis)
    found = {name: _renamed(kpi, taken) if kpi.builtin else kpi for name, kpi in kpis.items()}
    for name in taken:
        helper = _renamed(BUILTINS[name], taken)
        found[_apart(name)] = helper.model_copy(update={"id": _apart(name)})
    return found


def _apart(name: str) -> str:
    return f"built-in:{name}"


def _renamed(kpi: Kpi, taken: Collection[str]) -> Kpi:
    template = _pointed(kpi.template, taken)
    return kpi if template == kpi.template else build(kpi.id, template, builtin=True)


def _pointed(said: Any, taken: Collection[str], *, names: bool = False) -> Any:
    if isinstance(said, Mapping):
        return {key: _pointed(value, taken, names=key in _NAMING) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [_pointed(value, taken, names=names) for value in said]
    if names and isinstance(said, str):
        name, dot, suffix = said.partition(".")
        return f"{_apart(name)}{dot}{suffix}" if name in taken else said
    return said
