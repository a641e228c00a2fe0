"""What a KPI names must be there: tables, columns, conditions, values, segments, other KPIs."""

from datetime import date
from typing import Any

import pytest

from scorecards import definition
from scorecards.catalogue import BUILTINS
from syncagent.config.kpi import mistakes
from syncagent.config.models import Agent, Calendar, Identity
from syncagent.config.problems import dotted
from syncagent.config.result import gaps_of, make_reporting, spans_of

DIMENSIONS = {"team": {"tickets": "owner.team"}, "owner": {"leads": "owner.name"}}
REPORTING = make_reporting(
    Agent(), Calendar(), frozenset(), DIMENSIONS, Identity(), definition.Customers(), definition.TestRows()
)


def test_engagements_are_made_for_every_pause_a_kpi_asks_for() -> None:
    """The built-in's own, one its parameter changes, and those of other KPIs, each once."""
    own = definition.build("mine", {"of": "engagements", "where": {"gap_days": 30}})
    changed = definition.override(BUILTINS["actions_per_engagement"], {"params": {"gap_days": 7}})
    assert gaps_of(BUILTINS.values()) == (14,)
    assert gaps_of([own, changed, own]) == (7, 30)


def test_customers_are_made_for_every_lookback_a_kpi_asks_for() -> None:
    """That of [customers], and those of KPIs with one of their own, or with orders among the purchases."""
    named = {"lookback_days": 90, "purchases": ["orders", "deals"]}
    own = definition.build("mine", {"of": "customer_spans", "params": named})
    part = definition.override(BUILTINS["average_retention_period"], {"params": {"lookback_days": 180}})
    assert spans_of(BUILTINS.values(), definition.Customers()) == ("deals 365",)
    assert spans_of([own, part, own], definition.Customers(lookback_days=400)) == ("deals 180", "deals+orders 90")


def said(table: dict[str, Any], name: str = "mine") -> list[str]:
    builtin = BUILTINS.get(name)
    kpi = definition.override(builtin, table) if builtin else definition.build(name, table)
    found = mistakes(kpi, table, {**BUILTINS, name: kpi}, REPORTING)
    return [f"{dotted(path)}: {message}" for path, message, _ in found]


TICKETS = {"of": "tickets"}


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ({"of": "tickts"}, "of"),
        ({**TICKETS, "where": {"priorty": "high"}}, "where.priorty"),
        ({**TICKETS, "where": {"status_category": ["open", "opn"]}}, "where.status_category[2]"),
        ({**TICKETS, "where": {"status_category": {"not": "opn"}}}, "where.status_category.not"),
        ({**TICKETS, "where": {"created_at": {"after": "2026-02-31"}}}, "where.created_at.after"),
        ({**TICKETS, "where": {"created_at": {"since": "2026-02-01"}}}, "where.created_at.since"),
        ({**TICKETS, "where": {"owner.taem": {"not": "EMEA"}}}, 'where."owner.taem"'),
        ({**TICKETS, "where": {"reopen_count": "many"}}, "where.reopen_count"),
        ({"of": "engagements"}, "of"),
        (
            {**TICKETS, "changes": [{"at": date(2026, 4, 1), "reason": "counts all rows, whatever their date"}]},
            "changes",
        ),
        ({"of": "engagements", "where": {"gap_days": [7, 14]}}, "where.gap_days"),
        ({"of": "engagements", "where": {"any": [{"gap_days": 7}]}}, "where.gap_days"),
        ({**TICKETS, "where": {"is_closed": "yes"}}, "where.is_closed"),
        ({**TICKETS, "share": {"is_wn": True}}, "share.is_wn"),
        ({**TICKETS, "agg": "sum", "field": "subject"}, "field"),
        ({**TICKETS, "date": "priority"}, "date"),
        ({**TICKETS, "stock": {"opens": "created_at", "closes": "closd_at"}}, "stock.closes"),
        ({**TICKETS, "agg": "median", "duration": {"from": "creatd_at", "to": "closed_at"}}, "duration.from"),
        ({**TICKETS, "action": {"order": "-amount"}}, "action.order"),
        ({**TICKETS, "by": ["region"]}, "by"),
        ({"ratio": {"top": "won_revenu", "bottom": "win_rate.gap"}}, "ratio.top"),
        ({"sql": "DELETE FROM leads"}, "sql"),
    ],
)
def test_what_is_not_there_is_named(table: dict[str, Any], place: str) -> None:
    assert [line.partition(": ")[0] for line in said(table)] == [place]


