"""From a tally to a figure with its status: value, sides, n, coverage, why there is none (docs/definitions.md G12)."""

from dataclasses import dataclass, replace

from scorecards.definition import Kpi
from scorecards.tally import Tally, aggregate, number

#: What a row of a relation is called in a sentence.
NOUNS = {
    "opportunities": "deals",
    "survey_responses": "answers",
    "customer_spans": "customers",
    "accounts": "accounts",
    "activities": "activities",
    "handled": "days",
    "receivables": "invoices and payments",
    "units_sold": "lines",
    "approaches": "people",
    "sent_mails": "mails",
    "campaign_sends": "mails",
    "deliveries": "messages",
    "sync_runs": "runs",
}
#: What coverage counts, where it is not what n counts.
_COVERED = {"handled": "tickets and calls"}
#: Why rows are in no figure, as said where none is left.
_LEFT_OUT = {
    "null": "without a value it needs",
    "negative": "that end before they begin",
    "no_fx": "without an exchange rate",
    "void": "ended before they were due",
}
COVERAGE_MIN = 0.90
#: Rows needed before a figure is a figure (G12): ratios, means and medians of durations, quantiles, surveys.
N_MIN_RATIO, N_MIN_DURATION, N_MIN_QUANTILE, N_MIN_SURVEY = 20, 5, 20, 10


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one slice or segment."""

    value: float | int | None
    numerator: float | int | None
    denominator: float | int | None
    n: int
    status: str
    reason: str | None = None
    coverage: float | None = None


def noun(kpi: Kpi) -> str:
    return NOUNS.get(kpi.of or "", (kpi.of or "rows").replace("_", " "))


def is_rate(kpi: Kpi) -> bool:
    """A fraction of something: shown in per cent, never prorated."""
    if kpi.unit is not None:
        return kpi.unit == "ratio"
    return is_two_sided(kpi) and not (kpi.share is not None and kpi.headline == "count")


def is_two_sided(kpi: Kpi) -> bool:
    """Made of rows of which some are on top: a share of one form or another."""
    return any(slot is not None for slot in (kpi.share, kpi.cohort, kpi.deadline, kpi.retain, kpi.filled))


def n_min(kpi: Kpi) -> int:
    """The smallest n at which a value is given."""
    if kpi.n_min is not None:
        return kpi.n_min
    if kpi.n_min_kind is not None and not kpi.agg.startswith("p"):
        return int(kpi.n_min_kind.lstrip("RDSG-") or 0)
    if is_rate(kpi):
        return N_MIN_RATIO
    if kpi.operands or kpi.sql is not None or kpi.headline == "count":
        return 0
    if kpi.unit == "score":
        return N_MIN_SURVEY
    if kpi.agg == "avg" or kpi.agg == "median":
        return N_MIN_DURATION
    return N_MIN_QUANTILE if kpi.agg.startswith("p") else 0


def _adds_up(kpi: Kpi) -> bool:
    """A count or a sum: over no rows at all it is 0, however many rows a rate or a mean would need (G12)."""
    return not is_rate(kpi) and (kpi.agg in ("count", "sum") or kpi.headline == "count")


def figure(kpi: Kpi, tally: Tally) -> Figure:
    """The KPI's figure over tallied rows."""
    minimum = n_min(kpi)
    if kpi.per_distinct is not None:
        return _over_distinct(kpi, tally, minimum)
    if is_two_sided(kpi):
        part, whole = sides(kpi, tally)
        if kpi.headline == "count" and kpi.share is not None:
            return _judged(kpi, tally, part, part, whole, minimum)
        return _judged(kpi, tally, part / whole if whole else None, part, whole, minimum)
    value = aggregate(tally, kpi.agg)
    if kpi.agg == "sum" and tally.n == 0 and not tally.rows and kpi.nothing == "unknown":
        return Figure(None, None, None, 0, "no_data", f"no data: needs {kpi.needs or noun(kpi)}")
    if kpi.agg == "sum" and tally.n == 0 and tally.rows:
        # Rows there are, but none that could be added up: unknown, not zero (A9).
        return Figure(None, None, None, 0, "no_data", _unusable(kpi, tally), tally.coverage)
    if kpi.per is not None and tally.used == 0 and (out := sum(tally.excluded.values())):
        # The same of days: one on which nobody knows whom we helped is no day without anybody (A9).
        said = f"no data: {out} {_COVERED.get(kpi.of or '', noun(kpi))}, none with {kpi.per.field or 'a value'}"
        return Figure(None, None, None, 0, "no_data", said.replace("_", " "), tally.coverage)
    top: float | int | None = None
    bottom: float | int | None = None
    if kpi.unit == "score" and kpi.agg == "avg":
        scale = kpi.scale or 1
        top, bottom = float(tally.x) * scale, tally.n
    elif kpi.agg == "avg" and kpi.duration is None and kpi.per is None and kpi.unit is None:
        top, bottom = number(tally.x), tally.n
    if value is not None:
        value = scaled(kpi, value)
    return _judged(kpi, tally, value, top, bottom, minimum)


