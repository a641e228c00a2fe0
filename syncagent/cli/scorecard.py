"""`scorecard`: what is due when, how it would look, sending it now, and what was sent."""

import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncagent.cli.common import (
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
    told_before,
)
from syncagent.cli.not_built import not_built
from syncagent.clock import local_time
from syncagent.errors import FAILED, OK, AlreadyRunning, UsageError

if TYPE_CHECKING:
    from syncagent.config import Config


@click.group("scorecard")
def scorecard_group() -> None:
    """The scorecards: what is due, how it looks, what was sent."""


@scorecard_group.command("list")
@json_option
@pass_app
def list_command(app: App, as_json: bool) -> int:
    """The configured scorecards."""
    config = app.config
    rows: list[dict[str, Any]] = [
        {
            "scorecard": name,
            "title": card.title,
            "send": card.send or (f"cron {card.cron}" if card.cron else None),
            "kpis": list(card.kpis),
            "to": [_address(reader) for reader in card.to],
        }
        for name, card in config.scorecards.items()
    ]
    if as_json:
        print_json(rows)
        return OK
    print_table(
        ("scorecard", "title", "send", "KPIs", "readers"),
        [
            (row["scorecard"], row["title"], row["send"] or "by hand", len(row["kpis"]), ", ".join(row["to"]))
            for row in rows
        ],
        right=(3,),
    )
    return OK


@scorecard_group.command("next")
@click.option("--count", type=click.IntRange(1), default=3, show_default=True, help="Due times of each scorecard.")
@json_option
@pass_app
def next_command(app: App, count: int, as_json: bool) -> int:
    """What is due when, in its own time zone."""
    from scorecards.values import instant
    from syncagent.runs import next_due

    config = app.config
    now = app.clock()
    rows = sorted(
        (
            {
                "scorecard": name,
                "due_at": instant(due),
                "local": local_time(due, card.timezone or config.agent.timezone),
            }
            for name, card in config.scorecards.items()
            for due in next_due(config, name, now, count)
        ),
        key=lambda row: (row["due_at"], row["scorecard"]),
    )
    if as_json:
        print_json(rows)
    else:
        print_table(("scorecard", "due"), [(row["scorecard"], row["local"]) for row in rows])
    return OK


@scorecard_group.command("preview", short_help="Write a scorecard as it would be sent; send nothing.")
@click.argument("name", shell_complete=offered("scorecards"))
@as_of_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; default ./NAME-preview.")
@click.option("--open", "opens", is_flag=True, help="Show it in the browser.")
@pass_app
def preview_command(app: App, name: str, as_of: str | None, out: Path | None, opens: bool) -> int:
    """Write scorecard NAME as it would be sent: .html with its images, .txt and .eml. Sends nothing.

    \b
    Examples:
      syncagent scorecard preview sales_weekly --open
      syncagent scorecard preview sales_weekly --as-of 2026-11-02 --out /tmp/look
    """
    from syncagent.preview import preview, write_preview
    from syncagent.store import read_cache

    config = app.config
    known(name, config.scorecards, "scorecard")
    moment = parse_as_of(as_of, config.agent.timezone, app.clock())
    with closing(read_cache(config.agent.data_dir)) as cache, told_before(config.agent.data_dir) as state:
        made = preview(config, cache, name, as_of=moment, state=state)
    written = write_preview(made, out or Path(f"{name}-preview"))
    for path in written:
        click.echo(path)
    if opens:
        html = next((path for path in written if path.suffix == ".html"), None)
        if html is not None:
            click.launch(str(html))
    return OK


@scorecard_group.command("send")
@click.argument("name", shell_complete=offered("scorecards"))
@as_of_option
@click.option("--to", metavar="ADDRESS", help="Only there, marked as a test, not recorded as the due one.")
@click.option("--again", is_flag=True, help="Send a due run again that was sent already.")
@pass_app
def send_command(app: App, name: str, as_of: str | None, to: str | None, again: bool) -> int:
    """Send scorecard NAME now, through the outbox.

    \b
    Examples:
      syncagent scorecard send sales_weekly --to me@acme.com
      syncagent scorecard send sales_weekly --again
    """
    from syncagent import sending
    from syncagent.store import open_state, read_cache

    config = app.config
    known(name, config.scorecards, "scorecard")
    app.config_for("mail")
    if config.mail is None:
        raise UsageError("there is no mail server", place=str(config.path), mend="Add a [mail] table.")
    moment = parse_as_of(as_of, config.agent.timezone, app.clock()) if as_of is not None else None
    data_dir = config.agent.data_dir
    with closing(read_cache(data_dir)) as cache, closing(open_state(data_dir)) as state:
        sent = sending.send_now(config, cache, state, name, as_of=moment, to=to, again=again, clock=app.clock)
    return _hand_over(app, config, list(sent.outbox_ids))


