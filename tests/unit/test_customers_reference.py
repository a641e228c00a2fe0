"""Who is a customer, who stayed and for how long, against a naive reading of random rows day by day."""

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
START = date(2026, 1, 1)
DAYS = [START + timedelta(days=number) for number in range(330)]
#: What a KPI is asked by, and what makes a customer then.
MODELS: list[dict[str, Any]] = [
    {"customer_model": "contractual"},
    {"customer_model": "repurchase", "lookback_days": 30, "purchases": ["deals", "orders"]},
]


class World:
    """Random contracts, deals and orders of a few accounts, asked at a random instant about a random span."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        self.rows: dict[str, list[dict[str, Any]]] = {}
        pick = self.random.choice
        for number in range(9):
            merged = pick([None, None, None, "A0"]) if number else None
            gone = int(merged is not None or (number > 6))
            self.add("accounts", f"A{number}", merged_into=merged, is_deleted=gone)
        for number in range(26):
            start = pick(DAYS)
            end = pick([None, start + timedelta(days=pick([0, 10, 40, 100])), pick(DAYS)])
            created = pick([None, None, f"{pick(DAYS)}T10:00:00Z"])
            self.add("contracts", f"C{number}", account_id=self.account(), start_date=start.isoformat(),
                     end_date=end and end.isoformat(), created_at=created, is_deleted=pick([0, 0, 0, 1]),
                     mrr_minor=pick([None, self.minor()]))  # fmt: skip
            self.add("opportunities", f"D{number}", account_id=self.account(), state=pick(["won", "won", "lost"]),
                     close_date=pick(DAYS).isoformat(), is_deleted=pick([0, 0, 0, 1]),
                     amount_minor=self.minor())  # fmt: skip
            self.add("orders", f"O{number}", account_id=self.account(), order_date=pick(DAYS).isoformat(),
                     status=pick([None, "shipped", "canceled"]), is_deleted=pick([0, 0, 0, 1]), created_at=created,
                     cancelled_date=pick([None, None, pick(DAYS).isoformat()]),
                     amount_minor=self.minor())  # fmt: skip
        facts.refresh(conn, REPORTING)
        self.as_of = datetime(2026, 5, 1, 12, tzinfo=UTC) + timedelta(days=self.random.randrange(200))
        self.today = self.as_of.astimezone(ZONE).date()
        first = START + timedelta(days=self.random.randrange(100))
        self.span = Span(first, first + timedelta(days=pick([7, 31, 60])))
        self.at = min(self.span.end, self.today)

    def minor(self) -> int:
        return self.random.randrange(1, 1000) * 100

    def account(self) -> str | None:
        return self.random.choice([None, *(f"A{number}" for number in range(9))])

    def add(self, table: str, id_: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"id": id_, **values})
        put(self.conn, table, id_, **values)

    def known(self, table: str) -> list[dict[str, Any]]:
        """Live rows that were there at the time."""
        now = f"{self.as_of:%Y-%m-%dT%H:%M:%SZ}"
        rows = [row for row in self.rows[table] if not row["is_deleted"]]
        return [row for row in rows if row.get("created_at") is None or row["created_at"] < now]

    def bought(self, kinds: list[str]) -> list[tuple[str | None, str, int]]:
        """Account, day and amount of all purchases known: won deals, and orders that were not cancelled."""
        today = self.today.isoformat()
        deals = [row for row in self.known("opportunities") if row["state"] == "won"]
        found = [(row["account_id"], row["close_date"], row["amount_minor"]) for row in deals]
        orders = [row for row in self.known("orders") if row["status"] != "canceled"]
        orders = [row for row in orders if not (row["cancelled_date"] and row["cancelled_date"] < today)]
        if "orders" in kinds:
            found += [(row["account_id"], row["order_date"], row["amount_minor"]) for row in orders]
        return [one for one in found if one[1] < today]

    def customer_days(self, model: dict[str, Any]) -> dict[str, set[date]]:
        """The days each live account was a customer on, as known."""
        merged = {row["id"]: row["merged_into"] or row["id"] for row in self.rows["accounts"]}
        live = {row["id"] for row in self.rows["accounts"] if not row["is_deleted"]}
        found: dict[str, set[date]] = {}
        spells: list[tuple[str | None, str, str]] = []
        if model["customer_model"] == "contractual":
            for row in self.known("contracts"):
                spells.append((row["account_id"], row["start_date"], row["end_date"] or "9999-12-31"))
        else:
            for account, day, _ in self.bought(model["purchases"]):
                begin = date.fromisoformat(day) + timedelta(1)
                last = begin + timedelta(days=model["lookback_days"])
                spells.append((account, begin.isoformat(), last.isoformat()))
        for account, opens, closes in spells:
            of = merged.get(account or "")
            if of is not None and of in live:
                days = {day for day in (*DAYS, *AFTER) if opens <= day.isoformat() < closes}
                found.setdefault(of, set()).update(days)
        return found

    def told(self, name: str, **params: Any) -> KpiResult:
        kpi = override(BUILTINS[name], {"n_min": 0, "params": params})
        return evaluate(self.conn, kpi, {**BUILTINS, name: kpi}, REPORTING, as_of=self.as_of, period=self.span)


AFTER = [DAYS[-1] + timedelta(days=number) for number in range(1, 200)]


@pytest.fixture(params=range(14))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


@pytest.mark.parametrize("model", MODELS, ids=["contracts", "purchases"])
def test_customers_and_who_stayed(world: World, model: dict[str, Any]) -> None:
    days = world.customer_days(model)
    before = {account for account, held in days.items() if world.span.start in held}
    after = {account for account, held in days.items() if world.at in held}
    assert world.told("active_customers", **model).value == len(after)
    retention, attrition = (world.told(f"customer_{name}_rate", **model) for name in ("retention", "attrition"))
    assert (retention.numerator, retention.denominator) == (len(before & after), len(before))
    assert (attrition.numerator, attrition.details["active_end"]) == (len(before - after), len(after))


@pytest.mark.parametrize("model", MODELS, ids=["contracts", "purchases"])
def test_what_those_who_left_paid(world: World, model: dict[str, Any]) -> None:
    """What was lost of what customers paid as the period began; who paid nothing known is on neither side."""
    days, start = world.customer_days(model), world.span.start
    paid: dict[str, float] = {}
    merged = {row["id"]: row["merged_into"] or row["id"] for row in world.rows["accounts"]}
    if model["customer_model"] == "contractual":
        for row in world.known("contracts"):
            covers = row["start_date"] <= start.isoformat() < (row["end_date"] or "9999-12-31")
            if covers and row["mrr_minor"] is not None and row["account_id"] is not None:
                of = merged[row["account_id"]]
                paid[of] = paid.get(of, 0) + row["mrr_minor"] / 100 * 12
    else:
        for account, day, amount in world.bought(model["purchases"]):
            if account is not None and (start - timedelta(365)).isoformat() <= day < start.isoformat():
                paid[merged[account]] = paid.get(merged[account], 0) + amount / 100
    there = {account for account, held in days.items() if start in held and account in paid}
    lost = sum(paid[account] for account in there if world.at not in days[account])
    found = world.told("customer_attrition_rate", **model).details["revenue_weighted"]
    assert found == (pytest.approx(lost / sum(paid[account] for account in there)) if there else None)


@pytest.mark.parametrize("model", MODELS, ids=["contracts", "purchases"])
def test_how_long_customers_stay(world: World, model: dict[str, Any]) -> None:
    """Runs of days without a pause; each that was over is a loss, those of today go on."""
    tenure, lost = 0, []
    for held in world.customer_days(model).values():
        run = 0
        for day in sorted(day for day in held if day < world.at):
            run += 1
            if day + timedelta(1) not in held:
                lost.append(run)
                run = 0
            tenure += 1
    result = world.told("average_retention_period", **model)
    assert (result.numerator, result.denominator, result.n) == (tenure, len(lost), len(lost))
    assert result.value == (pytest.approx(tenure / len(lost)) if lost else None)
    if lost:
        assert result.details["churned_mean"] == pytest.approx(sum(lost) / len(lost))


@pytest.mark.parametrize("model", MODELS, ids=["contracts", "purchases"])
def test_what_a_customer_is_worth(world: World, model: dict[str, Any]) -> None:
    """Revenue of a customer's day in the 365 days before, for as many days as customers stay."""
    days, first = world.customer_days(model), world.at - timedelta(365)
    merged = {row["id"]: row["merged_into"] or row["id"] for row in world.rows["accounts"]}
    worth = 0.0
    for account, day, amount in world.bought(model.get("purchases", ["deals"])):
        held = days.get(merged.get(account or "", ""), set())
        if first.isoformat() <= day < world.at.isoformat() and any(first <= one <= world.at for one in held):
            worth += amount / 100
    as_customers = sum(first <= day < world.at for held in days.values() for day in held)
    stay = world.told("average_retention_period", **model)
    result = world.told("customer_lifetime_value", **model)
    if stay.value is None or not as_customers:
        assert result.value is None
    else:
        assert result.value == pytest.approx(worth / as_customers * stay.value)
        assert result.n == stay.n
