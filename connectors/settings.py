"""Pieces that the settings of more than one source share: durations, addresses, mappings; no vendor knowledge."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

#: {theirs: ours} of one column.
ValueMap = dict[str, str | bool | int | float]


def parse_duration(value: object) -> object:
    """Turn `"15m"`, `"6h"`, `"90d"` into whole seconds; a number is taken as seconds already."""
    if isinstance(value, bool) or not isinstance(value, str):
        return value
    if not (match := re.fullmatch(r"\s*(\d+)\s*([smhdwy])\s*", value)):
        raise ValueError(f'{value!r} is not a duration: write a number and a unit, like "15m", "6h" or "90d"')
    return int(match[1]) * _UNIT_S[match[2]]


#: Seconds; written as "15m", "6h", "90d" or already a number.
Duration = Annotated[int, BeforeValidator(parse_duration), Field(gt=0)]


def check_address(value: str | None, *, key: str) -> str | None:
    """An http(s) address without a trailing slash; plain http only to this machine. Raises ValueError."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'{key} must be an address like "https://example.com", not {value!r}')
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{key} may be plain http only to this machine (127.0.0.1); use https for {parts.hostname}")
    if parts.username or parts.password:
        raise ValueError(f"{key} must not carry a user name or password")
    if parts.query or parts.fragment:
        raise ValueError(f"{key} must not carry a query (?…) or a fragment (#…)")
    return value.rstrip("/")


#: What a CRM, or those who use it, call what has another name here.
VENDORS_WORDS: Mapping[str, str] = {
    "deals": "opportunities", "companies": "accounts", "company": "accounts", "organizations": "accounts",
    "customers": "accounts", "cases": "tickets", "incidents": "tickets", "owners": "users", "people": "contacts",
    "tasks": "activities", "calls": "activities", "meetings": "activities", "emails": "activities",
    "notes": "activities", "events": "activities", "engagements": "activities", "line_items": "opportunity_lines",
    "feedback_submissions": "survey_responses", "surveys": "survey_responses", "exchange_rates": "fx_rates",
}  # fmt: skip


def meant(name: str, known: Sequence[str]) -> str:
    """The known name that a CRM's own word stands for, else the nearest one; empty when none is close."""
    lower = name.lower()
    word = VENDORS_WORDS.get(lower) or VENDORS_WORDS.get(f"{lower}s", "")
    return word if word in known else next(iter(difflib.get_close_matches(lower, known, n=1)), "")


def nearest(name: str, known: Sequence[str]) -> str:
    """` Did you mean "x"?` where a known name is close, else empty."""
    close = meant(name, known)
    return f' Did you mean "{close}"?' if close else ""


@dataclass(frozen=True, slots=True)
class WrittenLike:
    """A text of a form that is said in words where it is not kept to; editors get the pattern."""

    pattern: str
    mend: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def _checked(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"not of the form wanted; {self.mend}")
        return value


class Part(BaseModel):
    """Root of all settings: frozen, and a key we do not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, validate_default=True)


def within(least: str, most: str) -> AfterValidator:
    """For a duration: both ends belong to it, and are named as people write them."""
    low, high = int(str(parse_duration(least))), int(str(parse_duration(most)))

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f'must be at least "{least}" and at most "{most}"')
        return value

    return AfterValidator(check)


class CrmLimits(Part):
    """`limits` of either CRM: what the vendor sets, by plan, contract or policy, and may set anew.

    Of the day: our share, and what stays for others. Of logins: how many vain ones within which time. Of what shows
    late: how far each sync looks back, and when all that was stamped can be seen.
    """

    daily_share: float = Field(default=0.5, gt=0, le=1)
    daily_reserve: float = Field(default=0.1, ge=0, lt=1)
    logins: int = Field(default=3, ge=1, le=1_000)
    login_window: Annotated[Duration, within("1m", "1d")] = 900
    lookback: Annotated[Duration, within("1s", "1d")] = 600
    lag: Annotated[Duration, within("2m", "1d")] = 3660

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.lookback > self.lag:
            raise ValueError("lookback is longer than lag; make it shorter: what is that old is read once more anyway")
        return self


class CrmSettings(Part):
    """What `[source.NAME]` of either CRM may hold; subclasses name their `offered` tables."""

    every: Duration = 900
    start: date | None = None
    streams: tuple[str, ...] | None = None
    base_url: str | None = None
    ca_file: str | None = None
    fields: Mapping[str, dict[str, str]] = Field(default_factory=dict)
    values: Mapping[str, dict[str, ValueMap]] = Field(default_factory=dict)

    @classmethod
    def offered(cls) -> tuple[str, ...]:
        """The tables this kind of source can fill by a stream of their own."""
        raise NotImplementedError

    @property
    def stream_names(self) -> tuple[str, ...]:
        """The streams this source has."""
        return self.streams or self.offered()

    @field_validator("every", mode="after")
    @classmethod
    def _check_every(cls, value: int) -> int:
        if value < 60:
            raise ValueError('every must be at least "1m"')
        return value

    @field_validator("base_url", mode="after")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        return check_address(value, key="base_url")

    @field_validator("streams", mode="after")
    @classmethod
    def _check_streams(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        offered = cls.offered()
        if wrong := [name for name in value or () if name not in offered]:
            mends = {name: meant(name, offered) for name in wrong}
            named = [f'"{name}" (did you mean "{mend}"?)' if mend else f'"{name}"' for name, mend in mends.items()]
            if len(wrong) == 1:
                named = [f'"{wrong[0]}"']
            hint = nearest(wrong[0], offered) if len(wrong) == 1 else ""
            what = "is no stream" if len(wrong) == 1 else "are no streams"
            raise ValueError(f"there {what} {', '.join(named)};{hint} Offered: {', '.join(offered)}.")
        if value is not None and not value:
            raise ValueError("streams is empty: name at least one table, or leave it out for all")
        return value

    @model_validator(mode="after")
    def _check_tables(self) -> Self:
        for key, tables in (("fields", self.fields), ("values", self.values)):
            for table in tables:
                if table not in (*self.offered(), *self.side_tables()):
                    known = (*self.offered(), *self.side_tables())
                    raise ValueError(f"{key}.{table}: this source fills no table of that name.{nearest(table, known)}")
        return self

    @classmethod
    def side_tables(cls) -> tuple[str, ...]:
        """Tables filled beside a stream's main one: their fields and values may be mapped too."""
        return ("opportunity_stage_history", "ticket_status_history", "stage_defs", "pipelines", "activity_links")


def require(settings: Any, needed: Sequence[str], why: str) -> None:
    """Raise ValueError naming every key of `needed` that is not set."""
    missing = [key for key in needed if getattr(settings, key) is None]
    if missing:
        raise ValueError(f"{why} needs {' and '.join(missing)}")


#: What others refer to is read whole, however old: a deal of today may belong to an account untouched for years.
REFERENCE_STREAMS = frozenset({"users", "accounts", "contacts"})


def begin_of(start: date | None, stream: str) -> date | None:
    """The day a stream is read from; None: from the very beginning."""
    return None if stream in REFERENCE_STREAMS else start
