"""What somebody did is one, however many CRMs it is logged in: by its message, else by kind, owner, person and time."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from scorecards.definition import Reporting
from syncagent import facts
from syncagent.identity import shown, tables
from syncagent.identity.alike import ACTIVITIES
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, put

PLACES = {"s": ("salesforce", "org"), "h": ("hubspot", "portal"), "g": ("hubspot", "other portal")}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TABLES = ("users", "contacts", "leads", "activities")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        people(conn)
        yield conn


def at(seconds: int) -> str:
    """An instant so many seconds after noon."""
    return (NOON + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_crm(id_: str) -> dict[str, Any]:
    """Where a row is kept says the first letter of its id."""
    source, instance = PLACES[id_[0]]
    return {"source": source, "source_instance": instance, "source_name": id_[0], "source_id": id_[1:]}


def people(conn: sqlite3.Connection) -> None:
    """Kim works in all CRMs and knows one person in each."""
    for place in PLACES:
        put(conn, "users", f"{place} kim", **in_crm(place), email="Kim@acme.com" if place == "s" else "kim@acme.com")
        put(conn, "contacts", f"{place} ann", **in_crm(place), email_norm="ann@zenith.com")


def act(conn: sqlite3.Connection, id_: str, seconds: int | None = 0, **values: Any) -> None:
    """A call of Kim's with Ann; what is given says otherwise."""
    said = {
        "type": "call", "status": "completed", "direction": "outbound", "owner_id": f"{id_[0]} kim",
        "contact_id": f"{id_[0]} ann", "occurred_at": None if seconds is None else at(seconds),
    }  # fmt: skip
    put(conn, "activities", id_, **{**in_crm(id_), **said, **values})


def linked(conn: sqlite3.Connection, reporting: Reporting = REPORTING) -> dict[str, str]:
    """Row -> the one that counts for it, once all is linked."""
    facts.refresh(conn, reporting)
    return dict(conn.execute("SELECT id, dup_of FROM activities WHERE dup_of IS NOT NULL").fetchall())


