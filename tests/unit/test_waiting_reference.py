"""Time a ticket waited for its customer, taken out of the clock, against a naive reading hour by hour."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.checks.kpi import problems
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import evaluate
from scorecards.periods import Span
from scorecards.relations import SPECS
from scorecards.values import KpiResult
from syncagent import facts
from syncagent.schema import TABLES
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, put

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 9, 1, tzinfo=UTC)
AS_OF = datetime(2026, 12, 1, tzinfo=UTC)
SPAN = Span(date(2026, 9, 5), date(2026, 10, 20))
HOUR = timedelta(hours=1)
#: (when, category) of a ticket, from its creation on.
History = list[tuple[datetime, str]]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def some(conn: sqlite3.Connection, seed: int) -> list[History]:
    """Random tickets that go to and fro between categories at whole hours; one's first entry precedes the ticket."""
    random, made = Random(seed), []
    for number in range(40):
        at = START + HOUR * random.randrange(24 * 30)
        history = [(at, "open")]
        entries = [at - 5 * HOUR] if number % 7 == 0 else []
        for _ in range(random.randrange(7)):
            at += HOUR * random.randrange(100)
            entries.append(at)
        put(conn, "tickets", f"T{number}", created_at=stamp(history[0][0]), close_reason=random.choice([None, "spam"]))
        for place, moment in enumerate(entries):
            known = ["open", "pending", "pending", "closed"]
            category = random.choice(known[:3] if moment < history[0][0] else known)
            put(conn, "ticket_status_history", f"H{number} {place}", ticket_id=f"T{number}", changed_at=stamp(moment),
                status_category=category, seq=place)  # fmt: skip
            history.append((max(moment, history[0][0]), category))
        is_spam = conn.execute("SELECT close_reason FROM tickets WHERE id = ?", (f"T{number}",)).fetchone()[0]
        made.append([] if is_spam else history)
    facts.refresh(conn, REPORTING)
    return made


def took(history: History, end: datetime, clock: str, paused: bool) -> float:
    """Hours from arrival to an end, those it waited for the customer or nobody worked left out, one at a time."""
    hours, at = 0, history[0][0]
    while at < end:
        category = [then for since, then in history if since <= at][-1]
        is_open = clock == "calendar" or (at.weekday() < 5 and 9 <= at.hour < 18)  # opening hours are in UTC here
        hours += is_open and not (paused and category == "pending")
        at += HOUR
    return hours * 3600


def told(conn: sqlite3.Connection, kpi: Kpi) -> KpiResult:
    return evaluate(conn, kpi, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=AS_OF, period=SPAN)


def closes(history: History) -> list[datetime]:
    return [at for (_, before), (at, then) in pairwise(history) if then == "closed" and before != "closed"]


def falls(moment: datetime) -> bool:
    return SPAN.start <= moment.astimezone(ZONE).date() < SPAN.end


@pytest.mark.parametrize("clock", ["calendar", "business"])
@pytest.mark.parametrize("seed", range(4))
def test_waiting_for_the_customer_is_taken_out(cache: sqlite3.Connection, seed: int, clock: str) -> None:
    histories = [history for history in some(cache, seed) if history]
    first = [(h, closes(h)[0]) for h in histories if closes(h) and falls(closes(h)[0])]
    last = [(h, closes(h)[-1]) for h in histories if closes(h) and h[-1][1] == "closed" and falls(closes(h)[-1])]
    for name, ends in (("mean_time_to_resolution", first), ("time_to_complete_resolution", last)):
        plain, paused = (
            told(cache, override(BUILTINS[name], {"n_min": 1, "params": {"clock": clock, "pause_on": states}}))
            for states in ([], ["pending"])
        )
        waited, worked = (fmean(took(h, end, clock, p) for h, end in ends) for p in (False, True))
        assert plain.value == pytest.approx(waited)
        assert paused.value == pytest.approx(worked)
        assert (paused.n, paused.details["including_waiting"]) == (len(ends), pytest.approx(waited))
        assert "including_waiting" not in plain.details
        assert list(plain.remarks) == []
        assert list(paused.remarks) == ["time waiting for the customer taken out"]
        assert "waiting for the customer included" in plain.about


def test_time_so_far_stops_while_the_customer_is_waited_for(cache: sqlite3.Connection) -> None:
    put(cache, "tickets", "T", created_at="2026-09-10T00:00:00Z")
    for place, (day, category) in enumerate([("2026-09-12", "pending"), ("2026-09-15", "open")]):
        put(cache, "ticket_status_history", f"H{place}", ticket_id="T", changed_at=f"{day}T00:00:00Z",
            status_category=category, seq=place)  # fmt: skip
    facts.refresh(cache, REPORTING)
    slot: dict[str, Any] = {"from": "created_at", "to": "first_closed_at", "unfinished": "so_far"}
    own = {"of": "tickets", "agg": "max", "date": "created_at", "n_min": 1}
    whole, worked = (
        told(cache, build("own", {**own, "duration": {**slot, "pause_on": states}})) for states in ([], ["pending"])
    )
    assert (whole.value or 0) - (worked.value or 0) == 3 * 86400


def test_without_a_history_of_statuses_nobody_knows_when_a_ticket_waited(cache: sqlite3.Connection) -> None:
    put(cache, "tickets", "T", created_at="2026-09-10T00:00:00Z", closed_at="2026-09-12T00:00:00Z")
    facts.refresh(cache, REPORTING)
    paused = override(BUILTINS["mean_time_to_resolution"], {"n_min": 1, "params": {"pause_on": ["pending"]}})
    found = told(cache, paused)
    assert (found.value, found.status) == (None, "no_data")
    assert told(cache, override(BUILTINS["mean_time_to_resolution"], {"n_min": 1})).value == 2 * 86400
    put(cache, "tickets", "U", created_at="2026-09-10T00:00:00Z", status_category="closed")
    put(cache, "ticket_status_history", "H", ticket_id="U", status_category="closed", changed_at="2026-09-11T00:00:00Z")
    facts.refresh(cache, REPORTING)
    found = told(cache, paused)
    assert (found.value, found.status, found.coverage) == (86400, "partial", 0.5)
    assert found.reason == "covers 50 % of tickets: 1 without a status history".replace(" %", "%")


@pytest.mark.parametrize(
    ("kpi", "said"),
    [
        ({"of": "tickets", "pause_on": ["pendng"]}, "tickets are never 'pendng'"),
        ({"of": "survey_responses", "to": "responded_at", "pause_on": "pending"}, "survey_responses go through no"),
        ({"of": "opportunities", "to": "outcome_date", "pause_on": "open"}, "from day to day none runs"),
    ],
)
def test_states_a_clock_cannot_stop_for_are_refused(kpi: dict[str, Any], said: str) -> None:
    slot = {"from": "created_at", "to": kpi.get("to", "first_closed_at"), "pause_on": kpi["pause_on"]}
    made = build("own", {"of": kpi["of"], "agg": "avg", "duration": slot})
    assert [sentence for path, sentence, _ in problems(made, BUILTINS, REPORTING) if path == "duration.pause_on"][0:1]
    assert said in next(sentence for path, sentence, _ in problems(made, BUILTINS, REPORTING) if "pause" in path)


def test_the_states_named_are_those_the_tables_hold() -> None:
    named = {name: set(spec.states) for name, spec in SPECS.items() if spec.states}
    assert named == {
        "tickets": set(TABLES["tickets"].choices["status_category"]),
        "opportunities": set(TABLES["opportunities"].choices["state"]),
    }
