"""What was bought, by whom and why they left, as segments: against a naive reading of random rows."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.relations import Language
from scorecards.split import columns_of, counted, words_of
from scorecards.uses import columns_used
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 21, 12, tzinfo=UTC)
JUNE = Span(date(2026, 6, 1), date(2026, 7, 1), "month")
Row = dict[str, Any]


class World:
    """Random deals and orders with lines, some of them merged or copies, of accounts that buy again or stop."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        pick = self.random.choice
        self.accounts = [f"A{number}" for number in range(10)]
        for id_ in self.accounts:
            put(conn, "accounts", id_, name=id_)
        self.deals: dict[str, Row] = {}
        self.lines: dict[str, list[str | None]] = defaultdict(list)
        for number in range(70):
            day = date(2025, 5, 1) + timedelta(days=pick([self.random.randrange(500), self.random.randrange(396, 426)]))
            deal = {"account_id": pick([None, *self.accounts]), "state": pick(["won", "won", "lost"]),
                    "close_date": day.isoformat(), "amount_minor": self.random.randrange(1, 10**6), "currency": "EUR",
                    "created_at": "2025-01-01T00:00:00Z", "loss_reason": pick(["price", "fit", None]),
                    "lead_source": pick(["web", "fair", None]), "partner_account_id": pick([None, "A1"])}  # fmt: skip
            self.deals[f"D{number:02d}"] = deal
            put(conn, "opportunities", f"D{number:02d}", **deal)
            self.sold(f"D{number:02d}", "opportunity", number)
        for number in range(4):  # a deal merged into another: what was sold with it was sold with that one
            put(conn, "opportunities", f"M{number}", merged_into=f"D{number:02d}", is_deleted=1, state="won")
            if not any(self.lines[f"D{number:02d}"]):
                self.sold(f"M{number}", "opportunity", 100 + number)
                self.lines[f"D{number:02d}"] += self.lines[f"M{number}"]
        self.orders: dict[str, Row] = {}
        for number in range(40):
            day = JUNE.start + timedelta(days=self.random.randrange(30))
            order = {"account_id": pick(self.accounts), "order_date": day.isoformat(), "status": "activated",
                     "promised_date": day.isoformat(), "delivered_date": pick([day.isoformat(), None]),
                     "created_at": "2025-01-01T00:00:00Z"}  # fmt: skip
            self.orders[f"O{number}"] = order
            put(conn, "orders", f"O{number}", **order)
            self.sold(f"O{number}", "order", number)
        facts.refresh(conn, REPORTING)

    def sold(self, id_: str, kind: str, number: int) -> None:
        for line in range(self.random.randrange(3)):
            product = self.random.choice(["desk", "lamp", "desk", None, " "])
            gone = self.random.random() < 0.1
            put(self.conn, f"{kind}_lines", f"L{id_}{line}", **{f"{kind}_id": id_}, product=product, is_deleted=gone)
            if not gone:
                self.lines[id_].append(product)

    def result(self, name: str, by: str, **changes: Any) -> KpiResult:
        kpi = override(BUILTINS[name], {"n_min": 0, **changes})
        found = Evaluator(self.conn, {**BUILTINS, name: kpi}, REPORTING, as_of=AS_OF).evaluate(
            kpi, period=JUNE, by=[by]
        )
        assert found.status != "error", found.reason
        return found

    def product(self, *ids: str) -> str:
        return one_of(one_of(filter(None, ((p or "").strip() for p in self.lines[id_]))) for id_ in ids)

    def won(self, before: date, account: str | None = None) -> list[str]:
        """Deals won with an account before a day, the first first."""
        found = [
            (deal["close_date"], id_)
            for id_, deal in self.deals.items()
            if deal["state"] == "won" and deal["account_id"] == account and deal["close_date"] < before.isoformat()
        ]
        return [id_ for _, id_ in sorted(found)]

    def before(self, day: date, account: str) -> str:
        return "returning" if self.won(day, account) else "new"

    def churned(self, account: str, lookback: int) -> str:
        """The reason of the last deal lost with a customer of the first of June, since it became one."""
        bought = [date.fromisoformat(self.deals[id_]["close_date"]) for id_ in self.won(JUNE.start, account)]
        start = bought[0]
        for day, after in pairwise(bought):
            start = start if after <= day + timedelta(days=lookback) else after
        lost = [
            (deal["close_date"], deal["loss_reason"] or "(none)")
            for deal in self.deals.values()
            if deal["account_id"] == account
            and deal["state"] == "lost"
            and start.isoformat() < deal["close_date"] < JUNE.end.isoformat()
        ]
        last = max((day for day, _ in lost), default=None)
        return next((reason for day, reason in lost if day == last), "(none)")

    def in_june(self, state: str) -> list[str]:
        return [
            id_
            for id_, deal in self.deals.items()
            if deal["state"] == state and JUNE.start.isoformat() <= deal["close_date"] < JUNE.end.isoformat()
        ]


