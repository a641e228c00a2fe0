"""The one transport: what goes wrong on the wire is said as what it is, and no foreign host is ever called."""

import socket
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
