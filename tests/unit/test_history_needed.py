"""What looks back before its period is told only where the history reaches as far (G17)."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
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
FIRST = date(2025, 6, 1)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Accounts that buy every hundred days, of which the source tells since June 2025."""
    with closing(open_cache(tmp_path)) as conn:
        for number in range(50):
            put(conn, "accounts", f"A{number}", created_at="2024-01-01T00:00:00Z")
            for step in range(5):
                day = FIRST + timedelta(number + 100 * step)
                put(
                    conn,
                    "opportunities",
                    f"D{number}.{step}",
                    account_id=f"A{number}",
                    state="won",
                    created_at="2024-06-01T00:00:00Z",
                    close_date=day.isoformat(),
                    amount_minor=100,
                    currency="EUR",
                )
        facts.refresh(conn, REPORTING)
        yield conn


def told(cache: sqlite3.Connection, name: str, period: str | None, **table: Any) -> KpiResult:
    kpi = override(BUILTINS[name], table)
    span = parse_period(period) if period else None
    return evaluate(cache, kpi, {**BUILTINS, name: kpi}, REPORTING, as_of=AS_OF, period=span)


def begins(cache: sqlite3.Connection, day: date = FIRST, stream: str = "opportunities") -> None:
    said = "INSERT INTO sync_state (source_name, stream, covered_from) VALUES ('sf', ?, ?)"
    cache.execute(said, (stream, day.isoformat()))


LOOKS_BACK = [
    "customer_retention_rate",
    "customer_attrition_rate",
    "first_purchase_retention_rate",
    "new_customers",
    "return_client_rate",
    "active_customers",
]


@pytest.mark.parametrize("name", LOOKS_BACK)
def test_a_year_before_the_period_must_be_known(cache: sqlite3.Connection, name: str) -> None:
    assert told(cache, name, "2025-Q3").status == "ok"  # from a source that gives all there is
    begins(cache)
    result = told(cache, name, "2025-Q3")
    assert (result.status, result.value) == ("no_data", None)
    assert result.reason == "no data: history begins 2025-06-01, and 365 days before the period are needed"


@pytest.mark.parametrize(("begun", "status"), [(date(2024, 7, 1), "ok"), (date(2024, 7, 2), "no_data")])
def test_to_the_day(cache: sqlite3.Connection, begun: date, status: str) -> None:
    """Who bought on the first day of the lookback is still a customer on the first of the period."""
    begins(cache, begun)
    assert told(cache, "customer_retention_rate", "2025-Q3").status == status
    assert told(cache, "first_purchase_retention_rate", "2025-Q3").status == status


def test_a_stock_needs_its_lookback_before_its_own_day(cache: sqlite3.Connection) -> None:
    begins(cache)
    assert told(cache, "active_customers", "2026-04").status == "no_data"
    assert told(cache, "active_customers", "2026-05").status == "ok"  # as of 1 June 2026: a year
    assert told(cache, "active_customers", None).status == "ok"


def test_a_lookback_of_ones_own_is_what_is_needed(cache: sqlite3.Connection) -> None:
    begins(cache)
    short = {"params": {"lookback_days": 30, "purchases": ["deals", "orders"]}}
    assert told(cache, "customer_retention_rate", "2025-Q3", **short).status == "ok"
    assert told(cache, "customer_retention_rate", "2025-06", **short).reason == (
        "no data: history begins 2025-06-01, and 30 days before the period are needed"
    )


def test_contracts_say_themselves_since_when_they_run(cache: sqlite3.Connection) -> None:
    for number in range(25):
        put(cache, "contracts", f"C{number}", account_id=f"A{number}", start_date="2025-01-01")
    facts.refresh(cache, REPORTING)
    begins(cache, stream="contracts")
    assert told(cache, "customer_retention_rate", "2025-Q3").status == "ok"


def test_what_a_customer_is_worth_looks_back_too(cache: sqlite3.Connection) -> None:
    begins(cache, date(2025, 1, 1))
    result = told(cache, "customer_lifetime_value", "2026-06")
    assert result.reason == "no data: history begins 2025-01-01, and 365 days before the period are needed"


def test_a_kpi_of_ones_own_says_how_much_it_needs(cache: sqlite3.Connection) -> None:
    begins(cache)
    own = {"of": "purchases", "date": "purchase_date", "where": {"is_first": True}, "history": "60d"}
    kpi = BUILTINS["new_customers"].model_validate({"id": "own", **own})
    results = [
        evaluate(cache, kpi, {**BUILTINS, "own": kpi}, REPORTING, as_of=AS_OF, period=parse_period(period))
        for period in ("2025-07", "2025-08")
    ]
    assert [result.status for result in results] == ["no_data", "ok"]
