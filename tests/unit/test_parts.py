"""KPIs made of others: whose records they list, which parameters the parts take, what they rest on and need."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import build, override, with_shared_params
from scorecards.evaluate import evaluate
from scorecards.periods import parse_period
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def told(cache: sqlite3.Connection, name: str, period: str = "2026-Q3", **table: Any) -> KpiResult:
    facts.refresh(cache, REPORTING)
    kpi = override(BUILTINS[name], {"n_min": 0, **table})
    return evaluate(cache, kpi, BUILTINS, REPORTING, as_of=AS_OF, period=parse_period(period), by=table.get("by", ()))


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_every_built_in_is_sound(name: str) -> None:
    assert problems(BUILTINS[name], BUILTINS, REPORTING) == []


def test_overdue_invoices_are_listed_largest_first(cache: sqlite3.Connection) -> None:
    """As things stand today: not what is paid, nor due later; what fell due since the period is overdue."""
    for id_, issued, due, amount in (
        ("small", "2026-05-01", "2026-06-01", 100),
        ("large", "2026-07-01", "2026-08-01", 900),
        ("paid", "2026-07-01", "2026-08-01", 5000),
        ("not due", "2026-07-01", "2026-12-01", 5000),
        ("later", "2026-10-01", "2026-10-02", 5000),
    ):
        put(cache, "invoices", id_, issued_date=issued, due_date=due, amount_minor=amount, currency="EUR")
    put(cache, "payments", "P", invoice_id="paid", paid_date="2026-08-20", amount_minor=5000)
    listed = told(cache, "average_collection_period").actions
    assert listed is not None
    assert [(row.id, row.reason) for row in listed.rows] == [
        ("later", "due 2 Oct 2026"),
        ("large", "due 1 Aug 2026"),
        ("small", "due 1 Jun 2026"),
    ]


def test_of_an_overdue_invoice_is_said_what_is_owed_of_it(cache: sqlite3.Connection) -> None:
    """Its amount less what was paid, in whatever currency; once, and not at all where too much was paid."""
    put(cache, "fx_rates", "FX", currency="USD", valid_from="2026-01-01", rate_to_reporting=0.5)
    paid = {"part": [(60000, "EUR")], "over": [(120000, "EUR")], "mixed": [(40000, "USD")], "gone": [(220000, "USD")]}
    for id_ in (*paid, "none", "unknown"):
        currency = "JPY" if id_ == "unknown" else "EUR"
        put(cache, "invoices", id_, issued_date="2026-05-01", due_date="2026-06-01", amount_minor=100000,
            currency=currency)  # fmt: skip
        for number, (amount, of) in enumerate(paid.get(id_, [])):
            put(cache, "payments", f"P {id_} {number}", invoice_id=id_, paid_date="2026-07-20", amount_minor=amount,
                currency=of)  # fmt: skip
    listed = told(cache, "average_collection_period").actions
    assert listed is not None
    assert [(row.id, row.amount) for row in listed.rows] == [
        ("none", 1000), ("mixed", 800), ("part", 400), ("unknown", None)
    ]  # fmt: skip
    assert listed.total == 4


def test_who_was_approached_is_named(cache: sqlite3.Connection) -> None:
    """A row of one activity stands for the person or account it was with; without a name, for the activity."""
    put(cache, "contacts", "kim", first_name="Kim", last_name="Ode", url="https://crm.test/kim")
    put(cache, "contacts", "nameless", email_norm="x@acme.test", url="https://crm.test/x")
    put(cache, "leads", "lee", name="Lee")
    put(cache, "accounts", "acme", name="Acme", url="https://crm.test/acme")
    put(cache, "users", "ann", name="Ann")
    for number, (column, party) in enumerate(
        [("contact_id", "kim"), ("contact_id", "nameless"), ("lead_id", "lee"), ("account_id", "acme")]
    ):
        put(cache, "activities", f"X{number}", type="call", direction="outbound", status="completed", owner_id="ann",
            occurred_at=f"2026-08-0{number + 1}T10:00:00Z", subject="Call", url=f"https://crm.test/X{number}",
            connected=0, **{column: party})  # fmt: skip
    put(cache, "activities", "M", type="email", direction="inbound", occurred_at="2025-08-01T10:00:00Z")

    def listed(name: str) -> list[tuple[str, str | None, str | None]]:
        found = told(cache, name).actions
        assert found is not None
        return [(row.title, row.url, row.owner) for row in found.rows]

    people = [
        ("Lee", "https://crm.test/X2", "Ann"),
        ("x@acme.test", "https://crm.test/x", "Ann"),
        ("Kim Ode", "https://crm.test/kim", "Ann"),
    ]
    assert listed("conversation_rate") == people
    assert listed("actions_per_engagement") == [("Acme", "https://crm.test/acme", "Ann"), *people]


def test_too_few_of_what_is_divided_by_is_said_in_its_own_words(cache: sqlite3.Connection) -> None:
    """It may be so many units and a half, money, or a product."""
    put(cache, "opportunities", "D", state="won", close_date="2026-08-01", amount_minor=123456700, currency="EUR")
    put(cache, "opportunity_lines", "L", opportunity_id="D", quantity=3.5, product="pump")
    put(cache, "tickets", "T", created_at="2026-08-02T00:00:00Z", category="installation")
    assert told(cache, "installation_problems_per_unit", n_min=20).reason == (
        "units total 3.5: too few to rate (at least 20 needed)"
    )

    def said(**ratio: Any) -> str | None:
        over = {"ratio": {"top": "tickets_created", "rests_on": "bottom_value", **ratio}, "n_min": 2000000}
        return evaluate(
            cache, build("rate", over), BUILTINS, REPORTING, as_of=AS_OF, period=parse_period("2026-Q3")
        ).reason

    assert said(bottom="won_revenue") == "won revenue 1,234,567: too few to rate (at least 2000000 needed)"
    assert said(bottom=["units_total", "tickets_created.n"]) == (
        "units total times tickets created n 3.5: too few to rate (at least 2000000 needed)"
    )


@pytest.mark.parametrize("table", ["tickets", "activities", "mails", "neither"])
def test_customers_helped_are_seen_in_tickets_or_calls(cache: sqlite3.Connection, table: str) -> None:
    """A CRM with either has a busiest day; with neither nobody knows, rather than nobody was helped."""
    days = {"created_at": "2026-09-01T00:00:00Z", "closed_at": "2026-09-02T00:00:00Z", "account_id": "A"}
    call = {"type": "call", "status": "completed", "occurred_at": "2026-09-02T00:00:00Z", "account_id": "A"}
    if table == "tickets":
        put(cache, "tickets", "T", **days, status_category="closed")
    elif table != "neither":
        put(cache, "activities", "X", **call | ({"type": "email"} if table == "mails" else {}))
    most = told(cache, "peak_customer_capacity", n_min=1)
    if table in ("tickets", "activities"):
        assert (most.value, most.status, most.n) == (1, "ok", 90)
        counted = evaluate(
            cache, build("own", {"of": "handled", "date": "handled_at"}), BUILTINS, REPORTING, as_of=AS_OF,
            period=parse_period("2026-Q3"),
        )  # fmt: skip
        assert (counted.value, counted.status) == (1, "ok")
    else:
        assert (most.value, most.status) == (None, "no_data")
        assert most.reason is not None
        assert most.reason.startswith("no data: needs tickets or calls")


@pytest.mark.parametrize("purchases", [["deals"], ["deals", "orders"]])
def test_purchases_are_seen_in_deals_or_orders(cache: sqlite3.Connection, purchases: list[str]) -> None:
    """Where both are asked for, a source with orders alone has customers; where deals are, it has none."""
    put(cache, "accounts", "A", name="Acme", kind="customer")
    put(cache, "orders", "O", account_id="A", order_date="2026-08-01", amount_minor=100, currency="EUR")
    new = told(cache, "new_customers", params={"purchases": purchases})
    now = told(cache, "active_customers", params={"purchases": purchases, "customer_model": "repurchase"})
    wanted = (1, "ok") if "orders" in purchases else (None, "no_data")
    assert [(found.value, found.status) for found in (new, now)] == [wanted, wanted]


@pytest.mark.parametrize("foreign", ["orders", "opportunities"])
def test_amounts_of_two_tables_are_each_in_their_currency(cache: sqlite3.Connection, foreign: str) -> None:
    """Though one of them is all in the currency of the agent."""
    put(cache, "accounts", "A", name="Acme", kind="customer")
    put(cache, "fx_rates", "FX", currency="USD", valid_from="2020-01-01", rate_to_reporting=0.5)
    of = {table: "USD" if table == foreign else "EUR" for table in ("orders", "opportunities")}
    put(cache, "orders", "O", account_id="A", order_date="2026-08-01", amount_minor=10000, currency=of["orders"])
    put(cache, "opportunities", "D", account_id="A", state="won", close_date="2026-08-02", amount_minor=10000,
        currency=of["opportunities"])  # fmt: skip
    bought = {"of": "purchases", "agg": "sum", "field": "amount", "date": "purchase_date"}
    both = build("bought", {**bought, "params": {"purchases": ["deals", "orders"]}})
    facts.refresh(cache, REPORTING)
    found = evaluate(cache, both, BUILTINS, REPORTING, as_of=AS_OF, period=parse_period("2026-Q3"))
    assert (found.value, found.status) == (150, "ok")


def test_an_amount_of_another_record_is_in_that_records_currency(cache: sqlite3.Connection) -> None:
    """Though all of the rows' own are in the currency of the agent."""
    put(cache, "fx_rates", "FX", currency="USD", valid_from="2020-01-01", rate_to_reporting=0.5)
    put(cache, "invoices", "V", issued_date="2026-07-01", amount_minor=10000, currency="USD")
    put(cache, "payments", "P", invoice_id="V", paid_date="2026-08-01", amount_minor=5000, currency="EUR")
    own = build("own", {"of": "payments", "agg": "sum", "field": "invoice.amount", "date": "paid_date"})
    assert problems(own, BUILTINS, REPORTING) == []
    facts.refresh(cache, REPORTING)
    found = evaluate(cache, own, BUILTINS, REPORTING, as_of=AS_OF, period=parse_period("2026-Q3"))
    assert (found.value, found.status) == (50, "ok")