def one_of(products: Iterable[str]) -> str:
    found = {product for product in products if product != "(none)"}
    return "(none)" if not found else found.pop() if len(found) == 1 else "(several)"


@pytest.fixture(params=range(6))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


def test_revenue_by_product_adds_up(world: World) -> None:
    """A deal counts once: of its product, or of several."""
    expected: dict[str, float] = defaultdict(float)
    for id_ in world.in_june("won"):
        expected[world.product(id_)] += world.deals[id_]["amount_minor"] / 100
    found = world.result("won_revenue", "product")
    assert {part.segment: part.value for part in found.segments} == pytest.approx(expected)
    assert sum(part.value or 0 for part in found.segments) == pytest.approx(found.value or 0)


def test_orders_are_delivered_by_product(world: World) -> None:
    found = world.result("on_time_delivery_rate", "product")
    assert {part.segment: part.n for part in found.segments} == Counter(map(world.product, world.orders))


def test_deals_by_partner_and_whether_the_account_had_bought(world: World) -> None:
    lost = world.in_june("lost")
    partners = Counter("yes" if world.deals[id_]["partner_account_id"] else "no" for id_ in lost)
    found = world.result("lost_opportunities", "with_partner")
    assert {part.segment: part.n for part in found.segments} == partners
    before = Counter(
        "(none)"
        if (account := world.deals[id_]["account_id"]) is None
        else "returning"
        if world.won(date.fromisoformat(world.deals[id_]["close_date"]), account)
        else "new"
        for id_ in lost
    )
    found = world.result("lost_opportunities", "new_or_returning")
    assert {part.segment: part.n for part in found.segments} == before


def test_first_purchases_by_what_their_deal_says(world: World) -> None:
    first = [world.won(date.max, account)[:1] for account in world.accounts]
    here = [id_ for ids in first for id_ in ids if id_ in world.in_june("won")]
    for column in ("lead_source", "first_lead_source"):
        found = world.result("new_customers", column)
        expected = Counter(world.deals[id_]["lead_source"] or "(none)" for id_ in here)
        assert {part.segment: part.n for part in found.segments} == expected
    found = world.result("new_customers", "product")
    assert {part.segment: part.n for part in found.segments} == Counter(map(world.product, here))


def test_customers_are_kept_by_what_they_had_bought(world: World) -> None:
    """By the first day of the period: what was bought in it would put those who stay among others."""
    lookback = 90
    since = JUNE.start - timedelta(days=lookback)
    held = {account: world.won(JUNE.start, account) for account in world.accounts}
    active = {
        account: ids for account, ids in held.items() if ids and world.deals[ids[-1]]["close_date"] >= since.isoformat()
    }
    params = {"lookback_days": lookback, "customer_model": "repurchase"}
    reporting = REPORTING.model_copy(update={"customer_spans": (f"deals {lookback}",)})
    facts.refresh(world.conn, reporting)
    found = world.result("customer_retention_rate", "product", params=params)
    assert {part.segment: part.n for part in found.segments} == Counter(world.product(*ids) for ids in active.values())
    left = world.result("customer_attrition_rate", "churn_reason", params=params)
    reasons = Counter(world.churned(account, lookback) for account in active)
    assert {part.segment: part.n for part in left.segments} == reasons
    assert sum(part.numerator or 0 for part in left.segments) == left.numerator


