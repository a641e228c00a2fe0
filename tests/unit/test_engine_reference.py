"""The engine against a naive reading of the definitions, over random rows, days, clock changes and as_of."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 9, 1, tzinfo=UTC)
SEEDS = range(12)
DIMENSIONS = REPORTING.model_copy(update={"dimensions": {"type": {"opportunities": "type"}}})


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """Random deals and tickets, as Python objects and as rows of a cache."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.random = Random(seed)
        self.deals: list[dict[str, Any]] = []
        self.tickets: list[dict[str, Any]] = []
        for number in range(60):
            self._deal(conn, f"D{number:02d}")
            self._ticket(conn, f"T{number:02d}")
        facts.refresh(conn, DIMENSIONS)
        self.as_of = self._moment() + timedelta(days=40)
        first = (START + timedelta(days=self.random.randrange(80))).date()
        self.window = Span(first, first + timedelta(days=self.random.choice([1, 7, 31, 60])))

    def _moment(self) -> datetime:
        # Whole hours and the seconds around local midnights, where days are decided.
        near = self.random.choice([0, 0, 22 * 3600, 22 * 3600 - 1, 23 * 3600, 23 * 3600 + 1])
        return START + timedelta(days=self.random.randrange(90), seconds=near or self.random.randrange(86400))

    def _deal(self, conn: sqlite3.Connection, id_: str) -> None:
        created = self._moment()
        steps = []
        at = created
        for _ in range(self.random.randrange(4)):
            at += timedelta(seconds=self.random.randrange(1, 20 * 86400))
            steps.append((at, self.random.choice(["open", "won", "lost"])))
        state = steps[-1][1] if steps else self.random.choice(["open", "won", "lost"])
        close = (created + timedelta(days=self.random.randrange(60))).date()
        deal: dict[str, Any] = {
            "id": id_,
            "created": created,
            "steps": steps,
            "state": state,
            "close": close,
            "amount": self.random.choice([None, 0, 100, 2550]),
            "type": self.random.choice(["new", "old", None]),
            "gone": self.random.random() < 0.1,
        }
        self.deals.append(deal)
        values = {"state": state, "close_date": close.isoformat(), "amount_minor": deal["amount"], "currency": "EUR"}
        values |= {"created_at": stamp(created), "type": deal["type"], "is_deleted": int(deal["gone"])}
        put(conn, "opportunities", id_, **values)
        for seq, (at, then) in enumerate(steps):
            step = {"opportunity_id": id_, "changed_at": stamp(at), "state": then, "seq": seq}
            put(conn, "opportunity_stage_history", f"{id_}.{seq}", **step)

    def _ticket(self, conn: sqlite3.Connection, id_: str) -> None:
        created = self._moment()
        steps = []
        at = created
        for _ in range(self.random.randrange(5)):
            at += timedelta(seconds=self.random.randrange(1, 15 * 86400))
            steps.append((at, self.random.choice(["open", "pending", "closed"])))
        ticket = {
            "id": id_,
            "created": created,
            "steps": steps,
            "reason": self.random.choice(["resolved", "spam", None]),
        }
        self.tickets.append(ticket)
        values = {"created_at": stamp(created), "close_reason": ticket["reason"]}
        put(conn, "tickets", id_, status_category=steps[-1][1] if steps else "open", **values)
        for seq, (at, then) in enumerate(steps):
            step = {"ticket_id": id_, "changed_at": stamp(at), "status_category": then, "seq": seq}
            put(conn, "ticket_status_history", f"{id_}.{seq}", **step)


def outcome(deal: dict[str, Any], as_of: datetime) -> tuple[str, date | None]:
    """State as known at as_of and the outcome date (docs/definitions.md G2, G16), told step by step."""
    if not deal["steps"]:
        over = datetime.combine(deal["close"] + timedelta(1), datetime.min.time(), ZONE) <= as_of
        return (deal["state"], deal["close"]) if deal["state"] != "open" and over else ("open", None)
    state, since = "open", None
    for at, then in deal["steps"]:
        if at >= as_of:
            break
        if then != state or since is None:
            since = at
        state = then
    if state == "open" or since is None:
        return "open", None
    changed = since.astimezone(ZONE).date()
    return state, (min(deal["close"], changed) if state == "won" else changed)


def closed_in(world: World, state: str) -> list[dict[str, Any]]:
    """Live deals of one state dated in the window; a day counts once it is over."""
    today = world.as_of.astimezone(ZONE).date()
    found = []
    for deal in world.deals:
        if deal["gone"] or deal["created"] >= world.as_of:
            continue
        known, day = outcome(deal, world.as_of)
        if known == state and day and world.window.start <= day < min(world.window.end, today):
            found.append(deal)
    return found


def until(world: World) -> datetime:
    end = datetime.combine(world.window.end, datetime.min.time(), ZONE)
    return min(end, world.as_of)


def since(world: World) -> datetime:
    return datetime.combine(world.window.start, datetime.min.time(), ZONE)


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, sqlite3.Connection]]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param), conn
    conn.close()