def kinds(conn: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = conn.execute("SELECT a_id, b_id, kind FROM entity_links WHERE object = 'activities'")
    return {(a, b): kind for a, b, kind in rows}


# -- by message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["<X.1@Mail.acme.com>", "x.1@mail.acme.com", " <x.1@mail.ACME.com> "])
def test_a_message_is_one_however_its_id_is_written(cache: sqlite3.Connection, written: str) -> None:
    """Whoever it is of and whenever each CRM says it was."""
    act(cache, "s1", type="email", message_id="<x.1@mail.acme.com>", owner_id=None, contact_id=None)
    act(cache, "h1", 86_400, type="email", message_id=written)
    assert linked(cache) == {"h1": "s1"}
    assert kinds(cache) == {("h1", "s1"): "message"}


@pytest.mark.parametrize("written", ["", "<>", " ", None])
def test_no_message_id_is_none(cache: sqlite3.Connection, written: str | None) -> None:
    for id_ in ("s1", "h1"):
        act(cache, id_, type="email", message_id=written, contact_id=None)
    assert linked(cache) == {}
    cache.execute("DELETE FROM activities")  # what it was called is nothing either
    assert linked(cache) == {}


def test_another_kind_is_another_thing(cache: sqlite3.Connection) -> None:
    act(cache, "s1", type="email", message_id="<x@acme.com>")
    act(cache, "h1", type="note", message_id="<x@acme.com>")
    act(cache, "s2", type="call")
    act(cache, "h2", type="meeting")
    assert linked(cache) == {}


def test_two_messages_are_two_though_sent_in_one_minute(cache: sqlite3.Connection) -> None:
    """Where only one CRM keeps the id, the moment tells."""
    act(cache, "s1", type="email", message_id="<x@acme.com>")
    act(cache, "h1", type="email", message_id="<y@acme.com>")
    assert linked(cache) == {}
    act(cache, "h1", type="email", message_id=None)
    assert linked(cache) == {"h1": "s1"}
    assert kinds(cache) == {("h1", "s1"): "moment"}
    act(cache, "h1", type="email", message_id="<X@acme.com>")
    assert linked(cache) == {"h1": "s1"}
    assert kinds(cache) == {("h1", "s1"): "message"}


def test_a_message_logged_twice_in_one_crm_stays_two_there(cache: sqlite3.Connection) -> None:
    """Each row has one partner; nobody is asked about the other."""
    for id_ in ("h1", "h2", "s1"):
        act(cache, id_, type="email", message_id="<x@acme.com>")
    assert linked(cache) == {"h1": "s1"}
    assert kinds(cache) == {("h1", "s1"): "message"}
    act(cache, "h1", type="email", message_id="<x@acme.com>", is_deleted=1)
    assert linked(cache) == {"h2": "s1"}
    act(cache, "g1", type="email", message_id="<x@acme.com>")
    assert linked(cache) == {"h2": "s1", "g1": "s1"}


def test_a_message_id_of_very_many_links_nobody(cache: sqlite3.Connection) -> None:
    """With one of them gone, or called otherwise, it does."""
    for number in range(21):
        act(cache, f"h{number:02}", type="email", message_id="<All@acme.com>", source_instance=f"portal {number}")
    assert linked(cache) == {}
    put(cache, "activities", "h20", message_id="<other@acme.com>")
    assert len(linked(cache)) == 19
    put(cache, "activities", "h20", message_id="all@acme.com")
    assert linked(cache) == {}
    cache.execute("DELETE FROM activities WHERE id = 'h00'")
    assert len(linked(cache)) == 19


# -- by moment ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apart", "is_one"), [(-121, False), (-120, True), (0, True), (119, True), (120, True), (121, False)]
)
def test_two_minutes_apart_are_one(cache: sqlite3.Connection, apart: int, is_one: bool) -> None:
    act(cache, "s1")
    act(cache, "h1", apart)
    assert linked(cache) == ({"h1": "s1"} if is_one else {})


@pytest.mark.parametrize(
    "missing", [{"owner_id": None}, {"contact_id": None}, {"occurred_at": None}, {"owner_id": "nobody"}, {"type": None}]
)
def test_who_or_when_is_missing_pairs_nothing(cache: sqlite3.Connection, missing: dict[str, Any]) -> None:
    """Missing in both CRMs is not the same in both."""
    act(cache, "s1", **missing)
    act(cache, "h1", **missing)
    assert linked(cache) == {}


def test_an_owner_without_an_address_pairs_nothing(cache: sqlite3.Connection) -> None:
    for place in "sh":
        put(cache, "users", f"{place} kim", email=" ")
        act(cache, f"{place}1")
    assert linked(cache) == {}


def test_somebody_else_is_somebody_else(cache: sqlite3.Connection) -> None:
    put(cache, "users", "h lee", **in_crm("h"), email="lee@acme.com")
    put(cache, "contacts", "h bob", **in_crm("h"), email_norm="bob@zenith.com")
    act(cache, "s1")
    act(cache, "h1", owner_id="h lee")
    act(cache, "h2", contact_id="h bob")
    assert linked(cache) == {}


def test_two_rows_of_one_crm_are_two(cache: sqlite3.Connection) -> None:
    act(cache, "s1")
    act(cache, "s2")
    act(cache, "h1", 86_400)
    assert linked(cache) == {}


def test_three_calls_in_a_row_pair_one_to_one_the_nearest_first(cache: sqlite3.Connection) -> None:
    """Whatever order they came in."""
    for id_, seconds in (("s1", 0), ("s2", 60), ("s3", 120), ("h3", 118), ("h2", 62), ("h1", 1)):
        act(cache, id_, seconds)
        facts.refresh(cache, REPORTING)
    assert linked(cache) == {"h1": "s1", "h2": "s2", "h3": "s3"}
    act(cache, "h1", 61)  # it takes the second's place, which leaves that the third's, and the third the first's
    assert linked(cache) == {"h1": "s2", "h3": "s3", "h2": "s1"}
    cache.execute("DELETE FROM activities WHERE id = 'h3'")
    assert linked(cache) == {"h1": "s2", "h2": "s3"}


