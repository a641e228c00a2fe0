"""Which rows are one and the same: merge chains, and records one CRM keeps a copy of (docs/definitions.md).

Writes `dup_of` where a HubSpot row names its Salesforce record, and `aliases`: every merged or duplicate id with
the id that stands for it. Runs inside the writer's transaction, before the facts.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable

log = logging.getLogger(__name__)

#: The column in which a row names its Salesforce twin. A link by stored id is the only automatic one for deals.
HARD_LINKS = {"opportunities": "sf_opportunity_id", "accounts": "sf_account_id", "contacts": "sf_contact_id"}
#: Tables whose rows can be merged away or stand for each other.
ALIASED = ("accounts", "contacts", "leads", "opportunities", "tickets")
MAX_HOPS = 10
_NAMED = 5

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

#: (copy, original, the copy's instance, the original's), live copies first.
_TWINS = """
    SELECT h.id, s.id, COALESCE(h.source_instance, ''), COALESCE(s.source_instance, '') FROM {table} h
    JOIN {table} s ON s.source_id = to_18(h.{column}) AND s.source = 'salesforce'
    WHERE h.{column} IS NOT NULL AND h.source <> 'salesforce' AND h.merged_into IS NULL
    ORDER BY h.is_deleted, h.is_test, h.id, s.id
"""

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


def columns_of(table: str) -> list[str]:
    """The columns that say whose row it is; none for a table whose rows stand for themselves alone."""
    if table not in ALIASED:
        return []
    return ["merged_into", "dup_of", *([HARD_LINKS[table]] if table in HARD_LINKS else [])]


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
    pairs = {
        table: conn.execute(_TWINS.format(table=table, column=column)).fetchall()
        for table, column in HARD_LINKS.items()
    }
    orgs = _orgs(pair for found in pairs.values() for pair in found)
    for table in HARD_LINKS:
        wanted: dict[str, str] = {}
        kept: dict[str, str] = {}
        for copy, original, portal, org in pairs[table]:
            if orgs[portal] != org:
                continue
            if system_of_record != "hubspot":
                wanted.setdefault(copy, original)
            elif original not in kept:  # live ones come first
                wanted[original] = kept[original] = copy
            else:
                wanted[copy] = kept[original]  # a second copy of the same record: one of them counts
        present = dict(conn.execute(f"SELECT id, dup_of FROM {table} WHERE dup_of IS NOT NULL").fetchall())
        changes: list[tuple[str | None, str]] = [
            (into, id_) for id_, into in wanted.items() if present.get(id_) != into
        ]
        changes += [(None, id_) for id_ in present if id_ not in wanted]
        conn.executemany(f"UPDATE {table} SET dup_of = ? WHERE id = ?", changes)


def _orgs(pairs: Iterable[tuple[str, str, str, str]]) -> dict[str, str]:
    """The org each portal is connected with: a portal has one, that most of the ids it names lie in."""
    counts: dict[str, Counter[str]] = {}
    for _, _, portal, org in pairs:
        counts.setdefault(portal, Counter())[org] += 1
    return {portal: min(held, key=lambda org: (-held[org], org)) for portal, held in counts.items()}


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
    ends = {id_: _end(id_, step) for id_ in step}
    wanted = {id_: end for id_, end in ends.items() if end is not None}
    if lost := sorted(ends.keys() - wanted.keys()):
        log.warning(
            "the merges of %s records run in a circle or over %s steps; they are left out: %s",
            len(lost),
            MAX_HOPS,
            ", ".join(lost[:_NAMED]) + (" ..." if len(lost) > _NAMED else ""),
            extra={"action": "merge_circle"},
        )
    present = dict(conn.execute("SELECT id, canonical FROM aliases").fetchall())
    changed = {id_ for id_ in wanted.keys() | present.keys() if wanted.get(id_) != present.get(id_)}
    conn.executemany("DELETE FROM aliases WHERE id = ?", [(id_,) for id_ in changed])
    conn.executemany("INSERT INTO aliases VALUES (?, ?)", [(i, wanted[i]) for i in changed if i in wanted])
    return {id_: (present.get(id_), wanted.get(id_)) for id_ in changed}


def _end(id_: str, step: dict[str, str]) -> str | None:
    """The record a chain of merges ends at; None where it has no end, or too far away to be believed."""
    at = id_
    for _ in range(MAX_HOPS):
        if at not in step:
            return at
        at = step[at]
    return None
