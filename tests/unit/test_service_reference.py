"""Surveys and what follows from them, escalations, calls and busy days, against a naive reading of random rows."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median, quantiles
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
START = datetime(2026, 9, 1, tzinfo=UTC)
Row = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class World:
    """Random tickets, contacts, invitations, answers and activities, as Python objects and as rows of a cache."""

    random: Random
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def moment(self) -> datetime:
        return START + timedelta(minutes=self.random.randrange(60 * 24 * 60))

    def add(self, conn: sqlite3.Connection, table: str, id_: str, **values: Any) -> None:
        self.rows.setdefault(table, []).append({"id": id_, "is_deleted": 0, "merged_into": None, **values})
        put(conn, table, id_, **{k: stamp(v) if isinstance(v, datetime) else v for k, v in values.items()})

    def one_of(self, table: str) -> str | None:
        ids: list[str | None] = [None, *(row["id"] for row in self.rows[table])]
        return self.random.choice(ids)

    def stands_for(self, table: str, id_: str | None) -> str | None:
        merged = next((row["merged_into"] for row in self.rows[table] if row["id"] == id_), None)
        return id_ if merged is None else str(merged)


def made(conn: sqlite3.Connection, seed: int) -> World:
    world = World(Random(seed))
    pick = world.random.choice
    for number in range(6):
        merged = "contacts 0" if number == 5 else None
        world.add(conn, "contacts", f"contacts {number}", merged_into=merged, is_deleted=int(merged is not None))
    for number in range(8):
        created = world.moment()
        merged = "tickets 0" if number == 7 else None
        closed = created + timedelta(hours=world.random.randrange(3, 200)) if world.random.random() < 0.8 else None
        times: Row = {"created_at": created, "closed_at": closed, "status_category": "closed" if closed else "open"}
        answered = pick([None, created + timedelta(minutes=world.random.randrange(-30, 240))])
        world.add(
            conn,
            "tickets",
            f"tickets {number}",
            merged_into=merged,
            is_deleted=int(merged is not None),
            first_response_at=answered,
            close_reason=pick([None, "resolved", "spam"]),
            priority=pick([None, "high", "low"]),
            account_id=pick([None, "A1", "A2"]),
            contact_id=world.one_of("contacts"),
            is_escalated=pick([None, 0, 1]),
            escalated_at=pick([None, None, world.moment()]),
            **times,
        )
        for step in range(world.random.randrange(3)):
            values: Row = {"ticket_id": f"tickets {number}", "status_category": "open", "seq": step}
            values |= {"changed_at": created + timedelta(hours=step + 1), "escalated": pick([None, 0, 1])}
            world.add(conn, "ticket_status_history", f"H{number}.{step}", **values)
    for number in range(90):
        asked: Row = {"ticket_id": world.one_of("tickets"), "contact_id": world.one_of("contacts")}
        values = asked | {"survey_type": pick(["csat", "nps"]), "is_deleted": pick([0, 0, 0, 1])}
        world.add(conn, "survey_invitations", f"I{number:02d}", sent_at=world.moment(), **values)
        if world.random.random() < 0.4:
            asked = {"ticket_id": world.one_of("tickets"), "contact_id": world.one_of("contacts")}
        values = asked | {"survey_type": pick(["csat", "nps"]), "is_deleted": pick([0, 0, 0, 1])}
        values |= {"score": pick([None, 0, 3, 4, 5, 6, 7, 10]), "scale_min": 0, "scale_max": 10}
        world.add(conn, "survey_responses", f"R{number:02d}", responded_at=world.moment(), **values)
        values = {"type": pick(["call", "email", "note"]), "direction": pick(["outbound", "outbound", "inbound"])}
        values |= {"contact_id": world.one_of("contacts"), "status": pick(["completed", "completed", "scheduled"])}
        values |= {"ticket_id": pick([None, None, world.one_of("tickets")]), "connected": pick([None, 1, 0])}
        values |= {"is_public": pick([0, 1])}
        world.add(conn, "activities", f"X{number:02d}", occurred_at=world.moment(), **values)
        if world.random.random() < 0.6:
            kind = pick(["contacts", "tickets"])
            values = {"activity_id": f"X{number:02d}", "object": kind, "object_id": world.one_of(kind)}
            world.add(conn, "activity_links", f"N{number:02d}", **values | {"is_deleted": pick([0, 0, 0, 1])})
    facts.refresh(conn, REPORTING)
    return world


@pytest.fixture(params=range(10))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, sqlite3.Connection]]:
    conn = open_cache(tmp_path)
    yield made(conn, request.param), conn
    conn.close()


def told(conn: sqlite3.Connection, name: str, world: World, **params: Any) -> tuple[KpiResult, datetime, Span]:
    as_of = world.moment() + timedelta(days=30)
    first = (START + timedelta(days=world.random.randrange(30))).date()
    span = Span(first, first + timedelta(days=world.random.choice([20, 60])))
    kpi = override(BUILTINS[name], {"n_min": 1, "params": params})
    return evaluate(conn, kpi, BUILTINS, REPORTING, as_of=as_of, period=span), as_of, span


def live(world: World, table: str) -> list[Row]:
    return [row for row in world.rows.get(table, []) if not row["is_deleted"]]


def with_whom(world: World, activity: Row, table: str) -> set[str | None]:
    """The contacts, or tickets, an activity was with: the one it names, and those it is linked to."""
    named = [activity[f"{table.removesuffix('s')}_id"]]
    for link in live(world, "activity_links"):
        if (link["activity_id"], link["object"]) == (activity["id"], table):
            named.append(link["object_id"])
    return {world.stands_for(table, one) for one in named}


def falls(moment: datetime | None, span: Span, as_of: datetime) -> bool:
    return moment is not None and moment < as_of and span.start <= moment.astimezone(ZONE).date() < span.end


def party(world: World, row: Row) -> tuple[Any, Any, Any]:
    return (
        row["survey_type"],
        world.stands_for("tickets", row["ticket_id"]),
        world.stands_for("contacts", row["contact_id"]),
    )


def test_invitations_answered(world: tuple[World, sqlite3.Connection]) -> None:
    """The same survey, ticket and contact, since it was sent; nobody's is never answered."""
    there, conn = world
    result, as_of, span = told(conn, "survey_response_rate", there)
    sent = [i for i in live(there, "survey_invitations") if falls(i["sent_at"], span, as_of)]
    judged = [i for i in sent if i["sent_at"] + timedelta(days=14) <= as_of]
    hits = [
        i
        for i in judged
        if any(party(there, i)[1:])
        and any(
            party(there, r) == party(there, i) and r["score"] is not None and i["sent_at"] <= r["responded_at"] < as_of
            for r in live(there, "survey_responses")
        )
    ]
    assert (result.numerator, result.denominator) == (len(hits), len(judged))
    assert result.details["immature"] == len(sent) - len(judged)


