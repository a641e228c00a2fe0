"""What the facts say of single records: versions, merges, copies, tests."""

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from scorecards import definition
from scorecards.facts import FACTS
from syncagent import facts
from syncagent.identity import to_18
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put, snapshot


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    yield conn
    conn.close()


def test_one_version_of_each_record_is_known_at_any_time(cache: sqlite3.Connection) -> None:
    """Versions follow each other without gap or overlap."""
    put(cache, "tickets", "T", created_at="2026-01-01T00:00:00Z", status_category="closed")
    for number, (hour, category) in enumerate([(1, "open"), (3, "pending"), (5, "closed"), (7, "open"), (9, "closed")]):
        at = f"2026-01-02T0{hour}:00:00Z"
        put(cache, "ticket_status_history", f"S{number}", ticket_id="T", changed_at=at, status_category=category)
    facts.refresh(cache, REPORTING)
    rows = cache.execute("SELECT known_from, known_to, entry FROM fact_tickets ORDER BY known_from").fetchall()
    assert [r["entry"] for r in rows] == ["created", "continued", "closed", "reopened", "closed"]
    assert [r["known_to"] for r in rows[:-1]] == [r["known_from"] for r in rows[1:]]


def test_children_of_a_merged_account_belong_to_the_survivor(cache: sqlite3.Connection) -> None:
    """A chain of merges is followed for rows that were there before."""
    for name in "ABC":
        put(cache, "accounts", name)
    put(cache, "opportunities", "D", state="open", account_id="A", created_at="2026-01-01T00:00:00Z")
    facts.refresh(cache, REPORTING)
    put(cache, "accounts", "A", merged_into="B")
    put(cache, "accounts", "B", merged_into="C")
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT account_id FROM fact_opportunities").fetchone()[0] == "C"


def test_a_circle_of_merges_stops_nothing_else(cache: sqlite3.Connection, caplog: pytest.LogCaptureFixture) -> None:
    """Its own records are left out and named; all others are counted, and a mended chain counts again."""
    put(cache, "accounts", "A", merged_into="B")
    put(cache, "accounts", "B", merged_into="A")
    put(cache, "accounts", "into it", merged_into="A")
    put(cache, "accounts", "itself", merged_into="itself")
    put(cache, "accounts", "old", merged_into="new")
    put(cache, "accounts", "new")
    put(cache, "opportunities", "of nobody", state="open", account_id="into it")
    put(cache, "opportunities", "of somebody", state="open", account_id="old")
    put(cache, "opportunities", "O", state="open", merged_into="P")
    put(cache, "opportunities", "P", state="open", merged_into="O")
    facts.refresh(cache, REPORTING)
    held = dict(cache.execute("SELECT id, account_id FROM fact_opportunities").fetchall())
    assert held == {"of nobody": "into it", "of somebody": "new"}
    assert "circle" in caplog.text
    assert "A" in caplog.text
    put(cache, "accounts", "B", merged_into=None)
    facts.refresh(cache, REPORTING)
    assert dict(cache.execute("SELECT id, account_id FROM fact_opportunities").fetchall())["of nobody"] == "B"


@pytest.mark.parametrize("record_system", ["salesforce", "hubspot"])
def test_two_copies_of_one_deal_count_once(
    cache: sqlite3.Connection, record_system: Literal["salesforce", "hubspot"]
) -> None:
    """Whichever CRM's row counts, one does; a copy taken away leaves another (7.6)."""
    reporting = REPORTING.model_copy(update={"system_of_record": record_system})
    put(cache, "opportunities", "S", state="won", close_date="2026-01-05")
    for copy in ("H1", "H2", "H3"):
        put(cache, "opportunities", copy, source="hubspot", source_instance="p", state="won", close_date="2026-01-05",
            sf_opportunity_id="S")  # fmt: skip
    facts.refresh(cache, reporting)
    kept = {r[0] for r in cache.execute("SELECT id FROM fact_opportunities")}
    assert kept == ({"S"} if record_system == "salesforce" else {"H1"})
    put(cache, "opportunities", "H1", is_deleted=1)
    facts.refresh(cache, reporting)
    kept = {r[0] for r in cache.execute("SELECT id FROM fact_opportunities")}
    assert kept == ({"S"} if record_system == "salesforce" else {"H2"})


