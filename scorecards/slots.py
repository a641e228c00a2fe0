"""The slots of the KPI language: what may stand in each, and whether it is whole. Knows no rows and no columns."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Granularity = Literal["day", "week", "month", "quarter", "year", "fiscal_quarter", "fiscal_year", "all"]
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+)\s*(s|m|h|d|w|y)\s*$")
_AGGREGATES = re.compile(r"^(count|sum|avg|median|min|max|distinct|p[1-9][0-9]?)$")


def duration_seconds(text: Any) -> int:
    """Read "15m", "6h", "90d", "2w", "3y" (365 days) as seconds. Raises ValueError with a plain sentence."""
    found = _DURATION.match(text) if isinstance(text, str) else None
    if not found:
        raise ValueError('not a duration. Write a number and s, m, h, d, w or y, such as "15m" or "90d".')
    number, unit = int(found[1]), found[2]
    return number * (365 * 86400 if unit == "y" else UNIT_SECONDS[unit])


#: Seconds, written in TOML as text.
Duration = Annotated[int, BeforeValidator(duration_seconds)]


class Model(BaseModel):
    """A frozen part of the configuration: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Ratio(Model):
    """One KPI over another; each name may carry .value .target .gap .previous .base or .change."""

    top: str
    bottom: str


class Cohort(Model):
    """Of the rows placed by `date`, the share that reaches `reaches` within `within`; young rows leave both sides."""

    reaches: str
    within: Duration


class DurationSlot(Model):
    """Time between two columns. `unit` is how a value is given: s, m, h, d (seconds when absent)."""

    from_: str = Field(alias="from")
    to: str
    clock: Literal["calendar", "business"] = "calendar"
    unit: Literal["s", "m", "h", "d"] | None = None
    unfinished: Literal["exclude", "so_far"] = "exclude"


class Stock(Model):
    """Rows open at an instant: opened before it, and not closed before it. Without `closes`: rows known then."""

    opens: str
    closes: str | None = None
    at: Literal["period_end"] = "period_end"


class Retain(Model):
    """Of the things open at the period's start, the share open at its end (key: what is counted once)."""

    opens: str
    closes: str
    key: str


class Filled(Model):
    """How well fields are filled: column -> weight, or {weight, where} for a requirement with a condition."""

    required: dict[str, float | dict[str, Any]] = {}


class Baseline(Model):
    """Where a relative target starts from: a whole period ("2025"), or the value at a date."""

    period: str | None = None
    at: date | None = None

    @model_validator(mode="after")
    def _one(self) -> "Baseline":
        if (self.period is None) == (self.at is None):
            raise ValueError('give either period ("2025") or at (a date)')
        return self


class Band(Model):
    """Wanted between two values, both included."""

    between: tuple[float, float]

    @field_validator("between")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("the lower edge must come first")
        return value


def _share_or_number(value: Any) -> Any:
    """Read "+10%" as 0.10; numbers are fractions already."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*%\s*", value)
        if not found:
            raise ValueError('not a change. Write "+10%", "-20%" or a fraction such as 0.1.')
        return float(found[1]) / 100
    return value


class Target(Model):
    """What is wanted of a KPI, by when and on which path; extra keys name a dimension: team = {EMEA = 0.28}."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    want: Literal["up", "down"] | Band
    value: float | None = None
    change: Annotated[float | None, BeforeValidator(_share_or_number)] = None
    from_: Baseline | None = Field(default=None, alias="from")
    start: date | None = None
    due: date | None = None
    path: Literal["linear", "seasonal", "business_days", "glide"] | None = None
    amber: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Target":
        if isinstance(self.want, Band):
            if self.value is not None or self.change is not None:
                raise ValueError("want = { between = [...] } takes no value and no change")
        elif (self.value is None) == (self.change is None):
            raise ValueError("give either value or change")
        if self.change is not None and (self.from_ is None or self.due is None):
            raise ValueError("a change needs from (its baseline) and due (its deadline)")
        for name, segments in (self.model_extra or {}).items():
            if not isinstance(segments, Mapping) or not all(
                isinstance(v, int | float) and not isinstance(v, bool) for v in segments.values()
            ):
                raise ValueError(f"{name} is not a key of a target, and not a table of segments with their values")
        return self

    @property
    def segments(self) -> Mapping[str, Mapping[str, float]]:
        """Targets of single segments by dimension."""
        return self.model_extra or {}


class Action(Model):
    """The rows somebody must touch: filter, order ("-amount" is largest first), how many, which columns."""

    where: dict[str, Any] = {}
    order: str | None = None
    limit: Annotated[int, Field(ge=1, le=50)] = 5
    show: tuple[str, ...] = ()
    label: str = ""
    reason: str = ""  # said of each row; {column} is replaced: "lost: {loss_reason}"
    open_now: bool = False  # the rows as they are at as_of, whatever the period


class Also(Model):
    """A further figure over the same rows, shown beside the value."""

    agg: str = "count"
    field: str | None = None
    where: dict[str, Any] = {}
    clock: Literal["calendar", "business"] | None = None
    scale: float | None = None
    share: dict[str, Any] | None = None
    excluded: Literal["open", "negative", "null", "no_fx", "immature"] | None = None  # count the rows left out so
    own: bool = False  # its own rows: neither the KPI's period nor its filter

    @field_validator("agg")
    @classmethod
    def _known(cls, value: str) -> str:
        return aggregate_name(value)


def aggregate_name(value: str) -> str:
    """An aggregate by its name; "mean" is avg. Raises ValueError."""
    value = "avg" if value == "mean" else value
    if not _AGGREGATES.match(value):
        raise ValueError("not an aggregate. Use count, sum, avg, median, min, max, distinct or p1 to p99.")
    return value
