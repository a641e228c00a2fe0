"""An SMTP server on loopback that can fail at any point of a session, and keeps what it accepted."""

import base64
import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message the server took responsibility for."""

    sender: str
    recipient: str
    body: bytes

    def header(self, name: str) -> str | None:
        head = self.body.split(b"\r\n\r\n")[0].decode()
        prefix = f"{name.lower()}:"
        return next(
            (line[len(prefix) :].strip() for line in head.split("\r\n") if line.lower().startswith(prefix)), None
        )


@dataclass(slots=True)
class Fault:
    """At `point` (banner ehlo starttls auth mail rcpt data body dot) do `action`, `times` times.

    An action is a reply ("451 later"), `drop` (close) or `hang` (say nothing). At the dot also `slow` (accept, and say
    so half a second later) and `lose` (accept, then close without a reply). `recipient` limits it to sessions that
    named that address.
    """

    point: str
    action: str
    times: int = 1_000_000
    recipient: str = ""


class _Closed(Exception):
    """The session is over."""


@dataclass
class FaultServer:
    """`with FaultServer(faults=[...]) as server:`; then `server.port`, `server.accepted`, `server.commands`."""

    faults: list[Fault] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    logins: dict[str, str] = field(default_factory=dict)
    mechanisms: str = "PLAIN LOGIN"
    size: int = 0
    accepted: list[Accepted] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sessions: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._released = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.sessions += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        self._open.add(connection)
        try:
            session.run()
        except (_Closed, OSError, ssl.SSLError):
            pass
        finally:
            self._open.discard(connection)
            session.close()

    def fault_at(self, point: str, recipient: str = "") -> str | None:
        for fault in self.faults:
            if fault.point == point and fault.times > 0 and fault.recipient in ("", recipient):
                fault.times -= 1
                return fault.action
        return None

    def wait(self) -> None:
        """Say nothing until the server is stopped."""
        self._released.wait(30)


class _Session:
    def __init__(self, server: FaultServer, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._sender = self._recipient = ""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._reader.close()
        self._socket.close()

    def run(self) -> None:
        if self._server.implicit:
            self._encrypt()
        self._answer("banner", "220 fake ready")
        while line := self._reader.readline(2000):
            text = line.decode("utf-8", "replace").strip()
            self._server.commands.append(text)
            verb, _, rest = text.partition(" ")
            handler = getattr(self, f"_on_{verb.lower()}", None)
            if handler is None:
                self._say("502 not known")
            else:
                handler(rest)

    def _on_ehlo(self, _: str) -> None:
        offers = ["fake greets"]
        is_encrypted = isinstance(self._socket, ssl.SSLSocket)
        if self._server.tls is not None and not is_encrypted:
            offers.append("STARTTLS")
        if self._server.logins:
            offers.append(f"AUTH {self._server.mechanisms}")
        if self._server.size:
            offers.append(f"SIZE {self._server.size}")
        lines = [f"250{'-' if number < len(offers) - 1 else ' '}{offer}" for number, offer in enumerate(offers)]
        self._answer("ehlo", "\r\n".join(lines))

    def _on_starttls(self, _: str) -> None:
        self._answer("starttls", "220 go ahead")
        self._encrypt()

    def _on_auth(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        if mechanism == "PLAIN":
            _, user, password = base64.b64decode(initial).decode().split("\0")
        else:
            self._say("334 VXNlcm5hbWU6")
            user = base64.b64decode(self._reader.readline()).decode()
            self._say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self._reader.readline()).decode()
        is_known = self._server.logins.get(user) == password
        self._answer("auth", "235 welcome" if is_known else "535 5.7.8 bad credentials")

    def _on_mail(self, rest: str) -> None:
        self._sender = rest.partition("<")[2].partition(">")[0]
        self._answer("mail", "250 ok")

    def _on_rcpt(self, rest: str) -> None:
        self._recipient = rest.partition("<")[2].partition(">")[0]
        self._answer("rcpt", "250 ok")

    def _on_data(self, _: str) -> None:
        if not self._answer("data", "354 go on"):
            return
        body = b""
        if self._server.fault_at("body", self._recipient) is not None:
            self._reader.readline()
            raise _Closed
        while (line := self._reader.readline()) != b".\r\n":
            if not line:
                raise _Closed
            body += line[1:] if line.startswith(b".") else line
        message = Accepted(self._sender, self._recipient, body)
        action = self._server.fault_at("dot", self._recipient)
        if action in (None, "lose", "hang", "slow"):
            self._server.accepted.append(message)
        if action == "slow":
            time.sleep(0.5)
            action = None
        self._act(action or "250 stored")

    def _on_rset(self, _: str) -> None:
        self._say("250 ok")

    def _on_noop(self, _: str) -> None:
        self._say("250 ok")

    def _on_quit(self, _: str) -> None:
        self._say("221 bye")
        raise _Closed

    def _encrypt(self) -> None:
        assert self._server.tls is not None
        self._reader.close()
        self._server._open.discard(self._socket)
        self._socket = self._server.tls.wrap_socket(self._socket, server_side=True)
        self._server._open.add(self._socket)
        self._reader = self._socket.makefile("rb")

    def _answer(self, point: str, reply: str) -> bool:
        """Say the reply, or do what the fault says; true when the session goes on as usual."""
        action = self._server.fault_at(point, self._recipient if point in ("rcpt", "data") else "")
        self._act(action or reply)
        return action is None

    def _act(self, action: str) -> None:
        if action in ("drop", "lose"):
            raise _Closed
        if action == "hang":
            self._server.wait()
            raise _Closed
        self._say(action)

    def _say(self, reply: str) -> None:
        self._socket.sendall(reply.encode() + b"\r\n")
