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


def test_a_growth_says_what_it_is_against_and_the_year_to_date(cache: sqlite3.Connection) -> None:
    """October 300 after 200; the year to its end 450 after 250: what came after these days counts in neither year."""
    deals = {"2025-02-03": 50, "2025-10-07": 200, "2025-11-20": 900}
    deals |= {"2026-03-04": 150, "2026-10-06": 300, "2026-11-05": 700}
    for number, (day, amount) in enumerate(deals.items()):
        won(cache, f"D{number}", day, amount * 100, created_at="2025-01-01T00:00:00Z")
    found = asked(cache, "sales_growth")
    assert found.value == pytest.approx(0.5)
    assert found.details["year_to_date"] == pytest.approx(0.8)
    assert found.details["grows_from"] == {"start": "2025-10-01", "end": "2025-11-01"}
    assert said(found) == ["against 1–31 Oct 2025", "80.0% in the year to date"]
    found = asked(cache, "sales_growth", params={"compare": "previous"})
    assert found.value is None  # nothing was won in September
    assert said(found) == []
    found = asked(cache, "sales_growth", "2026-11")  # so far: 19 days of November, and of the year up to there
    assert found.details["year_to_date"] == pytest.approx(1150 / 250 - 1)
    assert found.details["grows_from"] == {"start": "2025-11-01", "end": "2025-11-20"}


def test_the_growth_of_a_year_is_said_once(cache: sqlite3.Connection) -> None:
    won(cache, "D1", "2025-02-03", 10000, created_at="2025-01-01T00:00:00Z")
    won(cache, "D2", "2026-02-03", 20000, created_at="2025-01-01T00:00:00Z")
    found = asked(cache, "sales_growth", "2026")
    assert found.value == 1.0
    assert found.details["year_to_date"] == 1.0
    assert [one for one in said(found) if "year to date" in one] == []


def test_completeness_says_how_many_records_lack_nothing(cache: sqlite3.Connection) -> None:
    """Four fields filled of six required, in one record of three all of them."""
    for name, owner, stage in (("full", "U", "Won"), ("half", "U", None), ("none", None, "Won")):
        won(cache, name, "2026-10-05", owner_id=owner, stage=stage)
    found = asked(cache, "dq_completeness", None, params={"required": {"owner_id": 1, "stage": 1}})
    assert found.value == pytest.approx(4 / 6)
    assert said(found) == ["33.3% of the records lack nothing"]


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
