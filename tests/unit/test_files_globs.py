"""Files that come, grow, move and go, in `append`: each case a person may meet, beside the properties."""

import gzip
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import StreamError, TransientError
from connectors.files.connector import PAGE_ROWS, FilesConnector
from tests.fakes.files_cache import PageCache
from tests.unit.test_files import connector, fetch

NOW = datetime(2026, 11, 1, tzinfo=UTC)
COSTS = "month,kind,amount\n"


def sync(source: FilesConnector, cache: PageCache, table: str = "costs", **how: Any) -> None:
    asked = {"full": False, "since": None, **how}
    cache.take(source.fetch_pages(table, cache.bookmark, now=NOW, **asked))


def kinds(cache: PageCache) -> list[str]:
    return sorted(row["kind"] for row in cache.rows.values())


def test_no_stream_is_reconciled_and_one_is_read_at_a_time(tmp_path: Path) -> None:
    source = connector({"path": str(tmp_path / "a.csv"), "table": "tickets"})
    assert [stream.reconciles for stream in source.streams()] == [False]
    assert (source.side_by_side, source.count("tickets")) == (1, None)


def test_a_full_reading_of_a_shorter_log_leaves_no_tail(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv"
    source = connector({"path": str(path), "table": "costs"})
    path.write_text(COSTS + "2026-01,a,1\n2026-01,b,1\n2026-01,c,1\n")
    sync(source, cache)
    path.write_text(COSTS + "2026-01,d,1\n")
    sync(source, cache, full=True)
    assert kinds(cache) == ["d"]


def test_a_log_that_is_packed_moved_or_copied_is_the_same_log(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv"
    source = connector({"path": str(tmp_path / "**/costs*"), "table": "costs"})
    path.write_text(COSTS + "2026-01,a,1\n")
    sync(source, cache)
    (tmp_path / "costs-copy.csv").write_text(path.read_text())
    sync(source, cache)
    assert (kinds(cache), cache.read) == (["a"], 0)
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026" / "costs.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    (tmp_path / "costs-copy.csv").unlink()
    sync(source, cache)
    assert (list(cache.rows), cache.read) == (["costs.csv#2"], 0)
    path.write_text(COSTS + "2026-02,b,1\n")  # another file under the old name
    sync(source, cache)
    assert sorted(cache.rows) == ["costs.csv#2", "costs.csv~2#2"]


def test_a_rotated_log_counts_old_and_new_lines_once(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv"
    source = connector({"path": str(tmp_path / "costs.csv*"), "table": "costs"})
    path.write_text(COSTS + "2026-01,a,1\n2026-01,b,1\n")
    sync(source, cache)
    path.rename(tmp_path / "costs.csv.1")
    path.write_text(COSTS + "2026-02,c,1\n")
    sync(source, cache)
    assert kinds(cache) == ["a", "b", "c"]


def test_a_log_that_goes_keeps_its_rows_and_comes_back_as_itself(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv"
    source = connector({"path": str(tmp_path / "*.csv"), "table": "costs"})
    path.write_text(COSTS + "2026-01,a,1\n2026-01,b,1\n")
    sync(source, cache)
    path.unlink()
    sync(source, cache)
    assert kinds(cache) == ["a", "b"]
    path.write_text(COSTS + "2026-01,c,1\n")  # the same path is the same file: what it said before is replaced
    sync(source, cache)
    assert kinds(cache) == ["c"]


def test_the_last_file_of_a_glob_going_is_logged_once_and_noted_until_one_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t-1.csv"
    source = connector({"path": str(tmp_path / "t-*.csv"), "table": "tickets"})
    path.write_text("source_id\n1\n")
    sync(source, cache, "tickets")
    path.unlink()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            sync(source, cache, "tickets")
            assert [note["code"] for note in (cache.bookmark or {})["notes"]] == ["files_gone"]
    said = [(record.levelname, record.getMessage().partition(" matches ")[0]) for record in caplog.records]
    assert said == [("INFO", "desk tickets: no file")]
    assert list(cache.rows) == ["1"]
    path.write_text("source_id\n2\n")
    sync(source, cache, "tickets")
    assert "notes" not in (cache.bookmark or {})


def test_a_file_known_by_name_that_goes_is_an_error_each_time(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = connector({"path": str(path), "table": "tickets"})
    path.write_text("source_id\n1\n")
    sync(source, cache, "tickets")
    path.unlink()
    for _ in range(2):
        with pytest.raises(StreamError, match="there is no file"):
            sync(source, cache, "tickets")


def test_half_a_last_line_is_not_a_row_while_the_file_grows(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    source = connector({"path": str(path), "table": "tickets"})
    rows = "".join(f"{n},x\n" for n in range(PAGE_ROWS + 1))
    path.write_text("source_id,status\n" + rows + "9000,half a wo")
    pages = source.fetch_pages("tickets", None, full=False, since=None, now=NOW)
    first = next(pages)
    with path.open("a") as file:
        file.write("rd\n9001,y\n")
    cache.take([first, *pages])
    assert cache.rows.get("9000", {}).get("status") in (None, "half a word")  # by how far the read was ahead
    sync(source, cache, "tickets")
    assert [cache.rows[key]["status"] for key in ("9000", "9001")] == ["half a word", "y"]


def test_an_unchanged_directory_costs_one_look_at_each_file(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"source_id,updated_at\n{number},2026-01-{number + 1:02}\n")
        os.utime(path, (1_600_000_000, 1_600_000_000))
    cache = PageCache("tickets")
    source = connector({"path": str(tmp_path / "*.csv"), "table": "tickets"})
    sync(source, cache, "tickets")
    opened: list[str] = []
    active = threading.Event()
    active.set()

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if active.is_set() and event == "open" and str(tmp_path) in str(args[0]):
            opened.append(str(args[0]))

    sys.addaudithook(audit)
    sync(source, cache, "tickets")
    assert (opened, cache.read) == ([], 0)
    (tmp_path / "7.csv").write_text("source_id,updated_at\n7,2026-01-08\n77,2026-01-08\n")
    sync(source, cache, "tickets")
    active.clear()
    assert ({Path(name).name for name in opened}, cache.read) == ({"7.csv"}, 2)


def test_a_link_to_a_file_is_that_file_and_a_folder_that_holds_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "t-1.csv").write_text("source_id\n1\n")
    (tmp_path / "a" / "t-latest.csv").symlink_to(tmp_path / "a" / "t-1.csv")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    pages = fetch(connector({"path": str(tmp_path / "**/t-*.csv"), "table": "tickets"}), "tickets")
    assert sum(page.read for page in pages) == 1


def test_small_files_share_pages_and_progress_estimates_the_rows_in_all(tmp_path: Path) -> None:
    for number in range(4):
        rows = "".join(f"{number}-{n},open\n" for n in range(PAGE_ROWS))
        (tmp_path / f"{number}.csv").write_text("source_id,status\n" + rows)
    pages = fetch(connector({"path": str(tmp_path / "*.csv"), "table": "tickets"}), "tickets")
    totals = [page.total or 0 for page in pages]
    assert all(abs(total - 4 * PAGE_ROWS) < 0.02 * PAGE_ROWS * 4 for total in totals)
    packed = tmp_path / "p" / "z.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(b"source_id,status\n" + b"".join(b"%d,open\n" % n for n in range(50_000))))
    pages = fetch(connector({"path": str(packed), "table": "tickets"}), "tickets")
    assert all((page.total or 0) >= sum(p.read for p in pages[: i + 1]) for i, page in enumerate(pages))


def test_a_changed_mapping_outdoes_what_was_loaded_with_later_dates(tmp_path: Path) -> None:
    cache, path = PageCache("tickets"), tmp_path / "t.csv"
    path.write_text("source_id,updated_at\n1,2026-07-01 10:00\n")
    entry = {"path": str(path), "table": "tickets"}
    sync(connector(entry), cache, "tickets")
    sync(connector({**entry, "timezone": "Asia/Tokyo"}), cache, "tickets")
    assert cache.rows["1"]["updated_at"] == "2026-07-01T01:00:00Z"


def test_a_bookmark_from_before_places_were_noted_still_names_the_rows(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv"
    path.write_text(COSTS + "2026-01,a,1\n2026-01,b,1\n")
    source = connector({"path": str(tmp_path / "*.csv"), "table": "costs"})
    sync(source, cache)
    assert cache.bookmark is not None
    cache.bookmark = {"files": {key.replace("|", "|old"): [9, 9, "x", 3] for key in cache.bookmark["files"]}}
    path.write_text(COSTS + "2026-01,c,1\n")
    sync(source, json.loads(json.dumps(cache.bookmark)) and cache)
    assert kinds(cache) == ["c"]


def test_an_interrupt_ends_a_reading_at_its_next_page(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("source_id\n" + "".join(f"{n}\n" for n in range(3 * PAGE_ROWS)))
    source = connector({"path": str(path), "table": "tickets"})
    pages = source.fetch_pages("tickets", None, full=False, since=None, now=NOW)
    next(pages)
    source.interrupt()
    with pytest.raises(TransientError, match="interrupted"):
        next(pages)


def test_a_log_that_cannot_be_read_for_a_while_keeps_its_rows_and_their_names(tmp_path: Path) -> None:
    cache, path = PageCache("costs"), tmp_path / "costs.csv.gz"
    source = connector({"path": str(tmp_path / "*.gz"), "table": "costs"})
    path.write_bytes(gzip.compress((COSTS + "2026-01,a,1\n2026-01,b,1\n").encode()))
    sync(source, cache)
    whole = gzip.compress((COSTS + "2026-01,c,1\n").encode())
    path.write_bytes(whole[:-10])
    (tmp_path / "more.gz").write_bytes(gzip.compress((COSTS + "2026-01,d,1\n").encode()))
    with pytest.raises(StreamError, match=r"costs\.csv\.gz is cut short or damaged"):
        sync(source, cache)
    assert kinds(cache) == ["a", "b", "d"]
    path.write_bytes(whole)
    sync(source, cache)
    assert kinds(cache) == ["c", "d"]
    assert "costs.csv.gz#2" in cache.rows


def test_a_file_whose_name_is_no_text_is_read_under_one_that_is(tmp_path: Path) -> None:
    """Its rows load as any others, its name is written with the byte it holds, and a second look finds it known."""
    cache, source = PageCache("tickets"), connector({"path": str(tmp_path / "*.csv"), "table": "tickets"})
    (tmp_path / "a.csv").write_text("source_id,created_at\n1,2026-01-01\n")
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).write_text("source_id,created_at\n7,nonsense\n8,2026-01-01\n")
    assert source.check().warnings == ()
    sync(source, cache, "tickets")
    assert sorted(cache.rows) == ["1", "8"]
    assert [reject.place for reject in cache.rejects] == ["caf%E9.csv line 2"]
    sync(source, cache, "tickets")
    assert cache.read == 0


def test_rows_without_an_id_are_named_by_such_a_name_too(tmp_path: Path) -> None:
    cache, source = PageCache("costs"), connector({"path": str(tmp_path / "*.csv"), "table": "costs"})
    path = tmp_path / os.fsdecode(b"\xe9.csv")
    path.write_text(f"{COSTS}2026-01,ads,1\n2026-02,ads,2\n")
    sync(source, cache)
    assert sorted(cache.rows) == ["%E9.csv#2", "%E9.csv#3"]
    path.write_text(f"{COSTS}2026-01,ads,1\n")
    sync(source, cache)
    assert sorted(cache.rows) == ["%E9.csv#2"]


def test_a_file_that_cannot_be_told_from_another_by_name_is_refused_and_the_others_load(tmp_path: Path) -> None:
    cache, source = PageCache("tickets"), connector({"path": str(tmp_path / "*.csv"), "table": "tickets"})
    for number, name in enumerate((b"a\xe9.csv", b"a%E9.csv", b"b.csv")):
        (tmp_path / os.fsdecode(name)).write_text(f"source_id,created_at\n{number},2026-01-01\n")
    with pytest.raises(StreamError, match=r"a%E9\.csv has the same name as another file but for bytes .* Rename"):
        sync(source, cache, "tickets")
    assert sorted(cache.rows) == ["1", "2"]
