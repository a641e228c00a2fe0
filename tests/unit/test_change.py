"""Drivers of real KPIs: from the rows of both periods, adding up to the change the KPI itself says."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import log
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.change import form_of, is_news
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.plan import plan
from scorecards.slots import Granularity
from scorecards.values import Comparison, KpiResult, Signal
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
CYCLE = {"of": "opportunities", "field": "amount", "date": "outcome_date", "where": {"is_won": True}, "n_min": 0}
#: One KPI of each form.
KPIS: dict[str, dict[str, Any]] = {
    "bookings": {**CYCLE, "agg": "sum"},
    "deals": {"of": "opportunities", "date": "outcome_date", "where": {"is_closed": True}},
    "average_deal": {**CYCLE, "agg": "avg"},
    "median_deal": {**CYCLE, "agg": "median"},
    "pipeline": {"of": "opportunities", "stock": {"opens": "created_at", "closes": "outcome_date"}},
}
#: Made of others: a product over one, a quotient by the days of the period.
MADE: dict[str, dict[str, Any]] = {
    "per_open_deal": {
        "ratio": {"top": ["deals", "win_rate", "average_deal"], "bottom": "pipeline.opening", "times": 100},
        "n_min": 0,
    },
    "days_of_pipeline": {"ratio": {"top": "pipeline", "bottom": "deals", "times": "period_days"}, "n_min": 0},
    "deal_days": {
        "ratio": {"top": ["pipeline", "deals"], "bottom": ["deals", "deals"], "times": "period_days"},
        "n_min": 0,
    },
}
WON = override(BUILTINS["win_rate"], {"n_min": 0})


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    yield conn
    conn.close()


def october(cache: sqlite3.Connection, name: str, by: Sequence[str] = ("pipeline",), **more: Any) -> KpiResult:
    """A KPI of KPIS or MADE, or win_rate, in October 2026 by pipeline."""
    facts.refresh(cache, REPORTING)
    known = {**KPIS, **MADE}
    kpi = override(BUILTINS[name], {"n_min": 0, **more}) if name in BUILTINS else build(name, {**known[name], **more})
    others = {other: build(other, said) for other, said in known.items()}
    evaluator = Evaluator(cache, {**BUILTINS, **others, "win_rate": WON, name: kpi}, REPORTING, as_of=AS_OF)
    return evaluator.evaluate(kpi, period=parse_period("2026-10"), by=by)


def deal(cache: sqlite3.Connection, id_: str, state: str, close: str, amount: int | None, pipeline: str | None) -> None:
    minor = None if amount is None else amount * 100
    values: dict[str, Any] = {"pipeline": pipeline, "currency": "EUR", "created_at": "2026-08-01T00:00:00Z"}
    put(cache, "opportunities", id_, state=state, close_date=close, amount_minor=minor, **values)


def test_a_win_rate_by_pipeline(cache: sqlite3.Connection) -> None:
    """September new 1/2, old 1/2; October new 3/4, old 0/1, partner 1/1: 0.50 to 4/6."""
    rows = "new won 09, new lost 09, old won 09, old lost 09, new won 10, new won 10, new won 10, new lost 10"
    for number, row in enumerate(f"{rows}, old lost 10, partner won 10".split(", ")):
        pipeline, state, month = row.split()
        deal(cache, str(number), state, f"2026-{month}-10", 100, pipeline)
    found = october(cache, "win_rate").drivers
    assert found is not None
    assert (found["with"], found["by"], found["form"]) == ("previous", "pipeline", "rate")
    assert found["change"] == pytest.approx(4 / 6 - 1 / 2)
    effects = {item["segment"]: (item["rate"], item["mix"]) for item in found["items"]}
    middle = (4 / 6 + 1 / 2) / 2
    assert effects["partner"] == pytest.approx((0, (1 / 6) * (1 - middle)))
    assert effects["new"] == pytest.approx((0.25 * (2 / 4 + 4 / 6) / 2, (4 / 6 - 2 / 4) * (0.625 - middle)))
    assert effects["old"] == pytest.approx((-0.5 * (2 / 4 + 1 / 6) / 2, (1 / 6 - 2 / 4) * (0.25 - middle)))
    assert found["rest"] == pytest.approx(0)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["won", "lost"]),
        st.sampled_from(["09", "10"]),
        st.one_of(st.none(), st.integers(0, 10**6)),
        st.sampled_from(["new", "old", "partner", None]),
    ),
    max_size=25,
)


@given(ROWS)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_drivers_add_up_to_the_change_the_kpi_says(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int | None, str | None]]
) -> None:
    """Whatever deals there were, in each form; a median's drivers are those of its mean."""
    conn = open_cache(tmp_path_factory.mktemp("cache"))
    try:
        for number, (state, month, amount, pipeline) in enumerate(rows):
            deal(conn, str(number), state, f"2026-{month}-10", amount, pipeline)
        mean = october(conn, "average_deal")
        for name in ("win_rate", *KPIS, *MADE):
            result = october(conn, name)
            before = result.comparisons[0]
            found = result.drivers
            if before.change is None:
                assert found is None or found["with"] == "year_ago"
                continue
            assert found is not None
            change = mean.comparisons[0].change if name == "median_deal" else before.change
            assert found["change"] == pytest.approx(change, rel=1e-9, abs=1e-9)
            total = sum(item["effect"] for item in found["items"]) + found["rest"]
            assert total == pytest.approx(change, rel=1e-9, abs=1e-9)
            assert len(found["items"]) <= 3
            assert bool(found["note"].startswith("medians")) == (name == "median_deal")
    finally:
        conn.close()


def factors(count: int, won: int, amount: int, open_: int) -> list[float]:
    return [count, won / count, amount, 1 / open_]


