"""A stream that its source gives no more: mail comes, never late for it, and never says old data is fresh."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from scorecards.values import instant
from syncagent import runs, sending
from syncagent.errors import Refused
from syncagent.preview import preview
from syncagent.store import open_cache
from tests.fakes.desk import DUE, Desk, desk_in
from tests.unit.test_runs import owed, start, states, text_of, tick

MONTH = timedelta(days=30)
SAID = "Old data: desk opportunities can no longer be read since 2026-10-03 07:00 UTC."


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def write(desk: Desk, statement: str, *values: object) -> None:
    with closing(open_cache(desk.data_dir)) as writer:
        writer.execute(statement, values)


def withdraw(desk: Desk) -> None:
    """A month ago the stream of the deals was read for the last time."""
    desk.synced_at(DUE - MONTH)
    write(desk, "UPDATE sync_state SET withdrawn_at = ok_at")


def statuses(desk: Desk) -> set[tuple[str, str | None]]:
    return {tuple(row) for row in desk.state.execute("SELECT status, verdict FROM kpi_snapshots")}


def test_it_goes_out_at_its_time_and_says_since_when_its_data_stands_still(desk: Desk) -> None:
    start(desk)
    withdraw(desk)
    assert tick(desk, DUE).queued == 1
    text = text_of(desk)
    assert SAID in " ".join(text.split())
    assert "desk last synced" in text
    assert "no longer read: opportunities" in text
    assert statuses(desk) == {("stale", None)}, "old figures are shown as old and not judged"
    assert ("notice:partial", "owner@acme.test") in owed(desk)


def test_without_a_max_age_it_is_said_as_well(desk: Desk) -> None:
    desk = desk.with_card(max_age=None)
    start(desk)
    withdraw(desk)
    assert tick(desk, DUE).queued == 1
    assert SAID in " ".join(text_of(desk).split())


def test_a_stream_no_figure_needs_is_not_spoken_of(desk: Desk) -> None:
    start(desk)
    write(
        desk,
        "INSERT INTO sync_state (source_name, stream, ok_at, withdrawn_at) VALUES ('desk', 'tickets', ?1, ?1)",
        instant(DUE - MONTH),
    )
    write(desk, "INSERT INTO tickets (id, source_name, source_id) VALUES ('desk:tickets:1', 'desk', '1')")
    assert tick(desk, DUE).queued == 1
    assert "Old data" not in text_of(desk)
    assert "no longer read" not in text_of(desk)


def test_what_is_late_beside_it_is_still_waited_for(desk: Desk) -> None:
    desk = desk.with_card(kpis=("won_revenue", "ticket_backlog"))
    start(desk)
    withdraw(desk)
    write(
        desk,
        "INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('desk', 'tickets', ?)",
        instant(DUE - timedelta(hours=7)),
    )
    assert tick(desk, DUE).held == 1
    assert tick(desk, DUE + timedelta(hours=3)).queued == 1
    said = " ".join(text_of(desk).split())
    assert "Sent with late data: desk last synced 2026-11-02 00:00 UTC." in said
    assert SAID in said


def test_skip_keeps_its_word_only_where_nothing_would_be_fresh(desk: Desk) -> None:
    desk = desk.with_card(if_stale="skip")
    start(desk)
    withdraw(desk)
    assert tick(desk, DUE).skipped == 1
    assert states(desk) == [("2026-11-02", "skipped", "stale")]
    assert owed(desk) == [("notice:skipped", "owner@acme.test")], "it does not stay away in silence"


def test_skip_sends_what_is_fresh_beside_it(desk: Desk) -> None:
    desk = desk.with_card(if_stale="skip", kpis=("won_revenue", "ticket_backlog"))
    start(desk)
    withdraw(desk)
    write(desk, "INSERT INTO sync_state (source_name, stream, ok_at) VALUES ('desk', 'tickets', ?)", instant(DUE))
    assert tick(desk, DUE).queued == 1
    assert SAID in " ".join(text_of(desk).split())


def test_by_hand_and_in_a_preview_it_is_said_too(desk: Desk) -> None:
    withdraw(desk)
    assert SAID in " ".join(preview(desk.config, desk.cache, "sales", as_of=DUE).rendered.text.split())
    sending.send_now(desk.config, desk.cache, desk.state, "sales", clock=lambda: DUE)
    assert SAID in " ".join(text_of(desk).split())
    sending.send_now(desk.config, desk.cache, desk.state, "sales", clock=lambda: DUE, again=True)
    assert SAID in " ".join(text_of(desk, kind="again#1").split())
    skipping = desk.with_card(if_stale="skip")
    with pytest.raises(Refused, match="is skipped, its data is late"):
        sending.send_now(skipping.config, desk.cache, desk.state, "sales", clock=lambda: DUE + timedelta(days=7))


def test_read_again_it_is_as_it_was(desk: Desk) -> None:
    start(desk)
    withdraw(desk)
    write(desk, "UPDATE sync_state SET withdrawn_at = NULL, ok_at = ?", instant(DUE))
    assert tick(desk, DUE).queued == 1
    assert "Old data" not in text_of(desk)


def test_a_cache_of_no_stream_waits_as_before(desk: Desk) -> None:
    start(desk)
    write(desk, "DELETE FROM sync_state")
    assert isinstance(desk.cache, sqlite3.Connection)
    assert tick(desk, DUE) == runs.TickReport(held=1)
