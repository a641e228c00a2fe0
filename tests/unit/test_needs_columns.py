"""A KPI whose columns nobody fills says so, rather than 0: rows with the barest columns, and one more at a time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import Evaluator
from scorecards.needs import lack_of
from scorecards.periods import parse_period
from syncagent import facts
from syncagent.store import open_cache
from tests.fakes.every_table import AS_OF
from tests.unit.facts.frame import REPORTING, put

#: What each of these needs and the barest rows do not hold: a word of where it is to be mapped.
LACKING = {
    "first_response_sla_rate": "first_response_at",
    "first_response_time": "first_response_at",
    "lead_response_time": "activities",
    "lead_conversion_rate": "converted_date",
    "won_revenue": "[source.NAME.fields.opportunities] amount",
    "sales_growth": "[source.NAME.fields.opportunities] amount",
    "pipeline_open_value": "[source.NAME.fields.opportunities] amount",
    "upsell_revenue": "type",
    "voc_comment_count": "comment",
    "new_customers": "[source.NAME.fields.opportunities] account_id",
    "active_customers": "[source.NAME.fields.opportunities] account_id",
    "customer_retention_rate": "[source.NAME.fields.opportunities] account_id",
    "customer_attrition_rate": "[source.NAME.fields.opportunities] account_id",
    "first_purchase_retention_rate": "[source.NAME.fields.opportunities] account_id",
    "return_client_rate": "[source.NAME.fields.opportunities] account_id",
    "average_retention_period": "[source.NAME.fields.opportunities] account_id",
    "customer_lifetime_value": "[source.NAME.fields.opportunities] a",
    "peak_customer_capacity": "account_id",
    "relationship_freshness": "activities",
}
#: What the barest rows do say.
SAID = ("win_rate", "lost_opportunities", "unconverted_leads", "ticket_backlog", "mean_time_to_resolution")


def evaluator(cache: sqlite3.Connection, *kpis: Kpi) -> Evaluator:
    return Evaluator(cache, {**BUILTINS, **{kpi.id: kpi for kpi in kpis}}, REPORTING, as_of=AS_OF)


def put_barest(cache: sqlite3.Connection) -> None:
    """Deals, leads and tickets with their states and days alone, each of nobody."""
    for number in range(40):
        day = f"2026-05-{number % 28 + 1:02d}"
        state = ("won", "lost", "open")[number % 3]
        born = {"created_at": "2026-05-01T08:00:00Z"}
        put(cache, "accounts", f"A{number}", name=f"Account {number}", kind="customer", **born)
        put(cache, "opportunities", f"O{number}", state=state, close_date=day, **born)
        category = "converted" if number % 2 else "open"
        put(cache, "leads", f"L{number}", status_category=category, created_at=f"{day}T08:{number:02d}:00Z")
        closed = {"status_category": "closed", "closed_at": f"{day}T12:00:00Z"} if number % 2 else {}
        put(cache, "tickets", f"T{number}", **{"status_category": "open", **closed}, **born)


@pytest.fixture
def barest(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as cache:
        put_barest(cache)
        facts.refresh(cache, REPORTING)
        yield cache


@pytest.mark.parametrize("name", LACKING)
def test_without_its_columns_a_kpi_says_which_to_map(barest: sqlite3.Connection, name: str) -> None:
    """Never 0: no number, no segments and no list of records, and where to map what is missing."""
    asked = evaluator(barest)
    lack = lack_of(asked, BUILTINS[name])
    found = asked.evaluate(BUILTINS[name], period=parse_period("2026-05"), by=["source"])
    assert lack is not None
    assert (found.value, found.status) == (None, "no_data")
    assert str(found.reason).startswith("no data: needs ")
    assert LACKING[name] in str(found.reason)
    assert LACKING[name] in lack.maps
    assert (found.segments, found.actions) == ((), None)


@pytest.mark.parametrize("name", SAID)
def test_what_the_barest_rows_say_is_said(barest: sqlite3.Connection, name: str) -> None:
    asked = evaluator(barest)
    assert lack_of(asked, BUILTINS[name]) is None
    assert asked.evaluate(BUILTINS[name], period=parse_period("2026-05")).status == "ok"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("won_revenue", [("opportunities", {"amount_minor": 100, "currency": "EUR", "close_date": "2026-01-05"})]),
        ("new_customers", [("opportunities", {"account_id": "A1", "state": "won", "close_date": "2026-01-05"})]),
        ("active_customers", [("opportunities", {"account_id": "A1", "state": "won", "close_date": "2026-01-05"})]),
        ("voc_comment_count", [("tickets", {"category": "question"})]),
        ("upsell_revenue", [("opportunities", {"type": "renewal", "amount_minor": 100, "close_date": "2026-01-05"})]),
    ],
)
def test_where_it_is_mapped_and_nothing_was_it_is_zero(
    barest: sqlite3.Connection, name: str, more: list[tuple[str, dict[str, Any]]]
) -> None:
    """One row far from the period shows that the column is filled: of the period itself 0 is the truth."""
    barest.execute("DELETE FROM opportunities")
    for number, (table, row) in enumerate(more):
        put(barest, table, f"M{number}", created_at="2026-01-01T00:00:00Z", **row)
    facts.refresh(barest, REPORTING)
    found = evaluator(barest).evaluate(BUILTINS[name], period=parse_period("2025-11"))
    assert (found.value, found.status) == (0, "ok")


def test_leads_of_whom_none_converted_need_no_day_of_it(tmp_path: Path) -> None:
    with closing(open_cache(tmp_path)) as cache:
        for number in range(30):
            put(cache, "leads", f"L{number}", status_category="open", created_at="2026-01-05T08:00:00Z")
        facts.refresh(cache, REPORTING)
        found = evaluator(cache).evaluate(BUILTINS["lead_conversion_rate"], period=parse_period("2026-01"))
        assert (found.value, found.status) == (0, "ok")


def test_a_kpi_of_ones_own_needs_the_columns_it_names(barest: sqlite3.Connection) -> None:
    """The same rule as of the built-ins: what is added up, asked for by value, or waited for."""
    own: dict[str, dict[str, Any]] = {
        "sum": {"of": "tickets", "agg": "sum", "field": "handling_seconds"},
        "where": {"of": "leads", "where": {"source_channel": ["web", "event"]}},
        "share": {"of": "tickets", "share": {"priority": "high"}},
        "until": {"of": "tickets", "agg": "median", "duration": {"from": "created_at", "to": "first_response_at"}},
    }
    wanted = {"sum": "handling_seconds", "where": "source_channel", "share": "priority", "until": "first_response_at"}
    for name, table in own.items():
        kpi = build(name, table)
        found = evaluator(barest, kpi).evaluate(kpi, period=parse_period("2026-05"))
        assert (found.value, found.status) == (None, "no_data"), name
        assert wanted[name] in str(found.reason)


def test_what_is_asked_for_by_not_being_there_needs_nothing(barest: sqlite3.Connection) -> None:
    kpi = build("unnamed", {"of": "leads", "where": {"source_channel": {"set": False}, "name": {"not": "Test"}}})
    assert evaluator(barest, kpi).evaluate(kpi, period=parse_period("2026-05")).value == 40


def test_whether_a_column_is_filled_is_asked_once(barest: sqlite3.Connection) -> None:
    asked = evaluator(barest)
    kpi = override(BUILTINS["first_response_sla_rate"], {})
    said: list[str] = []
    barest.set_trace_callback(said.append)
    for month in ("2026-03", "2026-04", "2026-05"):
        asked.evaluate(kpi, period=parse_period(month))
    barest.set_trace_callback(None)
    assert sum("first_response_at IS NOT NULL LIMIT 1" in one for one in said) == 1


def test_customers_nobody_logs_a_contact_with_are_not_out_of_touch(barest: sqlite3.Connection) -> None:
    """K: without a single activity nobody knows whom we spoke to; with one, who it was not is known."""
    kpi = BUILTINS["relationship_freshness"]
    assert evaluator(barest).evaluate(kpi).status == "no_data"
    moment = {"occurred_at": "2026-09-30T08:00:00Z", "status": "completed", "direction": "outbound"}
    put(barest, "activities", "X", type="call", account_id="A1", **moment)
    facts.refresh(barest, REPORTING)
    found = evaluator(barest).evaluate(kpi)
    assert (found.numerator, found.denominator, found.status) == (1, 40, "ok")


def test_days_of_which_nobody_knows_whom_we_helped_are_not_empty_days(barest: sqlite3.Connection) -> None:
    """One ticket of somebody's long ago shows that customers are kept; of the last 90 days every one is left out."""
    far = {"created_at": "2025-01-05T08:00:00Z", "closed_at": "2025-01-06T08:00:00Z", "status_category": "closed"}
    put(barest, "tickets", "far", account_id="A1", **far)
    facts.refresh(barest, REPORTING)
    found = evaluator(barest).evaluate(BUILTINS["peak_customer_capacity"], period=parse_period("2026-05"))
    assert (found.value, found.status) == (None, "no_data")
    assert found.reason == "no data: 20 tickets and calls, none with customer"
