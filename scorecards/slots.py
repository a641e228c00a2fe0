"""The slots of the KPI language: what may stand in each, and whether it is whole. Knows no rows and no columns."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Granularity = Literal["day", "week", "month", "quarter", "year", "fiscal_quarter", "fiscal_year", "all"]
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+)\s*(s|m|h|d|w|y)\s*$")
_AGGREGATES = re.compile(r"^(count|sum|avg|median|min|max|distinct|p[1-9][0-9]?)$")


def duration_seconds(text: Any) -> int:
    """Read "15m", "6h", "90d", "2w", "3y" (365 days) as seconds, also { seconds = 900 } and { days = 7 }.

    Raises ValueError with a plain sentence.
    """
    if isinstance(text, Mapping) and len(text) == 1 and set(text) <= {"seconds", "days"}:
        ((unit, number),) = text.items()
        if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
            return number * (86400 if unit == "days" else 1)
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


def _of_whole_days(seconds: int) -> int:
    if seconds < 86400 or seconds % 86400:
        raise ValueError('a window is of whole days. Write "1d", "7d", "90d".')
    return seconds


#: Whole days, in seconds.
Window = Annotated[Duration, AfterValidator(_of_whole_days)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


#: One name or a list of them.
Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class Ratio(Model):
    """KPIs over KPIs; each name may carry a suffix (.value .target .gap .previous .base .change .opening .mean ...).

    Several names on a side are multiplied. `times` is what the quotient is multiplied by: a number, or the days of the
    period. `rests_on`: what there must be enough of, and is said as n: the rows of both sides (of a change, unless said
    otherwise), those below the line (of all else), what stands below it (units sold), or the value of one name below
    it. `at`: both sides are
    taken at an instant, so the quotient is a stock as they are. `lag`: what stands below is of so many days earlier.
    """

    tops: Names = Field(alias="top")
    bottoms: Names = Field(alias="bottom")
    times: float | Literal["period_days"] = 1.0
    rests_on: str = "both"
    at: Literal["period_end"] | None = None
    lag: Duration = 0

    @field_validator("lag")
    @classmethod
    def _of_days(cls, value: int) -> int:
        if value % 86400:
            raise ValueError('a lag is of whole days, such as "30d"')
        return value

    @model_validator(mode="after")
    def _rests(self) -> "Ratio":
        if self.rests_on not in (known := ("both", "bottom", "bottom_value", *self.bottoms)):
            raise ValueError(f"rests_on is none of {', '.join(known)}")
        return self

    @property
    def rests(self) -> str:
        """`rests_on` where said; else a change rests on both the periods it compares, all else on its bottom."""
        if "rests_on" in self.model_fields_set:
            return self.rests_on
        compares = any(name.endswith((".change", ".previous", ".base")) for name in (*self.tops, *self.bottoms))
        return "both" if compares else "bottom"

    @property
    def top(self) -> str:
        """The first name above the line: mostly the only one."""
        return self.tops[0]

    @property
    def bottom(self) -> str:
        """The first name below the line."""
        return self.bottoms[0]


class Calc(Model):
    """KPIs added up, and others taken away; names as in a ratio."""

    plus: Names
    minus: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class Cohort(Model):
    """Of the rows placed by `date`, the share that reaches `reaches` within `within`; young rows leave both sides.

    A row that passes `or` has succeeded at once.
    """

    reaches: str
    within: Duration
    or_: dict[str, Any] = Field(default={}, alias="or")


def _wait(value: Any) -> Any:
    return {"wait": value} if isinstance(value, str) else value


class Mature(Model):
    """Rows count only once this long has passed since `after` (the KPI's date when absent)."""

    after: str | None = None
    wait: Duration


#: "14d", or { after = "ended_at", wait = "14d" }.
MatureSlot = Annotated[Mature, BeforeValidator(_wait)]

_BUSINESS_DAYS = re.compile(r"^\s*(\d+)\s*bd\s*$")


class Within(Model):
    """How long there is: seconds on the deadline's clock, or business days after the local day it began.

    `by` names a column whose values have times of their own, in seconds: { by = "priority", of = { high = 3600 } }.
    """

    seconds: Annotated[int, Field(ge=0)] = 0
    business_days: Annotated[int, Field(ge=1)] | None = None
    by: str | None = None
    of: dict[str, Annotated[int, Field(ge=0)]] = {}

    @model_validator(mode="after")
    def _whole(self) -> "Within":
        said = self.model_fields_set
        if self.business_days is not None and said - {"business_days"}:
            raise ValueError("business_days stands alone: it takes no seconds, by and of")
        if self.business_days is None and "seconds" not in said:
            raise ValueError("give seconds too, for all other values" if said else "give seconds or business_days")
        if self.of and self.by is None:
            raise ValueError("of needs by, the column whose values have times of their own")
        return self


def _within(value: Any) -> Any:
    if isinstance(value, str):
        if found := _BUSINESS_DAYS.match(value):
            return {"business_days": int(found[1])}
        return {"seconds": duration_seconds(value)}
    return value


class Deadline(Model):
    """Of the rows decided by now, the share done in time.

    The limit is `within` after `from`, or `grace` after `due`. In time: `to` is not after it; late: `to` is, or
    there is none and the limit has passed. Not passed and no `to`: pending, left out; so is what `void` ended
    before the limit. `by = "day"`: the local day of `to` is what counts. `wait`: nothing is judged before its limit.
    """

    from_: str | None = Field(default=None, alias="from")
    to: str
    within: Annotated[Within | None, BeforeValidator(_within)] = None
    clock: Literal["calendar", "business"] = "calendar"
    due: str | None = None
    grace: Duration = 0
    void: str | None = None
    by: Literal["instant", "day"] = "instant"
    wait: bool = False

    @model_validator(mode="after")
    def _one_limit(self) -> "Deadline":
        counted = self.from_ is not None and self.within is not None
        if counted == (self.due is not None) or (self.due is not None and (self.from_ or self.within)):
            raise ValueError("give either from and within, or due")
        if self.due is not None and self.clock == "business":
            raise ValueError("clock goes with from and within")
        if self.due is None and self.by == "day":
            raise ValueError('by goes with due: after from, whole days are within = "1bd"')
        if self.grace and self.due is None:
            raise ValueError("grace goes with due")
        return self


class Per(Model):
    """An aggregate made per local day first; the KPI's `agg` is then over the days, those without rows being 0."""

    unit: Literal["day"] = "day"
    agg: str = "count"
    field: str | None = None

    @field_validator("agg")
    @classmethod
    def _known(cls, value: str) -> str:
        value = aggregate_name(value)
        if value not in ("count", "sum", "distinct"):
            raise ValueError("a day's figure is count, sum or distinct: only these are 0 on a day without rows")
        return value

    @model_validator(mode="after")
    def _fielded(self) -> "Per":
        if self.agg != "count" and self.field is None:
            raise ValueError(f"agg = {self.agg!r} needs a field")
        return self


class DurationSlot(Model):
    """Time between two columns. `unit` is how a value is given: s, m, h, d (seconds when absent).

    An end later than `within` after the beginning is none: such a row still waits. The time the record was in a state
    of `pause_on` (of tickets "pending": they wait for the customer) is taken out, on the same clock.
    """

    from_: str = Field(alias="from")
    to: str
    clock: Literal["calendar", "business"] = "calendar"
    unit: Literal["s", "m", "h", "d"] | None = None
    unfinished: Literal["exclude", "so_far"] = "exclude"
    within: Duration | None = None
    pause_on: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class Stock(Model):
    """Rows open at an instant: opened before it, and not closed before it. Without `closes`: rows known then.

    `at = "now"`: of what the rows were like earlier nobody kept anything, so nothing is said of earlier periods.
    """

    opens: str
    closes: str | None = None
    at: Literal["period_end", "now"] = "period_end"


class Retain(Model):
    """Of the things open at the period's start, the share open at its end (key: what is counted once).

    `headline = "lost"`: the share that is not.
    """

    opens: str
    closes: str
    key: str
    headline: Literal["kept", "lost"] = "kept"


class Filled(Model):
    """How well fields are filled: column -> weight, or {weight, where} for a requirement with a condition."""

    required: dict[str, float | dict[str, Any]] = {}


class Change(Model):
    """A change of the process behind a KPI, from a day on: points before it say nothing of those after it."""

    at: date
    reason: Annotated[str, Field(min_length=1, max_length=100)]

    @field_validator("at", mode="before")
    @classmethod
    def _day(cls, value: Any) -> Any:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise ValueError("not a date. Write it bare, such as 2026-04-01.")
        return value


class Without(Model):
    """Only rows whose `key` no row of another KPI names in its column `by`: customers without an upsell.

    That KPI is asked over its own window, else over the period shown.
    """

    kpi: str
    by: str
    key: str = "id"


class Action(Model):
    """The rows somebody must touch: filter, order ("-amount" is largest first), how many, which columns."""

    where: dict[str, Any] = {}
    order: str | None = None
    limit: Annotated[int, Field(ge=1, le=50)] = 5
    show: tuple[str, ...] = ()
    amount: str | None = None  # column that holds what is at stake, in major units, where the record's own is not it
    label: str = ""
    reason: str = ""  # said of each row; {column} is replaced: "lost: {loss_reason}"
    missed: bool = False  # of a share: only the rows that are not on top; of a retention, who was lost
    open_now: bool = False  # the rows as they are at as_of, whatever the period
    kpi: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()  # whose rows are listed instead of its own, in turn
    above: float | str | None = None  # only measures above a number, or above a quantile of the KPI's own ("p90")
    without: Without | None = None
    per: str | None = None  # one line for each value of this column, with its {figure}: the highest first
    below: float | str | None = (
        None  # of `per`: only figures below a number, or a quantile of them ({limit}), lowest first
    )
    fallen: bool = False  # of `per`: only figures lower than in the period compared with ({before}), furthest first

    @field_validator("above", "below")
    @classmethod
    def _a_quantile(cls, value: float | str | None) -> float | str | None:
        if isinstance(value, str) and not re.fullmatch(r"p[1-9][0-9]?|median", value):
            raise ValueError("neither a number nor a quantile: write p90, p1 to p99 or median")
        return value

    @model_validator(mode="after")
    def _of_one_form(self) -> "Action":
        if self.fallen and self.per is None:
            raise ValueError('fallen needs per, the column whose values are compared: per = "account_id"')
        if self.below is not None and self.per is None:
            raise ValueError('below needs per, the column whose values are ranked: per = "campaign_id"')
        if sum((self.fallen, self.above is not None, self.below is not None)) > 1:
            raise ValueError("give one of above, below and fallen")
        return self


def aggregate_name(value: str) -> str:
    """An aggregate by its name; "mean" is avg. Raises ValueError."""
    value = "avg" if value == "mean" else value
    if not _AGGREGATES.match(value):
        raise ValueError("not an aggregate. Use count, sum, avg, median, min, max, distinct or p1 to p99.")
    return value
