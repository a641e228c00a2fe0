"""An activity kept in two CRMs counts once, with whom either of them says it was; apart again, as before."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.render.format import get
from scorecards.render.rows import crm_words
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put, rebuilt, snapshot

AS_OF = datetime(2026, 11, 5, tzinfo=UTC)
MORNING, NOON = "2026-10-06T09:00:00Z", "2026-10-06T12:00:00Z"
APART = REPORTING.model_copy(update={"never_links": (("h1", "s1"),)})


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        for place, source in (("s", "salesforce"), ("h", "hubspot")):
            own = {"source": source, "source_instance": source}
            put(conn, "users", f"{place} kim", **own, email="kim@acme.com", is_active=1)
            put(conn, "contacts", f"{place} ann", **own, email_norm="ann@zenith.com", account_id=f"{place} zenith")
            put(conn, "accounts", f"{place} zenith", **own, domain_norm="zenith.com", kind="customer")
        yield conn


def act(conn: sqlite3.Connection, id_: str, **values: Any) -> None:
    """A mail of ours, known by its message."""
    source = {"s": "salesforce", "h": "hubspot"}[id_[0]]
    said = {
        "source": source, "source_instance": source, "type": "email", "status": "completed", "direction": "outbound",
        "is_public": 1, "occurred_at": NOON, "created_at": NOON, "message_id": "<1@acme.com>",
    }  # fmt: skip
    put(conn, "activities", id_, **{**said, **values})


def result(conn: sqlite3.Connection, kpi: str | Kpi, reporting: Any = REPORTING) -> KpiResult:
    facts.refresh(conn, reporting)
    asked = BUILTINS[kpi] if isinstance(kpi, str) else kpi
    return evaluate(conn, asked, BUILTINS, reporting, as_of=AS_OF, period=parse_period("2026-10"))


def count(conn: sqlite3.Connection, relation: str, reporting: Any = REPORTING, **said: Any) -> Any:
    date = {"date": "occurred_at"} if relation != "inconsistencies" else {}
    kpi = Kpi.model_validate({"id": "own", "of": relation, "agg": "count", "n_min": 1, **date, **said})
    return result(conn, kpi, reporting).value


def test_it_is_counted_once_and_twice_when_kept_apart(cache: sqlite3.Connection) -> None:
    """In every relation made of activities."""
    act(cache, "s1", contact_id="s ann")
    act(cache, "h1", contact_id="h ann")
    for relation in ("activities", "approaches", "sent_mails"):
        assert [count(cache, relation, said) for said in (REPORTING, APART, REPORTING)] == [1, 2, 1], relation
    accounts = {"where": {"object": "accounts"}}
    assert [count(cache, "touches", said, **accounts) for said in (REPORTING, APART)] == [1, 2]


def test_a_figure_says_what_each_crm_holds(cache: sqlite3.Connection) -> None:
    act(cache, "s1", contact_id="s ann")
    assert "crm_bridge" not in result(cache, "outreach_volume").details
    act(cache, "h1", contact_id="h ann")
    act(cache, "h2", contact_id="h ann", message_id="<2@acme.com>")
    act(cache, "s3", occurred_at="2026-09-10T12:00:00Z", message_id="<3@acme.com>")
    act(cache, "h3", occurred_at="2026-09-10T12:00:00Z", message_id="<3@acme.com>")  # another month's
    found = result(cache, "outreach_volume")
    assert found.value == 2
    assert found.details["crm_bridge"] == {"hubspot": 2, "salesforce": 1, "linked": -1, "total": 2}
    assert crm_words(found, get("en-GB", "EUR", "Europe/Berlin")) == "HubSpot 2 + Salesforce 1 − 1 in both"
    assert "crm_bridge" not in result(cache, "outreach_volume", APART).details


def test_a_copy_is_of_the_account_its_original_is_of(cache: sqlite3.Connection) -> None:
    """Where it names none itself: then and when that becomes another's."""
    act(cache, "s1", account_id="s zenith")
    act(cache, "h1")
    put(cache, "accounts", "s other", kind="prospect")
    asked = Kpi.model_validate(
        {"id": "own", "of": "activities", "n_min": 1, "date": "occurred_at", "where": {"account.kind": "customer"}}
    )
    assert result(cache, asked).details["crm_bridge"] == {"hubspot": 1, "salesforce": 1, "linked": -1, "total": 1}
    act(cache, "s1", account_id="s other")
    assert result(cache, asked).value == 0
    assert "crm_bridge" not in result(cache, asked).details
    kept = snapshot(cache)
    assert rebuilt(cache) == kept


