"""The KPI language slot by slot, where a reading of it could go wrong: worked by hand on a few rows."""

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.values import KpiResult
from scorecards.wording import formula
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = "2026-11-21T12:00:00+00:00"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    yield conn
    conn.close()


def asked(
    cache: sqlite3.Connection, tables: Mapping[str, Mapping[str, Any]], name: str, period: str | None = None
) -> KpiResult:
    """A KPI of these tables, at AS_OF."""
    evaluator, kpis = prepared(cache, tables)
    return evaluator.evaluate(kpis[name], period=parse_period(period) if period else None)


def prepared(cache: sqlite3.Connection, tables: Mapping[str, Mapping[str, Any]]) -> tuple[Evaluator, dict[str, Any]]:
    facts.refresh(cache, REPORTING)
    kpis = {**BUILTINS, **{name: build(name, table) for name, table in tables.items()}}
    for name in tables:
        assert problems(kpis[name], kpis, REPORTING) == []
    return Evaluator(cache, kpis, REPORTING, as_of=datetime.fromisoformat(AS_OF)), kpis


def deal(cache: sqlite3.Connection, id_: str, state: str, close: str | None, amount: int | None, **values: Any) -> None:
    minor = None if amount is None else amount * 100
    put(cache, "opportunities", id_, state=state, close_date=close, amount_minor=minor, **{"currency": "EUR", **values})


BOOKINGS: dict[str, Any] = {
    "of": "opportunities",
    "agg": "sum",
    "field": "amount",
    "date": "outcome_date",
    "where": {"is_won": True},
    "period": "year",
    "partial": "to_date",
    "target": {"want": "up", "change": "+10%", "from": {"period": "2025"}, "due": date(2026, 12, 31)},
}
OPEN_PIPELINE: dict[str, Any] = {
    "of": "opportunities",
    "agg": "sum",
    "field": "amount",
    "stock": {"opens": "created_at", "closes": "outcome_date"},
    "period": "week",
}


def test_what_is_left_to_book_is_left_of_the_year(cache: sqlite3.Connection) -> None:
    """A weekly ratio over the gap of a year to date asks for the year to date, not for the week."""
    deal(cache, "base", "won", "2025-06-01", 1000)
    deal(cache, "early", "won", "2026-02-01", 300)
    deal(cache, "in the week", "won", "2026-11-11", 350)
    deal(cache, "after the week", "won", "2026-11-18", 100)
    deal(cache, "open", "open", "2026-12-15", 900)
    coverage = {"ratio": {"top": "open_pipeline", "bottom": "bookings.gap"}, "period": "week"}
    found = asked(cache, {"bookings": BOOKINGS, "open_pipeline": OPEN_PIPELINE, "coverage": coverage}, "coverage")
    assert found.numerator == 1000
    assert found.denominator == pytest.approx(1100 - 650)


def test_an_operand_keeps_its_window(cache: sqlite3.Connection) -> None:
    for number, day in enumerate(("2026-08-20", "2026-10-01", "2026-10-20")):
        deal(cache, f"d{number}", "won", day, 100)
    quarter = {"of": "opportunities", "where": {"is_won": True}, "date": "outcome_date", "window": "90d"}
    month = {"of": "opportunities", "where": {"is_won": True}, "date": "outcome_date"}
    tables: dict[str, dict[str, Any]] = {
        "long": quarter,
        "short": month,
        "both": {"ratio": {"top": "long", "bottom": "short"}},
    }
    assert asked(cache, tables, "both", "2026-10").value == pytest.approx(3 / 2)


def test_a_deal_won_on_the_day_it_came_took_no_days(cache: sqlite3.Connection) -> None:
    deal(cache, "at once", "won", "2026-11-10", 1, created_at="2026-11-10T09:00:00Z")
    deal(cache, "slow", "won", "2026-11-15", 1, created_at="2026-11-01T22:00:00Z")
    cycle = {"of": "opportunities", "agg": "max", "where": {"is_won": True}, "date": "outcome_date", "period": "month"}
    cycle |= {"duration": {"from": "created_at", "to": "outcome_date", "unit": "d"}, "also": ["min", "count"]}
    found = asked(cache, {"cycle": cycle}, "cycle", "2026-11")
    assert (found.value, found.details["min"], found.n) == (14, 0, 2)


