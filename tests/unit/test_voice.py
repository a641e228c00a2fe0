"""Whether a process KPI goes with what customers say: the correlation, what it is taken over, and how it is said."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi, build, override
from scorecards.evaluate import Evaluator
from scorecards.slots import Granularity
from scorecards.voice import is_process, is_satisfaction, sentence, spearman, with_voice
from syncagent import facts
from syncagent.config import load_config
from syncagent.issues import values
from syncagent.store import open_cache
from tests.fakes.office import Office
from tests.unit.facts.frame import REPORTING, put

NOW = datetime(2026, 12, 1, tzinfo=UTC)
WAITING = override(BUILTINS["first_response_time"], {"params": {"clock": "calendar"}, "n_min": 1})
CSAT = override(BUILTINS["csat_score"], {"n_min": 1})
few = st.integers(0, 4).map(float)


def naive(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's correlation of mean ranks, counted one by one."""

    def ranks(side: list[float]) -> list[Fraction]:
        return [Fraction(sum(o < v for o in side)) + Fraction(sum(o == v for o in side) + 1, 2) for v in side]

    left, right = ranks([x for x, _ in pairs]), ranks([y for _, y in pairs])
    middle = Fraction(len(pairs) + 1, 2)
    spread = sum((a - middle) ** 2 for a in left) * sum((b - middle) ** 2 for b in right)
    across = sum((a - middle) * (b - middle) for a, b in zip(left, right, strict=True))
    return float(across) / sqrt(spread) if spread else None


@given(st.lists(st.tuples(few, few) | st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=40))
def test_ranks_are_correlated_as_counted_one_by_one(pairs: list[tuple[float, float]]) -> None:
    """Ties share their mean rank; where a side never varies there is nothing to say."""
    rho, tracks = spearman(pairs)
    wanted = naive(pairs)
    assert rho == (None if wanted is None else pytest.approx(wanted))
    if wanted is not None and abs(abs(wanted) - 0.2) > 1e-9:
        assert tracks == (abs(wanted) >= 0.2)
    turned, _ = spearman([(x, -y) for x, y in pairs])
    assert turned == (None if rho is None else pytest.approx(-rho))


def test_a_textbook_case() -> None:
    """Ten hours and ten ranks, without ties: 1 - 6 * 194 / (10 * 99); and exactly 0.2 is an association."""
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(list(zip(iq, hours, strict=True)))[0] == pytest.approx(-29 / 165)
    for places, rho, tracks in (
        ([2, 5, 1, 3, 4], 0.2, True),
        ([3, 1, 5, 4, 2], 0.1, False),
        ([1, 2, 3, 4, 5], 1, True),
    ):
        found = spearman(list(enumerate(map(float, places))))
        assert found[0] == pytest.approx(rho)
        assert found[1] is tracks


@pytest.mark.parametrize(
    ("rho", "tracks", "direction", "said"),
    [
        (0.1, False, "up", "this KPI does not track what customers say"),
        (-0.5, True, "down", "better values of this KPI go with better answers of customers"),
        (0.5, True, "down", "better values of this KPI go with worse answers of customers"),
        (0.5, True, "up", "better values of this KPI go with better answers of customers"),
        (0.5, True, "neutral", "this KPI goes with what customers say"),
        (None, None, "up", None),
    ],
)
def test_how_it_is_said(rho: float | None, tracks: bool | None, direction: str, said: str | None) -> None:
    """Never that one causes the other."""
    assert sentence(rho, tracks, direction) == said


def cache_of(
    folder: Path, count: int, score: Callable[[int], float], created: Callable[[int], datetime]
) -> sqlite3.Connection:
    """Tickets answered after 1, 2, 3 … hours, and what was said of each a day later."""
    conn = open_cache(folder)
    for number in range(count):
        begun = created(number)
        put(
            conn,
            "tickets",
            f"T{number}",
            created_at=_text(begun),
            first_response_at=_text(begun + timedelta(hours=number + 1)),
            status_category="open",
        )
        put(
            conn,
            "survey_responses",
            f"S{number}",
            survey_type="csat",
            score=score(number),
            scale_min=1,
            scale_max=5,
            ticket_id=f"T{number}",
            responded_at=_text(begun + timedelta(days=3)),
        )
    facts.refresh(conn, REPORTING)
    return conn


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_november(number: int) -> datetime:
    return datetime(2026, 11, 2, 8, tzinfo=UTC) + timedelta(hours=number)


