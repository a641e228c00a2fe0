"""What can still be known of a configuration that cannot be used: enough to say how things stand."""

import os
import sqlite3
import tomllib
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from syncagent.config.build import SOURCES, Loader
from syncagent.config.file import content_of, read_text
from syncagent.config.report import Report
from syncagent.config.result import Config, SourceSettings
from syncagent.config.toml import find_positions
from syncagent.errors import AgentError

#: So many lines that are no TOML are left out before the rest is given up.
_FAULTS = 5


def load_partly(path: Path) -> Config:
    """The configuration without its mistakes; what they hide has its default, and sources are those of the cache too.

    Secrets are not looked for. Raises ConfigError when the file cannot be read at all.
    """
    text = read_text(path)
    tree = _readable(text)
    loader = Loader(path, tree, Report(str(path), tree, find_positions(text)), os.environ, needs_secrets=False)
    config = loader.load(despite_mistakes=True)
    assert config is not None
    sources = {**_known_sources(config.agent.data_dir), **config.sources}
    return replace(config, sources=sources, content=content_of(text))


def _readable(text: str) -> dict[str, Any]:
    """The file without the lines that are no TOML, else what stands before the table of the fault."""
    lines = text.replace("\r\n", "\n").split("\n")
    for _ in range(_FAULTS):
        try:
            return tomllib.loads("\n".join(lines))
        except tomllib.TOMLDecodeError as error:
            line = str(error).rpartition("(at line ")[2].partition(",")[0]
            if not line.isdigit():
                break
            lines[int(line) - 1] = ""
        except (ValueError, RecursionError):
            break
    for end in reversed([number for number, line in enumerate(lines) if line.startswith("[")]):
        with suppress(ValueError, RecursionError):
            return tomllib.loads("\n".join(lines[:end]))
    return {}


def _known_sources(data_dir: Path) -> dict[str, SourceSettings]:
    """The sources that were read before, with the defaults of their kind."""
    from syncagent.store import read_cache

    with suppress(AgentError, sqlite3.DatabaseError), closing(read_cache(data_dir)) as cache:
        rows = cache.execute("SELECT source_name, crm FROM sources WHERE crm IS NOT NULL ORDER BY source_name")
        kinds: dict[str, Any] = dict(SOURCES)  # made without what only a login needs
        return {name: kinds[crm].model_construct(type=crm) for name, crm in rows if crm in kinds}
    return {}
