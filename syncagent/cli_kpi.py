"""`kpi`: list, show and explain numbers from the cache; nothing is sent."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from syncagent.cli_common import (
    App,
    as_of_option,
    json_option,
    known,
    parse_as_of,
    pass_app,
    print_json,
    print_table,
)
from syncagent.cli_not_built import not_built
from syncagent.errors import FAILED, OK, UsageError

if TYPE_CHECKING:
    from scorecards.values import KpiResult

period_option = click.option(
    "--period",
    metavar="P",
    help="all, 2026, 2026-Q3, 2026-10, 2026-W46, 2026-11-16 or START..END. Default: the KPI's own, last complete one.",
)


@click.group("kpi")
def kpi_group() -> None:
    """The numbers: computed from the cache, nothing sent."""


@kpi_group.command("list")
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> int:
    """Every KPI that can be shown: built-ins, and those of the configuration."""
    config = app.config
    used = {kpi for card in config.scorecards.values() for kpi in card.kpis}
    rows: list[dict[str, Any]] = [
        {
            "kpi": name,
            "title": kpi.name or name,
            "of": kpi.of,
            "on_scorecards": sorted(card for card, c in config.scorecards.items() if name in c.kpis),
            "has_target": kpi.target is not None,
        }
        for name, kpi in sorted(config.kpis.items())
    ]
    if as_json:
        print_json(rows)
        return OK
    print_table(
        ("KPI", "title", "of", "scorecards", "target"),
        [
            (
                f"{row['kpi']}{' *' if row['kpi'] in used else ''}",
                row["title"],
                row["of"],
                ", ".join(row["on_scorecards"]),
                "yes" if row["has_target"] else "",
            )
            for row in rows
        ],
    )
    return OK


@kpi_group.command("show")
@click.argument("names", nargs=-1, required=True)
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
    from scorecards.evaluate import Evaluator
    from scorecards.periods import parse_period
    from syncagent.store import read_cache

    config = app.config
    kpis = [config.kpis[known(name, config.kpis, "KPI")] for name in names]
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    try:
        span = parse_period(period) if period is not None else None
    except ValueError as error:
        raise UsageError(str(error), place=f"--period {period}") from None
    with closing(read_cache(config.agent.data_dir)) as cache:
        evaluator = Evaluator(cache, config.kpis, config.reporting(), as_of=moment)
        results = [evaluator.evaluate(kpi, period=span, by=by or None) for kpi in kpis]
    if as_json:
        print_json([result.to_json() for result in results])
    else:
        for number, result in enumerate(results):
            _show(result, config.agent.locale, is_first=number == 0)
    return FAILED if any(result.status == "error" for result in results) else OK


@kpi_group.command("explain")
@click.argument("name")
@period_option
@as_of_option
@json_option
@click.option("--limit", default=20, show_default=True, help="Records to print (the JSON has all).")
@pass_app
def explain_command(app: App, name: str, period: str | None, as_of: str | None, as_json: bool, limit: int) -> int:
    """How KPI NAME came about: filters, SQL, and every record with the part it plays.

    \b
    Example:
      syncagent kpi explain win_rate --period 2026-10
    """
    from scorecards.evaluate import explain
    from scorecards.periods import parse_period
    from syncagent.store import read_cache

    config = app.config
    kpi = config.kpis[known(name, config.kpis, "KPI")]
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    try:
        span = parse_period(period) if period is not None else None
    except ValueError as error:
        raise UsageError(str(error), place=f"--period {period}") from None
    with closing(read_cache(config.agent.data_dir)) as cache:
        told = explain(cache, kpi, config.kpis, config.reporting(), as_of=moment, period=span)
    if as_json:
        print_json(told)
        return OK
    click.echo(f"{told['kpi']} = {told['value']}")
    for text in told.get("filters") or ():
        click.echo(f"  {text}")
    click.echo(f"\n{told['sql']}\n\nparameters: {told['parameters']}\n")
    records = told["records"]
    print_table(
        ("record", "role", "reason", "url"),
        [(r["id"], r["role"], r.get("reason"), r.get("url")) for r in records[:limit]],
    )
    if len(records) > limit:
        click.echo(f"... and {len(records) - limit} more (--limit, --json)")
    return OK


kpi_group.add_command(not_built("backtest", "Say how a KPI's colours would have been in the past.", "kpi backtest"))


def _show(result: "KpiResult", locale: str, *, is_first: bool) -> None:
    """One KPI for people: value, verdict, period, and what it is made of."""
    if not is_first:
        click.echo()
    shown = value_text(result, locale)
    verdict = {"green": "on target", "amber": "at risk", "red": "off target"}.get(result.verdict or "", "")
    click.echo(f"{result.title} ({result.kpi}): {shown}{f'  {verdict}' if verdict else ''}")
    if result.period is not None:
        running = "" if result.period.complete else ", still running"
        click.echo(f"  period    {result.period.start} to {result.period.end} ({result.period.timezone}{running})")
    if result.numerator is not None or result.denominator is not None:
        click.echo(f"  made of   {_plain(result.numerator)} / {_plain(result.denominator)}, n = {result.n}")
    elif result.n is not None:
        click.echo(f"  made of   n = {result.n}")
    if result.reason:
        click.echo(f"  because   {result.reason}")
    for comparison in result.comparisons:
        click.echo(f"  {comparison.against:<9} {_plain(comparison.value)}, change {_signed(comparison.change)}")
    if result.target is not None:
        click.echo(f"  target    {_plain(result.target.value)}, gap {_signed(result.target.gap)}")
    for segment in result.segments:
        click.echo(f"    {segment.segment:<30} {_plain(segment.value):>14}  n = {segment.n}")
    stale = [
        f"{f.source} {f.synced_at:%Y-%m-%d %H:%MZ}" if f.synced_at else f"{f.source} never" for f in result.freshness
    ]
    if stale:
        click.echo(f"  synced    {', '.join(stale)}")


def value_text(result: "KpiResult", locale: str) -> str:
    """The value with its unit, or the status that stands in its place."""
    if result.value is None:
        return result.status
    unit: Any = result.unit
    if unit == "ratio":
        return f"{result.value:.1%}"
    if unit == "money":
        return f"{result.value:,.2f} {result.currency or ''}".rstrip()
    if unit == "seconds":
        return _duration(result.value)
    if unit == "count":
        return f"{result.value:,.0f}"
    return f"{result.value:,.2f} {unit}"


def _duration(seconds: float) -> str:
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {word}"
    return f"{seconds:.0f} s"


def _plain(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{'+' if value > 0 else ''}{_plain(value)}"
