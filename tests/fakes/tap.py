"""A loopback server between us and another one that notes every call: what is asked for, and how much at once."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its path without the query, the query's last values, headers by lower name, and the body."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    size: int  # bytes of the address and all headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Tap:
    """Passes calls on to `target` (an address like `http://127.0.0.1:80`); `calls` is what came."""

    def __init__(self, target: str) -> None:
        self.calls: list[Call] = []
        tap, host = self, urlsplit(target).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                given = {name.lower(): value for name, value in self.headers.items()}
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                size = len(self.path) + sum(len(name) + len(value) + 4 for name, value in given.items())
                tap.calls.append(Call(self.command, parts.path, query, given, body, size))
                upstream = HTTPConnection(host, timeout=10)
                try:
                    upstream.request(self.command, self.path, body or None, dict(self.headers.items()))
                    reply = upstream.getresponse()
                    answer = reply.read()
                finally:
                    upstream.close()
                self.send_response_only(reply.status, reply.reason)
                for name, value in reply.getheaders():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: TracebackType | type[BaseException] | BaseException | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def of(self, part: str) -> list[Call]:
        """The calls with this in their path."""
        return [call for call in self.calls if part in call.path]
