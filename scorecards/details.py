"""The further figures beside a KPI's value, over the very rows of its slice, under their public names."""

import re
from dataclasses import replace
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from scorecards.alsoslot import Also
from scorecards.bridges import extras
from scorecards.compiler.measure import runs_by_days
from scorecards.definition import Kpi
from scorecards.figures import N_MIN_QUANTILE, Figure, figure, is_two_sided, n_min, noun, scaled
from scorecards.periods import Slice
from scorecards.question import question_beside, question_of
from scorecards.ratios import days_of, growths, own_slice
from scorecards.tally import Tally, aggregate, needs_values, together

if TYPE_CHECKING:
    from scorecards.evaluate import Evaluator


def details_of(evaluator: "Evaluator", kpi: Kpi, main: Slice, tally: Tally | None) -> dict[str, Any]:
    """The KPI's further figures over the slice shown, under their public names."""
    if kpi.of is None:
        found: dict[str, Any] = growths(evaluator, kpi, main) if kpi.ratio is not None else {}
        if kpi.ratio is not None and kpi.ratio.times == "period_days":
            found["days"] = days_of(main)
        for name, also in _beside(kpi).items():
            if also.kpi is not None:
                beside = _of_kpi if also.by is None else _split_other
                found[name] = beside(evaluator, kpi, also, main)
        return found
    if tally is None:
        return {}
    found = {f"excluded_{why}": tally.excluded.get(why, 0) for why in ("null", "no_fx")}
    if kpi.cohort is not None or kpi.mature is not None or (kpi.deadline is not None and kpi.deadline.wait):
        found["immature"] = tally.excluded.get("immature", 0)
        found |= _maturity(kpi, tally)
    found |= _ruled_out(kpi, tally)
    for name, wanted in (_automatic(evaluator, kpi) | _beside(kpi)).items():
        if wanted.excluded is not None:
            found[name] = tally.excluded.get(wanted.excluded, 0)
        elif wanted.kpi is not None and wanted.by is not None:
            found[name] = _split_other(evaluator, kpi, wanted, main)
        elif wanted.kpi is not None:
            found[name] = _of_kpi(evaluator, kpi, wanted, main)
        elif wanted.by is not None:
            found[name] = _split(evaluator, kpi, wanted.by, main)
        elif kpi.retain is not None:
            found[name] = _weighted(evaluator, kpi, wanted, main)
        else:
            is_thin = wanted.agg.startswith("p") and kpi.n_min is None and tally.n < N_MIN_QUANTILE
            found[name] = None if is_thin else _figure_beside(evaluator, kpi, wanted, main, tally)
    if is_two_sided(kpi) and kpi.filled is None and kpi.weight == "count" and tally.n >= max(1, n_min(kpi)):
        found["wilson"] = wilson(tally.n - tally.hits if _counts_lost(kpi) else tally.hits, tally.n)
    found.update(extras(evaluator, kpi, main, tally))
    return found


def wilson(hits: int, n: int) -> list[float]:
    """The 95 % interval of a rate (docs/definitions.md G12): [low, high]. n is at least 1."""
    z, p = 1.96, hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def _counts_lost(kpi: Kpi) -> bool:
    return kpi.retain is not None and kpi.retain.headline == "lost"


def _beside(kpi: Kpi) -> dict[str, Also]:
    """`also` by name."""
    return {name: Also(agg=name) for name in kpi.also} if isinstance(kpi.also, tuple) else kpi.also


def _automatic(evaluator: "Evaluator", kpi: Kpi) -> dict[str, Also]:
    """Beside a duration: mean, median and 90th percentile, and the headline on the other clock (G7, G9)."""
    if kpi.duration is None or kpi.agg not in ("avg", "median") or kpi.duration.unfinished == "so_far":
        return {}
    found = {"mean": Also(agg="avg"), "median": Also(agg="median"), "p90": Also(agg="p90")}
    if not runs_by_days(evaluator.compiler, kpi):
        other = "calendar" if kpi.duration.clock == "business" else "business"
        stat = "mean" if kpi.agg == "avg" else "median"
        found[f"{other}_{stat}"] = Also.model_validate({"agg": kpi.agg, "clock": other})
    return found


def _ruled_out(kpi: Kpi, tally: Tally) -> dict[str, Any]:
    """Rows left out by name, each count and all of them; what a deadline cannot judge."""
    found = {f"excluded_{name}": tally.excluded.get(name, 0) for name in kpi.out}
    if kpi.deadline is not None:
        found |= {why: tally.excluded.get(why, 0) for why in ("pending", "void")}
    if found:
        found["excluded"] = sum(tally.excluded.get(name, 0) for name in (*kpi.out, "void"))
    return found


