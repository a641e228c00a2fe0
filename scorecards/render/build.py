"""From an Issue to the View its templates show: everything that depends on a status, a verdict or a signal is settled
here and in `render.rows`.
"""

from collections.abc import Callable, Mapping, Sequence

from scorecards.render import headline, sparkline
from scorecards.render.clean import clean, safe_stop, safe_url
from scorecards.render.format import Formatter
from scorecards.render.goals import goal_lines, smart_lines, total_so_far
from scorecards.render.message import Issue
from scorecards.render.moved import bridge_words, driver_lines, left_out, mostly
from scorecards.render.restated import redefined, restated
from scorecards.render.rows import (
    compared_word,
    meta_lines,
    note_lines,
    rate_words,
    usual_range,
    written_change,
    written_goal,
)
from scorecards.render.view import Badge, Detail, Group, Item, Line, Part, Parts, Records, Row, SourceLine, Spark, View
from scorecards.render.written import written_value
from scorecards.values import SHOWN, ActionRow, Freshness, KpiResult, Period

#: Shapes that no client turns into an emoji, one per state.
SHAPES: Mapping[str, str] = {"on": "✓", "risk": "!", "off": "✕", "none": "–"}

#: Records shown in each list after the first.
_FURTHER_ROWS = 3
#: Draws the sparkline of a result and gives its content id.
Draw = Callable[[KpiResult], str]


def view(issue: Issue, fmt: Formatter, detail: Detail, draw: Draw) -> View:
    """The issue as texts. `draw` is called once for each KPI that has a series."""
    words, results = fmt.words, issue.results
    count = headline.counts(results)
    failing = [clean(f.source, 40) for f in issue.freshness if f.error or f.failing_since or f.synced_at is None]
    finding = headline.finding(results, words)
    summary = headline.summary(
        results,
        failing,
        words,
        value=lambda r: total_so_far(r, fmt) or written_value(r, fmt),
        change=lambda r: None if total_so_far(r, fmt) else written_change(r, fmt),
        goal=lambda r: written_goal(r, fmt, full=True),
        usual=lambda r: usual_range(r, fmt),
        mostly=lambda r: mostly(r, fmt),
        number=fmt.number,
    )
    own_language = fmt.locale.language == words.lang
    records, also = _records(issue, fmt, detail)
    changed, more = restated(issue, fmt, detail)
    return View(
        lang=str(fmt.locale).replace("_", "-") if own_language else words.lang,
        direction=words.direction,
        agent=clean(issue.agent_name),
        title=clean(issue.title),
        finding=finding,
        preheader=" ".join(text for _, text in summary[:2]),
        when=headline.capital(headline.period_name(issue, fmt)),
        about_line=_about_line(issue, fmt),
        banners=((words("test_banner"),) if issue.is_test else ()) + tuple(clean(n, 300) for n in issue.notes if n),
        is_test=issue.is_test,
        summary=tuple(summary),
        counts=tuple((count[key], _badge(key, fmt)) for key in headline.STATES),
        uncounted=_uncounted(results, fmt),
        groups=_groups(issue, fmt, detail, draw),
        legend=_legend(results, fmt),
        records=records,
        also=also,
        restated=changed,
        restated_more=more,
        redefined=redefined(issue, fmt),
        crm_url=safe_url(issue.crm_url),
        sources=tuple(_source(f, issue, fmt) for f in issue.freshness),
        provenance=_provenance(issue, fmt),
        definitions=tuple((clean(r.title) or r.kpi, clean(r.about, 240)) for r in results if r.about),
        rates=tuple((clean(r.title) or r.kpi, "; ".join(said)) for r in results if (said := rate_words(r, fmt))),
        smart=smart_lines(results),
        owners=words("owners") if any(r.details.get("owners") for r in results) else "",
        why=words(
            "why", recipient=clean(issue.recipient, 120), title=clean(issue.title), agent=clean(issue.agent_name)
        ),
        contact=words("contact", owner=clean(issue.owner, 120)) if issue.owner else "",
        stop=safe_stop(issue.unsubscribe),
    )


def _badge(key: str, fmt: Formatter) -> Badge:
    return Badge(key, SHAPES[key], fmt.words(key))


def _about_line(issue: Issue, fmt: Formatter) -> str:
    """Title, days, what they are compared with, and the zone: the first line of the mail."""
    words = fmt.words
    if issue.period is None:
        days = words("as_of_title", when=fmt.instant(issue.as_of))
    else:
        days = fmt.dates(issue.period)
        if not issue.period.complete:
            days += f" {words('so_far')}"
        before = _previous(issue)
        if before:
            days += f" {words('against', period=fmt.dates(before, year=False))}"
    zone = fmt.timezone.key
    if issue.period is not None and issue.period.timezone != zone:
        said = words("zones", days=issue.period.timezone, zone=zone)
    else:
        said = words("zone", zone=zone)
    return f"{clean(issue.title)}, {days}, {said}"


