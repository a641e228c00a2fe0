"""How the sources stand: their streams, how fresh and how complete each is, and what a person should look at."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import orjson

from connectors.base import Sunset
from syncagent import breaker, sunsets
from syncagent.clock import local_time
from syncagent.completeness import is_incomplete
from syncagent.errors import one_line
from syncagent.reject_file import count_rejects, reject_file
from syncagent.store import DAEMON, explain, has_cache, holder, read_cache
from syncagent.sync_state import LOGIN, offered_streams

if TYPE_CHECKING:
    from syncagent.config import Config
    from syncagent.sync_report import Outcome

#: A source is stale after so many of its intervals without a complete sync, but not before the time below.
STALE_INTERVALS = 3
STALE_AT_LEAST = timedelta(minutes=30)
#: So many streams are named in one sentence.
FEW_NAMES = 6
#: How long a change of a source's schema is shown.
CHANGED_WITHIN = timedelta(days=7)


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


@contextmanager
def explained(conn: sqlite3.Connection) -> Iterator[None]:
    """A file may turn out to be damaged only in the middle of being read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise explain(error, conn) from error


def source_rows(config: "Config", now: datetime) -> list[dict[str, Any]]:
    """Every configured source with its streams. A source is as fresh as the stream that was read longest ago."""
    states: dict[str, list[dict[str, Any]]] = {}
    logins: dict[str, dict[str, Any]] = {}
    ends: dict[str, list[Sunset]] = {}
    offers: dict[str, list[str]] = {}
    if has_cache(config.agent.data_dir):
        with closing(read_cache(config.agent.data_dir)) as cache, explained(cache):
            for row in cache.execute(
                """SELECT source_name, stream, ok_at AS synced_at, rows, error, error_mend, error_at, reconciled_at,
                       crm_count, cache_count, counted_at, differs_since, sweep AS comparison, withdrawn_at,
                       bookmark IS NOT NULL AS has_place, json_extract(bookmark, '$.notes') AS notes
                   FROM sync_state
                   ORDER BY source_name, stream"""
            ):
                entry = dict(row)
                entry["comparison"] = _comparison(entry["comparison"])
                entry["outcome"] = _outcome(entry, has_place=bool(entry.pop("has_place")))
                entry["notes"] = orjson.loads(entry["notes"] or "[]")
                states.setdefault(entry.pop("source_name"), []).append(entry)
            logins = {
                row["source_name"]: dict(row)
                for row in cache.execute(
                    """SELECT source_name, instance, account, failures, rests_until, rest_reason, rest_mend, rest_cause
                       FROM sources"""
                )
            }
            ends = sunsets.stored(cache)
            offers = offered_streams(cache)
    rows = []
    for name, settings in config.sources.items():
        streams = states.get(name, [])
        known = [stream for stream in streams if stream["outcome"] != "not_readable"] or streams
        there = [stream for stream in known if not stream["withdrawn_at"]] or known
        never_read = _never_read(settings, there, streams, offers.get(name, []))
        synced = [stream["synced_at"] for stream in there]
        failing = sorted((s for s in there if s["error"]), key=lambda stream: str(stream["error_at"]))
        synced_at = min(synced) if synced and all(synced) and not never_read else None
        login = logins.get(name, {})
        rests_until = login.get("rests_until")
        rests = rests_until is not None and datetime.fromisoformat(rests_until) > now
        rows.append(
            {
                "source": name,
                "type": settings.type,
                "instance": login.get("instance"),
                "account": login.get("account"),
                "every_s": settings.every,
                "synced_at": synced_at,
                "age_s": None if synced_at is None else int((now - datetime.fromisoformat(synced_at)).total_seconds()),
                "never_read": never_read,
                "error": failing[0]["error"] if failing else None,
                "error_mend": failing[0]["error_mend"] if failing else None,
                "failing_since": failing[0]["error_at"] if failing else None,
                "failures": login.get("failures", 0),
                "rests_until": rests_until if rests else None,
                "rest_reason": login.get("rest_reason") if rests else None,
                "rest_mend": (login.get("rest_mend") or None) if rests else None,
                "rest_cause": login.get("rest_cause") if rests else None,
                "sunsets": [
                    {"what": one.what, "ends_on": one.ends_on.isoformat(), "mend": one.mend}
                    for one in ends.get(name, ())
                ],
                "streams": streams,
            }
        )
    return rows


