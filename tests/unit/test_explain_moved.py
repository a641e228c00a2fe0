"""`kpi explain` names what moved a value, each part with its sum: they add up, whatever the KPI and the rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from math import fsum
from pathlib import Path

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, override
from scorecards.evaluate import Evaluator
from scorecards.periods import parse_period
from syncagent import facts
from syncagent.cli import run_cli
from syncagent.store import open_cache
from tests.fakes.every_table import AS_OF, fill
from tests.fakes.office import Office
from tests.unit.facts.frame import REPORTING

SHOWN = sorted(name for name, kpi in BUILTINS.items() if not kpi.hidden and kpi.sql is None and not kpi.configured_by)
QUARTER = "2026-06-01..2026-09-01"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path_factory.mktemp("moved"))) as conn:
        fill(conn)
        facts.refresh(conn, REPORTING)
        yield conn


def asked(name: str) -> Kpi:
    return override(BUILTINS[name], {"n_min": 1})


@pytest.mark.parametrize("name", SHOWN)
def test_what_moved_it_adds_up(cache: sqlite3.Connection, name: str) -> None:
    """All effects of the change, noise or not; the moves of a stock; of both sides the values the KPI itself has."""
    kpi = asked(name)
    evaluator = Evaluator(cache, {**BUILTINS, name: kpi}, REPORTING, as_of=AS_OF)
    told = evaluator.explain(kpi, period=parse_period(QUARTER))
    shown = evaluator.evaluate(kpi, period=parse_period(QUARTER))
    assert told["left_out"] == {}
    if told["bridge"] is not None:
        assert told["bridge"] == shown.details["bridge"]
        *moves, end = told["bridge"].values()
        assert fsum(moves) == pytest.approx(end)
    drivers = told["drivers"]
    if drivers is None:
        return
    then = next(one for one in shown.comparisons if one.change is not None)
    assert then.period is not None
    assert (drivers["with"], drivers["period"]["start"]) == (then.against, then.period.start.isoformat())
    effects = [one["effect"] for one in drivers["effects"]]
    assert fsum(effects) == pytest.approx(drivers["change"], abs=1e-9)
    assert drivers["after"] - drivers["before"] == pytest.approx(drivers["change"], abs=1e-9)
    if not drivers["note"].startswith("medians"):
        assert (drivers["before"], drivers["after"]) == pytest.approx((then.value, shown.value), abs=1e-9)
    if drivers["mix"] is not None:
        assert drivers["mix"] + drivers["rate"] == pytest.approx(drivers["change"], abs=1e-9)


def test_most_say_what_moved_them(cache: sqlite3.Connection) -> None:
    """So that the test above is one of many KPIs."""
    evaluator = Evaluator(cache, {**BUILTINS, **{name: asked(name) for name in SHOWN}}, REPORTING, as_of=AS_OF)
    told = [evaluator.explain(asked(name), period=parse_period(QUARTER)) for name in SHOWN]
    assert sum(one["drivers"] is not None for one in told) > 35
    assert {one["kpi"] for one in told if one["bridge"] is not None} >= {"ticket_backlog", "pipeline_open_value"}
    assert {one["drivers"]["form"] for one in told if one["drivers"]} == {"sum", "rate", "mean", "factors"}


@pytest.mark.usefixtures("logs_given_back")
def test_people_read_the_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,900 in October against nothing in September, by the deals' names; a stock from its opening to its closing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    Office(tmp_path).write(more='[kpi.won_revenue]\nby = ["name"]\nn_min = 0\n')
    run_cli(["sync"])
    capsys.readouterr()
    assert run_cli(["kpi", "explain", "won_revenue", "--period", "2026-10", "--as-of", "2026-11-05"]) == 0
    out = capsys.readouterr().out
    assert (
        "  moved by name since 2026-09-01..2026-10-01 (previous)\n"
        "                   0 before\n"
        "               +1000 One\n"
        "                +900 Four\n"
        "                1900 now, a change of +1900\n"
    ) in out
    assert run_cli(["kpi", "explain", "pipeline_open_value", "--period", "2026-08", "--as-of", "2026-11-05"]) == 0
    out = capsys.readouterr().out
    assert "  bridge\n                   0 opening\n               +3100 created\n                3100 closing\n" in out