def test_numbers_handed_over_as_text_are_numbers(cache: sqlite3.Connection) -> None:
    """CRMs give custom numbers as text, which SQL would place above every number."""
    for id_, custom in {"a": '{"n": "9"}', "b": '{"n": 7}', "c": '{"n": "30"}', "d": '{"n": "abc"}', "e": None}.items():
        deal(cache, id_, "open", None, 1, custom=custom)
    base: dict[str, Any] = {"of": "opportunities", "period": "all"}
    tables: dict[str, dict[str, Any]] = {
        "above": {**base, "where": {"custom.n": {"gt": 8}}},
        "between": {**base, "where": {"custom.n": {"between": [7, 9]}}},
        "middle": {**base, "agg": "median", "field": "custom.n", "n_min": 1},
    }
    assert asked(cache, tables, "above").value == 2
    assert asked(cache, tables, "between").value == 2
    assert (asked(cache, tables, "middle").value, asked(cache, tables, "middle").n) == (9, 3)


@pytest.mark.parametrize("agg", ["median", "p90", "max", "sum"])
def test_only_numbers_can_be_ranked_or_added(agg: str) -> None:
    kpi = build("x", {"of": "opportunities", "agg": agg, "field": "name"})
    assert [place for place, _, _ in problems(kpi, {"x": kpi}, REPORTING)] == ["field"]


def test_contains_looks_past_case_in_every_alphabet(cache: sqlite3.Connection) -> None:
    deal(cache, "a", "open", None, 1, name="MÜLLER AG")
    tables = {"named": {"of": "opportunities", "where": {"name": {"contains": "müller"}}}}
    assert asked(cache, tables, "named").value == 1


def test_no_history_is_not_one_of_zeros(cache: sqlite3.Connection) -> None:
    """The first months of a new source must not read as a leap from nothing."""
    for number in range(12):
        put(cache, "leads", f"l{number}", created_at=f"2026-{9 + number % 2:02d}-05T00:00:00Z")
    found = asked(cache, {"leads_in": {"of": "leads", "date": "created_at"}}, "leads_in")
    assert found.signal is not None
    assert (found.value, found.signal.result, found.signal.points) == (6, "too_few_points", 2)


def test_a_statement_that_counts_no_rows_has_a_history(cache: sqlite3.Connection) -> None:
    found = asked(cache, {"own": {"sql": "SELECT 5 + 0 * length(:start) AS value"}}, "own")
    assert found.signal is not None
    assert found.signal.points == 22


def test_an_action_shows_what_it_names(cache: sqlite3.Connection) -> None:
    put(cache, "users", "u", name="Ann")
    put(cache, "tickets", "t", created_at="2026-11-11T09:00:00Z", owner_id="u", priority="high")
    action = {"where": {"first_response_at": {"set": False}}, "order": "created_at", "show": ["owner_name", "priority"]}
    table = {"of": "tickets", "date": "created_at", "period": "week", "action": action}
    found = asked(cache, {"waiting": table}, "waiting")
    assert found.actions is not None
    assert [row.reason for row in found.actions.rows] == ["owner name: Ann · priority: high"]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1e999 AS value", "something else than a number or null as value"),
        (
            "WITH RECURSIVE r(x) AS (SELECT 'abcdefgh' UNION ALL SELECT x || x FROM r LIMIT 40)"
            " SELECT SUM(length(x)) AS value FROM r",
            "too big",
        ),
    ],
)
def test_a_statement_cannot_answer_with_anything(cache: sqlite3.Connection, sql: str, said: str) -> None:
    found = asked(cache, {"own": {"sql": sql}}, "own")
    assert found.status == "error"
    assert said in str(found.reason)


