"""Backfill and incremental sync of both CRMs, with the vendors' limits off and on: rates, shares, 429s, CPU, memory."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from connectors.salesforce.settings import SalesforceLimits
from syncagent.config import Config, load_config
from syncagent.store import open_cache
from syncagent.sync import sync_source
from syncagent.wiring import build_connector
from tests.bench.measure import Measured, measured

Line = tuple[str, str, str, str]

#: Contacts (HubSpot) and leads (Salesforce) beside the company's own, so that a rate is one of a steady state.
PADDED = 20_000
PADDED_WITH_LIMITS = 50_000
CHANGES = 200
#: The list path alone: so many contacts into an empty cache, with so many mapped properties.
LISTED, MAPPED = 50_000, 23
_OWN_MAPPED = 14
_GENERAL_PER_S, _SEARCH_PER_S = 19.0, 5.0
_AT_ONCE = SalesforceLimits().concurrent
NO_LIMITS = "limits       = { per_10s = 10000, search_per_s = 1000 }"


@dataclass(frozen=True, slots=True)
class Server:
    """The sandbox's process: its configuration, and a line to talk to it."""

    config: Path
    to: IO[str]
    back: IO[str]

    def ask(self, line: str) -> str:
        self.to.write(line + "\n")
        self.to.flush()
        return self.back.readline().strip()

    def seen(self, source: str) -> dict[str, float]:
        """What a source's server has seen so far."""
        found: dict[str, float] = json.loads(self.ask("stats"))[source]
        return found


@contextlib.contextmanager
def serving(folder: Path, *, limits: bool) -> Iterator[Server]:
    """The bundled servers in another process."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.bench.sandbox_server", str(folder), *(["limits"] if limits else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Server(Path(process.stdout.readline().strip()), process.stdin, process.stdout)
        process.stdin.close()


def crm_lines(folder: Path) -> list[Line]:
    """Eight lines: each CRM, limits off and on, from nothing and after some changes; and HubSpot's list path alone."""
    lines: list[Line] = []
    for limits in (False, True):
        with serving(folder / ("limited" if limits else "free"), limits=limits) as server:
            text = server.config.read_text(encoding="utf-8")
            if not limits:
                server.config.write_text(text.replace("[source.hs]", f"[source.hs]\n{NO_LIMITS}"), encoding="utf-8")
            config = load_config(server.config)
            server.ask(f"pad contacts {PADDED_WITH_LIMITS if limits else PADDED}")
            server.ask(f"flood Lead {PADDED_WITH_LIMITS if limits else PADDED}")
            for name in ("sf", "hs"):
                lines.append(_line(server, config, name, "backfill", limits=limits))
            server.ask(f"change {CHANGES}")
            for name in ("sf", "hs"):
                lines.append(_line(server, config, name, f"{CHANGES} changes", limits=limits))
    return [*lines, list_path_line(folder / "list")]


def list_path_line(folder: Path) -> Line:
    """HubSpot's list path without history, limits off, in a process of its own as a `sync` has it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.crm", str(folder)], stdout=subprocess.PIPE, text=True, check=True
    )
    title, rate, wall, cpu = json.loads(done.stdout)
    return title, rate, wall, cpu


def _list_path(folder: Path) -> Line:
    """Read, mapped and written; the best of three, by CPU."""
    more = MAPPED - _OWN_MAPPED
    with serving(folder, limits=False) as server:
        fields = ", ".join(f'"custom.more_{number}" = "more_{number}"' for number in range(more))
        text = server.config.read_text(encoding="utf-8")
        text = text.replace("[source.hs]", f"[source.hs]\n{NO_LIMITS}\nfields.contacts = {{ {fields} }}")
        server.config.write_text(text, encoding="utf-8")
        config = load_config(server.config)
        server.ask(f"widen contacts {more}")
        server.ask(f"pad contacts {LISTED}")
        tries = []
        for _ in range(3):
            shutil.rmtree(config.agent.data_dir, ignore_errors=True)
            tries.append(_sync(config, "hs", ["contacts"]))
    read, calls, took = min(tries, key=lambda one: one[2].cpu_s)
    cpu = f"{took.cpu_s / read * 1e6:.1f} ms CPU per 1,000, {took.peak_mb:.0f} MB, {calls} calls"
    title = f"hs: contacts by list, {MAPPED} properties"
    return title, f"{read:,} records, {read / took.wall_s:,.0f}/s", f"{took.wall_s:.1f} s", cpu


def _line(server: Server, config: Config, name: str, what: str, *, limits: bool) -> Line:
    before = server.seen(name)
    read, calls, took = _sync(config, name)
    now = server.seen(name)
    seen = {key: count - before[key] for key, count in now.items()}
    said = [f"{took.cpu_s / max(read, 1) * 1e6:.0f} ms CPU per 1,000", f"{took.peak_mb:.0f} MB", f"{calls} calls"]
    if name == "hs" and limits:
        general = seen["calls"] / took.wall_s / _GENERAL_PER_S
        search = seen["searches"] / took.wall_s / _SEARCH_PER_S
        said.append(f"{general:.0%} of general, {search:.0%} of search, {seen['refused']:.0f} x 429")
    if name == "sf" and limits:
        at_once = seen["busy_s"] / took.wall_s / _AT_ONCE
        day = seen["calls"] / now["daily_limit"]
        said.append(f"{at_once:.0%} of calls at once, {day:.2%} of the day's, {seen['refused']:.0f} refused")
    title = f"{name}: {what}, limits {'on' if limits else 'off'}"
    return title, f"{read:,} records, {read / took.wall_s:,.0f}/s", f"{took.wall_s:.1f} s", ", ".join(said)


def _sync(config: Config, name: str, streams: list[str] | None = None) -> tuple[int, int, Measured]:
    """One sync without facts: records read, calls made, and what it took."""
    with closing(open_cache(config.agent.data_dir)) as cache, closing(build_connector(config, name)) as connector:
        connector.check()  # the vendor's package is loaded and the login done before the clock runs
        with measured() as took:
            reports = sync_source(
                connector, cache, clock=lambda: datetime.now(UTC), due=lambda _last, _now: False, streams=streams
            )
    failed = [report.error for report in reports if report.error]
    if failed:
        raise SystemExit(f"{name}: {failed[0]}")
    return sum(report.read for report in reports), sum(report.calls for report in reports), took


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_list_path(Path(sys.argv[1]))))