def _outcome(stream: dict[str, Any], *, has_place: bool) -> "Outcome | None":
    """What became of a stream the last time it was read; None while nothing did. `has_place`: it holds a bookmark."""
    if stream["withdrawn_at"]:
        return "withdrawn" if stream["synced_at"] or has_place else "not_readable"
    return "failing" if stream["error"] else "ok" if stream["synced_at"] else None


def _never_read(
    settings: Any, there: list[dict[str, Any]], streams: list[dict[str, Any]], offered: list[str]
) -> list[str]:
    """The streams a source offers, and is wanted for, that no sync has read to their end.

    `there`: those of `streams`, the ones it has tried, that this login may read.
    """
    known = {stream["stream"] for stream in streams}
    asked = getattr(settings, "streams", None)
    more = [name for name in offered if name not in known and (asked is None or name in asked)]
    return [one["stream"] for one in there if not one["synced_at"] and one["stream"] != LOGIN] + more


def _comparison(document: str | None) -> dict[str, Any] | None:
    """A comparison with the CRM that has not ended, or was not believed."""
    if document is None:
        return None
    sweep = orjson.loads(document)
    return {key: sweep.get(key) for key in ("phase", "began_at", "gone", "of")}


# --- what is wrong ----------------------------------------------------------------------------------------------


