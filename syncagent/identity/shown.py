"""What is linked and why, for people: reads the cache, writes nothing."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from scorecards.definition import Reporting
from scorecards.facts import LIVE, Book
from syncagent.identity.alike import CLOSE_DAY, LOOKS_ALIKE, double_count
from syncagent.identity.tables import COUNTED, LINKED

#: Kinds a person may have to decide about.
OPEN = ("conflict", "candidate", "orphan")
KINDS = (*COUNTED, *OPEN, "never")

_NAMES = {
    "accounts": "{0}.name",
    "contacts": "NULLIF(TRIM(COALESCE({0}.first_name, '') || ' ' || COALESCE({0}.last_name, '')), '')",
    "opportunities": "{0}.name",
    "users": "{0}.name",
    "activities": "COALESCE({0}.subject, {0}.type)",
}
_FIELDS = (
    "object", "kind", "a_id", "b_id", "a_name", "b_name", "score", "since", "said_by", "why",
)  # fmt: skip

#: Deals that count and look alike, in two accounts of CRMs. Compared are those of an account won at about one time.
_ALIKE = f"""
    WITH won AS MATERIALIZED (
        SELECT *, CAST(julianday(day) / 8 AS INTEGER) AS span FROM (
            SELECT t.id, t.name, t.source, COALESCE(t.source_instance, '') AS place, t.amount_minor, t.currency,
                   COALESCE(al.canonical, t.account_id) AS account, {CLOSE_DAY.format("t")} AS day
            FROM opportunities t LEFT JOIN aliases al ON al.id = t.account_id
            WHERE t.state = 'won' AND t.account_id IS NOT NULL AND {LIVE.format("t")}))
    SELECT 'opportunities', 'candidate', x.id, y.id, x.name, y.name, 0.5, NULL, 'syncagent',
           double_count(x.amount_minor, x.currency, x.day, y.amount_minor, y.day)
    FROM won x JOIN won y ON y.account = x.account AND y.span IN (x.span - 1, x.span, x.span + 1) AND y.id > x.id
    WHERE (x.source, x.place) <> (y.source, y.place)
      AND {LOOKS_ALIKE.format(t="x", o="y", t_day="x.day", o_day="y.day")}
      AND NOT EXISTS (SELECT 1 FROM entity_links l WHERE l.a_id = x.id AND l.b_id = y.id)
