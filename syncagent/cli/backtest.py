"""`kpi backtest`: what a KPI's signal would have said in the past, and how often it is right."""

from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import click

from syncagent.cli.common import (
    KPIS,
    App,
    as_of_option,
    count_of,
    json_option,
    known,
    offered,
    parse_as_of,
    pass_app,
    print_json,
    print_table,
)
from syncagent.errors import OK, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scorecards.values import Point, Signal

#: What a signal is built for (docs/definitions.md).
FALSE_ALARMS_AIM, FOUND_AIM = 0.03, 0.90


@click.command("backtest", short_help="What its signal would have said in the past.")
@click.argument("name", shell_complete=offered("kpis"))
@click.option("--weeks", type=click.IntRange(1, 520), metavar="N", help="The last N whole weeks.")
@click.option("--months", type=click.IntRange(1, 240), metavar="N", help="The last N whole months.")
@click.option("--period", metavar="P", help="Only periods within it: 2026, 2026-Q3 or START..END.")
@as_of_option
@json_option
@pass_app
def backtest_command(
    app: App,
    name: str,
    weeks: int | None,
    months: int | None,
    period: str | None,
    as_of: str | None,
    as_json: bool,
) -> int:
    """What the signal of KPI NAME would have said in the past, and how often it is right.

    Every period is judged as the scorecard that ends with it judges it. False alarms are counted on the same values in
    random order, where nothing has shifted; then a lasting rise of 30 % is put in, to see whether it is found. Without
    --weeks or --months: the last 104 of the KPI's own periods.

    \b
    Example:
      syncagent kpi backtest won_revenue --weeks 104
    """
    from scorecards.evaluate import Evaluator
    from scorecards.periods import parse_period
    from scorecards.plan import plan
    from scorecards.signal.backtest import PLANTED, WITHIN, backtest
    from scorecards.signal.history import charted, keeps_no_past, past_of
    from syncagent import kept
    from syncagent.store import read_cache

    config = app.config
    kpi = config.kpis[known(name, config.kpis, "KPI", listed_by=KPIS)]
    if weeks and months:
        raise UsageError("give either weeks or months", place="--weeks and --months")
    if reason := keeps_no_past(kpi):
        raise UsageError(f"this KPI has no past to test: {reason}", place=name)
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    try:
        span = parse_period(period, config.reporting().week_starts) if period is not None else None
    except ValueError as error:
        raise UsageError(str(error), place=f"--period {period}") from None
    asked: Literal["week", "month"] | None = "week" if weeks else "month" if months else None
    chosen_kpi = kpi if asked is None else kpi.model_copy(update={"period": asked})
    with closing(read_cache(config.agent.data_dir)) as cache:
        cache.execute("BEGIN")  # what is kept and the rows it stands for are to be of one state
        reporting = config.reporting()
        shelf = kept.Shelf(cache, reporting, moment)
        evaluator = Evaluator(cache, config.kpis, reporting, as_of=moment, keeper=shelf)
        newest = plan(chosen_kpi, reporting, as_of=moment).newest
        assert newest is not None  # a KPI that keeps a past has a newest period
        most = weeks or months or 104
        past = past_of(evaluator, chosen_kpi, newest, shown=most)
        cache.execute("ROLLBACK")
        kept.put_away(cache, shelf)
    begins = max(past.from_first(), len(past.points) - most)
    judged = [
        (point, past.signal(place))
        for place, point in enumerate(past.points)
        if place >= begins and (span is None or (span.start <= point.start and point.end <= span.end))
    ]
    points = [point for point, _ in judged]
    between = judged[-1][1].days_between if judged else None
    found = backtest(
        [] if between is not None else charted(points), floor=past.floor, ceiling=past.ceiling, cycle=past.cycle
    )
    document: dict[str, Any] = {
        "kpi": kpi.id,
        "title": kpi.title,
        "as_of": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "grain": past.grain,
        "points": len(points),
        "seasonal": found.seasonal,
        "flagged": sum(signal.result == "signal" for _, signal in judged),
        "false_alarms": {"share": found.false_alarms, "aim": FALSE_ALARMS_AIM},
        "detection": {
            "planted": PLANTED,
            "within": WITHIN,
            "share": found.found,
            "aim": FOUND_AIM,
            "points": found.points_to_find,
        },
        "days_between": between,
        "history": _history(judged),
    }
    if as_json:
        print_json(document)
    else:
        _show(document)
    return OK


def _history(judged: "Sequence[tuple[Point, Signal]]") -> list[dict[str, Any]]:
    return [
        {
            "start": point.start.isoformat(),
            "end": point.end.isoformat(),
            "value": point.value,
            "result": signal.result,
            "rules": list(signal.rules),
            "direction": signal.direction,
            "mean": signal.mean,
            "lower": signal.lower,
            "upper": signal.upper,
            "points": signal.points,
            "since": signal.since.isoformat() if signal.since else None,
            "because": signal.because or None,
        }
        for point, signal in judged
    ]


def _show(document: dict[str, Any]) -> None:
    grain, points = document["grain"].replace("_", " "), document["history"]
    stretch = f", {points[0]['start']} to {points[-1]['end']}" if points else ""
    click.echo(f"{document['title']} ({document['kpi']}): {count_of(len(points), grain)}{stretch}")
    if document["days_between"] is not None:
        click.echo(f"  too rare for a usual range: {document['days_between']:,.0f} days from one to the next")
        return
    if document["seasonal"]:
        click.echo("  season        clear, and taken out")
    share, found = document["false_alarms"]["share"], document["detection"]
    if share is None:
        click.echo("  too short to measure: 20 periods with a value are needed")
    else:
        click.echo(
            f"  false alarms  {share:.1%} of periods where nothing shifted (aim: at most {FALSE_ALARMS_AIM:.0%})"
        )
        text = f"{found['share']:.0%} of lasting +{found['planted']:.0%} within {found['within']} periods"
        after = "" if found["points"] is None else f", usually after {found['points']:g}"
        click.echo(f"  found         {text} (aim: at least {FOUND_AIM:.0%}){after}")
    click.echo(f"  flagged       {document['flagged']} of {len(points)}")
    flagged = [p for p in points if p["result"] == "signal"]
    if flagged:
        click.echo()
        rows = [
            (p["start"], f"{p['value']:,.6g}", f"{p['lower']:,.6g} to {p['upper']:,.6g}", p["direction"], _rules(p))
            for p in flagged
        ]
        print_table((grain, "value", "usual range", "", "rules"), rows, right=(1,))


def _rules(point: dict[str, Any]) -> str:
    return ", ".join(str(rule) for rule in point["rules"])
