"""What is said of a target on its way to its deadline, and of one whose deadline has passed."""

from collections.abc import Sequence
from datetime import timedelta

from scorecards.render.clean import clean
from scorecards.render.format import Formatter
from scorecards.render.view import Line
from scorecards.render.written import bare, written_difference
from scorecards.targets.pace import Progress
from scorecards.values import KpiResult


def goal_lines(result: KpiResult, fmt: Formatter) -> list[Line]:
    """How a total has come along or how the target came out, and that its baseline is of another definition.

    What a rate or a stock must still change stands with its other figures (`in_time`).
    """
    target, lines = result.target, []
    if target is None:
        return []
    if target.progress is not None and (target.progress.accrues or target.progress.state != "running"):
        lines.append(Line(" · ".join(_said(result, target.progress, fmt))))
    if target.baseline is not None and target.baseline.warning:
        lines.append(Line(fmt.words("w_redefined", when=fmt.day(target.baseline.baseline.computed_on)), "risk", "!"))
    return lines


def smart_lines(results: Sequence[KpiResult]) -> tuple[tuple[str, str], ...]:
    """The five letters of each target, by the name of its KPI; what is missing is for who sets it (`check`)."""
    return tuple(
        (
            clean(result.title) or result.kpi,
            " · ".join(f"{name} {said['result']}" for name, said in result.smart.items()),
        )
        for result in results
        if result.smart
    )


def _said(result: KpiResult, progress: Progress, fmt: Formatter) -> list[str]:
    words, due = fmt.words, fmt.day(progress.end - timedelta(1))
    if progress.state == "not judged":
        return [words("w_not_judged", date=due)]
    value = None if progress.value is None else bare(result, fmt, progress.value)
    if progress.state != "running":
        return [words(f"way_{progress.state}", date=due, value=value)]
    if value is None or progress.goal is None or progress.start is None:
        return [words("goal", goal=words("by_date", date=due))]
    said = [
        words("w_so_far", value=value, start=fmt.day(progress.start), goal=bare(result, fmt, progress.goal), date=due)
    ]
    if progress.verdict is not None:
        said[0] += f": {words(f'way_{progress.verdict}')}"
    if progress.expected is not None:
        said.append(words("expected", value=bare(result, fmt, progress.expected)))
    if progress.projected is not None:
        said.append(words("w_projected", value=bare(result, fmt, progress.projected)))
    if progress.needed_rate is not None and progress.needed_rate > 0:
        key = "needed" if result.target is not None and result.target.want == "up" else "w_room"
        said.append(words(key, value=bare(result, fmt, progress.needed_rate)))
    return said


def in_time(result: KpiResult, fmt: Formatter) -> list[str]:
    """The deadline of what is judged by its own value, and how much that must still change; else nothing."""
    target = result.target
    if target is None or target.due is None:
        return []
    said = [fmt.words("goal", goal=fmt.words("by_date", date=fmt.day(target.due)))]
    if target.progress is None:
        return said
    is_on = target.progress.state == "running" and not target.progress.accrues
    return said + _change_needed(result, target.progress, fmt) if is_on else []


def total_so_far(result: KpiResult, fmt: Formatter) -> str | None:
    """What a total has come to on its way; None where the value shown is what is judged."""
    target = result.target
    progress = target.progress if target is not None else None
    if progress is None or not progress.accrues or progress.value is None or progress.start is None:
        return None
    return fmt.words("w_since", value=bare(result, fmt, progress.value), start=fmt.day(progress.start))


def _change_needed(result: KpiResult, progress: Progress, fmt: Formatter) -> list[str]:
    """By how much a rate or a stock must still move each period; nothing where it is there already."""
    step = progress.needed_per_period
    wanted = result.target.want if result.target is not None else ""
    if step is None or (step <= 0) == (wanted == "up"):
        return []
    change = written_difference(result, fmt, step)
    if change is None:  # too little to be written
        return []
    return [fmt.words("w_step", change=change, period=fmt.words(f"period_{_grain(result)}", 1))]


def _grain(result: KpiResult) -> str:
    return result.granularity.removeprefix("fiscal_")
