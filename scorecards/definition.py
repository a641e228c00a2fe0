"""What a KPI, a target and a scorecard say, as frozen models: the language admins and the catalogue share.

Knows the slots and the shape of what may stand in them; whether a column exists is for `checks` to say, and
what the answer is `evaluate`'s. Field names are the TOML keys (config.example.toml shows
each), so a problem's path here is the path below `[kpi.NAME]` in the file.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from scorecards.alsoslot import Also, Remark
from scorecards.slots import (
    Action,
    Calc,
    Change,
    Cohort,
    Deadline,
    Duration,
    DurationSlot,
    Filled,
    Granularity,
    MatureSlot,
    Model,
    Per,
    Ratio,
    Retain,
    Stock,
    Window,
    aggregate_name,
)
from scorecards.takes import TakesSlot
from scorecards.targets.slot import Target

#: What a KPI may be; without one it is a plain aggregate.
SHAPES = ("share", "ratio", "calc", "cohort", "duration", "deadline", "stock", "retain", "filled", "sql")
_FIELDLESS = {"duration", "deadline", "cohort", "sql", "ratio", "calc", "filled", "retain"}


class Kpi(Model):
    """One KPI: at most one shape (SHAPES), or stock with share."""

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
    out: dict[str, dict[str, Any]] = {}  # rows left out and counted, by the reason that is said
    latest_per: tuple[str, ...] = ()
    first_per: tuple[str, ...] = ()
    per: Per | None = None
    per_distinct: str | None = None
    every: Literal["month"] | None = None  # what is noted once a month: a period that lacks one is partial
    nothing: Literal["zero", "unknown"] = "zero"  # what a sum over no rows is
    weight: str = "count"  # what a row weighs on both sides of a share: 1, or a column
    # when
    date: str | None = None
    period: Granularity | None = None
    usual_period: Granularity = "month"
    partial: Literal["to_date"] | None = None
    window: Window | None = None
    history: Duration | None = None  # so much before the period must be known, or there is no data
    mature: MatureSlot | None = None  # rows count only once this old at as_of
    # shape
    share: dict[str, Any] | None = None
    unless: Cohort | None = None  # on the share's side only rows that did not reach this in time
    headline: Literal["share", "count"] = "share"
    ratio: Ratio | None = None
    calc: Calc | None = None
    cohort: Cohort | None = None
    duration: DurationSlot | None = None
    deadline: Deadline | None = None
    stock: Stock | None = None
    retain: Retain | None = None
    filled: Filled | None = None
    sql: str | None = None
    # split, judge, act
    by: tuple[str, ...] = ()
    target: Target | None = None
    compare: tuple[Literal["previous", "year_ago", "month_ago"], ...] = ("previous", "year_ago")
    signal: Literal["xmr", "off"] = "xmr"
    changes: tuple[Change, ...] = ()  # declared ones of the process: each begins a usual range of its own
    n_min: Annotated[int | None, Field(ge=0)] = None
    action: Action | None = None
    remarks: tuple[Remark, ...] = ()  # said beside the value where they hold
    params: dict[str, Any] = {}
    takes: dict[str, TakesSlot] = Field(default={}, exclude=True)  # what each of its parameters takes
    params_of: str = ""  # a KPI whose parameters of the same name it takes, unless its own are given
    # how it reads
    format: str | None = None  # a currency code, "percent", "number": an admin's own value; "months": days, to readers
    unit: str | None = None
    scale: float | None = None
    direction: Literal["up", "down", "neutral"] | None = None
    perspective: str = ""
    aspect: Literal["customer", "financial", "process"] | None = None  # what of the business it is about
    group: str = ""
    needs: str = ""  # ends the sentence "no data: needs …"
    maps: str = ""  # where to map what it needs, one sentence said after it
    requires: tuple[str, ...] = ()  # scorecards.wanted: without, no data
    configured_by: tuple[str, ...] = ()  # "params.types" or "table.column": without, not configured
    additivity: Literal["A", "S", "N"] | None = None  # adds up over segments and time, over segments only, not
    # Instead of n_min: how many rows, and of what, make a figure (docs/definitions.md G12), such as "R20".
    n_min_kind: Annotated[str | None, Field(pattern=r"^([RDSG]?\d+|-)$")] = None
    segments: tuple[str, ...] = ()  # what it is worth splitting by
    partner: tuple[str, ...] = ()  # of a speed: the KPIs of its quality, one of which is shown with it
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
        return aggregate_name(value)

    @field_validator(
        "by", "compare", "latest_per", "first_per", "requires", "configured_by", "segments", "partner", mode="before"
    )
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
        return tuple(aggregate_name(name) for name in value) if isinstance(value, tuple) else value

    @model_validator(mode="before")
    @classmethod
    def _share_of_a_sum(cls, said: Any) -> Any:
        """A share with agg = "sum" and a field is that of the sum: each row weighs what its field says."""
        if not isinstance(said, Mapping) or said.get("agg") != "sum" or not isinstance(said.get("share"), Mapping):
            return said
        if said.get("field") is None or said.get("weight", "count") != "count":
            return said
        return {key: value for key, value in said.items() if key not in ("agg", "field")} | {"weight": said["field"]}

    @model_validator(mode="after")
    def _one_shape(self) -> "Kpi":
        shapes = [s for s in SHAPES if getattr(self, s) is not None]
        if len(shapes) > 1 and set(shapes) != {"share", "stock"}:
            raise ValueError(f"at most one shape, this has {' and '.join(shapes)}")
        if not shapes or shapes[0] not in ("ratio", "calc", "sql"):
            if self.of is None:
                raise ValueError("says nothing to count: give of (a table), ratio, calc or sql")
        elif self.of is not None:
            raise ValueError(f"{shapes[0]} takes no of")
        if self.changes and self.signal == "off":
            raise ValueError('changes begin usual ranges, and signal = "off" has none')
        if len({change.at for change in self.changes}) < len(self.changes):
            raise ValueError("two of changes are of one day: give one reason for both")
        if self.latest_per and self.first_per:
            raise ValueError("give either latest_per or first_per")
        if self.per is not None and (shapes or self.agg in ("count", "distinct")):
            raise ValueError("per takes no shape, and an agg over days such as max, avg or sum")
        if self.per_distinct is not None and (shapes or self.agg != "sum"):
            raise ValueError('per_distinct is of a plain sum: agg = "sum"')
        if self.every is not None and shapes:
            raise ValueError("every takes no shape: it is of what is noted by day, such as a sum of costs")
        if self.weight != "count" and "share" not in shapes:
            raise ValueError("weight is of a share: what each row counts for on both sides")
        plain_values = self.agg in ("sum", "avg", "median", "min", "max", "distinct") or self.agg.startswith("p")
        if plain_values and self.field is None and not (_FIELDLESS & set(shapes) or self.per):
            raise ValueError(f"agg = {self.agg!r} needs a field")
        return self

    @property
    def shape(self) -> str:
        """The one shape, or plain; of stock with share: stock."""
        for name in ("stock", *SHAPES):
            if getattr(self, name) is not None:
                return name
        return "plain"

    @property
    def is_only_now(self) -> bool:
        """Does it say something of the rows as they are alone, and nothing of earlier periods?"""
        return self.filled is not None or (self.stock is not None and self.stock.at == "now")

    @property
    def operands(self) -> tuple[str, ...]:
        """What a ratio or a sum of KPIs is made of, as written: names with their suffixes."""
        if self.ratio is not None:
            return (*self.ratio.tops, *self.ratio.bottoms)
        return (*self.calc.plus, *self.calc.minus) if self.calc is not None else ()

    def partner_missing_from(self, shown: Collection[str]) -> str:
        """The quality that must stand beside this speed, where `shown` has none of its partners; else empty."""
        return "" if not self.partner or any(name in shown for name in self.partner) else self.partner[0]

    @property
    def title(self) -> str:
        return self.name or self.id.replace("_", " ").capitalize()


def build(name: str, template: Mapping[str, Any], *, builtin: bool = False) -> Kpi:
    """A KPI from its table: laid out, then "$name" becomes that parameter.

    Built-ins are made of the same tables. Raises pydantic.ValidationError with paths as in the table.
    """
    return Kpi.model_validate({**substituted(template), "id": name, "builtin": builtin, "template": dict(template)})


def substituted(template: Mapping[str, Any]) -> dict[str, Any]:
    """A KPI's table as its parameters make it: laid out, with their values in the place of "$name"."""
    table = laid_out(template)
    params = table.get("params", {})
    return {
        key: value if key in ("params", "takes") else _substituted(value, params)
        for key, value in table.items()
        if value not in (None, "")  # "" takes a key of the template away: TOML has no null
    }


