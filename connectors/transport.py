"""HTTP out: pooled connections, timeouts, a total deadline, a size cap, no redirects; knows no vendor's words.

Both vendor packages send through a `Transport`. It answers with the whole body or raises `TransientError`; what a
status code means is the caller's to say.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connectors.errors import StreamError, TransientError

log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, between two pieces of an answer, and for a whole call."""

    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole HTTP answer; header names are found without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def received_at(self) -> datetime | None:
        """The vendor's clock (its Date header), None where it sent none that can be read."""
        return parse_http_date(self.headers.get("Date"))


def parse_http_date(text: str | None) -> datetime | None:
    """Aware UTC of an HTTP date, None for anything else."""
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


class _Watch:
    """Cuts a connection when a call has taken its whole time.

    A read timeout restarts with every byte, so a server that drips never meets it; closing the socket under the
    blocked read does stop it, in the headers as well as in the body. One thread looks after all calls.
    """

    _current: ClassVar[threading.local] = threading.local()
    _running: ClassVar[set["_Watch"]] = set()
    _changed: ClassVar[threading.Condition] = threading.Condition()
    _thread: ClassVar[threading.Thread | None] = None
    _sleeps: ClassVar[bool] = False

    def __init__(self, total_s: float) -> None:
        self._ends_at = time.monotonic() + total_s
        self._sock: Any = None
        self.is_over = False

    @classmethod
    def current(cls) -> "_Watch | None":
        return getattr(cls._current, "watch", None)

    def __enter__(self) -> Self:
        _Watch._current.watch = self
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _Watch._current.watch = None
        with _Watch._changed:
            _Watch._running.discard(self)
            self._sock = None

    def guard(self, sock: Any) -> None:
        """From now on, shut `sock` down when time is over."""
        with _Watch._changed:
            self._sock = sock
            _Watch._running.add(self)
            if _Watch._thread is None or not _Watch._thread.is_alive():
                _Watch._thread = threading.Thread(target=_Watch._look_after, name="http-deadlines", daemon=True)
                _Watch._thread.start()
            elif _Watch._sleeps:  # else it looks by itself soon enough: waking it for every call costs more than calls
                _Watch._changed.notify()

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
                for watch in [one for one in cls._running if one._ends_at <= now]:
                    watch.is_over = True
                    cls._running.discard(watch)
                    with suppress(OSError):
                        watch._sock.shutdown(SHUT_RDWR)
            cls._thread = None


class _WatchedHttp(HTTPConnection):
    def getresponse(self) -> Any:
        if (watch := _Watch.current()) is not None and self.sock is not None:
            watch.guard(self.sock)
        return super().getresponse()


class _WatchedHttps(HTTPSConnection):
    def getresponse(self) -> Any:
        if (watch := _Watch.current()) is not None and self.sock is not None:
            watch.guard(self.sock)
        return super().getresponse()


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHttp


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHttps


