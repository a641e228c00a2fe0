"""In what the value of KPIs made of KPIs is given: money over a count is money, a share is a rate, a count a count."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.compiler import Compiler
from scorecards.definition import build
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.reading import unit_of
from syncagent import facts
from syncagent.config.kpi import mistakes
from syncagent.store import open_cache
from tests.unit.facts.frame import put
from tests.unit.test_config_kpi import REPORTING

COMPILER = Compiler(REPORTING, as_of=0, today="", one_rate=lambda table: None)
OTHERS: dict[str, dict[str, Any]] = {
    "tickets_seen": {"of": "tickets"},
    "closed_share": {"of": "tickets", "share": {"is_closed": True}},
    "won_share": {"of": "opportunities", "share": {"is_won": True}, "weight": "amount"},
    "price": {"of": "opportunities", "agg": "avg", "field": "amount"},
    "waited": {"of": "tickets", "agg": "avg", "duration": {"from": "created_at", "to": "closed_at"}},
    "rate_of_deals": {"ratio": {"top": "won_revenue", "bottom": "won_revenue.n"}},
    "asked": {"sql": "SELECT 1 AS value"},
}
KPIS = {**BUILTINS, **{name: build(name, table) for name, table in OTHERS.items()}}


def ratio(top: Any, bottom: Any, **more: Any) -> dict[str, Any]:
    times = {"times": more.pop("times")} if "times" in more else {}
    return {"ratio": {"top": top, "bottom": bottom, **times}, **more}


def calc(*plus: str, **more: Any) -> dict[str, Any]:
    return {"calc": {"plus": [*plus]}, **more}


UNITS: list[tuple[dict[str, Any], str]] = [
    (ratio("won_revenue", "won_revenue.n"), "money"),
    (ratio("won_revenue", "new_customers"), "money"),
    (ratio("won_revenue", "closed_share"), "money"),
    (ratio(["won_revenue", "closed_share"], "tickets_seen"), "money"),
    (ratio(["won_revenue", "tickets_seen"], "tickets_seen"), "money"),
    (ratio("won_revenue", "pipeline_open_value"), "ratio"),
    (ratio("won_revenue.change", "won_revenue.base"), "ratio"),
    (ratio("won_revenue", "rate_of_deals"), "ratio"),
    (ratio("won_revenue", "pipeline_open_value", times=100), "number"),
    (ratio("won_revenue", "pipeline_open_value", times="period_days"), "days"),
    (ratio("won_revenue", "new_customers", times="period_days"), "number"),
    (ratio("won_revenue.n", "upsell_revenue.n"), "ratio"),
    (ratio("closed_share.numerator", "tickets_seen"), "ratio"),
    (ratio("closed_share.numerator", "closed_share.denominator"), "ratio"),
    (ratio("won_share.numerator", "won_revenue"), "ratio"),
    (ratio("price.numerator", "price.denominator"), "money"),
    (ratio("rate_of_deals.numerator", "rate_of_deals.denominator"), "money"),
    (ratio("waited", "tickets_seen"), "seconds"),
    (ratio("tickets_seen", "waited"), "number"),
    (ratio("tickets_seen", "won_revenue"), "number"),
    (ratio("asked", "won_revenue"), "number"),
    (ratio("won_revenue.n", "upsell_revenue.n", format="number"), "number"),
    (ratio("asked", "asked.n", format="EUR"), "money"),
    (ratio("tickets_seen", "won_revenue", format="percent"), "ratio"),
    (ratio("won_revenue", "new_customers", unit="number"), "number"),
    (calc("won_revenue.n", "upsell_revenue.n"), "count"),
    (calc("won_revenue", "won_share.numerator"), "money"),
    (calc("won_revenue.n", "asked"), "number"),
    (calc("won_revenue.n", "asked", format="percent"), "ratio"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "unit"), UNITS, ids=[str(table) for table, _ in UNITS])
def test_the_unit_of_what_is_made_of_kpis(table: dict[str, Any], unit: str) -> None:
    kpi = build("mine", table)
    assert list(mistakes(kpi, table, {**KPIS, "mine": kpi}, REPORTING)) == []
    assert unit_of(kpi, KPIS, COMPILER) == unit


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    (ratio("won_revenue", "won_revenue.n", format="percent"), "format", "the value is money", 'Write "EUR"'),
    (ratio("won_revenue", "won_revenue.n", format="USD"), "format", "amounts are in EUR", ""),
    (ratio("won_revenue", "pipeline_open_value", format="EUR"), "format", "a rate", 'say so: unit = "number"'),
    (calc("won_revenue.n", "upsell_revenue.n", format="EUR"), "format", "a count", 'unit = "number"'),
    (calc("won_revenue", "upsell_revenue.n"), "calc", "won_revenue is money, upsell_revenue.n is a number", "one unit"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "place", "said", "mend"), WRONG, ids=[case[2] for case in WRONG])
def test_a_unit_that_is_another_is_told(table: dict[str, Any], place: str, said: str, mend: str) -> None:
    kpi = build("mine", table)
    found = list(mistakes(kpi, table, {**KPIS, "mine": kpi}, REPORTING))
    assert [path for path, _, _ in found] == [(place,)], found
    assert said in found[0][1]
    assert mend in found[0][2]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        for number, amount in enumerate((100, 300)):
            values = {"state": "won", "close_date": "2026-10-05", "amount_minor": amount * 100, "currency": "EUR"}
            put(conn, "opportunities", f"D{number}", **values)
        facts.refresh(conn, REPORTING)
        yield conn


def test_revenue_for_each_deal_is_an_amount(cache: sqlite3.Connection) -> None:
    kpi = build("mine", {**ratio("won_revenue", "won_revenue.n", format="EUR"), "n_min": 0})
    evaluator = Evaluator(cache, {**BUILTINS, "mine": kpi}, REPORTING, as_of=datetime(2026, 11, 5, tzinfo=UTC))
    found = evaluator.evaluate(kpi, period=parse_period("2026-10"))
    assert (found.value, found.unit, found.currency) == (200, "money", "EUR")
