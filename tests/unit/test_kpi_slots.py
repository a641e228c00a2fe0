"""The slots of the language against a naive reading of each in Python, over random rows; and how they may be wrong."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import Kpi, build
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.values import KpiResult
from scorecards.wording import formula
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 9, 1, tzinfo=UTC)
SEEDS = range(8)


def stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def local(moment: datetime) -> date:
    return moment.astimezone(ZONE).date()


class World:
    """Random tickets, orders and won deals, as Python objects and as rows of a cache."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.conn, self.random = conn, Random(seed)
        pick = self.random.choice
        self.tickets: list[dict[str, Any]] = [
            {
                "id": f"T{number}",
                "created": (created := self._moment()),
                "answered": pick([None, created + timedelta(seconds=self.random.randrange(-50, 9 * 3600))]),
                "closed": pick([None, created + timedelta(seconds=self.random.randrange(4 * 86400))]),
                "reason": pick([None, "spam", "resolved"]),
                "priority": pick(["high", "low", None]),
                "account": pick(["A", "B", "C", None]),
            }
            for number in range(50)
        ]
        self.orders: list[dict[str, Any]] = [
            {
                "id": f"O{number}",
                "due": pick([None, local(self._moment())]),
                "delivered": pick([None, local(self._moment())]),
                "cancelled": pick([None, None, local(self._moment())]),
            }
            for number in range(50)
        ]
        self.deals: list[dict[str, Any]] = [
            {"id": f"D{n}", "day": local(self._moment()), "amount": pick([None, 100, 250]), "account": pick("ABC")}
            for n in range(40)
        ]
        for name in "ABC":
            put(conn, "accounts", name)
        for t in self.tickets:
            values = {
                "created_at": stamp(t["created"]),
                "first_response_at": stamp(t["answered"]),
                "close_reason": t["reason"],
            }
            values |= {"closed_at": stamp(t["closed"]), "priority": t["priority"], "account_id": t["account"]}
            put(conn, "tickets", t["id"], status_category="closed" if t["closed"] else "open", **values)
        for o in self.orders:
            days = {"promised_date": o["due"], "delivered_date": o["delivered"], "cancelled_date": o["cancelled"]}
            put(conn, "orders", o["id"], **{name: day.isoformat() if day else None for name, day in days.items()})
        for d in self.deals:
            minor = None if d["amount"] is None else d["amount"] * 100
            values = {"state": "won", "close_date": d["day"].isoformat(), "amount_minor": minor, "currency": "EUR"}
            put(conn, "opportunities", d["id"], account_id=d["account"], **values)
        facts.refresh(conn, REPORTING)
        self.as_of = START + timedelta(days=self.random.randrange(20, 60), hours=self.random.randrange(24))
        first = (START + timedelta(days=self.random.randrange(30))).date()
        self.window = Span(first, first + timedelta(days=self.random.choice([7, 31])))

    def _moment(self) -> datetime:
        return START + timedelta(seconds=self.random.randrange(60 * 86400))

    def within(self, moment: datetime | None) -> bool:
        return moment is not None and moment < self.as_of and self.window.start <= local(moment) < self.window.end

    def on(self, day: date | None) -> bool:
        return day is not None and self.window.start <= day < min(self.window.end, local(self.as_of))

    def known_tickets(self) -> list[dict[str, Any]]:
        return [t for t in self.tickets if self.within(t["created"])]

    def ask(self, table: Mapping[str, Any], **others: Mapping[str, Any]) -> KpiResult:
        kpis = {**BUILTINS, **{name: build(name, {"n_min": 0, **other}) for name, other in others.items()}}
        kpi = build("asked", {"n_min": 0, **table})
        kpis["asked"] = kpi
        assert problems(kpi, kpis, REPORTING) == []
        result = Evaluator(self.conn, kpis, REPORTING, as_of=self.as_of).evaluate(kpi, period=self.window)
        assert result.status != "error", result.reason
        return result


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with closing(open_cache(tmp_path)) as conn:
        yield World(conn, request.param)


