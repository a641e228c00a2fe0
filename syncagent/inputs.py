"""What the records of a stream were read with: the fields, associations, logs and helping objects of each column.

A record that was read while one of them could not be carries no mark to find it by once it can. So the inputs that
every record since the beginning was read with are kept beside the bookmark, and move in its transaction; when the
source offers more than those, the stream is read from its beginning.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Mapping

import orjson

from connectors.base import Connector, FieldInfo, Stream
from connectors.errors import AuthError, ConnectorError, StreamError
from connectors.retry import BRIEF, trying

log = logging.getLogger(__name__)

#: Key beside a stored bookmark whose stream is to be read from its beginning.
AGAIN = "again"

#: By object that has a position of its own in the stream: the inputs of its records, `Object.field>column`.
Inputs = Mapping[str, frozenset[str]]


def offered(connector: Connector, stream: Stream) -> Inputs | None:
    """What the records of a stream are read with now; asks the vendor, touches no cache. None: cannot be told now.

    An object that cannot be read has no entry: its position waits, and no record of it comes without anything. Files
    have none: what is new in them is new in the file, which is read whole.
    """
    if connector.crm == "files":
        return {}
    infos: list[FieldInfo] = []
    try:
        with trying(BRIEF):
            for table in stream.tables:
                with contextlib.suppress(StreamError):  # if that is more than this table, reading says so
                    infos += connector.fields(table)
    except AuthError:
        raise
    except ConnectorError as error:  # a passing trouble, perhaps of another stream's object, is none of this one
        log.info("%s %s: not looked at: %s", connector.name, stream.name, error, extra={"action": "not_described"})
        return None
    except Exception:
        log.exception("%s %s: not looked at", connector.name, stream.name, extra={"action": "not_described"})
        return None
    found: dict[str, set[str]] = {info.object: set() for info in infos if not info.beside}
    for info in infos:
        whose = found.get(info.beside or info.object)
        if whose is not None and info.column:
            whose.add(f"{info.object}.{info.name}>{info.column}")
    return {name: frozenset(fed) for name, fed in found.items()}


def has_more(now: Inputs | None, kept: Inputs | None) -> bool:
    """Whether there is now what some record was read without; not, where either is not known."""
    return now is not None and kept is not None and any(now[name] - kept[name] for name in now.keys() & kept.keys())


def common(now: Inputs, kept: Inputs | None) -> Inputs:
    """What every record has been read with, when a page read with `now` is added to those read with `kept`.

    None of them (`kept`: None): a reading begins.
    """
    kept = kept or {}
    return {**kept, **{name: fed & kept.get(name, fed) for name, fed in now.items()}}


def load(text: str | None) -> Inputs | None:
    return None if text is None else {name: frozenset(fed) for name, fed in orjson.loads(text).items()}


def save(cache: sqlite3.Connection, source: str, stream: str, inputs: Inputs) -> None:
    """Keep them; runs in the caller's transaction, that of the bookmark."""
    text = orjson.dumps({name: sorted(fed) for name, fed in sorted(inputs.items())}).decode()
    cache.execute("UPDATE sync_state SET inputs = ? WHERE source_name = ? AND stream = ?", (text, source, stream))


def read_again(cache: sqlite3.Connection, source: str, stream: str, at: str) -> None:
    """Have a stream read from its beginning; its rows stay. Runs in the caller's transaction.

    A comparison that a person asked for is still to be made: it begins anew with that reading.
    """
    place = (source, stream)
    cache.execute(
        f"""UPDATE sync_state SET bookmark = json_set(bookmark, '$.{AGAIN}', json('true')), sweep = CASE
               WHEN sweep ->> 'phase' = 'suspect' THEN sweep
               WHEN sweep ->> 'mode' = 'full' AND sweep ->> 'phase' <> 'clean' THEN json_object(
                   'mode', 'full', 'began_at', ?,
                   'was_suspect', json(iif(sweep ->> 'was_suspect', 'true', 'false')))
               END WHERE source_name = ? AND stream = ?""",
        (at, *place),
    )
    cache.execute("DELETE FROM sweep_seen WHERE source_name = ? AND stream = ?", place)
    log.info("%s %s: read again, for what is there now", source, stream, extra={"action": "read_again"})
