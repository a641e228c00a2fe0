"""Whole deliveries under random faults of the mail server, by seed: nothing is lost in silence or doubled unasked."""

import random
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from syncagent import ledger, outbox, runs
from syncagent.mailer import Mailer, Timeouts
from tests.fakes.desk import DUE, desk_in
from tests.fakes.smtp import Fault, FaultServer

READERS = tuple(f"reader{number}@acme.test" for number in range(5))
POINTS = {
    "banner": ("drop", "421 busy", "554 go away"),
    "ehlo": ("drop", "421 busy"),
    "mail": ("drop", "451 later", "421 bye", "550 not your sender"),
    "rcpt": ("drop", "450 greylisted", "550 no such user"),
    "data": ("drop", "451 later", "554 refused"),
    "body": ("drop",),
    "dot": ("drop", "lose", "452 full", "554 spam"),
}


def some_faults(chance: random.Random) -> list[Fault]:
    points = chance.choices(list(POINTS), k=chance.randint(1, 6))
    return [
        Fault(
            point,
            chance.choice(POINTS[point]),
            times=chance.randint(1, 3),
            recipient=chance.choice(("", *READERS)) if point in ("rcpt", "data", "body", "dot") else "",
        )
        for point in points
    ]


@pytest.mark.parametrize("on_uncertain", ["resend", "hold"])
@pytest.mark.parametrize("seed", range(15))
def test_every_reader_ends_in_a_state_that_is_true(seed: int, on_uncertain: str, tmp_path: Path) -> None:
    chance = random.Random(seed)
    with FaultServer(some_faults(chance)) as server, desk_in(tmp_path, server.port) as desk:
        desk = desk.with_card(to=READERS)
        mail = desk.config.mail
        assert mail is not None
        mail = mail.model_copy(update={"on_uncertain": on_uncertain})
        now = DUE - timedelta(minutes=1)
        for _ in range(40):
            runs.tick(desk.config, desk.cache, desk.state, clock=lambda now=now: now)  # type: ignore[misc]
            with closing(Mailer(mail, Timeouts(10, 10, 10))) as mailer:
                outbox.pump(desk.state, mailer, lambda now=now: now, owners=runs.owners(desk.config))  # type: ignore[misc]
            now += timedelta(minutes=chance.randint(1, 90))
        [run] = ledger.list_runs(desk.state)
    accepted = Counter(message.recipient for message in server.accepted)
    ids = {(message.recipient, message.header("Message-ID")) for message in server.accepted}
    states = {recipient["address"]: recipient["state"] for recipient in run["recipients"]}
    for reader in READERS:
        assert states[reader] in ("sent", "failed", "uncertain")
        assert sum(address == reader for address, _ in ids) <= 1
        most = 2 if on_uncertain == "resend" else 1
        allowed = {"sent": range(1, most + 1), "failed": range(1), "uncertain": range(most + 1)}
        assert accepted[reader] in allowed[states[reader]]
    worst = "uncertain" if "uncertain" in states.values() else "failed" if "failed" in states.values() else "sent"
    assert run["state"] == worst
