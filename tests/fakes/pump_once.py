"""One pass over the outbox in a process of its own, which kills itself when it comes to a named phase.

python -m tests.fakes.pump_once DATA_DIR PORT ON_UNCERTAIN PHASE
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from syncagent.mailer import Mailer, MailSettings
from syncagent.outbox import pump
from syncagent.store import open_state


def main(data_dir: str, port: str, on_uncertain: str, deadly: str) -> None:
    """Pump what is owed; `deadly` is the phase to die at."""
    settings = MailSettings.model_validate(
        {
            "host": "127.0.0.1",
            "port": int(port),
            "security": "none",
            "from": "Acme <scores@acme.test>",
            "on_uncertain": on_uncertain,
        }
    )

    def on_phase(phase: str, _: int) -> None:
        if phase == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    state = open_state(Path(data_dir))
    pump(state, Mailer(settings), lambda: datetime.now(UTC), on_phase=on_phase)


if __name__ == "__main__":
    main(*sys.argv[1:])
