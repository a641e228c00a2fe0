"""What the documents say holds: commands exist, snippets load, every dependency has its reason."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from syncagent.config import load_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _commands() -> list[tuple[str, ...]]:
    """Every `syncagent …` the README or the contributors' page names, up to its first option or argument."""
    found = set()
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
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
    pages = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
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
