"""A goal holds for a period of its own: what is shown of another length, or has not begun, is not judged by it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Hours, Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.periods import Span, parse_period
from scorecards.slots import Granularity
from scorecards.targets.baselines import baseline_days
from scorecards.targets.slot import Target
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

PLAIN = REPORTING.model_copy(update={"timezone": "UTC", "hours": Hours(), "fiscal_year_starts": 4})
AS_OF = datetime(2026, 10, 21, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """Five leads a day from January to today; a deal lost each tenth."""
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        for month in range(1, 11):
            for day in range(1, 29 if month < 10 else 21):
                for number in range(5):
                    at = f"2026-{month:02d}-{day:02d}T0{number}:30:00Z"
                    put(conn, "leads", f"L {at}", created_at=at, source_channel="Web" if number else "Phone")
            put(conn, "opportunities", f"D{month}", created_at="2026-01-01T00:00:00Z", state="lost",
                close_date=f"2026-{month:02d}-10", amount_minor=100, currency="EUR")  # fmt: skip
        facts.refresh(conn, PLAIN)
        yield conn


def told(
    conn: sqlite3.Connection,
    kpi: Kpi,
    period: str | None,
    *,
    as_of: datetime = AS_OF,
    granularity: Granularity | None = None,
) -> KpiResult:
    evaluator = Evaluator(conn, {**BUILTINS, kpi.id: kpi}, PLAIN, as_of=as_of)
    return evaluator.evaluate(kpi, period=parse_period(period) if period else None, granularity=granularity)


def leads(**written: Any) -> Kpi:
    said = {"of": "leads", "date": "created_at", "target": {"want": "up", "value": 135}, **written}
    return Kpi.model_validate({"id": "fresh_leads", **said})


@pytest.mark.parametrize(
    ("period", "verdict"),
    [
        ("2026-09", "green"),  # 140
        ("2026-09-01..2026-10-01", "green"),  # the month by its days
        ("2026-10-05..2026-10-08", None),  # 15 in three days
        ("2026-01-01..2026-07-01", None),  # 840 in half a year
        ("2026-09-02..2026-10-02", None),  # no month, as long as it is
        ("2026-09-14", None),
        ("2026-W38", None),
        ("2026-Q3", None),
        ("2026", None),
        ("all", None),
    ],
)
@pytest.mark.parametrize("written", [{"period": "month"}, {}, {"target": {"want": {"between": [100, 200]}}}])
def test_a_count_is_judged_over_its_own_period_alone(
    cache: sqlite3.Connection, period: str, verdict: str | None, written: dict[str, Any]
) -> None:
    """Without a period of its own a KPI's is the month it is shown by."""
    result = told(cache, leads(**written), period)
    assert result.verdict == verdict
    assert (result.target is None) == (verdict is None)
    assert bool(result.unjudged) == (verdict is None)
    if verdict is None:
        assert result.to_json()["unjudged"] == result.unjudged == "its goal is for a month: this period is not judged"


def test_a_scorecards_period_is_that_of_a_kpi_without_one(cache: sqlite3.Connection) -> None:
    result = told(cache, leads(target={"want": "up", "value": 30}), None, granularity="week")
    assert (result.value, result.verdict, result.unjudged) == (35, "green", "")


def test_weeks_that_start_on_sunday_are_judged_as_the_mail_names_them(cache: sqlite3.Connection) -> None:
    """2026-W33 is 9 to 15 August then: the week its goal is for, and the baseline of that name."""
    sundays = PLAIN.model_copy(update={"week_starts": 6})
    kpi = leads(period="week", target={"want": "up", "value": 30})
    evaluator = Evaluator(cache, {kpi.id: kpi}, sundays, as_of=AS_OF)
    found = evaluator.evaluate(kpi, period=parse_period("2026-W33", sundays.week_starts))
    assert found.period is not None
    assert (found.period.start, found.verdict, found.unjudged) == (date(2026, 8, 9), "green", "")
    way = {"want": "up", "change": "+10%", "from": {"period": "2026-W33"}, "due": date(2026, 12, 31)}
    days = baseline_days(kpi, Target.model_validate(way), sundays)
    assert days == Span(date(2026, 8, 9), date(2026, 8, 16), "week")


