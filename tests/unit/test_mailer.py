"""What the mailer does with a real server on loopback that fails in every way it can."""

import ssl
import threading
import time
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from syncagent.errors import DeliveryError
from syncagent.mailer import PHASES, Mailer, MailSettings, Timeouts
from tests.fakes.smtp import Fault, FaultServer

MESSAGE = b"Subject: hello\r\n\r\none\r\n.two\r\n"
QUICK = Timeouts(connect=0.3, verb=0.3, final=0.3)
PATIENT = Timeouts(connect=10, verb=10, final=10)


def settings(port: int, **more: object) -> MailSettings:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "from": "Acme <scores@acme.test>"}
    return MailSettings.model_validate(given | more)


def send(server: FaultServer, *, to: str = "kim@acme.test", **more: object) -> tuple[str, str, bool]:
    with Mailer(settings(server.port, **more), PATIENT) as mailer:
        delivery = mailer.send("scores@acme.test", to, MESSAGE)
    return delivery.outcome, delivery.reply, delivery.is_server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_a_message_arrives_byte_for_byte_in_named_phases() -> None:
    phases: list[str] = []
    with FaultServer() as server, Mailer(settings(server.port), PATIENT) as mailer:
        delivery = mailer.send("scores@acme.test", "kim@acme.test", MESSAGE, phases.append)
    assert delivery.outcome == "sent"
    assert tuple(phases) == PHASES
    assert [(m.sender, m.recipient, m.body) for m in server.accepted] == [
        ("scores@acme.test", "kim@acme.test", MESSAGE)
    ]


def test_many_messages_share_one_connection() -> None:
    with FaultServer() as server, Mailer(settings(server.port), PATIENT) as mailer:
        outcomes = {mailer.send("a@acme.test", f"r{n}@acme.test", MESSAGE).outcome for n in range(50)}
    assert outcomes == {"sent"}
    assert len(server.accepted) == 50
    assert server.sessions == 1


def test_a_refused_recipient_leaves_the_connection_usable() -> None:
    faults = [Fault("rcpt", "550 5.1.1 no such user", recipient="gone@acme.test")]
    with FaultServer(faults) as server, Mailer(settings(server.port), PATIENT) as mailer:
        refused = mailer.send("a@acme.test", "gone@acme.test", MESSAGE)
        taken = mailer.send("a@acme.test", "kim@acme.test", MESSAGE)
    assert (refused.outcome, refused.is_server, taken.outcome) == ("permanent", False, "sent")
    assert "gone@acme.test was refused (550 5.1.1 no such user)" in refused.reply
    assert server.sessions == 1


@pytest.mark.parametrize(
    ("point", "action", "outcome", "is_server", "says"),
    [
        ("banner", "drop", "transient", True, "closed the connection"),
        ("banner", "421 busy", "transient", True, "not ready"),
        ("banner", "hang", "transient", True, "did not answer in time"),
        ("ehlo", "hang", "transient", True, "did not answer in time"),
        ("mail", "451 later", "transient", False, "sender a@acme.test was refused (451 later). It is tried again"),
        ("mail", "550 5.7.60 not yours", "permanent", False, "sender a@acme.test was refused"),
        ("mail", "hang", "transient", False, "did not answer in time"),
        ("rcpt", "450 greylisted", "transient", False, "recipient kim@acme.test was refused (450 greylisted)"),
        ("rcpt", "drop", "transient", False, "closed the connection"),
        ("data", "554 spam", "permanent", False, "message was refused (554 spam)"),
        ("data", "drop", "transient", False, "closed the connection"),
        ("data", "hang", "transient", False, "did not answer in time"),
        ("dot", "452 full", "transient", False, "message was refused (452 full)"),
        ("dot", "550 5.7.30 Basic authentication is not supported", "permanent", False, "relay"),
        ("dot", "drop", "uncertain", False, "is not known"),
        ("dot", "lose", "uncertain", False, "is not known"),
        ("dot", "hang", "uncertain", False, "did not answer in time"),
    ],
)
def test_every_answer_has_its_outcome(point: str, action: str, outcome: str, is_server: bool, says: str) -> None:
    timeouts = QUICK if action == "hang" else PATIENT
    with FaultServer([Fault(point, action)]) as server, Mailer(settings(server.port), timeouts) as mailer:
        delivery = mailer.send("a@acme.test", "kim@acme.test", MESSAGE)
    assert (delivery.outcome, delivery.is_server) == (outcome, is_server)
    assert says in delivery.reply
    assert "\n" not in delivery.reply
    assert len(server.accepted) == (action in ("lose", "hang") and point == "dot")


def test_a_connection_lost_in_the_middle_of_the_body_is_not_uncertain() -> None:
    def notice_the_loss(phase: str) -> None:
        if phase == "body":
            time.sleep(0.2)

    with FaultServer([Fault("body", "drop")]) as server, Mailer(settings(server.port), PATIENT) as mailer:
        delivery = mailer.send("a@acme.test", "kim@acme.test", MESSAGE * 100, notice_the_loss)
    assert delivery.outcome == "transient"
    assert server.accepted == []


def test_a_slow_answer_to_the_whole_message_is_waited_for() -> None:
    """A server may scan a message for minutes; giving up early would make it uncertain."""
    with FaultServer([Fault("dot", "slow")]) as server, Mailer(settings(server.port), Timeouts(1, 0.3, 10)) as mailer:
        assert mailer.send("a@acme.test", "kim@acme.test", MESSAGE).outcome == "sent"
    assert Timeouts().final == 600


