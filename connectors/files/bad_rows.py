"""Counts the rows of one file that cannot be used, and says when the file as a whole is not what we take it for."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import StreamError
from connectors.files.mapping import BadRow

#: Of fewer rows than so many, most are not yet a pattern: all have to be bad.
_MANY = 10
_MEND = "Mend the file, or how the entry maps it: `syncagent sync` says where the rows and their reasons are."


@dataclass(slots=True)
class BadRows:
    """The rows of one file, and why some of them cannot be used."""

    rows: int = 0
    bad: int = 0
    why: Counter[tuple[str, str]] = field(default_factory=Counter)  # (column, mend) -> rows

    def note(self, error: BadRow) -> None:
        self.bad += 1
        self.why[error.column, error.mend] += 1

    @property
    def most(self) -> list[Any] | None:
        """What the bookmark keeps, where all rows or most of many are bad: (bad, rows, column, mend); else None."""
        if not self.bad or (self.bad < self.rows and (self.rows < _MANY or self.bad * 2 <= self.rows)):
            return None
        ((column, mend), _), *_ = self.why.most_common(1)
        return [self.bad, self.rows, column, mend]


def error_of(label: str, most: list[Any], *, first: bool = False) -> StreamError:
    """What is wrong with a file by what was kept of it. `first`: only its first rows were looked at."""
    bad, rows, column, mend = most
    of = f"the first {rows:,} rows" if first else f"its {rows:,} rows"
    share = f"none of {of} can" if bad == rows else f"{bad:,} of {of} cannot"
    if rows == 1:
        share = "its only row cannot"
    why = f", for {'their' if rows > 1 else 'its'} {column}" if column else ""
    return StreamError(f"{label}: {share} be used{why}.", mend=mend or _MEND)
