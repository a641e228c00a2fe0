"""What the readers of each scorecard were last told of each whole period: a table of state.db and its only writer.

A value stands here until another one is told of the same period; the values as sent stay in `kpi_snapshots` whatever
becomes of them, and `kept_in` looks them up. Functions that write expect to run inside `store.transaction`.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from scorecards.told import ChangedRecord, Kept, Restated, Sent, Told
from scorecards.values import KpiResult, Period, instant

_PERIODS = 13  # as many as a series shows

TOLD_SCHEMA = """
CREATE TABLE kpi_told (
    scorecard TEXT NOT NULL,
    kpi TEXT NOT NULL,
    period_start TEXT NOT NULL,
    period_end TEXT NOT NULL,
    definition TEXT NOT NULL,        -- hash of what the value depends on beside the records
    split TEXT NOT NULL,             -- hash of what the dimensions are
    value REAL,
    segments TEXT NOT NULL,          -- JSON: dimension -> segment -> value
    records BLOB,                    -- compressed JSON: id -> its part in the value; null: too many, or none named
    sent_at TEXT NOT NULL,           -- due time of the issue that told it
    restated TEXT NOT NULL,          -- JSON: what was said of it then, as in `kpi show`
    PRIMARY KEY (scorecard, kpi, period_start, period_end)
);
"""


def of_scorecard(state: sqlite3.Connection, scorecard: str, until: datetime) -> dict[str, list[Told]]:
    """By KPI, what the scorecard told up to an instant."""
    rows = state.execute("SELECT * FROM kpi_told WHERE scorecard = ? AND sent_at <= ?", (scorecard, instant(until)))
    found: dict[str, list[Told]] = {}
    for row in rows:
        found.setdefault(row["kpi"], []).append(_told(row))
    return found


def of_kpi(state: sqlite3.Connection, kpi: str, until: datetime) -> list[Told]:
    """What any scorecard told of a KPI up to an instant: of each period what was told last."""
    rows = state.execute(
        "SELECT * FROM kpi_told WHERE kpi = ? AND sent_at <= ? ORDER BY sent_at", (kpi, instant(until))
    )
    return list({(row["period_start"], row["period_end"]): _told(row) for row in rows}.values())


def kept_in(state: sqlite3.Connection) -> Kept:
    """Looks up values as they were sent, on whichever scorecard: by KPI and the as_of of the issue."""

    def found(kpi: str, first: datetime, last: datetime) -> list[Sent]:
        rows = state.execute(
            """SELECT r.as_of, s.value, json_extract(s.result, '$.definition.hash') AS definition
               FROM due_runs r CROSS JOIN kpi_snapshots s ON s.due_run_id = r.id AND s.kpi = ?
               WHERE r.as_of BETWEEN ? AND ? AND s.status IN ('ok', 'partial') AND s.value IS NOT NULL
               ORDER BY r.as_of""",
            (kpi, instant(first), instant(last)),
        )
        return [Sent(_moment(row["as_of"]), row["definition"] or "", row["value"]) for row in rows]

    return found


def remember(state: sqlite3.Connection, scorecard: str, results: Sequence[KpiResult]) -> None:
    """From now on these values are what its readers know; periods no longer shown are forgotten."""
    for result in results:
        if result.definition:
            state.execute(
                "DELETE FROM kpi_told WHERE scorecard = ? AND kpi = ? AND definition <> ?",
                (scorecard, result.kpi, result.definition),
            )
        for told in result.told:
            _write(state, scorecard, result.kpi, told)
        state.execute(
            """DELETE FROM kpi_told WHERE scorecard = :card AND kpi = :kpi AND period_start < (
                   SELECT min(period_start) FROM (SELECT period_start FROM kpi_told
                       WHERE scorecard = :card AND kpi = :kpi ORDER BY period_start DESC LIMIT :kept))""",
            {"card": scorecard, "kpi": result.kpi, "kept": _PERIODS},
        )


def _write(state: sqlite3.Connection, scorecard: str, kpi: str, told: Told) -> None:
    """An issue sent late for an earlier due time does not undo what was told since."""
    state.execute(
        """INSERT INTO kpi_told VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET definition = excluded.definition, split = excluded.split, value = excluded.value,
               segments = excluded.segments, records = excluded.records, sent_at = excluded.sent_at,
               restated = excluded.restated
           WHERE excluded.sent_at >= kpi_told.sent_at""",
        (
            scorecard,
            kpi,
            told.start.isoformat(),
            told.end.isoformat(),
            told.definition,
            told.split,
            told.value,
            json.dumps(told.segments),
            told.packed,
            instant(told.sent_at),
            json.dumps([one.to_json() for one in told.restated]),
        ),
    )


def _told(row: sqlite3.Row) -> Told:
    return Told(
        start=date.fromisoformat(row["period_start"]),
        end=date.fromisoformat(row["period_end"]),
        definition=row["definition"],
        value=row["value"],
        segments=json.loads(row["segments"]),
        packed=row["records"],
        sent_at=_moment(row["sent_at"]),
        split=row["split"],
        restated=tuple(_restated(one) for one in json.loads(row["restated"])),
    )


def _restated(said: Mapping[str, Any]) -> Restated:
    period = said["period"]
    records = said["records"]
    return Restated(
        Period(date.fromisoformat(period["start"]), date.fromisoformat(period["end"]), period["timezone"]),
        said["by"],
        said["segment"],
        said["before"],
        said["now"],
        _moment(said["sent_at"]),
        None if records is None else tuple(ChangedRecord(**record) for record in records),
        said["records_total"],
    )


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
