"""Lists what an org has now, asks for records by id, and counts: what no change mark shows is found so."""

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from connectors import parse
from connectors.base import Bookmark, Page, Tombstone
from connectors.errors import NotReadable
from connectors.salesforce import wide
from connectors.salesforce.bulk import NoBulk
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import TooMuch, UnknownField
from connectors.salesforce.feeds import Feed, main_feeds
from connectors.salesforce.jobs import JobReader
from connectors.salesforce.mapping import NO_HISTORY, Mapper
from connectors.salesforce.query import STAMP, Row, Select, count_of
from connectors.salesforce.schema import OrgSchema
from connectors.salesforce.walk import Walker

log = logging.getLogger(__name__)

#: Deleted rows are left out by a condition, not by the plain query call: that one leaves out archived activities too.
_LIVE = "IsDeleted = false"
_IDS_A_PAGE = 1000


@dataclass(slots=True)
class Census:
    """The live records of one stream. Not shared between threads."""

    client: SalesforceClient
    schema: OrgSchema
    stream: str
    bulk_from: int
    start: date | None

    def pages(self, mapper: Mapper, bookmark: Bookmark | None, *, now: datetime) -> Iterator[Page]:
        """Every live record, object after object; the position is `{"object", "id"}` or `{"object", "job"}`.

        An object that cannot be read any more is left out: by ids nothing is said of its records either.
        """
        place: dict[str, Any] = dict(bookmark or {})
        feeds = self._readable(main_feeds(self.stream, self.schema))
        if place.get("object") not in [feed.object for feed in feeds]:
            place = {}
        for feed in feeds:
            if place.get("object") not in (None, feed.object):
                continue
            mine, place = place or {"object": feed.object}, {}
            JobReader(self.client).forget(feed.object, mine.pop("over", None) or {})
            if mine.get("id") is None and not mine.get("done"):
                mine = yield from self._by_job(mapper, feed, mine, now)
            if not mine.get("done"):
                yield from self._by_page(mapper, feed, mine)

    def of_ids(self, mapper: Mapper, ids: Sequence[str]) -> Iterator[Page]:
        """These records with all that hangs on them; deleted, merged and unknown ones as such."""
        table = self.schema.table(main_feeds(self.stream, self.schema)[0].object)
        wanted: dict[str, list[str]] = {}
        nonsense = []
        for one in dict.fromkeys(ids):
            try:
                wanted.setdefault(self._object_of(parse.salesforce_id(one)), []).append(parse.salesforce_id(one))
            except ValueError:
                nonsense.append(one)
        if nonsense:
            yield Page(tombstones=[Tombstone(table, one) for one in nonsense])
        for name, own in wanted.items():
            if not name or not self.schema.can_read(name):
                continue  # an object this login may not read now: its records may well be there
            for at in range(0, len(own), _IDS_A_PAGE):
                yield self._asked(mapper, name, own[at : at + _IDS_A_PAGE], table)

    def count(self) -> int | None:
        """Live records of the main table; None where they take too long to be counted."""
        total = 0
        try:
            for feed in self._readable(main_feeds(self.stream, self.schema)):
                total += self.client.count(count_of(feed.object, self._conditions(feed)))
                if feed.object == "EmailMessage" and self.schema.offer(feed.object).has("ActivityId"):
                    # The Task that mirrors a mail is the same touch, and is merged into it.
                    conditions = (*self._conditions(feed), "ActivityId != null")
                    total -= self.client.count(count_of(feed.object, conditions))
        except TooMuch:
            return None
        return total

    # -- listing ---------------------------------------------------------------------------------------------------

    def _by_page(self, mapper: Mapper, feed: Feed, mine: dict[str, Any]) -> Iterator[Page]:
        walker = Walker(self.client, self.schema)
        total = None
        while True:
            names = self.schema.wanted(feed.object, STAMP if self._has_stamp(feed) else "Id")
            try:
                for page in walker.ids_in_order(feed.object, names, mine.get("id") or "", self._conditions(feed)):
                    total = total if total is not None else page.total
                    if page.records:
                        mine = {"object": feed.object, "id": page.records[-1]["Id"]}
                        found = mapper.page(feed.object, page.records, STAMP, NO_HISTORY)
                        yield replace(found, total=total, bookmark=dict(mine))
                return
            except UnknownField as error:
                if not self.schema.forget(feed.object, error.field):
                    raise

    def _by_job(
        self, mapper: Mapper, feed: Feed, mine: dict[str, Any], now: datetime
    ) -> Generator[Page, None, dict[str, Any]]:
        """By a bulk job where there is much; the position afterwards: done, or where to begin page by page."""
        if "job" not in mine and not self._is_much(feed):
            return mine
        conditions = self._conditions(feed)

        def soql() -> str:
            names = self.schema.wanted(feed.object, STAMP if self._has_stamp(feed) else "Id")
            return Select(feed.object, names, conditions).unordered

        try:
            for step in JobReader(self.client).read(
                feed.object,
                soql,
                self.schema.types(feed.object),
                mine.get("job") or {},
                forget=lambda field: self.schema.forget(feed.object, field),
                now=now,
            ):
                page = mapper.page(feed.object, step.rows, STAMP, NO_HISTORY) if step.rows else Page()
                place = None
                if step.is_last:
                    place = {"object": feed.object, "done": True, "over": step.position}
                elif step.position is not None:
                    place = {"object": feed.object, "job": step.position}
                yield replace(page, total=step.total, bookmark=place)
        except NoBulk as error:
            log.warning("%s: %s Reading it page by page.", feed.object, error, extra={"action": "bulk_refused"})
            return {"object": feed.object, "id": ""}
        return {"object": feed.object, "done": True}

    def _is_much(self, feed: Feed) -> bool:
        try:
            return self.client.count(count_of(feed.object, self._conditions(feed))) >= self.bulk_from
        except TooMuch:
            return True

    def _conditions(self, feed: Feed) -> tuple[str, ...]:
        """Live, and changed since the configured start: what is older makes no record of ours."""
        live = (_LIVE,) if self.schema.offer(feed.object).has("IsDeleted") else ()
        begin = (f"{STAMP} >= {self.start.isoformat()}T00:00:00Z",) if self.start and self._has_stamp(feed) else ()
        return (*live, *begin, *feed.also)

    def _has_stamp(self, feed: Feed) -> bool:
        return self.schema.offer(feed.object).has(STAMP)

    def _readable(self, feeds: Sequence[Feed]) -> list[Feed]:
        """Those this login may read. Raises NotReadable where that is none of them."""
        there = [feed for feed in feeds if self.schema.can_read(feed.object)]
        if not there:
            self.schema.describe(feeds[0].object)
            raise NotReadable(f"Salesforce shows this login nothing of {self.stream}.")
        return there

    # -- by id -----------------------------------------------------------------------------------------------------

    def _object_of(self, source_id: str) -> str:
        """The object an id belongs to, by its first three characters; "" for one of no object of this stream."""
        feeds = main_feeds(self.stream, self.schema)
        if len(feeds) == 1:
            return feeds[0].object
        for feed in feeds:
            if self.schema.can_read(feed.object) and self.schema.prefix(feed.object) == source_id[:3]:
                return feed.object
        return ""

    def _asked(self, mapper: Mapper, name: str, ids: Sequence[str], table: str) -> Page:
        rows = self.rows_of(name, ids)
        page = mapper.page(name, rows, STAMP)
        found = {parse.salesforce_id(row["Id"]) for row in rows}
        gone = [Tombstone(table, one) for one in ids if one not in found]
        return replace(page, tombstones=[*page.tombstones, *gone])

    def rows_of(self, name: str, ids: Sequence[str]) -> list[Row]:
        """Rows of an object by id, deleted ones too; those Salesforce does not know are not among them."""
        while True:
            names = self.schema.wanted(name, STAMP if self.schema.offer(name).has(STAMP) else "Id")
            try:
                return wide.by_ids(self.client, Select(name, names), ids)
            except UnknownField as error:
                if not self.schema.forget(name, error.field):
                    raise