def _maturity(kpi: Kpi, tally: Tally) -> dict[str, Any]:
    """How many rows have had the time they are judged by, of how many (G18); not of a time that begins elsewhere."""
    long: dict[str, int] = {}
    if kpi.deadline is not None:
        within = kpi.deadline.within
        if within is not None and within.business_days is not None:
            long = {"business_days": within.business_days}
        elif within is not None and not within.of:
            long = {"seconds": within.seconds}
    elif kpi.cohort is not None:
        long = {"seconds": kpi.cohort.within}
    elif kpi.mature is not None and kpi.mature.after is None:
        long = {"seconds": kpi.mature.wait}
    if not long:
        return {}
    whole = tally.n + tally.excluded.get("immature", 0)
    return {"maturity": {"mature": tally.n, "of": whole, "rows": noun(kpi), **long}}


def _of_kpi(evaluator: "Evaluator", kpi: Kpi, wanted: Also, main: Slice) -> Any:
    """A part of another KPI over the same slice."""
    other = _part(evaluator, kpi, wanted.kpi or "")
    return getattr(evaluator.figures(other, [own_slice(evaluator, other, main)])[0], wanted.part)


def _weighted(evaluator: "Evaluator", kpi: Kpi, wanted: Also, main: Slice) -> float | None:
    """A retention where each one counts for what a column says of it; who has none there counts on neither side."""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    rows = evaluator.compiler.rows(kpi, relation, question_of(kpi), show=[wanted.field or ""])
    on_top = "NOT hit" if _counts_lost(kpi) else "hit"
    statement = f"SELECT COUNT(c0), SUM(c0), SUM(CASE WHEN {on_top} THEN c0 ELSE 0 END) FROM ({rows.sql})"

    def compute() -> Any:
        return list(evaluator.conn.execute(statement, rows.of(main)).fetchone())

    known, whole, part = evaluator.answers.recalled(rows, main, f"sum of {on_top}", compute)
    return float(part / whole) if known >= max(1, n_min(kpi)) and whole > 0 else None


def _split_other(evaluator: "Evaluator", kpi: Kpi, wanted: Also, main: Slice) -> list[dict[str, Any]]:
    other = _part(evaluator, kpi, wanted.kpi or "")
    return _split(evaluator, other, wanted.by or "", own_slice(evaluator, other, main))


def _part(evaluator: "Evaluator", kpi: Kpi, name: str) -> Kpi:
    """Another KPI; how many rows are enough is this one's to say, where it says."""
    other = evaluator.part(kpi, name)
    return other if kpi.n_min is None else other.model_copy(update={"n_min": kpi.n_min})


def _split(evaluator: "Evaluator", kpi: Kpi, by: str, main: Slice) -> list[dict[str, Any]]:
    """The KPI's figure per segment, in order of name: 2 before 10."""
    parts = evaluator.parts(kpi, evaluator.rows(kpi, by), [main])[0]
    return [_entry(segment, figure(kpi, parts[segment])) for segment in sorted(parts, key=_by_number)]


def _by_number(name: str) -> tuple[float, str]:
    begins = re.match(r"\d+", name)
    return (float(begins[0]) if begins else inf, name)


def _entry(segment: str, part: Figure) -> dict[str, Any]:
    return {
        "segment": segment,
        "value": part.value,
        "numerator": part.numerator,
        "denominator": part.denominator,
        "n": part.n,
        "status": part.status,
    }


def _figure_beside(evaluator: "Evaluator", kpi: Kpi, wanted: Also, main: Slice, tally: Tally) -> Any:
    """Another aggregate, filter, share or clock over the KPI's rows."""
    relation = evaluator.compiler.relation(kpi, evaluator.customer_model(kpi))
    question = question_beside(kpi, wanted)
    if wanted.own:
        question = replace(question, where=wanted.where)
    if question.field is None and wanted.agg != "count" and kpi.duration is None:
        question = replace(question, field=kpi.field)
    is_same = question == replace(question_of(kpi), agg=wanted.agg) and not wanted.own
    if is_same and (tally.values or not needs_values(wanted.agg)):
        part = tally  # the very rows of the value
    else:
        rows = evaluator.compiler.rows(kpi, relation, question, own=wanted.own)
        part = together(evaluator.parts(kpi, rows, [main], singly=needs_values(wanted.agg))[0])
    if wanted.share is not None:
        return part.hits / part.n if part.n else None
    value = aggregate(part, wanted.agg)
    if value is not None and wanted.scale is not None:
        return value * wanted.scale
    if value is not None and kpi.duration is not None and wanted.agg != "count":
        return scaled(kpi, value)
    return value