def asked(conn: sqlite3.Connection, world: World, kpi: Kpi, by: tuple[str, ...] = ()) -> KpiResult:
    evaluator = Evaluator(conn, BUILTINS, DIMENSIONS, as_of=world.as_of)
    return evaluator.evaluate(kpi.model_copy(update={"n_min": 0}), period=world.window, by=by)


def test_deals_won_and_lost(world: tuple[World, sqlite3.Connection]) -> None:
    """Win rate, revenue and losses are those of the deals decided in the window."""
    it, conn = world
    won, lost = closed_in(it, "won"), closed_in(it, "lost")
    rate = asked(conn, it, BUILTINS["win_rate"])
    assert (rate.numerator, rate.denominator) == (len(won), len(won) + len(lost))
    assert asked(conn, it, BUILTINS["lost_opportunities"]).value == len(lost)

    revenue = asked(conn, it, BUILTINS["won_revenue"])
    amounts = [d["amount"] / 100 for d in won if d["amount"] is not None]
    assert revenue.n == len(amounts)
    if won and not amounts:
        assert (revenue.value, revenue.status) == (None, "no_data")
    else:
        assert revenue.value == pytest.approx(sum(amounts))


def test_segments_add_up(world: tuple[World, sqlite3.Connection]) -> None:
    """Every row is in one segment, rows without one in "(none)"."""
    it, conn = world
    result = asked(conn, it, BUILTINS["lost_opportunities"], by=("type",))
    assert sum(s.n or 0 for s in result.segments) == result.n
    nameless = sum(1 for d in closed_in(it, "lost") if d["type"] is None)
    assert sum(s.n or 0 for s in result.segments if s.segment == "(none)") == nameless


def test_open_pipeline_at_the_end_of_the_window(world: tuple[World, sqlite3.Connection]) -> None:
    """Deals created before the instant and open then, as known then."""
    it, conn = world
    at = until(it)
    open_then = [d for d in it.deals if not d["gone"] and d["created"] < at and outcome(d, at)[0] == "open"]
    counted = build("open_deals", {"of": "opportunities", "where": {"is_open": True}, "stock": {"opens": "created_at"}})
    assert asked(conn, it, counted).value == len(open_then)


def test_backlog_and_its_bridge(world: tuple[World, sqlite3.Connection]) -> None:
    """Open tickets are those whose last status before the instant is not closed; the bridge closes."""
    it, conn = world
    at = until(it)

    def is_open(ticket: dict[str, Any]) -> bool:
        before = [then for moment, then in ticket["steps"] if moment < at]
        return not before or before[-1] != "closed"

    result = asked(conn, it, BUILTINS["ticket_backlog"])
    assert result.value == sum(1 for t in it.tickets if t["created"] < at and is_open(t))
    said = result.details
    assert said["opening"] + said["created"] + said["reopened"] - said["closed"] == result.value


def test_time_to_first_close(world: tuple[World, sqlite3.Connection]) -> None:
    """Tickets first closed in the window, spam left out; closes after as_of are not known."""
    it, conn = world
    times = []
    for ticket in it.tickets:
        closes = [moment for moment, then in ticket["steps"] if then == "closed"]
        if closes and since(it) <= closes[0] < until(it) and ticket["reason"] != "spam":
            times.append((closes[0] - ticket["created"]).total_seconds())
    result = asked(conn, it, BUILTINS["mean_time_to_resolution"])
    assert result.n == len(times)
    assert result.value == (pytest.approx(fmean(times)) if times else None)


def test_explained_records_give_the_value_again(world: tuple[World, sqlite3.Connection]) -> None:
    """The ids of `kpi explain` are the rows behind the number."""
    it, conn = world
    evaluator = Evaluator(conn, BUILTINS, DIMENSIONS, as_of=it.as_of)
    records = evaluator.explain(BUILTINS["win_rate"], period=it.window)["records"]
    assert sorted(r["id"] for r in records if r["role"] == "both") == sorted(d["id"] for d in closed_in(it, "won"))
    lost = sorted(r["id"] for r in records if r["role"] == "denominator")
    assert lost == sorted(d["id"] for d in closed_in(it, "lost"))


def test_doubling_every_row_leaves_rates_as_they_are(tmp_path: Path) -> None:
    """Rates and means do not depend on how often each row is there."""
    conn = open_cache(tmp_path)
    try:
        it = World(conn, 3)
        before = [asked(conn, it, BUILTINS[name]).value for name in ("win_rate", "mean_time_to_resolution")]
        for table, parent in (
            ("opportunities", None),
            ("tickets", None),
            ("opportunity_stage_history", "opportunity_id"),
            ("ticket_status_history", "ticket_id"),
        ):
            for row in conn.execute(f"SELECT * FROM {table}").fetchall():
                values = {k: row[k] for k in row.keys() if row[k] is not None}  # noqa: SIM118
                values |= {parent: f"{row[parent]} again"} if parent else {}
                put(conn, table, f"{values.pop('id')} again", **values)
        facts.refresh(conn, DIMENSIONS)
        after = [asked(conn, it, BUILTINS[name]).value for name in ("win_rate", "mean_time_to_resolution")]
        assert after == pytest.approx(before)
    finally:
        conn.close()
