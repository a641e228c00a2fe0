"""Bulk API 2.0 query jobs: made, watched, their results read page by page; positions are the caller's to keep.

Jobs are handled by simple-salesforce's own client. Results are fetched here: it holds three copies of a page and
fails where the count header is missing.
"""

import csv
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors import parse
from connectors.errors import ConnectorError, NotReadable, RateLimited, StreamError, TransientError
from connectors.salesforce.client import SalesforceClient
from connectors.salesforce.errors import UnknownField
from connectors.salesforce.query import Row

log = logging.getLogger(__name__)

#: Rows of one page of results: two or three MB, and what a crash makes us read again. Several streams hold one at once.
PAGE_ROWS = 5_000
_RUNNING = ("Open", "UploadComplete", "InProgress")
_LONGEST_TEXT = 16 * 1024 * 1024  # csv refuses more than 131,072 by itself, and a long text area may have that many

Convert = Callable[[str], Any]


class NoBulk(StreamError):
    """This query cannot be read by a job: read it another way."""


class LostJob(StreamError):
    """The job or its results are gone or of no use: another job may do."""


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands: running, done, or over without results (`reason`)."""

    is_done: bool
    is_over: bool
    rows: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A page of results as it came, the rows it should have (None: not said), and where the next page begins."""

    body: bytes
    rows: int | None
    locator: str


class BulkJobs:
    """Query jobs of one org. Safe to share between threads."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client

    def make(self, name: str, soql: str) -> str:
        """The id of a new job. Raises NoBulk where the org takes none for this object, or no more today."""

        def create(sdk: Any) -> Any:
            return _of(sdk, name).create_job("queryAll", query=soql)

        try:
            reply = self._client.call(create)
        except (UnknownField, RateLimited):
            raise
        except StreamError as error:  # unsupported object or query, the day's jobs or storage used up
            raise NoBulk(f"Salesforce takes no bulk job for {name}. {error.message}") from None
        job_id = reply.get("id") if isinstance(reply, dict) else None
        if not isinstance(job_id, str) or not job_id.isalnum():
            raise TransientError("Salesforce made a bulk job without an id.")
        return job_id

    def state(self, name: str, job_id: str) -> JobState:
        """Raises LostJob where the org no longer knows the job."""

        def read(sdk: Any) -> Any:
            return _of(sdk, name).get_job(job_id, True)

        try:
            reply = self._client.call(read)
        except NotReadable:
            raise LostJob(f"Salesforce no longer has the bulk job for {name}.") from None
        state = reply.get("state") if isinstance(reply, dict) else None
        if not isinstance(state, str):
            raise TransientError("Salesforce answered a bulk job without its state.")
        rows = reply.get("numberRecordsProcessed")
        known = rows if isinstance(rows, int) and not isinstance(rows, bool) else None
        return JobState(state == "JobComplete", state not in (*_RUNNING, "JobComplete"), known, state)

    def results(self, job_id: str, locator: str) -> ResultPage:
        """One page of results. Raises LostJob where they have expired or the position is unknown."""
        query: dict[str, Any] = {"maxRecords": PAGE_ROWS} | ({"locator": locator} if locator else {})
        try:
            response = self._client.send("GET", f"jobs/query/{job_id}/results", accept="text/csv", **query)
        except TransientError:
            raise
        except StreamError as error:
            raise LostJob(f"The results of a bulk job cannot be had. {error.message}") from None
        kind = response.headers.get("Content-Type", "")
        if kind and "csv" not in kind.lower():
            raise TransientError("Salesforce answered bulk results with something else.")
        said = response.headers.get("Sforce-NumberOfRecords", "").strip()
        following = response.headers.get("Sforce-Locator", "").strip()
        return ResultPage(
            response.content, int(said) if said.isdecimal() else None, "" if following == "null" else following
        )

    def drop(self, name: str, job_id: str, *, is_running: bool = False) -> None:
        """Abort and delete a job, as far as Salesforce lets us: results are kept, and count, for a week."""
        with suppress(ConnectorError):
            if is_running:
                self._client.call(lambda sdk: _of(sdk, name).abort_job(job_id, True))
        with suppress(ConnectorError):
            self._client.send("DELETE", f"jobs/query/{job_id}")

    def strays(self, name: str, since: datetime) -> list[tuple[str, str]]:
        """Query jobs of our user on this object made since then, newest page only: (id, query text or "").

        A job nobody noted down is among them, and so may be other programs' jobs: Salesforce gives no mark of our own
        to put on a job, and need not say what its query is.
        """
        if not self._client.user_id:
            return []
        try:
            reply = self._client.send("GET", "jobs/query", jobType="V2Query").json()
        except StreamError:
            return []
        found = []
        for job in reply.get("records") or () if isinstance(reply, dict) else ():
            made_at = parse.instant_or_none(job.get("createdDate"))
            may_be = job.get("object") == name and job.get("operation") == "queryAll"
            may_be = may_be and str(job.get("createdById") or "")[:15] == self._client.user_id[:15]
            if may_be and made_at is not None and made_at >= parse.format_instant(since):
                found.append((str(job.get("id")), str(job.get("query") or "")))
        return found

    def columns(self, job_id: str) -> frozenset[str]:
        """The names of the columns of a job's results, in lower case; none where there are no results."""
        try:
            response = self._client.send("GET", f"jobs/query/{job_id}/results", accept="text/csv", maxRecords=1)
        except ConnectorError:
            return frozenset()
        line = response.content.partition(b"\n")[0].decode("utf-8", "ignore")
        return frozenset(name.strip().strip('"').lower() for name in line.split(","))


def rows_of(body: bytes, types: Mapping[str, str]) -> Iterator[Row]:
    """Rows of a page of results in the shape REST gives: values by type, empty as null, parents as objects.

    `types` are Salesforce's own words for the fields' types. Raises TransientError for a row of another length.
    """
    csv.field_size_limit(_LONGEST_TEXT)
    # Decoded piece by piece as it is read: a page as text, in memory that is read as a file, takes ten times its size.
    text = io.TextIOWrapper(io.BytesIO(body.replace(b"\x00", b"")), "utf-8", "ignore", newline="")
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, None)
        if not header:
            return
        converts = [_CONVERTS.get(types.get(name, "")) for name in header]
        plain = [(at, name, convert) for at, (name, convert) in enumerate(zip(header, converts, strict=True))]
        nested = [(at, name.split(".")) for at, name, _ in plain if "." in name]
        flat = [one for one in plain if "." not in one[1]]
        for line in reader:
            if len(line) != len(header):
                raise TransientError("A bulk result is cut short.")
            row: Row = {}
            for at, name, convert in flat:
                value = line[at]
                row[name] = None if value == "" else value if convert is None else convert(value)
            for at, path in nested:
                if line[at]:
                    parent = row
                    for name in path[:-1]:
                        parent = parent.setdefault(name, {})
                    parent[path[-1]] = line[at]
            yield row
    except csv.Error:
        raise TransientError("A bulk result is not whole.") from None


def _number(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


_CONVERTS: Mapping[str, Convert] = {
    "boolean": lambda value: value.lower() == "true",
    "int": _number,
    "double": _number,
    "currency": _number,
    "percent": _number,
}


def _of(sdk: Any, name: str) -> Any:
    return getattr(sdk.bulk2, name)._client
