"""The whole sandbox read by the real connectors: the cache and every built-in KPI equal its truth, over time too."""

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import connectors
from scorecards.evaluate import evaluate
from syncagent import facts
from syncagent.config import Config, load_config
from syncagent.demo_check import same
from syncagent.reconcile import Due, always, daily
from syncagent.sandbox import Sandbox
from syncagent.sandbox.truth.kpis import KPIS
from syncagent.schema import TABLES, column_types
from syncagent.store import open_cache, read_cache
from syncagent.sync import sync_source
from tests.fakes.truth_check import differences

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
SOURCES = {"salesforce": "sf", "hubspot": "hs"}
COLUMNS = {table: column_types(table) for table in TABLES}


def never(_last: datetime | None, _now: datetime) -> bool:
    return False


def sync(config: Config, sandbox: Sandbox, due: Due = daily) -> None:
    with closing(open_cache(config.agent.data_dir)) as cache:
        for name, settings in config.sources.items():
            with closing(
                connectors.build(
                    name, settings, currency=config.agent.currency, timezone=config.agent.timezone, columns=COLUMNS
                )
            ) as connector:
                reports = sync_source(connector, cache, clock=lambda: sandbox.now, due=due)
            assert [report.error for report in reports if report.error] == []
        facts.refresh(cache, config.reporting())


def wrong_kpis(config: Config, sandbox: Sandbox, as_of: datetime) -> list[str]:
    wrong = []
    with closing(read_cache(config.agent.data_dir)) as cache:
        for kpi in KPIS:
            result = evaluate(cache, config.kpis[kpi], config.kpis, config.reporting(), as_of=as_of)
            period = result.period
            expected = sandbox.kpi_truth(
                kpi, as_of=as_of, start=period.start if period else None, end=period.end if period else None
            )
            if not same(result.value, expected.value) or result.n != expected.n:
                wrong.append(f"{kpi} at {as_of}: {result.value} of {result.n}, not {expected.value} of {expected.n}")
    return wrong


@pytest.mark.slow
def test_cache_and_kpis_equal_the_truth_while_time_passes(tmp_path: Path) -> None:
    with Sandbox(tmp_path, as_of=AS_OF) as sandbox:
        config = load_config(sandbox.write_config(tmp_path / "config.toml"))
        for _ in range(3):
            sync(config, sandbox)
            with closing(read_cache(config.agent.data_dir)) as cache:
                for crm, name in SOURCES.items():
                    assert differences(cache, sandbox.truth(), name, crm) == []
            assert wrong_kpis(config, sandbox, sandbox.now) == []
            assert wrong_kpis(config, sandbox, sandbox.now - timedelta(days=6, hours=7)) == []
            assert sandbox.hubspot.count_429 == 0
            sandbox.advance(timedelta(days=2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_reconciliation_makes_the_cache_equal_after_anything(tmp_path: Path, seed: int) -> None:
    """Hard deletes, links, lines and formulas too, of which nothing tells an incremental sync."""
    rng = random.Random(seed)
    with Sandbox(tmp_path, seed=seed, as_of=AS_OF, limits=False, size="tiny") as sandbox:
        config = load_config(sandbox.write_config(tmp_path / "config.toml"))
        happened: list[str] = []
        for due, strict in ((never, False), (never, False), (always, True)):
            sync(config, sandbox, due)
            with closing(read_cache(config.agent.data_dir)) as cache:
                for crm, name in SOURCES.items():
                    assert differences(cache, sandbox.truth(strict=strict), name, crm) == [], happened
            for _ in range(12):
                happened.append(str(sandbox.change(rng)))
                sandbox.pass_time(rng.randrange(1, 900))
