"""The hash of a package's code: what is kept under it is given to no other code."""

import compileall
import importlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorecards.code import code_hash

MODULES = {
    "__init__.py": "",
    "sums.py": "def total():\n    return 1\n",
    "deep/__init__.py": "",
    "deep/one.py": "X = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that can be imported, its modules in a folder."""
    folder = tmp_path / "folder" / "hashed_package"
    for place, text in MODULES.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    sys.modules.pop("hashed_package", None)


@pytest.mark.parametrize("place", MODULES)
def test_any_module_that_says_something_else_is_other_code(package: Path, place: str) -> None:
    before = code_hash("hashed_package")
    with (package / place).open("a", encoding="utf-8") as file:
        file.write("Y = 2\n")

    assert code_hash("hashed_package") != before


def test_a_module_more_or_less_is_other_code(package: Path) -> None:
    before = code_hash("hashed_package")
    (package / "deep" / "one.py").rename(package / "deep" / "two.py")
    renamed = code_hash("hashed_package")
    (package / "deep" / "two.py").unlink()

    assert len({before, renamed, code_hash("hashed_package")}) == 3


def test_what_python_makes_of_it_is_no_other_code(package: Path) -> None:
    before = code_hash("hashed_package")
    compileall.compile_dir(package, quiet=2)

    assert (package / "__pycache__").is_dir()
    assert code_hash("hashed_package") == before


def test_a_package_of_compiled_modules_alone_is_told_by_these(package: Path) -> None:
    compileall.compile_dir(package, quiet=2, legacy=True)
    for source in package.rglob("*.py"):
        source.unlink()
    before = code_hash("hashed_package")
    (package / "sums.py").write_text("def total():\n    return 2\n", encoding="utf-8")
    compileall.compile_file(package / "sums.py", quiet=2, legacy=True, force=True)
    (package / "sums.py").unlink()

    assert code_hash("hashed_package") != before


def test_in_a_zip_it_is_the_same_code(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel may be imported as it is."""
    before = code_hash("hashed_package")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        for file in sorted(package.rglob("*.py")):
            packed.write(file, file.relative_to(package.parent).as_posix())
    shutil.rmtree(package)
    sys.modules.pop("hashed_package")
    importlib.invalidate_caches()
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))

    assert code_hash("hashed_package") == before
