"""What `check` says of the definition records of KPIs: a line a scorecard, and one for reviews that are overdue."""

from datetime import date
from pathlib import Path

import pytest

from syncagent.cli import run_cli
from syncagent.config import load_config
from syncagent.records import RECORD, gaps
from tests.fakes.office import Office

TODAY = date(2026, 11, 2)
WHOLE = "\n".join(f'{field} = "said"' for field in RECORD if field != "review_by")


def said(folder: Path, more: str, *, owner: bool = True) -> list[str]:
    office = Office(folder)
    office.write(more=more)
    if not owner:
        office.config.write_text(office.config.read_text().replace('owner = "owner@acme.test"\n', ""))
    return list(gaps(load_config(office.config, environ={}), TODAY))


def test_what_is_missing_is_one_line_a_scorecard(tmp_path: Path) -> None:
    (line,) = said(tmp_path, '[kpi.won_revenue]\nobjective = "more"\n')
    assert line == (
        "scorecard weekly: the records of its KPIs lack objective (lost_opportunities), "
        "review_by (won_revenue, lost_opportunities). Say them in [kpi.NAME]."
    )


def test_of_a_kpi_of_ones_own_the_whole_record_is_asked_for(tmp_path: Path) -> None:
    text = '[kpi.mine]\nof = "tickets"\n[scorecard.mine]\nsend = "daily 07:30"\nkpis = ["mine"]\nto = ["a@acme.test"]\n'
    line = next(line for line in said(tmp_path, text) if "scorecard mine" in line)
    assert [field for field in RECORD if f"{field} (mine)" in line] == list(RECORD)


def test_who_owns_the_scorecard_answers_for_its_kpis(tmp_path: Path) -> None:
    assert "owner" not in said(tmp_path, "")[0]
    assert "owner (won_revenue, lost_opportunities)" in said(tmp_path, "", owner=False)[0]


def test_many_are_counted_not_named(tmp_path: Path) -> None:
    text = '[scorecard.all]\nsend = "daily 07:30"\nkpis = ["won_revenue", "win_rate", "lost_opportunities"]\n'
    text += 'owner = "o@acme.test"\nto = ["a@acme.test"]\n[kpi.win_rate]\nreview_by = 2027-01-01\nobjective = "more"\n'
    line = next(line for line in said(tmp_path, text) if "scorecard all" in line)
    assert "objective (won_revenue, lost_opportunities), review_by (won_revenue, lost_opportunities)" in line
    line = next(
        line for line in said(tmp_path, text.replace("review_by = 2027-01-01\n", "")) if "scorecard all" in line
    )
    assert "review_by (all 3)" in line


@pytest.mark.parametrize(("day", "lines"), [("2026-11-01", 1), ("2026-11-02", 0), ("2027-11-01", 0)])
def test_a_review_is_overdue_once_its_day_is_over(tmp_path: Path, day: str, lines: int) -> None:
    both = "".join(f"[kpi.{name}]\n{WHOLE}\nreview_by = {day}\n" for name in ("won_revenue", "lost_opportunities"))
    found = said(tmp_path, both)
    assert len(found) == lines
    assert all(f"since won_revenue ({day}), lost_opportunities ({day})" in line for line in found)


@pytest.mark.usefixtures("logs_given_back")
def test_check_prints_them_and_fails_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNCAGENT_CONFIG", raising=False)
    Office(tmp_path).write(more="[kpi.won_revenue]\nreview_by = 2024-01-01\n")
    assert run_cli(["check", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "warning: scorecard weekly: the records of its KPIs lack objective" in out
    assert "warning: scorecard weekly: to be looked over since won_revenue (2024-01-01)." in out
