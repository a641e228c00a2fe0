"""How things stand, read from the two databases alone: it answers just as well while the daemon is down."""

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scorecards.values import instant
from syncagent.clock import local_time
from syncagent.errors import AgentError, StoreError
from syncagent.running import read_note
from syncagent.status_sources import Trouble, explained, source_notes, source_rows, source_troubles
from syncagent.store import DAEMON, has_state, holder, read_state

if TYPE_CHECKING:
    from syncagent.config import Config

#: A scorecard that is not out so long after it was due is overdue.
OVERDUE_AFTER = timedelta(hours=1)
#: Older failures are history, not a state to act on.
FAILED_WITHIN = timedelta(days=7)

#: Messages that are handed over as soon as somebody does it.
WAITING = ("queued", "deferred", "sending")
_NOBODY, _START = "the daemon is not running", "Start it: `syncagent run`."


def status(config: "Config", now: datetime) -> dict[str, Any]:
    """The JSON of `syncagent status`. `running`: the daemon is; `busy`: another command that is at work."""
    problems: list[Trouble] = []
    try:
        sources = source_rows(config, now)
    except StoreError as error:
        sources = []
        problems.append(Trouble("cache", f"{error.place}: {error.message}", error.mend))
    command = holder(config.agent.data_dir)
    is_running = command == DAEMON
    runs: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    missed: dict[str, datetime] = {}
    try:
        runs, messages, until = _state_rows(config)
        missed = {} if is_running else _missed(config, runs, until, now)
    except StoreError as error:
        problems.append(Trouble("state", f"{error.place}: {error.message}", error.mend))
    zone = config.agent.timezone
    problems += source_troubles(config, sources, now)
    problems += _scorecard_troubles(runs, missed, now, zone, is_running=is_running)
    problems += _message_troubles(messages, zone, is_running=is_running)
    problems += source_notes(config, sources, now)
    problems += _config_notes(config) if is_running else []
    return {
        "healthy": not any(problem.severity == "error" for problem in problems),
        "problems": [problem.to_json() for problem in problems],
        "running": is_running,
        "busy": None if is_running else command,
        "as_of": instant(now),
        "sources": sources,
        "scorecards": _scorecard_rows(config, runs, now),
        "outbox": _outbox_row(messages),
    }


def _state_rows(
    config: "Config",
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, datetime | None]]:
    """Due runs, messages owed, and up to when each scorecard's due times are written down; none before a first run."""
    from syncagent import ledger, outbox
    from syncagent import runs as due_runs

    if not has_state(config.agent.data_dir):
        return [], [], {}
    with closing(read_state(config.agent.data_dir)) as state, explained(state):
        until = {name: due_runs.written_down_until(config, state, name) for name in config.scorecards}
        return ledger.list_runs(state), outbox.list_messages(state), until


def _missed(
    config: "Config", runs: list[dict[str, Any]], until: dict[str, datetime | None], now: datetime
) -> dict[str, datetime]:
    """The first due time of each scorecard that passed with nobody there to write it down, or send it by hand."""
    from syncagent import runs as due_runs

    found = {}
    for name, start in until.items():
        if start is None:
            continue
        known = [datetime.fromisoformat(run["due_at"]) for run in runs if run["scorecard"] == name]
        upcoming = due_runs.next_due(config, name, max([start, *known]), 1)
        if upcoming and upcoming[0] <= now:
            found[name] = upcoming[0]
    return found


# --- what is wrong ----------------------------------------------------------------------------------------------


