"""Facts kept up to date equal facts built anew, after any sequence of changes: records and groups alike."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scorecards.definition import Reporting
from scorecards.facts import FACTS, Book, Fact, in_order
from scorecards.facts.fact import Row, table
from scorecards.provenance import facts_are_whole
from syncagent import facts
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING, Change, changes, deal, few, history, put, rebuilt, snapshot, stage

_PERSON_COLUMNS = ("person_id", "id", "occurred_at", "quiet_s")


def _persons(rows: Iterable[Row], book: Book) -> Iterator[Row]:
    """What a person did, with the time since what they did before."""
    for _, group in groupby(rows, key=lambda row: row[0]):
        before = None
        for person, id_, at in group:
            yield person, id_, at, None if before is None else at - before
            before = at


#: A fact of groups: its unit is a person, fed by the activities and following the answers.
PERSONS = Fact(
    kind="persons",
    name="fact_persons",
    columns=_PERSON_COLUMNS,
    ddl=table("fact_persons", _PERSON_COLUMNS, "(person_id)"),
    read="""
        SELECT w.id, x.id, x.at FROM temp.wanted w CROSS JOIN (
            SELECT a.contact_id AS person, a.id, a.occurred_at AS at FROM fact_activities a
            UNION ALL
            SELECT COALESCE(al.canonical, r.contact_id), r.id, CAST(strftime('%s', r.responded_at) AS INTEGER)
            FROM survey_responses r LEFT JOIN aliases al ON al.id = r.contact_id WHERE r.is_deleted = 0
        ) x ON x.person = w.id ORDER BY w.id, x.at, x.id
    """,
    derive=_persons,
    unit="person_id",
    follows={"survey_responses": ("contact_id",)},
)
_FED = replace(FACTS["activities"], feeds={**FACTS["activities"].feeds, "persons": "contact_id"})
WITH_GROUPS = in_order([*(_FED if f.kind == "activities" else f for f in FACTS.values()), PERSONS])

_CHANGED: dict[str, Any] = {
    "batches": st.lists(st.lists(changes, min_size=1, max_size=6), min_size=1, max_size=5),
    "removed": few,
}


@example(
    batches=[
        [
            ("survey_responses", "R a", {"responded_at": "2026-01-01T00:00:00Z", "contact_id": "C b", "is_deleted": 0}),
            ("contacts", "C b", {"account_id": None, "is_deleted": 0, "merged_into": "C c"}),
        ]
    ],
    removed="b",
)
@settings(max_examples=25)
@given(**_CHANGED)
def test_kept_facts_equal_rebuilt_facts(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Change]], removed: str
) -> None:
    """Whatever changes, in whatever order and batches: kept up to date is the same as built anew."""
    keep(tmp_path_factory.mktemp("cache"), batches, removed)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=300)
@given(**_CHANGED)
def test_kept_facts_equal_rebuilt_facts_in_three_hundred_histories(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Change]], removed: str
) -> None:
    keep(tmp_path_factory.mktemp("cache"), batches, removed)


def keep(folder: Path, batches: list[list[Change]], removed: str) -> None:
    """Change rows batch by batch, each followed by the facts; in the end remove some, and compare."""
    with closing(open_cache(folder)) as conn:
        facts.install(conn, WITH_GROUPS)
        for batch in batches:
            for name, id_, values in batch:
                put(conn, name, id_, **values)
            facts.refresh(conn, REPORTING, facts=WITH_GROUPS)
        conn.execute("DELETE FROM ticket_status_history WHERE id = ?", (f"S {removed}",))
        conn.execute("DELETE FROM stage_defs WHERE id = ?", (f"G {removed}",))
        conn.execute("DELETE FROM contracts WHERE id = ?", (f"K {removed}",))
        conn.execute("DELETE FROM orders WHERE id = ?", (f"O {removed}",))
        conn.execute("DELETE FROM contacts WHERE id = ?", (f"C {removed}",))
        conn.execute("DELETE FROM survey_responses WHERE id = ?", (f"R {removed}",))
        conn.execute("DELETE FROM activity_links WHERE id = ?", (f"N {removed}",))
        conn.execute("DELETE FROM email_events WHERE id = ?", (f"E {removed}",))
        facts.refresh(conn, REPORTING, facts=WITH_GROUPS)
        assert snapshot(conn, WITH_GROUPS) == rebuilt(conn, WITH_GROUPS)


_STAGED: dict[str, Any] = {
    "batches": st.lists(
        st.lists(st.one_of(deal(), history(), stage()), min_size=1, max_size=5), min_size=2, max_size=4
    ),
    "removed": few,
}
_PLACED: dict[str, Any] = {"object": "opportunities", "stage": "s a", "stage_order": 1, "valid_from": None}


@example(
    batches=[[("stage_defs", "G a", _PLACED)], [("stage_defs", "G a", {**_PLACED, "stage_order": 3})]], removed="b"
)
@example(batches=[[("stage_defs", "G a", _PLACED)], [("stage_defs", "G a", {**_PLACED, "stage": "s b"})]], removed="b")
@example(batches=[[("stage_defs", "G a", _PLACED)], [("stage_defs", "G b", _PLACED)]], removed="a")
@settings(max_examples=20)
@given(**_STAGED)
def test_deals_follow_the_places_of_stages(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Change]], removed: str
) -> None:
    """A history that does not say where a stage stood is looked up, and again when the stages are defined anew."""
    keep_placed(tmp_path_factory.mktemp("cache"), batches, removed)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=200)
@given(**_STAGED)
def test_deals_follow_the_places_of_stages_in_two_hundred_histories(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Change]], removed: str
) -> None:
    keep_placed(tmp_path_factory.mktemp("cache"), batches, removed)


def keep_placed(folder: Path, batches: list[list[Change]], removed: str) -> None:
    """Three open deals with a history; stages defined batch by batch, one taken away, and compared."""
    with closing(open_cache(folder)) as conn:
        for name in "abc":
            put(conn, "opportunities", f"D {name}", state="open")
            put(conn, "opportunity_stage_history", f"H {name}", opportunity_id=f"D {name}", stage=f"s {name}",
                changed_at=f"2026-01-0{'abc'.index(name) + 1}T00:00:00Z", state="open")  # fmt: skip
        for batch in batches:
            for name, id_, values in batch:
                put(conn, name, id_, **values)
            facts.refresh(conn, REPORTING)
        conn.execute("DELETE FROM stage_defs WHERE id = ?", (f"G {removed}",))
        facts.refresh(conn, REPORTING)
        assert snapshot(conn) == rebuilt(conn)


INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '% ON fact_%' ORDER BY name"


@settings(max_examples=15)
@given(
    first=st.lists(changes, min_size=4, max_size=12),
    then=st.lists(changes, max_size=4),
    after=st.integers(1, 6),
    at_once=st.sampled_from([0, facts.AT_ONCE]),
)
def test_a_build_cut_short_goes_on(
    tmp_path_factory: pytest.TempPathFactory, first: list[Change], then: list[Change], after: int, at_once: int
) -> None:
    """Ended after any batch, with changes before it goes on: the facts are the same in the end, indexes and all."""

    class Cut(Exception):
        pass

    done = 0

    def cut(kind: str, units: int) -> None:
        nonlocal done
        done += 1
        if done == after:
            raise Cut

    with closing(open_cache(tmp_path_factory.mktemp("cache"))) as conn:
        facts.install(conn, WITH_GROUPS)
        indexes = conn.execute(INDEXES).fetchall()
        for name, id_, values in first:
            put(conn, name, id_, **values)
        try:
            facts.refresh(conn, REPORTING, facts=WITH_GROUPS, at_once=0, on_batch=cut)
        except Cut:
            assert not facts_are_whole(conn)
        for name, id_, values in then:
            put(conn, name, id_, **values)
        facts.refresh(conn, REPORTING, facts=WITH_GROUPS, at_once=at_once)
        facts.refresh(conn, REPORTING, facts=WITH_GROUPS)
        assert facts_are_whole(conn)
        assert list(map(tuple, conn.execute(INDEXES))) == list(map(tuple, indexes))
        assert snapshot(conn, WITH_GROUPS) == rebuilt(conn, WITH_GROUPS)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def test_an_index_of_other_columns_is_made_anew(cache: sqlite3.Connection) -> None:
    indexes = list(map(tuple, cache.execute(INDEXES)))
    cache.execute("DROP INDEX fact_leads_0")
    cache.execute("CREATE INDEX fact_leads_0 ON fact_leads(owner_id)")
    cache.execute("CREATE INDEX fact_leads_99 ON fact_leads(owner_id, id)")
    facts.install(cache)
    assert list(map(tuple, cache.execute(INDEXES))) == indexes


def test_a_fact_with_other_columns_is_made_anew(cache: sqlite3.Connection) -> None:
    """What an earlier version stored is not read as if this one had."""
    put(cache, "leads", "L", created_at="2026-01-01T00:00:00Z")
    facts.refresh(cache, REPORTING)
    whole = snapshot(cache)
    cache.execute("ALTER TABLE fact_leads DROP COLUMN owner_id")
    assert not facts_are_whole(cache)  # nothing is computed of rows an earlier version made, synced or not
    facts.install(cache)
    assert not facts_are_whole(cache)
    facts.refresh(cache, REPORTING)
    assert snapshot(cache) == whole


def test_other_business_hours_rebuild_only_what_uses_them(cache: sqlite3.Connection) -> None:
    """A changed calendar is no reason to derive deals anew; the same calendar is none at all."""
    put(cache, "leads", "L", created_at="2026-01-01T00:00:00Z")
    put(cache, "tickets", "T", created_at="2026-01-01T00:00:00Z")
    timed: Mapping[str, Fact] = {k: replace(f, uses=("hours",)) if k == "tickets" else f for k, f in FACTS.items()}
    facts.refresh(cache, REPORTING, facts=timed)
    assert facts.refresh(cache, REPORTING, facts=timed) == 0
    hours: Any = REPORTING.hours.model_copy(update={"weekly": {0: ((540, 600),)}})
    other: Reporting = REPORTING.model_copy(update={"hours": hours})
    assert facts.refresh(cache, other, facts=timed) == 1


def test_a_fact_feeds_only_later_ones() -> None:
    """An order in which a fact would be read before it is whole is refused."""
    with pytest.raises(ImportError, match="derived after"):
        in_order([PERSONS, *WITH_GROUPS.values()][:-1])
