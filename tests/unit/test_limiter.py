"""Calls stay under a vendor's limits, whatever the network does."""

import random
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from connectors.day import DayShare
from connectors.errors import AuthError, RateLimited, TransientError
from connectors.limiter import Limiter, Most, Window, shared
from connectors.logins import LoginCount, LoginLimit, Logins
from connectors.transport import Stopped


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


def test_no_window_ever_holds_more_than_its_calls() -> None:
    vendor = Vendor(19, 0.5)
    _use(Window(19, 0.5), vendor, 2.0, threads=8, way_s=0.01)
    assert vendor.refused == 0
    assert vendor.served > 19


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


def test_a_window_of_another_length_knows_of_the_calls_before_it() -> None:
    clock = Clock()
    window = Window(2, 10.0, clock=clock)
    window.take()
    window.give_back()
    window.take()  # under way
    longer, shorter = window.beside(2, 30.0), window.beside(2, 5.0)
    clock.at += 5.0
    assert shorter.take() == 0.0
    clock.at += 24.0
    assert _would_wait(longer)
    clock.at += 1.0
    assert longer.take() == 0.0
    window.penalise(3.0)
    later = window.beside(2, 5.0)
    clock.at += 2.0
    assert _would_wait(later)
    clock.at += 1.0
    assert later.take() == 0.0


def test_room_is_left_for_calls_of_others() -> None:
    clock = Clock()
    window = Window(100, 10.0, clock=clock)

    def call() -> None:
        clock.at += 0.08  # or they would be spread
        window.take()
        window.give_back()

    window.take()
    window.see_remaining(100, 89)  # 11 are gone, one is ours; ten at once are the first of more: 40, and some to spare
    window.give_back()
    for _ in range(53):
        call()
    clock.at += 0.08
    assert _would_wait(window)
    clock.at += 20.0  # not heard of since: all is ours again
    for _ in range(100):
        call()


def test_a_count_that_is_off_by_a_few_calls_is_nobody_s() -> None:
    """What is ours is known by halves: where between sending and answer the vendor saw a call cannot be told."""
    window = Window(10, 10.0, clock=Clock())
    window.take()
    window.see_remaining(10, 4)
    for _ in range(9):
        assert window.take() == 0.0


def test_a_header_that_cannot_be_is_not_believed() -> None:
    clock = Clock()
    window = Window(3, 10.0, clock=clock)
    for maximum, remaining in ((10, -5), (10, 11), (0, 0), (-3, -3)):
        window.see_remaining(maximum, remaining)
    for _ in range(3):
        assert window.take() == 0.0
    day = DayShare(0.5, 0.1, clock=clock)
    for limit, used in ((0, 0), (-1, 5), (10, -1), (10**12, 5)):
        day.see(limit, used)
    assert (day.limit, day.used) == (None, None)


def test_a_limit_others_do_not_fill_is_used_where_our_own_is_lower() -> None:
    """The vendor allows 190, we were told to use 3: others' 100 calls take nothing from us."""
    window = Window(3, 10.0, clock=Clock())
    window.take()
    window.see_remaining(190, 89)
    for _ in range(2):
        assert window.take() == 0.0


def test_a_quarter_may_go_at_once_and_the_rest_is_spread() -> None:
    """So that whoever shares the limit never finds all of it used up for seconds."""
    clock = Clock()
    window = Window(100, 10.0, clock=clock)
    for _ in range(26):
        assert window.take() == 0.0
    assert _would_wait(window)
    clock.at += 0.09
    window.take()
    assert _would_wait(window)


def test_threads_are_served_in_the_order_they_come() -> None:
    """A stream that asks all the time does not keep another one waiting."""
    window = Window(1, 0.0)
    window.take()
    served: list[int] = []
    threads = []
    for number in range(5):

        def work(number: int = number) -> None:
            window.take()
            served.append(number)
            window.give_back()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        while len(window._queue) <= number:
            time.sleep(0.001)
    window.give_back()
    window.take()  # comes last, is served last
    assert served == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join()


def test_refused_calls_side_by_side_become_fewer_for_a_while() -> None:
    clock = Clock()
    lanes = Window(8, 0.0, clock=clock)
    for _ in range(8):
        lanes.take()
    clock.at += 1.0
    for _ in range(8):  # all were refused for the same reason: one event
        lanes.penalise(0.0)
    for _ in range(8):
        lanes.give_back()
    assert _free(lanes, most=8) == 4
    for more in (5, 6, 7, 8, 8):
        clock.at += 31.0
        lanes.take()
        lanes.give_back()
        assert _free(lanes, most=8) == more


