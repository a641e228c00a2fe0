"""docs/kpis.md says what the catalogue says, and its examples what the engine answers."""

import re

import pytest

from scorecards.catalogue import BUILTINS
from scorecards.definition import Kpi
from scorecards.wording import filters, formula
from tests.kpi_cases import run_case
from tests.kpis_page import MOST_ROWS, PAGE, entry, example_of, page_of

SHOWN = [kpi for kpi in BUILTINS.values() if not kpi.hidden]
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("kpi", SHOWN, ids=lambda kpi: kpi.id)
def test_what_the_page_says_of_a_kpi_is_true(kpi: Kpi) -> None:
    """Written anew it is the same: `python -m tests.kpis_page`."""
    assert entry(kpi) in TEXT


def test_the_page_holds_every_kpi_once_and_nothing_else() -> None:
    entries = re.findall(r"^#### .*?(?=^##|\Z)", TEXT, flags=re.M | re.S)
    assert page_of({kpi.id: f"\n{text.rstrip()}\n" for kpi, text in zip(_in_order(), entries, strict=True)}) == TEXT


def _in_order() -> list[Kpi]:
    return [BUILTINS[name] for name in re.findall(r"^#### .* \(`(\w+)`\)$", TEXT, flags=re.M)]


@pytest.mark.parametrize("kpi", SHOWN, ids=lambda kpi: kpi.id)
def test_every_kpi_has_an_example_that_holds(kpi: Kpi) -> None:
    """A case of at most so many rows, with a value that somebody worked out by hand."""
    case = example_of(kpi)
    assert case is not None, f"add a case of {kpi.id} with at most {MOST_ROWS} rows to tests/data/kpi-cases"
    assert run_case(case).differences == ()


@pytest.mark.parametrize("kpi", [*BUILTINS.values()], ids=lambda kpi: kpi.id)
def test_every_kpi_has_a_formula_without_a_trace_of_its_making(kpi: Kpi) -> None:
    said = [formula(kpi, BUILTINS), *filters(kpi)]
    assert all(said)
    assert not any(re.search(r"[${}]|None|True|False|_at\b|_id\b", text) for text in said)
