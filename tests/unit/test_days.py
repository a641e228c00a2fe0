"""Which day an instant lies on, in zones with odd clocks; remembered within bounds."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scorecards.days import Day
from tests.unit.facts.frame import REPORTING

ZONES = ("Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Europe/Amsterdam", "UTC")


@pytest.mark.parametrize("zone", ZONES)
def test_a_local_day_is_right_on_each_side_of_midnight_and_of_a_change_of_the_clock(zone: str) -> None:
    """Clocks change at half hours too, St John's was set back over midnight, and Amsterdam kept +00:19:32."""
    days = Day(REPORTING.model_copy(update={"timezone": zone}))
    for year, month, first in ((1936, 12, 31), (2008, 11, 1), (2026, 3, 28), (2026, 4, 4), (2026, 10, 3)):
        begin = datetime(year, month, first, tzinfo=UTC)
        for minute in range(0, 2 * 24 * 60, 7):
            moment = begin + timedelta(minutes=minute, seconds=minute % 60)
            assert days.of(moment.strftime("%Y-%m-%dT%H:%M:%SZ")) == str(moment.astimezone(ZoneInfo(zone)).date())


def test_days_of_a_long_history_stay_small() -> None:
    """A history names each instant once: what is kept of them must not grow with it."""
    days, hours = Day(REPORTING), 0
    held = []
    tracemalloc.start()
    try:
        for year in range(1980, 2030):
            for day in range(1, 366, 13):
                for hour in range(24):
                    text = f"{datetime(year, 1, 1) + timedelta(day):%Y-%m-%d}T{hour:02}"
                    for minute in (7, 38):
                        days.of(f"{text}:{minute:02}:07Z")
                    hours += 1
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert hours > 30_000
    assert max(held) < 4_000_000
