"""Extra sales, the funnel and leads sold to, against a naive reading of random rows."""

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
Row = dict[str, Any]


class World:
    """Random deals of a few accounts, asked at a random instant about a random span."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random, self.of_leads = conn, Random(seed), Random(seed)
        self.rows: dict[str, list[Row]] = {}
        pick = self.random.choice
        for number in range(5):
            merged = pick([None, None, "A0"]) if number else None
            self.add("accounts", f"A{number}", merged_into=merged, is_deleted=int(merged is not None))
        for number in range(40):
            self.add("opportunities", f"D{number:02}", state=pick(["won", "won", "won", "lost", "open"]),
                     close_date=self.day(), account_id=pick([None, *(f"A{n}" for n in range(5))]),
                     type=pick([None, None, "upsell", "renewal", "newbusiness"]),
                     created_at=pick([None, text(self.instant())]),
                     amount_minor=pick([None, 100, 2500, 4000]), is_deleted=pick([0, 0, 0, 1]))  # fmt: skip
        for number in range(60):
            deal = pick([None, f"D{self.random.randrange(44):02}"])
            account = pick([None, f"A{self.random.randrange(5)}"])
            self.add("leads", f"L{number:02}", created_at=text(self.instant()), converted_opportunity_id=deal,
                     converted_account_id=account, is_deleted=pick([0, 0, 0, 1]), **self.became())  # fmt: skip
            self.funnel_deal(f"F{number:02}")
        facts.refresh(conn, REPORTING)
        self.as_of = datetime(2026, 6, 1, 12, tzinfo=UTC) + timedelta(days=self.random.randrange(150))
        first = START + timedelta(days=self.random.randrange(200))
        self.span = Span(first, first + timedelta(days=pick([7, 31, 90])))
        self.today = self.as_of.astimezone(ZONE).date()
        self.end = min(self.span.end, self.today)

    def became(self) -> Row:
        """What a lead became, by a generator of its own: the other rows are those they were."""
        category = self.of_leads.choice(["open", "disqualified", "converted"])
        days = self.of_leads.randrange(200)
        return {
            "status_category": category,
            "converted_date": (START + timedelta(days=days)).isoformat() if category == "converted" else None,
        }

    def funnel_deal(self, id_: str) -> None:
        """A deal that goes to and fro between stages of one pipeline, or has no history."""
        pick, now = self.random.choice, self.instant()
        pipeline, entries = pick(["big", "big", "big", "small"]), []
        state = pick(["won", "lost", "lost", "open"])
        for number in range(pick([0, 1, 2, 4, 5])):
            step = pick([1, 2, 3, 4])
            then = pick(["open", "open", "open", "lost"])
            entries.append((now + timedelta(days=self.random.randrange(1 + 20 * number)), step, then))
        entries = sorted(entries)
        entries += [(entries[-1][0] + timedelta(days=pick([1, 30])), 9, state)] if entries and state != "open" else []
        state = entries[-1][2] if entries else state
        self.add("opportunities", id_, state=state, created_at=text(now), pipeline=pipeline,
                 close_date=None if state == "open" else self.day(), is_deleted=pick([0, 0, 0, 1]), account_id=None,
                 amount_minor=1, type=None)  # fmt: skip
        for number, (at, step, then) in enumerate(entries):
            self.add("opportunity_stage_history", f"{id_} {number}", opportunity_id=id_, changed_at=text(at),
                     state=then, stage_order=step if then == "open" else None, stage=f"stage {step}",
                     seq=number)  # fmt: skip

    def instant(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=self.random.randrange(300 * 24))

    def day(self) -> str:
        return (START + timedelta(days=self.random.randrange(300))).isoformat()

    def add(self, table: str, id_: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"id": id_, "is_deleted": 0, **values})
        put(self.conn, table, id_, **values)

    def live(self, table: str) -> list[Row]:
        return [row for row in self.rows[table] if not row["is_deleted"]]

    def account(self, id_: str | None) -> str | None:
        """Who stands for an account now."""
        merged = {row["id"]: row["merged_into"] for row in self.rows["accounts"]}
        return merged.get(id_ or "") or id_

    def won(self) -> list[Row]:
        """Deals known to be won: their day is over."""
        deals = [row for row in self.live("opportunities") if row["state"] == "won"]
        known = [row for row in deals if row["created_at"] is None or row["created_at"] < text(self.as_of)]
        return [row | {"account": self.account(row["account_id"])} for row in known if self.is_over(row["close_date"])]

    def is_over(self, day: str) -> bool:
        return day < self.today.isoformat()

    def falls(self, day: str) -> bool:
        return self.span.start.isoformat() <= day < self.end.isoformat()

    def told(self, name: str, **params: Any) -> KpiResult:
        kpi = override(BUILTINS[name], {"n_min": 0, "params": params})
        return evaluate(self.conn, kpi, BUILTINS, REPORTING, as_of=self.as_of, period=self.span)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(params=range(12))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param)
    conn.close()


def test_extra_sales(world: World) -> None:
    """Named types, and deals without one of accounts that had won a deal on an earlier day."""
    won = world.won()
    found, inferred = [], []
    for deal in won:
        if not world.falls(deal["close_date"]):
            continue
        before = [d for d in won if d["account"] == deal["account"] and d["close_date"] < deal["close_date"]]
        is_repeat = deal["type"] is None and deal["account"] is not None and before
        if deal["type"] == "upsell" or is_repeat:
            found.append(deal)
            inferred += [deal] if is_repeat else []
    result = world.told("upsell_revenue", types=["upsell"])
    valued = [deal["amount_minor"] / 100 for deal in found if deal["amount_minor"] is not None]
    assert result.n == len(valued)
    if valued or not found:
        assert result.value == pytest.approx(sum(valued))
        assert result.details["inferred"] == pytest.approx(sum((d["amount_minor"] or 0) / 100 for d in inferred))


def test_leads_sold_to(world: World) -> None:
    """The deal a lead names, else the first live one its account began after it: won within its days."""
    won = {row["id"]: row["close_date"] for row in world.won()}
    found, judged = [], []
    for lead in world.live("leads"):
        came = datetime.fromisoformat(lead["created_at"])
        day = came.astimezone(ZONE).date()
        if not world.span.start <= day < world.span.end or came + timedelta(days=45) > world.as_of:
            continue
        deals = [lead["converted_opportunity_id"]]
        if deals == [None]:
            account = world.account(lead["converted_account_id"])
            later = [row for row in world.live("opportunities") if (row["created_at"] or "") > lead["created_at"]]
            own = [row for row in later if account is not None and world.account(row["account_id"]) == account]
            deals = [row["id"] for row in sorted(own, key=lambda row: (row["created_at"], row["id"]))][:1]
        sold = [won[deal] for deal in deals if deal in won]
        found.append(bool(sold) and sold[0] <= (day + timedelta(days=45)).isoformat())
        judged += [found[-1]] if lead["status_category"] != "disqualified" else []
    result = world.told("lead_to_sale_rate", horizon_days=45)
    assert (result.numerator or 0, result.denominator or 0) == (sum(found), len(found))
    result = world.told("lead_to_sale_rate", horizon_days=45, exclude_disqualified=True)
    assert (result.numerator or 0, result.denominator or 0) == (sum(judged), len(judged))


@pytest.mark.parametrize("exclude", [False, True])
def test_leads_converted(world: World, exclude: bool) -> None:
    """Cohort: of leads old enough; period: conversions over arrivals. The disqualified are not converted, or out."""
    rows = [row for row in world.live("leads") if not (exclude and row["status_category"] == "disqualified")]
    came = {row["id"]: datetime.fromisoformat(row["created_at"]) for row in rows}
    arrived = [r for r in rows if world.span.start <= came[r["id"]].astimezone(ZONE).date() < world.span.end]
    arrived = [row for row in arrived if came[row["id"]] < world.as_of]
    judged = [row for row in arrived if came[row["id"]] + timedelta(days=45) <= world.as_of]
    today = world.today.isoformat()
    converted = {r["id"]: r["converted_date"] for r in rows if r["converted_date"] and r["converted_date"] < today}
    ends = {id_: (at.astimezone(ZONE).date() + timedelta(days=45)).isoformat() for id_, at in came.items()}
    hits = [row for row in judged if row["id"] in converted and converted[row["id"]] <= ends[row["id"]]]
    result = world.told("lead_conversion_rate", horizon_days=45, exclude_disqualified=exclude)
    assert (result.numerator or 0, result.denominator or 0) == (len(hits), len(judged))
    assert ("disqualified ones left out" in result.about) is exclude
    happened = [day for day in converted.values() if world.span.start.isoformat() <= day < world.end.isoformat()]
    happened = [r for r in rows if r["id"] in converted and converted[r["id"]] in happened and known(r, world)]
    result = world.told("lead_conversion_rate", mode="period", exclude_disqualified=exclude)
    if arrived:
        assert (result.numerator, result.denominator) == (len(happened), len(arrived))
    assert ("disqualified ones left out" in result.about) is exclude


def known(row: Row, world: World) -> bool:
    return datetime.fromisoformat(row["created_at"]) < world.as_of


def test_the_funnel(world: World) -> None:
    """How far each deal of the pipeline with most deals had come, by its history as far as it was known."""
    big = [row for row in world.live("opportunities") if row.get("pipeline") == "big"]
    lost, won, pending, unknown = [], 0, [], 0
    for deal in big:
        created = datetime.fromisoformat(deal["created_at"])
        if created >= world.as_of or not world.span.start <= created.astimezone(ZONE).date() < world.span.end:
            continue
        history = [row for row in world.rows["opportunity_stage_history"] if row["opportunity_id"] == deal["id"]]
        known = [row for row in history if row["changed_at"] < text(world.as_of)]
        if not known:
            unknown += 1
            continue
        reach = max((row["stage_order"] for row in known if row["state"] == "open"), default=None)
        state = known[-1]["state"]
        won += state == "won"
        lost += [reach] if state == "lost" else []
        pending += [reach] if state == "open" else []
    most = max(len(world.live("opportunities")) - len(big), 0) < len(big)
    result = world.told("funnel_dropout_rate", pipeline="" if most else "big")
    assert (result.numerator, result.denominator, result.details["pending"]) == (
        len(lost),
        len(lost) + won,
        len(pending),
    )
    assert result.details["excluded_no_history"] == unknown
    for step in (1, 2, 3, 4):
        dropped = sum(reach == step for reach in lost)
        passed = won + sum(reach is not None and reach > step for reach in (*lost, *pending))
        told = world.told("funnel_dropout_rate", step=step, pipeline="big")
        as_text = world.told("funnel_dropout_rate", step=str(step), pipeline="big")
        assert (as_text.value, as_text.numerator, as_text.n) == (told.value, told.numerator, told.n)
        assert (told.numerator, told.denominator) == (dropped, dropped + passed)
        assert told.details["pending"] == sum(reach == step for reach in pending)
        assert told.details["overall_denominator"] == result.denominator