TICKETS: dict[str, Any] = {"of": "tickets", "date": "created_at"}


def test_any_of_several_filters(world: World) -> None:
    """One filter passed is enough; the rest of `where` holds as well."""
    where = {"any": [{"priority": "high", "close_reason": "spam"}, {"account_id": "A"}], "is_closed": {"set": True}}
    wanted = [
        t for t in world.known_tickets() if (t["priority"], t["reason"]) == ("high", "spam") or t["account"] == "A"
    ]
    assert world.ask({**TICKETS, "where": where}).value == len(wanted)


def test_a_duration_that_must_end_in_time(world: World) -> None:
    """An end after `within` is none: the row still waits. The last second is in time."""
    asked = {**TICKETS, "agg": "avg", "also": {"open": {"excluded": "open"}}}
    ends = {"from": "created_at", "to": "first_response_at"}
    seen = world.ask({**asked, "duration": {**ends, "within": "4h"}})
    took = [
        (t["answered"] - t["created"]).total_seconds()
        for t in world.known_tickets()
        if t["answered"] is not None and t["answered"] < world.as_of and t["answered"] >= t["created"]
    ]
    in_time = [seconds for seconds in took if seconds <= 4 * 3600]
    assert seen.n == len(in_time)
    late = world.ask({**asked, "duration": ends}).details["open"] + len(took) - len(in_time)
    assert seen.details["open"] == late


def test_a_deadline_counted_from_an_instant(world: World) -> None:
    """In time, late, pending, void, spam and out of order each go where the definition says."""
    target, now = timedelta(hours=4), world.as_of
    found = {"hit": 0, "late": 0, "pending": 0, "void": 0, "spam": 0, "negative": 0}
    for t in world.known_tickets():
        answered = t["answered"] if t["answered"] is not None and t["answered"] < now else None
        closed = t["closed"] if t["closed"] is not None and t["closed"] < now else None
        limit = t["created"] + target
        if t["reason"] == "spam":
            found["spam"] += 1
        elif answered is not None:
            found["negative" if answered < t["created"] else "hit" if answered <= limit else "late"] += 1
        elif closed is not None and closed < limit:
            found["void"] += 1
        else:
            found["late" if limit < now else "pending"] += 1
    deadline = {"from": "created_at", "to": "first_response_at", "within": "4h", "void": "first_closed_at"}
    seen = world.ask({**TICKETS, "deadline": deadline, "out": {"spam": {"close_reason": "spam"}}})
    details = seen.details
    assert (seen.numerator, seen.denominator) == (found["hit"], found["hit"] + found["late"])
    assert (details["pending"], details["void"], details["excluded_spam"]) == (
        found["pending"], found["void"], found["spam"],
    )  # fmt: skip
    assert details["excluded"] == found["void"] + found["spam"]


@pytest.mark.parametrize("wait", [False, True])
def test_a_deadline_of_days(world: World, wait: bool) -> None:
    """The due day itself is in time; late is what it ended without; cancelled before it leaves."""
    today, hit, late = local(world.as_of), 0, 0
    for o in world.orders:
        if not world.on(o["due"]):
            continue
        done = o["delivered"] if o["delivered"] is not None and o["delivered"] < today else None
        limit = o["due"] + timedelta(2)
        if wait and limit >= today:
            continue
        if done is not None:
            hit, late = hit + (done <= limit), late + (done > limit)
        elif not (o["cancelled"] is not None and o["cancelled"] < min(limit, today)) and limit < today:
            late += 1
    slot = {"due": "promised_date", "to": "delivered_date", "grace": "2d", "void": "cancelled_date", "wait": wait}
    seen = world.ask({"of": "orders", "date": "promised_date", "deadline": slot})
    assert (seen.numerator, seen.denominator) == (hit, hit + late)


