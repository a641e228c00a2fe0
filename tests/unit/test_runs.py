"""What becomes due and what becomes of it, on a real cache and a real state.db; time is an argument."""

import email
import email.policy
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from scorecards.values import instant
from syncagent import facts, issues, ledger, runs
from syncagent.store import open_cache, open_state, read_cache
from tests.fakes.desk import DUE, Desk, desk_in

WEEK = timedelta(days=7)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def tick(desk: Desk, at: datetime, *, cache: sqlite3.Connection | None = None) -> runs.TickReport:
    return runs.tick(desk.config, cache or desk.cache, desk.state, clock=lambda: at)


def start(desk: Desk) -> None:
    """The first tick, before anything is due."""
    assert tick(desk, DUE - timedelta(minutes=1)) == runs.TickReport()


def states(desk: Desk) -> list[tuple[str, str, str | None]]:
    return [(entry["due_at"][:10], entry["state"], entry["cause"]) for entry in ledger.list_runs(desk.state)]


def owed(desk: Desk) -> list[tuple[str, str]]:
    rows = desk.state.execute("SELECT kind, recipient FROM outbox ORDER BY id")
    return [(row["kind"], row["recipient"]) for row in rows]


def text_of(desk: Desk, recipient: str = "kim@acme.test", kind: str = "due") -> str:
    """The newest message owed to a reader, as text."""
    row = desk.state.execute(
        "SELECT mime FROM outbox WHERE recipient = ? AND kind = ? ORDER BY id DESC", (recipient, kind)
    ).fetchone()
    message = email.message_from_bytes(row["mime"], policy=email.policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def test_a_new_scorecard_starts_now_and_is_due_at_its_time(desk: Desk) -> None:
    start(desk)
    assert states(desk) == []
    assert tick(desk, DUE).queued == 1
    assert states(desk) == [("2026-11-02", "due", None)]
    assert owed(desk) == [("due", "kim@acme.test"), ("due", "hans@acme.test")]
    entry = ledger.list_runs(desk.state)[0]
    assert (entry["issue"], entry["as_of"]) == (1, instant(DUE))
    assert entry["period"] == {"start": "2026-10-26", "end": "2026-11-02", "timezone": "Europe/Berlin"}
    snapshots = desk.state.execute("SELECT kpi, value FROM kpi_snapshots ORDER BY position").fetchall()
    assert [tuple(row) for row in snapshots] == [("won_revenue", 1000.0), ("lost_opportunities", 1.0)]


def test_each_reader_gets_their_own_copy(desk: Desk) -> None:
    start(desk)
    tick(desk, DUE)
    kim, hans = text_of(desk), text_of(desk, "hans@acme.test")
    assert "kim@acme.test" in kim
    assert "hans@acme.test" not in kim
    assert "€1,000" in kim
    assert "1.000" in hans


def test_ticking_again_changes_nothing(desk: Desk) -> None:
    start(desk)
    for minutes in range(5):
        tick(desk, DUE + timedelta(minutes=minutes))
    assert len(owed(desk)) == 2


def test_a_late_tick_makes_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    """as_of and Date come from the due time, never from the clock."""
    start(desk)
    tick(desk, DUE)
    with closing(open_state(tmp_path / "other")) as other:
        late = replace(desk, state=other)
        start(late)
        tick(late, DUE + timedelta(hours=2))
        query = "SELECT recipient, message_id, mime FROM outbox ORDER BY id"
        first = [tuple(row) for row in desk.state.execute(query)]
        second = [tuple(row) for row in other.execute(query)]
    assert first == second


def test_two_processes_compose_one_issue(desk: Desk) -> None:
    start(desk)
    barrier, failures = threading.Barrier(4), []

    def work() -> None:
        with closing(open_state(desk.data_dir)) as state, closing(read_cache(desk.data_dir)) as cache:
            barrier.wait(10)
            try:
                runs.tick(desk.config, cache, state, clock=lambda: DUE)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(owed(desk)) == 2


def test_after_a_downtime_only_the_newest_goes_out_and_names_the_gap(desk: Desk) -> None:
    start(desk)
    tick(desk, DUE)
    now = DUE + 3 * WEEK + timedelta(hours=5)
    desk.synced_at(now)
    report = tick(desk, now)
    assert (report.queued, report.skipped) == (1, 2)
    assert states(desk) == [
        ("2026-11-02", "due", None),
        ("2026-11-09", "skipped", "missed"),
        ("2026-11-16", "skipped", "missed"),
        ("2026-11-23", "due", None),
    ]
    assert "Not sent since the last issue: 2026-11-09, 2026-11-16." in text_of(desk)
    assert [entry["issue"] for entry in ledger.list_runs(desk.state)] == [1, None, None, 2]


def test_catch_up_none_sends_nothing_late(desk: Desk) -> None:
    desk = desk.with_card(catch_up="none")
    start(desk)
    assert tick(desk, DUE + timedelta(seconds=14)).queued == 1
    assert tick(desk, DUE + 2 * WEEK + timedelta(hours=1)).skipped == 2
    assert len(owed(desk)) == 2


def test_a_changed_schedule_starts_anew(desk: Desk) -> None:
    start(desk)
    tick(desk, DUE)
    changed = desk.with_card(send="daily 06:00")
    tick(changed, DUE + timedelta(days=2, hours=12))
    assert len(states(changed)) == 1
    desk.synced_at(DUE + timedelta(days=3))
    tick(changed, DUE + timedelta(days=3))
    assert states(changed)[1] == ("2026-11-05", "due", None)


def test_a_scorecard_taken_out_and_put_back_is_not_caught_up(desk: Desk) -> None:
    start(desk)
    without = replace(desk, config=replace(desk.config, scorecards={}))
    tick(without, DUE + timedelta(hours=1))
    tick(desk, DUE + 3 * WEEK)
    assert states(desk) == []


def test_a_waiting_run_of_a_removed_scorecard_is_closed(desk: Desk) -> None:
    start(desk)
    desk.synced_at(DUE - timedelta(days=1))
    tick(desk, DUE)
    tick(replace(desk, config=replace(desk.config, scorecards={})), DUE + timedelta(minutes=1))
    assert states(desk) == [("2026-11-02", "skipped", "removed")]


def test_quiet_and_paused_days_are_skipped_by_name_and_are_no_gap(desk: Desk) -> None:
    desk = desk.with_card(quiet=(date(2026, 11, 2),), pause_until=date(2026, 11, 10))
    start(desk)
    tick(desk, DUE)
    tick(desk, DUE + WEEK)
    desk.synced_at(DUE + 2 * WEEK)
    tick(desk, DUE + 2 * WEEK)
    assert states(desk) == [
        ("2026-11-02", "skipped", "quiet"),
        ("2026-11-09", "skipped", "paused"),
        ("2026-11-16", "due", None),
    ]
    assert "Not sent" not in text_of(desk)


def test_next_due_leaves_quiet_days_out(desk: Desk) -> None:
    quiet = desk.with_card(quiet=(date(2026, 11, 9),))
    assert runs.next_due(quiet.config, "sales", DUE - timedelta(hours=1), 3) == [DUE, DUE + 2 * WEEK, DUE + 3 * WEEK]


def test_late_data_is_held_the_owner_told_once_and_a_sync_releases_it(desk: Desk) -> None:
    start(desk)
    desk.synced_at(DUE - timedelta(hours=7))
    for minutes in range(3):
        assert tick(desk, DUE + timedelta(minutes=minutes)).held == 1
    assert states(desk) == [("2026-11-02", "held", "stale")]
    assert owed(desk) == [("notice:held", "owner@acme.test")]
    notice = text_of(desk, "owner@acme.test", "notice:held")
    assert "desk last synced 2026-11-02 00:00 UTC" in notice
    desk.synced_at(DUE + timedelta(minutes=5))
    assert tick(desk, DUE + timedelta(minutes=6)).queued == 1
    assert "Sent with late data" not in text_of(desk)


def test_half_built_facts_are_waited_for(desk: Desk) -> None:
    """Numbers over part of the records are not sent: the run waits for the build, and then goes out whole."""
    start(desk)
    with closing(open_cache(desk.config.agent.data_dir)) as writer:
        writer.execute("INSERT INTO facts_meta VALUES ('building', '')")
        assert tick(desk, DUE).held == 1
        assert owed(desk) == [("notice:held", "owner@acme.test")]
        writer.execute("DELETE FROM facts_meta WHERE key = 'building'")
    assert tick(desk, DUE + timedelta(minutes=1)).queued == 1


def test_facts_nobody_asked_for_before_are_waited_for(desk: Desk) -> None:
    """A new pause of engagements: what follows from it is there after the next sync, and then the mail goes out."""
    start(desk)
    with closing(open_cache(desk.config.agent.data_dir)) as writer:
        facts.refresh(writer, desk.config.reporting())
        before = writer.execute("SELECT value FROM facts_meta WHERE key = 'made gap_days'").fetchone()[0]
        writer.execute("UPDATE facts_meta SET value = '[3]' WHERE key = 'made gap_days'")
        assert tick(desk, DUE).held == 1
        writer.execute("UPDATE facts_meta SET value = ? WHERE key = 'made gap_days'", (before,))
    assert tick(desk, DUE + timedelta(minutes=1)).queued == 1


def test_after_hold_max_it_goes_out_marked(desk: Desk) -> None:
    start(desk)
    desk.synced_at(DUE - timedelta(hours=7))
    tick(desk, DUE)
    assert tick(desk, DUE + timedelta(hours=2, minutes=59)).held == 1
    assert tick(desk, DUE + timedelta(hours=3)).queued == 1
    assert "Sent with late data: desk last synced 2026-11-02 00:00 UTC." in text_of(desk)
    assert ("notice:partial", "owner@acme.test") in owed(desk)


def test_mark_sends_at_once_and_says_so(desk: Desk) -> None:
    desk = desk.with_card(if_stale="mark")
    start(desk)
    desk.synced_at(DUE - timedelta(hours=7))
    assert tick(desk, DUE).queued == 1
    assert "Sent with late data" in text_of(desk)
    statuses = {row["status"] for row in desk.state.execute("SELECT status FROM kpi_snapshots")}
    assert statuses == {"stale"}


def test_skip_leaves_the_issue_out_and_tells_the_owner(desk: Desk) -> None:
    desk = desk.with_card(if_stale="skip")
    start(desk)
    desk.synced_at(DUE - timedelta(hours=7))
    assert tick(desk, DUE).skipped == 1
    assert states(desk) == [("2026-11-02", "skipped", "stale")]
    assert owed(desk) == [("notice:skipped", "owner@acme.test")]


def test_a_held_run_gives_way_to_the_next(desk: Desk) -> None:
    desk = desk.with_card(send="daily 08:00", hold_max=3 * 86400)
    start(desk)
    desk.synced_at(DUE - timedelta(days=1))
    tick(desk, DUE)
    tick(desk, DUE + timedelta(days=1))
    assert states(desk) == [("2026-11-02", "skipped", "superseded"), ("2026-11-03", "held", "stale")]


def test_without_a_cache_it_waits_and_then_fails_with_a_reason(desk: Desk) -> None:
    start(desk)
    assert runs.tick(desk.config, None, desk.state, clock=lambda: DUE).held == 1
    assert runs.tick(desk.config, None, desk.state, clock=lambda: DUE + timedelta(hours=4)).failed == 1
    assert states(desk) == [("2026-11-02", "failed", "no_cache")]


def test_a_broken_kpi_says_so_in_its_row_and_the_others_arrive(desk: Desk) -> None:
    desk = desk.with_card(kpis=("won_revenue", "broken", "lost_opportunities"))
    start(desk)
    assert tick(desk, DUE).queued == 1
    statuses = [row["status"] for row in desk.state.execute("SELECT status FROM kpi_snapshots ORDER BY position")]
    assert statuses == ["ok", "error", "ok"]
    assert "€1,000" in text_of(desk)
    assert "- Broken (broken): error." in text_of(desk, "owner@acme.test", "notice:partial")


def test_a_message_that_cannot_be_made_fails_alone_and_tells_the_owner(desk: Desk) -> None:
    bad = desk.config.scorecards["sales"].model_copy(update={"locale": "xx-XX", "to": ("kim@acme.test",)})
    both = {"bad": bad, "sales": desk.config.scorecards["sales"]}
    desk = replace(desk, config=replace(desk.config, scorecards=both))
    start(desk)
    report = tick(desk, DUE)
    assert (report.failed, report.queued) == (1, 1)
    assert {entry["scorecard"]: entry["state"] for entry in ledger.list_runs(desk.state)} == {
        "bad": "failed",
        "sales": "due",
    }
    assert ("notice:failed", "owner@acme.test") in owed(desk)


def test_a_scorecard_without_readers_fails_with_a_reason(desk: Desk) -> None:
    desk = desk.with_card(to=())
    start(desk)
    assert tick(desk, DUE).failed == 1
    assert states(desk) == [("2026-11-02", "failed", "no_readers")]


def test_a_reader_smtp_cannot_carry_is_reported_and_the_others_are_not_touched(desk: Desk) -> None:
    desk = desk.with_card(to=("zoë@acme.test", "kim@acme.test"))
    start(desk)
    tick(desk, DUE)
    recipients = {r["address"]: r for r in ledger.list_runs(desk.state)[0]["recipients"]}
    assert recipients["zoë@acme.test"]["state"] == "failed"
    assert "cannot be delivered" in recipients["zoë@acme.test"]["last_reply"]
    assert recipients["kim@acme.test"]["state"] == "queued"


@pytest.mark.parametrize("only_if", ["any red", "any red or signal"])
def test_only_if_keeps_back_what_nobody_needs_to_read(desk: Desk, only_if: str) -> None:
    desk = desk.with_card(only_if=only_if, kpis=("lost_opportunities",))
    start(desk)
    report = tick(desk, DUE)
    if only_if == "any red":
        assert report.skipped == 1
        assert states(desk) == [("2026-11-02", "skipped", "only_if")]
        assert owed(desk) == []
    else:
        assert report.queued + report.skipped == 1


def test_only_if_changed_compares_with_what_was_sent(desk: Desk) -> None:
    desk = desk.with_card(only_if="changed", send="daily 08:00", period="month")
    start(desk)
    assert tick(desk, DUE).queued == 1
    desk.synced_at(DUE + timedelta(days=1))
    assert tick(desk, DUE + timedelta(days=1)).skipped == 1
    changed = desk.with_card(kpis=("won_revenue",))
    desk.synced_at(DUE + timedelta(days=2))
    assert tick(changed, DUE + timedelta(days=2)).queued == 1


def test_a_step_of_the_clock_forwards_is_held_back_for_two_ticks(desk: Desk) -> None:
    start(desk)
    guard = runs.ClockGuard()
    assert guard.is_trusted(DUE, 0.0)
    assert guard.is_trusted(DUE + timedelta(seconds=15), 15.0)
    year_later = DUE + timedelta(days=365)
    assert not guard.is_trusted(year_later, 30.0)
    assert not guard.is_trusted(year_later + timedelta(seconds=15), 45.0)
    assert guard.is_trusted(year_later + timedelta(seconds=30), 60.0)
    again = runs.ClockGuard()
    assert again.is_trusted(DUE, 0.0)
    assert not again.is_trusted(year_later, 15.0)
    assert again.is_trusted(DUE + timedelta(seconds=30), 30.0)


def test_a_year_forwards_and_back_sends_nothing(desk: Desk) -> None:
    start(desk)
    guard = runs.ClockGuard()
    trusted = [
        runs.tick(desk.config, desk.cache, desk.state, clock=lambda at=at: at, guard=guard).is_clock_trusted  # type: ignore[misc]
        for at in (DUE - timedelta(seconds=30), DUE + timedelta(days=365), DUE - timedelta(seconds=15))
    ]
    assert trusted == [True, False, True]
    assert (states(desk), owed(desk)) == ([], [])


def test_a_clock_set_back_sends_nothing_twice_and_goes_on(desk: Desk) -> None:
    start(desk)
    tick(desk, DUE)
    tick(desk, DUE - timedelta(hours=1))
    tick(desk, DUE)
    assert len(owed(desk)) == 2
    desk.synced_at(DUE + WEEK)
    tick(desk, DUE + WEEK)
    assert len(owed(desk)) == 4


def test_a_month_of_missed_minutes_is_written_down_within_bounds(desk: Desk) -> None:
    desk = desk.with_card(send=None, cron="* * * * *", period="day")
    start(desk)
    desk.synced_at(DUE + timedelta(days=3))
    report = tick(desk, DUE + timedelta(days=3))
    assert (report.queued, report.skipped) == (1, runs.MOST_WRITTEN_DOWN - 1)


def test_after_a_restore_nothing_up_to_now_is_sent(desk: Desk) -> None:
    start(desk)
    tick(desk, DUE)
    now = DUE + 2 * WEEK + timedelta(hours=1)
    runs.skip_due(desk.config, desk.state, now)
    assert [(state, cause) for _, state, cause in states(desk)] == [("skipped", "restored")] * 3
    assert {row["state"] for row in desk.state.execute("SELECT state FROM outbox")} == {"dropped"}
    assert tick(desk, now) == runs.TickReport()


def test_after_a_clock_that_was_a_year_ahead_the_next_issues_still_go_out(desk: Desk) -> None:
    start(desk)
    desk.synced_at(DUE + timedelta(days=365))
    tick(desk, DUE + timedelta(days=365))  # started with a wrong clock, which only then was set right
    sent = len(owed(desk))
    tick(desk, DUE + timedelta(minutes=1))
    for week in range(2):
        desk.synced_at(DUE + week * WEEK)
        tick(desk, DUE + week * WEEK)
    assert len(owed(desk)) == sent + 4
    assert states(desk)[:3] == [
        ("2026-11-02", "due", None),
        ("2026-11-09", "due", None),
        ("2026-11-16", "skipped", "ahead"),
    ]


def test_what_was_sent_while_the_clock_was_ahead_is_not_sent_again(desk: Desk) -> None:
    start(desk)
    for at in (DUE, DUE + timedelta(hours=3), DUE - timedelta(hours=2), DUE):
        tick(desk, at)
    assert len(owed(desk)) == 2


@pytest.mark.parametrize("schedule", [{"send": "daily 08:00"}, {"send": None, "cron": "*/5 * * * *"}])
def test_a_pause_until_further_notice_has_no_next_due_time(desk: Desk, schedule: dict[str, str | None]) -> None:
    paused = desk.with_card(pause_until=date(9999, 12, 31), **schedule)
    assert runs.next_due(paused.config, "sales", DUE, 1) == []
    later = desk.with_card(pause_until=date(2100, 1, 1), **schedule)
    assert runs.next_due(later.config, "sales", DUE, 1)[0] >= datetime(2099, 12, 31, 23, tzinfo=UTC)


def test_due_times_can_be_written_down_before_anything_is_composed(desk: Desk) -> None:
    start(desk)
    runs.tick(desk.config, desk.cache, desk.state, clock=lambda: DUE, composes=False)
    assert (states(desk), owed(desk)) == ([("2026-11-02", "due", None)], [])
    tick(desk, DUE)
    assert len(owed(desk)) == 2


def test_days_are_the_agent_s_whatever_zone_a_scorecard_is_sent_in(desk: Desk) -> None:
    """A deal's day was settled in the agent's zone: cut in another one it would fall out of both weeks, or into two."""
    at = datetime(2026, 11, 2, 4, 30, tzinfo=UTC)
    card = desk.config.scorecards["sales"]
    with closing(open_cache(desk.config.agent.data_dir)) as writer:
        # Berlin's Monday 00:30: the week after the one that ended at its midnight, also for New York.
        writer.execute("UPDATE opportunities SET close_at = '2026-11-01T23:30:00Z', close_date = NULL")
        facts.refresh(writer, desk.config.reporting())
    for zone in (None, "America/New_York", "Asia/Tokyo"):
        one = card.model_copy(update={"timezone": zone})
        assert issues.period_of(desk.config, one, at).start == date(2026, 10, 26)
        won = next(v for v in issues.values(desk.config, desk.cache, one, at) if v.kpi == "won_revenue")
        assert (won.value, won.period and won.period.start) == (0, date(2026, 10, 26))
        later = issues.values(desk.config, desk.cache, one, at + WEEK)
        assert next(v for v in later if v.kpi == "won_revenue").value == 1000
