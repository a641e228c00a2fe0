"""The configuration: one TOML file becomes frozen models, or every mistake in it at once.

The modules beside this one each hold one step; what a section may hold is said beside its user.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from syncagent.config.build import Loader
from syncagent.config.file import find_config, parse, read_text
from syncagent.config.report import Report
from syncagent.config.result import AgentSettings, Config, SourceSettings
from syncagent.config.toml import find_positions
from syncagent.errors import ConfigError, Problem

__all__ = ["AgentSettings", "Config", "ConfigError", "Problem", "SourceSettings", "find_config", "load_config"]


def load_config(path: Path | str, *, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, check and join everything. Raises ConfigError with every mistake.

    What works but deserves attention is in `Config.warnings`.
    """
    path = Path(path)
    text = read_text(path)
    tree = parse(path, text)
    report = Report(str(path), tree, find_positions(text))
    config = Loader(path, tree, report, environ).load()
    if config is None:
        raise ConfigError(sorted(report.problems, key=lambda problem: problem.line))
    return config
