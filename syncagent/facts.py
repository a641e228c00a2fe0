"""Keeps the fact tables up to date for records that changed: triggers mark them, `refresh` derives them anew.

What a fact is, `scorecards.facts` says; this module only runs it in the writer's transaction.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase

from scorecards.definition import Reporting, TestRows
from scorecards.facts import BORROWED_ACCOUNTS, FACTS, Day, Fact
from syncagent import identity
from syncagent.store import transaction

_META = "CREATE TABLE IF NOT EXISTS facts_meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
_DIRTY = "CREATE TABLE IF NOT EXISTS dirty (kind TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID"
#: The rows a rule of [test_rows] marked: a rule taken back sets them free again.
_MARKS = "CREATE TABLE IF NOT EXISTS test_marks (id TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID"
#: Raised whenever what a fact says of unchanged rows changes: stored facts are then built anew.
FACTS_VERSION = 2
_BATCH = 5000
#: What is filed under a merged record belongs to the one that stands for it.
_MARK_CANONICAL = (
    "INSERT INTO dirty SELECT d.kind, a.canonical FROM dirty d CROSS JOIN aliases a ON a.id = d.id WHERE true"
    " ON CONFLICT DO NOTHING"
)


def install(conn: sqlite3.Connection) -> None:
    """Create fact tables, the list of dirty records and the triggers that fill it. Safe to repeat."""
    statements = [_META, _DIRTY, _MARKS, *identity.INSTALL]
    for kind, fact in FACTS.items():
        statements += fact.ddl
        for table, column in fact.follows.items():
            statements += _triggers(kind, table, column)
    # Answers are counted from their own table, by the day they came.
    statements.append("CREATE INDEX IF NOT EXISTS survey_responses_by_day ON survey_responses(responded_at)")
    for table in identity.ALIASED:
        statements += _identity_triggers(table)
    for table, column in BORROWED_ACCOUNTS:
        mark = (
            f"INSERT INTO dirty SELECT 'activities', id FROM activities WHERE {column} = NEW.id ON CONFLICT DO NOTHING"
        )
        statements.append(f"CREATE INDEX IF NOT EXISTS activities_{column} ON activities({column})")
        statements.append(
            f"CREATE TRIGGER IF NOT EXISTS dirty_activities_of_{table} AFTER UPDATE OF account_id ON {table}"
            f" BEGIN {mark}; END"
        )
        statements.append(
            f"CREATE TRIGGER IF NOT EXISTS dirty_activities_of_new_{table} AFTER INSERT ON {table} BEGIN {mark}; END"
        )
    for statement in statements:
        conn.execute(statement)


def _identity_triggers(table: str) -> Iterator[str]:
    """A merge or a link alone changes no fact's own row, yet whose row it is: it must wake `refresh` too."""
    columns = ["merged_into", "dup_of", *([identity.HARD_LINKS[table]] if table in identity.HARD_LINKS else [])]
    mark = "INSERT INTO dirty VALUES ('identity', NEW.id) ON CONFLICT DO NOTHING"
    linked = " OR ".join(f"NEW.{column} IS NOT NULL" for column in columns)
    yield f"CREATE TRIGGER IF NOT EXISTS identity_{table}_new AFTER INSERT ON {table} WHEN {linked} BEGIN {mark}; END"
    yield (
        f"CREATE TRIGGER IF NOT EXISTS identity_{table}_changed AFTER UPDATE OF {', '.join(columns)} ON {table}"
        f" BEGIN {mark}; END"
    )


def _triggers(kind: str, table: str, column: str) -> Iterator[str]:
    for event, rows in (("INSERT", ("NEW",)), ("UPDATE", ("NEW", "OLD")), ("DELETE", ("OLD",))):
        marks = "".join(
            # Not OR IGNORE: in a trigger the outer statement's conflict rule would override it.
            f" INSERT INTO dirty SELECT '{kind}', {row}.{column} WHERE {row}.{column} IS NOT NULL"
            " ON CONFLICT DO NOTHING;"
            for row in rows
        )
        yield (
            f"CREATE TRIGGER IF NOT EXISTS dirty_{kind}_{table}_{event.lower()} AFTER {event} ON {table}"
            f" BEGIN{marks} END"
        )


