"""What follows from surveys and answers to them, against a naive reading over random rows, merges and as_of."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
        closed = created + timedelta(hours=world.random.randrange(200)) if world.random.random() < 0.8 else None
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
            **times,
        )
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
        world.add(conn, "activities", f"X{number:02d}", occurred_at=world.moment(), **values)
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
            there.stands_for("contacts", x["contact_id"]) == contact
            and (x["type"] != "note" and x["direction"], x["status"]) == ("outbound", "completed")
            and answer["responded_at"] < x["occurred_at"] < end
            for x in live(there, "activities")
        )
    assert (result.numerator or 0, result.denominator or 0) == (hits, judged)


def test_quick_but_dissatisfied(world: tuple[World, sqlite3.Connection]) -> None:
    there, conn = world
    result, as_of, span = told(conn, "fast_but_dissatisfied_rate", there, clock="calendar", target_seconds=7200)
    quick = set()
    for ticket in live(there, "tickets"):
        answered = ticket["first_response_at"]
        in_time = answered is not None and timedelta(0) <= answered - ticket["created_at"] <= timedelta(hours=2)
        if in_time and answered < as_of and ticket["created_at"] < as_of and ticket["close_reason"] != "spam":
            quick.add(ticket["id"])
    latest: dict[tuple[Any, Any], Row] = {}
    for answer in sorted(live(there, "survey_responses"), key=lambda r: (r["responded_at"], r["id"])):
        _, ticket_id, contact = party(there, answer)
        asked = answer["survey_type"] == "csat" and answer["score"] is not None and ticket_id in quick
        if asked and falls(answer["responded_at"], span, as_of):
            latest[ticket_id, contact] = answer
    assert (result.numerator, result.denominator) == (sum(r["score"] < 6 for r in latest.values()), len(latest))
