"""How things stand, read from the two databases alone: it answers just as well while the daemon is down."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from scorecards.values import instant
from syncagent.errors import AgentError, StoreError
from syncagent.store import is_locked, read_cache, read_state

if TYPE_CHECKING:
    from syncagent.config import Config

#: A source is stale after so many of its intervals without a complete sync, but not before the time below.
STALE_INTERVALS = 3
STALE_AT_LEAST = timedelta(minutes=30)
#: A scorecard that is not out so long after it was due is overdue.
OVERDUE_AFTER = timedelta(hours=1)
#: Older failures are history, not a state to act on.
FAILED_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something a person should look at: a word for scripts, a sentence, and what to do."""

    code: str
    message: str
    mend: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "mend": self.mend}


def status(config: "Config", now: datetime) -> dict[str, Any]:
    """The JSON of `syncagent status`."""
    problems: list[Trouble] = []
    try:
        sources = source_rows(config, now)
    except StoreError as error:
        sources = []
        problems.append(Trouble("cache", f"{error.place}: {error.message}", error.mend))
    runs: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    try:
        runs, messages = _state_rows(config)
    except StoreError as error:
        problems.append(Trouble("state", f"{error.place}: {error.message}", error.mend))
    is_running = is_locked(config.agent.data_dir)
    problems += _source_troubles(config, sources, now)
    problems += _scorecard_troubles(runs, now, is_running=is_running)
    problems += _message_troubles(messages)
    return {
        "healthy": not problems,
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
        with closing(read_cache(config.agent.data_dir)) as cache:
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


def _state_rows(config: "Config") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Due runs and messages owed; none before the first run."""
    from syncagent import ledger, outbox

    if not (config.agent.data_dir / "state.db").exists():
        return [], []
    with closing(read_state(config.agent.data_dir)) as state:
        return ledger.list_runs(state), outbox.list_messages(state)


# --- what is wrong ----------------------------------------------------------------------------------------------


def _source_troubles(config: "Config", rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    found = []
    for row in rows:
        name = row["source"]
        if row["error"]:
            since = f" since {row['failing_since']}" if row["failing_since"] else ""
            message = f"source {name} is failing{since}: {row['error']}"
            found.append(
                Trouble("source_failing", message, f"`syncagent sync {name}` tries again and says what to do.")
            )
        elif row["synced_at"] is None:
            message = f"source {name} was never read to the end"
            found.append(Trouble("source_never_synced", message, f"Run `syncagent sync {name}`, or `syncagent run`."))
        elif timedelta(seconds=row["age_s"]) > max(STALE_INTERVALS * timedelta(seconds=row["every_s"]), STALE_AT_LEAST):
            message = f"source {name} was last read at {row['synced_at']}"
            found.append(Trouble("source_stale", message, _start_mend(config)))
    return found


def _scorecard_troubles(runs: list[dict[str, Any]], now: datetime, *, is_running: bool) -> list[Trouble]:
    found = []
    newest: dict[str, dict[str, Any]] = {}
    for run in runs:
        newest[run["scorecard"]] = run
        age = now - datetime.fromisoformat(run["due_at"])
        if run["state"] in ("due", "held") and age > OVERDUE_AFTER:
            why = f": {run['reason']}" if run.get("reason") else ""
            message = f"scorecard {run['scorecard']}, due at {run['due_at']}, is not out yet{why}"
            mend = "See `syncagent outbox list`." if is_running else "Start `syncagent run`."
            found.append(Trouble("scorecard_overdue", message, mend))
    for run in newest.values():
        if run["state"] == "failed" and now - datetime.fromisoformat(run["due_at"]) < FAILED_WITHIN:
            message = (
                f"scorecard {run['scorecard']}, due at {run['due_at']}, failed: {run.get('reason') or 'no reason'}"
            )
            mend = f"`syncagent scorecard send {run['scorecard']} --again` when mended."
            found.append(Trouble("scorecard_failed", message, mend))
    return found


def _message_troubles(messages: list[dict[str, Any]]) -> list[Trouble]:
    found = []
    for message in messages:
        place = f"message {message['id']} ({message['scorecard']}, due at {message['due_at']})"
        decide = f"`syncagent outbox retry {message['id']}` or `syncagent outbox drop {message['id']}`."
        if message["state"] == "uncertain":
            found.append(Trouble("message_uncertain", f"{place} may or may not have arrived", decide))
        elif message["state"] == "failed":
            why = message.get("last_reply") or "no reply"
            found.append(Trouble("message_failed", f"{place} was given up: {why}", decide))
    return found


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
    waiting = [
        m["created_at"] for m in messages if m["state"] in ("queued", "deferred", "sending") and "created_at" in m
    ]
    return {"messages": len(messages), "states": counts, "oldest_at": min(waiting) if waiting else None}