def test_whom_only_the_copy_names_was_reached(cache: sqlite3.Connection) -> None:
    """Salesforce files a mail under a case: with whom it was only HubSpot says, by its columns or by a link."""
    act(cache, "s1")
    act(cache, "h1", contact_id="h ann", thread_id="t", owner_id="h kim")
    act(
        cache,
        "h2",
        direction="inbound",
        message_id="<2@acme.com>",
        contact_id="h ann",
        occurred_at="2026-10-07T09:00:00Z",
    )
    asked = "SELECT contact_id, account_id, owner_id, thread_id FROM fact_activities WHERE id = 's1'"

    def seen() -> tuple[int, int]:
        facts.refresh(cache, REPORTING)
        kept = snapshot(cache)
        assert rebuilt(cache) == kept
        return tuple(cache.execute("SELECT COUNT(*), COUNT(replied_at) FROM fact_approaches").fetchone())

    assert seen() == (1, 1)
    assert tuple(cache.execute(asked).fetchone()) == ("s ann", "s zenith", "h kim", "t")
    act(cache, "h1", contact_id=None)
    assert seen() == (0, 0)
    put(cache, "activity_links", "N", activity_id="h1", object="contacts", object_id="h ann")
    assert seen() == (1, 1)
    put(cache, "activity_links", "N", is_deleted=1)
    assert seen() == (0, 0)


def test_the_copys_ticket_was_answered(cache: sqlite3.Connection) -> None:
    """Each CRM has a ticket of its own; what was said to the customer is the answer to both."""
    for place in "sh":
        put(cache, "tickets", f"{place} case", created_at=MORNING)
        act(cache, f"{place}1", ticket_id=f"{place} case")
    asked = "SELECT id, first_response_at IS NOT NULL FROM fact_tickets ORDER BY id"

    def answered() -> dict[str, int]:
        facts.refresh(cache, REPORTING)
        kept = snapshot(cache)
        assert rebuilt(cache) == kept
        return dict(cache.execute(asked).fetchall())

    assert answered() == {"h case": 1, "s case": 1}
    assert count(cache, "activities") == 1
    act(cache, "s1", ticket_id=None)
    assert answered() == {"h case": 1, "s case": 0}
    act(cache, "h1", ticket_id="s case")
    assert answered() == {"h case": 0, "s case": 1}
    act(cache, "h1", ticket_id="s case", is_deleted=1)
    assert answered() == {"h case": 0, "s case": 0}


def test_it_is_as_old_as_the_first_says(cache: sqlite3.Connection) -> None:
    act(cache, "s1", created_at="2026-11-04T00:00:00Z")
    act(cache, "h1")
    early = Kpi.model_validate({"id": "own", "of": "activities", "agg": "count", "n_min": 1, "date": "occurred_at"})
    facts.refresh(cache, REPORTING)
    before = datetime(2026, 11, 2, tzinfo=UTC)
    assert evaluate(cache, early, BUILTINS, REPORTING, as_of=before, period=parse_period("2026-10")).value == 1


def test_what_its_copy_is_linked_to_is_a_link(cache: sqlite3.Connection) -> None:
    """An activity without any link is a mistake in the data: not if another CRM has the link."""
    act(cache, "s1")
    unlinked = {"where": {"kind": "activity without any link"}}
    assert count(cache, "inconsistencies", **unlinked) == 1
    act(cache, "h1")
    put(cache, "activity_links", "N", activity_id="h1", object="contacts", object_id="h ann")
    assert count(cache, "inconsistencies", **unlinked) == 0
    act(cache, "h1", message_id=None)
    assert count(cache, "inconsistencies", **unlinked) == 1


def test_a_cache_of_an_earlier_version_counts_it_once(cache: sqlite3.Connection) -> None:
    """Nothing was ever linked there, and none of its rows changes."""
    act(cache, "s1", contact_id="s ann")
    act(cache, "h1", contact_id="h ann")
    assert count(cache, "approaches", APART) == 2
    for index in cache.execute("SELECT name FROM sqlite_master WHERE name LIKE 'activities_link_%'").fetchall():
        cache.execute(f"DROP INDEX {index[0]}")
    cache.execute("DELETE FROM link_sources WHERE object = 'activities'")
    cache.execute("DELETE FROM entity_links WHERE object = 'activities'")
    cache.execute("DELETE FROM link_decisions")
    cache.execute("UPDATE facts_meta SET value = '3' WHERE key = 'settings of links'")
    assert count(cache, "approaches") == 1
    kept = snapshot(cache)
    assert rebuilt(cache) == kept


_acts = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from("sh"),
        st.sampled_from([None, "<1@x>", "<2@X>", "<2@x>"]),
        st.sampled_from(["outbound", "outbound", "inbound"]),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=2,
    max_size=10,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=_acts, record_system=st.sampled_from(["salesforce", "hubspot"]))
def test_what_counts_is_all_of_each_crm_less_what_is_linked(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[Any, ...]], record_system: str
) -> None:
    """Counted naively from the rows: those of each CRM, and among them those another row stands for."""
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        for number, place, message, direction, deleted in acts:
            act(conn, f"{place}{number}", message_id=message, direction=direction, is_deleted=deleted)
        reporting = REPORTING.model_copy(update={"system_of_record": record_system})
        found = result(conn, "outreach_volume", reporting)
        rows = conn.execute(
            "SELECT source, dup_of IS NOT NULL FROM activities WHERE direction = 'outbound' AND is_deleted = 0"
        ).fetchall()
        copies = sum(row[1] for row in rows)
        assert (found.value or 0) == len(rows) - copies
        bridge = {source: sum(row[0] == source for row in rows) for source in sorted({row[0] for row in rows})}
        assert found.details.get("crm_bridge") == (
            {**bridge, "linked": -copies, "total": len(rows) - copies} if copies else None
        )
