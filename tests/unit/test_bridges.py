"""Bridges of stocks: opening, what came and went, closing, against a naive walk through random histories."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from scorecards.bridges import bridge_of, has_bridge
from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build
from scorecards.evaluate import Evaluator
from scorecards.periods import Span, add_months, cut
from syncagent import facts
from syncagent.store import open_cache
from tests.fakes.every_table import fill
from tests.unit.facts.frame import REPORTING, put

AS_OF = datetime(2026, 11, 21, 12, tzinfo=UTC)
START = datetime(2026, 4, 1, tzinfo=UTC)
JUNE = Span(date(2026, 6, 1), date(2026, 7, 1), "month")
#: Midnight of the first and of the last day in Berlin.
SINCE, AT = datetime(2026, 5, 31, 22, tzinfo=UTC), datetime(2026, 6, 30, 22, tzinfo=UTC)
OPEN = {"of": "opportunities", "stock": {"opens": "created_at"}}
KPIS = {
    "open_value": build("open_value", {**OPEN, "agg": "sum", "field": "amount", "where": {"is_open": True}}),
    "open_deals": build("open_deals", {**OPEN, "where": {"is_open": True}}),
    "in_stage": build("in_stage", {**OPEN, "where": {"is_open": True, "stage": "a"}}),
    "ever_closed": build("ever_closed", {**OPEN, "where": {"is_closed": True}}),
}

#: When, state, stage, amount.
Step = tuple[datetime, str, str, int]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def deals(conn: sqlite3.Connection, seed: int) -> list[list[Step]]:
    """Thirty deals with up to six changes each, of state, stage and amount."""
    random = Random(seed)
    found = []
    for number in range(30):
        hours = sorted(random.sample(range(130 * 24), random.randrange(1, 7)))
        steps: list[Step] = []
        for place, hour in enumerate(hours):
            state = "open" if place == 0 else random.choice(["open", "open", "won", "lost"])
            amount = random.randrange(1, 10**6) if random.random() < 0.6 or not steps else steps[-1][3]
            steps.append((START + timedelta(hours=hour), state, random.choice("ab"), amount))
        found.append(steps)
        last = steps[-1]
        put(conn, "opportunities", f"D{number}", created_at=text(steps[0][0]), state=last[1], stage=last[2],
            amount_minor=last[3], currency="EUR",
            close_date=None if last[1] == "open" else last[0].date().isoformat())  # fmt: skip
        for place, (moment, state, stage, amount) in enumerate(steps):
            put(conn, "opportunity_stage_history", f"H{number}-{place}", opportunity_id=f"D{number}", seq=place,
                changed_at=text(moment), state=state, stage=stage, amount_minor=amount)  # fmt: skip
    facts.refresh(conn, REPORTING)
    return found


def counts(name: str, step: Step | None) -> float:
    """What a deal adds to the stock in a state; None: it is not there yet."""
    if step is None:
        return 0
    _, state, stage, amount = step
    if name == "ever_closed":
        return state != "open"
    if state != "open" or (name == "in_stage" and stage != "a"):
        return 0
    return amount / 100 if name == "open_value" else 1


def walked(name: str, histories: list[list[Step]]) -> dict[str, float]:
    """The bridge by walking through every change of June."""
    found: dict[str, float] = defaultdict(float)
    for steps in histories:
        before: Step | None = None
        for step in steps:
            was, now = counts(name, before), counts(name, step)
            if step[0] < SINCE:
                found["opening"] += now - was
            elif step[0] < AT and was and now:
                found["increased" if now > was else "decreased"] += now - was
            elif step[0] < AT and now:
                word = "reopened" if before is not None and before[1] != step[1] else "moved_in"
                found["created" if before is None else word] += now
            elif step[0] < AT and was:
                assert before is not None
                found[step[1] if step[1] != before[1] else "moved_out"] -= was
            before = step
    found["closing"] = sum(found.values())
    return {word: amount for word, amount in found.items() if amount or word in ("opening", "closing")}


def bridge(conn: sqlite3.Connection, kpi: Kpi, **more: Any) -> Any:
    reporting = REPORTING.model_copy(update=more)
    found = Evaluator(conn, {**BUILTINS, **KPIS}, reporting, as_of=AS_OF).evaluate(kpi, period=JUNE)
    assert found.status != "error", found.reason
    if "bridge" in found.details:
        assert found.details["bridge"]["closing"] == found.value
    return found.details.get("bridge")


@pytest.mark.parametrize("seed", range(5))
def test_deals_that_came_changed_and_went(cache: sqlite3.Connection, seed: int) -> None:
    """Of values and counts, with conditions that deals fall in and out of while they are open."""
    histories = deals(cache, seed)
    for name, kpi in KPIS.items():
        expected = walked(name, histories)
        expected.setdefault("opening", 0)
        assert bridge(cache, kpi) == pytest.approx(expected), name


def test_tickets_of_a_filter_have_a_bridge_too(cache: sqlite3.Connection) -> None:
    """Urgent ones: two there, one came in, one came back, two were closed, one of them on the day it came in."""
    tickets = {
        "old": ("2026-05-10", [("2026-06-03", "closed"), ("2026-06-05", "open"), ("2026-06-06", "pending")]),
        "gone": ("2026-05-11", [("2026-06-09", "closed")]),
        "quick": ("2026-06-12", [("2026-06-12", "closed")]),
        "later": ("2026-07-12", []),
    }
    for id_, (created, steps) in tickets.items():
        status = steps[-1][1] if steps else "open"
        put(cache, "tickets", id_, created_at=f"{created}T09:00:00Z", status_category=status, priority="urgent")
        for place, (day, then) in enumerate(steps):
            put(cache, "ticket_status_history", f"{id_}{place}", ticket_id=id_, seq=place, status_category=then,
                changed_at=f"{day}T10:00:00Z")  # fmt: skip
    put(cache, "tickets", "calm", created_at="2026-06-12T09:00:00Z", status_category="open", priority="low")
    facts.refresh(cache, REPORTING)
    where = {"is_closed": False, "priority": "urgent"}
    kpi = build("urgent", {"of": "tickets", "stock": {"opens": "created_at"}, "where": where})
    assert bridge(cache, kpi) == {"opening": 2, "created": 1, "reopened": 1, "closed": -3, "closing": 1}
    found = Evaluator(cache, BUILTINS, REPORTING, as_of=AS_OF).evaluate(kpi, period=JUNE).details
    assert (found["opening"], found["created"], found["reopened"], found["closed"]) == (2, 1, 1, 3)


def test_closed_and_opened_again_within_a_second(cache: sqlite3.Connection) -> None:
    """It was closed, and came back: both are told, and it balances."""
    put(cache, "tickets", "T", created_at="2026-05-10T09:00:00Z", status_category="open")
    for place, then in enumerate(["closed", "open"]):
        put(cache, "ticket_status_history", f"H{place}", ticket_id="T", seq=place, status_category=then,
            changed_at="2026-06-03T10:00:00Z")  # fmt: skip
    facts.refresh(cache, REPORTING)
    found = bridge(cache, BUILTINS["ticket_backlog"])
    assert found == {"opening": 1, "reopened": 1, "closed": -1, "closing": 1}


def test_customers_who_came_and_left(cache: sqlite3.Connection) -> None:
    """Records without versions: who is there at both ends. Contract C ran out and a new one began later."""
    spans = {"A": ("2026-01-01", None), "B": ("2026-01-01", "2026-06-10"), "C": ("2026-06-15", None)}
    for id_, (start, end) in spans.items():
        put(cache, "accounts", id_)
        put(cache, "contracts", f"C{id_}", account_id=id_, start_date=start, end_date=end)
    facts.refresh(cache, REPORTING)
    assert bridge(cache, BUILTINS["active_customers"]) == {"opening": 2, "came_in": 1, "left": -1, "closing": 2}


def test_what_rates_alone_do_to_money_is_told(cache: sqlite3.Connection) -> None:
    """1,000 dollars open all June, worth 900 before and 800 after; 100 euros came in."""
    put(cache, "opportunities", "D1", created_at="2026-01-01T00:00:00Z", state="open", amount_minor=100_000,
        currency="USD")  # fmt: skip
    put(cache, "opportunities", "D2", created_at="2026-06-10T00:00:00Z", state="open", amount_minor=10_000,
        currency="EUR")  # fmt: skip
    for day, rate in (("2026-01-01", 0.9), ("2026-06-15", 0.8)):
        put(cache, "fx_rates", day, currency="USD", valid_from=day, rate_to_reporting=rate)
    facts.refresh(cache, REPORTING)
    found = bridge(cache, KPIS["open_value"])
    assert found == pytest.approx({"opening": 900, "created": 100, "rates": -100, "closing": 900})


def test_what_looks_at_the_instant_itself_has_none(cache: sqlite3.Connection) -> None:
    """A deal waits longer by every day: it comes into the stock of those that wait without any change of its own."""
    put(cache, "opportunities", "D1", created_at="2026-05-20T00:00:00Z", state="open")
    put(cache, "opportunities", "D2", created_at="2026-01-20T00:00:00Z", state="open")
    facts.refresh(cache, REPORTING)
    where = {"is_open": True, "wait_days": {"gt": 30}}
    kpi = build("waiting", {**OPEN, "where": where})
    assert bridge(cache, kpi) is None


def test_they_balance_whatever_there_is_in_the_tables(cache: sqlite3.Connection) -> None:
    """Month by month over rows of every table with all their oddities: each has a bridge that adds up."""
    fill(cache)
    facts.refresh(cache, REPORTING)
    evaluator = Evaluator(cache, BUILTINS, REPORTING, as_of=AS_OF)
    made = 0
    for name in ("ticket_backlog", "pipeline_open_value", "active_customers"):
        for month in range(18):
            span = Span(add_months(date(2025, 3, 1), month), add_months(date(2025, 4, 1), month), "month")
            found = bridge_of(evaluator, BUILTINS[name], cut(span, AS_OF, evaluator.zone))
            if found is not None:
                made += 1
                assert sum(found.values()) - found["closing"] == pytest.approx(found["closing"])
    assert made > 40


def test_only_stocks_that_add_up_have_one() -> None:
    stock = {"of": "tickets", "stock": {"opens": "created_at"}}
    assert {name for name, kpi in BUILTINS.items() if has_bridge(kpi) and not kpi.hidden} == {
        "ticket_backlog",
        "pipeline_open_value",
        "active_customers",
    }
    assert not has_bridge(build("a", {**stock, "agg": "distinct", "field": "account_id"}))
    assert not has_bridge(build("b", {**stock, "share": {"priority": "high"}}))
    assert not has_bridge(build("c", {**stock, "stock": {"opens": "created_at", "at": "now"}}))
