"""The KPIs of the machine itself: the book of syncs, asked at any instant, against a naive reading of random runs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator, evaluate
from scorecards.periods import Span
from scorecards.values import KpiResult
from syncagent.freshness import tables_of
from syncagent.store import open_cache
from syncagent.sync_report import STOPPED
from tests.unit.facts.frame import REPORTING

START = datetime(2026, 11, 1, tzinfo=UTC)
Row = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def put(conn: sqlite3.Connection, table: str, **row: Any) -> None:
    conn.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def told(
    conn: sqlite3.Connection,
    name: str,
    as_of: datetime,
    span: Span | None = None,
    sources: tuple[str, ...] | None = None,
    **asked: Any,
) -> KpiResult:
    reporting = REPORTING.model_copy(update={"sources": sources})
    kpi = override(BUILTINS[name], {"n_min": 0})
    return evaluate(conn, kpi, BUILTINS, reporting, as_of=as_of, period=span, **asked)


class Book:
    """Random runs of some streams, and the state they leave; `runs` are those of the sources that are configured."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, random = conn, Random(seed)
        self.runs: list[Row] = []
        for source, stream in (("sf", "leads"), ("sf", "tickets"), ("hs", "leads")):
            moment, number = START + timedelta(hours=random.randrange(48)), random.randrange(4, 25)
            mine: list[Row] = []
            for _ in range(number):
                moment += timedelta(minutes=random.randrange(30, 2000))
                took = random.randrange(1, 25)
                how = random.choice(["ok", "ok", "ok", "no answer", STOPPED, "killed"])
                ended = None if how == "killed" else stamp(moment + timedelta(minutes=took))
                run: Row = {"source_name": source, "stream": stream, "started_at": stamp(moment), "ended_at": ended}
                run |= {"ok": None if ended is None else int(how == "ok"), "changed": random.randrange(500)}
                run |= {"seconds": None if ended is None else took * 60.0, "error": None if how == "ok" else how}
                mine.append(run)
                put(conn, "sync_runs", **run)
            self.runs += mine
            ok = max((run["ended_at"] for run in mine if run["ok"]), default=None)
            put(conn, "sync_state", source_name=source, stream=stream, ok_at=ok)
        self.as_of = START + timedelta(days=random.randrange(4, 20), hours=random.randrange(24))
        first = (START + timedelta(days=random.randrange(10))).date()
        self.span = Span(first, first + timedelta(days=7))
        self.configured = random.choice([None, ("sf",), ("hs", "new"), ("hs", "sf"), ("it's new",)])
        if self.configured is not None:
            self.runs = [run for run in self.runs if run["source_name"] in self.configured]

    def told(self, name: str, span: Span | None = None) -> KpiResult:
        return told(self.conn, name, self.as_of, span, self.configured)

    def over(self) -> list[Row]:
        """Runs of the span known to be over at as_of: those that ended, and those another followed."""
        now = stamp(self.as_of)
        found = []
        for run in self.runs:
            later = [r for r in self.runs if (r["source_name"], r["stream"]) == (run["source_name"], run["stream"])]
            followed = any(run["started_at"] < r["started_at"] < now for r in later)
            is_over = run["ended_at"] < now if run["ended_at"] else followed
            begun = datetime.fromisoformat(run["started_at"])
            day = begun.astimezone(Evaluator(self.conn, {}, REPORTING, as_of=self.as_of).zone).date()
            if is_over and begun < self.as_of and self.span.start <= day < self.span.end:
                found.append(run)
        return found


@pytest.fixture(params=range(25))
def book(request: pytest.FixtureRequest, cache: sqlite3.Connection) -> Book:
    return Book(cache, request.param)


def test_runs_that_succeeded(book: Book) -> None:
    counted = [run for run in book.over() if run["error"] != STOPPED]
    result = book.told("sync_success_rate", book.span)
    assert (result.numerator, result.denominator) == (sum(run["ok"] or 0 for run in counted), len(counted))
    assert result.details["excluded_stopped"] == len(book.over()) - len(counted)


