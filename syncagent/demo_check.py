"""Compares a cache and a scorecard with what the sandbox knows to be true."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncagent.sandbox import Sandbox
    from syncagent.sandbox.truth import TableTruth, Truth

#: Relative difference up to which two numbers are the same.
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class KpiCheck:
    """One number of a scorecard beside the sandbox's own."""

    scorecard: str
    kpi: str
    shown: float | None
    status: str
    truth: float | None
    ok: bool


def cache_differences(cache: sqlite3.Connection, truth: "Truth", sources: Mapping[str, str]) -> list[str]:
    """One line for each row or history that is not as the sandbox says. `sources`: CRM -> NAME of its source."""
    found: list[str] = []
    for (crm, table), expected in truth.tables.items():
        if crm in sources:
            found += _table_differences(cache, sources[crm], table, expected)
    for histories, table, parent, value, kind in (
        (truth.stage_history, "opportunity_stage_history", "opportunity_id", "stage", "opportunities"),
        (truth.status_history, "ticket_status_history", "ticket_id", "status", "tickets"),
    ):
        for crm, name in sources.items():
            stored = _histories(cache, name, table, parent, value)
            for (of_crm, source_id), expected_rows in histories.items():
                if of_crm != crm:
                    continue
                expected_steps = [(at, what) for at, what, _ in expected_rows]
                if stored.get(f"{name}:{kind}:{source_id}", []) != expected_steps:
                    found.append(f"{table} of {name}:{kind}:{source_id} differs")
    return found


def _table_differences(cache: sqlite3.Connection, name: str, table: str, expected: "TableTruth") -> Iterator[str]:
    prefix = f"{name}:{table}:"
    rows = {
        row["source_id"]: row
        for row in cache.execute(f"SELECT * FROM {table} WHERE id >= ? AND id < ?", (prefix, f"{prefix[:-1]};"))
    }
    live = {key for key, row in rows.items() if not row["is_deleted"] and row["merged_into"] is None}
    for key in sorted(expected.live - live):
        yield f"{prefix}{key} is missing"
    for key in sorted(live - expected.live - expected.erased):
        yield f"{prefix}{key} should not be live"
    for key, columns in expected.rows.items():
        if key in live:
            for column, value in columns.items():
                held = _held(rows[key], column)
                if _bare(held, name) != value:
                    yield f"{prefix}{key}: {column} is {held!r}, not {value!r}"


def _held(row: sqlite3.Row, column: str) -> Any:
    """A column, or with `custom.NAME` an extra field."""
    if not column.startswith("custom."):
        return row[column]
    return json.loads(row["custom"] or "{}").get(column.removeprefix("custom."))


def _bare(value: Any, name: str) -> Any:
    """A reference as the CRM's own id."""
    if isinstance(value, str) and value.startswith(f"{name}:"):
        return value.split(":", 2)[2]
    return value


def _histories(
    cache: sqlite3.Connection, name: str, table: str, parent: str, value: str
) -> dict[str, list[tuple[str, str]]]:
    """Each parent's values in order, repetitions left out."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in cache.execute(
        f"""SELECT {parent} AS parent, changed_at, {value} AS value FROM {table}
            WHERE source_name = ? AND is_deleted = 0 ORDER BY {parent}, changed_at, seq, id""",
        (name,),
    ):
        steps = found.setdefault(row["parent"], [])
        if not steps or steps[-1][1] != row["value"]:
            steps.append((row["changed_at"], row["value"]))
    return found


def kpi_checks(state: sqlite3.Connection, sandbox: "Sandbox", timezone: str) -> list[KpiCheck]:
    """Every number of every scorecard as it was sent, beside the sandbox's own."""
    checks = []
    for row in state.execute(
        """SELECT r.scorecard, s.kpi, s.result FROM kpi_snapshots s JOIN due_runs r ON r.id = s.due_run_id
           ORDER BY r.scorecard, s.position"""
    ):
        result = json.loads(row["result"])
        period = result["period"] or {}
        truth = sandbox.kpi_truth(
            row["kpi"],
            as_of=datetime.fromisoformat(result["as_of"]),
            timezone=timezone,
            start=date.fromisoformat(period["start"]) if period else None,
            end=date.fromisoformat(period["end"]) if period else None,
        )
        shown = result["value"]
        # Too few rows for a value to be shown: then their number is what can be compared.
        ok = result["n"] == truth.n if result["status"] == "too_few" else same(shown, truth.value)
        checks.append(KpiCheck(row["scorecard"], row["kpi"], shown, result["status"], truth.value, ok))
    return checks


def same(one: float | None, other: float | None) -> bool:
    """Whether two numbers are equal within TOLERANCE."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))
