"""What is due, and what becomes of it: due times become rows, rows become messages owed; nothing is sent here.

`tick` may be called at any time and any number of times: a due run is decided once, in one transaction each.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from scorecards.definition import Scorecard
from scorecards.values import Freshness, KpiResult, instant
from syncagent import copies, facts, freshness, issues, ledger, notices, rhythm
from syncagent.clock import ClockGuard
from syncagent.config.result import Config
from syncagent.copies import Edition
from syncagent.due import Schedule
from syncagent.issues import owners
from syncagent.ledger import DueRun
from syncagent.store import transaction

__all__ = ["ClockGuard", "TickReport", "next_due", "owners", "skip_due", "tick", "written_down_until"]

log = logging.getLogger(__name__)

#: With catch_up = "none" a due time this long gone is missed; a tick comes every 15 seconds.
LATE_S = 900
#: After a long downtime: how far back due times are written down, and how many of them.
LONGEST_LOOK_BACK, MOST_WRITTEN_DOWN = timedelta(days=400), 500
#: Due times written down further ahead than this come from a clock that was wrong then, and is not now.
CLOCK_CAME_BACK = timedelta(hours=1)
#: Statuses that make a result partial: the owner is told.
_LACKING = ("error", "no_data", "not_configured", "stale", "partial")
_GAPS_NAMED = 2

Clock = Callable[[], datetime]


@dataclass(slots=True)
class TickReport:
    """What one tick decided, in due runs."""

    queued: int = 0
    held: int = 0
    skipped: int = 0
    failed: int = 0
    is_clock_trusted: bool = True


@dataclass(frozen=True, slots=True)
class _Desk:
    """What deciding a run needs."""

    config: Config
    cache: sqlite3.Connection | None
    state: sqlite3.Connection
    now: datetime
    report: TickReport


def tick(
    config: Config,
    cache: sqlite3.Connection | None,
    state: sqlite3.Connection,
    *,
    clock: Clock,
    stop: threading.Event | None = None,
    guard: ClockGuard | None = None,
    composes: bool = True,
) -> TickReport:
    """Write down what has become due, and (with `composes`) compose what can be sent.

    `cache` is None before the first sync.
    """
    now, report = clock(), TickReport()
    if guard is not None and not guard.is_trusted(now, time.monotonic()):
        report.is_clock_trusted = False
        return report
    with transaction(state):
        ledger.forget_schedules(state, list(config.scorecards), now)
        for name, card in config.scorecards.items():
            report.skipped += _write_down(config, state, name, card, now)
    if not composes:
        return report
    desk = _Desk(config, cache, state, now, report)
    for name, card in config.scorecards.items():
        for run in _current(desk, name):
            if stop is not None and stop.is_set():
                return report
            _decide(desk, card, run)
    return report


def next_due(config: Config, name: str, after: datetime, count: int) -> list[datetime]:
    """The next due times of a scorecard in UTC, quiet and paused days left out."""
    card = config.scorecards[name]
    schedule = rhythm.schedule_of(card)
    if schedule is None or count < 1:
        return []
    zone = issues.zone_of(config, card)
    if card.pause_until is not None:
        day = card.pause_until
        after = max(after, datetime(day.year, day.month, day.day, tzinfo=zone) - timedelta(seconds=1))
    found: list[datetime] = []
    while len(found) < count:
        batch = schedule.upcoming(after, count, zone, config.holidays, _working_weekdays(config))
        if not batch:
            break
        found += [due for due in batch if _day_off(card, due.astimezone(zone).date()) is None]
        after = batch[-1]
    return found[:count]


def written_down_until(config: Config, state: sqlite3.Connection, name: str) -> datetime | None:
    """Up to when a scorecard's due times have their rows; None when its schedule would start anew."""
    card = config.scorecards[name]
    schedule = rhythm.schedule_of(card)
    row = state.execute("SELECT schedule, enumerated_until FROM schedules WHERE scorecard = ?", (name,)).fetchone()
    if schedule is None or row is None or row["schedule"] != _schedule_key(schedule, issues.zone_of(config, card)):
        return None
    return ledger.moment(row["enumerated_until"])


