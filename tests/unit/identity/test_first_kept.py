"""A record kept in several CRMs is as old as the first of them says."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put, rebuilt, snapshot

EARLY, LATE = "2026-01-05T09:00:00Z", "2026-02-05T09:00:00Z"
LINKS = {"accounts": "sf_account_id", "contacts": "sf_contact_id", "opportunities": "sf_opportunity_id"}
#: Where figures read since when a record is there.
ASKED = {
    "accounts": "SELECT created_at FROM fact_seen_to WHERE id = 'S' AND object = 'accounts'",
    "contacts": "SELECT created_at FROM fact_contacts WHERE id = 'S'",
    "opportunities": "SELECT created_at FROM fact_opportunities WHERE id = 'S' ORDER BY known_from LIMIT 1",
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def epoch(conn: sqlite3.Connection, instant: str) -> Any:
    return conn.execute("SELECT CAST(strftime('%s', ?) AS INTEGER)", (instant,)).fetchone()[0]


@pytest.mark.parametrize("table", sorted(LINKS))
def test_it_is_as_old_as_its_oldest_copy(cache: sqlite3.Connection, table: str) -> None:
    """As long as there is such a copy: changed, deleted or parted, it says nothing any more."""

    def since() -> Any:
        facts.refresh(cache, REPORTING)
        found = cache.execute(ASKED[table]).fetchone()[0]
        kept = snapshot(cache)
        assert rebuilt(cache) == kept
        return found

    put(cache, table, "S", created_at=LATE)
    copy = {"source": "hubspot", "source_instance": "portal", LINKS[table]: "S"}
    put(cache, table, "H", **copy, created_at=EARLY)
    put(cache, table, "H2", **copy, created_at=None)
    assert since() == epoch(cache, EARLY)
    put(cache, table, "H", created_at="2026-03-05T09:00:00Z")
    assert since() == epoch(cache, LATE)
    put(cache, table, "H", created_at=EARLY)
    assert since() == epoch(cache, EARLY)
    put(cache, table, "H", is_deleted=1)
    assert since() == epoch(cache, LATE)
    put(cache, table, "H", is_deleted=0)
    assert since() == epoch(cache, EARLY)
    put(cache, table, "H", **{LINKS[table]: None})
    assert since() == epoch(cache, LATE)
    put(cache, table, "H", **{LINKS[table]: "S"})
    assert since() == epoch(cache, EARLY)
    cache.execute(f"DELETE FROM {table} WHERE id = 'H'")
    assert since() == epoch(cache, LATE)
