"""`kpi`: list, show and explain numbers from the cache; nothing is sent."""

from collections.abc import Sequence
from contextlib import closing, nullcontext
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import click

from syncagent.cli.backtest import backtest_command
from syncagent.cli.common import (
    KPIS,
    App,
    as_of_option,
    json_option,
    known,
    offered,
    parse_as_of,
    pass_app,
    period_option,
    print_json,
    print_table,
    told_before,
)
from syncagent.cli.explain import explain_command
from syncagent.cli.listed import records_json, records_said
from syncagent.cli.rebaseline import rebaseline_command
from syncagent.clock import local_time
from syncagent.errors import FAILED, OK, UsageError

if TYPE_CHECKING:
    from scorecards.definition import Kpi
    from scorecards.render.format import Formatter
    from scorecards.values import KpiResult
    from syncagent.computable import Verdict
    from syncagent.config import Config


@click.group("kpi")
def kpi_group() -> None:
    """The numbers: computed from the cache, nothing sent."""


@kpi_group.command("list", short_help="Every KPI by perspective, and whether its data is there.")
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> int:
    """Every KPI by perspective, whether its data is there, and else where to map it.

    \b
    Examples:
      syncagent kpi list
      syncagent kpi list --json
    """
    from syncagent.computable import verdicts
    from syncagent.store import has_cache, read_cache

    config = app.config
    data_dir = config.agent.data_dir
    with closing(read_cache(data_dir)) if has_cache(data_dir) else nullcontext() as cache:
        found = verdicts(config, cache, as_of=app.clock())
    rows = [_listed(config, name, found[name]) for name in sorted(found)]
    if as_json:
        print_json(rows)
    else:
        _show_list(rows)
    return OK


def _listed(config: "Config", name: str, verdict: "Verdict") -> dict[str, Any]:
    from syncagent.computable import perspective_of

    kpi = config.kpis[name]
    return {
        "kpi": name,
        "title": kpi.title,
        "of": kpi.of,
        "on_scorecards": sorted(card for card, c in config.scorecards.items() if name in c.kpis),
        "has_target": kpi.target is not None,
        "perspective": perspective_of(kpi),
        "aspect": kpi.aspect,
        "group": kpi.group,
        "about": kpi.about,
        "builtin": kpi.builtin,
        "direction": kpi.direction,
        "can_compute": verdict.can_compute,
        "status": verdict.status,
        "lacks": verdict.lacks or None,
        "mend": verdict.mend or None,
    }


def _show_list(rows: Sequence[dict[str, Any]]) -> None:
    """A table for each perspective; below them what is missing, KPIs that lack the same together."""
    from syncagent.computable import PERSPECTIVES

    words = {True: "yes", False: "no", None: "?"}
    own = sorted({row["perspective"] for row in rows} - set(PERSPECTIVES))
    for perspective in (*PERSPECTIVES, *own):
        here = [row for row in rows if row["perspective"] == perspective]
        if not here:
            continue
        can = sum(row["can_compute"] is True for row in here)
        click.echo(f"{perspective}: {can} of {len(here)} can be computed")
        print_table(
            ("KPI", "title", "aspect", "data", "scorecards", "target"),
            [
                (
                    f"{row['kpi']}{' *' if row['on_scorecards'] else ''}",
                    row["title"],
                    row["aspect"],
                    words[row["can_compute"]],
                    ", ".join(row["on_scorecards"]),
                    "yes" if row["has_target"] else "",
                )
                for row in sorted(here, key=lambda row: (row["group"], row["kpi"]))
            ],
        )
        click.echo()
    if any(row["on_scorecards"] for row in rows):
        click.echo("* on a scorecard")
    lacking: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows, key=lambda row: not row["on_scorecards"]):  # first what somebody waits for
        if row["lacks"]:
            lacking.setdefault((row["lacks"], row["mend"] or ""), []).append(row["kpi"])
    for (lacks, mend), names in lacking.items():
        click.echo(f"{', '.join(names)}: needs {lacks}")
        if mend:
            click.echo(f"  {mend}")


