"""Links brought up to date with what changed equal links found anew, after any sequence of changes."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from itertools import chain, combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from syncagent import facts
from syncagent.identity import LINKED, shown
from syncagent.identity.clusters import Link, Resolved, Row, resolve
from syncagent.identity.decisions import sayings_of
from syncagent.identity.named import orgs_of, to_18
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, put

#: (source, account of it): two orgs, two portals, and files.
PLACES = [("salesforce", "org"), ("salesforce", "other org"), ("hubspot", "portal"), ("hubspot", "portal 2"),
          ("files", "desk")]  # fmt: skip
_ids = st.integers(1, 7)
#: Ids of a CRM's records: one of Salesforce's is written in 15 characters (what reports print) or in 18.
_SOURCE_IDS = ["0", "1", "2", "006R00000024gDt"]
_named = st.sampled_from([None, None, "1", "2", "006R00000024gDt", "006R00000024gDtIAI"])
_dead = st.sampled_from([0, 0, 0, 0, 1])


def _change(table: str, number: int, values: dict[str, Any]) -> Change:
    source, instance = values.pop("place")
    merged = values.pop("merged")
    values |= {"source": source, "source_instance": instance, "source_id": _SOURCE_IDS[number % 4]}
    if number == 7:
        values["source_id"] = "006R00000024gDtIAI"
    values["merged_into"] = None if merged is None else f"{table} {merged}"
    if "parent" in values:
        parent = values.pop("parent")
        values["parent_id"] = None if parent is None else f"{table} {parent}"
    return table, f"{table} {number}", values


def _rows(table: str, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Change]:
    shared: dict[str, st.SearchStrategy[Any]] = {
        "place": st.sampled_from(PLACES),
        "merged": st.sampled_from([None, None, None, None, 1, 2]),
        "is_deleted": _dead,
        "is_test": _dead,
    }
    if names := LINKED[table].names:
        shared[names] = _named
    return st.builds(_change, st.just(table), _ids, st.fixed_dictionaries({**shared, **columns}))


changes = st.one_of(
    _rows(
        "accounts",
        domain_norm=st.sampled_from([None, "acme.com", "acme.com", "gmail.com"]),
        name=st.sampled_from([None, "Acme Ltd", "ACME Ltd.", "Zenith"]),
        parent=st.sampled_from([None, None, 1, 2]),
    ),
    _rows(
        "contacts",
        email_norm=st.sampled_from([None, "a@x.com", "a@x.com", "info@x.com"]),
        last_name=st.sampled_from([None, "Doe", "doe", "Roe"]),
    ),
    _rows("opportunities"),
    _rows(
        "users",
        email=st.sampled_from([None, "k@acme.com", "k@acme.com", "l@acme.com"]),
        is_active=st.sampled_from([None, 0, 1, 1]),
    ),
)
#: Where a deal of each number is kept: two in one org, three in portals, one elsewhere.
_KEPT = {1: PLACES[0], 2: PLACES[0], 3: PLACES[2], 4: PLACES[2], 5: PLACES[3], 6: PLACES[4]}
_LIKE = {"state": "won", "account_id": "accounts 1", "amount_minor": 10_000, "currency": "EUR",
         "close_date": "2026-03-08", "close_at": None, "sf_opportunity_id": None, "merged_into": None,
         "is_deleted": 0, "is_test": 0}  # fmt: skip
#: In what a deal may differ from the others, one thing at a time.
_UNLIKE = [
    *[{}] * 5,
    *[{"account_id": account} for account in (*["accounts 2"] * 5, "accounts 3", None)],
    *[{"amount_minor": amount} for amount in (10_100, 10_102, 9_900, 0, None)],
    *[{"close_date": day} for day in ("2026-03-01", "2026-02-28", "2026-03-15", None)],
    *[{"close_at": moment} for moment in ("2026-03-14T22:59:59Z", "2026-03-15T22:59:59Z", "2026-03-15T23:00:00Z")],
    *[{"sf_opportunity_id": id_} for id_ in ("1", "1", "2", "9")],
    {"currency": None}, {"state": "lost"}, {"merged_into": "opportunities 2"}, {"is_deleted": 1}, {"is_test": 1},
]  # fmt: skip


def _won(number: int, but: dict[str, Any]) -> Change:
    source, instance = _KEPT[number]
    own = {"source": source, "source_instance": instance, "source_id": str(number)}
    return "opportunities", f"opportunities {number}", {**_LIKE, **own, **but}


def _filed(number: int, domain: str, merged: int | None) -> Change:
    source, instance = _KEPT[2 * number]
    own = {"source": source, "source_instance": instance, "source_id": str(number), "domain_norm": domain}
    return "accounts", f"accounts {number}", {**own, "merged_into": merged and f"accounts {merged}"}


_accounts = st.builds(
    _filed, st.integers(1, 3), st.sampled_from(["acme.com", "zenith.com"]), st.sampled_from([None, None, None, 1])
)
#: What may happen to won deals that look alike, and to the accounts they are of.
_deals = st.builds(_won, st.sampled_from(sorted(_KEPT)), st.sampled_from(_UNLIKE))
pairs = st.lists(
    st.tuples(st.sampled_from(sorted(LINKED)), _ids, _ids)
    .filter(lambda of: of[1] != of[2])
    .map(lambda of: (f"{of[0]} {of[1]}", f"{of[0]} {of[2]}")),
    max_size=2,
)

_deal_pairs = st.lists(
    st.tuples(st.just("opportunities"), *[st.sampled_from([*_KEPT])] * 2)
    .filter(lambda of: of[1] != of[2])
    .map(lambda of: (f"{of[0]} {of[1]}", f"{of[0]} {of[2]}")),
    max_size=1,
)


def linked(conn: sqlite3.Connection) -> dict[str, Any]:
    """All that linking has written, but since when."""
    found: dict[str, Any] = {
        table: conn.execute(f"SELECT id, dup_of, cluster_id FROM {table} ORDER BY id").fetchall() for table in LINKED
    }
    found["links"] = conn.execute(
        "SELECT a_id, b_id, object, kind, evidence, said_by, score FROM entity_links ORDER BY a_id, b_id"
    ).fetchall()
    found["aliases"] = conn.execute("SELECT id, canonical FROM aliases ORDER BY id").fetchall()
    found["orgs"] = conn.execute("SELECT portal, org, pairs FROM link_orgs ORDER BY 1, 2").fetchall()
    return {name: [tuple(row) for row in rows] for name, rows in found.items()}


def with_deals_alike(conn: sqlite3.Connection, found: Resolved, system_of_record: str) -> Resolved:
    """What is linked by ids and sayings, and won deals that look alike: each compared with each, in plain words."""
    stands = dict(conn.execute("SELECT id, canonical FROM aliases").fetchall())
    never = {(a, b) for a, b in conn.execute("SELECT a_id, b_id FROM link_decisions WHERE verdict = 'never'")}
    cursor = conn.execute("SELECT * FROM opportunities ORDER BY id")
    names = [one[0] for one in cursor.description]
    rows = {row[0]: dict(zip(names, row, strict=True)) for row in cursor}
    of = {id_: found.stands[id_][1] if id_ in found.stands else id_ for id_ in rows}
    for id_, row in rows.items():  # what was merged away is with what it was merged into
        seen = {id_}
        while row["merged_into"] in rows and row["merged_into"] not in seen:
            seen.add(row["merged_into"])
            row = rows[row["merged_into"]]
        of[id_] = of[row["id"]]
    clusters = {first: {id_ for id_ in rows if of[id_] == first} for first in set(of.values())}

    def is_live(row: dict[str, Any]) -> bool:
        return not (row["is_deleted"] or row["is_test"] or row["merged_into"])

    def day(row: dict[str, Any]) -> date | None:
        if row["close_at"]:
            return datetime.fromisoformat(row["close_at"]).astimezone(ZoneInfo(REPORTING.timezone)).date()
        return date.fromisoformat(row["close_date"]) if row["close_date"] else None

    def is_alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
        (one, other), (amount, other_amount) = (day(a), day(b)), (a["amount_minor"], b["amount_minor"])
        return (
            (a["source"], a["source_instance"]) != (b["source"], b["source_instance"])
            and stands.get(a["account_id"], a["account_id"]) == stands.get(b["account_id"], b["account_id"])
            and bool(amount and other_amount and one and other) and a["currency"] == b["currency"]
            and abs(amount - other_amount) <= max(amount, other_amount) / 100
            and abs((one - other).days) <= 7  # type: ignore[operator]
        )  # fmt: skip

    def contradict(one: set[str], other: set[str]) -> bool:
        orgs = orgs_of(conn)
        places = [
            {(rows[i]["source"], rows[i]["source_instance"]) for i in ids if is_live(rows[i])} for ids in (one, other)
        ]
        ids: list[dict[str | None, set[str]]] = [{}, {}]
        for known, members in zip(ids, (one, other), strict=True):
            for row in (rows[id_] for id_ in members):
                if row["source"] == "salesforce":
                    known.setdefault(row["source_instance"], set()).add(row["source_id"])
                elif row["sf_opportunity_id"] and not row["merged_into"]:
                    known.setdefault(orgs.get(row["source_instance"]), set()).add(row["sf_opportunity_id"])
        differ = any(not ids[0][org] & ids[1][org] for org in ids[0].keys() & ids[1].keys())
        return bool(places[0] & places[1]) or differ or any((min(a, b), max(a, b)) in never for a in one for b in other)

    counted = [
        row for id_, row in rows.items()
        if is_live(row) and row["state"] == "won" and row["account_id"] and found.stands.get(id_, (None,))[0] is None
    ]  # fmt: skip
    pairs = [(a["id"], b["id"]) for a, b in combinations(counted, 2) if is_alike(a, b)]
    pairs = [pair for pair in pairs if pair not in never]
    several = Counter(chain.from_iterable(pairs))
    links, held = dict(found.links), dict(found.stands)
    for a, b in pairs:
        is_pair = several[a] == several[b] == 1
        kind = "candidate" if not is_pair else "conflict" if contradict(clusters[of[a]], clusters[of[b]]) else "deal"
        links.setdefault((a, b), Link(a, b, kind, "", ""))
        if links[a, b].kind == "deal":
            event("a deal linked")
            order = [system_of_record, "salesforce", "hubspot", "files"]
            first = min(a, b, key=lambda id_: order.index(rows[id_]["source"]))
            if order.index(rows[a]["source"]) == order.index(rows[b]["source"]):
                first = min(a, b, key=lambda id_: (rows[id_]["source_id"], rows[id_]["source_instance"]))
            together = [id_ for id_ in clusters[of[a]] | clusters[of[b]] if rows[id_]["merged_into"] is None]
            held |= {id_: (None if id_ == first else first, first) for id_ in together}
        else:
            event(f"a deal's {links[a, b].kind}")
    return Resolved(links, held)


def _full(source: str, source_id: str) -> str:
    """An id as its CRM writes it: Salesforce's in 18 characters, whatever the file has."""
    return str(to_18(source_id)) if source == "salesforce" else source_id


