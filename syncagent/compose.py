"""A rendered scorecard as the bytes SMTP carries: MIME tree, headers, addresses; knows nothing of queues or servers.

The bytes are a pure function of the arguments: composing the same issue twice gives the same message.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from scorecards.render.message import Issue, Rendered
from scorecards.values import instant
from syncagent.mailer import MailSettings

#: RFC 5322 dot-atom, the only local part every relay takes without SMTPUTF8 or quoting.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")
#: A comma or quote in a long non-ASCII name can split the address list (python/cpython#121284).
_UNSAFE_IN_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029,;<>"@\\]+')
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST_SUBJECT = 120
_LONGEST_NAME = 80
_LONGEST_LINE = 78


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One ASCII address SMTP can carry, and the name shown beside it."""

    address: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def header(self) -> Address:
        local, _, domain = self.address.rpartition("@")
        return Address(display_name=self.name, username=local, domain=domain)


def mailbox(text: str, name: str = "") -> Mailbox:
    """Read `Name <local@domain>` or a bare address; `name` goes before the one written there.

    ValueError with a plain sentence when SMTP cannot carry it.
    """
    bare = text.strip()
    written, angle, address = bare.rpartition("<") if bare.endswith(">") else ("", "", bare)
    address = address.removesuffix(">") if angle else address
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or "\n" in bare or "\r" in bare:
        raise ValueError(f'"{text}" is not a mail address; write name@domain or "Name <name@domain>"')
    if not local.isascii():
        raise ValueError(f'"{address}" cannot be delivered: characters beyond ASCII before the @ need another address')
    if not _LOCAL_PART.fullmatch(local):
        raise ValueError(f'"{address}" is not a mail address; before the @ write letters, digits and dots')
    shown = " ".join(_UNSAFE_IN_NAME.sub(" ", name or written).split())[:_LONGEST_NAME].strip()
    return Mailbox(f"{local}@{_ascii_domain(domain)}", shown)


def message_id(scorecard: str, due_at: datetime, address: str, sender: Mailbox, *, kind: str = "due") -> str:
    """The Message-ID a message keeps over every attempt; `again`, `test` and notices are messages of their own."""
    key = f"{scorecard}|{instant(due_at)}|{address.lower()}" + ("" if kind == "due" else f"|{kind}")
    return f"<sc.{hashlib.sha256(key.encode()).hexdigest()[:24]}@{sender.domain}>"


def compose(
    issue: Issue, rendered: Rendered, mail: MailSettings, *, to: Mailbox, message_id: str, sent_at: datetime
) -> bytes:
    """The message of one scorecard issue to one recipient; `sent_at` is its Date, fixed so that retries are equal."""
    message = _envelope(mail, to=to, message_id=message_id, sent_at=sent_at, subject=rendered.subject, name=issue.name)
    message["X-Syncagent-Scorecard"] = issue.name
    if issue.period is not None:
        message["X-Syncagent-Period"] = f"{issue.period.start.isoformat()}..{issue.period.end.isoformat()}"
    if issue.number is not None:
        message["X-Syncagent-Issue"] = str(issue.number)
    if issue.is_test:
        message["X-Syncagent-Test"] = "yes"
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    page = message.get_payload()[1]  # type: ignore[index]
    page.make_related()  # type: ignore[union-attr]
    for cid, png in rendered.images.items():
        page.add_related(  # type: ignore[union-attr]
            png, maintype="image", subtype="png", cid=f"<{cid}>", disposition="inline", filename=_file_name(cid)
        )
    return _serialised(message, message_id)


def compose_notice(
    subject: str, text: str, mail: MailSettings, *, to: Mailbox, message_id: str, sent_at: datetime, scorecard: str
) -> bytes:
    """A short plain mail to a scorecard's owner."""
    message = _envelope(mail, to=to, message_id=message_id, sent_at=sent_at, subject=subject, name=scorecard)
    message["X-Syncagent-Notice"] = scorecard
    message.set_content(text, cte="quoted-printable")
    return _serialised(message, message_id)


def unsubscribe_address(mail: MailSettings, scorecard: str) -> str:
    """The mailto: address that stops a scorecard: the configured one, else a mail to the sender."""
    return mail.unsubscribe or f"mailto:{mailbox(mail.from_).address}?subject=stop%20{scorecard}"


def _envelope(
    mail: MailSettings, *, to: Mailbox, message_id: str, sent_at: datetime, subject: str, name: str
) -> EmailMessage:
    sender = mailbox(mail.from_)
    message = EmailMessage(policy=_POLICY)
    message["Date"] = sent_at.astimezone(UTC)
    message["From"] = sender.header()
    message["To"] = to.header()
    if mail.reply_to:
        message["Reply-To"] = mailbox(mail.reply_to).header()
    message["Subject"] = re.sub(" +", " ", _CONTROLS.sub(" ", subject)).strip()[:_LONGEST_SUBJECT].rstrip()
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    # Not `All`: that would also suppress the non-delivery reports an operator needs.
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply, RN, NRN"
    message["List-Id"] = f"<{re.sub('[^A-Za-z0-9-]+', '-', name).strip('-') or 'scorecard'}.{sender.domain}>"
    message["List-Unsubscribe"] = f"<{_CONTROLS.sub('', unsubscribe_address(mail, name))}>"
    return message


def _serialised(message: EmailMessage, seed: str) -> bytes:
    """The bytes, with boundaries made from `seed` instead of by chance; `=_` cannot occur in quoted-printable."""
    digest = hashlib.sha256(seed.encode()).hexdigest()[:16]
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{digest}_{number}")
    return message.as_bytes()


def _file_name(cid: str) -> str:
    return cid if cid.endswith(".png") else f"{cid}.png"


def _ascii_domain(domain: str) -> str:
    """The domain as DNS has it; the standard library's codec knows only the rules of 2003."""
    if domain.isascii():
        if not _DOMAIN.fullmatch(domain) or len(domain) > 253:
            raise ValueError(f'"{domain}" is not a mail domain; write it like "acme.com"')
        return domain.lower()
    from email_validator import EmailNotValidError, validate_email

    try:
        checked = validate_email(
            f"x@{domain}", check_deliverability=False, test_environment=True, globally_deliverable=False
        )
    except EmailNotValidError as error:
        raise ValueError(f'"{domain}" is not a mail domain: {error}') from None
    return checked.ascii_domain


class _Policy(EmailPolicy):
    """SMTP's policy with headers folded so that no reader stumbles.

    EmailPolicy makes an empty encoded-word of some texts (python/cpython#136052) and encodes long words such as
    `<mailto:...>`; CR and LF were refused when the header was set.
    """

    def fold(self, name: str, value: Any) -> str:
        text = str(value)
        addresses = getattr(value, "addresses", None)
        if addresses and not text.isascii():
            boxes = (_encoded(name, box.display_name) + f"{self.linesep} <{box.addr_spec}>" for box in addresses)
            return f"{name}: {', '.join(boxes)}{self.linesep}"
        if name.lower() == "subject" and not text.isascii():
            return f"{name}: {_encoded(name, text)}{self.linesep}"
        if text.isascii() and (name.lower().startswith("list-") or len(name) + 2 + len(text) <= _LONGEST_LINE):
            return f"{name}: {text}{self.linesep}"
        folded: str = super().fold(name, value)
        return folded

    def fold_binary(self, name: str, value: Any) -> bytes:
        return self.fold(name, value).encode("ascii")


def _encoded(name: str, text: str) -> str:
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


_POLICY = _Policy(linesep="\r\n", cte_type="7bit", raise_on_defect=True)