def test_a_fiscal_quarter_is_known_by_its_days(cache: sqlite3.Connection) -> None:
    kpi = leads(period="fiscal_quarter", target={"want": "up", "value": 400})
    assert told(cache, kpi, "2026-Q3").verdict == "green"  # the year starts in April: Q3 is its second
    assert told(cache, kpi, "2026-08").unjudged == "its goal is for a quarter: this period is not judged"


@pytest.mark.parametrize("period", ["2026-11", "2027-01", "2026-12-01..2027-01-01"])
@pytest.mark.parametrize("want", ["up", "down"])
def test_what_has_not_begun_is_not_judged(cache: sqlite3.Connection, period: str, want: str) -> None:
    result = told(cache, leads(target={"want": want, "value": 135}), period)
    assert (result.verdict, result.unjudged) == (None, "this period has not begun")
    backlog = override(BUILTINS["pipeline_open_value"], {"target": {"want": want, "value": 1}})
    assert told(cache, backlog, period).unjudged == "this period has not begun"


def test_before_a_day_has_passed_nothing_is_expected_and_nothing_judged(cache: sqlite3.Connection) -> None:
    """The first lead of a month is no breach of "at most 200 a month"."""
    morning = datetime(2026, 10, 1, 2, tzinfo=UTC)
    few = leads(target={"want": "down", "value": 200}, partial="to_date")
    result = told(cache, few, None, as_of=morning)
    assert (result.value, result.verdict) == (2, None)
    assert told(cache, few, None, as_of=datetime(2026, 10, 3, 9, tzinfo=UTC)).verdict is not None


def test_what_grows_with_its_period_is_known_by_what_it_is_made_of(cache: sqlite3.Connection) -> None:
    """Different ones, sums of KPIs, how many stayed, and so much a customer; a rate is one over any stretch."""
    channels = leads(agg="distinct", field="source_channel", target={"want": "up", "value": 2})
    assert (told(cache, channels, "2026-09").verdict, told(cache, channels, "2026").verdict) == ("green", None)
    both = Kpi.model_validate(
        {
            "id": "both",
            "calc": {"plus": ["unconverted_leads", "lost_opportunities"]},
            "target": {"want": "up", "value": 1},
        }
    )
    assert (told(cache, both, "2026-09").verdict, told(cache, both, "2026-Q3").verdict) == ("green", None)
    lost = Kpi.model_validate(
        {
            "id": "lost_a_day",
            "ratio": {"top": "lost_opportunities", "bottom": "active_customers"},
            "target": {"want": "up", "value": 1},
        }
    )
    assert told(cache, lost, "2026-Q3").unjudged
    web = leads(share={"source_channel": "Web"}, target={"want": "up", "value": 0.5})
    assert [told(cache, web, period).verdict for period in ("2026-09", "2026", "2026-10-05..2026-10-12")] == [
        "green"
    ] * 3
    stayed = override(BUILTINS["customer_retention_rate"], {"target": {"want": "up", "value": 0.9}})
    assert told(cache, stayed, "2026").unjudged == "its goal is for a quarter: this period is not judged"


def test_a_target_from_another_length_says_nothing_of_what_cannot_be_shared_out(cache: sqlite3.Connection) -> None:
    """So many different ones of a year, and a tenth more: not to be had of a month."""
    target = {"want": "up", "change": "+10%", "from": {"period": "2025"}, "due": "2026-12-31"}
    channels = leads(agg="distinct", field="source_channel", target=target)
    assert told(cache, channels, "2026-09").unjudged == "its goal is for a year: this period is not judged"
    assert told(cache, channels, "2026").unjudged == "its goal is for a whole period, and this one still runs"
    after = datetime(2027, 1, 2, tzinfo=UTC)
    assert told(cache, channels, "2026", as_of=after).unjudged == ""


