"""Does a process KPI go with what customers say? Spearman's rank correlation with satisfaction (docs/definitions.md).

By ticket, where the KPI measures tickets and enough of them were answered about; else by period. An association: which
of the two moves the other, or what moves both, it cannot tell.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import fsum, isqrt, sqrt
from typing import TYPE_CHECKING, Any

from scorecards.definition import Kpi
from scorecards.figures import is_two_sided
from scorecards.periods import Slice, Span, cut
from scorecards.plan import Plan, plan
from scorecards.question import question_of
from scorecards.values import KpiResult
from scorecards.version import short_hash

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator
    from scorecards.slots import Granularity

#: How many tickets, and how many periods, say something.
TICKETS, PERIODS = 30, 12
#: Below this an association is none.
LEAST = 0.2


@dataclass(frozen=True, slots=True)
class Voice:
    """How a KPI goes with satisfaction. `rho` is None of too little, and where one of the two never varies."""

    satisfaction: str  # the KPI it is compared with
    by: str  # ticket | period
    n: int
    rho: float | None
    tracks: bool | None  # None: not known

    def to_json(self, direction: str) -> dict[str, Any]:
        """Its public form: `voc_alignment` of a KPI's details."""
        enough = self.n >= (TICKETS if self.by == "ticket" else PERIODS)
        return {
            "with": self.satisfaction,
            "by": self.by,
            "n": self.n,
            "rho": self.rho,
            "status": "ok" if self.rho is not None else "no_denominator" if enough else "too_few",
            "tracks": self.tracks,
            "sentence": sentence(self.rho, self.tracks, direction),
        }


def sentence(rho: float | None, tracks: bool | None, direction: str) -> str | None:
    """What a correlation says of a KPI of which more is better (up), worse (down) or neither."""
    if rho is None or tracks is None:
        return None
    if not tracks:
        return "this KPI does not track what customers say"
    if direction not in ("up", "down"):
        return "this KPI goes with what customers say"
    if (rho > 0) == (direction == "up"):
        return "better values of this KPI go with better answers of customers"
    return "better values of this KPI go with worse answers of customers"


def spearman(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, bool]:
    """Rank correlation with mean ranks for ties, and whether it is at least `LEAST` either way.

    None where one side never varies. Ranks are doubled, so that all but the last root is exact.
    """
    left, right = _ranks([x for x, _ in pairs]), _ranks([y for _, y in pairs])
    n, total = len(pairs), len(pairs) * (len(pairs) + 1)  # of doubled ranks, on either side
    across = n * sum(a * b for a, b in zip(left, right, strict=True)) - total * total
    spread = n * sum(a * a for a in left) - total * total, n * sum(b * b for b in right) - total * total
    if not spread[0] or not spread[1]:
        return None, False
    both = spread[0] * spread[1]
    root = isqrt(both)
    rho = across / root if root * root == both else across / sqrt(both)
    return max(-1.0, min(1.0, rho)), 25 * across * across >= both


