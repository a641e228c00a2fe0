"""What a sync says of itself: how far it is, and what it did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from connectors.base import StreamNote
from scorecards.values import instant

STOPPED = "stopped before the end; the next sync goes on there"
#: What became of a stream: `withdrawn` was read before and may not be read any more, `not_readable` never could be.
Outcome = Literal["ok", "failing", "withdrawn", "not_readable", "stopped"]
#: Reading what is new, or comparing every record with the CRM.
Phase = Literal["reading", "comparing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stream is: records seen, how many there are in all (None: not said), whether it ended.

    `limit_share` and `daily_share`: how much of the vendor's short-term and daily limit the source is using, 0 to 1.
    """

    source: str
    stream: str
    read: int
    total: int | None
    done: bool
    phase: Phase = "reading"
    limit_share: float | None = None
    daily_share: float | None = None


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What one sync run of one stream did. `error` is one sentence with its mend, None when all was read.

    `reject_file` holds the rows that could not be used; `first_reject` is the place and reason of the first one.
    `reconciled`: every record was compared with the CRM; `found_missing` records came in by that, `found_gone` were
    deleted or merged there with no word, also before it was cut short and gone on with; `is_counted`: from its
    beginning on, so that none is none. `crm_count`, `cache_count`: live records there and here (None: not counted).
    `still_rejected`: rows of earlier runs that have not been read well since. `compared`: so many live records the
    CRM listed when they were compared; `suspect`: of so many here so many were not listed, which was not believed
    (gone, of). `bulk`: a bulk job read them. `rests_until`: the source failed as a whole, and the daemon leaves it
    alone until then. `withdrawn_at`: since when this login may not read it any more (`error` says why); `not_readable`:
    why it never could, which is no error. `warnings`: what the source's check says of the stream.
    `merged`: so many of the rows changed counted here until they were merged into another one there.
    """

    source: str
    stream: str
    read: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    seconds: float = 0.0
    calls: int = 0
    error: str | None = None
    reject_file: Path | None = None
    first_reject: str | None = None
    reconciled: bool = False
    found_missing: int = 0
    found_gone: int = 0
    is_counted: bool = True
    crm_count: int | None = None
    cache_count: int | None = None
    rests_until: datetime | None = None
    rest_cause: str | None = None  # as breaker.Cause
    still_rejected: int = 0
    compared: int = 0
    suspect: tuple[int, int] | None = None
    bulk: bool = False
    withdrawn_at: datetime | None = None
    not_readable: str | None = None
    notes: Sequence[StreamNote] = ()  # what its bookmark has to say to a person
    warnings: tuple[str, ...] = ()  # of `check`
    merged: int = 0  # rows that stand for another now

    @property
    def outcome(self) -> Outcome:
        if self.not_readable:
            return "not_readable"
        if self.error is None or self.error == STOPPED:
            return "stopped" if self.error else "ok"
        return "withdrawn" if self.withdrawn_at else "failing"

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "stream": self.stream,
            "read": self.read,
            "changed": self.changed,
            "deleted": self.deleted,
            "rejected": self.rejected,
            "seconds": round(self.seconds, 3),
            "calls": self.calls,
            "outcome": self.outcome,
            "error": self.error,
            "not_readable": self.not_readable,
            "withdrawn_at": instant(self.withdrawn_at) if self.withdrawn_at else None,
            "reject_file": str(self.reject_file) if self.reject_file else None,
            "reconciled": self.reconciled,
            "found_missing": self.found_missing,
            "found_gone": self.found_gone,
            "crm_count": self.crm_count,
            "cache_count": self.cache_count,
            "still_rejected": self.still_rejected,
            "compared": self.compared if self.reconciled else None,
            "suspect": {"gone": self.suspect[0], "of": self.suspect[1]} if self.suspect else None,
            "bulk": self.bulk,
            "warnings": list(self.warnings),
            "merged": self.merged,
            "rests_until": instant(self.rests_until) if self.rests_until else None,
            "notes": list(self.notes),
        }
