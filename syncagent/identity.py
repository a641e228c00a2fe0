"""Which rows are one and the same: merge chains, and records one CRM keeps a copy of (docs/definitions.md).

Writes `dup_of` where a HubSpot row names its Salesforce record, and `aliases`: every merged or duplicate id with
the id that stands for it. Runs inside the writer's transaction, before the facts.
"""

import sqlite3

from syncagent.errors import StoreError

#: The column in which a row names its Salesforce twin. A link by stored id is the only automatic one for deals.
HARD_LINKS = {"opportunities": "sf_opportunity_id", "accounts": "sf_account_id", "contacts": "sf_contact_id"}
#: Tables whose rows can be merged away or stand for each other.
ALIASED = ("accounts", "contacts", "leads", "opportunities", "tickets")
MAX_HOPS = 10

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

INSTALL = [
    "CREATE TABLE IF NOT EXISTS aliases (id TEXT PRIMARY KEY, canonical TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS aliases_canonical ON aliases(canonical)",
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_alias ON {table}(id) WHERE merged_into IS NOT NULL OR dup_of IS NOT NULL"
        for table in ALIASED
    ),
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_{column} ON {table}({column}) WHERE {column} IS NOT NULL"
        for table, column in HARD_LINKS.items()
    ),
    *(f"DROP INDEX IF EXISTS {table}_source_id" for table in HARD_LINKS),
    *(
        f"CREATE INDEX IF NOT EXISTS {table}_salesforce_id ON {table}(source_id) WHERE source = 'salesforce'"
        for table in HARD_LINKS
    ),
]


def to_18(salesforce_id: str | None) -> str | None:
    """A 15-character Salesforce id with its three check characters (docs/definitions.md); anything else unchanged."""
    if salesforce_id is None or len(salesforce_id) != 15:
        return salesforce_id
    check = ""
    for part in (salesforce_id[:5], salesforce_id[5:10], salesforce_id[10:]):
        check += _SUFFIX[sum(1 << i for i, c in enumerate(part) if "A" <= c <= "Z")]
    return salesforce_id + check


def link(conn: sqlite3.Connection, system_of_record: str) -> None:
    """Point each copy at the row that stands for both. The record system's row stays; the other gets `dup_of`.

    A copy of a deleted record is out too (7.6); a copy of one never synced stays, as an orphan.
    """
    conn.create_function("to_18", 1, to_18, deterministic=True)
    for table, column in HARD_LINKS.items():
        twins = (
            f"SELECT h.id AS copy, MIN(s.id) AS original FROM {table} h JOIN {table} s"
            f" ON s.source_id = to_18(h.{column}) AND s.source = 'salesforce'"
            f" WHERE h.{column} IS NOT NULL AND h.source <> 'salesforce' AND h.merged_into IS NULL GROUP BY h.id"
        )
        pairs = conn.execute(twins).fetchall()
        wanted = {original: copy for copy, original in pairs} if system_of_record == "hubspot" else dict(pairs)
        present = dict(conn.execute(f"SELECT id, dup_of FROM {table} WHERE dup_of IS NOT NULL").fetchall())
        changes = [(into, id_) for id_, into in wanted.items() if present.get(id_) != into]
        changes += [(None, id_) for id_ in present if id_ not in wanted]
        conn.executemany(f"UPDATE {table} SET dup_of = ? WHERE id = ?", changes)


def refresh_aliases(conn: sqlite3.Connection) -> dict[str, tuple[str | None, str | None]]:
    """Follow every chain to its end; returns the ids others stand for than before: (who did, who does now)."""
    step: dict[str, str] = {}
    for table in ALIASED:
        step.update(
            conn.execute(
                f"SELECT id, COALESCE(merged_into, dup_of) FROM {table}"
                " WHERE merged_into IS NOT NULL OR dup_of IS NOT NULL"
            ).fetchall()
        )
    wanted = {id_: _end(id_, step) for id_ in step}
    present = dict(conn.execute("SELECT id, canonical FROM aliases").fetchall())
    changed = {id_ for id_ in wanted.keys() | present.keys() if wanted.get(id_) != present.get(id_)}
    conn.executemany("DELETE FROM aliases WHERE id = ?", [(id_,) for id_ in changed])
    conn.executemany("INSERT INTO aliases VALUES (?, ?)", [(i, wanted[i]) for i in changed if i in wanted])
    return {id_: (present.get(id_), wanted.get(id_)) for id_ in changed}


def _end(id_: str, step: dict[str, str]) -> str:
    at = id_
    for _ in range(MAX_HOPS):
        if at not in step:
            return at
        at = step[at]
    raise StoreError(
        f"the merges of record {id_} run in a circle or over {MAX_HOPS} steps",
        mend="Look at merged_into of these rows in cache.db; `syncagent sync --full` reads them anew.",
    )