def test_a_copy_is_linked_to_the_org_its_portal_is_connected_with(cache: sqlite3.Connection) -> None:
    """A full copy of an org holds the same ids; a portal is connected with one org: the one most of its ids lie in."""
    for org in ("production", "copy of it"):
        for number in range(3 if org == "production" else 2):
            put(cache, "opportunities", f"{org} {number}", source_instance=org, source_id=f"00{number}", state="won",
                close_date="2026-01-05")  # fmt: skip
    for number in range(3):
        put(cache, "opportunities", f"H{number}", source="hubspot", source_instance="portal", state="won",
            close_date="2026-01-05", sf_opportunity_id=f"00{number}")  # fmt: skip
    facts.refresh(cache, REPORTING)
    linked = dict(cache.execute("SELECT id, dup_of FROM opportunities WHERE dup_of IS NOT NULL").fetchall())
    assert linked == {f"H{number}": f"production {number}" for number in range(3)}


def test_a_copy_comes_back_when_its_link_is_taken_away(cache: sqlite3.Connection) -> None:
    """Unlinking restores the former figures."""
    put(cache, "opportunities", "S", source="salesforce", state="won", close_date="2026-01-05")
    put(cache, "opportunities", "H", source="hubspot", state="won", close_date="2026-01-05", sf_opportunity_id="S")
    facts.refresh(cache, REPORTING)
    assert {r[0] for r in cache.execute("SELECT id FROM fact_opportunities")} == {"S"}
    put(cache, "opportunities", "H", sf_opportunity_id=None)
    facts.refresh(cache, REPORTING)
    assert {r[0] for r in cache.execute("SELECT id FROM fact_opportunities")} == {"S", "H"}


def test_a_test_rule_taken_back_frees_its_rows(cache: sqlite3.Connection) -> None:
    """What a rule marked comes back with the rule gone; what a file marked stays."""
    put(cache, "leads", "L1", name="ZZ Test", created_at="2026-01-01T00:00:00Z")
    put(cache, "leads", "L2", name="ZZ Own", created_at="2026-01-01T00:00:00Z", is_test=1)
    put(cache, "leads", "L3", name="Real", created_at="2026-01-01T00:00:00Z")
    rules = REPORTING.model_copy(update={"test_rows": definition.TestRows(names=("zz*",))})
    facts.refresh(cache, rules)
    assert {r[0] for r in cache.execute("SELECT DISTINCT id FROM fact_leads")} == {"L3"}
    facts.refresh(cache, REPORTING)
    assert {r[0] for r in cache.execute("SELECT DISTINCT id FROM fact_leads")} == {"L1", "L3"}


def test_an_unchanged_cache_costs_nothing(cache: sqlite3.Connection) -> None:
    """Nothing dirty, nothing derived."""
    put(cache, "leads", "L", created_at="2026-01-01T00:00:00Z")
    assert facts.refresh(cache, REPORTING) == 1
    assert facts.refresh(cache, REPORTING) == 0


def test_fifteen_characters_become_eighteen() -> None:
    """The check characters of a Salesforce id (docs/definitions.md)."""
    assert to_18("006R00000024gDt") == "006R00000024gDtIAI"
    assert to_18("006R00000024gDtIAI") == "006R00000024gDtIAI"
    assert to_18(None) is None


def test_a_renamed_record_is_a_test_no_longer(cache: sqlite3.Connection) -> None:
    """A rule marks what it hits today: renamed or handed to someone else, the record counts again."""
    rules = definition.TestRows(names=("test*",), owners=("qa@x.example",))
    reporting = REPORTING.model_copy(update={"test_rows": rules})
    put(cache, "users", "qa", email="qa@x.example")
    put(cache, "opportunities", "named", name="Test deal")
    put(cache, "opportunities", "owned", name="Deal", owner_id="qa")
    put(cache, "opportunities", "said so itself", name="Deal", is_test=1)
    facts.refresh(cache, reporting)
    assert [row[0] for row in cache.execute("SELECT DISTINCT id FROM fact_opportunities")] == []
    put(cache, "opportunities", "named", name="Real deal")
    put(cache, "opportunities", "owned", owner_id=None)
    facts.refresh(cache, reporting)
    found = cache.execute("SELECT DISTINCT id FROM fact_opportunities ORDER BY id")
    assert [row[0] for row in found] == ["named", "owned"]


