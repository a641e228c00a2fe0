"""What one SMTP server is told, verb by verb, and what its answer means; knows nothing of scorecards or SQLite.

A message is handed over in named phases (`PHASES`); the caller hears of each before the step that follows it, so
that it can write down how far a message came. Every connection is verified; no setting turns that off.
"""

import base64
import logging
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from syncagent import smtp_words
from syncagent.errors import DeliveryError, one_line

log = logging.getLogger(__name__)

#: `connecting` comes before the first byte, `data_end` before the final dot: after it only the reply tells whether
#: the message was accepted. The others are for observers.
PHASES = ("connecting", "mail", "rcpt", "data", "body", "data_end", "dot", "reply")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_XOAUTH2_KEYS = ("token_url", "client_id", "client_secret", "scope", "token_command")


def _seconds(value: Any) -> Any:
    """`"24h"` as seconds; numbers pass."""
    if isinstance(value, str) and value[:-1].isdigit() and value[-1] in _UNITS:
        return int(value[:-1]) * _UNITS[value[-1]]
    if isinstance(value, str):
        raise ValueError(f'"{value}" is not a duration; write a number and s, m, h, d or w, for example "24h"')
    return value


class MailSettings(BaseModel):
    """The `[mail]` section."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    host: str = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535, description="0: 587, 465 or 25 by `security`")
    security: Literal["starttls", "tls", "none"] = "starttls"
    auth: Literal["password"] = "password"
    username: str | None = None
    password: SecretStr | None = None
    from_: str = Field(alias="from", description="Name <address>")
    reply_to: str | None = None
    allowed_domains: tuple[str, ...] = Field(default=(), description="empty: any domain")
    unsubscribe: str | None = None
    on_uncertain: Literal["resend", "hold"] = "resend"
    give_up: Annotated[float, BeforeValidator(_seconds)] = Field(default=86400, gt=0, description="seconds")
    ca_file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_built(cls, data: Any) -> Any:
        if isinstance(data, dict):
            named = [key for key in _XOAUTH2_KEYS if key in data]
            if data.get("auth") == "xoauth2" or named:
                what = 'auth = "xoauth2"' if data.get("auth") == "xoauth2" else named[0]
                raise ValueError(f"{what} is not built yet; use username and password, or a relay that needs no login")
        return data

    @field_validator("from_", "reply_to")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        if value is not None and value.count("@") != 1:
            raise ValueError(f'"{value}" is not one mail address; write name@domain or "Name <name@domain>"')
        return value

    @field_validator("unsubscribe")
    @classmethod
    def _mailto(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("mailto:"):
            raise ValueError("only a mailto: address works without a web server; write mailto:name@domain?subject=stop")
        return value

    @field_validator("allowed_domains")
    @classmethod
    def _bare_domains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for domain in value:
            if "@" in domain or not domain:
                raise ValueError(f'"{domain}" is not a domain; write it without @, for example "acme.com"')
        return tuple(domain.lower().rstrip(".") for domain in value)

    @model_validator(mode="after")
    def _safe_combination(self) -> Self:
        if self.security == "none" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError('security = "none" is for loopback hosts only; use "starttls" or "tls"')
        if self.security == "none" and self.username is not None:
            raise ValueError('a login is never sent in the open; remove username, or use "starttls" or "tls"')
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; give both or neither")
        if self.port == 0:
            object.__setattr__(self, "port", _PORTS[self.security])
        return self


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. After the final dot a server may take long; giving up early makes a message uncertain (RFC 5321)."""

    connect: float = 30
    verb: float = 60
    final: float = 600


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message. `outcome`: sent | transient (worth trying again) | permanent (not) | uncertain.

    `is_server` says that the server as a whole cannot be used now, so that other messages need not be tried.
    """

    outcome: str
    reply: str = ""  # one line: what the server said or did, and the mend
    is_server: bool = False


class _Stopped(Exception):
    """The message did not go out, and why."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(delivery.reply)
        self.delivery = delivery


