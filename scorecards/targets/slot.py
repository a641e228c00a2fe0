"""The target of a KPI as it is written: what is wanted, from which baseline, by when and on which path."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from scorecards.slots import Model


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
            raise ValueError('not a change. Write "+10%", "-20%", "+5pp" (points of a rate) or a fraction such as 0.1.')
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
    amber: Annotated[float, Field(ge=0, lt=1)] | None = None
    points: bool = False  # of a rate: `change` is added to the baseline rather than multiplied; said as "+5pp"

    @model_validator(mode="before")
    @classmethod
    def _in_points(cls, said: Any) -> Any:
        change = said.get("change") if isinstance(said, Mapping) else None
        found = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*pp\s*", change) if isinstance(change, str) else None
        return {**said, "change": float(found[1]) / 100, "points": True} if found else said

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
