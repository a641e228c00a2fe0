"""Sending a scorecard by hand: the due run now, the same once more, or a test to one address."""

import hashlib
import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches

from scorecards.definition import Recipient, Scorecard
from scorecards.values import instant
from syncagent import compose, copies, freshness, issues, ledger, rhythm, runs
from syncagent.config.result import Config
from syncagent.copies import Edition
from syncagent.errors import Refused, UsageError
from syncagent.runs import Clock
from syncagent.store import transaction


@dataclass(frozen=True, slots=True)
class Sent:
    """What was put into the outbox."""

    run_id: str
    kind: str
    due_at: datetime
    outbox_ids: tuple[int, ...]


def card_of(config: Config, name: str) -> Scorecard:
    """The scorecard of that name. Raises UsageError with the nearest."""
    card = config.scorecards.get(name)
    if card is None:
        near = get_close_matches(name, config.scorecards, 1)
        known = ", ".join(config.scorecards) or "none"
        mend = f'Did you mean "{near[0]}"?' if near else f"Configured are: {known}."
        raise UsageError(f'there is no scorecard "{name}"', mend=mend)
    return card


def send_now(
    config: Config,
    cache: sqlite3.Connection,
    state: sqlite3.Connection,
    name: str,
    *,
    clock: Clock,
    as_of: datetime | None = None,
    to: str | None = None,
    again: bool = False,
) -> Sent:
    """Owe a scorecard now: that of the newest due time, or of the instant `as_of`.

    Raises UsageError (unknown name, bad address), Refused (already sent, data late, address not allowed) and
    DeliveryError. With `to` it is a test: to that address only, marked, and the due run stays as it is.
    """
    card, now = card_of(config, name), clock().replace(microsecond=0)
    due_at = (as_of or _newest_due(config, card, now)).replace(microsecond=0)
    if to is not None:
        return _test(config, cache, state, name, due_at, _reader(config, card, to), now)
    run = ledger.find_run(state, name, due_at)
    if run is not None and run.state not in ledger.OPEN and _has_messages(state, run.id):
        if not again:
            said = {"sent": "was already sent", "queued": "is already on its way"}.get(run.state, f"is {run.state}")
            mend = "Use --again to send it once more, or --to ADDRESS for a test."
            if run.state in ("failed", "uncertain"):
                mend = "Use `syncagent outbox retry ID` for those it did not reach, or --again for everybody."
            raise Refused(f"{name} due {instant(due_at)} {said}", mend=mend)
        return _again(config, cache, state, run, card, now)
    sources = issues.sources_of(config, cache, card)
    stale = freshness.late(sources, due_at, card.max_age)
    for_good = freshness.late_for_good(sources, due_at, card.max_age) if card.if_stale == "skip" else []
    if for_good:
        raise Refused(
            f"{name} is skipped, its data is late: {freshness.sentence(for_good)}",
            mend='Give its sources access again, set if_stale = "mark", or use --to ADDRESS to see it.',
        )
    if stale and card.if_stale in ("hold", "skip"):
        raise Refused(
            f"{name} is held, its data is late: {freshness.sentence(stale)}",
            mend="Run `syncagent sync` first, or use --to ADDRESS to see it.",
        )
    edition = Edition(
        name=name,
        run_id=ledger.run_id(name, due_at),
        kind="due",
        due_at=due_at,
        as_of=due_at,
        sent_at=due_at,
        results=issues.values(config, cache, card, due_at, state=state),
        sources=sources,
        number=ledger.next_issue(state, name),
        notes=(*runs.data_notes(sources, stale), *runs.gap_notes(state, name, due_at)),
    )
    made = copies.make(config, edition, issues.readers(card))
    with transaction(state):
        period = issues.period_of(config, card, due_at)
        ledger.add_run(state, name, due_at, period=period, timezone=period.timezone, now=now)
        ledger.reopen(state, edition.run_id, now)
    if not runs.commit(config, state, edition, made, now):
        raise Refused(f"{name} due {instant(due_at)} is already on its way", mend="See `syncagent outbox list`.")
    return _sent(state, edition)