def test_a_deadline_may_differ_by_a_column(world: World) -> None:
    """A value without a time of its own has the common one."""
    within = {"seconds": 7200, "by": "priority", "of": {"high": 3600}}
    hits = 0
    for t in world.known_tickets():
        if t["answered"] is not None and t["answered"] < world.as_of:
            took = (t["answered"] - t["created"]).total_seconds()
            hits += 0 <= took <= (3600 if t["priority"] == "high" else 7200)
    slot = {"from": "created_at", "to": "first_response_at", "within": within}
    assert world.ask({**TICKETS, "deadline": slot}).numerator == hits


@pytest.mark.parametrize("clock", ["calendar", "business"])
def test_business_days_end_with_the_day(world: World, clock: str) -> None:
    """Until the end of the second business day after the local day it began: the clock counts seconds, not days."""
    hits = decided = 0
    for t in world.known_tickets():
        day, left = local(t["created"]), 2
        while left:
            day += timedelta(1)
            left -= day.weekday() < 5
        end = datetime.combine(day + timedelta(1), datetime.min.time(), ZONE)
        answered = t["answered"] if t["answered"] is not None and t["answered"] < world.as_of else None
        if end > world.as_of or (answered is not None and answered < t["created"]):
            continue
        if answered is None and t["closed"] is not None and t["closed"] < end:
            continue
        decided += 1
        hits += answered is not None and answered < end
    slot = {"from": "created_at", "to": "first_response_at", "within": "2bd", "wait": True}
    slot |= {"clock": clock, "void": "first_closed_at"}
    seen = world.ask({**TICKETS, "deadline": slot})
    assert (seen.numerator, seen.denominator) == (hits, decided)


def test_the_first_of_each(world: World) -> None:
    """One row an account, the earliest; rows of nobody are left out and lower the coverage."""
    first: dict[str, dict[str, Any]] = {}
    for t in sorted(world.known_tickets(), key=lambda t: (t["created"], t["id"])):
        if t["account"] is not None:
            first.setdefault(t["account"], t)
    seen = world.ask({**TICKETS, "first_per": ["account_id"], "share": {"priority": "high"}})
    assert (seen.numerator, seen.n) == (sum(t["priority"] == "high" for t in first.values()), len(first))
    assert seen.details["excluded_null"] == sum(t["account"] is None for t in world.known_tickets())


def test_reached_in_time_or_at_once(world: World) -> None:
    """A row that passes `or` is on top, mature rows only."""
    hits = n = 0
    for t in world.known_tickets():
        limit = t["created"] + timedelta(hours=6)
        if limit > world.as_of:
            continue
        n += 1
        hits += t["priority"] == "high" or (t["answered"] is not None and t["answered"] <= limit)
    cohort = {"reaches": "first_response_at", "within": "6h", "or": {"priority": "high"}}
    seen = world.ask({**TICKETS, "cohort": cohort})
    assert (seen.numerator, seen.denominator) == (hits, n)


def test_maturity_from_another_column(world: World) -> None:
    """Rows wait from `after`; one that never got there does not wait."""
    n = sum(
        1
        for t in world.known_tickets()
        if t["answered"] is None or t["answered"] >= world.as_of or t["answered"] + timedelta(days=9) <= world.as_of
    )
    seen = world.ask({**TICKETS, "mature": {"after": "first_response_at", "wait": "9d"}})
    assert seen.value == n
    assert seen.details["immature"] == len(world.known_tickets()) - n