def test_an_idle_connection_closed_by_the_server_is_opened_again() -> None:
    faults = [Fault("mail", "250 ok", times=1), Fault("mail", "drop", times=1)]
    with FaultServer(faults) as server, Mailer(settings(server.port), PATIENT) as mailer:
        outcomes = [mailer.send("a@acme.test", "kim@acme.test", MESSAGE).outcome for _ in range(2)]
    assert outcomes == ["sent", "sent"]
    assert server.sessions == 2


def test_no_server_is_one_plain_sentence() -> None:
    with FaultServer() as server:
        port = server.port
    with Mailer(settings(port), PATIENT) as mailer:
        delivery = mailer.send("a@acme.test", "kim@acme.test", MESSAGE)
        with pytest.raises(DeliveryError, match="no mail server answers there"):
            mailer.check()
    assert (delivery.outcome, delivery.is_server) == ("transient", True)
    assert delivery.reply.startswith(f"127.0.0.1:{port}: no mail server answers there. Check host and port")


def test_starttls_and_login_work_and_check_passes(authority: trustme.CA, ca_file: str) -> None:
    for mechanisms in ("PLAIN LOGIN", "LOGIN"):
        tls = server_context(authority, "localhost")
        with FaultServer(tls=tls, logins={"kim": "pässword"}, mechanisms=mechanisms) as server:
            more = {"host": "localhost", "security": "starttls", "ca_file": ca_file}
            login = {"username": "kim", "password": "pässword"}
            with Mailer(settings(server.port, **more, **login), PATIENT) as mailer:
                mailer.check()
            outcome, _, _ = send(server, **more, **login)
        assert outcome == "sent"
        assert server.commands.index("STARTTLS") < next(
            n for n, command in enumerate(server.commands) if command.startswith("AUTH")
        )


def test_implicit_tls_works(authority: trustme.CA, ca_file: str) -> None:
    with FaultServer(tls=server_context(authority, "localhost"), implicit=True) as server:
        outcome, _, _ = send(server, host="localhost", security="tls", ca_file=ca_file)
    assert outcome == "sent"


def test_a_wrong_password_says_what_to_check_and_shows_no_secret(authority: trustme.CA, ca_file: str) -> None:
    with FaultServer(tls=server_context(authority, "localhost"), logins={"kim": "right"}) as server:
        outcome, reply, is_server = send(
            server, host="localhost", security="starttls", ca_file=ca_file, username="kim", password="canary-7731"
        )
    assert (outcome, is_server) == ("transient", True)
    assert "the login was refused (535 5.7.8 bad credentials). Check username and password in [mail]" in reply
    assert "canary-7731" not in reply


@pytest.mark.parametrize("name", ["another.test", "localhost"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_cannot_be_trusted_stops_before_anything_is_said(
    authority: trustme.CA, ca_file: str, name: str, security: str
) -> None:
    """Of another host, or (with the right name) of an authority nobody named."""
    tls = server_context(authority, name)
    more = {"ca_file": ca_file} if name != "localhost" else {}
    with FaultServer(tls=tls, implicit=security == "tls", logins={"kim": "secret"}) as server:
        outcome, reply, _ = send(server, host="localhost", security=security, username="kim", password="secret", **more)
    assert outcome == "transient"
    assert "its certificate is not trusted" in reply
    assert "ca_file" in reply
    assert server.accepted == []
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


def test_a_server_without_starttls_gets_no_login() -> None:
    with FaultServer(logins={"kim": "secret"}) as server:
        outcome, reply, _ = send(server, security="starttls", username="kim", password="secret")
    assert outcome == "transient"
    assert "does not offer STARTTLS, so nothing was sent. Use port 465" in reply
    assert not any(command.startswith("AUTH") for command in server.commands)


def test_a_plain_server_on_the_tls_port_is_named() -> None:
    with FaultServer() as server:
        outcome, reply, _ = send(server, security="tls")
    assert outcome == "transient"
    assert "does not speak TLS as asked" in reply


def test_an_unreadable_ca_file_is_named() -> None:
    with FaultServer() as server:
        _, reply, _ = send(server, security="starttls", ca_file="/nowhere/ca.pem")
    assert "/nowhere/ca.pem holds no readable certificates. Check ca_file in [mail]." in reply


def test_a_message_larger_than_the_server_takes_is_permanent() -> None:
    with FaultServer(size=10) as server:
        outcome, reply, _ = send(server)
    assert outcome == "permanent"
    assert "larger than the server takes" in reply


def test_interrupt_ends_a_hanging_verb() -> None:
    with FaultServer([Fault("rcpt", "hang")]) as server, Mailer(settings(server.port), Timeouts(2, 30, 30)) as mailer:
        threading.Timer(0.2, mailer.interrupt).start()
        begun = time.monotonic()
        delivery = mailer.send("a@acme.test", "kim@acme.test", MESSAGE)
    assert delivery.outcome == "transient"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"host": "smtp.acme.test"}, "loopback hosts only"),
        ({"username": "kim", "password": "x"}, "never sent in the open"),
        ({"security": "tls", "username": "kim"}, "belong together"),
        ({"unsubscribe": "https://acme.test/stop"}, "only a mailto: address"),
        ({"allowed_domains": ["kim@acme.test"]}, "not a domain"),
        ({"auth": "xoauth2"}, "not built yet"),
        ({"token_command": "gettoken"}, "not built yet"),
        ({"give_up": "soon"}, "not a duration"),
        ({"from": "nobody"}, "not one mail address"),
        ({"hots": "x"}, "hots"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_sentence(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(25, **given)


def test_the_port_follows_security() -> None:
    ports = {security: settings(0, security=security).port for security in ("starttls", "tls", "none")}
    assert ports == {"starttls": 587, "tls": 465, "none": 25}
