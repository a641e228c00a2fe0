"""The finding: subject, heading and the three lines on top, by fixed rules from the values. No customer is named here.

Order of importance: off target, at risk, without data, then signals; the KPI named is the one furthest from its goal.
"""

import math
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from scorecards.render.clean import clean
from scorecards.render.format import Formatter
from scorecards.render.message import Issue
from scorecards.render.words import Words
from scorecards.values import SHOWN, Comparison, KpiResult

SUBJECT_MAX = 120
_NAME_MAX = 44
STATES = ("on", "risk", "off", "none")
_VERDICTS = {"green": "on", "amber": "risk", "red": "off"}

#: Writes a value, a change, the goal or the usual range of a result, as `render.view` does in its rows.
Writer = Callable[[KpiResult], str | None]


def has_value(result: KpiResult) -> bool:
    """Whether a number is shown for it."""
    return result.value is not None and math.isfinite(result.value) and result.status in SHOWN


def state_of(result: KpiResult) -> str | None:
    """One of STATES, or None where there is a value but no verdict (no goal, or its data is old)."""
    if not has_value(result):
        return "none"
    return _VERDICTS.get(result.verdict or "")


def counts(results: Sequence[KpiResult]) -> dict[str, int]:
    """How many results are in each of the four states."""
    states = [state_of(result) for result in results]
    return {state: states.count(state) for state in STATES}


def miss(result: KpiResult) -> float:
    """How far a value is from what is wanted, as a share of it; 0 where that cannot be said."""
    target = result.target
    if target is None or target.gap is None:
        return 0.0
    if target.want == "between":
        width = abs((target.high or 0.0) - (target.low or 0.0))
        return abs(target.gap) / width if width else abs(target.gap)
    want = target.expected if target.expected is not None else target.value
    return abs(target.gap) / abs(want) if want else abs(target.gap)


def _is_on_its_way(result: KpiResult) -> bool:
    way = result.target.progress if result.target is not None else None
    return way is not None and way.accrues and way.state == "running"


def is_bad(result: KpiResult) -> bool:
    """Whether its signal points the unwanted way."""
    pair = (result.direction, result.signal.direction if result.signal else None)
    return pair in (("up", "below"), ("down", "above"))


def signals(results: Sequence[KpiResult]) -> list[KpiResult]:
    """Results whose change is news, the unwanted ones first."""
    found = [r for r in results if has_value(r) and r.signal is not None and r.signal.result == "signal"]
    return sorted(found, key=lambda r: not is_bad(r))


def news_of(result: KpiResult) -> str:
    """What kind of news its signal is: "outside" its usual range, a "run" or "near" a limit on one side, a "move"."""
    signal = result.signal
    if signal is None or signal.direction not in ("above", "below"):
        return "move"
    # The signal judges the newest point of the series; the value of a running period may be another.
    point = result.series[-1].value if result.series and result.series[-1].value is not None else result.value
    if point is not None:
        above = signal.upper is not None and point > signal.upper
        if above or (signal.lower is not None and point < signal.lower):
            return "outside"
    return "run" if 2 in signal.rules else "near" if 3 in signal.rules else "move"


def worst(results: Sequence[KpiResult], state: str) -> list[KpiResult]:
    """Results of a state, furthest from the goal first; equals keep their order on the scorecard."""
    return sorted((r for r in results if state_of(r) == state), key=miss, reverse=True)


def named(result: KpiResult) -> str:
    """A KPI's name as the headline writes it."""
    return clean(result.title, _NAME_MAX) or result.kpi


def finding(results: Sequence[KpiResult], words: Words) -> str:
    """The heading: what is off, how much else, what is missing."""
    if not results:
        return words("h_empty")
    count = counts(results)
    judged = count["on"] + count["risk"] + count["off"]
    tail = [words("h_n_none", n=count["none"])] if count["none"] else []
    if count["off"] or count["risk"]:
        state = "off" if count["off"] else "risk"
        lead = words(f"h_{state}", name=named(worst(results, state)[0]))
        more = []
        if count[state] > 1:
            more.append(words(f"h_more_{state}", n=count[state] - 1))
        if state == "off" and count["risk"]:
            more.append(words("h_n_risk" if more else "h_more_risk", n=count["risk"]))
        return _joined(lead, more + tail)
    if count["none"] == len(results):
        return words("h_no_data", count["none"], n=count["none"])
    if judged:
        if tail:
            return _joined(words("h_some_on", n=count["on"], total=judged + count["none"]), tail)
        return words("h_all_on", judged, n=judged)
    news = signals(results)
    if news:
        first = news[0]
        key = "h_then" if still_runs(first) else "h"
        period = period_word(first, words)
        lead = words(f"{key}_{news_of(first)}", name=named(first), where=where_of(first, words), period=period)
        return _joined(lead, ([words("h_more_signals", n=len(news) - 1)] if len(news) > 1 else []) + tail)
    shown = len(results) - count["none"]
    watched = any(r.signal is not None and r.signal.result == "none" for r in results)
    return _joined(words("h_calm" if watched else "h_figures", shown, n=shown), tail)


