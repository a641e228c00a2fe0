"""`syncagent` and `python -m syncagent`: heed a signal at once, then load the rest, which takes a while."""

import sys
from typing import NoReturn

from syncagent.stopping import heed_signals, stopped_line


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    if "sync" in arguments:  # a command that is killed there changes nothing; systemd knows what it means of `run`
        heed_signals()
    try:
        from syncagent.cli import run_cli
    except KeyboardInterrupt:
        sys.stderr.write(f"{stopped_line(arguments)}\n")
        sys.exit(1)
    sys.exit(run_cli(arguments))


if __name__ == "__main__":
    main()
