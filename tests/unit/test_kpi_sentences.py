"""What is said of a KPI that is written wrong, has nothing to count or lists records: words a reader can go by."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import build, override
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.render import render
from scorecards.values import ActionList
from syncagent import facts
from syncagent.config.kpi import mistakes
from syncagent.store import open_cache
from tests.fakes.issue import action, issue, normal_results
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def found(table: dict[str, Any]) -> list[tuple[Any, str, str]]:
    kpi = build("mine", table)
    return list(mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING))


def test_engagements_without_a_pause_say_how_one_is_named() -> None:
    [(path, message, mend)] = found({"of": "engagements"})
    assert path == ("of",)
    assert "built-in" not in message
    assert message.startswith("engagements are kept once for each pause")
    assert mend == "Name one: where = { gap_days = 14 }."


@pytest.mark.parametrize(
    ("reason", "places"),
    [
        ("open for {aeg}", ["action.reason"]),
        ("open for {age}, {owner.name}: {status_category}", []),
        ("of {account.nmae}", ["action.reason"]),
        ("{gap} of {measure}", []),
    ],
)
def test_what_a_sentence_of_a_list_names_must_be_there(reason: str, places: list[str]) -> None:
    said = found({"of": "tickets", "action": {"label": "open", "reason": reason}})
    assert [".".join(map(str, path)) for path, _, _ in said] == places


def test_rows_that_are_all_left_out_are_counted_by_why(cache: sqlite3.Connection) -> None:
    for number in range(5):
        answered = {} if number < 3 else {"first_response_at": "2026-10-01T08:00:00Z"}
        put(cache, "tickets", f"T{number}", created_at="2026-10-10T10:00:00Z", status_category="open", **answered)
    facts.refresh(cache, REPORTING)
    table = {
        "of": "tickets",
        "date": "created_at",
        "agg": "avg",
        "duration": {"from": "created_at", "to": "first_response_at"},
    }
    kpi = build("mine", table)
    result = evaluate(cache, kpi, {**BUILTINS, "mine": kpi}, REPORTING, as_of=AS_OF, period=parse_period("2026-10"))
    assert result.status == "no_denominator"
    assert result.reason == "3 tickets are still waiting, none is done; left out: 2 that end before they begin"
    cache.execute("DELETE FROM tickets WHERE first_response_at IS NULL")
    facts.refresh(cache, REPORTING)
    result = evaluate(cache, kpi, {**BUILTINS, "mine": kpi}, REPORTING, as_of=AS_OF, period=parse_period("2026-10"))
    assert result.reason == "all tickets of the period are left out: 2 that end before they begin"
    put(cache, "tickets", "far", created_at="2025-10-10T10:00:00Z", status_category="open", handling_seconds=60)
    facts.refresh(cache, REPORTING)
    filled = build("mine", {"of": "tickets", "date": "created_at", "agg": "avg", "field": "handling_seconds"})
    result = evaluate(
        cache, filled, {**BUILTINS, "mine": filled}, REPORTING, as_of=AS_OF, period=parse_period("2026-10")
    )
    assert result.reason == "all tickets of the period are left out: 2 without a value it needs"
    empty = evaluate(cache, kpi, {**BUILTINS, "mine": kpi}, REPORTING, as_of=AS_OF, period=parse_period("2026-09"))
    assert empty.reason == "no tickets to count in the period"


def test_a_list_without_a_label_is_headed_by_its_kpi() -> None:
    first = normal_results()[0]
    rows = [action(1, "Acme", "open", None)]
    listed = replace(first, verdict="red", actions=ActionList("", rows, 1))
    text = render(issue([listed])).text
    assert "under “”" not in text
    assert f"\n{first.title} (1 of 1)" in text


def test_days_by_tier_are_told_in_words() -> None:
    by_tier = {"value": 30, "by": "account.tier", "of": {"A": 14, "B": 60}}
    kpi = override(BUILTINS["relationship_freshness"], {"params": {"fresh_days": by_tier}})
    assert kpi.about.endswith("in the last 30 (tier A: 14, tier B: 60) days.")
    assert kpi.share is not None
    assert kpi.share["days_since_contact"] == {"lte": by_tier}


@pytest.mark.parametrize(
    ("calc", "said"),
    [
        ({"plus": ["won_revenue"], "minus": ["win_rate"]}, "won_revenue is money, win_rate is a rate"),
        ({"plus": ["won_revenue", "lost_opportunities"]}, "won_revenue is money, lost_opportunities is a number"),
        ({"plus": ["first_response_time"], "minus": ["average_collection_period"]}, "first_response_time is a time, "),
        ({"plus": ["won_revenue"], "minus": ["upsell_revenue"]}, ""),
        ({"plus": ["lost_opportunities"], "minus": ["win_rate.n"]}, ""),
    ],
)
def test_only_what_has_one_unit_is_added_up(calc: dict[str, Any], said: str) -> None:
    mistakes_found = found({"calc": calc})
    if not said:
        assert mistakes_found == []
        return
    [(path, message, mend)] = mistakes_found
    assert (path, mend) == (("calc",), "Name KPIs of one unit, or write a ratio.")
    assert message.startswith(f"adds up what has no unit in common: {said}")


@pytest.mark.parametrize(("sql", "n"), [("SELECT 5 AS value", None), ("SELECT 5 AS value, 7 AS n", 7)])
def test_a_statement_that_does_not_say_how_many_has_no_n(cache: sqlite3.Connection, sql: str, n: int | None) -> None:
    kpi = build("own", {"sql": sql})
    result = evaluate(cache, kpi, {**BUILTINS, "own": kpi}, REPORTING, as_of=AS_OF)
    assert (result.value, result.n) == (5, n)