def from_all_rows(conn: sqlite3.Connection, table: str, system_of_record: str, *, by_likeness: bool) -> dict[str, Any]:
    """The links of a table with every row of it looked at, by comparing each with each."""
    one = LINKED[table]
    rows = {
        r[0]: Row(
            r[0],
            r[1],
            r[2],
            _full(r[1], r[3]),
            r[4],
            to_18(r[5]),
            r[6],
            tuple(r[10:]),
            bool(r[7]),
            bool(r[8]),
            r[9],
            None,
        )
        for r in conn.execute(
            f"SELECT id, source, source_instance, source_id, source_name, {one.names or 'NULL'}, {one.key or 'NULL'},"
            f" is_deleted, is_test, merged_into{''.join(f', {column}' for column in one.says)} FROM {table}"
        )
    }
    named = [
        (copy.id, original.id)
        for copy in rows.values()
        for original in rows.values()
        if copy.names == original.source_id and copy.names is not None and copy.merged_into is None
        and copy.source != "salesforce" and original.source == "salesforce"
    ]  # fmt: skip
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS everything (id TEXT PRIMARY KEY)")
    conn.execute("DELETE FROM temp.everything")
    conn.executemany("INSERT INTO temp.everything VALUES (?)", [(id_,) for id_ in rows])
    found = resolve(
        rows, named, sayings_of(conn, "temp.everything"), system_of_record=system_of_record, orgs=orgs_of(conn),
        kind=one.kind, column=one.names or "",
    )  # fmt: skip
    if by_likeness and table == "opportunities":
        found = with_deals_alike(conn, found, system_of_record)
    return {
        "stands": [(id_, *found.stands.get(id_, (None, None))) for id_ in sorted(rows)],
        "links": sorted((a, b, one.kind) for (a, b), one in found.links.items()),
        "orgs": Counter((rows[copy].instance, rows[original].instance) for copy, original in named),
    }