def refresh(conn: sqlite3.Connection, reporting: Reporting) -> int:
    """Bring the facts up to date; returns how many records were derived anew. One transaction.

    A changed time zone, test rule or system of record builds everything anew.
    """
    with transaction(conn):
        _adopt_settings(conn, reporting)
        _mark_tests(conn, reporting.test_rows)
        if conn.execute("SELECT 1 FROM dirty LIMIT 1").fetchone() is None:
            return 0
        identity.link(conn, reporting.system_of_record)
        conn.execute(_MARK_CANONICAL)  # who stood for it until now
        moved = identity.refresh_aliases(conn)
        if moved:
            _mark_children(conn, moved)
        conn.execute(_MARK_CANONICAL)
        days = Day(reporting)
        total = sum(_derive(conn, kind, fact, days) for kind, fact in FACTS.items())
        conn.execute("DELETE FROM dirty")
        return total


def _adopt_settings(conn: sqlite3.Connection, reporting: Reporting) -> None:
    said = f"{FACTS_VERSION}|{reporting.timezone}|{reporting.test_rows!r}|{reporting.system_of_record}"
    mark = hashlib.sha256(said.encode()).hexdigest()
    known = conn.execute("SELECT value FROM facts_meta WHERE key = 'settings'").fetchone()
    if known is not None and known[0] == mark:
        return
    for kind in {table for places in _RULES.values() for table, _ in places}:
        conn.execute(f"UPDATE {kind} SET is_test = 0 WHERE id IN (SELECT id FROM test_marks WHERE kind = '{kind}')")
    conn.execute("DELETE FROM test_marks")
    for kind, fact in FACTS.items():
        conn.execute(f"DELETE FROM {fact.name}")
        conn.execute(f"INSERT OR IGNORE INTO dirty SELECT ?, id FROM {kind}", (kind,))
    conn.execute("INSERT OR REPLACE INTO facts_meta VALUES ('settings', ?)", (mark,))


def _derive(conn: sqlite3.Connection, kind: str, fact: Fact, days: Day) -> int:
    """Replace the fact rows of every dirty record of one kind."""
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (id TEXT PRIMARY KEY) WITHOUT ROWID")
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS touched (grp INTEGER PRIMARY KEY)")
    conn.execute("DELETE FROM temp.touched")
    marks = ", ".join("?" * len(fact.columns))
    derived, last = 0, ""
    while True:
        # In id order and in batches: memory stays flat however much a first sync brought.
        conn.execute("DELETE FROM temp.wanted")
        conn.execute(
            "INSERT INTO temp.wanted SELECT id FROM dirty WHERE kind = ? AND id > ? ORDER BY id LIMIT ?",
            (kind, last, _BATCH),
        )
        newest = conn.execute("SELECT MAX(id), COUNT(*) FROM temp.wanted").fetchone()
        if not newest[1]:
            break
        _touch(conn, fact)
        conn.execute(f"DELETE FROM {fact.name} WHERE id IN (SELECT id FROM temp.wanted)")
        rows = conn.execute(fact.read)
        rows.row_factory = None
        conn.executemany(f"INSERT INTO {fact.name} VALUES ({marks})", list(fact.derive(rows, days)))
        _touch(conn, fact)
        derived, last = derived + newest[1], newest[0]
    if fact.together and derived:
        conn.execute(fact.together)
    return derived


def _touch(conn: sqlite3.Connection, fact: Fact) -> None:
    """Note the groups the wanted rows are in now."""
    if fact.group:
        conn.execute(
            f"INSERT OR IGNORE INTO temp.touched SELECT {fact.group} FROM {fact.name}"
            f" WHERE id IN (SELECT id FROM temp.wanted) AND {fact.group} IS NOT NULL"
        )