def test_closed_tickets_with_an_invitation(world: tuple[World, sqlite3.Connection]) -> None:
    there, conn = world
    result, as_of, span = told(conn, "survey_coverage_rate", there)
    closed = [t for t in live(there, "tickets") if falls(t["closed_at"], span, as_of) and t["close_reason"] != "spam"]
    invited = {
        there.stands_for("tickets", i["ticket_id"]) for i in live(there, "survey_invitations") if i["sent_at"] < as_of
    }
    assert (result.numerator, result.denominator) == (sum(t["id"] in invited for t in closed), len(closed))


def test_low_answers_followed_up(world: tuple[World, sqlite3.Connection]) -> None:
    """Until the end of the fifth business day after the day of the answer, judged when that day is over."""
    there, conn = world
    result, as_of, span = told(conn, "detractor_followup_rate", there)
    hits = judged = 0
    for answer in live(there, "survey_responses"):
        score, contact = answer["score"], there.stands_for("contacts", answer["contact_id"])
        is_low = score is not None and score <= (4 if answer["survey_type"] == "csat" else 6)
        if not (is_low and contact is not None and falls(answer["responded_at"], span, as_of)):
            continue
        day, left = answer["responded_at"].astimezone(ZONE).date(), 5
        while left:
            day += timedelta(1)
            left -= day.weekday() < 5
        end = datetime.combine(day + timedelta(1), datetime.min.time(), ZONE)
        if end > as_of:
            continue
        judged += 1
        hits += any(
            contact in with_whom(there, x, "contacts")
            and (x["type"] != "note" and x["direction"], x["status"]) == ("outbound", "completed")
            and answer["responded_at"] < x["occurred_at"] < end
            for x in live(there, "activities")
        )
    assert (result.numerator or 0, result.denominator or 0) == (hits, judged)


def first_answer(world: World, ticket: Row) -> datetime | None:
    """What the CRM says goes first; else the first public word of ours, of the ticket's own or linked to it."""
    answers = [
        x["occurred_at"]
        for x in live(world, "activities")
        if ticket["id"] in with_whom(world, x, "tickets")
        and (x["direction"], x["status"], x["is_public"]) == ("outbound", "completed", 1)
        and ticket["created_at"] <= x["occurred_at"]
    ]
    return ticket["first_response_at"] or min(answers, default=None)


def test_first_answers(world: tuple[World, sqlite3.Connection]) -> None:
    there, conn = world
    result, as_of, span = told(conn, "first_response_time", there, clock="calendar")
    waits = []
    for ticket in live(there, "tickets"):
        first = first_answer(there, ticket)
        is_counted = ticket["close_reason"] != "spam" and falls(ticket["created_at"], span, as_of)
        if is_counted and first is not None and ticket["created_at"] <= first < as_of:
            waits.append((first - ticket["created_at"]).total_seconds())
    assert result.value == (median(waits) if waits else None)