def source_troubles(config: "Config", rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    found = []
    zone = config.agent.timezone
    for row in rows:
        name = row["source"]
        if row["rests_until"]:
            until, because = local_time(row["rests_until"], zone), breaker.because(row["rest_cause"], row["failures"])
            message = f"source {name} rests until {until} {because}: {row['rest_reason']}"
            mend = "It is tried again then; sooner once `syncagent check` finds its login in order."
            if row["rest_cause"] == "asked":  # whoever asks sooner is only asked for a longer pause
                mend = "It is tried again then."
            found.append(Trouble("source_resting", message, _after(row["rest_mend"], mend)))
        elif row["error"]:
            since = f" since {local_time(row['failing_since'], zone)}" if row["failing_since"] else ""
            message = f"source {name} is failing{since}: {row['error']}"
            mend = row["error_mend"] or ""
            if "`syncagent sync " not in mend:  # else it says itself what to run
                mend = _after(mend, f"Try it again: `syncagent sync {name}`.")
            found.append(Trouble("source_failing", message, mend))
        elif row["synced_at"] is None:
            found.append(_never_synced(row))
        elif timedelta(seconds=row["age_s"]) > max(STALE_INTERVALS * timedelta(seconds=row["every_s"]), STALE_AT_LEAST):
            message = f"source {name} was last read at {local_time(row['synced_at'], zone)}"
            found.append(Trouble("source_stale", message, _start_mend(config)))
    return found


def _never_synced(row: dict[str, Any]) -> Trouble:
    """A source of which nothing was read to its end yet, or not all that it offers."""
    name, missing = row["source"], row["never_read"]
    read = [stream for stream in row["streams"] if stream["synced_at"] and not stream["withdrawn_at"]]
    message, mend = f"source {name} was never read to the end", f"Run `syncagent sync {name}`, or `syncagent run`."
    if read:
        more = f" and {len(missing) - FEW_NAMES} more" if len(missing) > FEW_NAMES else ""
        of = len(read) + len(missing)
        verb = "was" if len(missing) == 1 else "were"
        message = f"source {name}: {len(missing)} of its {of} streams {verb} never read to the end"
        message += f": {', '.join(missing[:FEW_NAMES])}{more}"
        if row["type"] != "files":
            mend += " To do without them, name the `streams` it is to read."
    return Trouble("source_never_synced", message, mend)


def source_notes(config: "Config", rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    """What is wrong with the records of sources that can be read, and what will be."""
    return [
        *_withdrawn(config, rows),
        *_suspects(rows),
        *_incomplete(rows, now),
        *_reject_notes(config, rows),
        *_stream_notes(rows),
        *_sunset_notes(rows, now),
        *_schema_notes(config, rows, now),
    ]


def _schema_notes(config: "Config", rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    """What changed in the sources' own schemas lately and feeds a column of ours; no `rows`: no cache to look into."""
    from syncagent import drift

    if not rows or not has_cache(config.agent.data_dir):
        return []
    with closing(read_cache(config.agent.data_dir)) as cache, explained(cache):
        changes = drift.changes(cache, since=now - CHANGED_WITHIN)
    found = []
    for change in changes:
        at = local_time(change.noticed_at, config.agent.timezone)
        message = f"{change.sentence} {drift.touched(change, config).sentence} Noticed {at}."
        mend = f"Check the mapping: `syncagent source fields {change.source}`."
        found.append(Trouble("schema_changed", message, mend, "warning"))
    return found


def _withdrawn(config: "Config", rows: list[dict[str, Any]]) -> list[Trouble]:
    """Streams that were read before and that the login may not read any more; not those the settings left out since."""
    found = []
    for row in rows:
        settings = config.sources[row["source"]]
        asked = getattr(settings, "streams", None)
        for stream in row["streams"] if settings.type != "files" else ():
            if stream["outcome"] == "withdrawn" and (asked is None or stream["stream"] in asked):
                at = stream["synced_at"]
                last = f"last read {local_time(at, config.agent.timezone)}" if at else "never read to the end"
                why = f": {stream['error']}" if stream["error"] else ""
                message = f"{row['source']} {stream['stream']} can no longer be read by this login; {last}{why}"
                mend = _after(stream["error_mend"], "Give the login access again, or name the `streams` it is to read.")
                found.append(Trouble("stream_withdrawn", message, mend, "warning"))
    return found


def _suspects(rows: list[dict[str, Any]]) -> list[Trouble]:
    """So much was missing from a listing that it was not believed."""
    found = []
    for row in rows:
        for stream in row["streams"]:
            comparison = stream["comparison"]
            if stream["withdrawn_at"] or comparison is None or comparison["phase"] != "suspect":
                continue
            place = f"{row['source']} {stream['stream']}"
            message = (
                f"{place}: {comparison['gone']:,} of {comparison['of']:,} records were not in the CRM's own list;"
                " nothing was deleted here"
            )
            mend = f"If they are gone there: `syncagent sync {row['source']} --stream {stream['stream']} --full`."
            found.append(Trouble("suspect", message, mend))
    return found


def _incomplete(rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    found = []
    for row in rows:
        for stream in row["streams"]:
            if not stream["withdrawn_at"] and is_incomplete(stream, now):
                place = f"{row['source']} {stream['stream']}"
                message = f"{place}: {stream['cache_count']:,} of the CRM's {stream['crm_count']:,} records are here"
                mend = f"Compare them now: `syncagent sync {row['source']} --stream {stream['stream']} --reconcile`."
                found.append(Trouble("incomplete", message, mend, "warning"))
    return found


def _sunset_notes(rows: list[dict[str, Any]], now: datetime) -> list[Trouble]:
    found = []
    for row in rows:
        known = [Sunset(one["what"], date.fromisoformat(one["ends_on"]), one["mend"]) for one in row["sunsets"]]
        for end in sunsets.endings(known, now):
            severity: Literal["error", "warning"] = "error" if end.is_urgent else "warning"
            found.append(Trouble("sunset", f"source {row['source']}: {end.sentence}", end.mend, severity))
    return found


def _reject_notes(config: "Config", sources: list[dict[str, Any]]) -> list[Trouble]:
    """Rows that could not be used and have not been read well since. The rest of their stream is there."""
    found = []
    for row in sources:
        for stream in row["streams"]:
            path = reject_file(config.agent.data_dir, row["source"], stream["stream"])
            count = count_rejects(path)
            if count:
                what = f"{count:,} row{'' if count == 1 else 's'}"
                message = f"{what} of {row['source']} {stream['stream']} could not be used: see {path}"
                mend = f"Mend them in the source, or map their values, then: `syncagent sync {row['source']}`."
                found.append(Trouble("rejected_rows", message, mend, "warning"))
    return found


def _stream_notes(rows: list[dict[str, Any]]) -> list[Trouble]:
    """What a stream's last reading had to say to a person."""
    return [
        Trouble(note["code"], f"{row['source']} {stream['stream']}: {note['message']}", note["mend"], "warning")
        for row in rows
        for stream in row["streams"]
        for note in stream["notes"]
        if not stream["withdrawn_at"]
    ]


def _start_mend(config: "Config") -> str:
    if holder(config.agent.data_dir) == DAEMON:
        return "See the log of the running daemon."
    return "Start `syncagent run`; the daemon is not running."


def _after(mend: str | None, more: str) -> str:
    """What the error itself says can be done, then what can be done about any."""
    return one_line("", mend, more) if mend else more
