"""The door of the sandbox's HubSpot: tokens, limits, and errors in the vendor's shape."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from syncagent.sandbox.clock import hs_instant
from syncagent.sandbox.company import Company
from syncagent.sandbox.hs_search import SearchError
from syncagent.sandbox.http import LoopbackServer

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


class HubSpotGate(LoopbackServer):
    """Lets calls in: the right token, a served path, and room in the rolling windows (190 per 10 s; 5 searches a s)."""

    def __init__(self, company: Company, app: ASGIApp, *, limits: bool, dated: bool) -> None:
        super().__init__(app, clock=lambda: company.now)
        self._company = company
        self.limits = limits
        self.dated = dated
        self.per_10s, self.search_per_s, self.daily_limit = 190, 5, 650_000
        self.daily_used = 0
        self.searches = 0
        self.tokens = {ACCESS_TOKEN}
        self._expired: set[str] = set()
        self._refreshes = 0
        self._calls: deque[float] = deque()
        self._searches: deque[float] = deque()

    def expire_tokens(self) -> None:
        """Every OAuth token ends now: the next call is answered 401 EXPIRED_AUTHENTICATION."""
        self._expired |= self.tokens - {ACCESS_TOKEN}

    def _guard(self, handler: Callable[[Request, Json], Json | Response], *, search: bool = False) -> Handler:
        """Token, dated path, limits and body around a call; refusals in the vendor's shape."""

        async def guarded(request: Request) -> Response:
            raw = await request.body() if request.method == "POST" else b""
            try:
                self._admit(request)
                refused = self._limit(search)
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
            except Refusal as refusal:
                return self.json(refusal.body, refusal.status, search=search)
            except SearchError as problem:
                return self.json(Refusal(400, "VALIDATION_ERROR", str(problem)).body, 400, search=search)
            return answer if isinstance(answer, Response) else self.json(answer, search=search)

        return guarded

    def _admit(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise Refusal(
                401, "INVALID_AUTHENTICATION", "Authentication credentials not found. This API supports OAuth 2.0."
            )
        if token in self._expired:
            raise Refusal(
                401,
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call expired 12 second(s) ago.",
                context={"expire time": [hs_instant(self._company.now - 12)]},
            )
        if token not in self.tokens:
            raise Refusal(401, "INVALID_AUTHENTICATION", "The access token is not valid.")
        date = request.path_params.get("date")
        if date is not None and (not self.dated or date not in DATED) and not date.startswith("v"):
            raise Refusal(404, "OBJECT_NOT_FOUND", "resource not found")

    def _limit(self, search: bool) -> Response | None:
        """Count a call; the vendor's 429 when a rolling window is full."""
        now = time.monotonic()
        self.daily_used += 1
        self.searches += search
        window, size, calls = (1.0, self.search_per_s, self._searches) if search else (10.0, self.per_10s, self._calls)
        while calls and calls[0] <= now - window:
            calls.popleft()
        if self.limits and len(calls) >= size:
            return self._too_many(search)
        calls.append(now)
        return None

    def _too_many(self, search: bool) -> Response:
        body: Json = {"status": "error", "correlationId": "6c0ffee0-0000-4000-8000-000000000002"}
        if search:
            body |= {"message": "You have reached your secondly limit.", "category": "RATE_LIMITS"}
            return Response(orjson.dumps(body), 429, {"Connection": "close"}, media_type="application/json")
        body |= {
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "groupName": f"publicapi:private-apps:rolling:{PORTAL_ID}",
        }
        return self.json(body, 429)

    def json(self, body: object, status: int = 200, *, search: bool = False) -> Response:
        headers = {}
        if not search:
            headers = {
                "X-HubSpot-RateLimit-Daily": str(self.daily_limit),
                "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily_limit - self.daily_used),
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                "X-HubSpot-RateLimit-Max": str(self.per_10s),
                "X-HubSpot-RateLimit-Remaining": str(max(0, self.per_10s - len(self._calls))),
                "X-HubSpot-RateLimit-Secondly": "19",
                "X-HubSpot-RateLimit-Secondly-Remaining": "18",
            }
        return Response(orjson.dumps(body), status, headers, media_type="application/json;charset=utf-8")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        known = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        if form.get("grant_type") != "refresh_token" or not known:
            body = {"status": "BAD_CLIENT_ID", "message": "missing or unknown client id", "correlationId": "c0ffee"}
            return Response(orjson.dumps(body), 400, media_type="application/json")
        if form.get("refresh_token") != REFRESH_TOKEN:
            body = {
                "status": "BAD_REFRESH_TOKEN",
                "message": "missing or invalid refresh token",
                "correlationId": "c0ffee",
            }
            return Response(orjson.dumps(body), 400, media_type="application/json")
        self._refreshes += 1
        token = f"CNsandbox{self._refreshes:06d}"
        self.tokens.add(token)
        body2 = {"token_type": "bearer", "refresh_token": REFRESH_TOKEN, "access_token": token, "expires_in": 1800}
        return Response(orjson.dumps(body2), media_type="application/json")
