"""What can go wrong on the wire, asked for by a test while the servers run."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import orjson

from syncagent.sandbox.faults_mangle import MANGLES, Change

HTML_PAGE = (
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We'll be right back</h1></body></html>"
)
_JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Fault:
    """One fault: which requests it hits (regular expression on `METHOD /path?query`), how often, and what it does.

    kind: `status` (answer `status` with `body` and `headers`) · `html` (a maintenance page, with `status`, 200 by
    default) · `mangle` (the JSON answer after `change`, with `headers` laid over its own and `status`, if not 200) ·
    `truncate` (the answer cut in half, its length adjusted: broken JSON) · `cut` (the connection ends before the
    promised length) · `chunk` (it ends within a chunk) · `wrong_length` (a Content-Length of half of what comes) ·
    `reset` (a TCP reset in the middle of the body) · `hang` (silence for `seconds`, then the answer) · `drip` (the
    answer one byte at a time, `seconds` apart) · `drop` (the connection is closed unanswered) · `bad_gzip` ·
    `half_gzip` (a gzip stream that ends in its middle) · `bomb` and `flood` (a JSON answer of `size` bytes, gzipped to
    a thousandth or plain, made as it is sent).

    `when`: strike only if the document the request would be answered with is such a one (`last_page`, ...).
    """

    kind: str
    path: str = ".*"
    times: int | None = 1  # None: until cleared
    after: int = 0  # let this many matching requests through first
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    change: Change | None = None
    when: Callable[[Any], bool] | None = None
    size: int = 1 << 30
    hits: int = 0


class Faults:
    """The faults in force on one server. Safe to change from any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, kind: str, path: str = ".*", **more: Any) -> Fault:
        """Put a fault in force; the first match in order of adding is the one that strikes."""
        fault = Fault(kind, path, **more)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, request: str) -> Fault | None:
        """The fault that hits this request, if any; counts it."""
        with self._lock:
            for fault in self._faults:
                if not re.search(fault.path, request):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                fault.hits += 1
                return fault
        return None

    def decline(self, fault: Fault) -> None:
        """The answer was not one the fault waits for: it did not strike after all."""
        with self._lock:
            fault.hits -= 1

    # -- by name ---------------------------------------------------------------------------------------------------

    def mangle(self, change: str | Change, path: str = ".*", **more: Any) -> Fault:
        """Answers after `change`, a function of the JSON document or the name of one (`faults_mangle.MANGLES`)."""
        return self.add("mangle", path, change=MANGLES[change] if isinstance(change, str) else change, **more)

    def redirect(self, to: str, path: str = ".*", *, status: int = 302, **more: Any) -> Fault:
        """Send the client elsewhere: another host, an address of the machine's own network, `file://`."""
        return self.add("status", path, status=status, headers={"location": to}, **more)

    def black_hole(self, path: str = ".*", **more: Any) -> Fault:
        """Accept the request and never answer."""
        return self.add("hang", path, seconds=86_400.0, **more)

    def unauthorized(self, shape: str = "object", path: str = ".*", **more: Any) -> Fault:
        """401 as a `list` (Salesforce), an `object` (HubSpot), `html` (a proxy) or with an `empty` body."""
        body, kind = UNAUTHORIZED[shape]
        return self.add("status", path, status=401, body=body, headers={"content-type": kind} if kind else {}, **more)

    def salesforce_error(self, status: int, code: str, message: str = "", **more: Any) -> Fault:
        """An error in Salesforce's shape: a list of one object."""
        body = orjson.dumps([{"message": message or code, "errorCode": code}])
        return self.add("status", status=status, body=body, headers=_JSON, **more)

    def hubspot_error(self, status: int, category: str, message: str = "", **more: Any) -> Fault:
        """An error in HubSpot's shape."""
        text = {"status": "error", "message": message or category, "correlationId": "c0ffee", "category": category}
        return self.add("status", status=status, body=orjson.dumps(text), headers=_JSON, **more)

    def dated_404(self, path: str = r"/20\d\d-\d\d/", **more: Any) -> Fault:
        """A dated path that is not there for once."""
        return self.hubspot_error(404, "OBJECT_NOT_FOUND", "resource not found", path=path, **more)

    def too_many(
        self,
        *,
        policy: str = "TEN_SECONDLY",
        retry_after: str | None = None,
        named: bool = True,
        rate_headers: bool = False,
        **more: Any,
    ) -> Fault:
        """HubSpot's 429: `policy` SECONDLY, TEN_SECONDLY or DAILY, with or without its name, hint and headers."""
        headers = _JSON | ({"retry-after": retry_after} if retry_after is not None else {})
        if rate_headers:
            headers |= {"x-hubspot-ratelimit-max": "190", "x-hubspot-ratelimit-remaining": "0"}
            headers |= {"x-hubspot-ratelimit-interval-milliseconds": "10000"}
        body = too_many_body(policy, named=named)
        return self.add("status", status=429, body=orjson.dumps(body), headers=headers, **more)


UNAUTHORIZED = {
    "list": (b'[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]', "application/json"),
    "object": (
        b'{"status":"error","message":"The OAuth token used to make this call expired 12 second(s) ago.",'
        b'"correlationId":"c0ffee","category":"EXPIRED_AUTHENTICATION"}',
        "application/json",
    ),
    "html": (HTML_PAGE, "text/html; charset=utf-8"),
    "empty": (b"", ""),
}
#: What HubSpot names its limits in `policyName`, and calls them in the message.
POLICIES = {
    "SECONDLY": ("SECONDLY", "secondly"),
    "TEN_SECONDLY": ("TEN_SECONDLY_ROLLING", "ten_secondly_rolling"),
    "DAILY": ("DAILY", "daily"),
}


def too_many_body(policy: str, *, named: bool = True) -> dict[str, str]:
    """The document of a 429. Only its message always tells which limit it was: a search's 429 names no policy."""
    name, words = POLICIES[policy]
    body = {"status": "error", "message": f"You have reached your {words} limit.", "correlationId": "c0ffee"}
    if not named:
        return body | {"category": "RATE_LIMITS"}
    return body | {"errorType": "RATE_LIMIT", "policyName": name, "groupName": "publicapi:private-apps"}


def http_date(at: float) -> str:
    """Epoch seconds as an HTTP date, for a Retry-After."""
    return formatdate(at, usegmt=True)


#: A Retry-After of each kind but the date: what it says, or that it is not there.
RETRY_AFTER = {
    "absent": None, "seconds": "2", "fraction": "1.5", "milliseconds": "120000", "zero": "0", "huge": "1000000000",
    "negative": "-5", "garbage": "soon",
}  # fmt: skip
#: Statuses with which a server says "not now", in HubSpot's order of appearance.
NOT_NOW = (423, 477, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530)
