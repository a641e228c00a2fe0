"""The book of what was due and what became of it: tables of state.db and the only functions that write them.

Rows are never deleted; every decision has a cause (a word for scripts) and a reason (a sentence). Functions that
write expect to run inside `store.transaction`; knows nothing of KPIs, mail servers or clocks.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from scorecards.values import KpiResult, Period, instant

STATE_SCHEMA = """
CREATE TABLE schedules (
    scorecard TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,          -- expression and zone: a change starts the schedule anew
    enumerated_until TEXT NOT NULL,  -- every due time up to here has a row; never moves back
    changed_at TEXT NOT NULL
);
CREATE TABLE due_runs (
    id TEXT PRIMARY KEY,             -- made from scorecard and due time
    scorecard TEXT NOT NULL,
    due_at TEXT NOT NULL,
    timezone TEXT NOT NULL,
    period_start TEXT,
    period_end TEXT,
    state TEXT NOT NULL CHECK (state IN ('due', 'held', 'queued', 'sent', 'skipped', 'failed', 'uncertain')),
    cause TEXT,
    reason TEXT,
    issue INTEGER,                   -- counts what was sent of a scorecard
    as_of TEXT,
    held_at TEXT,
    config_hash TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (scorecard, due_at)
);
CREATE INDEX due_runs_by_state ON due_runs (state, due_at);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    due_run_id TEXT NOT NULL,
    scorecard TEXT NOT NULL,
    due_at TEXT NOT NULL,
    kind TEXT NOT NULL,              -- due | again#N | test#N | notice:CAUSE
    recipient TEXT NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    locale TEXT,
    timezone TEXT,
    subject TEXT NOT NULL DEFAULT '',
    message_id TEXT NOT NULL,
    mime BLOB,                       -- emptied once sent: the archive keeps a scorecard's bytes
    state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'sending', 'deferred', 'sent', 'failed', 'uncertain', 'dropped')),
    phase TEXT NOT NULL DEFAULT '',  -- how far the running attempt came: '' | claimed | connecting | data_end
    attempts INTEGER NOT NULL DEFAULT 0,
    resends INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TEXT NOT NULL,
    last_reply TEXT,
    claimed_by TEXT,
    claimed_until TEXT,
    owed_since TEXT NOT NULL,        -- the first attempt: giving up counts from here; a retry by hand starts it anew
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    sent_at TEXT,
    UNIQUE (scorecard, due_at, recipient, kind)
);
CREATE INDEX outbox_by_state ON outbox (state, next_attempt_at);
CREATE INDEX outbox_by_run ON outbox (due_run_id);
CREATE TABLE kpi_snapshots (
    due_run_id TEXT NOT NULL,
    kpi TEXT NOT NULL,
    position INTEGER NOT NULL,
    status TEXT NOT NULL,
    value REAL,
    verdict TEXT,
    result TEXT NOT NULL,            -- JSON as `kpi show` gives it
    PRIMARY KEY (due_run_id, kpi)
);
CREATE TABLE archive (
    due_run_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    html TEXT NOT NULL,
    text TEXT NOT NULL,
    eml BLOB NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (due_run_id, recipient, kind)
);
"""

#: States in which nothing has been composed yet.
OPEN = ("due", "held")
#: What scripts see: a run that waits in the outbox is still due.
_PUBLIC = {"queued": "due"}
#: Messages that count for a run: tests and notices to the owner do not.
_TO_READERS = "(kind = 'due' OR kind LIKE 'again#%')"


@dataclass(frozen=True, slots=True)
class DueRun:
    """One row of the ledger."""

    id: str
    scorecard: str
    due_at: datetime
    state: str
    cause: str | None = None
    reason: str | None = None
    issue: int | None = None
    held_at: datetime | None = None


def run_id(scorecard: str, due_at: datetime) -> str:
    """The id every process gives the same due run."""
    return hashlib.sha256(f"{scorecard}|{instant(due_at)}".encode()).hexdigest()[:16]


def moment(text: str) -> datetime:
    """Our UTC text as an aware datetime."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


