"""The built-in KPIs: read from the TOML files of this folder, made by the same code as an admin's own."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from scorecards.definition import Kpi, build

#: One file an area, in the order in which the catalogue is listed.
AREAS = ("sales", "customers", "dialogue", "service", "office", "quality", "machine")


@lru_cache(maxsize=1)
def builtins() -> Mapping[str, Kpi]:
    """Every built-in by name, hidden helpers included. A name in two areas is a mistake of ours: ImportError."""
    tables: dict[str, Mapping[str, Any]] = {}
    for area in AREAS:
        text = files("scorecards").joinpath("catalogue", f"{area}.toml").read_text(encoding="utf-8")
        for name, table in tomllib.loads(text).items():
            if name in tables:
                raise ImportError(f"two built-in KPIs are called {name!r}")
            tables[name] = table
    return MappingProxyType({name: build(name, table, builtin=True) for name, table in tables.items()})


BUILTINS = builtins()
