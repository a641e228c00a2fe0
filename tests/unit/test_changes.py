"""What is noted of changed rows, and which units of facts follow from it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorecards.facts import FACTS
from syncagent import changes, facts
from syncagent.store import open_cache, transaction
from tests.unit.facts.frame import REPORTING, put


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    put(conn, "accounts", "A")
    put(conn, "accounts", "B")
    put(conn, "contacts", "C", account_id="A")
    put(conn, "activities", "call", type="call", contact_id="C", occurred_at="2026-01-05T10:00:00Z")
    put(conn, "opportunities", "D", account_id="A", state="open", created_at="2026-01-01T00:00:00Z")
    put(conn, "opportunities", "E", account_id="B", state="open", created_at="2026-01-01T00:00:00Z")
    put(conn, "opportunity_stage_history", "H", opportunity_id="D", changed_at="2026-01-02T00:00:00Z", state="open")
    facts.refresh(conn, REPORTING)
    yield conn
    conn.close()


def noted(cache: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [tuple(row) for row in cache.execute(f"SELECT id, event FROM changed_{table}")]


def dirty(cache: sqlite3.Connection, kind: str) -> set[str]:
    changes.expand(cache, FACTS)
    return {row[0] for row in cache.execute("SELECT id FROM dirty WHERE kind = ?", (kind,))}


def test_a_new_row_is_noted_once_however_many_facts_there_are(cache: sqlite3.Connection) -> None:
    for table in ("opportunities", "tickets", "leads", "contacts", "activities"):
        put(cache, table, "new")
        assert noted(cache, table) == [("new", "new")]
    assert cache.execute("SELECT count(*) FROM dirty").fetchone()[0] == 0


def test_what_others_do_not_read_of_a_row_marks_nothing(cache: sqlite3.Connection) -> None:
    put(cache, "contacts", "C", account_id="A", phone_norm="+4930123456")
    assert dirty(cache, "activities") == set()
    put(cache, "contacts", "C", account_id="B")
    assert dirty(cache, "activities") == {"call"}


def test_a_row_that_is_moved_marks_where_it_was_and_where_it_is(cache: sqlite3.Connection) -> None:
    put(cache, "opportunity_stage_history", "H", opportunity_id="E")
    put(cache, "opportunity_stage_history", "H", opportunity_id="D")
    put(cache, "opportunity_stage_history", "H", opportunity_id="E")
    assert dirty(cache, "opportunities") == {"D", "E"}


def test_what_leaves_a_merged_record_is_missed_by_the_one_that_stands_for_it(cache: sqlite3.Connection) -> None:
    put(cache, "opportunities", "old", merged_into="D")
    put(cache, "opportunity_stage_history", "M", opportunity_id="old", changed_at="2026-01-03T00:00:00Z", state="won")
    facts.refresh(cache, REPORTING)
    put(cache, "opportunity_stage_history", "M", opportunity_id="E")
    assert dirty(cache, "opportunities") == {"old", "D", "E"}


def test_a_row_that_goes_marks_where_it_was(cache: sqlite3.Connection) -> None:
    cache.execute("DELETE FROM opportunity_stage_history")
    assert dirty(cache, "opportunities") == {"D"}
    cache.execute("DELETE FROM contacts")
    assert dirty(cache, "activities") == {"call"}


def test_who_is_named_may_come_after_those_that_name_it(cache: sqlite3.Connection) -> None:
    put(cache, "activities", "early", type="call", contact_id="late", occurred_at="2026-01-05T10:00:00Z")
    facts.refresh(cache, REPORTING)
    put(cache, "contacts", "late", account_id="B")
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT account_id FROM fact_activities WHERE id = 'early'").fetchone()[0] == "B"


def test_links_alone_wake_what_follows_them(cache: sqlite3.Connection) -> None:
    put(cache, "accounts", "C2", merged_into="A")
    assert dirty(cache, "identity") == {"C2"}
    facts.refresh(cache, REPORTING)
    put(cache, "accounts", "C2", industry="another")
    assert dirty(cache, "identity") == set()
    put(cache, "accounts", "C2", merged_into=None)
    assert dirty(cache, "identity") == {"C2"}


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_notes_are_worked_off_in_parts_that_lose_nothing(cache: sqlite3.Connection, at_once: int) -> None:
    with transaction(cache):
        for number in range(5):
            put(cache, "opportunities", f"N{number}", state="open", created_at="2026-01-01T00:00:00Z")
    changes.expand(cache, FACTS, at_once=at_once)
    assert noted(cache, "opportunities") == []
    assert dirty(cache, "opportunities") == {f"N{number}" for number in range(5)}


def test_broken_off_between_two_parts_it_goes_on_where_it_was(cache: sqlite3.Connection) -> None:
    for number in range(5):
        put(cache, "opportunities", f"N{number}", state="open", created_at="2026-01-01T00:00:00Z")
    steps = 0

    def stop(statement: str) -> None:
        nonlocal steps
        steps += statement.startswith("DELETE FROM changed_opportunities")
        if steps == 2:
            cache.interrupt()

    cache.set_trace_callback(stop)
    with pytest.raises(sqlite3.OperationalError):
        changes.expand(cache, FACTS, at_once=2)
    cache.set_trace_callback(None)
    assert [id_ for id_, _ in noted(cache, "opportunities")] == ["N2", "N3", "N4"]
    assert dirty(cache, "opportunities") == {f"N{number}" for number in range(5)}


def test_what_was_noted_under_earlier_triggers_is_not_lost(cache: sqlite3.Connection) -> None:
    cache.execute(
        "CREATE TRIGGER dirty_old AFTER INSERT ON leads BEGIN INSERT INTO dirty VALUES ('leads', NEW.id); END"
    )
    put(cache, "leads", "L", created_at="2026-01-01T00:00:00Z")
    facts.install(cache)
    assert cache.execute("SELECT 1 FROM sqlite_master WHERE name = 'dirty_old'").fetchone() is None
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT count(*) FROM fact_leads").fetchone()[0] == 1