@pytest.mark.parametrize(
    ("sql", "said", "mend"),
    [
        ("DELETE FROM leads", "is not a SELECT", "Write one SELECT that returns a column named value."),
        ("SELECT COUNT(*) AS value FROM tickts", "no table is called 'tickts'", "Did you mean tickets?"),
        (
            "SELECT COUNT(t.closd_at) AS value FROM tickets t",
            "no column is called 't.closd_at'",
            "Did you mean closed_at?",
        ),
        ("SELECT SUM(margin) AS value FROM tickets", "no column is called 'margin'", "docs/tables.md lists them."),
        ("SELECT :strat AS value", "no value is called :strat", "Did you mean start?"),
        ("SELECT 1 AS value; SELECT 2 AS value", "is more than one statement", ""),
        ("SELECT 1 AS valeu", "returns no column named value", "Name one, as in SELECT COUNT(*) AS value."),
        ("SELECT FROM tickets", "cannot be read: near", ""),
        ("SELECT load_extension('x') AS value", "the function load_extension is refused", ""),
        ("SELECT COUNT(*) AS value FROM sqlite_master", "the table sqlite_master is refused", ""),
        ("WITH x AS (SELECT 1) DELETE FROM tickets", "a change of rows is refused", ""),
        ("SELECT COUNT(DISTINCT email_norm) AS value FROM contacts", "contacts.email_norm names a person", ""),
        ("SELECT COUNT(*) AS value FROM periods", "reads the table periods", "Add periods.period to what it selects."),
        ("SELECT random() AS value", "the function random is refused: it says something else", "Take it away."),
        ("SELECT julianday('now') AS value", "julianday('now') is refused: it is the clock's", "Write :as_of"),
        ("SELECT 1 AS value WHERE :end_date > current_date", "current_date is refused", ":as_of_date for the day"),
    ],
)
def test_a_statement_is_held_against_the_tables(sql: str, said: str, mend: str) -> None:
    kpi = definition.build("mine", {"sql": sql})
    found = list(mistakes(kpi, {"sql": sql}, {"mine": kpi}, REPORTING))
    assert [path for path, _, _ in found] == [("sql",)]
    assert said in found[0][1]
    assert mend in found[0][2]


def test_a_statement_that_would_never_end_is_not_run_to_check_it() -> None:
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT SUM(x) AS value FROM r"
    assert said({"sql": endless}) == []


@pytest.mark.parametrize(
    "table",
    [
        {
            **TICKETS,
            "where": {"priority": ["high"], "custom.tier": "a", "owner.team": {"not": "X"}, "account_name": "y"},
        },
        {**TICKETS, "where": {"created_at": {"after": "2026-01-31", "before": "2026-02-28T10:00:00Z"}}},
        {**TICKETS, "where": {"is_closed": False, "reopen_count": {"gte": 1, "set": True}}},
        {**TICKETS, "by": ["team"], "target": {"want": "up", "value": 1, "team": {"EMEA": 2}}},
        {"of": "opportunities", "agg": "sum", "field": "amount", "date": "outcome_date", "where": {"is_won": True}},
        {"of": "opportunities", "agg": "avg", "field": "custom.margin"},
        {"ratio": {"top": "won_revenue", "bottom": "win_rate.target"}},
        {"sql": "  with x as (select 1) select 1 AS value"},
        {"sql": "-- all of them\nSELECT COUNT(*) AS Value, 'email' AS segment FROM (SELECT * FROM contacts) -- end\n;"},
        {"sql": "SELECT p.period, COUNT(*) AS value FROM periods p, fact_tickets f WHERE known_to > p.end GROUP BY 1"},
        {"sql": "SELECT SUM(e.value) AS value FROM tickets t, json_each(t.custom, '$.tags') e WHERE :as_of > :start"},
    ],
)
def test_what_is_there_is_fine(table: dict[str, Any]) -> None:
    assert said(table) == []


def test_what_a_builtin_says_itself_is_not_held_against_the_file() -> None:
    for name in BUILTINS:
        assert said({"n_min": 1}, name) == []


def test_points_are_of_rates_only() -> None:
    """Five points of money are no points."""
    points = {"target": {"want": "up", "change": "+5pp", "from": {"period": "2025"}, "due": date(2026, 12, 31)}}
    assert said(points, "win_rate") == []
    assert said(points, "won_revenue") == ["target.change: points (pp) are of rates, and this is none"]


def test_a_builtin_takes_only_parameters_there_are() -> None:
    assert said({"params": {"weight": "amount"}}, "win_rate") == []
    assert said({"params": {"wieght": "amount"}}, "win_rate") == ["params.wieght: there is no such parameter"]