@pytest.mark.parametrize(("inner", "agg"), [("count", "max"), ("distinct", "avg"), ("distinct", "p90")])
def test_per_day(world: World, inner: str, agg: str) -> None:
    """A figure a local day, those without rows being 0, and then the aggregate over the days."""
    end = min(world.window.end, local(world.as_of))
    days: dict[date, list[Any]] = {
        world.window.start + timedelta(n): [] for n in range(max(0, (end - world.window.start).days))
    }
    for d in world.deals:
        if d["day"] in days:
            days[d["day"]].append(d["account"])
    values = sorted(len(set(v)) if inner == "distinct" else len(v) for v in days.values())
    per = {"agg": inner, "field": "account_id"}
    seen = world.ask({"of": "opportunities", "date": "outcome_date", "agg": agg, "per": per, "where": {"is_won": True}})
    if not values or not any(values):
        assert seen.status in ("no_denominator", "ok")
        return
    if agg == "max":
        assert seen.value == values[-1]
    elif agg == "avg":
        assert seen.value == pytest.approx(sum(values) / len(values))
    else:
        place = (len(values) - 1) * 0.9
        low = int(place)
        high = values[min(low + 1, len(values) - 1)]
        assert seen.value == pytest.approx(values[low] + (place - low) * (high - values[low]))
    assert seen.n == len(values)


def test_a_sum_for_each_different_one(world: World) -> None:
    """The sum over how many accounts it belongs to, of the rows that have an amount."""
    used = [d for d in world.deals if world.on(d["day"]) and d["amount"] is not None]
    table = {"of": "opportunities", "date": "outcome_date", "agg": "sum", "field": "amount", "where": {"is_won": True}}
    seen = world.ask({**table, "per_distinct": "account_id"})
    accounts = {d["account"] for d in used}
    if used:
        assert seen.value == pytest.approx(sum(d["amount"] for d in used) / len(accounts))
        assert (seen.n, seen.denominator) == (len(accounts), len(accounts))


def test_a_share_by_weight(world: World) -> None:
    """Each row counts for its amount on both sides."""
    used = [d for d in world.deals if world.on(d["day"]) and d["amount"] is not None]
    table = {"of": "opportunities", "date": "outcome_date", "share": {"account_id": "A"}, "where": {"is_won": True}}
    seen = world.ask({**table, "weight": "amount"})
    assert (seen.numerator or 0) == sum(d["amount"] for d in used if d["account"] == "A")
    assert (seen.denominator or 0) == sum(d["amount"] for d in used)


def test_kpis_of_kpis(world: World) -> None:
    """Added, taken away, multiplied, times the days, a part of another; at the start of the period and on average."""
    count: dict[str, Any] = {"of": "opportunities", "date": "outcome_date", "where": {"is_won": True}}
    open_: dict[str, Any] = {"of": "tickets", "stock": {"opens": "created_at"}, "where": {"is_closed": False}}
    n, tickets = sum(world.on(d["day"]) for d in world.deals), len(world.known_tickets())
    assert world.ask({"calc": {"plus": ["a", "b"], "minus": ["a"]}}, a=count, b=TICKETS).value == tickets
    days = (min(world.window.end, local(world.as_of)) - world.window.start).days
    ratio = {"top": ["a", "b"], "bottom": "b", "times": "period_days"}
    if tickets and days > 0:
        assert world.ask({"ratio": ratio}, a=count, b=TICKETS).value == pytest.approx(n * days)

    def opened(moment: datetime) -> int:
        known = [t for t in world.tickets if t["created"] < moment]
        return sum(not (t["closed"] is not None and t["closed"] < moment) for t in known)

    start = datetime.combine(world.window.start, datetime.min.time(), ZONE)
    end = min(datetime.combine(world.window.end, datetime.min.time(), ZONE), world.as_of)
    if start < world.as_of and tickets:
        found = world.ask({"ratio": {"top": "o.opening", "bottom": "b"}}, o=open_, b=TICKETS)
        assert found.numerator == opened(start)
        found = world.ask({"ratio": {"top": "o.mean", "bottom": "b.n"}}, o=open_, b=TICKETS)
        assert (found.numerator, found.denominator) == ((opened(start) + opened(end)) / 2, tickets)
    also = {"won": {"kpi": "a"}, "each": {"by": "priority"}}
    details = world.ask({**TICKETS, "also": also}, a=count).details
    assert details["won"] == n
    assert sum(entry["n"] for entry in details["each"]) == tickets


