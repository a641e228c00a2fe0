"""Which exchange rate converts what, against a naive reading of random rows; and what readers are told of it."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import evaluate
from scorecards.exchange import Rates
from scorecards.periods import Span
from scorecards.render.format import get
from scorecards.render.rows import rate_words
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

MONTH = Span(date(2026, 10, 1), date(2026, 11, 1), "month")
AS_OF = datetime(2026, 11, 20, tzinfo=UTC)
ORDER = ("files", "salesforce", "hubspot")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path)
    yield conn
    conn.close()


def rate(conn: sqlite3.Connection, source: str, currency: str, day: str | None, value: float, **more: Any) -> None:
    put(conn, "fx_rates", f"{source} {currency} {day}", source=source, currency=currency, valid_from=day,
        rate_to_reporting=value, **more)  # fmt: skip


def deal(conn: sqlite3.Connection, id_: str, amount: int | None, currency: str | None, day: str, **more: Any) -> None:
    state = more.pop("state", "won")
    put(conn, "opportunities", id_, state=state, amount_minor=amount, currency=currency, close_date=day,
        created_at="2026-01-05T10:00:00Z", **more)  # fmt: skip


def asked(conn: sqlite3.Connection, kpi: Kpi, period: Span = MONTH, as_of: datetime = AS_OF) -> KpiResult:
    facts.refresh(conn, REPORTING)
    return evaluate(conn, kpi, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=as_of, period=period)


@pytest.mark.parametrize("seed", range(6))
def test_every_amount_is_converted_by_the_rate_of_its_own_day(cache: sqlite3.Connection, seed: int) -> None:
    """Files before Salesforce before HubSpot, the latest by the day; without one out, counted and named."""
    random = Random(seed)
    rates: list[tuple[int, str, str, Decimal]] = []
    for place, source in enumerate(ORDER):
        for currency in ("USD", "JPY", "CHF"):
            for _ in range(random.randrange(3)):
                day = (date(2026, 9, 15) + timedelta(random.randrange(45))).isoformat()
                value = Decimal(random.randrange(1, 2000)) / 1000
                if not any(known[:3] == (place, currency, day) for known in rates):
                    rates.append((place, currency, day, value))
                    rate(cache, source, currency, day, float(value))
    exponent = {"EUR": 2, "USD": 2, "CHF": 2, "JPY": 0}
    total, used, null, lacking, days, without = Decimal(0), 0, 0, 0, set(), set()
    for number in range(40):
        currency = random.choice(["EUR", "USD", "JPY", "CHF"])
        closed = (date(2026, 10, 1) + timedelta(random.randrange(31))).isoformat()
        amount = random.choice([None, random.randrange(10**6)])
        deal(cache, f"d{number}", amount, currency, closed)
        if amount is None:
            null += 1
            continue
        found = [one for one in rates if one[1] == currency and one[2] <= closed]
        if currency != "EUR" and not found:
            lacking += 1
            without.add(currency)
            continue
        factor = Decimal(1)
        if currency != "EUR":
            best = max((one for one in found if one[0] == min(f[0] for f in found)), key=lambda one: one[2])
            factor = best[3]
            days.add((currency, best[2], ORDER[best[0]]))
        used += 1
        total += Decimal(amount).scaleb(-exponent[currency]) * factor
    result = asked(cache, override(BUILTINS["won_revenue"], {"n_min": 1}))
    assert (result.n, result.details["excluded_no_fx"], result.details["excluded_null"]) == (used, lacking, null)
    assert result.value == pytest.approx(float(total))
    assert result.coverage == pytest.approx(used / (used + lacking + null))
    assert result.status == "partial"
    assert {(of.currency, one.valid_from, one.source) for of in result.rates for one in of.rates} == days
    assert {of.currency for of in result.rates if of.missing} == without
    assert ("without an exchange rate" in str(result.reason)) is bool(lacking)


def test_one_order_of_sources_whatever_day_each_has(cache: sqlite3.Connection) -> None:
    """A CRM's newer rate does not stand between two entries of the books; it holds before the first of them."""
    rate(cache, "files", "USD", "2026-03-01", 0.9)
    rate(cache, "salesforce", "USD", "2026-04-01", 0.8)
    rate(cache, "hubspot", "USD", None, 0.7)
    rate(cache, "the bank", "CHF", "2026-01-01", 1.1)
    rate(cache, "salesforce", "CHF", "2026-01-01", 1.2)
    rate(cache, "salesforce", "GBP", "2026-01-01", 1.3, is_deleted=1)
    rates = Rates(cache, "EUR")

    def worth(currency: str, day: str) -> float | None:
        found = rates.at(currency, day)
        return None if found is None else float(found.rate)

    assert [worth("USD", day) for day in ("2026-02-28", "2026-03-01", "2026-05-01")] == [0.7, 0.9, 0.9]
    assert worth("CHF", "2026-06-01") == 1.1  # what a file says, by whatever name
    assert worth("GBP", "2026-06-01") is None
    assert rates.factor(None, "2026-01-01") == rates.factor("EUR", None) == "0.01"


