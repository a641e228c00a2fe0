"""The finding by fixed rules: heading, subject and the three lines on top."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import scorecards
import templates
from scorecards.render import render
from scorecards.render.format import get
from scorecards.render.headline import SUBJECT_MAX, finding, miss, state_of, subject
from scorecards.render.words import ENGLISH
from scorecards.values import ActionList, KpiResult, Period, Signal, TargetResult
from tests.fakes.issue import action, goal, hostile_issue, issue, long_issue, normal_results, result

FMT = get("en-GB", "EUR", "Europe/Berlin")


def kpi(title: str, verdict: str | None, value: float | None = 10, want: float = 20, **more: Any) -> KpiResult:
    target = goal("up", want, value or 0.0) if verdict else None
    return result(title.lower(), title, "count", [value], verdict=verdict, target=target, direction="up", **more)


GREEN, AMBER, RED = kpi("Green", "green", 20), kpi("Amber", "amber", 19), kpi("Red", "red", 10)
WORSE, NONE, FREE = kpi("Worse", "red", 2), kpi("None", None, None), kpi("Free", None)


@pytest.mark.parametrize(
    ("results", "heading"),
    [
        ([], "No KPIs on this scorecard"),
        ([GREEN, RED], "Red is off target"),
        ([RED, WORSE, AMBER, NONE], "Worse is off target; 1 more off target, 1 at risk, 1 without data"),
        ([RED, AMBER, AMBER, NONE], "Red is off target; 2 more at risk, 1 without data"),
        ([GREEN, AMBER], "Amber is at risk"),
        ([AMBER, AMBER, NONE], "Amber is at risk; 1 more at risk, 1 without data"),
        ([GREEN, GREEN], "All 2 KPIs are on target"),
        ([GREEN, FREE], "1 KPI, and it is on target"),
        ([GREEN, NONE], "1 of 2 KPIs on target; 1 without data"),
        ([NONE, NONE], "No data for any of the 2 KPIs"),
        ([NONE], "No data for the KPI"),
        ([FREE, FREE], "2 KPIs"),
        ([FREE, NONE], "1 KPI; 1 without data"),
    ],
)
def test_the_finding_names_the_worst_and_counts_the_rest(results: Sequence[KpiResult], heading: str) -> None:
    assert finding(results, ENGLISH) == heading


def test_without_goals_a_signal_is_the_finding() -> None:
    def told(**signal: Any) -> KpiResult:
        return replace(FREE, signal=Signal(mean=5, lower=3, upper=8, points=13, **signal))

    above = told(result="signal", rules=(1,), direction="above")
    run = replace(told(result="signal", rules=(2,), direction="below"), value=4.0, series=())
    jump = replace(told(result="signal", rules=(1,), direction="below"), value=4.0, series=())
    near = replace(told(result="signal", rules=(3,), direction="below"), value=4.0, series=())
    calm = told(result="none")
    assert finding([above], ENGLISH) == "Free is above its usual range"
    assert finding([calm, above, run], ENGLISH) == "Free has shifted; 1 more changed"  # the unwanted way first
    assert finding([jump], ENGLISH) == "Free moved more than usual"
    assert finding([near], ENGLISH) == "Free may be shifting"
    assert finding([calm, calm], ENGLISH) == "2 KPIs, no signal"


def test_no_value_and_old_data_are_never_green() -> None:
    assert state_of(replace(GREEN, value=None, status="no_data")) == "none"
    assert state_of(replace(GREEN, status="too_few")) == "none"
    assert state_of(replace(GREEN, status="stale", verdict=None)) is None


def test_a_band_is_missed_by_its_width() -> None:
    band = TargetResult("between", None, None, 5.0, low=10.0, high=20.0)
    assert miss(replace(RED, target=band)) == 0.5


def test_the_subject_says_finding_scorecard_and_period() -> None:
    plain = "Win rate is off target; 2 more at risk, 2 without data – Sales scorecard, week 46"
    assert subject(issue(), FMT) == plain
    assert subject(issue(is_test=True), FMT) == f"Test: {plain}"
    running = issue(period=Period(date(2026, 11, 1), date(2026, 12, 1), "UTC", complete=False), granularity="month")
    assert subject(running, FMT).endswith("– Sales scorecard, November 2026 so far")


@pytest.mark.parametrize("made", [long_issue(), hostile_issue(), issue(title="T" * 300, is_test=True)])
def test_the_subject_stays_short_and_on_one_line(made: Any) -> None:
    found = subject(made, FMT)
    assert len(found) <= SUBJECT_MAX
    assert found.isprintable()


def test_no_record_is_named_in_subject_or_preview_text() -> None:
    rendered = render(issue())
    preheader = rendered.html.split('class="pre"')[1].split("</div>")[0]
    for shown in normal_results():
        for row in shown.actions.rows if shown.actions else ():
            assert row.title not in rendered.subject + preheader


def summary_of(*results: KpiResult, **more: Any) -> list[str]:
    lines = render(issue(results, **more)).text.replace("\u00a0", " ").splitlines()
    return [line for line in lines if line.startswith(("Changed: ", "Real? ", "Next: "))]


def test_three_lines_say_what_whether_real_and_what_to_do() -> None:
    assert summary_of(*normal_results()) == [
        "Changed: Win rate is 18.2% (goal ≥ 24.0%), −3.1 pp against the period before.",
        "Real? Yes: it is below its usual range 19.8–27.4%. Also news: First response.",
        "Next: Get desk syncing again; until then its figures are old or missing.",
    ]
    assert (
        summary_of(*normal_results(), freshness=())[2]
        == "Next: Start with the 14 records under “Lost deals by amount”."
    )


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        (None, "Not tested: there is no usual range to compare it with."),
        (Signal("too_few_points", points=4), "Cannot be told yet: too few periods for a usual range."),
        (
            Signal("too_few_points", points=40, days_between=69.7),
            "Cannot be told by a usual range, it is too rare: one in 70 days.",
        ),
        (Signal("none", (), 12, 8, 16, 13), "Not by itself: it is within its usual range 8–16."),
        (
            Signal("possible", (1,), 20, 15, 25, 8, "below"),
            "Possibly: it is below its usual range 15–25, known from 8 points only.",
        ),
        (
            Signal("signal", (2,), 20, 8, 25, 20, "below"),
            "Yes: 8 weeks in a row below the old average, the process has shifted.",
        ),
        (
            Signal("signal", (1,), 12, 5, 25, 13, "below"),
            "Yes: it moved more from one period to the next than it usually does.",
        ),
        (Signal("signal", (3,), 12, 5, 25, 13, "below"), "Perhaps: 3 of the last 4 are far below the average."),
        (Signal("signal", (1,), 20, 15, 25, 13, "below"), "Yes: it is below its usual range 15–25."),
    ],
)
def test_whether_it_is_real_follows_the_signal(signal: Signal | None, said: str) -> None:
    assert summary_of(replace(RED, signal=signal), freshness=())[1] == f"Real? {said}"


def test_nothing_wrong_is_said_plainly() -> None:
    calm = replace(GREEN, signal=Signal("none", (), 20, 15, 25, 13))
    assert summary_of(calm, calm, freshness=()) == [
        "Changed: All 2 goals are met.",
        "Real? Nothing left its usual range.",
        "Next: Nothing to do.",
    ]


def test_without_goals_and_signals_the_values_are_counted() -> None:
    calm = replace(FREE, signal=Signal("none", (), 20, 15, 25, 13))
    assert summary_of(calm, NONE, freshness=())[:2] == [
        "Changed: 1 of 2 KPIs has a value; no goal is set for it.",
        "Real? Nothing left its usual range.",
    ]


def test_without_values_the_reason_is_what_to_do() -> None:
    lines = summary_of(replace(NONE, reason="needs ticket history."), freshness=())
    assert lines == [
        "Changed: No value could be computed.",
        "Real? Cannot be told without values.",
        "Next: Find out why None has no data: needs ticket history.",
    ]


def test_the_records_the_next_step_names_are_listed_first() -> None:
    def listed(kpi: KpiResult, label: str) -> KpiResult:
        return replace(kpi, actions=ActionList(label, (action(1, label, "old", None),), 4200))

    kpis = [listed(GREEN, "first"), listed(FREE, "second"), listed(AMBER, "third"), listed(RED, "fourth"), WORSE]
    text = render(issue(kpis, freshness=())).text
    assert "Next: Look for the cause of Worse; the record lists below are where to start." in text
    assert (
        text.index("Fourth (1 of 4,200)") < text.index("Third (1") < text.index("First (1") < text.index("Second 4,200")
    )
    assert "Next: Start with the 4,200 records under “Fourth”." in render(issue(kpis[:4], freshness=())).text


def test_every_word_is_used_and_every_used_word_exists() -> None:
    folders = [Path(scorecards.__file__).parent / "render", Path(templates.__file__).parent / "email"]
    files = [file for folder in folders for file in folder.iterdir() if file.suffix in (".py", ".j2")]
    source = "".join(file.read_text() for file in files if file.name != "words.py")
    # put together from a state, a kind of news, a granularity, what became of a record or a goal, what is left out
    built = ("h_", "b_", "mv_", "sig_", "period_", "r_", "w_", "way_", "voc_", "no_drivers", "no_bridge")
    unused = [key for key in ENGLISH.texts if not re.search(f"[\"']{key}[\"']", source) and not key.startswith(built)]
    used = set(re.findall(r"\b(?:words|t)\(\s*\"(\w+)\"", source))
    assert unused == []
    assert used - set(ENGLISH.texts) == set()
