"""The schemas of cache.db and state.db as ordered, append-only migrations run through sqlite-utils.

Each migration and the record that it was applied are one transaction: a kill leaves the old schema or the new
one. `user_version` counts the applied migrations, so that an older program can tell a newer file.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.identity.decisions import STATE_SCHEMA as LINKS_SCHEMA
from syncagent.ledger import STATE_SCHEMA
from syncagent.pledges import PLEDGES_SCHEMA
from syncagent.schema import COMMON, STORAGE, TABLES, column_types
from syncagent.told import TOLD_SCHEMA

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.db import Table

Step = Callable[["Database"], None]


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of file of ours: what marks it, and the steps that make it."""

    name: str
    application_id: int
    steps: tuple[tuple[str, Step], ...]

    @property
    def version(self) -> int:
        return len(self.steps)


def migrate(conn: sqlite3.Connection, schema: Schema) -> int:
    """Apply what is missing, oldest first, and say how many steps that were. Needs a connection in autocommit mode."""
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(f"syncagent.{schema.name}")
    for number, (name, step) in enumerate(schema.steps, start=1):
        migrations(name=name)(_stamped(step, schema.application_id, number))
    database = Database(conn, recursive_triggers=False, execute_plugins=False)
    waiting = len(migrations.pending(database))
    if waiting:
        migrations.apply(database)
    return waiting


def execute_statements(conn: sqlite3.Connection, sql: str) -> None:
    """Run several statements inside the caller's transaction (executescript would commit it first)."""
    statement = ""
    for piece in sql.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            conn.execute(statement)
            statement = ""
    if statement.strip(" \n;"):
        conn.execute(statement)


def _stamped(step: Step, application_id: int, number: int) -> Step:
    """The step followed by its mark in the file's header, in the same transaction."""

    def run(database: "Database") -> None:
        step(database)
        database.conn.execute(f"PRAGMA application_id = {application_id:d}")
        database.conn.execute(f"PRAGMA user_version = {number:d}")

    run.__name__ = getattr(step, "__name__", "step")
    return run


# --- cache.db ---------------------------------------------------------------------------------------------------


def bring_columns(database: "Database") -> None:
    """Make every canonical table and column of the schema that is not there yet."""
    for name in TABLES:
        wanted = {column: STORAGE[kind] for column, kind in column_types(name).items()}
        flags = _flags(name)
        table: Table = database.table(name)
        if not table.exists():
            table.create(wanted, pk="id", not_null=flags, defaults=dict.fromkeys(flags, 0))
            continue
        present = table.columns_dict  # read once: a new database is brought up to date several times
        for column in [c for c in wanted if c not in present]:
            table.add_column(column, wanted[column], not_null_default=0 if column in flags else None)


def _flags(table: str) -> set[str]:
    return {column for column, kind in COMMON.items() if kind == "boolean"} | set(TABLES[table].flags)


#: Look-ups from a parent to its rows; what KPIs count by is indexed in the fact tables.
PARENTS = {
    "opportunity_stage_history": ("opportunity_id, changed_at",),
    "opportunity_lines": ("opportunity_id",),
    "opportunities": ("account_id",),
    "ticket_status_history": ("ticket_id, changed_at",),
    "tickets": ("account_id", "contact_id"),
    "contacts": ("account_id", "email_norm"),
    "leads": ("email_norm", "converted_opportunity_id", "converted_account_id"),
    "activities": ("ticket_id", "lead_id", "account_id", "contact_id", "opportunity_id", "thread_id"),
    "activity_links": ("activity_id", "object_id"),
    "survey_invitations": ("ticket_id",),
    "survey_responses": ("ticket_id",),
    "email_events": ("contact_id",),
    "order_lines": ("order_id",),
    "orders": ("account_id",),
    "payments": ("invoice_id",),
    "invoices": ("account_id",),
    "contracts": ("account_id",),
}