def laid_out(template: Mapping[str, Any]) -> dict[str, Any]:
    """A KPI's table with the `variants` that its parameters choose ("*": any value) laid over it, and theirs."""
    table = {key: value for key, value in template.items() if key != "variants"}
    for param, choices in template.get("variants", {}).items():
        value = table.get("params", {}).get(param)
        key = str(value).lower() if isinstance(value, bool) else str(value)
        chosen = choices.get(key) or ({} if value in (None, "", []) else choices.get("*", {}))
        params = {**chosen.get("params", {}), **table.get("params", {})}
        table = laid_out({**table, **chosen, "params": params})
    return table


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
        value = value.replace(f"${name}", _in_a_text(params[name]))
    return value


def _in_a_text(value: Any) -> str:
    """A parameter as it stands in a sentence: of one chosen by a column (`{value, by, of}`) each of its numbers."""
    if not isinstance(value, Mapping) or "value" not in value:
        return str(value)
    by = str(value.get("by", "")).rpartition(".")[2].replace("_", " ")
    own = ", ".join(f"{by} {name}: {number}" for name, number in dict(value.get("of", {})).items())
    return f"{value['value']} ({own})" if own else str(value["value"])


def override(builtin: Kpi, table: Mapping[str, Any]) -> Kpi:
    """A built-in with an admin's table laid over it: keys replace, `params` are merged."""
    template = {**builtin.template, **table}
    template["params"] = {**builtin.template.get("params", {}), **table.get("params", {})}
    return build(builtin.id, template, builtin=True)


