"""The agent's own book: streams as they stood, runs of them, messages handed over. No CRM says any of this."""

from collections.abc import Mapping
from dataclasses import replace

from scorecards.relations.column import Column, Options, Relation, Spec, flag

_CRM = "(SELECT o.crm FROM sources o WHERE o.source_name = f.source_name)"
#: Who reads what, of every relation here: `object` is the stream under the name data quality splits by.
_WHOSE = {
    "source": Column(_CRM, "text"),
    "source_name": Column("f.source_name", "text"),
    "stream": Column("f.stream", "text"),
    "object": Column("f.stream", "text"),
}


def _seconds(instant: str) -> str:
    return f"CAST(strftime('%s', {instant}) AS INTEGER)"


#: The name under which a refused login is noted: it stands for all streams of its source.
_LOGIN = "'login'"
#: What was configured: what the settings leave out is withdrawn without an error, a login that works is no stream.
_STREAMS = (
    "(SELECT t.source_name || ' ' || t.stream AS id, t.* FROM sync_state t WHERE"
    f" (t.withdrawn_at IS NULL OR t.error IS NOT NULL) AND (t.stream <> {_LOGIN} OR t.error IS NOT NULL))"
)
#: Runs of a stream that had ended by the slice's instant.
_ITS_RUNS = "sync_runs r WHERE r.source_name = f.source_name AND r.stream = f.stream AND r.ended_at < s.at_text"
#: When it had last been read to its end. The state knows the newest time, the runs those before.
_OK_AT = f"(CASE WHEN f.ok_at < s.at_text THEN f.ok_at ELSE (SELECT MAX(r.ended_at) FROM {_ITS_RUNS} AND r.ok = 1) END)"
_LAG = f"(s.at - {_seconds(_OK_AT)})"
#: The newest of its own runs, and of the logins refused, by then: neither read nor merely stopped.
_FAILED = (
    "(SELECT r.ok = 0 AND COALESCE(r.error, '') NOT LIKE 'stopped %' FROM sync_runs r"
    f" WHERE r.source_name = f.source_name AND r.stream IN (f.stream, {_LOGIN}) AND r.ended_at < s.at_text"
    " ORDER BY r.started_at DESC, r.id DESC LIMIT 1)"
)
_IS_FAILING = f"((f.error IS NOT NULL AND f.error_at < s.at_text) OR COALESCE({_FAILED}, 0))"
#: The longest it went without, in the 30 days before: between two reads to the end, or since the last.
_WORST_LAG = (
    f"(SELECT MAX(gap) FROM (SELECT {_seconds('r.ended_at')} - {_seconds('LAG(r.ended_at) OVER (ORDER BY r.ended_at)')}"
    f" AS gap FROM {_ITS_RUNS} AND r.ok = 1 AND r.started_at >= stamp(s.at - 30 * 86400) UNION ALL SELECT {_LAG}))"
)

_STREAM_RELATION = Relation(
    "streams",
    _STREAMS,
    own={
        **_WHOSE,
        "id": Column("f.id", "text"),
        # The first run there is a note of; before the notes began nobody knows what was read.
        "begun_at": Column(
            "(SELECT MIN(r.started_at) FROM sync_runs r WHERE r.source_name = f.source_name AND r.stream = f.stream)",
            "instant",
        ),
        "ok_at": Column(_OK_AT, "instant"),
        "lag_s": Column(_LAG, "integer"),
        "lag_hours": Column(f"({_LAG} / 3600.0)", "number"),
        "worst_lag_s": Column(_WORST_LAG, "integer"),
        "is_failing": flag(_IS_FAILING),
        "error": Column("(CASE WHEN f.error_at < s.at_text THEN f.error END)", "text"),
        # Read, but not all of it: the history of a field that is switched off, for one.
        "note": Column("json_extract(f.bookmark, '$.notes[0].message')", "text"),
    },
    # A refused login is noted only while it is.
    live=f"(f.stream <> {_LOGIN} OR f.error_at < s.at_text)",
    needs_table="sync_state",
)

#: A run that never said how it ended was killed, once another of its stream began.
_IS_OVER = (
    "(f.ended_at < stamp(:as_of) OR (f.ended_at IS NULL AND EXISTS (SELECT 1 FROM sync_runs n"
    " WHERE n.source_name = f.source_name AND n.stream = f.stream AND n.started_at > f.started_at"
    " AND n.started_at < stamp(:as_of))))"
)

_RUN_RELATION = Relation(
    "sync_runs",
    "sync_runs",
    own={
        **_WHOSE,
        "id": Column("CAST(f.id AS TEXT)", "text"),
        "started_at": Column("f.started_at", "instant"),
        "ended_at": Column("(CASE WHEN f.ended_at < stamp(:as_of) THEN f.ended_at END)", "instant"),
        "is_over": flag(_IS_OVER),
        "is_ok": flag("COALESCE(f.ok, 0) = 1 AND f.ended_at < stamp(:as_of)"),
        # Told to end before it was through: nobody's fault, and the next run goes on there.
        "was_stopped": flag(
            "f.ended_at IS NOT NULL AND COALESCE(f.ok, 0) = 0 AND COALESCE(f.error, 'stopped ') LIKE 'stopped %'"
        ),
        "read": Column("f.read", "integer"),
        "changed": Column("f.changed", "integer"),
        "deleted": Column("f.deleted", "integer"),
        "rejected": Column("f.rejected", "integer"),
        "calls": Column("f.calls", "integer"),
        "seconds": Column("f.seconds", "number"),
        "rows_per_second": Column("(f.changed / NULLIF(f.seconds, 0))", "number"),
        "error": Column("f.error", "text"),
    },
    anchor="started_at",
    needs_table="sync_runs",
)

_DELIVERED_AT = "(CASE WHEN f.delivered_at < stamp(:as_of) THEN f.delivered_at END)"
#: What became of it later is not known yet: until then it was owed.
_STATE = "(CASE WHEN f.delivered_at >= stamp(:as_of) OR f.dropped_at >= stamp(:as_of) THEN 'queued' ELSE f.state END)"

_DELIVERY_RELATION = Relation(
    "deliveries",
    "deliveries",
    own={
        "id": Column("CAST(f.id AS TEXT)", "text"),
        "scorecard": Column("f.scorecard", "text"),
        "due_at": Column("f.due_at", "instant"),
        "queued_at": Column("f.queued_at", "instant"),
        "delivered_at": Column(_DELIVERED_AT, "instant"),
        "is_delivered": flag(f"{_DELIVERED_AT} IS NOT NULL"),
        "state": Column(_STATE, "text"),
        "attempts": Column("f.attempts", "integer"),
    },
    anchor="due_at",
    live="f.queued_at < stamp(:as_of)",
    needs_table="deliveries",
)


def _of_sources(relation: Relation, options: Options) -> Relation:
    """The rows of the sources that are configured: what is noted of others says nothing of how the agent does."""
    if options.sources is None:
        return relation
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in options.sources)
    return replace(relation, live=" AND ".join(filter(None, (relation.live, f"f.source_name IN ({names})"))))


SPECS: Mapping[str, Spec] = {
    "streams": Spec(made=lambda options: _of_sources(_STREAM_RELATION, options)),
    "sync_runs": Spec(made=lambda options: _of_sources(_RUN_RELATION, options)),
    "deliveries": Spec(made=lambda _: _DELIVERY_RELATION),
}
