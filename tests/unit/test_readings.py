"""Readings of single KPIs that are easily got wrong: whom they count, in which money, and what their lists say."""

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
from scorecards.periods import parse_period
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def told(cache: sqlite3.Connection, name: str, period: str | None = "2026-10", **table: Any) -> KpiResult:
    facts.refresh(cache, REPORTING)
    kpi = override(BUILTINS[name], {"n_min": 1, **table})
    span = parse_period(period) if period else None
    return evaluate(cache, kpi, {**BUILTINS, name: kpi}, REPORTING, as_of=AS_OF, period=span)


def call(cache: sqlite3.Connection, id_: str, at: str = "2026-10-10T10:00:00Z", **values: Any) -> None:
    put(cache, "activities", id_, type="call", direction="outbound", status="completed", occurred_at=at, **values)


def test_people_gone_before_the_first_sync_do_not_count_as_users_of_the_crm(cache: sqlite3.Connection) -> None:
    first = "2026-11-02T08:00:00Z"
    for number in range(4):
        put(cache, "users", f"here {number}", is_active=1, created_at="2020-01-01T00:00:00Z", first_seen_at=first)
        call(cache, f"call {number}", owner_id=f"here {number}")
    put(cache, "users", "gone", is_active=0, created_at="2019-01-01T00:00:00Z", first_seen_at=first,
        first_seen_inactive_at=first)  # fmt: skip
    result = told(cache, "crm_adoption_rate")
    assert (result.value, result.n) == (1.0, 4)


def test_a_payment_in_another_currency_is_converted_though_every_invoice_is_in_ours(cache: sqlite3.Connection) -> None:
    put(cache, "fx_rates", "R", currency="USD", valid_from="2020-01-01", rate_to_reporting=0.5)
    put(cache, "invoices", "V", issued_date="2026-10-01", amount_minor=100_000, currency="EUR", status="open")
    put(cache, "payments", "P", invoice_id="V", paid_date="2026-10-05", amount_minor=100_000, currency="USD")
    result = told(cache, "average_collection_period")
    assert result.value == pytest.approx(15.5)  # half of the month's sales is owed: half of its 31 days


def test_a_contact_with_an_account_is_the_same_customer_on_the_phone_and_in_a_ticket(cache: sqlite3.Connection) -> None:
    put(cache, "accounts", "old", merged_into="A")
    put(cache, "accounts", "A")
    put(cache, "contacts", "C1", account_id="old")
    put(cache, "tickets", "T", created_at="2026-10-01T00:00:00Z", closed_at="2026-10-05T10:00:00Z",
        status_category="closed", contact_id="C1")  # fmt: skip
    put(cache, "activities", "X", type="call", direction="inbound", status="completed", connected=1,
        occurred_at="2026-10-05T12:00:00Z", contact_id="C1")  # fmt: skip
    assert told(cache, "peak_customer_capacity", None).value == 1


def test_an_activity_that_names_a_merged_deal_or_ticket_is_of_the_account_of_what_stands_for_it(
    cache: sqlite3.Connection,
) -> None:
    for table in ("opportunities", "tickets"):
        put(cache, table, f"{table} old", merged_into=f"{table} new")
        put(cache, table, f"{table} new", account_id="A", created_at="2026-01-01T00:00:00Z")
    call(cache, "of a deal", opportunity_id="opportunities old")
    call(cache, "of a ticket", ticket_id="tickets old")
    facts.refresh(cache, REPORTING)
    assert [row[0] for row in cache.execute("SELECT account_id FROM fact_activities")] == ["A", "A"]
    put(cache, "opportunities", "opportunities new", account_id="B")
    facts.refresh(cache, REPORTING)
    assert {row[0] for row in cache.execute("SELECT account_id FROM fact_activities")} == {"A", "B"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"1700000000000"', "1700000000000"),
        ('"3.4.2026"', "3.4.2026"),
        ("1.5", "1.5"),
        ("1700000000000", "1700000000000"),
        ('"2026-01-05"', "5 Jan 2026"),
        ('"2026-01-05T23:30:00Z"', "6 Jan 2026"),
    ],
)
def test_a_list_shows_a_field_that_holds_no_instant_as_it_is(cache: sqlite3.Connection, value: str, said: str) -> None:
    put(cache, "tickets", "T", subject="T", created_at="2026-10-06T10:00:00Z", status_category="open",
        custom=f'{{"promised_at": {value}}}')  # fmt: skip
    listed = {"label": "x", "where": {}, "order": "created_at", "reason": "promised {custom.promised_at}"}
    result = told(cache, "ticket_backlog", None, action=listed)
    assert result.actions is not None
    assert [row.reason for row in result.actions.rows] == [f"promised {said}"]


def test_coverage_of_customers_a_day_is_said_of_tickets_and_calls(cache: sqlite3.Connection) -> None:
    for number in range(3):
        call(cache, f"of nobody {number}", "2026-10-05T12:00:00Z", connected=1)
    call(cache, "of somebody", "2026-10-05T12:00:00Z", connected=1, contact_id="C1")
    put(cache, "tickets", "T", created_at="2026-10-01T00:00:00Z", status_category="open")
    result = told(cache, "peak_customer_capacity", None)
    assert result.reason == "covers 25% of tickets and calls: 3 without a value"


def answers(cache: sqlite3.Connection, survey: str, *scores: tuple[float, int, int]) -> None:
    for number, (score, low, high) in enumerate(scores):
        put(cache, "survey_responses", f"{survey} {number}", survey_type=survey, score=score, scale_min=low,
            scale_max=high, responded_at="2026-10-05T10:00:00Z", comment=f"{score} of {high}")  # fmt: skip


def test_answers_on_different_scales_are_put_on_one_before_they_are_averaged(cache: sqlite3.Connection) -> None:
    """5 of 5 and 5 of 10 are not the same answer: on a scale to 10 they are 10 and 5."""
    answers(cache, "csat", (5, 1, 5), (5, 1, 10))
    answers(cache, "custom", (50, 0, 100), (1, 0, 4))
    answers(cache, "ces", (6, 1, 7), (7, 1, 7))
    answers(cache, "nps", (9, 0, 10), (10, 0, 10), (6, 0, 10), (7, 0, 10))

    def rated(survey: str, **params: Any) -> tuple[float | None, str, float | None]:
        result = told(cache, "survey_rating", params={"survey": survey, **params})
        return result.value, result.unit, result.scale

    assert rated("csat") == (7.5, "score", 10)
    assert rated("csat", target_scale=5) == (3.75, "score", 5)
    assert rated("csat", normalise="minmax") == ((10 + 40 / 9) / 2, "score", 10)
    assert rated("custom") == (3.75, "score", 10)
    assert rated("ces") == (6.5, "number", None)
    assert rated("nps") == (25, "number", None)
    lowest = told(cache, "survey_rating", params={"survey": "csat"}).actions
    assert lowest is not None
    assert [row.id for row in lowest.rows] == ["csat 1", "csat 0"]
