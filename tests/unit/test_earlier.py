"""A KPI whose past nobody can work out is compared with what was kept of it about then, and with nothing else."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, Reporting, override
from scorecards.earlier import with_earlier
from scorecards.plan import moment_before, plan
from scorecards.told import Sent
from scorecards.values import KpiResult
from syncagent import facts, runs, told
from syncagent.cli import run_cli
from syncagent.config import load_config
from syncagent.store import open_cache
from tests.fakes.desk import Desk, desk_in
from tests.unit.test_told import text_of

#: Monday 8 o'clock in Berlin.
DUE = datetime(2026, 9, 7, 6, tzinfo=UTC)
WEEK = timedelta(days=7)
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
FULL = BUILTINS["dq_completeness"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A weekly scorecard of how full the deals are, which two deals are enough for."""
    with desk_in(tmp_path) as made:
        path = tmp_path / "config.toml"
        path.write_text(
            path.read_text().replace('"lost_opportunities"]', '"dq_completeness"]')
            + "[kpi.dq_completeness]\nn_min = 1\n"
        )
        made = replace(made, config=load_config(path))
        runs.tick(made.config, made.cache, made.state, clock=lambda: DUE - timedelta(minutes=1))
        yield made


def sent_on(desk: Desk, due: datetime) -> tuple[str, list[dict[str, Any]]]:
    """The message of a due time, and what the KPI was compared with."""
    desk.synced_at(due)
    assert runs.tick(desk.config, desk.cache, desk.state, clock=lambda: due).queued == 1
    row = desk.state.execute(
        "SELECT result FROM kpi_snapshots WHERE kpi = 'dq_completeness' AND due_run_id ="
        " (SELECT id FROM due_runs ORDER BY due_at DESC LIMIT 1)"
    ).fetchone()
    found: list[dict[str, Any]] = json.loads(row["result"])["comparisons"]
    return text_of(desk), found


def emptied(desk: Desk) -> None:
    with closing(open_cache(desk.data_dir)) as cache:
        cache.execute("UPDATE opportunities SET stage = NULL WHERE source_id = '2'")
        facts.refresh(cache, desk.config.reporting())


