"""Rows without a date count by their place: the later file, then the later line; whatever was read when."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import StreamError
from connectors.files.inventory import natural
from tests.fakes.files_cache import PageCache
from tests.unit.test_files_properties import NAMES, SYNCS, files_in, perform, sync

HEADERS = ("id,updated_at,subject", "id,subject")
#: id, its date or none; the file has dates at all or not
ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(("", "1", "2", "3"))), min_size=1, max_size=7)


def write(path: Path, rows: list[tuple[int, str]], *, dated: bool, who: str) -> None:
    lines = [HEADERS[not dated]]
    for number, (key, day) in enumerate(rows):
        at = [f"2026-01-0{day}T00:00:00Z" if day else ""] if dated else []
        lines.append(",".join([str(key), *at, f"{who}/{number}"]))
    path.write_text("\n".join(lines) + "\n")


def by_place(folder: Path, names: list[str]) -> dict[str, str]:
    """id -> subject of the files read once in order: a row gives way to one that has no date, or no earlier one."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        header, *lines = (folder / name).read_text().splitlines()
        for line in lines:
            cells = dict(zip(header.split(","), line.split(","), strict=True))
            at = cells.get("updated_at", "")
            if cells["id"] not in found or not at or at >= found[cells["id"]][0]:
                found[cells["id"]] = (at, cells["subject"])
    return {key: subject for key, (_, subject) in found.items()}


@given(st.lists(st.tuples(st.sampled_from(NAMES), ROWS, st.booleans(), SYNCS), min_size=1, max_size=8))
def test_whatever_was_read_when_the_later_place_counts(steps: list[tuple[str, list[Any], bool, Any]]) -> None:
    """Files are written anew again and again, with dates or without; the cache says what they say read once."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("tickets")
        source = files_in(folder, "tickets")
        for number, (file, rows, dated, when) in enumerate(steps):
            write(folder / file, rows, dated=dated, who=f"{file}{number}")
            perform(source, cache, "tickets", when)
        sync(source, cache, "tickets", full=True)
        names = sorted((path.name for path in folder.iterdir()), key=natural)
        truth = by_place(folder, names)
        held = {key: row["subject"] for key, row in cache.rows.items() if key in truth}
        assert held == truth


@given(st.lists(st.tuples(st.sampled_from(NAMES), ROWS, SYNCS), min_size=1, max_size=8))
def test_files_that_grow_without_dates_count_by_place(steps: list[tuple[str, list[Any], Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("tickets")
        source = files_in(folder, "tickets")
        grown: dict[str, list[Any]] = {}
        for file, rows, when in steps:
            grown.setdefault(file, []).extend((key, "") for key, _ in rows)
            write(folder / file, grown[file], dated=False, who=file)
            perform(source, cache, "tickets", when)
        sync(source, cache, "tickets")
        assert {key: row["subject"] for key, row in cache.rows.items()} == by_place(folder, sorted(grown, key=natural))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "t-9.csv", [(1, ""), (2, "")], dated=False, who="old")
    write(tmp_path / "t-10.csv", [(1, ""), (2, "")], dated=False, who="new")
    return tmp_path


def subjects(cache: PageCache) -> set[str]:
    return {row["subject"].partition("/")[0] for row in cache.rows.values()}


def test_an_older_file_that_comes_later_or_changes_beats_nothing(folder: Path) -> None:
    cache, source = PageCache("tickets"), files_in(folder, "tickets")
    sync(source, cache, "tickets")
    assert subjects(cache) == {"new"}
    write(folder / "t-9.csv", [(1, ""), (2, ""), (3, "")], dated=False, who="old again")
    write(folder / "t-2.csv", [(1, ""), (2, "")], dated=False, who="oldest")
    sync(source, cache, "tickets")
    assert {key: row["subject"] for key, row in cache.rows.items()} == {"1": "new/0", "2": "new/1", "3": "old again/2"}


def test_an_older_file_that_cannot_be_read_to_its_end_beats_nothing_either(folder: Path) -> None:
    cache, source = PageCache("tickets"), files_in(folder, "tickets")
    sync(source, cache, "tickets")
    bad = b"id,subject\n1,older\n2,older\n3,x\n4,x\n5,x\n" + b"6,caf\xe9\n" * 30
    (folder / "t-9.csv").write_bytes(bad)
    with pytest.raises(StreamError, match="is not utf-8 text"):
        sync(source, cache, "tickets")
    assert {cache.rows[key]["subject"] for key in ("1", "2")} == {"new/0", "new/1"}


def test_a_row_without_a_date_is_one_in_the_next_page_as_well(tmp_path: Path) -> None:
    """A page of three rows ends between the copies of an id, or does not: the same one counts."""
    for between in range(4):
        folder = tmp_path / str(between)
        folder.mkdir()
        write(folder / "t-1.csv", [(1, "3")], dated=True, who="a")
        write(folder / "t-2.csv", [(1, ""), *((n + 5, "") for n in range(between))], dated=False, who="b")
        write(folder / "t-3.csv", [(1, "2")], dated=True, who="c")
        cache = PageCache("tickets")
        sync(files_in(folder, "tickets"), cache, "tickets")
        assert cache.rows["1"]["subject"] == "c/0"


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_row_without_a_date_has_none_also_when_the_dated_file_is_gone(tmp_path: Path, is_removed: bool) -> None:
    """Else the date of a file long gone stays with it, and keeps what later files say out."""
    source, cache = files_in(tmp_path, "tickets"), PageCache("tickets")
    (tmp_path / "t-2.csv").write_text("id,updated_at,subject\n1,2026-05-01T00:00:00Z,a\n")
    sync(source, cache, "tickets")
    if is_removed:
        (tmp_path / "t-2.csv").unlink()
    (tmp_path / "t-9.csv").write_text("id,subject\n1,b\n")
    sync(source, cache, "tickets")
    assert cache.rows["1"]["updated_at"] is None
    (tmp_path / "t-9.csv").unlink()
    sync(source, cache, "tickets")  # nothing matches any more
    (tmp_path / "t-9.csv").write_text("id,subject\n1,b\n")
    sync(source, cache, "tickets")
    (tmp_path / "t-10.csv").write_text("id,updated_at,subject\n1,2026-04-01T00:00:00Z,c\n")
    sync(source, cache, "tickets")
    assert cache.rows["1"]["subject"] == "c"