def test_a_product_is_divided_into_what_it_is_made_of(cache: sqlite3.Connection) -> None:
    """September 4 deals, half won, 100 each, of 10 open; October 6, 5 won, 160 each, of 6: by the logarithmic mean."""
    for number in range(10):
        month, won = ("09", number < 2) if number < 4 else ("10", number < 9)
        amount = 100 if month == "09" else 160
        deal(cache, str(number), "won" if won else "lost", f"2026-{month}-10", amount, "new")
    result = october(cache, "per_open_deal")
    found = result.drivers
    assert found is not None
    assert (found["with"], found["by"], found["form"], found["mix"]) == ("previous", "factors", "factors", None)
    was, now = factors(4, 2, 100, 10), factors(6, 5, 160, 6)
    before, after = (100 * side[0] * side[1] * side[2] * side[3] for side in (was, now))
    assert result.value == pytest.approx(after)
    mean = (after - before) / (log(after) - log(before))
    names = ("Deals", "Win rate", "Average deal", "Pipeline opening")
    effects = {name: mean * log(b / a) for name, a, b in zip(names, was, now, strict=True)}
    shown = sorted(effects, key=lambda name: -effects[name])[:3]
    assert [(item["segment"], item["effect"]) for item in found["items"]] == [
        (name, pytest.approx(effects[name])) for name in shown
    ]
    assert found["rest"] == pytest.approx(sum(effects.values()) - sum(effects[name] for name in shown))
    assert found["change"] == pytest.approx(after - before)


def test_days_are_a_factor_where_they_are_counted(cache: sqlite3.Connection) -> None:
    """October has a day more than September; of noise nobody asked to split nothing is said."""
    deal(cache, "1", "won", "2026-09-10", 1, "new")
    deal(cache, "2", "won", "2026-10-10", 1, "new")
    deal(cache, "3", "won", "2026-11-10", 1, "new")
    quotient = october(cache, "days_of_pipeline")
    assert quotient.comparisons[0].change == pytest.approx(31 - 60)
    assert quotient.drivers is not None
    assert quotient.drivers["by"] == "pipeline"  # its segments add up to it, so they are told
    found = october(cache, "deal_days").drivers
    assert found is not None
    effects = {item["segment"]: item["effect"] for item in found["items"]}
    mean = (31 - 60) / log(31 / 60)
    assert effects == {
        "Pipeline": pytest.approx(mean * log(1 / 2)),
        "Days": pytest.approx(mean * log(31 / 30)),
        "Deals": pytest.approx(0),
    }
    assert october(cache, "deal_days", by=()).drivers is None


def test_segments_of_few_rows_are_pooled(cache: sqlite3.Connection) -> None:
    """With 3 deals needed for a rate, two pipelines of one deal each are Other."""
    for number, (month, pipeline) in enumerate([*[("09", "new"), ("10", "new")] * 3, ("09", "a"), ("10", "b")]):
        deal(cache, str(number), "won" if number % 3 else "lost", f"2026-{month}-10", 1, pipeline)
    found = october(cache, "win_rate", n_min=3).drivers
    assert found is not None
    assert {item["segment"] for item in found["items"]} == {"new", "Other"}


def test_without_a_dimension_there_are_no_drivers(cache: sqlite3.Connection) -> None:
    """Nothing to split by, nothing to say."""
    deal(cache, "1", "won", "2026-10-10", 1, "new")
    facts.refresh(cache, REPORTING)
    evaluator = Evaluator(cache, BUILTINS, REPORTING, as_of=AS_OF)
    assert evaluator.evaluate(BUILTINS["win_rate"], period=parse_period("2026-10")).drivers is None


def test_what_does_not_add_up_is_not_made_to() -> None:
    """Different ones, extremes, products of KPIs and what is set for the whole have no drivers by segment."""
    forms = {name: form_of(build(name, {**CYCLE, "agg": name})) for name in ("distinct", "min", "max", "p90", "sum")}
    assert forms == {"distinct": None, "min": None, "max": None, "p90": "mean", "sum": "sum"}
    made = {
        name: form_of(BUILTINS[name], BUILTINS) for name in ("sales_growth", "customer_lifetime_value", "net_profit")
    }
    assert made == {"sales_growth": "rate", "customer_lifetime_value": None, "net_profit": "sum"}
    assert (
        form_of(build("to_go", {"ratio": {"top": "won_revenue.gap", "bottom": "won_revenue.target"}}), BUILTINS) is None
    )
    assert form_of(BUILTINS["customer_retention_rate"]) == "rate"


@pytest.mark.parametrize(
    ("grain", "against", "change", "lower", "is_it"),
    [
        ("month", "month_ago", -20.0, 25.0, True),  # below its usual range, the way it went
        ("month", "month_ago", -20.0, 10.0, True),  # within it, further from its neighbour than usual
        ("week", "month_ago", -20.0, 25.0, True),
        ("week", "month_ago", -20.0, 10.0, False),  # a month ago is no neighbour of a week
        ("week", "month_ago", 20.0, 25.0, False),  # it is below, and rose since
        ("month", "year_ago", -20.0, 25.0, False),
    ],
)
def test_of_a_stock_the_change_since_a_month_ago_is_news_where_it_left_its_range(
    grain: Granularity, against: str, change: float, lower: float, is_it: bool
) -> None:
    kpi = override(BUILTINS["ticket_backlog"], {"compare": [against]})
    chosen = plan(kpi, REPORTING, as_of=AS_OF, granularity=grain)
    signal = Signal("signal", (1,), mean=40.0, lower=lower, upper=60.0, points=24, direction="below")
    assert is_news(chosen, Comparison(against, 20.0 - change, change), signal) is is_it