def test_a_retention_may_say_what_was_lost(tmp_path: Path) -> None:
    """Lost and kept are two sides of the same rows."""
    with closing(open_cache(tmp_path)) as conn:
        for number, (start, end) in enumerate(
            [("2026-01-01", "2026-10-15"), ("2026-01-01", None), ("2026-11-05", None)]
        ):
            put(conn, "accounts", f"A{number}", kind="customer")
            put(conn, "contracts", f"C{number}", account_id=f"A{number}", start_date=start, end_date=end)
        facts.refresh(conn, REPORTING)
        lost = build("lost", {
            "of": "customer_spans", "n_min": 0,
            "retain": {"opens": "start_date", "closes": "end_date", "key": "account_id", "headline": "lost"},
        })  # fmt: skip
        evaluator = Evaluator(conn, {"lost": lost}, REPORTING, as_of=datetime(2026, 11, 20, tzinfo=UTC))
        found = evaluator.evaluate(lost, period=Span(date(2026, 10, 1), date(2026, 11, 1)))
        assert (found.value, found.numerator, found.details["retention"]) == (0.5, 1, 0.5)
        records = evaluator.explain(lost, period=Span(date(2026, 10, 1), date(2026, 11, 1)))["records"]
        assert {r["id"]: r["role"] for r in records if r["role"] != "excluded"} == {"A0": "both", "A1": "denominator"}


@pytest.mark.parametrize("seed", range(6))
def test_a_retention_over_rows_of_ones_own(tmp_path: Path, seed: int) -> None:
    """Without an end it still runs; what nobody can place, or tell whose it is, is left out and counted."""
    random, days = Random(seed), [date(2026, 1, 1) + timedelta(number) for number in range(300)]
    start, end = date(2026, 7, 1), date(2026, 10, 1)
    spans: list[tuple[str | None, date | None, date | None]] = []
    with closing(open_cache(tmp_path)) as conn:
        for number in range(25):
            put(conn, "accounts", f"A{number}", is_deleted=int(number == 24))
        for number in range(60):
            opens = random.choice([None, *random.choices(days, k=9), start, end])
            closes = random.choice([None, None, random.choice(days), start, end])
            account = random.choice([None, "not synced", *(f"A{n}" for n in random.choices(range(25), k=12))])
            spans.append((account, opens, closes))
            told = {"start_date": opens and opens.isoformat(), "end_date": closes and closes.isoformat()}
            put(conn, "contracts", f"C{number:02d}", account_id=account, **told)
        put(conn, "contracts", "later", account_id="A0", start_date="2026-01-01", created_at="2026-12-01T00:00:00Z")
        facts.refresh(conn, REPORTING)

        def live(account: str | None) -> bool:
            return account not in (None, "not synced", "A24")

        def active(day: date) -> set[str | None]:
            return {a for a, o, c in spans if live(a) and o is not None and o <= day and (c is None or c > day)}

        lost = [
            f"C{number:02d}" for number, (a, o, c) in enumerate(spans)
            if (o is None or o <= start) and (c is None or c > start) and (o is None or a in (None, "not synced"))
        ]  # fmt: skip
        retain = {"opens": "start_date", "closes": "end_date", "key": "account_id"}
        kpi = build("mine", {"of": "contracts", "n_min": 0, "retain": retain})
        evaluator = Evaluator(conn, {"mine": kpi}, REPORTING, as_of=datetime(2026, 11, 20, tzinfo=UTC))
        found = evaluator.evaluate(kpi, period=Span(start, end))
        before, after = active(start), active(end)
        assert (found.numerator, found.denominator) == (len(before & after), len(before))
        assert found.details["excluded_null"] == len(lost) > 0
        assert found.details["active_end"] == len(after)
        assert found.coverage == pytest.approx(len(before) / (len(before) + len(lost)))
        assert found.status == "partial"
        assert "without start date or account" in str(found.reason)
        told = evaluator.explain(kpi, period=Span(start, end))["records"]
        left_out = [r["id"] for r in told if r["role"] == "excluded" and r["id"].startswith("C")]
        assert sorted(left_out) == lost
        roles = [r["role"] for r in told if r["role"] != "excluded"]
        assert (roles.count("both"), len(roles)) == (len(before & after), len(before))


