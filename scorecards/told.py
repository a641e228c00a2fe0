"""What readers were told of a KPI, and what has become of it: the data alone. `restate` compares."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from scorecards.period import Period, instant, period_json

#: Record id -> its rows in a value: (side, hit, measure, weight, segment of each dimension).
Parts = Mapping[str, Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class ChangedRecord:
    """A record whose part in a value changed. change: added | gone | changed; what it measured then and now."""

    id: str
    title: str | None
    url: str | None
    change: str
    before: float | None
    now: float | None


@dataclass(frozen=True, slots=True)
class Restated:
    """A value told of a whole period that is another one now: of the whole, or of one segment of a dimension (`by`)."""

    period: Period
    by: str | None
    segment: str | None
    before: float | None
    now: float | None
    sent_at: datetime
    records: Sequence[ChangedRecord] | None = None  # heaviest first; None: they were not kept
    total: int | None = None  # of the records, those not named too

    def to_json(self) -> dict[str, Any]:
        """Its public form: an element of `restated` in `kpi show --json`."""
        records = None
        if self.records is not None:
            records = [
                {"id": r.id, "title": r.title, "url": r.url, "change": r.change, "before": r.before, "now": r.now}
                for r in self.records
            ]
        return {
            "period": period_json(self.period),
            "by": self.by,
            "segment": self.segment,
            "before": self.before,
            "now": self.now,
            "sent_at": instant(self.sent_at),
            "records": records,
            "records_total": self.total,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """The value of a whole period as readers were last told it, at `sent_at`, and what it was made of."""

    start: date
    end: date
    definition: str
    value: float | None
    segments: Mapping[str, Mapping[str, float]]  # by dimension
    packed: bytes | None  # its parts as `pack` makes them: looked at only where the value is another one now
    sent_at: datetime
    split: str = ""  # hash of what the dimensions were; segments of other ones are not compared
    restated: Sequence[Restated] = field(default=())  # what was said of it then

    @property
    def parts(self) -> Parts | None:
        """What each record added; None where there were too many to keep, or none was named."""
        if self.packed is None:
            return None
        found: Parts = json.loads(zlib.decompress(self.packed))
        return found


@dataclass(frozen=True, slots=True)
class Sent:
    """A value as an issue of any scorecard was made with it at `at`; `definition` as `version.definition_of` says."""

    at: datetime
    definition: str
    value: float


#: The values kept of a KPI (by name) from one instant to another, both included.
Kept = Callable[[str, datetime, datetime], Sequence[Sent]]


def pack(parts: Parts | None) -> bytes | None:
    """Parts in the form they are kept in: compressed JSON."""
    return None if parts is None else zlib.compress(json.dumps(parts).encode())