def test_dialogue_by_whether_people_had_bought(world: World) -> None:
    """Of the account of the person reached, also where the activity does not name it; before the day itself."""
    accounts = dict(enumerate([*world.accounts, None, world.accounts[0], None]))
    for who, account in accounts.items():
        if who > 10:  # a lead that became a customer's, and one that is nobody's yet
            put(world.conn, "leads", f"P{who}", converted_account_id=account)
        else:
            put(world.conn, "contacts", f"P{who}", account_id=account)
    mails: Counter[str] = Counter()
    people: dict[str, str] = {}
    for number in range(52):
        who, day = number % 13, JUNE.start + timedelta(days=world.random.randrange(28))
        account = accounts[who]
        on_the_day = [world.deals[id_]["close_date"] for id_ in world.in_june("won") if account is not None
                      and world.deals[id_]["account_id"] == account]  # fmt: skip
        day = date.fromisoformat(world.random.choice([day.isoformat(), *on_the_day]))
        mails[("(none)" if who < 11 else "new") if account is None else world.before(day, account)] += 1
        people[f"P{who}"] = account or "(none)"
        put(world.conn, "activities", f"X{number}", type="email", direction="outbound", status="completed",
            occurred_at=f"{day}T12:00:00Z", is_automated=0, bounced=0,
            **{"lead_id" if who > 10 else "contact_id": f"P{who}"})  # fmt: skip
    # Long ago somebody answered: that nobody did in June is known.
    put(world.conn, "activities", "A", type="email", direction="inbound", occurred_at="2020-01-01T12:00:00Z")
    facts.refresh(world.conn, REPORTING)
    for name in ("outreach_volume", "email_response_rate"):
        found = world.result(name, "new_or_returning")
        assert {part.segment: part.n for part in found.segments} == mails
    found = world.result("conversation_rate", "account_id")
    assert {part.segment: part.n for part in found.segments} == Counter(people.values())
    for name in ("conversation_rate", "actions_per_engagement"):
        assert {part.segment for part in world.result(name, "new_or_returning").segments} == set(mails)


#: Words of the lists of segments that say nothing of some rows: a lead has no pipeline yet.
_SAY_NOTHING = {
    "leads": {"pipeline", "deal type", "region", "customer group", "with a partner"},
    **{name: {"campaign"} for name in ("activities", "approaches", "sent_mails", "engagements")},
}


@pytest.mark.parametrize("kpi", BUILTINS.values(), ids=lambda kpi: kpi.id)
def test_what_a_kpi_is_worth_splitting_by_can_be_had(kpi: Any) -> None:
    """Every word of its catalogue is a column of all its rows."""
    language = Language(REPORTING)
    read = language.current if kpi.filled is not None else language.relation
    relations = [relation for part in counted(kpi, BUILTINS) if part.of and (relation := read(part.of))]
    for word in words_of(kpi):
        had = any(all(language.column(one, name) is not None for one in relations) for name in columns_of(word))
        assert had or any(word in _SAY_NOTHING.get(one.name, ()) for one in relations), word


@pytest.mark.parametrize(
    ("of", "by", "places"),
    [
        ("opportunities", "product", {"opportunity_lines.product"}),
        ("purchases", "product", {"opportunity_lines.product"}),
        ("orders", "product", {"order_lines.product"}),
        ("customer_spans", "churn_reason", {"opportunities.loss_reason", "opportunities.account_id"}),
        ("customer_spans", "first_lead_source", {"opportunities.lead_source"}),
        ("opportunities", "with_partner", {"opportunities.partner_account_id"}),
        ("approaches", "new_or_returning", {"opportunities.close_date", "contacts.account_id"}),
        ("campaign_sends", "account.tier", {"email_events.contact_id", "contacts.account_id", "accounts.tier"}),
    ],
)
def test_a_split_uses_what_its_column_is_made_of(of: str, by: str, places: set[str]) -> None:
    kpi = build("own", {"of": of, "by": [by]})
    assert places <= {f"{table}.{column}" for table, column in columns_used(kpi, {"own": kpi}, REPORTING)}
