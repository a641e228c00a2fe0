"""A KPI's own past, and whether a period of it is news: the one signal of the mail, `kpi show` and `kpi backtest`.

How far back a period is judged is bounded, and the bound moves in steps: for a year of weeks or months the limits rest
on the same first points, rather than on other ones each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.errors import ScorecardError
from scorecards.figures import Figure, is_rate
from scorecards.kept import may_be_kept
from scorecards.periods import MONTHS, Slice, Span, cut, shifted
from scorecards.plan import Plan, is_stock, windowed
from scorecards.reading import unit_of
from scorecards.signal.chart import FULL, MAX_BASELINE, judge
from scorecards.slots import Granularity
from scorecards.sqlslot import has_periods
from scorecards.values import Point, Signal

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator

#: How many points make a cycle that may have a season. Of weeks none is taken out: two years of them would cost a first
#: scorecard several times as much, for what the month a week lies in says as well.
CYCLES: dict[Granularity, int] = {"day": 7, "month": 12, "quarter": 4, "fiscal_quarter": 4}
#: (least, step): at least so many periods are looked at, the newest one included, at most a step less one more. That
#: is enough for a locked baseline, and but for weeks for the seasons of two cycles.
_REACH: Mapping[Granularity | None, tuple[int, int]] = {"day": (92, 91), "week": (25, 52), "month": (37, 12)}
#: Of longer ones; and where each period has to be computed anew every time: little more than what is shown.
_LONG, _COSTLY = (MAX_BASELINE + 1, 12), (FULL + 1, 12)


@dataclass(frozen=True, slots=True)
class Past:
    """Whole periods up to the newest, oldest first, and what each is judged by."""

    points: tuple[Point, ...]
    grain: Granularity | None
    reach: tuple[int, int]
    floor: float | None
    ceiling: float | None
    cycle: int | None
    is_count: bool
    is_events: bool  # of which too few a period are told by the days between them
    window_days: int | None
    changes: Mapping[date, str]

    def signal(self, place: int) -> Signal:
        """What is said of the point at a place on the day it is the newest."""
        newest = Span(self.points[place].start, self.points[place].end, self.grain)
        first = max(0, place + 1 - many(newest, self.reach))
        while first < place and self._is_before(first):
            first += 1
        points = self.points[first : place + 1]
        values = charted(points)
        if self.is_count and is_rare(values):
            return Signal("too_few_points", points=_known(values), days_between=self._days_between(points))
        # Profit may be negative, though nothing of how it is written says so.
        floor = None if any(value is not None and value < 0 for value in values) else self.floor
        said = judge(
            values, floor=floor, ceiling=self.ceiling, cycle=self.cycle, declared=_places(self.changes, points)
        )
        return replace(said.signal, since=points[said.era].start if said.signal.mean is not None else None)

    def from_first(self) -> int:
        """The place of the first period with a row: before it there is no history, rather than one of zeros."""
        return next((at for at in range(len(self.points)) if not self._is_before(at)), len(self.points))

    def _is_before(self, place: int) -> bool:
        point = self.points[place]
        return charted([point])[0] is None or point.n == 0

    def _days_between(self, points: Sequence[Point]) -> float | None:
        if not self.is_events:
            return None
        known = [point for point in points if charted([point])[0] is not None]
        days = [self.window_days or (point.end - point.start).days for point in known]
        return days_between([int(point.value or 0) for point in known], days)


def newest_signal(
    evaluator: "Evaluator", kpi: Kpi, chosen: Plan, known: Mapping[Slice, Figure] | None = None
) -> Signal | None:
    """Is the newest whole period of a plan news? None where there is no series, or nobody wants to know."""
    if kpi.signal == "off" or chosen.newest is None:
        return None
    past = past_of(evaluator, kpi, chosen.newest, known=known)
    return past.signal(len(past.points) - 1)


def past_of(
    evaluator: "Evaluator", kpi: Kpi, newest: Span, *, shown: int = 1, known: Mapping[Slice, Figure] | None = None
) -> Past:
    """The past that `shown` periods up to the newest are judged by. `known` are figures computed already.

    Where a statement of an admin's is too slow for all, the past is that of the figures known.
    """
    known, reach = known or {}, reach_of(evaluator, kpi, newest)
    spans = _back(newest, shown - 1 + many(shifted(newest, 1 - shown), reach))
    slices = [cut(windowed(kpi, span), evaluator.as_of, evaluator.zone) for span in spans]
    missing = [slice_ for slice_ in slices if slice_ not in known]
    try:
        figures = {**known, **dict(zip(missing, evaluator.figures(kpi, missing) if missing else [], strict=True))}
    except ScorecardError:
        if kpi.sql is None or not known:
            raise
        figures = dict(known)
    pairs = [(span, figures[slice_]) for span, slice_ in zip(spans, slices, strict=True) if slice_ in figures]
    floor, ceiling = bounds_of(evaluator, kpi)
    is_count = unit_of(kpi, evaluator.kpis, evaluator.compiler) == "count"
    return Past(
        points=tuple(
            # A statement need not say how many rows it found: none said is not none found.
            Point(span.start, span.end, f.value, f.n if kpi.sql is None else None, f.status)
            for span, f in pairs
        ),
        grain=newest.granularity,
        reach=reach,
        floor=floor,
        ceiling=ceiling,
        cycle=CYCLES.get(newest.granularity) if newest.granularity else None,
        is_count=is_count,
        is_events=not is_stock(kpi) and kpi.per is None,
        window_days=windowed(kpi, newest).days if kpi.window else None,
        changes={change.at: change.reason for change in kpi.changes},
    )


def keeps_no_past(kpi: Kpi) -> str:
    """Why a KPI has no history, as the end of a sentence; empty where it has one."""
    if kpi.filled is not None:
        return "how well fields were filled earlier, nobody kept"
    if kpi.is_only_now:
        return "what its rows were like earlier, nobody kept"
    if kpi.sql is not None and not has_periods(kpi.sql):
        return "its statement asks for no period"
    if not is_stock(kpi) and kpi.date is None and kpi.of is not None and kpi.retain is None:
        return "it counts all rows known, whatever their date"
    return ""


# -- how far back ---------------------------------------------------------------------------------------------


def reach_of(evaluator: "Evaluator", kpi: Kpi, newest: Span) -> tuple[int, int]:
    """(periods at least, step) of a KPI's past."""
    return _REACH.get(newest.granularity, _LONG) if _is_cheap(evaluator, kpi) else _COSTLY


