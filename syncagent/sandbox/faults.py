"""What can go wrong on the wire, asked for by a test while the servers run."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Fault:
    """One fault: which requests it hits (regular expression on `METHOD /path?query`), how often, and what it does.

    kind: `status` (answer `status` with `body` and `headers`) · `html` (a maintenance page, with `status`, 200 by
    default) · `truncate` (the answer cut in half, its length adjusted: broken JSON) · `cut` (the connection ends
    before the promised length) · `reset` (a TCP reset in the middle of the body) · `hang` (silence for `seconds`,
    then the answer) · `drip` (the answer one byte at a time, `seconds` apart) · `drop` (the connection is closed
    unanswered).
    """

    kind: str
    path: str = ".*"
    times: int | None = 1  # None: until cleared
    after: int = 0  # let this many matching requests through first
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
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

    # -- the vendors' own words ------------------------------------------------------------------------------------

    def salesforce_error(self, status: int, code: str, message: str = "", **more: Any) -> Fault:
        """An error in Salesforce's shape: a list of one object."""
        body = f'[{{"message":"{message or code}","errorCode":"{code}"}}]'.encode()
        return self.add("status", status=status, body=body, headers={"content-type": "application/json"}, **more)

    def hubspot_error(self, status: int, category: str, message: str = "", **more: Any) -> Fault:
        """An error in HubSpot's shape."""
        text = (
            f'{{"status":"error","message":"{message or category}","correlationId":"c0ffee","category":"{category}"}}'
        )
        return self.add(
            "status", status=status, body=text.encode(), headers={"content-type": "application/json"}, **more
        )

    def too_many(self, *, retry_after: str | None = None, **more: Any) -> Fault:
        """HubSpot's 429, with or without Retry-After."""
        headers = {"content-type": "application/json"} | ({"retry-after": retry_after} if retry_after else {})
        body = (
            b'{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT",'
            b'"correlationId":"c0ffee","policyName":"TEN_SECONDLY_ROLLING","groupName":"publicapi:private-apps"}'
        )
        return self.add("status", status=429, body=body, headers=headers, **more)
