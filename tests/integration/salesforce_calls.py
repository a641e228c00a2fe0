"""Calls of the sandbox's Salesforce as a plain HTTP client makes them, for the tests of the sandbox itself."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import requests

from syncagent.sandbox.generate import generate
from syncagent.sandbox.salesforce.server import CLIENT_ID, CLIENT_SECRET, SalesforceServer

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
DATA = "/services/data/v66.0"


class Caller:
    """A logged-in client of one server; `get` and the rest return the plain response."""

    def __init__(self, server: SalesforceServer) -> None:
        self.server = server
        self.http = requests.Session()
        self.log_in()

    def anew(self) -> Self:
        """The same server over a fresh small company, as if just started."""
        self.server.reset(generate(7, AS_OF, size="tiny"))
        self.log_in()
        return self

    def log_in(self) -> str:
        form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        reply = requests.post(f"{self.server.url}/services/oauth2/token", data=form, timeout=5)
        token = str(reply.json()["access_token"])
        self.http.headers["Authorization"] = "Bearer " + token
        return token

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.http.request(method, self.server.url + (path if "/services/" in path else DATA + path), **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, timeout=5, **more)

    def query(self, soql: str, *, everything: bool = True, **headers: str) -> requests.Response:
        return self.get("/queryAll" if everything else "/query", params={"q": soql}, headers=headers)

    def rows(self, soql: str, *, everything: bool = True) -> list[dict[str, Any]]:
        """All records of a query, page by page."""
        page = self.query(soql, everything=everything).json()
        found: list[dict[str, Any]] = page["records"]
        while not page["done"]:
            page = self.get(page["nextRecordsUrl"]).json()
            found += page["records"]
        return found

    def error(self, reply: requests.Response) -> tuple[int, str]:
        return reply.status_code, reply.json()[0]["errorCode"]

    # -- in bulk -------------------------------------------------------------------------------------------------------

    def make_job(self, soql: str, **more: Any) -> requests.Response:
        return self.call("POST", "/jobs/query", json={"operation": "queryAll", "query": soql} | more, timeout=5)

    def state(self, job: str) -> str:
        return str(self.get(f"/jobs/query/{job}").json()["state"])

    def finished_job(self, soql: str, **more: Any) -> str:
        """A job of which the polls so far have brought the end, whatever it is."""
        job = str(self.make_job(soql, **more).json()["id"])
        for _ in range(10):
            if self.state(job) in ("JobComplete", "Failed", "Aborted"):
                break
        return job

    def results(self, job: str, **params: Any) -> requests.Response:
        return self.get(f"/jobs/query/{job}/results", params=params)


def table(reply: requests.Response) -> list[list[str]]:
    """The lines of a CSV answer."""
    return list(csv.reader(io.StringIO(reply.content.decode(), newline="")))


@contextmanager
def running() -> Iterator[Caller]:
    """A server over a small company, and a client of it."""
    server = SalesforceServer(generate(7, AS_OF, size="tiny"))
    server.start()
    try:
        caller = Caller(server)
        yield caller
        caller.http.close()
    finally:
        server.stop()
