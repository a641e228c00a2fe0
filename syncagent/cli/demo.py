"""`sandbox` and `demo`: everything to try, nothing to set up."""

from datetime import timedelta
from pathlib import Path

import click

from syncagent.cli.common import App, pass_app
from syncagent.errors import UsageError


@click.command("sandbox", short_help="Serve Salesforce, HubSpot and SMTP to try things on.")
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("sandbox"))
@click.option("--seed", default=7, show_default=True, help="Another number, another company.")
@click.option(
    "--advance",
    metavar="1d",
    help="Let this much time pass in the company before serving: new, changed, deleted records.",
)
@pass_app
def sandbox_command(app: App, folder: Path, seed: int, advance: str | None) -> int:
    """Start the bundled Salesforce, HubSpot and SMTP servers on loopback and write a config for them.

    The company of a folder stays the same: its clock stands still, and --advance moves it on from where it was, so
    that a cache made of it earlier reads what is new.

    \b
    Example:
      syncagent sandbox --dir /tmp/box          in one terminal
      cd /tmp/box && syncagent sync             in another
    """
    from syncagent.demo import serve_sandbox

    app.set_up_logs()
    return serve_sandbox(folder, seed=seed, advance=_span(advance), clock=app.clock)


@click.command("demo", short_help="The main job, start to end, with nothing configured.")
@click.option(
    "--keep",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to make; default ./demo-output.",
)
@click.option("--serve", is_flag=True, help="Leave the servers running at the end, until Ctrl-C.")
@pass_app
def demo_command(app: App, folder: Path | None, serve: bool) -> int:
    """The main job against the bundled servers: sync two CRMs, compute, mail; compare with the truth.

    \b
    Example:
      syncagent demo --keep /tmp/demo
    """
    from syncagent.demo import run_demo

    app.set_up_logs()
    return run_demo(folder, serve=serve, clock=app.clock)


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    unit = {"d": "days", "h": "hours", "m": "minutes", "w": "weeks"}.get(text[-1:], "")
    if not unit or not text[:-1].isdigit():
        raise UsageError("not a duration", place=f"--advance {text}", mend='Write a number and d, h or m, like "1d".')
    return timedelta(**{unit: int(text[:-1])})
