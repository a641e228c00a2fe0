"""Every scorecard message as it was handed over, byte for byte, in state.db."""

import sqlite3
from datetime import datetime

from scorecards.values import instant
from syncagent.errors import UsageError


def save(
    state: sqlite3.Connection,
    *,
    due_run_id: str,
    recipient: str,
    kind: str,
    subject: str,
    html: str,
    text: str,
    eml: bytes,
    now: datetime,
) -> None:
    """Keep one message; the first copy of it stays."""
    state.execute(
        """INSERT OR IGNORE INTO archive (due_run_id, recipient, kind, subject, html, text, eml, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (due_run_id, recipient, kind, subject, html, text, eml, instant(now)),
    )


def show(state: sqlite3.Connection, due_run_id: str, recipient: str | None = None) -> bytes:
    """The message of a due run (its first reader's, where none is named). Raises UsageError for an unknown id."""
    row = state.execute(
        """SELECT eml FROM archive WHERE due_run_id = ? AND (? IS NULL OR recipient = ?)
           ORDER BY kind = 'due' DESC, rowid LIMIT 1""",
        (due_run_id, recipient, recipient),
    ).fetchone()
    if row is None:
        known = state.execute("SELECT state, reason FROM due_runs WHERE id = ?", (due_run_id,)).fetchone()
        if known is not None:
            raise UsageError(f"due run {due_run_id} has no message: it is {known['state']}. {known['reason'] or ''}")
        raise UsageError(f"there is no due run {due_run_id}", mend="`syncagent scorecard ledger` shows them.")
    return bytes(row["eml"])


def prune(state: sqlite3.Connection, before: datetime) -> int:
    """Forget the content of messages older than `before`; the ledger keeps that they were sent."""
    return state.execute("DELETE FROM archive WHERE created_at < ?", (instant(before),)).rowcount