def test_equally_near_ones_pair_in_the_order_of_their_ids(cache: sqlite3.Connection) -> None:
    for id_ in ("h2", "s3", "h1", "s1", "h3", "s2"):
        act(cache, id_)
    assert linked(cache) == {"h1": "s1", "h2": "s2", "h3": "s3"}


def test_the_system_of_record_counts(cache: sqlite3.Connection) -> None:
    act(cache, "s1")
    act(cache, "h1")
    assert linked(cache, REPORTING.model_copy(update={"system_of_record": "hubspot"})) == {"s1": "h1"}


# -- as things change -----------------------------------------------------------------------------------------


def test_a_person_may_become_the_same_later(cache: sqlite3.Connection) -> None:
    """By an address, or a merge; and no longer."""
    put(cache, "contacts", "h bob", **in_crm("h"), email_norm="bob@zenith.com")
    act(cache, "s1")
    act(cache, "h1", contact_id="h bob")
    assert linked(cache) == {}
    put(cache, "contacts", "h bob", merged_into="h ann")
    assert linked(cache) == {"h1": "s1"}
    put(cache, "contacts", "h bob", merged_into=None)
    assert linked(cache) == {}
    put(cache, "contacts", "h ann", email_norm="an@zenith.com")
    put(cache, "contacts", "h bob", email_norm="ann@zenith.com")
    assert linked(cache) == {"h1": "s1"}


def test_an_owner_may_come_last_or_get_another_address(cache: sqlite3.Connection) -> None:
    cache.execute("DELETE FROM users WHERE id = 'h kim'")
    act(cache, "s1")
    act(cache, "h1")
    assert linked(cache) == {}
    put(cache, "users", "h kim", **in_crm("h"), email="kim@acme.com")
    assert linked(cache) == {"h1": "s1"}
    put(cache, "users", "h kim", email="kim@zenith.com")
    assert linked(cache) == {}
    put(cache, "users", "h kim", email=" KIM@acme.com")
    assert linked(cache) == {"h1": "s1"}
    cache.execute("DELETE FROM users WHERE id = 's kim'")
    assert linked(cache) == {}


def test_one_user_of_both_may_come_last(cache: sqlite3.Connection) -> None:
    cache.execute("DELETE FROM users")
    for id_ in ("s1", "h1"):
        act(cache, id_, owner_id="s kim")
    assert linked(cache) == {}
    put(cache, "users", "s kim", **in_crm("s"), email="kim@acme.com")
    assert linked(cache) == {"h1": "s1"}


def test_who_has_left_did_it_once_all_the_same(cache: sqlite3.Connection) -> None:
    """A CRM's user who is gone is linked with nobody; what they did stays one."""
    act(cache, "s1")
    act(cache, "h1")
    put(cache, "users", "h kim", is_deleted=1, is_active=0)
    assert linked(cache) == {"h1": "s1"}
    assert cache.execute("SELECT dup_of FROM users WHERE id = 'h kim'").fetchone()[0] is None


def test_a_lead_is_the_person_where_no_contact_is(cache: sqlite3.Connection) -> None:
    put(cache, "leads", "s old", merged_into="s new")
    put(cache, "leads", "s new")
    act(cache, "s1", contact_id=None, lead_id="s old")
    act(cache, "h1", contact_id=None, lead_id="s new")
    assert linked(cache) == {"h1": "s1"}
    act(cache, "h1", lead_id="s new")
    assert linked(cache) == {}