def voice(conn: sqlite3.Connection, kpi: Kpi = WAITING, granularity: Granularity = "month") -> Any:
    evaluator = Evaluator(conn, {**BUILTINS, kpi.id: kpi}, REPORTING, as_of=NOW)
    result = evaluator.evaluate(kpi, granularity=granularity)
    return with_voice(evaluator, kpi, result, CSAT, granularity=granularity).details.get("voc_alignment")


def test_by_ticket_from_thirty_on(tmp_path: Path) -> None:
    """The longer they waited, the worse they say it was."""
    with closing(cache_of(tmp_path, 30, lambda n: 5 - n // 6, in_november)) as conn:
        found = voice(conn)
        assert (found["with"], found["by"], found["n"], found["status"]) == ("csat_score", "ticket", 30, "ok")
        assert found["rho"] == pytest.approx(naive([(n, -(n // 6)) for n in range(30)]))
        assert found["sentence"] == "better values of this KPI go with better answers of customers"
        conn.execute("DELETE FROM survey_responses WHERE id = 'S7'")
        facts.refresh(conn, REPORTING)
        fewer = voice(conn)
    assert (fewer["by"], fewer["n"], fewer["rho"], fewer["status"]) == ("ticket", 29, None, "too_few")
    assert fewer["sentence"] is None


def test_a_share_of_tickets_is_each_on_top_or_not(tmp_path: Path) -> None:
    """In time or late: answers of those in time are the better ones."""
    rate = override(BUILTINS["first_response_sla_rate"], {"params": {"clock": "calendar", "target_seconds": 54_000}})
    with closing(cache_of(tmp_path, 30, lambda n: 5 - n // 6, in_november)) as conn:
        found = voice(conn, rate)
    assert found["rho"] == pytest.approx(naive([(float(n < 15), -(n // 6)) for n in range(30)]))
    assert found["sentence"] == "better values of this KPI go with better answers of customers"


def test_what_does_not_follow_is_said(tmp_path: Path) -> None:
    with closing(cache_of(tmp_path, 40, lambda n: 1 + 4 * (n % 2), in_november)) as conn:
        found = voice(conn)
    assert abs(found["rho"]) < 0.2
    assert (found["tracks"], found["sentence"]) == (False, "this KPI does not track what customers say")


def test_answers_that_never_vary_say_nothing(tmp_path: Path) -> None:
    with closing(cache_of(tmp_path, 40, lambda n: 4, in_november)) as conn:
        found = voice(conn)
    assert (found["rho"], found["status"], found["tracks"]) == (None, "no_denominator", None)


def test_a_month_of_few_tickets_is_read_with_those_before(tmp_path: Path) -> None:
    """Five a month: the whole of the series together."""
    with closing(cache_of(tmp_path, 35, lambda n: 5 - n // 9, lambda n: NOW - timedelta(days=6 * n + 5))) as conn:
        found = voice(conn)
    assert (found["by"], found["n"]) == ("ticket", 35)


def test_several_answers_about_one_ticket_are_their_mean_and_merged_ones_are_one(tmp_path: Path) -> None:
    """A second contact's answer counts with the first's; what was said of the duplicate is said of what it was merged
    into; what was said after as_of is not known."""
    with closing(cache_of(tmp_path, 31, lambda n: 5 - n // 9, in_november)) as conn:
        put(conn, "contacts", "C1")
        put(conn, "tickets", "T30", merged_into="T0", is_deleted=1)
        more = {"survey_type": "csat", "scale_min": 1, "scale_max": 5}
        at = _text(in_november(100))
        put(conn, "survey_responses", "M1", **more, score=1, ticket_id="T1", contact_id="C1", responded_at=at)
        put(conn, "survey_responses", "M2", **more, score=1, ticket_id="T2", contact_id="C1", responded_at=_text(NOW))
        conn.execute("UPDATE survey_responses SET contact_id = 'C1' WHERE id = 'S30'")
        facts.refresh(conn, REPORTING)
        found = voice(conn)
    scores = [5 - n // 9 for n in range(31)]
    of = [float(score) for score in scores[:30]]
    of[0], of[1] = (5 + scores[30]) / 2, 3.0
    assert found["n"] == 30
    assert found["rho"] == pytest.approx(naive([(float(n), score) for n, score in enumerate(of)]))


def test_by_period_where_no_ticket_has_a_measure(tmp_path: Path) -> None:
    """More of them arrive, worse is said: 13 months of tickets that came in."""
    count = override(BUILTINS["tickets_created"], {"aspect": "process"})
    months = [datetime(2025 + (10 + m) // 12, (10 + m) % 12 + 1, 3, tzinfo=UTC) for m in range(13)]
    placed = [month for place, month in enumerate(months) for _ in range(place + 1)]
    with closing(
        cache_of(tmp_path, len(placed), lambda n: 5 - months.index(placed[n]) / 4, lambda n: placed[n])
    ) as conn:
        found = voice(conn, count)
    assert (found["by"], found["n"], found["rho"]) == ("period", 13, pytest.approx(-1))


def test_overlapping_windows_say_nothing_by_period(tmp_path: Path) -> None:
    """Ninety days, told each month, are mostly the days of the month before."""
    rolling = override(BUILTINS["tickets_created"], {"window": "90d", "aspect": "process"})
    with closing(cache_of(tmp_path, 35, lambda n: 5 - n // 9, lambda n: NOW - timedelta(days=11 * n + 5))) as conn:
        assert voice(conn, rolling) is None


def test_which_kpis_are_asked() -> None:
    """Those of the process; satisfaction is a score customers gave."""
    assert is_satisfaction(BUILTINS["csat_score"])
    assert is_satisfaction(BUILTINS["service_rating"])
    assert not is_satisfaction(BUILTINS["csat_satisfied_rate"])
    assert is_process(BUILTINS["first_response_time"])
    assert not is_process(BUILTINS["won_revenue"])
    assert not is_process(BUILTINS["csat_score"])


def test_a_kpi_of_ones_own_is_judged_once_it_is_said_to_be_of_a_process() -> None:
    own = {"of": "tickets", "date": "created_at"}
    assert not is_process(build("own", own))
    assert is_process(build("own", {**own, "aspect": "process"}))
    assert not is_process(build("own", {**own, "aspect": "customer"}))


TICKETS = """
[[source.desk.table]]
path = "tickets.csv"
table = "tickets"
[[source.desk.table]]
path = "answers.csv"
table = "survey_responses"
"""


def test_a_scorecard_with_satisfaction_says_it_and_the_commands_do(tmp_path: Path) -> None:
    """In its values, in `kpi show` and in `kpi explain`; without a satisfaction KPI beside it a scorecard does not."""
    office = Office(tmp_path)
    office.write()
    text = office.config.read_text().replace('table = "opportunities"\n', f'table = "opportunities"\n{TICKETS}')
    kpis = 'kpis = ["first_response_time", "csat_score"]'
    office.config.write_text(text.replace('kpis = ["won_revenue", "lost_opportunities"]', kpis))
    begun = [in_november(n) for n in range(40)]
    (tmp_path / "tickets.csv").write_text(
        "source_id,created_at,first_response_at,status_category\n"
        + "".join(f"{n},{_text(at)},{_text(at + timedelta(hours=n + 1))},open\n" for n, at in enumerate(begun))
    )
    (tmp_path / "answers.csv").write_text(
        "source_id,survey_type,score,scale_min,scale_max,ticket_id,responded_at\n"
        + "".join(f"{n},csat,{1 + 4 * (n % 2)},1,5,{n},{_text(at + timedelta(days=3))}\n" for n, at in enumerate(begun))
    )
    command = [sys.executable, "-m", "syncagent", "--config", str(office.config)]
    subprocess.run([*command, "sync"], capture_output=True, timeout=60, check=True)
    asked = ["first_response_time", "--period", "2026-11", "--as-of", "2026-11-20"]

    def told(*words: str) -> str:
        return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=True).stdout

    shown = json.loads(told("kpi", "show", *asked, "--json"))[0]["details"]["voc_alignment"]
    assert (shown["n"], shown["tracks"]) == (40, False)
    assert "does not track what customers say (rank correlation" in told("kpi", "show", *asked)
    assert json.loads(told("kpi", "explain", *asked, "--json"))["voc_alignment"] == shown
    assert "does not track what customers say (rank correlation" in told("kpi", "explain", *asked)
    config = load_config(office.config, environ={})
    card = config.scorecards["weekly"]
    with closing(open_cache(office.data_dir)) as cache:
        due = datetime(2026, 11, 9, 7, tzinfo=UTC)
        beside = values(config, cache, card, due)[0].details["voc_alignment"]
        alone = values(config, cache, card.model_copy(update={"kpis": ["first_response_time"]}), due)[0].details
    assert (beside["with"], beside["by"], beside["n"]) == ("csat_score", "ticket", 40)
    assert "voc_alignment" not in alone
