"""The row statement as text with its bound values, a slice of time at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scorecards.periods import Slice


@dataclass(frozen=True, slots=True)
class Rests:
    """What the answer to a row statement rests on: from that follows how long it may be kept (scorecards.kept).

    It says when an answer turns by the rows of the statement themselves. What is looked up beside them, and compared
    with as_of there, the statement's text says (`scorecards.kept.beside`).
    """

    source: str  # the table of the rows, read as f
    base: str | None  # the table of the records behind them, where read as r
    axis: str  # their column that places them in the slice; KNOWN: versions known at the slice's instant; "": none
    is_date: bool  # whether that column holds dates, not epoch seconds
    turns: Mapping[str, tuple[str, ...]]  # SQL over a row of what is compared with as_of: `at`, `text`, `day`
    among: str  # FROM and WHERE: every row the slice may hold, whatever as_of
    of_all: bool = False  # whether that is the same whatever the slice


#: The axis of versions: a stock reads those that were known at an instant.
KNOWN = "known_from"


@dataclass(frozen=True, slots=True)
class Rows:
    """The row statement. `split` and `rated` say whether seg and rate differ from row to row."""

    sql: str
    values: Mapping[str, Any]
    reasons: tuple[str, ...] = ()
    split: bool = False
    rated: bool = False
    inner: str = ""  # the aggregate made per local day (column `day`) before the KPI's own
    keyed: bool = False  # column `key` says which of the different ones a row belongs to
    rests: Rests | None = None
    stays_out: bool = False  # of moving versions: those that are there at both ends are not among them

    def of(self, slice_: Slice) -> dict[str, Any]:
        """The bound values for one slice."""
        return {
            **self.values,
            "s_since": slice_.since,
            "s_until": slice_.until,
            "s_day_start": slice_.day_start.isoformat(),
            "s_day_end": slice_.day_end.isoformat(),
            "s_at": slice_.at,
            "s_at_day": slice_.at_day.isoformat(),
        }


#: The slice as a row of its own, so that every part of the statement can name it.
SLICE = (
    "(SELECT :s_since AS since, :s_until AS until, stamp(:s_since) AS since_text, stamp(:s_until) AS until_text,"
    " :s_day_start AS day_start, :s_day_end AS day_end, :s_at AS at, stamp(:s_at) AS at_text, :s_at_day AS at_day)"
)
