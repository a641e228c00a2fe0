"""Runs a sandbox server on loopback: one uvicorn in a thread, faults on the wire, the company's clock as Date."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncagent.sandbox.faults import Fault, Faults

_HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We'll be right back</h1></body></html>"


class LoopbackServer:
    """Serves an ASGI app at `url` from `start` to `stop`; counts requests by `METHOD /path` and by status."""

    def __init__(self, app: ASGIApp, *, clock: Callable[[], int]) -> None:
        self._app = app
        self._clock = clock
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count_429(self) -> int:
        return self.statuses[429]

    def start(self, port: int = 0) -> None:
        # Named as TCP, or asyncio leaves Nagle's algorithm on: every answer would wait 40 ms for an acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._serve,
            log_config=None,
            access_log=False,
            lifespan="off",
            date_header=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
            ws="none",
            interface="asgi3",
            proxy_headers=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name=f"sandbox-{self.port}", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("The sandbox server did not start.")
            time.sleep(0.005)

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        if self._loop is not None and self._closing is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._closing.set)
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._server = self._thread = None

    # -- one request -----------------------------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._closing is None:
            self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        query = scope["query_string"].decode()
        name = f"{scope['method']} {scope['path']}"
        self.calls[name] += 1
        fault = self.faults.strike(f"{name}?{query}" if query else name)
        answer = _Answer(send, self._clock(), self.statuses)
        if fault is None:
            await self._app(scope, receive, answer.pass_on)
            return
        await self._misbehave(fault, scope, receive, answer)

    async def _misbehave(self, fault: Fault, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        if fault.kind == "drop":
            _transport(answer.send).close()
            await _until_gone(receive)
            return
        if fault.kind in ("status", "html"):
            await _drain(receive)
            headers = {"content-type": "text/html; charset=utf-8"} if fault.kind == "html" else dict(fault.headers)
            body = (fault.body or _HTML) if fault.kind == "html" else fault.body
            await answer.whole(fault.status, headers, body)
            return
        if fault.kind == "hang":
            await self._wait(fault.seconds)
            await self._app(scope, receive, answer.pass_on)
            return
        await self._app(scope, receive, answer.keep)
        body = answer.body
        if fault.kind == "truncate":
            await answer.whole(answer.status, answer.headers, body[: len(body) // 2])
        elif fault.kind == "drip":
            await answer.begin(answer.status, answer.headers, len(body))
            for place in range(len(body)):
                await answer.send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
                if await self._wait(fault.seconds):
                    return
            await answer.send({"type": "http.response.body", "body": b""})
        else:  # cut, reset
            await answer.begin(answer.status, answer.headers, len(body))
            await answer.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            transport = _transport(answer.send)
            if fault.kind == "cut":
                transport.close()
                await _until_gone(receive)
                return
            await asyncio.sleep(0.02)  # let the half body leave before the reset overtakes it
            wire = transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
            await _until_gone(receive)

    async def _wait(self, seconds: float) -> bool:
        """Sleep, but no longer than the server lives; True when it is closing."""
        assert self._closing is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return self._closing.is_set()


class _Answer:
    """What the app answers, on its way to the client: dated, counted, or kept to be spoiled."""

    def __init__(self, send: Send, now: int, statuses: "Counter[int]") -> None:
        self.send = send
        self._date = formatdate(now, usegmt=True)
        self._statuses = statuses
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""

    async def pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._statuses[message["status"]] += 1
            message["headers"] = [*message["headers"], (b"date", self._date.encode())]
        await self.send(message)

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self.body += message.get("body", b"")

    async def begin(self, status: int, headers: dict[str, str], length: int) -> None:
        self._statuses[status] += 1
        pairs = {**headers, "content-length": str(length), "date": self._date}
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(k.encode(), v.encode()) for k, v in pairs.items()],
            }
        )

    async def whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        await self.begin(status, headers, len(body))
        await self.send({"type": "http.response.body", "body": body})


async def _drain(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport(send: Send) -> Any:
    """The connection under an ASGI `send`: uvicorn binds it to the request's cycle, which holds the transport."""
    return send.__self__.transport  # type: ignore[attr-defined]