def test_records_of_a_growth_give_it_again(cache: sqlite3.Connection) -> None:
    """Both sides are named, converted: their parts add up to the change and its base."""
    deal(cache, "a", "won", "2026-10-05", 150)
    deal(cache, "b", "won", "2026-10-06", 100, currency="USD")
    deal(cache, "c", "won", "2026-09-06", 120)
    put(cache, "fx_rates", "r", currency="USD", valid_from="2026-01-01", rate_to_reporting=0.9)
    evaluator, kpis = prepared(cache, {})
    growth = override(kpis["sales_growth"], {"n_min": 1, "params": {"compare": "previous_period"}})
    told = evaluator.explain(growth, period=parse_period("2026-10"))
    now, then = (sum(record["measure"] for record in part["records"]) for part in told["of"])
    assert (now, then) == (240, 120)
    assert told["value"] == pytest.approx((now - then) / then)


def test_what_is_filed_under_a_merged_record_follows_at_once(cache: sqlite3.Connection) -> None:
    """An answer on a ticket merged away is the survivor's, whichever came first, and goes again with the merge."""
    put(cache, "tickets", "kept", created_at="2026-11-02T00:00:00Z")
    put(cache, "tickets", "gone", created_at="2026-11-02T00:00:00Z")
    said = {"type": "email", "direction": "outbound", "status": "completed", "is_public": 1, "ticket_id": "gone"}
    put(cache, "activities", "a", occurred_at="2026-11-02T00:05:00Z", **said)

    def answered() -> Any:
        facts.refresh(cache, REPORTING)
        return cache.execute("SELECT first_response_at FROM fact_tickets WHERE id = 'kept'").fetchone()[0]

    assert answered() is None
    put(cache, "tickets", "gone", merged_into="kept")
    assert answered() is not None
    put(cache, "activities", "b", occurred_at="2026-11-02T00:01:00Z", **said)
    assert answered() == int(datetime.fromisoformat("2026-11-02T00:01:00+00:00").timestamp())
    put(cache, "tickets", "gone", merged_into=None)
    assert answered() is None


def test_words_of_a_ratio_name_both_sides() -> None:
    now, then = "change of Won revenue against the period compared with", "Won revenue of the period compared with"
    assert formula(BUILTINS["sales_growth"], BUILTINS) == f"{now} ÷ {then}"


def test_orders_are_purchases_where_they_are_said_to_be(cache: sqlite3.Connection) -> None:
    """Live orders that were not cancelled, beside won deals."""
    for account in ("a", "b", "c"):
        put(cache, "accounts", account, kind="customer")
        deal(cache, f"deal of {account}", "won", "2025-09-01", 1, account_id=account)
    put(cache, "orders", "kept", account_id="a", order_date="2026-08-01", status="delivered")
    put(cache, "orders", "off", account_id="b", order_date="2026-08-01", status="cancelled")
    put(cache, "orders", "gone", account_id="c", order_date="2026-08-01", is_deleted=1)
    evaluator, kpis = prepared(cache, {})
    wanted = {"n_min": 1, "params": {"purchases": ["deals", "orders"], "customer_model": "repurchase"}}
    retention = override(kpis["customer_retention_rate"], wanted)
    found = evaluator.evaluate(retention, period=parse_period("2026-Q3"))
    assert (found.numerator, found.denominator) == (1, 3)


