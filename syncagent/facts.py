"""Keeps the fact tables up to date: `refresh` derives anew the units of what changed.

What a fact is, `scorecards.facts` says; what changed, `syncagent.changes`. The list of units to derive (`dirty`) is
also the mark a build that was cut short goes on from.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from scorecards.definition import Reporting
from scorecards.facts import FACTS, ITS_IDS, Book, Fact
from scorecards.provenance import facts_lack
from syncagent import changes, factrows, identity, kept, test_rows
from syncagent.schema import TABLES
from syncagent.store import transaction

_META = "CREATE TABLE IF NOT EXISTS facts_meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"
#: Raised whenever what all facts say of unchanged rows changes: stored facts are then built anew.
FACTS_VERSION = 3
#: Under which version of the rules records were linked.
_LINKED = "settings of links"
#: The settings that say of which sets some facts are made: a set more changes no other.
_SETS = ("gap_days", "customer_spans")
_refreshing = threading.Lock()
#: So many units are brought up to date in one transaction, so that KPIs see all of a change or nothing of it. More
#: (a first sync, a changed time zone) are built batch by batch, and KPIs say so meanwhile.
AT_ONCE = 100_000
#: Columns that may name a row of any table.
_ANY_TABLE = {"activity_links": ("object_id",)}
#: The table with most rows that may stand for each other, which hardly anything refers to.
_MANY = "activities"
#: What facts take for the record that stands for it.
_FOLLOWED = tuple(table for table in identity.ALIASED if table not in identity.AS_SAID)
#: What is filed under a merged record belongs to the one that stands for it.
_MARK_CANONICAL = (
    "INSERT INTO dirty SELECT d.kind, a.canonical FROM dirty d CROSS JOIN aliases a ON a.id = d.id WHERE true"
    " ON CONFLICT DO NOTHING"
)


# -- tables and triggers --------------------------------------------------------------------------------------


def install(conn: sqlite3.Connection, facts: Mapping[str, Fact] = FACTS) -> None:
    """Create fact tables, the list of what is dirty and what fills it. Safe to repeat.

    A fact table whose columns have changed is made anew, empty, and built at the next `refresh`.
    """
    for statement in (_META, test_rows.MARKS, *identity.INSTALL):
        conn.execute(statement)
    for fact in facts.values():
        known = tuple(row[1] for row in conn.execute(f"PRAGMA table_info({fact.name})"))
        if known and known != fact.columns:
            conn.execute("INSERT OR REPLACE INTO facts_meta VALUES ('building', '')")
            # Its rows say no longer which units of other facts they belong to: those are built anew as well.
            for kind in (fact.kind, *_fed_by(fact, facts)):
                conn.execute("DELETE FROM facts_meta WHERE key = ?", (f"settings {kind}",))
            conn.execute(f"DROP TABLE {fact.name}")
        factrows.drop_outdated(conn, fact)
        factrows.end_build(conn, fact)
    # Answers are counted from their own table, by the day they came.
    conn.execute("CREATE INDEX IF NOT EXISTS survey_responses_by_day ON survey_responses(responded_at)")
    conn.execute(
        "CREATE INDEX IF NOT EXISTS survey_responses_by_contact ON survey_responses(contact_id)"
        " WHERE contact_id IS NOT NULL"
    )
    conn.execute(
        "CREATE INDEX IF NOT EXISTS opportunity_stage_history_unplaced ON opportunity_stage_history(stage)"
        " WHERE stage_order IS NULL"
    )
    for table in ("opportunities", "orders"):  # whether any has a cost is asked often, and mostly none has
        conn.execute(
            f"CREATE INDEX IF NOT EXISTS {table}_with_cost ON {table}(is_deleted) WHERE cost_minor IS NOT NULL"
        )
    for table in test_rows.NAMED:  # whose rows are a test's is asked at every refresh, and mostly there are none
        conn.execute(f"CREATE INDEX IF NOT EXISTS {table}_tests ON {table}(id) WHERE is_test = 1")
    for table, said in TABLES.items():  # whether any amount is foreign is asked of every money KPI
        if "currency" in said.columns and table != "fx_rates":
            conn.execute(f"CREATE INDEX IF NOT EXISTS {table}_by_currency ON {table}(currency)")
    conn.execute(
        "CREATE INDEX IF NOT EXISTS leads_by_converted_contact_id ON leads(converted_contact_id)"
        " WHERE converted_contact_id IS NOT NULL"
    )
    conn.execute("CREATE INDEX IF NOT EXISTS survey_invitations_by_day ON survey_invitations(sent_at)")
    conn.execute(
        "CREATE INDEX IF NOT EXISTS survey_invitations_by_contact ON survey_invitations(contact_id)"
        " WHERE contact_id IS NOT NULL"
    )
    for column in ("contact_id", "opportunity_id", "ticket_id"):
        conn.execute(f"DROP INDEX IF EXISTS activities_{column}")  # of earlier versions: activities_by_... serves
    changes.install(conn, facts)
    kept.install(conn, changes.noted(facts))


def _fed_by(fact: Fact, facts: Mapping[str, Fact]) -> set[str]:
    """The kinds of facts its rows are passed on to, and theirs."""
    found: set[str] = set()
    for kind in fact.fed:
        if kind in facts:
            found |= {kind, *_fed_by(facts[kind], facts)}
    return found


# -- keeping up -----------------------------------------------------------------------------------------------


def refresh(
    conn: sqlite3.Connection,
    reporting: Reporting,
    *,
    facts: Mapping[str, Fact] = FACTS,
    at_once: int = AT_ONCE,
    on_batch: Callable[[str, int], None] = lambda kind, units: None,
) -> int:
    """Bring the facts up to date; returns how many units were derived anew.

    Up to `at_once` units in one transaction, so that KPIs see all of a change or nothing of it. More (a first sync, a
    changed time zone) are built batch by batch, `is_building` meanwhile, and `on_batch` is told (kind, units) after
    each; a build that was cut short goes on where it was. One at a time in this process: what one has left to be built
    another must not call whole.
    """
    with _refreshing:
        return _refresh(conn, reporting, facts, at_once, on_batch)


def _refresh(
    conn: sqlite3.Connection,
    reporting: Reporting,
    facts: Mapping[str, Fact],
    at_once: int,
    on_batch: Callable[[str, int], None],
) -> int:
    if _known_settings(conn).get("settings") == _common(reporting):
        changes.expand(conn, facts)  # beforehand: what is only being marked changes nothing KPIs see
    with transaction(conn):
        is_new = _adopt_settings(conn, reporting, facts)
        if is_new:
            changes.forget(conn, facts)
        if is_new or _known_settings(conn).get(_LINKED) != _links_said(reporting):
            identity.start_anew(conn, deals_alike=reporting.deals_alike)
            conn.execute("INSERT OR REPLACE INTO facts_meta VALUES (?, ?)", (_LINKED, _links_said(reporting)))
        identity.adopt_config(conn, reporting.links, reporting.never_links)
        test_rows.mark(conn, reporting.test_rows)
        changes.expand(conn, facts)
        identity.note_sources(conn)
        if not is_new and conn.execute("SELECT 1 FROM dirty LIMIT 1").fetchone() is None:
            _complete(conn, facts)
            _finish(conn)
            return 0
        book = Book(reporting)
        identity.link(conn, reporting.system_of_record, book.day)
        changes.expand(conn, facts)
        conn.execute(_MARK_CANONICAL)  # who stood for it until now
        have_moved = identity.refresh_aliases(conn)
        if identity.link_filed(conn, reporting.system_of_record):
            changes.expand(conn, facts)
            conn.execute(_MARK_CANONICAL)
            have_moved = identity.refresh_aliases(conn, once_more=True)
        conn.execute("DELETE FROM dirty WHERE kind = 'identity'")
        if have_moved and not is_new:
            _mark_moved(conn, facts)
        conn.execute(_MARK_CANONICAL)
        if conn.execute("SELECT COUNT(*) FROM dirty").fetchone()[0] <= at_once:
            _complete(conn, facts)
            total = sum(factrows.derive(conn, fact, book) for fact in facts.values())
            _finish(conn)
            return total
        conn.execute("INSERT OR REPLACE INTO facts_meta VALUES ('building', '')")
        kept.forget(conn)
    return _build(conn, book, facts, on_batch)


def is_settled(conn: sqlite3.Connection, reporting: Reporting) -> bool:
    """Are all facts there, under these very settings, so that a refresh costs no more than what changed?"""
    return not is_building(conn) and _known_settings(conn).get("settings") == _common(reporting)


def lacks(conn: sqlite3.Connection, reporting: Reporting) -> bool:
    """Do KPIs ask for sets of facts (a pause, a lookback) that are made at the next refresh?"""
    return any(facts_lack(conn, part, one) for part in _SETS for one in getattr(reporting, part))


def is_building(conn: sqlite3.Connection) -> bool:
    """Are the facts incomplete, because a build of them is not at its end?"""
    return conn.execute("SELECT 1 FROM facts_meta WHERE key = 'building'").fetchone() is not None


def _build(
    conn: sqlite3.Connection, book: Book, facts: Mapping[str, Fact], on_batch: Callable[[str, int], None]
) -> int:
    """One transaction a batch: other writers get their turn, and what is done stays done."""
    total = 0
    for fact in facts.values():
        with transaction(conn):
            factrows.begin_build(conn, fact)
        last = ""
        while True:
            with transaction(conn):
                units, last = factrows.build_batch(conn, fact, book, last)
            if not units:
                break
            total += units
            on_batch(fact.kind, units)
        with transaction(conn):
            factrows.end_build(conn, fact)
    with transaction(conn):
        # What became dirty meanwhile is the next refresh's: it knows the merges that came with it.
        conn.execute("DELETE FROM facts_meta WHERE key = 'building'")
        kept.forget(conn)  # of what a reader computed meanwhile nothing is to be stored
    return total


def _complete(conn: sqlite3.Connection, facts: Mapping[str, Fact]) -> None:
    """A build that was cut short may have left tables without their indexes."""
    if is_building(conn):
        for fact in facts.values():
            factrows.end_build(conn, fact)


def _finish(conn: sqlite3.Connection) -> None:
    conn.execute("DELETE FROM dirty")
    conn.execute("DELETE FROM facts_meta WHERE key = 'building'")
    kept.settle(conn)


def _adopt_settings(conn: sqlite3.Connection, reporting: Reporting, facts: Mapping[str, Fact]) -> bool:
    """Mark what is to be built anew because the settings it was built under are others now; True for everything."""
    common = _common(reporting)
    wanted = {
        fact.kind: _mark(f"{common}|{fact.version}|{[_said(getattr(reporting, part)) for part in fact.uses]}")
        for fact in facts.values()
    }
    known = _known_settings(conn)
    is_new = known.get("settings") != common
    if is_new:
        test_rows.free_all(conn)
        conn.execute("INSERT OR REPLACE INTO facts_meta VALUES ('settings', ?)", (common,))
    for part in _SETS:
        made = json.dumps(getattr(reporting, part))
        conn.execute("INSERT OR REPLACE INTO facts_meta VALUES (?, ?)", (f"made {part}", made))
    for fact in facts.values():
        if is_new or known.get(f"settings {fact.kind}") != wanted[fact.kind]:
            _start_anew(conn, fact, facts)
            conn.execute(
                "INSERT OR REPLACE INTO facts_meta VALUES (?, ?)", (f"settings {fact.kind}", wanted[fact.kind])
            )
    return is_new


def _known_settings(conn: sqlite3.Connection) -> dict[str, str]:
    """The settings stored facts were built under: `settings` those of all, `settings KIND` those of one."""
    return dict(conn.execute("SELECT key, value FROM facts_meta WHERE key LIKE 'settings%'").fetchall())


def _common(reporting: Reporting) -> str:
    """What all facts depend on."""
    return _mark(f"{FACTS_VERSION}|{reporting.timezone}|{reporting.test_rows!r}|{reporting.system_of_record}")


def _links_said(reporting: Reporting) -> str:
    """What records were linked by."""
    return f"{identity.VERSION} deals" if reporting.deals_alike else str(identity.VERSION)


def _said(value: Any) -> str:
    """A part of the settings as text that is the same in every process: sets have no order of their own."""
    if isinstance(value, BaseModel):
        return _said(dict(value))
    if isinstance(value, Mapping):
        return ",".join(sorted(f"{key}={_said(item)}" for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return ",".join(sorted(_said(item) for item in value))
    return repr(value)


def _mark(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()


def _start_anew(conn: sqlite3.Connection, fact: Fact, facts: Mapping[str, Fact]) -> None:
    """Empty a fact table and mark every unit it may have; what it feeds is marked for the rows that go."""
    factrows.feed(conn, fact, everything=True)
    kept.forget(conn)
    conn.execute(f"DELETE FROM {fact.name}")
    feeders = [other for other in facts.values() if fact.kind in other.feeds]
    units = [f"SELECT id FROM {fact.kind}"] if fact.unit == "id" and fact.kind in TABLES else []
    if not units:
        units = [f"SELECT {column} AS id FROM {table}" for table, columns in fact.follows.items() for column in columns]
    units += [f"SELECT {feeder.feeds[fact.kind]} AS id FROM {feeder.name}" for feeder in feeders]
    for unit in units:
        conn.execute(f"INSERT OR IGNORE INTO dirty SELECT ?, id FROM ({unit}) WHERE id IS NOT NULL", (fact.kind,))


# -- merges and links -----------------------------------------------------------------------------------------


def _mark_moved(conn: sqlite3.Connection, facts: Mapping[str, Fact]) -> None:
    """What refers to a row that now stands for another belongs to that other's figures.

    temp.moved holds its id, what stood for it and what does now. Marked are the units of the rows that refer to it, and
    (for facts whose unit may be such a record) itself and both who stood for it.
    """
    _part(conn)
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS referring (id TEXT PRIMARY KEY) WITHOUT ROWID")
    for table in sorted({table for fact in facts.values() for table in fact.follows}):
        references = TABLES[table].references
        columns = [column for column, target in references.items() if target in _FOLLOWED]
        columns += _ANY_TABLE.get(table, ())
        if not columns:
            continue
        conn.execute("DELETE FROM temp.referring")
        for column in columns:
            moved = "moved" if references.get(column) == _MANY else "few_moved"
            conn.execute(
                f"INSERT OR IGNORE INTO temp.referring SELECT id FROM {table}"
                f" WHERE {column} IN (SELECT id FROM temp.{moved})"
            )
        for fact in facts.values():
            for unit in fact.follows.get(table, ()):
                conn.execute(
                    f"INSERT OR IGNORE INTO dirty SELECT '{fact.kind}', {unit} FROM {table}"
                    f" WHERE id IN (SELECT id FROM temp.referring) AND {unit} IS NOT NULL"
                )
    for fact in facts.values():
        own = next((t for t, columns in fact.follows.items() if fact.unit == "id" and columns == ("id",)), None)
        only = f"CROSS JOIN {own} t ON t.id = s.id" if own else ""
        if not _may_be_of(fact, _MANY):
            only += " WHERE s.is_of_many = 0"
        conn.execute(f"INSERT OR IGNORE INTO dirty SELECT '{fact.kind}', s.id FROM temp.stood s {only}")
        for table, read, between, column, unit in fact.reads:
            conn.execute(
                f"INSERT OR IGNORE INTO dirty SELECT '{fact.kind}', own.{unit} FROM {table} t"
                f" JOIN {between} own ON own.{column} IN ({ITS_IDS.format('t')})"
                f" WHERE t.{read} IN (SELECT id FROM temp.few_moved) AND own.{unit} IS NOT NULL"
            )


def _part(conn: sqlite3.Connection) -> None:
    """temp.stood: all ids of temp.moved, and which are of the table of very many rows; temp.few_moved: the others.

    Little refers to such rows: what does is not looked for where it cannot be.
    """
    for statement in (
        "CREATE TEMP TABLE IF NOT EXISTS stood (id TEXT PRIMARY KEY, is_of_many INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TEMP TABLE IF NOT EXISTS few_moved (id TEXT PRIMARY KEY) WITHOUT ROWID",
        "DELETE FROM temp.stood",
        "DELETE FROM temp.few_moved",
    ):
        conn.execute(statement)
    is_of_many = f"EXISTS (SELECT 1 FROM {_MANY} t WHERE t.id = m.{{}})"
    for who in ("id", "was", "now"):
        conn.execute(
            f"INSERT OR IGNORE INTO temp.stood SELECT {who}, {is_of_many.format(who)} FROM temp.moved m"
            f" WHERE {who} IS NOT NULL"
        )
    conn.execute(
        "INSERT INTO temp.few_moved SELECT m.id FROM temp.moved m JOIN temp.stood s ON s.id = m.id"
        " WHERE s.is_of_many = 0"
    )


def _may_be_of(fact: Fact, table: str) -> bool:
    """May a unit of a fact be a record of a table?"""
    return any(
        TABLES[followed].references.get(column) == table or (followed == table and column in ("id", "dup_of"))
        for followed, columns in fact.follows.items()
        for column in columns
    )
