"""What moved a number: explained only where it is news, in the mail's and the command line's words."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import build, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from scorecards.relations import Language
from scorecards.render import render
from scorecards.render.format import get
from scorecards.render.moved import bridge_words, driver_lines, mostly
from scorecards.split import usual_splits
from scorecards.values import Comparison, KpiResult, Signal
from syncagent import facts
from syncagent.store import open_cache
from tests.fakes.issue import issue, result
from tests.unit.facts.frame import REPORTING, put
from tests.unit.test_change import AS_OF

FMT = get("en-GB", "EUR", "Europe/Berlin")
NEWS = Signal("signal", (1,), 350_000, 200_000, 500_000, 13, "below")
SUM = {
    "with": "previous", "by": "owner.team", "form": "sum", "change": -240_000.0, "rest": -10_000.0, "mix": None,
    "rate": None, "note": "", "news": True,
    "items": [{"segment": "North", "effect": -200_000.0}, {"segment": "(none)", "effect": -45_000.0},
              {"segment": "South <b>", "effect": 15_000.0}],
}  # fmt: skip
RATE = {
    "with": "previous", "by": "pipeline", "form": "rate", "change": -0.05, "rest": 0.0, "mix": -0.08, "rate": 0.03,
    "note": "all segments improved; the mix changed", "news": True,
    "items": [{"segment": "new", "effect": -0.06}, {"segment": "old", "effect": 0.01}],
}  # fmt: skip


def revenue(**more: Any) -> KpiResult:
    made = result("won_revenue", "Won revenue", "money", [400_000, 160_000], direction="up", signal=NEWS, drivers=SUM)
    return replace(made, **more)


def win_rate(**more: Any) -> KpiResult:
    return replace(result("win_rate", "Win rate", "ratio", [0.45, 0.40], direction="up", drivers=RATE), **more)


def test_the_largest_effects_and_the_rest() -> None:
    """One line that adds up; of rates a second one that says what the segments did themselves, and their sizes."""
    nbsp = "\u00a0"
    assert [line.replace(nbsp, " ") for line in driver_lines(revenue(), FMT)] == [
        "By team: North −€200K · (none) −€45,000 · South <b> +€15,000 · rest −€10,000"
    ]
    assert [line.replace(nbsp, " ") for line in driver_lines(win_rate(), FMT)] == [
        "By pipeline: new −6.0 pp · old +1.0 pp",
        "Own rates +3.0 pp, mix −8.0 pp: all improved",
    ]
    alone = {**RATE, "mix": 0.0, "rate": -0.05, "note": ""}
    assert len(driver_lines(win_rate(drivers=alone), FMT)) == 1
    assert driver_lines(revenue(drivers=None), FMT) == ()


def test_of_a_median_the_mean_is_told_and_said_so() -> None:
    """Medians do not add up."""
    drivers = {**SUM, "form": "mean", "change": 600.0, "rest": 0.0, "mix": -60.0, "rate": 660.0,
               "note": "medians do not add up: this is the change of the mean",
               "items": [{"segment": "A", "effect": 900.0}, {"segment": "B", "effect": -300.0}]}  # fmt: skip
    slow = replace(result("first", "First response", "seconds", [3600, 3900]), drivers=drivers)
    assert [line.replace("\u00a0", " ") for line in driver_lines(slow, FMT)] == [
        "By team (mean +10 min): A +15 min · B −5 min",
        "Own averages +11 min, mix −1 min",
    ]
    assert mostly(slow, FMT) is None


def test_the_mail_explains_news_and_never_noise() -> None:
    """The row and the first line of the mail say it, in both parts; of a change that is noise neither does."""
    told = render(issue([revenue()], freshness=()))
    for part in (told.html, told.text):
        assert "By team: North" in part
        assert "mostly North (−€200K)" in part
    assert "South <b>" in told.text
    assert "South <b>" not in told.html
    for noise in (revenue(drivers={**SUM, "news": False}), revenue(drivers=None)):
        calm = render(issue([noise], freshness=()))
        assert not any(word in part for part in (calm.html, calm.text) for word in ("By team", "mostly"))


def test_a_stock_says_how_it_came_from_what_it_was() -> None:
    """In the mail's row, both parts; where nothing moved there is nothing to say. Unknown states keep their name."""
    moves = {"opening": 126, "created": 44, "reopened": 2, "closed": -41, "in_review": -1, "closing": 130}
    backlog = replace(result("ticket_backlog", "Ticket backlog", "count", [126, 130]), details={"bridge": moves})
    words = "126 + 44 created + 2 reopened − 41 closed − 1 in review = 130"
    told = render(issue([backlog], freshness=()))
    assert words in told.html.replace("\u00a0", " ").replace("&nbsp;", " ")
    assert words in told.text.replace("\u00a0", " ")
    assert backlog.period is not None
    since = replace(backlog, comparisons=(Comparison("month_ago", 120, 10),))
    assert (
        bridge_words(since, FMT).replace("\u00a0", " ") == f"since {FMT.day(backlog.period.start, year=False)}: {words}"
    )
    still = {"bridge": {"opening": 126, "closing": 126}}
    assert bridge_words(replace(backlog, details=still), FMT) == bridge_words(replace(backlog, details={}), FMT) == ""


