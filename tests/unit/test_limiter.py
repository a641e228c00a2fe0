"""Calls stay under a vendor's limits, whatever the network does."""

import random
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from connectors.errors import RateLimited, TransientError
from connectors.limiter import DayShare, Limiter, Window, shared


class Vendor:
    """Counts arrivals in any rolling window, as a vendor does."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._arrivals: deque[float] = deque()
        self._lock = threading.Lock()
        self.served = 0
        self.refused = 0

    def call(self, way_s: float) -> None:
        time.sleep(random.uniform(0, way_s))
        with self._lock:
            now = time.monotonic()
            while self._arrivals and now - self._arrivals[0] >= self._window_s:
                self._arrivals.popleft()
            self._arrivals.append(now)
            self.served += 1
            self.refused += len(self._arrivals) > self._limit
        time.sleep(random.uniform(0, way_s))


def _use(window: Window, vendor: Vendor, seconds: float, *, threads: int, way_s: float) -> None:
    ends_at = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < ends_at:
            window.take()
            try:
                vendor.call(way_s)
            finally:
                window.give_back()

    with ThreadPoolExecutor(threads) as pool:
        for job in [pool.submit(work) for _ in range(threads)]:
            job.result()


def test_no_window_ever_holds_more_than_its_calls_and_most_of_it_is_used() -> None:
    vendor = Vendor(19, 0.5)
    _use(Window(19, 0.5), vendor, 2.0, threads=8, way_s=0.01)
    assert vendor.refused == 0
    assert vendor.served >= 0.75 * 19 * 4


@pytest.mark.slow
def test_hubspot_s_two_limits_at_their_real_size() -> None:
    """190 in 10 s and 5 searches in 1 s for 21 s: nothing refused, most of both used."""
    general, search = Vendor(190, 10.0), Vendor(5, 1.0)
    general_window, search_window = Window(190, 10.0), Window(5, 1.0)
    both = [
        threading.Thread(target=_use, args=(general_window, general, 21.0), kwargs={"threads": 12, "way_s": 0.1}),
        threading.Thread(target=_use, args=(search_window, search, 21.0), kwargs={"threads": 5, "way_s": 0.05}),
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (general.refused, search.refused) == (0, 0)
    assert general.served >= 0.95 * 19 * 21
    assert search.served >= 0.75 * 5 * 21


def test_a_window_of_no_length_lets_so_many_run_side_by_side() -> None:
    window = Window(2, 0.0)
    running, most = 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal running, most
        window.take()
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        window.give_back()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    assert most == 2


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_refused_call_rests_the_window() -> None:
    clock = Clock()
    window = Window(5, 1.0, clock=clock)
    window.penalise(3.0)
    stop = threading.Event()
    stop.set()
    with pytest.raises(TransientError):
        window.take(stop)
    clock.at += 3.0
    assert window.take() == 0.0


def test_a_smaller_limit_the_vendor_names_is_kept() -> None:
    clock = Clock()
    window = Window(190, 10.0, clock=clock)
    window.resize(2)
    window.take()
    window.take()
    assert _would_wait(window)
    window.resize(3)
    clock.at += 10.0
    window.take()


def test_room_is_left_for_calls_of_others() -> None:
    clock = Clock()
    window = Window(10, 10.0, clock=clock)
    window.take()
    window.see_remaining(10, 2)  # eight are gone, one is ours
    window.take()
    window.take()
    assert _would_wait(window)
    clock.at += 10.0
    for _ in range(7):
        window.take()


def _would_wait(window: Window) -> bool:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    try:
        window.take(stop)
    except TransientError:
        return True
    return False


def test_our_share_of_the_day_ends_and_comes_back() -> None:
    clock = Clock()
    day = DayShare(0.5, 0.1, clock=clock)
    day.see(10, 0)
    for _ in range(5):
        day.count()
    with pytest.raises(RateLimited, match="share"):
        day.count()
    clock.at += 25 * 3600
    day.count()


def test_the_last_calls_of_the_day_are_left_to_others() -> None:
    clock = Clock()
    day = DayShare(1.0, 0.1, clock=clock)
    day.see(1000, 950)
    with pytest.raises(RateLimited, match="nearly used up"):
        day.count()
    clock.at += 901.0  # ask again: the day may be over
    day.count()


def test_a_day_the_vendor_closed_opens_again() -> None:
    clock = Clock()
    day = DayShare(1.0, 0.0, clock=clock)
    day.close(900.0)
    with pytest.raises(RateLimited) as caught:
        day.count()
    assert caught.value.retry_after_s == 900.0
    clock.at += 900.0
    day.count()


def test_a_slot_is_given_back_when_the_day_refuses() -> None:
    window = Window(1, 0.0)
    day = DayShare(0.5, 0.1)
    day.see(10, 10)
    limiter = Limiter({"call": (window,)}, day)
    for _ in range(3):
        with pytest.raises(RateLimited), limiter.slot("call"):
            pass


def test_an_account_has_one_limiter() -> None:
    def make() -> Limiter:
        return Limiter({}, DayShare(1.0, 0.0))

    assert shared("acme", make) is shared("acme", make)
    assert shared("acme", make) is not shared("other", make)
