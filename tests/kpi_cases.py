"""Runs worked KPI cases through the real engine: `python -m tests.kpi_cases FILE [--kpi NAME]...`.

A case's rows go into a fresh cache as they are (ids and references verbatim), the facts are derived, the KPI is
evaluated at the case's as_of, and every expected key is compared, tolerance 1e-6. Exit 1 if any differs.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from connectors import parse
from scorecards.catalogue import BUILTINS
from scorecards.definition import Customers, Hours, Kpi, Reporting, override
from scorecards.evaluate import evaluate
from scorecards.exchange import digits
from scorecards.methods import METHODS
from scorecards.periods import Span, parse_period
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.config.result import gaps_of, spans_of
from syncagent.schema import TABLES, column_types
from syncagent.store import open_cache

TOLERANCE = 1e-6
#: The agent's own book, whose rows are stored as a case gives them.
_OWN_BOOK = ("sources", "sync_state", "sync_runs", "deliveries")
#: Config keys that are the report's, not the KPI's.
_REPORTING = {"calendar", "calendars", "reporting_currency", "system_of_record", "n_min"}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Outcome:
    """A case with what differed, if anything did."""

    id: str
    kpi: str
    differences: tuple[str, ...]


def run_file(path: Path, kpis: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Every case of a file, or of all files of a folder (or only those of some KPIs)."""
    for case in cases_of(path):
        if not kpis or case["kpi"] in kpis:
            yield run_case(case)


def cases_of(path: Path) -> list[dict[str, Any]]:
    """The cases of a file, or of every file of a folder in order of name."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    return [case for file in files for case in json.loads(file.read_text(encoding="utf-8"))]


def run_case(case: Mapping[str, Any]) -> Outcome:
    """One case in a cache of its own."""
    if method := METHODS.get(case["kpi"]):
        return _compared(case, method(case["rows"], case["config"]).get)
    if case["kpi"] not in BUILTINS:
        return Outcome(case["id"], case["kpi"], ("not built yet",))
    with tempfile.TemporaryDirectory() as folder:
        conn = open_cache(Path(folder))
        try:
            reporting = reporting_of(case)
            for table, row in canonical_rows(case, reporting.currency):
                columns = ", ".join(row)
                marks = ", ".join("?" * len(row))
                conn.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))
            facts.refresh(conn, reporting)
            result = evaluate_case(conn, case, reporting)
        finally:
            conn.close()
    return _compared(case, lambda key: seen(result, key))


def _compared(case: Mapping[str, Any], found: Callable[[str], Any]) -> Outcome:
    pairs = [(key, want, found(key)) for key, want in case["expected"].items()]
    differences = (f"{key}: expected {want!r}, got {got!r}" for key, want, got in pairs if not same(want, got))
    return Outcome(case["id"], case["kpi"], tuple(differences))


def evaluate_case(conn: Any, case: Mapping[str, Any], reporting: Reporting) -> KpiResult:
    kpi = kpi_of(case)
    as_of = datetime.fromisoformat(case["as_of"])
    return evaluate(conn, kpi, {**BUILTINS, kpi.id: kpi}, reporting, as_of=as_of, period=span_of(case))


def span_of(case: Mapping[str, Any]) -> Span | None:
    """The period a case asks for; None of a stock."""
    window = case["window"]
    return _named(Span(date.fromisoformat(window["start"]), date.fromisoformat(window["end"]))) if window else None


def _named(span: Span) -> Span:
    """A calendar period by its name, so that "the previous period" is the calendar one."""
    start = span.start
    quarter = f"{start.year}-Q{(start.month + 2) // 3}"
    year, week, _ = start.isocalendar()
    for text in (f"{start.year}", quarter, f"{start:%Y-%m}", f"{year}-W{week:02d}", start.isoformat()):
        named = parse_period(text)
        if (named.start, named.end) == (span.start, span.end):
            return named
    return span


def kpi_of(case: Mapping[str, Any]) -> Kpi:
    config = case["config"]
    table: dict[str, Any] = {"params": {k: v for k, v in config.items() if k not in _REPORTING}}
    if "n_min" in config:
        table["n_min"] = config["n_min"]
    for target in case["rows"].get("targets", []):
        if target["kpi"] == case["kpi"]:
            start, end = target["baseline_start"], target["baseline_end"]
            baseline = {"period": f"{start}..{end}"}
            last = date.fromisoformat(target["deadline"])
            want = "down" if BUILTINS[case["kpi"]].direction == "down" else "up"
            table["target"] = {"want": want, "change": target["change"], "from": baseline, "due": last}
            table["target"] |= {"path": target["pacing"], "amber": target["tolerance"]}
    return override(BUILTINS[case["kpi"]], table)


def reporting_of(case: Mapping[str, Any]) -> Reporting:
    config = case["config"]
    hours = Hours(timezone=case["timezone"])
    if calendar := config.get("calendar"):
        hours = _hours(calendar)
    return Reporting(
        timezone=case["timezone"],
        currency=config.get("reporting_currency", "EUR"),
        hours=hours,
        calendars={team: _hours(calendar) for team, calendar in config.get("calendars", {}).items()},
        system_of_record=config.get("system_of_record", "salesforce"),
        gap_days=gaps_of([kpi_of(case)]),
        customer_spans=spans_of([kpi_of(case)], Customers()),
        tables={name: column_types(name) for name in TABLES},
        references={name: dict(table.references) for name, table in TABLES.items()},
    )


def _hours(calendar: Mapping[str, Any]) -> Hours:
    weekly = {
        _WEEKDAYS.index(day): ((_minutes(opens), _minutes(closes)),)
        for day, (opens, closes) in calendar["weekly"].items()
    }
    holidays = frozenset(date.fromisoformat(day) for day in calendar.get("holidays", []))
    return Hours(weekly=weekly, holidays=holidays, timezone=calendar["timezone"])


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def canonical_rows(case: Mapping[str, Any], currency: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A case's rows as rows of the cache's tables; derived relations as the rows they follow from."""
    given = case["rows"]
    for table, rows in given.items():
        for number, row in enumerate(rows):
            if table == "purchases":
                won = {"id": f"purchase {number}", "state": "won", "close_date": row["purchase_date"]}
                yield "opportunities", _stored("opportunities", won | {"account_id": row["account_id"]}, currency)
            elif table == "customer_spans":
                yield "contracts", _stored("contracts", {"id": f"span {number}", **row}, currency)
            elif table in _OWN_BOOK:
                yield table, dict(row)
            elif table in TABLES:
                yield table, _stored(table, {"id": f"{table} {number}", **row}, currency)
                yield from _following(table, row, currency)
    if "accounts" not in given:
        held = {row.get("account_id") for rows in given.values() for row in rows} - {None}
        for id_ in sorted(held):
            yield "accounts", _stored("accounts", {"id": id_, "kind": "customer"}, currency)


