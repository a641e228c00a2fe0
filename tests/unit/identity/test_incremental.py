"""Links brought up to date with what changed equal links found anew, after any sequence of changes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncagent import facts
from syncagent.identity import LINKED, shown
from syncagent.identity.clusters import Row, resolve
from syncagent.identity.decisions import sayings_of
from syncagent.identity.named import orgs_of, to_18
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, put

#: (source, account of it): two orgs, two portals, and files.
PLACES = [("salesforce", "org"), ("salesforce", "other org"), ("hubspot", "portal"), ("hubspot", "portal 2"),
          ("files", "desk")]  # fmt: skip
_ids = st.integers(1, 7)
_named = st.sampled_from([None, None, "1", "2", "3"])
_dead = st.sampled_from([0, 0, 0, 0, 1])


def _change(table: str, number: int, values: dict[str, Any]) -> Change:
    source, instance = values.pop("place")
    merged = values.pop("merged")
    values |= {"source": source, "source_instance": instance, "source_id": str(number % 4)}
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
pairs = st.lists(
    st.tuples(st.sampled_from(sorted(LINKED)), _ids, _ids)
    .filter(lambda of: of[1] != of[2])
    .map(lambda of: (f"{of[0]} {of[1]}", f"{of[0]} {of[2]}")),
    max_size=2,
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


def from_all_rows(conn: sqlite3.Connection, table: str, system_of_record: str) -> dict[str, Any]:
    """The links of a table with every row of it looked at, by comparing each with each."""
    one = LINKED[table]
    rows = {
        r[0]: Row(r[0], r[1], r[2], r[3], r[4], to_18(r[5]), r[6], tuple(r[10:]), bool(r[7]), bool(r[8]), r[9], None)
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
    return {
        "stands": [(id_, *found.stands.get(id_, (None, None))) for id_ in sorted(rows)],
        "links": sorted((a, b, one.kind) for (a, b), one in found.links.items()),
    }


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(st.lists(changes, min_size=1, max_size=8), pairs, pairs), min_size=1, max_size=4),
    removed=st.lists(st.tuples(st.sampled_from(sorted(LINKED)), _ids), max_size=3),
    record_system=st.sampled_from(["salesforce", "hubspot"]),
)
def test_links_kept_equal_links_found_anew(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[list[Change], list[tuple[str, str]], list[tuple[str, str]]]],
    removed: list[tuple[str, int]],
    record_system: str,
) -> None:
    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        reporting = REPORTING
        for batch, links, never in batches:
            for name, id_, values in batch:
                put(conn, name, id_, **values)
            said = {"links": links, "never_links": never, "system_of_record": record_system}
            reporting = REPORTING.model_copy(update=said)
            facts.refresh(conn, reporting, facts={})
        for table, number in removed:
            conn.execute(f"DELETE FROM {table} WHERE id = ?", (f"{table} {number}",))
        facts.refresh(conn, reporting, facts={})
        kept = linked(conn)
        for table in LINKED:
            whole = from_all_rows(conn, table, record_system)
            assert kept[table] == whole["stands"]
            assert [(a, b, kind) for a, b, object_, kind, *_ in kept["links"] if object_ == table] == whole["links"]
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


def test_why_follows_merges_as_well(cache: sqlite3.Connection) -> None:
    """Asked for a record that was merged away, it names the one that counts and all that stand behind that."""
    put(cache, "contacts", "old", merged_into="S")
    put(cache, "contacts", "S", email_norm="a@acme.com")
    put(cache, "contacts", "H", source="hubspot", source_instance="portal", email_norm="a@acme.com")
    facts.refresh(cache, REPORTING)
    shown.register(cache)
    told = shown.why(cache, "contacts", "old")
    assert told["counts_as"] == "S"
    assert {one["id"]: one["is_counted"] for one in told["records"]} == {"S": True, "H": False, "old": False}
    assert [(one["kind"], one["a_id"], one["b_id"]) for one in told["links"]] == [("email", "H", "S")]
