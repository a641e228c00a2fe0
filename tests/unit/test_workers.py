"""Whether the process that claimed a message still runs."""

import os
import subprocess
import sys

from syncagent.workers import is_alive, worker_id


def test_this_process_is_alive_and_the_same_number_elsewhere_is_not() -> None:
    mine = worker_id()
    boot, pid, started = mine.split(":")
    assert pid == str(os.getpid())
    assert is_alive(mine)
    assert not is_alive(f"another-boot:{pid}:{started}")
    assert not is_alive(f"{boot}:{pid}:1")
    assert not is_alive("")


def test_a_process_that_ended_is_not_alive() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from syncagent.workers import worker_id; print(worker_id())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not is_alive(said)