def test_it_is_compared_with_what_was_kept_a_month_ago(desk: Desk, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """7 September is nearest to a month before 5 October; before there was one, that is said."""
    text, compared = sent_on(desk, DUE)
    assert "no value kept from a month ago" in text
    assert compared == [
        {
            "with": "month_ago",
            "value": None,
            "change": None,
            "kept_at": None,
            "reason": "no value kept from a month ago",
        }
    ]
    for week in (1, 2, 3):
        sent_on(desk, DUE + week * WEEK)
    emptied(desk)
    text, (compared_with,) = sent_on(desk, DUE + 4 * WEEK)
    assert "change against a month ago (kept 7 Sept 2026)" in text
    assert "−7.7\u00a0pp worse" in text  # 8 of 13 weights, then 7
    assert compared_with == {
        "with": "month_ago",
        "value": pytest.approx(8 / 13),
        "change": pytest.approx(-1 / 13),
        "kept_at": "2026-09-07T06:00:00Z",
        "reason": None,
    }
    path = str(desk.data_dir.parent / "config.toml")
    asked = ["--config", path, "kpi", "show", "dq_completeness", "--as-of", "2026-10-06"]
    assert run_cli(asked) == 0
    shown = capsysbinary.readouterr().out.decode()
    assert "month ago 61.5%, −7.7\u00a0pp since (kept 7 Sept 2026)" in shown
    assert run_cli([*asked, "--period", "2026-08"]) == 0  # of a period gone by there is no then
    assert "month ago" not in capsysbinary.readouterr().out.decode()


def test_of_another_definition_nothing_is_compared(desk: Desk) -> None:
    for week in range(4):
        sent_on(desk, DUE + week * WEEK)
    own = override(desk.config.kpis["dq_completeness"], {"params": {"required": {"stage": 1}}})
    other = replace(desk, config=replace(desk.config, kpis={**desk.config.kpis, "dq_completeness": own}))
    text, (compared,) = sent_on(other, DUE + 4 * WEEK)
    assert "no value kept from a month ago, only one of another definition" in text
    assert (compared["value"], compared["change"]) == (None, None)


def test_what_is_kept_is_looked_up_by_kpi_and_time(desk: Desk) -> None:
    sent_on(desk, DUE)
    kept = told.kept_in(desk.state)
    (one,) = kept("dq_completeness", DUE, DUE)
    assert one.at == DUE
    assert one.value == pytest.approx(8 / 13)
    assert one.definition
    assert kept("dq_relevance", DUE, DUE) == []
    assert kept("dq_completeness", DUE + timedelta(seconds=1), DUE + WEEK) == []


def compared(
    kpi: Kpi, kept: Sequence[Sent], value: float | None = 0.75, grain: Any = "week"
) -> list[tuple[str, float | None, float | None, str]]:
    def found(name: str, first: datetime, last: datetime) -> list[Sent]:
        assert name == kpi.id
        return [one for one in kept if first <= one.at <= last]

    blank = KpiResult(kpi.id, "", NOON, None, value, "ratio", "ok" if value is not None else "too_few")
    result = with_earlier(kpi, blank, grain, BERLIN, definition="this", kept=found)
    return [(one.against, one.value, one.change, one.reason) for one in result.comparisons]


@pytest.mark.parametrize(
    ("days", "is_near"),
    [(30, True), (21, True), (20, False), (41, True), (42, False), (0, False), (365, False)],
)
def test_a_month_ago_is_ten_days_more_or_less(days: int, is_near: bool) -> None:
    kept = [Sent(NOON - timedelta(days=days), "this", 0.5)]
    wanted = (0.5, 0.25, "") if is_near else (None, None, "no value kept from a month ago")
    assert compared(FULL, kept) == [("month_ago", *wanted)]


def test_the_nearest_of_the_same_definition_is_taken() -> None:
    kept = [Sent(NOON - timedelta(days=at), said, at / 100) for at, said in ((25, "this"), (30, "old"), (33, "this"))]
    ((_, value, change, _),) = compared(FULL, kept)
    assert value == 0.33
    assert change == pytest.approx(0.42)


def test_without_a_value_there_is_no_change() -> None:
    assert compared(FULL, [Sent(NOON - timedelta(days=30), "this", 0.5)], value=None) == [("month_ago", 0.5, None, "")]


def test_of_the_period_before_only_what_is_near_it() -> None:
    """A third of the way: two days of a week."""
    own = override(FULL, {"compare": ["previous", "year_ago"]})
    kept = [Sent(NOON - timedelta(days=at), "this", 0.5) for at in (9, 360)]
    assert [one[1] for one in compared(own, kept)] == [0.5, 0.5]
    assert [one[3] for one in compared(own, [Sent(NOON - timedelta(days=10), "this", 0.5)])] == [
        "no value kept from the period before",
        "no value kept from a year ago",
    ]
    assert compared(own, [Sent(NOON - timedelta(days=100), "this", 0.5)], grain="quarter")[0][1] == 0.5


def test_what_has_a_past_is_left_to_it() -> None:
    assert compared(BUILTINS["ticket_backlog"], [Sent(NOON - timedelta(days=30), "this", 0.5)]) == []


@pytest.mark.parametrize(
    ("against", "grain", "then"),
    [
        ("month_ago", "week", "2026-10-30T13:00"),  # 13 o'clock in winter and in summer time: the local time stays
        ("month_ago", "quarter", "2026-10-30T13:00"),
        ("previous", "day", "2026-11-29T13:00"),
        ("previous", "week", "2026-11-23T13:00"),
        ("previous", "quarter", "2026-08-30T13:00"),
        ("year_ago", "day", "2025-11-30T13:00"),
    ],
)
def test_the_same_local_time_of_an_earlier_day(against: str, grain: Any, then: str) -> None:
    assert moment_before(against, NOON, grain, BERLIN) == datetime.fromisoformat(then).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("grain", "end"), [("week", date(2026, 10, 30)), ("month", date(2026, 10, 1)), ("quarter", date(2026, 9, 1))]
)
def test_a_month_before_the_end_of_any_period(grain: Any, end: date) -> None:
    """A stock on a weekly scorecard is compared with a month ago, not with the week before."""
    kpi = override(BUILTINS["ticket_backlog"], {"compare": ["month_ago"]})
    chosen = plan(kpi, Reporting(), as_of=NOON, granularity=grain)
    ((against, slice_),) = chosen.compared
    assert (against, slice_.span.end, slice_.at_day) == ("month_ago", end, end)
