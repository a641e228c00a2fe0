"""A scorecard over three years of a large company, and what plain SQL takes for the same figures.

A tenth of it is part of `make bench`, the whole of `make bench-large`.

python -m tests.bench.scale [SHARE]: SHARE of 1,000,000 deals, 2,000,000 tickets, 3,000,000 activities (1 unless told).
Each step in a process of its own; a cold one begins with nothing of the file in the system's memory.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from syncagent import issues, kept
from syncagent.config import Config, load_config
from syncagent.store import open_cache, read_cache, transaction
from syncagent.sync import refresh_facts
from tests.bench.measure import measured
from tests.bench.rows import DAYS, PRESENT, fill, text

DEALS, TICKETS, ACTIVITIES = 1_000_000, 2_000_000, 3_000_000
#: A customer has ten deals, twenty tickets and thirty activities in the three years.
ACCOUNTS = 100_000
#: The shorter history: as many rows a day, for so many days.
SHORT_DAYS = 90
CHANGED = 1_000
_KPIS = (
    "won_revenue", "win_rate", "lost_opportunities", "pipeline_open_value", "sales_growth", "lead_conversion_rate",
    "lead_response_time", "new_customers", "customer_retention_rate", "ticket_backlog", "first_response_time",
    "mean_time_to_resolution", "full_resolution_rate", "csat_score", "outreach_volume",
)  # fmt: skip
#: Those that can be split by whose they are and by priority or state, each with two splits.
_SPLIT = {
    "won_revenue": ("team", "account"), "lost_opportunities": ("team", "account"),
    "ticket_backlog": ("team", "priority"), "first_response_time": ("team", "priority"),
    "mean_time_to_resolution": ("team", "priority"),
}  # fmt: skip
_CONFIG = """
[source.sf]
type = "files"
[[source.sf.table]]
path = "none.csv"
table = "tickets"

[dimension]
team     = {{ leads = "owner.team", opportunities = "owner.team", tickets = "owner.team" }}
account  = {{ opportunities = "account.kind" }}
priority = {{ tickets = "priority" }}
{splits}
[scorecard.all]
title  = "All"
send   = "monday 08:00"
period = "week"
kpis   = [{kpis}]
to     = ["reader@example.test"]