def test_a_retention_between_instants(tmp_path: Path) -> None:
    """What opens and closes at instants is there from one to the other, by the local beginning of a day."""
    with closing(open_cache(tmp_path)) as conn:
        put(conn, "accounts", "A")
        put(conn, "accounts", "B")
        for id_, account, opened, closed in (
            ("kept", "A", "2026-06-30T21:59:00Z", None),  # a minute before the first of July in Berlin
            ("late", "B", "2026-06-30T22:01:00Z", "2026-09-30T22:01:00Z"),
        ):
            put(conn, "tickets", id_, account_id=account, created_at=opened, closed_at=closed, status_category="open")
        facts.refresh(conn, REPORTING)
        for closes in ("closed_at", "first_closed_at"):
            retain = {"opens": "created_at", "closes": closes, "key": "account_id"}
            kpi = build("mine", {"of": "tickets", "n_min": 0, "retain": retain})
            evaluator = Evaluator(conn, {"mine": kpi}, REPORTING, as_of=datetime(2026, 11, 20, tzinfo=UTC))
            found = evaluator.evaluate(kpi, period=Span(date(2026, 7, 1), date(2026, 10, 1)))
            assert (found.numerator, found.denominator, found.details["active_end"]) == (1, 1, 2)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def told(cache: sqlite3.Connection, **table: Any) -> KpiResult:
    facts.refresh(cache, REPORTING)
    kpi: Kpi = build("asked", {"of": "opportunities", "needs": "partners", "maps": "Map them.", **table})
    return Evaluator(cache, {"asked": kpi}, REPORTING, as_of=datetime(2026, 11, 20, tzinfo=UTC)).evaluate(kpi)


def test_what_is_nowhere_is_no_data_with_the_place_to_map_it(cache: sqlite3.Connection) -> None:
    """A table, a column, a value that must be there; a parameter or mapping that must be set."""
    put(cache, "opportunities", "D", state="won", close_date="2026-10-02")
    put(cache, "activities", "X", direction="outbound", occurred_at="2026-10-02T00:00:00Z")
    found = told(cache, requires=["activities.direction=inbound"])
    assert (found.status, found.reason) == ("no_data", "no data: needs partners. Map them.")
    assert told(cache, requires=["activities.direction=outbound", "opportunities"]).status == "ok"
    put(cache, "activities", "Y", type="email", direction="inbound", occurred_at="2026-10-02T00:00:00Z")
    put(cache, "activities", "Z", type="call", direction="outbound", owner_id="U", occurred_at="2026-10-02T00:00:00Z")
    of_one_row = "activities.type=call and direction=inbound"
    assert told(cache, requires=["activities.type=call", "activities.direction=inbound"]).status == "ok"
    assert told(cache, requires=[of_one_row]).status == "no_data"
    assert told(cache, requires=[f"{of_one_row} or activities.owner_id and type=email"]).status == "no_data"
    assert told(cache, requires=[f"{of_one_row} or activities.owner_id and type=call"]).status == "ok"
    assert told(cache, configured_by=["opportunities.partner_account_id"]).status == "not_configured"
    assert told(cache, configured_by=["params.types"], params={"types": []}).status == "not_configured"
    assert told(cache, configured_by=["params.types"], params={"types": ["x"]}).status == "ok"


