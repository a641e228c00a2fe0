"""Facts of persons and parties: kept equal to rebuilt among mails, links and merges only, where they hang together."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorecards.definition import build
from scorecards.evaluate import Evaluator
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, few, put, rebuilt, snapshot

_hours = st.integers(0, 23).map("2026-01-01T{:02d}:00:00Z".format)
_persons = st.sampled_from(["C a", "C b", "C c"])


def _mail() -> st.SearchStrategy[Change]:
    values = {
        "type": st.sampled_from(["email", "email", "email", "call"]),
        "connected": st.sampled_from([None, 0, 1]),
        "direction": st.sampled_from(["outbound", "inbound"]),
        "status": st.just("completed"),
        "occurred_at": _hours,
        "thread_id": st.sampled_from([None, "t a", "t b"]),
        "contact_id": st.none() | _persons,
        "lead_id": st.sampled_from([None, None, "L a", "L b"]),
        "ticket_id": st.sampled_from([None, None, "T a"]),
        "source": st.sampled_from(["salesforce", "hubspot"]),
        "message_id": st.sampled_from([None, "<m@acme.test>", "m@acme.test"]),
        "is_deleted": st.sampled_from([0, 0, 0, 1]),
    }
    return st.tuples(st.just("activities"), st.sampled_from("abcde").map("X {}".format), st.fixed_dictionaries(values))


def _link() -> st.SearchStrategy[Change]:
    party = st.sampled_from(
        [("contacts", "C a"), ("contacts", "C b"), ("leads", "L a"), ("tickets", "T a"), ("opportunities", "D a")]
    )
    made = st.tuples(st.sampled_from("abcde"), party, st.sampled_from([0, 0, 1])).map(
        lambda of: {"activity_id": f"X {of[0]}", "object": of[1][0], "object_id": of[1][1], "is_deleted": of[2]}
    )
    return st.tuples(st.just("activity_links"), few.map("N {}".format), made)


def _party() -> st.SearchStrategy[Change]:
    account = {"account_id": st.sampled_from([None, "A a", "A b"])}
    is_test = {"is_test": st.sampled_from([0, 0, 1])}
    lead = {
        **is_test,
        "created_at": st.none() | _hours,
        "merged_into": st.sampled_from([None, None, None, "L b"]),
        "converted_contact_id": st.none() | _persons,
    }
    merged = {**account, **is_test, "merged_into": st.sampled_from([None, None, "C b", "C c"])}
    return st.one_of(
        st.tuples(st.just("contacts"), _persons, st.fixed_dictionaries(merged)),
        st.tuples(st.just("leads"), st.sampled_from(["L a", "L b"]), st.fixed_dictionaries(lead)),
        st.tuples(st.just("tickets"), st.just("T a"), st.fixed_dictionaries(account)),
        st.tuples(st.just("opportunities"), st.just("D a"), st.fixed_dictionaries(account)),
        st.tuples(
            st.just("accounts"),
            st.sampled_from(["A a", "A b"]),
            st.fixed_dictionaries({"merged_into": st.sampled_from([None, "A b"])}),
        ),
    )


_CHANGED: dict[str, Any] = {
    "before": st.lists(st.one_of(_mail(), _mail(), _link(), _party()), min_size=8, max_size=20),
    "then": st.lists(st.one_of(_mail(), _link(), _party()), min_size=1, max_size=4),
}


@settings(max_examples=15)
@given(**_CHANGED)
def test_one_change_reaches_all_it_concerns(
    tmp_path_factory: pytest.TempPathFactory, before: list[Change], then: list[Change]
) -> None:
    """After each single change to mails, links or who is who, the facts are those built anew."""
    change(tmp_path_factory.mktemp("cache"), before, then)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=150)
@given(**_CHANGED)
def test_one_change_reaches_all_it_concerns_in_a_hundred_and_fifty_histories(
    tmp_path_factory: pytest.TempPathFactory, before: list[Change], then: list[Change]
) -> None:
    change(tmp_path_factory.mktemp("cache"), before, then)


def change(folder: Path, before: list[Change], then: list[Change]) -> None:
    """Change rows one by one, each followed by the facts, and compare each time."""
    with closing(open_cache(folder)) as conn:
        for table, id_, values in before:
            put(conn, table, id_, **values)
        facts.refresh(conn, REPORTING)
        for table, id_, values in then:
            put(conn, table, id_, **values)
            facts.refresh(conn, REPORTING)
            kept = snapshot(conn)
            assert kept == rebuilt(conn)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def _act(cache: sqlite3.Connection, id_: str, **values: Any) -> None:
    said = {"type": "email", "direction": "outbound", "status": "completed", "occurred_at": "2026-01-05T00:00:00Z"}
    put(cache, "activities", id_, **{**said, **values})


def _accounts(cache: sqlite3.Connection) -> list[str]:
    """The accounts touched, in order."""
    rows = cache.execute("SELECT party_id FROM fact_touches WHERE object = 'accounts' ORDER BY party_id")
    return [row[0] for row in rows]


def test_a_linked_contact_brings_their_account(cache: sqlite3.Connection) -> None:
    """Whoever is linked was in touch, with the account they are with now, through merges."""
    put(cache, "contacts", "C b", account_id="A b")
    _act(cache, "X", account_id="A a")
    put(cache, "activity_links", "N", activity_id="X", object="contacts", object_id="C b")
    facts.refresh(cache, REPORTING)
    assert _accounts(cache) == ["A a", "A b"]
    put(cache, "contacts", "C c", account_id="A c")
    put(cache, "contacts", "C b", merged_into="C c")
    facts.refresh(cache, REPORTING)
    assert _accounts(cache) == ["A a", "A c"]
    put(cache, "contacts", "C c", account_id="A d")
    facts.refresh(cache, REPORTING)
    assert _accounts(cache) == ["A a", "A d"]


def test_a_ticket_follows_what_is_linked_to_it(cache: sqlite3.Connection) -> None:
    """Its first answer, first call and last work: moved with the activity, gone with the link, the other's with it."""
    for ticket in ("T a", "T b"):
        put(cache, "tickets", ticket, created_at="2026-01-01T00:00:00Z")
    _act(cache, "X", type="call", is_public=1, occurred_at="2026-01-02T00:00:00Z")

    def seen(ticket: str) -> set[int | None]:
        facts.refresh(cache, REPORTING)
        times = "SELECT first_response_at, first_call_at FROM fact_tickets WHERE id = ?"
        worked = "SELECT acted_at FROM fact_seen_to WHERE id = ?"
        return {*cache.execute(times, (ticket,)).fetchone(), *cache.execute(worked, (ticket,)).fetchone()}

    second, third = 1767312000, 1767398400
    assert seen("T a") == {None}
    put(cache, "activity_links", "N", activity_id="X", object="tickets", object_id="T a")
    assert seen("T a") == {second}
    put(cache, "activities", "X", occurred_at="2026-01-03T00:00:00Z")
    assert seen("T a") == {third}
    put(cache, "activity_links", "N", object_id="T b")
    assert (seen("T a"), seen("T b")) == ({None}, {third})
    put(cache, "activities", "X", ticket_id="T b", type="note")
    assert seen("T b") == {third, None}
    assert cache.execute("SELECT 1 FROM fact_touches WHERE object = 'tickets'").fetchone() is None  # named, not linked
    put(cache, "activities", "X", ticket_id=None)
    assert seen("T b") == {third, None}
    put(cache, "activities", "X", is_deleted=1)
    assert seen("T b") == {None}


