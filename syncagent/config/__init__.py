"""The configuration: one TOML file becomes frozen models, or every mistake in it at once.

The modules beside this one each hold one step; what a section may hold is said beside its user.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from syncagent.config.build import Loader
from syncagent.config.file import content_of, find_config, parse, read_text
from syncagent.config.report import Report
from syncagent.config.result import AgentSettings, Config, SourceSettings
from syncagent.config.toml import find_positions
from syncagent.errors import ConfigError, Problem

__all__ = ["AgentSettings", "Config", "ConfigError", "Problem", "SourceSettings", "find_config", "load_config"]


def load_config(
    path: Path | str,
    *,
    environ: Mapping[str, str] = os.environ,
    secrets: Literal["required", "optional"] = "required",
) -> Config:
    """Read, check and join everything. Raises ConfigError with every mistake.

    What works but deserves attention is in `Config.warnings`. With `secrets="optional"`, for what neither logs in nor
    sends, secrets of sources and mail that cannot be had are in `Config.unset` and are no mistake.
    """
    path = Path(path)
    text = read_text(path)
    tree = parse(path, text)
    report = Report(str(path), tree, find_positions(text))
    config = Loader(path, tree, report, environ, needs_secrets=secrets == "required").load()
    if config is None:
        raise ConfigError(sorted(report.problems, key=lambda problem: problem.line))
    return replace(config, content=content_of(text))
