"""Records that contradict themselves: each kind of contradiction found, and what looks like one left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import override
from scorecards.evaluate import evaluate
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 2, 9, tzinfo=UTC)
CREATED = "2026-05-01T10:00:00Z"
Put = tuple[str, str, dict[str, Any]]
#: What is put into the cache, and the records of the kind with what is said of them.
KINDS: dict[str, tuple[list[Put], dict[str, str]]] = {
    "won without amount": (
        [
            ("opportunities", "none", {"state": "won", "close_date": "2026-06-01"}),
            ("opportunities", "zero", {"state": "won", "close_date": "2026-06-01", "amount_minor": 0}),
            ("opportunities", "lost", {"state": "lost", "close_date": "2026-06-01"}),
            ("opportunities", "gone", {"state": "won", "close_date": "2026-06-01", "is_deleted": 1}),
            ("opportunities", "test", {"state": "won", "close_date": "2026-06-01", "name": "TEST deal"}),
        ],
        {"none": "no amount"},
    ),
    "closed without close date": (
        [
            ("opportunities", "won", {"state": "won", "amount_minor": 1, "currency": "EUR"}),
            ("opportunities", "lost", {"state": "lost"}),
            ("opportunities", "open", {"state": "open"}),
        ],
        {"won": "won, no close date", "lost": "lost, no close date"},
    ),
    "close date before creation": (
        [
            ("opportunities", "before", {"state": "lost", "close_date": "2026-04-30"}),
            ("opportunities", "same day", {"state": "lost", "close_date": "2026-05-01"}),
            # In Berlin it is the second of May already.
            (
                "opportunities",
                "late",
                {"state": "lost", "close_date": "2026-05-01", "created_at": "2026-05-01T23:00:00Z"},
            ),
        ],
        {"before": "closes 2026-04-30, created 2026-05-01", "late": "closes 2026-05-01, created 2026-05-02"},
    ),
    "closed deal with future date": (
        [
            ("opportunities", "future", {"state": "lost", "close_date": "2026-11-03"}),
            ("opportunities", "today", {"state": "lost", "close_date": "2026-11-02"}),
            ("opportunities", "open", {"state": "open", "close_date": "2026-12-03"}),
        ],
        {"future": "lost, close date 2026-11-03"},
    ),
    "two currencies without rate": (
        [
            ("fx_rates", "R", {"currency": "USD", "valid_from": "2026-06-01", "rate_to_reporting": 0.5}),
            ("opportunities", "ours", {"state": "open", "amount_minor": 1, "currency": "EUR"}),
            ("opportunities", "rated", {"state": "open", "amount_minor": 1, "currency": "USD"}),
            ("opportunities", "unrated", {"state": "open", "amount_minor": 1, "currency": "GBP"}),
            ("opportunities", "worthless", {"state": "open", "currency": "GBP"}),
            ("invoices", "too early", {"issued_date": "2026-05-31", "amount_minor": 1, "currency": "USD"}),
            ("orders", "order", {"order_date": "2026-06-02", "amount_minor": 1, "currency": "JPY"}),
        ],
        {"unrated": "GBP on 2026-11-02", "too early": "USD on 2026-05-31", "order": "JPY on 2026-06-02"},
    ),
    "ticket closed before created": (
        [
            ("tickets", "before", {"status_category": "closed", "closed_at": "2026-04-29T10:00:00Z"}),
            ("tickets", "at once", {"status_category": "closed", "closed_at": CREATED}),
            ("tickets", "open", {"status_category": "open"}),
        ],
        {"before": "created 2026-05-01, closed 2026-04-29"},
    ),
    "activity without any link": (
        [
            ("contacts", "kim", {}),
            ("activities", "alone", {"type": "call", "occurred_at": CREATED}),
            ("activities", "unlinked", {"type": "call", "occurred_at": CREATED}),
            ("activities", "named", {"type": "call", "occurred_at": CREATED, "contact_id": "kim"}),
            ("activities", "linked", {"type": "call", "occurred_at": CREATED}),
            ("activity_links", "L", {"activity_id": "linked", "object": "contacts", "object_id": "kim"}),
            ("activity_links", "M", {"activity_id": "unlinked", "object_id": "kim", "is_deleted": 1}),
        ],
        {"alone": "call of 2026-05-01", "unlinked": "call of 2026-05-01"},
    ),
    "inactive owner with open work": (
        [
            ("users", "gone", {"name": "Ann", "is_active": 0}),
            ("users", "here", {"name": "Ben", "is_active": 1}),
            ("opportunities", "deal", {"state": "open", "owner_id": "gone"}),
            ("opportunities", "done", {"state": "lost", "close_date": "2026-06-01", "owner_id": "gone"}),
            ("opportunities", "theirs", {"state": "open", "owner_id": "here"}),
            ("tickets", "ticket", {"status_category": "pending", "owner_id": "gone"}),
            (
                "tickets",
                "closed",
                {"status_category": "closed", "closed_at": "2026-06-01T00:00:00Z", "owner_id": "gone"},
            ),
            ("leads", "lead", {"status_category": "open", "owner_id": "gone"}),
            ("leads", "converted", {"status_category": "converted", "owner_id": "gone"}),
        ],
        dict.fromkeys(("deal", "ticket", "lead"), "open, of Ann"),
    ),
    "orphan link": (
        [
            ("accounts", "acme", {"source_id": "001"}),
            ("accounts", "deleted", {"is_deleted": 1}),
            ("accounts", "merged", {"is_deleted": 1, "merged_into": "acme"}),
            ("accounts", "copy", {"source": "hubspot", "source_name": "hs", "sf_account_id": "001DOESNOTEXIST"}),
            ("tickets", "lost its account", {"status_category": "open", "account_id": "nowhere"}),
            ("tickets", "account deleted", {"status_category": "open", "account_id": "deleted"}),
            ("tickets", "account merged", {"status_category": "open", "account_id": "merged"}),
            ("tickets", "kept", {"status_category": "open", "account_id": "acme"}),
            # Contacts are not read at all: nobody can say that one is missing.
            ("tickets", "unread", {"status_category": "open", "contact_id": "kim"}),
        ],
        {
            "copy": "sf_account_id = 001DOESNOTEXIST, which was never synced",
            "lost its account": "its account is not there",
            "account deleted": "its account is not there",
        },
    ),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def told(cache: sqlite3.Connection, **table: Any) -> KpiResult:
    reporting = REPORTING.model_copy(update={"test_rows": REPORTING.test_rows.model_copy(update={"names": ("TEST*",)})})
    facts.refresh(cache, reporting)
    kpi = override(BUILTINS["dq_inconsistencies"], table)
    result = evaluate(cache, kpi, BUILTINS, reporting, as_of=AS_OF)
    assert result.status == "ok", result.reason
    return result


def listed(result: KpiResult) -> dict[str, str]:
    assert result.actions is not None
    return {row.id: row.reason for row in result.actions.rows}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_and_nothing_else(cache: sqlite3.Connection, kind: str) -> None:
    rows, found = KINDS[kind]
    for table, id_, values in rows:
        put(cache, table, id_, **{"created_at": CREATED, **values})
    result = told(cache, where={"kind": kind})
    assert listed(result) == {id_: f"{kind}: {what}" for id_, what in found.items()}
    assert result.value == len(found)


def test_links_at_odds_are_found(cache: sqlite3.Connection) -> None:
    """A contact names one of Salesforce as its own, and has the e-mail address of another."""
    put(cache, "contacts", "named", created_at=CREATED)
    put(cache, "contacts", "of that address", email_norm="kim@acme.test", created_at=CREATED)
    put(cache, "contacts", "hubspot", source="hubspot", source_name="hs", source_instance="p", created_at=CREATED,
        sf_contact_id="named", email_norm="kim@acme.test")  # fmt: skip
    result = told(cache, where={"kind": "link conflict"})
    why = "the same e-mail address; that would make two live records of one CRM the same"
    assert (listed(result), result.value) == ({"named": f"link conflict: {why}"}, 1)


def test_two_deals_that_name_one_opportunity_are_told(cache: sqlite3.Connection) -> None:
    """Both are out of every sum, and one of them is most likely another deal: the one that counts is told of."""
    deal = {"state": "open", "created_at": CREATED}
    for id_, gone in (("twice", 0), ("once", 0), ("was twice", 0)):
        put(cache, "opportunities", id_, name=id_.title(), **deal, is_deleted=gone)
    for id_, named, gone in (
        ("h1", "twice", 0), ("h2", "twice", 0), ("h3", "once", 0), ("h4", "was twice", 0), ("h5", "was twice", 1),
    ):  # fmt: skip
        put(cache, "opportunities", id_, source="hubspot", source_name="hs", source_instance="p", name=f"Deal {id_}",
            sf_opportunity_id=named, is_deleted=gone, **deal)  # fmt: skip
    result = told(cache, where={"kind": "two deals of one opportunity"})
    assert listed(result) == {"twice": "two deals of one opportunity: named by Deal h1, Deal h2"}
    assert result.value == 1


def test_counts_by_kind_and_the_first_of_each_with_their_links(cache: sqlite3.Connection) -> None:
    for number in range(30):
        put(cache, "opportunities", f"D{number:02}", name=f"Deal {number}", url=f"https://crm.test/{number}",
            state="won", close_date="2026-06-01", created_at=CREATED)  # fmt: skip
    put(cache, "tickets", "T", subject="Broken", url="https://crm.test/T", status_category="closed",
        created_at=CREATED, closed_at="2026-04-29T10:00:00Z")  # fmt: skip
    result = told(cache)
    assert result.value == 31
    assert {part.segment: part.value for part in result.segments} == {
        "won without amount": 30, "ticket closed before created": 1
    }  # fmt: skip
    assert result.actions is not None
    assert (len(result.actions.rows), result.actions.total) == (20, 31)
    assert {(row.title, row.url) for row in result.actions.rows[:2]} == {
        ("Deal 0", "https://crm.test/0"), ("Broken", "https://crm.test/T")
    }  # fmt: skip


def test_what_is_put_right_is_gone(cache: sqlite3.Connection) -> None:
    put(cache, "opportunities", "D", state="won", close_date="2026-06-01", created_at=CREATED)
    assert told(cache).value == 1
    put(cache, "opportunities", "D", amount_minor=100, currency="EUR")
    assert told(cache).value == 0


def test_a_record_is_counted_once_for_each_kind(cache: sqlite3.Connection) -> None:
    put(cache, "opportunities", "D", state="won", close_date="2027-06-01", created_at=CREATED)
    assert {part.segment for part in told(cache).segments} == {"won without amount", "closed deal with future date"}