def skip_due(config: Config, state: sqlite3.Connection, now: datetime) -> None:
    """After a restore: whatever was due up to now may have been sent after the copy was made, so none of it is sent."""
    cause, reason = "restored", "Restored from a backup: it may have been sent after the copy was made."
    with transaction(state):
        for name, card in config.scorecards.items():
            _write_down(config, state, name, card, now, skipped=(cause, reason))
        state.execute(
            """UPDATE due_runs SET state = 'skipped', cause = ?, reason = ?, updated_at = ?
               WHERE state IN ('due', 'held', 'queued')""",
            (cause, reason, instant(now)),
        )
        state.execute(
            """UPDATE outbox SET state = 'dropped', last_reply = ?, updated_at = ?
               WHERE state IN ('queued', 'sending', 'deferred')""",
            (reason, instant(now)),
        )


# --- what became due --------------------------------------------------------------------------------------------


def _write_down(
    config: Config,
    state: sqlite3.Connection,
    name: str,
    card: Scorecard,
    now: datetime,
    *,
    skipped: tuple[str, str] | None = None,
) -> int:
    """Give every due time since the last tick its row; returns how many are skipped at once."""
    schedule = rhythm.schedule_of(card)
    if schedule is None:
        return 0
    zone = issues.zone_of(config, card)
    since = ledger.start_schedule(state, name, _schedule_key(schedule, zone), now)
    if since > now + CLOCK_CAME_BACK:
        log.warning("the clock was ahead, %s is due from now on again", name, extra={"action": "tick.clock_back"})
        since = ledger.take_back(state, name, now)
    if since >= now:
        return 0
    since = max(since, now - LONGEST_LOOK_BACK)
    dues = schedule.due_between(since, now, zone, config.holidays, _working_weekdays(config))
    ledger.advance_schedule(state, name, now)
    if len(dues) > MOST_WRITTEN_DOWN:
        log.warning("%d due times of %s were missed", len(dues), name, extra={"action": "tick.many_missed"})
        dues = dues[-MOST_WRITTEN_DOWN:]
    count = 0
    newest = next((due for due in reversed(dues) if _day_off(card, due.astimezone(zone).date()) is None), None)
    for due in dues:
        why = skipped or _day_off(card, due.astimezone(zone).date()) or _missed(card, due, newest, now)
        period = issues.period_of(config, card, due)
        ledger.add_run(
            state,
            name,
            due,
            period=period,
            timezone=period.timezone,
            now=now,
            skipped=why,
        )
        count += why is not None
    return count


def _schedule_key(schedule: Schedule, zone: ZoneInfo) -> str:
    return f"{schedule.expression}|{zone.key}"


def _day_off(card: Scorecard, day: date) -> tuple[str, str] | None:
    if day in card.quiet:
        return "quiet", f"{day} is a quiet day of this scorecard."
    if card.pause_until is not None and day < card.pause_until:
        return "paused", f"It is paused until {card.pause_until}."
    return None


def _missed(card: Scorecard, due: datetime, newest: datetime | None, now: datetime) -> tuple[str, str] | None:
    if due != newest:
        return "missed", "It became due while the agent was not running; only the newest is caught up."
    if card.catch_up == "none" and (now - due).total_seconds() > LATE_S:
        return "missed", 'It became due while the agent was not running, and catch_up is "none".'
    return None


def _working_weekdays(config: Config) -> frozenset[int]:
    return frozenset(config.reporting().hours.weekly)


# --- what becomes of it -----------------------------------------------------------------------------------------