@kpi_group.command("show")
@click.argument("names", nargs=-1, required=True, shell_complete=offered("kpis"))
@period_option
@as_of_option
@click.option("--by", multiple=True, metavar="DIM", help="Split by this dimension or column; may be repeated.")
@json_option
@pass_app
def show_command(
    app: App, names: tuple[str, ...], period: str | None, as_of: str | None, by: tuple[str, ...], as_json: bool
) -> int:
    """Compute KPIs NAMES from the cache.

    \b
    Examples:
      syncagent kpi show win_rate won_revenue
      syncagent kpi show win_rate --period 2026-Q3 --by team
      syncagent kpi show ticket_backlog --as-of 2026-11-05 --json
    """
    from scorecards.earlier import none_kept
    from scorecards.evaluate import Evaluator
    from scorecards.periods import parse_period
    from scorecards.restate import restated_since
    from scorecards.voice import with_voice
    from syncagent import kept, pledges, told
    from syncagent.computable import placed
    from syncagent.store import read_cache

    config = app.config
    kpis = [config.kpis[known(name, config.kpis, "KPI", listed_by=KPIS)] for name in names]
    for kpi in kpis:
        _check_split(kpi, by, config)
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    if moment > app.clock() + timedelta(days=1):
        raise UsageError("what is known then is not known yet", place=f"--as-of {as_of}", mend="Name a time up to now.")
    try:
        span = parse_period(period, config.reporting().week_starts) if period is not None else None
    except ValueError as error:
        raise UsageError(str(error), place=f"--period {period}") from None
    with closing(read_cache(config.agent.data_dir)) as cache, told_before(config.agent.data_dir) as state:
        pledged = pledges.known(state, moment) if state is not None else None
        satisfaction = config.kpis["csat_score"]
        cache.execute("BEGIN")  # what is kept and the rows it stands for are to be of one state
        reporting = config.reporting()
        shelf = kept.Shelf(cache, reporting, moment)
        sent = told.kept_in(state) if state is not None else none_kept
        evaluator = Evaluator(cache, config.kpis, reporting, as_of=moment, pledges=pledged, keeper=shelf, kept=sent)
        results = [placed(config, evaluator.evaluate(kpi, period=span, by=by or None)) for kpi in kpis]
        results = [
            restated_since(evaluator, kpi, result, told.of_kpi(state, kpi.id, moment) if state is not None else ())
            for kpi, result in zip(kpis, results, strict=True)
        ]
        results = [
            with_voice(evaluator, kpi, _with_smart(config, result, evaluator.today), satisfaction, period=span)
            for kpi, result in zip(kpis, results, strict=True)
        ]
        cache.execute("ROLLBACK")
        kept.put_away(cache, shelf)
    if as_json:
        print_json([{**result.to_json(), "actions": records_json(result)} for result in results])
    else:
        for number, result in enumerate(results):
            _show(result, config, is_first=number == 0, is_asked=span is not None)
    return FAILED if any(result.status == "error" for result in results) else OK


def _with_smart(config: "Config", result: "KpiResult", today: date) -> "KpiResult":
    """With the letters of its target, as the first scorecard it stands on would say."""
    from dataclasses import replace

    from syncagent.smart import of_result

    card = next((card for card in config.scorecards.values() if result.kpi in card.kpis), None)
    return result if card is None else replace(result, smart=of_result(config, card, result, today))


kpi_group.add_command(explain_command)
kpi_group.add_command(backtest_command)
kpi_group.add_command(rebaseline_command)


def _check_split(kpi: "Kpi", by: Sequence[str], config: "Config") -> None:
    """Raises UsageError for what is neither a dimension nor a column of the KPI's rows, or of all it is made of."""
    import difflib

    from scorecards.checks.sql import returns_segments
    from scorecards.relations import Language
    from scorecards.split import counted, why_whole

    if by and kpi.sql is not None and not returns_segments(kpi.sql, config.reporting()):
        said = f"{kpi.id} has no segments: its statement returns no column named segment"
        raise UsageError(said, place=f"--by {by[0]}", mend="Name one in its sql, or leave --by away.")
    if by and kpi.sql is None and (why := why_whole(kpi, config.kpis)):
        raise UsageError(f"{kpi.id} has no segments: {why}", place=f"--by {by[0]}", mend="Leave --by away.")
    language = Language(config.reporting())
    relations = {part.of: language.relation(part.of) for part in counted(kpi, config.kpis) if part.of}
    for name, relation in ((name, relation) for name in by for relation in relations.values() or (None,)):
        tables = config.dimensions.get(name)
        if relation is None:
            if tables is None:
                known(name, config.dimensions, "dimension")
        elif tables is not None and relation.split_by(tables) is None:
            mend = f'Add {relation.name} = "COLUMN" to it in [dimension].'
            raise UsageError(f"this dimension says no column for {relation.name}", place=f"--by {name}", mend=mend)
        elif tables is None and language.column(relation, name) is None:
            near = difflib.get_close_matches(name, config.dimensions, 1)
            mend = f"Did you mean {near[0]}?" if near else language.near(relation, name)
            message = f"neither a dimension nor a column of {relation.name}"
            raise UsageError(message, place=f"--by {name}", mend=mend)


def _shown_otherwise(result: "KpiResult", config: "Config") -> str:
    """Which scorecards show, and judge, it by another period than here; empty where all do by this one."""
    from syncagent.rhythm import granularity_of

    if config.kpis[result.kpi].period is not None or result.granularity == "all":
        return ""
    cards = {name: granularity_of(card) for name, card in config.scorecards.items() if result.kpi in card.kpis}
    others = [f"{name} by {grain}" for name, grain in sorted(cards.items()) if grain != result.granularity]
    said = f"shown by {result.granularity}; on scorecard {', '.join(others)}".replace("_", " ")
    return said if others else ""


