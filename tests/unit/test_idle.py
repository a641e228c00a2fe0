"""What a shape of a KPI does not read is refused with its place, and a share of a sum is one."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import build, override
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from syncagent import facts
from syncagent.config.kpi import mistakes
from syncagent.config.problems import dotted
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING as FRAME
from tests.unit.facts.frame import put
from tests.unit.test_config_kpi import REPORTING

TICKETS = {"of": "tickets"}
ENDS = {"from": "created_at", "to": "first_closed_at"}
CLOSED = {"share": {"is_closed": True}}
SPANS = {"of": "customer_spans", "retain": {"opens": "start_date", "closes": "end_date", "key": "account_id"}}
COHORT = {**TICKETS, "date": "created_at", "cohort": {"reaches": "first_closed_at", "within": "7d"}}
DEADLINE = {**TICKETS, "deadline": {"from": "created_at", "to": "first_response_at", "within": "4h"}}
STOCK = {**TICKETS, "stock": {"opens": "created_at", "closes": "closed_at"}}
FILLED = {**TICKETS, "filled": {"required": {"priority": 1}}}
SQL = {"sql": "SELECT COUNT(*) AS value FROM tickets"}
RATIO = {"ratio": {"top": "won_revenue", "bottom": "win_rate"}}

#: (table, where, what is said, mend)
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({**TICKETS, **CLOSED, "agg": "avg", "field": "reopen_count"}, "agg", "there is no avg", 'agg = "sum"'),
    ({**TICKETS, **CLOSED, "agg": "distinct", "field": "account_id"}, "agg", "no distinct", "first_per = ["),
    ({**TICKETS, **CLOSED, "field": "reopen_count"}, "field", "a count counts rows", "set = true"),
    ({**TICKETS, "field": "subject"}, "field", "a count counts rows", "distinct"),
    ({**COHORT, "agg": "sum", "field": "reopen_count"}, "agg,field", "would be ignored", "Take it away"),
    ({**DEADLINE, "agg": "median", "field": "reopen_count"}, "agg,field", "would be ignored", "Take it away"),
    ({**FILLED, "out": {"spam": {"close_reason": "spam"}}}, "out", "filled does not look at out", "Take it away"),
    ({**SPANS, "out": {"spam": {"has_left": True}}}, "out", "retain does not look at out", "Take it away"),
    ({**SPANS, "agg": "sum", "field": "tenure_days"}, "agg,field", "would be ignored", "Take it away"),
    ({**STOCK, "window": "90d"}, "window", "it has no window", "Take it away"),
    ({**STOCK, "date": "created_at"}, "date", "placed by opens and closes", "Take it away"),
    ({**TICKETS, "duration": ENDS}, "duration", "looks at no time", 'agg = "median"'),
    ({**TICKETS, "duration": ENDS, "agg": "avg", "field": "reopen_count"}, "field", "does not look at field", "Take"),
    ({**SQL, "by": ["priority"]}, "by", "split by its statement", "segment"),
    ({**SQL, "where": {"priority": "high"}}, "where", "counts what its statement says", "Take it away"),
    ({**SQL, "action": {"order": "created_at"}}, "action", "no rows of its own", "Take it away"),
    ({**RATIO, "where": {"priority": "high"}, "agg": "sum"}, "where,agg", "would be ignored", "Take it away"),
    ({**RATIO, "action": {"order": "created_at"}}, "action", "no rows of its own", "kpi = "),
    ({**RATIO, "also": {"x": {"agg": "avg", "field": "amount"}}}, "also.x", "no rows of its own", "kpi = "),
    ({**TICKETS, "also": ["p90"]}, "also", "p90 would be ignored: it needs a field", "Take it away"),
    ({**TICKETS, "also": {"x": {"agg": "avg"}}}, "also.x", "needs a field", "Add a field"),
    ({**TICKETS, **CLOSED, "also": ["median"]}, "also", "needs a field", "Take it away"),
    ({**TICKETS, "also": {"x": {"share": {"is_closed": True}, "agg": "avg", "field": "reopen_count"}}}, "also.x",
     "is a share", "Take these away"),
    ({**TICKETS, "also": {"x": {"clock": "business"}}}, "also.x.clock", "only a duration has a clock", "Take it away"),
    ({**TICKETS, "also": {"x": {"part": "n"}}}, "also.x.part", "a part of another KPI", "kpi = "),
    ({**TICKETS, "also": {"x": {"agg": "avg", "field": "subject"}}}, "also.x.field", "a number is needed", "numbers"),
    ({**TICKETS, "unless": {"reaches": "first_closed_at", "within": "1d"}}, "unless", "does not look at", "Take"),
    ({**TICKETS, "headline": "count"}, "headline", "does not look at", "Take it away"),
    ({**TICKETS, "nothing": "unknown"}, "nothing", "says of a sum", "Take it away"),
    ({**TICKETS, **CLOSED, "scale": 10}, "scale", "on a scale", "Take it away"),
    ({**TICKETS, "agg": "avg", "duration": ENDS, "scale": 10}, "scale", "on a scale", "Take it away"),
    ({**TICKETS, "params_of": "first_response_time"}, "params_of", "only a built-in", "Take it away"),
    ({**SPANS, "also": {"x": {"where": {"has_left": True}}}}, "also.x", "beside retain", "a KPI of its own"),
    ({**FILLED, "also": {"x": {"share": {"is_closed": True}}}}, "also.x", "rows are only counted", "KPI of its own"),
    ({**COHORT, "mature": "3d"}, "mature", "waits for its within", "Take it away"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "places", "said", "mend"), WRONG, ids=[f"{c[1]}: {c[2]}" for c in WRONG])
def test_a_slot_that_would_do_nothing_is_refused(table: dict[str, Any], places: str, said: str, mend: str) -> None:
    kpi = build("mine", table)
    found = list(mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING))
    assert sorted(dotted(path) for path, _, _ in found) == sorted(places.split(","))
    assert all(said in f"{message}. {hint}" for _, message, hint in found) or said in found[0][1]
    assert mend in found[0][2]


@pytest.mark.parametrize("name", ["won_revenue", "win_rate", "lead_conversion_rate", "ticket_backlog", "sales_growth"])
def test_a_builtin_that_is_given_what_it_does_not_read_is_refused_too(name: str) -> None:
    """The place is that of the file."""
    table = {"unless": {"reaches": "created_at", "within": "1d"}, "nothing": "unknown", "per_distinct": "account_id"}
    for slot in table:
        try:
            kpi = override(BUILTINS[name], {slot: table[slot]})
        except ValueError:
            continue  # said by the model itself
        read = {("won_revenue", "nothing"), ("won_revenue", "per_distinct"), ("win_rate", "unless")}
        places = [dotted(path) for path, _, _ in mistakes(kpi, {slot: table[slot]}, {**BUILTINS, name: kpi}, REPORTING)]
        assert places == ([] if (name, slot) in read else [slot]), (name, slot)


RIGHT: list[dict[str, Any]] = [
    {**TICKETS, **CLOSED, "agg": "count"},
    {**TICKETS, **CLOSED, "agg": "sum", "field": "reopen_count"},
    {**STOCK, **CLOSED, "agg": "sum", "field": "reopen_count"},
    {**STOCK, "agg": "median", "field": "reopen_count", "also": ["p90", "count"]},
    {**TICKETS, "agg": "median", "duration": ENDS, "also": ["p90"], "latest_per": ["account_id"], "date": "created_at"},
    {**TICKETS, "also": {"x": {"agg": "avg", "field": "reopen_count"}, "y": {"where": {"is_closed": True}}}},
    {**COHORT, "agg": "count", "mature": {"after": "created_at", "wait": "1d"}},
    {**STOCK, "first_per": ["account_id"], "date": "created_at"},
    {**SQL, "window": "90d", "period": "month", "unit": "score", "scale": 5},
    {**FILLED, "also": {"x": {"where": {"status_category": "open"}}}},
    {**SPANS, "also": {"x": {"kpi": "won_revenue"}}},
    {**RATIO, "also": {"x": {"kpi": "won_revenue"}}, "action": {"kpi": "won_revenue"}},
]  # fmt: skip


@pytest.mark.parametrize("table", RIGHT)
def test_what_is_read_is_fine(table: dict[str, Any]) -> None:
    kpi = build("mine", table)
    assert list(mistakes(kpi, table, {**BUILTINS, "mine": kpi}, REPORTING)) == []


def test_a_share_of_a_sum_is_of_the_sum_and_not_of_its_rows(tmp_path: Path) -> None:
    """One deal of three is won, of nine tenths of the amount; a row without one lowers the coverage."""
    with closing(open_cache(tmp_path)) as cache:
        for id_, state, amount in (("a", "won", 90_00), ("b", "lost", 4_00), ("c", "lost", 6_00), ("d", "lost", None)):
            put(cache, "opportunities", id_, state=state, close_date="2026-08-01", close_at="2026-08-01T10:00:00Z",
                created_at="2026-07-01T00:00:00Z", amount_minor=amount, currency="EUR")  # fmt: skip
        facts.refresh(cache, FRAME)
        asked = {"of": "opportunities", "where": {"is_closed": True}, "share": {"is_won": True}, "date": "outcome_date"}
        as_of, period = datetime(2026, 11, 20, tzinfo=UTC), parse_period("2026-Q3")
        for way in ({"agg": "sum", "field": "amount"}, {"weight": "amount"}):
            kpi = build("mine", {**asked, **way, "n_min": 0})
            found = evaluate(cache, kpi, {"mine": kpi}, FRAME, as_of=as_of, period=period)
            assert (found.value, found.numerator, found.denominator, found.n) == (0.9, 90, 100, 3)
            assert (found.status, found.coverage) == ("partial", 0.75)


def test_a_share_of_a_sum_of_no_column_is_told_where_it_stands() -> None:
    table = {**TICKETS, **CLOSED, "agg": "sum", "field": "reopn_count"}
    kpi = build("mine", table)
    found = list(mistakes(kpi, table, {"mine": kpi}, REPORTING))
    assert [(dotted(path), mend) for path, _, mend in found] == [("field", "Did you mean reopen_count?")]
