"""Dies before the 1st, 2nd, 3rd ... statement on state.db while a due scorecard is composed and sent, then recovers.

python -m tests.fakes.kill_everywhere FOLDER PORT STRIDE

Each round is a fresh copy of the same state with a reader of its own. Prints one JSON line a round.
"""

import json
import os
import shutil
import signal
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from syncagent import ledger, outbox, runs
from syncagent.mailer import Mailer
from syncagent.store import open_state
from tests.fakes.desk import DUE, Desk, desk_in


def deliver(desk: Desk, deadly: int = 0) -> int:
    """Tick and pump until all is done; die before the statement of that number. Returns how many there were."""
    count = 0

    def trace(_: str) -> None:
        nonlocal count
        count += 1
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    assert desk.config.mail is not None
    desk.state.set_trace_callback(trace)
    for minutes in (0, 2):
        now = DUE + timedelta(minutes=minutes)
        runs.tick(desk.config, desk.cache, desk.state, clock=lambda now=now: now)  # type: ignore[misc]
        outbox.pump(desk.state, Mailer(desk.config.mail), lambda now=now: now)  # type: ignore[misc]
    desk.state.set_trace_callback(None)
    return count


def main(folder: str, port: str, stride: str) -> None:
    """Rounds until one comes to its end unharmed."""
    with desk_in(Path(folder), int(port)) as desk:
        runs.tick(desk.config, desk.cache, desk.state, clock=lambda: DUE - timedelta(minutes=1))
        desk.state.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        number, is_killed = 1, True
        while is_killed:
            copy = Path(folder) / f"round{number}"
            copy.mkdir()
            shutil.copy(desk.data_dir / "state.db", copy / "state.db")
            mine = desk.with_card(to=(f"reader{number}@acme.test",))
            pid = os.fork()
            if pid == 0:
                with closing(open_state(copy)) as state:
                    deliver(replace(mine, state=state), number)
                os._exit(0)
            is_killed = os.waitpid(pid, 0)[1] == signal.SIGKILL
            with closing(open_state(copy)) as state:
                deliver(replace(mine, state=state))
                states = [entry["state"] for entry in ledger.list_runs(state)]
            print(json.dumps({"reader": f"reader{number}@acme.test", "killed": is_killed, "states": states}))  # noqa: T201
            number += int(stride)


if __name__ == "__main__":
    main(*sys.argv[1:])