class Transport:
    """Sends one request and reads its whole answer. Safe to share between threads.

    `base_url` replaces scheme and host of every address (test servers, gateways). Only `hosts`, and those added by
    `allow`, are ever called: a page link cannot carry a token elsewhere.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        base_url: str | None = None,
        ca_file: str | None = None,
        proxy: str | None = None,
        timeouts: Timeouts | None = None,
        max_bytes: int = 64 * 1024 * 1024,
        connections: int = 16,
    ) -> None:
        self._hosts = {host.lower() for host in hosts}
        self._base_url = base_url
        self._timeouts = timeouts or Timeouts()
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._calls = 0
        options: dict[str, Any] = {"maxsize": connections, "retries": False, "cert_reqs": "CERT_REQUIRED"}
        if ca_file:
            options["ca_certs"] = ca_file
        target = base_url or f"https://{next(iter(hosts))}"
        address = proxy or _environment_proxy(target)
        self._is_proxied = bool(address)
        self._pool = urllib3.ProxyManager(address, **options) if address else urllib3.PoolManager(**options)
        self._pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    @property
    def calls(self) -> int:
        """Requests sent so far, each try counted."""
        return self._calls

    def allow(self, host: str) -> None:
        """Let `host` be called too (the instance a login reply names)."""
        self._hosts.add(host.lower())

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: str | bytes | None = None) -> Answer:
        """The whole answer of any status. Raises TransientError for anything that breaks on the way."""
        address = self._address(url)
        with self._lock:
            self._calls += 1
        with _Watch(self._timeouts.total_s) as watch:
            try:
                return self._exchange(method, address, headers, body, watch)
            except TransientError:
                raise
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                place = urlsplit(address).netloc
                if watch.is_over:
                    raise self._too_slow(place) from error
                raise TransientError(f"{place}: {_explain(error)}") from error

    def close(self) -> None:
        self._pool.clear()

    def _exchange(
        self, method: str, address: str, headers: Mapping[str, str], body: str | bytes | None, watch: _Watch
    ) -> Answer:
        parts = urlsplit(address)
        sender: Any = self._pool
        target = address
        if not self._is_proxied:  # straight to the host's pool: the manager would take long addresses apart three times
            sender = self._pool.connection_from_host(parts.hostname, parts.port, parts.scheme)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        response = sender.urlopen(
            method,
            target,
            body=body,
            headers=dict(headers),
            timeout=urllib3.Timeout(connect=self._timeouts.connect_s, read=self._timeouts.read_s),
            preload_content=False,
            redirect=False,
            decode_content=True,
        )
        place = parts.netloc
        whole = False
        try:
            chunks: list[bytes] = []
            size = 0
            for chunk in response.stream(_CHUNK, decode_content=True):
                size += len(chunk)
                if size > self._max_bytes:
                    raise StreamError(f"{place} answered with more than {self._max_bytes // 1024 // 1024} MB.")
                chunks.append(chunk)
            if watch.is_over:
                raise self._too_slow(place)
            whole = True
        finally:
            if not whole:
                response.close()  # half an answer is left in it: never back to the pool
            response.release_conn()
        if 300 <= response.status < 400 and response.status != 304:
            raise StreamError(
                f"{place} answered with a redirect (HTTP {response.status}), which is not followed.",
                mend="Check the address of the source.",
            )
        return Answer(response.status, response.headers, b"".join(chunks))

    def _address(self, url: str) -> str:
        parts = urlsplit(url)
        if (parts.hostname or "").lower() not in self._hosts or parts.username is not None:
            raise StreamError(f"The vendor pointed to another host ({parts.hostname}), which is not followed.")
        if self._base_url is None:
            return url
        return self._base_url + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _too_slow(self, place: str) -> TransientError:
        return TransientError(f"{place}: the answer took longer than {self._timeouts.total_s:g} s.")


def _environment_proxy(url: str) -> str | None:
    """The proxy the environment names for this address, None where it names none."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.hostname in ("127.0.0.1", "localhost", "::1") or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _explain(error: BaseException) -> str:
    """What went wrong on the wire, in a few words of ours (urllib3's own text may carry the address)."""
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (urllib3.exceptions.NameResolutionError, "the host name is not known."),
        # A refused connection is one that could not be made: urllib3 files it under the timeouts.
        (urllib3.exceptions.NewConnectionError, "the connection was refused."),
        (urllib3.exceptions.ConnectTimeoutError, "no connection in time."),
        (urllib3.exceptions.ReadTimeoutError, "no answer in time."),
        (urllib3.exceptions.SSLError, "the certificate could not be verified, or TLS failed."),
        (urllib3.exceptions.ProxyError, "the proxy could not be reached."),
        (urllib3.exceptions.DecodeError, "the answer was compressed wrongly."),
        (urllib3.exceptions.IncompleteRead, "the answer was cut short."),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return words
    return f"the connection broke ({type(error).__name__})."
