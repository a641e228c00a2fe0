"""What is wrong with a KPI's target, said before anything is judged: a path or a split that would be ignored."""

from collections.abc import Iterator
from datetime import date, timedelta

from scorecards.checks import Problem
from scorecards.definition import Kpi, Reporting
from scorecards.figures import is_rate
from scorecards.periods import parse_period
from scorecards.targets.baselines import accrues, baseline_days, baseline_is_over
from scorecards.targets.slot import Band, Target


def problems(kpi: Kpi) -> Iterator[Problem]:
    """Everything wrong with a KPI's target."""
    target = kpi.target
    if target is None:
        return
    if target.from_ is not None and target.from_.period is not None:
        try:
            parse_period(target.from_.period)
        except ValueError as error:
            yield "target.from.period", str(error), ""
    if target.points and not is_rate(kpi):
        yield "target.change", "points (pp) are of rates, and this is none.", 'Write "+10%".'
    yield from _path(kpi, target)
    if target.start is not None and target.due is None:
        yield "target.start", "would be ignored: the way has no end.", "Add due, the day it ends."
    for name in target.segments:
        if name not in kpi.by:
            mend = f'Add it to by: by = ["{name}"].'
            yield f"target.{name}", f"the KPI is not split by {name!r}.", mend


def not_begun(kpi: Kpi, today: date, reporting: Reporting) -> str:
    """That a target's baseline is not over on a local day, as a sentence; empty when it is, or there is none."""
    days = baseline_days(kpi, kpi.target, reporting) if kpi.target is not None else None
    if kpi.target is None or days is None or baseline_is_over(days, kpi.target, today):
        return ""
    until = days.end - timedelta(1)
    return f"the baseline of {kpi.id} runs until {until.isoformat()}: nothing is judged by its target before."


def _path(kpi: Kpi, target: Target) -> Iterator[Problem]:
    """A path leads from somewhere to somewhere, and only what adds up over time has a season."""
    if target.path is None:
        return
    if isinstance(target.want, Band):
        yield "target.path", "would be ignored: a band is wanted at all times.", "Take it away."
    elif target.path == "seasonal" and not accrues(kpi):
        said = "would be ignored: only what adds up over a period follows a season."
        yield "target.path", said, 'Write path = "glide".'
    elif target.path == "seasonal" and (target.from_ is None or target.from_.period is None):
        yield "target.path", "would be ignored: no year to take the season from.", 'Add from = { period = "2025" }.'
    elif not accrues(kpi) and (target.from_ is None or target.due is None):
        missing = "from (where it starts) and due (when it ends)"
        yield "target.path", "would be ignored: it leads from nowhere to nowhere.", f"Add {missing}."
