"""The outbox against a real state.db and a real, failing mail server; time is an argument."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scorecards.values import Period, instant
from syncagent import ledger, notices, outbox
from syncagent.compose import mailbox, message_id
from syncagent.errors import Refused, UsageError
from syncagent.mailer import Mailer, MailSettings, Timeouts
from syncagent.store import open_state, transaction
from tests.fakes.smtp import Fault, FaultServer

DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)
RUN = ledger.run_id("sales", DUE)
OWNERS = {"sales": notices.Owner("owner@acme.test", "Sales scorecard")}


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = DUE

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_state(tmp_path / "data")
    yield conn
    conn.close()


def settings(port: int, **more: object) -> MailSettings:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "from": "Acme <scores@acme.test>"}
    return MailSettings.model_validate(given | more)


def owe(state: sqlite3.Connection, *addresses: str, kind: str = "due") -> None:
    sender = mailbox("scores@acme.test")
    with transaction(state):
        ledger.add_run(state, "sales", DUE, period=None, timezone="UTC", now=DUE)
        ledger.mark_queued(state, RUN, issue=1, as_of=DUE, period=None, config_hash="c0ffee", notes=None, now=DUE)
        for address in addresses:
            notices.enqueue(
                state,
                due_run_id=RUN,
                scorecard="sales",
                due_at=DUE,
                kind=kind,
                to=mailbox(address),
                subject="Sales",
                message_id=message_id("sales", DUE, address, sender, kind=kind),
                mime=f"Message-ID: {message_id('sales', DUE, address, sender, kind=kind)}\r\n\r\nhello\r\n".encode(),
                now=DUE,
            )


def pump(state: sqlite3.Connection, server: FaultServer, clock: Clock, **more: Any) -> outbox.PumpReport:
    mailer = Mailer(settings(server.port, **more), Timeouts(10, 10, 10))
    return outbox.pump(state, mailer, clock, owners=OWNERS)


def rows(state: sqlite3.Connection, kind: str = "due") -> dict[str, sqlite3.Row]:
    return {row["recipient"]: row for row in state.execute("SELECT * FROM outbox WHERE kind = ?", (kind,))}


def run_state(state: sqlite3.Connection) -> tuple[str, str | None]:
    row = state.execute("SELECT state, reason FROM due_runs WHERE id = ?", (RUN,)).fetchone()
    return row["state"], row["reason"]


def test_what_is_owed_is_sent_once(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test", "b@acme.test")
    owe(state, "a@acme.test")
    with FaultServer() as server:
        assert pump(state, server, clock).sent == 2
        assert pump(state, server, clock).sent == 0
    assert sorted(message.recipient for message in server.accepted) == ["a@acme.test", "b@acme.test"]
    assert {row["state"] for row in rows(state).values()} == {"sent"}
    assert {row["mime"] for row in rows(state).values()} == {None}
    assert run_state(state) == ("sent", None)


def test_one_refused_recipient_does_not_touch_the_others(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test", "gone@acme.test", "c@acme.test")
    faults = [Fault("rcpt", "550 5.1.1 no such user", recipient="gone@acme.test")]
    with FaultServer(faults) as server:
        for _ in range(3):
            pump(state, server, clock)
            clock.forward(hours=2)
    assert sorted(m.recipient for m in server.accepted) == ["a@acme.test", "c@acme.test", "owner@acme.test"]
    assert sum(command.startswith("rcpt TO:<gone") for command in server.commands) == 1
    assert {address: row["state"] for address, row in rows(state).items()} == {
        "a@acme.test": "sent",
        "gone@acme.test": "failed",
        "c@acme.test": "sent",
    }
    verdict, reason = run_state(state)
    assert verdict == "failed"
    assert reason is not None
    assert "not delivered to 1 of 3: gone@acme.test" in reason
    notice = next(m for m in server.accepted if m.recipient == "owner@acme.test")
    assert notice.header("Subject") == "Sales scorecard was not delivered"
    assert b"gone@acme.test" in notice.body


def test_a_greylisting_server_gets_another_try_after_a_minute(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("rcpt", "451 4.7.1 greylisted", times=3)]) as server:
        waits = []
        while rows(state)["a@acme.test"]["state"] != "sent":
            pump(state, server, clock)
            row = rows(state)["a@acme.test"]
            if row["state"] == "deferred":
                waits.append((ledger.moment(row["next_attempt_at"]) - clock.now).total_seconds())
                assert pump(state, server, clock) == outbox.PumpReport()
            clock.forward(seconds=waits[-1])
    assert waits == [60, 120, 240]
    assert [m.recipient for m in server.accepted] == ["a@acme.test"]


def test_waits_grow_to_an_hour() -> None:
    assert [outbox.wait_s(n) for n in (1, 2, 3, 6, 7, 50)] == [60, 120, 240, 1920, 3600, 3600]


def test_a_dead_server_defers_everything_at_once_and_gives_up_after_a_day(
    state: sqlite3.Connection, clock: Clock
) -> None:
    owe(state, "a@acme.test", "b@acme.test")
    with FaultServer() as gone:
        pass
    report = pump(state, gone, clock)
    assert (report.deferred, report.sent) == (2, 0)
    assert "no mail server answers there" in report.trouble
    assert pump(state, gone, clock) == outbox.PumpReport()
    for _ in range(30):
        clock.forward(hours=1)
        pump(state, gone, clock)
    assert {row["state"] for row in rows(state).values()} == {"failed"}
    assert "Given up after" in rows(state)["a@acme.test"]["last_reply"]
    assert run_state(state)[0] == "failed"
    assert [m["kind"] for m in outbox.list_messages(state)] == ["due", "due", "notice:failed"]


def test_a_message_found_after_a_long_downtime_is_tried_for_a_day(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    clock.forward(days=3)
    with FaultServer([Fault("banner", "drop", times=1)]) as server:
        assert pump(state, server, clock).deferred == 1
        clock.forward(minutes=1)
        assert pump(state, server, clock).sent == 1


@pytest.mark.parametrize("fault", ["lose", "drop"])
def test_a_lost_answer_is_resent_once_with_the_same_message_id(
    state: sqlite3.Connection, clock: Clock, fault: str
) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("dot", fault, times=1)]) as server:
        assert pump(state, server, clock).deferred == 1
        clock.forward(minutes=1)
        assert pump(state, server, clock).sent == 1
    assert len(server.accepted) == (2 if fault == "lose" else 1)
    assert len({m.header("Message-ID") for m in server.accepted}) == 1
    assert server.accepted[-1].header("X-Syncagent-Attempt") == "2"
    assert server.accepted[-1].body.split(b"\r\n", 1)[1].startswith(b"Message-ID: ")
    assert run_state(state)[0] == "sent"


def test_what_the_same_pass_sends_after_all_is_not_counted_as_put_off(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    state.execute("UPDATE outbox SET state = 'sending', phase = 'data_end', claimed_by = 'gone:1:1'")
    with FaultServer() as server:
        report = pump(state, server, clock)
    assert (report.sent, report.deferred, report.uncertain) == (1, 0, 0)
    assert server.accepted[0].header("X-Syncagent-Attempt") == "2"


def test_a_second_lost_answer_is_left_to_a_person(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("dot", "lose", times=2)]) as server:
        for _ in range(5):
            pump(state, server, clock)
            clock.forward(hours=1)
        assert len([m for m in server.accepted if m.recipient == "a@acme.test"]) == 2
        assert run_state(state)[0] == "uncertain"
        notice = next(m for m in server.accepted if m.recipient == "owner@acme.test")
        assert notice.header("Subject") == "Sales scorecard may not have arrived"


def test_hold_tells_the_owner_and_waits_for_a_decision(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("dot", "lose", times=1)]) as server:
        for _ in range(3):
            pump(state, server, clock, on_uncertain="hold")
            clock.forward(hours=1)
        assert [m.recipient for m in server.accepted] == ["a@acme.test", "owner@acme.test"]
        assert rows(state)["a@acme.test"]["state"] == "uncertain"
        outbox.retry(state, rows(state)["a@acme.test"]["id"], clock.now)
        pump(state, server, clock, on_uncertain="hold")
    assert server.accepted[-1].header("X-Syncagent-Attempt") == "2"
    assert run_state(state)[0] == "sent"


def test_dropping_an_uncertain_message_decides_it(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test", "b@acme.test")
    with FaultServer([Fault("dot", "lose", times=1)]) as server:
        pump(state, server, clock, on_uncertain="hold")
        outbox.drop(state, rows(state)["a@acme.test"]["id"], clock.now)
        pump(state, server, clock, on_uncertain="hold")
    assert rows(state)["a@acme.test"]["state"] == "dropped"
    assert run_state(state)[0] == "sent"


def test_retrying_and_dropping_what_cannot_be_is_refused(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer() as server:
        pump(state, server, clock)
    sent = rows(state)["a@acme.test"]["id"]
    with pytest.raises(Refused, match="was accepted at 2026-11-02T07:00:00Z"):
        outbox.retry(state, sent, clock.now)
    with pytest.raises(Refused, match="nothing to drop"):
        outbox.drop(state, sent, clock.now)
    with pytest.raises(UsageError, match="there is no message 99"):
        outbox.retry(state, 99, clock.now)


def test_a_failed_message_can_be_retried_long_after(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("rcpt", "550 no", times=1), Fault("data", "451 busy", times=1)]) as server:
        pump(state, server, clock)
        clock.forward(days=3)
        outbox.retry(state, rows(state)["a@acme.test"]["id"], clock.now)
        assert run_state(state)[0] == "queued"
        for _ in range(2):
            pump(state, server, clock)
            clock.forward(minutes=2)
    assert rows(state)["a@acme.test"]["state"] == "sent"
    assert run_state(state)[0] == "sent"


def test_a_failed_message_after_a_resend_stays_uncertain(state: sqlite3.Connection, clock: Clock) -> None:
    """The first copy may have been accepted, so "failed" would be a guess."""
    owe(state, "a@acme.test")
    with FaultServer(
        [Fault("dot", "lose", times=1), Fault("mail", "250 ok", times=1), Fault("mail", "550 no")]
    ) as server:
        pump(state, server, clock)
        clock.forward(minutes=1)
        pump(state, server, clock)
    assert rows(state)["a@acme.test"]["state"] == "uncertain"


def test_stop_is_heeded_between_messages(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test", "b@acme.test", "c@acme.test")
    stop = threading.Event()

    def stop_after_first(phase: str, _: int) -> None:
        if phase == outbox.OBSERVED_LAST:
            stop.set()

    with FaultServer() as server:
        outbox.pump(state, Mailer(settings(server.port)), clock, stop, on_phase=stop_after_first)
    assert len(server.accepted) == 1
    assert sorted(row["state"] for row in rows(state).values()) == ["queued", "queued", "sent"]


def test_a_phase_that_cannot_be_written_down_stops_before_the_dot(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")

    def fail(phase: str, _: int) -> None:
        if phase == "data_end":
            raise sqlite3.OperationalError("database or disk is full")

    with FaultServer() as server:
        with pytest.raises(sqlite3.OperationalError):
            outbox.pump(state, Mailer(settings(server.port)), clock, on_phase=fail)
        assert server.accepted == []
        state.execute("UPDATE outbox SET phase = 'connecting'")
        pump(state, server, clock)
    assert [m.recipient for m in server.accepted] == ["a@acme.test"]


def test_a_message_another_living_process_holds_is_left_alone(state: sqlite3.Connection, clock: Clock) -> None:
    from syncagent.workers import worker_id

    owe(state, "a@acme.test")
    boot, _, _ = worker_id().split(":")
    another = f"{boot}:1:{_start_of(1)}"
    state.execute(
        "UPDATE outbox SET state = 'sending', phase = 'connecting', claimed_by = ?, claimed_until = ?",
        (another, instant(DUE + timedelta(hours=1))),
    )
    with FaultServer() as server:
        assert pump(state, server, clock).sent == 0
        with pytest.raises(Refused, match="being sent right now"):
            outbox.drop(state, 1, clock.now)
        clock.forward(hours=2)
        assert pump(state, server, clock).sent == 1


def _start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_again_and_test_messages_are_messages_of_their_own(state: sqlite3.Connection, clock: Clock) -> None:
    for kind in ("due", "again#1", "test#1"):
        owe(state, "a@acme.test", kind=kind)
    with FaultServer() as server:
        pump(state, server, clock)
    assert len({m.header("Message-ID") for m in server.accepted}) == 3
    assert [r["kind"] for r in ledger.list_runs(state)[0]["recipients"]] == ["due", "again#1"]


def test_a_later_copy_mends_a_failed_run(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "a@acme.test")
    with FaultServer([Fault("rcpt", "550 no", times=1)]) as server:
        pump(state, server, clock)
        owe(state, "a@acme.test", kind="again#1")
        pump(state, server, clock)
    assert run_state(state)[0] == "sent"


def test_the_ledger_says_what_interfaces_promise(state: sqlite3.Connection, clock: Clock) -> None:
    period = Period((DUE - timedelta(days=7)).date(), DUE.date(), "UTC")
    with transaction(state):
        ledger.add_run(state, "sales", DUE, period=period, timezone="UTC", now=DUE)
    [entry] = ledger.list_runs(state)
    assert entry["state"] == "due"
    assert entry["period"] == {"start": "2026-10-26", "end": "2026-11-02", "timezone": "UTC"}
    assert {"id", "scorecard", "due_at", "period", "state", "reason", "recipients"} <= entry.keys()


def test_a_message_put_off_while_the_clock_was_ahead_goes_out_when_it_is_right_again(
    state: sqlite3.Connection, clock: Clock
) -> None:
    owe(state, "kim@acme.test")
    clock.forward(days=365)
    with FaultServer(faults=[Fault("rcpt", "451 later", 1)]) as server:
        assert pump(state, server, clock).deferred == 1
        clock.forward(days=-365)
        assert pump(state, server, clock).sent == 1


def test_a_run_that_waits_for_a_reader_says_why(state: sqlite3.Connection, clock: Clock) -> None:
    owe(state, "kim@acme.test", "vp@acme.test")
    with FaultServer(faults=[Fault("rcpt", "451 greylisted", recipient="vp@acme.test")]) as server:
        pump(state, server, clock)
    (run,) = ledger.list_runs(state)
    assert run["state"] == "due"
    assert run["reason"].startswith("vp@acme.test waits: ")
    assert "451 greylisted" in run["reason"]