@pytest.mark.parametrize("gone", [{"is_deleted": 1}, {"is_test": 1}, {"type": "meeting"}, {"merged_into": "h9"}])
def test_what_is_no_longer_there_frees_its_partner(cache: sqlite3.Connection, gone: dict[str, Any]) -> None:
    act(cache, "s1")
    act(cache, "h1")
    act(cache, "h2", 30)
    assert linked(cache) == {"h1": "s1"}
    put(cache, "activities", "h1", **gone)
    assert linked(cache) == {"h2": "s1"}


def test_one_crm_alone_is_never_looked_up(cache: sqlite3.Connection) -> None:
    """No index, and no row to be linked; with the second CRM all of the first is found."""
    asked = "SELECT name FROM sqlite_master WHERE name LIKE 'activities_link_%'"
    for number in range(5):
        act(cache, f"s{number}", 1000 * number)
    facts.refresh(cache, REPORTING)
    assert cache.execute(asked).fetchall() == []
    act(cache, "h3", 3000)
    assert linked(cache) == {"h3": "s3"}
    assert len(cache.execute(asked).fetchall()) == 2


def test_a_partner_is_found_by_an_index(cache: sqlite3.Connection) -> None:
    """By all of what tells them: who, with whom, when; the same for messages."""
    act(cache, "s1")
    act(cache, "h1")
    facts.refresh(cache, REPORTING)
    for asked, seek in (
        (ACTIVITIES.partner, "activities_link_moment (owner_id=? AND <expr>=? AND occurred_at>? AND occurred_at<?)"),
        (tables.shares_key("activities"), "activities_link_key (<expr>=?)"),
    ):
        plan = cache.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM activities t CROSS JOIN activities o WHERE {asked}")
        steps = [row[3] for row in plan]
        assert any(seek in step for step in steps), steps


# -- what people say ------------------------------------------------------------------------------------------


def test_people_say_otherwise(cache: sqlite3.Connection) -> None:
    """Kept apart, the next nearest is its partner; made one, whatever they are."""
    act(cache, "s1")
    act(cache, "h1")
    act(cache, "h2", 30)
    assert linked(cache, REPORTING.model_copy(update={"never_links": (("h1", "s1"),)})) == {"h2": "s1"}
    assert kinds(cache) == {("h1", "s1"): "never", ("h2", "s1"): "moment"}
    act(cache, "h3", 5000, type="meeting")
    assert linked(cache, REPORTING.model_copy(update={"links": (("h3", "s1"),)})) == {"h3": "s1"}
    assert linked(cache) == {"h1": "s1"}


def test_links_tell_why(cache: sqlite3.Connection) -> None:
    act(cache, "s1", subject="About the offer")
    act(cache, "h1", 12)
    facts.refresh(cache, REPORTING)
    shown.register(cache, REPORTING)
    told = shown.why(cache, "activities", "h1")
    assert (told["counts_as"], [one["id"] for one in told["records"]]) == ("s1", ["s1", "h1"])
    assert [(one["kind"], one["why"], one["b_name"]) for one in told["links"]] == [
        ("moment", "the same kind, owner and person, 12 seconds apart", "About the offer")
    ]
    assert {"object": "activities", "kind": "moment", "links": 1} in shown.counts_of(cache)


# -- after any changes ----------------------------------------------------------------------------------------

_ids = st.sampled_from([f"{place}{number}" for place in "sshhg" for number in (1, 2, 3)])
_dead = st.sampled_from([0, 0, 0, 0, 0, 1])


def _activity(id_: str, values: dict[str, Any]) -> Change:
    owner, person, seconds, is_lead = (values.pop(name) for name in ("owner", "person", "seconds", "is_lead"))
    named = None if person is None else f"{id_[0] if person != 'sue' else 'x'} {person}"
    values |= {"owner_id": owner and f"{id_[0]} {owner}", "occurred_at": None if seconds is None else at(seconds)}
    values |= {"contact_id": None if is_lead else named, "lead_id": named if is_lead else None}
    return "activities", id_, {**in_crm(id_), "status": "completed", **values}


