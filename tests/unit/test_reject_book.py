"""A reject file loses the rows that were read again, whatever its size, and keeps the others as they are."""

import tracemalloc
from pathlib import Path

import pytest

from connectors.base import Page, Reject
from syncagent.reject_book import RejectBook
from syncagent.reject_file import append_rejects, count_rejects, read_rejects, reject_file

FILE = {"files": {"/x/f.csv|m": [1, 1, "abc", 0, "f.csv"]}}


def refuse(data_dir: Path, rejects: list[Reject], *, run: int = 1) -> Path:
    append_rejects(data_dir, "desk", "leads", rejects, run=run)
    return reject_file(data_dir, "desk", "leads")


def places(path: Path) -> list[str]:
    return [row["place"] for row in read_rejects(path)]


def test_a_record_read_again_and_a_file_read_again_are_settled(tmp_path: Path) -> None:
    path = refuse(tmp_path, [Reject(place, "bad") for place in ("leads 1", "leads 2", "f.csv line 7", "g.csv line 7")])
    book = RejectBook(tmp_path, "desk", "leads", 2)
    book.note(Page({"leads": [{"source_id": "1"}]}, bookmark=FILE), None, [])
    book.settle()
    assert places(path) == ["leads 2", "g.csv line 7"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_row_still_bad_stands_once(tmp_path: Path) -> None:
    refuse(tmp_path, [Reject("leads 1", "bad")])
    book = RejectBook(tmp_path, "desk", "leads", 2)
    path = refuse(tmp_path, [Reject("leads 1", "worse")], run=2)
    book.note(Page(), None, [Reject("leads 1", "worse")])
    book.settle()
    assert [(row["place"], row["reason"]) for row in read_rejects(path)] == [("leads 1", "worse")]


def test_nothing_read_again_leaves_the_file_untouched(tmp_path: Path) -> None:
    path = refuse(tmp_path, [Reject("leads 1", "bad")])
    before = path.stat()
    book = RejectBook(tmp_path, "desk", "leads", 2)
    book.note(Page({"leads": [{"source_id": "9"}]}), None, [])
    book.settle()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_gone_or_half_written_is_no_error(tmp_path: Path) -> None:
    book = RejectBook(tmp_path, "desk", "leads", 1)
    book.note(Page({"leads": [{"source_id": "1"}]}), None, [])
    book.settle()
    path = refuse(tmp_path, [Reject("leads 1", "bad"), Reject("leads 2", "bad")])
    with path.open("ab") as file:
        file.write(b'[1]\n{"place": "lea')
    book = RejectBook(tmp_path, "desk", "leads", 2)
    book.note(Page({"leads": [{"source_id": "1"}, {"source_id": "2"}]}), None, [])
    book.settle()
    assert count_rejects(path) == 0


def test_a_row_bad_and_then_well_within_one_run_is_taken_out(tmp_path: Path) -> None:
    path = refuse(tmp_path, [Reject("leads 1", "bad")])
    book = RejectBook(tmp_path, "desk", "leads", 2)
    rejects = [Reject(f"leads {n}", "worse") for n in (1, 2, 3)]
    refuse(tmp_path, rejects, run=2)
    book.note(Page(), None, rejects)
    book.note(Page({"leads": [{"source_id": "1"}, {"source_id": "2"}]}), None, [])
    assert book.settle() == 2
    assert places(path) == ["leads 3"]


def test_a_row_well_and_then_bad_or_both_on_one_page_stands(tmp_path: Path) -> None:
    book = RejectBook(tmp_path, "desk", "leads", 1)
    rejects = [Reject("leads 1", "bad"), Reject("leads 2", "bad")]
    path = refuse(tmp_path, rejects)
    book.note(Page({"leads": [{"source_id": "1"}]}), None, rejects[:1])
    book.note(Page({"leads": [{"source_id": "2"}]}), None, [])
    book.note(Page(), None, rejects[1:])
    book.note(Page({"leads": [{"source_id": "9"}]}), None, [])
    assert book.settle() == 0
    assert places(path) == ["leads 1", "leads 2"]


def test_a_place_that_is_no_text_is_no_error(tmp_path: Path) -> None:
    path = refuse(tmp_path, [Reject("leads 1", "bad")])
    book = RejectBook(tmp_path, "desk", "leads", 2)
    book.note(Page({"leads": [{"source_id": "\udce9"}]}), None, [Reject("\udce9 line 1", "bad")])
    book.settle()
    assert places(path) == ["leads 1"]


@pytest.mark.timeout(120)
def test_its_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for number, rows in enumerate((2_000, 40_000)):
        data_dir = tmp_path / str(number)
        data_dir.mkdir()
        path = refuse(data_dir, [Reject(f"leads {n}", "bad", "x" * 200) for n in range(rows)])
        tracemalloc.start()
        book = RejectBook(data_dir, "desk", "leads", 2)
        book.note(Page({"leads": [{"source_id": str(n)} for n in range(0, 1000, 2)]}), None, [])
        book.settle()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count_rejects(path) == rows - 500
    assert peaks[1] < peaks[0] + 500_000