Batches = list[tuple[list[Change], list[tuple[str, str]], list[tuple[str, str]]]]


_batches = st.lists(st.tuples(st.lists(changes, min_size=1, max_size=8), pairs, pairs), min_size=1, max_size=4)
#: Of deals few things happen at a time: they look alike at first, then here and there no longer.
_deal_batches = st.lists(
    st.tuples(
        st.builds(list.__add__, st.lists(_deals, min_size=1, max_size=4), st.lists(_accounts, max_size=2)),
        _deal_pairs,
        _deal_pairs,
    ),
    min_size=1,
    max_size=4,
)
removals = st.lists(st.tuples(st.sampled_from(sorted(LINKED)), _ids), max_size=3)
_deal_removals = st.lists(st.tuples(st.sampled_from(["accounts", "opportunities"]), _ids), max_size=1)
systems = st.sampled_from(["salesforce", "hubspot"])


def test_what_stood_for_a_record_that_is_gone_is_looked_at_again(tmp_path: Path) -> None:
    """With the one merged into it, of the other's org, it could not be linked to the other: without it it can."""

    def user(number: int, org: str, email: str | None, merged: str | None = None) -> Change:
        own = {"source": "salesforce", "source_instance": org, "source_id": str(number), "is_deleted": 0, "is_test": 0}
        return "users", f"users {number}", {**own, "email": email, "merged_into": merged}

    first, second = user(1, "other org", "l@acme.com"), user(2, "org", "l@acme.com")
    batches: Batches = [([one], [], []) for one in (first, second, user(4, "other org", None, "users 2"))]
    hold(tmp_path, batches, [("users", 4)], "salesforce")


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=_batches, removed=removals, record_system=systems)
def test_links_kept_equal_links_found_anew(
    tmp_path_factory: pytest.TempPathFactory, batches: Batches, removed: list[tuple[str, int]], record_system: str
) -> None:
    hold(tmp_path_factory.mktemp("cache"), batches, removed, record_system)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=_deal_batches, removed=_deal_removals, record_system=systems)
