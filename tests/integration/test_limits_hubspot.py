"""HubSpot's short limits at their real size, on a loopback server that enforces them on rolling and fixed windows."""

import asyncio
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from connectors.day import DayShare
from connectors.hubspot.connector import HubSpotConnector
from connectors.limiter import Limiter, Window
from connectors.transport import Transport
from syncagent.sandbox import Sandbox
from tests.fakes import one_box
from tests.integration import crm_cache

HOST = "api.hubapi.com"
MOST, SEARCHES = 190, 5


class Bucket:
    """`limit` arrivals in any `window_s`, and in every window that begins at a multiple of it."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self.rolling: deque[float] = deque()
        self.fixed: Counter[int] = Counter()

    def arrive(self) -> bool:
        """Whether one more call, arriving now, is within the limit."""
        now = time.monotonic()
        while self.rolling and now - self.rolling[0] >= self.window_s:
            self.rolling.popleft()
        self.rolling.append(now)
        window = int(now / self.window_s)
        self.fixed[window] += 1
        return len(self.rolling) <= self.limit and self.fixed[window] <= self.limit

    def remaining(self) -> int:
        return max(0, self.limit - len(self.rolling))


class MeteredServer:
    """Meters calls as HubSpot does; each way takes `base_s` and up to `jitter_s` more, one way up in 100 much longer.

    Calls of others (the header X-Other) are metered in the same bucket and counted apart.
    """

    def __init__(self, *, base_s: float = 0.0, jitter_s: float = 0.1, slow_share: float = 0.01) -> None:
        self.base_s, self.jitter_s, self.slow_share = base_s, jitter_s, slow_share
        self.general, self.search = Bucket(MOST, 10.0), Bucket(SEARCHES, 1.0)
        self.served: list[tuple[float, str]] = []  # when, and "call", "search" or "other"
        self.arrived: list[tuple[float, str]] = []
        self.refused: Counter[str] = Counter()
        self._random = random.Random(7)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def share(self, kind: str, since: float, until: float, rate: float) -> float:
        """Share of `rate` calls a second that were served of this kind between two instants."""
        return sum(1 for at, one in self.served if one == kind and since <= at < until) / (rate * (until - since))

    def came(self, kind: str, since: float, until: float) -> float:
        """Calls a second of this kind that were sent between two instants, served or not."""
        return sum(1 for at, one in self.arrived if one == kind and since <= at < until) / (until - since)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                kind = "search" if b"/search" in head.split(b"\r\n")[0] else "other" if b"X-Other" in head else "call"
                slow_s = self._random.expovariate(1 / 1.5) if self._random.random() < self.slow_share else 0.0
                await asyncio.sleep(self.base_s + self._random.uniform(0, self.jitter_s) + slow_s)
                bucket = self.search if kind == "search" else self.general
                self.arrived.append((time.monotonic(), kind))
                if is_fine := bucket.arrive():
                    self.served.append((time.monotonic(), kind))
                else:
                    self.refused[kind] += 1
                headers = "" if kind == "search" else self._headers()  # searches carry none
                await asyncio.sleep(self.base_s + self._random.uniform(0, self.jitter_s))
                status = "200 OK" if is_fine else "429 Too Many Requests"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n{headers}\r\n{{}}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    def _headers(self) -> str:
        name = "X-HubSpot-RateLimit"
        return (
            f"{name}-Interval-Milliseconds: 10000\r\n{name}-Max: {MOST}\r\n{name}-Remaining: "
            f"{self.general.remaining()}\r\n"
        )


class Punctuality:
    """How much later than asked a thread of this machine wakes up, and how long a short job takes it: its own delays.

    A slow machine is late at every turn, whoever keeps the limits: what it loses by that is no fault of theirs.
    """

    def __init__(self) -> None:
        self._late_s: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def mean_s(self) -> float:
        return sum(self._late_s) / max(1, len(self._late_s))

    def _watch(self) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            time.sleep(0.02)
            self._late_s.append(time.monotonic() - began - 0.02)


class Client:
    """Calls as the HubSpot connector does: a slot, the call, its headers, the slot given back."""

    def __init__(self, server: MeteredServer) -> None:
        self.general = Window(MOST, 10.0)
        search = Window(SEARCHES, 1.0)
        self.limiter = Limiter({"call": (self.general,), "search": (search,)}, DayShare(1.0, 0.0))
        self.transport = Transport([HOST], base_url=f"http://127.0.0.1:{server.port}", connections=32)
        self.trips: dict[str, list[float]] = {"call": [], "search": []}  # seconds a slot was taken
        self.machine = Punctuality()

    def close(self) -> None:
        self.machine.close()
        self.transport.close()

    def floor(self, kind: str, window_s: float, seconds: float, *, early: float = 0.0) -> float:
        """The share of a limit that must be used at least within so many seconds.

        A slot is used once a window and a round trip, less where it comes back early by part of the shortest one; a
        thread is late when it takes it, when it sends, and when it gives it back. A quarter of the slots may go at
        once, and so all of them before the seconds begin, or after they end. What is done between an answer and the
        next call is not measured: three hundredths.
        """
        trips = self.trips[kind]
        cycle_s = window_s + sum(trips) / len(trips) - early * min(trips) + 3 * self.machine.mean_s()
        return 0.97 * window_s / max(cycle_s, window_s) - window_s / 4 / seconds

    def call(self, kind: str) -> None:
        with self.limiter.slot(kind):
            began = time.monotonic()
            answer = self.transport.send("GET", f"https://{HOST}/{kind}", headers={})
            if remaining := answer.headers.get("X-HubSpot-RateLimit-Remaining"):
                self.general.see_remaining(MOST, int(remaining))
            self.trips[kind].append(time.monotonic() - began)
        if answer.status == 429:
            self.limiter.penalise(kind, 1.0)

    def run(self, kind: str, threads: int, until: float) -> None:
        def work() -> None:
            while time.monotonic() < until:
                self.call(kind)

        with ThreadPoolExecutor(threads) as pool:
            for job in [pool.submit(work) for _ in range(threads)]:
                job.result()


@pytest.fixture
def plain() -> Iterator[MeteredServer]:
    """100 ms jitter each way."""
    with closing(MeteredServer()) as server:
        yield server


def _both(client: Client, seconds: float) -> tuple[float, float]:
    """Use both limits to the full for so long; the steady part of it (from, to)."""
    began = time.monotonic()
    until = began + seconds
    searching = threading.Thread(target=client.run, args=("search", 5, until))
    searching.start()
    client.run("call", 24, until)  # more than the limit needs at a round trip of 0.6 s
    searching.join()
    return began + 10.0, until


@pytest.mark.slow
def test_all_that_round_trips_leave_of_the_limits_is_used_and_nothing_refused(plain: MeteredServer) -> None:
    client = Client(plain)
    with closing(client):
        since, until = _both(client, 60.0)
        assert plain.refused == Counter()
        share = plain.share("call", since, until, MOST / 10)
        assert share >= client.floor("call", 10.0, until - since)
        assert plain.share("search", since, until, SEARCHES) >= client.floor("search", 1.0, until - since)
        assert client.limiter.throttled == 0
        used = client.limiter.window_share()
        assert used is not None
        assert 0.8 * share <= used <= 1.0  # what is told of it: of a minute that begins with nothing


@pytest.mark.slow
def test_far_away_most_of_both_limits_is_used_too() -> None:
    """A round trip of 0.6 s and more: slots come back early by part of what the way takes in any case."""
    with closing(MeteredServer(base_s=0.28, jitter_s=0.05)) as server:
        client = Client(server)
        with closing(client):
            since, until = _both(client, 75.0)
            assert server.refused == Counter()
            late = since + 30.0  # by then enough round trips have been seen
            share = server.share("call", late, until, MOST / 10)
            assert share >= client.floor("call", 10.0, until - late, early=0.7)
            assert server.share("search", since, until, SEARCHES) >= client.floor("search", 1.0, until - since)


@pytest.mark.slow
def test_who_else_uses_the_limit_is_yielded_to(plain: MeteredServer) -> None:
    """Another program makes 6 calls a second from second 12 to 37: it soon gets through; then all is ours again."""
    plain.slow_share = 0.0
    client = Client(plain)
    other = Transport([HOST], base_url=f"http://127.0.0.1:{plain.port}")
    began = time.monotonic()

    def come_and_go() -> None:
        time.sleep(12.0)
        with ThreadPoolExecutor(8) as pool:
            while time.monotonic() < began + 37.0:
                pool.submit(other.send, "GET", f"https://{HOST}/x", headers={"X-Other": "1"})
                time.sleep(1 / 6)

    stranger = threading.Thread(target=come_and_go)
    stranger.start()
    with closing(client), closing(other):
        client.run("call", 16, began + 72.0)
        stranger.join()
    shared, alone = (began + 24.0, began + 37.0), (began + 51.0, began + 71.0)
    assert client.limiter.throttled == client.limiter.foreign_throttled == plain.refused["call"]
    assert plain.refused["call"] + plain.refused["other"] <= 40
    theirs = plain.share("other", *shared, 1.0)  # a second
    assert theirs >= 0.9 * plain.came("other", *shared)
    # They are left an eighth more than they were seen to use, and one call.
    left = (MOST - 2 - 10 * theirs * 9 / 8) / 10
    assert plain.share("call", *shared, left) >= client.floor("call", 10.0, 13.0)
    assert plain.share("call", *alone, MOST / 10) >= client.floor("call", 10.0, 20.0)


@pytest.mark.slow
def test_a_connector_that_shares_its_limit_with_others_is_never_refused_for_its_own_calls(tmp_path: Path) -> None:
    """A first load of contacts, while somebody else takes a third of a limit that any machine keeps up with."""
    with Sandbox(tmp_path, as_of=one_box.PRESENT, limits=True, size="tiny") as box:
        hubspot = box.hubspot
        hubspot.windows, hubspot.latency = ("rolling", "fixed"), (0.0, 0.1)
        hubspot.per_10s = few = 60
        hubspot.store.pad("contacts", 8_000)
        hubspot.foreign(2.0, 1.0, burst_s=1.0)
        settings = crm_cache.hubspot_settings(box, limits={"per_10s": few}, streams=["contacts"])
        connector = HubSpotConnector("hs", settings, currency="EUR", timezone="UTC", columns=crm_cache.COLUMNS)
        cache = crm_cache.MemoryCache()
        with closing(connector):
            cache.sync(connector)
            usage = connector.usage()
        seen = (hubspot.rate.calls.counted, hubspot.rate.search.counted)
    assert len(cache.live("contacts")) == 8_000 + len(box.truth().tables["hubspot", "contacts"].live)
    assert [one.own_refused for one in seen] == [0, 0]
    assert usage.throttled == usage.foreign_throttled == sum(one.refused for one in seen)
    assert seen[0].peak(10.0) > few // 2  # it was the limit that set the pace
