"""One issue as a message per reader, and how all of them are owed at once: values, archive and outbox together."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scorecards.definition import Recipient
from scorecards.render import render
from scorecards.values import Freshness, KpiResult
from syncagent import archive, compose, issues, ledger, notices, pledges, told
from syncagent.config.result import Config
from syncagent.errors import DeliveryError
from syncagent.mailer import MailSettings


@dataclass(frozen=True, slots=True)
class Edition:
    """What all readers of one issue share. `kind` is due, again#N or test#N; `run_id` files it."""

    name: str
    run_id: str
    kind: str
    due_at: datetime
    as_of: datetime
    sent_at: datetime  # the Date of the messages
    results: Sequence[KpiResult]
    sources: Sequence[Freshness]
    number: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """One reader's message; `refused` says why it cannot be carried at all."""

    reader: Recipient
    address: str
    message_id: str
    subject: str = ""
    html: str = ""
    text: str = ""
    eml: bytes = b""
    refused: str | None = None


def mail_of(config: Config) -> MailSettings:
    """The mail settings. Raises DeliveryError when there are none."""
    if config.mail is None:
        raise DeliveryError("there is no [mail] section, so nothing can be sent", mend="Add [mail].")
    return config.mail


def make(config: Config, edition: Edition, readers: Sequence[Recipient]) -> list[Copy]:
    """Render and compose each reader's message. Raises ScorecardError or DeliveryError."""
    mail = mail_of(config)
    sender = compose.mailbox(mail.from_)
    copies = []
    for reader in readers:
        message_id = compose.message_id(edition.name, edition.due_at, reader.address, sender, kind=edition.kind)
        try:
            to = compose.mailbox(reader.address, reader.name)
        except ValueError as error:
            copies.append(Copy(reader, reader.address, message_id, refused=str(error)))
            continue
        issue = issues.build_issue(
            config,
            edition.name,
            edition.results,
            edition.sources,
            due_at=edition.due_at,
            as_of=edition.as_of,
            reader=reader,
            number=edition.number,
            notes=edition.notes,
            is_test=edition.kind.startswith("test"),
        )
        rendered = render(issue)
        eml = compose.compose(issue, rendered, mail, to=to, message_id=message_id, sent_at=edition.sent_at)
        copies.append(Copy(reader, to.address, message_id, rendered.subject, rendered.html, rendered.text, eml))
    return copies


def owe(state: sqlite3.Connection, edition: Edition, copies: Sequence[Copy], now: datetime) -> None:
    """Archive and queue every copy, inside the caller's transaction."""
    if edition.kind == "due":
        ledger.save_snapshots(state, edition.run_id, edition.results)
    if not edition.kind.startswith("test"):
        told.remember(state, edition.name, edition.results)
        pledges.remember(state, edition.results)
    for copy in copies:
        notices.enqueue(
            state,
            due_run_id=edition.run_id,
            scorecard=edition.name,
            due_at=edition.due_at,
            kind=edition.kind,
            to=compose.Mailbox(copy.address, copy.reader.name),
            locale=copy.reader.locale,
            timezone=copy.reader.timezone,
            subject=copy.subject,
            message_id=copy.message_id,
            mime=copy.eml,
            now=now,
            refused=copy.refused,
        )
        if copy.refused is None:
            archive.save(
                state,
                due_run_id=edition.run_id,
                recipient=copy.address,
                kind=edition.kind,
                subject=copy.subject,
                html=copy.html,
                text=copy.text,
                eml=copy.eml,
                now=now,
            )
    ledger.settle(state, edition.run_id, now)
