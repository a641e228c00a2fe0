"""mode = "snapshot": the newest file is the whole truth, unless it is hard to believe."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import StreamError
from connectors.files.connector import FilesConnector
from tests.fakes.files_cache import PageCache
from tests.unit.test_files import connector

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def snapshot(path: Path, table: str = "tickets", **entry: Any) -> FilesConnector:
    return connector({"path": str(path), "table": table, "mode": "snapshot", **entry})


def sync(source: FilesConnector, cache: PageCache, table: str = "tickets", *, full: bool = False) -> None:
    cache.take(source.fetch_pages(table, cache.bookmark, full=full, since=None, now=NOW))


def write(path: Path, ids: range | list[int], end: str = "\n") -> None:
    path.write_text("source_id,status\n" + "\n".join(f"{n},x" for n in ids) + end)


def ids(cache: PageCache) -> set[int]:
    return {int(key) for key in cache.rows}


def test_what_the_newest_file_lacks_is_gone_and_numbers_in_names_sort_as_numbers(tmp_path: Path) -> None:
    cache, source = PageCache("tickets"), snapshot(tmp_path / "t-*.csv")
    write(tmp_path / "t-9.csv", [1, 2, 3])
    sync(source, cache)
    assert ids(cache) == {1, 2, 3}
    write(tmp_path / "t-10.csv", [2, 3, 4])
    write(tmp_path / "t-2.csv", [7])
    sync(source, cache)
    assert ids(cache) == {2, 3, 4}
    sync(source, cache)
    assert cache.read == 0
    write(tmp_path / "t-2.csv", [8])  # an old file is nobody's truth
    sync(source, cache)
    assert (ids(cache), cache.read) == ({2, 3, 4}, 0)


def test_several_entries_of_a_table_are_one_truth_together(tmp_path: Path) -> None:
    cache = PageCache("tickets")
    one, two = ({"path": str(tmp_path / name), "table": "tickets", "mode": "snapshot"} for name in ("eu.csv", "us.csv"))
    source = connector(one, two)
    write(tmp_path / "eu.csv", [1, 2])
    write(tmp_path / "us.csv", [3])
    sync(source, cache)
    write(tmp_path / "eu.csv", [2])
    sync(source, cache)
    assert ids(cache) == {2, 3}
    (tmp_path / "us.csv").unlink()
    write(tmp_path / "eu.csv", [2, 5])
    with pytest.raises(StreamError, match=r"there is no file .*us\.csv"):
        sync(source, cache)
    assert ids(cache) == {2, 3, 5}  # what could be read is loaded, and nothing deleted


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("source_id,status\n", "t.csv holds no rows where there were 200: nothing was deleted. Export it again, or "
                               "carry it out with `syncagent sync desk --full`."),
        ("source_id,status\n" + "".join(f"{n},x\n" for n in range(99)),
         "t.csv holds 99 rows where there were 200: nothing was deleted."),
        ("source_id,status\n" + "".join(f"{n},x\n" for n in range(150)) + "150",
         "t.csv ends in the middle of a line, as if it were still being written: nothing was deleted."),
        ("status,source_id\nx,1\nx\nx,3\n", "t.csv has 1 row whose id cannot be read"),
    ],
    ids=["no rows", "few rows", "half a line", "no id"],
)  # fmt: skip
def test_a_file_that_is_hard_to_believe_deletes_nothing_until_a_person_says_so(
    tmp_path: Path, content: str, sentence: str
) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    write(path, range(200))
    sync(source, cache)
    path.write_text(content)
    for _ in range(2):
        with pytest.raises(StreamError) as caught:
            sync(source, cache)
        assert str(caught.value).startswith(sentence)
        assert ids(cache) >= set(range(200))
    assert cache.read == 0  # it is not read again to say the same
    sync(source, cache, full=True)
    assert len(cache.rows) < 200
    sync(source, cache)
    assert cache.read == 0


@pytest.mark.parametrize(
    "content", [b"", b"source_id,status\n1,caf\xe9\n", b"other\n1\n"], ids=["empty", "code", "header"]
)
def test_an_unreadable_file_deletes_nothing_not_even_when_asked(tmp_path: Path, content: bytes) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    write(path, [1, 2])
    sync(source, cache)
    path.write_bytes(content)
    for full in (False, True):
        with pytest.raises(StreamError):
            sync(source, cache, full=full)
        assert ids(cache) == {1, 2}
    write(path, [2])
    sync(source, cache)
    assert ids(cache) == {2}


@pytest.mark.parametrize("cut", ["1,a,100.00\n2,b,47", '1,a,100.00\n2,b,"47', '1,a,100.00\n2,b,"47\n'])
def test_a_file_cut_inside_its_last_value_loads_no_half_of_it_and_deletes_nothing(tmp_path: Path, cut: str) -> None:
    cache, path, head = PageCache("opportunities"), tmp_path / "o-1.csv", "source_id,name,amount\n"
    source = snapshot(tmp_path / "o-*.csv", "opportunities")
    path.write_text(f"{head}1,a,100.00\n2,b,479.50\n3,c,5.00\n")
    sync(source, cache, "opportunities")
    (tmp_path / "o-2.csv").write_text(head + cut)
    for _ in range(2):
        with pytest.raises(StreamError) as caught:
            sync(source, cache, "opportunities")
        assert caught.value.message == (
            "o-2.csv breaks off in its last line, which has no end and was not loaded: nothing was deleted."
        )
        assert "syncagent sync desk --full" in caught.value.mend
        assert [row["amount_minor"] for row in cache.rows.values()] == [10000, 47950, 500]
    (tmp_path / "o-3.csv").write_text(f"{head}1,a,100.00\n2,b,479.50\n")
    sync(source, cache, "opportunities")
    assert ids(cache) == {1, 2}


def test_a_program_that_never_ends_the_last_line_is_known_by_its_file_before(tmp_path: Path) -> None:
    cache, source = PageCache("tickets"), snapshot(tmp_path / "t-*.csv")
    write(tmp_path / "t-1.csv", [1, 2, 3], end="")
    with pytest.raises(StreamError, match="breaks off in its last line"):
        sync(source, cache)
    assert ids(cache) == {1, 2}
    sync(source, cache, full=True)  # a person says that it is whole
    assert ids(cache) == {1, 2, 3}
    for number, found in enumerate(([2, 3], [3, 4]), 2):
        write(tmp_path / f"t-{number}.csv", found, end="")
        sync(source, cache)
        assert ids(cache) == set(found)
    write(tmp_path / "t-4.csv", [4, 5])
    sync(source, cache)
    write(tmp_path / "t-5.csv", [5, 6], end="")
    with pytest.raises(StreamError, match="breaks off"):  # the one before it was ended
        sync(source, cache)


def test_older_files_of_a_pattern_say_at_the_first_sync_how_their_program_ends_them(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / f"t-{number}.csv", [number, 3], end="")
    cache = PageCache("tickets")
    sync(snapshot(tmp_path / "t-*.csv"), cache)
    assert ids(cache) == {2, 3}


def test_a_last_value_that_is_quoted_or_a_json_object_is_whole_without_a_line_end(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('source_id,status\n1,"x"\n2,"two\nlines, ""quoted"""')
    (tmp_path / "j.jsonl").write_text('{"source_id": "1", "status": "x"}\n{"source_id": "2", "status": "y"}')
    (tmp_path / "m.csv").write_text('source_id,status,subject\n1,"two\nlines",x\n2,"a\nb",y\n')
    for name in ("q.csv", "j.jsonl", "m.csv"):
        cache = PageCache("tickets")
        sync(snapshot(tmp_path / name), cache)
        assert ids(cache) == {1, 2}


