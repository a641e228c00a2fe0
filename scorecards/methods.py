"""Methods as worked cases have them: rows and settings in, figures out, through the code the scorecards use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scorecards.drivers import Part, decimal_of, explain_change
from scorecards.signal.chart import FULL, MAX_BASELINE, MINIMUM, Bounds, baseline_of, broken, limits

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
Method = Callable[[Rows, Mapping[str, Any]], dict[str, Any]]


def xmr(rows: Rows, config: Mapping[str, Any]) -> dict[str, Any]:
    """The chart of `kpi_series` (period, value, complete): limits locked on the first `baseline_points` points.

    An incomplete period is never plotted or judged; a complete one without a value is a gap.
    """
    whole = [row for row in rows["kpi_series"] if row.get("complete", 1)]
    points = [None if row["value"] is None else float(row["value"]) for row in whole]
    size = min(int(config.get("baseline_points", FULL)), MAX_BASELINE)
    baseline = baseline_of(points, size)
    held = [p for p in baseline if p is not None]
    blank = {"numerator": None, "denominator": None, "n": len(held)}
    if sum(p is not None for p in points) < MINIMUM or len(held) < 2:
        return {**blank, "value": None, "status": "too_few", "signals": [], "range_signals": []}
    usual, bounds = limits(baseline), Bounds(config.get("floor"), config.get("ceiling"))
    low, high = bounds.cut(usual)
    # A chart is drawn to its end before it is read: with limits known, the points they come from are judged too.
    full = len(held) >= FULL or len([p for p in points if p is not None]) >= FULL
    read = [broken(points[: place + 1], usual, bounds, full=full) for place in range(len(points))]
    return {
        **blank,
        "value": usual.mean,
        "status": "ok",
        "mean_moving_range": usual.mean_range,
        "upper_limit": high,
        "lower_limit": low,
        "range_limit": usual.range_limit,
        "signals": [
            {"period": row["period"], "rule": rule}
            for row, (rules, _) in zip(whole, read, strict=True)
            for rule in rules
        ],
        "range_signals": [row["period"] for row, (_, moved) in zip(whole, read, strict=True) if moved],
    }


def mix_rate_decomposition(rows: Rows, config: Mapping[str, Any]) -> dict[str, Any]:
    """The change of a rate by `segments` (segment, n0, d0, n1, d1): what their mix did, and what their rates did."""
    given = rows["segments"]
    before, now = (
        {
            str(row["segment"]): Part(decimal_of(row[f"n{side}"]), decimal_of(row[f"d{side}"]), int(row[f"d{side}"]))
            for row in given
        }
        for side in (0, 1)
    )
    found = explain_change(before, now, "rate", n_min=int(config.get("n_min", 1)))
    blank = {"numerator": None, "denominator": None, "n": len(given)}
    if found is None:
        return {**blank, "value": None, "status": "no_denominator"}
    by_segment = {
        e.segment: {"rate": float(e.rate or 0), "mix": float(e.mix or 0), "effect": float(e.effect)}
        for e in sorted(found.effects, key=lambda e: e.segment)
    }
    return {
        **blank,
        "value": float(found.change),
        "status": "ok",
        "before": float(found.before),
        "after": float(found.after),
        "rate_total": float(found.rate or 0),
        "mix_total": float(found.mix or 0),
        "by_segment": by_segment,
        "note": found.note,
    }


METHODS: dict[str, Method] = {"xmr": xmr, "mix_rate_decomposition": mix_rate_decomposition}