def test_half_built_facts_give_no_value(cache: sqlite3.Connection) -> None:
    """A count over part of the records is not a count."""
    put(cache, "opportunities", "D", state="won", close_date="2026-10-02")
    assert told(cache).value == 1
    cache.execute("INSERT INTO facts_meta VALUES ('building', '')")
    kpi = build("asked", {"of": "opportunities"})
    found = Evaluator(cache, {}, REPORTING, as_of=datetime(2026, 11, 20, tzinfo=UTC)).evaluate(kpi)
    assert (found.value, found.status) == (None, "no_data")


WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"where": {"any": [{"priorty": "high"}]}}, "where.any.0.priorty", "no column 'priorty'", "priority"),
    ({"where": {"any": {"priority": "high"}}}, "where.any", "takes a list of filters", "any = ["),
    ({"first_per": ["acount_id"]}, "first_per", "no column 'acount_id'", "account_id"),
    ({"out": {"spam": {"close_reasn": "spam"}}}, "out.spam.close_reasn", "no column", "close_reason"),
    ({"out": {"Spam mail": {}}}, "out.Spam mail", "no name for a reason", "small letters"),
    ({"out": {"pending": {}}}, "out.pending", "left out for anyway", "name of its own"),
    ({"mature": {"after": "priority", "wait": "1d"}}, "mature.after", "not a date", "_at or _date"),
    ({"cohort": {"reaches": "first_closed_at", "within": "1d", "or": {"is_close": True}}}, "cohort.or.is_close",
     "no column", "is_closed"),
    ({"deadline": {"from": "created_at", "to": "first_respnse_at", "within": "4h"}}, "deadline.to", "no column",
     "first_response_at"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {"seconds": 9, "by": "prio"}}},
     "deadline.within.by", "no column", "priority"),
    ({"agg": "max", "per": {"agg": "distinct", "field": "acount_id"}}, "per.field", "no column", "account_id"),
    ({"agg": "sum", "field": "reopen_count", "per_distinct": "acount_id"}, "per_distinct", "no column", "account_id"),
    ({"share": {"is_closed": True}, "weight": "priority"}, "weight", "a number is needed", "numbers"),
    ({"also": {"x": {"kpi": "won_revenu"}}}, "also.x.kpi", "no KPI is called", "won_revenue"),
    ({"also": {"x": {"by": "prority"}}}, "also.x.by", "no dimension", ""),
    ({"also": {"x": {"excluded": "imature"}}}, "also.x.excluded", "no row is left out", "immature"),
    ({"action": {"amount": "priority"}}, "action.amount", "a number is needed", "numbers"),
    ({"action": {"amount": "reopn_count"}}, "action.amount", "no column 'reopn_count'", "reopen_count"),
    ({"action": {"per": "account_id", "reason": "{figure} before {before}"}}, "action.reason",
     "{before} is known of what has fallen alone", "fallen = true"),
    ({"action": {"reason": "{figure} of it"}}, "action.reason", "{figure} is that of one line of per", "{measure}"),
    ({"action": {"per": "account_id", "reason": "{figure} of {priority}"}}, "action.reason",
     "{priority} is of a record", "Take it away"),
    ({"every": "month", "date": "created_at"}, "every", "created_at holds instants", "dates"),
    ({"every": "month", "date": ""}, "every", "needs date", "day"),
    ({"compare": ["month_ago"]}, "compare", "of a stock", "previous"),
    ({"where": {"reopen_count": {"gt": {"value": 1, "by": "prio", "of": {}}}}}, "where.reopen_count.gt.by",
     "no column 'prio'", "priority"),
    ({"where": {"reopen_count": {"gt": {"by": "priority", "of": {}}}}}, "where.reopen_count.gt",
     "another column chooses", "of = {"),
    ({"where": {"reopen_count": {"gt": {"value": 1, "by": "priority", "of": {"high": "x"}}}}},
     "where.reopen_count.gt.of.high", "holds numbers", ""),
    ({"requires": ["activites"]}, "requires", "no table is called 'activites'", "activities"),
    ({"requires": ["activities.directon=inbound"]}, "requires", "no column 'directon'", "direction"),
    ({"requires": ["activities.type=email and directon=inbound"]}, "requires", "no column 'directon'", "direction"),
    ({"configured_by": ["params.typs"], "params": {"types": []}}, "configured_by", "no parameter", "types"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "path", "said", "mend"), WRONG, ids=[case[1] for case in WRONG])