def _current(desk: _Desk, name: str) -> list[DueRun]:
    """The newest open run; older ones have been overtaken by it."""
    waiting = ledger.open_runs(desk.state, name)
    for run in waiting[:-1]:
        reason = f"The next issue became due before it could be sent. {run.reason or ''}".strip()
        _close(desk, run, "skipped", "superseded", reason)
    return waiting[-1:]


def _decide(desk: _Desk, card: Scorecard, run: DueRun) -> None:
    """Bring one run as far as it can come now; a failure of one never stops the others."""
    try:
        _advance(desk, card, run)
    except sqlite3.Error:
        log.exception("%s due %s is tried again", run.scorecard, instant(run.due_at), extra={"action": "run.retry"})
    except Exception as error:
        log.exception("%s due %s failed", run.scorecard, instant(run.due_at), extra={"action": "run.failed"})
        _close(desk, run, "failed", "failed", f"The message could not be made: {error}", tell=True)


def _advance(desk: _Desk, card: Scorecard, run: DueRun) -> None:
    mail = copies.mail_of(desk.config)
    sources = issues.sources_of(desk.config, desk.cache, card)
    stale = freshness.late(sources, run.due_at, card.max_age)
    if desk.cache is None:
        stale = stale or sources or [Freshness("the cache", None)]
    is_over = _hold_is_over(card, run, desk.now)
    if stale and (card.if_stale == "hold" or desk.cache is None) and not is_over:
        _hold(desk, run, f"Its data is late: {freshness.sentence(stale)}. It waits for the next sync.")
        return
    if desk.cache is None:
        _close(desk, run, "failed", "no_cache", "There is no cache: no source has been synced yet.", tell=True)
        return
    if (facts.is_building(desk.cache) or facts.lacks(desk.cache, desk.config.reporting())) and not is_over:
        _hold(desk, run, "What follows from the records is being worked out. It waits for that.")
        return
    if card.if_stale == "skip" and (old := stale or freshness.late_for_good(sources, run.due_at, card.max_age)):
        _close(desk, run, "skipped", "stale", f"Its data was late: {freshness.sentence(old)}.", tell=True)
        return
    results = issues.values(desk.config, desk.cache, card, run.due_at, state=desk.state)
    _tell_lacking(desk, run, results)
    unwanted = _unwanted(card, results, ledger.last_snapshots(desk.state, run.scorecard, run.due_at))
    if unwanted is not None:
        _close(desk, run, "skipped", "only_if", unwanted)
        return
    edition = Edition(
        name=run.scorecard,
        run_id=run.id,
        kind="due",
        due_at=run.due_at,
        as_of=run.due_at,
        sent_at=run.due_at,
        results=results,
        sources=sources,
        number=ledger.next_issue(desk.state, run.scorecard),
        notes=(*data_notes(sources, stale), *gap_notes(desk.state, run.scorecard, run.due_at)),
    )
    made = copies.make(desk.config, edition, issues.readers(card))
    if not made:
        _close(desk, run, "failed", "no_readers", "It has nobody to be sent to.", tell=True)
        return
    if commit(desk.config, desk.state, edition, made, desk.now):
        desk.report.queued += 1
        log.info(
            "%s due %s: %s to be handed to %s",
            run.scorecard,
            instant(run.due_at),
            f"{len(made)} message{'' if len(made) == 1 else 's'}",
            mail.host,
            extra={"action": "run.queued", "scorecard": run.scorecard},
        )


def commit(
    config: Config,
    state: sqlite3.Connection,
    edition: Edition,
    made: Sequence[copies.Copy],
    now: datetime,
) -> bool:
    """Values, archive, outbox and the run's state in one transaction; False when another process was first."""
    with transaction(state):
        run = ledger.find_run(state, edition.name, edition.due_at)
        if run is None or run.state not in ledger.OPEN or edition.number != ledger.next_issue(state, edition.name):
            return False
        ledger.mark_queued(
            state,
            run.id,
            issue=edition.number,
            as_of=edition.as_of,
            period=issues.period_of(config, config.scorecards[edition.name], edition.as_of),
            config_hash=config.hash,
            notes=" ".join(edition.notes) or None,
            now=now,
        )
        copies.owe(state, edition, made, now)
    return True