def test_rows_a_second(book: Book) -> None:
    timed = [run for run in book.over() if run["seconds"] is not None]
    result = book.told("processing_rate", book.span)
    rows, seconds = sum(run["changed"] for run in timed), sum(run["seconds"] for run in timed)
    assert result.value == (pytest.approx(rows / seconds) if timed else None)
    assert result.n == len(timed)


def test_lag_and_coverage_at_any_instant(book: Book) -> None:
    """As things stood then, whatever was read since."""
    now = stamp(book.as_of)
    lags, covered, known, worst = [], 0, 0, []
    for key in sorted({(run["source_name"], run["stream"]) for run in book.runs}):
        mine = [run for run in book.runs if (run["source_name"], run["stream"]) == key]
        if min(run["started_at"] for run in mine) >= now:
            continue
        known += 1
        ended = [run for run in mine if run["ended_at"] and run["ended_at"] < now]
        good = sorted(run["ended_at"] for run in ended if run["ok"])
        if not good:
            continue
        moments = [*map(datetime.fromisoformat, good), book.as_of]
        gaps = [(b - a).total_seconds() for a, b in pairwise(moments)]
        lags.append(gaps[-1])
        worst.append(max(gaps))
        last = max(ended, key=lambda run: run["started_at"])
        covered += gaps[-1] <= 86400 and (last["ok"] == 1 or last["error"] == STOPPED)
    lag = book.told("data_sync_lag")
    assert (lag.value, lag.n) == (max(lags, default=None), len(lags))
    assert lag.details["worst_30_days"] == max(worst, default=None)
    assert lag.details["never_read"] == known - len(lags)
    coverage = book.told("source_coverage_rate")
    assert (coverage.numerator, coverage.denominator) == (covered, known)


def test_what_is_not_covered_is_named(cache: sqlite3.Connection) -> None:
    """With what the CRM said, and a way there."""
    put(cache, "sources", source_name="sf", crm="salesforce", url="https://acme.my.salesforce.com")
    note = '{"notes": [{"code": "history_off", "message": "history of Status is off", "mend": "switch it on"}]}'
    put(cache, "sync_state", source_name="sf", stream="leads", ok_at="2026-11-01T00:00:00Z")
    put(cache, "sync_state", source_name="sf", stream="tickets", ok_at="2026-11-08T00:00:00Z", bookmark=note)
    put(cache, "sync_state", source_name="sf", stream="orders", error="may not read Order",
        error_at="2026-11-02T00:00:00Z", withdrawn_at="2026-11-02T00:00:00Z")  # fmt: skip
    at = datetime(2026, 11, 8, 12, tzinfo=UTC)
    result = told(cache, "source_coverage_rate", at, by=["source"])
    assert (result.numerator, result.denominator) == (1, 3)
    assert result.details["with_gaps"] == 1
    assert [(s.segment, s.value) for s in result.segments] == [("salesforce", 1 / 3)]
    assert result.actions is not None
    rows = {row.title: row for row in result.actions.rows}
    assert rows.keys() == {"sf leads", "sf orders"}
    assert rows["sf orders"].url == "https://acme.my.salesforce.com"
    assert "may not read Order" in rows["sf orders"].reason
    explained = Evaluator(cache, BUILTINS, REPORTING, as_of=at).explain(BUILTINS["source_coverage_rate"])
    assert {r["id"]: r["role"] for r in explained["records"]} == {
        "sf leads": "denominator", "sf orders": "denominator", "sf tickets": "both",
    }  # fmt: skip


