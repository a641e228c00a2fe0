"""What changed in a source's own schema: fields added, gone or retyped, stages renamed or removed; told once.

The sync goes on whatever changes. What was noticed stands in `source_changes` of the cache with the columns of ours
it feeds; which KPIs and scorecards that touches follows from the configuration at the time it is told.
"""

import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import orjson

from connectors.base import Connector, FieldInfo, Stream
from connectors.errors import AuthError, ConnectorError
from scorecards.made_of import Place
from scorecards.uses import columns_used
from scorecards.values import instant
from syncagent import notices
from syncagent.store import transaction

if TYPE_CHECKING:
    from syncagent.config import Config
    from syncagent.mailer import MailSettings
    from syncagent.stages import DefinitionChange

log = logging.getLogger(__name__)

#: A stage is what these columns of its table hold; both feed the KPIs that count by state.
_STAGE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "opportunities": ("stage", "state"),
    "tickets": ("status", "status_category"),
    "leads": ("status", "status_category"),
    "orders": ("status",),
}
#: Tables whose rows name their pipeline.
_IN_PIPELINES = ("opportunities", "tickets")
#: Fields nobody maps that are named in one line of the log.
_FIELDS_NAMED = 5
#: What a vendor defines itself: its changes are said in a sentence of their own.
_DEFINED = ("stage", "pipeline")
_WORDS = {
    "added": "is new",
    "removed": "is gone, or hidden from this login",
    "absent": "is not in the newest file any more",  # a column of files
    "retyped": "changed its type",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a source's schema. `places`: our (table, column)s it feeds; none for a field that is not mapped."""

    id: int
    source: str
    object: str
    name: str
    change: str  # added | removed | absent | retyped | stage | pipeline
    detail: str
    places: tuple[Place, ...]
    noticed_at: str
    told_at: str | None
    batch: str | None = None  # what is told in one mail

    @property
    def sentence(self) -> str:
        """What happened, in words: `sf: Opportunity.Amount is gone, or hidden from this login.`"""
        if self.change in _DEFINED:
            return f"{self.source}: {self.detail}"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.source}: {self.object}.{self.name} {_WORDS[self.change]}{detail}."


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change touches in this configuration."""

    kpis: tuple[str, ...]
    scorecards: tuple[str, ...]

    @property
    def sentence(self) -> str:
        if not self.kpis:
            return "No configured KPI reads it."
        cards = f" on {_listed(self.scorecards)}" if self.scorecards else ""
        return f"It feeds {_listed(self.kpis)}{cards}."


# --- noticing ---------------------------------------------------------------------------------------------------


#: What a source offers: the fields of each table of each stream that can be described now.
Described = list[tuple[Stream, str, list[FieldInfo]]]


def describe(connector: Connector, names: Collection[str] | None = None) -> Described:
    """What the source offers for these streams (None: all); asks the vendor, touches no cache.

    A table that cannot be described now is left out, and so says nothing: its stream fails with the reason.
    """
    found: Described = []
    for stream in connector.streams():
        for table in stream.tables if names is None or stream.name in names else ():
            try:
                found.append((stream, table, connector.fields(table)))
            except AuthError:
                raise
            except ConnectorError as error:
                place = f"{connector.name}: {table}"
                log.debug("%s cannot be described: %s", place, error, extra={"action": "not_described"})
    return found


def note_fields(
    cache: sqlite3.Connection,
    connector: Connector,
    at: datetime,
    *,
    described: Described | None = None,
) -> list[int]:
    """Compare what the source offers with what it offered last time; the ids of what changed.

    The first look at an object is the baseline. A field that feeds another column than before was mapped anew by the
    admin: no change of theirs. `described`: what `describe` found, of streams that were read to their end just now.
    What records were read without a field that is back is not told by this: `inputs` knows.
    """
    noted: list[int] = []
    for _, table, offered in describe(connector) if described is None else described:
        objects: dict[str, list[FieldInfo]] = {}
        for field in offered:
            objects.setdefault(field.object, []).append(field)
        with transaction(cache):
            for name, fields in objects.items():
                is_file = connector.crm == "files"
                noted += _compare(cache, connector.name, name, table, fields, instant(at), is_file=is_file)
    return noted


def note_definitions(
    cache: sqlite3.Connection, source: str, changes: Sequence["DefinitionChange"], at: datetime
) -> list[int]:
    """Keep what changed in the definitions of stages and pipelines; runs in the caller's transaction."""
    noted = []
    for one in changes:
        if one.kind == "order":
            continue  # what moved means what it meant
        columns = _STAGE_COLUMNS.get(one.object, ())
        if one.what == "pipeline":
            columns = ("pipeline",) if one.object in _IN_PIPELINES else ()
        places = [(one.object, column) for column in columns]
        noted.append(_keep(cache, source, one.object, one.name, one.what, _sentence(one), places, instant(at)))
    return noted