def test_a_lead_is_answered_by_what_was_said_to_it_or_to_whom_it_became(cache: sqlite3.Connection) -> None:
    """Named or linked, since it came; by calls, those somebody took. What was said to others is not its answer."""
    put(cache, "leads", "L a", created_at="2026-01-02T00:00:00Z", converted_contact_id="C a")
    put(cache, "leads", "L b", created_at="2026-01-02T00:00:00Z", converted_contact_id="C b")

    def seen(lead: str) -> list[str | None]:
        facts.refresh(cache, REPORTING)
        assert snapshot(cache) == rebuilt(cache)
        row = cache.execute("SELECT first_outbound_at, first_call_at FROM fact_leads WHERE id = ?", (lead,)).fetchone()
        return [None if at is None else datetime.fromtimestamp(at, UTC).strftime("%d") for at in row]

    _act(cache, "X", contact_id="C a", occurred_at="2026-01-01T00:00:00Z")
    assert seen("L a") == [None, None]  # before it came
    _act(cache, "X", contact_id="C a", occurred_at="2026-01-09T00:00:00Z")
    assert (seen("L a"), seen("L b")) == (["09", None], [None, None])
    _act(cache, "Y", type="call", connected=0, account_id="A", occurred_at="2026-01-08T00:00:00Z")
    put(cache, "activity_links", "N", activity_id="Y", object="contacts", object_id="C a")
    assert seen("L a") == ["08", None]
    put(cache, "activities", "Y", connected=None)
    assert seen("L a") == ["08", "08"]
    put(cache, "activity_links", "N", object="leads", object_id="L b")
    assert (seen("L a"), seen("L b")) == (["09", None], ["08", "08"])
    _act(cache, "Z", type="call", connected=1, lead_id="L a", occurred_at="2026-01-07T00:00:00Z")
    assert seen("L a") == ["07", "07"]
    put(cache, "activities", "Z", direction="inbound")
    put(cache, "contacts", "C a", merged_into="C b")
    put(cache, "contacts", "C b", account_id="A")
    assert (seen("L a"), seen("L b")) == (["09", None], ["08", "08"])
    put(cache, "activities", "X", contact_id="C b", occurred_at="2026-01-04T00:00:00Z")
    assert (seen("L a"), seen("L b")) == (["04", None], ["04", "08"])
    put(cache, "activities", "X", is_automated=1)
    assert (seen("L a"), seen("L b")) == ([None, None], ["08", "08"])