def test_slow_and_failed_runs_are_listed(cache: sqlite3.Connection) -> None:
    for number, (seconds, error) in enumerate([(5.0, None), (50.0, None), (1.0, "no answer")]):
        at = stamp(START + timedelta(hours=number))
        put(cache, "sync_runs", source_name="sf", stream="leads", started_at=at, ended_at=at, ok=int(error is None),
            seconds=seconds, changed=10, error=error)  # fmt: skip
    as_of, span = START + timedelta(days=7), Span(date(2026, 11, 1), date(2026, 11, 8))
    slowest = told(cache, "processing_rate", as_of, span).actions
    assert slowest is not None
    assert "50" in slowest.rows[0].reason
    failed = told(cache, "sync_success_rate", as_of, span).actions
    assert failed is not None
    assert [row.reason for row in failed.rows] == ["1 Nov 2026: no answer"]


def test_a_login_is_refused_only_while_it_is(cache: sqlite3.Connection) -> None:
    """Before that nobody knew of it, though an earlier one was refused and mended."""
    for at in ("2026-11-01T00:00:00Z", "2026-11-05T00:00:00Z"):
        put(cache, "sync_runs", source_name="sf", stream="login", started_at=at, ended_at=at, ok=0, error="no")
    put(cache, "sync_state", source_name="sf", stream="login", error="no", error_at="2026-11-05T00:00:00Z")
    found = [told(cache, "source_coverage_rate", datetime(2026, 11, day, 12, tzinfo=UTC)) for day in (3, 6)]
    assert [(one.numerator, one.denominator) for one in found] == [(0, 0), (0, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_messages_as_they_stood_at_any_instant(cache: sqlite3.Connection, seed: int) -> None:
    """What was queued, taken or given up later was not yet."""
    random, known, taken, owed, given_up = Random(seed), 0, [], 0, 0
    as_of = START + timedelta(days=random.randrange(1, 25), hours=random.randrange(24))
    for number in range(40):
        due = START + timedelta(hours=random.randrange(24 * 25))
        queued = due + timedelta(minutes=random.choice([0, 0, 3, 3000]))
        ended = queued + timedelta(minutes=random.choice([1, 5, 90, 4000]))
        state = random.choice(["sent", "sent", "sent", "dropped", "queued", "deferred"])
        put(cache, "deliveries", id=number, scorecard="sales", due_at=stamp(due), queued_at=stamp(queued), state=state,
            delivered_at=stamp(ended) if state == "sent" else None,
            dropped_at=stamp(ended) if state == "dropped" else None)  # fmt: skip
        if queued >= as_of:
            continue
        known += 1
        is_over = ended < as_of
        taken += [(ended - due).total_seconds()] if state == "sent" and is_over else []
        given_up += state == "dropped" and is_over
        owed += state in ("queued", "deferred") or not is_over
    result = told(cache, "report_latency", as_of, Span(date(2026, 10, 1), date(2026, 12, 1)))
    ordered = sorted(taken)
    place = (len(ordered) - 1) * 0.95
    low = int(place)
    p95 = ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) if ordered else None
    assert (result.n, result.value) == (len(taken), p95 if p95 is None else pytest.approx(p95))
    assert result.details.get("undelivered", 0) == owed
    assert result.details.get("excluded_dropped", 0) == given_up
    assert known == len(taken) + owed + given_up


def test_they_make_no_scorecard_late() -> None:
    """What tells that data is late needs none itself."""
    assert tables_of(["data_sync_lag", "processing_rate", "win_rate"], BUILTINS) == {"opportunities"}


def test_an_admin_may_count_them_too(cache: sqlite3.Connection) -> None:
    kpi = build(
        "calls", {"of": "sync_runs", "agg": "sum", "field": "calls", "date": "started_at", "by": ["source_name"]}
    )
    assert problems(kpi, {}, REPORTING) == []
    put(cache, "sync_runs", source_name="sf", stream="leads", started_at=stamp(START), calls=7)
    result = evaluate(cache, kpi, {}, REPORTING, as_of=START + timedelta(days=40))
    assert (result.value, [(s.segment, s.value) for s in result.segments]) == (7, [("sf", 7)])
