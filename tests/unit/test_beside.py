"""Further figures a KPI's definition says how to say stand beside its value, in the mail and in `kpi show`."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scorecards.definition import build
from scorecards.render import render
from scorecards.render.format import get
from scorecards.render.rows import beside_words
from scorecards.values import KpiResult
from syncagent.store import open_cache
from tests.fakes.issue import issue
from tests.unit.facts.frame import REPORTING, put
from tests.unit.test_conventions import asked, ticket, won

FMT = get("en-GB", "EUR", "UTC")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def said(result: KpiResult) -> list[str]:
    return [text.replace("\xa0", " ") for text in beside_words(result, FMT)]


def test_complaints_are_said_per_100_customers(cache: sqlite3.Connection) -> None:
    """Two of 25 customers complained: 8 per 100. Too few customers to rate: nothing is said."""
    for number in range(25):
        put(cache, "accounts", f"A{number}", created_at="2026-01-01T00:00:00Z")
        if number < 19:
            won(cache, f"D{number}", "2026-06-01", account_id=f"A{number}")
    for number in range(2):
        ticket(cache, f"T{number}", "2026-10-05T10:00:00Z", category="complaint", account_id=f"A{number}")
    assert said(asked(cache, "complaints_count", n_min_kind="-", n_min=None)) == []
    for number in range(19, 25):
        won(cache, f"D{number}", "2026-06-01", account_id=f"A{number}")
    found = asked(cache, "complaints_count", n_min_kind="-", n_min=None)
    assert (found.value, said(found)) == (2, ["8 per 100 customers"])
    assert "8 per 100 customers" in render(issue([found], freshness=())).text.replace("\xa0", " ")


def test_escalations_are_said_per_100_tickets(cache: sqlite3.Connection) -> None:
    for number in range(40):
        escalated = "2026-10-06T10:00:00Z" if number < 5 else None
        ticket(cache, f"T{number}", "2026-10-05T10:00:00Z", is_escalated=number < 5, escalated_at=escalated)
    assert said(asked(cache, "escalations_count", n_min=None)) == ["12.5 per 100 tickets"]


def test_the_other_clock_is_said_and_never_the_value_twice(cache: sqlite3.Connection) -> None:
    for number in range(6):  # from Friday afternoon to Monday morning
        ticket(cache, f"T{number}", "2026-10-02T16:00:00Z", first_response_at="2026-10-05T10:00:00Z")
    table: dict[str, Any] = {"requires": []}
    found = asked(cache, "first_response_time", **table)
    assert (found.value, said(found)) == (3 * 3600, ["2 d 18 h by the calendar"])
    assert said(asked(cache, "first_response_time", params={"clock": "calendar"}, **table)) == []


OWN: dict[str, Any] = {"of": "opportunities", "date": "outcome_date", "where": {"is_won": True}}


@pytest.mark.parametrize(
    ("also", "wanted"),
    [
        ({"agg": "sum", "field": "amount", "said": "{value} in all"}, ["€300 in all"]),
        ({"where": {"amount": {"gt": 150}}, "said": "{value} large"}, ["1 large"]),
        ({"share": {"amount": {"gt": 150}}, "said": "{value} large"}, ["50.0% large"]),
        ({"excluded": "null", "said": "{value} without"}, ["0 without"]),
        ({"kpi": "won_revenue", "said": "{value} won"}, ["€300 won"]),
        ({"kpi": "won_revenue", "part": "n", "said": "{value} deals"}, ["2 deals"]),
        ({"agg": "max", "field": "probability", "said": "up to {value}"}, []),  # nobody gave one
        ({"agg": "max", "field": "age_days", "unit": "days", "said": "up to {value}"}, ["up to 304 d"]),
        ({"agg": "sum", "field": "amount"}, []),
    ],
)
def test_a_figure_is_said_in_its_own_unit(cache: sqlite3.Connection, also: dict[str, Any], wanted: list[str]) -> None:
    won(cache, "D1", "2026-10-05", 10000)
    won(cache, "D2", "2026-10-06", 20000)
    assert said(asked(cache, {**OWN, "also": {"x": also}})) == wanted


def test_money_is_said_in_the_currency_it_was_computed_in(cache: sqlite3.Connection) -> None:
    won(cache, "D1", "2026-10-05", 10000, currency="USD")
    dollars = REPORTING.model_copy(update={"currency": "USD"})
    also = {"x": {"kpi": "won_revenue", "said": "{value} won"}}
    assert said(asked(cache, {**OWN, "also": also}, reporting=dollars)) == ["US$100 won"]


@pytest.mark.parametrize(
    ("also", "why"),
    [
        ({"said": "per customer"}, "with {value} in its place"),
        ({"by": "team", "said": "{value} each"}, "says one figure"),
        ({"unit": "days"}, "add said"),
    ],
)
def test_what_cannot_be_said_is_refused(also: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        build("own", {**OWN, "also": {"x": also}})
