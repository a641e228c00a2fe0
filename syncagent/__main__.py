"""`syncagent` and `python -m syncagent`: heed a signal at once, then load the rest, which takes a while."""

import sys
from typing import NoReturn

from syncagent.stopping import heed_signals, stopped_line, was_told_to_stop


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    if "sync" in arguments:  # a command that is killed there changes nothing; systemd knows what it means of `run`
        heed_signals()
    try:
        from syncagent.cli import run_cli
    except BaseException:
        if not was_told_to_stop():
            raise
        _end(arguments)
    if was_told_to_stop():
        _end(arguments)
    sys.exit(run_cli(arguments))


def _end(arguments: list[str]) -> NoReturn:
    sys.stderr.write(f"{stopped_line(arguments)}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
