"""Turns HubSpot objects of one type into pages of our records, with all that hangs on them: history, links, lines.

Used from several workers at once. A property that vanishes while we read is dropped and named, and reading goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from connectors import parse
from connectors.base import Children, Merge, Page, Record, Reject, Tombstone
from connectors.fields import FieldMap
from connectors.hubspot.errors import Invalid
from connectors.hubspot.fetch import Fetcher, Found, Object, merged_ids
from connectors.hubspot.fields import LINKS, Lines, ObjectType
from connectors.hubspot.history import converted_at, deal_history, ticket_history
from connectors.hubspot.portal import Portal
from connectors.hubspot.records import finish

log = logging.getLogger(__name__)

T = TypeVar("T")
_WORTH_WRITING = 2_000  # rows of one page: the more are written at once, the fewer leaves of an index twice
_LONGEST_JOIN_S = 5.0  # a page that comes later than this after the first one waits for no other


class Mapper:
    """One object type of one portal. `history`: its rows of history are wanted too."""

    def __init__(
        self, fetcher: Fetcher, portal: Portal, kind: ObjectType, *, start: date | None, history: bool = True
    ) -> None:
        self._fetcher = fetcher
        self._portal = portal
        self.kind = kind
        self._has_history = history
        self._history = kind.history if history else ()
        self._lock = threading.Lock()
        self.known, self.definitions = portal.known(kind)
        self._fields = portal.map_of(kind)
        self._properties = portal.wanted(kind, self._fields)
        self._silent: set[str] = set()
        self._line_fields: FieldMap | None = None
        self._instance = portal.instance
        self._local_day = parse.day_in_zone(portal.zone)
        self._start = f"{start.isoformat()}T00:00:00Z" if start else ""
        self._url = f"https://{portal.app_host}/contacts/{self._instance}/record/{kind.type_id}/"
        # An address has an end: with very many properties the list gives ids alone, and `from_list` reads the rest.
        self._is_long = sum(map(len, self._properties)) + len(self._properties) > fetcher.limits.address

    # -- asking --------------------------------------------------------------------------------------------------------

    def ask_page(self, mark: str | None) -> dict[str, Any]:
        """The page of the list of live objects that begins after `mark`."""

        def ask(properties: Sequence[str]) -> dict[str, Any]:
            size = self._fetcher.size(self._fetcher.limits.list_page, with_history=bool(self._history))
            query: dict[str, Any] = {"limit": size, "archived": "false", "properties": ",".join(properties)}
            if self._history:
                query["propertiesWithHistory"] = ",".join(self._history)
            if self._is_long:
                query = {"limit": self._fetcher.limits.list_page, "archived": "false", "properties": "hs_object_id"}
            return self._fetcher.list_page(self.kind.name, {**query, "after": mark} if mark else query)

        return self._guarded(ask)

    def from_list(self, objects: Sequence[Object]) -> Page:
        """A page of listed objects, without a bookmark."""
        if self._is_long:
            return self.read([str(one["id"]) for one in objects])[0]
        return self.page(objects)

    def read(self, ids: Sequence[str]) -> tuple[Page, Found]:
        """A page of the objects with these ids, without a bookmark, and what became of the ids."""
        if not ids:
            return Page(), Found()
        found = self._guarded(lambda names: self._fetcher.read(self.kind.name, ids, names, self._history))
        return self.page(found.objects), found

    def _guarded(self, ask: Callable[[Sequence[str]], T]) -> T:
        asked = self._properties
        try:
            return ask(asked)
        except Invalid:
            if not self._look_again(asked):
                raise
            return ask(self._properties)

    def _look_again(self, asked: Sequence[str]) -> bool:
        """Read what properties there are now; whether fewer are asked for from now on."""
        with self._lock:
            if self._properties is not asked:
                return True  # another thread did
            gone = self._portal.look_again(self.kind.name) & set(asked)
            if not gone:
                return False
            self._fields = self._portal.map_of(self.kind)
            self._properties = self._portal.wanted(self.kind, self._fields)
        names = ", ".join(sorted(gone))
        log.warning("%s has no %s any more; left as it was", self.kind.name, names, extra={"action": "field_gone"})
        return True

    def _missing(self, objects: Sequence[Object]) -> list[frozenset[str]]:
        """Of each object, which properties were asked for and not answered.

        HubSpot leaves out, without a word, what it does not know (any more): not the same as an empty value. A block
        is made of several answers, and any of them may be the one.
        """
        asked = self._properties
        names = frozenset(asked)
        nothing: frozenset[str] = frozenset()
        whole: tuple[str, ...] = ()  # nearly every object of an answer has the same properties in the same order
        missing = []
        for one in objects:
            props = one.get("properties")
            if not isinstance(props, dict):
                missing.append(names)
            elif (told := tuple(props)) == whole or props.keys() >= names:
                whole = told
                missing.append(nothing)
            else:
                missing.append(names - props.keys())
        unheard = frozenset().union(*missing) - self._silent
        if unheard and not self._look_again(asked):
            self._silent |= unheard
        return missing

    # -- mapping -------------------------------------------------------------------------------------------------------

    def page(self, objects: Sequence[Object]) -> Page:
        """Objects as a page, with what hangs on them and without a bookmark."""
        if not objects:
            return Page()
        missing = self._missing(objects)
        records: list[Record] = []
        tombstones: list[Tombstone] = []
        merges: list[Merge] = []
        rejects: list[Reject] = []
        alive: list[str] = []
        fields, name, known, start = self._fields, self.kind.name, self.known, self._start
        url = self._url
        map_record = fields.record
        for one, absent in zip(objects, missing, strict=True):
            source_id = str(one["id"])
            if one.get("archived"):
                tombstones.append(Tombstone(fields.table, source_id, parse.instant_or_none(one.get("archivedAt"))))
                continue
            props = one.get("properties")
            if not isinstance(props, dict):
                props = {}
            record = map_record(props, source_id, rejects)
            if absent:
                fields.leave_out(record, absent)
            record["source_id"] = source_id
            record["url"] = url + source_id
            if record.get("updated_at") is None:
                record["updated_at"] = parse.instant_or_none(one.get("updatedAt"))
            if record.get("created_at") is None:
                record["created_at"] = parse.instant_or_none(one.get("createdAt"))
            if props.get("hs_merged_object_ids"):
                merges.extend(Merge(fields.table, loser, source_id) for loser in sorted(merged_ids(one)))
            if start and (record["updated_at"] or start) < start:
                alive.append(source_id)
                continue
            finish(name, record, props, fields, known)
            records.append(record)
        by_table: dict[str, list[Record]] = {fields.table: records}
        children: list[Children] = []
        if records:
            self._add_history(by_table, records, objects)
            self._add_links(by_table, records, children)
            if self.kind.lines is not None:
                self._add_lines(self.kind.lines, by_table, records, children, rejects)
        return Page(by_table, tombstones, merges, rejects, children, alive, read=len(objects))

    def _add_history(
        self, by_table: dict[str, list[Record]], records: Sequence[Record], objects: Sequence[Object]
    ) -> None:
        """Stage and status history of the records of a page, and when its leads were converted."""
        name = self.kind.name
        if name == "leads":
            self._add_conversions(records)
        if not self._history:
            return
        there = {str(one["name"]) for one in self._portal.properties(name)}
        by_id = {str(one["id"]): one for one in objects}
        rows: list[Record] = []
        for record in records:
            one = by_id[record["source_id"]]
            props, given = one.get("properties"), one.get("propertiesWithHistory")
            own = given if isinstance(given, dict) else {}
            if name == "deals":
                untold = {
                    theirs
                    for theirs in self._history
                    if theirs not in there or (theirs in self._properties and theirs not in (props or {}))
                }
                rows += deal_history(record, own, self.known, local_day=self._local_day, untold=untold)
            else:
                rows += ticket_history(record, own, self.known, self._fields)
        for row in rows:
            row["source_instance"] = self._instance
        by_table["opportunity_stage_history" if name == "deals" else "ticket_status_history"] = rows

    def _add_conversions(self, records: Sequence[Record]) -> None:
        """When leads were converted: only their history knows, which is read where history is wanted."""
        converted = {r["source_id"]: r for r in records if r.get("status_category") == "converted"}
        for record in records:
            if "status_category" in record and (record["source_id"] not in converted or self._has_history):
                record["converted_at"] = record["converted_date"] = None
        if not converted or not self._has_history:
            return
        found = self._fetcher.read("leads", list(converted), ("hs_object_id",), ("hs_pipeline_stage",))
        for one in found.objects:
            record = converted.get(str(one["id"]), {})
            at = converted_at(one.get("propertiesWithHistory") or {}, self.known, self._fields)
            if at is not None:
                record["converted_at"], record["converted_date"] = at, self._local_day(at)

    def _add_links(
        self, by_table: dict[str, list[Record]], records: Sequence[Record], children: list[Children]
    ) -> None:
        """References that HubSpot keeps as associations; further links of an activity become activity_links."""
        table = self._fields.table
        is_lead = table == "leads"
        targets = [name for name in self.kind.links if is_lead or LINKS[name][0] not in records[0]]
        linked = [r for r in records if not is_lead or r.get("status_category") == "converted"]
        if not targets:
            return
        ids = [record["source_id"] for record in linked]
        found = self._fetcher.links(self.kind.name, targets, ids)
        for target in targets if ids else ():
            if target not in found:
                self._portal.doubt(target)
        more: list[Record] = []
        for target, links in found.items():
            column, other_table = LINKS[target]
            column = f"converted_{column}" if is_lead else column
            for record in linked:
                if record["source_id"] in links.unsaid:
                    continue
                others = links.by_id.get(record["source_id"], ())
                record[column] = others[0] if others else None
                if table == "activities" and len(others) > 1:
                    more += [_link(record["source_id"], other_table, other, self._instance) for other in others[1:]]
        if is_lead:
            for record in records:
                if record.get("status_category") not in (None, "converted"):
                    record |= dict.fromkeys((f"converted_{LINKS[target][0]}" for target in targets), None)
        if table == "activities":
            by_table["activity_links"] = more
            for target, links in found.items():
                whole = [one for one in ids if one not in links.unsaid]
                children.append(Children("activity_links", "activity_id", whole, {"object": LINKS[target][1]}))

    def _add_lines(
        self,
        lines: Lines,
        by_table: dict[str, list[Record]],
        records: Sequence[Record],
        children: list[Children],
        rejects: list[Reject],
    ) -> None:
        """The line items of the records of a page, all of them."""
        currencies = {record["source_id"]: record.get("currency") for record in records}
        links = self._fetcher.links(self.kind.name, (lines.name,), list(currencies)).get(lines.name)
        fields = self._fields_of(lines) if links is not None else None
        if links is None or fields is None:
            if currencies:
                self._portal.doubt(lines.name)
            return
        parents = {line: parent for parent, own in links.by_id.items() for line in own}
        there = {str(one["name"]) for one in self._portal.properties(lines.name)}
        asked = [*(name for name in fields.theirs if name in there), "hs_object_id"]
        rows: list[Record] = []
        for one in self._fetcher.read(lines.name, list(parents), asked).objects if parents else ():
            line_id = str(one["id"])
            if line_id not in parents or one.get("archived"):
                continue
            props = one.get("properties")
            props = dict(props) if isinstance(props, Mapping) else {}
            parent = parents[line_id]
            if lines.currency in there and lines.currency not in props:
                absent = [lines.currency]  # it may be the line's own
            else:
                props[lines.currency] = props.get(lines.currency) or currencies.get(parent)
                absent = [] if props[lines.currency] else [lines.currency]
            absent += [name for name in asked if name not in props]
            row = fields.record(props, line_id, rejects)
            fields.leave_out(row, absent)
            if row.get("updated_at") is None:
                row["updated_at"] = parse.instant_or_none(one.get("updatedAt"))
            rows.append(row | {"source_id": line_id, "source_instance": self._instance, lines.parent: parent})
        by_table[lines.table] = rows
        children.append(Children(lines.table, lines.parent, [one for one in currencies if one not in links.unsaid]))

    def _fields_of(self, lines: Lines) -> FieldMap | None:
        """The field map of line items; None where this login may not read them."""
        with self._lock:
            if self._line_fields is None and self._portal.reason_unreadable(lines.name) is None:
                self._line_fields = self._portal.map_of_lines(lines)
            return self._line_fields


def _link(activity_id: str, table: str, other: str, instance: str) -> Record:
    return {
        "source_id": f"{activity_id}:{table}:{other}",
        "source_instance": instance,
        "activity_id": activity_id,
        "object": table,
        "object_id": other,
    }


def joined(pages: Iterable[Page], *, clock: Callable[[], float] = time.monotonic) -> Iterator[Page]:
    """The same pages, small ones made into one with the bookmark of the last; those with tombstones stand alone.

    What was read before `pages` fails comes first, then its error: a source that breaks off again and again gets on.
    """
    held: list[Page] = []
    rows, began = 0, 0.0
    failure: Exception | None = None
    try:
        for page in pages:
            if held and page.tombstones:
                yield _one_of(held)
                held, rows = [], 0
            began = began if held else clock()
            held.append(page)
            rows += sum(map(len, page.records.values()))
            if rows >= _WORTH_WRITING or page.tombstones or clock() - began >= _LONGEST_JOIN_S:
                yield _one_of(held)
                held, rows = [], 0
    except Exception as error:
        failure = error
    if held:
        yield _one_of(held)
    if failure is not None:
        raise failure


def _one_of(pages: Sequence[Page]) -> Page:
    if len(pages) == 1:
        return pages[0]
    records: dict[str, list[Record]] = {}
    for page in pages:
        for table, own in page.records.items():
            records.setdefault(table, []).extend(own)
    return replace(
        pages[-1],
        records=records,
        merges=[merge for page in pages for merge in page.merges],
        rejects=[reject for page in pages for reject in page.rejects],
        children=[children for page in pages for children in page.children],
        alive=[one for page in pages for one in page.alive],
        read=sum(page.read for page in pages),
    )