def scaled(kpi: Kpi, value: float | int) -> float | int:
    """A raw aggregate in the KPI's unit: answers on their scale, durations given in days as days."""
    if kpi.scale is not None and kpi.duration is None:
        return value * kpi.scale
    if kpi.duration is not None and kpi.duration.unit == "d" and kpi.agg not in ("count", "distinct"):
        return value / 86400
    return value


def sides(kpi: Kpi, tally: Tally) -> tuple[float | int, float | int]:
    """What is above and below the line of a KPI that is two-sided."""
    if kpi.filled is not None:
        return number(tally.x), number(tally.y)
    if kpi.weight != "count":
        return number(tally.x_hit), number(tally.x)
    if kpi.retain is not None and kpi.retain.headline == "lost":
        return tally.n - tally.hits, tally.n
    return tally.hits, tally.n


def _over_distinct(kpi: Kpi, tally: Tally, minimum: int) -> Figure:
    """A sum over how many different ones it belongs to: these are what there must be enough of."""
    many = len(tally.keys)
    value = number(tally.x) / many if many else None
    counted = replace(tally, n=many)
    return replace(
        _judged(kpi, counted, value, number(tally.x), many, minimum, coverage=tally.coverage),
        coverage=tally.coverage,
    )


def _judged(
    kpi: Kpi,
    tally: Tally,
    value: float | int | None,
    top: float | int | None,
    bottom: float | int | None,
    minimum: int,
    *,
    coverage: float | None = None,
) -> Figure:
    coverage = tally.coverage if coverage is None else coverage
    if value is None:
        return Figure(None, top, bottom, tally.n, "no_denominator", _nothing(kpi, tally), coverage)
    if tally.n < minimum and not (tally.n == 0 and _adds_up(kpi)):
        said = f"{tally.hits} of {tally.n}" if is_rate(kpi) and kpi.filled is None else f"{tally.n} {noun(kpi)}"
        reason = f"{said}: too few to rate (at least {minimum} needed)"
        return Figure(None, top, bottom, tally.n, "too_few", reason, coverage)
    least = float(kpi.params.get("coverage_min", COVERAGE_MIN))
    if coverage is not None and coverage < least:
        return Figure(value, top, bottom, tally.n, "partial", _covers(kpi, tally, coverage), coverage)
    return Figure(value, top, bottom, tally.n, "ok", None, coverage)


def _nothing(kpi: Kpi, tally: Tally) -> str:
    """Why nothing is left to divide by or average: what is too young, undecided or waiting, and what is left out."""
    out = [f"{tally.excluded[why]} {said}" for why, said in _LEFT_OUT.items() if tally.excluded.get(why)]
    out += [f"{tally.excluded[name]} as {name.replace('_', ' ')}" for name in kpi.out if tally.excluded.get(name)]
    said = ", ".join(out)
    waits = _waiting(kpi, tally)
    if not said:
        return waits or f"no {noun(kpi)} to count in the period"
    return f"{waits}; left out: {said}" if waits else f"all {noun(kpi)} of the period are left out: {said}"


def _waiting(kpi: Kpi, tally: Tally) -> str:
    if tally.excluded.get("immature"):
        return f"the {noun(kpi)} of the period are too young to be judged"
    if tally.excluded.get("pending"):
        return f"{tally.excluded['pending']} {noun(kpi)} are not due yet, none is decided"
    if tally.excluded.get("open"):
        return f"{tally.excluded['open']} {noun(kpi)} are still waiting, none is done"
    return ""


def _covers(kpi: Kpi, tally: Tally, coverage: float) -> str:
    missing = []
    if tally.excluded.get("null"):
        missing.append(f"{tally.excluded['null']} without {_needed(kpi)}")
    if tally.excluded.get("no_fx"):
        missing.append(f"{tally.excluded['no_fx']} without an exchange rate")
    return f"covers {coverage:.0%} of {_COVERED.get(kpi.of or '', noun(kpi))}: {' and '.join(missing)}"


def _needed(kpi: Kpi) -> str:
    """What a row must have to be used, in words."""
    needed = [kpi.field or "a value", *([kpi.per_distinct.removesuffix("_id")] if kpi.per_distinct else [])]
    if kpi.duration is not None and kpi.duration.pause_on:
        needed = ["a status history"]
    if kpi.retain is not None:
        needed = [kpi.retain.opens, kpi.retain.key.removesuffix("_id")]
    return " or ".join(needed).replace("_", " ")


def _unusable(kpi: Kpi, tally: Tally) -> str:
    left_out = tally.excluded.get("no_fx", 0)
    if left_out == tally.rows:
        return f"no data: needs an exchange rate for {left_out} {noun(kpi)}"
    return f"no data: {tally.rows} {noun(kpi)}, none with {(kpi.field or 'a value').replace('_', ' ')}"