def test_a_borrowed_account_follows_its_merges(cache: sqlite3.Connection) -> None:
    """An activity of a ticket is one of the ticket's account, and of whichever account that becomes."""
    put(cache, "accounts", "kept")
    put(cache, "accounts", "gone")
    put(cache, "tickets", "t", account_id="gone", created_at="2026-01-01T00:00:00Z")
    put(cache, "activities", "a", ticket_id="t", occurred_at="2026-01-02T00:00:00Z")
    facts.refresh(cache, REPORTING)
    for into, account in (("kept", "kept"), (None, "gone")):
        put(cache, "accounts", "gone", merged_into=into)
        facts.refresh(cache, REPORTING)
        assert cache.execute("SELECT account_id FROM fact_activities").fetchone()[0] == account


def test_an_import_of_very_many_leads_in_one_minute_is_seen_at_once(cache: sqlite3.Connection) -> None:
    """Each lead asks how many came with it: to count them all for each of them would take minutes."""
    row = ("salesforce", "sf", "o", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    stamps = ["2026-02-01T08:00:00Z"] * 20_000 + ["2026-02-01T08:01:00Z"] * 50 + ["2026-02-01T08:02:00Z"] * 51
    cache.executemany(
        "INSERT INTO leads (source, source_name, source_instance, first_seen_at, synced_at, id, source_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((*row, f"L{number}", f"L{number}", stamp) for number, stamp in enumerate(stamps)),
    )
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    cache.set_progress_handler(count, 1_000_000)
    facts.refresh(cache, REPORTING)
    cache.set_progress_handler(None, 0)
    imported = dict(cache.execute("SELECT created_at / 60 % 60, sum(is_imported) FROM fact_leads GROUP BY 1"))
    assert imported == {0: 20_000, 1: 0, 2: 51}
    assert steps < 100  # million of SQLite's steps; counted lead by lead they were thousands


def test_a_fact_with_other_columns_leaves_nothing_behind_in_those_it_feeds(cache: sqlite3.Connection) -> None:
    """A new version may begin between a row's deletion and its facts."""
    put(cache, "activities", "X", type="call", direction="outbound", status="completed", account_id="A",
        occurred_at="2026-01-05T00:00:00Z")  # fmt: skip
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT count(*) FROM fact_engagements").fetchone()[0]
    put(cache, "activities", "X", is_deleted=1)
    before = FACTS["activities"]
    after = replace(
        before,
        columns=(*before.columns, "another"),
        ddl=tuple(re.sub(r"\)$", ", another)", one) if "TABLE" in one else one for one in before.ddl),
        derive=lambda rows, book: ((*row, None) for row in before.derive(rows, book)),
    )
    later = {**FACTS, "activities": after}
    facts.install(cache, later)
    facts.refresh(cache, REPORTING, facts=later)
    kept = snapshot(cache, later)
    assert kept["fact_touches"] == kept["fact_engagements"] == []


def test_two_builds_wait_for_each_other(cache: sqlite3.Connection, tmp_path: Path) -> None:
    """Else the first to end calls whole what the other is still at."""
    for number in range(3):
        put(cache, "opportunities", f"D{number}", state="open", created_at="2026-01-01T00:00:00Z")
    other: list[threading.Thread] = []
    batches: list[str] = []

    def build() -> None:
        with closing(open_cache(tmp_path)) as conn:
            facts.refresh(conn, REPORTING, at_once=0, on_batch=lambda kind, _units: batches.append(kind))

    def meanwhile(_kind: str, _units: int) -> None:
        if not other:
            with closing(open_cache(tmp_path)) as conn:
                put(conn, "leads", "L", created_at="2026-01-01T00:00:00Z")
            other.append(threading.Thread(target=build))
            other[0].start()
            other[0].join(0.3)
            assert batches == []

    facts.refresh(cache, REPORTING, at_once=0, on_batch=meanwhile)
    other[0].join()
    assert batches == ["leads"]
    assert not facts.is_building(cache)
    assert cache.execute("SELECT count(*) FROM fact_leads").fetchone()[0] == 1
