"""Answers of the sandbox's Salesforce to queries: pages and their locators, ids deleted and updated."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request

from syncagent.sandbox.clock import DAY, moment, sf_instant
from syncagent.sandbox.salesforce.errors import Refusal, refusal
from syncagent.sandbox.salesforce.limits import Limits
from syncagent.sandbox.salesforce.plan import Plan
from syncagent.sandbox.salesforce.soql import Query, SoqlError, parse
from syncagent.sandbox.salesforce.store import Row, Store

LOCATOR_DAYS = 2


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A result as it was when it was asked for: later edits do not change it."""

    plan: Plan
    rows: Sequence[Row]
    size: int
    opened: int


class Queries:
    """Runs queries over the rows shown. `now` is the company's clock."""

    def __init__(self, rows: Store, limits: Limits, now: Callable[[], int]) -> None:
        self._rows = rows
        self._limits = limits
        self._now = now
        self._cursors: dict[str, _Cursor] = {}

    def plan(self, query: Query, *, include_deleted: bool, version: str) -> Plan:
        return Plan(query, self._rows, include_deleted=include_deleted, now=self._now(), version=version)

    def expire(self) -> None:
        """Every open locator dies."""
        self._cursors.clear()

    def run(self, request: Request, *, include_deleted: bool) -> dict[str, Any]:
        """The first page of a query. Raises Refusal."""
        version = str(request.path_params["version"])
        query = parse(request.query_params.get("q", ""))
        plan = self.plan(query, include_deleted=include_deleted, version=version)
        if query.is_count and not query.group_by:
            return {"totalSize": len(plan.rows()), "done": True, "records": []}
        if query.aggregates or query.group_by:
            groups = plan.aggregate()
            if len(groups) > 2000:
                raise SoqlError("EXCEEDED_ID_LIMIT", "Aggregate query does not support queryMore(), use LIMIT")
            return {"totalSize": len(groups), "done": True, "records": groups}
        rows = plan.rows()
        self._limits.check_query(plan.sobject, len(rows))
        size = self._page_size(request)
        locator = f"01g{len(self._cursors):012d}AAA"
        if len(rows) > size:
            self._cursors[locator] = _Cursor(plan, rows, size, self._now())
        return _page(version, plan, rows, 0, size, locator)

    def more(self, request: Request) -> dict[str, Any]:
        """A later page: its locator lives two days. Raises Refusal."""
        name, _, start = str(request.path_params["locator"]).rpartition("-")
        cursor = self._cursors.get(name)
        if cursor is None or not start.isdigit() or self._now() > cursor.opened + LOCATOR_DAYS * DAY:
            raise refusal("lost_cursor")
        version = str(request.path_params["version"])
        return _page(version, cursor.plan, cursor.rows, int(start), cursor.size, name)

    def _page_size(self, request: Request) -> int:
        asked = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
        wanted = min(max(int(asked[1]), 200), 2000) if asked else 2000
        return min(wanted, self._limits.page_rows)

    # -- the replication calls -------------------------------------------------------------------------------------

    def deleted(self, request: Request, sobject: str) -> dict[str, Any]:
        start, end = self._window(request)
        rows = [
            r for r in self._rows.tables[sobject].values() if r.get("IsDeleted") and start <= r["SystemModstamp"] <= end
        ]
        return {
            "deletedRecords": [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows],
            "earliestDateAvailable": sf_instant(self._now() - 15 * DAY),
            "latestDateCovered": self._covered(),
        }

    def updated(self, request: Request, sobject: str) -> dict[str, Any]:
        start, end = self._window(request)
        rows = self._rows.tables[sobject].values()
        ids = [r["Id"] for r in rows if not r.get("IsDeleted") and start <= r["SystemModstamp"] <= end]
        return {"ids": ids, "latestDateCovered": self._covered()}

    def _covered(self) -> str:
        return moment(self._now()).strftime("%Y-%m-%dT%H:%M:00.000+0000")

    def _window(self, request: Request) -> tuple[str, str]:
        try:
            bounds = [datetime.fromisoformat(request.query_params[name].replace(" ", "+")) for name in ("start", "end")]
            start, end = (int(bound.timestamp()) for bound in bounds if bound.tzinfo is not None)
        except (KeyError, ValueError):
            raise SoqlError("INVALID_REPLICATION_DATE", "start and end must be dates with a time zone") from None
        if start < self._now() - 30 * DAY:
            raise SoqlError("INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        return sf_instant(start), sf_instant(end)


def _page(version: str, plan: Plan, rows: Sequence[Row], start: int, size: int, locator: str) -> dict[str, Any]:
    if start >= len(rows) and start:
        raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    end = start + size
    body: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows)}
    if end < len(rows):
        body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
    body["records"] = [plan.shape(row) for row in rows[start:end]]
    return body
