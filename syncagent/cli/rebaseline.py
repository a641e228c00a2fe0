"""`kpi rebaseline`: a person's word that a relative target starts anew."""

from contextlib import closing

import click

from syncagent.cli.common import App, known, offered, pass_app
from syncagent.errors import OK, UsageError


@click.command("rebaseline", short_help="Let a target start from its baseline as it is now.")
@click.argument("name", shell_complete=offered("kpis"))
@pass_app
def rebaseline_command(app: App, name: str) -> int:
    """Let the relative target of KPI NAME start from its baseline as it is now, whatever was kept of it.

    The next scorecard sent with NAME keeps the new one. A goal whose deadline has passed is judged anew by it.

    \b
    Example:
      syncagent kpi rebaseline won_revenue
    """
    from scorecards.targets.pace import Deadline, Kept
    from syncagent.pledges import forget
    from syncagent.store import has_state, open_state, transaction

    config = app.config
    target = config.kpis[known(name, config.kpis, "KPI")].target
    if target is None or target.from_ is None:
        raise UsageError("its target starts from no baseline", place=name, mend="Give it a change and from.")
    gone: list[Kept] = []
    ends: list[Deadline] = []
    if has_state(config.agent.data_dir):
        with closing(open_state(config.agent.data_dir)) as state, transaction(state):
            gone, ends = forget(state, name)
    for kept in gone:
        click.echo(
            f"{name}: {kept.value:,.6g} of {kept.start} to {kept.end}, kept since {kept.computed_on}, is dropped"
        )
    for end in ends:
        click.echo(f"{name}: that its goal of {end.judged_on} was {end.state} is dropped with it")
    if not gone:
        click.echo(f"{name}: no baseline was kept")
    click.echo("the next scorecard sent with it keeps the baseline as it is then")
    return OK
