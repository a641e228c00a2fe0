"""What goes into one scorecard message and what comes out: no SQL, no SMTP, no words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scorecards.values import Freshness, KpiResult, Period


@dataclass(frozen=True, slots=True)
class Issue:
    """One scorecard for one recipient at one due time: everything `render` may show.

    Times are aware; `timezone`, `locale` and `currency` are the recipient's. Money of `results` is already in the
    scorecard's currency: rendering never converts.
    """

    name: str  # of [scorecard.NAME]
    title: str  # "Sales scorecard"
    agent_name: str  # whose scorecard: "Acme"
    owner: str  # address told of holds and failures
    period: Period | None
    granularity: str  # day | week | month | quarter | year: what the scorecard's period is
    as_of: datetime
    due_at: datetime
    number: int | None  # counts the issues of this scorecard; None in previews
    timezone: str  # IANA name
    locale: str  # "de-DE"
    currency: str  # ISO 4217
    results: Sequence[KpiResult]
    freshness: Sequence[Freshness]
    recipient: str  # address
    unsubscribe: str | None  # mailto: or https: address that stops it
    config_hash: str
    is_test: bool = False
    notes: Sequence[str] = ()  # whole sentences: a gap, a restated value, stale data sent on purpose
    max_age_s: float | None = None  # a source synced longer than this before as_of is late
    crm_url: str | None = None  # where "Open in the CRM" leads; shown only when https


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message ready to be composed. `html` refers to each image as `cid:NAME`, NAME being its key in `images`."""

    subject: str
    html: str
    text: str
    images: Mapping[str, bytes] = field(default_factory=dict)  # PNG bytes by content id, in order of appearance
