"""What is asked of a KPI's rows: which aggregate of what, over which of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scorecards.alsoslot import Also
from scorecards.definition import Kpi


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a KPI's rows: its own aggregate, or a further figure beside it."""

    agg: str
    field: str | None
    where: Mapping[str, Any]
    share: Mapping[str, Any] | None
    clock: str | None
    weight: str = "count"


def question_of(kpi: Kpi) -> Question:
    clock = kpi.duration.clock if kpi.duration else None
    return Question(kpi.agg, kpi.field, kpi.where, kpi.share, clock, kpi.weight)


def question_beside(kpi: Kpi, also: Also) -> Question:
    """The same rows with a further filter, another measure or another clock."""
    clock = also.clock or (kpi.duration.clock if kpi.duration else None)
    return Question(also.agg, also.field, {**kpi.where, **also.where}, also.share, clock)
