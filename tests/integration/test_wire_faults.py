"""What goes wrong on the wire, done by a loopback server: each ends as what it is, in time, with its socket closed."""

import gzip
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from connectors.errors import ConnectorError, StreamError, TransientError
from connectors.retry import Patience, Retry
from connectors.tally import Tally, counted
from connectors.transport import Answer, Stopped, Timeouts, Transport, ending_within
from tests.fakes.wire import Behaviour, WireServer, answer, chunked, raw, reset

HOST = "api.example.com"
URL = f"https://{HOST}/x"
QUICK = Timeouts(connect_s=0.5, read_s=1.0, total_s=0.6)


@contextmanager
def transport_to(server: WireServer, *, timeouts: Timeouts = QUICK, max_bytes: int = 1 << 20) -> Iterator[Transport]:
    with closing(Transport([HOST], base_url=server.url, timeouts=timeouts, max_bytes=max_bytes)) as transport:
        yield transport


def get(transport: Transport, **headers: str) -> Answer:
    return transport.send("GET", URL, headers=headers)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
GZIP = "Content-Encoding: gzip\r\n"
ZIPPED = gzip.compress(b'{"results": []}' * 50)


# --- time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["headers", "body", "silence", "silence in the body", "interim answers"])
def test_a_call_ends_when_its_time_is_over_however_it_is_drawn_out(phase: str) -> None:
    """A read timeout restarts with every byte: only the total deadline ends a drip."""
    with WireServer() as server:
        behaviours: dict[str, Behaviour] = {
            "headers": server.drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.05),
            "body": server.drip(HEAD),
            "silence": server.hang(),
            "silence in the body": server.hang(HEAD + b"{"),
            "interim answers": server.drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        }
        server.then(behaviours[phase])
        with transport_to(server, timeouts=Timeouts(0.5, 30.0, 0.4)) as transport:
            began = time.monotonic()
            with pytest.raises(TransientError, match=r"took longer than 0\.4 s"):
                get(transport)
            assert time.monotonic() - began < 5
            assert server.all_gone()


def test_silence_longer_than_the_read_timeout_ends_a_call() -> None:
    with WireServer() as server, transport_to(server.then(server.hang()), timeouts=Timeouts(1, 0.2, 30)) as transport:
        with pytest.raises(TransientError, match="no answer in time"):
            get(transport)
        assert server.all_gone()


def test_a_request_nobody_reads_ends_in_time() -> None:
    """Sending blocks as well, once the buffers between are full."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            closing(Transport([HOST], base_url=url, timeouts=Timeouts(1, 30, 0.4))) as transport,
            pytest.raises(TransientError, match="took longer"),
        ):
            transport.send("POST", URL, headers={}, body=b"x" * 30_000_000)


@contextmanager
def full_backlog() -> Iterator[str]:
    """The address of a listener that takes no connection: a packet sent to it is dropped, as by a firewall."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
                waiting.append(one)
            time.sleep(0.05)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


def test_a_connection_that_is_never_made_ends_in_time() -> None:
    with full_backlog() as url:
        for timeouts, words in ((Timeouts(0.3, 30, 30), "no connection in time"), (Timeouts(30, 30, 0.3), "longer")):
            with (
                closing(Transport([HOST], base_url=url, timeouts=timeouts)) as transport,
                pytest.raises(TransientError, match=words),
            ):
                get(transport)


