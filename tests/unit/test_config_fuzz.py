"""Whatever is done to a configuration, it loads or says why in plain lines; it never ends in a traceback."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.config import ConfigError, Problem, load_config

TEXT = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
EVERYTHING = re.sub(r"^# ?(\w+ *= )", r"\1", TEXT, flags=re.MULTILINE)
ENVIRON = dict.fromkeys(("SF_CLIENT_ID", "SF_CLIENT_SECRET", "HUBSPOT_TOKEN", "SMTP_PASSWORD"), "hunter2hunter2")
LINES = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("# ")]
VALUES = [
    "1", "-1", "0", "1.5", "nan", "inf", "true", '""', '"x"', '"env:NO"', '"file:/"', '"a@b@c"', "[]", "[[]]", "[1]",
    '["x"]', "{}", "{ x = 1 }", "{ x = { y = [] } }", "2026-01-01", "2026-01-01T00:00:00", "09:00:00", '"\\u0000"',
    "99999999999999999999999", '"{0}"', '"%s%("', '"*"', '"' + "x" * 300 + '"', "[{}, 1, \"\"]", "'\\'",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "config.toml"


def attempt(place: Path, text: str) -> None:
    place.write_bytes(text.encode("utf-8", "surrogatepass"))
    for problem in problems_of(place):
        line = str(problem)
        assert "\n" not in line
        assert "Traceback" not in line
        assert "pydantic" not in line
        assert "hunter2" not in line
        assert problem.line <= text.count("\n") + 1


def problems_of(place: Path) -> Sequence[Problem]:
    try:
        return load_config(place, environ=ENVIRON).warnings
    except ConfigError as error:
        return error.problems


@given(st.sampled_from(LINES), st.sampled_from(VALUES), st.booleans())
@settings(max_examples=100)
def test_any_value_anywhere(place: Path, line: str, value: str, is_default: bool) -> None:
    changed = re.sub(r"^#?(\w+ *= ).*$", lambda match: match[1] + value, line)
    attempt(place, TEXT.replace(line, changed, 1))


@given(st.data())
@settings(max_examples=60)
def test_any_damage_to_the_text(place: Path, data: Any) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    cut = data.draw(st.integers(0, 60))
    put = data.draw(st.text(max_size=6) | st.sampled_from(VALUES))
    attempt(place, TEXT[:start] + put + TEXT[start + cut :])


@given(st.data())
@settings(max_examples=60)
def test_any_inner_value(place: Path, data: Any) -> None:
    """Values within inline tables and lists, live and commented ones alike."""
    spots = [
        match.span(1) for match in re.finditer(r"= *(\"[^\"\n]*\"|\d[\d.:-]*|true|false|\[[^\]\n]*\])", EVERYTHING)
    ]
    start, end = data.draw(st.sampled_from(spots))
    attempt(place, EVERYTHING[:start] + data.draw(st.sampled_from(VALUES)) + EVERYTHING[end:])


def test_everything_that_is_shown_at_once(place: Path) -> None:
    attempt(place, EVERYTHING)


@pytest.mark.parametrize(
    "section", ["agent", "calendar", "source", "mail", "dimension", "kpi", "scorecard", "customers"]
)
@pytest.mark.parametrize("value", VALUES)
def test_any_value_as_a_whole_section(place: Path, section: str, value: str) -> None:
    attempt(place, f"{section} = {value}\n")
    attempt(place, f"[{section}]\nx = {value}\n")
    attempt(place, f'[{section}.x]\ntype = "files"\nof = "tickets"\nkpis = ["x"]\nparams = {value}\ntable = {value}\n')
