"""Property history of deals, tickets and leads made into our history records. Pure functions of one object.

HubSpot gives each property's versions newest first. A deal's timeline has a row for every moment at which stage,
amount or close date changed, each row with all three as they were then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from connectors import parse
from connectors.base import Record
from connectors.fields import FieldMap
from connectors.hubspot.records import Known, lead_category, ticket_category

_FIRST = itemgetter(0)

Versions = Mapping[str, Sequence[Mapping[str, Any]]]


def deal_history(
    deal_id: str, versions: Versions, known: Known, *, currency: str, local_day: Callable[[Any], str]
) -> Iterator[Record]:
    """Rows of opportunity_stage_history of one deal, oldest first."""
    now: dict[str, Any] = {}
    seq = 0
    for at, changes in _timeline(versions):
        now |= changes
        stage_id = now.get("dealstage")
        if not stage_id:
            continue
        seq += 1
        stage = known.stage("deals", stage_id)
        yield {
            "source_id": f"{deal_id}:{at}",
            "opportunity_id": deal_id,
            "changed_at": parse.instant(at),
            "stage": stage_id,
            "stage_order": stage.order if stage else None,
            "state": stage.state if stage else "open",
            "amount_minor": _quietly(lambda value: parse.minor_units(value, currency), now.get("amount")),
            "currency": currency,
            "close_date": _quietly(local_day, now.get("closedate")),
            "seq": seq,
        }


def ticket_history(ticket_id: str, versions: Versions, known: Known, fields: FieldMap) -> Iterator[Record]:
    """Rows of ticket_status_history of one ticket, oldest first."""
    for seq, version in enumerate(_oldest_first(versions.get("hs_pipeline_stage", ())), start=1):
        status = version["value"]
        yield {
            "source_id": f"{ticket_id}:{version['timestamp']}",
            "ticket_id": ticket_id,
            "changed_at": parse.instant(version["timestamp"]),
            "status": status,
            "status_category": ticket_category(status, fields, known),
            "seq": seq,
        }


def converted_at(versions: Versions, known: Known, fields: FieldMap) -> str | None:
    """When a lead came into its last unbroken run of converted stages; None where it is not in one."""
    since: str | None = None
    for version in _oldest_first(versions.get("hs_pipeline_stage", ())):
        if lead_category(version["value"], fields, known) != "converted":
            since = None
        elif since is None:
            since = parse.instant(version["timestamp"])
    return since


def _timeline(versions: Versions) -> Iterator[tuple[str, dict[str, Any]]]:
    """What changed at each moment, oldest first."""
    moments: dict[str, tuple[datetime, dict[str, Any]]] = {}
    for name, changes in versions.items():
        for moment, version in _dated(changes):
            moments.setdefault(version["timestamp"], (moment, {}))[1][name] = version["value"]
    for at, (_, changed) in sorted(moments.items(), key=_by_moment):
        yield at, changed


def _by_moment(item: tuple[str, tuple[datetime, dict[str, Any]]]) -> datetime:
    return item[1][0]


def _oldest_first(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [version for _, version in _dated(changes)]


def _dated(changes: Any) -> list[tuple[datetime, Mapping[str, Any]]]:
    """Versions with their moments, oldest first; those that make no sense are left out."""
    usable = []
    for version in reversed(changes) if isinstance(changes, list) else ():  # newest first; of two at one moment too
        timestamp = version.get("timestamp") if isinstance(version, dict) else None
        if timestamp and "value" in version and (moment := _moment(timestamp)) is not None:
            usable.append((moment, version))
    usable.sort(key=_FIRST)
    return usable


def _moment(timestamp: Any) -> datetime | None:
    """The moment of a version, None where it cannot be read."""
    try:
        moment = parse.to_datetime(timestamp if isinstance(timestamp, str) else parse.instant(timestamp))
    except (ValueError, OverflowError):
        return None
    if not 1900 < moment.year < 2200:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _quietly(convert: Callable[[Any], Any], value: Any) -> Any:
    """A converted old value; one that makes no sense is null (the current one is told as a reject already)."""
    if value in (None, ""):
        return None
    try:
        return convert(value)
    except ValueError:
        return None
