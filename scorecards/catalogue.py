"""The built-in KPIs: read from `catalogue.toml`, made by the same code as an admin's own."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

from scorecards.definition import Kpi, build


@lru_cache(maxsize=1)
def builtins() -> Mapping[str, Kpi]:
    """Every built-in by name, hidden helpers included."""
    text = files("scorecards").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: build(name, table, builtin=True) for name, table in tomllib.loads(text).items()})


BUILTINS = builtins()
