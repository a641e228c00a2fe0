"""What the sandbox's Salesforce allows: calls a day, long calls at once, size of an address, size of a query."""

import time
from collections import deque
from collections.abc import Callable

from starlette.requests import Request

from syncagent.sandbox.clock import DAY
from syncagent.sandbox.salesforce.errors import Refusal, refusal

ADDRESS_BYTES = 16_384
OLDEST, NEWEST = 31, 67
_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


class TooLong(Exception):
    """Address or headers over the limit: answered by the front door, in HTML, before anything else is looked at."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.body = _HTML.format(words).encode()


class Limits:
    """Limits and how much of them is used.

    `daily_limit` counts over any 24 hours; `foreign` are calls of others in it. `long_calls` requests may be open at
    once that take longer than `long_after_s`. `info` is the `Sforce-Limit-Info` header (a template; None: left out).
    `timeout_rows`: a query that finds more ends in QUERY_TIMEOUT. `too_large`: object -> rows over which a query of
    it ends in OPERATION_TOO_LARGE. `page_rows`: the most one page holds, whatever was asked for.
    """

    def __init__(self, now: Callable[[], int], *, daily_limit: int) -> None:
        self._now = now
        self._calls: deque[int] = deque()
        self._open: dict[object, float] = {}
        self.daily_limit = daily_limit
        self.foreign = 0
        self.long_calls = 25
        self.long_after_s = 20.0
        self.info: str | None = "api-usage={used}/{limit}"
        self.timeout_rows: int | None = None
        self.too_large: dict[str, int] = {}
        self.page_rows = 2000
        self.address_bytes = ADDRESS_BYTES
        self.retired_below = OLDEST
        self.refused_long = 0

    # -- calls -----------------------------------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Calls within the last 24 hours, those of others included."""
        since = self._now() - DAY
        while self._calls and self._calls[0] <= since:
            self._calls.popleft()
        return len(self._calls) + self.foreign

    def header(self) -> dict[str, str]:
        if self.info is None:
            return {}
        return {"Sforce-Limit-Info": self.info.format(used=self.used, limit=self.daily_limit)}

    def end(self, mark: object) -> None:
        """The request counted under this mark has been answered."""
        self._open.pop(mark, None)

    def count(self, mark: object) -> None:
        """One more API call, open until `end`. Raises Refusal when the day, or the long calls at once, are used up."""
        now = time.monotonic()
        long = sum(now - began >= self.long_after_s for began in self._open.values())
        if long >= self.long_calls:
            self.refused_long += 1
            raise refusal("concurrent")
        if self.used >= self.daily_limit:
            raise refusal("daily")
        self._open[mark] = now
        self._calls.append(self._now())

    # -- size ------------------------------------------------------------------------------------------------------

    def check_address(self, request: Request) -> None:
        """Raises TooLong."""
        address = len(request.scope["raw_path"]) + len(request.scope["query_string"]) + 1
        headers = sum(len(name) + len(value) + 4 for name, value in request.scope["headers"])
        if address > self.address_bytes:
            raise TooLong(414, "URI Too Long")
        if address + headers > self.address_bytes:
            raise TooLong(431, "Request Header Fields Too Large")

    def check_version(self, version: str) -> None:
        """Raises Refusal for a version that is retired or not there yet."""
        number = version.partition(".")[0]
        if not number.isdigit() or int(number) > NEWEST:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        if int(number) < self.retired_below:
            raise refusal("retired")

    def check_query(self, sobject: str, rows: int) -> None:
        """Raises Refusal for a query that finds too much."""
        if self.timeout_rows is not None and rows > self.timeout_rows:
            raise refusal("query_timeout")
        if rows > self.too_large.get(sobject, rows):
            raise refusal("too_large")