def test_deals_alike_kept_equal_those_found_anew(
    tmp_path_factory: pytest.TempPathFactory, batches: Batches, removed: list[tuple[str, int]], record_system: str
) -> None:
    hold(tmp_path_factory.mktemp("cache"), batches, removed, record_system, by_likeness=True)


def hold(
    folder: Path, batches: Batches, removed: list[tuple[str, int]], record_system: str, *, by_likeness: bool = False
) -> None:
    """What is linked after all this is what would be linked from scratch, and what a plain comparison links."""
    with closing(open_cache(folder)) as conn:
        reporting = REPORTING
        for batch, links, never in batches:
            for name, id_, values in batch:
                put(conn, name, id_, **values)
            said: dict[str, Any] = {"links": links, "never_links": never, "system_of_record": record_system}
            said["deals_alike"] = by_likeness
            reporting = REPORTING.model_copy(update=said)
            facts.refresh(conn, reporting, facts={})
        for table, number in removed:
            conn.execute(f"DELETE FROM {table} WHERE id = ?", (f"{table} {number}",))
        facts.refresh(conn, reporting, facts={})
        kept = linked(conn)
        orgs: Counter[tuple[str, str]] = Counter()
        for table in LINKED:
            whole = from_all_rows(conn, table, record_system, by_likeness=by_likeness)
            orgs.update(whole["orgs"])
            assert kept[table] == whole["stands"]
            assert [(a, b, kind) for a, b, object_, kind, *_ in kept["links"] if object_ == table] == whole["links"]
        assert kept["orgs"] == [(*pair, many) for pair, many in sorted(orgs.items())]
        conn.execute("DELETE FROM facts_meta")
        facts.refresh(conn, reporting, facts={})
        assert linked(conn) == kept


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def account(conn: sqlite3.Connection, id_: str, source: str, **values: Any) -> None:
    put(conn, "accounts", id_, source=source, source_instance=source, **values)


