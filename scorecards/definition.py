"""What a KPI, a target and a scorecard say, as frozen models: the language admins and the catalogue share.

Knows the slots and the shape of what may stand in them; whether a column exists is `language`'s to say, and
what the answer is `evaluate`'s. Field names are the TOML keys (facts/reports.md section 3b, interfaces.md
section 2), so a problem's path here is the path below `[kpi.NAME]` in the file.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Granularity = Literal["day", "week", "month", "quarter", "year", "fiscal_quarter", "fiscal_year", "all"]
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+)\s*(s|m|h|d|w|y)\s*$")
_AGGREGATES = re.compile(r"^(count|sum|avg|median|min|max|distinct|p[1-9][0-9]?)$")


def duration_seconds(text: Any) -> int:
    """Read "15m", "6h", "90d", "2w", "3y" (365 days) as seconds. Raises ValueError with a plain sentence."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
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
        return _aggregate(value)


def _aggregate(value: str) -> str:
    value = "avg" if value == "mean" else value
    if not _AGGREGATES.match(value):
        raise ValueError("not an aggregate. Use count, sum, avg, median, min, max, distinct or p1 to p99.")
    return value


class Kpi(Model):
    """One KPI: at most one shape of share, ratio, cohort, duration, stock, retain, filled, sql (or stock + share)."""

    # who it is
    id: str = ""  # NAME of [kpi.NAME], set by the loader
    name: str = ""
    about: str = ""
    version: int = 1
    hidden: bool = False
    builtin: bool = False
    template: dict[str, Any] = Field(default={}, exclude=True, repr=False)  # as written, before $params
    # what
    of: str | None = None
    agg: str = "count"
    field: str | None = None
    also: tuple[str, ...] | dict[str, Also] = ()
    where: dict[str, Any] = {}
    latest_per: tuple[str, ...] = ()
    # when
    date: str | None = None
    period: Granularity | None = None
    usual_period: Granularity = "month"
    partial: Literal["to_date"] | None = None
    window: Duration | None = None
    mature: Duration | None = None  # rows count only once this old at as_of
    # shape
    share: dict[str, Any] | None = None
    unless: Cohort | None = None  # on the share's side only rows that did not reach this in time
    headline: Literal["share", "count"] = "share"
    ratio: Ratio | None = None
    cohort: Cohort | None = None
    duration: DurationSlot | None = None
    stock: Stock | None = None
    retain: Retain | None = None
    filled: Filled | None = None
    sql: str | None = None
    # split, judge, act
    by: tuple[str, ...] = ()
    target: Target | None = None
    compare: tuple[Literal["previous", "year_ago"], ...] = ("previous", "year_ago")
    signal: Literal["xmr", "off"] = "xmr"
    n_min: Annotated[int | None, Field(ge=0)] = None
    action: Action | None = None
    params: dict[str, Any] = {}
    # how it reads
    format: str | None = None  # a currency code, "percent", "number": how an admin's own value is shown
    unit: str | None = None
    scale: float | None = None
    direction: Literal["up", "down", "neutral"] | None = None
    perspective: str = ""
    group: str = ""
    needs: str = ""  # ends the sentence "no data: needs …"
    partner: str = ""  # a speed KPI's quality partner
    # the definition record [001]
    information: str = ""
    gathered_by: str = ""
    process: str = ""
    source: str = ""
    frequency: str = ""
    recipients: str = ""
    owner: str = ""
    objective: str = ""
    review_by: Annotated[object, Field()] = None
    touchpoint: str = ""

    @field_validator("agg")
    @classmethod
    def _known_agg(cls, value: str) -> str:
        return _aggregate(value)

    @field_validator("by", "compare", "latest_per", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("also", mode="before")
    @classmethod
    def _plain_also(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("review_by")
    @classmethod
    def _day(cls, value: object) -> object:
        if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
            raise ValueError("not a date. Write it bare, such as 2027-06-30.")
        return value

    @field_validator("also", mode="after")
    @classmethod
    def _known_also(cls, value: Any) -> Any:
        return tuple(_aggregate(name) for name in value) if isinstance(value, tuple) else value

    @model_validator(mode="after")
    def _one_shape(self) -> "Kpi":
        shapes = [
            s
            for s in ("share", "ratio", "cohort", "duration", "stock", "retain", "filled", "sql")
            if getattr(self, s) is not None
        ]
        if len(shapes) > 1 and set(shapes) != {"share", "stock"}:
            raise ValueError(f"at most one shape, this has {' and '.join(shapes)}")
        if not shapes or shapes[0] not in ("ratio", "sql"):
            if self.of is None:
                raise ValueError("says nothing to count: give of (a table), ratio or sql")
        elif self.of is not None:
            raise ValueError(f"{shapes[0]} takes no of")
        plain_values = self.agg in ("sum", "avg", "median", "min", "max", "distinct") or self.agg.startswith("p")
        if plain_values and self.field is None and not {"duration", "sql", "ratio", "filled", "retain"} & set(shapes):
            raise ValueError(f"agg = {self.agg!r} needs a field")
        return self

    @property
    def shape(self) -> str:
        """The one shape: share, ratio, cohort, duration, stock, retain, filled, sql, or plain."""
        for name in ("stock", "share", "ratio", "cohort", "duration", "retain", "filled", "sql"):
            if getattr(self, name) is not None:
                return name
        return "plain"

    @property
    def title(self) -> str:
        return self.name or self.id.replace("_", " ").capitalize()


def build(name: str, template: Mapping[str, Any], *, builtin: bool = False) -> Kpi:
    """A KPI from its table: `variants` chosen by a parameter are laid over it, then "$name" becomes that parameter.

    Built-ins are made of the same tables. Raises pydantic.ValidationError with paths as in the table.
    """
    table = {key: value for key, value in template.items() if key != "variants"}
    for param, choices in template.get("variants", {}).items():
        chosen = choices.get(str(table.get("params", {}).get(param)), {})
        params = {**chosen.get("params", {}), **table.get("params", {})}
        table = {**table, **chosen, "params": params}
    params = table.get("params", {})
    table = {
        key: value if key == "params" else _substituted(value, params)
        for key, value in table.items()
        if value not in (None, "")  # "" takes a key of the template away: TOML has no null
    }
    return Kpi.model_validate({**table, "id": name, "builtin": builtin, "template": dict(template)})


def _substituted(value: Any, params: Mapping[str, Any]) -> Any:
    """ "$name" standing alone becomes the parameter itself; inside a text, its text."""
    if isinstance(value, Mapping):
        return {key: _substituted(item, params) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_substituted(item, params) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value
    for name in sorted(params, key=len, reverse=True):
        if value == f"${name}":
            return params[name]
        value = value.replace(f"${name}", str(params[name]))
    return value


def override(builtin: Kpi, table: Mapping[str, Any]) -> Kpi:
    """A built-in with an admin's table laid over it: keys replace, `params` are merged."""
    template = {**builtin.template, **table}
    template["params"] = {**builtin.template.get("params", {}), **table.get("params", {})}
    return build(builtin.id, template, builtin=True)


class Recipient(Model):
    """Who gets a copy, and how theirs reads."""

    address: str
    name: str = ""
    locale: str | None = None
    timezone: str | None = None


class Scorecard(Model):
    """A configured set of KPIs with readers and a schedule (`[scorecard.NAME]`)."""

    id: str = ""  # NAME, set by the loader
    title: str = ""
    owner: str | None = None
    send: str | None = None
    cron: str | None = None
    period: Literal["day", "week", "month", "quarter", "year", "fiscal_quarter", "fiscal_year"] | None = None
    timezone: str | None = None
    locale: str | None = None
    currency: str | None = None
    kpis: Annotated[tuple[str, ...], Field(min_length=1)]
    to: tuple[str | Recipient, ...] = ()
    max_age: Duration | None = None
    if_stale: Literal["hold", "mark", "skip"] = "hold"
    hold_max: Duration = 3 * 3600
    only_if: Literal["always", "any red", "any red or signal", "changed"] = "always"
    catch_up: Literal["newest", "none"] = "newest"
    per: str | None = None
    per_to: str | dict[str, str] | None = None
    quiet: tuple[date, ...] = ()
    pause_until: date | None = None
    attach: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_schedule(self) -> "Scorecard":
        if self.send is not None and self.cron is not None:
            raise ValueError("give either send or cron")
        return self


class Hours(Model):
    """Opening hours by weekday (0 = Monday): minutes of the local day, half-open, in order."""

    weekly: dict[int, tuple[tuple[int, int], ...]] = dict.fromkeys(range(5), ((9 * 60, 18 * 60),))
    holidays: frozenset[date] = frozenset()
    timezone: str = "UTC"


class Customers(Model):
    """`[customers]`: who counts as a customer (facts/kpis.md section 3.3)."""

    model: Literal["contractual", "repurchase"] | None = None  # None: contractual where contracts exist
    lookback_days: Annotated[int, Field(ge=1)] = 365


class TestRows(Model):
    """`[test_rows]`: rows left out of every KPI (facts/kpis.md G4). `names` are patterns with * and ?."""

    domains: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    record_types: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()


class Reporting(Model):
    """What every KPI is computed under: time zone, currency, calendar, segments and who counts.

    `tables` and `references` are the cache's canonical tables (column -> type, column -> table referred to).
    """

    timezone: str = "UTC"
    currency: str = "EUR"
    week_starts: int = 0  # 0 = Monday
    fiscal_year_starts: Annotated[int, Field(ge=1, le=12)] = 1
    hours: Hours = Hours()
    dimensions: dict[str, dict[str, str]] = {}
    customers: Customers = Customers()
    test_rows: TestRows = TestRows()
    system_of_record: Literal["salesforce", "hubspot"] = "salesforce"
    tables: dict[str, dict[str, str]] = {}
    references: dict[str, dict[str, str]] = {}
