"""The queue of messages owed: claims one, hands it to the mailer, writes down how far it came and what was answered.

A message is sent exactly once, but for one window: when the process dies, or the answer is lost, between the final
dot and the stored reply, nobody can know. Such a message is uncertain, and `on_uncertain` decides.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scorecards.values import instant
from syncagent import ledger, notices
from syncagent.compose import mailbox
from syncagent.errors import Refused, UsageError, one_line
from syncagent.mailer import Delivery, Mailer, MailSettings
from syncagent.store import transaction
from syncagent.workers import is_alive, worker_id

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 60, 3600
#: A claim older than this is void even if its process lives: far more than all timeouts of one message together.
CLAIM_S = 3600
#: Observed besides the mailer's phases: `claimed` before it is called, `stored` after its answer is written down.
OBSERVED_FIRST, OBSERVED_LAST = "claimed", "stored"
_COMMITTED = ("connecting", "data_end")

Clock = Callable[[], datetime]
Observer = Callable[[str, int], None]


@dataclass(slots=True)
class PumpReport:
    """What one pass did; `trouble` is what the mail server as a whole suffers from."""

    sent: int = 0
    deferred: int = 0
    failed: int = 0
    uncertain: int = 0
    trouble: str = ""


def pump(
    state: sqlite3.Connection,
    mailer: Mailer,
    clock: Clock,
    stop: threading.Event | None = None,
    *,
    owners: notices.Owners | None = None,
    on_phase: Observer = lambda _phase, _id: None,
) -> PumpReport:
    """Send what is owed and due now, one message after another, until nothing is left or `stop` is set.

    Owners are told of messages given up or uncertain. The connection is closed at the end.
    """
    report = PumpReport()
    post = _Post(state, mailer.settings, owners or {}, report)
    with transaction(state):
        post.recover(clock())
    try:
        while stop is None or not stop.is_set():
            row = _claim(state, clock())
            if row is None:
                break
            on_phase(OBSERVED_FIRST, row["id"])
            delivery = _hand_over(state, mailer, row, on_phase)
            with transaction(state):
                post.store(row, delivery, clock())
            on_phase(OBSERVED_LAST, row["id"])
    finally:
        mailer.close()
    return report


def list_messages(state: sqlite3.Connection, *, everything: bool = False) -> list[dict[str, Any]]:
    """Messages not sent yet (or all of them), oldest first, without their content."""
    wanted = "" if everything else "WHERE state NOT IN ('sent', 'dropped')"
    rows = state.execute(
        f"""SELECT id, scorecard, due_at, kind, recipient, state, phase, attempts, next_attempt_at, last_reply,
                message_id, subject, created_at, sent_at, due_run_id FROM outbox {wanted} ORDER BY id"""
    )
    return [dict(zip(row.keys(), row, strict=True)) for row in rows]


def retry(state: sqlite3.Connection, id_: int, now: datetime) -> None:
    """Owe a message once more, from now on. Raises UsageError (unknown), Refused (sent, or being sent)."""
    with transaction(state):
        row = _known(state, id_)
        if row["state"] == "sent":
            raise Refused(f"message {id_} was accepted at {row['sent_at']}", mend="Use `scorecard send NAME --again`.")
        _refuse_while_sending(row)
        if not row["mime"]:
            raise Refused(f"message {id_} was never made: {row['last_reply']}", mend="Correct the address, then send.")
        state.execute(
            """UPDATE outbox SET state = 'queued', phase = '', attempts = 0, next_attempt_at = ?, owed_since = ?,
                   resends = CASE WHEN state = 'uncertain' THEN 1 ELSE resends END, updated_at = ? WHERE id = ?""",
            (instant(now), instant(now), instant(now), id_),
        )
        state.execute(
            "UPDATE due_runs SET state = 'queued', updated_at = ? WHERE id = ? AND state IN ('failed', 'uncertain')",
            (instant(now), row["due_run_id"]),
        )


def drop(state: sqlite3.Connection, id_: int, now: datetime) -> None:
    """Owe a message no longer. Raises UsageError (unknown), Refused (sent, or being sent)."""
    with transaction(state):
        row = _known(state, id_)
        if row["state"] == "sent":
            raise Refused(f"message {id_} was accepted at {row['sent_at']}, there is nothing to drop")
        _refuse_while_sending(row)
        state.execute("UPDATE outbox SET state = 'dropped', updated_at = ? WHERE id = ?", (instant(now), id_))
        ledger.settle(state, row["due_run_id"], now)


def wait_s(attempts: int) -> int:
    """Seconds until the next try after so many: a minute, doubling, an hour at most."""
    doublings = min(max(0, attempts - 1), 10)
    return min(LONGEST_WAIT_S, FIRST_WAIT_S << doublings)


def _known(state: sqlite3.Connection, id_: int) -> sqlite3.Row:
    row: sqlite3.Row | None = state.execute("SELECT * FROM outbox WHERE id = ?", (id_,)).fetchone()
    if row is None:
        raise UsageError(f"there is no message {id_}", mend="`syncagent outbox list` shows them.")
    return row


def _refuse_while_sending(row: sqlite3.Row) -> None:
    if row["state"] == "sending" and is_alive(row["claimed_by"] or ""):
        raise Refused(f"message {row['id']} is being sent right now", mend="Wait for it to end.")


def _claim(state: sqlite3.Connection, now: datetime) -> sqlite3.Row | None:
    with transaction(state):
        row: sqlite3.Row | None = state.execute(
            """SELECT * FROM outbox WHERE state IN ('queued', 'deferred') AND next_attempt_at <= ?
               ORDER BY next_attempt_at, id LIMIT 1""",
            (instant(now),),
        ).fetchone()
        if row is not None:
            state.execute(
                """UPDATE outbox SET state = 'sending', phase = ?, attempts = attempts + 1, claimed_by = ?,
                       claimed_until = ?, updated_at = ?, owed_since = CASE attempts WHEN 0 THEN ? ELSE owed_since END
                   WHERE id = ?""",
                (
                    OBSERVED_FIRST,
                    worker_id(),
                    instant(now + timedelta(seconds=CLAIM_S)),
                    instant(now),
                    instant(now),
                    row["id"],
                ),
            )
    return row


def _hand_over(state: sqlite3.Connection, mailer: Mailer, row: sqlite3.Row, on_phase: Observer) -> Delivery:
    def write_down(phase: str) -> None:
        if phase in _COMMITTED:
            # One statement in autocommit mode on a connection with synchronous=FULL: on disk before it returns.
            state.execute("UPDATE outbox SET phase = ? WHERE id = ?", (phase, row["id"]))
        on_phase(phase, row["id"])

    mime = bytes(row["mime"])
    if row["resends"]:
        mime = b"X-Syncagent-Attempt: %d\r\n" % (row["resends"] + 1) + mime
    sender = mailbox(mailer.settings.from_).address
    return mailer.send(sender, row["recipient"], mime, write_down)


class _Post:
    """Writes outcomes; every method runs inside the caller's transaction."""

    def __init__(
        self, state: sqlite3.Connection, mail: MailSettings, owners: notices.Owners, report: PumpReport
    ) -> None:
        self._state = state
        self._mail = mail
        self._owners = owners
        self._report = report

    def recover(self, now: datetime) -> None:
        """Take back what a dead process (or an earlier pass of this one) left in the middle of being sent."""
        for row in self._state.execute("SELECT * FROM outbox WHERE state = 'sending'").fetchall():
            worker = row["claimed_by"] or ""
            is_held = is_alive(worker) and worker != worker_id() and (row["claimed_until"] or "") > instant(now)
            if is_held:
                continue
            if row["phase"] == "data_end":
                self._uncertain(row, "The process ended while the server's answer was awaited.", now, wait=0)
            else:
                self._update(row, "queued", now, next_attempt_at=now, reply=row["last_reply"])
        # Put off while the clock was ahead: no wait is that long.
        self._state.execute(
            """UPDATE outbox SET next_attempt_at = ?1, owed_since = min(owed_since, ?1)
               WHERE state IN ('queued', 'deferred') AND next_attempt_at > ?2 AND due_at <= ?1""",
            (instant(now), instant(now + timedelta(seconds=2 * LONGEST_WAIT_S))),
        )

    def store(self, row: sqlite3.Row, delivery: Delivery, now: datetime) -> None:
        """What became of a claimed message."""
        if delivery.outcome == "sent":
            self._report.sent += 1
            self._state.execute(
                """UPDATE outbox SET state = 'sent', phase = '', mime = NULL, last_reply = ?, sent_at = ?,
                       updated_at = ? WHERE id = ?""",
                (delivery.reply, instant(now), instant(now), row["id"]),
            )
            ledger.settle(self._state, row["due_run_id"], now)
            log.info("message %d accepted", row["id"], extra={"action": "outbox.sent", "scorecard": row["scorecard"]})
        elif delivery.outcome == "uncertain":
            self._uncertain(row, delivery.reply, now, wait=FIRST_WAIT_S)
        elif delivery.outcome == "permanent":
            self._give_up(row, delivery.reply, now)
        else:
            self._defer(row, delivery.reply, now, attempts=row["attempts"] + 1)
            if delivery.is_server:
                self._defer_others(delivery.reply, now)

    def _defer_others(self, reply: str, now: datetime) -> None:
        """The server cannot be used: everything else that is due would meet the same."""
        self._report.trouble = reply
        waiting = self._state.execute(
            "SELECT * FROM outbox WHERE state IN ('queued', 'deferred') AND next_attempt_at <= ?", (instant(now),)
        ).fetchall()
        for other in waiting:
            self._state.execute(
                """UPDATE outbox SET attempts = attempts + 1,
                       owed_since = CASE attempts WHEN 0 THEN ? ELSE owed_since END WHERE id = ?""",
                (instant(now), other["id"]),
            )
            self._defer(other, reply, now, attempts=other["attempts"] + 1)

    def _defer(self, row: sqlite3.Row, reply: str, now: datetime, *, attempts: int) -> None:
        first = now if attempts == 1 else ledger.moment(row["owed_since"])
        if now - first >= timedelta(seconds=self._mail.give_up):
            self._give_up(row, f"Given up after {attempts} attempts: {reply}", now)
            return
        self._report.deferred += 1
        self._update(row, "deferred", now, next_attempt_at=now + timedelta(seconds=wait_s(attempts)), reply=reply)
        log.warning("message %d deferred: %s", row["id"], reply, extra={"action": "outbox.deferred"})

    def _give_up(self, row: sqlite3.Row, reply: str, now: datetime) -> None:
        if row["resends"]:  # an earlier copy may have been accepted: it did not surely fail
            self._hold(row, reply, now)
            return
        self._report.failed += 1
        self._update(row, "failed", now, next_attempt_at=now, reply=reply)
        log.error("message %d failed: %s", row["id"], reply, extra={"action": "outbox.failed"})
        self._tell(row, "failed", f"A message could not be delivered to {row['recipient']}.\n{reply}", now)

    def _uncertain(self, row: sqlite3.Row, reply: str, now: datetime, *, wait: int) -> None:
        if self._mail.on_uncertain == "hold" or row["resends"]:
            self._hold(row, reply, now)
            return
        self._report.deferred += wait > 0  # without a wait this same pass sends it, and counts what comes of it
        self._state.execute("UPDATE outbox SET resends = resends + 1 WHERE id = ?", (row["id"],))
        reply = one_line("", reply, "It is sent once more with the same Message-ID.")
        self._update(row, "deferred", now, next_attempt_at=now + timedelta(seconds=wait), reply=reply)
        log.warning("message %d uncertain, sent once more", row["id"], extra={"action": "outbox.resend"})

    def _hold(self, row: sqlite3.Row, reply: str, now: datetime) -> None:
        self._report.uncertain += 1
        self._update(row, "uncertain", now, next_attempt_at=now, reply=reply)
        log.error("message %d uncertain: %s", row["id"], reply, extra={"action": "outbox.uncertain"})
        decide = f"Decide with `syncagent outbox retry {row['id']}` or `syncagent outbox drop {row['id']}`."
        text = f"It is not known whether {row['recipient']} received a message.\n{reply}\n{decide}"
        self._tell(row, "uncertain", text, now)

    def _tell(self, row: sqlite3.Row, cause: str, text: str, now: datetime) -> None:
        ledger.settle(self._state, row["due_run_id"], now)
        if row["kind"] == "due" or row["kind"].startswith("again#"):
            notices.owe(
                self._state,
                self._mail,
                self._owners,
                due_run_id=row["due_run_id"],
                scorecard=row["scorecard"],
                due_at=ledger.moment(row["due_at"]),
                cause=cause,
                text=text,
                now=now,
            )

    def _update(
        self, row: sqlite3.Row, new_state: str, now: datetime, *, next_attempt_at: datetime, reply: str | None
    ) -> None:
        self._state.execute(
            """UPDATE outbox SET state = ?, phase = '', next_attempt_at = ?, last_reply = ?, claimed_by = NULL,
                   claimed_until = NULL, updated_at = ? WHERE id = ?""",
            (new_state, instant(next_attempt_at), reply, instant(now), row["id"]),
        )
