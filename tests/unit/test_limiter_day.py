"""Our share of a vendor's day: kept, left to others, and over at the vendor's midnight."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.day import DayShare, seconds_to_midnight
from connectors.errors import RateLimited


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_the_day_ends_at_the_vendor_s_midnight() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert seconds_to_midnight(datetime(2026, 11, 21, 9, 0, tzinfo=UTC), berlin) == 14 * 3600
    assert seconds_to_midnight(datetime(2026, 10, 24, 22, 0, tzinfo=UTC), berlin) == 25 * 3600  # clocks go back
    assert seconds_to_midnight(datetime(2026, 3, 28, 23, 0, tzinfo=UTC), berlin) == 23 * 3600


@pytest.mark.parametrize("wait_s", [float("nan"), -5.0, 0.0])
def test_a_close_for_no_time_closes_nothing(wait_s: float) -> None:
    day = DayShare(1.0, 0.0, clock=Clock())
    day.close(wait_s)
    day.count()


def test_the_longest_close_holds_and_none_is_longer_than_a_day() -> None:
    clock = Clock()
    day = DayShare(1.0, 0.0, clock=clock)
    day.close(1e12)
    day.close(900.0)
    clock.at += 24 * 3600
    with pytest.raises(RateLimited):
        day.count()
    clock.at += 3601.0
    day.count()


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
