"""Targets on their way: kept baselines, projections, deadlines; and bridges that balance."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.balance import balance
from scorecards.errors import ScorecardError
from scorecards.targets.pace import Deadline, Kept, agree, at_deadline, glide_needed, goal, needed, projected
from scorecards.version import short_hash

DAY = date(2026, 1, 5)
OVER = (date(2025, 1, 1), date(2026, 1, 1))
KEPT = Kept(1_000_000.0, 412, "d1", "t1", DAY, *OVER)
FRESH = Kept(990_000.0, 410, "d1", "t1", date(2026, 11, 21), *OVER)


def test_a_baseline_is_computed_once_and_kept() -> None:
    """Three deals of 2025 were restated since: the target does not move with them."""
    assert agree(None, FRESH).is_new
    found = agree(KEPT, FRESH)
    assert (found.baseline, found.is_new, found.warning) == (KEPT, False, "")


def test_another_target_has_a_baseline_of_its_own() -> None:
    """From 2024 instead of 2025."""
    assert agree(KEPT, replace(FRESH, target="t2")).baseline.value == 990_000


def test_a_new_definition_keeps_the_baseline_and_says_so() -> None:
    """Only a person's own word makes a new one."""
    found = agree(KEPT, replace(FRESH, definition="d2"))
    assert found.baseline == KEPT
    assert found.warning == "the definition changed after the baseline of 2026-01-05"


def test_a_mark_is_what_is_said_not_its_order() -> None:
    """A file tidied up says the same; a changed key does not."""
    one = {"want": "up", "from": {"period": "2025", "at": None}}
    two = {"from": {"at": None, "period": "2025"}, "want": "up"}
    assert short_hash(one) == short_hash(two)
    assert short_hash(one) != short_hash({**one, "from": {"period": "2024", "at": None}})


def test_ten_per_cent_on_the_year_before() -> None:
    """1,000,000 and 10 % are 1,100,000; of nothing, of less or of the unknown there is no goal, except in points."""
    assert goal(1_000_000, 0.1) == pytest.approx(1_100_000)
    assert (goal(0, 0.1), goal(-5, 0.1), goal(None, 0.1)) == (None, None, None)
    assert goal(0.31, 0.05, points=True) == pytest.approx(0.36)


def test_a_sum_is_projected_once_a_fifth_has_passed() -> None:
    """890,000 on day 325 of 365 goes on to 999,538; 70 days tell nothing yet."""
    assert projected(890_000, 325 / 365) == pytest.approx(999_538.46, abs=0.01)
    assert projected(100, 0.2) == pytest.approx(500)
    assert projected(100, 70 / 365) is None
    assert projected(None, 0.5) is None


@given(st.floats(0.2, 1), st.floats(0, 1e9))
def test_a_projection_goes_on_at_the_same_pace(weight: float, actual: float) -> None:
    """What is projected, times the share passed, is what there is."""
    assert (projected(actual, weight) or 0) * weight == pytest.approx(actual)


def test_what_is_needed_a_day() -> None:
    """210,000 in 28 working days; nothing can be needed of no days."""
    assert needed(1_100_000, 890_000, 28) == 7500
    assert needed(100, 90, 0) is None
    assert needed(100, 120, 5) == -4
    assert glide_needed(0.30, 0.24, 3) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("today", "value", "state"),
    [(date(2026, 12, 31), 90, "running"), (date(2027, 1, 1), 100, "met"), (date(2027, 1, 1), 99.9, "missed")],
)
def test_a_deadline_is_running_on_its_last_day(today: date, value: float, state: str) -> None:
    """Up: met from the goal on."""
    assert at_deadline(date(2026, 12, 31), today, "up", 100, value).state == state


def test_a_passed_deadline_is_met_or_missed() -> None:
    """By the value there was; without one nobody can say."""
    due, later = date(2026, 12, 31), date(2027, 2, 1)
    assert at_deadline(due, date(2027, 1, 4), "up", 100, 98) == Deadline("missed", due, 98)
    assert at_deadline(due, later, "down", 100, 98).state == "met"
    assert at_deadline(due, later, "up", 100, None).state == "not judged"


AMOUNTS = st.dictionaries(st.sampled_from(["created", "reopened", "increases"]), st.decimals(0, "1e12", places=2))


@given(st.decimals(0, "1e12", places=2), AMOUNTS, AMOUNTS)
def test_a_bridge_balances_to_the_cent(opening: Decimal, came: dict[str, Decimal], went: dict[str, Decimal]) -> None:
    """A cent off is refused, none is not."""
    closing = opening + sum(came.values()) - sum(went.values())
    moved = {**came, **{f"less {word}": -amount for word, amount in went.items()}}
    found = balance(opening, moved, closing)
    assert found.opening + sum(amount for _, amount in found.moves) == found.closing
    if abs(closing) < 10**6:
        with pytest.raises(ScorecardError, match="does not balance"):
            balance(opening, moved, closing + Decimal("0.01"))