def _free(window: Window, most: int) -> int:
    """How many calls may run now."""
    taken: list[threading.Thread] = []
    lock = threading.Lock()
    count = 0
    over = threading.Event()
    stop = threading.Event()

    def work() -> None:
        nonlocal count
        try:
            window.take(stop)
        except TransientError:
            return
        with lock:
            count += 1
        over.wait()
        window.give_back()

    for _ in range(most):
        taken.append(threading.Thread(target=work))
        taken[-1].start()
    time.sleep(0.15)
    stop.set()
    over.set()
    for thread in taken:
        thread.join()
    return count


def test_a_smaller_limit_forgets_no_call_just_made() -> None:
    """190 were allowed and 60 made when the vendor says 100: 40 are left, not 100."""
    clock = Clock()
    window = Window(20, 10.0, clock=clock)
    for _ in range(6):
        window.take()
        window.give_back()
    window.resize(10)
    for _ in range(4):
        assert window.take() == 0.0
    assert _would_wait(window)


def test_a_refusal_is_somebody_else_s_doing_when_we_kept_to_the_limit() -> None:
    clock = Clock()
    window, lanes = Window(5, 1.0, clock=clock), Window(5, 0.0, clock=clock)
    limiter = Limiter({"search": (window,), "call": (lanes,)}, DayShare(1.0, 0.0, clock=clock))
    limiter.penalise("search", 1.0)
    assert (limiter.throttled, limiter.foreign_throttled) == (1, 1)
    limiter.penalise("call", 1.0)  # how many run side by side may be our fault
    assert (limiter.throttled, limiter.foreign_throttled) == (2, 1)
    window.see_remaining(4, 4)  # the vendor allows fewer than we were told
    limiter.penalise("search", 1.0)
    assert (limiter.throttled, limiter.foreign_throttled) == (3, 1)


def test_calls_before_a_restart_count() -> None:
    clock = Clock()
    clock.at = 1_000_000.0
    limiter = Limiter({"call": (Window(10, 10.0, clock=clock),)}, DayShare(0.5, 0.0, clock=clock))
    limiter.day.see(100, 0)
    limiter.remember("one", [(4.0, 7), (7200.0, 30), (90_000.0, 500)])
    limiter.remember("one", [(4.0, 7), (7200.0, 30)])  # heard already
    window = limiter.kinds["call"][0]
    for _ in range(3):
        assert window.take() == 0.0
    assert _would_wait(window)
    clock.at += 6.0
    assert window.take() == 0.0
    for _ in range(13):
        limiter.day.count()
    with pytest.raises(RateLimited, match="share"):
        limiter.day.count()


def test_calls_before_a_restart_count_from_every_source_of_the_account() -> None:
    """Each is told when its own sync begins; what was called since is counted here, and not from what is told."""
    clock = Clock()
    clock.at = 1_000_000.0
    calls = Window(10, 10.0, clock=clock)
    limiter = Limiter({"call": (calls,)}, DayShare(0.5, 0.0, clock=clock))
    limiter.day.see(100, 0)
    limiter.remember("small", [(7200.0, 5)])
    with limiter.slot("call"):
        pass
    clock.at += 4.0
    limiter.remember("big", [(7200.0, 42), (5.0, 1), (2.0, 1)])  # the last one was made by this process
    for _ in range(8):  # of 10 in 10 s one was made here, one before
        assert calls.take() == 0.0
    assert _would_wait(calls)
    limiter.day.count()  # 49 of our 50 were: 1 here, 48 before
    with pytest.raises(RateLimited, match="share"):
        limiter.day.count()


@pytest.mark.parametrize(("window_s", "told"), [(10.0, 1), (2.9, 0)])
def test_a_long_wait_for_the_limit_is_told_once(window_s: float, told: int) -> None:
    """By one of those who wait, however many they are; and while it is told nobody is held up."""
    now = 0.0
    window, stop, heard = Window(190, window_s, clock=lambda: now), threading.Event(), list[str]()
    window.remember([(0.5, 190)])

    def tell(seconds: float, why: str) -> None:
        heard.append(f"{seconds:.1f} s: {why}")
        assert window.share() == 0

    def work() -> None:
        with pytest.raises(Stopped):
            window.take(stop, tell)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(work) for _ in range(3)]
        time.sleep(0.6)
        stop.set()
        for job in jobs:
            job.result()
    assert heard == ["9.5 s: the limit of 190 calls in 10 s is used up"][:told]