def links(conn: sqlite3.Connection) -> dict[tuple[str, str], str]:
    return {(a, b): kind for a, b, kind in conn.execute("SELECT a_id, b_id, kind FROM entity_links")}


def test_who_leaves_a_domain_leaves_the_others_to_each_other(cache: sqlite3.Connection) -> None:
    """Two accounts of one CRM have a domain: nobody knows which is meant, until one of them has another."""
    for id_, source in (("S1", "salesforce"), ("S2", "salesforce"), ("H", "hubspot")):
        account(cache, id_, source, domain_norm="acme.com", name=id_ * 4)
    facts.refresh(cache, REPORTING)
    assert links(cache) == {("H", "S1"): "candidate", ("H", "S2"): "candidate"}
    account(cache, "S1", "salesforce", domain_norm="zenith.com")
    facts.refresh(cache, REPORTING)
    assert links(cache) == {("H", "S2"): "domain"}
    cache.execute("DELETE FROM accounts WHERE id = 'S2'")
    account(cache, "S1", "salesforce", domain_norm="acme.com")
    facts.refresh(cache, REPORTING)
    assert links(cache) == {("H", "S1"): "domain"}


def test_a_key_of_very_many_links_nobody(cache: sqlite3.Connection) -> None:
    """An address twenty-one people have is no evidence; with one of them gone it is, by name."""
    for number in range(21):
        put(cache, "contacts", f"C{number:02}", source_instance=f"org {number}", email_norm="all@acme.com")
    facts.refresh(cache, REPORTING)
    assert links(cache) == {}
    cache.execute("DELETE FROM contacts WHERE id = 'C00'")
    facts.refresh(cache, REPORTING)
    assert set(links(cache).values()) == {"email"}


def test_one_crm_alone_costs_no_index(cache: sqlite3.Connection) -> None:
    """Rows are looked up by their keys once those of a second account are there; then those before them, too."""
    asked = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'contacts_link_key'"
    put(cache, "contacts", "S", email_norm="a@acme.com")
    facts.refresh(cache, REPORTING)
    assert cache.execute(asked).fetchone()[0] == 0
    put(cache, "contacts", "H", source="hubspot", source_instance="portal", email_norm="a@acme.com")
    facts.refresh(cache, REPORTING)
    assert cache.execute(asked).fetchone()[0] == 1
    assert links(cache) == {("H", "S"): "email"}


def test_a_cache_of_an_earlier_version_is_linked_anew(cache: sqlite3.Connection) -> None:
    """What was linked without a word of why gets it, though none of its rows changes."""
    put(cache, "opportunities", "S", state="won", close_date="2026-01-05")
    put(cache, "opportunities", "H", source="hubspot", source_instance="portal", sf_opportunity_id="S")
    put(cache, "contacts", "a", email_norm="a@acme.com")
    put(cache, "contacts", "b", source="hubspot", source_instance="portal", email_norm="a@acme.com")
    facts.refresh(cache, REPORTING)
    whole = linked(cache)
    for table in ("entity_links", "link_names", "link_orgs", "link_sources"):
        cache.execute(f"DELETE FROM {table}")
    cache.execute("UPDATE contacts SET dup_of = NULL, cluster_id = NULL")
    cache.execute("DELETE FROM aliases WHERE id IN ('a', 'b')")
    cache.execute("DELETE FROM facts_meta WHERE key = 'settings of links'")
    facts.refresh(cache, REPORTING)
    assert linked(cache) == whole


def test_who_others_were_merged_into_may_come_last(cache: sqlite3.Connection) -> None:
    """A record named by another CRM was merged into one that is not there yet: once it is, it stands for both."""
    put(cache, "contacts", "old", merged_into="S")
    put(cache, "contacts", "H", source="hubspot", source_instance="portal", sf_contact_id="old")
    facts.refresh(cache, REPORTING)
    put(cache, "contacts", "S")
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT dup_of FROM contacts WHERE id = 'H'").fetchone()[0] == "S"