def _is_cheap(evaluator: "Evaluator", kpi: Kpi) -> bool:
    """May its values of whole periods be kept? Then a longer past costs once."""
    if kpi.operands:
        names = {said.partition(".")[0] for said in kpi.operands}
        return all(_is_cheap(evaluator, evaluator.part(kpi, name)) for name in names if name in evaluator.kpis)
    return kpi.sql is None and may_be_kept(evaluator.rows(kpi), evaluator.reporting)


def many(newest: Span, reach: tuple[int, int]) -> int:
    """How many periods are looked at, the newest included: the first is one of every `step` of the calendar's."""
    least, step = reach
    index = _index(newest)
    return index - (index - least + 1) // step * step + 1


def _index(span: Span) -> int:
    """The number of a period among all of its kind."""
    months = MONTHS.get(span.granularity) if span.granularity else None
    return (span.start.year * 12 + span.start.month - 1) // months if months else span.start.toordinal() // span.days


def _back(newest: Span, count: int) -> list[Span]:
    """So many periods up to the newest, oldest first; the calendar begins with the year 1."""
    spans = [newest]
    while len(spans) < count and spans[-1].start.toordinal() > 2 * spans[-1].days:
        spans.append(shifted(newest, -len(spans)))
    return spans[::-1]


# -- what is charted ------------------------------------------------------------------------------------------


def charted(points: Sequence[Point]) -> list[float | None]:
    """The values a chart may hold (docs/definitions.md): those of sound status."""
    return [None if p.value is None or p.status not in ("ok", "partial") else float(p.value) for p in points]


def bounds_of(evaluator: "Evaluator", kpi: Kpi) -> tuple[float | None, float | None]:
    """What the KPI cannot pass: (floor, ceiling)."""
    score = unit_of(kpi, evaluator.kpis, evaluator.compiler) == "score"
    ceiling = 1.0 if is_rate(kpi) and kpi.ratio is None else kpi.scale if score else None
    return None if _can_fall(evaluator, kpi) else 0.0, ceiling


def _can_fall(evaluator: "Evaluator", kpi: Kpi) -> bool:
    """May it be below zero? A statement may, what is taken away from something, and what is made of such."""
    if kpi.sql is not None or (kpi.calc is not None and kpi.calc.minus):
        return True
    if kpi.ratio is not None and isinstance(kpi.ratio.times, float) and kpi.ratio.times < 0:
        return True
    for name, _, suffix in (said.partition(".") for said in kpi.operands):
        if suffix in ("change", "gap"):
            return True
        if suffix != "n" and _can_fall(evaluator, evaluator.part(kpi, name)):
            return True
    return False


def is_rare(points: Sequence[float | None]) -> bool:
    """A count below one a period on average: most periods hold none, and a chart of them says nothing."""
    values = [p for p in points if p is not None]
    return bool(values) and min(values) >= 0 and sum(values) / len(values) < 1


def days_between(events: Sequence[int], days: Sequence[int]) -> float | None:
    """Of what is too rare for a chart: days from one event to the next, from events and days of each period.

    None without any event.
    """
    count = sum(events)
    return sum(days) / count if count else None


def _known(values: Sequence[float | None]) -> int:
    return sum(value is not None for value in values)


def _places(changes: Mapping[date, str], points: Sequence[Point]) -> dict[int, str]:
    """By the place of the period a declared change falls in, which is the first of what came after; its reason."""
    found: dict[int, str] = {}
    for at, reason in sorted(changes.items()):
        place = next((place for place, point in enumerate(points) if at < point.end), None)
        if place:  # before the second point there is nothing to tell apart
            found[place] = f"{found[place]}; {reason}" if place in found else reason
    return found