def test_a_pause_the_vendor_asked_for_is_not_told_as_a_limit_used_up() -> None:
    now = 0.0
    window, stop, heard = Window(190, 10.0, clock=lambda: now), threading.Event(), list[str]()
    window.penalise(20.0)

    def tell(seconds: float, why: str) -> None:
        heard.append(f"{seconds:.0f} s: {why}")
        stop.set()

    with pytest.raises(Stopped):
        window.take(stop, tell)
    assert heard == ["20 s: the vendor asked for a pause"]


def test_the_share_of_the_limit_used_lately_is_told() -> None:
    clock = Clock()
    window = Window(10, 10.0, clock=clock)
    limiter = Limiter({"call": (window,), "other": (Window(3, 0.0, clock=clock),)}, DayShare(1.0, 0.0, clock=clock))
    assert limiter.window_share() == 0.0
    for _ in range(5):
        with limiter.slot("call"):
            pass
    assert limiter.window_share() == 0.5
    clock.at += 20.0
    assert limiter.window_share() == 0.25
    clock.at += 50.0
    assert limiter.window_share() == 0.0
    assert Limiter({"call": (Window(3, 0.0),)}, DayShare(1.0, 0.0)).window_share() is None


def test_far_away_slots_come_back_earlier_but_not_after_a_refusal() -> None:
    """A round trip of two seconds costs a sixth of a limit of ten seconds, were it waited for in full."""
    clock = Clock()
    window = Window(1, 10.0, clock=clock)

    def rest() -> float:
        window.take()
        clock.at += 2.0
        window.give_back()
        return window._idle[0] - clock.at

    for _ in range(500):
        rested_s = rest()
        clock.at += rested_s
    assert rest() == pytest.approx(10.0 - 0.75 * 2.0 + 0.01)
    clock.at += 20.0
    window.penalise(0.0)
    assert rest() >= 10.0


def _would_wait(window: Window) -> bool:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    try:
        window.take(stop)
    except TransientError:
        return True
    return False


def test_a_slot_is_given_back_when_the_day_refuses() -> None:
    window = Window(1, 0.0)
    day = DayShare(0.5, 0.1)
    day.see(10, 10)
    limiter = Limiter({"call": (window,)}, day)
    for _ in range(3):
        with pytest.raises(RateLimited), limiter.slot("call"):
            pass


@pytest.mark.parametrize(("waiting", "free"), [("search", "call"), ("call", "search")])
def test_who_waits_for_a_window_keeps_nobody_of_another_kind_waiting(waiting: str, free: str) -> None:
    """A lane is for a call under way, not for one that waits for its window."""
    windows = {"call": (Window(9, 10.0),), "search": (Window(9, 10.0),)}
    limiter = Limiter(windows, DayShare(1.0, 0.0), at_once=Window(2, 0.0))
    limiter.penalise(waiting, 20.0)
    stop, late = threading.Event(), threading.Event()

    def wait_in_vain() -> None:
        with pytest.raises(Stopped), limiter.slot(waiting, stop):
            pass

    timer = threading.Timer(2.0, late.set)
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(wait_in_vain) for _ in range(4)]
        time.sleep(0.1)
        timer.start()
        try:
            with limiter.slot(free, late):
                pass
        finally:
            timer.cancel()
            stop.set()
        for job in jobs:
            job.result()