def _hand_over(app: App, config: "Config", ids: list[int]) -> int:
    """Empty the outbox ourselves, or leave it to the instance that holds the folder; say what became of `ids`."""
    from syncagent import outbox, runs
    from syncagent.deliveries import note_deliveries
    from syncagent.mailer import Mailer
    from syncagent.store import lock_data_dir, open_state

    assert config.mail is not None
    with closing(open_state(config.agent.data_dir)) as state:
        try:
            with lock_data_dir(config.agent.data_dir, "scorecard send"), _unlogged(ids):
                outbox.pump(state, Mailer(config.mail), app.clock, owners=runs.owners(config))
        except AlreadyRunning:
            queued = count_of(len(ids), "message")
            click.echo(f"{queued} queued: the running `syncagent run` hands over what is owed, or else the next one.")
            return OK
        note_deliveries(config.agent.data_dir)
        messages = {message["id"]: message for message in outbox.list_messages(state, everything=True)}
    code = OK
    for number in ids:
        message = messages[number]
        if message["state"] == "sent":
            click.echo(f"sent to {message['recipient']} ({message['message_id']})")
        else:
            code = FAILED
            click.echo(f"{message['recipient']}: {message['state']}: {message['last_reply'] or 'no reply'}", err=True)
    return code


@contextmanager
def _unlogged(ids: list[int]) -> Iterator[None]:
    """Keep the log from saying of these messages what is said here."""
    logger = logging.getLogger("syncagent.outbox")

    def is_other(record: logging.LogRecord) -> bool:
        return not (isinstance(record.args, tuple) and record.args and record.args[0] in ids)

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@scorecard_group.command("ledger")
@click.option("--since", metavar="T", help="Due runs from this instant or local date on.")
@json_option
@pass_app
def ledger_command(app: App, since: str | None, as_json: bool) -> int:
    """Every due run with its state, and why.

    \b
    Example:
      syncagent scorecard ledger --since 2026-11-01 --json
    """
    from syncagent import ledger
    from syncagent.store import has_state, read_state

    config = app.config
    zone = config.agent.timezone
    start = parse_as_of(since, zone, app.clock(), option="--since") if since is not None else None
    entries = []
    if has_state(config.agent.data_dir):
        with closing(read_state(config.agent.data_dir)) as state:
            entries = ledger.list_runs(state, start)
    if as_json:
        print_json(entries)
        return OK
    if not entries:
        click.echo("Nothing was due yet." if start is None else "Nothing was due since then.")
        return OK
    print_table(
        ("id", "scorecard", "due", "period", "state", "messages", "reason"),
        [
            (
                entry["id"],
                entry["scorecard"],
                local_time(entry["due_at"], config.agent.timezone),
                _period(entry["period"]),
                entry["state"],
                _states([reader["state"] for reader in entry["recipients"]]),
                entry["reason"],
            )
            for entry in entries
        ],
    )
    return OK


@scorecard_group.command("show", short_help="Write one archived issue to stdout, byte for byte.")
@click.argument("id_", metavar="ID")
@pass_app
def show_command(app: App, id_: str) -> int:
    """Write one archived issue (ID as in `scorecard ledger`) to stdout, byte for byte as it was sent.

    \b
    Example:
      syncagent scorecard show 3f2a9c1d8e7b6a50 > issue.eml
    """
    from syncagent import archive
    from syncagent.store import read_state

    with closing(read_state(app.config.agent.data_dir)) as state:
        content = archive.show(state, id_)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    return OK


for _name, _what in (
    ("audit", "Who is entitled to which personal copy."),
    ("correct", "Send a correction of an issue."),
    ("pause", "Send nothing until a day."),
    ("resume", "End a pause."),
):
    scorecard_group.add_command(not_built(_name, _what, f"scorecard {_name}"))


def _address(reader: object) -> str:
    return reader if isinstance(reader, str) else str(getattr(reader, "address", reader))


def _period(period: dict[str, str] | None) -> str:
    if period is None:
        return ""
    last = datetime.fromisoformat(period["end"]) - timedelta(days=1)
    return f"{period['start']} to {last:%Y-%m-%d}"


def _states(states: list[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
