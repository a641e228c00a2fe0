"""What could be read and makes no sense: comparisons, units, formats, paths and baselines, each told with its mend."""

from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from scorecards.catalogue import BUILTINS
from scorecards.checks.aims import not_begun
from scorecards.definition import build
from scorecards.evaluate import evaluate
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.cli import run_cli
from syncagent.config.kpi import mistakes
from syncagent.config.problems import dotted
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING as FRAME
from tests.unit.facts.frame import put
from tests.unit.test_config_kpi import REPORTING

TICKETS = {"of": "tickets"}
WON = {"of": "opportunities", "agg": "sum", "field": "amount", "date": "outcome_date", "where": {"is_won": True}}
COUNTED = {**TICKETS, "date": "created_at"}
ORDERS = {"of": "orders", "date": "promised_date"}
SHARE = {**TICKETS, "share": {"is_closed": True}, "date": "created_at"}
STOCK = {**TICKETS, "stock": {"opens": "created_at", "closes": "closed_at"}}
MEDIAN = {**TICKETS, "agg": "median", "duration": {"from": "created_at", "to": "closed_at"}}
SQL = {"sql": "SELECT COUNT(*) AS value FROM tickets"}
YEAR = {"from": {"period": "2025"}, "due": date(2026, 12, 31)}


def retain(**more: str) -> dict[str, Any]:
    return {"of": "contracts", "retain": {"opens": "start_date", "closes": "end_date", "key": "account_id", **more}}


#: (table, where, what is said, mend)
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({**TICKETS, "where": {"subject": {"gte": 5}}}, "where.subject.gte", "no number is above", "column of numbers"),
    ({**TICKETS, "where": {"subject": {"between": [1, 5]}}}, "where.subject.between", "no number", "column of numbers"),
    ({**TICKETS, "where": {"is_closed": {"gt": False}}}, "where.is_closed.gt", "has no order", "= true"),
    ({**TICKETS, "where": {"reopen_count": {"after": 3}}}, "where.reopen_count.after", "is of dates", "lt or gte"),
    ({**TICKETS, "where": {"subject": {"before": "m"}}}, "where.subject.before", "is of dates", "lt or gte"),
    ({**TICKETS, "where": {"reopen_count": {"contains": 3}}}, "where.reopen_count.contains", "looks into", "texts"),
    ({**TICKETS, "where": {"subject": {"contains": 3}}}, "where.subject.contains", "takes a text", 'contains = "'),
    ({**TICKETS, "where": {"subject": {"contains": ""}}}, "where.subject.contains", "takes a text", 'contains = "'),
    (retain(opens="id"), "retain.opens", "not a date", "_at or _date"),
    (retain(closes="account_id"), "retain.closes", "not a date", "_at or _date"),
    (retain(key="id"), "retain.key", "names no account", 'key = "account_id"'),
    (retain(key="acount_id"), "retain.key", "no column", "account_id"),
    ({"of": "users", "retain": {"opens": "created_at", "closes": "left_at", "key": "id"}}, "retain.key",
     "names no account", 'key = "account_id"'),
    ({**COUNTED, "window": "90d", "period": "all"}, "window", "all of time", "Take period away"),
    ({**COUNTED, "window": "90d", "period": "month", "partial": "to_date"}, "window", "a running period",
     "Take partial away"),
    ({**COUNTED, "where": {"reopen_count": {"between": [5, 1]}}}, "where.reopen_count.between", "no row lies between",
     "between = [1, 5]"),
    ({**COUNTED, "where": {"created_at": {"between": ["2026-02-01", "2026-01-01"]}}}, "where.created_at.between",
     "no row lies between", "2026-01-01"),
    ({**WON, "agg": "count", "field": None, "share": {"type": "new"}, "weight": "amount", "headline": "count"},
     "headline", "a weighted share", 'agg = "sum"'),
    ({**SQL, "compare": ["previous"]}, "compare", "asks for no period", ":start"),
    ({**TICKETS, "filled": {"required": {"subject": 1}}, "compare": ["previous"]}, "compare", "as they are now",
     "Take it away"),
    ({**ORDERS, "deadline": {"due": "promised_date", "to": "delivered_date", "grace": "36h"}}, "deadline.grace",
     "whole days", '"1d"'),
    ({**TICKETS, "unit": "bananas"}, "unit", "not one of count, ratio", 'Write "number"'),
    ({**TICKETS, "unit": "day"}, "unit", "not one of count, ratio", "Did you mean days?"),
    ({**MEDIAN, "unit": "days"}, "unit", "a duration is in seconds", 'unit = "d"'),
    ({**SHARE, "unit": "count"}, "unit", "a share is a ratio", "Take it away"),
    ({**WON, "format": "bananas"}, "format", "not one of EUR, percent", "Take it away"),
    ({**WON, "format": "USD"}, "format", "amounts are in EUR, the currency of [agent]", "Take it away"),
    ({**WON, "format": "percent"}, "format", "the value is money", 'Write "EUR"'),
    ({**TICKETS, "format": "percent"}, "format", "the value is a count", 'Write "number"'),
    ({**TICKETS, "format": "EUR"}, "format", "the value is a count", 'Write "number"'),
    ({**SHARE, "format": "number"}, "format", "the value is a rate", 'Write "percent"'),
    ({**MEDIAN, "format": "number"}, "format", "the value is in seconds", "Take it away"),
    ({**SQL, "format": "bananas"}, "format", "not one of EUR, percent", "Take it away"),
    ({**SQL, "format": "months"}, "format", "months are of days", "Take it away"),
    ({**SHARE, "target": {"want": "up", "value": 0.5, "path": "glide"}}, "target.path", "from nowhere", "Add from"),
    ({**SHARE, "target": {"want": "up", "change": 0.1, "path": "seasonal", **YEAR}}, "target.path", "follows a season",
     "glide"),
    ({**WON, "target": {"want": "up", "value": 5.0, "path": "seasonal"}}, "target.path", "no year to take", "2025"),
    ({**SHARE, "target": {"want": {"between": [0.2, 0.4]}, "path": "linear"}}, "target.path", "a band", "Take it away"),
    ({**SHARE, "target": {"want": "up", "value": 0.5, "start": date(2026, 1, 1)}}, "target.start", "no end", "Add due"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "place", "said", "mend"), WRONG, ids=[f"{c[1]}: {c[2]}" for c in WRONG])
