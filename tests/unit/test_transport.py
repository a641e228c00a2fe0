"""The one transport: what goes wrong on the wire is said as what it is, and no foreign host is ever called."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from connectors.errors import ConnectorError, TransientError
from connectors.transport import Transport


def test_a_refused_connection_is_called_refused() -> None:
    """Nobody listening is not the same as nobody answering in time."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (
        closing(Transport(["api.example.com"], base_url=f"http://127.0.0.1:{port}")) as transport,
        pytest.raises(TransientError, match=r"the connection was refused\."),
    ):
        transport.send("GET", "https://api.example.com/x", headers={})


def test_another_host_is_never_called() -> None:
    """An address in an answer cannot send our token elsewhere."""
    with (
        closing(Transport(["api.example.com"], base_url="http://127.0.0.1:9")) as transport,
        pytest.raises(ConnectorError, match="elsewhere"),
    ):
        transport.send("GET", "https://elsewhere.example.com/x", headers={"Authorization": "Bearer x"})


def test_a_call_is_told_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    """What -vv shows: a query may name a customer."""

    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as peer:
            peer.recv(10_000)
            peer.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    caplog.set_level("DEBUG", "connectors.transport")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ThreadPoolExecutor(1) as threads,
        closing(Transport(["api.example.com"], base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")) as transport,
    ):
        threads.submit(answer, listener)
        transport.send("GET", "https://api.example.com/x?email=ann@acme.test", headers={})
    (said,) = caplog.messages
    assert "/x: 204 in " in said
    assert "ann" not in said
