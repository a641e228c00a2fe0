"""The worked KPI cases: ours always, the shared ones where they lie beside the checkout."""

import os
from pathlib import Path

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.methods import METHODS
from tests.kpi_cases import cases_of, run_case

OWN = Path(__file__).parents[1] / "data" / "kpi-cases"
SHARED = Path(os.environ.get("SYNCAGENT_KPI_CASES", Path(__file__).parents[3] / "shared/cases/kpi-cases.json"))


def _cases(path: Path) -> list[object]:
    if not path.exists():
        return []
    known = BUILTINS.keys() | METHODS.keys()
    return [pytest.param(case, id=f"{case['id']}-{case['kpi']}") for case in cases_of(path) if case["kpi"] in known]


@pytest.mark.parametrize("case", _cases(OWN))
def test_own_case(case: dict[str, object]) -> None:
    """The engine gives the worked value of each of our cases."""
    assert run_case(case).differences == ()


@pytest.mark.parametrize("case", _cases(SHARED))
def test_shared_case(case: dict[str, object]) -> None:
    """The engine gives the worked value of each shared case of a KPI that is built."""
    assert run_case(case).differences == ()


def test_every_kpi_has_a_case() -> None:
    """No built-in without a worked value of ours."""
    worked = {case["kpi"] for case in cases_of(OWN)}
    assert [name for name, kpi in BUILTINS.items() if not kpi.hidden and name not in worked] == []


def test_a_wrong_value_is_seen() -> None:
    """The runner itself can fail."""
    case = cases_of(OWN)[0]
    case["expected"]["value"] = 0.123
    assert run_case(case).differences != ()
