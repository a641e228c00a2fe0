"""kill -9 at every named phase of a delivery: accepted exactly once, but for the one window nobody can close."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncagent import ledger, notices, outbox
from syncagent.compose import mailbox, message_id
from syncagent.mailer import PHASES, Mailer, MailSettings
from syncagent.store import open_state, transaction
from tests.fakes.smtp import FaultServer

ROOT = Path(__file__).parents[2]
DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)
#: Between the final dot and the stored reply nobody can know.
WINDOW = ("dot", "reply")


def owe(data_dir: Path) -> None:
    sender = mailbox("scores@acme.test")
    state = open_state(data_dir)
    with transaction(state):
        ledger.add_run(state, "sales", DUE, period=None, timezone="UTC", now=DUE)
        ledger.mark_queued(
            state,
            ledger.run_id("sales", DUE),
            issue=1,
            as_of=DUE,
            period=None,
            config_hash="c0ffee",
            notes=None,
            now=DUE,
        )
        id_ = message_id("sales", DUE, "kim@acme.test", sender)
        notices.enqueue(
            state,
            due_run_id=ledger.run_id("sales", DUE),
            scorecard="sales",
            due_at=DUE,
            kind="due",
            to=mailbox("kim@acme.test"),
            subject="Sales",
            message_id=id_,
            mime=f"Message-ID: {id_}\r\n\r\n".encode() + b"hello\r\n" * 2000,
            now=datetime.now(UTC),
        )
    state.close()


def die_at(phase: str, data_dir: Path, port: int, on_uncertain: str) -> int:
    command = [sys.executable, "-m", "tests.fakes.pump_once", str(data_dir), str(port), on_uncertain, phase]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


def restart(data_dir: Path, port: int, on_uncertain: str) -> str:
    settings = MailSettings.model_validate(
        {
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "from": "scores@acme.test",
            "on_uncertain": on_uncertain,
        }
    )
    state = open_state(data_dir)
    for _ in range(2):
        outbox.pump(state, Mailer(settings), lambda: datetime.now(UTC))
    word: str = state.execute("SELECT state FROM outbox").fetchone()["state"]
    state.close()
    return word


@pytest.mark.parametrize("phase", [outbox.OBSERVED_FIRST, *PHASES, outbox.OBSERVED_LAST])
def test_a_killed_delivery_is_accepted_once(phase: str, tmp_path: Path) -> None:
    """With "resend": in the window once or twice under one Message-ID, never not at all."""
    owe(tmp_path)
    with FaultServer() as server:
        assert die_at(phase, tmp_path, server.port, "resend") == -signal.SIGKILL
        assert restart(tmp_path, server.port, "resend") == "sent"
    assert len(server.accepted) in ((1, 2) if phase in WINDOW else (1,))
    assert len({m.header("Message-ID") for m in server.accepted}) == 1
    assert len({m.body.removeprefix(b"X-Syncagent-Attempt: 2\r\n") for m in server.accepted}) == 1


@pytest.mark.parametrize("phase", ["body", "data_end", *WINDOW])
def test_hold_never_sends_twice_and_says_that_it_does_not_know(phase: str, tmp_path: Path) -> None:
    """A kill before the dot but after its commit is uncertain too: the phase is written first."""
    owe(tmp_path)
    with FaultServer() as server:
        die_at(phase, tmp_path, server.port, "hold")
        word = restart(tmp_path, server.port, "hold")
    if phase == "body":
        assert (word, len(server.accepted)) == ("sent", 1)
    else:
        assert word == "uncertain"
        assert len(server.accepted) == (0 if phase == "data_end" else 1)
