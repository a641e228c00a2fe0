"""What a scorecard would look like, as files; nothing is sent and nothing is written down."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scorecards.render import preview_html, render
from scorecards.render.message import Rendered
from syncagent import compose, freshness, issues, runs
from syncagent.config.result import Config
from syncagent.errors import DeliveryError
from syncagent.mailer import MailSettings
from syncagent.sending import card_of

#: Addresses of a preview where no [mail] is configured; `.example` can never be delivered to.
_NO_MAIL = MailSettings.model_validate({"host": "localhost", "from": "preview@syncagent.example", "security": "none"})


@dataclass(frozen=True, slots=True)
class Preview:
    """One message as the first reader would get it."""

    rendered: Rendered
    eml: bytes


def preview(
    config: Config,
    cache: sqlite3.Connection,
    name: str,
    *,
    as_of: datetime,
    state: sqlite3.Connection | None = None,
) -> Preview:
    """Compute and render a scorecard at an instant. Raises UsageError for an unknown name.

    With `state` it also says what it restates of what was sent; nothing is noted there.
    """
    card, as_of = card_of(config, name), as_of.replace(microsecond=0)
    readers = issues.readers(card)
    if not readers:
        raise DeliveryError(f"scorecard {name} has nobody to send it to", mend='Add to = ["name@example.com"].')
    sources = issues.sources_of(config, cache, card)
    stale = freshness.late(sources, as_of, card.max_age)
    issue = issues.build_issue(
        config,
        name,
        issues.values(config, cache, card, as_of, state=state),
        sources,
        due_at=as_of,
        as_of=as_of,
        reader=readers[0],
        notes=runs.data_notes(sources, stale),
    )
    rendered = render(issue)
    mail = config.mail or _NO_MAIL
    try:
        to = compose.mailbox(readers[0].address, readers[0].name)
    except ValueError as error:
        raise DeliveryError(str(error)) from None
    id_ = compose.message_id(name, as_of, to.address, compose.mailbox(mail.from_), kind="preview")
    return Preview(rendered, compose.compose(issue, rendered, mail, to=to, message_id=id_, sent_at=as_of))


def write_preview(shown: Preview, out: Path) -> list[Path]:
    """Write `scorecard.html` with its pictures, `.txt` and `.eml` into a folder. Raises DeliveryError."""
    files = {
        "scorecard.html": preview_html(shown.rendered).encode(),
        "scorecard.txt": shown.rendered.text.encode(),
        "scorecard.eml": shown.eml,
        **dict(shown.rendered.images),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise DeliveryError(
            f"the preview cannot be written: {error.strerror}", place=str(out), mend="Choose another folder with --out."
        ) from None
    return [out / name for name in files]
