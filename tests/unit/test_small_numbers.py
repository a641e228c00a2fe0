"""How many rows a figure rests on, and what there must be enough of (G12)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, override
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


def tickets(cache: sqlite3.Connection, many: int, escalated: int = 0, **values: Any) -> None:
    for number in range(many):
        at = f"2026-10-{number % 28 + 1:02d}T10:00:00Z"
        dated = {"escalated_at": at, "is_escalated": 1} if number < escalated else {}
        put(cache, "tickets", f"T{number}", created_at=at, status_category="open", **dated, **values)
    facts.refresh(cache, REPORTING)


def told(cache: sqlite3.Connection, kpi: Kpi, period: str = "2026-10", **others: Kpi) -> KpiResult:
    kpis = {**BUILTINS, **others, kpi.id: kpi}
    return evaluate(cache, kpi, kpis, REPORTING, as_of=AS_OF, period=parse_period(period))


@pytest.mark.parametrize(("many", "beside"), [(201, 100 * 11 / 201), (20, 55), (19, None)])
def test_escalations_a_hundred_tickets_rest_on_the_tickets(
    cache: sqlite3.Connection, many: int, beside: float | None
) -> None:
    tickets(cache, many, escalated=11)
    result = told(cache, BUILTINS["escalations_count"])
    assert result.value == 11
    assert result.details["per_100_tickets"] == (None if beside is None else pytest.approx(beside))


def test_a_ratio_of_counts_rests_on_what_it_divides_by(cache: sqlite3.Connection) -> None:
    tickets(cache, 201, escalated=11)
    ratio = {"top": "escalations_count", "bottom": "tickets_created", "times": 100}
    share = Kpi.model_validate({"id": "share", "ratio": ratio})
    assert (told(cache, share).n, told(cache, share).denominator) == (201, 201)
    enough = share.model_copy(update={"n_min": 12})
    assert told(cache, enough).status == "ok"
    said = Kpi.model_validate({"id": "share", "n_min": 12, "ratio": {**ratio, "rests_on": "both"}})
    assert (told(cache, said).n, told(cache, said).status) == (212, "too_few")


def test_a_change_rests_on_both_its_periods(cache: sqlite3.Connection) -> None:
    for number in range(12):
        month, at = (9, "2026-09-05") if number < 5 else (10, "2026-10-05")
        put(cache, "opportunities", f"D{number}", created_at="2026-01-01T00:00:00Z", state="won",
            close_date=at, amount_minor=100 * month, currency="EUR")  # fmt: skip
    facts.refresh(cache, REPORTING)
    growth = override(BUILTINS["sales_growth"], {"params": {"compare": "previous_period"}})
    assert told(cache, growth).n == 12
    assert told(cache, override(growth, {"n_min": 6})).status == "too_few"


@pytest.mark.parametrize(("many", "is_known"), [(19, False), (20, True)])
def test_a_ninetieth_percentile_wants_twenty(cache: sqlite3.Connection, many: int, is_known: bool) -> None:
    """Beside a median that wants five; how many are enough is the KPI's to say, where it says."""
    tickets(cache, many, first_response_at="2026-10-30T12:00:00Z")
    result = told(cache, BUILTINS["first_response_time"])
    assert (result.status, result.n) == ("ok", many)
    assert (result.details["p90"] is not None) == is_known
    assert result.details["mean"] is not None
    said = told(cache, override(BUILTINS["first_response_time"], {"n_min": 5}))
    assert said.details["p90"] is not None
    assert told(cache, override(BUILTINS["first_response_time"], {"params": {"stat": "p90"}})).status == (
        "ok" if is_known else "too_few"
    )


@pytest.mark.parametrize(("customers", "beside"), [(25, 12), (19, None), (0, None)])
def test_complaints_a_hundred_customers_stand_beside_their_number(
    cache: sqlite3.Connection, customers: int, beside: float | None
) -> None:
    for number in range(customers):
        put(cache, "accounts", f"A{number}", created_at="2024-01-01T00:00:00Z")
        put(cache, "contracts", f"C{number}", account_id=f"A{number}", start_date="2026-01-01")
    tickets(cache, 3, category="complaint")
    result = told(cache, BUILTINS["complaints_count"])
    assert result.value == 3
    assert result.details["per_100_customers"] == (None if beside is None else pytest.approx(beside))
    in_all = told(cache, BUILTINS["complaints_count"], "2026-09").details["per_100_customers"]
    assert in_all == (None if beside is None else 0)


@pytest.mark.parametrize(("wrapped", "remarks"), [(0, 1), (1, 0)])
def test_handling_time_without_work_after_calls_says_that_it_is_their_length(
    cache: sqlite3.Connection, wrapped: int, remarks: int
) -> None:
    for number in range(6):
        after = {"wrap_s": 30} if number < wrapped else {}
        put(cache, "activities", f"C{number}", type="call", direction="inbound", status="completed", connected=1,
            occurred_at="2026-10-10T10:00:00Z", duration_s=60, **after)  # fmt: skip
    facts.refresh(cache, REPORTING)
    result = told(cache, BUILTINS["average_handling_time"])
    said = ["no work after calls is recorded: it equals the length of calls"] * remarks
    assert result.to_json()["remarks"] == said
    none = told(cache, BUILTINS["average_handling_time"], "2026-08")
    assert (none.value, none.remarks) == (None, ())


def test_a_remark_is_said_beyond_its_number_alone() -> None:
    [remark] = BUILTINS["fast_but_dissatisfied_rate"].remarks
    assert remark.said == "quick answers are not solving the problem"
    assert [remark.holds({"value": value}) for value in (0.2, 0.21, None)] == [False, True, False]


@pytest.mark.parametrize("cost", [None, 4000])
def test_what_a_customer_is_worth_without_costs_is_called_revenue(cache: sqlite3.Connection, cost: int | None) -> None:
    for number in range(6):
        put(cache, "accounts", f"A{number}", created_at="2024-01-01T00:00:00Z")
        put(cache, "contracts", f"C{number}", account_id=f"A{number}", start_date="2026-01-01", end_date="2026-08-01")
        put(cache, "opportunities", f"D{number}", account_id=f"A{number}", created_at="2026-01-01T00:00:00Z",
            state="won", close_date="2026-05-05", amount_minor=9000, currency="EUR", cost_minor=cost)  # fmt: skip
    facts.refresh(cache, REPORTING)
    result = told(cache, BUILTINS["customer_lifetime_value"])
    assert result.value is not None
    assert result.remarks == (() if cost else ("lifetime revenue: nothing says what deals cost",))
