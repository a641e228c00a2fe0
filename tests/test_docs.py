"""What the documents say holds: commands exist, snippets load, every dependency has its reason."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from connectors.files import notes
from connectors.hubspot.settings import OFFERED as HUBSPOT
from connectors.salesforce.settings import OFFERED as SALESFORCE
from syncagent import status_sources
from syncagent.cli.sync import sync_command
from syncagent.config import load_config
from syncagent.sync_report import StreamReport

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONNECTORS = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _commands() -> list[tuple[str, ...]]:
    """Every `syncagent …` the README, the contributors' or the connectors' page names, up to its first option."""
    found = set()
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), CONNECTORS):
        for words in re.findall(r"syncagent((?: [a-z]+)+)", text):
            parts = words.split()
            groups = {"kpi", "scorecard", "outbox", "source", "config", "links", "alert"}
            found.add(tuple(parts[:2] if parts[0] in groups and len(parts) > 1 else parts[:1]))
    return sorted(found)


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_a_command_that_is_named_exists(command: tuple[str, ...]) -> None:
    """`syncagent X --help` works for each command a page names."""
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", *command, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_make_targets_that_are_named_exist() -> None:
    """README and CONTRIBUTING name only targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8") + CONNECTORS
    for target in set(re.findall(r"(?:`|^)make ([a-z-]+)", pages, re.M)):
        assert f"\n{target}:" in makefile, target


def test_the_small_configuration_of_the_readme_is_right(tmp_path: Path) -> None:
    """The TOML blocks of the README, together, are a configuration."""
    blocks = re.findall(r"```toml\n(.*?)```", README, re.S)
    (tmp_path / "config.toml").write_text("\n".join(blocks), encoding="utf-8")
    config = load_config(tmp_path / "config.toml", environ={})
    assert {"win_rate", "urgent_backlog"} <= set(config.kpis)


def test_every_dependency_has_its_reason() -> None:
    """The README names each package the wheel asks for."""
    names = {re.split(r"[\[<>=!~ ]", line)[0] for line in PROJECT["project"]["dependencies"]}
    assert {name for name in names if name not in README} == set()


def test_the_picture_of_a_scorecard_is_there() -> None:
    """The README's picture is a PNG of the width it was made at."""
    picture = (ROOT / "docs" / "scorecard.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"


# -- docs/connectors.md ------------------------------------------------------------------------------------------------


@cache
def _names(path: str) -> frozenset[str]:
    """What a test module defines at its top level: functions, classes, and classes made by assignment."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(found)


def _part(title: str) -> str:
    """What stands below `## title`; the last one of that name, as the table of rules has parts of the same names."""
    return re.split(rf"^## {title}$", CONNECTORS, flags=re.M)[-1].split("\n## ")[0]


def _rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in `text`, without their headers."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {number for number, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]
        for number, line in enumerate(lines)
        if number not in rules and number + 1 not in rules
    ]


def test_every_rule_of_the_connectors_names_tests_that_exist() -> None:
    """Each row of the table of rules has a test, and each test named anywhere on the page is there."""
    rows = _rows(_part("Each rule, the fact behind it, the test that holds it"))
    assert len(rows) > 45
    assert [row[0] for row in rows if "::test_" not in row[-1] and "::Test" not in row[-1]] == []
    named = re.findall(r"`([^`\n]*?)::([^`\n]*?)`", CONNECTORS)
    assert len(named) >= len(rows)
    assert [f"{path}::{name}" for path, name in named if not (ROOT / path).is_file() or name not in _names(path)] == []


def test_the_streams_that_are_named_are_those_offered() -> None:
    """The table of streams has a cell for each CRM that offers one, and names none that is not offered."""
    told: dict[str, set[str]] = {"salesforce": set(), "hubspot": set()}
    for names, salesforce, hubspot in _rows(_part("Streams")):
        for name in re.findall(r"`(\w+)`", names):
            told["salesforce"] |= {name} if salesforce else set()
            told["hubspot"] |= {name} if hubspot else set()
    assert told == {"salesforce": set(SALESFORCE), "hubspot": set(HUBSPOT)}


def test_the_problem_codes_that_are_named_are_those_of_the_code() -> None:
    """Every code about sources is told, with its severity in the table, and no other one."""
    made = {
        node.args[0].value
        for node in ast.walk(ast.parse(inspect.getsource(status_sources)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Trouble"
        if isinstance(node.args[0], ast.Constant)
    }
    made |= {
        value.value
        for node in ast.walk(ast.parse(inspect.getsource(notes)))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant)
    }
    rows = _rows(_part("What sync and status tell"))
    assert {row[0].strip("`") for row in rows if row[-1].startswith(("error", "warning"))} == made


def test_the_options_and_keys_of_sync_that_are_named_are_those_there_are() -> None:
    """The table of options has each of them, and the row of --json each key of a stream."""
    rows = {row[0].split()[0].strip("`"): row[1] for row in _rows(_part("What sync and status tell"))}
    options = {option for param in sync_command.params for option in param.opts if option.startswith("--")}
    assert {name for name in rows if name.startswith("--")} == options - {"--help"}
    keys = re.sub(r"\(.*?\)", "", rows["--json"])  # without what is explained about them
    assert set(re.findall(r"`(\w+)`", keys)) - {"ok", "stopped", "streams"} == set(StreamReport("", "").to_json())
