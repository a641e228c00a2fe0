"""`kpi backtest`: a KPI's signal on its own past."""

import json
import logging
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncagent.cli import run_cli
from tests.fakes.office import Office

Run = Callable[..., tuple[int, str, str]]

RARE = '[kpi.big]\nof = "opportunities"\ndate = "created_at"\nperiod = "week"\nwhere = { amount = { gte = 500 } }\n'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """Commands in an office that has 60 weeks of deals: 20 to 30 a week, and twice that in the last two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    office = Office(tmp_path)
    office.write(more='[kpi.deals]\nof = "opportunities"\ndate = "created_at"\nperiod = "week"\n' + RARE)
    chance, monday = random.Random(3), date(2025, 6, 2)
    lines = ["source_id,name,state,close_date,amount,created_at"]
    for week in range(60):
        for number in range(chance.randint(20, 30) * (2 if week >= 58 else 1)):
            day = monday + timedelta(week * 7 + number % 5)
            lines.append(f"{week}-{number},Deal,open,,{500 if number == week % 10 == 0 else 100},{day}T12:00:00Z")
    (tmp_path / "deals.csv").write_text("\n".join(lines) + "\n")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> tuple[int, str, str]:
        code = run_cli(list(arguments))
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    assert run("sync")[0] == 0
    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


def told(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, err = run("kpi", "backtest", *arguments, "--as-of", "2026-07-27", "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_each_period_is_judged_as_of_its_end(run: Run) -> None:
    """The doubled weeks are flagged, those before not for them; weeks before the first deal are no points."""
    found = told(run, "deals", "--weeks", "104")
    assert (found["kpi"], found["grain"], found["points"]) == ("deals", "week", 60)
    assert found["history"][0]["start"] == "2025-06-02"
    assert [p["result"] for p in found["history"][-2:]] == ["signal", "signal"]
    assert found["history"][-2]["direction"] == "above"
    assert found["flagged"] == sum(p["result"] == "signal" for p in found["history"])


def test_the_last_word_is_the_one_that_is_shown(run: Run) -> None:
    """`kpi show`, and so the mail, on the same day: the same rules, limits and points."""
    last = told(run, "deals", "--weeks", "5")["history"][-1]
    code, out, _ = run("kpi", "show", "deals", "--as-of", "2026-07-27", "--json")
    assert code == 0
    (shown,) = json.loads(out)
    assert shown["signal"] == {"days_between": None, **{key: last[key] for key in shown["signal"] if key in last}}
    assert (last["points"], len(shown["series"])) == (25, 13)


@pytest.mark.parametrize("command", [["show", "deals"], ["backtest", "deals", "--weeks", "20"]])
def test_what_was_asked_once_is_kept(run: Run, tmp_path: Path, command: list[str]) -> None:
    """A long past costs the first time: the second one computes none of its weeks."""
    cache = tmp_path / "data" / "cache.db"

    def kept() -> int:
        with closing(sqlite3.connect(cache)) as conn:
            return int(conn.execute("SELECT COUNT(*) FROM kept_values").fetchone()[0])

    assert run("kpi", *command, "--as-of", "2026-07-27")[0] == 0
    once = kept()
    assert once >= 25
    assert run("kpi", *command, "--as-of", "2026-07-27")[0] == 0
    assert kept() == once


def test_alarms_and_finds_are_measured_against_their_aims(run: Run) -> None:
    """Shares of simulated histories made of the KPI's own weeks, in figures and in words."""
    found = told(run, "deals", "--period", "2025-06-01..2026-07-13")
    assert found["points"] == 58
    assert 0 <= found["false_alarms"]["share"] <= found["false_alarms"]["aim"] == 0.03
    assert (found["detection"]["planted"], found["detection"]["within"], found["detection"]["aim"]) == (0.3, 8, 0.9)
    assert found["detection"]["share"] >= 0.9
    code, out, _ = run("kpi", "backtest", "deals", "--as-of", "2026-07-13")
    assert code == 0
    assert out.startswith("Deals (deals): 58 weeks, 2025-06-02 to 2026-07-13\n  false alarms  ")
    assert "of lasting +30% within 8 periods (aim: at least 90%), usually after " in out


def test_a_short_history_is_judged_but_not_measured(run: Run) -> None:
    """Ten months are too few to simulate with."""
    found = told(run, "deals", "--months", "10")
    assert (found["grain"], found["points"], found["false_alarms"]["share"]) == ("month", 10, None)
    assert "too short to measure" in run("kpi", "backtest", "deals", "--months", "10")[1]


def test_rare_events_are_told_by_the_days_between(run: Run) -> None:
    """Six large deals in 60 weeks draw no chart: one in 70 days."""
    found = told(run, "big")
    assert (found["points"], found["days_between"], found["flagged"]) == (60, 70.0, 0)
    assert "70 days from one to the next" in run("kpi", "backtest", "big", "--as-of", "2026-07-27")[1]


def test_a_kpi_without_a_row_has_no_points(run: Run) -> None:
    """Nothing was ever lost."""
    assert told(run, "lost_opportunities", "--weeks", "20")["points"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dels"], "Did you mean deals?"),
        (["deals", "--weeks", "4", "--months", "4"], "give either weeks or months"),
        (["dq_completeness"], "how well fields were filled earlier, nobody kept"),
        (["deals", "--period", "soon"], "'soon' is not a period"),
    ],
)
def test_what_cannot_be_tested_is_refused(run: Run, arguments: list[str], said: str) -> None:
    """In one sentence, exit code 2."""
    code, out, err = run("kpi", "backtest", *arguments)
    assert (code, out) == (2, "")
    assert said in err
