"""Which row names which Salesforce record by its id, and which org each HubSpot portal is connected with."""

import sqlite3
from collections import Counter

from syncagent.identity.tables import LINKED

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_CHANGED = "SELECT id FROM dirty WHERE kind = 'identity'"
_TOUCHED = f"""
    SELECT portal, org, copy, original FROM link_names WHERE object = ?1 AND copy IN ({_CHANGED})
    UNION SELECT portal, org, copy, original FROM link_names WHERE object = ?1 AND original IN ({_CHANGED})
"""
_FOUND = """
    SELECT '{table}', h.id, s.id, COALESCE(h.source_instance, ''), COALESCE(s.source_instance, '') FROM dirty d
    CROSS JOIN {join} WHERE d.kind = 'identity' AND h.source <> 'salesforce' AND h.merged_into IS NULL
"""
# Either side may have an id in 15 characters, as reports print it: files say what they were given.
_BY_COPY = (
    "{table} h ON h.id = d.id AND h.{names} IS NOT NULL"
    " CROSS JOIN {table} s ON s.source_id IN (to_18(h.{names}), substr(h.{names}, 1, 15)) AND s.source = 'salesforce'"
    " AND to_18(s.source_id) = to_18(h.{names})"
)
_BY_ORIGINAL = (
    "{table} s ON s.id = d.id AND s.source = 'salesforce'"
    " CROSS JOIN {table} h ON h.{names} IN (to_18(s.source_id), substr(s.source_id, 1, 15))"
    " AND to_18(h.{names}) = to_18(s.source_id)"
)
#: The tables whose rows name Salesforce records.
_NAMING = tuple((table, one) for table, one in LINKED.items() if one.names)


def to_18(salesforce_id: str | None) -> str | None:
    """A 15-character Salesforce id with its three check characters (docs/links.md); anything else unchanged."""
    if salesforce_id is None or len(salesforce_id) != 15:
        return salesforce_id
    check = ""
    for part in (salesforce_id[:5], salesforce_id[5:10], salesforce_id[10:]):
        check += _SUFFIX[sum(1 << i for i, c in enumerate(part) if "A" <= c <= "Z")]
    return salesforce_id + check


def refresh_named(conn: sqlite3.Connection) -> None:
    """Find anew what the changed rows name and who names them.

    All rows of a portal that goes with another org now are changed by that.
    """
    conn.create_function("to_18", 1, to_18, deterministic=True)
    moves: Counter[tuple[str, str]] = Counter()
    for table, one in _NAMING:
        moves.subtract(_votes(conn, table))
        for side in ("copy", "original"):
            conn.execute(f"DELETE FROM link_names WHERE object = ? AND {side} IN ({_CHANGED})", (table,))
        for join in (_BY_COPY, _BY_ORIGINAL):
            found = _FOUND.format(table=table, join=join.format(table=table, names=one.names))
            conn.execute(f"INSERT OR IGNORE INTO link_names {found}")
        moves.update(_votes(conn, table))
    moved = {pair: by for pair, by in moves.items() if by}
    if not moved:
        return
    before = orgs_of(conn)
    conn.executemany(
        "INSERT INTO link_orgs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET pairs = pairs + excluded.pairs",
        [(*pair, by) for pair, by in moved.items()],
    )
    conn.execute("DELETE FROM link_orgs WHERE pairs <= 0")
    after = orgs_of(conn)
    for portal in before.keys() | after.keys():
        if before.get(portal) != after.get(portal):
            for table, one in _NAMING:
                conn.execute(
                    f"INSERT INTO dirty SELECT 'identity', id FROM {table} WHERE {one.names} IS NOT NULL"
                    " AND COALESCE(source_instance, '') = ? ON CONFLICT DO NOTHING",
                    (portal,),
                )


def orgs_of(conn: sqlite3.Connection) -> dict[str, str]:
    """The org each portal is connected with: a portal has one, that most of the ids it names lie in."""
    found: dict[str, str] = {}
    for portal, org in conn.execute("SELECT portal, org FROM link_orgs ORDER BY portal, pairs DESC, org"):
        found.setdefault(portal, org)
    return found


def _votes(conn: sqlite3.Connection, table: str) -> dict[tuple[str, str], int]:
    rows = conn.execute(f"SELECT portal, org, COUNT(*) FROM ({_TOUCHED}) GROUP BY portal, org", (table,))
    return {(portal, org): pairs for portal, org, pairs in rows}
