"""Who is on the other side: certificates, proxies, names and addresses, on loopback."""

import base64
import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from connectors.errors import SourceConfigError, TransientError
from connectors.retry import Patience, Retry
from connectors.transport import Answer, CertificateRefused, Stopped, Timeouts, Transport
from tests.fakes.wire import Behaviour, WireServer, answer

HOST = "api.example.com"
QUICK = Timeouts(connect_s=2.0, read_s=5.0, total_s=5.0)
SECRET = {"Authorization": "Bearer very-secret"}


def get(transport: Transport, host: str = HOST) -> Answer:
    return transport.send("GET", f"https://{host}/x?y=1", headers=SECRET)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def tls(authority: trustme.CA, *names: str, not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, not_after=not_after).configure_cert(context)
    return context


# --- certificates ------------------------------------------------------------------------------------------------


def test_a_certificate_of_the_own_authority_is_accepted(authority: trustme.CA, ca_file: str) -> None:
    with (
        WireServer(answer(b"[1]"), tls=tls(authority, "127.0.0.1")) as server,
        closing(Transport([HOST], base_url=server.url, ca_file=ca_file, timeouts=QUICK)) as transport,
    ):
        assert [get(transport).body for _ in range(3)] == [b"[1]"] * 3
        assert server.connections == 1
        assert b"very-secret" in server.requests[0]
        transport.close()
        assert server.all_gone()


@pytest.mark.parametrize("flaw", ["expired", "wrong host", "unknown authority", "no ca_file"])
def test_a_bad_certificate_gets_no_credentials(flaw: str, authority: trustme.CA, ca_file: str) -> None:
    contexts = {
        "expired": (tls(authority, "127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1)), "has expired"),
        "wrong host": (tls(authority, "other.example.com"), "belongs to another"),
        "unknown authority": (tls(trustme.CA(), "127.0.0.1"), "not trusted"),
        "no ca_file": (tls(authority, "127.0.0.1"), "not trusted"),
    }
    context, words = contexts[flaw]
    own = None if flaw == "no ca_file" else ca_file
    with (
        WireServer(answer(), tls=context) as server,
        closing(Transport([HOST], base_url=server.url, ca_file=own, timeouts=QUICK)) as transport,
    ):
        retry = Retry(patience=Patience(first_s=0.01, cap_s=0.01))
        with pytest.raises(CertificateRefused, match=words):
            retry.call(lambda: get(transport))
        assert transport.calls == 1  # trying again at once changes nothing
        assert server.requests == []
        assert server.all_gone()


def test_a_server_without_tls_gets_no_credentials() -> None:
    with (
        WireServer(answer()) as server,
        closing(Transport([HOST], base_url=server.url.replace("http:", "https:"), timeouts=Timeouts(0.3))) as transport,
    ):
        with pytest.raises(TransientError, match="no answer in time"):  # it takes our greeting for half a request
            get(transport)
        assert not any(b"very-secret" in request for request in server.requests)


def test_a_ca_file_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(SourceConfigError, match="ca_file"):
            Transport([HOST], ca_file=str(tmp_path / name))


# --- proxies -----------------------------------------------------------------------------------------------------


def tunnel_to(port: int, over: threading.Event) -> Behaviour:
    """What a proxy does with CONNECT: join both sides until one has gone. Everything else is refused."""

    def behave(sock: socket.socket, request: bytes) -> None:
        if not request.startswith(b"CONNECT "):
            sock.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port)) as target:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while not over.is_set():
                for one in select.select([sock, target], [], [], 0.05)[0]:
                    piece = one.recv(65536)
                    if not piece:
                        raise ConnectionAbortedError
                    (target if one is sock else sock).sendall(piece)

    return behave


@pytest.fixture
def vendor(authority: trustme.CA) -> Iterator[WireServer]:
    with WireServer(answer(b"[1]"), tls=tls(authority, HOST)) as server:
        yield server


