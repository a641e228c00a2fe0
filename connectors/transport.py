"""HTTP out: pooled connections, timeouts, a total deadline, a size cap, no redirects; knows no vendor's words.

Both vendor packages send through a `Transport`. It answers with the whole body or raises; what a status code means is
the caller's to say. No cookie is kept, no password goes out without TLS, and only hosts that were named are called.
"""

import logging
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from connectors.errors import ConnectorError, SourceConfigError, StreamError, TransientError
from connectors.tally import count_call
from connectors.transport_body import whole_body
from connectors.transport_sockets import Call, HttpPool, HttpsPool, tls_context

log = logging.getLogger(__name__)


class Stopped(TransientError):
    """We were asked to stop: nothing is wrong, and nothing more is to be tried."""


class CertificateRefused(TransientError):
    """The other side could not prove who it is. Nothing was sent; trying again at once changes nothing."""


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


@lru_cache(maxsize=16)  # many answers come within one second
def parse_http_date(text: str | None) -> datetime | None:
    """Aware UTC of an HTTP date, None for anything else."""
    if not text:
        return None
    try:
        parsed = parsedate_to_datetime(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


_ENDS_AT: ContextVar[float] = ContextVar("ends_at", default=float("inf"))


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """Calls of this thread end within so many seconds, however long their own timeouts are."""
    token = _ENDS_AT.set(min(_ENDS_AT.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ENDS_AT.reset(token)


class Transport:
    """Sends one request and reads its whole answer. Safe to share between threads.

    `base_url` replaces scheme and host of every address (test servers, gateways). Only `hosts`, and those added by
    `allow`, are ever called, and only by https: a page link cannot carry a token elsewhere. `ca_file` replaces the
    system's authorities; raises SourceConfigError where it, or the proxy's address, cannot be used. Bodies of more
    than `max_bytes` (unpacked) are refused: the largest page asked for, 50,000 rows of a bulk result, has about 25 MB.
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
        connections: int = 32,
    ) -> None:
        self._hosts = {host.lower() for host in hosts}
        self._base_url = base_url
        self._timeouts = timeouts or Timeouts()
        self._wire_timeout = urllib3.Timeout(connect=self._timeouts.connect_s, read=self._timeouts.read_s)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._calls = 0
        self._is_interrupted = False
        target = base_url or f"https://{next(iter(hosts), '')}"
        address = proxy or _environment_proxy(target)
        self._is_proxied = bool(address)
        options: dict[str, Any] = {"num_pools": 100, "maxsize": connections, "retries": False}
        if target.startswith("https:") or (address or "").startswith("https:"):
            options["ssl_context"] = _context(ca_file)
        self._pool = _proxy_pool(address, options) if address else urllib3.PoolManager(**options)
        self._senders: dict[tuple[str, str], Any] = {}
        self._pool.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}

    @property
    def calls(self) -> int:
        """Requests sent so far, each try counted."""
        return self._calls

    def allow(self, host: str) -> None:
        """Let `host` be called too (the instance a login reply names)."""
        self._hosts.add(host.lower())

    def send(self, method: str, url: str, *, headers: Mapping[str, str], body: str | bytes | None = None) -> Answer:
        """The whole answer of any status but a redirect. Raises TransientError for anything that breaks on the way.

        StreamError for a redirect, another host or too large an answer; Stopped after `interrupt`.
        """
        address = self._address(url)
        place = urlsplit(address).netloc
        total_s = min(self._timeouts.total_s, max(0.05, _ENDS_AT.get() - time.monotonic()))
        with Call(self, total_s) as call:
            if self._is_interrupted:  # looked at after the call is known, so that none slips through
                raise Stopped("Stopped before a call.")
            with self._lock:
                self._calls += 1
            count_call()
            began = time.monotonic()
            try:
                answer = self._exchange(method, address, headers, body, place)
                # Without its query: that may hold what a customer is called.
                said = (method, place, urlsplit(address).path, answer.status, time.monotonic() - began)
                log.debug("%s %s%s: %d in %.2f s", *said, extra={"action": "called"})
                return answer
            except (ConnectorError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if call.is_cut:
                    raise Stopped("Stopped in the middle of a call.") from error
                if not call.left_s():
                    raise TransientError(f"{place}: the answer took longer than {total_s:.3g} s.") from error
                if isinstance(error, ConnectorError):
                    raise
                raise _error_of(place, error) from error

    def interrupt(self) -> None:
        """From any thread: end every call under way now, whatever it waits for, and every later one at once."""
        self._is_interrupted = True
        Call.cut_all(self)

    def close(self) -> None:
        """End what is under way and close every connection."""
        self.interrupt()
        pools = self._pool.pools
        for pool in [pools.get(key) for key in pools.keys()]:  # noqa: SIM118 - no mapping: it refuses to be iterated
            if pool is not None:
                pool.close()  # clearing alone leaves them to the garbage collector
        pools.clear()
        self._senders.clear()

    def _exchange(
        self, method: str, address: str, headers: Mapping[str, str], body: str | bytes | None, place: str
    ) -> Answer:
        parts = urlsplit(address)
        sender: Any = self._pool
        target = address
        if not self._is_proxied:  # straight to the host's pool: the manager would take long addresses apart three times
            sender = self._sender(parts.scheme, parts.netloc)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        wanted = {name: value for name, value in headers.items() if name.lower() not in ("accept-encoding", "cookie")}
        wanted["Accept-Encoding"] = "gzip"
        response = sender.urlopen(
            method,
            target,
            body=body,
            headers=wanted,
            timeout=self._wire_timeout,
            preload_content=False,
            redirect=False,
            decode_content=False,
        )
        whole = False
        try:
            if 300 <= response.status < 400 and response.status != 304:
                raise StreamError(
                    f"{place} answered with a redirect (HTTP {response.status}), which is not followed.",
                    mend="Check the address of the source.",
                )
            answered = whole_body(response, place=place, max_bytes=self._max_bytes)
            if (call := Call.current()) is not None and call.has_ended:
                raise TransientError(f"{place}: the answer was cut short.")  # a shut socket looks like its end
            whole = True
        finally:
            if not whole:
                response.close()  # half an answer is left in it: never back to the pool
            response.release_conn()
        return Answer(response.status, response.headers, answered)

    def _sender(self, scheme: str, place: str) -> Any:
        """The pool of a host. Found once: the manager takes the host's name and all its settings apart at each call."""
        sender = self._senders.get((scheme, place))
        if sender is None:
            parts = urlsplit(f"{scheme}://{place}")
            sender = self._pool.connection_from_host(parts.hostname, parts.port, scheme)
            self._senders[scheme, place] = sender
        return sender

    def _address(self, url: str) -> str:
        """The address really called. Raises StreamError for a host not allowed, or without TLS."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise StreamError("The vendor pointed to an address that is none; it is not followed.") from None
        if host not in self._hosts or parts.username is not None or parts.scheme != "https":
            raise StreamError(f"The vendor pointed to another host ({host[:100]}), which is not followed.")
        rest = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if self._base_url is not None:
            return self._base_url + rest
        return f"https://{host}{f':{port}' if port else ''}{rest}"


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return tls_context(ca_file)
    except (OSError, ssl.SSLError):
        raise SourceConfigError(
            "ca_file cannot be read, or holds no certificate.", mend="Give a PEM file of the authority's certificate."
        ) from None


def _proxy_pool(address: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    """A pool that goes through a proxy; a name and password in its address are sent to it alone."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("no proxy that can be spoken to")
    except ValueError:
        raise SourceConfigError(
            "The proxy's address cannot be used.", mend='Give one like "http://proxy.example.com:3128".'
        ) from None
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    return urllib3.ProxyManager(
        f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}",
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
        proxy_ssl_context=options.get("ssl_context"),
        **options,
    )


def _environment_proxy(url: str) -> str | None:
    """The proxy the environment names for this address, None where it names none."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.hostname in ("127.0.0.1", "localhost", "::1") or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


#: OpenSSL's reasons to refuse a certificate, in words.
_REFUSALS: Mapping[int, str] = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "comes from an authority that is not trusted",
    20: "comes from an authority that is not trusted",
    21: "comes from an authority that is not trusted",
    62: "belongs to another host",
    64: "belongs to another address",
}


def _error_of(place: str, error: BaseException) -> TransientError:
    """What went wrong on the wire, in a few words of ours (urllib3's own text may carry the address)."""
    refusal: Any = error
    while refusal is not None and not isinstance(refusal, ssl.SSLCertVerificationError):
        inner = refusal.args[0] if isinstance(refusal, urllib3.exceptions.SSLError) and refusal.args else None
        refusal = inner if isinstance(inner, BaseException) else refusal.__cause__ or refusal.__context__
    if refusal is not None:
        why = _REFUSALS.get(refusal.verify_code, "cannot be verified")
        return CertificateRefused(
            f"{place}: the certificate {why}; nothing was sent.",
            mend="Check this machine's clock, and give the authority's certificate as ca_file if it is your own.",
        )
    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (urllib3.exceptions.NameResolutionError, "the host name is not known."),
        # A refused connection is one that could not be made: urllib3 files it under the timeouts.
        (urllib3.exceptions.NewConnectionError, "the connection was refused."),
        (urllib3.exceptions.ConnectTimeoutError, "no connection in time."),
        (urllib3.exceptions.ReadTimeoutError, "no answer in time."),
        (urllib3.exceptions.SSLError, "TLS failed."),
        (urllib3.exceptions.ProxyError, "the proxy could not be reached."),
        (urllib3.exceptions.IncompleteRead, "the answer was cut short."),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return TransientError(f"{place}: {words}")
    return TransientError(f"{place}: the connection broke ({type(error).__name__}).")