class Mailer:
    """One connection to the mail server of `[mail]`, opened when needed and kept for the next message."""

    def __init__(self, settings: MailSettings, timeouts: Timeouts = Timeouts()) -> None:
        self._settings = settings
        self._timeouts = timeouts
        self._smtp: smtplib.SMTP | None = None
        self._is_past_dot = False
        self._place = f"{settings.host}:{settings.port}"

    @property
    def settings(self) -> MailSettings:
        return self._settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self, sender: str, recipient: str, message: bytes, on_phase: Callable[[str], None] = lambda _: None
    ) -> Delivery:
        """Hand one message over to one recipient. Never raises for what the server or the network does."""
        try:
            is_reused = self._smtp is not None
            on_phase("connecting")
            smtp = self._connect()
            on_phase("mail")
            try:
                self._mail(smtp, sender, len(message))
            except (smtplib.SMTPServerDisconnected, OSError):
                if not is_reused:
                    raise
                self._drop()  # an idle connection was closed; nothing of this message had been said
                smtp = self._connect()
                self._mail(smtp, sender, len(message))
            on_phase("rcpt")
            self._expect(*smtp.rcpt(recipient), what=f"the recipient {recipient} was refused", good=(250, 251))
            return self._hand_over(smtp, message, on_phase)
        except _Stopped as stopped:
            self._reset()
            return stopped.delivery
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Delivery("transient", self._said(smtp_words.broken(error), "It is tried again."))
        except BaseException:
            self._drop()  # the caller could not write down how far it came: without the dot nothing is accepted
            raise

    def check(self) -> None:
        """Connect and log in, sending nothing. Raises DeliveryError with the mend."""
        try:
            smtp = self._connect()
            self._expect(*smtp.noop(), what="the server is not ready")
        except _Stopped as stopped:
            raise DeliveryError(stopped.delivery.reply) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(self._said(smtp_words.broken(error))) from None
        finally:
            self.close()

    def interrupt(self) -> None:
        """From another thread: end a hanging exchange, unless only the server's last reply is awaited."""
        smtp = self._smtp
        if smtp is not None and smtp.sock is not None and not self._is_past_dot:
            try:
                smtp.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("the connection was already closed", extra={"action": "mail.interrupt"})

    def close(self) -> None:
        """Say goodbye and free the connection; the next message opens another."""
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            if smtp.sock is not None:
                smtp.sock.settimeout(min(5, self._timeouts.verb))
                smtp.quit()
        except (smtplib.SMTPException, OSError):
            log.debug("the server closed first", extra={"action": "mail.close"})
        finally:
            smtp.close()

    def _hand_over(self, smtp: smtplib.SMTP, message: bytes, on_phase: Callable[[str], None]) -> Delivery:
        self._expect(*smtp.docmd("DATA"), what="the message was refused", good=(354,))
        on_phase("data")
        body = _dot_stuffed(message)
        half = len(body) // 2
        smtp.send(body[:half])
        on_phase("body")
        smtp.send(body[half:])
        if _has_broken_off(smtp.sock):
            raise smtplib.SMTPServerDisconnected("the connection was closed while the message was being sent")
        on_phase("data_end")
        self._is_past_dot = True
        try:
            if smtp.sock is not None:
                smtp.sock.settimeout(self._timeouts.final)
            smtp.send(b".\r\n")
            on_phase("dot")
            code, text = smtp.getreply()
            if smtp.sock is not None:
                smtp.sock.settimeout(self._timeouts.verb)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            what = f"whether the message was accepted is not known: {smtp_words.broken(error)} after the whole message"
            return Delivery("uncertain", self._said(what))
        finally:
            self._is_past_dot = False
        on_phase("reply")
        if 200 <= code < 300:
            return Delivery("sent", smtp_words.reply(code, text))
        if code == 421:
            self._drop()
        return self._refusal(code, text, "the message was refused")

    def _connect(self) -> smtplib.SMTP:
        if self._smtp is not None:
            return self._smtp
        settings = self._settings
        smtp: smtplib.SMTP | None = None
        try:
            context = self._tls_context() if settings.security != "none" else None
            name = settings.from_.rpartition("@")[2].strip("> ")
            hello = name if name.isascii() else "[127.0.0.1]"
            if settings.security == "tls":
                smtp = smtplib.SMTP_SSL(
                    settings.host, settings.port, hello, timeout=self._timeouts.connect, context=context
                )
            else:
                smtp = smtplib.SMTP(settings.host, settings.port, hello, timeout=self._timeouts.connect)
            if smtp.sock is not None:
                smtp.sock.settimeout(self._timeouts.verb)
                # The dot is a small write after others: without this it waits 40 ms for the peer's delayed ACK.
                smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._hello(smtp)
            if context is not None and settings.security == "starttls":
                self._start_tls(smtp, context)
            if settings.username is not None and settings.password is not None:
                self._log_in(smtp, settings.username, settings.password.get_secret_value())
        except (_Stopped, smtplib.SMTPException, OSError) as error:
            if smtp is not None:
                smtp.close()
            if isinstance(error, _Stopped):
                raise _Stopped(Delivery("transient", error.delivery.reply, is_server=True)) from None
            raise _Stopped(self._unreachable(error)) from error
        self._smtp = smtp
        return smtp

    def _tls_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings.ca_file)
        except (OSError, ssl.SSLError):
            file = Path(str(self._settings.ca_file))
            raise _Stopped(
                Delivery("transient", self._said(f"{file} holds no readable certificates", "Check ca_file in [mail]."))
            ) from None

    def _hello(self, smtp: smtplib.SMTP) -> None:
        code, text = smtp.ehlo()
        if code != 250 and self._settings.security == "none":
            code, text = smtp.helo()
        self._expect(code, text, what="the server does not greet back")

    def _start_tls(self, smtp: smtplib.SMTP, context: ssl.SSLContext) -> None:
        if not smtp.has_extn("starttls"):
            mend = 'Use port 465 with security = "tls", or have STARTTLS enabled there.'
            raise _Stopped(Delivery("transient", self._said("does not offer STARTTLS, so nothing was sent", mend)))
        code, text = smtp.starttls(context=context)
        self._expect(code, text, what="STARTTLS was refused", good=(220,))
        self._hello(smtp)

    def _log_in(self, smtp: smtplib.SMTP, username: str, password: str) -> None:
        offered = smtp.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            code, text = smtp.docmd("AUTH", "PLAIN " + _base64(f"\0{username}\0{password}"))
        elif "LOGIN" in offered:
            code, text = smtp.docmd("AUTH", "LOGIN")
            for secret in (username, password):
                if code == 334:
                    code, text = smtp.docmd(_base64(secret))
        else:
            raise _Stopped(
                Delivery(
                    "transient",
                    self._said(
                        "offers no login by password", "Remove username from [mail], or ask for PLAIN or LOGIN there."
                    ),
                )
            )
        self._expect(code, text, what="the login was refused", good=(235,))

    def _mail(self, smtp: smtplib.SMTP, sender: str, size: int) -> None:
        limit = smtp.esmtp_features.get("size", "")
        if limit.isdigit() and 0 < int(limit) < size:
            what = f"the message of {size // 1000} KB is larger than the server takes ({int(limit) // 1000} KB)"
            raise _Stopped(Delivery("permanent", self._said(what, "Put fewer KPIs on the scorecard.")))
        options = [f"SIZE={size}"] if limit else []
        self._expect(*smtp.mail(sender, options), what=f"the sender {sender} was refused")

    def _expect(self, code: int, text: bytes, *, what: str, good: tuple[int, ...] = (250,)) -> None:
        if code in good:
            return
        if code in (421, -1):
            raise smtplib.SMTPServerDisconnected(smtp_words.reply(code, text))
        raise _Stopped(self._refusal(code, text, what))

    def _refusal(self, code: int, text: bytes, what: str) -> Delivery:
        outcome = "permanent" if 500 <= code < 600 else "transient"
        return Delivery(
            outcome, self._said(f"{what} ({smtp_words.reply(code, text)})", smtp_words.mend(code, text, outcome))
        )

    def _unreachable(self, error: Exception) -> Delivery:
        what, mend = smtp_words.connection_trouble(error)
        return Delivery("transient", self._said(what, mend), is_server=True)

    def _said(self, what: str, mend: str = "") -> str:
        return one_line(self._place, what, mend)

    def _reset(self) -> None:
        """Make the connection fit for another message."""
        if self._smtp is None:
            return
        try:
            code, _ = self._smtp.rset()
            if code != 250:
                self._drop()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()


def _dot_stuffed(message: bytes) -> bytes:
    """The message with CRLF line ends, leading dots doubled, ending in CRLF."""
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    return b"".join(b"." * line.startswith(b".") + line + b"\r\n" for line in lines)


def _has_broken_off(sock: socket.socket | None) -> bool:
    """Whether the server has already answered or closed, before it was told that the message is whole."""
    if sock is None:
        return True
    timeout = sock.gettimeout()
    try:
        sock.settimeout(0)
        sock.recv(1)
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(timeout)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