def test_open_deals_are_converted_by_the_rate_of_the_day_they_are_counted_on(cache: sqlite3.Connection) -> None:
    """A rate that begins that very day included; a month earlier the one of then."""
    for day, value in (("2026-01-01", 0.5), ("2026-10-31", 0.8), ("2026-11-01", 0.9), ("2026-11-02", 2.0)):
        rate(cache, "salesforce", "USD", day, value)
    deal(cache, "a", 10_000, "USD", "2027-01-01", state="open")
    pipeline = override(BUILTINS["pipeline_open_value"], {"n_min": 1})
    found = asked(cache, pipeline)
    assert found.value == pytest.approx(90)
    assert found.to_json()["rates"] == [
        {
            "currency": "USD",
            "rates": [{"rate": 0.9, "valid_from": "2026-11-01", "source": "salesforce"}],
            "by_crm": False,
            "missing": None,
        }
    ]
    assert asked(cache, pipeline, Span(date(2026, 9, 1), date(2026, 10, 1), "month")).value == pytest.approx(50)


def test_readers_are_told_the_rates_their_days_and_what_has_none(cache: sqlite3.Connection) -> None:
    rate(cache, "salesforce", "USD", "2026-09-01", 0.92)
    rate(cache, "salesforce", "USD", "2026-10-15", 0.9)
    rate(cache, "hubspot", "VND", "1900-01-01", 0.0000361)
    deal(cache, "a", 10_000, "USD", "2026-10-03")
    deal(cache, "b", 10_000, "USD", "2026-10-20")
    deal(cache, "c", 10_000, "VND", "2026-10-20")
    deal(cache, "d", 10_000, "CHF", "2026-10-20")
    deal(cache, "e", 10_000, "CHF", "2026-10-22")
    deal(cache, "f", 10_000, None, "2026-10-22")  # in ours, as all that say nothing
    found = asked(cache, BUILTINS["won_revenue"])
    said = [text.replace("\u202f", " ").replace("\xa0", " ") for text in rate_words(found, get("en-GB", "EUR", "UTC"))]
    assert said == [
        "no rate for CHF on 20 Oct 2026 – 22 Oct 2026",
        "USD at 0.9–0.92 (Salesforce, 15 Oct 2026)",
        "VND at 0.0000361 (HubSpot)",
    ]
    assert found.reason == "covers 67% of deals: 2 without an exchange rate"


def test_a_ratio_names_the_rates_of_what_it_is_made_of_and_counts_name_none(cache: sqlite3.Connection) -> None:
    rate(cache, "files", "USD", "2026-09-01", 0.9)
    deal(cache, "a", 10_000, "USD", "2026-10-03")
    ratio = build("r", {"ratio": {"top": "won_revenue", "bottom": "win_rate.numerator"}, "n_min": 1})
    found = asked(cache, ratio)
    assert [(of.currency, [float(one.rate) for one in of.rates]) for of in found.rates] == [("USD", [0.9])]
    assert asked(cache, override(BUILTINS["win_rate"], {"n_min": 1})).rates == ()


def test_a_cache_in_one_currency_asks_for_no_rate(cache: sqlite3.Connection) -> None:
    rate(cache, "files", "USD", "2026-09-01", 0.9)
    deal(cache, "a", 10_000, "EUR", "2026-10-03")
    assert asked(cache, BUILTINS["won_revenue"]).rates == ()


