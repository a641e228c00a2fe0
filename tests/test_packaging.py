"""The wheel holds all four packages and their data, and works from anywhere: editable installs hide the opposite."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_installs_and_runs_away_from_the_checkout(tmp_path: Path) -> None:
    """Build, install into a fresh environment, and use it from an empty folder."""
    _run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / "bin"
    _run(bin_ / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)

    empty = tmp_path / "elsewhere"
    empty.mkdir()
    assert "0.1.0" in _run(bin_ / "syncagent", "--version", cwd=empty)
    _run(bin_ / "syncagent", "init", "--yes", "config.toml", cwd=empty)
    code = (
        "from scorecards.catalogue import AREAS, BUILTINS; from scorecards.render import render;"
        " from importlib.resources import files; assert len(BUILTINS) > 10;"
        " assert all(files('scorecards').joinpath('catalogue', f'{a}.toml').is_file() for a in AREAS);"
        " assert files('templates').joinpath('email').is_dir()"
    )
    _run(bin_ / "python", "-c", code, cwd=empty)