def with_shared_params(kpis: Mapping[str, Kpi], written: Mapping[str, Mapping[str, Any]]) -> dict[str, Kpi]:
    """The KPIs that take parameters of another (`params_of`), with those it has now; what the file gives them stays."""
    found = {}
    for name, kpi in kpis.items():
        other = kpis.get(kpi.params_of)
        if other is not None and kpi.builtin:
            own = written.get(name, {}).get("params", {})
            taken = {key: other.params[key] for key in kpi.params if key in other.params and key not in own}
            found[name] = override(kpi, {"params": taken})
    return found


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

    @field_serializer("holidays", when_used="json")
    def _in_order(self, days: frozenset[date]) -> list[str]:
        """A set has another order in every process; what is hashed or compared as JSON has one."""
        return [day.isoformat() for day in sorted(days)]


class Customers(Model):
    """`[customers]`: who counts as a customer (docs/definitions.md)."""

    model: Literal["contractual", "repurchase"] | None = None  # None: contractual where contracts exist
    lookback_days: Annotated[int, Field(ge=1)] = 365


class TestRows(Model):
    """`[test_rows]`: rows left out of every KPI (docs/definitions.md G4). `names` are patterns with * and ?."""

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
    calendars: dict[str, Hours] = {}  # by team, those that have hours of their own
    dimensions: dict[str, dict[str, str]] = {}
    customers: Customers = Customers()
    test_rows: TestRows = TestRows()
    system_of_record: Literal["salesforce", "hubspot"] = "salesforce"
    links: tuple[tuple[str, str], ...] = ()  # pairs of records the configuration says are the same
    never_links: tuple[tuple[str, str], ...] = ()  # and those it says are not
    deals_alike: bool = False  # won deals of one account that look alike in two CRMs are one
    gap_days: tuple[int, ...] = (14,)  # the pauses that end an engagement, one for each length a KPI asks for
    customer_spans: tuple[str, ...] = ("deals 365",)  # purchases and lookbacks KPIs ask for (facts.spans.made_of)
    sources: tuple[str, ...] | None = None  # the sources configured now; None: all there is a note of
    tables: dict[str, dict[str, str]] = {}
    references: dict[str, dict[str, str]] = {}

    def hours_of(self, team: object) -> Hours:
        """The hours a team works: its own calendar's, else everybody's."""
        return self.calendars.get(team, self.hours) if isinstance(team, str) else self.hours
