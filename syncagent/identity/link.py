"""Links anew the records whose evidence changed, and all that hangs together with them; nothing else is read.

Writes `entity_links` (what links two records, or was found and does not), and of the rows `dup_of` (the one that
counts) and `cluster_id`. Runs in the writer's transaction, before the facts.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping

from syncagent.identity.alike import ALIKE, Alike, Edge
from syncagent.identity.clusters import Link, Resolved, Row, resolve
from syncagent.identity.decisions import sayings_of
from syncagent.identity.named import orgs_of, refresh_named, to_18
from syncagent.identity.tables import (
    ALIASED,
    LINKED,
    Linked,
    applied,
    key_index,
    key_said,
    looks_like,
    shares_key,
)

_AT_ONCE = 2000
_MARK = "INSERT INTO dirty SELECT 'identity', {0} ON CONFLICT DO NOTHING"


def start_anew(conn: sqlite3.Connection, *, deals_alike: bool) -> None:
    """Forget what follows from the rows and mark every one that may be linked. Since when a link is there is kept.

    `deals_alike`: won deals that look alike are linked.
    """
    deals = ALIKE["opportunities"]
    conn.execute(deals.ddl if deals_alike else f"DROP INDEX IF EXISTS {deals.index}")
    conn.execute("DELETE FROM link_names")
    conn.execute("DELETE FROM link_orgs")
    conn.execute("DELETE FROM link_sources")
    for table in ALIASED:
        conn.execute(_MARK.format(f"id FROM {table} WHERE merged_into IS NOT NULL OR dup_of IS NOT NULL"))
    for table, one in LINKED.items():
        if one.names:
            conn.execute(_MARK.format(f"id FROM {table} WHERE {one.names} IS NOT NULL"))
        if one.key:
            conn.execute(
                f"INSERT INTO link_sources SELECT DISTINCT '{table}', source, COALESCE(source_instance, '')"
                f" FROM {table}"
            )
            _mark_keyed(conn, table, one)
    for table, alike in ALIKE.items():
        if _is_applied(conn, alike.index) and not LINKED[table].is_quiet:
            conn.execute(_MARK.format(f"id FROM {table} t WHERE {alike.may}"))
    for source in ("aliases", "entity_links"):
        column = "id" if source == "aliases" else "a_id"
        conn.execute(_MARK.format(f"{column} FROM {source} WHERE true"))
    conn.execute(_MARK.format("a_id FROM link_decisions WHERE true"))


def link(conn: sqlite3.Connection, system_of_record: str, day: Callable[[str], str]) -> None:
    """Bring links and `dup_of` up to date with the changed rows (`dirty` of kind identity), but for `link_filed`'s.

    `day`: the local date of a UTC instant.
    """
    conn.create_function("day_of_close", 1, day, deterministic=True)
    if conn.execute("SELECT 1 FROM dirty WHERE kind = 'identity' LIMIT 1").fetchone() is None:
        return
    # What stood for a record that is no longer merged, or gone, may now be linked as it could not be with it.
    conn.execute(_MARK.format("a.canonical FROM dirty d CROSS JOIN aliases a ON a.id = d.id WHERE d.kind = 'identity'"))
    refresh_named(conn)
    _link(conn, [table for table in LINKED if _alike(conn, table) is None], system_of_record)


def link_filed(conn: sqlite3.Connection, system_of_record: str) -> bool:
    """Link tables in which rows that look alike are one, now that it is known who stands for accounts (temp.moved).

    True where a row counts for others now, or others for it: who stands for whom is then to be followed once more.
    """
    tables = [table for table in ALIKE if _alike(conn, table)]
    for table in tables:
        alike = ALIKE[table]
        only = f"{_is_in_links('t')} OR {looks_like(table)}" if LINKED[table].is_quiet else "true"
        for column in alike.filed:
            asked = f"t.id FROM temp.moved m CROSS JOIN {table} t ON t.{column} = m.id WHERE {only}"
            conn.execute(_MARK.format(asked))
        if alike.reads:
            asked = f"t.id FROM dirty d CROSS JOIN {table} t ON t.{alike.reads[2]} = d.id WHERE d.kind = 'identity'"
            conn.execute(_MARK.format(f"{asked} AND ({only})"))
    return _link(conn, tables, system_of_record)


def _link(conn: sqlite3.Connection, tables: Iterable[str], system_of_record: str) -> bool:
    """Link the changed rows of these tables anew; True if any row has another that counts for it now."""
    have_changed = False
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS linking (id TEXT PRIMARY KEY) WITHOUT ROWID")
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS linked (id TEXT PRIMARY KEY) WITHOUT ROWID")
    orgs = orgs_of(conn)
    for table in tables:
        one = LINKED[table]
        conn.execute("DELETE FROM temp.linked")
        last = ""
        while ids := _next(conn, table, last):
            last = ids[-1]
            have_changed |= _link_all(conn, table, one, ids, orgs, system_of_record)
    return have_changed


def _next(conn: sqlite3.Connection, table: str, after: str) -> list[str]:
    """Some of the changed rows of a table, or that links of it know, not linked anew yet; in order of their ids."""
    rows = conn.execute(
        "SELECT d.id FROM dirty d WHERE d.kind = 'identity' AND d.id > ? AND d.id NOT IN (SELECT id FROM temp.linked)"
        f" AND (EXISTS (SELECT 1 FROM {table} t WHERE t.id = d.id)"
        f" OR EXISTS (SELECT 1 FROM entity_links l WHERE l.a_id = d.id AND l.object = '{table}')"
        f" OR EXISTS (SELECT 1 FROM entity_links l WHERE l.b_id = d.id AND l.object = '{table}'))"
        f" ORDER BY d.id LIMIT {_AT_ONCE}",
        (after,),
    )
    return [row[0] for row in rows]


def _link_all(
    conn: sqlite3.Connection, table: str, one: Linked, ids: list[str], orgs: dict[str, str], system_of_record: str
) -> bool:
    found = _reach(conn, table, one, ids)
    _hold(conn, found)
    conn.execute("INSERT OR IGNORE INTO temp.linked SELECT id FROM temp.linking")
    rows = _rows(conn, table, one)
    named = [
        (copy, original)
        for copy, original in conn.execute(
            "SELECT n.copy, n.original FROM temp.linking q CROSS JOIN link_names n ON n.object = ? AND n.copy = q.id",
            (table,),
        )
        if copy in rows and original in rows
    ]
    sayings = sayings_of(conn, "temp.linking")
    alike = _alike(conn, table)
    resolved = resolve(
        rows,
        named,
        sayings,
        system_of_record=system_of_record,
        orgs=orgs,
        kind=one.kind,
        column=one.names or "",
        edges=_edges(conn, table, alike) if alike else (),
        alike=alike,
        is_quiet=one.is_quiet,
    )
    _write_links(conn, table, resolved.links)
    return _write_rows(conn, table, resolved)


def _reach(conn: sqlite3.Connection, table: str, one: Linked, ids: Iterable[str]) -> set[str]:
    """These rows and all that any evidence ties to them, now or when they were last linked."""
    ask = [
        "SELECT l.b_id FROM temp.linking q CROSS JOIN entity_links l ON l.a_id = q.id",
        "SELECT l.a_id FROM temp.linking q CROSS JOIN entity_links l ON l.b_id = q.id",
        "SELECT d.b_id FROM temp.linking q CROSS JOIN link_decisions d ON d.a_id = q.id",
        "SELECT d.a_id FROM temp.linking q CROSS JOIN link_decisions d ON d.b_id = q.id",
        f"SELECT n.original FROM temp.linking q CROSS JOIN link_names n ON n.object = '{table}' AND n.copy = q.id",
        f"SELECT n.copy FROM temp.linking q CROSS JOIN link_names n ON n.object = '{table}' AND n.original = q.id",
        f"SELECT t.merged_into FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id AND t.merged_into IS NOT NULL",
        f"SELECT t.id FROM temp.linking q CROSS JOIN {table} t ON t.merged_into = q.id",
        # What it was linked with before a rule or a row went.
        f"SELECT t.dup_of FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id AND t.dup_of IS NOT NULL",
        f"SELECT t.id FROM temp.linking q CROSS JOIN {table} t ON t.dup_of = q.id",
    ]
    if one.key and _is_several(conn, table):
        ask.append(
            f"SELECT o.id FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id"
            f" CROSS JOIN {table} o ON o.{one.key} IS NOT NULL AND {key_said(table, 'o')} = {key_said(table, 't')}"
        )
    if alike := _alike(conn, table):
        ask.append(
            f"SELECT o.id FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id CROSS JOIN {table} o"
            f" ON {alike.partner}"
        )
    found: set[str] = set()
    frontier = set(ids)
    while frontier:
        found |= frontier
        _hold(conn, frontier)
        frontier = {row[0] for question in ask for row in conn.execute(question)} - found
    return found


def _alike(conn: sqlite3.Connection, table: str) -> Alike | None:
    """The rule by which rows of a table that say the same are linked, where it is applied."""
    alike = ALIKE.get(table)
    return alike if alike and _is_applied(conn, alike.index) else None


def _edges(conn: sqlite3.Connection, table: str, alike: Alike) -> list[Edge]:
    """The pairs of rows in temp.linking that look alike, with what the rule tells of them."""
    rows = conn.execute(
        f"SELECT t.id, o.id, {alike.told} FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id"
        f" CROSS JOIN {table} o ON {alike.partner} WHERE t.id < o.id"
    )
    return [tuple(row) for row in rows]


def _hold(conn: sqlite3.Connection, ids: Iterable[str]) -> None:
    conn.execute("DELETE FROM temp.linking")
    conn.executemany("INSERT INTO temp.linking VALUES (?)", [(id_,) for id_ in ids])


def _rows(conn: sqlite3.Connection, table: str, one: Linked) -> dict[str, Row]:
    key = key_said(table, "t") if one.key else "NULL"
    columns = ", ".join((f"t.{one.names}" if one.names else "NULL", key, *(f"t.{column}" for column in one.says)))
    told = 7 + len(one.says)
    rows = conn.execute(
        f"SELECT t.id, t.source, COALESCE(t.source_instance, ''), t.source_id, t.source_name, {columns},"
        " t.is_deleted, t.is_test, t.merged_into, t.synced_at"
        f" FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id"
    )
    return {
        row[0]: Row(
            row[0], row[1] or "", row[2], _full(row[1], row[3] or ""), row[4] or "", to_18(row[5]), row[6],
            tuple(row[7:told]), bool(row[told]), bool(row[told + 1]), row[told + 2], row[told + 3],
        )
        for row in rows
    }  # fmt: skip


def _full(source: str | None, source_id: str) -> str:
    """A record's id as its CRM writes it: files may have Salesforce's in 15 characters."""
    return to_18(source_id) or "" if source == "salesforce" else source_id


def _write_links(conn: sqlite3.Connection, table: str, links: Mapping[tuple[str, str], Link]) -> None:
    known = {
        (row[0], row[1]): tuple(row)
        for side in ("a_id", "b_id")
        for row in conn.execute(
            "SELECT l.a_id, l.b_id, l.kind, l.evidence, l.said_by, l.score, l.created_at FROM temp.linking q"
            f" CROSS JOIN entity_links l ON l.{side} = q.id WHERE l.object = ?",
            (table,),
        )
    }
    gone = [pair for pair in known if pair not in links]
    conn.executemany("DELETE FROM entity_links WHERE a_id = ? AND b_id = ?", gone)
    written = []
    for pair, one in links.items():
        before = known.get(pair)
        if before and before[2:6] == (one.kind, one.evidence, one.said_by, one.score):
            continue
        since = before[6] if before and before[2] == one.kind else one.created_at
        written.append((*pair, table, one.kind, one.score, since, one.evidence, one.said_by))
    conn.executemany(
        "INSERT OR REPLACE INTO entity_links (a_id, b_id, object, kind, score, created_at, evidence, said_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        written,
    )


def _write_rows(conn: sqlite3.Connection, table: str, resolved: Resolved) -> bool:
    """Set dup_of and cluster_id where they are others now; who stands for whom is then to be followed anew."""
    present = conn.execute(
        f"SELECT t.id, t.dup_of, t.cluster_id FROM temp.linking q CROSS JOIN {table} t ON t.id = q.id"
    ).fetchall()
    nobody: tuple[str | None, str | None] = (None, None)
    changed = [
        (*resolved.stands.get(id_, nobody), id_, dup_of)
        for id_, dup_of, cluster in present
        if (dup_of, cluster) != resolved.stands.get(id_, nobody)
    ]
    conn.executemany(f"UPDATE {table} SET dup_of = ?, cluster_id = ? WHERE id = ?", [row[:3] for row in changed])
    conn.executemany(
        "INSERT INTO dirty VALUES ('identity', ?) ON CONFLICT DO NOTHING",
        [(id_,) for wanted, _, id_, before in changed if wanted != before],
    )
    return bool(changed)


# -- several CRMs ---------------------------------------------------------------------------------------------


def note_sources(conn: sqlite3.Connection) -> None:
    """Once a table has rows of a second account of a CRM, every row with a key is to be looked at, and found by it."""
    for table, one in LINKED.items():
        if one.key:
            conn.execute(
                f"INSERT OR IGNORE INTO link_sources SELECT DISTINCT '{table}', t.source,"
                f" COALESCE(t.source_instance, '') FROM dirty d CROSS JOIN {table} t ON t.id = d.id"
                " WHERE d.kind = 'identity'"
            )
            if not _is_several(conn, table):
                _mark_keyed(conn, table, one)
            if _is_several(conn, table):
                # The + takes the type of the column away: with it an index of what is no column is not sought.
                left = f"SELECT +key FROM link_left WHERE object = '{table}'"
                asked = f"t.id FROM {table} t WHERE t.{one.key} IS NOT NULL AND {key_said(table, 't')} IN ({left})"
                conn.execute(_MARK.format(asked))
            conn.execute("DELETE FROM link_left WHERE object = ?", (table,))


def _mark_keyed(conn: sqlite3.Connection, table: str, one: Linked) -> None:
    """Mark the rows with a key where several accounts of CRMs are there; the index they are found by is made then."""
    if conn.execute("SELECT COUNT(*) FROM link_sources WHERE object = ?", (table,)).fetchone()[0] < 2:
        return
    said = LINKED[table].written.format(one.key)
    conn.execute(f"CREATE INDEX IF NOT EXISTS {key_index(table)} ON {table}({said}) WHERE {one.key} IS NOT NULL")
    if not one.is_quiet:
        conn.execute(_MARK.format(f"id FROM {table} WHERE {one.key} IS NOT NULL"))
        return
    conn.execute(ALIKE[table].ddl)
    conn.execute(_MARK.format(f"t.id FROM {table} t WHERE {shares_key(table)} OR {looks_like(table)}"))


def _is_in_links(row: str) -> str:
    """Whether a row (an alias) has any link or non-link, in SQL."""
    return " OR ".join(f"EXISTS (SELECT 1 FROM entity_links l WHERE l.{side} = {row}.id)" for side in ("a_id", "b_id"))


def _is_several(conn: sqlite3.Connection, table: str) -> bool:
    return _is_applied(conn, key_index(table))


def _is_applied(conn: sqlite3.Connection, index: str) -> bool:
    return bool(conn.execute(f"SELECT {applied(index)}").fetchone()[0])
