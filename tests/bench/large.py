"""`make bench-large`: a million records of each kind of source into a fresh cache, for what that does with memory.

python -m tests.bench.large [ROWS]: each case in a process of its own, through the whole of `sync_source`, facts
included; the bundled servers in another. Some minutes of wall time for each million. The last case reads both CRMs
one after the other in one process, as the daemon does.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from syncagent.config import load_config
from syncagent.store import open_cache
from syncagent.sync import Progress, StreamReport, refresh_facts, sync_source
from syncagent.wiring import build_connector
from tests.bench.crm import NO_LIMITS, serving

ROWS = 1_000_000
#: Of each kind in the case that reads both CRMs in full.
OF_EACH = 20_000
#: Memory by then is held against the peak at the end.
EARLY = 100_000
_NEVER = 1_000_000_000


@dataclass(slots=True)
class Took:
    """What one process did: `read` records of a source's streams, its memory early, at its highest, and after facts."""

    read: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    early_mb: float = 0.0
    read_mb: float = 0.0
    facts_s: float = 0.0
    peak_mb: float = 0.0
    cache_mb: float = 0.0


def main(rows: int) -> None:
    """Every case, a line each as soon as it is known."""
    _say(
        f"{'what':<28}{'records/s':>11}{'CPU ms/1,000':>14}{'MB at 100k':>12}{'reading':>9}{'with facts':>12}"
        f"{'cache MB':>10}"
    )
    with tempfile.TemporaryDirectory(prefix="syncagent-large-") as name:
        for title, took in _cases(Path(name), rows):
            rate, cpu = took.read / took.wall_s, took.cpu_s / took.read * 1e6
            _say(
                f"{title:<28}{rate:>11,.0f}{cpu:>14.1f}{took.early_mb:>12.0f}{took.read_mb:>9.0f}{took.peak_mb:>12.0f}"
                f"{took.cache_mb:>10,.0f}"
            )


def _cases(folder: Path, rows: int) -> Iterator[tuple[str, Took]]:
    with serving(folder / "million", limits=False) as server:
        text = server.config.read_text(encoding="utf-8").replace("[source.hs]", f"[source.hs]\n{NO_LIMITS}")
        server.config.write_text(text, encoding="utf-8")
        server.ask(f"flood Lead {rows}")
        server.ask(f"pad contacts {rows}")
        yield "Salesforce leads by Bulk", apart(server.config, "sf:leads")
        by_rest = text.replace("[source.sf]", f"[source.sf]\nbulk_from = {_NEVER}")
        server.config.write_text(by_rest, encoding="utf-8")
        yield "Salesforce leads by REST", apart(server.config, "sf:leads")
        yield "HubSpot contacts by list", apart(server.config, "hs:contacts")
    yield "CSV of tickets", apart(_file(folder / "files", rows), "desk:tickets")
    with serving(folder / "both", limits=False) as server:
        text = server.config.read_text(encoding="utf-8").replace("[source.hs]", f"[source.hs]\n{NO_LIMITS}")
        server.config.write_text(text, encoding="utf-8")
        for line in ("flood Lead", "flood Contact", "flood Task", "pad contacts", "pad companies", "pad deals"):
            server.ask(f"{line} {OF_EACH}")
        yield "both CRMs, all streams", apart(server.config, "sf", "hs")


def _file(folder: Path, rows: int) -> Path:
    """A CSV of tickets and its configuration."""
    folder.mkdir()
    with (folder / "tickets.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["source_id", "created_at", "updated_at", "closed_at", "status", "priority", "subject"])
        for number in range(rows):
            day = f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            made, done = f"{day}T08:00:00Z", f"{day}T18:00:00Z"
            writer.writerow([f"T{number}", made, done, done, "closed", "normal", f"It does not work, number {number}"])
    config = folder / "config.toml"
    config.write_text('[source.desk]\ntype = "files"\n[[source.desk.table]]\npath = "tickets.csv"\ntable = "tickets"\n')
    return config


def apart(config: Path, *what: str, facts: bool = True) -> Took:
    """`SOURCE` or `SOURCE:STREAM`, one after the other into a fresh cache, in a process of its own."""
    data = load_config(config).agent.data_dir
    for file in data.glob("cache.db*"):
        file.unlink()
    command = [sys.executable, "-m", "tests.bench.large", "--one" if facts else "--read", str(config), *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Took(**json.loads(done.stdout))


def _one(path: Path, what: Sequence[str], *, facts: bool) -> None:
    """In the child: sync, and print what it took."""
    config = load_config(path)
    took = Took()
    seen: dict[tuple[str, str], int] = {}

    def watch(progress: Progress) -> None:
        seen[progress.source, progress.stream] = progress.read
        if not took.early_mb and sum(seen.values()) >= EARLY:
            took.early_mb = peak_mb()

    with closing(open_cache(config.agent.data_dir)) as cache:
        for source, _, stream in (one.partition(":") for one in what):
            with closing(build_connector(config, source)) as connector:
                began, cpu = time.perf_counter(), time.process_time()
                reports = sync_source(
                    connector,
                    cache,
                    clock=lambda: datetime.now(UTC),
                    streams=[stream] if stream else None,
                    on_progress=watch,
                )
                took.wall_s += time.perf_counter() - began
                took.cpu_s += time.process_time() - cpu
            took.read += _read(reports)
        took.read_mb = peak_mb()
        began = time.perf_counter()
        if facts:
            refresh_facts(cache, config.reporting())
        took.facts_s = time.perf_counter() - began
        took.peak_mb = peak_mb()
        took.cache_mb = sum(file.stat().st_size for file in config.agent.data_dir.glob("cache.db*")) / 1e6
    _say(json.dumps(asdict(took)))


def _read(reports: Sequence[StreamReport]) -> int:
    for report in reports:
        if report.error:
            raise SystemExit(f"{report.source} {report.stream}: {report.error}")
    return sum(report.read for report in reports)


def peak_mb() -> float:
    """The most memory this process has had. Not `ru_maxrss`: a new program inherits that of the one that began it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] in (["--one"], ["--read"]):
        _one(Path(sys.argv[2]), sys.argv[3:], facts=sys.argv[1] == "--one")
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