def _m0001_canonical_tables(database: "Database") -> None:
    bring_columns(database)
    for table, indexes in PARENTS.items():
        for columns in indexes:
            name = f"{table}_by_{columns.split(',')[0].strip()}"
            key = columns.split(",")[0].strip()
            # Partial: most rows of a log have few of these parents, and a null is never looked up.
            database.conn.execute(f"CREATE INDEX {name} ON {table} ({columns}) WHERE {key} IS NOT NULL")
    for table in TABLES:
        database.conn.execute(f"CREATE INDEX {table}_merged ON {table} (merged_into) WHERE merged_into IS NOT NULL")


def _m0002_sync_tables(database: "Database") -> None:
    execute_statements(
        database.conn,
        """
        CREATE TABLE sync_state (
            source_name TEXT NOT NULL,
            stream TEXT NOT NULL,
            bookmark TEXT,
            watermark TEXT,
            covered_from TEXT,
            started_at TEXT,
            ok_at TEXT,
            error TEXT,
            error_at TEXT,
            rows INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (source_name, stream)
        );
        CREATE TABLE sync_runs (
            id INTEGER PRIMARY KEY,
            source_name TEXT NOT NULL,
            stream TEXT NOT NULL,
            started_at TEXT NOT NULL,
            ended_at TEXT,
            ok INTEGER,
            read INTEGER NOT NULL DEFAULT 0,
            changed INTEGER NOT NULL DEFAULT 0,
            deleted INTEGER NOT NULL DEFAULT 0,
            rejected INTEGER NOT NULL DEFAULT 0,
            seconds REAL,
            calls INTEGER,
            error TEXT
        );
        CREATE INDEX sync_runs_by_stream ON sync_runs (source_name, stream, started_at);
        CREATE TABLE sources (
            source_name TEXT PRIMARY KEY,
            crm TEXT,
            instance TEXT,
            account TEXT,
            timezone TEXT,
            currency TEXT,
            url TEXT,
            checked_at TEXT
        );
        """,
    )


def _m0003_reconciliation(database: "Database") -> None:
    """What is remembered to find what no change mark shows, to rest a failing source, and to notice a new schema."""
    execute_statements(
        database.conn,
        """
        ALTER TABLE sync_state ADD COLUMN sweep TEXT;
        ALTER TABLE sync_state ADD COLUMN reconciled_at TEXT;
        ALTER TABLE sync_state ADD COLUMN crm_count INTEGER;
        ALTER TABLE sync_state ADD COLUMN cache_count INTEGER;
        ALTER TABLE sync_state ADD COLUMN counted_at TEXT;
        ALTER TABLE sync_state ADD COLUMN differs_since TEXT;
        ALTER TABLE sources ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE sources ADD COLUMN rests_until TEXT;
        ALTER TABLE sources ADD COLUMN rest_reason TEXT;
        ALTER TABLE sources ADD COLUMN sunsets TEXT;
        CREATE TABLE sweep_seen (
            source_name TEXT NOT NULL,
            stream TEXT NOT NULL,
            source_id TEXT NOT NULL,
            PRIMARY KEY (source_name, stream, source_id)
        ) WITHOUT ROWID;
        CREATE TABLE source_fields (
            source_name TEXT NOT NULL,
            object TEXT NOT NULL,
            field TEXT NOT NULL,
            type TEXT NOT NULL,
            column_name TEXT NOT NULL,
            table_name TEXT NOT NULL,
            first_seen_at TEXT NOT NULL,
            PRIMARY KEY (source_name, table_name, object, field, column_name)
        ) WITHOUT ROWID;
        CREATE TABLE source_changes (
            id INTEGER PRIMARY KEY,
            source_name TEXT NOT NULL,
            object TEXT NOT NULL,
            name TEXT NOT NULL,
            change TEXT NOT NULL,
            detail TEXT NOT NULL,
            touches TEXT NOT NULL,
            noticed_at TEXT NOT NULL,
            told_at TEXT
        );
        CREATE INDEX source_changes_by_source ON source_changes (source_name, noticed_at);
        """,
    )


def _m0004_withdrawals(database: "Database") -> None:
    """Since when a stream is not offered any more; and which changes of a schema are told in one mail."""
    execute_statements(
        database.conn,
        """
        ALTER TABLE sync_state ADD COLUMN withdrawn_at TEXT;
        ALTER TABLE source_changes ADD COLUMN batch TEXT;
        """,
    )


