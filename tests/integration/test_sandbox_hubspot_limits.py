"""The sandbox's HubSpot limits: rolling and fixed windows, a foreign consumer, the day, headers, delays on the wire."""

import heapq
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from syncagent.sandbox.generate import generate
from syncagent.sandbox.hubspot.gate import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from syncagent.sandbox.hubspot.limits import PLANS, Bucket, Limits
from syncagent.sandbox.hubspot.server import HubSpotServer
from tests.fakes.portal import Portal

AS_OF = datetime(2026, 11, 16, 6, 0, tzinfo=UTC)
OWNERS = "/crm/v3/owners"


@pytest.fixture(scope="module")
def served() -> Iterator[HubSpotServer]:
    server = HubSpotServer(generate(7, AS_OF, "tiny"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def portal(served: HubSpotServer) -> Iterator[Portal]:
    served.reset(served._company)
    with Portal(served) as portal:
        yield portal


# -- buckets, by their own clock ---------------------------------------------------------------------------------------


def _taken(bucket: Bucket, *instants: float) -> list[bool]:
    return [bucket.take(at, enforced=True) for at in instants]


def test_a_rolling_window_counts_back_from_each_call() -> None:
    bucket = Bucket(2, 10.0, ("rolling",))
    assert _taken(bucket, 9.0, 9.5, 10.1, 18.9, 19.0, 19.4, 19.6) == [True, True, False, False, True, False, True]
    assert (bucket.counted.refused, bucket.counted.own_refused, bucket.counted.peak(10.0)) == (3, 3, 5)


def test_a_fixed_window_begins_anew() -> None:
    bucket = Bucket(2, 10.0, ("fixed",))
    assert _taken(bucket, 9.0, 9.5, 9.6, 10.0, 10.1, 10.2, 20.0) == [True, True, False, True, True, False, True]


def test_both_windows_at_once() -> None:
    bucket = Bucket(2, 10.0, ("rolling", "fixed"))
    # Rolling refuses at 10.1 what fixed would let in; at 19.5 rolling has room and fixed has none left at 19.9.
    assert _taken(bucket, 9.0, 9.5, 10.1, 19.5, 19.6, 19.9, 20.0) == [True, True, False, True, True, False, False]


def test_without_enforcing_everything_is_counted_and_let_in() -> None:
    bucket = Bucket(1, 10.0)
    assert [bucket.take(at, enforced=False) for at in (1.0, 2.0, 3.0)] == [True] * 3
    assert (len(bucket.counted.arrivals), bucket.counted.refused) == (3, 0)


def test_a_foreign_consumer_takes_room_and_is_told_apart() -> None:
    bucket = Bucket(10, 10.0)
    bucket.foreign(0.5, None, 0.0)
    assert bucket.remaining(9.9) == 5  # at 0, 2, 4, 6 and 8
    assert _taken(bucket, *[9.9 + n / 100 for n in range(7)]) == [True] * 5 + [False] * 2
    assert (bucket.counted.refused, bucket.counted.own_refused, bucket.counted.foreign_refused) == (2, 0, 2)
    assert _taken(bucket, *[9.98 + n / 1000 for n in range(5)]) == [False] * 5
    assert bucket.counted.own_refused == 2, "the eleventh and twelfth would have been refused anyway"


def test_a_foreign_consumer_in_bursts_comes_back_after_a_long_silence() -> None:
    bucket = Bucket(100, 10.0)
    bucket.foreign(2.0, 5.0, 0.0)
    assert bucket.remaining(1.0) == 90
    assert bucket.remaining(6.0) == 80
    assert bucket.remaining(1_000_003.0) == 80
    bucket.foreign(0.0, None, 1_000_004.0)
    assert bucket.remaining(1_000_020.0) == 100


def test_the_day_ends_at_midnight() -> None:
    limits = Limits(per_10s=190, search_per_s=5, daily=2, windows=("rolling",))
    days = ["2026-11-16"] * 3 + ["2026-11-17"]
    assert [limits.take(search=False, day=day, enforced=True) for day in days] == [None, None, "DAILY", None]
    assert (limits.daily_used, limits.daily_refused) == (1, 1)


def _simulated(windows: tuple[str, ...], *, by_response: bool) -> tuple[int, float]:
    """Ten minutes of a client that keeps 190 slots, each free again 10.1 s after the call was sent, or 10 s after its
    answer came; 100 ms of jitter each way, one call in a hundred 1.5 s late. The refusals, and the share used."""
    rng = random.Random(5)
    slots = [0.0] * 190
    arrivals: list[float] = []
    end = 600.0
    now = 0.0
    while now < end:
        now = max(now, heapq.heappop(slots))
        up = rng.uniform(0, 0.1) + (rng.expovariate(1 / 1.5) if rng.random() < 0.01 else 0.0)
        arrivals.append(now + up)
        heapq.heappush(slots, now + up + rng.uniform(0, 0.1) + 10.0 if by_response else now + 10.1)
    bucket = Bucket(190, 10.0, windows)
    admitted = sum(bucket.take(1000.0 + at, enforced=True) for at in sorted(arrivals))
    return bucket.counted.refused, admitted / (end / 10 * 190)


@pytest.mark.parametrize("windows", [("rolling",), ("fixed",), ("rolling", "fixed")])
def test_slots_kept_until_the_answer_are_never_refused(windows: tuple[str, ...]) -> None:
    refused, used = _simulated(windows, by_response=True)
    assert refused == 0
    assert used > 0.95


def test_slots_freed_by_the_time_of_sending_are_refused_when_the_wire_is_slow() -> None:
    assert _simulated(("rolling",), by_response=False)[0] > 0


# -- over the wire -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", PLANS.values())
def test_each_plan_has_its_limit(portal: Portal, calls: int) -> None:
    portal.server.per_10s = calls
    for _ in range(calls - 1):  # as if made already: the test is about the last two
        portal.server.rate.calls.take(time.monotonic(), enforced=True)
    last, refused = portal.get(OWNERS), portal.get(OWNERS)
    assert (last.status_code, last.headers["X-HubSpot-RateLimit-Remaining"]) == (200, "0")
    assert last.headers["X-HubSpot-RateLimit-Max"] == str(calls)
    assert (refused.status_code, refused.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    assert "Retry-After" not in refused.headers


def test_a_daily_limit_is_refused_as_such_until_midnight(portal: Portal) -> None:
    server = portal.server
    server.daily_limit = 1
    assert portal.get(OWNERS).headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    refused = portal.get(OWNERS)
    assert (refused.status_code, refused.json()["policyName"]) == (429, "DAILY")
    assert refused.json()["message"] == "You have reached your daily limit."
    server._company.now += 24 * 3600
    try:
        assert portal.get(OWNERS).status_code == 200
    finally:
        server._company.now -= 24 * 3600


def test_the_headers_tell_of_a_foreign_consumer(portal: Portal) -> None:
    server = portal.server
    server.foreign(10.0, 0.0, burst_s=10.0)
    assert portal.get(OWNERS).headers["X-HubSpot-RateLimit-Remaining"] == str(190 - 100 - 1)
    server.foreign(0.0, 40.0, burst_s=0.25)
    search = "/crm/v3/objects/deals/search"
    codes = [portal.post(search, {"limit": 1}).status_code for _ in range(3)]
    assert 429 in codes, "ten searches each quarter of a second leave no room"
    assert (server.rate.search.counted.refused, server.rate.search.counted.own_refused) == (codes.count(429), 0)
    server.foreign(0, 0)
    time.sleep(1.05)
    assert portal.post(search, {"limit": 1}).status_code == 200


def test_which_answers_have_rate_headers(portal: Portal) -> None:
    server = portal.server
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    token = requests.post(server.url + "/oauth/v3/token", data=form | {"refresh_token": REFRESH_TOKEN}, timeout=5)
    headers = {"Authorization": "Bearer " + token.json()["access_token"]}

    def names(answer: requests.Response) -> set[str]:
        found = {name.lower().removeprefix("x-hubspot-ratelimit-") for name in answer.headers}
        return found & {"daily", "daily-remaining", "max", "remaining", "interval-milliseconds"}

    interval, day = {"max", "remaining", "interval-milliseconds"}, {"daily", "daily-remaining"}
    search = "/crm/v3/objects/deals/search"
    assert names(portal.get(OWNERS)) == interval | day
    assert names(portal.post(search, {"limit": 1})) == set()
    assert names(portal.read("deals", ["1"])) == interval | day
    assert names(requests.get(server.url + OWNERS, headers=headers, timeout=5)) == interval
    server.header_gaps = False
    assert names(portal.post(search, {"limit": 1})) == interval | day
    assert names(requests.get(server.url + OWNERS, headers=headers, timeout=5)) == interval | day


def test_a_rotated_token_is_refused_for_good(portal: Portal) -> None:
    portal.server.revoke()
    answer = portal.get(OWNERS)
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")


# -- on the way --------------------------------------------------------------------------------------------------------


def _in_threads(portal: Portal, count: int) -> list[float]:
    """So many calls at once; how long each took."""
    took: list[float] = []

    def call() -> None:
        begin = time.monotonic()
        requests.get(portal.server.url + OWNERS, headers=dict(portal.session.headers), timeout=10)
        took.append(time.monotonic() - begin)

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def test_calls_overlap_on_a_slow_wire(portal: Portal) -> None:
    portal.server.latency = (0.1, 0.2)
    begin = time.monotonic()
    took = _in_threads(portal, 12)
    assert time.monotonic() - begin < 1.5, "twelve calls of 0.2 to 0.4 s, one after another, take longer"
    assert min(took) >= 0.2
    assert portal.server.most_in_flight >= 6
    assert len(portal.server.rate.calls.counted.arrivals) == 12


def test_a_slow_uplink_delays_the_arrival(portal: Portal) -> None:
    server = portal.server
    server.slow_uplinks, server.slow_by_s = 1.0, 0.3
    begin = time.monotonic()
    _in_threads(portal, 10)
    late = [at - begin for at in server.rate.calls.counted.arrivals]
    assert max(late) > 0.2
    assert server.rate.calls.counted.used(begin, begin + 60) == 10