def _previous(issue: Issue) -> Period | None:
    """The period the changes are against, as the KPIs of the scorecard's own period say."""
    for result in issue.results:
        if result.period is None or issue.period is None or result.period.start != issue.period.start:
            continue
        for comparison in result.comparisons:
            if comparison.against == "previous" and comparison.period is not None:
                return comparison.period
    return None


def _uncounted(results: Sequence[KpiResult], fmt: Formatter) -> str:
    """KPIs outside the four states: those without a goal, and those whose old data is not judged."""
    outside = [r for r in results if headline.state_of(r) is None]
    goalless = sum(r.target is None and not r.unjudged for r in outside)
    unjudged = len(outside) - goalless
    said = [fmt.words("uncounted", goalless, n=goalless)] if goalless else []
    if unjudged:
        said.append(fmt.words("unjudged", unjudged, n=unjudged))
    return ", ".join(said)


def _groups(issue: Issue, fmt: Formatter, detail: Detail, draw: Draw) -> tuple[Group, ...]:
    rows: dict[str, list[Row]] = {}
    unnamed = fmt.words("other_kpis" if any(result.group for result in issue.results) else "all_kpis")
    for result in issue.results:
        name = clean(result.group, 60) or unnamed
        rows.setdefault(name, []).append(_row(result, issue, fmt, detail, draw))
    return tuple(Group(name, tuple(members)) for name, members in rows.items())


def _row(result: KpiResult, issue: Issue, fmt: Formatter, detail: Detail, draw: Draw) -> Row:
    words, shown = fmt.words, headline.has_value(result)
    state = headline.state_of(result)
    goal = written_goal(result, fmt)
    change = written_change(result, fmt) if shown else None
    return Row(
        title=clean(result.title) or result.kpi,
        badge=_badge(state, fmt) if state else None,
        goal=words("goal", goal=goal) if goal else "",
        value=(written_value(result, fmt) or "") if shown else "—",
        change=change or "",
        compared=compared_word(result, fmt) if shown else words("not_available"),
        lines=(
            *note_lines(result, fmt),
            *_moved(result, fmt),
            *_goal(result, fmt),
            *meta_lines(result, issue, fmt),
        ),
        spark=_spark(result, fmt, draw),
        parts=_parts(result, fmt, detail.segments),
    )


def _moved(result: KpiResult, fmt: Formatter) -> list[Line]:
    """What moved the number, where that is news (of noise nothing is explained), and the bridge of a stock.

    Either is left out where it does not add up, and that is said.
    """
    if not headline.has_value(result):
        return []
    is_told = result.drivers is not None and result.drivers["news"]
    lines = [Line(text, "ink") for text in driver_lines(result, fmt)] if is_told else []
    bridge = bridge_words(result, fmt)
    return [*lines, *([Line(bridge)] if bridge else []), *(Line(text, "risk", "!") for text in left_out(result, fmt))]


def _goal(result: KpiResult, fmt: Formatter) -> list[Line]:
    return goal_lines(result, fmt) if headline.has_value(result) else []


def _spark(result: KpiResult, fmt: Formatter, draw: Draw) -> Spark | None:
    points = list(result.series)[-sparkline.POINTS :]
    words, values = fmt.words, [p.value for p in points]
    if all(value is None for value in values):
        return None
    known = [(written_value(result, fmt, v) or "") for v in values if v is not None]
    numbers = [v for v in values if v is not None]
    count = len(values)
    periods = headline.period_word(result, words, count)
    kind = sparkline.trend(values)
    if kind == "none":
        alt = words("alt_none", n=count, periods=periods)
    elif len(known) == 1:
        alt = words("alt_one", period=headline.period_word(result, words), n=count, last=known[-1])
    else:
        alt = words("alt", trend=words(kind), n=count, periods=periods, first=known[0], last=known[-1])
        gaps = count - len(known)
        alt += words("alt_gaps", gaps, n=gaps) if gaps else ""
    span = ""
    if numbers:
        low, high = (written_value(result, fmt, edge) or "" for edge in (min(numbers), max(numbers)))
        span = words("spark_range", low=low, high=high, last=known[-1])
    return Spark(draw(result), alt, sparkline.blocks(values), span)