def test_a_mistake_is_named_with_its_place_and_what_was_meant(
    table: dict[str, Any], path: str, said: str, mend: str
) -> None:
    kpi = build("new", {**TICKETS, **table})
    found = problems(kpi, {**BUILTINS, "new": kpi}, REPORTING)
    assert [place for place, _, _ in found] == [path], found
    assert said in found[0][1]
    assert mend in found[0][2]


def test_a_kpi_is_not_made_of_itself() -> None:
    """However many steps lie between."""
    kpis: dict[str, Kpi] = dict(BUILTINS)
    kpis["a"] = build("a", {"calc": {"plus": ["b"]}})
    kpis["b"] = build("b", {"ratio": {"top": "a", "bottom": "won_revenue"}})
    assert [place for place, _, _ in problems(kpis["a"], kpis, REPORTING)] == ["calc.plus"]
    assert problems(build("c", {"ratio": {"top": "won_revenue.opening", "bottom": "won_revenue"}}), kpis, REPORTING)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"deadline": {"to": "first_response_at"}}, "either from and within, or due"),
    ({"deadline": {"to": "first_response_at", "due": "created_at", "from": "created_at"}}, "either from and"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": "4 hours"}}, "not a duration"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": "4h", "by": "day"}}, "by goes with due"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {}}}, "seconds or business_days"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {"by": "priority", "of": {"high": 9}}}},
     "seconds too, for all other values"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {"seconds": 9, "of": {"high": 9}}}},
     "of needs by"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {"business_days": 2, "seconds": 9}}},
     "business_days stands alone"),
    ({"deadline": {"from": "created_at", "to": "first_response_at", "within": {"business_days": 2, "by": "priority"}}},
     "business_days stands alone"),
    ({"window": "1h", "date": "created_at"}, "a window is of whole days"),
    ({"window": "36h", "date": "created_at"}, "a window is of whole days"),
    ({"window": "0d", "date": "created_at"}, "a window is of whole days"),
    ({"first_per": ["account_id"], "latest_per": ["account_id"]}, "either latest_per or first_per"),
    ({"agg": "count", "per": {"agg": "count"}}, "an agg over days"),
    ({"agg": "max", "per": {"agg": "avg", "field": "reopen_count"}}, "count, sum or distinct"),
    ({"agg": "count", "per_distinct": "account_id"}, "of a plain sum"),
    ({"every": "month", "date": "created_at", "stock": {"opens": "created_at"}}, "every takes no shape"),
    ({"weight": "reopen_count"}, "weight is of a share"),
    ({"calc": {"plus": ["won_revenue"]}}, "calc takes no of"),
    ({"also": {"x": {"kpi": "won_revenue", "agg": "sum"}}}, "kpi stands alone"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "said"), REFUSED, ids=[case[1] for case in REFUSED])
def test_what_cannot_go_together_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        build("new", {**TICKETS, **table})


def test_a_lag_is_of_whole_days_and_moves_what_stands_below_alone() -> None:
    with pytest.raises(ValidationError, match="whole days"):
        build("own", {"ratio": {"top": "won_revenue", "bottom": "leads_created", "lag": "36h"}})
    lagged = build("own", {"ratio": {"top": "won_revenue", "bottom": "leads_created", "lag": "30d"}})
    assert problems(lagged, {**BUILTINS, "own": lagged}, REPORTING) == []
    assert formula(lagged, BUILTINS).endswith(" 30 days earlier")
