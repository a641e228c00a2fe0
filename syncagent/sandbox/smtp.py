"""The sandbox's mail server: accepts on loopback, keeps every message, and misbehaves when a test asks it to."""

import asyncio
import contextlib
import re
import ssl
import threading
from collections import Counter
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True)
class Mail:
    """An accepted message with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.content, policy=policy.SMTP)
        assert isinstance(message, EmailMessage)
        return message


@dataclass(slots=True)
class MailFault:
    """One fault of the mail server.

    kind: `refuse` (answer `reply` at `stage`) · `drop` (close the connection at `stage`; at `data` in the middle of
    it) · `hang` (silence for `seconds` at `stage`) · `lose_reply` (keep the message, close before the final 250).
    stage: `connect`, `mail`, `rcpt`, `predata` (the DATA command), `data` (the final dot). `address` narrows `mail`
    and `rcpt` to addresses that match.
    """

    kind: str
    stage: str = "data"
    reply: str = "451 4.3.0 Try again later"
    address: str = ".*"
    times: int | None = 1
    seconds: float = 0.0
    hits: int = 0


class MailFaults:
    """The faults in force. Safe to change from any thread."""

    def __init__(self) -> None:
        self._faults: list[MailFault] = []
        self._lock = threading.Lock()

    def add(self, kind: str, stage: str = "data", **more: Any) -> MailFault:
        fault = MailFault(kind, stage, **more)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, stage: str, address: str = "") -> MailFault | None:
        with self._lock:
            for fault in self._faults:
                spent = fault.times is not None and fault.hits >= fault.times
                if fault.stage == stage and not spent and re.search(fault.address, address):
                    fault.hits += 1
                    return fault
        return None


class MailServer:
    """SMTP on loopback. `tls`: "none", "starttls" or "tls" with `context`; `username` and `password` require AUTH."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        tls: str = "none",
        context: ssl.SSLContext | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
    ) -> None:
        self._folder = folder
        self._kept = 0  # messages of earlier runs that lie in the folder
        self._tls, self._context = tls, context
        self._username, self._password, self._token = username, password, token
        self.faults = MailFaults()
        self.mails: list[Mail] = []
        self.commands: Counter[str] = Counter()
        self.port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._sessions: set[_Protocol] = set()

    @property
    def host(self) -> str:
        return "127.0.0.1"

    def start(self, port: int = 0) -> None:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            numbers = [int(path.stem) for path in self._folder.glob("*.eml") if path.stem.isdecimal()]
            self._kept = max(numbers, default=0)
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(port, ready), name="sandbox-smtp", daemon=True)
        self._thread.start()
        if not ready.wait(10) or not self.port:
            raise RuntimeError("The sandbox mail server did not start.")

    def _run(self, port: int, ready: threading.Event) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        implicit = self._context if self._tls == "tls" else None
        try:
            self._server = self._loop.run_until_complete(
                self._loop.create_server(self._protocol, self.host, port, ssl=implicit)
            )
            self.port = self._server.sockets[0].getsockname()[1]
        finally:
            ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._shut())
            self._loop.close()

    async def _shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for session in list(self._sessions):
            session.hang_up()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop = self._thread = None

    def _protocol(self) -> "_Protocol":
        needs_login = self._username is not None or self._token is not None
        protocol = _Protocol(
            self,
            hostname="sandbox.example",
            ident="sandbox",
            enable_SMTPUTF8=True,
            data_size_limit=33_554_432,
            tls_context=self._context if self._tls == "starttls" else None,
            require_starttls=False,
            auth_required=needs_login,
            auth_require_tls=True,
            authenticator=self._authenticate if needs_login else None,
            auth_exclude_mechanism=() if needs_login else ("PLAIN", "LOGIN"),
        )
        # aiosmtpd warns of logins without STARTTLS; with TLS from the start, or on loopback, they are meant.
        protocol._auth_require_tls = self._tls == "starttls"
        self._sessions.add(protocol)
        return protocol

    def forget(self, protocol: "_Protocol") -> None:
        self._sessions.discard(protocol)

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        good = (
            isinstance(data, LoginPassword)
            and data.login.decode() == self._username
            and data.password.decode() == self._password
        )
        return AuthResult(success=good, handled=False)

    # -- what aiosmtpd asks a handler ------------------------------------------------------------------------------

    async def handle_MAIL(  # noqa: N802  (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = await self._fault(server, "mail", address)
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = await self._fault(server, "rcpt", address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = self.faults.strike("data", envelope.mail_from or "")
        if fault is not None and fault.kind != "lose_reply":
            return await self._act(server, fault)
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        mail = Mail(
            envelope.mail_from or "",
            tuple(address for address in envelope.rcpt_tos if address is not None),
            content,
            session.ssl is not None or self._tls == "tls",
        )
        self.mails.append(mail)
        if self._folder is not None:
            (self._folder / f"{self._kept + len(self.mails):04d}.eml").write_bytes(content)
        if fault is not None:
            return await self._act(server, fault)
        return f"250 2.0.0 OK queued as S{len(self.mails):06d}"

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        import base64

        encoded = args[1] if len(args) > 1 else ""
        with contextlib.suppress(ValueError):
            parts = base64.b64decode(encoded).decode().split("\x01")
            if self._token is not None and f"auth=Bearer {self._token}" in parts:
                return AuthResult(success=True)
        return AuthResult(success=False, handled=False)

    async def _fault(self, server: SMTP, stage: str, address: str) -> str | None:
        fault = self.faults.strike(stage, address)
        return None if fault is None else await self._act(server, fault)

    async def _act(self, server: SMTP, fault: MailFault) -> str:
        """Carry out a fault; returns the reply to give (nobody hears it once the line is cut)."""
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
            return "421 4.4.2 Timeout"
        if fault.kind in ("drop", "lose_reply"):
            assert isinstance(server, _Protocol)
            server.hang_up()
            return "421 4.3.0 Closing"
        return fault.reply


class _Protocol(SMTP):
    """aiosmtpd's session, with faults where it has no hook."""

    def __init__(self, owner: MailServer, **more: Any) -> None:
        self._owner = owner
        super().__init__(owner, **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        fault = self._owner.faults.strike("connect")
        super().connection_made(transport)
        if fault is not None:
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        self._owner.forget(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        transport = self.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        self._owner.commands["DATA"] += 1
        fault = self._owner.faults.strike("predata")
        if fault is None:
            await super().smtp_DATA(arg)
        elif fault.kind == "drop" and fault.reply.startswith("354"):
            await self.push("354 go ahead")
            await self._reader.read(200)
            self.hang_up()
        else:
            await self.push(await self._owner._act(self, fault))
