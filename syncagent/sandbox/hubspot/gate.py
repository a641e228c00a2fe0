"""The door of the sandbox's HubSpot: tokens, versions of paths, limits, and errors in the vendor's shape."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from syncagent.sandbox.clock import hs_instant, local_date
from syncagent.sandbox.company import Company
from syncagent.sandbox.faults import too_many_body
from syncagent.sandbox.http import LoopbackServer
from syncagent.sandbox.hubspot.limits import PLANS, ROLLING, Limits
from syncagent.sandbox.hubspot.schema import scope_of
from syncagent.sandbox.hubspot.search import SearchCrash, SearchError

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
PORTAL_ID = 139_200_411
ACCESS_TOKEN = "pat-eu1-5a4db0c5-0000-4000-8000-sandbox00001"  # noqa: S105  (the sandbox's own)
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "hs-sandbox-client", "hs-sandbox-secret", "eu1-sandbox-refresh"
DATED = ("2026-03", "2026-09")


class Refusal(Exception):
    """An answer other than 200: status, category, message, and what else the body holds."""

    def __init__(self, status: int, category: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"status": "error", "message": message, "correlationId": "6c0ffee0-0000-4000-8000-000000000001"}
        self.body |= {"category": category, **more}  # type: ignore[dict-item]


def missing_scopes(kind: str) -> Refusal:
    """403: the token may not read this kind."""
    message = "This app hasn't been granted all required scopes to make this call."
    error = {
        "message": "One or more of the following scopes are required.",
        "context": {"requiredScopes": [scope_of(kind)]},
    }
    return Refusal(403, "MISSING_SCOPES", message, errors=[error])


class HubSpotGate(LoopbackServer):
    """Lets calls in: the right token, a served path, and room in the account's limits.

    `limits`: enforce them. `windows`: how the 10 s and the 1 s are counted, `rolling`, `fixed` or both at once.
    `dated`: serve dated paths; `undated`: families of paths without a dated form (`objects`, `associations`,
    `pipelines`, `properties`, `owners`, `account-info`, `currencies`, `oauth`). `header_gaps`: as the vendor's, a
    search's answer has no rate headers, and an OAuth token's none of the day.
    """

    def __init__(
        self, company: Company, app: ASGIApp, *, limits: bool, dated: bool, windows: Sequence[str] = (ROLLING,)
    ) -> None:
        self._company = company
        self._as_made = (limits, dated, tuple(windows))
        super().__init__(app, clock=lambda: self._company.now)

    def forget(self) -> None:
        super().forget()
        self.limits, self.dated, windows = self._as_made
        # Without limits its headers speak of one nobody comes near: a client that is told 190 keeps to it.
        per_10s = PLANS["professional"] if self.limits else 100_000
        self.rate = Limits(per_10s=per_10s, search_per_s=5, daily=650_000, windows=windows)
        self.undated: set[str] = set()
        self.header_gaps = True
        self.searches = 0
        self.refreshes = 0
        self.tokens = {ACCESS_TOKEN}
        self._expired: set[str] = set()

    @property
    def per_10s(self) -> int:
        return self.rate.calls.size

    @per_10s.setter
    def per_10s(self, size: int) -> None:
        self.rate.calls.size = size

    @property
    def search_per_s(self) -> int:
        return self.rate.search.size

    @search_per_s.setter
    def search_per_s(self, size: int) -> None:
        self.rate.search.size = size

    @property
    def windows(self) -> tuple[str, ...]:
        return self.rate.calls.windows

    @windows.setter
    def windows(self, kinds: Sequence[str]) -> None:
        self.rate.calls.windows = self.rate.search.windows = tuple(kinds)

    @property
    def daily_limit(self) -> int:
        return self.rate.daily

    @daily_limit.setter
    def daily_limit(self, calls: int) -> None:
        self.rate.daily = calls

    @property
    def daily_used(self) -> int:
        return self.rate.daily_used

    @daily_used.setter
    def daily_used(self, calls: int) -> None:
        self.rate.daily_used = calls

    def foreign(self, calls_per_s: float = 0.0, search_per_s: float = 0.0, *, burst_s: float | None = None) -> None:
        """From now on somebody else uses the same limits: evenly, or each `burst_s` seconds all at once. 0: no more."""
        self.rate.foreign(calls_per_s, search_per_s, burst_s)

    def expire_tokens(self) -> None:
        """Every OAuth token ends now: the next call is answered 401 EXPIRED_AUTHENTICATION."""
        self._expired |= self.tokens - {ACCESS_TOKEN}

    def revoke(self, token: str = ACCESS_TOKEN) -> None:
        """A token is rotated away: 401 INVALID_AUTHENTICATION for good."""
        self.tokens.discard(token)

    def _guard(
        self, handler: Callable[[Request, Json], Json | Response], family: str = "", *, search: bool = False
    ) -> Handler:
        """Token, dated path, limits and body around a call; refusals in the vendor's shape."""

        async def guarded(request: Request) -> Response:
            raw = await request.body() if request.method == "POST" else b""
            token = request.headers.get("authorization", "").partition(" ")[2]
            try:
                self._admit(request, token, family)
                refused = self._limit(token, search)
                if refused is not None:
                    return refused
                if len(request.scope["query_string"]) > 15_000:
                    return Response("<html><h1>414 URI Too Long</h1></html>", 414, media_type="text/html")
                try:
                    body = orjson.loads(raw) if raw else {}
                except orjson.JSONDecodeError:
                    raise Refusal(400, "VALIDATION_ERROR", "Invalid input JSON") from None
                with self._company.lock:
                    answer = handler(request, body)
                status = 200
            except Refusal as refusal:
                answer, status = refusal.body, refusal.status
            except SearchError as problem:
                answer, status = Refusal(400, "VALIDATION_ERROR", str(problem)).body, 400
            except SearchCrash:
                answer, status = Refusal(500, "INTERNAL_ERROR", "internal error").body, 500
            if not isinstance(answer, Response):
                answer = self.json(answer, status)
            answer.headers.update(self._rate_headers(token, search))
            return answer

        return guarded

    def _admit(self, request: Request, token: str, family: str) -> None:
        if not token or not request.headers["authorization"].startswith("Bearer "):
            raise Refusal(
                401, "INVALID_AUTHENTICATION", "Authentication credentials not found. This API supports OAuth 2.0."
            )
        if token in self._expired:
            raise Refusal(
                401,
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call expired 12 second(s) ago.",
                context={"expire time": [hs_instant(self.server_now - 12)]},
            )
        if token not in self.tokens:
            raise Refusal(401, "INVALID_AUTHENTICATION", "The access token is not valid.")
        if not self._serves(request, family):
            raise Refusal(404, "OBJECT_NOT_FOUND", "resource not found")

    def _serves(self, request: Request, family: str) -> bool:
        """Whether a path is there in the version it names."""
        date = request.path_params.get("date")
        if date is None or date.startswith("v"):
            return True
        return self.dated and date in DATED and family not in self.undated

    def _limit(self, token: str, search: bool) -> Response | None:
        """Count a call; the vendor's 429 when a window or the day is full."""
        self.searches += search
        policy = self.rate.take(search=search, day=local_date(self.server_now), enforced=self.limits)
        if policy is None:
            return None
        body = too_many_body(policy, named=policy != "SECONDLY")
        refused = self.json(body, 429)
        if policy == "SECONDLY":
            refused.headers["Connection"] = "close"
        refused.headers.update(self._rate_headers(token, search))
        return refused

    def _rate_headers(self, token: str, search: bool) -> dict[str, str]:
        if search and self.header_gaps:
            return {}
        day = {
            "X-HubSpot-RateLimit-Daily": str(self.rate.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.rate.daily - self.rate.daily_used)),
        }
        if self.header_gaps and token != ACCESS_TOKEN:
            day = {}
        return {
            **day,
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Max": str(self.per_10s),
            "X-HubSpot-RateLimit-Remaining": str(self.rate.calls.remaining(time.monotonic())),
            "X-HubSpot-RateLimit-Secondly": "19",
            "X-HubSpot-RateLimit-Secondly-Remaining": "18",
        }

    def json(self, body: object, status: int = 200) -> Response:
        return Response(orjson.dumps(body), status, media_type="application/json;charset=utf-8")

    async def _token(self, request: Request) -> Response:
        if not self._serves(request, "oauth"):
            return self.json(Refusal(404, "OBJECT_NOT_FOUND", "resource not found").body, 404)
        form = dict(parse_qsl((await request.body()).decode()))
        known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if form.get("grant_type") != "refresh_token" or not known:
            body = {"status": "BAD_CLIENT_ID", "message": "missing or unknown client id", "correlationId": "c0ffee"}
            return self.json(body, 400)
        if form.get("refresh_token") != REFRESH_TOKEN:
            body = {
                "status": "BAD_REFRESH_TOKEN",
                "message": "missing or invalid refresh token",
                "correlationId": "c0ffee",
            }
            return self.json(body, 400)
        self.refreshes += 1
        token = f"CNsandbox{self.refreshes:06d}"
        self.tokens.add(token)
        answer = {"token_type": "bearer", "refresh_token": REFRESH_TOKEN, "access_token": token, "expires_in": 1800}
        return self.json(answer)
