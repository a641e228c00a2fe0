"""What a KPI came to: the value with everything that makes it honest, and its public JSON form.

Frozen between stages: `evaluate` makes these, `render` shows them, `syncagent` stores and prints them.
Ratios are fractions (0.31), durations seconds unless the unit says otherwise, money major units, all unrounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from scorecards.period import Period, instant, instant_of, period_json
from scorecards.targets.pace import Agreed, Progress
from scorecards.told import Restated, Told

__all__ = ["Period", "instant", "instant_of", "period_json"]

#: Statuses under which a value is shown; `value` is None in all others (docs/definitions.md G12).
SHOWN = ("ok", "partial", "stale")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The value of another time: with = "previous" | "month_ago" | "year_ago"; change = value now - value then."""

    against: str
    value: float | None
    change: float | None
    period: Period | None = None
    status: str = "ok"
    kept_at: datetime | None = None  # as_of of the issue it was kept of, where nobody can work it out any more
    reason: str = ""  # why there is no value, where that must be said

    def to_json(self) -> dict[str, Any]:
        """An element of `comparisons` of `kpi show --json`."""
        return {
            "with": self.against,
            "value": self.value,
            "change": self.change,
            "kept_at": instant(self.kept_at) if self.kept_at else None,
            "reason": self.reason or None,
        }