def _sentence(change: "DefinitionChange") -> str:
    what, place = change.what, f"of {change.object}"
    match change.kind:
        case "renamed":
            more = "its history stays one" if what == "stage" else "its records stay in it"
            return f"{what} {change.old} {place} is called {change.new} now; {more}."
        case "removed":
            return f"{what} {change.old or change.name} {place} was removed."
        case "state":
            return f"{what} {change.name} {place} means {change.new} now, and meant {change.old}."
        case "active":
            return f"{what} {change.name} {place} is {'in' if change.new == '1' else 'out of'} use now."
        case _:
            return f"{what} {change.new or change.name} {place} is new."


def _compare(
    cache: sqlite3.Connection,
    source: str,
    name: str,
    table: str,
    fields: Iterable[FieldInfo],
    at: str,
    *,
    is_file: bool,
) -> list[int]:
    """The ids of what changed in one object.

    What nobody maps makes one line in the log. A file's is not kept: JSON Lines may have other keys each time.
    """
    stored = cache.execute(
        "SELECT field, type, column_name FROM source_fields WHERE source_name = ? AND object = ? AND table_name = ?",
        (source, name, table),
    ).fetchall()
    known: dict[str, tuple[str, list[str]]] = {}
    for field, kind, column in stored:
        known.setdefault(field, (kind, []))[1].append(column)
    now: dict[str, tuple[str, list[str]]] = {}
    for info in fields:
        now.setdefault(info.name, (info.type, []))[1].append(info.column)
    noted = []
    unmapped: dict[str, list[str]] = {}
    for field, change, detail, columns in _changed(known, now):
        places = [(table, column) for column in columns if column]
        if not places:
            unmapped.setdefault(change, []).append(field)
        if places or not is_file:
            word = "absent" if is_file and change == "removed" else change
            noted.append(_keep(cache, source, name, field, word, detail, places, at))
    if unmapped:
        said = "; ".join(f"{len(fields)} {change}: {_some(fields)}" for change, fields in unmapped.items())
        log.info("%s: %s, not mapped: %s", source, name, said, extra={"action": "unmapped_changed"})
    if known == now:
        return []
    cache.execute(
        "DELETE FROM source_fields WHERE source_name = ? AND object = ? AND table_name = ?", (source, name, table)
    )
    cache.executemany(
        "INSERT OR IGNORE INTO source_fields VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(source, name, field, kind, column, table, at) for field, (kind, cols) in now.items() for column in cols],
    )
    return noted


def _changed(
    known: Mapping[str, tuple[str, list[str]]], now: Mapping[str, tuple[str, list[str]]]
) -> Iterator[tuple[str, str, str, list[str]]]:
    """(field, change, detail, columns it feeds) of all that differs; of an object never seen before nothing does."""
    for field in sorted(known.keys() - now.keys()):
        yield field, "removed", "", known[field][1]
    for field, (kind, columns) in now.items() if known else ():
        if field not in known:
            yield field, "added", kind, columns
        elif known[field][0] != kind:
            yield field, "retyped", f"{known[field][0]} to {kind}", columns


def _some(fields: Sequence[str]) -> str:
    """Names of fields for one line of the log."""
    named = ", ".join(field[:60] for field in fields[:_FIELDS_NAMED])
    return named + (f" and {len(fields) - _FIELDS_NAMED} more" if len(fields) > _FIELDS_NAMED else "")