def test_what_is_left_of_a_retry_s_time_ends_its_calls() -> None:
    with WireServer() as server, transport_to(server.then(server.hang()), timeouts=Timeouts(1, 30, 30)) as transport:
        retry = Retry(patience=Patience(budget_s=0.5, first_s=0.01, cap_s=0.01))
        began = time.monotonic()
        with pytest.raises(TransientError, match="took longer"):
            retry.call(lambda: get(transport))
        assert time.monotonic() - began < 5
        with ending_within(0.1), pytest.raises(TransientError, match="took longer"):
            get(transport)
        assert server.all_gone()


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (raw(HEAD + b"{", closes=True), "cut short|broke"),
        (reset(HEAD + b"{"), "broke"),
        (reset(b""), "broke"),
        (raw(b"", closes=True), "broke"),
        (raw(b"SSH-2.0-x\r\n\r\n", closes=True), "broke"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", closes=True), "broke"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", closes=True), "broke"),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", closes=True), "cut short|broke"),
        (chunked(b"abc", end=b"zz\r\n"), "cut short|broke"),
        (answer(b"this is no gzip", headers=GZIP), "compressed wrongly"),
        (answer(ZIPPED[:-1] + b"\x01", headers=GZIP), "compressed wrongly"),
        (answer(ZIPPED[:40], headers=GZIP), "cut short"),
        (answer(ZIPPED, headers="Content-Encoding: br\r\n"), "not asked for"),
    ],
)
def test_half_an_answer_is_none(behaviour: Behaviour, words: str) -> None:
    """Never an empty page, never half of one: worth another try."""
    with WireServer(behaviour, answer(b"[1]")) as server, transport_to(server) as transport:
        with pytest.raises(TransientError, match=words):
            get(transport)
        assert get(transport).body == b"[1]"  # and the next call is not mixed up with it
        transport.close()
        assert server.all_gone()


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (answer(ZIPPED, headers=GZIP), b'{"results": []}' * 50),
        (answer(zlib.compress(b"{}"), headers="Content-Encoding: deflate\r\n"), b"{}"),
        (answer(gzip.compress(b"[1,") + gzip.compress(b"2]"), headers=GZIP), b"[1,2]"),
        (answer(gzip.compress(b"[1]") + b"\x00" * 9, headers=GZIP), b"[1]"),
        (chunked(ZIPPED[:5], ZIPPED[5:], headers=GZIP), b'{"results": []}' * 50),
        (chunked(b"[1", b"]"), b"[1]"),
        (answer(b"", status="204 No Content", headers=GZIP), b""),
        (raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1]", closes=True), b"[1]"),
        (answer(b"oops", status="503 Service Unavailable"), b"oops"),
        (answer(b"", status="304 Not Modified"), b""),
    ],
)
def test_whole_answers_in_every_form(behaviour: Behaviour, expected: bytes) -> None:
    with WireServer(behaviour) as server, transport_to(server) as transport:
        assert get(transport).body == expected


def test_what_follows_too_short_a_length_is_no_part_of_the_next_answer() -> None:
    """The half an answer that is left is broken JSON, and so tried again; its rest is thrown away."""
    behaviours = (answer(b'{"results": [1, 2]}', length=10), answer(b"[1]"))
    with WireServer(*behaviours) as server, transport_to(server) as transport:
        assert get(transport).body == b'{"results"'
        time.sleep(0.05)
        assert get(transport).body == b"[1]"


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(b"", length=1 << 30),
        answer(b"x" * 300_000),
        chunked(*[b"x" * 100_000] * 3),
        chunked(*[b"x" * 100_000] * 3, headers="Content-Length: 10\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"300000".zfill(30) + b"\r\n\r\n" + b"x" * 300_000),
        answer(gzip.compress(b"x" * 300_000), headers=GZIP),
        answer(gzip.compress(gzip.compress(b"x" * 1000) + b"x" * 300_000), headers=GZIP),
    ],
)
def test_too_much_is_refused(behaviour: Behaviour) -> None:
    with WireServer(behaviour) as server, transport_to(server, max_bytes=200_000) as transport:
        with pytest.raises(StreamError, match="more than"):
            get(transport)
        transport.close()
        assert server.all_gone()


def test_a_bomb_is_refused_by_how_well_it_packs() -> None:
    bomb = gzip.compress(b" " * (40 << 20))
    with (
        WireServer(answer(bomb, headers=GZIP)) as server,
        transport_to(server, max_bytes=64 << 20, timeouts=Timeouts(1, 5, 20)) as transport,
        pytest.raises(StreamError, match="300 times"),
    ):
        get(transport)