# --- schedules --------------------------------------------------------------------------------------------------


def start_schedule(state: sqlite3.Connection, scorecard: str, schedule: str, now: datetime) -> datetime:
    """Where enumeration goes on. A schedule that is new, or reads differently, starts now: the past is not sent."""
    row = state.execute("SELECT schedule, enumerated_until FROM schedules WHERE scorecard = ?", (scorecard,)).fetchone()
    if row is not None and row["schedule"] == schedule:
        return moment(row["enumerated_until"])
    until = instant(now) if row is None else max(instant(now), row["enumerated_until"])
    state.execute(
        """INSERT INTO schedules (scorecard, schedule, enumerated_until, changed_at) VALUES (?, ?, ?, ?)
           ON CONFLICT (scorecard) DO UPDATE SET schedule = excluded.schedule,
               enumerated_until = excluded.enumerated_until, changed_at = excluded.changed_at""",
        (scorecard, schedule, until, instant(now)),
    )
    return moment(until)


def advance_schedule(state: sqlite3.Connection, scorecard: str, until: datetime) -> None:
    """Every due time up to `until` has its row now."""
    state.execute(
        "UPDATE schedules SET enumerated_until = max(enumerated_until, ?) WHERE scorecard = ?",
        (instant(until), scorecard),
    )


def take_back(state: sqlite3.Connection, scorecard: str, now: datetime) -> datetime:
    """The clock was ahead: what was written down then and not sent is decided anew. Where enumeration goes on."""
    reason = "Written down while the clock was ahead; it is decided when it becomes due."
    wrong = "scorecard = ? AND created_at > ? AND issue IS NULL AND state IN ('due', 'held', 'skipped', 'failed')"
    found = state.execute(f"SELECT min(due_at) AS oldest FROM due_runs WHERE {wrong}", (scorecard, instant(now)))
    oldest = found.fetchone()["oldest"]
    state.execute(
        f"UPDATE due_runs SET state = 'skipped', cause = 'ahead', reason = ?, held_at = NULL WHERE {wrong}",
        (reason, scorecard, instant(now)),
    )
    since = min(now, moment(oldest) - timedelta(seconds=1)) if oldest is not None else now
    state.execute("UPDATE schedules SET enumerated_until = ? WHERE scorecard = ?", (instant(since), scorecard))
    return since


def forget_schedules(state: sqlite3.Connection, kept: Sequence[str], now: datetime) -> None:
    """Scorecards no longer configured: nothing of theirs stays due; one configured again later starts anew."""
    names = {row["scorecard"] for row in state.execute("SELECT scorecard FROM schedules")}
    names |= {
        row["scorecard"] for row in state.execute("SELECT scorecard FROM due_runs WHERE state IN ('due', 'held')")
    }
    for name in sorted(names - set(kept)):
        state.execute("DELETE FROM schedules WHERE scorecard = ?", (name,))
        for run in open_runs(state, name):
            decide(state, run.id, "skipped", "removed", "The scorecard is no longer in the configuration.", now)


# --- due runs ---------------------------------------------------------------------------------------------------


def add_run(
    state: sqlite3.Connection,
    scorecard: str,
    due_at: datetime,
    *,
    period: Period | None,
    timezone: str,
    now: datetime,
    skipped: tuple[str, str] | None = None,
) -> bool:
    """Write a due run down once, `skipped` with its cause and reason. False when it was decided already."""
    cause, reason = skipped or (None, None)
    return (
        state.execute(
            """INSERT INTO due_runs (id, scorecard, due_at, timezone, period_start, period_end, state, cause,
                   reason, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT DO UPDATE SET timezone = excluded.timezone, period_start = excluded.period_start,
                   period_end = excluded.period_end, state = excluded.state, cause = excluded.cause,
                   reason = excluded.reason, created_at = excluded.created_at, updated_at = excluded.updated_at
               WHERE due_runs.state = 'skipped' AND due_runs.cause = 'ahead'""",
            (
                run_id(scorecard, due_at),
                scorecard,
                instant(due_at),
                timezone,
                period.start.isoformat() if period else None,
                period.end.isoformat() if period else None,
                "skipped" if skipped else "due",
                cause,
                reason,
                instant(now),
                instant(now),
            ),
        ).rowcount
        == 1
    )


