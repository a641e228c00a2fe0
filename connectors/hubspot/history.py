"""Property history of deals, tickets and leads made into our history records. Pure functions of one object.

HubSpot gives each property's versions newest first. A deal's timeline has a row for every moment at which stage,
amount or close date changed, each row with all three as they were then.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
    deal: Record, versions: Versions, known: Known, *, local_day: Callable[[Any], str], untold: Collection[str] = ()
) -> list[Record]:
    """Rows of opportunity_stage_history of one deal, oldest first.

    Left out, so that what is stored stays: columns of properties HubSpot does not tell now (`untold`), amounts while
    the deal's currency is not known, the state of a stage its pipelines no longer name. Where the deal stands now in
    such a stage, its own state is that of the last row.
    """
    rows: list[Record] = []
    currency = deal.get("currency")
    now: dict[str, Any] = {}
    stage = None
    for at, changes in _timeline(versions):
        now |= changes
        stage_id = now.get("dealstage")
        if not stage_id:
            continue
        row: Record = {
            "source_id": f"{deal['source_id']}:{at}",
            "opportunity_id": deal["source_id"],
            "changed_at": parse.instant(at),
            "stage": stage_id,
        }
        stage = known.stage("deals", stage_id)
        if stage is not None:
            row |= {"stage_order": stage.order, "state": stage.state}
        if currency is not None and "amount" not in untold:
            row["amount_minor"] = _amount(now.get("amount"), currency)
            row["currency"] = currency
        if "closedate" not in untold:
            row["close_date"] = _quietly(local_day, now.get("closedate"))
        rows.append(row)
        if not untold:  # else there are fewer rows than there were moments
            row["seq"] = len(rows)
    if rows and stage is None and "state" in deal:
        rows[-1]["state"] = deal["state"]
    return rows


def ticket_history(ticket: Record, versions: Versions, known: Known, fields: FieldMap) -> list[Record]:
    """Rows of ticket_status_history of one ticket, oldest first.

    A stage the pipelines no longer name, and the settings neither, is left without a category, as for deals.
    """
    rows: list[Record] = []
    is_known = True
    for seq, version in enumerate(_oldest_first(versions.get("hs_pipeline_stage", ())), start=1):
        status = version["value"]
        row: Record = {
            "source_id": f"{ticket['source_id']}:{version['timestamp']}",
            "ticket_id": ticket["source_id"],
            "changed_at": parse.instant(version["timestamp"]),
            "status": status,
            "seq": seq,
        }
        is_known = known.stage("tickets", status) is not None or fields.mapped("status_category", status) is not None
        if is_known:
            row["status_category"] = ticket_category(status, fields, known)
        rows.append(row)
    if rows and not is_known and "status_category" in ticket:
        rows[-1]["status_category"] = ticket["status_category"]
    return rows


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


def _amount(value: Any, currency: str) -> int | None:
    amount: int | None = _quietly(lambda given: parse.minor_units(given, currency), value)
    return amount


def _quietly(convert: Callable[[Any], Any], value: Any) -> Any:
    """A converted old value; one that makes no sense is null (the current one is told as a reject already)."""
    if value in (None, ""):
        return None
    try:
        return convert(value)
    except ValueError:
        return None
