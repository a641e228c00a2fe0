"""Whatever the order in which files come, grow, move and go, and whenever they are read: the cache says what they say.

Held against the final state of the files read once, with pages of three rows so that every boundary is met, and with
readings that end in the middle.
"""

import gzip
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import StreamError
from connectors.files.connector import FilesConnector, FilesSettings
from connectors.files.inventory import natural
from syncagent.schema import TABLES, column_types
from tests.fakes.files_cache import PageCache

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = ("t-2.csv", "t-10.csv", "t-9.csv", "sub-t.csv")
Row = tuple[int, int]  # id, version: its updated_at


def files_in(folder: Path, table: str, *, mode: str = "append") -> FilesConnector:
    made = FilesSettings.model_validate(
        {"type": "files", "table": [{"path": str(folder / "*"), "table": table, "mode": mode}]}
    )
    columns = {name: column_types(name) for name in TABLES}
    return FilesConnector(
        "desk", made, columns=columns, tables=TABLES, currency="EUR", timezone="UTC", page_rows=3
    )  # fmt: skip


def sync(source: FilesConnector, cache: PageCache, table: str, **how: Any) -> None:
    at_most = how.pop("at_most", None)
    pages = source.fetch_pages(table, cache.bookmark, full=how.get("full", False), since=None, now=NOW)
    cache.take(pages, at_most=at_most)


def ticket_lines(rows: Sequence[Row], who: str) -> list[str]:
    return [f"{key},2026-01-0{version + 1}T00:00:00Z,{who}/{line}" for line, (key, version) in enumerate(rows)]


def write(path: Path, header: str, lines: Sequence[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def latest(folder: Path, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """id -> (updated_at, subject) of these files read once: latest updated_at, ties by place."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        for line in (folder / name).read_text().splitlines()[1:]:
            key, at, subject = line.split(",")
            if key not in found or at >= found[key][0]:
                found[key] = (at, subject)
    return found


def held(cache: PageCache) -> dict[str, tuple[str, str]]:
    return {key: (row["updated_at"], row["subject"]) for key, row in cache.rows.items()}


ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=7)
SYNCS = st.sampled_from((None, "sync", 1, 2, 3))  # not now, to its end, or killed after so many pages


def perform(source: FilesConnector, cache: PageCache, table: str, when: object) -> None:
    if when is not None:
        try:
            sync(source, cache, table, at_most=when if isinstance(when, int) else None)
        except StreamError as error:
            assert "no file matches" in str(error)  # noqa: PT017 - before the first file there is none


@given(st.lists(st.tuples(st.sampled_from(NAMES), ROWS, SYNCS), max_size=8))
def test_rows_split_over_growing_files_count_once_whatever_was_read_when(
    steps: list[tuple[str, list[Row], Any]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("tickets")
        source = files_in(folder, "tickets")
        lines: dict[str, list[str]] = {}
        for number, (file, rows, when) in enumerate(steps):
            lines.setdefault(file, []).extend(ticket_lines(rows, f"{file}{number}"))
            write(folder / file, "id,updated_at,subject", lines[file])
            perform(source, cache, "tickets", when)
        if steps:
            sync(source, cache, "tickets")
        assert held(cache) == latest(folder, sorted(lines, key=natural))


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), ROWS), SYNCS), min_size=1, max_size=8))
def test_a_full_reading_takes_the_files_word_for_every_row_they_hold(
    steps: list[tuple[str, list[Row] | None, Any]],
) -> None:
    """Rows corrected to an earlier date, taken out, files gone: what the files hold is what counts."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("tickets")
        source = files_in(folder, "tickets")
        for number, (file, rows, when) in enumerate(steps):
            if rows is None:
                (folder / file).unlink(missing_ok=True)
            else:
                write(folder / file, "id,updated_at,subject", ticket_lines(rows, f"{file}{number}"))
            perform(source, cache, "tickets", when)
        names = sorted((path.name for path in folder.iterdir()), key=natural)
        if names:
            sync(source, cache, "tickets", full=True, at_most=1)  # killed: the next one begins it once more
            sync(source, cache, "tickets", full=cache.bookmark is None or not cache.bookmark.get("again"))
        truth = latest(folder, names)
        assert {key: row for key, row in held(cache).items() if key in truth} == truth


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), ROWS), SYNCS), min_size=1, max_size=8))
def test_a_snapshot_leaves_what_the_newest_file_holds_and_nothing_else(
    steps: list[tuple[str, list[Row] | None, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("tickets")
        source = files_in(folder, "tickets", mode="snapshot")
        for number, (file, rows, when) in enumerate(steps):
            if rows is None:
                (folder / file).unlink(missing_ok=True)
            else:
                write(folder / file, "id,updated_at,subject", ticket_lines(rows, f"{file}{number}"))
            perform(source, cache, "tickets", when)
        names = sorted((path.name for path in folder.iterdir()), key=natural)
        if names:
            sync(source, cache, "tickets")
            assert held(cache) == latest(folder, names[-1:])


_NUMBERS = itertools.count()


def _replace(folder: Path, file: str, other: str, rows: list[Row]) -> None:
    first = f"2026-01,{next(_NUMBERS)},1"  # so that none begins as another one does by chance
    lines = [f"2026-0{key + 1},{file},{version}" for key, version in rows]
    write(folder / file, "month,kind,amount", [first, *lines])


def _copy(folder: Path, file: str, other: str, rows: list[Row]) -> None:
    if (folder / file).exists() and file != other:
        shutil.copyfile(folder / file, folder / other)


def _rename(folder: Path, file: str, other: str, rows: list[Row]) -> None:
    if (folder / file).exists():
        (folder / file).replace(folder / other)


def _pack(folder: Path, file: str, other: str, rows: list[Row]) -> None:
    path = folder / file
    if path.exists():
        path.with_name(f"{file}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def _take_away(folder: Path, file: str, other: str, rows: list[Row]) -> None:
    """Only where another file says the same: of a file that is gone the rows would stay."""
    path = folder / file
    if path.exists() and any(one != path and content(one) == content(path) for one in folder.iterdir()):
        path.unlink()


def content(path: Path) -> str:
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()


Act = Callable[[Path, str, str, list[Row]], None]


@given(
    st.lists(
        st.tuples(
            st.sampled_from((_replace, _replace, _copy, _rename, _pack, _take_away)),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
            ROWS,
            st.booleans(),
        ),
        max_size=10,
    )
)
def test_a_log_holds_each_different_file_once_under_whatever_names(
    steps: list[tuple[Act, str, str, list[Row], bool]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), PageCache("costs")
        source = files_in(folder, "costs")
        for act, file, other, rows, is_killed in steps:
            act(folder, file, other, rows)
            if any(folder.iterdir()):
                if is_killed:
                    sync(source, cache, "costs", at_most=1)
                sync(source, cache, "costs")
        expected: Counter[tuple[str, ...]] = Counter()
        for text in {content(path) for path in folder.iterdir()}:
            expected.update(tuple(line.split(",")) for line in text.splitlines()[1:])
        rows_held = [(row["month"], row["kind"], str(row["amount_minor"] // 100)) for row in cache.rows.values()]
        assert Counter(rows_held) == expected