def _newest_due(config: Config, card: Scorecard, now: datetime) -> datetime:
    schedule = rhythm.schedule_of(card)
    weekdays = frozenset(config.reporting().hours.weekly)
    newest = schedule.latest(now, issues.zone_of(config, card), config.holidays, weekdays) if schedule else None
    return newest or now


def _reader(config: Config, card: Scorecard, to: str) -> Recipient:
    try:
        box = compose.mailbox(to)
    except ValueError as error:
        raise UsageError(str(error)) from None
    domains = copies.mail_of(config).allowed_domains
    if domains and box.domain not in {compose.mailbox(f"x@{domain}").domain for domain in domains}:
        raise Refused(
            f"{box.address} is outside the allowed domains", mend=f"Allowed are {', '.join(domains)} (see [mail])."
        )
    known = next((r for r in issues.readers(card) if r.address.lower() == box.address.lower()), None)
    return known or Recipient(address=box.address, name=box.name)


def _test(
    config: Config,
    cache: sqlite3.Connection,
    state: sqlite3.Connection,
    name: str,
    due_at: datetime,
    reader: Recipient,
    now: datetime,
) -> Sent:
    card = config.scorecards[name]
    sources = issues.sources_of(config, cache, card)
    stale = freshness.late(sources, due_at, card.max_age)
    edition = Edition(
        name=name,
        run_id="",
        kind="test",
        due_at=due_at,
        as_of=due_at,
        sent_at=now,
        results=issues.values(config, cache, card, due_at, state=state),
        sources=sources,
        notes=runs.data_notes(sources, stale),
    )
    return _owe_numbered(config, state, edition, [reader], now)


def _again(
    config: Config,
    cache: sqlite3.Connection,
    state: sqlite3.Connection,
    run: ledger.DueRun,
    card: Scorecard,
    now: datetime,
) -> Sent:
    sources = issues.sources_of(config, cache, card)
    edition = Edition(
        name=run.scorecard,
        run_id=run.id,
        kind="again",
        due_at=run.due_at,
        as_of=run.due_at,
        sent_at=now,
        results=issues.values(config, cache, card, run.due_at, state=state),
        sources=sources,
        number=run.issue,
        notes=(
            f"Sent again on {now:%Y-%m-%d}; values may have changed since the first copy.",
            *freshness.withdrawn_note(sources),
        ),
    )
    return _owe_numbered(config, state, edition, issues.readers(card), now)


def _owe_numbered(
    config: Config, state: sqlite3.Connection, edition: Edition, readers: list[Recipient], now: datetime
) -> Sent:
    """Owe the next test or further copy of this due time; each is a message of its own."""
    row = state.execute(
        "SELECT count(DISTINCT kind) AS earlier FROM outbox WHERE scorecard = ? AND due_at = ? AND kind LIKE ?",
        (edition.name, instant(edition.due_at), f"{edition.kind}#%"),
    ).fetchone()
    kind = f"{edition.kind}#{row['earlier'] + 1}"
    key = f"{edition.name}|{instant(edition.due_at)}|{kind}"
    run_id = edition.run_id or hashlib.sha256(key.encode()).hexdigest()[:16]
    numbered = replace(edition, kind=kind, run_id=run_id)
    made = copies.make(config, numbered, readers)
    with transaction(state):
        copies.owe(state, numbered, made, now)
    return _sent(state, numbered)


def _has_messages(state: sqlite3.Connection, run_id: str) -> bool:
    row = state.execute("SELECT 1 FROM outbox WHERE due_run_id = ? AND kind = 'due' LIMIT 1", (run_id,)).fetchone()
    return row is not None


def _sent(state: sqlite3.Connection, edition: Edition) -> Sent:
    rows = state.execute(
        "SELECT id FROM outbox WHERE scorecard = ? AND due_at = ? AND kind = ? ORDER BY id",
        (edition.name, instant(edition.due_at), edition.kind),
    )
    return Sent(edition.run_id, edition.kind, edition.due_at, tuple(row["id"] for row in rows))