[mail]
host = "127.0.0.1"
from = "a@example.test"
"""
#: A figure of each of 13 weeks, from the canonical tables alone: KPI -> statement with the week's first and last day.
_LIVE = "is_deleted = 0 AND merged_into IS NULL AND dup_of IS NULL AND is_test = 0"
_PLAIN = {
    "won_revenue": f"SELECT SUM(amount_minor) / 100.0 FROM opportunities WHERE state = 'won' AND {_LIVE}"
    " AND close_date >= :first AND close_date < :last",
    "lost_opportunities": f"SELECT COUNT(*) FROM opportunities WHERE state = 'lost' AND {_LIVE}"
    " AND close_date >= :first AND close_date < :last",
    "ticket_backlog": f"SELECT COUNT(*) FROM tickets WHERE {_LIVE} AND created_at < :last"
    " AND (closed_at IS NULL OR closed_at >= :last)",
    "outreach_volume": f"SELECT COUNT(*) FROM activities WHERE {_LIVE} AND direction = 'outbound'"
    " AND status = 'completed' AND type IN ('call', 'email') AND occurred_at >= :first AND occurred_at < :last",
}


def main(share: float) -> None:
    """Every step, a line each as soon as it is known."""
    with tempfile.TemporaryDirectory(prefix="syncagent-scale-") as name:
        long, short = Path(name) / "long", Path(name) / "short"
        for folder, days in ((long, DAYS), (short, SHORT_DAYS)):
            built = _apart("build", folder, share, days)
            size = (folder / "data" / "cache.db").stat().st_size / 1e6
            _say(
                f"{days:>5} days: {built['rows']:,} rows in {size:,.0f} MB; facts of {built['records']:,} records from"
                f" nothing {built['wall']:.0f} s, peak {built['peak']:.0f} MB"
            )
        cold, warm = _apart("card", long, "cold"), _apart("card", long, "warm")
        _apart("card", short, "cold")
        brief = _apart("card", short, "warm")
        _say(f"scorecard of {len(_KPIS)} KPIs, 13 weeks, two splits of {len(_SPLIT)}:")
        _say(f"    cold {cold['first']:.2f} s, again {warm['first']:.2f} s, in one process {warm['again']:.2f} s,")
        _say(
            f"    peak {warm['peak']:.0f} MB; over {SHORT_DAYS} days {brief['first']:.2f} s:"
            f" ratio {warm['first'] / brief['first']:.2f}, in one process {warm['again'] / brief['again']:.2f}"
        )
        for kpi, seconds in sorted(warm["each"].items(), key=lambda one: -one[1])[:5]:
            _say(f"      {kpi:<26}{seconds:.3f} s")
        changed = _apart("change", long)
        _say(
            f"{CHANGED} records changed: facts brought up to date in {changed['wall']:.2f} s;"
            f" the scorecard then {changed['card']:.2f} s"
        )
        plain = _apart("plain", long)
        _say(
            f"{len(_PLAIN)} of them by plain SQL {plain['plain']:.2f} s, as KPIs {plain['kpis']:.2f} s;"
            f" {plain['differ']} of {plain['figures']} figures differ"
        )


def _apart(step: str, folder: Path, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.scale", "--step", step, str(folder), *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- steps, each in a process of its own ------------------------------------------------------------------------


def build(folder: str, share: str, days: str) -> dict[str, Any]:
    """Rows and facts of a company."""
    Path(folder).mkdir(parents=True)
    config = _config(Path(folder))
    part = float(share) * int(days) / DAYS
    deals, tickets, activities = (round(count * part) for count in (DEALS, TICKETS, ACTIVITIES))
    accounts = round(ACCOUNTS * float(share))
    with closing(open_cache(config.agent.data_dir)) as cache:
        fill(cache, opportunities=deals, tickets=tickets, activities=activities, accounts=accounts, days=int(days))
        with measured() as took:
            records = refresh_facts(cache, config.reporting())
        refresh_facts(cache, config.reporting())  # as after every later sync: nothing is left to be followed
        cache.execute("PRAGMA optimize")
    return {"rows": deals + tickets + activities, "records": records, "wall": took.wall_s, "peak": took.peak_mb}


def card(folder: str, how: str) -> dict[str, Any]:
    """The scorecard twice."""
    config = _config(Path(folder))
    if how == "cold":
        _forget(config.agent.data_dir / "cache.db")
    with measured() as took:
        first, _ = _scorecard(config)
        again, each = _scorecard(config)
    return {"first": first, "again": again, "each": each, "peak": took.peak_mb}


def plain(folder: str) -> dict[str, Any]:
    """Figures of 13 weeks by plain SQL, and as KPIs without splits of which nothing is kept."""
    config = _config(Path(folder), splits={})
    monday = PRESENT.date() - timedelta(days=PRESENT.weekday())
    weeks = [(monday - timedelta(weeks=back), monday - timedelta(weeks=back - 1)) for back in range(13, 0, -1)]
    found: dict[str, list[float]] = {}
    with closing(open_cache(config.agent.data_dir)) as cache, transaction(cache):
        kept.forget(cache)
    with closing(read_cache(config.agent.data_dir)) as cache:
        began = time.perf_counter()
        for name, statement in _PLAIN.items():
            rows = [
                cache.execute(statement, {"first": first.isoformat(), "last": last.isoformat()}).fetchone()
                for first, last in weeks
            ]
            found[name] = [float(row[0] or 0) for row in rows]
        by_sql = time.perf_counter() - began
        only = config.scorecards["all"].model_copy(update={"kpis": tuple(_PLAIN)})
        began = time.perf_counter()
        results = {result.kpi: result for result in issues.values(config, cache, only, PRESENT)}
        by_kpi = time.perf_counter() - began
    told = {name: [float(point.value or 0) for point in result.series] for name, result in results.items()}
    pairs = [pair for name in _PLAIN for pair in zip(found[name], told[name], strict=True)]
    differ = sum(abs(one - other) > 0.01 for one, other in pairs)
    return {"plain": by_sql, "kpis": by_kpi, "figures": len(pairs), "differ": differ}


def change(folder: str) -> dict[str, Any]:
    """So many records changed all over the years, and what follows from it."""
    config = _config(Path(folder))
    dice = random.Random(7)
    with closing(open_cache(config.agent.data_dir)) as cache:
        with transaction(cache):
            for number in range(CHANGED):
                table = ("opportunities", "tickets", "activities")[number % 3]
                count = cache.execute(f"SELECT MAX(rowid) FROM {table}").fetchone()[0]
                cache.execute(
                    f"UPDATE {table} SET updated_at = ?, owner_id = 'sf:users:U1' WHERE rowid = ?",
                    (text(PRESENT), dice.randrange(1, count)),
                )
        with measured() as took:
            refresh_facts(cache, config.reporting())
    seconds, _ = _scorecard(config)
    return {"wall": took.wall_s, "card": seconds}


def _config(folder: Path, splits: Mapping[str, Sequence[str]] = _SPLIT) -> Config:
    path = folder / "config.toml"
    said = "".join(f"[kpi.{name}]\nby = {json.dumps(by)}\n" for name, by in splits.items())
    path.write_text(_CONFIG.format(splits=said, kpis=", ".join(f'"{name}"' for name in _KPIS)), encoding="utf-8")
    return load_config(path)


def _scorecard(config: Config) -> tuple[float, dict[str, float]]:
    """Seconds of the scorecard as a run computes it, and of each of its KPIs alone."""
    with closing(read_cache(config.agent.data_dir)) as cache:
        began = time.perf_counter()
        results = issues.values(config, cache, config.scorecards["all"], PRESENT)
        took = time.perf_counter() - began
        each = {}
        for name in _KPIS:
            only = config.scorecards["all"].model_copy(update={"kpis": (name,)})
            began = time.perf_counter()
            issues.values(config, cache, only, PRESENT)
            each[name] = time.perf_counter() - began
    bad = [f"{result.kpi}: {result.status} {result.reason}" for result in results if result.status == "error"]
    if bad:
        raise SystemExit("\n".join(bad))
    return took, each


def _forget(path: Path) -> None:
    """Have the system forget what it holds of a file, so far as it can be asked to."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {"build": build, "card": card, "plain": plain, "change": change}


def _say(line: str) -> None:
    sys.stdout.write(f"{line.rstrip()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        sys.stdout.write(json.dumps(_STEPS[sys.argv[2]](*sys.argv[3:])))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