def test_what_names_a_merged_record_follows_the_account_of_the_one_that_stands_for_it(
    cache: sqlite3.Connection,
) -> None:
    """The activity still says the merged contact; the other one's account changes."""
    put(cache, "contacts", "C a", merged_into="C b")
    put(cache, "contacts", "C b", account_id="A a")
    _act(cache, "X", contact_id="C a")
    facts.refresh(cache, REPORTING)
    put(cache, "contacts", "C b", account_id="A b")
    facts.refresh(cache, REPORTING)
    assert _accounts(cache) == ["A b"]
    put(cache, "accounts", "A b", merged_into="A c")
    facts.refresh(cache, REPORTING)
    assert _accounts(cache) == ["A c"]


def test_a_pause_that_is_new_is_no_data_until_the_next_sync(cache: sqlite3.Connection) -> None:
    """Not nothing: nobody has looked. What was asked for before keeps its value; a new lookback is the same."""
    _act(cache, "X", account_id="A")
    put(cache, "opportunities", "D", state="won", close_date="2026-01-10", account_id="A")
    put(cache, "accounts", "A")
    facts.refresh(cache, REPORTING)
    known = build("known", {"of": "engagements", "where": {"gap_days": 14}})
    new = build("new", {"of": "engagements", "where": {"gap_days": 7}})
    back = build("back", {"of": "customer_spans", "params": {"lookback_days": 90}})
    kpis = {kpi.id: kpi for kpi in (known, new, back)}
    other = REPORTING.model_copy(
        update={"gap_days": (7, 14), "customer_spans": (*REPORTING.customer_spans, "deals 90")}
    )

    def values() -> list[tuple[Any, str]]:
        asked = Evaluator(cache, kpis, other, as_of=datetime(2026, 3, 1, tzinfo=UTC))
        return [(found.value, found.status) for found in map(asked.evaluate, kpis.values())]

    assert values() == [(1, "ok"), (None, "no_data"), (None, "no_data")]
    assert facts.lacks(cache, other)
    assert not facts.lacks(cache, REPORTING)
    facts.refresh(cache, other)
    assert values() == [(1, "ok"), (1, "ok"), (1, "ok")]


def test_another_pause_builds_engagements_anew_and_nothing_else(cache: sqlite3.Connection) -> None:
    """A KPI with gap_days of its own gives a set of runs of its own."""
    _act(cache, "X", account_id="A")
    _act(cache, "Y", account_id="A", occurred_at="2026-01-15T00:00:00Z")
    facts.refresh(cache, REPORTING)
    other = REPORTING.model_copy(update={"gap_days": (7, 14)})
    assert facts.refresh(cache, other) == 1
    runs = cache.execute("SELECT gap_days, actions FROM fact_engagements ORDER BY gap_days, started_at").fetchall()
    assert [tuple(row) for row in runs] == [(7, 1), (7, 1), (14, 2)]


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize(("table", "column"), [("contacts", "contact_id"), ("leads", "lead_id")])
def test_who_becomes_a_test_was_not_talked_to_and_is_again_when_none(
    cache: sqlite3.Connection, table: str, column: str, is_linked: bool
) -> None:
    """Named by the activity or linked to it: their mark alone is a change."""
    put(cache, table, "P")
    _act(cache, "X", **({} if is_linked else {column: "P"}))
    if is_linked:
        put(cache, "activity_links", "N", activity_id="X", object=table, object_id="P")
    for is_test, parties in ((0, 1), (1, 0), (0, 1)):
        put(cache, table, "P", is_test=is_test)
        facts.refresh(cache, REPORTING)
        assert cache.execute("SELECT COUNT(*) FROM fact_touches").fetchone()[0] == parties


def test_what_changes_in_a_linked_activity_reaches_its_ticket(cache: sqlite3.Connection) -> None:
    """A mail made public, a task done: nothing of their touches changes, and all of what the ticket says of them."""
    at = "2026-03-01T09:00:00Z"
    put(cache, "tickets", "T", created_at="2026-03-01T08:00:00Z", status_category="open")
    said = {"status": "completed", "is_automated": 0, "is_public": 0, "direction": "outbound"}
    put(cache, "activities", "mail", type="email", occurred_at=at, created_at=at, **said)
    put(cache, "activities", "task", type="task", status="open", is_automated=0, occurred_at=at, created_at=at)
    for activity in ("mail", "task"):
        put(cache, "activity_links", f"L {activity}", activity_id=activity, object="tickets", object_id="T")
    facts.refresh(cache, REPORTING)
    put(cache, "activities", "mail", is_public=1)
    put(cache, "activities", "task", status="completed")
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT first_response_at FROM fact_tickets").fetchone()[0] is not None
    assert snapshot(cache) == rebuilt(cache)
