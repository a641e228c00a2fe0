"""Which sources count for a scorecard, and when one of them is late."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scorecards.definition import Kpi
from scorecards.values import Freshness, instant
from syncagent import freshness
from syncagent.store import open_cache

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
KPIS = {
    "deals": Kpi(id="deals", of="opportunities"),
    "tickets": Kpi(id="tickets", of="tickets"),
    "mixed": Kpi.model_validate({"id": "mixed", "ratio": {"top": "deals.value", "bottom": "tickets"}}),
    "own": Kpi(id="own", sql="SELECT 1 AS value"),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path / "data")
    yield conn
    conn.close()


def synced(cache: sqlite3.Connection, source: str, stream: str, at: datetime | None, error: str | None = None) -> None:
    cache.execute(
        "INSERT INTO sync_state (source_name, stream, ok_at, error, error_at) VALUES (?, ?, ?, ?, ?)",
        (source, stream, instant(at) if at else None, error, instant(NOON) if error else None),
    )


def test_tables_follow_ratios_and_give_up_on_sql() -> None:
    assert freshness.tables_of(["deals"], KPIS) == {"opportunities"}
    assert freshness.tables_of(["mixed"], KPIS) == {"opportunities", "tickets"}
    assert freshness.tables_of(["deals", "own"], KPIS) is None


def test_a_source_is_as_old_as_its_oldest_stream_that_is_used(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "opportunities", NOON)
    synced(cache, "sf", "tickets", NOON - timedelta(hours=5))
    synced(cache, "hs", "contacts", NOON - timedelta(days=9))
    found = freshness.of_sources(cache, ["sf", "hs"], {"opportunities", "tickets"})
    assert found == [Freshness("sf", NOON - timedelta(hours=5))]
    assert freshness.late(found, NOON, 5 * 3600) == []
    assert freshness.late(found, NOON, 5 * 3600 - 1) == found


def test_a_source_never_synced_or_half_synced_is_late(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "opportunities", None, "it is down")
    found = freshness.of_sources(cache, ["sf", "new"], {"opportunities"})
    assert found == [Freshness("sf", None, "it is down", NOON), Freshness("new", None)]
    assert freshness.late(found, NOON, 10**9) == found
    assert freshness.sentence(found) == "sf never synced, new never synced"


def test_a_failed_login_is_an_error_of_the_source_and_no_stream(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "login", None, "the login was refused")
    synced(cache, "sf", "tickets", NOON)
    assert freshness.of_sources(cache, ["sf"], None) == [Freshness("sf", NOON, "the login was refused", NOON)]
