"""Baselines and outcomes of targets: kept with the first scorecard sent, and judged by from then on."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scorecards.definition import override
from scorecards.targets.pace import Pledges
from syncagent import pledges, runs, sending
from syncagent.migrations import STATE, Schema, migrate
from syncagent.store import open_state
from tests.fakes.desk import DUE, Desk, desk_in
from tests.unit.test_told import changed_deals, text_of

WEEK = timedelta(days=7)
#: Half as much again in October as in September, when 400 were won.
TARGET = {"want": "up", "change": "+50%", "from": {"period": "2026-09"}, "due": date(2026, 10, 31)}
SEPTEMBER = """INSERT INTO opportunities (id, source, source_name, source_id,
    first_seen_at, synced_at, created_at, state, close_date, amount_minor, currency)
    VALUES ('desk:opportunities:9', 'files', 'desk', '9', '2026-09-01T00:00:00Z', '2026-09-01T00:00:00Z',
    '2026-09-01T00:00:00Z', 'won', '2026-09-15', 40000, 'EUR')"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Its schedule has started, and it wants more won revenue."""
    with desk_in(tmp_path) as made:
        kpis = {**made.config.kpis, "won_revenue": override(made.config.kpis["won_revenue"], {"target": TARGET})}
        wanted = replace(made, config=replace(made.config, kpis=kpis))
        changed_deals(wanted, SEPTEMBER)
        tick(wanted, DUE - timedelta(minutes=1))
        yield wanted


def tick(desk: Desk, at: datetime) -> None:
    runs.tick(desk.config, desk.cache, desk.state, clock=lambda: at)


def sent(desk: Desk, at: datetime) -> dict[str, Any]:
    """The target of the issue due then, as it was sent."""
    desk.synced_at(at)
    tick(desk, at)
    row = desk.state.execute(
        "SELECT result FROM kpi_snapshots WHERE kpi = 'won_revenue' AND due_run_id ="
        " (SELECT id FROM due_runs ORDER BY due_at DESC LIMIT 1)"
    ).fetchone()
    target: dict[str, Any] = json.loads(row["result"])["target"]
    return target


def rows(state: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in state.execute(f"SELECT kpi, value FROM {table}")]


def test_a_baseline_is_kept_with_the_first_issue_however_the_past_is_restated(desk: Desk) -> None:
    """400 then, 700 by a deal entered late: what is wanted stays 600, and 1,000 in October met it."""
    first = sent(desk, DUE)
    assert (first["baseline"]["value"], first["baseline"]["kept"]) == (400, False)
    assert (first["progress"]["state"], first["progress"]["value"]) == ("met", 1000)
    assert rows(desk.state, "target_baselines") == [("won_revenue", 400)]
    assert rows(desk.state, "target_ends") == [("won_revenue", 1000)]
    assert [end.judged_on for end in pledges.known(desk.state, DUE).ends.values()] == [date(2026, 10, 31)]
    assert "goal of 31 Oct 2026 met with €1,000" in text_of(desk)
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 70000 WHERE source_id = '9'")
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 50000 WHERE source_id = '1'")
    second = sent(desk, DUE + WEEK)
    assert (second["baseline"]["value"], second["baseline"]["kept"]) == (400, True)
    assert (second["progress"]["state"], second["progress"]["value"]) == ("met", 1000)
    assert second["progress"]["goal"] == pytest.approx(600)


def test_a_changed_definition_is_said_beside_the_baseline_it_no_longer_fits(desk: Desk) -> None:
    """In the mail, and to the SMART check."""
    sent(desk, DUE)
    kpi = override(desk.config.kpis["won_revenue"], {"n_min": 1})
    other = replace(desk, config=replace(desk.config, kpis={**desk.config.kpis, "won_revenue": kpi}))
    target = sent(other, DUE + WEEK)
    assert target["baseline"]["value"] == 400
    assert target["baseline"]["warning"] == "the definition changed after the baseline of 2026-11-02"
    assert "! defined otherwise since its baseline was kept on 2 Nov 2026" in text_of(other)
    assert "its definition changed after the baseline" in str(_smart(other))


def _smart(desk: Desk) -> Any:
    row = desk.state.execute(
        "SELECT result FROM kpi_snapshots WHERE kpi = 'won_revenue' ORDER BY rowid DESC"
    ).fetchone()
    return json.loads(row["result"])["smart"]


def test_its_baseline_is_stored_with_the_issue_that_says_so(desk: Desk) -> None:
    """What this very issue keeps is no failure of the M."""
    sent(desk, DUE)
    assert _smart(desk)["M"]["result"] != "fail"


def test_a_test_message_keeps_nothing(desk: Desk) -> None:
    sending.send_now(desk.config, desk.cache, desk.state, "sales", clock=lambda: DUE, to="kim@acme.test")
    assert (rows(desk.state, "target_baselines"), rows(desk.state, "target_ends")) == ([], [])


def test_old_data_is_no_baseline(desk: Desk) -> None:
    """A sync that was late by days may lack half of what is to be kept."""
    marking = desk.with_card(if_stale="mark")
    desk.synced_at(DUE - WEEK)
    tick(marking, DUE)
    assert desk.state.execute("SELECT state FROM due_runs").fetchone()["state"] == "queued"
    assert rows(desk.state, "target_baselines") == []


def test_only_what_was_sent_up_to_an_instant_is_known_then(desk: Desk) -> None:
    sent(desk, DUE)
    assert pledges.known(desk.state, DUE - timedelta(seconds=1)) == Pledges()
    assert len(pledges.known(desk.state, DUE).baselines) == 1


def test_a_person_may_say_that_it_starts_anew(desk: Desk) -> None:
    """Only then does the goal move with the past; how it came out is judged by the new goal, not beside it."""
    before = sent(desk, DUE)
    assert before["progress"]["state"] == "met"
    config = desk.data_dir.parent / "config.toml"
    said = '[kpi.won_revenue.target]\nwant = "up"\nchange = "+50%"\nfrom = {period = "2026-09"}\ndue = 2026-10-31\n'
    config.write_text(config.read_text() + said)
    command = [sys.executable, "-m", "syncagent", "--config", str(config), "kpi", "rebaseline"]
    done = subprocess.run([*command, "won_revenue"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "won_revenue: 400 of 2026-09-01 to 2026-10-01, kept since 2026-11-02, is dropped",
        f"won_revenue: that its goal of 2026-10-31 was {before['progress']['state']} is dropped with it",
        "the next scorecard sent with it keeps the baseline as it is then",
    ]
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 70000 WHERE source_id = '9'")
    after = sent(desk, DUE + WEEK)
    assert after["baseline"]["value"] == 700
    assert rows(desk.state, "target_baselines") == [("won_revenue", 700)]
    way = after["progress"]
    assert (way["goal"], way["value"]) == (1050, before["progress"]["value"])
    assert way["state"] == ("met" if way["value"] >= way["goal"] else "missed")
    wrong = subprocess.run([*command, "win_rate"], capture_output=True, text=True, timeout=60, check=False)
    assert (wrong.returncode, "its target starts from no baseline" in wrong.stderr) == (2, True)


def test_a_state_of_an_earlier_version_gains_the_tables(tmp_path: Path) -> None:
    """And what it held stays."""
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as old:
        migrate(old, Schema(STATE.name, STATE.application_id, STATE.steps[:3]))
    with closing(open_state(tmp_path)) as state:
        assert pledges.known(state, datetime(2026, 11, 2, tzinfo=UTC)) == Pledges()
