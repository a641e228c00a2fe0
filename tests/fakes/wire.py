"""A loopback server that answers byte for byte as told, to show what the transport makes of it."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

#: What is done with one request: the socket to answer on and the request's bytes; return to read the next one.
Behaviour = Callable[[socket.socket, bytes], None]


def answer(body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> Behaviour:
    """A whole answer; `length` is what it claims to be long, `headers` are lines with their ends."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}\r\n"
    return raw(head.encode() + body)


def chunked(*chunks: bytes, headers: str = "", end: bytes = b"0\r\n\r\n") -> Behaviour:
    """An answer in chunks, with what follows the last one."""
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    return raw(head + b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in chunks) + end)


def raw(text: bytes, *, closes: bool = False) -> Behaviour:
    """Exactly these bytes."""

    def behave(sock: socket.socket, _request: bytes) -> None:
        sock.sendall(text)
        if closes:
            raise ConnectionAbortedError

    return behave


def reset(after: bytes) -> Behaviour:
    """These bytes, then a hard reset of the connection."""

    def behave(sock: socket.socket, _request: bytes) -> None:
        sock.sendall(after)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    return behave


class WireServer:
    """Accepts connections and treats the n-th request as the n-th behaviour says (the last one from then on)."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._behaviours = list(behaviours)
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind((host, 0))
        self._listener.listen(16)
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._open: set[threading.Thread] = set()
        self._all_gone = threading.Condition()
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()
        for thread in list(self._open):
            thread.join(5)
        self._listener.close()

    def drip(self, head: bytes, drop: bytes = b" ", every_s: float = 0.02) -> Behaviour:
        """`head`, then `drop` again and again until the other side has gone."""

        def behave(sock: socket.socket, _request: bytes) -> None:
            sock.sendall(head)
            while not self.over.wait(every_s):
                sock.sendall(drop)

        return behave

    def hang(self, head: bytes = b"") -> Behaviour:
        """`head`, then nothing until the other side has gone."""
        return lambda sock, _request: sock.sendall(head)

    def then(self, *behaviours: Behaviour) -> Self:
        self._behaviours.extend(behaviours)
        return self

    def all_gone(self, timeout: float = 3.0) -> bool:
        """Whether every connection has been closed by the client by then."""
        with self._all_gone:
            return self._all_gone.wait_for(lambda: not self._open, timeout)

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._open.add(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(0.05)
        try:
            if self._tls is not None:
                sock.settimeout(5)
                sock = self._tls.wrap_socket(sock, server_side=True)
                sock.settimeout(0.05)
            while request := self._read(sock):
                self.requests.append(request)
                number = min(len(self.requests), len(self._behaviours)) - 1
                sock.settimeout(5)
                self._behaviours[number](sock, request)
                sock.settimeout(0.05)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                sock.close()
            with self._all_gone:
                self._open.discard(threading.current_thread())
                self._all_gone.notify_all()

    def _read(self, sock: socket.socket) -> bytes:
        """The next request, empty when the other side has gone."""
        text = b""
        while b"\r\n\r\n" not in text:
            try:
                piece = sock.recv(65536)
            except TimeoutError:
                if self.over.is_set():
                    return b""
                continue
            if not piece:
                return b""
            text += piece
        return text
