"""Salesforce's limits on a loopback server: so many calls side by side, and our share of the day across restarts."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from connectors import parse
from connectors.day import DayShare
from connectors.errors import RateLimited
from connectors.limiter import Limiter, Window
from connectors.retry import Patience, Retry
from connectors.transport import Transport
from tests.fakes.wire import Behaviour, WireServer, answer

HOST = "acme.my.salesforce.com"


class Org:
    """Counts the day's calls in its header, and refuses what is more than `long_calls` at once."""

    def __init__(self, *, limit: int = 1000, long_calls: int = 100) -> None:
        self.limit, self.long_calls = limit, long_calls
        self.used = self.running = self.most = self.refused = 0
        self._lock = threading.Lock()

    def behave(self) -> Behaviour:
        def behave(sock: object, request: bytes) -> None:
            with self._lock:
                self.used += 1
                self.running += 1
                self.most = max(self.most, self.running)
                is_fine = self.running <= self.long_calls
                self.refused += not is_fine
                headers = f"Sforce-Limit-Info: api-usage={self.used}/{self.limit}\r\n"
            time.sleep(0.02)
            with self._lock:
                self.running -= 1
            answer(status="200 OK" if is_fine else "403 Forbidden", headers=headers)(sock, request)  # type: ignore[arg-type]

        return behave


def call(limiter: Limiter, transport: Transport) -> None:
    """One call as the Salesforce connector makes it."""
    with limiter.slot("call"):
        reply = transport.send("GET", f"https://{HOST}/services/data/", headers={})
    used, _, limit = reply.headers["Sforce-Limit-Info"].removeprefix("api-usage=").partition("/")
    limiter.day.see(parse.count(limit) or 0, parse.count(used) or 0)
    if reply.status == 403:
        limiter.penalise("call", 0.0)
        raise RateLimited("Too many at once.", retry_after_s=0.01)


def test_no_more_calls_run_side_by_side_than_allowed() -> None:
    org = Org()
    with WireServer(org.behave()) as server, closing(Transport([HOST], base_url=server.url)) as transport:
        limiter = Limiter({"call": (Window(4, 0.0),)}, DayShare(1.0, 0.0))
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda _: call(limiter, transport), range(60)))
        assert org.most == 4
        assert limiter.throttled == 0
        assert limiter.window_share() is None


def test_an_org_that_allows_fewer_side_by_side_gets_fewer() -> None:
    """Every call is made in the end, and only the first ones met a refusal."""
    org = Org(long_calls=3)
    with WireServer(org.behave()) as server, closing(Transport([HOST], base_url=server.url)) as transport:
        limiter = Limiter({"call": (Window(8, 0.0),)}, DayShare(1.0, 0.0))
        retry = Retry(patience=Patience(first_s=0.05, cap_s=0.2))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: retry.call(lambda: call(limiter, transport)), range(80)))
        assert org.used - org.refused == 80
        assert 0 < org.refused <= 20
        assert limiter.throttled == org.refused
        assert limiter.foreign_throttled == 0


def test_our_share_of_the_day_holds_across_restarts() -> None:
    """30 of 100 calls are ours; four processes in a row, each told what the earlier ones did, make no more."""
    org = Org(limit=100)
    with WireServer(org.behave()) as server:
        for _ in range(4):
            limiter = Limiter({"call": (Window(4, 0.0),)}, DayShare(0.3, 0.1))
            limiter.remember("sf", [(60.0, org.used)] if org.used else [])
            with closing(Transport([HOST], base_url=server.url)) as transport:
                for _ in range(12):
                    with suppress(RateLimited):
                        call(limiter, transport)
        assert 30 <= org.used <= 31  # before its first answer, a process does not know the limit


def test_what_others_leave_is_left_to_them() -> None:
    """Nine tenths of the day are gone, by whomever: the rest is not ours."""
    org = Org(limit=100)
    org.used = 88
    with WireServer(org.behave()) as server, closing(Transport([HOST], base_url=server.url)) as transport:
        limiter = Limiter({"call": (Window(4, 0.0),)}, DayShare(0.5, 0.1))
        for _ in range(2):
            call(limiter, transport)
        for _ in range(3):
            with pytest.raises(RateLimited, match="nearly used up"):
                call(limiter, transport)
        assert org.used == 90