def test_what_makes_no_sense_is_told_with_its_mend(table: dict[str, Any], place: str, said: str, mend: str) -> None:
    kpi = build("mine", table)
    found = [(dotted(p), what, hint) for p, what, hint in mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING)]
    assert [where for where, _, _ in found] == [place], found
    assert said in found[0][1]
    assert mend in found[0][2]


RIGHT: list[dict[str, Any]] = [
    {**TICKETS, "where": {"subject": {"gte": "m", "contains": "urgent"}, "custom.score": {"gt": 5, "contains": "x"}}},
    {**TICKETS, "where": {"created_at": {"gte": "2026-01-01", "between": ["2026-01-01", "2026-02-01"]}}},
    {**TICKETS, "where": {"reopen_count": {"between": [1, 5]}, "subject": 5}},
    {**COUNTED, "window": "48h", "where": {"reopen_count": {"between": [5, 5]}}},
    {"of": "activities", "deadline": {"due": "due_at", "to": "completed_at", "grace": "36h"}},
    {**SQL, "sql": "SELECT COUNT(*) AS value FROM tickets WHERE closed_at < :end", "compare": ["previous"]},
    retain(),
    {"of": "customer_spans", "retain": {"opens": "start_date", "closes": "end_date", "key": "account_id"}},
    {"of": "accounts", "retain": {"opens": "created_at", "closes": "customer_since", "key": "id"}},
    {**WON, "format": "EUR"},
    {**SHARE, "format": "percent"},
    {**TICKETS, "format": "number"},
    {**SQL, "format": "percent"},
    {**SQL, "format": "EUR", "unit": "money"},
    {**MEDIAN, "duration": {"from": "created_at", "to": "closed_at", "unit": "d"}, "unit": "days", "format": "months"},
    {"ratio": {"top": "won_revenue", "bottom": "new_customers"}, "unit": "money", "format": "EUR"},
    {**SHARE, "target": {"want": "up", "value": 0.5, "path": "glide", **YEAR}},
    {**WON, "target": {"want": "up", "change": 0.1, "path": "seasonal", **YEAR}},
    {**WON, "target": {"want": "up", "value": 5.0, "path": "business_days"}},
]


@pytest.mark.parametrize("table", RIGHT)
def test_what_makes_sense_is_fine(table: dict[str, Any]) -> None:
    kpi = build("mine", table)
    assert list(mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING)) == []


