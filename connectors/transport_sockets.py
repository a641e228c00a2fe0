"""Sockets that can be cut: every step of a call, from name to last byte, ends when its time is over or on a word.

A read timeout restarts with every byte, so a server that drips never meets it, and looking up a name has no timeout at
all. So one thread looks after all calls under way and shuts the socket of those that take too long; that ends whatever
blocks on it: connecting, the TLS handshake, sending, reading headers or body.
"""

import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import Any, ClassVar, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family
from urllib3.util.ssl_ import create_urllib3_context

_LOOK_S = 0.1  # how late a call may end
_LOOKUPS = 32  # names being looked up at once; more means that the name service is gone


class Call:
    """One call under way: cut when `total_s` are over, or when `owner` cuts all of its calls."""

    _current: ClassVar[threading.local] = threading.local()
    _running: ClassVar[set["Call"]] = set()
    _changed: ClassVar[threading.Condition] = threading.Condition()
    _thread: ClassVar[threading.Thread | None] = None
    _sleeps: ClassVar[bool] = False

    def __init__(self, owner: object, total_s: float) -> None:
        self._owner = owner
        self._ends_at = time.monotonic() + total_s
        self._sock: Any = None
        self.is_over = False
        self.is_cut = False

    @classmethod
    def current(cls) -> "Call | None":
        """The call this thread is making."""
        return getattr(cls._current, "call", None)

    @classmethod
    def cut_all(cls, owner: object) -> None:
        """End every call of `owner` now."""
        with cls._changed:
            for call in [one for one in cls._running if one._owner is owner]:
                call.is_cut = True
                call._shut()

    def __enter__(self) -> Self:
        Call._current.call = self
        with Call._changed:
            Call._running.add(self)
            if Call._thread is None or not Call._thread.is_alive():
                Call._thread = threading.Thread(target=Call._look_after, name="http-deadlines", daemon=True)
                Call._thread.start()
            elif Call._sleeps:  # else it looks by itself soon enough: waking it for every call costs more than calls
                Call._changed.notify()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        Call._current.call = None
        with Call._changed:
            Call._running.discard(self)
            self._sock = None

    @property
    def has_ended(self) -> bool:
        return self.is_over or self.is_cut

    def left_s(self) -> float:
        """Seconds left; 0 when the call has been cut."""
        return 0.0 if self.has_ended else max(0.0, self._ends_at - time.monotonic())

    def guard(self, sock: Any) -> None:
        """From now on, this is the socket to shut."""
        with Call._changed:
            self._sock = sock
            if self.has_ended:
                self._shut()

    def _shut(self) -> None:
        sock = getattr(self._sock, "socket", self._sock)  # TLS within TLS (a proxy) wraps its socket
        if sock is not None:
            with suppress(OSError):
                # Not SSLSocket's own: it takes the TLS away under a thread that is using it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @classmethod
    def _look_after(cls) -> None:
        """Look at all running calls a few times a second, for as long as there are any; end after a minute without."""
        with cls._changed:
            while True:
                cls._changed.wait(_LOOK_S)
                if not cls._running:
                    cls._sleeps = True
                    is_wanted = cls._changed.wait_for(lambda: bool(cls._running), timeout=60.0)
                    cls._sleeps = False
                    if not is_wanted:
                        break
                now = time.monotonic()
                for call in cls._running:
                    if call._ends_at <= now and not call.is_over:
                        call.is_over = True
                        call._shut()
            cls._thread = None


_lookups = threading.Semaphore(_LOOKUPS)


def look_up(host: str, port: int, call: Call | None) -> list[tuple[Any, ...]]:
    """The addresses of a host. Raises gaierror where there are none, TimeoutError when the call's time is over.

    The system's resolver cannot be interrupted; it is asked in a thread that is left behind when it hangs.
    """
    family = allowed_gai_family()
    with suppress(ValueError):
        ip_address(host)
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    if call is None:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    if not _lookups.acquire(blocking=False):
        raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
    found: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        finally:
            _lookups.release()
            done.set()

    threading.Thread(target=ask, name="http-name", daemon=True).start()
    while not done.wait(_LOOK_S / 2):
        if not call.left_s():
            raise TimeoutError("looking up the name took too long")
    answer = found[0]
    if isinstance(answer, UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "no host name")
    if isinstance(answer, OSError):
        raise answer
    addresses: list[tuple[Any, ...]] = answer
    return addresses


def _open(connection: Any) -> socket.socket:
    """A connected socket for a urllib3 connection, guarded by the current call. Raises urllib3's errors.

    Each address gets its part of the time to connect, so that one that does not answer leaves time for the next.
    """
    call = Call.current()
    host, port = connection._dns_host, connection.port
    try:
        addresses = look_up(host.strip("[]"), port, call)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, "no address in time") from error
    ends_at = time.monotonic() + (connection.timeout or 60.0)
    last: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left_s = max(0.1, (ends_at - time.monotonic()) / (len(addresses) - number))
        sock = socket.socket(family, kind, protocol)
        try:
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(left_s)
            if call is not None:
                call.guard(sock)
            sock.connect(address)
            if call is not None and call.has_ended:
                raise TimeoutError
        except OSError as error:
            last = error
            sock.close()
            if call is not None and call.has_ended:
                break
            continue
        sock.settimeout(connection.timeout)
        sys.audit("http.client.connect", connection, host, port)
        return sock
    if isinstance(last, TimeoutError):
        raise ConnectTimeoutError(connection, "no connection in time") from last
    raise NewConnectionError(connection, f"no connection: {last}") from last


def _guard(sock: Any) -> None:
    if sock is not None and (call := Call.current()) is not None:
        call.guard(sock)


class GuardedTls(ssl.SSLSocket):
    """TLS on a guarded socket: the handshake can be cut as well."""

    def do_handshake(self, block: bool = False) -> None:
        _guard(self)
        super().do_handshake(block)


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only those of `ca_file`. Raises OSError where that cannot be read."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    context.sslsocket_class = GuardedTls
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


class GuardedHttp(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _open(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _guard(self.sock)
        super().request(*args, **kwargs)


class GuardedHttps(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _open(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _guard(self.sock)
        super().request(*args, **kwargs)


class HttpPool(HTTPConnectionPool):
    ConnectionCls = GuardedHttp


class HttpsPool(HTTPSConnectionPool):
    ConnectionCls = GuardedHttps
