"""Links that lead nowhere and folders where files were meant are told, and never taken for nothing."""

from pathlib import Path

import pytest

from connectors.errors import SourceConfigError, StreamError
from tests.fakes.files_cache import PageCache
from tests.unit.test_files import NOW, connector


def test_a_link_to_nothing_fails_the_stream_and_the_other_files_load(tmp_path: Path) -> None:
    (tmp_path / "t-1.csv").write_text("id,status\n1,a\n")
    (tmp_path / "t-2.csv").symlink_to(tmp_path / "disk" / "t-2.csv")
    source, cache = connector({"path": str(tmp_path / "t-*.csv"), "table": "tickets"}), PageCache("tickets")
    for _ in range(2):
        with pytest.raises(StreamError, match=r"t-2\.csv is a link to a file that is not there\. Is the disk it"):
            cache.take(source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW))
        assert list(cache.rows) == ["1"]
    (warning,) = source.check().warnings
    assert "t-2.csv is a link" in warning
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "t-2.csv").write_text("id,status\n2,a\n")
    cache.take(source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW))
    assert sorted(cache.rows) == ["1", "2"]
    assert source.check().warnings == ()


@pytest.mark.parametrize("target", ["gone.csv", "t-1.csv"])
@pytest.mark.parametrize("path", ["t-*.csv", "t-1.csv"])
def test_nothing_but_a_link_to_nothing_or_to_itself_is_said_to_be_one(tmp_path: Path, path: str, target: str) -> None:
    (tmp_path / "t-1.csv").symlink_to(tmp_path / target)
    source = connector({"path": str(tmp_path / path), "table": "tickets"})
    with pytest.raises(StreamError, match="is a link to a file that is not there"):
        list(source.fetch_pages("tickets", None, full=False, since=None, now=NOW))
    with pytest.raises(SourceConfigError, match="is a link to a file that is not there"):
        source.check()


def test_a_log_keeps_the_names_of_its_rows_while_its_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "costs.csv").write_text("paid_date,amount\n2026-01-01,5\n")
    (tmp_path / "c-1.csv").symlink_to(tmp_path / "disk" / "costs.csv")
    source, cache = connector({"path": str(tmp_path / "c-*.csv"), "table": "payments"}), PageCache("payments")
    cache.take(source.fetch_pages("payments", None, full=False, since=None, now=NOW))
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(StreamError):
        cache.take(source.fetch_pages("payments", cache.bookmark, full=False, since=None, now=NOW))
    (tmp_path / "away").rename(tmp_path / "disk")
    cache.take(source.fetch_pages("payments", cache.bookmark, full=False, since=None, now=NOW))
    assert (list(cache.rows), cache.read) == (["c-1.csv#2"], 0)


def test_a_snapshot_whose_newest_file_is_such_a_link_leaves_all_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t-1.csv").write_text("id,status\n1,old\n")
    (tmp_path / "t-2.csv").write_text("id,status\n1,new\n2,new\n")
    entry = {"path": str(tmp_path / "t-*.csv"), "table": "tickets", "mode": "snapshot"}
    source, cache = connector(entry), PageCache("tickets")
    cache.take(source.fetch_pages("tickets", None, full=False, since=None, now=NOW))
    (tmp_path / "t-2.csv").rename(tmp_path / "away.csv")
    (tmp_path / "t-2.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(StreamError, match="is a link"):
        cache.take(source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW))
    assert [(key, row["status"]) for key, row in cache.rows.items()] == [("1", "new"), ("2", "new")]
    (tmp_path / "t-3.csv").write_text("id,status\n1,newer\n2,newer\n")  # behind it: what it held is past
    cache.take(source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW))
    assert cache.rows["1"]["status"] == "newer"


@pytest.mark.parametrize(("pattern", "is_told"), [("*.csv", True), ("*", False), ("**", False)])
def test_a_folder_that_matches_is_told_where_files_were_meant(tmp_path: Path, pattern: str, is_told: bool) -> None:
    (tmp_path / "a.csv").write_text("id,status\n1,a\n")
    (tmp_path / "b.csv").mkdir()
    source, cache = connector({"path": str(tmp_path / pattern), "table": "tickets"}), PageCache("tickets")
    cache.take(source.fetch_pages("tickets", None, full=False, since=None, now=NOW))
    cache.take(source.fetch_pages("tickets", cache.bookmark, full=False, since=None, now=NOW))
    found = [note["message"] for note in (cache.bookmark or {}).get("notes", ())]
    assert found == [f"{tmp_path}/b.csv is a folder, so nothing in it is read"] * is_told
    assert len(source.check().warnings) == is_told
