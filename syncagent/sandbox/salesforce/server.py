"""The sandbox's Salesforce: logins, queries over REST and in bulk, describe, limits, deleted and updated ids."""

import json
from collections.abc import Awaitable, Callable, Iterable
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from syncagent.sandbox.clock import moment
from syncagent.sandbox.company import Company
from syncagent.sandbox.faults import Fault
from syncagent.sandbox.http import LoopbackServer
from syncagent.sandbox.model import Entity
from syncagent.sandbox.salesforce.bulk import DAILY_JOBS, BulkJobs
from syncagent.sandbox.salesforce.errors import ERRORS, Refusal
from syncagent.sandbox.salesforce.fixed import ORG_ID
from syncagent.sandbox.salesforce.limits import NEWEST, OLDEST, Limits, TooLong
from syncagent.sandbox.salesforce.login import CLIENT_ID as CLIENT_ID
from syncagent.sandbox.salesforce.login import CLIENT_SECRET as CLIENT_SECRET
from syncagent.sandbox.salesforce.login import INSTANCE_URL as INSTANCE_URL
from syncagent.sandbox.salesforce.login import PASSWORD as PASSWORD
from syncagent.sandbox.salesforce.login import SECURITY_TOKEN as SECURITY_TOKEN
from syncagent.sandbox.salesforce.login import USERNAME as USERNAME
from syncagent.sandbox.salesforce.login import Login
from syncagent.sandbox.salesforce.queries import Queries
from syncagent.sandbox.salesforce.schema import Schema
from syncagent.sandbox.salesforce.shown import Shown
from syncagent.sandbox.salesforce.store import Store

VERSIONS = [f"{number}.0" for number in range(OLDEST, NEWEST + 1)]
_BODY, _MARK = "sandbox.body", "sandbox.mark"
Answerer = Callable[[Request], Response]
Handler = Callable[[Request], Awaitable[Response]]


