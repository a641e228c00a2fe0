"""What `status` says of sources: resting, incomplete, not believed, about to lose something they use."""

from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Page, Sunset
from connectors.errors import AuthError, SourceConfigError
from syncagent import breaker
from syncagent.cli import run_cli
from syncagent.config import load_config
from syncagent.daemon_jobs import Jobs
from syncagent.status import status
from syncagent.stopping import StopEvent
from syncagent.store import open_cache, read_cache
from syncagent.sunsets import endings
from syncagent.sync import sync_source
from tests.fakes.connector import ScriptedConnector
from tests.fakes.office import DUE, Office

SYNCED = "2026-11-02T06:50:00Z"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A folder whose one source was read ten minutes before DUE."""
    office = Office(tmp_path)
    office.write(every="15m")
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute(
            "INSERT INTO sync_state (source_name, stream, ok_at, rows) VALUES ('desk', 'opportunities', ?, 4)",
            (SYNCED,),
        )
    return office


def change(office: Office, assignments: str) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute(f"UPDATE sync_state SET {assignments}")


def look(office: Office, now: datetime = DUE) -> dict[str, Any]:
    return status(load_config(office.config), now)


def refuse(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        breaker.note_failure(cache, "desk", AuthError("the token was refused", mend="Renew it."), DUE)


def test_a_source_that_rests_says_until_when_and_why(office: Office) -> None:
    refuse(office)
    found = look(office)
    (problem,) = found["problems"]
    assert (problem["code"], problem["severity"]) == ("source_resting", "error")
    assert problem["message"] == (
        "source desk rests until Mon 2026-11-02 08:15 CET because its login was refused: the token was refused"
    )
    assert problem["mend"].startswith("Renew it. It is tried again then")
    source = found["sources"][0]
    assert (source["rests_until"], source["failures"]) == ("2026-11-02T07:15:00Z", 5)
    later = look(office, DUE + timedelta(minutes=15))
    assert (later["problems"], later["sources"][0]["rests_until"]) == ([], None)


def test_the_daemon_leaves_a_resting_source_alone_also_after_a_restart(office: Office) -> None:
    refuse(office)
    for minutes, expected in ((0, 0), (14, 0), (15, 1)):
        now = DUE + timedelta(minutes=minutes)
        Jobs(load_config(office.config), clock=lambda now=now: now, stop=StopEvent()).sync("desk")  # type: ignore[misc]
        with closing(read_cache(office.data_dir)) as cache:
            assert cache.execute("SELECT count(*) FROM sync_runs").fetchone()[0] == expected
            assert (breaker.last_rest(cache, "desk") is None) == (expected == 1), "a success forgets everything"


def test_one_run_of_everything_says_by_its_code_that_a_source_rests(office: Office) -> None:
    refuse(office)
    assert Jobs(load_config(office.config), clock=lambda: DUE, stop=StopEvent()).run_once() == 1


def test_changed_settings_wake_a_source(office: Office) -> None:
    refuse(office)
    jobs = Jobs(load_config(office.config), clock=lambda: DUE, stop=StopEvent())
    jobs.wake(("desk",))
    jobs.sync("desk")
    with closing(read_cache(office.data_dir)) as cache:
        assert cache.execute("SELECT count(*) FROM sync_runs").fetchone()[0] == 1


def test_streams_that_were_never_read_are_named(office: Office) -> None:
    names = ("users", "leads", "tickets", "orders")
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("DELETE FROM sync_state")
        connector = ScriptedConnector({name: [] for name in names})
        connector.name = "desk"
        sync_source(connector, cache, clock=lambda: DUE, streams=["leads"])
        found = look(office)
        (problem,) = found["problems"]
        assert (found["healthy"], problem["code"]) == (False, "source_never_synced")
        assert problem["message"] == (
            "source desk: 3 of its 4 streams were never read to the end: users, tickets, orders"
        )
        assert found["sources"][0]["never_read"] == ["users", "tickets", "orders"]
        sync_source(connector, cache, clock=lambda: DUE)
    assert look(office)["problems"] == []


def test_a_login_that_works_ends_what_was_said_of_the_login(office: Office) -> None:
    """Also of streams that are not read now; what was said of a stream itself stays."""
    pages: dict[str, list[Page | Exception | Callable[[], object]]] = {
        name: [] for name in ("users", "leads", "orders")
    }

    def read(login: Exception | None = None, **options: object) -> None:
        connector = ScriptedConnector(pages, login=login)
        connector.name = "desk"
        with closing(open_cache(office.data_dir)) as cache:
            sync_source(connector, cache, clock=lambda: DUE, **options)  # type: ignore[arg-type]

    def failing() -> set[str]:
        return {stream["stream"] for stream in look(office)["sources"][0]["streams"] if stream["error"]}

    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("DELETE FROM sync_state")
    read()
    read(AuthError("the token was refused", mend="Renew it."))
    assert failing() == {"users", "leads", "orders"}
    read(streams=["leads"])
    assert failing() == set()
    read(SourceConfigError("no portal there"))
    assert failing() == {"users", "leads", "orders"}
    pages["orders"] = [SourceConfigError("no such field")]
    read(streams=["orders"])
    read(streams=["leads"])
    assert failing() == {"orders"}
    pages["orders"] = [AuthError("the session was refused")]
    read()
    assert "orders" in failing()
    assert run_cli(["--config", str(office.config), "check"]) in (0, 1)
    assert failing() == set()


def test_a_login_refused_before_anything_was_read_is_no_stream(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("DELETE FROM sync_state")
        connector = ScriptedConnector({"leads": []}, login=AuthError("refused"))
        connector.name = "desk"
        sync_source(connector, cache, clock=lambda: DUE)
    (source,) = look(office)["sources"]
    assert (source["never_read"], source["synced_at"]) == ([], None)


def test_a_stream_the_settings_leave_out_need_not_be_read(office: Office) -> None:
    office.write(every="15m", more='[source.hs]\ntype = "hubspot"\naccess_token = "x"\nstreams = ["leads"]\n')
    connector = ScriptedConnector({"leads": [], "tickets": []})
    connector.name = "hs"
    with closing(open_cache(office.data_dir)) as cache:
        sync_source(connector, cache, clock=lambda: DUE, streams=["leads"])
    assert look(office)["problems"] == []


def test_counts_are_shown_and_a_lasting_difference_is_a_note(office: Office) -> None:
    change(
        office,
        f"crm_count = 1200, cache_count = 1100, counted_at = '{SYNCED}', differs_since = '2026-11-02T06:00:00Z'",
    )
    found = look(office)
    stream = found["sources"][0]["streams"][0]
    assert (stream["crm_count"], stream["cache_count"], found["problems"]) == (1200, 1100, [])
    change(office, f"reconciled_at = '{SYNCED}'")
    found = look(office)
    (problem,) = found["problems"]
    assert (found["healthy"], problem["code"], problem["severity"]) == (True, "incomplete", "warning")
    assert problem["message"] == "desk opportunities: 1,100 of the CRM's 1,200 records are here"
    assert problem["mend"] == "Compare them now: `syncagent sync desk --stream opportunities --reconcile`."


def test_a_comparison_that_was_not_believed_is_a_problem(office: Office) -> None:
    change(office, """sweep = '{"phase": "suspect", "gone": 1500, "of": 2000, "began_at": "2026-11-02T01:00:00Z"}'""")
    (problem,) = look(office)["problems"]
    assert (problem["code"], problem["severity"]) == ("suspect", "error")
    assert problem["message"].startswith("desk opportunities: 1,500 of 2,000 records were not in the CRM's own list")
    assert problem["mend"] == "If they are gone there: `syncagent sync desk --stream opportunities --full`."


@pytest.mark.parametrize(
    ("days", "expected"), [(366, None), (365, "warning"), (91, "warning"), (90, "error"), (-5, "error")]
)
def test_what_a_vendor_will_end_is_told_for_a_year(office: Office, days: int, expected: str | None) -> None:
    end = Sunset("SOAP login", DUE.date() + timedelta(days=days), "Use client credentials.")
    connector = ScriptedConnector({}, sunsets=(end,))
    connector.name = "desk"
    with closing(open_cache(office.data_dir)) as cache:
        sync_source(connector, cache, clock=lambda: DUE)
    problems = look(office)["problems"]
    assert [problem["severity"] for problem in problems] == ([expected] if expected else [])
    for problem in problems:
        assert (problem["code"], problem["mend"]) == ("sunset", "Use client credentials.")


def test_an_end_is_told_in_days() -> None:
    ends = [Sunset("B", date(2026, 11, 3), "b"), Sunset("A", date(2026, 11, 2), "a"), Sunset("C", date(2027, 1, 1), "")]
    assert [end.sentence for end in endings(ends, DUE)] == [
        "A may have ended on 2026-11-02",
        "B ends on 2026-11-03 (in 1 day)",
        "C ends on 2027-01-01 (in 60 days)",
    ]


def test_a_stream_no_longer_there_makes_its_source_neither_old_nor_failing(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute(
            """INSERT INTO sync_state (source_name, stream, ok_at, error, error_at, withdrawn_at)
               VALUES ('desk', 'leads', ?1, 'gone', ?1, ?1)""",
            ("2026-01-01T00:00:00Z",),
        )
    found = look(office)
    assert (found["problems"], found["sources"][0]["synced_at"]) == ([], SYNCED), "a file taken out of the settings"


@pytest.mark.parametrize(("streams", "expected"), [("", 1), ('streams = ["leads"]', 1), ('streams = ["users"]', 0)])
def test_a_stream_the_login_may_not_read_any_more_is_a_note(office: Office, streams: str, expected: int) -> None:
    more = f'[source.hs]\ntype = "hubspot"\naccess_token = "x"\n{streams}\n'
    office.write(every="15m", more=more)
    with closing(open_cache(office.data_dir)) as cache:
        cache.executemany(
            "INSERT INTO sync_state (source_name, stream, ok_at, withdrawn_at) VALUES ('hs', ?, ?, ?)",
            [("users", SYNCED, None), ("leads", SYNCED, SYNCED), ("orders", None, SYNCED)],
        )
    notes = [one for one in look(office)["problems"] if one["code"] == "stream_withdrawn"]
    assert [one["severity"] for one in notes] == ["warning"] * expected
    for note in notes:
        assert note["message"].startswith("hs leads can no longer be read by this login; last read ")


@pytest.mark.parametrize("others", [True, False])
def test_a_stream_the_login_never_could_read_is_shown_and_no_fault(office: Office, others: bool) -> None:
    office.write(every="15m", more='[source.hs]\ntype = "hubspot"\naccess_token = "x"\n')
    with closing(open_cache(office.data_dir)) as cache:
        if others:
            cache.execute("INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('hs', 'users', ?)", (SYNCED,))
        cache.execute(
            """INSERT INTO sync_state (source_name, stream, error, error_at, withdrawn_at)
               VALUES ('hs', 'orders', 'orders cannot be read.', ?1, ?1)""",
            (SYNCED,),
        )
        cache.execute(
            """INSERT INTO sources (source_name, crm, streams) VALUES ('hs', 'hubspot', '["users", "orders"]')
               ON CONFLICT DO UPDATE SET streams = excluded.streams"""
        )
        if not others:
            cache.execute("""UPDATE sources SET streams = '["orders"]' WHERE source_name = 'hs'""")
    found = look(office)
    (source,) = (one for one in found["sources"] if one["source"] == "hs")
    assert {one["stream"]: one["outcome"] for one in source["streams"]}["orders"] == "not_readable"
    codes = [one["code"] for one in found["problems"] if "hs" in one["message"]]
    assert codes == ([] if others else ["source_failing"]), "where nothing at all may be read, that is one"
    assert source["never_read"] == ([] if others else ["orders"])


def test_a_stream_that_is_withdrawn_says_why_and_what_to_do(office: Office) -> None:
    office.write(every="15m", more='[source.hs]\ntype = "hubspot"\naccess_token = "x"\n')
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('hs', 'users', ?)", (SYNCED,))
        cache.execute(
            """INSERT INTO sync_state (source_name, stream, ok_at, error, error_mend, error_at, withdrawn_at)
               VALUES ('hs', 'leads', '2026-01-01T00:00:00Z', 'leads cannot be read.', 'Give the scope.', ?1, ?1)""",
            (SYNCED,),
        )
        cache.execute(
            "INSERT INTO sources (source_name, crm, streams) VALUES ('hs', 'hubspot', '[\"users\", \"leads\"]')"
        )
    found = look(office)
    (note,) = (one for one in found["problems"] if "hs" in one["message"])
    assert (note["code"], note["severity"]) == ("stream_withdrawn", "warning")
    assert note["message"].endswith(": leads cannot be read.")
    assert note["mend"].startswith("Give the scope. ")
    (source,) = (one for one in found["sources"] if one["source"] == "hs")
    assert (source["never_read"], source["error"], source["synced_at"]) == ([], None, SYNCED)