def test_a_wait_for_a_lane_is_no_part_of_a_call() -> None:
    """The slot is taken before, and what is known of round trips would be wrong; who gives up had no call at all."""
    clock = Clock()
    calls, lanes = Window(2, 10.0, clock=clock), Window(1, 0.0, clock=clock)
    limiter = Limiter({"call": (calls,)}, DayShare(1.0, 0.0, clock=clock), at_once=lanes)
    stop, ends = threading.Event(), threading.Event()

    def call(seconds: float, stop: threading.Event | None = None) -> None:
        with limiter.slot("call", stop):
            ends.wait(5)
            clock.at += seconds

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(call, 3.0)
        while lanes._idle:
            time.sleep(0.001)
        given_up = threads.submit(call, 0.0, stop)
        while calls._idle:
            time.sleep(0.001)
        stop.set()
        with pytest.raises(Stopped):
            given_up.result()
        assert calls._idle == [clock.at]  # the slot of a call that never was
        second = threads.submit(call, 2.0)
        while calls._idle:
            time.sleep(0.001)
        ends.set()
        first.result()
        second.result()
    assert calls._mean_s == pytest.approx(3.0 + 0.02 * (2.0 - 3.0))
    assert sorted(calls._idle) == [113.0, 115.0]


def test_of_what_several_sources_want_the_strictest_counts_limit_by_limit() -> None:
    clock = Clock()
    calls, lanes = Window(50, 10.0, clock=clock), Window(50, 0.0, clock=clock)
    day = DayShare(1.0, 0.0, clock=clock)
    limiter = Limiter({"call": (calls,)}, day, at_once=lanes)
    limiter.keep_to("one", Most(0.5, 0.1, {"call": 3}, {"call": 10.0}, 9))
    limiter.keep_to("other", Most(0.9, 0.4, {"call": 9}, {"call": 60.0}, 2))
    assert day.reserve == 0.4
    assert [(one.window_s, one._ceiling) for one in limiter.kinds["call"]] == [(60.0, 9), (10.0, 3)]
    with limiter.slot("call"):
        with ThreadPoolExecutor(1) as threads:
            threads.submit(lambda: lanes.take()).result()  # the second lane
        assert _would_wait(lanes)
    for _ in range(2):
        with limiter.slot("call"):
            pass
    clock.at += 9.0
    assert _would_wait(calls)
    limiter.keep_to("other", Most(0.9, 0.0, {"call": 9}))
    assert ([one.window_s for one in limiter.kinds["call"]], day.reserve) == ([10.0], 0.1)
    clock.at += 1.0
    assert not _would_wait(calls)


def test_a_rate_over_a_longer_time_takes_nothing_from_a_stricter_one_over_a_shorter() -> None:
    """190 in 10 s beside 1,000 in a minute, ten times smaller: each holds as it is, and nothing stricter."""
    clock = Clock()
    limiter = Limiter({"call": (Window(19, 10.0, clock=clock),)}, DayShare(1.0, 0.0, clock=clock))
    limiter.keep_to("one", Most(1.0, 0.0, {"call": 19}, {"call": 10.0}))
    at: list[float] = []

    def use(until: float) -> None:
        while clock.at < until:
            while all(window._is_ready() for window in limiter.kinds["call"]):
                at.append(clock.at)
                with limiter.slot("call"):
                    pass
            clock.at += 0.1

    use(130.0)
    limiter.keep_to("other", Most(1.0, 0.0, {"call": 100}, {"call": 60.0}))
    use(400.0)
    both = [one for one in at if one >= 130.0]
    assert max(sum(1 for one in at if begin <= one < begin + 9.99) for begin in at) <= 19
    # What was called before the second came counts in its window too.
    assert max(sum(1 for one in at if begin <= one < begin + 59.9) for begin in at if begin > 100.0) <= 100
    assert len(both) >= 0.9 * 270.0 * 100 / 60


def test_limiters_that_turn_out_to_be_of_one_account_share_what_it_shares() -> None:
    """What each has called and was told before counts once, in the day and in the windows of the account."""
    clock = Clock()
    clock.at = 1_000_000.0

    def limiter(*kinds: str) -> Limiter:
        windows = {kind: (Window(4, 10.0, clock=clock),) for kind in kinds}
        return Limiter(windows, DayShare(1.0, 0.0, clock=clock))

    one, other, account = limiter("call", "search"), limiter("call", "search"), limiter("search")
    loose, strict = Most(0.9, 0.0, {"call": 4, "search": 4}), Most(0.5, 0.2, {"call": 2, "search": 3})
    one.keep_to("one", loose)
    other.keep_to("strict", strict)
    one.remember("one", [(7200.0, 10)])
    other.remember("strict", [(7200.0, 20)])
    other.remember("one", [(7200.0, 10)])  # a source whose token was another one before
    one.day.see(100, 40)
    for each, kind in ((one, "search"), (other, "search"), (other, "call")):
        with each.slot(kind):
            pass
    one.join(account)
    one.join(account)
    other.join(account)
    assert (one.day, other.day, account.day.limit, account.day.reserve) == (account.day, account.day, 100, 0.2)
    assert one.kinds["search"] == other.kinds["search"] == account.kinds["search"]
    with other.slot("search"):
        pass
    assert _would_wait(one.kinds["search"][0])  # three of three are gone
    assert one.kinds["call"][0].slots == 4
    one.remember("one", [(7200.0, 10)])
    for _ in range(50 - 30 - 4):
        with one.slot("call"):
            clock.at += 10.0
    with pytest.raises(RateLimited, match="50 of 100"), other.slot("call"):
        pass
    other.release("strict", strict)
    with one.slot("call"):
        pass
    assert account.kinds["search"][0].slots == 4