def subject(issue: Issue, fmt: Formatter) -> str:
    """The finding with scorecard and period, at most SUBJECT_MAX characters; the scorecard's title goes first."""
    words = fmt.words
    text = clean(finding(issue.results, words), SUBJECT_MAX)
    mark = words("test_prefix") if issue.is_test else ""
    when = period_name(issue, fmt)
    for long in (
        words("subject", finding=text, title=clean(issue.title, 40), period=when),
        words("subject_short", finding=text, period=when),
    ):
        if len(mark + long) <= SUBJECT_MAX:
            return _plain(mark + long)
    return _plain(clean(mark + text, SUBJECT_MAX))


def period_name(issue: Issue, fmt: Formatter) -> str:
    """The scorecard's period by name, marked while it runs; the day of `as_of` without one."""
    if issue.period is None:
        return fmt.day(issue.as_of.astimezone(fmt.timezone).date())
    name = fmt.period(issue.period, issue.granularity)
    return name if issue.period.complete else f"{name} {fmt.words('so_far')}"


def focus(results: Sequence[KpiResult]) -> KpiResult | None:
    """The KPI the three lines on top are about: the furthest from its goal, else the first signal."""
    first = worst(results, "off") or worst(results, "risk") or signals(results)
    return first[0] if first else None


def with_records(results: Sequence[KpiResult]) -> list[KpiResult]:
    """KPIs with records that need a hand: the one in focus first, then those off target, at risk, and the others."""
    rank, first = {"off": 0, "risk": 1}, focus(results)
    listed = [r for r in results if r.actions is not None and (r.actions.rows or r.actions.total)]
    return sorted(listed, key=lambda r: (r is not first, rank.get(state_of(r) or "", 2)))


def summary(
    results: Sequence[KpiResult],
    broken: Sequence[str],
    words: Words,
    *,
    value: Writer,
    change: Writer,
    goal: Writer,
    usual: Writer,
    mostly: Writer,
    number: Callable[[float], str],
) -> list[tuple[str, str]]:
    """Three (label, sentence): what changed, whether that is real, what to do. `broken`: sources that fail."""
    first, news = focus(results), signals(results)
    return [
        (words("b_changed"), _what(first, results, words, value, change, goal, mostly)),
        (words("b_real"), _real(first, news, results, words, usual, number)),
        (words("b_next"), _next(first, results, broken, words, number)),
    ]


def _what(
    first: KpiResult | None,
    results: Sequence[KpiResult],
    words: Words,
    value: Writer,
    change: Writer,
    goal: Writer,
    mostly: Writer,
) -> str:
    if first is None:
        if not any(has_value(r) for r in results):
            return words("b_no_values")
        met = counts(results)["on"]
        if met and any(_is_on_its_way(r) for r in results):
            return words("b_on_track", met, n=met)
        if met:
            return words("b_met", met, n=met)
        shown = sum(has_value(r) for r in results)
        return words("b_goalless", shown, n=shown, total=len(results))
    moved = change(first)
    against = compared(first)
    said = "b_change_month_ago" if against is not None and against.against == "month_ago" else "b_change"
    tail = words(said, change=moved, mostly=mostly(first) or "") if moved else ""
    wanted = goal(first)
    key = "b_what" if wanted else "b_what_plain"
    return words(key, name=named(first), value=value(first) or "", goal=wanted or "", change=tail)


