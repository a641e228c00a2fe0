"""What was told of a period and is different now: said in the next message, once, on a real cache and state.db."""

import email
import email.policy
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scorecards.definition import override
from scorecards.values import instant
from syncagent import facts, runs, sending
from syncagent.migrations import STATE, Schema, migrate
from syncagent.store import open_cache, open_state
from tests.fakes.desk import DUE, Desk, desk_in

WEEK = timedelta(days=7)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Its schedule has started."""
    with desk_in(tmp_path) as made:
        tick(made, DUE - timedelta(minutes=1))
        yield made


def tick(desk: Desk, at: datetime) -> runs.TickReport:
    return runs.tick(desk.config, desk.cache, desk.state, clock=lambda: at)


def text_of(desk: Desk) -> str:
    """The newest message owed to the first reader, as text."""
    row = desk.state.execute("SELECT mime FROM outbox WHERE recipient = 'kim@acme.test' ORDER BY id DESC").fetchone()
    body = email.message_from_bytes(row["mime"], policy=email.policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def changed_deals(desk: Desk, statement: str) -> None:
    """What the next sync brings, with what follows from it."""
    with closing(open_cache(desk.data_dir)) as cache:
        cache.execute(statement)
        facts.refresh(cache, desk.config.reporting())


def sent_on(desk: Desk, due: datetime) -> tuple[str, list[dict[str, Any]]]:
    """The message of a due time, and what its values say they restate."""
    desk.synced_at(due)
    assert tick(desk, due).queued == 1
    row = desk.state.execute(
        "SELECT result FROM kpi_snapshots WHERE kpi = 'won_revenue' AND due_run_id ="
        " (SELECT id FROM due_runs ORDER BY due_at DESC LIMIT 1)"
    ).fetchone()
    return text_of(desk), json.loads(row["result"])["restated"]


def test_a_late_close_is_restated_once_and_the_value_as_sent_stays(desk: Desk) -> None:
    text, restated = sent_on(desk, DUE)
    assert ("RESTATED" in text, restated) == (False, [])
    changed_deals(desk, "UPDATE opportunities SET state = 'won' WHERE source_id = '2'")
    text, restated = sent_on(desk, DUE + WEEK)
    assert (
        "26 Oct\u2009–\u20091 Nov 2026: was €1,000 as sent 2 Nov 2026, 08:00 CET, now €1,500 (1 record changed)" in text
    )
    assert "- Beta, €500, counts now, did not then" in text
    assert [(one["before"], one["now"], one["sent_at"], one["records_total"]) for one in restated] == [
        (1000.0, 1500.0, instant(DUE), 1)
    ]
    assert restated[0]["period"] == {
        "start": "2026-10-26",
        "end": "2026-11-02",
        "timezone": "Europe/Berlin",
        "complete": True,
    }
    assert [(record["id"], record["change"]) for record in restated[0]["records"]] == [
        ("desk:opportunities:2", "added")
    ]
    text, restated = sent_on(desk, DUE + 2 * WEEK)
    assert ("RESTATED" in text, restated) == (False, [])
    values = desk.state.execute("SELECT value FROM kpi_snapshots WHERE kpi = 'won_revenue' ORDER BY rowid").fetchall()
    assert values[0]["value"] == 1000.0


def test_what_is_restated_is_a_change_worth_sending(desk: Desk) -> None:
    """Of two weeks without a deal the values are equal: what became of the week told before is not."""
    desk = desk.with_card(only_if="changed")
    sent_on(desk, DUE)
    sent_on(desk, DUE + WEEK)
    desk.synced_at(DUE + 2 * WEEK)
    assert tick(desk, DUE + 2 * WEEK).queued == 0
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 200000 WHERE source_id = '1'")
    text, _ = sent_on(desk, DUE + 3 * WEEK)
    assert "was €1,000 as sent 2 Nov 2026, 08:00 CET, now €2,000" in text


def test_another_definition_is_said_once(desk: Desk) -> None:
    sent_on(desk, DUE)
    own = override(desk.config.kpis["won_revenue"], {"where": {"is_won": True, "name": {"not": ["Nobody"]}}})
    other = replace(desk, config=replace(desk.config, kpis={**desk.config.kpis, "won_revenue": own}))
    text, restated = sent_on(other, DUE + WEEK)
    assert "Won revenue is defined otherwise than when it was sent 2 Nov 2026, 08:00 CET" in text
    assert restated == []
    text, _ = sent_on(other, DUE + 2 * WEEK)
    assert "RESTATED" not in text


def test_a_state_of_an_earlier_version_keeps_what_it_has_and_goes_on(tmp_path: Path) -> None:
    """What was sent before there was a table of what was told is not compared, and is all still there."""
    first = Schema(STATE.name, STATE.application_id, STATE.steps[:1])
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        migrate(old, first)
        old.execute("INSERT INTO kpi_snapshots VALUES ('r', 'won_revenue', 0, 'ok', 5.0, NULL, '{}')")
    path.chmod(0o600)
    with closing(open_state(tmp_path)) as state:
        assert state.execute("SELECT COUNT(*) FROM kpi_told").fetchone()[0] == 0
        assert state.execute("SELECT value FROM kpi_snapshots").fetchone()[0] == 5.0
        assert state.execute("PRAGMA user_version").fetchone()[0] == STATE.version


def test_sent_again_says_what_changed_since_and_is_what_was_told(desk: Desk) -> None:
    sent_on(desk, DUE)
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 200000 WHERE source_id = '1'")
    sending.send_now(desk.config, desk.cache, desk.state, "sales", clock=lambda: DUE + WEEK / 2, again=True)
    assert "was €1,000 as sent 2 Nov 2026, 08:00 CET, now €2,000" in text_of(desk)
    text, restated = sent_on(desk, DUE + WEEK)
    assert ("RESTATED" in text, restated) == (False, [])


def test_a_test_tells_and_notes_nothing(desk: Desk) -> None:
    sent_on(desk, DUE)
    changed_deals(desk, "UPDATE opportunities SET amount_minor = 200000 WHERE source_id = '1'")
    for _ in range(2):
        desk.synced_at(DUE + WEEK)
        clock = lambda: DUE + WEEK  # noqa: E731
        sending.send_now(desk.config, desk.cache, desk.state, "sales", clock=clock, to="kim@acme.test")
        assert "was €1,000 as sent 2 Nov 2026, 08:00 CET, now €2,000" in text_of(desk)
    assert desk.state.execute("SELECT MAX(value) FROM kpi_told").fetchone()[0] == 1000


def test_only_what_is_still_shown_is_kept_as_told(desk: Desk) -> None:
    for week in range(16):
        sent_on(desk, DUE + week * WEEK)
    kept = desk.state.execute("SELECT kpi, COUNT(*) AS n FROM kpi_told GROUP BY kpi").fetchall()
    assert {row["kpi"]: row["n"] for row in kept} == {"won_revenue": 13, "lost_opportunities": 13}