@pytest.mark.parametrize(("before", "after"), [(120, 20), (1_000, 800)])
def test_losing_a_hundred_rows_or_a_fifth_is_ordinary_and_one_more_is_not(
    tmp_path: Path, before: int, after: int
) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    write(path, range(before))
    sync(source, cache)
    write(path, range(after - 1))
    with pytest.raises(StreamError, match=f"holds {after - 1} rows where there were {before:,}: nothing was deleted"):
        sync(source, cache)
    assert len(cache.rows) == before
    write(path, range(after))
    sync(source, cache)
    assert len(cache.rows) == after


def test_a_file_without_rows_has_to_be_asked_for_twice(tmp_path: Path) -> None:
    cache = PageCache("tickets")
    write(tmp_path / "t-1.csv", [1, 2])
    sync(connector({"path": str(tmp_path / "t-*.csv"), "table": "tickets"}), cache)
    source = snapshot(tmp_path / "t-*.csv")  # what it holds is known from the reading before
    (tmp_path / "t-2.csv").write_text("source_id,status\n")
    with pytest.raises(StreamError) as caught:
        sync(source, cache, full=True)
    assert str(caught.value) == (
        "t-2.csv holds no rows where there were 2: nothing was deleted."
        " Export it again; if nothing is left there, run `syncagent sync desk --full` once more."
    )
    assert ids(cache) == {1, 2}
    sync(source, cache, full=True)
    assert ids(cache) == set()
    (tmp_path / "t-3.csv").write_text("source_id,status\n")
    sync(source, cache)  # an empty file after an empty one takes nothing away


