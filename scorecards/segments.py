"""A KPI split by a dimension: one value a segment, with its own verdict where the target says one.

A ratio or a sum of KPIs is split by its parts: a segment's value is made of what its parts are in that segment, by the
very rules the whole is made of.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scorecards.definition import Kpi
from scorecards.figures import Figure, figure
from scorecards.monthly import all_with_gaps
from scorecards.periods import Slice
from scorecards.plan import Plan
from scorecards.ratios import parts_of
from scorecards.split import why_whole
from scorecards.tally import Tally, needs_values
from scorecards.targets.result import against_target
from scorecards.values import SegmentValue

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


class Split:
    """The rows behind KPIs by the segments of one dimension; each statement is read once a slice."""

    def __init__(self, evaluator: "Evaluator", by: str) -> None:
        self._evaluator = evaluator
        self._by = by
        self._read: dict[object, dict[str, Tally]] = {}

    def tallies(self, kpi: Kpi, slices: Sequence[Slice], *, singly: bool | None = None) -> list[dict[str, Tally]]:
        """Per slice, the tally of each segment of a KPI that counts rows; each value where its figure needs it."""
        rows = self._evaluator.rows(kpi, self._by)
        singly = needs_values(kpi.agg) if singly is None else singly
        found = []
        for slice_ in slices:
            key = (rows.sql, tuple(sorted(rows.of(slice_).items())), singly)
            if key not in self._read:
                self._read[key] = self._evaluator.parts(kpi, rows, [slice_], singly=singly)[0]
            found.append(self._read[key])
        return found

    def figures(self, kpi: Kpi, slices: Sequence[Slice]) -> dict[str, list[Figure]]:
        """The figure of each slice by segment, of all segments that have rows in any of them."""
        if kpi.of is not None:
            parts = self.tallies(kpi, slices)
            held = list(dict.fromkeys(name for part in parts for name in part))
            made = [
                all_with_gaps(self._evaluator, kpi, slice_, [figure(kpi, part.get(name, Tally())) for name in held])
                for slice_, part in zip(slices, parts, strict=True)
            ]
            return {name: [figures[place] for figures in made] for place, name in enumerate(held)}
        leaves = [leaf for slice_ in slices for leaf in sources_of(self._evaluator, kpi, slice_)]
        names = dict.fromkeys(name for part, slice_ in leaves for name in self.tallies(part, [slice_])[0])
        return {name: self._evaluator.within(self, name).figures(kpi, slices) for name in names}


def sources_of(evaluator: "Evaluator", kpi: Kpi, slice_: Slice) -> Iterator[tuple[Kpi, Slice]]:
    """What a KPI's rows are read from: itself, or all it is made of, each once."""
    if not kpi.operands:
        yield kpi, slice_
        return
    made_of = {(part.id, at): part for one in parts_of(evaluator, kpi, slice_) for part, at in one.sides}
    for (_, at), part in made_of.items():
        yield from sources_of(evaluator, part, at)


def segments_of(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, by: Sequence[str]) -> list[SegmentValue]:
    """The segments of each dimension, those of most rows first."""
    if kpi.sql is not None:
        return evaluator.asked.segments(kpi, chosen.main)
    if by and why_whole(kpi, evaluator.kpis):
        return []
    found: list[SegmentValue] = []
    for dimension in by:
        parts = {name: held[0] for name, held in Split(evaluator, dimension).figures(kpi, [chosen.main]).items()}
        for segment in sorted(parts, key=lambda name: (-parts[name].n, name)):
            part = parts[segment]
            wanted = (kpi.target.segments.get(dimension, {}) if kpi.target else {}).get(segment)
            verdict = None
            if wanted is not None and part.value is not None and kpi.target is not None:
                # Of each period: how the whole came along and out is not the segment's.
                said = {"value": float(wanted), "change": None, "from_": None, "start": None, "due": None}
                judged = kpi.model_copy(update={"target": kpi.target.model_copy(update=said)})
                hours = evaluator.reporting.hours_of(segment if dimension == "team" else None)
                verdict = against_target(evaluator, judged, chosen, part.value, hours).verdict
            found.append(
                SegmentValue(
                    segment, part.value, part.numerator, part.denominator, part.n, part.status, verdict, dimension
                )
            )
    return found
