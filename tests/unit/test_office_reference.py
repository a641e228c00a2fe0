"""Receivables, costs, units sold and leavers, against a naive reading of random rows."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import override
from scorecards.evaluate import evaluate
from scorecards.periods import Span
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

ZONE = ZoneInfo("Europe/Berlin")
START = date(2026, 7, 1)
Row = dict[str, Any]


class World:
    """Random invoices, payments, deals with lines, costs and users, asked at a random instant about a random span."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        self.rows: dict[str, list[Row]] = {}
        pick = self.random.choice
        for number in range(12):
            self.add("invoices", f"V{number}", issued_date=self.day(), amount_minor=pick([None, 0, 1000, 2500, 4000]),
                     status=pick(["open", "paid", "voided", None]), is_deleted=pick([0, 0, 0, 1]))  # fmt: skip
            self.add("payments", f"P{number}", invoice_id=f"V{self.random.randrange(6)}", paid_date=self.day(),
                     amount_minor=pick([1000, 1500, 2500]), is_deleted=pick([0, 0, 0, 1]))  # fmt: skip
            merged = pick([None, None, None, "D0"]) if number else None
            self.add("opportunities", f"D{number}", state=pick(["won", "won", "lost", "open"]), close_date=self.day(),
                     merged_into=merged, is_deleted=int(merged is not None), amount_minor=5000)  # fmt: skip
        for number in range(40):
            self.add("opportunity_lines", f"L{number}", opportunity_id=f"D{self.random.randrange(14)}",
                     quantity=pick([None, 1, 2.5, 10]), is_deleted=pick([0, 0, 0, 1]))  # fmt: skip
            left = pick([None, None, "2026-01-01", self.day()])
            self.add("users", f"U{number}", created_at=pick([None, f"{self.day()}T10:00:00Z"]),
                     is_active=int(left is None), first_seen_inactive_at=left and f"{left}T00:00:00Z")  # fmt: skip
        for month in ("2026-06", "2026-07", "2026-08", "2026-08", "2026-09", "2026-11"):
            self.add("costs", f"C{len(self.rows.get('costs', []))}", month=month, kind=pick(["call_handling", "sales"]),
                     amount_minor=self.random.randrange(100000))  # fmt: skip
        for table, ids in (("invoices", "V"), ("opportunities", "D")):
            for number in range(12):
                account = Random(f"{seed} {ids} {number}").choice([None, "A", "B", "C"])
                put(conn, table, f"{ids}{number}", account_id=account)
                self.rows[table][number]["account_id"] = account
        facts.refresh(conn, REPORTING)
        self.as_of = datetime(2026, 9, 10, 12, tzinfo=UTC) + timedelta(days=self.random.randrange(40))
        first = START + timedelta(days=self.random.randrange(50))
        self.span = Span(first, first + timedelta(days=pick([7, 31, 60])))
        self.end = min(self.span.end, self.as_of.astimezone(ZONE).date())

    def day(self) -> str:
        return (START + timedelta(days=self.random.randrange(100))).isoformat()

    def add(self, table: str, id_: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"id": id_, "is_deleted": 0, **values})
        put(self.conn, table, id_, **values)

    def live(self, table: str) -> list[Row]:
        return [row for row in self.rows[table] if not row["is_deleted"]]

    def told(self, name: str, **params: Any) -> KpiResult:
        kpi = override(BUILTINS[name], {"n_min": 0, "params": params})
        return evaluate(self.conn, kpi, BUILTINS, REPORTING, as_of=self.as_of, period=self.span)

    def falls(self, day: str) -> bool:
        return self.span.start.isoformat() <= day < self.end.isoformat()


@pytest.fixture(params=range(12))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


def owed(world: World) -> dict[str, Row]:
    return {row["id"]: row for row in world.live("invoices") if row["status"] != "voided"}


def test_days_of_sales_owed(world: World) -> None:
    invoices = owed(world)
    issued = [row for row in invoices.values() if row["issued_date"] < world.end.isoformat()]
    known = {id_ for id_, row in invoices.items() if row["amount_minor"] is not None}
    paid = [p for p in world.live("payments") if p["invoice_id"] in known and p["paid_date"] < world.end.isoformat()]
    balance = sum(row["amount_minor"] or 0 for row in issued) - sum(p["amount_minor"] for p in paid)
    sales = [
        row["amount_minor"] for row in issued if world.falls(row["issued_date"]) and row["amount_minor"] is not None
    ]
    result = world.told("average_collection_period")
    if sum(sales):
        days = (world.end - world.span.start).days
        assert result.value == pytest.approx(balance / sum(sales) * days)
        assert (result.n, result.details["days"]) == (len(sales), days)
    else:
        assert result.value is None


def test_days_to_full_payment(world: World) -> None:
    """The day the payments together first reach the invoice; what was paid before it was issued has no duration."""
    found = []
    for id_, invoice in owed(world).items():
        paid, full = 0, None
        for payment in sorted(world.live("payments"), key=lambda p: (p["paid_date"], p["id"])):
            if payment["invoice_id"] == id_ and full is None and invoice["amount_minor"] is not None:
                paid += payment["amount_minor"]
                full = payment["paid_date"] if paid >= invoice["amount_minor"] else None
        if full and world.falls(full) and full >= invoice["issued_date"]:
            found.append((date.fromisoformat(full) - date.fromisoformat(invoice["issued_date"])).days)
    result = world.told("average_collection_period", method="paid")
    assert result.n == len(found)
    assert result.value == (pytest.approx(sum(found) / len(found)) if found else None)