def test_one_of_several_files_that_never_held_a_row_keeps_nothing_from_being_deleted(tmp_path: Path) -> None:
    one, two = ({"path": str(tmp_path / name), "table": "tickets", "mode": "snapshot"} for name in ("eu.csv", "us.csv"))
    cache, source = PageCache("tickets"), connector(one, two)
    write(tmp_path / "eu.csv", [1, 2])
    (tmp_path / "us.csv").write_text("source_id,status\n")
    sync(source, cache)
    write(tmp_path / "eu.csv", [2])
    sync(source, cache)
    assert ids(cache) == {2}


def test_a_bad_row_whose_id_can_be_read_keeps_its_record(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    path.write_text("source_id,created_at\n1,2026-01-01\n2,2026-01-01\n3,2026-01-01\n")
    sync(source, cache)
    path.write_text("source_id,created_at\n1,2026-01-01\n2,someday\n3\n")
    sync(source, cache)
    assert ids(cache) == {1, 2, 3}
    assert [reject.place for reject in cache.rejects] == ["t.csv line 3", "t.csv line 4"]


def test_an_older_date_in_the_file_is_the_truth_too(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    path.write_text("source_id,updated_at,status\n1,2062-01-01,typo\n")
    sync(source, cache)
    path.write_text("source_id,updated_at,status\n1,2026-01-01,right\n")
    sync(source, cache)
    assert cache.rows["1"]["status"] == "right"


def test_a_log_as_snapshot_keeps_the_names_of_its_lines_from_file_to_file(tmp_path: Path) -> None:
    cache, source = PageCache("costs"), snapshot(tmp_path / "costs-*.csv", "costs")
    (tmp_path / "costs-1.csv").write_text("month,kind,amount\n2026-01,a,1\n2026-01,a,1\n2026-02,b,2\n")
    sync(source, cache, "costs")
    assert sorted(cache.rows) == ["costs-*.csv#2", "costs-*.csv#3", "costs-*.csv#4"]
    (tmp_path / "costs-2.csv").write_text("month,kind,amount\n2026-01,a,1\n2026-02,b,2\n")
    sync(source, cache, "costs")
    assert [row["month"] for row in cache.rows.values()] == ["2026-01", "2026-02"]
    sync(source, cache, "costs")
    assert cache.read == 0


def test_a_file_that_grows_while_it_is_read_deletes_nothing_and_is_read_again(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = snapshot(path)
    write(path, range(5_100))
    sync(source, cache)
    write(path, range(1, 5_050), end="\n7000")
    pages = source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW)
    begun = [next(pages), next(pages)]
    with path.open("a") as file:
        file.write("99,x\n6000,x\n")  # what had been half a line goes on
    cache.take([*begun, *pages])
    assert 0 in ids(cache)
    sync(source, cache)
    assert 0 not in ids(cache)
    assert {700099, 6000} <= ids(cache)


def test_the_bad_id_is_asked_for_by_id_only_where_a_snapshot_can_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(path, [1, 2])
    pages = list(snapshot(path).read_ids("tickets", ["2", "9"], now=NOW))
    assert [r["source_id"] for page in pages for r in page.records.get("tickets", ())] == ["2"]
    assert [one.source_id for page in pages for one in page.tombstones] == ["9"]
    appended = connector({"path": str(path), "table": "tickets"})
    assert not [one for page in appended.read_ids("tickets", ["9"], now=NOW) for one in page.tombstones]