@pytest.mark.parametrize("told_by", ["environment", "settings", "all of the environment"])
def test_a_proxy_is_gone_through_and_sees_no_credentials(
    told_by: str, vendor: WireServer, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WireServer() as proxy:
        proxy.then(tunnel_to(vendor.port, proxy.over))
        if told_by != "settings":
            monkeypatch.setenv("HTTPS_PROXY" if told_by == "environment" else "ALL_PROXY", proxy.url)
        named = proxy.url if told_by == "settings" else None
        with closing(Transport([HOST], ca_file=ca_file, proxy=named, timeouts=QUICK)) as transport:
            assert [get(transport).body for _ in range(2)] == [b"[1]"] * 2
        assert proxy.requests[0].startswith(f"CONNECT {HOST}:443 ".encode())
        assert not any(b"very-secret" in request for request in proxy.requests)
        assert b"GET /x?y=1 " in vendor.requests[0]
        assert proxy.all_gone()


def test_a_proxy_s_own_login_is_for_it_alone(vendor: WireServer, ca_file: str) -> None:
    with WireServer() as proxy:
        proxy.then(tunnel_to(vendor.port, proxy.over))
        address = f"ada:p%40ss@127.0.0.1:{proxy.port}"
        with closing(Transport([HOST], ca_file=ca_file, proxy=address, timeouts=QUICK)) as transport:
            assert get(transport).body == b"[1]"
        expected = b"basic " + base64.b64encode(b"ada:p@ss")
        assert expected.lower() in proxy.requests[0].lower()
        assert b"proxy-authorization" not in vendor.requests[0].lower()


def test_the_environment_may_except_a_host_from_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    _resolve(monkeypatch, ("127.0.0.1", 9))
    with closing(Transport([HOST], timeouts=QUICK)) as transport, pytest.raises(TransientError, match="was refused"):
        get(transport)


@pytest.mark.parametrize("how", ["nobody there", "refuses", "hangs", "rubbish"])
def test_a_proxy_that_does_not_work_is_worth_another_try(how: str) -> None:
    with WireServer() as proxy:
        proxy.then(
            {
                "refuses": answer(status="407 Proxy Authentication Required"),
                "hangs": proxy.hang(),
                "rubbish": lambda sock, _: sock.sendall(b"220 mail.example.com ESMTP\r\n\r\n"),
                "nobody there": answer(),
            }[how]
        )
        address = "http://127.0.0.1:9" if how == "nobody there" else proxy.url
        with closing(Transport([HOST], proxy=address, timeouts=Timeouts(1.0, 1.0, 0.5))) as transport:
            with pytest.raises(TransientError):
                get(transport)
            transport.close()
            assert proxy.all_gone()


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "http://", "http://[::1", "http://a:b:c"])
def test_a_proxy_that_cannot_be_is_said_at_once(address: str) -> None:
    with pytest.raises(SourceConfigError, match=r"proxy\.example\.com:3128"):
        Transport([HOST], proxy=address)


# --- names and addresses -----------------------------------------------------------------------------------------


def _resolve(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int] | Exception | threading.Event) -> None:
    """The system's resolver as a stub: what it finds for our host, an error, or nothing until an event is set."""
    real = socket.getaddrinfo

    def stub(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != HOST:
            return real(host, port, *args, **more)
        addresses = []
        for one in found:
            if isinstance(one, threading.Event):
                one.wait(20)
                raise socket.gaierror(socket.EAI_AGAIN, "again")
            if isinstance(one, Exception):
                raise one
            addresses += real(*one, 0, socket.SOCK_STREAM)
        return addresses

    monkeypatch.setattr(socket, "getaddrinfo", stub)


def test_a_name_that_is_not_known_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, socket.gaierror(socket.EAI_NONAME, "not known"))
    retry = Retry(patience=Patience(tries=3, first_s=0.01, cap_s=0.01))
    with closing(Transport([HOST], timeouts=QUICK)) as transport:
        with pytest.raises(TransientError, match="host name is not known"):
            retry.call(lambda: get(transport))
        assert transport.calls == 3


def test_a_name_service_that_hangs_ends_in_time_and_on_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()
    _resolve(monkeypatch, silence)
    try:
        with closing(Transport([HOST], timeouts=Timeouts(30, 30, 0.3))) as transport:
            began = time.monotonic()
            with pytest.raises(TransientError, match="took longer"):
                get(transport)
            assert time.monotonic() - began < 5
        with closing(Transport([HOST], timeouts=Timeouts(30, 30, 30))) as transport:
            threading.Timer(0.2, transport.interrupt).start()
            with pytest.raises(Stopped):
                get(transport)
    finally:
        silence.set()


def test_a_host_that_has_only_ipv6_is_reached() -> None:
    with contextlib.suppress(OSError):
        with (
            WireServer(answer(b"[1]"), host="::1") as server,
            closing(Transport([HOST], base_url=server.url, timeouts=QUICK)) as transport,
        ):
            assert get(transport).body == b"[1]"
        return
    pytest.skip("this machine has no IPv6")


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    authority: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many networks announce IPv6 and drop it: the first address must not use up the time to connect."""
    with (
        socket.socket() as silent,
        WireServer(answer(b"[1]"), tls=tls(authority, HOST)) as server,
        contextlib.ExitStack() as waiting,
    ):
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):  # a full backlog: what is sent to it is dropped
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        time.sleep(0.05)
        _resolve(monkeypatch, silent.getsockname(), ("127.0.0.1", 9), ("127.0.0.1", server.port))
        timeouts = Timeouts(connect_s=1.5, read_s=5, total_s=20)
        with closing(Transport([HOST], ca_file=ca_file, timeouts=timeouts)) as transport:
            assert get(transport).body == b"[1]"