def test_without_any_rate_a_deal_is_worth_what_its_crm_makes_of_it(cache: sqlite3.Connection) -> None:
    """In the CRM's own currency, if that is ours; whoever keeps a rate goes before, and the amount is today's share."""
    home = {"home_amount": 46.15, "home_currency": "EUR"}
    deal(cache, "a", 5_000, "CHF", "2026-10-03", **home)
    deal(cache, "yen", 7_000, "JPY", "2026-10-03", home_amount=43.21, home_currency="EUR")
    deal(cache, "abroad", 5_000, "CHF", "2026-10-04", home_amount=54.0, home_currency="USD")
    deal(cache, "empty", None, "CHF", "2026-10-04", home_amount=1.0, home_currency="EUR")
    deal(cache, "nothing", 0, "CHF", "2026-10-04", home_amount=0.0, home_currency="EUR")
    found = asked(cache, override(BUILTINS["won_revenue"], {"n_min": 1}))
    assert found.value == pytest.approx(46.15 + 43.21)
    assert (found.n, found.details["excluded_no_fx"]) == (2, 2)
    told = {of.currency: (of.is_by_crm, [day.day for day in of.missing]) for of in found.rates}
    assert told == {"CHF": (True, [4]), "JPY": (True, [])}
    assert rate_words(found, get("en-GB", "EUR", "UTC"))[0] == "CHF as the CRM converts it"
    explained = {"of": "opportunities", "date": "outcome_date", "where": {"amount": {"gt": 46}}, "by": ["id"]}
    assert [one.segment for one in asked(cache, build("large", explained)).segments] == ["a"]

    rate(cache, "hubspot", "CHF", "2026-10-04", 1.1)
    found = asked(cache, override(BUILTINS["won_revenue"], {"n_min": 1}))
    assert found.value == pytest.approx(46.15 + 43.21 + 55)

    deal(cache, "b", 20_000, "CHF", "2027-01-01", state="open", home_amount=190.0, home_currency="EUR")
    put(cache, "opportunity_stage_history", "h1", opportunity_id="b", changed_at="2026-08-01T00:00:00Z", state="open",
        amount_minor=10_000)  # fmt: skip
    put(cache, "opportunity_stage_history", "h2", opportunity_id="b", changed_at="2026-10-20T00:00:00Z", state="open",
        amount_minor=20_000)  # fmt: skip
    pipeline = override(BUILTINS["pipeline_open_value"], {"n_min": 1})
    then = asked(cache, pipeline, Span(date(2026, 9, 1), date(2026, 10, 1), "month"))
    assert then.value == pytest.approx(95 + 46.15 + 43.21)  # half of today's amount; the others were open too