def _following(table: str, row: Mapping[str, Any], currency: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows behind a derived column a case gives outright."""
    if table == "accounts" and row.get("has_open_opportunity"):
        deal = {"id": f"deal of {row['id']}", "account_id": row["id"], "state": "open"}
        yield "opportunities", _stored("opportunities", deal, currency)
    if table == "tickets" and row.get("first_closed_at"):
        steps = [("open", row["created_at"]), ("closed", row["first_closed_at"])]
        if row.get("first_reopened_at"):
            steps.append(("open", row["first_reopened_at"]))
        for seq, (category, at) in enumerate(steps):
            step = {"id": f"{row['id']} {seq}", "ticket_id": row["id"], "changed_at": at, "seq": seq}
            yield (
                "ticket_status_history",
                _stored("ticket_status_history", step | {"status_category": category}, currency),
            )


def _stored(table: str, row: Mapping[str, Any], currency: str) -> dict[str, Any]:
    types = column_types(table)
    source = row.get("source", "files")
    stored: dict[str, Any] = {
        "id": str(row["id"]),
        "source": source,
        "source_name": source,
        "source_instance": "case",
        "source_id": str(row.get("source_id", row["id"])),
        "synced_at": _NOW,
        "first_seen_at": _NOW,
    }
    for key, value in row.items():
        if key == "email" and "email_norm" in types and value is not None:
            stored["email_norm"] = parse.email(value)  # as a connector stores it
            continue
        name = {"phone": "phone_norm"}.get(key, key)
        if f"{name}_minor" in types and name not in types:
            stored[f"{name}_minor"] = None if value is None else _minor(value, row.get("currency") or currency)
            stored.setdefault("currency", row.get("currency") or currency)
        elif name in types and name not in stored and value is not None:
            stored[name] = value
    if table == "activities":
        stored.setdefault("status", "completed")
        if "is_public" not in row and row.get("type") in ("email", "call", "chat"):
            stored["is_public"] = 1
    return stored


def _minor(amount: Any, currency: str) -> int:
    return int(Decimal(str(amount)).scaleb(digits(currency)))


def seen(result: KpiResult, key: str) -> Any:
    """An expected key's counterpart: a field of the result, else one of its details."""
    if key in ("value", "numerator", "denominator", "n", "status", "coverage"):
        return getattr(result, key)
    return result.details.get(key)


def same(expected: Any, found: Any) -> bool:
    """Within the tolerance at any depth. Of an object only the expected keys; entries by segment as object or list."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(key in found and same(want, found[key]) for key, want in expected.items())
    if isinstance(expected, list) and isinstance(found, Mapping) and all(isinstance(e, Mapping) for e in expected):
        named = {entry.get("segment"): {k: v for k, v in entry.items() if k != "segment"} for entry in expected}
        return named.keys() == found.keys() and same(named, found)
    if isinstance(expected, list) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(same(*pair) for pair in zip(expected, found, strict=True))
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return abs(expected - found) <= TOLERANCE
    return bool(expected == found)


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--kpi", "kpis", multiple=True, help="Only the cases of this KPI (may be given again).")
def main(file: Path, kpis: tuple[str, ...]) -> None:
    """Run the worked cases of FILE (or of a folder of files); a line each, exit 1 if any differs."""
    failed = 0
    for outcome in run_file(file, kpis):
        failed += bool(outcome.differences)
        click.echo(f"{outcome.id} {outcome.kpi}: {'; '.join(outcome.differences) or 'ok'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