def data_notes(sources: Sequence[Freshness], stale: Sequence[Freshness]) -> tuple[str, ...]:
    """Said on a message that goes out though its data is late, or is read no more."""
    late = (f"Sent with late data: {freshness.sentence(stale)}.",) if stale else ()
    return (*late, *freshness.withdrawn_note(sources))


def gap_notes(state: sqlite3.Connection, name: str, due_at: datetime) -> tuple[str, ...]:
    """Said on the first message after some that never went out."""
    gone = ledger.unsent_since_last(state, name, due_at)
    if not gone:
        return ()
    days = ", ".join(f"{run.due_at:%Y-%m-%d}" for run in gone[-_GAPS_NAMED:])
    more = f" and {len(gone) - _GAPS_NAMED} earlier ones" if len(gone) > _GAPS_NAMED else ""
    return (f"Not sent since the last issue: {days}{more}. {gone[-1].reason or ''}".strip(),)


def _hold_is_over(card: Scorecard, run: DueRun, now: datetime) -> bool:
    return run.held_at is not None and now >= max(run.held_at, run.due_at) + timedelta(seconds=card.hold_max)


def _hold(desk: _Desk, run: DueRun, reason: str) -> None:
    desk.report.held += 1
    if run.state == "held":
        return
    with transaction(desk.state):
        ledger.decide(desk.state, run.id, "held", "stale", reason, desk.now)
        _owe_notice(desk, run, "held", reason)
    log.warning("%s is held: %s", run.scorecard, reason, extra={"action": "run.held", "scorecard": run.scorecard})


def _close(desk: _Desk, run: DueRun, state: str, cause: str, reason: str, *, tell: bool = False) -> None:
    desk.report.skipped += state == "skipped"
    desk.report.failed += state == "failed"
    with transaction(desk.state):
        ledger.decide(desk.state, run.id, state, cause, reason, desk.now)
        if tell:
            _owe_notice(desk, run, state, reason)
    log.info("%s is %s: %s", run.scorecard, state, cause, extra={"action": "run.closed", "scorecard": run.scorecard})


def _tell_lacking(desk: _Desk, run: DueRun, results: Sequence[KpiResult]) -> None:
    lacking = [result for result in results if result.status in _LACKING]
    if lacking:
        lines = "\n".join(f"- {r.title} ({r.kpi}): {r.status}. {r.reason or ''}".rstrip() for r in lacking)
        with transaction(desk.state):
            _owe_notice(desk, run, "partial", f"{len(lacking)} of {len(results)} values are not whole:\n{lines}")


def _owe_notice(desk: _Desk, run: DueRun, cause: str, text: str) -> None:
    if desk.config.mail is None:
        return
    notices.owe(
        desk.state,
        desk.config.mail,
        owners(desk.config),
        due_run_id=run.id,
        scorecard=run.scorecard,
        due_at=run.due_at,
        cause=cause,
        text=text,
        now=desk.now,
    )


def _unwanted(card: Scorecard, results: Sequence[KpiResult], before: dict[str, tuple[object, ...]]) -> str | None:
    """Why `only_if` keeps this issue back; None when it goes out."""
    is_red = any(result.verdict == "red" for result in results)
    has_restated = any(result.restated for result in results)
    has_signal = any(result.signal is not None and result.signal.result == "signal" for result in results)
    match card.only_if:
        case "any red" if not is_red:
            return 'No KPI is off target, and only_if is "any red".'
        case "any red or signal" if not is_red and not has_signal:
            return 'No KPI is off target or moved beyond its usual range, and only_if is "any red or signal".'
        case "changed" if (
            before and not has_restated and before == {r.kpi: (r.status, r.value, r.verdict) for r in results}
        ):
            return 'No value has changed since the last issue, and only_if is "changed".'
    return None