def costs_of(world: World) -> float | None:
    """Each day of the period costs its share of its month; a period without any cost is unknown."""
    total, known = 0.0, False
    day = world.span.start
    while day < world.end:
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        for cost in world.live("costs"):
            if cost["month"] == f"{day:%Y-%m}":
                total += cost["amount_minor"] / 100 / (following - day.replace(day=1)).days
                known = True
        day += timedelta(days=1)
    return total if known else None


def has_costs_of(world: World, result: KpiResult) -> None:
    """Partial where a month has none, which is named."""
    days = [world.span.start + timedelta(number) for number in range((world.end - world.span.start).days)]
    missing = {f"{day:%Y-%m}" for day in days} - {cost["month"] for cost in world.live("costs")}
    assert result.status == ("partial" if missing else "ok")
    assert all(month in (result.reason or "") for month in sorted(missing)[:3])


def sold(world: World, of: str) -> list[tuple[str | None, int | None]]:
    """(account, minor units) of what was won, or invoiced, in the period."""
    if of == "invoices":
        rows = [row for row in owed(world).values() if world.falls(row["issued_date"])]
    else:
        rows = [row for row in world.live("opportunities") if row["state"] == "won" and world.falls(row["close_date"])]
    return [(row["account_id"], row["amount_minor"]) for row in rows]


@pytest.mark.parametrize("of", ["deals", "invoices"])
def test_net_profit(world: World, of: str) -> None:
    costs, rows = costs_of(world), sold(world, of)
    known = [amount for _, amount in rows if amount is not None]
    result = world.told("net_profit", of=of)
    if rows and not known:
        assert result.status == "no_data"
    elif costs is not None:
        assert result.value == pytest.approx(sum(known) / 100 - costs)
        assert list(result.remarks) == (["by invoices issued"] if of == "invoices" else [])
        if len(known) == len(rows):
            has_costs_of(world, result)
    else:
        assert (result.value, result.status) == (None, "no_data")


@pytest.mark.parametrize("params", [{"costs": "monthly"}, {"of": "invoices"}], ids=["deals", "invoices"])
def test_profit_per_customer_less_monthly_costs(world: World, params: dict[str, str]) -> None:
    """What cannot be laid to a customer leaves both sides; costs are the whole company's."""
    costs, rows = costs_of(world), sold(world, params.get("of", "deals"))
    known = [(account, amount) for account, amount in rows if account is not None and amount is not None]
    customers = {account for account, _ in known}
    result = world.told("profit_per_customer", **params)
    if costs is None:
        assert result.status == "no_data"
    elif not customers:
        assert (result.value, result.status) == (None, "no_denominator")
    else:
        assert result.value == pytest.approx((sum(amount for _, amount in known) / 100 - costs) / len(customers))
        assert (result.n, result.denominator) == (len(customers), len(customers))
        assert result.unit == "money"
        said = "by invoices issued, less monthly costs" if "of" in params else "less monthly costs"
        assert list(result.remarks) == [said]
        assert result.coverage is not None
        if len(known) == len(rows):
            has_costs_of(world, result)
        else:
            assert result.coverage <= len(known) / len(rows)


@pytest.mark.parametrize("lag", [0, 20])
def test_units_and_tickets_for_them(world: World, lag: int) -> None:
    """Lines of deals won in the period (or so many days before), those of deals merged into them too."""
    deals = {row["id"]: row for row in world.rows["opportunities"]}
    sold = 0.0
    for line in world.live("opportunity_lines"):
        deal = deals.get(line["opportunity_id"])
        if deal is not None and deal["merged_into"]:
            deal = deals[deal["merged_into"]]
        if deal is None or deal["state"] != "won" or deal["is_deleted"]:
            continue
        later = date.fromisoformat(deal["close_date"]) + timedelta(days=lag)
        sold += (line["quantity"] or 0) if world.falls(later.isoformat()) else 0
    world.add("tickets", "T", created_at=f"{world.span.start}T12:00:00Z", category="installation")
    facts.refresh(world.conn, REPORTING)
    result = world.told("installation_problems_per_unit", problem_lag_days=lag)
    assert (result.denominator or 0) == sold
    assert result.value == (pytest.approx(100 / sold) if sold else None)
    assert list(result.remarks) == (["units sold 20 days earlier"] if lag and sold else [])


def test_users_who_left(world: World) -> None:
    """Over the mean of both ends; who was gone when first seen was never here."""

    def at(day: date) -> list[Row]:
        moment = datetime.combine(day, datetime.min.time(), ZONE) if day != today else world.as_of
        then = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return [u for u in known if (u["created_at"] or "") < then and (left(u) or "9") >= then]

    def left(user: Row) -> str | None:
        return user["first_seen_inactive_at"] if user["first_seen_inactive_at"] != "2026-01-01T00:00:00Z" else None

    today = world.as_of.astimezone(ZONE).date()
    now = world.as_of.strftime("%Y-%m-%dT%H:%M:%SZ")
    known = [u for u in world.live("users") if (u["is_active"] or left(u)) and (u["created_at"] or "") < now]
    first, last = at(world.span.start), at(min(world.span.end, today))
    gone = 0
    for user in known:
        moment = left(user)
        if moment is not None and moment < now:
            gone += world.span.start <= datetime.fromisoformat(moment).astimezone(ZONE).date() < world.span.end
    result = world.told("staff_turnover_rate")
    assert result.n == len(first)
    assert result.value == pytest.approx(gone / ((len(first) + len(last)) / 2))
