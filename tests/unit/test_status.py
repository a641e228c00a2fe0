"""Health, read from the databases alone."""

import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import AuthError, StreamError
from syncagent import ledger, runs
from syncagent.config import load_config
from syncagent.daemon_jobs import Jobs
from syncagent.running import ConfigWatch, SecretWatch, write_note
from syncagent.status import status
from syncagent.stopping import StopEvent
from syncagent.store import lock_data_dir, open_cache, open_state, transaction
from syncagent.sync_state import note_error
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


def look(office: Office, now: datetime = DUE) -> dict[str, Any]:
    return status(load_config(office.config), now)


def codes(office: Office, now: datetime = DUE) -> list[str]:
    return [problem["code"] for problem in look(office, now)["problems"]]


def owe(office: Office, change: Callable[[Any], object]) -> None:
    with closing(open_state(office.data_dir)) as state, transaction(state):
        ledger.add_run(state, "weekly", DUE, period=None, timezone="UTC", now=DUE)
        change(state)


def test_all_is_well(office: Office) -> None:
    found = look(office)
    assert (found["healthy"], found["problems"], found["running"]) == (True, [], False)
    assert found["sources"][0]["age_s"] == 600
    assert found["scorecards"][0]["next_due_at"] == "2026-11-09T07:00:00Z"
    assert found["outbox"] == {"messages": 0, "states": {}, "oldest_at": None}


def test_a_running_instance_is_seen(office: Office) -> None:
    with lock_data_dir(office.data_dir):
        assert look(office)["running"]


def test_a_single_sync_is_not_taken_for_the_daemon(office: Office) -> None:
    later = DUE + timedelta(minutes=36)
    begin(office, DUE - timedelta(minutes=5))
    with lock_data_dir(office.data_dir, "sync"):
        found = look(office, later)
    assert (found["running"], found["busy"]) == (False, "sync")
    assert [problem["code"] for problem in found["problems"]] == ["source_stale", "overdue"]
    assert found["problems"][0]["mend"] == "Start `syncagent run`; the daemon is not running."
    with lock_data_dir(office.data_dir):
        found = look(office, later)
    assert (found["running"], found["busy"]) == (True, None)


def test_a_source_not_read_for_three_intervals_is_stale(office: Office) -> None:
    assert codes(office, DUE + timedelta(minutes=34)) == []
    assert codes(office, DUE + timedelta(minutes=36)) == ["source_stale"]


def test_a_failure_that_says_what_to_run_is_followed_by_no_other_order(office: Office) -> None:
    mend = "Export it again, or carry it out with `syncagent sync desk --full`."
    with closing(open_cache(office.data_dir)) as cache:
        error = StreamError("t.csv holds no rows: nothing was deleted.", mend=mend)
        note_error(cache, "desk", "opportunities", error, datetime.fromisoformat(SYNCED))
    (problem,) = look(office)["problems"]
    assert problem["mend"] == mend


