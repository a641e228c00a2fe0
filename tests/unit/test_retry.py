"""The one retry policy."""

import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import AuthError, RateLimited, StreamError, TransientError
from connectors.retry import BRIEF, Patience, Retry, RetryBudget, Stopped, StopSignal, parse_retry_after, trying
from connectors.transport import CertificateRefused

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Bench:
    """A clock that only moves by waiting, and a call that fails as told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.at = 0.0
        self.waits: list[float] = []
        self.calls = 0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.at += seconds

    def call(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    def retry(self, patience: Patience | None = None) -> Retry:
        return Retry(
            patience=patience or Patience(),
            clock=lambda: self.at,
            sleep=self.sleep,
            jitter=lambda _low, high: high,
        )


def test_a_transient_failure_is_tried_again_with_growing_waits() -> None:
    bench = Bench(*[TransientError("no")] * 4)
    assert bench.retry().call(bench.call) == "done"
    assert bench.waits == [1.0, 2.0, 4.0, 8.0]


def test_six_tries_are_all_there_are_and_the_last_error_is_told() -> None:
    bench = Bench(*[TransientError(f"no {number}") for number in range(9)])
    with pytest.raises(TransientError, match="no 5"):
        bench.retry().call(bench.call)
    assert bench.calls == 6


@pytest.mark.parametrize(
    "error", [AuthError("a"), StreamError("s"), ValueError("a bug"), Stopped("we"), CertificateRefused("c")]
)
def test_what_will_not_work_later_is_not_tried_again(error: Exception) -> None:
    bench = Bench(error)
    with pytest.raises(type(error)):
        bench.retry().call(bench.call)
    assert bench.calls == 1


def test_the_vendor_s_own_wait_goes_before_a_shorter_one() -> None:
    bench = Bench(RateLimited("wait", retry_after_s=30.0), RateLimited("wait", retry_after_s=0.0))
    bench.retry().call(bench.call)
    assert bench.waits == [30.0, 2.0]


def test_a_wait_beyond_the_budget_is_handed_on_at_once() -> None:
    bench = Bench(RateLimited("wait", retry_after_s=3600.0))
    with pytest.raises(RateLimited) as caught:
        bench.retry().call(bench.call)
    assert (bench.calls, bench.waits, caught.value.retry_after_s) == (1, [], 3600.0)


def test_time_spent_in_calls_counts_against_the_budget() -> None:
    bench = Bench(*[TransientError("slow")] * 9)

    def slow_call() -> str:
        bench.at += 60.0
        return bench.call()

    with pytest.raises(TransientError):
        bench.retry(Patience(budget_s=100.0)).call(slow_call)
    assert bench.calls == 2


def test_a_wait_is_told_before_it_begins() -> None:
    told: list[tuple[float, str]] = []
    bench = Bench(TransientError("The vendor is busy."))
    retry = bench.retry()
    retry.on_wait = lambda seconds, why: told.append((seconds, why))
    retry.call(bench.call)
    assert told == [(1.0, "The vendor is busy.")]
    assert retry.retries == 1


@pytest.mark.parametrize("which", ["inner", "outer"])
def test_a_stop_ends_a_wait_at_once(which: str) -> None:
    outer = threading.Event()
    signal = StopSignal(outer)
    timer = threading.Timer(0.1, signal.set if which == "inner" else outer.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        Retry(stop=signal, patience=Patience(first_s=30.0, cap_s=30.0), jitter=lambda _low, high: high).call(
            Bench(TransientError("no")).call
        )
    assert time.monotonic() - began < 2
    assert outer.is_set() == (which == "outer")
    timer.join()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("Sat, 21 Nov 2026 09:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 08:00:00 GMT", 0.0),
        ("86399", 3600.0),
        ("120000", 120.0),  # milliseconds
        ("99999999999", 3600.0),
        ("1e9", 3600.0),
        ("1e999", 3600.0),
        ("9" * 5000, 3600.0),
        ("+7", 7.0),
        ("7.", 7.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Mon, 01 Jan 0001 00:00:00 +1400", 0.0),
        ("Sat, 99 Nov 2026 99:99:99 GMT", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("\u0667", None),  # a digit, but not one of a header's
        ("\u00b2", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_every_form(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == seconds


@given(st.text())
def test_no_retry_after_at_all_breaks_anything(text: str) -> None:
    seconds = parse_retry_after(text, now=NOW)
    assert seconds is None or 0 <= seconds <= 3600


def test_a_refusal_for_the_rate_without_a_time_waits_at_least_the_first_wait() -> None:
    bench = Bench(RateLimited("wait"), TransientError("no"))
    retry = bench.retry()
    retry.jitter = lambda low, _high: low
    retry.call(bench.call)
    assert bench.waits == [1.0, 0.0]


@pytest.mark.parametrize("asked", [float("inf"), 1e9, float("nan"), -7.0])
def test_no_wait_is_longer_than_an_hour_or_shorter_than_none(asked: float) -> None:
    bench = Bench(RateLimited("wait", retry_after_s=asked))
    bench.retry(Patience(budget_s=1e6)).call(bench.call)
    assert len(bench.waits) == 1
    assert 0.0 <= bench.waits[0] <= 3600.0


def test_an_outage_does_not_multiply_the_calls_of_a_busy_source() -> None:
    """1,000 calls in ten minutes, then everything fails: a tenth may be repeated, not five times each."""
    budget = RetryBudget(clock=lambda: bench.at)
    bench = Bench()
    retry = bench.retry(Patience(first_s=0.01, cap_s=0.01))
    retry.budget = budget
    for _ in range(1000):
        retry.call(bench.call)
        bench.at += 0.5
    bench.calls = 0
    bench.failures = [TransientError("down") for _ in range(10_000)]
    for _ in range(200):
        with pytest.raises(TransientError, match="down"):
            retry.call(bench.call)
    assert 300 <= bench.calls <= 200 + 140
    assert retry.retries == bench.calls - 200


def test_few_calls_may_always_be_repeated_and_a_budget_comes_back() -> None:
    bench = Bench()
    budget = RetryBudget(few=20, clock=lambda: bench.at)
    budget.count()
    assert [budget.spend() for _ in range(22)] == [True] * 20 + [False] * 2
    bench.at += 640.0
    assert budget.spend()


def test_who_sits_in_front_of_it_hears_soon() -> None:
    bench = Bench(*[TransientError("no")] * 9)
    retry = bench.retry()
    with pytest.raises(TransientError), trying(BRIEF):
        retry.call(bench.call)
    assert (bench.calls, bench.waits) == (2, [0.5])
    with pytest.raises(TransientError):
        retry.call(bench.call)
    assert bench.calls == 2 + 6
