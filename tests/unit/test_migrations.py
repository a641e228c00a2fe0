"""The schemas: complete, stepwise, and never half applied."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Page
from scorecards.values import instant
from syncagent import freshness
from syncagent.migrations import CACHE, Schema, bring_columns, execute_statements, migrate
from syncagent.schema import STORAGE, TABLES, column_types
from syncagent.store import open_cache
from syncagent.sync import sync_source
from tests.fakes.connector import ScriptedConnector


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@pytest.mark.parametrize("table", list(TABLES))
def test_every_canonical_table_is_made_as_the_schema_says(tmp_path: Path, table: str) -> None:
    with closing(open_cache(tmp_path)) as cache:
        columns = {row["name"]: row for row in cache.execute(f"PRAGMA table_info({table})")}
    assert {name: row["type"] for name, row in columns.items()} == {
        name: STORAGE[kind] for name, kind in column_types(table).items()
    }
    not_null = {name for name, row in columns.items() if row["notnull"]}
    assert not_null == {"is_deleted", "is_test", *TABLES[table].flags}
    assert [name for name, row in columns.items() if row["pk"]] == ["id"]


def test_the_header_names_the_program_and_the_version(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache:
        assert cache.execute("PRAGMA application_id").fetchone()[0] == CACHE.application_id
        assert cache.execute("PRAGMA user_version").fetchone()[0] == CACHE.version


def test_migrating_again_does_nothing(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "x.db")) as conn:
        assert migrate(conn, CACHE) == CACHE.version
        assert migrate(conn, CACHE) == 0


def test_a_step_that_fails_leaves_the_schema_before_it(tmp_path: Path) -> None:
    def fail(database: object) -> None:
        conn = database.conn  # type: ignore[attr-defined]
        execute_statements(conn, "CREATE TABLE half (a); INSERT INTO half VALUES (1);")
        raise RuntimeError("killed here")

    broken = Schema("cache", CACHE.application_id, (*CACHE.steps, ("m9999", fail)))
    with closing(connect(tmp_path / "x.db")) as conn:
        with pytest.raises(RuntimeError):
            migrate(conn, broken)
        assert conn.execute("PRAGMA user_version").fetchone()[0] == CACHE.version
        assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0] == 0
        assert migrate(conn, CACHE) == 0


def test_a_cache_of_an_earlier_version_gets_its_new_columns(tmp_path: Path) -> None:
    from sqlite_utils import Database

    with closing(connect(tmp_path / "x.db")) as conn:
        conn.execute("CREATE TABLE leads (id TEXT PRIMARY KEY)")
        conn.execute("INSERT INTO leads VALUES ('kept')")
        bring_columns(Database(conn, execute_plugins=False))
        assert {row[1] for row in conn.execute("PRAGMA table_info(leads)")} == set(column_types("leads"))
        assert conn.execute("SELECT id, is_deleted FROM leads").fetchone() == ("kept", 0)


def test_statements_run_inside_the_callers_transaction(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "x.db")) as conn:
        conn.execute("BEGIN")
        execute_statements(
            conn,
            """CREATE TABLE a (x);
               CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = 1; UPDATE a SET x = 2; END;
               CREATE TABLE b (y)""",
        )
        conn.execute("ROLLBACK")
        assert conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0


def test_a_cache_made_before_reconciliation_keeps_its_rows_and_bookmarks(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "cache.db")) as conn:
        migrate(conn, Schema("cache", CACHE.application_id, CACHE.steps[:2]))
        conn.execute("INSERT INTO sync_state (source_name, stream, bookmark, ok_at) VALUES ('sf', 'leads', '{}', 'x')")
        conn.execute("INSERT INTO sources (source_name, crm) VALUES ('sf', 'salesforce')")
    with closing(open_cache(tmp_path)) as cache:
        state = cache.execute("SELECT bookmark, ok_at, sweep, reconciled_at, crm_count FROM sync_state").fetchone()
        assert tuple(state) == ("{}", "x", None, None, None)
        assert tuple(cache.execute("SELECT failures, rests_until FROM sources").fetchone()) == (0, None)
        assert cache.execute("SELECT count(*) FROM sweep_seen").fetchone()[0] == 0


def cache_of_version(folder: Path, version: int) -> sqlite3.Connection:
    """A cache as an earlier release left it, with rows in it."""
    conn = connect(folder / "cache.db")
    migrate(conn, Schema("cache", CACHE.application_id, CACHE.steps[:version]))
    conn.execute("INSERT INTO tickets (id, source_name, source_id, subject) VALUES ('sf:tickets:1', 'sf', '1', 'Help')")
    conn.executemany(
        "INSERT INTO sync_state (source_name, stream, bookmark, ok_at, rows) VALUES ('sf', ?, ?, ?, 1)",
        [(stream, '{"page":0}', "2026-02-01T00:00:00Z") for stream in ("leads", "tickets")],
    )
    conn.execute("INSERT INTO sources (source_name, crm, instance) VALUES ('sf', 'salesforce', 'org1')")
    return conn


def test_a_cache_made_before_withdrawals_keeps_what_it_knew(tmp_path: Path) -> None:
    with closing(cache_of_version(tmp_path, 3)) as conn:
        conn.execute("UPDATE sync_state SET sweep = '{\"phase\":\"list\"}', crm_count = 7, differs_since = 'x'")
        conn.execute("INSERT INTO sweep_seen VALUES ('sf', 'tickets', '1')")
        conn.execute(
            """INSERT INTO source_changes (source_name, object, name, change, detail, touches, noticed_at, told_at)
               VALUES ('sf', 'Deal', 'health', 'gone', '', '[]', '2026-02-01T00:00:00Z', '2026-02-02T00:00:00Z')"""
        )
    with closing(open_cache(tmp_path)) as cache:
        assert cache.execute("PRAGMA user_version").fetchone()[0] == CACHE.version
        rows = cache.execute(
            "SELECT stream, bookmark, ok_at, sweep, crm_count, withdrawn_at FROM sync_state"
        ).fetchall()
        assert [tuple(row) for row in rows] == [
            (stream, '{"page":0}', "2026-02-01T00:00:00Z", '{"phase":"list"}', 7, None)
            for stream in ("leads", "tickets")
        ]
        assert cache.execute("SELECT count(*) FROM sweep_seen").fetchone()[0] == 1
        assert tuple(cache.execute("SELECT name, told_at, batch FROM source_changes").fetchone()) == (
            "health",
            "2026-02-02T00:00:00Z",
            None,
        )
        assert cache.execute("SELECT subject FROM tickets").fetchone()[0] == "Help"


@pytest.mark.parametrize("version", [2, 3])
def test_a_cache_of_any_version_notes_what_is_withdrawn_and_goes_on(tmp_path: Path, version: int) -> None:
    cache_of_version(tmp_path, version).close()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    page = Page({"leads": [{"source_id": "9"}]}, read=1, bookmark={"page": 1})
    with closing(open_cache(tmp_path)) as cache:
        reports = sync_source(ScriptedConnector({"leads": [page]}), cache, clock=lambda: at)
        assert [(report.stream, report.changed, report.error) for report in reports] == [("leads", 1, None)]
        state = cache.execute("SELECT stream, ok_at, withdrawn_at FROM sync_state ORDER BY stream").fetchall()
        assert [tuple(row) for row in state] == [
            ("leads", instant(at), None),
            ("tickets", "2026-02-01T00:00:00Z", instant(at)),
        ]
        found = freshness.of_sources(cache, ["sf"], {"tickets"})
        assert [stream for stream, _ in found[0].withdrawn] == ["tickets"]


def test_a_cache_made_before_pipelines_gets_their_table_and_keeps_its_stages(tmp_path: Path) -> None:
    with closing(cache_of_version(tmp_path, 5)) as conn:
        conn.execute("DROP TABLE pipelines")  # which the first step did not make then
        conn.execute("INSERT INTO stage_defs (id, label) VALUES ('hs:stage_defs:1', 'New')")
    with closing(open_cache(tmp_path)) as cache:
        assert cache.execute("PRAGMA user_version").fetchone()[0] == CACHE.version
        columns = {row["name"] for row in cache.execute("PRAGMA table_info(pipelines)")}
        assert columns == set(column_types("pipelines"))
        assert cache.execute("SELECT label FROM stage_defs").fetchone()[0] == "New"
        indexes = {row["name"] for row in cache.execute("PRAGMA index_list(pipelines)")}
        assert "pipelines_merged" in indexes
