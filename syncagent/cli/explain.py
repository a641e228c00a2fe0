"""`kpi explain`: how a number came about, record by record, and what moved it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

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
)
from syncagent.errors import OK, UsageError


@click.command("explain", short_help="How a KPI came about: filters, SQL, every record.")
@click.argument("name", shell_complete=offered("kpis"))
@period_option
@as_of_option
@json_option
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Records to print (the JSON has all)."
)
@pass_app
def explain_command(app: App, name: str, period: str | None, as_of: str | None, as_json: bool, limit: int) -> int:
    """How KPI NAME came about: filters, SQL, and every record with the part it plays.

    Also what moved it since the period before, each part with its sum, and the bridge of a stock.

    \b
    Example:
      syncagent kpi explain win_rate --period 2026-10
    """
    from scorecards.evaluate import Evaluator
    from scorecards.periods import parse_period
    from scorecards.voice import is_process, with_voice
    from syncagent.computable import named
    from syncagent.store import read_cache

    config = app.config
    kpi = config.kpis[known(name, config.kpis, "KPI", listed_by=KPIS)]
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    try:
        span = parse_period(period, config.reporting().week_starts) if period is not None else None
    except ValueError as error:
        raise UsageError(str(error), place=f"--period {period}") from None
    with closing(read_cache(config.agent.data_dir)) as cache:
        evaluator = Evaluator(cache, config.kpis, config.reporting(), as_of=moment)
        told = evaluator.explain(kpi, period=span)
        told["reason"] = named(config, told["reason"]) if told["reason"] else None
        told["voc_alignment"] = None
        if is_process(kpi) and evaluator.holds("survey_responses"):
            result = evaluator.evaluate(kpi, period=span)
            voiced = with_voice(evaluator, kpi, result, config.kpis["csat_score"], period=span)
            told["voc_alignment"] = voiced.details.get("voc_alignment")
    if as_json:
        print_json(told)
        return OK
    _show_explained(told, limit)
    return OK


def _show_explained(told: dict[str, Any], limit: int) -> None:
    """How a value came about, for people: what it is, what it is made of, the statement, the records."""
    click.echo(f"{told['kpi']} = {told['value']}")
    if told["reason"]:
        click.echo(f"  {told['reason']}")
    click.echo(f"  = {told['formula']}")
    for part in told.get("parts", ()):
        click.echo(f"  {'-' if part['sign'] < 0 else ' '} {part['part']} = {part['value']}")
    for text in told["filters"]:
        click.echo(f"  {text}")
    if told["voc_alignment"] and told["voc_alignment"]["sentence"]:
        voice = told["voc_alignment"]
        click.echo(f"  {voice['sentence']} (rank correlation {voice['rho']:.2f} over {voice['n']} {voice['by']}s)")
    for line in _moved(told):
        click.echo(f"  {line}")
    ages = [f"{one['source']} {one['synced_at'] or 'never'}" for one in told["sources"]]
    click.echo(f"  synced: {', '.join(ages) or 'no source feeds it'}")
    click.echo(f"\n{told['sql']}\n\nparameters: {told['parameters']}\n")
    records = told["records"]
    is_made = "of" in told
    headings = ("record", "role", *(("of",) if is_made else ()), "reason", "url")
    rows = [
        (r["id"], r["role"], *((f"{r['kpi']} {r['period']}",) if is_made else ()), r["reason"], r["url"])
        for r in records[:limit]
    ]
    print_table(headings, rows)
    if len(records) > limit:
        click.echo(f"... and {len(records) - limit} more (--limit, --json)")


def _moved(told: dict[str, Any]) -> Iterator[str]:
    """The bridge and the drivers line by line, in the value's own unit: each adds up to its last line."""
    if told["bridge"] is not None:
        yield "bridge"
        for word, amount in told["bridge"].items():
            written = _said(amount) if word in ("opening", "closing") else _signed(amount)
            yield f"  {written:>16} {word.replace('_', ' ')}"
    drivers = told["drivers"]
    if drivers is not None:
        period = drivers["period"]
        yield f"moved by {drivers['by']} since {period['start']}..{period['end']} ({drivers['with'].replace('_', ' ')})"
        if drivers["note"]:
            yield f"  {drivers['note']}"
        yield f"  {_said(drivers['before']):>16} before"
        for effect in drivers["effects"]:
            parts = "" if effect["mix"] is None else f" (rate {_signed(effect['rate'])}, mix {_signed(effect['mix'])})"
            yield f"  {_signed(effect['effect']):>16} {effect['segment']}{parts}"
        yield f"  {_said(drivers['after']):>16} now, a change of {_signed(drivers['change'])}"
    for what, why in told["left_out"].items():
        yield f"no {what}: {why}"


def _said(amount: float) -> str:
    return f"{amount:.12g}"


def _signed(amount: float) -> str:
    return f"{amount:+.12g}"