def test_a_quarter_of_which_one_month_has_costs_is_partial(cache: sqlite3.Connection) -> None:
    """Revenue of three months less the costs of one is no profit; a month without any cost says 0."""
    put(cache, "opportunities", "D", state="won", close_date="2026-08-01", amount_minor=100, currency="EUR")
    put(cache, "costs", "C", month="2026-07", kind="sales", amount_minor=40, currency="EUR")
    profit = told(cache, "net_profit")
    assert (profit.value, profit.status) == (0.6, "partial")
    assert profit.reason == "costs are known of 1 of 3 months, not of 2026-08, 2026-09"
    assert profit.coverage == pytest.approx(1 / 3)
    year = told(cache, "net_profit", period="2026-01-01..2026-11-10")
    assert year.reason == "costs are known of 1 of 11 months, not of 2026-01, 2026-02, 2026-03 and 7 more"
    put(cache, "costs", "C8", month="2026-08", kind="sales", amount_minor=0, currency="EUR")
    put(cache, "costs", "C9", month="2026-09", kind="rent", amount_minor=None, currency="EUR")
    assert told(cache, "net_profit").reason == "costs are known of 2 of 3 months, not of 2026-09"
    put(cache, "costs", "C9", month="2026-09", kind="rent", amount_minor=0, currency="EUR")
    for period in ("2026-Q3", "2026-07", "2026-07-20..2026-09-02", "all"):
        assert told(cache, "net_profit", period=period).status == "ok"
    assert told(cache, "net_profit", period="2026-05").status == "no_data"


