"""What can go wrong in the agent itself, named by what the caller does next; each error knows its exit code.

AgentError            something failed (exit 1)
├── ConfigError       the configuration cannot be used; `problems` names every mistake (exit 2)
├── UsageError        the command asks for something that does not exist (exit 2)
├── StoreError        cache.db or state.db cannot be used
│   └── NewerSchema   the file was written by a later version (exit 2)
├── DeliveryError     a message cannot be made or handed over
├── Refused           we will not do this on purpose: held, already sent, still running (exit 3)
└── AlreadyRunning    another instance holds the data directory (exit 75)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

OK, FAILED, USAGE, REFUSED, LOCKED = 0, 1, 2, 3, 75


class AgentError(Exception):
    """Root of everything `syncagent` raises on purpose: where, what, and what a person can do about it."""

    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str, *, place: str = "", mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.mend = mend

    def __str__(self) -> str:
        return one_line(self.place, self.message, self.mend)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the configuration. `line` 0: not known; `value` is what stood there, never a secret."""

    file: str
    line: int
    path: str
    value: str
    message: str
    mend: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        given = f" = {self.value}" if self.value else ""
        return one_line(f"{where}: {self.path}{given}" if self.path else where, self.message, self.mend)


class ConfigError(AgentError):
    """The configuration cannot be used. Every mistake is in `problems`, one line each."""

    exit_code = USAGE

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(f"the configuration has {count} problem{'' if count == 1 else 's'}")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems) or self.message


class UsageError(AgentError):
    """The command names something that does not exist, or asks for what cannot be."""

    exit_code = USAGE


class StoreError(AgentError):
    """A database of ours cannot be used; nothing in it was changed."""


class NewerSchema(StoreError):
    """The file was written by a later version of syncagent."""

    exit_code = USAGE


class DeliveryError(AgentError):
    """A message cannot be made or handed over."""


class Refused(AgentError):
    """Not done, on purpose."""

    exit_code = REFUSED


class AlreadyRunning(AgentError):
    """Another instance holds the data directory."""

    exit_code = LOCKED


def one_line(place: str, message: str, mend: str = "") -> str:
    """`place: what. mend` as people read it: one line, whatever the parts hold."""
    what = " ".join(message.split()).rstrip()
    if mend and what and what[-1] not in ".!?:":
        what += "."
    parts = (f"{place}:" if place else "", what, " ".join(mend.split()))
    return " ".join(part for part in parts if part)