@pytest.mark.parametrize(
    ("first", "said"),
    [(-130_000.0, True), (-110_000.0, False), (130_000.0, False)],
)
def test_a_segment_is_named_on_top_where_half_of_the_change_is_its_own(first: float, said: bool) -> None:
    items = [{"segment": "North", "effect": first}, *SUM["items"][1:]]  # type: ignore[index]
    assert (mostly(revenue(drivers={**SUM, "items": items}), FMT) is not None) == said
    pooled = [{"segment": "Other", "effect": -200_000.0}]
    assert mostly(revenue(drivers={**SUM, "items": pooled}), FMT) is None


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path)) as conn:
        yield conn


def monthly(cache: sqlite3.Connection, october: int, by: list[str] | None = None, **more: Any) -> KpiResult:
    """Won revenue of October 2026 after a year of 9 to 11 deals a month, a third of them of pipeline "new"."""
    months = [date(2025 + number // 12, number % 12 + 1, 10) for number in range(8, 22)]
    for place, month in enumerate(months):
        count = october if month == months[-1] else 9 + place % 3
        for number in range(count):
            put(cache, "opportunities", f"{month}-{number}", state="won", close_date=month.isoformat(),
                pipeline="new" if number % 3 == 0 else "old", amount_minor=100_00, currency="EUR",
                created_at="2025-01-01T00:00:00Z")  # fmt: skip
    facts.refresh(cache, REPORTING)
    kpi = override(BUILTINS["won_revenue"], more)
    evaluator = Evaluator(cache, {**BUILTINS, "won_revenue": kpi}, REPORTING, as_of=AS_OF)
    return evaluator.evaluate(kpi, period=parse_period("2026-10"), by=by)


def test_a_change_that_is_news_is_split_by_what_the_kpi_is_usually_split_by(cache: sqlite3.Connection) -> None:
    """Nobody asked for a split: teams are not known, so it is the pipeline, which has two."""
    found = monthly(cache, 30)
    assert found.signal is not None
    assert (found.signal.result, found.signal.rules[:1]) == ("signal", (1,))
    assert found.drivers is not None
    assert (found.drivers["by"], found.drivers["news"]) == ("pipeline", True)
    effects = {item["segment"]: item["effect"] for item in found.drivers["items"]}
    change = found.comparisons[0].change
    assert change is not None
    assert sum(effects.values()) == pytest.approx(change)
    assert found.segments == ()


def test_news_of_a_ratio_nothing_splits_is_divided_into_what_it_is_made_of(cache: sqlite3.Connection) -> None:
    """Revenue of each of 159 deals: 2,100 more came in, the deals stayed. By a segment where one is asked for."""
    monthly(cache, 30)
    deals = build("deals_ever", {"of": "opportunities", "stock": {"opens": "created_at"}})
    kpi = build("per_deal", {"ratio": {"top": "won_revenue", "bottom": "deals_ever"}, "n_min": 0, "unit": "money"})
    evaluator = Evaluator(cache, {**BUILTINS, "deals_ever": deals, "per_deal": kpi}, REPORTING, as_of=AS_OF)
    found = evaluator.evaluate(kpi, period=parse_period("2026-10"))
    assert found.drivers is not None
    assert (found.drivers["by"], found.drivers["form"], found.drivers["news"]) == ("factors", "factors", True)
    effects = [(item["segment"], item["effect"]) for item in found.drivers["items"]]
    change = found.comparisons[0].change
    assert effects == [("Won revenue", pytest.approx(change)), ("Deals ever", 0)]
    written = driver_lines(replace(found, currency="EUR"), FMT)
    assert [line.replace("\u00a0", " ") for line in written] == ["By what it is made of: Won revenue +€13.21"]
    asked = evaluator.evaluate(kpi, period=parse_period("2026-10"), by=["pipeline"]).drivers
    assert asked is not None
    assert asked["by"] == "pipeline"


def test_noise_is_split_only_where_somebody_asks(cache: sqlite3.Connection) -> None:
    """10 of 9 to 11: asked for, the effects are there, and said to be no news."""
    assert monthly(cache, 10).drivers is None
    asked = monthly(cache, 10, by=["pipeline"]).drivers
    assert asked is not None
    assert asked["news"] is False


def test_a_period_that_still_runs_is_no_news(cache: sqlite3.Connection) -> None:
    """The signal is of the newest whole period, not of the one shown."""
    monthly(cache, 30)
    kpi = BUILTINS["won_revenue"]
    evaluator = Evaluator(cache, BUILTINS, REPORTING, as_of=AS_OF)
    assert evaluator.evaluate(kpi, period=parse_period("2026-11")).drivers is None


def test_what_a_kpi_is_usually_split_by() -> None:
    """Its catalogue's words in order, dimensions before columns; never by person, nor by what its rows lack."""
    dimensions = {
        "owner": {"opportunities": "owner.name", "tickets": "owner.name"},
        "country": {"opportunities": "account.region", "tickets": "account.region"},
        "team": {"tickets": "owner.custom.team"},
    }
    reporting = REPORTING.model_copy(update={"dimensions": dimensions})

    def splits(name: str) -> list[str]:
        return list(usual_splits(BUILTINS[name], BUILTINS, Language(reporting), dimensions))

    assert splits("ticket_backlog")[:4] == ["team", "owner.team", "priority", "touchpoint"]
    assert splits("win_rate")[:3] == ["owner.team", "lead_source", "pipeline"]
    assert all("country" in splits(name) and "owner" not in splits(name) for name in ("win_rate", "ticket_backlog"))
    assert splits("net_profit") == []
    to_go = build("to_go", {"ratio": {"top": "won_revenue", "bottom": "won_revenue.target"}})
    assert list(usual_splits(to_go, BUILTINS, Language(reporting), dimensions)) == []
