"""The SMART letters of each target that is mailed: from the configuration alone, and with the values at hand."""

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from scorecards.calendar import business_days
from scorecards.definition import Kpi, Scorecard
from scorecards.figures import Figure
from scorecards.targets.baselines import baseline_days
from scorecards.targets.smart import Known, Letter, check, to_json
from scorecards.values import KpiResult
from scorecards.version import measure_of
from syncagent.rhythm import reporting_days

if TYPE_CHECKING:
    from syncagent.config import Config


def letters(config: "Config", today: date) -> dict[str, dict[str, Letter]]:
    """By name, the letters of every KPI with a target that stands on a scorecard; what needs rows is not judged."""
    found = {}
    for name, kpi in sorted(config.kpis.items()):
        cards = [card for card in config.scorecards.values() if name in card.kpis]
        if kpi.target is None or not cards:
            continue
        known = Known(
            today,
            owner=next((card.owner for card in cards if card.owner), ""),
            recipients=any(card.to for card in cards),
            rivals=_rivals(config, kpi),
            partner_shown=not any(kpi.partner_missing_from(card.kpis) for card in cards) if kpi.partner else None,
            period_days=reporting_days(kpi, cards),
            baseline_ends=_baseline_ends(config, kpi),
        )
        judged = check(kpi, known)
        if judged is not None:
            found[name] = judged
    return found


def _baseline_ends(config: "Config", kpi: Kpi) -> date | None:
    """The day after the last of a target's baseline, where it names days."""
    days = baseline_days(kpi, kpi.target, config.reporting()) if kpi.target is not None else None
    return days.end if days is not None else None


def _rivals(config: "Config", kpi: Kpi) -> int:
    """How many more mailed targets there are of the very same KPI, under other names."""
    mailed = {name for card in config.scorecards.values() for name in card.kpis}
    others = [o for o in config.kpis.values() if o.target is not None and o.id != kpi.id and o.id in mailed]
    reporting = config.reporting()
    own = measure_of(kpi, config.kpis, reporting) if others else ""
    return sum(measure_of(other, config.kpis, reporting) == own for other in others)


def _recent(result: KpiResult) -> list[Figure]:
    """Its last periods, newest first; what the value shown covers says how well it is measured now."""
    found = [Figure(p.value, None, None, p.n or 0, p.status) for p in reversed(result.series)]
    return [replace(found[0], coverage=result.coverage), *found[1:]] if found else []


def _needed(result: KpiResult) -> float | None:
    """What each working day left must bring, of the whole way where there is one; None of what is to fall."""
    target = result.target
    if target is None or target.want != "up":
        return None
    progress = target.progress
    return progress.needed_rate if progress is not None and progress.accrues else target.needed_rate


def _of_one_period(result: KpiResult) -> float | None:
    """What is wanted of such a period as the values of its past are of."""
    target = result.target
    if target is None:
        return None
    return target.share if target.share is not None else target.value


def _segments(kpi: Kpi, result: KpiResult) -> dict[str, set[str]] | None:
    """The segments there are today, of the dimensions the KPI is split by; None where it was not split."""
    if not result.segments:
        return None
    return {by: {part.segment for part in result.segments if part.by == by} for by in kpi.by}


def of_result(config: "Config", card: Scorecard, result: KpiResult, today: date) -> dict[str, Any] | None:
    """The letters of one value on a scorecard, with what its past says; None without a target."""
    kpi = config.kpis[result.kpi]
    hours = config.reporting().hours
    needed = _needed(result)
    agreed = result.target.baseline if result.target else None
    days = [(p, business_days(p.start, p.end, hours)) for p in result.series if p.value is not None]
    known = Known(
        today,
        owner=card.owner or "",
        recipients=bool(card.to),
        rivals=_rivals(config, kpi),
        partner_shown=not kpi.partner_missing_from(card.kpis) if kpi.partner else None,
        recent=_recent(result),
        goal=_of_one_period(result),
        usual=result.signal,
        needed=needed,
        has_baseline=agreed is not None and (not agreed.is_new or agreed.can_be_kept),
        redefined=agreed is not None and bool(agreed.warning),
        best=max((float(p.value or 0) / many for p, many in days if many), default=None) if needed else None,
        segments=_segments(kpi, result),
        period_days=reporting_days(kpi, [card]),
        baseline_ends=_baseline_ends(config, kpi),
    )
    found = check(kpi, known)
    return None if found is None else to_json(found)