def _real(
    first: KpiResult | None,
    news: Sequence[KpiResult],
    results: Sequence[KpiResult],
    words: Words,
    usual: Writer,
    number: Callable[[float], str],
) -> str:
    if not any(has_value(r) for r in results):
        return words("b_untold")
    others = [named(r) for r in news if r is not first]
    # "Also" only after something that is news itself.
    own = first is not None and first.signal is not None and first.signal.result in ("signal", "possible")
    own = own and first is not None and not still_runs(first)
    also = f" {words('b_also' if own else 'b_but', names=', '.join(others[:2]))}" if others else ""
    if first is None:
        tests = {r.signal.result for r in results if r.signal is not None}
        return words("b_calm" if tests - {"too_few_points"} else "b_too_few" if tests else "b_untested") + also
    signal = first.signal
    if signal is None:
        return words("b_untested") + also
    if signal.days_between is not None:
        return words("b_rare", days=number(round(signal.days_between))) + also
    if signal.result == "too_few_points":
        return words("b_too_few") + also
    kind, span, where = news_of(first), usual(first) or "", where_of(first, words)
    if still_runs(first):
        then = words("b_then_none" if signal.result == "none" else f"b_then_{kind}", where=where, range=span)
        return words("b_then", period=period_word(first, words), said=then) + also
    if signal.result == "none":
        return words("b_noise", range=span) + also
    if signal.result == "possible":
        key = "b_possible" if kind == "outside" else "b_possible_move"
        return words(key, where=where, range=span, n=signal.points) + also
    return words(f"b_{kind}", where=where, range=span, run=run_of(first, words)) + also


def _next(
    first: KpiResult | None,
    results: Sequence[KpiResult],
    broken: Sequence[str],
    words: Words,
    number: Callable[[float], str],
) -> str:
    if broken:
        return words("b_source" if len(broken) == 1 else "b_sources", names=", ".join(broken[:3]))
    missing = [r for r in results if r.status in ("no_data", "not_configured", "error")]
    listed = with_records(results)
    if first is not None and (not listed or listed[0] is not first):
        return words("b_cause" if listed else "b_cause_bare", name=named(first))
    if listed:
        return _records(listed[0], words, number)
    if missing:
        reason = clean(missing[0].reason, 90).removeprefix("no data: ").rstrip(".") or words(missing[0].status)
        return words("b_missing", name=named(missing[0]), reason=reason)
    return words("b_nothing")


def _records(result: KpiResult, words: Words, number: Callable[[float], str]) -> str:
    actions = result.actions
    assert actions is not None
    return words("b_records", actions.total, n=number(actions.total), label=list_label(result))


def list_label(result: KpiResult) -> str:
    """The heading of its list of records; its own name where the list has none."""
    label = clean(result.actions.label, 60) if result.actions is not None else ""
    return capital(label) or named(result)


def run_of(result: KpiResult, words: Words) -> str:
    """The length of the run a shift was seen by: "8 weeks"."""
    return words("run", periods=period_word(result, words, 8))


def compared(result: KpiResult, against: str = "") -> Comparison | None:
    """The comparison with a time; without one that the change is told of: the period before, of a stock a month ago."""
    wanted = (against,) if against else ("previous", "month_ago")
    found = {one.against: one for one in result.comparisons}
    return next((found[name] for name in wanted if name in found), None)


def still_runs(result: KpiResult) -> bool:
    """Whether its value is of a period that is not over: its signal is of the last whole one then."""
    return result.period is not None and not result.period.complete


def has_begun(result: KpiResult) -> bool:
    """Whether any of its period has passed; of what lies ahead nothing can be compared."""
    period = result.period
    return period is None or result.as_of.astimezone(ZoneInfo(period.timezone)).date() >= period.start


def period_word(result: KpiResult, words: Words, count: int = 1) -> str:
    """What one point of its series is, or several are: "month", "quarters"."""
    return words(f"period_{result.granularity.removeprefix('fiscal_')}", count)


def where_of(result: KpiResult, words: Words) -> str:
    """On which side of its average a signal is, in words; "" where that is not known."""
    direction = result.signal.direction if result.signal else None
    return words(direction) if direction in ("above", "below") else ""


def capital(text: str) -> str:
    """The text with its first letter large, as a heading starts."""
    return text[:1].upper() + text[1:]


def _joined(lead: str, more: Sequence[str]) -> str:
    return f"{lead}; {', '.join(more)}" if more else lead


def _plain(text: str) -> str:
    """A header line: no-break spaces and other blanks of number formats become plain spaces."""
    return " ".join(text.split())
