"""How things stand, read from the two databases alone: it answers just as well while the daemon is down."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from scorecards.values import instant
from syncagent.clock import local_time
from syncagent.errors import AgentError, StoreError
from syncagent.running import read_note
from syncagent.store import explain, is_locked, read_cache, read_state
from syncagent.sync_state import read_rejects, reject_file

if TYPE_CHECKING:
    from syncagent.config import Config

#: A source is stale after so many of its intervals without a complete sync, but not before the time below.
STALE_INTERVALS = 3
STALE_AT_LEAST = timedelta(minutes=30)
#: A scorecard that is not out so long after it was due is overdue.
OVERDUE_AFTER = timedelta(hours=1)
#: Older failures are history, not a state to act on.
FAILED_WITHIN = timedelta(days=7)

#: Messages that are handed over as soon as somebody does it.
WAITING = ("queued", "deferred", "sending")
_NOBODY, _START = "the daemon is not running", "Start it: `syncagent run`."


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something a person should look at: a word for scripts, a sentence, and what to do.

    `severity`: "error" makes the whole unhealthy, "warning" does not.
    """

    code: str
    message: str
    mend: str
    severity: Literal["error", "warning"] = "error"

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "severity": self.severity, "message": self.message, "mend": self.mend}


def status(config: "Config", now: datetime) -> dict[str, Any]:
    """The JSON of `syncagent status`."""
    problems: list[Trouble] = []
    try:
        sources = source_rows(config, now)
    except StoreError as error:
        sources = []
        problems.append(Trouble("cache", f"{error.place}: {error.message}", error.mend))
    is_running = is_locked(config.agent.data_dir)
    runs: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    missed: dict[str, datetime] = {}
    try:
        runs, messages, until = _state_rows(config)
        missed = {} if is_running else _missed(config, runs, until, now)
    except StoreError as error:
        problems.append(Trouble("state", f"{error.place}: {error.message}", error.mend))
    zone = config.agent.timezone
    problems += _source_troubles(config, sources, now)
    problems += _scorecard_troubles(runs, missed, now, zone, is_running=is_running)
    problems += _message_troubles(messages, zone, is_running=is_running)
    problems += _reject_notes(config, sources)
    problems += _config_notes(config) if is_running else []
    return {
        "healthy": not any(problem.severity == "error" for problem in problems),
        "problems": [problem.to_json() for problem in problems],
        "running": is_running,
        "as_of": instant(now),
        "sources": sources,
        "scorecards": _scorecard_rows(config, runs, now),
        "outbox": _outbox_row(messages),
    }


def source_rows(config: "Config", now: datetime) -> list[dict[str, Any]]:
    """Every configured source with its streams. A source is as fresh as the stream that was read longest ago."""
    states: dict[str, list[dict[str, Any]]] = {}
    logins: dict[str, dict[str, Any]] = {}
    if (config.agent.data_dir / "cache.db").exists():
        with closing(read_cache(config.agent.data_dir)) as cache, _explained(cache):
            for row in cache.execute(
                """SELECT source_name, stream, ok_at AS synced_at, rows, error, error_at FROM sync_state
                   ORDER BY source_name, stream"""
            ):
                entry = dict(row)
                states.setdefault(entry.pop("source_name"), []).append(entry)
            logins = {
                row["source_name"]: dict(row)
                for row in cache.execute("SELECT source_name, instance, account, checked_at FROM sources")
            }
    rows = []
    for name, settings in config.sources.items():
        streams = states.get(name, [])
        synced = [stream["synced_at"] for stream in streams]
        failing = sorted((s for s in streams if s["error"]), key=lambda stream: str(stream["error_at"]))
        synced_at = min(synced) if synced and all(synced) else None
        rows.append(
            {
                "source": name,
                "type": settings.type,
                "instance": logins.get(name, {}).get("instance"),
                "account": logins.get(name, {}).get("account"),
                "every_s": settings.every,
                "synced_at": synced_at,
                "age_s": None if synced_at is None else int((now - datetime.fromisoformat(synced_at)).total_seconds()),
                "error": failing[0]["error"] if failing else None,
                "failing_since": failing[0]["error_at"] if failing else None,
                "streams": streams,
            }
        )
    return rows


def _state_rows(
    config: "Config",
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, datetime | None]]:
    """Due runs, messages owed, and up to when each scorecard's due times are written down; none before a first run."""
    from syncagent import ledger, outbox
    from syncagent import runs as due_runs

    if not (config.agent.data_dir / "state.db").exists():
        return [], [], {}
    with closing(read_state(config.agent.data_dir)) as state, _explained(state):
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


@contextmanager
def _explained(conn: sqlite3.Connection) -> Iterator[None]:
    """A file may turn out to be damaged only in the middle of being read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise explain(error, conn) from error


# --- what is wrong ----------------------------------------------------------------------------------------------


def _source_troubles(config: "Config", rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    found = []
    zone = config.agent.timezone
    for row in rows:
        name = row["source"]
        if row["error"]:
            since = f" since {local_time(row['failing_since'], zone)}" if row["failing_since"] else ""
            message = f"source {name} is failing{since}: {row['error']}"
            found.append(Trouble("source_failing", message, f"Try it again: `syncagent sync {name}`."))
        elif row["synced_at"] is None:
            message = f"source {name} was never read to the end"
            found.append(Trouble("source_never_synced", message, f"Run `syncagent sync {name}`, or `syncagent run`."))
        elif timedelta(seconds=row["age_s"]) > max(STALE_INTERVALS * timedelta(seconds=row["every_s"]), STALE_AT_LEAST):
            message = f"source {name} was last read at {local_time(row['synced_at'], zone)}"
            found.append(Trouble("source_stale", message, _start_mend(config)))
    return found


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


def _reject_notes(config: "Config", sources: list[dict[str, Any]]) -> list[Trouble]:
    """Rows that could not be used and have not been read well since. The rest of their stream is there."""
    found = []
    for row in sources:
        for stream in row["streams"]:
            path = reject_file(config.agent.data_dir, row["source"], stream["stream"])
            count = len(read_rejects(path))
            if count:
                what = f"{count:,} row{'' if count == 1 else 's'}"
                message = f"{what} of {row['source']} {stream['stream']} could not be used: see {path}"
                mend = f"Mend them in the source, or map their values, then: `syncagent sync {row['source']}`."
                found.append(Trouble("rejected_rows", message, mend, "warning"))
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


def _start_mend(config: "Config") -> str:
    if is_locked(config.agent.data_dir):
        return "See the log of the running daemon."
    return "Start `syncagent run`; no instance is running."


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