def _show(result: "KpiResult", config: "Config", *, is_first: bool, is_asked: bool) -> None:
    """One KPI for people, in the mail's own words: value, verdict, period, and what it is made of.

    `is_asked`: of a period somebody named.
    """
    from scorecards.render.format import get
    from scorecards.render.goals import goal_lines, in_time
    from scorecards.render.headline import has_begun, still_runs
    from scorecards.render.moved import bridge_words, driver_lines, left_out
    from scorecards.render.rows import (
        beside_words,
        crm_words,
        kept_words,
        maturity_words,
        rate_words,
        signal_sentence,
        stat_words,
        usual_words,
        voice_words,
        written_change,
        written_goal,
    )
    from scorecards.render.written import written_value
    from scorecards.targets.smart import in_words

    fmt = get(config.agent.locale, config.agent.currency, config.agent.timezone)
    if not is_first:
        click.echo()
    shown = written_value(result, fmt) or result.status.replace("_", " ")
    stat = stat_words(result, fmt)
    verdict = {"green": "on target", "amber": "at risk", "red": "off target"}.get(result.verdict or "", "")
    aside = "".join(f"  {text}" for text in (stat and f"({stat})", verdict) if text)
    click.echo(f"{result.title} ({result.kpi}): {shown}{aside}")
    lines = [("because", result.reason or "")]
    is_ahead = not has_begun(result)
    running = ", not begun yet" if is_ahead else ", still running" if still_runs(result) else ""
    if result.period is not None and result.granularity != "all":
        lines.append(("period", f"{fmt.dates(result.period)} ({result.period.timezone}{running})"))
    if not is_asked:
        lines.append(("note", _shown_otherwise(result, config)))
    if result.n is not None:
        ratio = config.kpis[result.kpi].ratio
        is_product = ratio is not None and len(ratio.tops) + len(ratio.bottoms) > 2  # of no unit anybody knows
        has_sides = result.denominator is not None and not is_product
        sides = f"{_plain(result.numerator)} of {_plain(result.denominator)}, " if has_sides else ""
        lines.append(("made of", f"{sides}n = {result.n:,}"))
    lines += [("beside", said) for said in beside_words(result, fmt)]
    lines.append(("mature", maturity_words(result, fmt)))
    lines += [("note", said) for said in result.remarks]
    lines.append(("in CRMs", crm_words(result, fmt)))
    lines += [("rate", said) for said in rate_words(result, fmt)]
    for comparison in result.comparisons:
        word = comparison.against.replace("_", " ")
        if comparison.value is not None and not is_ahead:
            change = written_change(result, fmt, comparison.against) or "no change"
            since = f", {change} since" if comparison.change is not None else ""
            kept = f" ({kept_words(comparison, fmt)})" if comparison.kept_at is not None else ""
            lines.append((word, f"{written_value(result, fmt, comparison.value)}{since}{kept}"))
        else:
            lines.append((word, comparison.reason))
    lines.append(("goal", written_goal(result, fmt) or result.unjudged))
    lines += [("way", text) for text in (" · ".join(in_time(result, fmt)), *(x.text for x in goal_lines(result, fmt)))]
    if result.target is not None and result.target.baseline is not None:
        lines.append(("baseline", _baseline(result, fmt)))
    if result.smart is not None:
        lines.append(("SMART", in_words(result.smart)))
    lines.append(("customers", voice_words(result, fmt)))
    lines.append(("usual", usual_words(result, fmt)))
    lines.append(("signal", signal_sentence(result, fmt)))
    lines.append(("bridge", bridge_words(result, fmt)))
    lines += [("moved", text) for text in driver_lines(result, fmt)]
    lines += [("!", text) for text in left_out(result, fmt)]
    fresh = [f"{f.source} {local_time(f.synced_at, config.agent.timezone)}" for f in result.freshness]
    for one in result.restated:
        before, now = (written_value(result, fmt, v) if v is not None else "no value" for v in (one.before, one.now))
        of = f" of {one.segment}" if one.segment is not None else ""
        sent = local_time(one.sent_at, config.agent.timezone)
        lines.append(("restated", f"{before}{of} as sent {sent}, now {now} ({fmt.dates(one.period)})"))
    if result.redefined is not None:
        sent = local_time(result.redefined, config.agent.timezone)
        lines.append(("restated", f"not compared with what was sent {sent}: it is defined otherwise now"))
    lines.append(("synced", ", ".join(fresh)))
    for label, text in lines:
        if text:
            click.echo(f"  {label:<9} {text}")
    if result.details.get("owners"):
        click.echo(f"  {fmt.words('owners')}")
    for segment in result.segments:
        value = written_value(result, fmt, segment.value) if segment.value is not None else segment.status
        click.echo(f"    {segment.segment:<30} {value or '':>14}  n = {segment.n}")
    for line in records_said(result, fmt):
        click.echo(line)


def _baseline(result: "KpiResult", fmt: "Formatter") -> str:
    """What a relative target starts from, of which days, and whether it is kept."""
    from scorecards.render.written import written_value
    from scorecards.values import Period

    assert result.target is not None  # the caller looked
    agreed = result.target.baseline
    if agreed is None or agreed.baseline.value is None:
        return "no value"
    kept = agreed.baseline
    days = fmt.dates(Period(kept.start, kept.end, ""))
    since = f"kept since {fmt.day(kept.computed_on)}" if not agreed.is_new else "kept from the first scorecard sent on"
    return f"{written_value(result, fmt, kept.value)} of {days}, {since}"


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
