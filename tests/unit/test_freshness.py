"""Which sources count for a scorecard, and when one of them is late."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scorecards import provenance
from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build
from scorecards.evaluate import evaluate
from scorecards.values import Freshness, instant
from syncagent import freshness
from syncagent.store import open_cache
from tests.unit.facts.frame import REPORTING

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
KPIS = {
    "deals": Kpi(id="deals", of="opportunities"),
    "tickets": Kpi(id="tickets", of="tickets"),
    "mixed": Kpi.model_validate({"id": "mixed", "ratio": {"top": "deals.value", "bottom": "tickets"}}),
    "summed": Kpi.model_validate({"id": "summed", "calc": {"plus": ["deals"], "minus": ["tickets.count"]}}),
    "shared": Kpi.model_validate({"id": "shared", "ratio": {"top": "deals", "bottom": ["deals", "tickets"]}}),
    "own": Kpi(id="own", sql="SELECT 1 AS value"),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = open_cache(tmp_path / "data")
    yield conn
    conn.close()


def synced(cache: sqlite3.Connection, source: str, stream: str, at: datetime | None, error: str | None = None) -> None:
    cache.execute(
        "INSERT INTO sync_state (source_name, stream, ok_at, error, error_at) VALUES (?, ?, ?, ?, ?)",
        (source, stream, instant(at) if at else None, error, instant(NOON) if error else None),
    )


def test_tables_follow_ratios_and_sums_and_give_up_on_sql() -> None:
    assert freshness.tables_of(["deals"], KPIS) == {"opportunities"}
    assert freshness.tables_of(["mixed"], KPIS) == {"opportunities", "tickets"}
    assert freshness.tables_of(["summed"], KPIS) == {"opportunities", "tickets"}
    assert freshness.tables_of(["shared"], KPIS) == {"opportunities", "tickets"}
    assert freshness.tables_of(["deals", "own"], KPIS) is None


def test_a_first_answer_is_an_activity() -> None:
    answered = Kpi.model_validate(
        {"id": "answered", "of": "tickets", "duration": {"from": "created_at", "to": "first_response_at"}}
    )
    assert freshness.tables_of(["answered"], {"answered": answered}) == {"tickets", "activities"}


def test_a_scorecard_of_mails_waits_for_activities_alone() -> None:
    """Relations made of one table wait for its stream; those that settings decide, for all."""
    of = {name: Kpi.model_validate({"id": name, "of": name}) for name in ("sent_mails", "campaign_sends", "purchases")}
    assert freshness.tables_of(["sent_mails"], of) == {"activities"}
    assert freshness.tables_of(["sent_mails", "campaign_sends"], of) == {"activities", "email_events"}
    assert freshness.tables_of(["purchases"], of) is None
    waiting = BUILTINS["time_since_last_followup"]
    assert freshness.tables_of([waiting.id], BUILTINS) == {"opportunities", "activities"}


def test_a_source_is_as_old_as_its_oldest_stream_that_is_used(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "opportunities", NOON)
    synced(cache, "sf", "tickets", NOON - timedelta(hours=5))
    synced(cache, "hs", "contacts", NOON - timedelta(days=9))
    found = freshness.of_sources(cache, ["sf", "hs"], {"opportunities", "tickets"})
    assert found == [Freshness("sf", NOON - timedelta(hours=5))]
    assert freshness.late(found, NOON, 5 * 3600) == []
    assert freshness.late(found, NOON, 5 * 3600 - 1) == found


def test_a_source_never_synced_or_half_synced_is_late(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "opportunities", None, "it is down")
    found = freshness.of_sources(cache, ["sf", "new"], {"opportunities"})
    assert found == [Freshness("sf", None, "it is down", NOON), Freshness("new", None)]
    assert freshness.late(found, NOON, 10**9) == found
    assert freshness.sentence(found) == "sf never synced, new never synced"


def withdraw(cache: sqlite3.Connection, source: str, stream: str, *, keeps_records: bool = True) -> None:
    cache.execute(
        "UPDATE sync_state SET withdrawn_at = ? WHERE source_name = ? AND stream = ?", (instant(NOON), source, stream)
    )
    if keeps_records:
        cache.execute(
            f"INSERT INTO {stream} (id, source_name, source_id) VALUES (?, ?, '1')", (f"{source}:{stream}:1", source)
        )


def test_a_withdrawn_stream_makes_nothing_late_and_is_told(cache: sqlite3.Connection) -> None:
    month = timedelta(days=30)
    synced(cache, "hs", "opportunities", NOON)
    synced(cache, "hs", "tickets", NOON - month, "the login may not read it")
    withdraw(cache, "hs", "tickets")
    found = freshness.of_sources(cache, ["hs"], {"opportunities", "tickets"})
    assert found == [Freshness("hs", NOON, withdrawn=(("tickets", NOON - month),))]
    assert freshness.late(found, NOON, 3600) == []
    assert freshness.late_for_good(found, NOON, 3600) == []
    said = "Old data: hs tickets can no longer be read since 2026-10-03 12:00 UTC."
    assert freshness.withdrawn_note(found)[0].startswith(said)
    assert freshness.withdrawn_note(freshness.of_sources(cache, ["hs"], {"opportunities"})) == ()


def test_where_all_that_is_used_is_withdrawn_nothing_will_ever_be_fresh(cache: sqlite3.Connection) -> None:
    synced(cache, "hs", "tickets", NOON - timedelta(days=1))
    synced(cache, "sf", "tickets", NOON)
    withdraw(cache, "hs", "tickets")
    found = freshness.of_sources(cache, ["hs"], {"tickets"})
    assert [(one.synced_at, one.is_withdrawn) for one in found] == [(NOON - timedelta(days=1), True)]
    assert (freshness.late(found, NOON, 3600), freshness.late_for_good(found, NOON, 3600)) == ([], found)
    assert freshness.late_for_good(found, NOON, 2 * 86400) == []
    assert freshness.late_for_good(found, NOON, None) == []
    assert freshness.late_for_good(freshness.of_sources(cache, ["hs", "sf"], {"tickets"}), NOON, 3600) == []


def test_a_withdrawn_stream_that_left_no_records_says_nothing(cache: sqlite3.Connection) -> None:
    synced(cache, "hs", "tickets", None, "no such object")
    withdraw(cache, "hs", "tickets", keeps_records=False)
    assert freshness.of_sources(cache, ["hs"], {"tickets"}) == []
    assert provenance.freshness(cache, {"tickets"}) == []
    withdraw(cache, "hs", "tickets")
    note = freshness.withdrawn_note(freshness.of_sources(cache, ["hs"], {"tickets"}))
    assert "hs tickets can no longer be read, and never was completely." in note[0]
    assert provenance.late(provenance.freshness(cache, {"tickets"}), NOON, 60.0) is not None


def test_a_source_no_longer_configured_makes_no_figure_late(cache: sqlite3.Connection) -> None:
    """No sync of it will come; what it left counts as it is."""
    synced(cache, "old", "tickets", NOON - timedelta(days=90), "login refused")
    synced(cache, "sf", "tickets", NOON)
    assert [one.source for one in provenance.freshness(cache, {"tickets"})] == ["old", "sf"]
    ages = provenance.freshness(cache, {"tickets"}, ["sf", "hs"])
    assert [one.source for one in ages] == ["sf"]
    assert provenance.late(ages, NOON, 3600) is None
    cache.execute("INSERT INTO tickets (id, source, source_name, source_id, first_seen_at, synced_at) VALUES"
                  " ('t', 'x', 'old', 't', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')")  # fmt: skip
    kpi = build("asked", {"of": "tickets"})
    for sources, status in ((None, "stale"), (("sf",), "ok")):
        reporting = REPORTING.model_copy(update={"sources": sources})
        assert evaluate(cache, kpi, {}, reporting, as_of=NOON, max_age_s=3600).status == status


def test_a_figure_made_of_a_withdrawn_stream_is_stale_once_that_is_old(cache: sqlite3.Connection) -> None:
    synced(cache, "hs", "tickets", NOON - timedelta(hours=5))
    withdraw(cache, "hs", "tickets")
    ages = provenance.freshness(cache, {"tickets"})
    assert provenance.late(ages, NOON, 6 * 3600) is None
    assert provenance.late(ages, NOON, 4 * 3600) == "hs tickets can no longer be read since 2026-11-02 07:00 UTC"


def test_many_withdrawn_streams_make_one_note(cache: sqlite3.Connection) -> None:
    for stream in ("contacts", "leads", "opportunities", "tickets"):
        synced(cache, "hs", stream, NOON)
        withdraw(cache, "hs", stream)
    (note,) = freshness.withdrawn_note(freshness.of_sources(cache, ["hs"], None))
    assert note.count("can no longer be read") == 2
    assert "and 2 more." in note
    assert len(note) < 300, "longer notes are cut"


def test_a_failed_login_is_an_error_of_the_source_and_no_stream(cache: sqlite3.Connection) -> None:
    synced(cache, "sf", "login", None, "the login was refused")
    synced(cache, "sf", "tickets", NOON)
    assert freshness.of_sources(cache, ["sf"], None) == [Freshness("sf", NOON, "the login was refused", NOON)]
