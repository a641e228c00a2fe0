"""What does not add up is left out, said and logged; the number itself stands."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.render import render
from scorecards.values import KpiResult
from syncagent import facts, issues
from syncagent.config import load_config
from syncagent.store import open_cache
from tests.fakes.issue import issue
from tests.fakes.office import DUE, Office
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 21, 12, tzinfo=UTC)
BRIDGE = "how it came from what it was is left out: what came and went does not add up"
DRIVERS = "what moved it is left out: its parts do not add up to the change"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def deal(conn: sqlite3.Connection, id_: str, **values: Any) -> None:
    common = {"created_at": "2026-08-01T00:00:00Z", "amount_minor": 10000, "currency": "EUR", "pipeline": "new"}
    put(conn, "opportunities", id_, **{**common, **values})


def october(conn: sqlite3.Connection, kpi: Kpi, by: list[str] | None = None) -> KpiResult:
    evaluator = Evaluator(conn, BUILTINS, REPORTING, as_of=AS_OF)
    return evaluator.evaluate(kpi, period=parse_period("2026-10"), by=by)


class Interrupted(sqlite3.Connection):
    """A cache that somebody writes to, once, just before the first statement that holds a text."""

    wanted, change = "", ""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if self.wanted and self.wanted in sql:
            self.wanted = ""
            super().execute(self.change)
        return super().execute(sql, *args)


@contextmanager
def interrupted(folder: Path, wanted: str, change: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "cache.db", factory=Interrupted, isolation_level=None)) as conn:
        conn.wanted, conn.change = wanted, change
        yield conn


#: What a stock's moves and a KPI's segments are read by.
MOVES, SEGMENTS = "AS begins", ".pipeline AS TEXT"
MORE = "UPDATE fact_opportunities SET amount_minor = amount_minor + 10000 WHERE id = 'D1'"


def test_a_bridge_that_does_not_balance_is_said(cache: sqlite3.Connection, tmp_path: Path) -> None:
    """A deal is worth more by the time its moves are read. In JSON with what is off, in the mail in words."""
    deal(cache, "D1", state="open", created_at="2026-10-05T00:00:00Z")
    deal(cache, "D2", state="open")
    facts.refresh(cache, REPORTING)
    with interrupted(tmp_path, MOVES, MORE) as conn:
        found = october(conn, BUILTINS["pipeline_open_value"])
    assert (found.status, found.value) == ("ok", 200)
    assert "bridge" not in found.details
    assert found.to_json()["details"]["left_out"] == {
        "bridge": "the bridge does not balance: opening and moves are +100 off the closing"
    }
    told = render(issue([found], freshness=()))
    assert BRIDGE in told.text
    assert BRIDGE in told.html
    assert "bridge" in october(cache, BUILTINS["pipeline_open_value"]).details  # asked again, all is there


def test_drivers_that_miss_the_change_cost_no_value(cache: sqlite3.Connection, tmp_path: Path) -> None:
    """A deal is worth more by the time its segment is read: 200 it was, and stays."""
    deal(cache, "W1", state="won", close_date="2026-09-10")
    deal(cache, "D1", state="won", close_date="2026-10-10")
    deal(cache, "W3", state="won", close_date="2026-10-11", pipeline="old")
    facts.refresh(cache, REPORTING)
    kpi = override(BUILTINS["won_revenue"], {"n_min": 0})
    with interrupted(tmp_path, SEGMENTS, MORE) as conn:
        found = october(conn, kpi, ["pipeline"])
    assert (found.status, found.value, found.drivers) == ("ok", 200, None)
    assert found.comparisons[0].change == 100
    assert found.details["left_out"] == {"drivers": "the segments by pipeline miss the change by 100"}
    told = render(issue([found], freshness=()))
    assert DRIVERS in told.text
    assert DRIVERS in told.html
    assert october(cache, kpi, ["pipeline"]).drivers is not None


def test_a_scorecard_logs_it_once_and_names_no_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line an issue: the KPI, what is missing of it, and by how much."""
    office = Office(tmp_path)
    office.write()
    said = office.config.read_text()
    office.config.write_text(said.replace('kpis = ["won_revenue"', 'kpis = ["pipeline_open_value", "won_revenue"'))
    config = load_config(office.config, environ={})
    with closing(open_cache(tmp_path)) as cache:
        deal(cache, "D1", state="open", created_at="2026-10-28T00:00:00Z")
        facts.refresh(cache, config.reporting())
    with interrupted(tmp_path, MOVES, MORE) as conn, caplog.at_level(logging.WARNING):
        results = issues.values(config, conn, config.scorecards["weekly"], DUE)
    assert (results[0].status, list(results[0].details["left_out"])) == ("ok", ["bridge"])
    (line,) = [record for record in caplog.records if record.__dict__.get("action") == "kpi.left_out"]
    assert line.getMessage() == (
        "KPI pipeline_open_value: no bridge: the bridge does not balance: opening and moves are +100 off the closing"
    )
