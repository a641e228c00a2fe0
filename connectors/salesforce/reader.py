"""Reads one Salesforce object page by page, from a keyset position on, and maps it.

The position of a feed is its cursor field and Id: `{"at", "id", "done"}`. It is stored with every page, so that a
killed read goes on there; a finished one starts again a lookback below the vendor's clock, because rows become
visible minutes after their stamp.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors import parse
from connectors.base import Merge, Page, Record, Reject, Tombstone
from connectors.errors import StreamError, TransientError
from connectors.fields import FieldMap
from connectors.salesforce import fields as data
from connectors.salesforce.client import QueryPage, SalesforceClient
from connectors.salesforce.errors import LostPosition, UnknownField
from connectors.salesforce.history import HistoryReader
from connectors.salesforce.records import Known, finish
from connectors.salesforce.schema import OrgSchema

log = logging.getLogger(__name__)

LOOKBACK = timedelta(minutes=10)
_SETTLED = timedelta(hours=1)
_MAX_RESTARTS = 3
_CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")


@dataclass(frozen=True, slots=True)
class Feed:
    """One object to read, under the name its position is stored by."""

    object: str
    cursor: str = ""  # empty: the best the object has
    also: str = ""  # a further condition
    until_now: bool = False  # read only what the cursor has passed by now, and nothing on the first read

    @property
    def name(self) -> str:
        return f"{self.object}:{self.cursor}" if self.cursor else self.object


class Reader:
    """Reads feeds of one org. Not shared between threads."""

    def __init__(
        self, client: SalesforceClient, schema: OrgSchema, history: HistoryReader, *, instance: str, start: date | None
    ) -> None:
        self._client = client
        self._schema = schema
        self._history = history
        self._instance = instance
        self._start = start

    def read(
        self,
        feed: Feed,
        marks: dict[str, Any],
        known: Known,
        *,
        full: bool,
        since: date | None,
        now: datetime,
        finish_record: Callable[[Record, Mapping[str, Any]], None] | None = None,
    ) -> Iterator[Page]:
        """Pages of one feed; each one's bookmark holds the positions of all feeds in `marks`."""
        mark = None if full else marks.get(feed.name)
        if feed.until_now and mark is None:
            marks[feed.name] = {"at": parse.format_instant(now), "id": "", "done": True}
            yield Page(bookmark={"feeds": dict(marks)})
            return
        before = marks.get(feed.name)
        at, last_id = self._position(mark, since, now)
        restarts = 0
        while True:
            began_at: str | None = None
            received, expected = 0, 0
            try:
                for page in self._pages(feed, at, last_id, now):
                    began_at = began_at or self._server_now(now)
                    known.now = known.now or began_at
                    received, expected = received + len(page.records), max(expected, page.total)
                    result, top = self._map(feed, page, known, finish_record)
                    if top is not None:
                        at, last_id = top
                        marks[feed.name] = {"at": at, "id": last_id, "done": False}
                    if page.next_link:
                        yield self._with_bookmark(result, marks, expected)
                        continue
                    if received < expected:
                        self._restore(marks, feed, before)
                        yield self._with_bookmark(result, marks, expected)
                        raise TransientError(f"Salesforce sent {received} of {expected} records of {feed.object}.")
                    marks[feed.name] = {"at": began_at, "id": "", "done": True}
                    yield self._with_bookmark(result, marks, expected)
                return
            except LostPosition:
                restarts += 1
                if restarts > _MAX_RESTARTS:
                    raise TransientError(f"Salesforce kept losing its place in {feed.object}.") from None
                log.info("page link lost, asking again from the bookmark", extra={"action": "page_lost"})

    def _position(self, mark: Mapping[str, Any] | None, since: date | None, now: datetime) -> tuple[str | None, str]:
        """Where to begin: an instant (None: the very beginning) and the last Id seen at that instant."""
        asked = f"{since.isoformat()}T00:00:00Z" if since else None
        if mark is None:  # nothing is read yet: beginning at `since` would leave out what is older for ever
            return (f"{self._start.isoformat()}T00:00:00Z" if self._start else None), ""
        at, last_id = str(mark["at"]), str(mark.get("id") or "")
        moment = parse.to_datetime(at)
        if mark.get("done") or moment > now - _SETTLED:
            at, last_id = parse.format_instant(moment - LOOKBACK), ""
        return (asked, "") if asked and asked < at else (at, last_id)

    def _pages(self, feed: Feed, at: str | None, last_id: str, now: datetime) -> Iterator[QueryPage]:
        """Pages of a query; a field that turns out to be missing is dropped and the query asked again."""
        while True:
            try:
                page = self._client.query(self._soql(feed, at, last_id, now))
                break
            except UnknownField as error:
                if not self._schema.forget(feed.object, error.field):
                    raise
        yield page
        while page.next_link:
            page = self._client.query_more(page.next_link)
            yield page

    def _soql(self, feed: Feed, at: str | None, last_id: str, now: datetime) -> str:
        cursor = self._cursor_of(feed)
        names = self._schema.wanted(feed.object, cursor)
        where = []
        if at is not None and last_id:
            where.append(f"({cursor} > {at} OR ({cursor} = {at} AND Id > '{last_id}'))")
        elif at is not None:
            where.append(f"{cursor} >= {at}")
        if feed.until_now:
            where.append(f"{cursor} <= {self._server_now(now)}")
        if feed.also:
            where.append(feed.also)
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        return f"SELECT {', '.join(names)} FROM {feed.object}{clause} ORDER BY {cursor} ASC, Id ASC"

    def _cursor_of(self, feed: Feed) -> str:
        if feed.cursor:
            return feed.cursor
        offer = self._schema.offer(feed.object)
        for name in _CURSORS:
            if offer.has(name):
                return name
        raise StreamError(f"Salesforce offers no date to read {feed.object} by.", mend="Check its field permissions.")

    def _map(
        self,
        feed: Feed,
        page: QueryPage,
        known: Known,
        finish_record: Callable[[Record, Mapping[str, Any]], None] | None,
    ) -> tuple[Page, tuple[str, str] | None]:
        """The mapped page without bookmark, and the highest position in it."""
        fields = self._schema.map(feed.object)
        cursor = self._cursor_of(feed)
        records: list[Record] = []
        tombstones: list[Tombstone] = []
        merges: list[Merge] = []
        rejects: list[Reject] = []
        top: tuple[str, str] | None = None
        for row in page.records:
            source_id = parse.salesforce_id(row["Id"])
            stamp = parse.instant(row[cursor])
            top = stamp, source_id  # in the server's own order: how it sorts ids is its business
            if row.get("IsDeleted"):
                stamp = parse.instant_or_none(row.get("SystemModstamp")) or stamp  # a meeting's end is no deletion
                into = row.get("MasterRecordId")
                if into:
                    merges.append(Merge(fields.table, source_id, parse.salesforce_id(into), stamp))
                else:
                    tombstones.append(Tombstone(fields.table, source_id, stamp))
                continue
            record = self._record(feed.object, row, source_id, fields, rejects)
            if "MasterRecordId" in row:
                record["merged_into"] = None  # a merge that was undone: the row is alive again
            finish(feed.object, record, row, fields, known)
            if finish_record is not None:
                finish_record(record, row)
            records.append(record)
            if row.get("ActivityId"):  # the Task that mirrors a mail is the same touch: count it once
                merges.append(Merge(fields.table, parse.salesforce_id(row["ActivityId"]), source_id, stamp))
        by_table: dict[str, list[Record]] = {fields.table: records}
        by_table |= self._history.of(feed.object, page.records, known, rejects)
        return Page(by_table, tombstones, merges, rejects, read=len(page.records)), top

    def _record(
        self, name: str, row: Mapping[str, Any], source_id: str, fields: FieldMap, rejects: list[Reject]
    ) -> Record:
        record = fields.record(row, source_id, rejects)
        record["source_id"] = source_id
        record["source_instance"] = self._instance
        record["url"] = f"{self._client.instance_url}/lightning/r/{name}/{source_id}/view"
        return record

    def _server_now(self, now: datetime) -> str:
        return parse.format_instant(self._client.last_answer_at or now.astimezone(UTC))

    @staticmethod
    def _restore(marks: dict[str, Any], feed: Feed, before: Any) -> None:
        if before is None:
            marks.pop(feed.name, None)
        else:
            marks[feed.name] = before

    @staticmethod
    def _with_bookmark(page: Page, marks: Mapping[str, Any], total: int) -> Page:
        bookmark = {"feeds": {name: dict(mark) for name, mark in marks.items()}}
        return Page(page.records, page.tombstones, page.merges, page.rejects, page.read, total, bookmark)


def feeds_of(stream: str, survey_object: str) -> Iterable[Feed]:
    """The objects behind a stream, in reading order."""
    match stream:
        case "users":
            return (Feed("User"), Feed("Group", also="Type = 'Queue'"))
        case "activities":
            return (
                Feed("Task"),
                Feed("Event"),
                Feed("Event", cursor="EndDateTime", until_now=True),  # a meeting is held when its end has passed
                Feed("EmailMessage"),
                Feed("CaseComment"),
            )
        case "survey_responses":
            return (Feed(survey_object),)
        case _:
            name = next(name for name, table in data.TABLES.items() if table == stream)
            return (Feed(name),)