@pytest.mark.parametrize(
    "table", [*REPORTING.tables, "purchases", "customer_spans", "handled", "receivables", "units_sold"]
)
def test_every_table_can_be_counted_and_placed_in_time(cache: sqlite3.Connection, table: str) -> None:
    """A count of each relation works, with and without its own anchor, and by each of its columns."""
    evaluator, _ = prepared(cache, {})
    relation = evaluator.compiler.language.relation(table)
    assert relation is not None
    columns = [name for name, column in relation.own.items() if column.type in ("text", "integer", "date", "instant")]
    tables: list[dict[str, Any]] = [{"of": table}]
    if relation.anchor:
        tables.append({"of": table, "date": relation.anchor, "period": "month", "action": {"limit": 3}})
    put(cache, "opportunities", "D", state="won", close_date="2026-10-02")
    if table in REPORTING.tables:
        put(cache, table, "row")
    facts.refresh(cache, REPORTING)
    for definition in tables:
        kpi = build("counted", definition)
        assert problems(kpi, BUILTINS, REPORTING) == []
        result = evaluator.evaluate(kpi, by=columns)
        assert result.status != "error", result.reason


def test_a_period_without_a_date_is_a_mistake() -> None:
    """Nothing would place the rows, and the period would be ignored."""
    kpi = build("new", {"of": "opportunities", "period": "month"})
    assert problems(kpi, BUILTINS, REPORTING) == [
        ("period", "nothing places a row in time, so it would be ignored.", 'Add date = "created_at".')
    ]


def test_retention_of_all_time_and_of_one_period_agree_with_its_records(cache: sqlite3.Connection) -> None:
    """Counted by the day or listed record by record, it is the same; all of time is no error."""
    for number, day in enumerate(["2025-12-01", "2026-03-01", "2026-10-05"]):
        put(cache, "accounts", f"A{number}", kind="customer")
        deal(cache, f"D{number}", "won", day, 10, account_id=f"A{number}")
    evaluator, kpis = prepared(cache, {})
    kpi = kpis["customer_retention_rate"].model_copy(update={"n_min": 0})
    assert evaluator.evaluate(kpi, period=parse_period("all")).status == "no_denominator"
    quarter = parse_period("2026-Q3")
    counted = evaluator.evaluate(kpi, period=quarter)
    roles = [record["role"] for record in evaluator.explain(kpi, period=quarter)["records"]]
    assert (counted.numerator, counted.denominator) == (roles.count("both"), len(roles) - roles.count("excluded"))


def test_rows_of_a_later_day_are_not_known_yet(cache: sqlite3.Connection) -> None:
    """A KPI without a date counts what had happened: a payment dated after as_of has not been paid (G2)."""
    for id_, day in (("paid", "2026-11-20"), ("today", "2026-11-21"), ("later", "2027-01-05"), ("undated", None)):
        put(cache, "payments", id_, paid_date=day, amount_minor=100, currency="EUR")
    put(cache, "survey_responses", "answered", responded_at="2026-11-20T00:00:00Z")
    put(cache, "survey_responses", "not yet", responded_at="2026-12-20T00:00:00Z")
    put(cache, "activities", "held", type="meeting", status="completed", occurred_at="2026-12-20T00:00:00Z")
    put(cache, "activities", "planned", type="meeting", status="scheduled", occurred_at="2026-12-20T00:00:00Z")
    assert asked(cache, {"paid": {"of": "payments", "agg": "sum", "field": "amount"}}, "paid").value == 2
    assert asked(cache, {"answers": {"of": "survey_responses"}}, "answers").value == 1
    assert asked(cache, {"meetings": {"of": "activities"}}, "meetings").value == 1
    beside = {"all": {"own": True}}
    flow = {"of": "payments", "date": "paid_date", "also": beside}
    assert asked(cache, {"flow": flow}, "flow", "2026-11").details["all"] == 2