def test_a_cache_that_followed_nine_merges_follows_ten(cache: sqlite3.Connection) -> None:
    """An earlier version left out a chain of just ten: it is followed now, figures too, though no row of it changes."""
    chain_of = [f"C{number:02}" for number in range(11)]
    for id_, into in zip(chain_of, [*chain_of[1:], None], strict=True):
        put(cache, "contacts", id_, merged_into=into)
    put(cache, "activities", "A", contact_id="C00", occurred_at="2026-01-05T09:00:00Z", type="call", status="completed")
    facts.refresh(cache, REPORTING)
    under = "SELECT contact_id FROM fact_activities"
    assert cache.execute(under).fetchone()[0] == "C10"
    cache.execute("DELETE FROM aliases WHERE id = 'C00'")
    cache.execute("UPDATE fact_activities SET contact_id = 'C00'")
    cache.execute("UPDATE facts_meta SET value = '2' WHERE key = 'settings of links'")
    facts.refresh(cache, REPORTING)
    assert cache.execute("SELECT canonical FROM aliases WHERE id = 'C00'").fetchone()[0] == "C10"
    assert cache.execute(under).fetchone()[0] == "C10"


def test_why_follows_merges_as_well(cache: sqlite3.Connection) -> None:
    """Asked for a record that was merged away, it names the one that counts and all that stand behind that."""
    put(cache, "contacts", "old", merged_into="S")
    put(cache, "contacts", "S", email_norm="a@acme.com")
    put(cache, "contacts", "H", source="hubspot", source_instance="portal", email_norm="a@acme.com")
    facts.refresh(cache, REPORTING)
    shown.register(cache, REPORTING)
    told = shown.why(cache, "contacts", "old")
    assert told["counts_as"] == "S"
    assert {one["id"]: one["is_counted"] for one in told["records"]} == {"S": True, "H": False, "old": False}
    assert [(one["kind"], one["a_id"], one["b_id"]) for one in told["links"]] == [("email", "H", "S")]


def deal(conn: sqlite3.Connection, id_: str, source: str, **values: Any) -> None:
    told = {"account_id": "A", "state": "won", "amount_minor": 10_000, "currency": "EUR", "close_date": "2026-03-01"}
    put(conn, "opportunities", id_, source=source, source_instance=source, **{**told, **values})


def test_of_deals_alike_only_a_pair_is_linked(cache: sqlite3.Connection) -> None:
    """A second one makes both candidates; gone, or said not to be the same, it leaves the others to each other."""
    reporting = REPORTING.model_copy(update={"deals_alike": True})
    deal(cache, "S1", "salesforce")
    deal(cache, "S2", "salesforce", amount_minor=10_100, close_date="2026-03-08")
    deal(cache, "H", "hubspot")
    facts.refresh(cache, reporting)
    assert links(cache) == {("H", "S1"): "candidate", ("H", "S2"): "candidate"}
    facts.refresh(cache, reporting.model_copy(update={"never_links": (("H", "S1"),)}))
    assert links(cache) == {("H", "S1"): "never", ("H", "S2"): "deal"}
    facts.refresh(cache, reporting)
    assert links(cache) == {("H", "S1"): "candidate", ("H", "S2"): "candidate"}
    for away in ({"close_date": "2026-03-09"}, {"amount_minor": 10_102}, {"currency": "USD"}, {"state": "lost"}):
        deal(cache, "S2", "salesforce", **{"amount_minor": 10_100, **away})
        facts.refresh(cache, reporting)
        assert links(cache) == {("H", "S1"): "deal"}, away
    cache.execute("DELETE FROM opportunities WHERE id = 'S1'")
    facts.refresh(cache, reporting)
    assert links(cache) == {}


def test_deals_alike_follow_their_accounts(cache: sqlite3.Connection) -> None:
    """Those of two accounts are linked once the accounts are, and no longer when those part."""
    reporting = REPORTING.model_copy(update={"deals_alike": True})
    account(cache, "A", "salesforce", domain_norm="acme.com")
    account(cache, "B", "hubspot", domain_norm="zenith.com")
    deal(cache, "S", "salesforce")
    deal(cache, "H", "hubspot", account_id="B")
    facts.refresh(cache, reporting)
    assert links(cache) == {}
    account(cache, "B", "hubspot", domain_norm="acme.com")
    facts.refresh(cache, reporting)
    assert links(cache) == {("A", "B"): "domain", ("H", "S"): "deal"}
    assert cache.execute("SELECT dup_of FROM opportunities WHERE id = 'H'").fetchone()[0] == "S"
    account(cache, "B", "hubspot", domain_norm="zenith.com")
    facts.refresh(cache, reporting)
    assert links(cache) == {}