def test_open_tickets_of_who_left_are_listed(cache: sqlite3.Connection) -> None:
    put(cache, "users", "gone", name="Ann", is_active=0, first_seen_inactive_at="2026-08-01T00:00:00Z")
    put(cache, "users", "here", name="Ben", is_active=1)
    for id_, owner, status in (("T1", "gone", "open"), ("T2", "gone", "closed"), ("T3", "here", "open")):
        values = {"owner_id": owner, "status_category": status, "subject": id_}
        put(cache, "tickets", id_, created_at="2026-09-01T00:00:00Z", **values)
    result = told(cache, "staff_turnover_rate")
    assert result.value == 1 / 1.5
    assert result.actions is not None
    assert [row.id for row in result.actions.rows] == ["T1"]


def test_instants_kept_as_text_are_said_as_days(cache: sqlite3.Connection) -> None:
    put(cache, "survey_invitations", "I", sent_at="2026-07-31T23:00:00Z", contact_id="C", survey_type="csat")
    listed = told(cache, "survey_response_rate").actions
    assert listed is not None
    assert [row.reason for row in listed.rows] == ["sent 1 Aug 2026"]


def test_an_action_names_a_kpi_and_columns_of_it_that_are_there() -> None:
    ratio = {"ratio": {"top": "leavers", "bottom": "active_users.mean"}}
    unknown = build("own", {**ratio, "action": {"kpi": "leavrs"}})
    assert [path for path, _, _ in problems(unknown, BUILTINS, REPORTING)] == ["action.kpi"]
    wrong = build("own", {**ratio, "action": {"kpi": "leavers", "where": {"nme": "x"}, "order": "-lft_at"}})
    assert [path for path, _, _ in problems(wrong, BUILTINS, REPORTING)] == ["action.where.nme", "action.order"]