def test_what_a_source_wanted_goes_with_it_and_what_was_called_stays() -> None:
    clock = Clock()
    calls, lanes = Window(50, 10.0, clock=clock), Window(50, 0.0, clock=clock)
    day = DayShare(1.0, 0.0, clock=clock)
    limiter = Limiter({"call": (calls,)}, day, at_once=lanes)
    day.see(100, 0)
    strict, loose = Most(0.05, 0.3, {"call": 2}, {"call": 10.0}, 1), Most(0.5, 0.1, {"call": 9}, {"call": 10.0}, 9)
    limiter.keep_to("strict", strict)
    limiter.keep_to("loose", loose)
    for _ in range(5):
        clock.at += 10.0
        with limiter.slot("call"):
            pass
    with pytest.raises(RateLimited, match="share"):
        day.check()
    limiter.release("strict", strict)
    assert (calls._ceiling, lanes._ceiling, day.reserve) == (9, 9, 0.1)
    for _ in range(45):
        day.count()
    with pytest.raises(RateLimited, match="50 of 100"):
        day.count()
    limiter.release("loose", loose)  # nobody is left: who comes next says what it wants
    assert calls._ceiling == 9
    limiter.keep_to("next", replace(strict, slots={"call": 3}))
    assert calls._ceiling == 3


def test_a_source_that_is_built_anew_before_the_old_one_is_closed_keeps_what_it_wants() -> None:
    limiter = Limiter({"call": (calls := Window(50, 10.0),)}, DayShare(1.0, 0.0))
    old, new, other = (Most(0.5, 0.1, {"call": slots}) for slots in (5, 7, 9))
    limiter.keep_to("one", old)
    limiter.keep_to("other", other)
    limiter.keep_to("one", new)
    limiter.release("one", old)
    assert calls._ceiling == 7
    limiter.release("one", new)
    limiter.release("one", new)  # closed twice
    assert calls._ceiling == 9


def test_logins_are_limited_as_those_who_are_left_want_and_what_was_vain_stays_so() -> None:
    strict, loose = Logins(1, 3600.0), Logins(3, 60.0)
    count = LoginCount("Check it.", loose)
    count.keep_to("strict", strict)
    count.keep_to("loose", loose)
    count.refused(0.0)
    with pytest.raises(AuthError, match="once within 1 hour"):
        count.check(600.0)
    count.release("strict", strict)
    count.check(600.0)
    count.keep_to("strict", strict)
    with pytest.raises(AuthError, match="once within 1 hour"):
        count.check(700.0)


def test_of_what_several_sources_want_the_fewest_logins_in_the_longest_time_count() -> None:
    limit = LoginLimit(Logins(3, 900.0))
    limit.keep_to("one", Logins(3, 900.0))
    assert (limit.words, limit.is_reached(2), limit.is_reached(3)) == ("3 times within 15 minutes", False, True)
    limit.keep_to("other", Logins(1, 3600.0))
    assert (limit.words, limit.is_reached(1)) == ("once within 1 hour", True)
    assert limit.recent([100.0, 1_000.0], 3_800.0) == [1_000.0]
    limit.keep_to("other", Logins(5, 90.0))
    assert (limit.most, limit.window_s) == (3, 900.0)


def test_an_account_has_one_limiter() -> None:
    def make() -> Limiter:
        return Limiter({}, DayShare(1.0, 0.0))

    assert shared("acme", make) is shared("acme", make)
    assert shared("acme", make) is not shared("other", make)
