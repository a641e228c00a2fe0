"""A source that fails again and again rests, also after a restart, and wakes by one probe."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Page
from connectors.errors import AuthError, ConnectorError, RateLimited, StreamError, TransientError
from syncagent import breaker
from syncagent.store import open_cache
from syncagent.sync import GIVE_UP_AFTER, sync_source
from tests.fakes.connector import ScriptedConnector

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DOWN, REFUSED = TransientError("the server is down"), AuthError("the token was refused", mend="Renew it.")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def rests(cache: sqlite3.Connection, *errors: ConnectorError) -> list[float | None]:
    """Minutes of rest after each of these failures in a row, each of them once the rest before it was over."""
    now, found = NOW, list[float | None]()
    for error in errors:
        rest = breaker.note_failure(cache, "sf", error, now)
        found.append(None if rest is None else (rest.until - now) / timedelta(minutes=1))
        now = now if rest is None else rest.until
    return found


def test_the_fifth_failure_in_a_row_is_the_first_rest_and_rests_double(cache: sqlite3.Connection) -> None:
    assert rests(cache, *[DOWN] * 12) == [None] * 4 + [15, 30, 60, 120, 240, 360, 360, 360]


def test_a_refused_login_rests_at_once(cache: sqlite3.Connection) -> None:
    assert rests(cache, REFUSED, REFUSED, DOWN) == [15, 30, 60]


def test_what_a_person_tries_during_a_rest_makes_it_no_longer(cache: sqlite3.Connection) -> None:
    first = breaker.note_failure(cache, "sf", REFUSED, NOW)
    assert first is not None
    for minute in (1, 5, 14):
        now = NOW + timedelta(minutes=minute)
        rest = breaker.note_failure(cache, "sf", AuthError("the user is locked", mend="Unlock it."), now)
        assert rest is not None
        assert (rest.until, rest.failures) == (first.until, first.failures)
        assert (rest.reason, rest.mend) == ("the user is locked", "Unlock it."), "the newest is what is to be mended"
    paused = breaker.note_failure(cache, "sf", RateLimited("429", retry_after_s=3600), NOW)
    assert paused is not None
    assert paused.until == NOW + timedelta(hours=1), "unless the vendor asks for it"


def test_a_rest_says_what_brought_it(cache: sqlite3.Connection) -> None:
    def why(error: ConnectorError, *, before: int = 0) -> str:
        breaker.note_success(cache, "sf")
        for _ in range(before):
            breaker.note_failure(cache, "sf", DOWN, NOW)
        rest = breaker.note_failure(cache, "sf", error, NOW)
        assert rest is not None
        assert rest == breaker.last_rest(cache, "sf")
        return rest.because

    assert why(REFUSED) == why(REFUSED, before=3) == "because its login was refused"
    assert why(DOWN, before=4) == "after 5 failures in a row"
    assert why(RateLimited("429", retry_after_s=1800)) == "because it asked for a pause"


def test_what_the_vendor_asks_for_is_the_least(cache: sqlite3.Connection) -> None:
    assert rests(cache, RateLimited("429", retry_after_s=1800), RateLimited("429", retry_after_s=90_000)) == [30, 360]
    assert rests(cache, RateLimited("429")) == [None]


def test_success_forgets_everything(cache: sqlite3.Connection) -> None:
    rests(cache, *[DOWN] * 7)
    breaker.note_success(cache, "sf")
    assert breaker.last_rest(cache, "sf") is None
    assert rests(cache, DOWN) == [None]


def test_a_rest_is_known_after_a_restart_and_ends_by_the_clock(cache: sqlite3.Connection, tmp_path: Path) -> None:
    rests(cache, REFUSED)
    with closing(open_cache(tmp_path)) as again:
        rest = breaker.resting(again, "sf", NOW + timedelta(minutes=14))
        assert (rest.until, rest.failures, rest.reason) == (  # type: ignore[union-attr]
            NOW + timedelta(minutes=15), 5, "the token was refused"
        )  # fmt: skip
        assert breaker.resting(again, "sf", NOW + timedelta(minutes=15)) is None
        assert breaker.resting(again, "hs", NOW) is None


def test_changed_settings_end_a_rest_and_the_next_failure_is_a_longer_one(cache: sqlite3.Connection) -> None:
    rests(cache, REFUSED)
    breaker.wake(cache, "sf")
    assert breaker.resting(cache, "sf", NOW) is None
    assert rests(cache, REFUSED) == [30]


# --- what a sync makes of it ------------------------------------------------------------------------------------


def failures(cache: sqlite3.Connection) -> int:
    row = cache.execute("SELECT failures FROM sources WHERE source_name = 'sf'").fetchone()
    return 0 if row is None else int(row[0])


@pytest.mark.parametrize(
    ("connector", "expected"),
    [
        (ScriptedConnector({"leads": []}, login=TransientError("down")), 1),
        (ScriptedConnector({"leads": []}, login=AuthError("refused")), 5),
        (ScriptedConnector({"leads": [AuthError("refused")]}), 5),
        (ScriptedConnector({"leads": [TransientError("down")]}), 1),
        (ScriptedConnector({"leads": [TransientError("down")], "tickets": []}), 0),
        (ScriptedConnector({"leads": [StreamError("no access")]}), 0),
        (ScriptedConnector({"leads": [ValueError("ours")]}), 0),
        (ScriptedConnector({"leads": [Page(bookmark={"page": 1}), TransientError("down")]}), 0),
    ],
)
def test_only_what_is_wrong_with_the_source_as_a_whole_counts(
    cache: sqlite3.Connection, connector: ScriptedConnector, expected: int
) -> None:
    sync_source(connector, cache, clock=lambda: NOW)
    assert failures(cache) == expected


def test_a_probe_is_one_login_and_few_streams_one_after_the_other(cache: sqlite3.Connection) -> None:
    names = ("users", "leads", "tickets", "orders")
    down = {name: [TransientError("the server is down")] for name in names}
    for _ in range(5):
        sync_source(ScriptedConnector(down, side_by_side=4), cache, clock=lambda: NOW)
    probe = ScriptedConnector(down, side_by_side=4)
    sync_source(probe, cache, clock=lambda: NOW + timedelta(hours=1))
    assert (probe.logins, len(probe.asked)) == (1, GIVE_UP_AFTER)
    sync_source(ScriptedConnector({name: [] for name in names}, side_by_side=4), cache, clock=lambda: NOW)
    assert failures(cache) == 0


def test_one_broken_stream_does_not_keep_a_source_that_answers_resting(cache: sqlite3.Connection) -> None:
    for _ in range(5):
        breaker.note_failure(cache, "sf", DOWN, NOW)
    probe = ScriptedConnector({"users": [DOWN], "leads": [], "tickets": []}, side_by_side=4)
    reports = sync_source(probe, cache, clock=lambda: NOW + timedelta(hours=1))
    assert [report.error for report in reports] == ["the server is down", None, None]
    assert (failures(cache), breaker.last_rest(cache, "sf")) == (0, None)


def test_a_rest_set_by_a_clock_that_was_ahead_is_over(cache: sqlite3.Connection) -> None:
    for _ in range(12):
        breaker.note_failure(cache, "sf", DOWN, NOW + timedelta(days=365))
    assert breaker.resting(cache, "sf", NOW) is None
    assert breaker.resting(cache, "sf", NOW + timedelta(days=365)) is not None