def find_run(state: sqlite3.Connection, scorecard: str, due_at: datetime) -> DueRun | None:
    row = state.execute("SELECT * FROM due_runs WHERE id = ?", (run_id(scorecard, due_at),)).fetchone()
    return _run(row) if row is not None else None


def open_runs(state: sqlite3.Connection, scorecard: str) -> list[DueRun]:
    """What is due or held of a scorecard, oldest first."""
    rows = state.execute(
        "SELECT * FROM due_runs WHERE scorecard = ? AND state IN ('due', 'held') ORDER BY due_at", (scorecard,)
    )
    return [_run(row) for row in rows]


def decide(state: sqlite3.Connection, id_: str, new_state: str, cause: str, reason: str, now: datetime) -> None:
    """Move a run to another state with its cause and reason; `held_at` is kept from the first hold."""
    state.execute(
        """UPDATE due_runs SET state = ?, cause = ?, reason = ?, updated_at = ?,
               held_at = CASE WHEN ? = 'held' THEN coalesce(held_at, ?) ELSE held_at END WHERE id = ?""",
        (new_state, cause, reason, instant(now), new_state, instant(now), id_),
    )


def reopen(state: sqlite3.Connection, id_: str, now: datetime) -> None:
    """Sent by hand: a run that was skipped, or failed before it had messages, is due again."""
    state.execute(
        """UPDATE due_runs SET state = 'due', updated_at = ? WHERE id = ? AND state IN ('skipped', 'failed')
               AND NOT EXISTS (SELECT 1 FROM outbox WHERE due_run_id = due_runs.id AND kind = 'due')""",
        (instant(now), id_),
    )


def mark_queued(
    state: sqlite3.Connection,
    id_: str,
    *,
    issue: int,
    as_of: datetime,
    period: Period | None,
    config_hash: str,
    notes: str | None,
    now: datetime,
) -> None:
    """The run is composed: its messages are in the outbox."""
    state.execute(
        """UPDATE due_runs SET state = 'queued', cause = NULL, reason = ?, issue = ?, as_of = ?, config_hash = ?,
               period_start = ?, period_end = ?, updated_at = ? WHERE id = ?""",
        (
            notes,
            issue,
            instant(as_of),
            config_hash,
            period.start.isoformat() if period else None,
            period.end.isoformat() if period else None,
            instant(now),
            id_,
        ),
    )


def next_issue(state: sqlite3.Connection, scorecard: str) -> int:
    row = state.execute("SELECT max(issue) AS newest FROM due_runs WHERE scorecard = ?", (scorecard,)).fetchone()
    return int(row["newest"] or 0) + 1


def unsent_since_last(state: sqlite3.Connection, scorecard: str, due_at: datetime) -> list[DueRun]:
    """The runs between the last issue and this one that never went out though nobody asked for that."""
    rows = state.execute(
        """SELECT * FROM due_runs WHERE scorecard = :name AND due_at < :due AND issue IS NULL AND state = 'skipped'
               AND cause IN ('missed', 'superseded', 'stale', 'no_mail')
               AND due_at > coalesce((SELECT max(due_at) FROM due_runs
                   WHERE scorecard = :name AND due_at < :due AND issue IS NOT NULL), '') ORDER BY due_at""",
        {"name": scorecard, "due": instant(due_at)},
    )
    return [_run(row) for row in rows]


