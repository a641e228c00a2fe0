"""Reads one HubSpot object type: first the whole list, then what changed, and what was archived; maps it all.

The position of a type is `{"phase", ...}`: while the list is read `after` (the next page's mark) and `began_ms`;
afterwards `ms`, the change up to which all is read, `done`, and when archived objects and the deep lookback were
last looked at. Search finds ids only: some values are null there that a batch read has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors import parse
from connectors.base import Merge, Page, Record, Reject, Tombstone
from connectors.errors import StreamError
from connectors.fields import FieldMap
from connectors.hubspot.client import HubSpotClient
from connectors.hubspot.fetch import BLOCK, Fetcher, Object
from connectors.hubspot.fields import LINKS, ObjectType
from connectors.hubspot.history import converted_at, deal_history, ticket_history
from connectors.hubspot.records import Known, finish

_LOOKBACK_MS = 10 * 60_000
_DEEP_LOOKBACK_MS = 70 * 60_000  # the search index may lag: once an hour, more than an hour is read again
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Portal:
    """Where the records come from."""

    instance: str
    app_host: str
    zone: ZoneInfo
    currency: str


class Reader:
    """Reads one object type. Not shared between threads."""

    def __init__(
        self,
        client: HubSpotClient,
        fetcher: Fetcher,
        portal: Portal,
        kind: ObjectType,
        fields: FieldMap,
        known: Known,
        *,
        properties: Sequence[str],
        start: date | None,
    ) -> None:
        self._client = client
        self._fetcher = fetcher
        self._portal = portal
        self._kind = kind
        self._fields = fields
        self._known = known
        self._properties = properties
        self._start = f"{start.isoformat()}T00:00:00Z" if start else ""
        self._local_day = parse.day_in_zone(portal.zone)
        self._url = f"https://{portal.app_host}/contacts/{portal.instance}/record/{kind.type_id}/"

    def read(self, marks: dict[str, Any], *, full: bool, since: date | None, now: datetime) -> Iterator[Page]:
        """Pages of this type; each one's bookmark holds the positions of all types in `marks`."""
        mark = None if full else marks.get(self._kind.name)
        if mark is None or mark.get("phase") == "list":
            yield from self._read_list(marks, mark or {}, now)
            if mark is not None:
                # Resumed, maybe days later: what changed meanwhile may stand before the place where it went on.
                yield from self._read_changes(marks, marks[self._kind.name], since, now)
        else:
            yield from self._read_changes(marks, mark, since, now)
        yield from self._read_archived(marks, now)

    def _read_list(self, marks: dict[str, Any], mark: Mapping[str, Any], now: datetime) -> Iterator[Page]:
        began_ms = mark.get("began_ms")
        for block, after in self._fetcher.list_blocks(self._kind.name, self._properties, mark.get("after")):
            began_ms = began_ms or self._server_ms(now)
            self._known.now = self._known.now or parse.from_ms(self._server_ms(now))
            if after is not None:
                marks[self._kind.name] = {"phase": "list", "after": after, "began_ms": began_ms}
            else:
                marks[self._kind.name] = {"phase": "live", "ms": began_ms, "done": True, "deep_ms": began_ms}
            yield self._page(block, marks)

    def _read_changes(
        self, marks: dict[str, Any], mark: Mapping[str, Any], since: date | None, now: datetime
    ) -> Iterator[Page]:
        about_ms = self._server_ms(now)  # the vendor's clock as last seen; its answer to the first search tells better
        began_ms = 0
        self._known.now = parse.from_ms(about_ms)
        ms, deep_ms = int(mark["ms"]), int(mark.get("deep_ms") or 0)
        is_deep = about_ms - deep_ms >= _HOUR_MS
        floor = ms
        if mark.get("done") or ms > about_ms - _HOUR_MS:
            floor = ms - (_DEEP_LOOKBACK_MS if is_deep else _LOOKBACK_MS)
        if since is not None:
            floor = min(floor, _day_ms(since))
        kept = {key: mark[key] for key in ("swept_ms", "sweep_pages") if key in mark}
        waiting: list[str] = []
        for ids, top in self._fetcher.changed(self._kind, max(floor, 1000)):
            began_ms = began_ms or self._server_ms(now)
            waiting.extend(ids)
            if len(waiting) >= BLOCK:
                marks[self._kind.name] = {"phase": "live", "ms": top, "done": False, "deep_ms": deep_ms, **kept}
                yield self._read_page(waiting, marks)
                waiting = []
        began_ms = began_ms or self._server_ms(now)
        marks[self._kind.name] = {
            "phase": "live",
            "ms": began_ms,
            "done": True,
            "deep_ms": began_ms if is_deep else deep_ms,
            **kept,
        }
        yield self._read_page(waiting, marks)

    def _read_archived(self, marks: dict[str, Any], now: datetime) -> Iterator[Page]:
        """Tombstones of what was archived since the last look; the more there is, the more seldom it is looked at."""
        mark = dict(marks[self._kind.name])
        now_ms = self._server_ms(now)
        swept_ms, pages = mark.get("swept_ms"), int(mark.get("sweep_pages") or 1)
        if swept_ms is not None and now_ms - swept_ms < min(_HOUR_MS, (pages - 1) * 60_000):
            return
        tombstones, read = [], 0
        try:
            for block, _ in self._fetcher.list_blocks(self._kind.name, ("hs_object_id",), None, archived=True):
                read += len(block)
                for one in block:
                    deleted_at = parse.instant_or_none(one.get("archivedAt"))
                    if swept_ms is None or deleted_at is None or parse.to_ms(deleted_at) >= swept_ms - _HOUR_MS:
                        tombstones.append(Tombstone(self._fields.table, str(one["id"]), deleted_at))
        except StreamError:
            return  # this type has no list of archived objects
        mark |= {"swept_ms": now_ms, "sweep_pages": read // 100 + 1}
        marks[self._kind.name] = mark
        yield Page(tombstones=tombstones, bookmark=_bookmark(marks))

    def _read_page(self, ids: Sequence[str], marks: Mapping[str, Any]) -> Page:
        objects = self._fetcher.read(self._kind.name, ids, self._properties, self._kind.history) if ids else []
        return self._page(objects, marks, has_history=True)

    def _page(self, objects: Sequence[Object], marks: Mapping[str, Any], *, has_history: bool = False) -> Page:
        """Objects as a page, with what hangs on them and with the bookmark that `marks` make."""
        records: list[Record] = []
        tombstones: list[Tombstone] = []
        merges: list[Merge] = []
        rejects: list[Reject] = []
        fields, name = self._fields, self._kind.name
        instance, url = self._portal.instance, self._url
        for one in objects:
            source_id = str(one["id"])
            if one.get("archived"):
                tombstones.append(Tombstone(fields.table, source_id, parse.instant_or_none(one.get("archivedAt"))))
                continue
            props = one.get("properties") or {}
            record = fields.record(props, source_id, rejects)
            record["source_id"] = source_id
            record["source_instance"] = instance
            record["url"] = url + source_id
            if record.get("updated_at") is None:
                record["updated_at"] = parse.instant_or_none(one.get("updatedAt"))
            if record.get("created_at") is None:
                record["created_at"] = parse.instant_or_none(one.get("createdAt"))
            if self._start and (record.get("updated_at") or self._start) < self._start:
                continue
            finish(name, record, props, fields, self._known)
            records.append(record)
            if merged := props.get("hs_merged_object_ids"):
                losers = (loser.strip() for loser in str(merged).split(";"))
                merges.extend(Merge(fields.table, loser, source_id) for loser in losers if loser and loser != source_id)
        by_table = {fields.table: records}
        if records:
            self._add_history(by_table, records, objects, has_history=has_history)
            self._add_links(by_table, records)
        return Page(by_table, tombstones, merges, rejects, read=len(objects), bookmark=_bookmark(marks))

    def _add_history(
        self,
        by_table: dict[str, list[Record]],
        records: Sequence[Record],
        objects: Sequence[Object],
        *,
        has_history: bool,
    ) -> None:
        """Stage and status history of the records of a page, and when its leads were converted."""
        name = self._kind.name
        if name == "leads":
            self._add_conversions(records)
            return
        if not self._kind.history:
            return
        if not has_history:
            ids = [record["source_id"] for record in records]
            objects = self._fetcher.read(name, ids, ("hs_object_id",), self._kind.history)
        versions = {str(one["id"]): one.get("propertiesWithHistory") or {} for one in objects}
        rows: list[Record] = []
        for record in records:
            own = versions.get(record["source_id"], {})
            if name == "deals":
                rows.extend(
                    deal_history(
                        record["source_id"],
                        own,
                        self._known,
                        currency=record.get("currency") or self._portal.currency,
                        local_day=self._local_day,
                    )
                )
            else:
                rows.extend(ticket_history(record["source_id"], own, self._known, self._fields))
        for row in rows:
            row["source_instance"] = self._portal.instance
        by_table["opportunity_stage_history" if name == "deals" else "ticket_status_history"] = rows

    def _add_conversions(self, records: Sequence[Record]) -> None:
        converted = {record["source_id"]: record for record in records if record["status_category"] == "converted"}
        for record in records:
            record["converted_at"] = record["converted_date"] = None
        if not converted:
            return
        for one in self._fetcher.read("leads", list(converted), ("hs_object_id",), ("hs_pipeline_stage",)):
            record = converted[str(one["id"])]
            at = converted_at(one.get("propertiesWithHistory") or {}, self._known, self._fields)
            if at is not None:
                record["converted_at"], record["converted_date"] = at, self._local_day(at)

    def _add_links(self, by_table: dict[str, list[Record]], records: Sequence[Record]) -> None:
        """References that HubSpot keeps as associations; further links of an activity become activity_links."""
        is_lead = self._fields.table == "leads"
        targets = [name for name in self._kind.links if LINKS[name][0] not in records[0] or is_lead]
        linked = [r for r in records if not is_lead or r["status_category"] == "converted"]
        if is_lead:
            for record in records:
                for target in targets:
                    record.setdefault(f"converted_{LINKS[target][0]}", None)
        if not targets or not linked:
            return
        found = self._fetcher.links(self._kind.name, targets, [record["source_id"] for record in linked])
        more: list[Record] = []
        for target, by_id in found.items():
            column, table = LINKS[target]
            column = f"converted_{column}" if is_lead else column
            for record in linked:
                others = by_id.get(record["source_id"], ())
                record[column] = others[0] if others else None
                if self._fields.table == "activities":
                    more.extend(_link(record["source_id"], table, other) for other in others[1:])
        if more:
            by_table["activity_links"] = more

    def _server_ms(self, now: datetime) -> int:
        return int((self._client.last_answer_at or now).timestamp() * 1000)


def _link(activity_id: str, table: str, other: str) -> Record:
    return {
        "source_id": f"{activity_id}:{table}:{other}",
        "activity_id": activity_id,
        "object": table,
        "object_id": other,
    }


def _bookmark(marks: Mapping[str, Any]) -> dict[str, Any]:
    return {"objects": {name: dict(mark) for name, mark in marks.items()}}


def _day_ms(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(milliseconds=1)