def _m0005_mends(database: "Database") -> None:
    """What a person can do about an error, what brought a rest, and which streams a source offers."""
    execute_statements(
        database.conn,
        """
        ALTER TABLE sync_state ADD COLUMN error_mend TEXT;
        ALTER TABLE sources ADD COLUMN rest_mend TEXT;
        ALTER TABLE sources ADD COLUMN rest_cause TEXT;
        ALTER TABLE sources ADD COLUMN streams TEXT;
        """,
    )


def _m0006_pipelines(database: "Database") -> None:
    """What the pipelines of deals, leads, tickets and orders are called."""
    bring_columns(database)
    database.conn.execute(
        "CREATE INDEX IF NOT EXISTS pipelines_merged ON pipelines (merged_into) WHERE merged_into IS NOT NULL"
    )


def _m0007_fewer_indexes(database: "Database") -> None:
    """Nobody looks a person up by the address: each of a first load's contacts paid a fifth of its writing for it."""
    for name in ("contacts_by_email_norm", "leads_by_email_norm"):
        database.conn.execute(f"DROP INDEX IF EXISTS {name}")


def _m0008_inputs(database: "Database") -> None:
    """What every record of a stream was read with."""
    database.conn.execute("ALTER TABLE sync_state ADD COLUMN inputs TEXT")


def _m0009_deliveries(database: "Database") -> None:
    """What became of scorecards' messages, without their readers: a copy of what state.db knows, for KPIs."""
    execute_statements(
        database.conn,
        """
        CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY,
            scorecard TEXT NOT NULL,
            due_at TEXT NOT NULL,
            queued_at TEXT NOT NULL,
            delivered_at TEXT,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX deliveries_by_due ON deliveries (due_at);
        CREATE INDEX deliveries_open ON deliveries (id) WHERE state <> 'sent';
        """,
    )


def _m0010_dropped(database: "Database") -> None:
    """When a message was given up: before that it was owed. The next copy fills it in."""
    database.conn.execute("ALTER TABLE deliveries ADD COLUMN dropped_at TEXT")


def _m0011_home_amounts(database: "Database") -> None:
    """What a deal is worth in the CRM's own currency, as the CRM says."""
    bring_columns(database)


def _m0012_home_amounts_of_orders(database: "Database") -> None:
    """The same of orders and invoices."""
    bring_columns(database)


CACHE = Schema(
    "cache",
    0x53594341,  # "SYCA"
    (
        ("m0001_canonical_tables", _m0001_canonical_tables),
        ("m0002_sync_tables", _m0002_sync_tables),
        ("m0003_reconciliation", _m0003_reconciliation),
        ("m0004_withdrawals", _m0004_withdrawals),
        ("m0005_mends", _m0005_mends),
        ("m0006_pipelines", _m0006_pipelines),
        ("m0007_fewer_indexes", _m0007_fewer_indexes),
        ("m0008_inputs", _m0008_inputs),
        ("m0009_deliveries", _m0009_deliveries),
        ("m0010_dropped", _m0010_dropped),
        ("m0011_home_amounts", _m0011_home_amounts),
        ("m0012_home_amounts_of_orders", _m0012_home_amounts_of_orders),
    ),
)


# --- state.db ---------------------------------------------------------------------------------------------------


def _m0001_ledger(database: "Database") -> None:
    execute_statements(database.conn, STATE_SCHEMA)


def _m0002_told(database: "Database") -> None:
    execute_statements(database.conn, TOLD_SCHEMA)


def _m0003_link_decisions(database: "Database") -> None:
    """What people said of two records: a cache can be built anew, what was said cannot."""
    execute_statements(database.conn, LINKS_SCHEMA)


def _m0004_pledges(database: "Database") -> None:
    """Baselines of targets and how targets came out: what was computed once must not move with the past."""
    execute_statements(database.conn, PLEDGES_SCHEMA)


STATE = Schema(
    "state",
    0x53595354,  # "SYST"
    (
        ("m0001_ledger", _m0001_ledger),
        ("m0002_told", _m0002_told),
        ("m0003_link_decisions", _m0003_link_decisions),
        ("m0004_pledges", _m0004_pledges),
    ),
)