@pytest.mark.parametrize("seed", range(4))
def test_all_that_follows_from_a_deal_is_converted_as_the_deal_is(cache: sqlite3.Connection, seed: int) -> None:
    """Profit, what accounts bought, customers' worth, lines, lists, segments: by a rate, else as the CRM does."""
    random = Random(seed)
    rate(cache, "files", "USD", "2026-10-10", 0.5)
    deals: list[Any] = []
    for number in range(40):
        currency = random.choice([None, "EUR", "USD", "CHF", "CHF"])
        amount, cost = random.randrange(1, 900) * 100, random.choice([None, random.randrange(1, 900) * 100])
        home, of = random.choice([(None, None), (amount / 400, "EUR"), (amount / 400, "USD")])
        day, account = f"2026-10-{random.randrange(1, 29):02d}", random.choice("ABC")
        deal(cache, f"D{number:02d}", amount, currency, day, cost_minor=cost, home_amount=home, home_currency=of,
             account_id=account, owner_id=None)  # fmt: skip
        put(cache, "opportunity_lines", f"L{number:02d}", opportunity_id=f"D{number:02d}", quantity=1,
            amount_minor=amount // 2, currency=currency)  # fmt: skip
        factor = 0.01 if currency in (None, "EUR") else None
        if currency == "USD" and day >= "2026-10-10":
            factor = 0.005
        elif currency is not None and factor is None and of == "EUR":
            factor = 0.0025
        deals.append((f"D{number:02d}", account, amount, cost, factor, currency))
    for account in "ABC":
        put(cache, "accounts", account, created_at="2026-01-05T10:00:00Z", name=account)
    usable = [one for one in deals if one[4] is not None]

    def worth(rows: list[Any], of: str = "ABC") -> float:
        return float(sum(amount * factor for _, account, amount, _, factor, _ in rows if account in of))

    bought = build("bought", {"of": "purchases", "agg": "sum", "field": "amount", "date": "purchase_date",
                              "by": ["account_id"], "action": {"order": "-amount", "limit": 50}})  # fmt: skip
    found = asked(cache, bought)
    assert found.value == pytest.approx(worth(usable))
    assert {s.segment: s.value for s in found.segments} == {a: pytest.approx(worth(usable, a)) for a in "ABC"}
    assert found.details["excluded_no_fx"] == 40 - len(usable)
    assert found.actions is not None
    told = {row.id: row.amount for row in found.actions.rows}
    assert told == {id_: None if f is None else pytest.approx(a * f) for id_, _, a, _, f, _ in deals}
    in_order = [row.amount or 0 for row in found.actions.rows]
    assert in_order == sorted(in_order, reverse=True)

    both = [one for one in usable if one[3] is not None]
    profit = sum((amount - cost) * factor for _, _, amount, cost, factor, _ in both)
    found = asked(cache, override(BUILTINS["profit_per_customer"], {"n_min": 1}))
    assert found.value == pytest.approx(profit / len({account for _, account, *_ in both}))
    earned = build("earned", {"of": "purchases", "agg": "sum", "field": "worth", "date": "purchase_date"})
    assert asked(cache, earned).value == pytest.approx(profit)
    spent = build("spent", {"of": "opportunities", "agg": "sum", "field": "cost", "date": "outcome_date"})
    assert asked(cache, spent).value == pytest.approx(sum(cost * factor for *_, cost, factor, _ in both))

    lines = build("lines", {"of": "opportunity_lines", "agg": "sum", "field": "amount"})  # of no day: by today's rate
    today = [(amount // 2) * (0.005 if of == "USD" else factor or 0) for _, _, amount, _, factor, of in deals]
    assert asked(cache, lines).value == pytest.approx(sum(today))

    customers = build("customers", {"of": "customer_spans", "agg": "sum", "field": "yearly_revenue",
                                    "stock": {"opens": "start_date", "closes": "end_date"},
                                    "params": {"customer_model": "repurchase"}})  # fmt: skip
    assert asked(cache, customers, Span(date(2026, 10, 29), date(2026, 11, 1))).value == pytest.approx(worth(usable))
    clash = build("clash", {"of": "inconsistencies", "where": {"kind": "two currencies without rate"}})
    assert asked(cache, clash).value == 40 - len(usable)


@pytest.mark.parametrize("seed", range(4))
def test_orders_invoices_and_payments_are_converted_as_their_crm_does(cache: sqlite3.Connection, seed: int) -> None:
    """Where nobody gives a rate: what is owed and paid of an invoice by the rate of the invoice, in its currency."""
    random = Random(seed)
    rate(cache, "files", "USD", None, 0.5)
    orders, issued, paid = 0.0, 0.0, 0.0
    for number in range(40):
        amount, currency = random.randrange(100, 900) * 100, random.choice(["EUR", "USD", "CHF", "CHF"])
        home, of = random.choice([(None, None), (amount / 400, "EUR"), (amount / 400, "USD")])
        money = {"amount_minor": amount, "currency": currency, "home_amount": home, "home_currency": of}
        factor = {"EUR": 0.01, "USD": 0.005}.get(currency, 0.0025 if of == "EUR" else 0)
        put(cache, "orders", f"O{number}", account_id="A", order_date="2026-10-05", **money)
        put(cache, "invoices", f"V{number}", account_id="A", issued_date="2026-10-05", due_date="2026-10-20", **money)
        other = random.random() < 0.2
        put(cache, "payments", f"P{number}", invoice_id=f"V{number}", paid_date="2026-10-15", amount_minor=amount // 4,
            currency="JPY" if other else currency)  # fmt: skip
        orders, issued = orders + amount * factor, issued + amount * factor
        paid += 0 if other else amount // 4 * factor
    put(cache, "accounts", "A", created_at="2026-01-05T10:00:00Z", name="A")

    def total(of: str, day: str, field: str = "amount", **more: Any) -> float:
        kpi = {"of": of, "agg": "sum", "field": field, "n_min": 0, "params": {"coverage_min": 0.0}, **more}
        if day:
            kpi["date"] = day
        return float(asked(cache, build("own", kpi)).value or 0)

    assert total("orders", "order_date") == pytest.approx(orders)
    assert total("purchases", "purchase_date", params={"purchases": ["orders"]}) == pytest.approx(orders)
    assert total("invoices", "issued_date") == pytest.approx(issued)
    assert total("payments", "paid_date") == pytest.approx(paid)
    stock: dict[str, Any] = {"where": {"is_owed": True}, "stock": {"opens": "day"}}
    assert total("receivables", "", **stock) == pytest.approx(issued - paid)
    main: dict[str, Any] = {"where": {"is_owed": True, "is_main": True}, "stock": {"opens": "day"}}
    assert total("receivables", "", "owed", **main) == pytest.approx(issued - paid)
