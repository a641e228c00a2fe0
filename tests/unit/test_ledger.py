"""The book of due runs: ids that never change, a cursor that never goes back, states that follow from messages."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from syncagent import ledger, notices
from syncagent.compose import Mailbox
from syncagent.store import open_state

DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_state(tmp_path / "data")
    yield conn
    conn.close()


def add(state: sqlite3.Connection, due_at: datetime = DUE, skipped: tuple[str, str] | None = None) -> bool:
    return ledger.add_run(state, "sales", due_at, period=None, timezone="UTC", now=due_at, skipped=skipped)


def queue(state: sqlite3.Connection, due_at: datetime = DUE, *, issue: int = 1) -> str:
    id_ = ledger.run_id("sales", due_at)
    ledger.mark_queued(state, id_, issue=issue, as_of=due_at, period=None, config_hash="c0ffee", notes=None, now=due_at)
    return id_


def message(state: sqlite3.Connection, recipient: str, how: str, kind: str = "due") -> None:
    id_ = ledger.run_id("sales", DUE)
    notices.enqueue(
        state,
        due_run_id=id_,
        scorecard="sales",
        due_at=DUE,
        kind=kind,
        to=Mailbox(recipient),
        subject="",
        message_id="<x@acme.test>",
        mime=b"x",
        now=DUE,
    )
    state.execute("UPDATE outbox SET state = ? WHERE recipient = ? AND kind = ?", (how, recipient, kind))


def test_a_run_is_written_down_once_under_an_id_every_process_knows(state: sqlite3.Connection) -> None:
    assert add(state)
    assert not add(state)
    assert ledger.run_id("sales", DUE) == ledger.run_id("sales", DUE.astimezone()) == "0d4bb362d539ad36"


def test_the_cursor_never_goes_back(state: sqlite3.Connection) -> None:
    assert ledger.start_schedule(state, "sales", "daily|UTC", DUE) == DUE
    ledger.advance_schedule(state, "sales", DUE + HOUR)
    ledger.advance_schedule(state, "sales", DUE)
    assert ledger.start_schedule(state, "sales", "daily|UTC", DUE + 9 * HOUR) == DUE + HOUR
    assert ledger.start_schedule(state, "sales", "daily|Asia/Tokyo", DUE) == DUE + HOUR
    assert ledger.start_schedule(state, "sales", "weekly|UTC", DUE + 5 * HOUR) == DUE + 5 * HOUR


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ({"a": "sent", "b": "sent"}, "sent"),
        ({"a": "sent", "b": "deferred"}, "queued"),
        ({"a": "failed", "b": "queued"}, "queued"),
        ({"a": "sent", "b": "failed"}, "failed"),
        ({"a": "failed", "b": "uncertain"}, "uncertain"),
        ({"a": "sent", "b": "dropped"}, "sent"),
        ({"a": "dropped", "b": "dropped"}, "skipped"),
    ],
)
def test_a_run_is_what_its_messages_are(state: sqlite3.Connection, messages: dict[str, str], expected: str) -> None:
    add(state)
    id_ = queue(state)
    for name, how in messages.items():
        message(state, f"{name}@acme.test", how)
    message(state, "owner@acme.test", "failed", "notice:failed")
    message(state, "test@acme.test", "failed", "test#1")
    ledger.settle(state, id_, DUE)
    run = ledger.find_run(state, "sales", DUE)
    assert run is not None
    assert run.state == expected


def test_issues_are_counted_by_what_went_out(state: sqlite3.Connection) -> None:
    add(state)
    add(state, DUE + HOUR, ("missed", "not running"))
    assert ledger.next_issue(state, "sales") == 1
    queue(state)
    assert ledger.next_issue(state, "sales") == 2


def test_only_what_nobody_asked_to_leave_out_is_a_gap(state: sqlite3.Connection) -> None:
    add(state)
    queue(state)
    for hours, cause in enumerate(("missed", "quiet", "stale", "only_if"), start=1):
        add(state, DUE + hours * HOUR, (cause, cause))
    gone = ledger.unsent_since_last(state, "sales", DUE + 9 * HOUR)
    assert [run.cause for run in gone] == ["missed", "stale"]


def test_a_hold_keeps_its_beginning(state: sqlite3.Connection) -> None:
    add(state)
    for hours in (0, 2):
        ledger.decide(state, ledger.run_id("sales", DUE), "held", "stale", "late", DUE + hours * HOUR)
    run = ledger.find_run(state, "sales", DUE)
    assert run is not None
    assert run.held_at == DUE
