"""Dialogue KPIs against a naive reading of the definitions, over random mails, calls, meetings and links."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import fmean, median
from zoneinfo import ZoneInfo

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import override
from scorecards.evaluate import Evaluator
from scorecards.periods import Span
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

START = datetime(2026, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BERLIN = ZoneInfo("Europe/Berlin")
SEEDS = range(16)


@dataclass
class Act:
    """An activity as Python sees it; `people` and `accounts` are everybody it was with, the CRM's own first."""

    id: str
    kind: str
    direction: str
    at: datetime
    completed: bool
    automated: bool
    bounced: bool
    connected: bool
    thread: str | None
    people: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.completed and not self.automated

    @property
    def approaches(self) -> bool:
        return (
            self.done
            and self.direction == "outbound"
            and self.kind in ("call", "email", "meeting")
            and (not self.bounced)
        )

    @property
    def comes_in(self) -> bool:
        return self.done and self.direction == "inbound" and self.kind in ("call", "email", "meeting")

    @property
    def talks(self) -> bool:
        talked = self.kind == "meeting" or (self.kind == "call" and self.connected)
        return self.comes_in or (self.done and talked)

    @property
    def is_action(self) -> bool:
        return self.done and self.kind != "note"


class World:
    """A few people at a few accounts and what went between them and us, on a coarse clock so that times meet."""

    def __init__(self, conn: sqlite3.Connection, seed: int) -> None:
        self.random = Random(seed)
        self.acts: list[Act] = []
        homes = {f"C{n}": self.random.choice([None, "A0", "A1", "A2"]) for n in range(6)}
        for id_, account in homes.items():
            put(conn, "contacts", id_, account_id=account)
        for number in range(120):
            self._act(conn, f"X{number:03d}", homes)
        self.deals = {f"D{n}": self.random.choice(["A0", "A1", "A2"]) for n in range(5)}
        for id_, account in self.deals.items():
            put(conn, "opportunities", id_, state="open", account_id=account, created_at="2026-09-01T00:00:00Z")
        facts.refresh(conn, REPORTING)
        self.as_of = START + timedelta(hours=6 * self.random.randrange(4 * 20, 4 * 80))
        first = (START + DAY * self.random.randrange(30)).date()
        self.window = Span(first, first + timedelta(days=self.random.choice([7, 31])))

    def _act(self, conn: sqlite3.Connection, id_: str, homes: dict[str, str | None]) -> None:
        pick = self.random.choice
        act = Act(
            id_,
            pick(["email", "email", "email", "call", "meeting", "note"]),
            pick(["outbound", "outbound", "inbound"]),
            START + timedelta(hours=6 * self.random.randrange(4 * 60)),
            completed=self.random.random() < 0.9,
            automated=self.random.random() < 0.1,
            bounced=self.random.random() < 0.1,
            connected=self.random.random() < 0.5,
            thread=pick([None, None, "t1", "t2", "t3"]),
        )
        person = pick([None, *homes])
        values: dict[str, str | None] = {
            "type": act.kind,
            "direction": act.direction,
            "occurred_at": f"{act.at:%Y-%m-%dT%H:%M:%SZ}",
        }
        values |= {"status": "completed" if act.completed else "open", "thread_id": act.thread, "contact_id": person}
        flags = {"is_automated": act.automated, "bounced": act.bounced, "connected": act.connected}
        put(conn, "activities", id_, **values, **{name: int(flag) for name, flag in flags.items()})
        linked = self.random.sample(sorted(homes), pick([0, 0, 0, 1, 2]))
        for number, other in enumerate(sorted(linked)):
            put(conn, "activity_links", f"{id_}.{number}", activity_id=id_, object="contacts", object_id=other)
        act.people = list(dict.fromkeys(filter(None, [person, *sorted(linked)])))
        act.accounts = list(dict.fromkeys(home for p in act.people if (home := homes[p]) is not None))
        self.acts.append(act)

    def known(self, act: Act) -> bool:
        return act.at < self.as_of

    def in_window(self, at: datetime) -> bool:
        local = at.astimezone(BERLIN).date()
        return self.window.start <= local < self.window.end and at < self.as_of


def answers(world: World) -> dict[str, datetime]:
    """The first answer credited to each of our mails (A5), told answer by answer."""
    mails = [a for a in world.acts if a.kind == "email" and a.approaches]
    first: dict[str, datetime] = {}
    for answer in (a for a in world.acts if a.kind == "email" and a.comes_in and world.known(a)):
        earlier = [m for m in mails if m.at < answer.at]
        same = [m for m in earlier if answer.thread is not None and m.thread == answer.thread]
        sender = answer.people[0] if answer.people else None
        credited = same or [m for m in earlier if sender is not None and sender in m.people]
        if credited:
            mail = max(credited, key=lambda m: (m.at, m.id))
            first[mail.id] = min(first.get(mail.id, answer.at), answer.at)
    return first


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, sqlite3.Connection]]:
    conn = open_cache(tmp_path)
    yield World(conn, request.param), conn
    conn.close()


