"""`outbox`: messages owed; deciding an uncertain or a dead one."""

from contextlib import closing
from typing import Any

import click

from syncagent.cli.common import App, json_option, pass_app, print_json, print_table
from syncagent.clock import local_time
from syncagent.errors import OK


@click.group("outbox")
def outbox_group() -> None:
    """Messages owed: waiting, uncertain or given up."""


@outbox_group.command("list")
@click.option("--all", "everything", is_flag=True, help="Those sent and dropped too.")
@json_option
@pass_app
def list_command(app: App, everything: bool, as_json: bool) -> int:
    """Messages not sent yet, oldest first."""
    from syncagent import outbox
    from syncagent.store import has_state, read_state

    config = app.config
    messages: list[dict[str, Any]] = []
    if has_state(config.agent.data_dir):
        with closing(read_state(config.agent.data_dir)) as state:
            messages = outbox.list_messages(state, everything=everything)
    if as_json:
        print_json(messages)
        return OK
    if not messages:
        click.echo("No message yet." if everything else "Nothing is owed.")
        return OK
    print_table(
        ("id", "scorecard", "due", "recipient", "state", "attempts", "next attempt", "last reply"),
        [
            (
                m["id"],
                m["scorecard"],
                local_time(m["due_at"], config.agent.timezone),
                m["recipient"],
                m["state"],
                m["attempts"],
                local_time(m["next_attempt_at"], config.agent.timezone) if m["state"] in ("queued", "deferred") else "",
                m["last_reply"],
            )
            for m in messages
        ],
        right=(0, 5),
    )
    return OK


@outbox_group.command("retry", short_help="Owe a message once more.")
@click.argument("id_", metavar="ID", type=int)
@pass_app
def retry_command(app: App, id_: int) -> int:
    """Owe message ID once more: the daemon sends it again, with the same Message-ID.

    \b
    Example:
      syncagent outbox retry 17
    """
    from syncagent import outbox
    from syncagent.store import open_state

    with closing(open_state(app.config.agent.data_dir)) as state:
        outbox.retry(state, id_, app.clock())
    click.echo(f"message {id_} is owed again; the daemon, or `syncagent run --once`, sends it")
    return OK


@outbox_group.command("drop")
@click.argument("id_", metavar="ID", type=int)
@pass_app
def drop_command(app: App, id_: int) -> int:
    """Owe message ID no longer."""
    from syncagent import outbox
    from syncagent.store import open_state

    with closing(open_state(app.config.agent.data_dir)) as state:
        outbox.drop(state, id_, app.clock())
    click.echo(f"message {id_} is dropped")
    return OK
