"""The five letters: what takes each away, and what only raises a doubt."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from scorecards.definition import Kpi, build
from scorecards.figures import Figure
from scorecards.targets.baselines import baseline_days
from scorecards.targets.smart import Known, Letter, check, failures, is_smart, to_json
from scorecards.values import KpiResult, Point, SegmentValue, Signal, TargetResult
from syncagent.config import load_config
from syncagent.smart import letters as mailed_letters
from syncagent.smart import of_result
from tests.fakes.office import Office
from tests.unit.facts.frame import REPORTING

TODAY = date(2026, 11, 21)
WHOLE: dict[str, Any] = {
    "of": "opportunities",
    "date": "outcome_date",
    "where": {"is_closed": True},
    "share": {"is_won": True},
    "owner": "vp@acme.test",
    "objective": "win more of what we offer",
    "perspective": "Front office",
    "frequency": "weekly",
    "review_by": date(2027, 1, 1),
    "target": {"want": "up", "value": 0.3, "start": date(2026, 1, 1), "due": date(2027, 6, 30)},
}
GOOD = Figure(0.25, 25, 100, 100, "ok", None, 1.0)
USUAL = Signal("none", (), 0.25, 0.15, 0.35, 13)

TARGETS = """
[kpi.won_revenue]
objective = "grow"
perspective = "FO F"
target = { want = "up", value = 1000 }
[kpi.win_rate]
target = { want = "up", value = 0.3 }
"""


def kpi(target: dict[str, Any] | None = None, **more: Any) -> Kpi:
    return build("win", {**WHOLE, **more, "target": {**WHOLE["target"], **(target or {})}})


def letters(kpi: Kpi, **known: Any) -> dict[str, Letter]:
    found = check(kpi, Known(TODAY, **known))
    assert found is not None
    return found


def test_a_whole_target_is_smart() -> None:
    """Every slot filled, the past sound, the goal within reach."""
    found = letters(kpi(), recent=[GOOD, GOOD, GOOD], usual=USUAL, segments={})
    assert {letter.result for letter in found.values()} == {"ok"}
    assert failures(found) == []
    assert is_smart(found)


def test_without_a_target_there_is_nothing_to_check() -> None:
    """A KPI may be watched without one."""
    assert check(build("win", {k: v for k, v in WHOLE.items() if k != "target"}), Known(TODAY)) is None


def test_a_doubt_takes_nothing_away() -> None:
    """It is no failure; in JSON each reason stands alone."""
    found = letters(kpi({"value": 0.4}, review_by=None), usual=USUAL)
    assert found["A"].reasons == ("this process rarely delivers it: plan a change",)
    assert failures(found) == []
    assert is_smart(found)
    assert to_json(found)["T"] == {"result": "warn", "reasons": ["no review_by says when it is looked over"]}


NO_VALUE = Figure(None, 1, 2, 2, "too_few", "2 of 3: too few to rate")
FEW = Figure(0.5, 5, 10, 10, "ok", None, 0.8)


@pytest.mark.parametrize(
    ("letter", "result", "reason", "said", "known"),
    [
        ("S", "fail", "nobody is named", {"owner": ""}, {}),
        ("S", "ok", "", {"owner": ""}, {"owner": "card@acme.test"}),
        ("S", "fail", "there is no dimension crew", {"target": {"crew": {"A": 0.3}}}, {"segments": {"team": ["A"]}}),
        ("S", "warn", "team has no rows for B", {"target": {"team": {"B": 0.3}}}, {"segments": {"team": ["A"]}}),
        ("M", "fail", "2 of its last 3 periods", {}, {"recent": [NO_VALUE, GOOD, NO_VALUE]}),
        ("M", "ok", "", {}, {"recent": [GOOD, GOOD, NO_VALUE, NO_VALUE]}),
        ("M", "fail", "rests on 10 rows, at least 20", {}, {"recent": [FEW]}),
        ("M", "warn", "covers 80%", {"n_min": 5}, {"recent": [FEW]}),
        ("M", "warn", "definition changed", {}, {"redefined": True}),
        ("A", "fail", "a share of 130% cannot be", {"target": {"value": 1.3}}, {}),
        ("A", "fail", "a share of 120% cannot be", {"target": {"team": {"A": 1.2}}}, {}),
        ("A", "fail", "it needs 41, the best ever was 20", {}, {"needed": 41.0, "best": 20.0}),
        ("A", "ok", "", {}, {"needed": 40.0, "best": 20.0}),
        ("A", "warn", "no stretch", {"target": {"value": 0.2}}, {"usual": USUAL}),
        ("A", "warn", "no stretch", {"target": {"want": "down", "value": 0.3}}, {"usual": USUAL}),
        ("A", "warn", "plan a change", {"target": {"want": "down", "value": 0.1}}, {"usual": USUAL}),
        ("R", "fail", "no objective", {"objective": ""}, {}),
        ("R", "fail", "no perspective", {"perspective": ""}, {}),
        ("R", "fail", "nobody receives it", {}, {"recipients": False}),
        ("R", "warn", "another target", {}, {"rivals": 1}),
        ("R", "warn", "speed without its quality: csat_score", {"partner": "csat_score"}, {"partner_shown": False}),
        ("R", "ok", "", {"partner": "csat_score"}, {"partner_shown": True}),
        ("T", "fail", "no deadline", {"target": {"due": None}}, {}),
        ("T", "fail", "no start", {"target": {"start": None}}, {}),
        ("T", "fail", "says not how often", {"frequency": ""}, {}),
        ("T", "fail", "not after its start", {"target": {"start": date(2027, 6, 30)}}, {}),
        ("T", "fail", "less than one whole period", {"target": {"due": date(2026, 12, 1)}}, {}),
        ("T", "warn", "passed on 2026-11-20", {"target": {"due": date(2026, 11, 20)}}, {}),
    ],
)
def test_each_reason(letter: str, result: str, reason: str, said: dict[str, Any], known: dict[str, Any]) -> None:
    """One thing wrong at a time: its letter says so, the others stay ok."""
    target = said.pop("target", None)
    found = letters(kpi(target, **said), **known)
    assert found[letter].result == result
    assert reason in " ".join(found[letter].reasons)
    assert {name for name, other in found.items() if other.result != "ok"} <= {letter}


def test_a_relative_target_needs_its_baseline_stored() -> None:
    """Ten per cent on what? Its start is where the baseline ends."""
    change = {"value": None, "start": None, "change": 0.1, "from": {"period": "2025"}}
    assert letters(kpi(change), has_baseline=False)["M"].reasons == ("its baseline is not stored",)
    found = letters(kpi(change), has_baseline=True, goal=1.1)
    assert (found["M"].result, found["T"].result) == ("ok", "ok")
    assert found["A"].reasons == ("a share of 110% cannot be",)


@pytest.mark.parametrize(
    ("baseline", "start", "result"),
    [
        ({"period": "2026"}, None, "fail"),  # due inside its own baseline
        ({"period": "2026"}, date(2026, 7, 1), "fail"),
        ({"at": date(2026, 12, 31)}, None, "fail"),
        ({"at": date(2027, 1, 5)}, date(2026, 7, 1), "fail"),
        ({"period": "2025"}, None, "ok"),
        ({"period": "2026-Q3"}, date(2026, 10, 1), "ok"),
    ],
)
def test_a_deadline_is_after_the_baseline_it_starts_from(
    baseline: dict[str, Any], start: date | None, result: str
) -> None:
    said = {"value": None, "start": start, "change": 0.1, "from": baseline, "due": date(2026, 12, 31)}
    asked = kpi(said)
    assert asked.target is not None
    days = baseline_days(asked, asked.target, REPORTING)
    found = letters(asked, has_baseline=True, baseline_ends=days.end if days is not None else None)["T"]
    assert found.result == result
    assert (found.reasons == ("its deadline is not after its start",)) == (result == "fail")


@pytest.mark.parametrize(
    ("written", "there", "result", "reason"),
    [
        ("EMAE", {"EMEA", "APAC"}, "fail", "there is no team EMAE: did you mean EMEA?"),
        ("emea", {"EMEA", "APAC"}, "fail", "there is no team emea: did you mean EMEA?"),
        ("LATAM", {"EMEA", "APAC"}, "warn", "team has no rows for LATAM today"),
        ("EMEA", {"EMEA", "APAC"}, "ok", ""),
        ("West", {"East", "(none)"}, "warn", "team has no rows for West today"),
        ("Team 3", {"Team 1", "Team 2"}, "warn", "team has no rows for Team 3 today"),
    ],
)
def test_a_misspelt_segment_fails_and_says_what_was_meant(
    written: str, there: set[str], result: str, reason: str
) -> None:
    """What has no rows today may have some tomorrow; what is nearly the name of another is a slip."""
    found = letters(kpi({"team": {written: 0.3}}), segments={"team": there})["S"]
    assert (found.result, "; ".join(found.reasons)) == (result, reason)


@pytest.mark.parametrize(
    ("said", "value", "possible"),
    [
        ({"unit": "score", "scale": 10, "agg": "avg", "field": "score", "of": "survey_responses"}, 11, False),
        ({"unit": "score", "scale": 10, "agg": "avg", "field": "score", "of": "survey_responses"}, 8.5, True),
        ({"of": "tickets", "agg": "median", "duration": {"from": "created_at", "to": "closed_at"}}, -1, False),
        ({"of": "opportunities", "agg": "sum", "field": "amount"}, -1, True),
        ({"of": "tickets"}, -1, False),
    ],
)
def test_what_cannot_be_is_no_goal(said: dict[str, Any], value: float, possible: bool) -> None:
    """A score above its scale, a time or a count below zero; a sum may be a loss."""
    rest = {k: v for k, v in WHOLE.items() if k not in ("of", "date", "where", "share")}
    made = build("it", {**rest, **said, "target": {"want": "up", "value": value, "due": date(2027, 1, 1)}})
    assert (letters(made)["A"].result == "ok") == possible


def test_both_edges_of_a_band_must_be_possible() -> None:
    """Between 20 % and 120 % is not a band of shares."""
    band = {"want": {"between": [0.2, 1.2]}, "value": None}
    assert letters(kpi(band))["A"].reasons == ("a share of 120% cannot be",)


def test_check_says_it_of_each_target_that_is_mailed(tmp_path: Path) -> None:
    """The owner and readers of the scorecard count; a KPI on no scorecard is not judged."""
    office = Office(tmp_path)
    office.write(more=TARGETS)
    config = load_config(office.config, environ={})
    found = mailed_letters(config, TODAY)
    assert list(found) == ["won_revenue"]
    assert {name: letter.result for name, letter in found["won_revenue"].items()} == {
        "S": "ok",
        "M": "ok",
        "A": "ok",
        "R": "ok",
        "T": "fail",
    }
    assert found["won_revenue"]["T"].reasons[:2] == ("it has no deadline", "it has no start")
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", "--config", str(office.config), "check", "--offline"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [line for line in done.stdout.splitlines() if not line.startswith("warning: ")][1:] == [
        "not SMART: the target of won_revenue: S ok · M ok · A ok · R ok"
        " · T fail (no review_by says when it is looked over)",
        "  Time-bound: it has no deadline (set target.due)",
        "  Time-bound: it has no start (set target.start)",
        "  (by what is configured; each scorecard also judges by its values)",
    ]


def test_check_says_it_of_a_target_that_is_smart_too(tmp_path: Path) -> None:
    """All five letters, and nothing to set."""
    office = Office(tmp_path)
    dates = "start = 2026-01-01, due = 2030-12-31 }\nreview_by = 2030-01-01\n[kpi.win_rate]"
    office.write(more=TARGETS.replace("value = 1000 }\n[kpi.win_rate]", f"value = 1000, {dates}"))
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", "--config", str(office.config), "check", "--offline"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "SMART: the target of won_revenue: S ok · M ok · A ok · R ok · T ok" in done.stdout.splitlines()


YEARLY = """
[kpi.bookings]
of = "opportunities"
agg = "sum"
field = "amount"
date = "outcome_date"
where = { is_won = true }
period = "year"
partial = "to_date"
{more}
objective = "grow"
perspective = "FO F"
review_by = 2027-06-30
target = {{ want = "up", change = "+10%", from = {{ period = "2025" }}, due = 2026-12-31 }}
[scorecard.yearly]
send = "{send}"
owner = "owner@acme.test"
kpis = ["bookings"]
to = ["vp@acme.test"]
"""


@pytest.mark.parametrize(
    ("frequency", "send", "last", "first_without"),
    [
        ("weekly", "monday 08:00", date(2026, 12, 25), date(2026, 12, 26)),
        ("every month", "monday 08:00", date(2026, 12, 4), date(2026, 12, 5)),
        ("as needed", "monday 08:00", date(2026, 12, 25), date(2026, 12, 26)),  # then the scorecard's rhythm
        ("whenever", "day 1 of month 06:00", date(2026, 12, 4), date(2026, 12, 5)),
        ("yearly", "monday 08:00", date(2026, 1, 1), date(2026, 1, 2)),
    ],
)
def test_a_yearly_total_is_on_time_until_one_reporting_period_is_left(
    tmp_path: Path, frequency: str, send: str, last: date, first_without: date
) -> None:
    """What is left is counted in periods it is reported in, not in the year that is being filled."""
    office = Office(tmp_path)
    told = YEARLY.replace("where = { is_won = true }", "where = {{ is_won = true }}")
    office.write(more=told.format(more=f'frequency = "{frequency}"', send=send))
    config = load_config(office.config, environ={})
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    result = KpiResult("bookings", "Bookings", moment, None, 10.0, "money", "ok", n=30)
    for today, fails in ((date(2026, 1, 1), False), (last, False), (first_without, True)):
        letter = mailed_letters(config, today)["bookings"]["T"]
        assert letter.reasons == (("less than one whole period is left",) if fails else ())
        mailed = of_result(config, config.scorecards["yearly"], result, today)
        assert mailed is not None
        assert mailed["T"]["result"] == letter.result == ("fail" if fails else "ok")


def test_segments_that_are_gone_are_a_doubt(tmp_path: Path) -> None:
    """Of the dimensions the value is split by, the segments there are today."""
    office = Office(tmp_path)
    office.write(
        more=TARGETS.replace("value = 1000 }", "value = 1000, stage = { Won = 5, Gone = 6 } }\nby = ['stage']")
    )
    config = load_config(office.config, environ={})
    part = SegmentValue("Won", 10.0, None, None, 3, "ok", by="stage")
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    result = KpiResult("won_revenue", "Won", moment, None, 10.0, "money", "ok", n=30, segments=[part])
    found = of_result(config, config.scorecards["weekly"], result, TODAY)
    assert found is not None
    assert found["S"]["reasons"] == ["stage has no rows for Gone today"]
    whole = of_result(config, config.scorecards["weekly"], replace(result, segments=()), TODAY)
    assert whole is not None
    assert whole["S"]["result"] == "ok"


def test_what_fails_is_said_in_words_with_the_key_to_set() -> None:
    """Only what fails: doubts beside it are left out. What is lacking has a key of its own."""
    bare = kpi({"value": 1.2, "due": None}, owner="", objective="", frequency="", review_by=None)
    assert failures(letters(bare)) == [
        "Specific: nobody is named who answers for it (set owner)",
        "Achievable: a share of 120% cannot be (set target)",
        "Relevant: no objective says what it is for (set objective)",
        "Time-bound: it has no deadline (set target.due)",
        "Time-bound: it says not how often it is looked at (set frequency)",
    ]


def test_targets_that_lack_the_same_are_named_together(tmp_path: Path) -> None:
    """A dozen targets made alike do not bury what else `check` found."""
    office = Office(tmp_path)
    lost = '[kpi.lost_opportunities]\nobjective = "learn"\nperspective = "FO F"'
    office.write(more=TARGETS.replace("[kpi.win_rate]", lost))
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", "--config", str(office.config), "check", "--offline"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if not line.startswith("warning: ")][1:]
    assert said[0].startswith("not SMART: the targets of lost_opportunities, won_revenue: S ok · ")
    assert len(said) == 4


def test_a_scorecards_json_judges_what_the_rows_say_too(tmp_path: Path) -> None:
    """Six weeks of 10 a week: 50 by the week is beyond what this process delivers and more than twice the best day."""
    office = Office(tmp_path)
    office.write(more=TARGETS)
    config = load_config(office.config, environ={})
    card, series = config.scorecards["weekly"], [Point(date(2026, 10, 5), date(2026, 10, 12), 10.0, 30, "ok")] * 6
    target = TargetResult("up", 50.0, 50.0, -40.0, None, needed_rate=4.1)
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    usual = Signal("none", (), 10.0, 8.0, 12.0, 13)
    result = KpiResult(
        "won_revenue", "Won", moment, None, 10.0, "money", "ok", n=30, series=series, signal=usual, target=target
    )
    found = of_result(config, card, result, TODAY)
    assert found is not None
    assert found["A"] == {
        "result": "fail",
        "reasons": ["it needs 4.1, the best ever was 2", "this process rarely delivers it: plan a change"],
    }
    assert replace(result, smart=found).to_json()["smart"] == found
    assert of_result(config, card, replace(result, kpi="lost_opportunities"), TODAY) is None


RIVALS = """
[kpi.won_revenue]
target = { want = "up", value = 1000 }
[kpi.win_rate]
target = { want = "up", value = 0.3 }
[kpi.sales]
name = "Sales"
of = "opportunities"
agg = "sum"
field = "amount"
date = "outcome_date"
where = { is_won = true }
n_min = 3
target = { want = "up", value = 900 }
[kpi.turnover]
name = "Turnover"
of = "opportunities"
agg = "sum"
field = "amount"
date = "outcome_date"
where = { is_won = true }
target = { want = "up", value = 2000 }
[kpi.new_turnover]
name = "Turnover of new business"
of = "opportunities"
agg = "sum"
field = "amount"
date = "outcome_date"
where = { is_won = true, type = "new" }
target = { want = "up", value = 2000 }
"""


@pytest.mark.parametrize("mailed", [True, False])
def test_one_kpi_under_two_names_with_two_targets_is_a_doubt(tmp_path: Path, mailed: bool) -> None:
    """In `check` and on the scorecard alike, where both are mailed; another filter makes it another KPI."""
    office = Office(tmp_path)
    shown = ["sales", "new_turnover", "win_rate", *(["turnover"] if mailed else [])]
    office.write(more=RIVALS)
    said = office.config.read_text()
    kpis = re.search(r"^kpis = .*$", said, re.MULTILINE)
    assert kpis is not None
    office.config.write_text(said.replace(kpis[0], f"kpis = {shown}"))
    config = load_config(office.config, environ={})
    doubt = "the same KPI has another target for the same segment"
    letters = mailed_letters(config, TODAY)
    assert {name for name, found in letters.items() if doubt in found["R"].reasons} == (
        {"sales", "turnover"} if mailed else set()
    )
    for name in shown:
        result = KpiResult(name, name, datetime(2026, 11, 2, tzinfo=UTC), None, 10.0, "money", "ok", n=30)
        found = of_result(config, config.scorecards["weekly"], result, TODAY)
        assert found is not None
        assert (doubt in found["R"]["reasons"]) == (doubt in letters[name]["R"].reasons)


def test_a_scorecard_says_how_much_of_the_rows_a_target_is_measured_by(tmp_path: Path) -> None:
    """A doubt below 90 %."""
    office = Office(tmp_path)
    office.write(more=TARGETS)
    config = load_config(office.config, environ={})
    series = [Point(date(2026, 10, 5), date(2026, 10, 12), 10.0, 30, "ok")] * 3
    moment = datetime(2026, 11, 2, tzinfo=UTC)
    for coverage, reasons in ((0.8, ["it covers 80% of the rows"]), (0.95, []), (None, [])):
        result = KpiResult(
            "won_revenue", "Won", moment, None, 10.0, "money", "partial", n=30, series=series, coverage=coverage
        )
        found = of_result(config, config.scorecards["weekly"], result, TODAY)
        assert found is not None
        assert found["M"]["reasons"] == reasons