def _parts(result: KpiResult, fmt: Formatter, limit: int) -> tuple[Parts, ...]:
    """The segments by dimension: the worst first, those without a value last."""
    if limit <= 0:
        return ()
    dimensions: dict[str, list[tuple[float, Part]]] = {}
    for segment in result.segments:
        known = segment.value is not None and segment.status in SHOWN
        order = float("inf")
        if known and segment.value is not None:
            order = segment.value if result.direction == "up" else -segment.value
            written = written_value(result, fmt, segment.value) or ""
        elif segment.status == "too_few" and segment.n is not None:
            written = fmt.words("too_few_n", n=fmt.number(segment.n))
        else:
            written = SHAPES["none"]
        name = clean(segment.segment, 40) or fmt.words("none_segment")
        verdict = {"green": "on", "amber": "risk", "red": "off"}.get(segment.verdict or "")
        part = Part(name, written, _badge(verdict, fmt) if verdict and known else None, is_known=known)
        dimensions.setdefault(clean(segment.by, 40), []).append((order, part))
    found = []
    for by, items in dimensions.items():
        ordered = [part for _, part in sorted(items, key=lambda pair: pair[0])]
        more = fmt.words("more", n=len(ordered) - limit) if len(ordered) > limit else ""
        label = fmt.words("segments_by", by=by.replace("_", " ")) if by else ""
        found.append(Parts(label, tuple(ordered[:limit]), more))
    return tuple(found)


def _legend(results: Sequence[KpiResult], fmt: Formatter) -> str:
    drawn = [r for r in results if r.series]
    if not drawn:
        return ""
    count = min(max(len(r.series) for r in drawn), sparkline.POINTS)
    grains = {r.granularity.removeprefix("fiscal_") for r in drawn}
    if len(grains) > 1:  # monthly KPIs beside weekly ones: each line in its own periods
        return fmt.words("lines", n=count, periods=fmt.words("periods"))
    return fmt.words("lines", n=count, periods=fmt.words(f"period_{grains.pop()}", count))


def _records(issue: Issue, fmt: Formatter, detail: Detail) -> tuple[tuple[Records, ...], str]:
    """The lists of records, those of the worst KPIs first, and one line that names the lists left out.

    The first list is this issue's job and gets the most rows; two KPIs with one list (lost deals) show it once.
    """
    shown: list[Records] = []
    left: list[str] = []
    seen: set[str] = set()
    for result in headline.with_records(issue.results):
        actions = result.actions
        assert actions is not None
        label = headline.list_label(result)
        if label in seen:
            continue
        seen.add(label)
        total = max(actions.total, len(actions.rows))
        if len(shown) == detail.lists or not actions.rows or not detail.rows:
            left.append(fmt.words("list_count", label=label, n=fmt.number(total)))
            continue
        rows = actions.rows[: min(detail.rows, _FURTHER_ROWS) if shown else detail.rows]
        items = tuple(_item(row, result, fmt) for row in rows)
        count = fmt.words("shown_of", a=fmt.number(len(items)), b=fmt.number(total))
        shown.append(Records(label, count, items))
    return tuple(shown), fmt.words("also_lists", lists=", ".join(left)) if left else ""


def _item(row: ActionRow, result: KpiResult, fmt: Formatter) -> Item:
    return Item(
        title=clean(row.title) or clean(row.id.rpartition(":")[2]) or fmt.words("no_name"),
        url=safe_url(row.url),
        reason=clean(row.reason, 120),
        owner=clean(row.owner, 60),
        amount="" if row.amount is None else fmt.money(row.amount, currency=result.currency, short=False),
    )


def _source(fresh: Freshness, issue: Issue, fmt: Formatter) -> SourceLine:
    words, name = fmt.words, clean(fresh.source, 40)
    last = words("last_synced", when=fmt.instant(fresh.synced_at)) if fresh.synced_at else words("never")
    if fresh.error or fresh.failing_since:
        since = fresh.failing_since
        said = words("failing", when=fmt.instant(since)) if since else words("failing_bare")
        text = f"{said}, {last}"
        cause = clean(fresh.error, 160).rstrip(".")
        return SourceLine("off", SHAPES["off"], name, f"{text}: {cause}" if cause else text)
    if fresh.withdrawn:
        gone = clean(", ".join(stream for stream, _ in fresh.withdrawn), 80)
        return SourceLine("risk", SHAPES["risk"], name, words("withdrawn", last=last, streams=gone))
    if fresh.synced_at is None:
        return SourceLine("off", SHAPES["off"], name, words("never"))
    age = (issue.as_of - fresh.synced_at).total_seconds()
    if issue.max_age_s is not None and age > issue.max_age_s:
        return SourceLine("risk", SHAPES["risk"], name, words("late", when=fmt.instant(fresh.synced_at)))
    return SourceLine("on", SHAPES["on"], name, words("synced", when=fmt.instant(fresh.synced_at)))


def _provenance(issue: Issue, fmt: Formatter) -> str:
    said = [fmt.words("as_of", when=fmt.instant(issue.as_of))]
    if issue.number is not None:
        said.append(fmt.words("issue", n=fmt.number(issue.number)))
    if issue.config_hash:
        said.append(fmt.words("config", hash=clean(issue.config_hash, 16)))
    return ", ".join(said)