def asked(conn: sqlite3.Connection, world: World, name: str, **params: int) -> KpiResult:
    evaluator = Evaluator(conn, BUILTINS, REPORTING, as_of=world.as_of)
    return evaluator.evaluate(override(BUILTINS[name], {"params": params, "n_min": 0}), period=world.window)


def test_people_approached_and_who_talked_back(world: tuple[World, sqlite3.Connection]) -> None:
    """The first approach of the window to each person who had been quiet, and what came of it in time."""
    it, conn = world
    wait = timedelta(days=5)
    people: dict[str, Act] = {}
    for act in sorted(it.acts, key=lambda a: (a.at, a.id)):
        for person in act.people if act.approaches and it.in_window(act.at) else []:
            heard = [a.at for a in it.acts if a.comes_in and person in a.people and a.at < act.at]
            if not any(act.at - at <= wait for at in heard):
                people.setdefault(person, act)
    mature = {p: a for p, a in people.items() if a.at + wait <= it.as_of}
    talked = [
        p
        for p, a in mature.items()
        if (a.kind == "call" and a.connected)
        or any(b.talks and p in b.people and a.at < b.at <= a.at + wait and it.known(b) for b in it.acts)
    ]
    result = asked(conn, it, "conversation_rate", reply_days=5)
    assert (result.numerator, result.denominator) == (len(talked), len(mature))
    assert result.details["immature"] == len(people) - len(mature)


def test_mails_answered_and_how_fast(world: tuple[World, sqlite3.Connection]) -> None:
    """Each answer is credited to one mail; late ones are none, young mails are not asked."""
    it, conn = world
    wait, first = timedelta(days=3), answers(it)
    mails = [a for a in it.acts if a.kind == "email" and a.approaches and it.in_window(a.at)]
    mature = [m for m in mails if m.at + wait <= it.as_of]
    times = [(first[m.id] - m.at).total_seconds() for m in mature if m.id in first and first[m.id] - m.at <= wait]
    rate = asked(conn, it, "email_response_rate", reply_days=3)
    assert (rate.numerator, rate.denominator) == (len(times), len(mature))
    speed = asked(conn, it, "customer_response_time", reply_days=3)
    assert (speed.n, speed.details["unanswered"]) == (len(times), len(mature) - len(times))
    assert speed.value == (pytest.approx(median(times)) if times else None)
    assert speed.details["mean"] == (pytest.approx(fmean(times)) if times else None)
    share = 1 - len(times) / len(mature) if mature else None
    assert speed.details["unanswered_share"] == (None if share is None else pytest.approx(share))


def test_a_dimension_of_activities_splits_what_is_made_of_them(world: tuple[World, sqlite3.Connection]) -> None:
    """What [dimension] says of activities holds for mails; segments add up to the whole."""
    it, conn = world
    split = REPORTING.model_copy(update={"dimensions": {"way": {"activities": "thread_id"}}})
    kpi = override(BUILTINS["email_response_rate"], {"n_min": 0, "by": ["way"]})
    assert problems(kpi, BUILTINS, split) == []
    result = Evaluator(conn, BUILTINS, split, as_of=it.as_of).evaluate(kpi, period=it.window)
    assert sum(s.n or 0 for s in result.segments) == result.n
    assert {s.segment for s in result.segments} <= {"(none)", "t1", "t2", "t3"}


def test_runs_of_actions(world: tuple[World, sqlite3.Connection]) -> None:
    """Pauses of up to 14 days continue a run; those not over for 14 days at as_of are not counted yet."""
    it, conn = world
    gap = timedelta(days=14)
    runs: list[list[Act]] = []
    parties = {p for a in it.acts for p in (a.accounts or a.people)}
    for party in parties:
        actions = [a for a in it.acts if a.is_action and party in (a.accounts or a.people) and it.known(a)]
        run: list[Act] = []
        for act in sorted(actions, key=lambda a: (a.at, a.id)):
            if run and act.at - run[-1].at > gap:
                runs.append(run)
                run = []
            run.append(act)
        runs += [run] if run else []
    ours = [run for run in runs if it.in_window(run[0].at)]
    done = [run for run in ours if run[-1].at + gap <= it.as_of]
    result = asked(conn, it, "actions_per_engagement")
    assert (result.numerator, result.denominator) == (sum(map(len, done)), len(done))
    assert result.details["open_excluded"] == len(ours) - len(done)


def test_open_deals_waiting(world: tuple[World, sqlite3.Connection]) -> None:
    """Since we last reached out to the deal's account, at the end of the window or now."""
    it, conn = world
    end = datetime.combine(it.window.end, datetime.min.time(), BERLIN).astimezone(UTC)
    at = min(end, it.as_of)
    waits = []
    never = 0
    for account in it.deals.values():
        outbound = [
            a.at
            for a in it.acts
            if a.done and a.direction == "outbound" and a.kind != "note" and account in a.accounts and a.at < at
        ]
        never += not outbound
        waits.append((at - max(outbound, default=datetime(2026, 9, 1, tzinfo=UTC))) / DAY)
    result = asked(conn, it, "time_since_last_followup")
    assert result.value == pytest.approx(fmean(waits))
    assert result.details["never_contacted"] == never
