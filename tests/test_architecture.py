"""Who may import whom: one-way packages, vendor packages in one room each, no module grown out of hand."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {
    "templates": set(),
    "connectors": {"connectors"},
    "scorecards": {"scorecards", "templates"},
    "syncagent": {"syncagent", "connectors", "scorecards", "templates"},
}
#: Third-party packages that live in one room only.
ROOMS: dict[str, str | tuple[str, ...]] = {
    "simple_salesforce": "connectors/",
    "tenacity": ("connectors/", "syncagent/mailer"),
    "hubspot": "connectors/",
    "jinja2": "scorecards/",
    "css_inline": "scorecards/",
    "resvg_py": "scorecards/",
    "click": ("syncagent/cli/", "syncagent/demo"),
    "apscheduler": "syncagent/daemon",
    "sqlite_utils": "syncagent/",
    "aiosmtpd": "syncagent/sandbox/",
    "starlette": "syncagent/sandbox/",
    "uvicorn": "syncagent/sandbox/",
}
#: Nothing below these imports them: the top of the house.
TOP = {"cli", "daemon", "demo"}
LIMIT = 400

MODULES = sorted(p for package in OURS for p in (ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """(top-level package, whole module) of every import statement."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield name.partition(".")[0], name


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stay_in_their_room(path: Path) -> None:
    """Leaves import neither each other nor the agent; each vendor package has one room."""
    place = str(path.relative_to(ROOT))
    package = place.partition("/")[0]
    found = list(_imports(path))

    strangers = {top for top, _ in found if top in OURS and top not in OURS[package]}
    astray = {top for top, _ in found if top in ROOMS and not place.startswith(ROOMS[top])}

    assert strangers == set()
    assert astray == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_imports_the_top(path: Path) -> None:
    """`cli`, `daemon` and `demo` wire; nothing else knows them."""
    own = path.stem.partition("_")[0]
    if own in TOP or path.parent.name in TOP or path.stem == "__main__":
        return
    assert not {n for _, n in _imports(path) if n.startswith("syncagent.") and n.split(".")[1].split("_")[0] in TOP}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_computes_asks_no_check(path: Path) -> None:
    """`scorecards.checks` is for those who load a configuration: nothing else of `scorecards` imports it."""
    place = path.relative_to(ROOT).parts
    if place[0] == "scorecards" and place[1] != "checks":
        assert not {name for _, name in _imports(path) if name.startswith("scorecards.checks")}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_knows_and_stays_small(path: Path) -> None:
    """A docstring first, and no module past the limit."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "module docstring missing"
    assert text.count("\n") <= LIMIT


def test_help_needs_no_vendor_package() -> None:
    """`syncagent --help` answers at once: the command line imports nothing heavy."""
    import subprocess

    heavy = "simple_salesforce hubspot apscheduler starlette jinja2 babel pydantic sqlite_utils requests holidays"
    script = (
        "import sys\nfrom syncagent.cli import main\nsys.argv = ['syncagent', '--help']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"print('loaded:', *sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_no_test_depends_on_how_busy_the_machine_is() -> None:
    """Hypothesis' deadline is off in the one profile of tests/conftest.py, and no test sets its own."""
    from hypothesis import settings

    assert settings.default is not None
    assert settings.default.deadline is None
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "settings":
                assert "deadline" not in {word.arg for word in node.keywords}, path
