"""Short plain mails to the owner of a scorecard: held, partial, failed, uncertain; at most one of a kind per run."""

import logging
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from scorecards.values import instant
from syncagent import compose
from syncagent.mailer import MailSettings

log = logging.getLogger(__name__)

_SUBJECTS = {
    "held": "{title} is held: its data is late",
    "partial": "{title}: some values could not be had",
    "failed": "{title} was not delivered",
    "uncertain": "{title} may not have arrived",
    "skipped": "{title} was not sent",
    "changed": "{title}: a source has changed",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom to tell about a scorecard."""

    address: str
    title: str


Owners = Mapping[str, Owner]


def owe(
    state: sqlite3.Connection,
    mail: MailSettings,
    owners: Owners,
    *,
    due_run_id: str,
    scorecard: str,
    due_at: datetime,
    cause: str,
    text: str,
    now: datetime,
    about_run: bool = True,
    batch: str = "",
) -> None:
    """Put a notice into the outbox, once per run and cause; a scorecard without owner is only logged.

    `about_run` False: the notice is of something else, which `due_run_id` and `due_at` only name (its id, when it was
    noticed). `batch` tells several of one cause and instant apart.
    """
    owner = owners.get(scorecard)
    if owner is None:
        log.warning("scorecard %s has no owner to tell: %s", scorecard, cause, extra={"action": "notice.no_owner"})
        return
    try:
        to = compose.mailbox(owner.address)
    except ValueError:
        log.warning("the owner of scorecard %s cannot be written to", scorecard, extra={"action": "notice.no_owner"})
        return
    kind = f"notice:{cause}#{batch}" if batch else f"notice:{cause}"
    subject = _SUBJECTS[cause].format(title=owner.title)
    message_id = compose.message_id(scorecard, due_at, to.address, compose.mailbox(mail.from_), kind=kind)
    body = f"{text}\n\nScorecard: {owner.title} ({scorecard})\n"
    body += f"Due: {instant(due_at)}\nRun: {due_run_id}\n" if about_run else f"Noticed: {instant(due_at)}\n"
    mime = compose.compose_notice(subject, body, mail, to=to, message_id=message_id, sent_at=now, scorecard=scorecard)
    enqueue(
        state,
        due_run_id=due_run_id,
        scorecard=scorecard,
        due_at=due_at,
        kind=kind,
        to=to,
        subject=subject,
        message_id=message_id,
        mime=mime,
        now=now,
    )


def enqueue(
    state: sqlite3.Connection,
    *,
    due_run_id: str,
    scorecard: str,
    due_at: datetime,
    kind: str,
    to: compose.Mailbox,
    subject: str,
    message_id: str,
    mime: bytes,
    now: datetime,
    locale: str | None = None,
    timezone: str | None = None,
    refused: str | None = None,
) -> bool:
    """Owe one message to one recipient; `refused` files it as failed at once. False when it is owed already."""
    return (
        state.execute(
            """INSERT OR IGNORE INTO outbox (due_run_id, scorecard, due_at, kind, recipient, name, locale, timezone,
                   subject, message_id, mime, state, last_reply, next_attempt_at, owed_since, created_at, updated_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                due_run_id,
                scorecard,
                instant(due_at),
                kind,
                to.address,
                to.name,
                locale,
                timezone,
                subject,
                message_id,
                mime,
                "failed" if refused else "queued",
                refused,
                *[instant(now)] * 4,
            ),
        ).rowcount
        == 1
    )
