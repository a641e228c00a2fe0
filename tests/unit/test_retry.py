"""The one retry policy."""

import threading
import time
from datetime import UTC, datetime

import pytest

from connectors.errors import AuthError, RateLimited, StreamError, TransientError
from connectors.retry import Patience, Retry, Stopped, StopSignal, parse_retry_after

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


@pytest.mark.parametrize("error", [AuthError("a"), StreamError("s"), ValueError("a bug")])
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
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_every_form(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == seconds
