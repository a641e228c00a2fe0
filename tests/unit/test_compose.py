"""The bytes of a message: its tree, its headers, and addresses and texts that try to break them."""

import email
import email.policy
import random
import re
from datetime import UTC, date, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorecards.render.message import Issue, Rendered
from scorecards.values import Period
from syncagent.compose import Mailbox, compose, compose_notice, mailbox, message_id
from syncagent.mailer import MailSettings

DUE = datetime(2026, 11, 2, 7, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
MAIL = MailSettings.model_validate(
    {"host": "smtp.acme.test", "from": "Äcme Scorecards, Inc <scores@acme.test>", "reply_to": "revops@acme.test"}
)
ID = message_id("sales_weekly", DUE, "kim@acme.test", mailbox(MAIL.from_))


def issue(*, is_test: bool = False) -> Issue:
    return Issue(
        name="sales_weekly",
        title="Sales",
        agent_name="Acme",
        owner="revops@acme.test",
        period=Period(date(2026, 10, 26), date(2026, 11, 2), "UTC"),
        granularity="week",
        as_of=DUE,
        due_at=DUE,
        number=3,
        timezone="UTC",
        locale="en-GB",
        currency="EUR",
        results=(),
        freshness=(),
        recipient="kim@acme.test",
        unsubscribe=None,
        config_hash="c0ffee",
        is_test=is_test,
    )


def composed(
    subject: str = "Sales: 1 off target", *, mail: MailSettings = MAIL, is_test: bool = False
) -> tuple[bytes, EmailMessage]:
    rendered = Rendered(
        subject,
        "<html lang='en'><body>Größe 5 €<img src='cid:k0.png'></body></html>",
        "Größe 5 €\n.dot\nFrom the start\n" + "x" * 400 + "\n",
        {"k0.png": PNG},
    )
    raw = compose(
        issue(is_test=is_test), rendered, mail, to=mailbox("Kim Doe <kim@acme.test>"), message_id=ID, sent_at=DUE
    )
    return raw, email.message_from_bytes(raw, policy=email.policy.default)


def test_the_tree_is_text_then_html_with_its_pictures() -> None:
    _, message = composed()
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    picture = list(message.walk())[-1]
    assert picture["Content-ID"] == "<k0.png>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == PNG


def test_the_headers_are_those_of_the_interface() -> None:
    _, message = composed()
    assert message["Message-ID"] == ID
    assert re.fullmatch(r"<sc\.[0-9a-f]{24}@acme\.test>", ID)
    assert message["Date"].datetime == DUE
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply, RN, NRN"
    assert message["List-Id"] == "<sales-weekly.acme.test>"
    assert message["List-Unsubscribe"] == "<mailto:scores@acme.test?subject=stop%20sales_weekly>"
    assert message["List-Unsubscribe-Post"] is None
    assert message["Reply-To"] == "revops@acme.test"
    assert message["X-Syncagent-Scorecard"] == "sales_weekly"
    assert message["X-Syncagent-Period"] == "2026-10-26..2026-11-02"
    assert message["X-Syncagent-Issue"] == "3"
    assert message["X-Syncagent-Test"] is None
    assert message["From"].addresses[0].display_name == "Äcme Scorecards Inc"
    assert message["Bcc"] is None


def test_a_test_is_marked() -> None:
    _, message = composed(is_test=True)
    assert message["X-Syncagent-Test"] == "yes"


def test_the_bytes_are_the_same_every_time_and_fit_any_relay() -> None:
    raw, _ = composed()
    assert raw == composed()[0]
    assert all(byte < 128 for byte in raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_a_long_unsubscribe_address_is_not_encoded() -> None:
    target = "mailto:scores@acme.test?subject=" + "stop%20" * 30
    raw, _ = composed(mail=MAIL.model_copy(update={"unsubscribe": target}))
    assert f"List-Unsubscribe: <{target}>\r\n".encode() in raw


def test_a_notice_is_plain_text() -> None:
    raw = compose_notice(
        "Sales is held", "Ünit late.", MAIL, to=mailbox("a@acme.test"), message_id=ID, sent_at=DUE, scorecard="sales"
    )
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Ünit late.\r\n"
    assert message["X-Syncagent-Notice"] == "sales"
    assert message["X-Syncagent-Scorecard"] is None
    assert message["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("seed", range(40))
def test_no_subject_breaks_its_header(seed: int) -> None:
    """Empty encoded-words (python/cpython#136052), folding, controls: what is read is what was written."""
    chance = random.Random(seed)
    subject = "".join(chance.choice("abc  .,é€日本\u00a0–“”:;'\"()<>=?_🙂") for _ in range(chance.randint(1, 140)))
    raw, message = composed(subject)
    assert b"?q??=" not in raw
    assert b"?b??=" not in raw
    assert str(message["Subject"]) == re.sub(" +", " ", subject).strip()[:120].rstrip()


@settings(max_examples=150)
@given(text=st.text(max_size=200))
def test_no_text_smuggles_a_header_or_a_second_recipient(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    raw = compose(
        issue(),
        Rendered(clean, "<p>x</p>", "x"),
        MAIL,
        to=mailbox("kim@acme.test", clean),
        message_id=ID,
        sent_at=DUE,
    )
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert [address.addr_spec for address in message["To"].addresses] == ["kim@acme.test"]
    plain, _ = composed()
    assert set(message.keys()) == set(email.message_from_bytes(plain).keys())


def test_line_breaks_in_a_subject_become_spaces() -> None:
    _, message = composed("Deal\r\nBcc: evil@y.test\x00\u2028end")
    assert message["Subject"] == "Deal Bcc: evil@y.test end"
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kim@acme.test", Mailbox("kim@acme.test")),
        (" Kim Doe <kim@ACME.test> ", Mailbox("kim@acme.test", "Kim Doe")),
        ('"Doe, Kim" <kim@acme.test>', Mailbox("kim@acme.test", "Doe Kim")),
        ("Bob <a@x.test>, evil <kim@acme.test>", Mailbox("kim@acme.test", "Bob a x.test evil")),
        ("Zoë <zoe@bücher.example>", Mailbox("zoe@xn--bcher-kva.example", "Zoë")),
        ("zoe@straße.example", Mailbox("zoe@xn--strae-oqa.example")),
        ("o'neil+cards@mail.acme.test", Mailbox("o'neil+cards@mail.acme.test")),
        ("root@localhost", Mailbox("root@localhost")),
    ],
)
def test_addresses_are_read_as_smtp_carries_them(text: str, expected: Mailbox) -> None:
    assert mailbox(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("zoë@acme.test", "cannot be delivered"),
        ("kim", "is not a mail address"),
        ("@acme.test", "is not a mail address"),
        ("kim@", "is not a mail address"),
        ("kim doe@acme.test", "is not a mail address"),
        ("kim@acme.test\r\nRCPT TO:<evil@y.test>", "not a mail"),
        ("kim@a..b", "is not a mail domain"),
        ("a@b@acme.test", "is not a mail address"),
    ],
)
def test_addresses_smtp_cannot_carry_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mailbox(text)


def test_message_ids_differ_by_reader_due_time_and_kind_and_by_nothing_else() -> None:
    sender = mailbox("scores@acme.test")
    ids = {
        message_id("sales", DUE, "a@acme.test", sender),
        message_id("sales", DUE, "b@acme.test", sender),
        message_id("sales", DUE.replace(day=9), "a@acme.test", sender),
        message_id("service", DUE, "a@acme.test", sender),
        message_id("sales", DUE, "a@acme.test", sender, kind="again#1"),
        message_id("sales", DUE, "A@acme.test", sender),
    }
    assert len(ids) == 5
