"""`make bench`: a table of what this machine does, made from generated data alone; some minutes.

The bundled servers run in a process of their own without rate limits; CPU and memory are this process's.
"""

import contextlib
import csv
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from scorecards.evaluate import evaluate
from syncagent import runs, sending
from syncagent.config import Config, load_config
from syncagent.mailer import Mailer
from syncagent.outbox import pump
from syncagent.store import open_cache, open_state, read_cache
from syncagent.sync import StreamReport, refresh_facts, sync_source
from syncagent.wiring import build_connector
from tests.bench import scale
from tests.bench.crm import crm_lines, serving
from tests.bench.measure import Measured, measured
from tests.bench.rows import PRESENT, fill

OPPORTUNITIES, TICKETS, CSV_ROWS, MESSAGES = 100_000, 200_000, 100_000, 50
#: Of the company `make bench-large` measures whole.
SCALE = 0.1

Line = tuple[str, str, str, str]


def main() -> None:
    """Measure everything and print one table."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="syncagent-bench-") as name:
        folder = Path(name)
        with _sandbox(folder / "sandbox") as config:
            lines += _syncs(config)
            lines += _messages(config)
            cards = {name: card.kpis for name, card in config.scorecards.items()}
        lines += crm_lines(folder / "crm")
        lines += _csv(folder)
        lines += _kpis(folder, cards)
    _say(
        f"{platform.machine()}, {platform.system()}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}"
    )
    for line in (("what", "how much", "wall", "our CPU and memory"), *lines):
        _say(f"{line[0]:<46} {line[1]:>24} {line[2]:>9}  {line[3]}")
    scale.main(SCALE)


@contextlib.contextmanager
def _sandbox(folder: Path) -> Iterator[Config]:
    """The bundled servers without limits; the configuration that goes with them, with one scorecard for many."""
    readers = ", ".join(f'"reader{number}@northwind.test"' for number in range(MESSAGES))
    with serving(folder, limits=False) as server:
        text = server.config.read_text(encoding="utf-8").replace(
            'to    = ["Dana Ruiz <vp.sales@northwind.test>", "kim.doe@northwind.example"]', f"to = [{readers}]"
        )
        own_limits = "limits       = { per_10s = 10000, search_per_s = 1000 }"
        text = text.replace("[source.hs]", f"[source.hs]\n{own_limits}")
        server.config.write_text(text, encoding="utf-8")
        yield load_config(server.config)


def _syncs(config: Config) -> list[Line]:
    """A full sync of each CRM, and one of what did not change."""
    lines = []
    with closing(open_cache(config.agent.data_dir)) as cache:
        for name in config.sources:
            reports, took = _sync(config, name, cache)
            lines.append(_rate(f"{name}: full sync, with facts", sum(r.changed for r in reports), took, "rows"))
        for name in config.sources:
            reports, took = _sync(config, name, cache, full=True)
            changed = sum(r.changed for r in reports)
            lines.append(
                _rate(f"{name}: the same again ({changed} changed)", sum(r.read for r in reports), took, "records")
            )
    return lines


def _sync(
    config: Config,
    name: str,
    cache: sqlite3.Connection,
    *,
    full: bool = False,
) -> tuple[list[StreamReport], Measured]:
    with closing(build_connector(config, name)) as connector:
        connector.check()  # the vendor's package is loaded and the login done before the clock runs
        with measured() as took:
            reports = sync_source(
                connector,
                cache,
                clock=lambda: datetime.now(UTC),
                full=full,
                reporting=config.reporting(),
            )
    failed = [report.error for report in reports if report.error]
    if failed:
        raise SystemExit(f"{name}: {failed[0]}")
    return reports, took


def _messages(config: Config) -> list[Line]:
    """One scorecard for fifty readers: computed once, rendered and handed over fifty times."""
    assert config.mail is not None

    def clock() -> datetime:
        return PRESENT

    with closing(read_cache(config.agent.data_dir)) as cache, closing(open_state(config.agent.data_dir)) as state:
        with measured() as made:
            sending.send_now(config, cache, state, "sales_weekly", clock=clock)
        with measured() as handed:
            report = pump(state, Mailer(config.mail), clock, owners=runs.owners(config))
    if report.sent != MESSAGES:
        raise SystemExit(f"only {report.sent} messages were sent: {report.trouble}")
    kpis = len(config.scorecards["sales_weekly"].kpis)
    return [
        _rate(f"scorecard of {kpis} KPIs, rendered", MESSAGES, made, "messages"),
        _rate("handed to the mail server", MESSAGES, handed, "messages"),
    ]


def _csv(folder: Path) -> list[Line]:
    """A CSV of tickets into an empty cache, then the same file again."""
    path = folder / "csv" / "tickets.csv"
    path.parent.mkdir()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["source_id", "created_at", "updated_at", "closed_at", "status", "priority", "subject", "owner_id"]
        )
        for number in range(CSV_ROWS):
            day = f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}"
            row = [f"T{number}", f"{day}T08:00:00Z", f"{day}T18:00:00Z", f"{day}T18:00:00Z", "closed", "normal"]
            writer.writerow([*row, f"Something that does not work, number {number}", f"U{number % 50}"])
    (path.parent / "config.toml").write_text(
        '[source.desk]\ntype = "files"\n[[source.desk.table]]\npath = "tickets.csv"\ntable = "tickets"\n'
    )
    config = load_config(path.parent / "config.toml")
    with closing(open_cache(config.agent.data_dir)) as cache:
        _, took = _sync(config, "desk", cache)
        _, again = _sync(config, "desk", cache, full=True)
    size = path.stat().st_size / 1e6
    return [
        _rate(f"CSV of {size:.0f} MB: load, with facts", CSV_ROWS, took, "rows"),
        _rate("CSV: the same again", CSV_ROWS, again, "rows"),
    ]


def _kpis(folder: Path, cards: Mapping[str, Sequence[str]]) -> list[Line]:
    """Every built-in KPI with its series over a large cache."""
    (folder / "large").mkdir()
    (folder / "large" / "config.toml").write_text(
        '[source.sf]\ntype = "files"\n[[source.sf.table]]\npath = "none.csv"\ntable = "tickets"\n'
    )
    config = load_config(folder / "large" / "config.toml")
    reporting = config.reporting()
    with closing(open_cache(config.agent.data_dir)) as cache:
        fill(cache, opportunities=OPPORTUNITIES, tickets=TICKETS)
        with measured() as facts:
            count = refresh_facts(cache, reporting)
        with measured() as nothing:
            refresh_facts(cache, reporting)
    lines = [
        _rate("facts of the large cache, from nothing", count, facts, "records"),
        ("facts, nothing changed", "", f"{nothing.wall_s:.3f} s", ""),
    ]
    each: list[tuple[float, str, str]] = []
    points = 0
    with closing(read_cache(config.agent.data_dir)) as cache, measured() as total:
        for name, kpi in config.kpis.items():
            with measured() as took:
                result = evaluate(cache, kpi, config.kpis, reporting, as_of=PRESENT, granularity="month")
            each.append((took.wall_s, name, result.status))
            points = max(points, len(result.series))
    lines.append(
        (
            f"all {len(each)} KPIs, {points} periods each",
            f"{OPPORTUNITIES // 1000}k deals, {TICKETS // 1000}k tickets",
            f"{total.wall_s:.2f} s",
            f"{total.cpu_s:.2f} s CPU, peak {total.peak_mb:.0f} MB (+{total.grown_mb:.0f})",
        )
    )
    seconds = {name: wall for wall, name, _ in each}
    for card, kpis in cards.items():
        lines.append((f"  the {len(kpis)} of {card}", "", f"{sum(seconds[name] for name in kpis):.2f} s", ""))
    slowest = sorted(each, reverse=True)[:5]
    lines += [(f"  {name} ({status})", "", f"{wall:.3f} s", "") for wall, name, status in slowest]
    return lines


def _rate(what: str, count: int, took: Measured, of: str) -> Line:
    return (
        what,
        f"{count / max(took.wall_s, 1e-9):,.0f} {of}/s",
        f"{took.wall_s:.2f} s",
        f"{took.cpu_s:.2f} s CPU, peak {took.peak_mb:.0f} MB (+{took.grown_mb:.0f})",
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