"""


def register(cache: sqlite3.Connection, reporting: Reporting) -> None:
    """Make what the questions here call on. Once for each connection, before any other function of this module."""
    cache.create_function("double_count", 5, double_count, deterministic=True)
    cache.create_function("day_of_close", 1, Book(reporting).day, deterministic=True)


def counts_of(cache: sqlite3.Connection, *, deals_alike: bool = True) -> list[dict[str, Any]]:
    """How many pairs of each table and kind: object, kind, links. Orphans are counted as records."""
    found = {
        (object_, kind): number
        for kind, object_, number in cache.execute("SELECT kind, object, COUNT(*) FROM entity_links GROUP BY 1, 2")
    }
    for table in LINKED:
        found["opportunities", "candidate"] = found.get(("opportunities", "candidate"), 0)
        if LINKED[table].names:
            found[table, "orphan"] = cache.execute(f"SELECT COUNT(*) FROM ({_orphans(table)})").fetchone()[0]
    if deals_alike:
        found["opportunities", "candidate"] += cache.execute(f"SELECT COUNT(*) FROM ({_ALIKE})").fetchone()[0]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return [
        {"object": object_, "kind": kind, "links": number}
        for (object_, kind), number in sorted(found.items(), key=lambda of: (of[0][0], order[of[0][1]]))
        if number
    ]


def links_of(
    cache: sqlite3.Connection,
    kinds: Iterable[str] = KINDS,
    tables: Iterable[str] = tuple(LINKED),
    *,
    limit: int | None = None,
    deals_alike: bool = True,
) -> list[dict[str, Any]]:
    """The links of these kinds and tables, kind by kind, at most `limit`. An orphan has no `b_id`."""
    found: list[dict[str, Any]] = []
    for kind in kinds:
        for table in tables:
            questions = [f"{_stored(table)} WHERE l.kind = '{kind}' AND l.object = '{table}'"]
            if kind == "orphan":
                questions = [_orphans(table)] if LINKED[table].names else []
            elif kind == "candidate" and table == "opportunities" and deals_alike:
                questions.append(_ALIKE)
            for question in questions:
                left = -1 if limit is None else limit - len(found)
                rows = cache.execute(f"SELECT * FROM ({question}) ORDER BY 3, 4 LIMIT ?", (left,))
                found += [_said(row) for row in rows]
    return found


def why(cache: sqlite3.Connection, table: str, id_: str, *, deals_alike: bool = True) -> dict[str, Any]:
    """A record, what it is one with, and every link and non-link it or those have."""
    row = cache.execute("SELECT canonical FROM aliases WHERE id = ?", (id_,)).fetchone()
    first = row[0] if row else id_
    names = LINKED[table].names
    stored_id = f"t.{names}" if names else "NULL"
    cache_rows = cache.execute(
        f"SELECT t.id, t.source, t.source_name, {_NAMES[table].format('t')}, t.url, t.is_deleted, t.is_test,"
        f" t.merged_into, t.dup_of, {LIVE.format('t')}, {stored_id}"
        f" FROM {table} t WHERE t.id IN (SELECT ?1 UNION SELECT ?2 UNION SELECT id FROM {table} WHERE dup_of = ?2"
        f" UNION SELECT id FROM {table} WHERE merged_into = ?2)"
        " ORDER BY t.dup_of IS NOT NULL, t.source, t.source_id",
        (id_, first),
    )
    members = [
        {
            "id": one[0],
            "source": one[1],
            "source_name": one[2],
            "name": one[3],
            "url": one[4],
            "is_deleted": bool(one[5]),
            "is_test": bool(one[6]),
            "merged_into": one[7],
            "is_counted": bool(one[9]),
            "stored_id": one[10],
        }
        for one in cache_rows
    ]
    ids = [one["id"] for one in members]
    marks = ", ".join("?" * len(ids))
    rows = cache.execute(
        f"SELECT * FROM ({_stored(table)} WHERE l.a_id IN ({marks}) OR l.b_id IN ({marks})) ORDER BY 2, 3, 4",
        (*ids, *ids),
    )
    links = [_said(row) for row in rows]
    if table == "opportunities" and deals_alike:
        asked = f"SELECT * FROM ({_ALIKE} AND (x.id IN ({marks}) OR y.id IN ({marks}))) ORDER BY 3, 4"
        links += [_said(row) for row in cache.execute(asked, (*ids, *ids))]
    orphan = cache.execute(f"SELECT * FROM ({_orphans(table)} AND t.id = ?)", (id_,)).fetchone() if names else None
    if orphan:
        links.append(_said(orphan))
    return {"id": id_, "object": table, "counts_as": first, "records": members, "links": links}


def find(cache: sqlite3.Connection, said: str) -> list[tuple[str, str]]:
    """The records somebody may mean: (table, id) by our id, else by the CRM's own."""
    found = [
        (table, row[0]) for table in LINKED for row in cache.execute(f"SELECT id FROM {table} WHERE id = ?", (said,))
    ]
    if found:
        return found
    sources = [row[0] for row in cache.execute("SELECT source_name FROM sources ORDER BY 1")]
    return [
        (table, row[0])
        for table in LINKED
        for name in sources
        for row in cache.execute(f"SELECT id FROM {table} WHERE id = ?", (f"{name}:{table}:{said}",))
    ]


def _stored(table: str) -> str:
    return (
        "SELECT l.object, l.kind, l.a_id, l.b_id,"
        f" {_NAMES[table].format('x')}, {_NAMES[table].format('y')}, l.score, l.created_at, l.said_by, l.evidence"
        f" FROM entity_links l LEFT JOIN {table} x ON x.id = l.a_id LEFT JOIN {table} y ON y.id = l.b_id"
    )


def _orphans(table: str) -> str:
    """Live rows that name a Salesforce record which was never synced, and are one with nobody."""
    names = LINKED[table].names
    return (
        f"SELECT '{table}', 'orphan', t.id, NULL, {_NAMES[table].format('t')}, NULL, NULL, NULL, t.source_name,"
        f" '{names} = ' || t.{names} || ', which was never synced' FROM {table} t"
        f" WHERE t.{names} IS NOT NULL AND t.source <> 'salesforce' AND {LIVE.format('t')}"
        f" AND NOT EXISTS (SELECT 1 FROM link_names n WHERE n.object = '{table}' AND n.copy = t.id)"
    )


def _said(row: Sequence[Any]) -> dict[str, Any]:
    one = dict(zip(_FIELDS, row, strict=True))
    one["is_counted"] = one["kind"] in COUNTED
    return one