def test_the_format_of_kpis_made_of_each_other_is_nobodys_to_say() -> None:
    kpis = {**BUILTINS, "a": build("a", {"calc": {"plus": ["b"]}, "format": "EUR"})}
    kpis["b"] = build("b", {"calc": {"plus": ["a"]}})
    found = mistakes(kpis["a"], {"calc": {}, "format": "EUR"}, kpis, REPORTING)
    assert [dotted(path) for path, _, _ in found] == ["calc.plus"]


@pytest.mark.parametrize("amber", [-0.5, 1, 5])
def test_a_tolerance_is_a_share(amber: float) -> None:
    with pytest.raises(ValidationError, match="less than 1|greater than or equal to 0"):
        build("mine", {**SHARE, "target": {"want": "up", "value": 0.5, "amber": amber}})


def asked(folder: Path, target: dict[str, Any], as_of: datetime) -> KpiResult:
    """Ten tickets open all along, under a target."""
    kpi = build("open", {**STOCK, "n_min": 0, "target": target})
    with closing(open_cache(folder)) as cache:
        for number in range(10):
            put(cache, "tickets", f"T{number}", created_at="2026-01-01T00:00:00Z", status_category="open")
        facts.refresh(cache, FRAME)
        return evaluate(cache, kpi, {"open": kpi}, FRAME, as_of=as_of)


HALF = {"want": "down", "value": 4, "from": {"at": date(2026, 6, 30)}, "due": date(2026, 12, 31), "path": "glide"}


def test_a_value_wanted_by_a_day_is_judged_by_the_path_of_today(tmp_path: Path) -> None:
    """From 10 on 30 June to 4 at the end of the year: on 1 October, half the days gone, 7 are expected."""
    found = asked(tmp_path, HALF, datetime(2026, 10, 1, tzinfo=UTC))
    assert found.target is not None
    assert found.target.expected == pytest.approx(10 - 6 * 92 / 184)
    assert found.target.value == 4
    flat = asked(tmp_path, {"want": "down", "value": 4}, datetime(2026, 10, 1, tzinfo=UTC))
    assert flat.target is not None
    assert flat.target.expected == 4


@pytest.mark.parametrize(
    ("start", "is_known", "is_judged"),
    [
        ({"at": date(2026, 10, 1)}, True, False),
        ({"at": date(2026, 10, 2)}, False, False),
        ({"at": date(2027, 1, 1)}, False, False),
        ({"period": "2026-09"}, True, True),
        ({"period": "2026-10"}, False, False),
        ({"period": "2026"}, False, False),
    ],
)
def test_a_baseline_whose_days_are_not_over_judges_nothing(
    tmp_path: Path, start: Any, is_known: bool, is_judged: bool
) -> None:
    """What lies ahead, or still runs, is no value to start from; on the day itself its way has not begun."""
    target = {"want": "down", "change": "-20%", "from": start, "due": date(2027, 6, 30)}
    found = asked(tmp_path, target, datetime(2026, 10, 1, 12, tzinfo=UTC))
    assert found.target is not None
    assert found.target.baseline is not None
    assert (found.target.baseline.baseline.value is not None) == is_known
    assert (found.target.value, found.verdict is not None) == ((8, True) if is_judged else (None, False))


def test_check_warns_of_a_baseline_that_is_not_over() -> None:
    """With the day until which nothing is judged."""
    kpi = build("mine", {**STOCK, "target": {"want": "down", "change": -0.2, **YEAR}})
    assert not_begun(kpi, date(2026, 1, 1), REPORTING) == ""
    assert not_begun(kpi, date(2025, 12, 31), REPORTING) == (
        "the baseline of mine runs until 2025-12-31: nothing is judged by its target before."
    )
    assert not_begun(build("mine", STOCK), date(2025, 1, 1), REPORTING) == ""


@pytest.mark.usefixtures("logs_given_back")
def test_the_warning_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    text = '[kpi.ticket_backlog.target]\nwant = "down"\nchange = "-20%"\nfrom = { at = 2999-01-01 }\ndue = 2999-06-30\n'
    path.write_text(text, encoding="utf-8")
    assert run_cli(["--config", str(path), "check", "--offline"]) == 0
    assert "warning: the baseline of ticket_backlog runs until 2999-01-01" in capsys.readouterr().out
