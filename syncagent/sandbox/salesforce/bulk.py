"""Bulk API 2.0 query jobs of the sandbox's Salesforce: made, polled, read page by page, aborted, deleted, failing.

A job runs on the rows there were when it was made: what changes while it runs is in the next one.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from syncagent.sandbox.clock import DAY, sf_instant
from syncagent.sandbox.ids import to_18
from syncagent.sandbox.salesforce import bulk_csv
from syncagent.sandbox.salesforce.errors import Refusal, refusal
from syncagent.sandbox.salesforce.plan import Plan
from syncagent.sandbox.salesforce.soql import SoqlError, parse
from syncagent.sandbox.salesforce.store import Row

RESULTS_KEPT_DAYS = 7
DAILY_JOBS = 10_000
_COMPOUND = ("address", "location")
#: Objects the real one refuses in bulk though it answers queries about them.
_UNSUPPORTED = ("CaseStatus", "OrderStatus", "TaskStatus", "ContractStatus")
#: What a fault may do to a job: see `BulkFault`.
KINDS = (
    "failed", "aborted", "stuck", "partial", "count_wrong", "count_missing", "short", "expired", "limit",
    "unsupported", "unauthorised",
)  # fmt: skip


@dataclass(slots=True)
class BulkFault:
    """What goes wrong with the next job over `sobject` (empty: any), `times` times (None: until cleared).

    `failed` · `aborted` (by an admin) · `stuck` (InProgress for ever) · `partial` (some pages are served, then the
    job is Failed: `after` pages) · `count_wrong`, `count_missing` (the header with the number of records) · `short`
    (a page lacks its last row, the header counts it) · `expired` (results 404 after `after` pages) · `limit`,
    `unsupported` (refused when asked for) · `unauthorised` (401 once, after `after` pages).
    """

    kind: str
    sobject: str = ""
    times: int | None = 1
    after: int = 1
    hits: int = 0


@dataclass(slots=True)
class Job:
    """One query job. `rows` are what it found; `pages` how many result pages were served."""

    id: str
    operation: str
    query: str
    sobject: str
    created: int
    version: str
    delimiter: str
    ending: str
    rows: Sequence[Row]
    names: list[str]
    columns: list[tuple[bulk_csv.Get, str]]
    polls_left: int
    state: str = "UploadComplete"
    error: str = ""
    pages: int = 0
    polls: int = 0
    processed: int = 0
    fault: BulkFault | None = None
    expired: bool = field(default=False)


class BulkJobs:
    """The jobs of an org. `polls_needed`: how many polls find a job unfinished; `daily_jobs`: how many a day."""

    def __init__(self, plan: Callable[..., Plan], now: Callable[[], int], user_id: Callable[[], str]) -> None:
        self._plan = plan
        self._now = now
        self._user_id = user_id
        self.jobs: dict[str, Job] = {}
        self.polls_needed = 1
        self.daily_jobs = DAILY_JOBS
        self.unsupported = set(_UNSUPPORTED)
        self.page_rows = 50_000  # without maxRecords; never more at once
        self.created = 0
        self.aborted = 0
        self.deleted = 0
        self._days: list[int] = []
        self._faults: list[BulkFault] = []

    def fault(self, kind: str, *, sobject: str = "", times: int | None = 1, after: int = 1) -> BulkFault:
        """Let the next job over an object go wrong: see `BulkFault`."""
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}")
        made = BulkFault(kind, sobject, times, after)
        self._faults.append(made)
        return made

    def clear_faults(self) -> None:
        self._faults.clear()

    @property
    def left_today(self) -> int:
        now = self._now()
        self._days = [at for at in self._days if at > now - DAY]
        return self.daily_jobs - len(self._days)

    # -- making one ------------------------------------------------------------------------------------------------

    def create(self, asked: Any, version: str) -> dict[str, Any]:
        """POST /jobs/query. Raises Refusal."""
        if not isinstance(asked, dict) or asked.get("operation") not in ("query", "queryAll"):
            raise Refusal(400, "INVALIDJOB", "Unable to parse Job")
        delimiter, ending = asked.get("columnDelimiter", "COMMA"), asked.get("lineEnding", "LF")
        if delimiter not in bulk_csv.DELIMITERS or ending not in bulk_csv.ENDINGS:
            raise Refusal(400, "INVALIDJOB", "columnDelimiter or lineEnding is not supported")
        if self.left_today <= 0:
            raise refusal("job_limit")
        plan = self._check(str(asked.get("query") or ""), asked["operation"] == "queryAll", version)
        fault = self._strike(plan.sobject)
        if fault and fault.kind == "limit":
            raise refusal("job_limit")
        if plan.sobject in self.unsupported or (fault and fault.kind == "unsupported"):
            raise refusal("bulk_unsupported", f"Entity '{plan.sobject}' is not supported by the Bulk API.")
        self.created += 1
        self._days.append(self._now())
        columns = plan.columns()
        job = Job(
            id=to_18(f"750J8000000{self.created:04d}"),
            operation=asked["operation"],
            query=str(asked["query"]),
            sobject=plan.sobject,
            created=self._now(),
            version=version,
            delimiter=delimiter,
            ending=ending,
            rows=plan.rows(),
            names=[name for name, _, _ in columns],
            columns=[(get, kind) for _, get, kind in columns],
            polls_left=self.polls_needed,
            fault=fault,
        )
        self.jobs[job.id] = job
        return self._about(job)

    def _check(self, text: str, include_deleted: bool, version: str) -> Plan:
        """The plan of a query bulk takes: no aggregate, GROUP BY, OFFSET, compound field."""
        query = parse(text)
        if query.aggregates or query.group_by:
            raise SoqlError(
                "FUNCTIONALITY_NOT_ENABLED",
                "Aggregate Relationships not supported in Bulk V2 Query with CSV content type.",
            )
        if query.offset:
            raise SoqlError("FUNCTIONALITY_NOT_ENABLED", "OFFSET not supported in Bulk Query")
        plan = self._plan(query, include_deleted=include_deleted, version=version)
        if any(kind in _COMPOUND for _, _, kind in plan.columns()):
            raise SoqlError("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")
        return plan

    def _strike(self, sobject: str) -> BulkFault | None:
        for fault in self._faults:
            if fault.sobject in ("", sobject) and (fault.times is None or fault.hits < fault.times):
                fault.hits += 1
                return fault
        return None

    # -- looking after it ------------------------------------------------------------------------------------------

    def info(self, job_id: str) -> dict[str, Any]:
        """GET /jobs/query/{id}: each look moves the job on. Raises Refusal."""
        job = self._find(job_id)
        self._advance(job)
        return self._about(job)

    def _advance(self, job: Job) -> None:
        if job.state not in ("UploadComplete", "InProgress"):
            return
        job.polls += 1
        if job.polls_left > 0 or (job.fault and job.fault.kind == "stuck"):
            job.polls_left -= 1
            job.state = "InProgress"
            job.processed = len(job.rows) // 2
            return
        kind = job.fault.kind if job.fault else ""
        if kind == "failed":
            job.state, job.error = "Failed", "TXN_SECURITY_METERING_ERROR: the query failed after 15 retries"
        elif kind == "aborted":
            job.state = "Aborted"
        else:
            job.state, job.processed = "JobComplete", len(job.rows)

    def all(self) -> dict[str, Any]:
        """GET /jobs/query: every job, newest first."""
        return {
            "done": True,
            "records": [self._about(job) for job in reversed(self.jobs.values())],
            "nextRecordsUrl": None,
        }

    def change(self, job_id: str, asked: Any) -> dict[str, Any]:
        """PATCH /jobs/query/{id} with state Aborted. Raises Refusal."""
        job = self._find(job_id)
        if not isinstance(asked, dict) or asked.get("state") != "Aborted":
            raise Refusal(400, "INVALIDJOBSTATE", "A query job can only be set to Aborted")
        if job.state not in ("UploadComplete", "InProgress"):
            raise Refusal(400, "INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed")
        job.state = "Aborted"
        self.aborted += 1
        return self._about(job)

    def delete(self, job_id: str) -> None:
        """DELETE /jobs/query/{id}: only of a job that has ended. Raises Refusal."""
        job = self._find(job_id)
        if job.state in ("UploadComplete", "InProgress"):
            raise Refusal(400, "INVALIDJOBSTATE", f"Deleting {job.state} Job not allowed")
        del self.jobs[job.id]
        self.deleted += 1

    def _find(self, job_id: str) -> Job:
        job = self.jobs.get(job_id if len(job_id) != 15 else to_18(job_id))
        if job is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        return job

    # -- its results -----------------------------------------------------------------------------------------------

    def results(self, job_id: str, max_records: str, locator: str) -> tuple[bytes, dict[str, str]]:
        """GET /jobs/query/{id}/results: one page as CSV, with the headers that go with it. Raises Refusal."""
        job = self._find(job_id)
        fault, kind = job.fault, job.fault.kind if job.fault else ""
        if job.state != "JobComplete":
            raise Refusal(400, "INVALIDJOBSTATE", f"Invalid job state, current state: {job.state}")
        if self._now() > job.created + RESULTS_KEPT_DAYS * DAY or job.expired:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        if fault and job.pages >= fault.after:
            if kind == "expired":
                job.expired = True
                raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
            if kind == "partial":
                job.state, job.error = "Failed", "QUERY_TIMEOUT: Your query request was running for too long."
                raise Refusal(400, "INVALIDJOBSTATE", "Invalid job state, current state: Failed")
            if kind == "unauthorised":
                job.fault = None
                raise refusal("session")
        start = _offset(locator)
        size = min(int(max_records), self.page_rows) if max_records.isdigit() and int(max_records) else self.page_rows
        rows = job.rows[start : start + size]
        end = start + len(rows)
        job.pages += 1
        headers = {
            "Sforce-Locator": _locator(end) if end < len(job.rows) else "null",
            "Sforce-NumberOfRecords": str(len(rows)),
        }
        if kind == "count_wrong":
            headers["Sforce-NumberOfRecords"] = str(len(rows) + 7)
        elif kind == "count_missing":
            del headers["Sforce-NumberOfRecords"]
        elif kind == "short":
            rows = rows[:-1]
        how = {"delimiter": job.delimiter, "ending": job.ending}
        text = bulk_csv.header(job.names, **how) + bulk_csv.body(rows, job.columns, **how)
        return text.encode("utf-8", "replace"), headers

    def _about(self, job: Job) -> dict[str, Any]:
        about: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.sobject,
            "createdById": self._user_id(),
            "createdDate": sf_instant(job.created),
            "systemModstamp": sf_instant(max(job.created, self._now()) if job.polls else job.created),
            "state": job.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.ending,
            "columnDelimiter": job.delimiter,
        }
        if job.polls or job.state != "UploadComplete":
            about |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": job.processed,
                "retries": 15 if job.state == "Failed" else 0,
                "totalProcessingTime": 10 * job.polls,
                "isPkChunkingSupported": True,
            }
        if job.error:
            about["errorMessage"] = job.error
        return about


def _locator(place: int) -> str:
    """A page's mark as the vendor spells it: a number in base 64."""
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def _offset(locator: str) -> int:
    if not locator:
        return 0
    try:
        return int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
    except ValueError:
        raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from None