def _ranks(values: Sequence[float]) -> list[int]:
    """Twice the mean rank of each value."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for place in order[first : last + 1]:
            ranks[place] = first + last + 2
        first = last + 1
    return ranks


def is_satisfaction(kpi: Kpi) -> bool:
    """A score that customers gave."""
    return kpi.of == "survey_responses" and kpi.unit == "score" and kpi.agg == "avg"


def is_process(kpi: Kpi) -> bool:
    """Said to be of how the work is done, rather than of what customers say or what it earns."""
    return kpi.of != "survey_responses" and kpi.aspect == "process"


def with_voice(
    evaluator: "Evaluator",
    kpi: Kpi,
    result: KpiResult,
    satisfaction: Kpi,
    *,
    period: Span | None = None,
    granularity: "Granularity | None" = None,
) -> KpiResult:
    """The result with `voc_alignment` in its details, where it is of a process and there are answers to go by."""
    if not is_process(kpi) or result.value is None or not evaluator.holds("survey_responses"):
        return result
    chosen = plan(kpi, evaluator.reporting, as_of=evaluator.as_of, period=period, granularity=granularity)
    found = voice_of(evaluator, kpi, chosen, result, satisfaction)
    if found is None:
        return result
    return replace(result, details={**result.details, "voc_alignment": found.to_json(result.direction)})


def voice_of(evaluator: "Evaluator", kpi: Kpi, chosen: Plan, result: KpiResult, satisfaction: Kpi) -> Voice | None:
    """By the tickets of the period shown, else of all periods of the series, else by those periods themselves."""
    tickets: Voice | None = None
    if _measures_tickets(evaluator, kpi):
        whole = Span(chosen.series[0].span.start, chosen.main.span.end) if chosen.series else chosen.main.span
        for span in dict.fromkeys((chosen.main.span, whole)):
            tickets = _told(satisfaction, "ticket", _by_ticket(evaluator, kpi, satisfaction, span), TICKETS)
            if tickets.n >= TICKETS:
                return tickets
    if kpi.window is not None or not chosen.series:  # windows that overlap say the same twice
        return tickets
    periods = _told(satisfaction, "period", _by_period(evaluator, satisfaction, chosen.series, result), PERIODS)
    return periods if periods.n >= PERIODS or tickets is None else tickets


def _told(satisfaction: Kpi, by: str, pairs: Sequence[tuple[float, float]], least: int) -> Voice:
    rho, tracks = spearman(pairs) if len(pairs) >= least else (None, False)
    return Voice(satisfaction.id, by, len(pairs), rho, tracks if rho is not None else None)


def _measures_tickets(evaluator: "Evaluator", kpi: Kpi) -> bool:
    """Has each ticket a measure of its own in it: a time, or whether it is on top of a share?"""
    if kpi.of is None or kpi.retain is not None or not (kpi.duration is not None or is_two_sided(kpi)):
        return False
    return evaluator.compiler.relation(kpi, evaluator.customer_model(kpi)).records == "tickets"


def _by_ticket(evaluator: "Evaluator", kpi: Kpi, satisfaction: Kpi, span: Span) -> list[tuple[float, float]]:
    """The measure of each ticket of a span, and what customers said of it since, up to as_of."""
    since = Span(span.start, evaluator.today + timedelta(1))
    asked = f"answers {satisfaction.id} {since.start} {since.end}"
    answers: dict[str, float] = evaluator.answers.once(asked, lambda: _answers(evaluator, satisfaction, since))
    rows, slice_ = evaluator.rows(kpi), cut(span, evaluator.as_of, evaluator.zone)
    given: Mapping[str, Any] = {**rows.of(slice_), "voice_of": json.dumps(sorted(answers))}
    is_time = kpi.duration is not None and not is_two_sided(kpi)

    def pairs() -> list[list[float]]:
        # The + has the period's rows gone through: they lie side by side, where those of the answers lie anywhere.
        of_answers = "+id IN (SELECT value FROM json_each(:voice_of))"
        asked = f"SELECT id, x, hit FROM ({rows.sql}) WHERE why IS NULL AND {of_answers}"
        found = evaluator.conn.execute(asked, given)
        measured = [(id_, x if is_time else int(bool(hit))) for id_, x, hit in found]
        return sorted([float(measure), answers[id_]] for id_, measure in measured if measure is not None)

    form = f"voice {is_time} of {short_hash(answers)}"
    return [(measure, answer) for measure, answer in evaluator.answers.recalled(rows, slice_, form, pairs)]


def _answers(evaluator: "Evaluator", satisfaction: Kpi, span: Span) -> dict[str, float]:
    """What was said of each ticket in a span; the mean where several people answered."""
    relation = evaluator.compiler.relation(satisfaction, evaluator.customer_model(satisfaction))
    rows = evaluator.compiler.rows(satisfaction, relation, question_of(satisfaction), show=["ticket_id"])
    slice_ = cut(span, evaluator.as_of, evaluator.zone)
    asked = f"SELECT c0, x FROM ({rows.sql}) WHERE why IS NULL AND c0 IS NOT NULL AND x IS NOT NULL"
    said: dict[str, list[float]] = {}
    for ticket, score in evaluator.conn.execute(asked, rows.of(slice_)):
        said.setdefault(ticket, []).append(float(score))
    return {ticket: fsum(scores) / len(scores) for ticket, scores in said.items()}


def _by_period(
    evaluator: "Evaluator", satisfaction: Kpi, series: Sequence[Slice], result: KpiResult
) -> list[tuple[float, float]]:
    """The value of each whole period that has one, and satisfaction over the same days."""
    points = {(p.start, p.end): p.value for p in result.series if p.status in ("ok", "partial")}
    pairs = []
    for slice_, figure in zip(series, evaluator.figures(satisfaction, series), strict=True):
        value = points.get((slice_.span.start, slice_.span.end))
        if value is not None and figure.value is not None and figure.status in ("ok", "partial"):
            pairs.append((float(value), float(figure.value)))
    return pairs
