"""Reads one large query by a bulk job that a crash at any point cannot lose: its position is handed out with each step.

The position is `{"asked", "id", "locator", "read", "tries"}`; it is told before the job is made (an intent: a job that
nobody noted down is found by its time), before the first look at it, and with every page of results.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from connectors import parse
from connectors.errors import ConnectorError, TransientError
from connectors.salesforce.bulk import BulkJobs, LostJob, NoBulk, rows_of
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import UnknownField
from connectors.salesforce.query import Row
from connectors.tally import note_bulk

log = logging.getLogger(__name__)

Position = dict[str, Any]

#: Rows handed on at once: a page of results is larger than what should be held as records. Twice as many as are asked
#: for in one call where something belongs to them.
SLICE = 800
_TRIES = 2  # jobs for one read: after the second the rows are read by REST
_PAGE_TRIES = 3  # asks for a page of results whose count is wrong
_LONGEST_LOOK_S = 20.0
_LOOKS = 3  # at a job that may be ours or not
_STUCK_CALLS = 3  # a job that does not move for the time of so many longest calls is stuck


@dataclass(frozen=True, slots=True)
class Step:
    """Rows to commit and the position that goes with them (None: the rest of the page is to come).

    The last one's position is only good for `forget`: a crash before the job is deleted must not leave it behind.
    """

    rows: list[Row]
    position: Position | None
    total: int | None = None
    is_last: bool = False


@dataclass(slots=True)
class JobReader:
    """Reads jobs of one org. Not shared between threads."""

    client: SalesforceClient
    clock: Callable[[], float] = time.monotonic
    jobs: BulkJobs = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = BulkJobs(self.client)

    def read(
        self,
        name: str,
        soql: Callable[[], str],
        types: Mapping[str, str],
        position: Position,
        *,
        forget: Callable[[str], bool],
        now: datetime,
    ) -> Iterator[Step]:
        """All rows of a query, from `position` ({}: from the beginning). Raises NoBulk where it cannot be done so.

        The caller commits each step's rows together with its position. `soql` is asked for at each new job; `forget`
        takes the name of a field the org refuses, and says whether the query is another one without it.
        """
        place = dict(position)
        suspects: list[str] = []
        if place.get("asked") and not place.get("id"):
            suspects = self._drop_strays(name, place, soql())
        while True:
            if not place.get("id"):
                if not place.get("asked"):
                    place = {"asked": parse.format_instant(self.client.vendor_now(now)), "tries": 0}
                    yield Step([], dict(place))
                try:
                    place |= {"id": self.jobs.make(name, soql()), "locator": "", "read": 0}
                except UnknownField as error:
                    if not forget(error.field):
                        raise NoBulk(error.message) from None
                    continue
                yield Step([], dict(place))
            try:
                total = self._wait(name, place["id"])
                note_bulk()
                yield from self._results(place, types, total)
                break
            except LostJob as error:
                log.warning("%s: %s", name, error, extra={"action": "bulk_lost"})
                self.jobs.drop(name, place["id"], is_running=True)
                if place.get("tries", 0) + 1 >= _TRIES:
                    raise NoBulk(f"Bulk jobs for {name} do not come to an end.") from None
                place |= {"id": "", "locator": "", "read": 0, "tries": place.get("tries", 0) + 1}
        self.jobs.drop(name, place["id"])
        for job_id in suspects:  # by now it is done as well, and its results tell what was asked
            if self._is_same(name, job_id, soql()):
                self.jobs.drop(name, job_id)

    def forget(self, name: str, position: Mapping[str, Any]) -> None:
        """Let go of a job whose results are no longer wanted."""
        if position.get("id"):
            self.jobs.drop(name, str(position["id"]), is_running=True)

    def _wait(self, name: str, job_id: str) -> int | None:
        """The rows of a finished job. Raises LostJob when it failed, or stands still."""
        patience = self.client.retry.patience
        nap_s = min(patience.first_s, _LONGEST_LOOK_S)
        longest_s = min(max(patience.cap_s, nap_s), _LONGEST_LOOK_S)
        stuck_s = self.client.timeouts.total_s * _STUCK_CALLS
        seen: tuple[str, int | None] | None = None
        moved_at = self.clock()
        while True:
            state = self.jobs.state(name, job_id)
            if state.is_done:
                return state.rows
            if state.is_over:
                raise LostJob(f"The bulk job for {name} ended as {state.reason[:20]}.")
            if (state.reason, state.rows) != seen:
                seen, moved_at = (state.reason, state.rows), self.clock()
            elif self.clock() - moved_at > stuck_s:
                raise LostJob(f"The bulk job for {name} stands still.")
            self.client.wait(nap_s, f"Salesforce is working on a bulk job for {name}.")
            nap_s = min(nap_s * 1.5, longest_s)

    def _results(self, place: Position, types: Mapping[str, str], total: int | None) -> Iterator[Step]:
        """Page after page; the position moves with the last slice of each. Raises LostJob when rows are missing."""
        locators = {place["locator"]} - {""}
        while True:
            rows, count, locator = yield from self._page(place, types, total)
            place |= {"locator": locator, "read": place["read"] + count}
            if not locator:
                if total is not None and place["read"] != total:
                    raise LostJob(f"A bulk job brought {place['read']} of {total} rows.")
                yield Step(rows, dict(place), total, is_last=True)
                return
            if locator in locators:
                raise LostJob("A bulk job keeps sending the same page.")
            locators.add(locator)
            yield Step(rows, dict(place), total)

    def _page(
        self, place: Position, types: Mapping[str, str], total: int | None
    ) -> Generator[Step, None, tuple[list[Row], int, str]]:
        """One page of results in slices; its last slice, its rows and the next locator, once it proved whole.

        A page that is cut short, or does not hold as many rows as its header says, is asked for again.
        """
        for _ in range(_PAGE_TRIES):
            page = self.jobs.results(place["id"], place["locator"])
            rows = rows_of(page.body, types)
            count, pending = 0, list[Row]()
            try:
                while part := list(islice(rows, SLICE)):
                    if pending:
                        yield Step(pending, None, total)
                    pending, count = part, count + len(part)
            except TransientError:
                continue
            if page.rows is None or page.rows == count:
                return pending, count, page.locator
        raise LostJob("A page of bulk results does not hold the rows it promises.")

    def _is_same(self, name: str, job_id: str, soql: str) -> bool:
        """Whether a job has the columns of this query; one that is not done after a few looks does not tell."""
        nap_s = min(self.client.retry.patience.first_s, _LONGEST_LOOK_S)
        try:
            for _ in range(_LOOKS):
                state = self.jobs.state(name, job_id)
                if state.is_done:
                    return self.jobs.columns(job_id) == _columns_of(soql)
                if state.is_over:
                    return False
                self.client.wait(nap_s, f"Salesforce is working on a bulk job for {name}.")
        except ConnectorError:
            return False
        return False

    def _drop_strays(self, name: str, place: Mapping[str, Any], soql: str) -> list[str]:
        """Delete the job of ours that nobody noted down: the answer that named it was lost.

        The user may run other programs' jobs: only one of our own query is ours. Hands out those that do not tell yet.
        """
        unclear = []
        for job_id, query in self.jobs.strays(name, parse.to_datetime(place["asked"])):
            if query == soql:
                self.jobs.drop(name, job_id, is_running=True)
            elif not query:
                unclear.append(job_id)
        return unclear


def _columns_of(soql: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in soql.partition(" FROM ")[0].removeprefix("SELECT ").split(","))