def test_quick_but_dissatisfied(world: tuple[World, sqlite3.Connection]) -> None:
    there, conn = world
    limits = {"high": 60, "low": 12000}
    result, as_of, span = told(
        conn, "fast_but_dissatisfied_rate", there, clock="calendar", target_seconds=7200, targets=limits
    )
    quick = set()
    for ticket in live(there, "tickets"):
        answered = first_answer(there, ticket)
        limit = timedelta(seconds=limits.get(ticket["priority"] or "", 7200))
        in_time = answered is not None and timedelta(0) <= answered - ticket["created_at"] <= limit
        is_known = answered is not None and answered < as_of and ticket["created_at"] < as_of
        if in_time and is_known and ticket["close_reason"] != "spam":
            quick.add(ticket["id"])
    latest: dict[tuple[Any, Any], Row] = {}
    for answer in sorted(live(there, "survey_responses"), key=lambda r: (r["responded_at"], r["id"])):
        _, ticket_id, contact = party(there, answer)
        asked = answer["survey_type"] == "csat" and answer["score"] is not None and ticket_id in quick
        if asked and falls(answer["responded_at"], span, as_of):
            latest[ticket_id, contact] = answer
    assert (result.numerator, result.denominator) == (sum(r["score"] < 6 for r in latest.values()), len(latest))


def test_escalations(world: tuple[World, sqlite3.Connection]) -> None:
    """The first of its history, else the date the CRM has, else the day it came."""
    there, conn = world
    result, as_of, span = told(conn, "escalations_count", there)
    found = []
    for ticket in live(there, "tickets"):
        steps = [h for h in there.rows.get("ticket_status_history", []) if h["ticket_id"] == ticket["id"]]
        first = min((h["changed_at"] for h in steps if h["escalated"]), default=ticket["escalated_at"])
        first = ticket["created_at"] if first is None and ticket["is_escalated"] else first
        found.append(falls(first, span, as_of) and ticket["created_at"] < as_of)
    assert result.value == sum(found)


def is_answered_call(row: Row) -> bool:
    return bool((row["type"], row["status"]) == ("call", "completed") and row["connected"] != 0)


def test_first_calls(world: tuple[World, sqlite3.Connection]) -> None:
    there, conn = world
    result, as_of, span = told(conn, "first_call_response_time", there, clock="calendar")
    waits, waiting = [], 0
    for ticket in live(there, "tickets"):
        if ticket["close_reason"] == "spam" or not falls(ticket["created_at"], span, as_of):
            continue
        calls = [
            x["occurred_at"]
            for x in live(there, "activities")
            if ticket["id"] in with_whom(there, x, "tickets")
            and is_answered_call(x)
            and x["direction"] == "outbound"
            and ticket["created_at"] <= x["occurred_at"] < as_of
        ]
        waiting += not calls
        waits += [(min(calls) - ticket["created_at"]).total_seconds()] if calls else []
    assert result.value == (median(waits) if waits else None)
    assert result.details["uncalled"] == waiting


def test_the_busiest_day(world: tuple[World, sqlite3.Connection]) -> None:
    """Different customers a day: of tickets by their first close, of calls by their own day."""
    there, conn = world
    result, as_of, span = told(conn, "peak_customer_capacity", there)
    last = Span(span.end - timedelta(90), span.end)
    done = [(t["closed_at"], t) for t in live(there, "tickets") if t["created_at"] < as_of]
    done += [(x["occurred_at"], x) for x in live(there, "activities") if is_answered_call(x)]
    days = a_day(there, done, last, as_of)
    assert (result.value or 0) == max((len(found) for found in days.values()), default=0)


def test_how_much_of_a_busy_day_a_usual_day_takes(world: tuple[World, sqlite3.Connection]) -> None:
    """Different customers who came on a day, on average, over the 95th percentile of those handled on one."""
    there, conn = world
    result, as_of, span = told(conn, "peak_customer_capacity", there)
    last = Span(span.end - timedelta(90), span.end)
    shown = min(span.end, as_of.astimezone(ZONE).date())
    known = [t for t in live(there, "tickets") if t["created_at"] < as_of]
    calls = [(x["occurred_at"], x) for x in live(there, "activities") if is_answered_call(x)]
    came = a_day(there, [*((t["created_at"], t) for t in known), *calls], last, as_of)
    handled = a_day(there, [*((t["closed_at"], t) for t in known), *calls], last, as_of)
    count = (shown - last.start).days
    if not came or not handled:
        return
    mean = sum(map(len, came.values())) / count
    busy = sorted([len(found) for found in handled.values()] + [0] * (count - len(handled)))
    p95 = quantiles(busy, n=20, method="inclusive")[18]
    assert result.details["p95"] == pytest.approx(p95)
    assert result.details["utilisation"] == (pytest.approx(mean / p95) if p95 else None)


def a_day(there: World, done: list[tuple[Any, dict[str, Any]]], span: Span, as_of: datetime) -> dict[date, set[str]]:
    """The customers of each day something was done."""
    days: dict[date, set[str]] = {}
    for moment, row in done:
        named = there.stands_for("tickets", row["ticket_id"]) if "ticket_id" in row else None
        ticket = next((t for t in there.rows["tickets"] if t["id"] == named), row)
        customer = row.get("account_id") or (ticket.get("account_id") if row is not ticket else None)
        customer = customer or there.stands_for("contacts", row["contact_id"])
        if falls(moment, span, as_of) and customer:
            days.setdefault(moment.astimezone(ZONE).date(), set()).add(customer)
    return days
