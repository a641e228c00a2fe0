"""Finds the configuration file and reads it as TOML, or names the one fault that stops it."""

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syncagent.config.problems import dotted, syntax_sentence
from syncagent.config.toml import KeyPath, find_positions
from syncagent.errors import ConfigError, Problem

SYSTEM_PLACE = Path("/etc/syncagent/config.toml")


def find_config(explicit: str | None, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path:
    """Where the configuration is. Raises ConfigError naming every place that was looked at."""
    here = cwd or Path()
    variable = environ.get("SYNCAGENT_CONFIG", "")
    if explicit:
        return Path(explicit)
    if variable:
        return Path(variable)
    for place in (here / "config.toml", SYSTEM_PLACE):
        if place.is_file():
            return place
    message = (
        "no configuration found: --config is not given, $SYNCAGENT_CONFIG is not set, "
        f"there is no ./config.toml and no {SYSTEM_PLACE}"
    )
    raise ConfigError([Problem("syncagent", 0, "", "", message, "Run `syncagent init` to write ./config.toml.")])


def read_text(path: Path) -> str:
    """The file's text. Raises ConfigError when it cannot be had."""
    line = 0
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message, mend = "there is no such file", "Correct the path, or run `syncagent init` to write one."
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message, mend = "not UTF-8 text", "Save it as UTF-8."
    except OSError as error:
        message, mend = f"cannot be read: {error.strerror or error}", "Make it a file this user may read."
    except ValueError:
        message, mend = "not the name of a file", "Correct the path."
    raise ConfigError([Problem(str(path), line, "", "", message, mend)])


def content_of(text: str) -> str:
    """A short name for what a configuration file holds."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse(path: Path, text: str) -> dict[str, Any]:
    """The file as TOML means it. Raises ConfigError with the one fault that stops it."""
    positions = find_positions(text)
    value = ""
    last_line = text.rstrip("\n").count("\n") + 1
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, mend = syntax_sentence(str(error))
        place = str(error).rpartition("(at line ")[2].partition(",")[0]
        line = int(place) if place.isdigit() else last_line
        where: KeyPath = ()
        if "twice" in message and positions.repeated:
            where, (first, line) = next(iter(positions.repeated.items()))
            message = f"{message}: first in line {first}"
        elif not place.isdigit() and positions.lines:
            where = max(positions.lines, key=lambda each: (positions.lines[each], len(each)))
            line = positions.lines[where]  # what is never closed begins there, though it is missed at the end
        else:
            where = positions.deepest_on(line)
            column = str(error).rpartition("column ")[2].partition(")")[0]
            if message.startswith("there is no such date") and column.isdigit():
                value = re.split(r"[\s,\]}#]", text.splitlines()[line - 1][int(column) - 1 :])[0][:40]
        if len(where) == 2 and where[0] == "source" and message.startswith("this table"):
            message = message.replace("this table is written twice", "two sources of one name")
    except ValueError:
        line, where, message, mend = 0, (), "a number in it is too long to be read", "Shorten it."
    except RecursionError:
        line, where, message, mend = 0, (), "lists or tables in it are nested too deeply", "Flatten them."
    raise ConfigError([Problem(str(path), line, dotted(where), value, message, mend)])
