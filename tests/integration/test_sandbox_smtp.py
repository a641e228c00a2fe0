"""The sandbox's mail server over real SMTP: what it keeps, what it asks for, how it fails."""

import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from syncagent.sandbox.smtp import MailServer

TEXT = b"Subject: Hello\r\n\r\n" + b"A line of text.\r\n" * 2000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    made = MailServer(tmp_path / "mails")
    made.start()
    yield made
    made.stop()


def send(server: MailServer, to: tuple[str, ...] = ("b@x.test",)) -> dict[str, tuple[int, bytes]]:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
        return client.sendmail("a@x.test", list(to), TEXT)


def test_a_message_is_kept_with_its_envelope(server: MailServer, tmp_path: Path) -> None:
    send(server, ("b@x.test", "c@x.test"))
    (mail,) = server.mails
    assert (mail.sender, mail.recipients, mail.encrypted) == ("a@x.test", ("b@x.test", "c@x.test"), False)
    assert mail.message["Subject"] == "Hello"
    assert (tmp_path / "mails" / "0001.eml").read_bytes() == mail.content == TEXT


def test_messages_of_an_earlier_run_are_kept(server: MailServer, tmp_path: Path) -> None:
    (tmp_path / "mails" / "0041.eml").write_bytes(b"earlier")
    again = MailServer(tmp_path / "mails")
    again.start()
    send(again)
    again.stop()
    assert (tmp_path / "mails" / "0041.eml").read_bytes() == b"earlier"
    assert (tmp_path / "mails" / "0042.eml").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("kind", "stage", "more", "expected", "kept"),
    [
        ("refuse", "mail", {"reply": "553 5.1.8 no"}, smtplib.SMTPSenderRefused, 0),
        ("refuse", "rcpt", {"reply": "550 5.1.1 no"}, smtplib.SMTPRecipientsRefused, 0),
        ("refuse", "data", {}, smtplib.SMTPDataError, 0),
        ("drop", "connect", {}, smtplib.SMTPServerDisconnected, 0),
        ("drop", "predata", {}, smtplib.SMTPServerDisconnected, 0),
        ("drop", "predata", {"reply": "354"}, smtplib.SMTPServerDisconnected, 0),
        ("drop", "data", {}, smtplib.SMTPServerDisconnected, 0),
        ("lose_reply", "data", {}, smtplib.SMTPServerDisconnected, 1),
    ],
)
def test_faults(
    server: MailServer, kind: str, stage: str, more: dict[str, Any], expected: type[Exception], kept: int
) -> None:
    fault = server.faults.add(kind, stage, **more)
    with pytest.raises(expected):
        send(server)
    assert (len(server.mails), fault.hits) == (kept, 1)
    send(server)
    assert len(server.mails) == kept + 1


def test_one_refused_address_of_two(server: MailServer) -> None:
    server.faults.add("refuse", "rcpt", reply="550 5.1.1 no", address="^bad@", times=None)
    assert set(send(server, ("bad@x.test", "good@x.test"))) == {"bad@x.test"}
    assert server.mails[0].recipients == ("good@x.test",)


def test_silence(server: MailServer) -> None:
    server.faults.add("hang", "data", seconds=30)
    client = smtplib.SMTP("127.0.0.1", server.port, timeout=0.3)
    try:
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            client.sendmail("a@x.test", ["b@x.test"], TEXT)
    finally:
        client.close()


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_encryption_and_login(tls: str) -> None:
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    server = MailServer(tls=tls, context=theirs, username="me", password="secret")
    server.start()
    try:
        if tls == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", server.port, context=ours, timeout=5)
        else:
            client = smtplib.SMTP("127.0.0.1", server.port, timeout=5)
            client.starttls(context=ours)
        with client:
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail("a@x.test", ["b@x.test"], TEXT)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("me", "wrong")
            client.login("me", "secret")
            client.sendmail("a@x.test", ["b@x.test"], TEXT)
        assert [mail.encrypted for mail in server.mails] == [True]
    finally:
        server.stop()