def _keep(
    cache: sqlite3.Connection,
    source: str,
    name: str,
    field: str,
    change: str,
    detail: str,
    places: Sequence[Place],
    at: str,
) -> int:
    told = None if places else at  # a field nobody maps is told by a line in the log at most
    row = cache.execute(
        """INSERT INTO source_changes (source_name, object, name, change, detail, touches, noticed_at, told_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (source, name, field, change, detail, orjson.dumps(places).decode(), at, told),
    ).lastrowid
    if places or change in _DEFINED:
        log.info("%s: %s.%s %s %s", source, name, field, change, detail, extra={"action": "schema_changed"})
    return row or 0


# --- telling ----------------------------------------------------------------------------------------------------


def changes(cache: sqlite3.Connection, *, since: datetime | None = None, untold: bool = False) -> list[Change]:
    """What was noticed that feeds a column of ours, oldest first."""
    rows = cache.execute(
        f"""SELECT id, source_name, object, name, change, detail, touches, noticed_at, told_at, batch
            FROM source_changes
            WHERE touches <> '[]' AND noticed_at >= ? {"AND told_at IS NULL" if untold else ""} ORDER BY id""",
        (instant(since) if since else "",),
    )
    return [
        Change(id_, source, name, field, change, detail, tuple((t, c) for t, c in orjson.loads(touches)), *rest)
        for id_, source, name, field, change, detail, touches, *rest in rows
    ]


def touched(change: Change, config: "Config") -> Touched:
    """The configured KPIs and the scorecards that read what a change feeds."""
    reporting, places = config.reporting(), set(change.places)
    on_cards = {name for card in config.scorecards.values() for name in card.kpis}
    kpis = [
        name
        for name, kpi in config.kpis.items()
        if (name in on_cards or not kpi.builtin) and places & columns_used(kpi, config.kpis, reporting)
    ]
    cards = [name for name, card in config.scorecards.items() if set(kpis) & set(card.kpis)]
    return Touched(tuple(kpis), tuple(cards))


def tell(
    cache: sqlite3.Connection,
    config: "Config",
    now: datetime,
    *,
    state: sqlite3.Connection | None = None,
    owners: notices.Owners | None = None,
) -> list[tuple[Change, Touched]]:
    """What has not been told yet, marked as told: a line in the log each, and (given `state`) one mail to the owner
    of each scorecard touched.

    Each change belongs to one batch, kept before anything is owed, and a batch is one mail however often it is owed:
    neither a kill on the way nor two sources telling at once makes it two.
    """
    with transaction(cache):
        cache.execute(
            """UPDATE source_changes SET batch = ? || '-' || (SELECT max(id) FROM source_changes)
               WHERE told_at IS NULL AND batch IS NULL""",
            (instant(now),),
        )
    found = [(change, touched(change, config)) for change in changes(cache, untold=True)]
    if state is not None and config.mail is not None:
        with transaction(state):
            for batch in dict.fromkeys(change.batch or "" for change, _ in found):
                own = [(change, touches) for change, touches in found if change.batch == batch]
                _owe_mails(state, config.mail, owners or {}, own, batch, now)
    told = []
    with transaction(cache):
        for change, touches in found:
            asked = "UPDATE source_changes SET told_at = ? WHERE id = ? AND told_at IS NULL"
            if cache.execute(asked, (instant(now), change.id)).rowcount:
                told.append((change, touches))
    for change, touches in told:
        log.warning("%s %s", change.sentence, touches.sentence, extra={"action": "schema_changed"})
    return told


def _owe_mails(
    state: sqlite3.Connection,
    mail: "MailSettings",
    owners: notices.Owners,
    found: Sequence[tuple[Change, Touched]],
    batch: str,
    now: datetime,
) -> None:
    for name in dict.fromkeys(card for _, touches in found for card in touches.scorecards):
        own = [(change, touches) for change, touches in found if name in touches.scorecards]
        lines = "\n".join(f"- {change.sentence} It feeds {_listed(touches.kpis)}." for change, touches in own)
        text = f"{lines}\n\nThe sync goes on. Check the mapping of the source, or the rights of its login."
        last = own[-1][0]
        notices.owe(
            state,
            mail,
            owners,
            due_run_id=f"change-{last.id}",
            batch=batch,
            scorecard=name,
            due_at=datetime.fromisoformat(last.noticed_at),
            cause="changed",
            text=text,
            now=now,
            about_run=False,
        )


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
