"""Logs that grow and are moved or copied between two looks: every line counts once."""

import gzip
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.files_cache import PageCache
from tests.unit.test_files import connector
from tests.unit.test_files_globs import COSTS, kinds, sync
from tests.unit.test_files_properties import files_in
from tests.unit.test_files_properties import sync as sync_small

A, B, C, D = ("2026-01,a,1\n", "2026-01,b,1\n", "2026-01,c,1\n", "2026-01,d,1\n")


def _loaded(folder: Path, name: str = "costs.csv") -> tuple[PageCache, Path]:
    cache, path = PageCache("costs"), folder / name
    path.write_text(COSTS + A + B)
    look(folder, cache)
    return cache, path


def look(folder: Path, cache: PageCache, full: bool = False) -> None:
    sync(connector({"path": str(folder / "*"), "table": "costs"}), cache, full=full)


def test_a_log_that_grew_and_was_renamed_keeps_its_rows_names(tmp_path: Path) -> None:
    cache, path = _loaded(tmp_path)
    path.rename(tmp_path / "moved.csv").write_text(COSTS + A + B + C)
    for full in (False, True, False):
        look(tmp_path, cache, full=full)
        assert sorted(cache.rows) == ["costs.csv#2", "costs.csv#3", "costs.csv#4"]
    assert cache.read == 0


def test_a_log_that_grew_and_was_packed_and_moved_is_the_same_log(tmp_path: Path) -> None:
    cache, path = _loaded(tmp_path)
    path.unlink()
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((COSTS + A + B + C).encode()))
    look(tmp_path, cache)
    (tmp_path / "x.csv.gz").unlink()
    (tmp_path / "y.csv.gz").write_bytes(gzip.compress((COSTS + A + B + C + D).encode()))
    look(tmp_path, cache)
    assert (kinds(cache), sorted(cache.rows)[0]) == (["a", "b", "c", "d"], "costs.csv#2")


@pytest.mark.parametrize("name", ["archive.csv", "zzz.csv"])
def test_a_log_that_was_copied_and_then_grew_counts_once(tmp_path: Path, name: str) -> None:
    cache, path = _loaded(tmp_path)
    (tmp_path / name).write_text(path.read_text())
    path.write_text(COSTS + A + B + C)
    look(tmp_path, cache)
    assert kinds(cache) == ["a", "b", "c"]
    path.write_text(COSTS + A + B + C + D)
    look(tmp_path, cache)
    look(tmp_path, cache, full=True)
    assert kinds(cache) == ["a", "b", "c", "d"]
    path.write_text(COSTS + D)  # another one now: the copy alone has the old lines
    look(tmp_path, cache)
    assert kinds(cache) == ["a", "b", "d"]


@pytest.mark.parametrize("name", ["archive.csv", "zzz.csv"])
def test_a_copy_that_grew_adds_its_further_lines_only(tmp_path: Path, name: str) -> None:
    cache, path = _loaded(tmp_path)
    (tmp_path / name).write_text(COSTS + A + B + D)
    look(tmp_path, cache)
    assert kinds(cache) == ["a", "b", "d"]
    path.write_text(COSTS + A + B + C)
    look(tmp_path, cache)
    look(tmp_path, cache, full=True)
    assert kinds(cache) == ["a", "b", "c", "d"]
    path.write_text(COSTS + C)
    look(tmp_path, cache)
    assert kinds(cache) == ["a", "b", "c", "d"]


def test_a_copy_that_existed_before_its_original_grew_stays_a_copy(tmp_path: Path) -> None:
    cache, path = _loaded(tmp_path)
    (tmp_path / "archive.csv").write_text(path.read_text())
    look(tmp_path, cache)
    for number in range(30):
        path.write_text(path.read_text() + f"2026-02,x{number},1\n")
        look(tmp_path, cache)
    assert len(cache.rows) == 32


def test_a_header_alone_makes_no_file_a_copy_of_another(tmp_path: Path) -> None:
    cache = PageCache("costs")
    (tmp_path / "a.csv").write_text(COSTS)
    look(tmp_path, cache)
    (tmp_path / "b.csv").write_text(COSTS + A)
    look(tmp_path, cache)
    (tmp_path / "a.csv").write_text(COSTS + B)
    look(tmp_path, cache)
    assert sorted(cache.rows) == ["a.csv#2", "b.csv#2"]


def test_a_bookmark_from_before_beginnings_were_noted_knows_a_log_that_grew_and_moved(tmp_path: Path) -> None:
    cache, path = _loaded(tmp_path)
    assert cache.bookmark is not None
    cache.bookmark = {"files": {key: state[:8] for key, state in cache.bookmark["files"].items()}}
    path.rename(tmp_path / "moved.csv").write_text(COSTS + A + B + C)
    look(tmp_path, cache)
    assert sorted(cache.rows) == ["costs.csv#2", "costs.csv#3", "costs.csv#4"]


def test_a_packed_copy_in_an_old_bookmark_stays_a_copy(tmp_path: Path) -> None:
    cache, path = _loaded(tmp_path)
    (tmp_path / "z.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    look(tmp_path, cache)
    assert cache.bookmark is not None
    cache.bookmark = {"files": {key: state[:8] for key, state in cache.bookmark["files"].items()}}
    look(tmp_path, cache)
    path.write_text(COSTS + A + B + C)
    look(tmp_path, cache)
    assert kinds(cache) == ["a", "b", "c"]


# --- any order of these

NAMES = ("t-2.csv", "t-10.csv", "t-9.csv")
Write = Callable[[], str]


def _new(folder: Path, one: Path, other: Path, line: Write) -> None:
    one.write_text(COSTS + line())


def _grow(folder: Path, one: Path, other: Path, line: Write) -> None:
    if one.exists():
        one.write_text(one.read_text() + line())


def _copy(folder: Path, one: Path, other: Path, line: Write) -> None:
    if one.exists() and not other.exists():
        other.write_text(one.read_text())


def _rename(folder: Path, one: Path, other: Path, line: Write) -> None:
    if one.exists() and not other.exists():
        one.replace(other)


ACTS = st.sampled_from((_new, _grow, _grow, _copy, _rename))
STEPS = st.lists(
    st.tuples(ACTS, st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from((0, 1, 2))),
    max_size=12,
)


@given(STEPS)
def test_every_line_of_logs_that_grow_and_fork_counts_once(
    steps: list[tuple[Callable[[Path, Path, Path, Write], None], str, str, int]],
) -> None:
    """Between two looks a file is replaced, copied or moved, and it and its copy grow."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache, count = Path(name), PageCache("costs"), iter(range(1000))

        def line() -> str:
            return f"2026-01,k{next(count)},1\n"

        source = files_in(folder, "costs")
        for act, one, other, grown in steps:
            act(folder, folder / one, folder / other, line)
            for each in (one, other)[:grown]:
                _grow(folder, folder / each, folder / other, line)
            if any(folder.iterdir()):
                sync_small(source, cache, "costs", at_most=1)
                sync_small(source, cache, "costs")
        now = {one for path in folder.iterdir() for one in path.read_text().splitlines()[1:]}
        found = Counter(f"{row['month']},{row['kind']},1" for row in cache.rows.values())
        assert set(found.values()) <= {1}
        assert now <= set(found)
