"""What people and programs do to files: each a plain sentence with place and mend, while the rest loads."""

import os
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Page
from connectors.errors import StreamError
from tests.unit.test_files import NOW, Load, connector, fetch, load, records_of, rejects_of

__all__ = ["load"]  # a fixture


def partly(source: Any, stream: str) -> tuple[list[Page], str]:
    """The pages before a failure, and the sentence it ends with."""
    pages: list[Page] = []
    with pytest.raises(StreamError) as caught:
        pages.extend(source.fetch_pages(stream, None, full=False, since=None, now=NOW))
    return pages, str(caught.value)


def test_mixed_line_ends_and_a_missing_last_one_are_understood(load: Load) -> None:
    records, rejects = load(b"source_id,status\r\n1,a\n2,b\r3,c\r\n\r\n4,d")
    assert [(r["source_id"], r["status"]) for r in records] == [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")]
    assert rejects == []


def test_a_header_alone_is_no_rows(load: Load) -> None:
    assert load("source_id,status\n") == ([], [])
    assert load("source_id,status") == ([], [])


def test_rows_without_a_header_name_the_columns_that_are_missed(load: Load) -> None:
    with pytest.raises(StreamError, match=r'has no column "number"\. The file has: "1", "New"\.$'):
        load("1,New\n2,Old\n", columns={"source_id": "number"})
    with pytest.raises(StreamError, match=r"none of its columns .* bears the name of a column of tickets"):
        load("1,New\n2,Old\n")


def test_nul_bytes_in_one_row_cost_that_row(load: Load) -> None:
    records, rejects = load(b"source_id,subject\n1,a\n2,\0\0\0\n3,c\n")
    assert [r["source_id"] for r in records] == ["1", "3"]
    assert [(r.place, r.reason) for r in rejects] == [("export.csv line 3", "subject holds a NUL byte")]


def test_a_quote_never_closed_costs_the_rows_it_swallows_and_says_so(load: Load) -> None:
    records, rejects = load('source_id,subject\n1,a\n2,"b\n3,c\n4,d\n')
    assert [r["source_id"] for r in records] == ["1", "2"]  # one cell of several lines is legal
    assert rejects == []
    records, rejects = load('source_id,subject,x\n1,a,x\n2,"b,x\n3,c,x\n4,d,x\n')
    assert [r["source_id"] for r in records] == ["1"]
    assert [(r.place, r.reason) for r in rejects] == [
        ("export.csv line 3", "2 cells where the header has 3; the row runs to line 5: is a quote left open?")
    ]


def test_single_cells_below_a_blank_line_are_a_footer_only_at_the_end(load: Load) -> None:
    _, rejects = load("source_id,subject\n1,a\n\nGrand total\n")
    assert rejects == []
    records, rejects = load("source_id,subject\n1,a\n\nhalf\n2,b\n")
    assert [r["source_id"] for r in records] == ["1", "2"]
    assert [r.place for r in rejects] == ["export.csv line 4"]


def test_of_many_bad_files_the_first_has_its_mend_and_three_are_named_shortly(tmp_path: Path) -> None:
    for number in range(1, 7):
        (tmp_path / f"t-{number}.csv").write_bytes(b"" if number < 3 else b"other\n1\n")
    source = connector(
        {"path": str(tmp_path / "t-*.csv"), "table": "tickets"}, {"path": str(tmp_path / "x.csv"), "table": "tickets"}
    )
    _, sentence = partly(source, "tickets")
    assert sentence.startswith(
        f"there is no file {tmp_path / 'x.csv'}. Paths are relative to the config file; check path."
    )
    also = sentence.partition(" Also: ")[2]
    assert also.startswith(
        "t-1.csv (is empty: it has not even a header), t-2.csv (is empty: it has not even a header), t-3"
    )
    assert also.endswith(" and 3 more.")
    assert "Export it again" not in sentence  # the mends of the others would contradict that of the first


def test_every_bad_file_of_a_glob_is_named_and_the_good_ones_load(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_text("source_id\n2\n")
    (tmp_path / "c.csv").write_bytes(b"source_id,caf\xe9\n3,x\n")
    (tmp_path / "d.csv").write_text("source_id\n4\n")
    (tmp_path / "e.csv").mkdir()
    source = connector({"path": str(tmp_path / "*.csv"), "table": "tickets"})
    pages, sentence = partly(source, "tickets")
    assert [r["source_id"] for r in records_of(pages)] == ["2", "4"]
    assert sentence == (
        "a.csv is empty: it has not even a header. Export it again."
        " Also: c.csv (line 1: byte 0xE9 at position 14 is not utf-8 text)."
    )
    again = source.fetch_pages("tickets", pages[-1].bookmark, full=False, since=None, now=NOW)
    with pytest.raises(StreamError):
        assert sum(page.read for page in again) == 0  # the good ones are not read again


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source_id\n1\n")
    path.chmod(0)
    with pytest.raises(StreamError, match=r"cannot be read: Permission denied\. Check the path and its permissions"):
        fetch(connector({"path": str(path), "table": "tickets"}), "tickets")


def test_a_name_that_is_too_long_or_no_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"cannot be read: File name too long"):
        fetch(connector({"path": str(tmp_path / ("x" * 300)), "table": "tickets"}), "tickets")
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match=r"there is no file|cannot be read"):
        fetch(connector({"path": str(tmp_path / "file" / "a.csv"), "table": "tickets"}), "tickets")


def test_a_named_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    with pytest.raises(StreamError, match="no file matches"):
        fetch(connector({"path": str(tmp_path / "*.csv"), "table": "tickets"}), "tickets")


def test_a_repeated_header_that_is_mapped_by_name_takes_the_first(load: Load) -> None:
    records, _ = load("source_id,status,status\n1,a,b\n")
    assert records == [{"source_id": "1", "status": "a"}]


def test_a_bad_row_is_told_once_however_often_its_id_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("source_id,created_at\n1,soon\n1,later\n2,2026-01-01\n")
    pages = fetch(connector({"path": str(path), "table": "tickets"}), "tickets")
    assert [(r.place, r.reason.partition(" is")[0], r.content) for r in rejects_of(pages)] == [
        ("a.csv line 2", 'created_at "soon"', "1,soon"),
        ("a.csv line 3", 'created_at "later"', "1,later"),
    ]


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_quote_left_open_in_the_last_line_is_named(tmp_path: Path, end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'source_id,status,subject,priority,category\n1,a,b,c,d\n5,5" pipe\n2,"new,b,c,d{end}')
    pages = fetch(connector({"path": str(path), "table": "tickets"}), "tickets")
    assert [(reject.place, reject.reason) for reject in rejects_of(pages)] == [
        ("a.csv line 3", "2 cells where the header has 5"),
        ("a.csv line 4", "a quote is left open, so it has 2 cells where the header has 5"),
    ]


def test_a_row_of_json_lines_is_rejected_with_its_line_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = '{"status": "a, b", "subject": null, "priority": 3}'
    path.write_text(f'{{"source_id": "1"}}\n{line}\n')
    pages = fetch(connector({"path": str(path), "table": "tickets"}), "tickets")
    assert [(r.reason, r.content) for r in rejects_of(pages)] == [("source_id is missing", line)]
