"""The sandbox in a process of its own, so that its work is not counted as ours.

python -m tests.bench.sandbox_server DIR: prints the configuration's path, then serves until its stdin ends.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from syncagent.sandbox import Sandbox

#: A fixed present: every run reads the same company.
PRESENT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def main(folder: str) -> None:
    """Serve without rate limits."""
    with Sandbox(Path(folder), as_of=PRESENT, limits=False) as sandbox:
        sandbox.hubspot.per_10s = 10_000  # what it says of its limit: a client that is told 190 keeps to it
        print(sandbox.write_config(Path(folder) / "config.toml"), flush=True)  # noqa: T201 - the answer to the parent
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