def _scorecard_troubles(
    runs: list[dict[str, Any]], missed: dict[str, datetime], now: datetime, zone: str, *, is_running: bool
) -> list[Trouble]:
    found = []
    for name, due_at in missed.items():
        message = f"scorecard {name} was due at {local_time(due_at, zone)}; {_NOBODY}"
        found.append(Trouble("overdue", message, _START))
    newest: dict[str, dict[str, Any]] = {}
    for run in runs:
        newest[run["scorecard"]] = run
        age = now - datetime.fromisoformat(run["due_at"])
        if run["state"] == "due" and not run["recipients"] and not is_running:
            message = f"scorecard {run['scorecard']} was due at {local_time(run['due_at'], zone)}; {_NOBODY}"
            found.append(Trouble("overdue", message, _START))
        elif run["state"] in ("due", "held") and age > OVERDUE_AFTER:
            why = f": {run['reason']}" if run.get("reason") else ""
            message = f"scorecard {run['scorecard']}, due at {local_time(run['due_at'], zone)}, is not out yet{why}"
            mend = "See `syncagent outbox list`." if is_running else "Start `syncagent run`."
            found.append(Trouble("scorecard_overdue", message, mend))
    for run in newest.values():
        if run["state"] == "failed" and now - datetime.fromisoformat(run["due_at"]) < FAILED_WITHIN:
            due = local_time(run["due_at"], zone)
            message = f"scorecard {run['scorecard']}, due at {due}, failed: {run.get('reason') or 'no reason'}"
            mend = f"`syncagent scorecard send {run['scorecard']}` when mended."
            if run["recipients"]:
                mend = "`syncagent outbox list` names those it did not reach."
            found.append(Trouble("scorecard_failed", message, mend))
    return found


def _message_troubles(messages: list[dict[str, Any]], zone: str, *, is_running: bool) -> list[Trouble]:
    found = []
    waiting = sum(message["state"] in WAITING for message in messages)
    if waiting and not is_running:
        what = "1 message is" if waiting == 1 else f"{waiting} messages are"
        mend = "Start it: `syncagent run`; or hand them over once: `syncagent run --once`."
        found.append(Trouble("messages_waiting", f"{what} owed and {_NOBODY}", mend))
    for message in messages:
        place = f"message {message['id']} ({message['scorecard']}, due at {local_time(message['due_at'], zone)})"
        decide = f"`syncagent outbox retry {message['id']}` or `syncagent outbox drop {message['id']}`."
        if message["state"] == "uncertain":
            found.append(Trouble("message_uncertain", f"{place} may or may not have arrived", decide))
        elif message["state"] == "failed":
            why = message.get("last_reply") or "no reply"
            found.append(Trouble("message_failed", f"{place} was given up: {why}", decide))
    return found


def _config_notes(config: "Config") -> list[Trouble]:
    """Whether the running daemon still uses another configuration than this one."""
    note = read_note(config.agent.data_dir)
    if note is None or note.content == config.content:
        return []
    if note.config != str(config.path.absolute()):
        message, mend = f"the running daemon uses another configuration: {note.config}", "Name it with --config."
    else:
        at = local_time(note.read_at, config.agent.timezone)
        message = f"the configuration has changed since the running daemon read it at {at}"
        mend = f"Make it read it again: `kill -HUP {note.process}` (`systemctl reload syncagent`)."
    return [Trouble("config_changed", message, mend, "warning")]


# --- rows -------------------------------------------------------------------------------------------------------


def _scorecard_rows(config: "Config", runs: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    from syncagent import runs as due_runs

    rows = []
    for name, card in config.scorecards.items():
        last = next((run for run in reversed(runs) if run["scorecard"] == name), None)
        try:
            upcoming = due_runs.next_due(config, name, now, 1)
        except AgentError:
            upcoming = []
        rows.append(
            {
                "scorecard": name,
                "title": card.title,
                "next_due_at": instant(upcoming[0]) if upcoming else None,
                "last": None
                if last is None
                else {key: last[key] for key in ("id", "due_at", "state", "reason") if key in last},
            }
        )
    return rows


def _outbox_row(messages: list[dict[str, Any]]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for message in messages:
        counts[message["state"]] = counts.get(message["state"], 0) + 1
    waiting = [m["created_at"] for m in messages if m["state"] in WAITING and "created_at" in m]
    return {"messages": len(messages), "states": counts, "oldest_at": min(waiting) if waiting else None}
