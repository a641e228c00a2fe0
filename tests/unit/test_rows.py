"""What a record becomes in the cache, and when it is not written."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from connectors.base import Children, Merge, Record, Tombstone
from syncagent.errors import StoreError
from syncagent.rows import Origin, write_children, write_merges, write_records, write_tombstones
from syncagent.store import open_cache, transaction

ORIGIN = Origin("sf", "salesforce", "org1")
T1, T2 = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def lead(source_id: str = "L1", **more: object) -> Record:
    return {"source_id": source_id, "name": "Ann", "updated_at": T1, "owner_id": "U1", **more}


def write(cache: sqlite3.Connection, *records: Record, table: str = "leads", at: str = T1) -> int:
    with transaction(cache):
        changed, rejects = write_records(cache, ORIGIN, table, records, synced_at=at)
    assert rejects == []
    return changed


def one(cache: sqlite3.Connection, table: str = "leads") -> sqlite3.Row:
    row = cache.execute(f"SELECT * FROM {table}").fetchone()
    assert isinstance(row, sqlite3.Row)
    return row


def test_a_record_becomes_a_row_with_full_ids(cache: sqlite3.Connection) -> None:
    write(cache, lead(custom={"b": 1, "a": None}, converted_account_id=None))
    row = one(cache)
    assert row["id"] == "sf:leads:L1"
    assert (row["source"], row["source_name"], row["source_instance"]) == ("salesforce", "sf", "org1")
    assert (row["owner_id"], row["converted_account_id"]) == ("sf:users:U1", None)
    assert row["custom"] == '{"a":null,"b":1}'
    assert (row["is_deleted"], row["is_test"]) == (0, 0)


def test_reading_again_changes_nothing(cache: sqlite3.Connection) -> None:
    assert write(cache, lead(), lead("L2")) == 2
    assert write(cache, lead(), lead("L2"), at=T2) == 0
    assert one(cache)["synced_at"] == T1


def test_an_absent_key_leaves_the_stored_value_and_none_overwrites_it(cache: sqlite3.Connection) -> None:
    write(cache, lead(company="Acme", status="New"))
    assert write(cache, lead(status=None), at=T2) == 1
    row = one(cache)
    assert (row["company"], row["status"]) == ("Acme", None)
    assert (row["first_seen_at"], row["synced_at"]) == (T1, T2)


def test_an_older_version_does_not_overwrite_a_newer_one(cache: sqlite3.Connection) -> None:
    write(cache, lead(name="new", updated_at=T2))
    assert write(cache, lead(name="old", updated_at=T1)) == 0
    assert write(cache, lead(name="same age", updated_at=T2)) == 1
    assert one(cache)["name"] == "same age"


def test_records_with_different_keys_travel_together(cache: sqlite3.Connection) -> None:
    assert write(cache, lead("L1"), {"source_id": "L2", "company": "B"}, lead("L3")) == 3


def test_a_deletion_marks_and_an_undelete_unmarks(cache: sqlite3.Connection) -> None:
    write(cache, lead())
    with transaction(cache):
        gone = Tombstone("leads", "L1", "2026-01-15T00:00:00Z")
        assert write_tombstones(cache, ORIGIN, [gone, gone, Tombstone("leads", "never")], synced_at=T1) == 2
    assert (one(cache)["is_deleted"], one(cache)["deleted_at"]) == (1, "2026-01-15T00:00:00Z")
    assert write(cache, lead()) == 0, "a lagging index must not bring it back"
    assert write(cache, lead(updated_at=T2)) == 1
    assert (one(cache)["is_deleted"], one(cache)["deleted_at"]) == (0, None)


def test_a_merge_points_at_the_survivor_even_if_never_seen(cache: sqlite3.Connection) -> None:
    with transaction(cache):
        merges = [Merge("leads", "L9", "L1"), Merge("leads", "L9", "L1")]
        assert write_merges(cache, ORIGIN, merges, synced_at=T1) == 1
    assert (one(cache)["id"], one(cache)["merged_into"]) == ("sf:leads:L9", "sf:leads:L1")


def test_links_are_prefixed_by_the_table_they_name(cache: sqlite3.Connection) -> None:
    link: Record = {"source_id": "A1-D1", "activity_id": "A1", "object": "opportunities", "object_id": "D1"}
    write(cache, link, table="activity_links")
    row = one(cache, "activity_links")
    assert (row["activity_id"], row["object_id"]) == ("sf:activities:A1", "sf:opportunities:D1")


def test_flags_are_never_null(cache: sqlite3.Connection) -> None:
    write(cache, {"source_id": "C1", "bounced": None, "left_company": None}, table="contacts")
    row = one(cache, "contacts")
    assert (row["bounced"], row["opted_out"], row["left_company"]) == (0, 0, None)


def test_a_user_seen_inactive_is_dated_once(cache: sqlite3.Connection) -> None:
    write(cache, {"source_id": "U1", "is_active": 0}, table="users", at=T1)
    write(cache, {"source_id": "U1", "is_active": 0, "name": "X"}, table="users", at=T2)
    assert one(cache, "users")["first_seen_inactive_at"] == T1
    write(cache, {"source_id": "U1", "is_active": 1}, table="users", at=T2)
    assert one(cache, "users")["first_seen_inactive_at"] is None


def test_what_sqlite_cannot_hold_is_cleaned_or_rejected_and_the_rest_is_stored(cache: sqlite3.Connection) -> None:
    records = [lead("L1", name="a\ud800b"), lead("L2", name=2**64), lead("L3", name="c\x00d"), lead("L4")]
    with transaction(cache):
        changed, rejects = write_records(cache, ORIGIN, "leads", records, synced_at=T1)
    assert changed == 3
    assert [reject.place for reject in rejects] == ["leads L2"]
    assert [row[0] for row in cache.execute("SELECT name FROM leads ORDER BY id")] == ["a?b", "c\x00d", "Ann"]


def test_a_column_that_does_not_exist_is_refused(cache: sqlite3.Connection) -> None:
    with pytest.raises(StoreError, match="unknown columns nam"):
        write(cache, {"source_id": "1", "nam": "x"})


def test_a_file_may_show_a_row_again_whatever_its_date(cache: sqlite3.Connection) -> None:
    origin = Origin("desk", "files", "desk")
    with transaction(cache):
        write_records(cache, origin, "leads", [lead()], synced_at=T1)
        write_tombstones(cache, origin, [Tombstone("leads", "L1", T2)], synced_at=T2)
        changed, _ = write_records(cache, origin, "leads", [lead()], synced_at=T2)
    assert changed == 1


def line(source_id: str, parent: str = "D1", **more: object) -> Record:
    return {"source_id": source_id, "opportunity_id": parent, "updated_at": T1, "quantity": 1, **more}


def write_lines(cache: sqlite3.Connection, parents: list[str], *lines: Record, at: str = T1) -> int:
    with transaction(cache):
        write_records(cache, ORIGIN, "opportunity_lines", lines, synced_at=at)
        children = [Children("opportunity_lines", "opportunity_id", parents)]
        return write_children(cache, ORIGIN, children, {"opportunity_lines": lines}, synced_at=at)


def live_lines(cache: sqlite3.Connection) -> list[str]:
    rows = cache.execute("SELECT source_id FROM opportunity_lines WHERE is_deleted = 0 ORDER BY source_id")
    return [row[0] for row in rows]


def test_lines_a_page_does_not_hold_any_more_are_gone_and_come_back(cache: sqlite3.Connection) -> None:
    write_lines(cache, ["D1", "D2"], line("a"), line("b"), line("c", "D2"))
    assert write_lines(cache, ["D1"], line("b"), at=T2) == 1
    assert live_lines(cache) == ["b", "c"], "of D2 nothing was said"
    assert write_lines(cache, ["D1"], line("b"), at=T2) == 0
    write_lines(cache, ["D1", "D2"], line("a"), at=T2)
    assert live_lines(cache) == ["a"], "back at its old version, and all of D2's are gone"


def test_what_is_said_of_some_rows_of_a_parent_leaves_its_others(cache: sqlite3.Connection) -> None:
    links = [
        {"source_id": f"A:{kind}", "activity_id": "A", "object": kind, "object_id": "1"} for kind in ("deals", "leads")
    ]
    with transaction(cache):
        write_records(cache, ORIGIN, "activity_links", links, synced_at=T1)
        children = [Children("activity_links", "activity_id", ["A"], {"object": "deals"})]
        assert write_children(cache, ORIGIN, children, {}, synced_at=T2) == 1
    rows = cache.execute("SELECT object FROM activity_links WHERE is_deleted = 0")
    assert [row[0] for row in rows] == ["leads"]


def test_a_line_that_moved_to_another_parent_is_not_gone(cache: sqlite3.Connection) -> None:
    write_lines(cache, ["D1"], line("a"))
    write_lines(cache, ["D1", "D2"], line("a", "D2", updated_at=T2), at=T2)
    assert live_lines(cache) == ["a"]


def test_another_sources_lines_of_the_same_name_stay(cache: sqlite3.Connection) -> None:
    write_lines(cache, ["D1"], line("a"))
    with transaction(cache):
        other = Origin("emea", "salesforce", "org2")
        children = [Children("opportunity_lines", "opportunity_id", ["D1"])]
        assert write_children(cache, other, children, {}, synced_at=T2) == 0
    assert live_lines(cache) == ["a"]


def test_the_parents_of_a_page_are_looked_up_by_their_index(cache: sqlite3.Connection) -> None:
    """A page of links must not cost a look at every link there is."""
    plan = cache.execute(
        """EXPLAIN QUERY PLAN SELECT id FROM activity_links WHERE is_deleted = 0 AND source_name = 'sf'
           AND activity_id IN (SELECT value FROM json_each('["x"]'))"""
    ).fetchall()
    assert any("activity_links_by_activity_id" in row["detail"] for row in plan), [row["detail"] for row in plan]


def test_what_the_vendor_says_of_this_very_id_outweighs_what_was_known(cache: sqlite3.Connection) -> None:
    write(cache, lead())
    with transaction(cache):
        write_tombstones(cache, ORIGIN, [Tombstone("leads", "L1", T2)], synced_at=T1)
        write_merges(cache, ORIGIN, [Merge("leads", "L1", "L2")], synced_at=T1)
        assert write_records(cache, ORIGIN, "leads", [lead()], synced_at=T2)[0] == 0
        assert write_records(cache, ORIGIN, "leads", [lead()], synced_at=T2, is_certain=True)[0] == 1
    row = cache.execute("SELECT is_deleted, deleted_at, merged_into FROM leads WHERE source_id = 'L1'").fetchone()
    assert tuple(row) == (0, None, None)