_acts = st.builds(
    _activity,
    _ids,
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["call", "call", "call", "email"]),
            "owner": st.sampled_from([None, "kim", "kim", "kim", "lee"]),
            "person": st.sampled_from([None, "ann", "ann", "ann", "bob"]),
            "is_lead": st.sampled_from([False, False, False, True]),
            "seconds": st.sampled_from([None, 0, 0, 1, 60, 61, 119, 120, 121, 180, 240]),
            "message_id": st.sampled_from([None, None, None, "<x@y>", "X@y", "<z@y>", "<>"]),
            "is_deleted": _dead,
            "is_test": _dead,
        }
    ),
)
_persons = st.builds(
    lambda table, place, name, values: (table, f"{place} {name}", {**in_crm(place), **values}),
    st.sampled_from(["contacts", "contacts", "leads"]),
    st.sampled_from("shg"),
    st.sampled_from(["ann", "bob"]),
    st.fixed_dictionaries(
        {"email_norm": st.sampled_from([None, "ann@z.com", "ann@z.com", "bob@z.com"]), "is_deleted": _dead}
    ),
)
_users = st.builds(
    lambda place, name, values: ("users", f"{place} {name}", {**in_crm(place), **values}),
    st.sampled_from("shg"),
    st.sampled_from(["kim", "lee"]),
    st.fixed_dictionaries(
        {"email": st.sampled_from([None, "kim@a.com", "Kim@a.com", "lee@a.com"]), "is_deleted": _dead}
    ),
)
_pairs = st.lists(
    st.tuples(_ids, _ids).filter(lambda of: of[0] != of[1]).map(lambda of: (min(of), max(of))), max_size=1
)
_batches = st.lists(
    st.tuples(
        st.builds(
            lambda acts, others: [*others, *acts],
            st.lists(_acts, min_size=1, max_size=8),
            st.lists(st.one_of(_persons, _users), max_size=3),
        ),
        _pairs,
        _pairs,
    ),
    min_size=1,
    max_size=4,
)
_gone = st.lists(st.tuples(st.just("activities"), _ids) | st.just(("users", "h kim")), max_size=3)


def naive(
    conn: sqlite3.Connection, links: list[tuple[str, str]], never: list[tuple[str, str]], first: str
) -> dict[str, str]:
    """The rule in plain words, each row compared with each: row -> the one that counts for it."""
    found = conn.execute("SELECT * FROM activities ORDER BY id")
    names = [one[0] for one in found.description]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in found}
    stands = dict(conn.execute("SELECT id, canonical FROM aliases").fetchall())
    addresses = {id_: (mail or "").strip().lower() for id_, mail in conn.execute("SELECT id, email FROM users")}
    cluster = {id_: frozenset([id_]) for id_ in rows}

    def is_live(row: dict[str, Any]) -> bool:
        return not (row["is_deleted"] or row["is_test"])

    def place(row: dict[str, Any]) -> tuple[str, str]:
        return row["source"], row["source_instance"]

    def message(row: dict[str, Any]) -> str:
        return (row["message_id"] or "").strip(" <>").lower()

    def who(row: dict[str, Any]) -> tuple[Any, ...] | None:
        person = row["contact_id"] or row["lead_id"]
        address = addresses.get(row["owner_id"], "")
        return (row["type"], address, stands.get(person, person)) if address and person else None

    def join(a: str, b: str, *, sure: bool) -> None:
        one, other = cluster[a], cluster[b]
        # Two records of an org have two Salesforce ids, dead or alive.
        places = [
            {place(row) for row in map(rows.__getitem__, ids) if is_live(row) or row["source"] == "salesforce"}
            for ids in (one, other)
        ]
        if one == other or (not sure and places[0] & places[1]):
            return
        if any((min(x, y), max(x, y)) in never for x in one for y in other):
            return
        for id_ in one | other:
            cluster[id_] = one | other

    for x, y in links:
        if x in rows and y in rows:
            join(x, y, sure=True)
    live = [rows[id_] for id_ in sorted(rows) if is_live(rows[id_])]
    across = [(a, b) for a, b in combinations(live, 2) if place(a) != place(b) and a["type"] == b["type"]]
    order = sorted(live, key=lambda row: (row["source"], row["source_id"], row["source_instance"], row["id"]))
    for key in sorted({message(row) for row in live} - {""}):
        for a, b in combinations([row for row in order if message(row) == key], 2):
            if (a, b) in across or (b, a) in across:
                join(a["id"], b["id"], sure=False)
    near = []
    for a, b in across:
        if who(a) and who(a) == who(b) and a["occurred_at"] and b["occurred_at"] and not (message(a) and message(b)):
            one, other = (datetime.fromisoformat(row["occurred_at"]) for row in (a, b))
            if abs((one - other).total_seconds()) <= 120:
                near.append((abs((one - other).total_seconds()), a["id"], b["id"]))
    for _, a_id, b_id in sorted(near):
        join(a_id, b_id, sure=False)

    def rank(id_: str) -> tuple[Any, ...]:
        row = rows[id_]
        return (
            row["source"] != first,
            row["is_deleted"],
            row["is_test"],
            row["source"],
            row["source_id"],
            row["source_instance"],
        )

    return {id_: min(cluster[id_], key=rank) for id_ in rows if min(cluster[id_], key=rank) != id_}