def test_a_source_that_fails_says_since_when(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        note_error(
            cache,
            "desk",
            "opportunities",
            AuthError("the token was refused", mend="Renew it."),
            datetime.fromisoformat(SYNCED),
        )
    found = look(office)
    (problem,) = found["problems"]
    assert problem["code"] == "source_failing"
    assert problem["mend"] == "Renew it. Try it again: `syncagent sync desk`."
    assert found["sources"][0]["error_mend"] == found["sources"][0]["streams"][0]["error_mend"] == "Renew it."
    assert problem["message"] == "source desk is failing since Mon 2026-11-02 07:50 CET: the token was refused"


def test_one_stream_never_read_leaves_the_source_never_read(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        cache.execute("INSERT INTO sync_state (source_name, stream) VALUES ('desk', 'leads')")
    assert codes(office) == ["source_never_synced"]


def test_a_scorecard_that_is_not_out_an_hour_after_is_overdue(office: Office) -> None:
    owe(office, lambda state: None)
    later = DUE + timedelta(minutes=61)
    with lock_data_dir(office.data_dir):
        assert codes(office, DUE + timedelta(minutes=30)) == []
        assert "scorecard_overdue" in codes(office, later)
    assert codes(office, DUE + timedelta(minutes=30)) == ["overdue"]


def test_a_scorecard_that_failed_is_a_problem_for_a_week(office: Office) -> None:
    run = ledger.run_id("weekly", DUE)
    owe(office, lambda state: ledger.decide(state, run, "failed", "failed", "Nobody could be reached.", DUE))
    assert "scorecard_failed" in codes(office, DUE + timedelta(days=6))
    assert "scorecard_failed" not in codes(office, DUE + timedelta(days=8))


@pytest.mark.parametrize(("state_word", "code"), [("uncertain", "message_uncertain"), ("failed", "message_failed")])
def test_messages_that_wait_for_a_decision_are_problems(office: Office, state_word: str, code: str) -> None:
    owe(
        office,
        lambda state: state.execute(
            """INSERT INTO outbox (due_run_id, scorecard, due_at, kind, recipient, message_id, state, next_attempt_at,
                   owed_since, created_at, updated_at)
               VALUES (?3, 'weekly', ?1, 'due', 'vp@acme.test', '<m@acme.test>', ?2, ?1, ?1, ?1, ?1)""",
            (SYNCED, state_word, ledger.run_id("weekly", DUE)),
        ),
    )
    (problem,) = look(office)["problems"]
    assert problem["code"] == code
    assert problem["mend"] == "`syncagent outbox retry 1` or `syncagent outbox drop 1`."


def test_a_database_that_cannot_be_used_is_a_problem_not_an_error(office: Office) -> None:
    (office.data_dir / "cache.db").write_bytes(b"")
    (office.data_dir / "state.db").write_bytes(b"not a database at all " * 300)
    assert codes(office) == ["cache", "state"]


def test_upkeep_forgets_old_sync_runs(office: Office) -> None:
    with closing(open_cache(office.data_dir)) as cache:
        cache.executemany(
            "INSERT INTO sync_runs (source_name, stream, started_at) VALUES ('desk', 'leads', ?)",
            [("2026-01-01T00:00:00Z",), (SYNCED,)],
        )
    Jobs(load_config(office.config), clock=lambda: DUE, stop=StopEvent()).upkeep()
    with closing(open_cache(office.data_dir)) as cache:
        assert [row[0] for row in cache.execute("SELECT started_at FROM sync_runs")] == [SYNCED]


def begin(office: Office, until: datetime) -> None:
    """Due times are written down up to `until`."""
    config = load_config(office.config)
    with closing(open_state(office.data_dir)) as state:
        runs.tick(config, None, state, clock=lambda: until, composes=False)


def test_a_due_time_that_passes_while_nobody_runs_is_overdue_at_once(office: Office) -> None:
    begin(office, DUE - timedelta(minutes=5))
    assert codes(office, DUE - timedelta(seconds=1)) == []
    found = look(office, DUE + timedelta(seconds=1))
    (problem,) = found["problems"]
    assert (found["healthy"], problem["code"]) == (False, "overdue")
    assert problem["message"] == "scorecard weekly was due at Mon 2026-11-02 08:00 CET; the daemon is not running"
    with lock_data_dir(office.data_dir):
        assert codes(office, DUE + timedelta(seconds=1)) == []


def test_what_was_sent_by_hand_is_not_overdue(office: Office) -> None:
    begin(office, DUE - timedelta(minutes=5))
    owe(office, lambda state: ledger.decide(state, ledger.run_id("weekly", DUE), "sent", "", "", DUE))
    assert codes(office, DUE + timedelta(seconds=1)) == []


def test_messages_owed_while_nobody_runs_are_a_problem(office: Office) -> None:
    owe(
        office,
        lambda state: state.execute(
            """INSERT INTO outbox (due_run_id, scorecard, due_at, kind, recipient, message_id, state, next_attempt_at,
                   owed_since, created_at, updated_at)
               VALUES (?2, 'weekly', ?1, 'due', 'vp@acme.test', '<m@acme.test>', 'queued', ?1, ?1, ?1, ?1)""",
            (SYNCED, ledger.run_id("weekly", DUE)),
        ),
    )
    (problem,) = look(office)["problems"]
    assert (problem["code"], problem["message"]) == (
        "messages_waiting",
        "1 message is owed and the daemon is not running",
    )
    with lock_data_dir(office.data_dir):
        assert codes(office) == []


def test_a_configuration_the_daemon_has_not_read_is_a_note(office: Office) -> None:
    write_note(load_config(office.config), DUE)
    with lock_data_dir(office.data_dir):
        assert codes(office) == []
        office.config.write_text(office.config.read_text() + "# a word\n")
        found = look(office)
        (note,) = found["problems"]
        assert (found["healthy"], note["code"], note["severity"]) == (True, "config_changed", "warning")
        assert f"kill -HUP {os.getpid()}" in note["mend"]
        moved = office.config.rename(office.folder / "other.toml")
        found = status(load_config(moved), DUE)
        assert "uses another configuration" in found["problems"][0]["message"]
    assert look_at(moved, office) == []


def look_at(config: Path, office: Office) -> list[str]:
    return [problem["code"] for problem in status(load_config(config), DUE)["problems"]]


def test_a_secret_that_is_replaced_is_seen_once_whatever_way(office: Office) -> None:
    secret = office.folder / "secret"
    secret.write_text("first")
    office.write(more='[source.hs]\ntype = "hubspot"\naccess_token = "file:secret"\n')
    watch = SecretWatch(load_config(office.config))
    assert not watch.has_changed()
    secret.unlink()
    assert not watch.has_changed(), "in the middle of being replaced"
    secret.write_text("second")
    assert [watch.has_changed(), watch.has_changed()] == [True, False]
    (office.folder / "third").write_text("third")
    (office.folder / "third").replace(secret)
    assert [watch.has_changed(), watch.has_changed()] == [True, False]


def test_a_change_of_the_configuration_is_told_once(office: Office) -> None:
    watch = ConfigWatch(load_config(office.config))
    assert not watch.has_changed()
    text = office.config.read_text()
    office.config.write_text(text + "# a word\n")
    assert [watch.has_changed(), watch.has_changed()] == [True, False]
    office.config.touch()
    assert not watch.has_changed()
    office.config.unlink()
    assert not watch.has_changed()
    office.config.write_text(text + "# another word\n")
    assert watch.has_changed()
