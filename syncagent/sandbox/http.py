"""Runs a sandbox server on loopback: one uvicorn in a thread, a wire with delays and faults, its own clock as Date."""

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from syncagent.sandbox.faults import Faults
from syncagent.sandbox.http_answer import NEEDS_NO_ANSWER, Answer, misbehave


class LoopbackServer:
    """Serves an ASGI app at `url` from `start` to `stop`; counts requests by `METHOD /path` and by status.

    `latency`: seconds on the way, each way, drawn evenly between the two. `slow_uplinks`: the share of requests that
    take `slow_by_s` longer (on average) before they arrive. `skew_s`: how far the server's clock is ahead.
    `most_in_flight`: the most requests that were open at once; `busy_s`: the seconds all of them were open, added up.
    """

    def __init__(self, app: ASGIApp, *, clock: Callable[[], int]) -> None:
        self._app = app
        self._clock = clock
        self.faults = Faults()
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._held: socket.socket | None = None  # keeps the port while nobody listens
        self.forget()

    def forget(self) -> None:
        """As if just made: no faults, no delays, a right clock, nothing counted. The port stays."""
        self.faults.clear()
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.latency = (0.0, 0.0)
        self.slow_uplinks, self.slow_by_s = 0.0, 1.5
        self.skew_s = 0
        self.most_in_flight = 0
        self.busy_s = 0.0
        self._in_flight = 0
        self._jitter = random.Random(7)  # noqa: S311  (delays, not secrets)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count_429(self) -> int:
        return self.statuses[429]

    @property
    def server_now(self) -> int:
        """Epoch seconds by the server's clock."""
        return int(self._clock() + self.skew_s)

    def start(self, port: int = 0) -> None:
        listener = self._held or _bound(port)
        self._held = None
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
        if self._held is not None:
            self._held.close()
            self._held = None
        if self._server is None or self._thread is None:
            return
        if self._loop is not None and self._closing is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._closing.set)
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._server = self._thread = self._loop = self._closing = None

    def pause(self) -> None:
        """Hang up on everybody and refuse connections until `resume`; the port and all that was counted stay."""
        self.stop()
        self._held = _bound(self.port)

    def resume(self) -> None:
        """Listen again where `pause` stopped."""
        self.start(self.port)

    # -- one request -----------------------------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._closing is None:
            self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        began = time.monotonic()
        try:
            await self._travel(up=True)
            await self._reply(scope, receive, send)
        finally:
            self._in_flight -= 1
            self.busy_s += time.monotonic() - began

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        name = f"{scope['method']} {scope['path']}"
        self.calls[name] += 1
        fault = self.faults.strike(f"{name}?{query}" if query else name)
        answer = Answer(send, self.server_now, self.statuses, self._travel)
        if fault is None:
            await self._app(scope, receive, answer.pass_on)
            return
        if fault.when is not None or fault.kind not in NEEDS_NO_ANSWER:
            await self._app(scope, receive, answer.keep)
            if fault.when is not None and not answer.fits(fault.when):
                self.faults.decline(fault)
                await answer.whole(answer.status, answer.headers, answer.body)
                return
        await misbehave(fault, answer, receive, self._wait)

    async def _travel(self, *, up: bool = False) -> None:
        """The time a request or an answer is on its way."""
        low, high = self.latency
        seconds = self._jitter.uniform(low, high) if high > 0 else 0.0
        if up and self.slow_uplinks and self._jitter.random() < self.slow_uplinks:
            seconds += self._jitter.expovariate(1 / self.slow_by_s)
        if seconds > 0:
            await self._wait(seconds)

    async def _wait(self, seconds: float) -> bool:
        """Sleep, but no longer than the server lives; True when it is closing."""
        closing = self._closing
        if closing is None:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), seconds)
        return closing.is_set()


def _bound(port: int) -> socket.socket:
    """A socket that has the port and does not listen yet: connections to it are refused."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on: every answer would wait 40 ms for an acknowledgement.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
