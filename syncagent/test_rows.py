"""Marks the rows that rules of `[test_rows]` hit, and frees those they hit no longer (docs/definitions.md G4).

What a file says of itself (`is_test`) stays. Runs in the writer's transaction, before the facts.
"""

import sqlite3
from fnmatch import fnmatchcase

from scorecards.definition import TestRows

#: The rows a rule marked: a rule taken back sets them free again.
MARKS = "CREATE TABLE IF NOT EXISTS test_marks (id TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID"

#: Where each rule looks: rule -> (table, column).
_RULES = {
    "domains": (("contacts", "email_norm"), ("leads", "email_norm"), ("accounts", "domain_norm")),
    "names": (("accounts", "name"), ("leads", "name"), ("opportunities", "name"), ("tickets", "subject")),
    "pipelines": (("opportunities", "pipeline"), ("tickets", "pipeline")),
    "owners": (("leads", "owner_id"), ("opportunities", "owner_id"), ("tickets", "owner_id")),
}

_TESTER = "{0}.contact_id IN (SELECT id FROM contacts WHERE is_test = 1)"
#: Whom a row is for beside its contact: nobody, a test, or whom the contact is of. Else it is that customer's.
_ALONE = (
    "({0}.account_id IS NULL OR {0}.account_id IN (SELECT id FROM accounts WHERE is_test = 1)"
    " OR {0}.account_id = (SELECT c.account_id FROM contacts c WHERE c.id = {0}.contact_id))"
)
_ASKED = f"(({_TESTER} AND {_ALONE}) OR {{0}}.ticket_id IN (SELECT id FROM tickets WHERE is_test = 1))"
#: The tables whose tests make tests of what names them.
NAMED = ("contacts", "accounts", "tickets")
#: What a test person asks, answers, is asked and is mailed is a test too: table -> when. Tickets before their answers.
_THEIRS = {
    "tickets": f"({_TESTER} AND {_ALONE})",
    "survey_invitations": _ASKED,
    "survey_responses": _ASKED,
    "email_events": _TESTER,
}


def mark(conn: sqlite3.Connection, rules: TestRows) -> None:
    """Set is_test where a rule of [test_rows] hits, and on what is a test person's; what a file says stays."""
    _mark_ruled(conn, rules)
    for table, whose in _THEIRS.items():
        theirs, marked = whose.format(table), f"SELECT id FROM test_marks WHERE kind = 'theirs: {table}'"
        conn.execute(f"UPDATE {table} SET is_test = 0 WHERE id IN ({marked}) AND ({theirs}) IS NOT TRUE")
        gone = f"SELECT id FROM {table} WHERE is_test = 0"
        conn.execute(f"DELETE FROM test_marks WHERE kind = 'theirs: {table}' AND id IN ({gone} AND id IN ({marked}))")
        hit = f"is_test = 0 AND {theirs}"
        conn.execute(f"INSERT OR IGNORE INTO test_marks SELECT id, 'theirs: {table}' FROM {table} WHERE {hit}")
        conn.execute(f"UPDATE {table} SET is_test = 1 WHERE {hit}")


def _mark_ruled(conn: sqlite3.Connection, rules: TestRows) -> None:
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


def free_all(conn: sqlite3.Connection) -> None:
    """Take every mark of a rule back: the rules have changed."""
    for kind in {table for places in _RULES.values() for table, _ in places}:
        conn.execute(f"UPDATE {kind} SET is_test = 0 WHERE id IN (SELECT id FROM test_marks WHERE kind = '{kind}')")
    for table in _THEIRS:
        theirs = f"SELECT id FROM test_marks WHERE kind = 'theirs: {table}'"
        conn.execute(f"UPDATE {table} SET is_test = 0 WHERE id IN ({theirs})")
    conn.execute("DELETE FROM test_marks")


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