def _mark_children(conn: sqlite3.Connection, moved: set[str]) -> None:
    """What refers to a row that now stands for another belongs to that other's figures."""
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS moved (id TEXT PRIMARY KEY) WITHOUT ROWID")
    conn.execute("DELETE FROM temp.moved")
    conn.executemany("INSERT INTO temp.moved VALUES (?)", [(id_,) for id_ in moved])
    for table, column in identity.children():
        if table in FACTS:
            conn.execute(
                f"INSERT OR IGNORE INTO dirty SELECT '{table}', id FROM {table}"
                f" WHERE {column} IN (SELECT id FROM temp.moved)"
            )
    for table, column in BORROWED_ACCOUNTS:
        conn.execute(
            f"INSERT OR IGNORE INTO dirty SELECT 'activities', a.id FROM {table} t"
            f" JOIN activities a ON a.{column} = t.id WHERE t.account_id IN (SELECT id FROM temp.moved)"
        )


# -- test rows ------------------------------------------------------------------------------------------------

#: Where each rule looks: rule -> (table, column).
_RULES = {
    "domains": (("contacts", "email_norm"), ("leads", "email_norm"), ("accounts", "domain_norm")),
    "names": (("accounts", "name"), ("leads", "name"), ("opportunities", "name"), ("tickets", "subject")),
    "pipelines": (("opportunities", "pipeline"), ("tickets", "pipeline")),
    "owners": (("leads", "owner_id"), ("opportunities", "owner_id"), ("tickets", "owner_id")),
}


def _mark_tests(conn: sqlite3.Connection, rules: TestRows) -> None:
    """Set is_test where a rule of [test_rows] hits; what a file says of itself stays."""
    wanted = [(rule, tuple(p.lower() for p in getattr(rules, rule))) for rule in _RULES]
    if not any(patterns for _, patterns in wanted):
        return

    def hits(rule: str, value: str | None) -> int:
        text = (value or "").lower()
        if rule == "domains":
            text = text.rpartition("@")[2]
        return int(bool(text) and any(fnmatchcase(text, p) for r, ps in wanted if r == rule for p in ps))

    conn.create_function("is_test_row", 2, hits, deterministic=True)
    _free(conn, [rule for rule, patterns in wanted if patterns])
    for rule, patterns in wanted:
        if not patterns:
            continue
        for table, column in _RULES[rule]:
            hit = f"is_test = 0 AND is_test_row(?, {_ruled(rule, table, column)})"
            conn.execute(f"INSERT OR IGNORE INTO test_marks SELECT id, '{table}' FROM {table} WHERE {hit}", (rule,))
            conn.execute(f"UPDATE {table} SET is_test = 1 WHERE {hit}", (rule,))


def _ruled(rule: str, table: str, column: str) -> str:
    """What a rule looks at, in SQL."""
    owner = f"(SELECT COALESCE(u.email, '') FROM users u WHERE u.id = {table}.owner_id)"
    return owner if rule == "owners" else column


def _free(conn: sqlite3.Connection, rules: list[str]) -> None:
    """A row a rule marked is a test no longer once none hits it: renamed, or handed to someone else."""
    for kind in {table for places in _RULES.values() for table, _ in places}:
        looks = [f"is_test_row('{r}', {_ruled(r, t, c)})" for r in rules for t, c in _RULES[r] if t == kind]
        conn.execute(
            f"UPDATE {kind} SET is_test = 0 WHERE id IN (SELECT id FROM test_marks WHERE kind = '{kind}')"
            f" AND NOT ({' OR '.join(looks) or '0'})"
        )
        conn.execute(
            f"DELETE FROM test_marks WHERE kind = '{kind}' AND id IN (SELECT id FROM {kind} WHERE is_test = 0)"
        )