def _everything(conn: sqlite3.Connection) -> list[Any]:
    asked = [f"SELECT id, dup_of, cluster_id FROM {table} ORDER BY 1" for table in TABLES]
    asked.append("SELECT a_id, b_id, kind, evidence, said_by, score FROM entity_links ORDER BY 1, 2")
    asked.append("SELECT id, canonical FROM aliases ORDER BY 1")
    return [[tuple(row) for row in conn.execute(one)] for one in asked]


def hold(folder: Path, batches: list[Any], gone: list[tuple[str, str]], first: str) -> None:
    """After each sync what is linked is what the rule says of the rows, and what linking all of them anew says."""
    with closing(open_cache(folder)) as conn:
        people(conn)
        reporting = REPORTING
        for changes, links, never in batches:
            for table, id_, values in changes:
                put(conn, table, id_, **values)
            said = {"links": tuple(links), "never_links": tuple(never), "system_of_record": first}
            reporting = REPORTING.model_copy(update=said)
            facts.refresh(conn, reporting, facts={})
            _compare(conn, [pair for pair in links if pair not in never], never, first)
        for table, id_ in gone:
            conn.execute(f"DELETE FROM {table} WHERE id = ?", (id_,))
        facts.refresh(conn, reporting, facts={})
        _compare(conn, [pair for pair in links if pair not in never], never, first)
        kept = _everything(conn)
        conn.execute("DELETE FROM facts_meta")
        facts.refresh(conn, reporting, facts={})
        assert _everything(conn) == kept


def _compare(conn: sqlite3.Connection, links: list[tuple[str, str]], never: list[tuple[str, str]], first: str) -> None:
    kept = dict(conn.execute("SELECT id, dup_of FROM activities WHERE dup_of IS NOT NULL").fetchall())
    event(f"{len(kept)} linked")
    assert kept == naive(conn, links, never, first)


_given: dict[str, Any] = {"batches": _batches, "gone": _gone, "first": st.sampled_from(["salesforce", "hubspot"])}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**_given)
def test_what_is_linked_is_what_the_rule_says(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Any], gone: list[tuple[str, str]], first: str
) -> None:
    hold(tmp_path_factory.mktemp("cache"), batches, gone, first)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**_given)
def test_what_is_linked_is_what_the_rule_says_after_two_hundred_histories(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Any], gone: list[tuple[str, str]], first: str
) -> None:
    hold(tmp_path_factory.mktemp("cache"), batches, gone, first)
