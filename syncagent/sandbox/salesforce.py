"""The sandbox's Salesforce: OAuth, SOQL over REST with page locators, describe, limits, deleted and updated ids."""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncagent.sandbox.clock import DAY, moment, sf_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.http import LoopbackServer
from syncagent.sandbox.model import Entity
from syncagent.sandbox.plan import Plan, Row, Rows
from syncagent.sandbox.sf_fields import OBJECTS, describe, summary
from syncagent.sandbox.sf_fixed import ORG_ID, fixed_rows
from syncagent.sandbox.sf_rows import Rows as RowMaker
from syncagent.sandbox.soql import SoqlError, parse

Handler = Callable[[Request], Awaitable[Response]]
VERSIONS = [f"{number}.0" for number in range(59, 68)]
CLIENT_ID, CLIENT_SECRET = "3MVGsandboxclient", "sandbox-client-secret"
USERNAME = "integration@northwind.example"
#: The org's address. Nobody answers there: clients are pointed at the loopback server by their `base_url`.
INSTANCE_URL = "https://northwind.my.salesforce.com"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class SalesforceServer(LoopbackServer):
    """Salesforce on loopback over one company. `public_key` (PEM) lets the JWT login in."""

    def __init__(self, company: Company, *, public_key: bytes | None = None, daily_limit: int = 100_000) -> None:
        self._company = company
        self._maker = RowMaker(company)
        self.rows = Rows()
        self._places: dict[int, list[tuple[str, str]]] = {}
        self.public_key = public_key
        self.daily_limit = daily_limit
        self.daily_used = 0
        self.client_id, self.client_secret = CLIENT_ID, CLIENT_SECRET
        self.instance_url = INSTANCE_URL  # what a login names as the org's address; a test may move the org
        self.logins = 0
        self._tokens: set[str] = set()
        self._cursors: dict[str, tuple[Plan, list[Row], int]] = {}
        admin = next(user.sf for user in company.users if user.sf)
        for sobject, row in fixed_rows(admin, company.start - 300 * DAY):
            self.rows.put(sobject, row)
        super().__init__(self._routes(), clock=lambda: company.now)
        self.refresh(company.everything())

    def refresh(self, entities: Iterable[Entity]) -> None:
        """Show these records as they are now."""
        with self._company.lock:
            for entity in entities:
                for sobject, row_id in self._places.pop(entity.key, ()):
                    self.rows.remove(sobject, row_id)
                rows = list(self._maker.of(entity))
                for sobject, row in rows:
                    self.rows.put(sobject, row)
                if rows:
                    self._places[entity.key] = [(sobject, row["Id"]) for sobject, row in rows]

    def expire_tokens(self) -> None:
        """Every session ends now: the next call is answered 401 INVALID_SESSION_ID."""
        self._tokens.clear()

    def expire_cursors(self) -> None:
        """Every open query locator dies."""
        self._cursors.clear()

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _routes(self) -> Starlette:
        data = "/services/data/v{version}"
        return Starlette(
            routes=[
                Route("/services/oauth2/token", self._token, methods=["POST"]),
                Route("/services/oauth2/userinfo", self._guard(self._userinfo)),
                Route("/services/data", self._versions),
                Route("/services/data/", self._versions),
                Route(data + "/", self._guard(self._resources)),
                Route(data + "/limits", self._guard(self._limits)),
                Route(data + "/query", self._guard(self._query)),
                Route(data + "/query/", self._guard(self._query)),
                Route(data + "/queryAll", self._guard(self._query_all)),
                Route(data + "/queryAll/", self._guard(self._query_all)),
                Route(data + "/query/{locator}", self._guard(self._more)),
                Route(data + "/queryAll/{locator}", self._guard(self._more)),
                Route(data + "/sobjects", self._guard(self._objects)),
                Route(data + "/sobjects/", self._guard(self._objects)),
                Route(data + "/sobjects/{sobject}/describe", self._guard(self._describe)),
                Route(data + "/sobjects/{sobject}/deleted", self._guard(self._deleted)),
                Route(data + "/sobjects/{sobject}/updated", self._guard(self._updated)),
                Route("/{path:path}", self._nowhere, methods=["GET", "POST"]),
            ]
        )

    def _guard(self, handler: "Callable[[Request], Response]") -> Handler:
        """Session, version and usage around a call; SOQL errors in the vendor's shape."""

        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme not in ("Bearer", "OAuth") or token not in self._tokens:
                return self._error(401, "INVALID_SESSION_ID", "Session expired or invalid")
            self.daily_used += 1
            if self.daily_used > self.daily_limit:
                return self._error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            version = request.path_params.get("version")
            if version is not None and version not in VERSIONS:
                return self._error(404, "NOT_FOUND", "The requested resource does not exist")
            with self._company.lock:
                try:
                    return handler(request)
                except SoqlError as problem:
                    return self._error(400, problem.code, problem.message)

        return guarded

    def _json(self, body: object, status: int = 200) -> Response:
        headers = {"Sforce-Limit-Info": f"api-usage={self.daily_used}/{self.daily_limit}"}
        return Response(orjson.dumps(body), status, headers, media_type="application/json;charset=UTF-8")

    def _error(self, status: int, code: str, message: str) -> Response:
        return self._json([{"message": message, "errorCode": code}], status)

    async def _nowhere(self, request: Request) -> Response:
        return self._error(404, "NOT_FOUND", "The requested resource does not exist")

    # -- login -----------------------------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            problem = self._check_client(request, form)
        elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            problem = self._check_jwt(form.get("assertion", ""))
        else:
            problem = ("unsupported_grant_type", "grant type not supported")
        if problem is not None:
            return Response(
                orjson.dumps({"error": problem[0], "error_description": problem[1]}), 400, media_type="application/json"
            )
        self.logins += 1
        digest = hashlib.sha256(f"{self._company.seed}-{self.logins}-{id(self)}".encode()).hexdigest()
        token = f"{ORG_ID}!AQ.{digest}"
        self._tokens.add(token)
        admin = next(user.sf for user in self._company.users if user.sf)
        identity = f"https://login.salesforce.com/id/{ORG_ID}/{admin}"
        issued = str(self._company.now * 1000)
        body = {
            "access_token": token,
            "signature": base64.b64encode(hashlib.sha256(f"{identity}{issued}".encode()).digest()).decode(),
            "scope": "api",
            "instance_url": self.instance_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued,
            "api_instance_url": "https://api.salesforce.com",
        }
        return Response(orjson.dumps(body), media_type="application/json;charset=UTF-8")

    def _check_client(self, request: Request, form: dict[str, str]) -> tuple[str, str] | None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
            except ValueError:
                return "invalid_client", "invalid client credentials"
            client_id, secret = unquote(client_id), unquote(secret)
        else:
            client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if client_id != self.client_id:
            return "invalid_client_id", "client identifier invalid"
        if secret != self.client_secret:
            return "invalid_client", "invalid client credentials"
        return None

    def _check_jwt(self, assertion: str) -> tuple[str, str] | None:
        """Check a JWT bearer grant as the vendor does: signature, audience, issuer, user, five minutes at most."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            head, body, signature = assertion.split(".")
            claims = json.loads(_unpad(body))
            algorithm = json.loads(_unpad(head))["alg"]
        except (ValueError, KeyError):
            return "invalid_grant", "invalid assertion"
        if claims.get("iss") != self.client_id:
            return "invalid_client_id", "client identifier invalid"
        if self.public_key is None or algorithm != "RS256":
            return "invalid_grant", "invalid assertion"
        key = load_pem_public_key(self.public_key)
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(_unpad(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return "invalid_grant", "invalid assertion"
        if str(claims.get("aud", "")).rstrip("/") not in (*_AUDIENCES, self.instance_url):
            return "invalid_grant", "audience is invalid"
        if claims.get("sub") != USERNAME:
            return "invalid_grant", "user hasn't approved this consumer"
        left = float(claims.get("exp", 0)) - datetime.now(UTC).timestamp()
        if not 0 < left <= 330:
            return "invalid_grant", "expired authorization code"
        return None

    def _userinfo(self, request: Request) -> Response:
        admin = next(user for user in self._company.users if user.sf)
        return self._json(
            {
                "user_id": admin.sf,
                "organization_id": ORG_ID,
                "preferred_username": USERNAME,
                "name": "Integration User",
                "email": USERNAME,
                "zoneinfo": "Europe/Berlin",
                "locale": "en_GB",
            }
        )

    # -- what there is ---------------------------------------------------------------------------------------------

    async def _versions(self, request: Request) -> Response:
        body = [{"label": f"v{v}", "url": f"/services/data/v{v}", "version": v} for v in VERSIONS]
        return self._json(body)

    def _resources(self, request: Request) -> Response:
        base = f"/services/data/v{request.path_params['version']}/"
        return self._json({name: base + name for name in ("sobjects", "query", "queryAll", "limits")})

    def _limits(self, request: Request) -> Response:
        left = self.daily_limit - self.daily_used
        return self._json(
            {
                "DailyApiRequests": {"Max": self.daily_limit, "Remaining": left},
                "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
                "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
            }
        )

    def _objects(self, request: Request) -> Response:
        return self._json({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [summary(name) for name in OBJECTS]})

    def _known(self, request: Request) -> str:
        sobject = str(request.path_params["sobject"])
        if sobject not in OBJECTS:
            raise SoqlError("NOT_FOUND", "The requested resource does not exist")
        return sobject

    def _describe(self, request: Request) -> Response:
        sobject = str(request.path_params["sobject"])
        if sobject not in OBJECTS:
            return self._error(404, "NOT_FOUND", "The requested resource does not exist")
        return self._json(describe(sobject))

    # -- reading ---------------------------------------------------------------------------------------------------

    def _query(self, request: Request) -> Response:
        return self._run(request, include_deleted=False)

    def _query_all(self, request: Request) -> Response:
        return self._run(request, include_deleted=True)

    def _run(self, request: Request, *, include_deleted: bool) -> Response:
        version = str(request.path_params["version"])
        query = parse(request.query_params.get("q", ""))
        plan = Plan(query, self.rows, include_deleted=include_deleted, now=self._company.now, version=version)
        if query.is_count and not query.group_by:
            return self._json({"totalSize": len(plan.rows()), "done": True, "records": []})
        if query.aggregates:
            groups = plan.aggregate()
            return self._json({"totalSize": len(groups), "done": True, "records": groups})
        rows = plan.rows()
        locator = f"01g{len(self._cursors):012d}AAA"
        size = self._batch_size(request)
        if len(rows) > size:
            self._cursors[locator] = (plan, rows, size)
        return self._page(version, plan, rows, 0, size, locator)

    def _page(self, version: str, plan: Plan, rows: list[Row], start: int, size: int, locator: str) -> Response:
        end = start + size
        body: dict[str, object] = {"totalSize": len(rows), "done": end >= len(rows)}
        if end < len(rows):
            body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
        body["records"] = [plan.shape(row) for row in rows[start:end]]
        return self._json(body)

    def _batch_size(self, request: Request) -> int:
        asked = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("sforce-query-options", ""))
        return min(max(int(asked[1]), 200), 2000) if asked else 2000

    def _more(self, request: Request) -> Response:
        name, _, start = str(request.path_params["locator"]).rpartition("-")
        if name not in self._cursors or not start.isdigit():
            raise SoqlError("INVALID_QUERY_LOCATOR", "invalid query locator")
        plan, rows, size = self._cursors[name]
        return self._page(str(request.path_params["version"]), plan, rows, int(start), size, name)

    def _window(self, request: Request) -> tuple[str, str]:
        try:
            bounds = [datetime.fromisoformat(request.query_params[name].replace(" ", "+")) for name in ("start", "end")]
        except (KeyError, ValueError):
            raise SoqlError("INVALID_REPLICATION_DATE", "start and end must be dates with a time zone") from None
        start, end = (int(bound.timestamp()) for bound in bounds)
        if start < self._company.now - 30 * DAY:
            raise SoqlError("INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        return sf_instant(start), sf_instant(end)

    def _deleted(self, request: Request) -> Response:
        sobject = self._known(request)
        start, end = self._window(request)
        rows = [
            r for r in self.rows.tables[sobject].values() if r.get("IsDeleted") and start <= r["SystemModstamp"] <= end
        ]
        return self._json(
            {
                "deletedRecords": [{"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows],
                "earliestDateAvailable": sf_instant(self._company.now - 15 * DAY),
                "latestDateCovered": moment(self._company.now).strftime("%Y-%m-%dT%H:%M:00.000+0000"),
            }
        )

    def _updated(self, request: Request) -> Response:
        sobject = self._known(request)
        start, end = self._window(request)
        rows = self.rows.tables[sobject].values()
        ids = [r["Id"] for r in rows if not r.get("IsDeleted") and start <= r["SystemModstamp"] <= end]
        covered = moment(self._company.now).strftime("%Y-%m-%dT%H:%M:00.000+0000")
        return self._json({"ids": ids, "latestDateCovered": covered})


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
