"""The slots of what stands beside a value: further figures, and remarks that depend on one."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator, model_validator

from scorecards.slots import Model, aggregate_name


class Remark(Model):
    """A sentence said beside a value while it, or a figure beside it (`of`), lies beyond a number."""

    said: str
    of: str = "value"
    gt: float | None = None
    lt: float | None = None

    def holds(self, figures: Mapping[str, Any]) -> bool:
        """Is it to be said? Never of what is not known."""
        name, _, segment = self.of.partition(".")
        value = figures.get(name)
        if segment and isinstance(value, list):  # a figure beside it that is split: the one of this segment
            value = next((part["value"] for part in value if part["segment"] == segment), None)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return (self.gt is None or value > self.gt) and (self.lt is None or value < self.lt)


class Also(Model):
    """A further figure over the same rows, shown beside the value; or a part of another KPI; or a split (`by`)."""

    agg: str = "count"
    field: str | None = None
    where: dict[str, Any] = {}
    clock: Literal["calendar", "business"] | None = None
    scale: float | None = None
    share: dict[str, Any] | None = None
    excluded: str | None = (
        None  # count the rows left out for this reason: open negative null no_fx immature pending ...
    )
    own: bool = False  # its own rows: neither the KPI's period nor its filter
    kpi: str | None = None  # another KPI over the same period
    part: Literal["value", "n", "numerator", "denominator"] = "value"  # of it
    by: str | None = None  # the KPI's own figure (that of `kpi`, where one is named) per segment, as a list
    said: str = ""  # how readers see it beside the value: "{value} per customer"; else it is in `details` alone
    unit: Literal["count", "ratio", "money", "seconds", "days", "number", "per_100"] | None = (
        None  # where none is known
    )

    @field_validator("agg")
    @classmethod
    def _known(cls, value: str) -> str:
        return aggregate_name(value)

    @model_validator(mode="after")
    def _alone(self) -> "Also":
        said = self.model_fields_set - {"part", "said", "unit"}
        for name, beside in (("kpi", {"by"}), ("by", {"kpi"}), ("excluded", set[str]())):
            if getattr(self, name) is not None and (others := said - {name} - beside):
                raise ValueError(f"{name} stands alone: it takes no {', '.join(sorted(others))}")
        if self.said and ("{value}" not in self.said or self.by is not None):
            raise ValueError('said says one figure, with {value} in its place: "{value} per customer"')
        if self.unit is not None and not self.said:
            raise ValueError("unit is how a figure that is said reads: add said")
        return self