def test_what_began_before_the_history_is_not_told(cache: sqlite3.Connection) -> None:
    """Stocks too, and what rests on another table: before a source was read from, nobody knows (G17)."""
    put(cache, "accounts", "A", kind="customer", created_at="2026-01-01T00:00:00Z")
    put(cache, "tickets", "T", created_at="2026-09-05T00:00:00Z", status_category="open")
    put(cache, "activities", "X", ticket_id="T", occurred_at="2026-10-02T00:00:00Z")
    for stream, covered in (("tickets", "2026-08-01T00:00:00Z"), ("activities", "2026-10-01T00:00:00Z")):
        cache.execute(
            "INSERT INTO sync_state (source_name, stream, covered_from) VALUES ('sf', ?, ?)", (stream, covered)
        )
    evaluator, kpis = prepared(cache, {})
    backlog, answered = kpis["ticket_backlog"], kpis["first_response_time"]
    assert evaluator.evaluate(backlog, period=parse_period("2026-07-01..2026-07-31")).status == "no_data"
    assert evaluator.evaluate(backlog, period=parse_period("2026-09")).value == 1
    told = evaluator.evaluate(answered, period=parse_period("2026-09"))
    assert (told.status, told.reason) == ("no_data", "no data: history begins 2026-10-01")


@pytest.mark.parametrize(
    ("table", "column", "target"),
    [
        ("orders", "account_id", "accounts"),
        ("invoices", "account_id", "accounts"),
        ("contracts", "account_id", "accounts"),
        ("survey_invitations", "contact_id", "contacts"),
        ("survey_invitations", "ticket_id", "tickets"),
        ("survey_responses", "account_id", "accounts"),
        ("tickets", "contact_id", "contacts"),
        ("leads", "converted_account_id", "accounts"),
        ("leads", "converted_contact_id", "contacts"),
        ("activities", "lead_id", "leads"),
        ("activities", "opportunity_id", "opportunities"),
        ("activities", "ticket_id", "tickets"),
        ("contacts", "account_id", "accounts"),
        ("opportunity_lines", "opportunity_id", "opportunities"),
    ],
)
def test_what_refers_to_a_merged_record_belongs_to_the_one_that_stands_for_it(
    cache: sqlite3.Connection, table: str, column: str, target: str
) -> None:
    """Whatever the table, and through whatever steps (G3)."""
    put(cache, target, "kept")
    put(cache, target, "gone", merged_into="between")
    put(cache, target, "between", merged_into="kept")
    put(cache, table, "row of it", **{column: "gone"})
    put(cache, table, "row", **{column: "kept"})
    where = {"id": ["row", "row of it"]}
    found = asked(cache, {"counted": {"of": table, "where": where, "by": [column]}}, "counted")
    assert [(s.segment, s.n) for s in found.segments] == [("kept", 2)]


def test_lines_of_a_deal_that_does_not_count_do_not_count(cache: sqlite3.Connection) -> None:
    """Deleted, a copy, a test: their lines go with them; those of a merged deal are the survivor's."""
    deal(cache, "live", "won", "2026-10-02", 1)
    deal(cache, "deleted", "won", "2026-10-02", 1, is_deleted=1)
    deal(cache, "copy", "won", "2026-10-02", 1, source="hubspot", sf_opportunity_id="live")
    deal(cache, "test", "won", "2026-10-02", 1, is_test=1)
    deal(cache, "merged", "won", "2026-10-02", 1, merged_into="live")
    deal(cache, "into deleted", "won", "2026-10-02", 1, merged_into="deleted")
    for parent in ("live", "deleted", "copy", "test", "merged", "into deleted", "never synced"):
        put(cache, "opportunity_lines", f"line of {parent}", opportunity_id=parent, quantity=1)
    put(cache, "orders", "off", is_deleted=1)
    put(cache, "order_lines", "line of order", order_id="off", quantity=1)
    put(cache, "invoices", "void", is_deleted=1)
    put(cache, "payments", "payment", invoice_id="void", amount_minor=1)
    counted = {"of": "opportunity_lines", "agg": "count", "by": ["id"]}
    lines = [s.segment for s in asked(cache, {"lines": counted}, "lines").segments]
    assert lines == ["line of live", "line of merged", "line of never synced"]
    assert asked(cache, {"lines": {"of": "order_lines"}}, "lines").value == 0
    assert asked(cache, {"paid": {"of": "payments"}}, "paid").value == 0
