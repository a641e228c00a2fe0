"""What became of messages, copied to the cache: the copy kept up to date equals one made anew."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.evaluate import evaluate
from scorecards.periods import Span
from syncagent.deliveries import copy_deliveries, note_deliveries
from syncagent.store import open_cache, open_state
from tests.unit.facts.frame import REPORTING

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Both:
    cache: sqlite3.Connection
    state: sqlite3.Connection

    def owe(self, number: int, kind: str = "due", **said: object) -> None:
        row = {"id": number, "due_run_id": "r", "scorecard": "sales", "due_at": stamp(NOW + timedelta(hours=number)),
               "kind": kind, "recipient": f"{number}@acme.test", "message_id": "m", "next_attempt_at": stamp(NOW),
               "owed_since": stamp(NOW), "created_at": stamp(NOW), "updated_at": stamp(NOW), **said}  # fmt: skip
        self.state.execute(
            f"INSERT INTO outbox ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
        )

    def copied(self) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.cache.execute("SELECT * FROM deliveries ORDER BY id")]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(*(stack.enter_context(closing(opened(tmp_path))) for opened in (open_cache, open_state)))


@pytest.mark.parametrize("seed", range(20))
def test_kept_equals_made_anew(both: Both, seed: int) -> None:
    random, number = Random(seed), 0
    for _ in range(6):
        for _ in range(random.randrange(4)):
            number += 1
            both.owe(number, kind=random.choice(["due", "due", "test#1", "notice:held"]))
        for row in both.state.execute("SELECT id FROM outbox WHERE state <> 'sent'").fetchall():
            to = random.choice(["queued", "deferred", "sent", "failed", "uncertain", "dropped"])
            sent = stamp(NOW + timedelta(hours=number, seconds=random.randrange(900))) if to == "sent" else None
            said = "UPDATE outbox SET state = ?, sent_at = ?, attempts = attempts + 1 WHERE id = ?"
            both.state.execute(said, (to, sent, row[0]))
        copy_deliveries(both.cache, both.state)
    kept = both.copied()
    assert len(kept) == both.state.execute("SELECT COUNT(*) FROM outbox WHERE kind = 'due'").fetchone()[0]
    both.cache.execute("DELETE FROM deliveries")
    copy_deliveries(both.cache, both.state)
    assert both.copied() == kept
    assert copy_deliveries(both.cache, both.state) == 0


def test_the_copy_of_another_outbox_is_made_anew(both: Both) -> None:
    """A backup put back knows less than the cache."""
    both.cache.execute("INSERT INTO deliveries VALUES (9, 'old', '2026-01-01', '2026-01-01', NULL, 'sent', 1, NULL)")
    both.owe(1)
    copy_deliveries(both.cache, both.state)
    assert [row[:2] for row in both.copied()] == [(1, "sales")]


def test_a_copy_of_an_earlier_version_learns_when_messages_were_dropped(both: Both) -> None:
    both.owe(1, state="dropped", updated_at=stamp(NOW + timedelta(hours=9)))
    copy_deliveries(both.cache, both.state)
    both.cache.execute("UPDATE deliveries SET dropped_at = NULL")
    copy_deliveries(both.cache, both.state)
    assert both.copied()[0][-1] == stamp(NOW + timedelta(hours=9))
    both.state.execute("UPDATE outbox SET state = 'queued'")
    copy_deliveries(both.cache, both.state)
    assert both.copied()[0][-1] is None


def test_no_reader_is_named(both: Both) -> None:
    both.owe(1, recipient="kim@acme.test", name="Kim")
    copy_deliveries(both.cache, both.state)
    assert "acme" not in repr(both.copied())


def test_the_slowest_are_named(both: Both, tmp_path: Path) -> None:
    """From the outbox of a data folder to the figure and its list."""
    for number in range(1, 7):
        due = NOW + timedelta(hours=number)
        both.owe(number, state="sent", sent_at=stamp(due + timedelta(minutes=number)), attempts=number)
    assert note_deliveries(tmp_path) == 6
    span = Span(date(2026, 11, 1), date(2026, 12, 1))
    result = evaluate(
        both.cache, BUILTINS["report_latency"], BUILTINS, REPORTING, as_of=NOW + timedelta(days=31), period=span
    )
    assert result.value == pytest.approx(345.0)
    assert (result.unit, result.n) == ("seconds", 6)
    assert result.actions is not None
    assert result.actions.rows[0].reason == "due 1 Nov 2026, 6 minutes late, 6 attempts"


def test_without_an_outbox_there_is_nothing_to_copy(tmp_path: Path) -> None:
    assert note_deliveries(tmp_path) == 0
