"""Reads what changed in one Salesforce object, page by page, by two cursors and, where it is much, by a bulk job.

*near* is up to date: it reads everything from `limits.lookback` before the last read on. *far* follows `limits.lag`
behind it and reads every change once more: a row may become visible up to 59 minutes after its stamp. The mark of a
feed holds both: `{"at", "id", "done", "far"}`, and while a read is under way `hi` (the vendor's clock when it began),
`far_*` (where far stands) or `job` (where a bulk job stands).
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from connectors import parse
from connectors.base import Page
from connectors.errors import ConnectorError, StreamError
from connectors.salesforce import fields as data
from connectors.salesforce.bulk import NoBulk
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import Short, TooMuch
from connectors.salesforce.feeds import Feed
from connectors.salesforce.jobs import JobReader
from connectors.salesforce.mapping import ALL, NO_LINES, Mapper, With
from connectors.salesforce.marks import REST_FOR, Mark, grounded, grounded_passing, renewed
from connectors.salesforce.query import STAMP, Row, Select, count_of
from connectors.salesforce.reconcile import Census
from connectors.salesforce.schema import OrgSchema
from connectors.salesforce.walk import Place, Walker, Window

log = logging.getLogger(__name__)

_FAR_EVERY = timedelta(minutes=60)
_MUCH_SINCE = timedelta(days=1)  # a read of so long a time is counted before it is begun
_SHORTS = 5  # reads in a row with fewer records than counted, before what came is taken for all there is
_REST = ("rest_until",)  # what outlives a read
_FAR = ("far_hi", "far_at", "far_id", "far_short")  # where far stands, which a near read leaves alone
_CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")


@dataclass(slots=True)
class Held:
    """The page before the newest: the last one goes out with the mark at rest, so that no kill can come in between."""

    page: Page | None = None
    total: int | None = None

    def swap(self, page: Page, marks: dict[str, Mark], total: int) -> Iterator[Page]:
        """Keep `page` and hand out the one held before, with the marks that were set for it."""
        if self.page is not None:
            yield _with_bookmark(self.page, marks, self.total)
        self.page, self.total = page, total

    def release(self, marks: dict[str, Mark]) -> Iterator[Page]:
        """What is held, before an error ends the read: what came is not asked for again."""
        if self.page is not None:
            yield _with_bookmark(self.page, marks, self.total)
            self.page = None

    def last(self, marks: dict[str, Mark]) -> Page:
        return _with_bookmark(self.page or Page(), marks, self.total)


@dataclass(slots=True)
class Reader:
    """Reads feeds of one org. Not shared between threads."""

    client: SalesforceClient
    schema: OrgSchema
    mapper: Mapper
    bulk_from: int
    start: date | None

    def read(self, feed: Feed, marks: dict[str, Mark], *, since: date | None, now: datetime) -> Iterator[Page]:
        """Pages of one feed; each one's bookmark holds the marks of all feeds."""
        if feed.until_now:
            yield from self._passed(feed, marks, now)
            return
        mark: Mark = self._mark_of(feed, marks, now)
        if over := mark.pop("over", None):  # a job that was read to its end, and perhaps not deleted
            JobReader(self.client).forget(feed.object, over)
        if since is not None and mark and not mark["done"]:
            mark = self._sent_back(feed, mark, f"{since.isoformat()}T00:00:00Z")
        if mark.get("job") or self._is_far_behind(mark, since, now):
            yield from self._by_job(feed, marks, mark, since, now)
            mark = {key: value for key, value in marks.get(feed.name, mark).items() if key != "over"}
        yield from self._near(feed, marks, dict(mark), since, now)
        yield from self._far(feed, marks, dict(marks[feed.name]), now)

    def _mark_of(self, feed: Feed, marks: dict[str, Mark], now: datetime) -> Mark:
        limits = self.client.limits
        return grounded(renewed(marks.get(feed.name), limits), self.client.vendor_now(now), limits.late)

    def beginning(self, feed: Feed) -> Mark:
        """The first mark of a feed that begins now. To be set before any feed is read: rows are told by one clock."""
        if feed.until_now:
            return {"at": self.mapper.clock, "id": "", "done": True}
        clock, limits = parse.to_datetime(self.mapper.clock), self.client.limits
        rest, far = parse.format_instant(clock - limits.unsettled), parse.format_instant(clock - limits.late)
        return {"at": rest, "id": "", "done": True, "far": far}

    def _sent_back(self, feed: Feed, mark: Mark, since: str) -> Mark:
        """The mark of a read that was broken off, sent back to a day that is asked for again: once for each day.

        A first read goes no further back than it began.
        """
        if mark.get("since") == since:
            return mark  # this very read was broken off: it goes on
        begin = max(since, self._begin() or "") if mark.get("first") else since
        found = {**mark, "since": since}
        if mark.get("at"):  # a near read
            return found if str(mark["at"]) <= begin else found | {"at": begin, "id": ""}
        if not mark.get("lo") or str(mark["lo"]) <= begin:
            return found  # it begins there or earlier anyway, or is a job that does
        if mark.get("job"):
            JobReader(self.client).forget(feed.object, mark["job"])
        return found | {"lo": begin} | ({"job": {}} if "job" in mark else {})

    def cursor_of(self, feed: Feed) -> str:
        """The field that shows changes of an object. Raises StreamError where it has none."""
        if feed.cursor:
            return feed.cursor
        offer = self.schema.offer(feed.object)
        for name in _CURSORS:
            if offer.has(name):
                return name
        raise StreamError(f"Salesforce offers no date to read {feed.object} by.", mend="Check its field permissions.")

    # -- near and far ----------------------------------------------------------------------------------------------

    def _near(
        self, feed: Feed, marks: dict[str, Mark], mark: Mark, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """Everything from the mark on; afterwards the mark rests five minutes before the clock."""
        clock = self.client.vendor_now(now)
        before = dict(mark)
        is_first = not mark
        hi = parse.format_instant(clock)
        self.mapper.see_clock(hi)
        settled = parse.format_instant(clock - self.client.limits.late)
        if is_first or mark.get("at") is None:
            place = Place(mark.get("lo") or self._begin())
            mark = {"far": settled, **mark}
        elif mark["done"]:
            place = Place(_since(mark["at"], since))
            if self._is_far_due(mark, clock) and mark["at"] <= settled:
                # So long ago that far has to come here too: one read of both does.
                place.at = min(str(place.at), mark["far"])
                mark["far_to"] = settled
        elif mark["at"] > parse.format_instant(parse.to_datetime(mark["hi"]) - self.client.limits.unsettled):
            place = Place(parse.format_instant(parse.to_datetime(mark["hi"]) - self.client.limits.unsettled))
        else:
            place = Place(mark["at"], mark.get("id") or "")
        along = NO_LINES if is_first or mark.get("first") else ALL
        mark |= {"hi": hi, "done": False, "first": along is NO_LINES}
        window = Window(feed.object, self.cursor_of(feed), None, feed.also)
        held = Held()
        try:
            for page, total in self._pages(feed, window, place, along, now):
                yield from held.swap(page, marks, total)
                marks[feed.name] = mark | {"at": place.at, "id": place.id}
        except ConnectorError as error:
            yield from held.release(marks)
            if not isinstance(error, Short):
                raise
            shorts = int(before.get("short") or 0) + 1
            if shorts > _SHORTS:  # again and again: the count is wrong, not what came
                log.warning("%s: fewer records than counted", feed.object, extra={"action": "short"})
            else:
                again = {"at": None, "done": False, "hi": hi, "far": mark["far"], "first": True}
                marks[feed.name] = (before or again) | {"short": shorts}
                yield held.last(marks)
                raise
        rest = parse.format_instant(parse.to_datetime(hi) - self.client.limits.unsettled)
        done = {"at": rest, "id": "", "done": True, "far": max(mark["far"], mark.get("far_to") or "")}
        marks[feed.name] = _kept(mark, _REST if mark.get("far_to") else (*_REST, *_FAR)) | done
        yield held.last(marks)

    def _far(self, feed: Feed, marks: dict[str, Mark], mark: Mark, now: datetime) -> Iterator[Page]:
        """What is older than `limits.lag` since far was last here, once more; once an hour of the vendor's time."""
        clock = self.client.vendor_now(now)
        if "far_hi" in mark:
            place = Place(mark["far_at"], mark.get("far_id") or "")
        elif self._is_far_due(mark, clock):
            place = Place(mark["far"])
            mark["far_hi"] = parse.format_instant(clock - self.client.limits.late)
        else:
            return
        window = Window(feed.object, self.cursor_of(feed), mark["far_hi"], feed.also)
        rest = {"at": mark["at"], "id": "", "done": True}
        held = Held()
        try:
            for page, total in self._pages(feed, window, place, ALL, now):
                yield from held.swap(page, marks, total)
                marks[feed.name] = mark | {"far_at": place.at, "far_id": place.id}
        except ConnectorError as error:
            yield from held.release(marks)
            if not isinstance(error, Short):
                raise
            shorts = int(mark.get("far_short") or 0) + 1
            if shorts <= _SHORTS:
                marks[feed.name] = _kept(mark, _REST) | rest | {"far": mark["far"], "far_short": shorts}
                yield held.last(marks)
                raise
        marks[feed.name] = _kept(mark, _REST) | rest | {"far": mark["far_hi"]}
        yield held.last(marks)

    def _is_far_due(self, mark: Mark, clock: datetime) -> bool:
        return clock - self.client.limits.late - parse.to_datetime(mark["far"]) >= _FAR_EVERY

    def _passed(self, feed: Feed, marks: dict[str, Mark], now: datetime) -> Iterator[Page]:
        """What the cursor has passed by now, since `beginning` on the first read: other feeds brought it by then."""
        if not self.schema.offer(feed.object).has(self.cursor_of(feed)):
            return  # hidden just now: the mark waits until it is shown again
        moment = self.client.vendor_now(now)
        clock = parse.format_instant(moment)
        mark = grounded_passing(marks.get(feed.name) or self.beginning(feed), moment, self.client.limits.late)
        self.mapper.see_clock(clock)
        held = Held()
        back = self.client.limits.unsettled if mark.get("done") else timedelta()
        at = parse.format_instant(parse.to_datetime(mark["at"]) - back)
        place = Place(at, mark.get("id") or "")
        window = Window(feed.object, self.cursor_of(feed), clock, feed.also)
        try:
            for page, total in self._pages(feed, window, place, ALL, now):
                yield from held.swap(page, marks, total)
                marks[feed.name] = {"at": place.at, "id": place.id, "done": False}
        except ConnectorError:
            yield from held.release(marks)
            raise
        marks[feed.name] = {"at": clock, "id": "", "done": True}
        yield held.last(marks)

    def _pages(
        self, feed: Feed, window: Window, place: Place, along: With, now: datetime
    ) -> Iterator[tuple[Page, int]]:
        walker = Walker(self.client, self.schema)
        for rows, total in walker.walk(window, place, lambda: parse.format_instant(self.client.vendor_now(now))):
            page = self._mapped(feed, rows, window.by, along) if rows else None
            del rows  # as they came they take more memory than mapped, and the next ones are asked for meanwhile
            if page is not None:
                yield page, total

    def _mapped(self, feed: Feed, rows: Sequence[Row], by: str, along: With) -> Page:
        """What these rows make; of rows that hang on others, those they hang on, as they are now.

        A parent that is not found is not taken for gone: it may show later than what hangs on it.
        """
        if not feed.parent:
            return self.mapper.page(feed.object, rows, by, along)
        ids = {parse.salesforce_id(row[data.HANGING[feed.object]]) for row in rows}
        census = Census(self.client, self.schema, self.schema.table(feed.parent), self.bulk_from, self.start)
        begin = self._begin() or ""
        rows = census.rows_of(feed.parent, sorted(ids))
        found = [row for row in rows if not row.get(STAMP) or parse.instant(row[STAMP]) >= begin]
        return self.mapper.page(feed.parent, found, STAMP, along)

    # -- bulk ------------------------------------------------------------------------------------------------------

    def _is_far_behind(self, mark: Mark, since: date | None, now: datetime) -> bool:
        """Whether so much time is to be read that it is worth counting first: nothing is read yet, or days are."""
        if not mark:
            return True
        clock = self.client.vendor_now(now)
        if not mark.get("done") or (mark.get("rest_until") or "") > parse.format_instant(clock):
            return False
        return _since(min(mark["at"], mark["far"]), since) < parse.format_instant(clock - _MUCH_SINCE)

    def _by_job(
        self, feed: Feed, marks: dict[str, Mark], mark: Mark, since: date | None, now: datetime
    ) -> Iterator[Page]:
        """What is to be read by a bulk job, where it is much; the mark then rests as after a near read.

        Where it is not, or no job can be had, the mark is left for a near read to begin at.
        """
        cursor = self.cursor_of(feed)
        if not mark.get("job"):
            clock = self.client.vendor_now(now)
            begin = _since(min(mark["at"], mark["far"]), since) if mark else self._begin()
            if not self._is_much(feed, _conditions(cursor, begin, feed)):
                return
            far = parse.format_instant(clock - self.client.limits.late)
            mark = {"hi": parse.format_instant(clock), "far": far, "lo": begin, "job": {}, "first": not mark}
        conditions = _conditions(cursor, mark.get("lo"), feed)
        along = NO_LINES if mark.get("first") else ALL

        def soql() -> str:
            return Select(feed.object, self.schema.wanted(feed.object, cursor), conditions, cursor).unordered

        steps = JobReader(self.client).read(
            feed.object,
            soql,
            self.schema.types(feed.object),
            mark["job"],
            forget=lambda field: self.schema.forget(feed.object, field),
            now=now,
        )
        try:
            for step in steps:
                page = self._mapped(feed, step.rows, cursor, along) if step.rows else Page()
                if step.is_last:
                    rest = parse.format_instant(parse.to_datetime(mark["hi"]) - self.client.limits.unsettled)
                    marks[feed.name] = {"at": rest, "id": "", "done": True, "far": mark["far"], "over": step.position}
                elif step.position is not None:
                    marks[feed.name] = {**mark, "done": False, "job": step.position}
                else:
                    yield replace(page, total=step.total)
                    continue
                yield _with_bookmark(page, marks, step.total)
        except NoBulk as error:
            log.warning("%s: %s Reading it page by page.", feed.object, error, extra={"action": "bulk_refused"})
            until = parse.format_instant(parse.to_datetime(mark["hi"]) + REST_FOR)
            left = {key: value for key, value in mark.items() if key != "job"}
            marks[feed.name] = left | {"at": None, "done": False, "rest_until": until}
            yield _with_bookmark(Page(), marks, None)

    def _is_much(self, feed: Feed, conditions: tuple[str, ...]) -> bool:
        try:
            return self.client.count(count_of(feed.object, conditions)) >= self.bulk_from
        except TooMuch:
            return True  # too many to be counted in time

    def _begin(self) -> str | None:
        return f"{self.start.isoformat()}T00:00:00Z" if self.start else None


def _kept(mark: Mark, keys: tuple[str, ...]) -> Mark:
    return {key: mark[key] for key in keys if key in mark}


def _since(at: str, since: date | None) -> str:
    """Where to begin when everything from a day on is asked for again."""
    return min(at, f"{since.isoformat()}T00:00:00Z") if since else at


def _conditions(cursor: str, begin: str | None, feed: Feed) -> tuple[str, ...]:
    return (*((f"{cursor} >= {begin}",) if begin else ()), *feed.also)


def _with_bookmark(page: Page, marks: dict[str, Mark], total: int | None) -> Page:
    return replace(page, total=total, bookmark={"feeds": {name: dict(mark) for name, mark in marks.items()}})