@dataclass(frozen=True, slots=True)
class TargetResult:
    """Value against target. `expected` is what the path wants at as_of; `gap` = value - expected, signed.

    All of them, and the verdict, are of the period shown or, where `is_of_way`, of the way to the deadline: then the
    value they are of is the one of `progress`. For a band `low`/`high` hold its edges and `value` is None.
    """

    want: str  # up | down | between
    value: float | None
    expected: float | None
    gap: float | None
    due: date | None = None
    needed_rate: float | None = None  # per working day, still needed to reach the target
    low: float | None = None
    high: float | None = None
    path: str | None = None
    projected: float | None = None  # where the stretch judged will end, if it goes on as it has
    progress: Progress | None = None  # where it stands on its way to the deadline
    baseline: Agreed | None = None  # of a relative target
    mark: str = ""  # hash of what it says
    share: float | None = None  # what of a way's goal falls to the period shown
    is_of_way: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its public form: `target` of `kpi show --json`."""
        return {
            "want": self.want if self.want != "between" else {"between": [self.low, self.high]},
            "value": self.value,
            "expected": self.expected,
            "gap": self.gap,
            "due": self.due.isoformat() if self.due else None,
            "needed_rate": self.needed_rate,
            "path": self.path,
            "projected": self.projected,
            "judged": "way" if self.is_of_way else "period",
            "share": self.share,
            "progress": self.progress.to_json() if self.progress else None,
            "baseline": self.baseline.to_json() if self.baseline else None,
        }


#: Why a usual range begins where a run of eight on one side did.
SHIFTED = "8 in a row"


@dataclass(frozen=True, slots=True)
class Signal:
    """Is the change news? result: none | possible | signal | too_few_points; limits of the usual range."""

    result: str
    rules: tuple[int, ...] = ()
    mean: float | None = None
    lower: float | None = None
    upper: float | None = None
    points: int = 0
    direction: str | None = None  # "above" | "below" the usual range or average, where there is a signal
    since: date | None = None  # the first day of the period the usual range begins with
    because: str = ""  # why it begins there: "" with the history, "8 in a row", or the change that was declared
    days_between: float | None = None  # of what is too rare for a usual range: days from one event to the next


@dataclass(frozen=True, slots=True)
class Point:
    """One period of the series, oldest first."""

    start: date
    end: date
    value: float | None
    n: int | None
    status: str


@dataclass(frozen=True, slots=True)
class SegmentValue:
    """The KPI of one segment; "(none)" holds the rows without one, so segments add up."""

    segment: str
    value: float | None
    numerator: float | None
    denominator: float | None
    n: int | None
    status: str
    verdict: str | None = None
    by: str = ""  # the dimension's name


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a source this KPI used was last synced to the end (None: never)."""

    source: str
    synced_at: datetime | None
    error: str | None = None  # one plain sentence while its sync is failing
    failing_since: datetime | None = None
    # Streams it gives no more, whose records still count: (stream, when it was last read to its end).
    withdrawn: Sequence[tuple[str, datetime | None]] = ()
    is_withdrawn: bool = False  # all of what is used; waiting for the next sync brings nothing


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One record somebody must touch."""

    id: str
    title: str
    url: str | None
    owner: str | None
    reason: str  # "open 46 days", "lost: price"
    amount: float | None = None  # major units of the scorecard's currency


@dataclass(frozen=True, slots=True)
class ActionList:
    """The records behind a KPI that need a hand, worst first; `total` counts those beyond the limit too."""

    label: str  # "lost deals by amount"
    rows: Sequence[ActionRow]
    total: int


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """What one unit of a foreign currency is in the reporting currency, from a day on, and who says so."""

    rate: Decimal
    valid_from: str  # 0001-01-01 or 1900-01-01: always
    source: str  # "salesforce", "hubspot", "files", or what a file says


@dataclass(frozen=True, slots=True)
class RatesOf:
    """What amounts in one currency were converted by, the earliest first.

    `missing`: days without a rate. `is_by_crm`: some without one are what the CRM itself made of them.
    """

    currency: str
    rates: Sequence[ExchangeRate] = ()
    missing: Sequence[date] = ()
    is_by_crm: bool = False

    def to_json(self) -> dict[str, Any]:
        rates = [{"rate": float(one.rate), "valid_from": one.valid_from, "source": one.source} for one in self.rates]
        missing = None
        if self.missing:
            first, last = self.missing[0].isoformat(), self.missing[-1].isoformat()
            missing = {"first": first, "last": last, "days": len(self.missing)}
        return {"currency": self.currency, "rates": rates, "by_crm": self.is_by_crm, "missing": missing}


@dataclass(frozen=True, slots=True)
class Beside:
    """A further figure readers see beside the value: `said` with {value} in its place, such as "{value} customers"."""

    name: str  # among `details`
    said: str
    value: float
    unit: str
    currency: str | None = None  # of money
    clock: str = ""  # "business" | "calendar" of a time


@dataclass(frozen=True, slots=True)
class KpiResult:
    """One KPI at one as_of."""

    kpi: str
    title: str
    as_of: datetime
    period: Period | None  # None: a stock at as_of without a period
    value: float | None
    unit: str
    status: str
    numerator: float | None = None
    denominator: float | None = None
    n: int | None = None
    reason: str | None = None  # why there is no value, or what it covers: a whole sentence fragment for readers
    coverage: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    target: TargetResult | None = None
    verdict: str | None = None  # green | amber | red
    remarks: Sequence[str] = ()  # what its definition says of such a value
    beside: Sequence[Beside] = ()  # of its further figures (`details`) those that readers see; not in the JSON again
    unjudged: str = ""  # why its goal says nothing of the period shown
    signal: Signal | None = None
    series: Sequence[Point] = ()
    segments: Sequence[SegmentValue] = ()
    drivers: Mapping[str, Any] | None = None
    smart: Mapping[str, Any] | None = None  # letter -> {result, reasons}: is its target SMART?
    freshness: Sequence[Freshness] = ()
    rates: Sequence[RatesOf] = ()  # what amounts in other currencies were converted by
    # what a reader needs beside the number (not in the JSON of `kpi show`)
    about: str = ""  # one line: what it measures, filters in words
    direction: str = "neutral"  # up: higher is better | down | neutral
    perspective: str = ""  # "Front office", "Back office", "Business associations", "Analysis"
    group: str = ""  # section of the scorecard: "Sales", "Customers", "Service", "Data quality" …
    stat: str = ""  # "median", "mean", "p90" … where that must be said beside the value
    clock: str = ""  # "business" | "calendar" for durations
    scale: float | None = None  # of a score: shown as "8.13 of 10"
    currency: str | None = None
    shown_in: str = ""  # the unit readers see it in, where that is another: months for days
    granularity: str = "month"  # day | week | month | quarter | year: what one point of the series is
    actions: ActionList | None = None
    # what it says of values told before (see `restate`)
    definition: str = ""  # hash of what its value depends on beside the records
    redefined: datetime | None = None  # when a value was last told that another definition made
    restated: Sequence[Restated] = ()
    told: Sequence[Told] = ()  # what is to be kept once this is sent; not in the JSON

    def to_json(self) -> dict[str, Any]:
        """The object of `kpi show --json`: its public form."""
        return {
            "kpi": self.kpi,
            "title": self.title,
            "as_of": instant(self.as_of),
            "period": period_json(self.period),
            "value": self.value,
            "unit": self.unit,
            "numerator": self.numerator,
            "denominator": self.denominator,
            "n": self.n,
            "status": self.status,
            "reason": self.reason,
            "coverage": self.coverage,
            "details": dict(self.details),
            "comparisons": [c.to_json() for c in self.comparisons],
            "target": self.target.to_json() if self.target else None,
            "verdict": self.verdict,
            "unjudged": self.unjudged or None,
            "remarks": list(self.remarks),
            "signal": None
            if self.signal is None
            else {
                "result": self.signal.result,
                "rules": list(self.signal.rules),
                "mean": self.signal.mean,
                "lower": self.signal.lower,
                "upper": self.signal.upper,
                "points": self.signal.points,
                "since": self.signal.since.isoformat() if self.signal.since else None,
                "because": self.signal.because or None,
                "days_between": self.signal.days_between,
            },
            "series": [
                {
                    "start": p.start.isoformat(),
                    "end": p.end.isoformat(),
                    "value": p.value,
                    "n": p.n,
                    "status": p.status,
                }
                for p in self.series
            ],
            "segments": [
                {
                    "segment": s.segment,
                    "value": s.value,
                    "numerator": s.numerator,
                    "denominator": s.denominator,
                    "n": s.n,
                    "status": s.status,
                }
                for s in self.segments
            ],
            "drivers": dict(self.drivers) if self.drivers is not None else None,
            "smart": dict(self.smart) if self.smart is not None else None,
            "rates": [one.to_json() for one in self.rates],
            "restated": [one.to_json() for one in self.restated],
            "definition": {
                "hash": self.definition or None,
                "changed_since": instant(self.redefined) if self.redefined else None,
            },
            "freshness": [
                {"source": f.source, "synced_at": instant(f.synced_at) if f.synced_at else None} for f in self.freshness
            ],
        }