_REFUSE = """
import re, sys
from connectors.errors import StreamError
from connectors.transport import Transport
transport = Transport(["api.example.com"], base_url=sys.argv[1])
# Not getrusage: what a process is started from counts there.
peak_kb = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak_kb()
for _ in range(2):
    try:
        transport.send("GET", "https://api.example.com/x", headers={})
    except StreamError as error:
        print(error)
print(before // 1024, peak_kb() // 1024)
"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_gigabyte_is_refused_in_bounded_memory(packed: bool) -> None:
    """Peak of a process of its own: 64 MB may be kept, and no copy of them."""
    block = b'{"id": "%d"}' % 7 * 90_000
    piece = gzip.compress(block) if packed else block  # one member after the other: unpacks to a gigabyte as well

    def endless(sock: socket.socket, _request: bytes) -> None:
        kind = "Content-Encoding: gzip\r\n" if packed else ""
        sock.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{kind}\r\n".encode())
        for _ in range(1000):
            sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    with WireServer(endless) as server:
        ran = subprocess.run([sys.executable, "-c", _REFUSE, server.url], capture_output=True, text=True, timeout=60)
        assert ran.stderr == ""
        *refusals, memory = ran.stdout.splitlines()
        assert len(refusals) == 2
        before_mb, peak_mb = map(int, memory.split())
        assert peak_mb - before_mb <= 100
        assert peak_mb < 200
        assert server.all_gone()


# --- where a call may go -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_refused_and_not_followed(status: str) -> None:
    with WireServer(answer()) as target:
        places = (target.url, "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "//elsewhere", "/y")
        moves = [answer(status=status, headers=f"Location: {place}\r\n") for place in places]
        with WireServer(*moves) as server, transport_to(server) as transport:
            for number in range(1, len(places) + 1):
                with pytest.raises(StreamError, match="redirect"):
                    get(transport, Authorization="Bearer secret")
                assert len(server.requests) == number
        assert target.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.com/x",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        f"file://{HOST}/etc/passwd",
        f"http://{HOST}/x",
        f"https://{HOST}@elsewhere.example.com/x",
        f"https://user:pass@{HOST}/x",
        f"https://{HOST}:99999/x",
        f"https://{HOST}.elsewhere.example.com/x",
        f"https://elsewhere.example.com\\@{HOST}/x",
        "https://[::1/x",
        "//elsewhere.example.com/x",
        "",
    ],
)
def test_no_address_leads_elsewhere(url: str) -> None:
    with WireServer(answer()) as server, transport_to(server) as transport:
        with pytest.raises(StreamError, match="not followed"):
            transport.send("GET", url, headers={"Authorization": "Bearer secret"})
        assert server.requests == []


def test_no_cookie_is_kept_and_nothing_but_gzip_is_asked_for() -> None:
    cookie = answer(headers="Set-Cookie: sid=1; Path=/\r\n")
    with WireServer(cookie, answer()) as server, transport_to(server) as transport:
        get(transport, Cookie="a=b")
        transport.send("GET", URL, headers={"accept-encoding": "br, zstd"})
        for request in server.requests:
            assert b"cookie" not in request.lower()
            assert b"accept-encoding: gzip\r\n" in request.lower()
        assert server.connections == 1  # and the connection is used again


def test_every_try_is_counted_for_its_stream() -> None:
    with WireServer(answer(), reset(b"")) as server, transport_to(server) as transport, counted(Tally()) as tally:
        get(transport)
        with pytest.raises(TransientError):
            get(transport)
        assert (tally.calls, transport.calls) == (2, 2)


# --- interrupting ------------------------------------------------------------------------------------------------


def _interrupted(transport: Transport, threads: int = 1) -> list[ConnectorError]:
    """What calls under way end with when another thread interrupts the transport."""
    ended: list[ConnectorError] = []

    def work() -> None:
        try:
            get(transport)
        except ConnectorError as error:
            ended.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    time.sleep(0.3)
    assert ended == []
    began = time.monotonic()
    transport.interrupt()
    for worker in workers:
        worker.join(10)
    assert time.monotonic() - began < 8
    return ended


@pytest.mark.parametrize("phase", ["headers", "body", "drip"])
def test_an_interrupt_ends_every_call_under_way_and_every_later_one(phase: str) -> None:
    with WireServer() as server:
        behaviours = {"headers": server.hang(), "body": server.hang(HEAD), "drip": server.drip(HEAD)}
        server.then(behaviours[phase])
        with transport_to(server, timeouts=Timeouts(30, 30, 30)) as transport:
            ended = _interrupted(transport, threads=3)
            assert [type(error) for error in ended] == [Stopped] * 3
            assert server.all_gone()
            with pytest.raises(Stopped):
                get(transport)
            assert len(server.requests) == 3


def test_an_interrupt_ends_connecting() -> None:
    with full_backlog() as url, closing(Transport([HOST], base_url=url, timeouts=Timeouts(30, 30, 30))) as transport:
        assert [type(error) for error in _interrupted(transport)] == [Stopped]


def test_an_interrupt_ends_a_tls_handshake() -> None:
    """The other side takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with closing(Transport([HOST], base_url=url, timeouts=Timeouts(30, 30, 30))) as transport:
            assert [type(error) for error in _interrupted(transport)] == [Stopped]
        with (
            closing(Transport([HOST], base_url=url, timeouts=Timeouts(30, 30, 0.3))) as transport,
            pytest.raises(TransientError, match="took longer"),
        ):
            get(transport)


def test_an_interrupt_of_one_transport_leaves_others_alone() -> None:
    with WireServer() as server, transport_to(server, timeouts=Timeouts(30, 30, 30)) as other:
        server.then(server.hang(), answer(b"[1]"))
        with transport_to(server, timeouts=Timeouts(30, 30, 30)) as transport:
            assert [type(error) for error in _interrupted(transport)] == [Stopped]
        assert get(other).body == b"[1]"