def test_open_tickets_by_age(cache: sqlite3.Connection) -> None:
    """Whole days at the instant asked for, each to its last second."""
    created_at = {"a": "2026-11-17T00:00:01Z", "b": "2026-11-12T00:00:00Z", "c": "2026-11-11T00:00:00Z"}
    created_at |= {"d": "2026-10-01T00:00:00Z", "e": "2026-10-20T00:00:01Z", "f": "2026-11-12T00:00:01Z"}
    for id_, created in created_at.items():
        put(cache, "tickets", id_, created_at=created, status_category="open")
    facts.refresh(cache, REPORTING)
    result = evaluate(cache, BUILTINS["ticket_backlog"], BUILTINS, REPORTING, as_of=AS_OF, by=["age_band"])
    bands = {segment.segment: segment.value for segment in result.segments}
    assert bands == {"0-2 days": 1, "3-7 days": 1, "8-30 days": 3, "over 30 days": 1}


def test_quick_answers_are_judged_by_the_target_of_the_rate() -> None:
    """What the file says of answers in time holds for those that did not help; its own words go first."""
    rate = override(BUILTINS["first_response_sla_rate"], {"params": {"clock": "calendar", "target_seconds": 60}})
    name = "fast_but_dissatisfied_rate"
    kpis = {**BUILTINS, "first_response_sla_rate": rate}
    taken = with_shared_params(kpis, {})[name]
    assert taken.where["ticket_response_s"]["lte"]["value"] == 60
    own = {"params": {"target_seconds": 90}}
    kept = with_shared_params({**kpis, name: override(BUILTINS[name], own)}, {name: own})[name]
    assert (kept.params["target_seconds"], kept.params["clock"]) == (90, "calendar")


def test_what_a_sum_needs_is_asked_first(cache: sqlite3.Connection) -> None:
    put(cache, "opportunities", "D", state="won", close_date="2026-08-01", amount_minor=100, currency="EUR")
    assert told(cache, "net_profit").status == "no_data"
    put(cache, "costs", "C", month="2026-08", kind="sales", amount_minor=40, currency="EUR")
    assert told(cache, "net_profit").value == pytest.approx(0.6)


def test_growth_of_what_the_period_places_is_compared_with_the_previous(cache: sqlite3.Connection) -> None:
    """A monthly cost has no first day of its own to count history from."""
    put(cache, "costs", "C", month="2026-07", kind="sales", amount_minor=3100, currency="EUR")
    put(cache, "costs", "E", month="2026-08", kind="sales", amount_minor=6200, currency="EUR")
    facts.refresh(cache, REPORTING)
    growth = build("growth", {"ratio": {"top": "costs_of_period.change", "bottom": "costs_of_period.base"}, "n_min": 0})
    kpis = {**BUILTINS, "growth": growth}
    result = evaluate(cache, growth, kpis, REPORTING, as_of=AS_OF, period=parse_period("2026-08"))
    assert result.value == pytest.approx(1)


def test_of_a_month_nobody_noted_every_segment_lacks_it(cache: sqlite3.Connection) -> None:
    """August is lacking in all kinds of costs; September, which has wages, had no rent to pay."""
    for month, kind, amount in (("2026-07", "rent", 100), ("2026-07", "wages", 300), ("2026-09", "wages", 300)):
        put(cache, "costs", f"{month} {kind}", month=month, kind=kind, amount_minor=amount * 100, currency="EUR")
    spent = build("spent", {"of": "costs", "agg": "sum", "field": "cost", "date": "day", "every": "month"})
    facts.refresh(cache, REPORTING)

    def asked(period: str) -> KpiResult:
        return evaluate(
            cache, spent, {**BUILTINS, "spent": spent}, REPORTING, as_of=AS_OF, period=parse_period(period), by=["kind"]
        )

    found = asked("2026-Q3")
    assert (found.value, found.status) == (700, "partial")
    assert {one.segment: (one.value, one.status) for one in found.segments} == {
        "wages": (600, "partial"),
        "rent": (100, "partial"),
    }
    found = asked("2026-09")
    assert [(one.segment, one.status) for one in found.segments] == [("wages", "ok")]