def test_all_time_is_the_period_of_what_has_no_date(cache: sqlite3.Connection) -> None:
    known = Kpi.model_validate({"id": "known_leads", "of": "leads", "target": {"want": "up", "value": 1000}})
    result = told(cache, known, None)
    assert (result.value, result.verdict, result.unjudged) == (1360, "green", "")


def test_the_demos_lost_deals_of_a_year_are_not_judged_by_the_month(tmp_path: Path, cache: sqlite3.Connection) -> None:
    lost = override(BUILTINS["lost_opportunities"], {"target": {"want": "down", "value": 3}})
    assert (told(cache, lost, "2026").value, told(cache, lost, "2026").verdict) == (10, None)
    assert told(cache, lost, "2026-09").verdict == "green"


RELATIVE = {"want": "up", "change": "+10%", "from": {"period": "2026-08"}, "due": "2026-12-31"}


@pytest.mark.parametrize(
    "written",
    [
        {"target": {"want": {"between": [100, 120]}}},
        {"agg": "distinct", "field": "owner_id", "target": {"want": "up", "value": 60}},
        {"agg": "max", "field": "created_at", "target": {"want": "up", "value": 60}},
        {"of": None, "date": None, "calc": {"plus": ["leads_here"]}, "target": {"want": "up", "value": 135}},
        {
            "of": None,
            "date": None,
            "sql": "SELECT COUNT(*) AS value FROM leads WHERE created_at >= :start AND created_at < :end",
            "target": {"want": "up", "value": 135},
        },
        {"agg": "distinct", "field": "owner_id", "target": RELATIVE},
    ],
)
def test_what_grows_without_a_path_is_judged_once_its_period_is_over(
    cache: sqlite3.Connection, written: dict[str, Any]
) -> None:
    """Half of a month is not held against a whole month's goal: each would begin off target, or on it."""
    said = {key: value for key, value in {**written, "partial": "to_date"}.items() if value is not None}
    if written.get("of", "") is None:
        kpi = Kpi.model_validate({"id": "fresh_leads", **said})
    else:
        kpi = leads(**said)
    known = {"leads_here": Kpi.model_validate({"id": "leads_here", "of": "leads", "date": "created_at"})}
    evaluator = Evaluator(cache, {**BUILTINS, **known, kpi.id: kpi}, PLAIN, as_of=AS_OF)
    result = evaluator.evaluate(kpi)
    assert result.period is not None
    assert not result.period.complete
    assert result.verdict is None
    assert result.target is None or result.target.baseline is not None  # which is kept, judged or not
    assert result.unjudged == "its goal is for a whole period, and this one still runs"
    whole = evaluator.evaluate(kpi, period=parse_period("2026-09"))
    assert whole.unjudged == ""


def test_who_stayed_is_judged_once_everybody_had_time_to_leave(cache: sqlite3.Connection) -> None:
    stayed = override(
        BUILTINS["customer_retention_rate"], {"partial": "to_date", "target": {"want": "up", "value": 0.9}}
    )
    assert told(cache, stayed, None).unjudged == "its goal is for a whole period, and this one still runs"


def test_a_running_count_is_judged_by_its_path_still(cache: sqlite3.Connection) -> None:
    result = told(cache, leads(partial="to_date"), None)
    assert (result.value, result.verdict, result.unjudged) == (100, "green", "")


def test_a_deadline_that_passed_stays_judged_while_the_next_period_runs(cache: sqlite3.Connection) -> None:
    """Met with September's 140, whatever October has come to."""
    target = {"want": {"between": [100, 200]}, "start": "2026-09-01", "due": "2026-09-30"}
    result = told(cache, leads(partial="to_date", target=target), None)
    assert result.target is not None
    assert result.target.progress is not None
    assert (result.target.progress.state, result.target.progress.value, result.verdict) == ("met", 140, "green")
