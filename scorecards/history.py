"""A KPI's own past: its whole periods from the first that holds anything, as points of a chart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.figures import is_rate
from scorecards.periods import Span, cut, last_complete, rolling, shifted
from scorecards.plan import is_stock
from scorecards.reading import unit_of
from scorecards.slots import Granularity
from scorecards.values import Point

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: How many points make a cycle that may have a season.
CYCLES: dict[Granularity, int] = {"day": 7, "week": 52, "month": 12, "quarter": 4, "fiscal_quarter": 4}


def keeps_no_past(kpi: Kpi) -> str:
    """Why a KPI has no history, as the end of a sentence; empty where it has one."""
    if kpi.filled is not None:
        return "how well fields were filled earlier, nobody kept"
    if kpi.is_only_now:
        return "what its rows were like earlier, nobody kept"
    if not is_stock(kpi) and kpi.date is None and kpi.of is not None and kpi.retain is None:
        return "it counts all rows known, whatever their date"
    return ""


def history(
    evaluator: "Evaluator",
    kpi: Kpi,
    *,
    grain: Granularity | None = None,
    most: int = 104,
    within: Span | None = None,
) -> list[Point]:
    """At most the `most` newest whole periods at as_of, oldest first, from the first with a row; a gap has no value.

    `within` keeps those that lie inside a range of days.
    """
    grain = grain or kpi.period or kpi.usual_period
    newest = last_complete(evaluator.as_of, grain, evaluator.reporting, evaluator.zone)
    spans = [shifted(newest, -step) for step in reversed(range(most))]
    if within is not None:
        spans = [span for span in spans if within.start <= span.start and span.end <= within.end]
    windows = [rolling(span, kpi.window) if kpi.window else span for span in spans]
    slices = [cut(window, evaluator.as_of, evaluator.zone) for window in windows]
    figures = evaluator.figures(kpi, slices) if slices else []
    points = [Point(s.start, s.end, f.value, f.n, f.status) for s, f in zip(spans, figures, strict=True)]
    while points and (charted(points[:1])[0] is None or (kpi.sql is None and points[0].n == 0)):
        points.pop(0)  # before the first row there is no history, rather than one of zeros
    while points and charted(points[-1:])[0] is None:
        points.pop()  # cohorts too young to be judged
    return points


def charted(points: Sequence[Point]) -> list[float | None]:
    """The values a chart may hold (docs/definitions.md): those of sound status."""
    return [None if p.value is None or p.status not in ("ok", "partial") else float(p.value) for p in points]


def bounds_of(evaluator: "Evaluator", kpi: Kpi) -> tuple[float | None, float | None]:
    """What the KPI cannot pass: (floor, ceiling)."""
    can_fall = bool(kpi.operands) or kpi.sql is not None
    score = unit_of(kpi, evaluator.kpis, evaluator.compiler) == "score"
    ceiling = 1.0 if is_rate(kpi) and kpi.ratio is None else kpi.scale if score else None
    return None if can_fall else 0.0, ceiling
