"""A period that still runs is never held against the usual range of whole ones (definitions: complete periods only)."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from scorecards.render import render
from scorecards.render.format import get
from scorecards.render.headline import finding, has_begun
from scorecards.render.rows import note_lines, signal_sentence
from scorecards.render.words import ENGLISH
from scorecards.values import KpiResult, Period, Signal
from tests.fakes.issue import WEEK, goal, issue, result

FMT = get("en-GB", "EUR", "Europe/Berlin")
RUNNING = replace(WEEK, complete=False)
CALM = Signal("none", (), 40, 20, 64, 13)
ABOVE = Signal("signal", (1,), 40, 20, 64, 13, "above")
RUN = Signal("signal", (2,), 40, 20, 64, 13, "above")
MOVE = Signal("possible", (1,), 40, 20, 64, 7)
FEW = Signal("too_few_points")


def lost(signal: Signal, newest: float = 41, **more: Any) -> KpiResult:
    """37 so far, after a whole week of 41."""
    made = result("lost", "Lost", "count", [30, newest], direction="down", signal=signal)
    return replace(made, value=37.0, period=RUNNING, **more)


def judged(result: KpiResult) -> KpiResult:
    return replace(result, verdict="red", target=goal("down", 12, 37))


@pytest.mark.parametrize(
    ("signal", "newest", "real"),
    [
        (CALM, 41, "Cannot be told before the week is over; the last whole one was within its usual range 20–64."),
        (ABOVE, 70, "Cannot be told before the week is over; the last whole one was above its usual range 20–64."),
        (RUN, 50, "Cannot be told before the week is over; the last whole one was the end of a shift."),
        (MOVE, 50, "Cannot be told before the week is over; the last whole one moved more than usual."),
        (FEW, 41, "Cannot be told yet: too few periods for a usual range."),
    ],
)
def test_what_still_runs_cannot_be_told_yet(signal: Signal, newest: float, real: str) -> None:
    text = render(issue([judged(lost(signal, newest))])).text
    assert real in " ".join(text.split())


@pytest.mark.parametrize(
    ("signal", "newest", "heading"),
    [
        (ABOVE, 70, "Lost was above its usual range in the last whole week"),
        (RUN, 50, "Lost had shifted in the last whole week"),
        (CALM, 41, "1 KPI, no signal"),
    ],
)
def test_the_heading_says_which_period_is_news(signal: Signal, newest: float, heading: str) -> None:
    assert finding([lost(signal, newest)], ENGLISH) == heading


@pytest.mark.parametrize(
    ("signal", "newest", "said"),
    [
        (ABOVE, 70, "last whole week: above the usual range 20–64: look for a cause"),
        (MOVE, 50, "last whole week: possibly more of a move than usual"),
    ],
)
def test_the_sentence_of_a_signal_names_the_period_it_is_of(signal: Signal, newest: float, said: str) -> None:
    assert note_lines(lost(signal, newest), FMT)[0].text == said
    assert signal_sentence(lost(signal, newest), FMT) == said
    whole = replace(lost(signal, newest), period=WEEK)
    assert note_lines(whole, FMT)[0].text == said.removeprefix("last whole week: ")


def test_the_range_is_said_to_be_of_whole_ones() -> None:
    text = render(issue([lost(CALM)])).text
    assert "usual range of whole weeks 20–64" in " ".join(text.split())
    assert "usual range 20–64" in " ".join(render(issue([replace(lost(CALM), period=WEEK)])).text.split())


def test_a_fiscal_quarter_is_a_quarter() -> None:
    made = replace(lost(RUN, 50), granularity="fiscal_quarter")
    assert finding([made], ENGLISH) == "Lost had shifted in the last whole quarter"
    assert render(issue([judged(made), replace(made, period=WEEK)])).text


@pytest.mark.parametrize(
    ("as_of", "begun"),
    [
        (datetime(2026, 11, 8, 22, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 8, 23, 0, tzinfo=UTC), True),  # midnight in Berlin
        (datetime(2026, 11, 12, 9, tzinfo=UTC), True),
    ],
)
def test_a_period_begins_at_its_first_midnight(as_of: datetime, begun: bool) -> None:
    later = replace(
        lost(CALM), as_of=as_of, period=Period(date(2026, 11, 9), date(2026, 11, 16), "Europe/Berlin", False)
    )
    assert has_begun(later) == begun
    assert has_begun(replace(later, period=None))