class SalesforceServer(LoopbackServer):
    """Salesforce on loopback over one company. `public_key` (PEM) lets the JWT login in.

    `schema`, `limits`, `login`, `bulk`, `shown` hold what a test may change while the server runs; `faults` (of the
    wire) and `refuse` (an error by name) say what goes wrong. `reset` makes all of it new.
    """

    def __init__(self, company: Company, *, public_key: bytes | None = None, daily_limit: int = 100_000) -> None:
        self._public_key = public_key
        self._daily_limit = daily_limit
        super().__init__(self._routes(), clock=lambda: self._company.now)
        self._begin(company)

    def _begin(self, company: Company) -> None:
        self._company = company
        self.schema = Schema(lambda: self._company.now)
        self.limits = Limits(lambda: self._company.now, daily_limit=self._daily_limit)
        self.login = Login(company, public_key=self._public_key)
        with company.lock:
            self.shown = Shown(company, self.schema)
        self.queries = Queries(self.shown.rows, self.limits, lambda: self._company.now)
        self.bulk = BulkJobs(self.queries.plan, lambda: self._company.now, lambda: self.login.admin_id)

    # -- for tests -------------------------------------------------------------------------------------------------

    def reset(self, company: Company) -> None:
        """Show another company from now on; everything else is as in a new server, but the address."""
        self.forget()
        self._begin(company)

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now."""
        with self._company.lock:
            self.shown.refresh(entities)

    def hide_until(self, entity: Entity, at: int) -> None:
        """A late commit: all reads show the record as it was (or not at all) until the company's clock is at `at`."""
        with self._company.lock:
            self.shown.hide_until(entity, at)

    def release(self) -> None:
        """Show what has become visible by now (every call does so first)."""
        with self._company.lock:
            self.shown.release()

    def refresh_fixed(self) -> None:
        """Show labels, stages, roles and rates as they are now."""
        self.release()

    def refuse(self, name: str, path: str = "/services/data", *, times: int | None = 1, **more: Any) -> Fault:
        """Answer the next matching calls with an error of `sf_errors.ERRORS`."""
        status, code, message = ERRORS[name]
        return self.faults.salesforce_error(status, code, message, path=path, times=times, **more)

    def refuse_login(self, error: str, description: str, *, status: int = 400, times: int | None = 1) -> Fault:
        """Answer the token endpoint with an OAuth error: an object, not a list."""
        body = orjson.dumps({"error": error, "error_description": description})
        headers = {"content-type": "application/json"}
        return self.faults.add("status", "/oauth2/token", status=status, body=body, headers=headers, times=times)

    def expire_tokens(self) -> None:
        """Every session ends now: the next call is answered 401 INVALID_SESSION_ID."""
        self.login.expire()

    def expire_cursors(self) -> None:
        """Every open query locator dies."""
        self.queries.expire()

    def move_instance(self, url: str) -> None:
        """The org moves: sessions end, and the next login names another address."""
        self.login.instance_url = url
        self.login.expire()

    @property
    def rows(self) -> Store:
        return self.shown.rows

    @property
    def client_secret(self) -> str:
        return self.login.client_secret

    @property
    def logins(self) -> int:
        return self.login.count

    # -- plumbing --------------------------------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_MARK] = mark = object()
        try:
            await super()._serve(scope, receive, send)
        finally:
            self.limits.end(mark)

    def _routes(self) -> Starlette:
        data = "/services/data/v{version}"
        job = data + "/jobs/query/{job}"
        guarded: list[tuple[str, Answerer, str]] = [
            ("/services/oauth2/userinfo", self._userinfo, "GET"),
            (data + "/", self._resources, "GET"),
            (data + "/limits", self._limits, "GET"),
            (data + "/limits/", self._limits, "GET"),
            (data + "/query", self._query, "GET"),
            (data + "/query/", self._query, "GET"),
            (data + "/queryAll", self._query_all, "GET"),
            (data + "/queryAll/", self._query_all, "GET"),
            (data + "/query/{locator}", self._more, "GET"),
            (data + "/queryAll/{locator}", self._more, "GET"),
            (data + "/sobjects", self._objects, "GET"),
            (data + "/sobjects/", self._objects, "GET"),
            (data + "/sobjects/{sobject}/describe", self._describe, "GET"),
            (data + "/sobjects/{sobject}/describe/", self._describe, "GET"),
            (data + "/sobjects/{sobject}/deleted", self._deleted, "GET"),
            (data + "/sobjects/{sobject}/updated", self._updated, "GET"),
            (data + "/jobs/query", self._make_job, "POST"),
            (data + "/jobs/query", self._jobs, "GET"),
            (job, self._job, "GET"),
            (job, self._change_job, "PATCH"),
            (job, self._delete_job, "DELETE"),
            (job + "/results", self._results, "GET"),
        ]
        return Starlette(
            routes=[
                Route("/services/oauth2/token", self._token, methods=["POST"]),
                Route("/services/Soap/u/{version}", self._soap, methods=["POST"]),
                Route("/services/data", self._versions),
                Route("/services/data/", self._versions),
                *(Route(path, self._guard(answer), methods=[method]) for path, answer, method in guarded),
                Route("/{path:path}", self._nowhere, methods=["GET", "POST", "PATCH", "DELETE"]),
            ]
        )

    def _guard(self, answer: Answerer) -> Handler:
        """Size, version, session and usage around a call; refusals in the vendor's shape."""

        async def guarded(request: Request) -> Response:
            request.scope[_BODY] = await request.body()
            try:
                self.limits.check_address(request)
                self.limits.check_version(str(request.path_params.get("version", NEWEST)))
                if not self.login.knows(request.headers.get("authorization", "")):
                    raise Refusal(*ERRORS["session"])
                self.limits.count(request.scope[_MARK])
                with self._company.lock:
                    self.shown.release()
                    return answer(request)
            except TooLong as problem:
                return Response(problem.body, problem.status, media_type="text/html; charset=utf-8")
            except Refusal as problem:
                return self._json(problem.body(), problem.status)

        return guarded

    def _json(self, body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        try:
            text = orjson.dumps(body)
        except TypeError:  # a lone surrogate, a number beyond 64 bits: what orjson will not write, the vendor does
            text = json.dumps(body).encode()
        extra = self.limits.header() | (headers or {})
        return Response(text, status, extra, media_type="application/json;charset=UTF-8")

    async def _nowhere(self, request: Request) -> Response:
        return self._json(Refusal(404, "NOT_FOUND", "The requested resource does not exist").body(), 404)

    async def _token(self, request: Request) -> Response:
        return await self.login.token(request)

    async def _soap(self, request: Request) -> Response:
        return await self.login.soap_login(request)

    # -- what there is ---------------------------------------------------------------------------------------------

    async def _versions(self, request: Request) -> Response:
        body = [{"label": f"v{v}", "url": f"/services/data/v{v}", "version": v} for v in VERSIONS]
        return self._json(body)

    def _userinfo(self, request: Request) -> Response:
        return self._json(
            {
                "user_id": self.login.admin_id,
                "organization_id": ORG_ID,
                "preferred_username": USERNAME,
                "name": "Integration User",
                "email": USERNAME,
                "zoneinfo": "Europe/Berlin",
                "locale": "en_GB",
            }
        )

    def _resources(self, request: Request) -> Response:
        base = f"/services/data/v{request.path_params['version']}/"
        return self._json({name: base + name for name in ("sobjects", "query", "queryAll", "limits", "jobs")})

    def _limits(self, request: Request) -> Response:
        limit = self.limits.daily_limit
        return self._json(
            {
                "DailyApiRequests": {"Max": limit, "Remaining": max(0, limit - self.limits.used)},
                "DailyBulkV2QueryJobs": {"Max": DAILY_JOBS, "Remaining": max(0, self.bulk.left_today)},
                "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            }
        )

    def _objects(self, request: Request) -> Response:
        body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": self.schema.summaries()}
        return self._if_modified(request, self.schema.newest_change, body)

    def _describe(self, request: Request) -> Response:
        sobject = self._known(request)
        return self._if_modified(request, self.schema.changed_at(sobject), self.schema.describe(sobject))

    def _if_modified(self, request: Request, changed_at: int, body: object) -> Response:
        """The document, or 304 where it is not newer than the caller's `If-Modified-Since`."""
        modified = {"Last-Modified": format_datetime(moment(changed_at), usegmt=True)}
        try:
            since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
        except ValueError:
            return self._json(body, headers=modified)
        if changed_at <= since.timestamp():
            return Response(b"", 304, self.limits.header() | modified)
        return self._json(body, headers=modified)

    def _known(self, request: Request) -> str:
        sobject = self.schema.find_object(str(request.path_params["sobject"]))
        if sobject is None:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        return sobject

    # -- reading ---------------------------------------------------------------------------------------------------

    def _query(self, request: Request) -> Response:
        return self._json(self.queries.run(request, include_deleted=False))

    def _query_all(self, request: Request) -> Response:
        return self._json(self.queries.run(request, include_deleted=True))

    def _more(self, request: Request) -> Response:
        return self._json(self.queries.more(request))

    def _deleted(self, request: Request) -> Response:
        return self._json(self.queries.deleted(request, self._known(request)))

    def _updated(self, request: Request) -> Response:
        return self._json(self.queries.updated(request, self._known(request)))

    # -- in bulk ---------------------------------------------------------------------------------------------------

    def _make_job(self, request: Request) -> Response:
        return self._json(self.bulk.create(_document(request), str(request.path_params["version"])))

    def _jobs(self, request: Request) -> Response:
        return self._json(self.bulk.all())

    def _job(self, request: Request) -> Response:
        return self._json(self.bulk.info(str(request.path_params["job"])))

    def _change_job(self, request: Request) -> Response:
        return self._json(self.bulk.change(str(request.path_params["job"]), _document(request)))

    def _delete_job(self, request: Request) -> Response:
        self.bulk.delete(str(request.path_params["job"]))
        return Response(b"", 204, self.limits.header())

    def _results(self, request: Request) -> Response:
        asked = request.query_params
        text, headers = self.bulk.results(
            str(request.path_params["job"]), asked.get("maxRecords", ""), asked.get("locator", "")
        )
        return Response(text, 200, self.limits.header() | headers, media_type="text/csv")


def _document(request: Request) -> Any:
    try:
        return orjson.loads(request.scope[_BODY])
    except ValueError:
        raise Refusal(400, "JSON_PARSER_ERROR", "Unexpected character") from None
