"""kill -9 at random moments of deliveries: every message owed arrives, and twice only where nobody can know."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from syncagent.cli import run_cli
from syncagent.store import read_state
from tests.fakes.office import DUE, Office
from tests.fakes.smtp import FaultServer

ROOT = Path(__file__).parents[2]
ROUNDS, READERS = 20, 6


def send(office: Office, due: datetime) -> "subprocess.Popen[bytes]":
    arguments = ["--config", str(office.config), "scorecard", "send", "weekly", "--as-of", f"{due:%Y-%m-%dT%H:%M:%SZ}"]
    return subprocess.Popen(
        [sys.executable, "-m", "syncagent", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_at(process: "subprocess.Popen[bytes]", server: FaultServer, commands: int, pause_s: float) -> None:
    """Kill the process a moment after the server has seen so many commands."""
    while len(server.commands) < commands and process.poll() is None:
        time.sleep(0.0005)
    time.sleep(pause_s)
    process.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_kills_lose_no_message_and_double_only_in_the_known_window(tmp_path: Path) -> None:
    """The window lies between the final dot and the stored reply; there the message goes out once more, unchanged."""
    office = Office(tmp_path)
    dice = random.Random(7)
    dues = [DUE + timedelta(days=number) for number in range(ROUNDS)]
    with FaultServer() as server:
        office.write(port=server.port)
        readers = ", ".join(f'"reader{number}@acme.test"' for number in range(READERS))
        office.config.write_text(office.config.read_text().replace('"vp@acme.test", "kim@acme.test"', readers))
        assert run_cli(["--config", str(office.config), "sync"]) == 0
        killed = 0
        for due in dues:
            with send(office, due) as process:
                commands = len(server.commands) + dice.randrange(1, 4 * READERS)
                killer = threading.Thread(target=kill_at, args=(process, server, commands, dice.uniform(0, 0.002)))
                killer.start()
                killed += process.wait() == -9
                killer.join()
        for due in dues:  # what was killed before anything was owed
            assert run_cli(
                ["--config", str(office.config), "scorecard", "send", "weekly", "--as-of", f"{due:%FT%TZ}"]
            ) in (
                0,
                3,
            )
        finished = run_cli(["--config", str(office.config), "run", "--once"])
        # The owner is told of messages that stay uncertain; here the readers count.
        to_readers = [mail for mail in server.accepted if mail.recipient.startswith("reader")]
        accepted = Counter(mail.header("Message-ID") for mail in to_readers)
    assert killed >= ROUNDS // 2
    with closing(read_state(office.data_dir)) as state:
        owed = {
            row["message_id"]: row
            for row in state.execute("SELECT message_id, state, resends, last_reply FROM outbox WHERE kind = 'due'")
        }
    assert len(owed) == ROUNDS * READERS
    # It fails where a kill left a message uncertain for good: in the window of the second attempt, too.
    assert finished in (0, 1)
    assert finished == 0 or any(row["state"] == "uncertain" for row in owed.values())
    assert set(accepted) <= set(owed)
    for message_id, row in owed.items():
        times = accepted[message_id]
        if row["state"] == "uncertain":
            # Killed in the window of the second attempt too: reported, and a person decides.
            assert row["resends"] == 1, dict(row)
            assert times <= 2, message_id
        else:
            assert row["state"] == "sent", dict(row)
            assert times == 1 or (times == 2 and row["resends"] == 1), message_id
    assert sum(times == 2 for times in accepted.values()) <= killed
