"""What is kept of targets: the baseline each started from, and how it came out.

Two tables of state.db and their only writer. Both are kept from the first scorecard sent with them, and stand whatever
of the past is restated later. Functions that write expect to run inside `store.transaction`.
"""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast

from scorecards.targets.pace import Deadline, Kept, Pledges, State
from scorecards.values import KpiResult, instant

PLEDGES_SCHEMA = """
CREATE TABLE target_baselines (
    kpi TEXT NOT NULL,
    target TEXT NOT NULL,            -- hash of what the target says it starts from
    definition TEXT NOT NULL,        -- hash of what the value depends on beside the records
    value REAL NOT NULL,
    n INTEGER NOT NULL,
    first_day TEXT NOT NULL,         -- the days it was computed over: [first_day, end_day)
    end_day TEXT NOT NULL,
    computed_on TEXT NOT NULL,
    sent_at TEXT NOT NULL,           -- due time of the issue that was sent with it first
    PRIMARY KEY (kpi, target)
);
CREATE TABLE target_ends (
    kpi TEXT NOT NULL,
    target TEXT NOT NULL,            -- hash of all that the target says
    state TEXT NOT NULL,             -- met | missed
    judged_on TEXT NOT NULL,
    value REAL NOT NULL,
    sent_at TEXT NOT NULL,
    PRIMARY KEY (kpi, target)
);
"""


def known(state: sqlite3.Connection, until: datetime) -> Pledges:
    """What was sent up to an instant."""
    given = (instant(until),)
    baselines = state.execute("SELECT * FROM target_baselines WHERE sent_at <= ?", given)
    ends = state.execute("SELECT * FROM target_ends WHERE sent_at <= ?", given)
    return Pledges(
        {(row["kpi"], row["target"]): _kept(row) for row in baselines},
        {(row["kpi"], row["target"]): _end(row) for row in ends},
    )


def remember(state: sqlite3.Connection, results: Sequence[KpiResult]) -> None:
    """Keep what these results were first to say; what is kept already stands."""
    for result in results:
        target = result.target
        if target is None or result.status not in ("ok", "partial"):
            continue
        agreed = target.baseline
        if agreed is not None and agreed.can_be_kept:
            kept = agreed.baseline
            state.execute(
                "INSERT INTO target_baselines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    result.kpi,
                    kept.target,
                    kept.definition,
                    kept.value,
                    kept.n,
                    kept.start.isoformat(),
                    kept.end.isoformat(),
                    kept.computed_on.isoformat(),
                    instant(result.as_of),
                ),
            )
        progress = target.progress
        if progress is not None and progress.state in ("met", "missed") and progress.value is not None:
            state.execute(
                "INSERT INTO target_ends VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    result.kpi,
                    target.mark,
                    progress.state,
                    (progress.end - timedelta(days=1)).isoformat(),
                    progress.value,
                    instant(result.as_of),
                ),
            )


def forget(state: sqlite3.Connection, kpi: str) -> tuple[list[Kept], list[Deadline]]:
    """The next scorecard sent keeps the baselines of a KPI's targets anew; says which were kept so far.

    How its targets came out is forgotten with them: a value judged by another goal must not stand beside the new one.
    """
    rows = state.execute("SELECT * FROM target_baselines WHERE kpi = ? ORDER BY sent_at", (kpi,)).fetchall()
    ends = state.execute("SELECT * FROM target_ends WHERE kpi = ? ORDER BY sent_at", (kpi,)).fetchall() if rows else []
    state.execute("DELETE FROM target_baselines WHERE kpi = ?", (kpi,))
    if rows:
        state.execute("DELETE FROM target_ends WHERE kpi = ?", (kpi,))
    return [_kept(row) for row in rows], [_end(row) for row in ends]


def _end(row: sqlite3.Row) -> Deadline:
    return Deadline(cast(State, row["state"]), date.fromisoformat(row["judged_on"]), row["value"])


def _kept(row: sqlite3.Row) -> Kept:
    first, end, computed = (date.fromisoformat(row[name]) for name in ("first_day", "end_day", "computed_on"))
    return Kept(row["value"], row["n"], row["definition"], row["target"], computed, first, end)