def settle(state: sqlite3.Connection, id_: str, now: datetime) -> str | None:
    """Derive a queued run's state from its messages: each reader counts once, a later copy mends an earlier failure."""
    best: dict[str, str] = {}
    replies: dict[str, str] = {}
    rank = ("sent", "sending", "queued", "deferred", "uncertain", "failed", "dropped")
    for row in state.execute(
        f"SELECT recipient, state, last_reply FROM outbox WHERE due_run_id = ? AND {_TO_READERS}",
        (id_,),
    ):
        known = best.get(row["recipient"])
        if known is None or rank.index(row["state"]) < rank.index(known):
            best[row["recipient"]] = row["state"]
            replies[row["recipient"]] = row["last_reply"] or ""
    if not best or {"queued", "sending", "deferred"} & set(best.values()):
        return None
    for verdict, word in (("uncertain", "may not have reached"), ("failed", "was not delivered to")):
        missed = sorted(address for address, how in best.items() if how == verdict)
        if missed:
            reason = f"It {word} {len(missed)} of {len(best)}: {missed[0]} ({replies[missed[0]]})"
            decide(state, id_, verdict, verdict, reason, now)
            return verdict
    if set(best.values()) == {"dropped"}:
        decide(state, id_, "skipped", "dropped", "Its messages were dropped by hand.", now)
        return "skipped"
    state.execute("UPDATE due_runs SET state = 'sent', cause = NULL, updated_at = ? WHERE id = ?", (instant(now), id_))
    return "sent"


# --- values as sent ---------------------------------------------------------------------------------------------


def save_snapshots(state: sqlite3.Connection, id_: str, results: Sequence[KpiResult]) -> None:
    state.executemany(
        """INSERT OR REPLACE INTO kpi_snapshots (due_run_id, kpi, position, status, value, verdict, result)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [
            (id_, r.kpi, position, r.status, r.value, r.verdict, json.dumps(r.to_json(), default=str))
            for position, r in enumerate(results)
        ],
    )


def last_snapshots(state: sqlite3.Connection, scorecard: str, due_at: datetime) -> dict[str, tuple[Any, ...]]:
    """Status, value and verdict by KPI, as the last issue before this due time said them; empty before the first."""
    rows = state.execute(
        """SELECT kpi, status, value, verdict FROM kpi_snapshots WHERE due_run_id =
               (SELECT id FROM due_runs WHERE scorecard = ? AND due_at < ? AND issue IS NOT NULL
                ORDER BY due_at DESC LIMIT 1)""",
        (scorecard, instant(due_at)),
    )
    return {row["kpi"]: (row["status"], row["value"], row["verdict"]) for row in rows}


# --- for people and scripts -------------------------------------------------------------------------------------


def list_runs(state: sqlite3.Connection, since: datetime | None = None) -> list[dict[str, Any]]:
    """Every due run, oldest first: the JSON of `scorecard ledger`."""
    found = []
    for row in state.execute(
        "SELECT * FROM due_runs WHERE due_at >= ? ORDER BY due_at, scorecard", (instant(since) if since else "",)
    ).fetchall():
        period = None
        if row["period_start"]:
            period = {"start": row["period_start"], "end": row["period_end"], "timezone": row["timezone"]}
        messages = state.execute(
            f"""SELECT recipient AS address, state, message_id, kind, last_reply, attempts FROM outbox
               WHERE due_run_id = ? AND {_TO_READERS} ORDER BY id""",
            (row["id"],),
        )
        readers = [dict(message) for message in messages]
        waits = next((r for r in readers if r["state"] == "deferred"), None) if row["state"] == "queued" else None
        found.append(
            {
                "id": row["id"],
                "scorecard": row["scorecard"],
                "due_at": row["due_at"],
                "period": period,
                "state": _PUBLIC.get(row["state"], row["state"]),
                "reason": f"{waits['address']} waits: {waits['last_reply']}" if waits else row["reason"],
                "cause": row["cause"],
                "issue": row["issue"],
                "as_of": row["as_of"],
                "recipients": readers,
            }
        )
    return found


def _run(row: sqlite3.Row) -> DueRun:
    return DueRun(
        row["id"],
        row["scorecard"],
        moment(row["due_at"]),
        row["state"],
        row["cause"],
        row["reason"],
        row["issue"],
        moment(row["held_at"]) if row["held_at"] else None,
    )
