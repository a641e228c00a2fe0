"""The sandbox in a process of its own, so that its work is not counted as ours.

python -m tests.bench.sandbox_server DIR [limits]: prints the configuration's path, then answers each line of its stdin
with one of its stdout, until it ends: `stats` (what each server saw, as JSON), `change N` (N things happen),
`pad KIND N` (N copies of a HubSpot object), `widen KIND N` (N more properties, each with a text), `flood OBJECT N` (N
rows of a Salesforce object). With `limits` HubSpot's real windows are enforced, rolling and fixed, over a network
with up to 100 ms of jitter each way and one slow uplink in a hundred.
"""

import json
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from syncagent.sandbox import Sandbox

#: A fixed present: every run reads the same company.
PRESENT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def main(folder: str, *, limits: bool) -> None:
    """Serve until stdin ends."""
    rng = random.Random(1)
    with Sandbox(Path(folder), as_of=PRESENT, limits=limits) as sandbox:
        hubspot = sandbox.hubspot
        if limits:
            hubspot.windows = ("rolling", "fixed")
            for server in (hubspot, sandbox.salesforce):
                server.latency = (0.0, 0.1)
                server.slow_uplinks = 0.01
        else:
            hubspot.per_10s = 10_000  # what it says of its limit: a client that is told 190 keeps to it
        _say(str(sandbox.write_config(Path(folder) / "config.toml")))
        for line in sys.stdin:
            match line.split():
                case ["stats"]:
                    _say(json.dumps({"hs": _hubspot(sandbox), "sf": _salesforce(sandbox)}))
                case ["change", count]:
                    for _ in range(int(count)):
                        sandbox.change(rng)
                    sandbox.pass_time(60)
                    _say("done")
                case ["widen", kind, count]:
                    for number in range(int(count)):
                        hubspot.schema.add(kind, f"more_{number}", value=lambda record: f"text of {record.id}")
                    _say("done")
                case ["pad", kind, count]:
                    hubspot.store.pad(kind, int(count))
                    _say("done")
                case ["flood", sobject, count]:
                    sandbox.salesforce.shown.flood(sobject, int(count))
                    _say("done")


def _hubspot(sandbox: Sandbox) -> dict[str, float]:
    """Calls and searches so far, and how many of both were refused."""
    calls, searches = sandbox.hubspot.rate.calls.counted, sandbox.hubspot.rate.search.counted
    seen = {"calls": len(calls.arrivals), "searches": len(searches.arrivals)}
    return {**seen, "refused": calls.refused + searches.refused}


def _salesforce(sandbox: Sandbox) -> dict[str, float]:
    """Calls so far, of how many a day, how many were refused, and the seconds all were open."""
    server = sandbox.salesforce
    refused = sum(count for status, count in server.statuses.items() if status in (403, 429, 503))
    return {
        "calls": sum(server.calls.values()), "daily_limit": server.limits.daily_limit, "refused": refused,
        "busy_s": server.busy_s,
    }  # fmt: skip


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the answer to the parent


if __name__ == "__main__":
    main(sys.argv[1], limits="limits" in sys.argv[2:])
