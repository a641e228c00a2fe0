"""Mistakes are said in plain words: what pydantic, tomllib and the models report becomes one sentence and a mend."""

import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from syncagent.config import Problem
from syncagent.config import not_built as config_not_built
from syncagent.config.problems import (
    SENTENCES,
    did_you_mean,
    dotted,
    keys_at,
    own_sentence,
    place_in,
    sentence,
    shown,
    syntax_sentence,
)


def test_a_problem_reads_as_place_what_and_mend() -> None:
    problem = Problem("config.toml", 12, "source.sf.every", '"15x"', "not a duration", "Write a number.")
    assert str(problem) == 'config.toml:12: source.sf.every = "15x": not a duration. Write a number.'


class Inner(BaseModel):
    x: int = 1


class Everything(BaseModel):
    text: str = Field(default="ab", min_length=2, max_length=3, pattern="^a")
    number: int = Field(default=1, ge=0, le=9)
    fraction: float = Field(default=1.0, gt=0, lt=9)
    truth: bool = False
    day: date = date(2026, 1, 1)
    moment: datetime = datetime(2026, 1, 1)
    clock: time = time(9)
    items: tuple[int, ...] = Field(default=(), max_length=2)
    table: dict[str, int] = {}
    inner: Inner = Inner()
    one_of: Literal["red", "green"] = "red"
    either: Inner | Annotated[list[Inner], Field(min_length=1)] = Inner()


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("text", 5, "not a text. Put it in quotes."),
        ("text", "a", "too short. Write at least 2 characters."),
        ("text", "aaaa", "too long. Write at most 3 characters."),
        ("number", "x", "not a whole number. Write digits only, without quotes."),
        ("number", 1.5, "not a whole number. Leave out the fraction."),
        ("number", -1, "too small. It must be 0 or more."),
        ("number", 10, "too large. It must be 9 or less."),
        ("fraction", 0, "too small. It must be more than 0."),
        ("fraction", 9, "too large. It must be less than 9."),
        ("fraction", [], "not a number. Write digits, with a point for the fraction, without quotes."),
        ("truth", "maybe", "neither true nor false. Write true or false, without quotes."),
        ("day", "tomorrow", "not a date of the calendar. Write it like 2026-12-24, without quotes."),
        ("moment", "tomorrow", "not an instant. Write it like 2026-12-24T08:00:00Z, without quotes."),
        ("clock", "noon", "not a time of day. Write it like 09:00:00."),
        ("items", 5, 'not a list. Put it in square brackets, like ["a", "b"].'),
        ("items", [1, 2, 3], "too many. Give at most 2."),
        ("table", [], "not a table. Write it as a table, like { key = value }."),
        ("inner", "x", "not a table. Write it as a table, like { key = value }."),
        ("one_of", "gren", 'not one of red, green. Did you mean "green"?'),
    ],
)
def test_each_kind_of_mistake_has_its_sentence(key: str, value: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({key: value})
    what, mend = sentence(caught.value.errors()[0])
    assert f"{what}. {mend}" == expected


def test_no_sentence_speaks_of_types() -> None:
    said = " ".join(what + mend for what, mend in SENTENCES.values())
    assert not re.search(r"\b(str|int|float|dict|bool|None|pydantic|valid|input)\b", said)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ('"x" is not a day; did you mean "y"?', "x", ("not a day", 'Did you mean "y"?')),
        ("give either value or change", None, ("give either value or change", "")),
        ('not a change. Write "+10%" or a fraction.', "x", ("not a change", 'Write "+10%" or a fraction.')),
        ("x is no name: use another one", None, ("x is no name", "Use another one.")),
        (
            "'5' is not a duration: write one",
            "5",
            ("not a duration", 'Write a number and s, m, h or d, such as "15m".'),
        ),
        ("two\n  lines", None, ("two lines", "")),
    ],
)
def test_a_models_own_sentence_is_split_into_what_and_mend(text: str, value: object, expected: tuple[str, str]) -> None:
    assert own_sentence(text, value) == expected


def test_a_fault_we_have_no_words_for_is_still_said() -> None:
    assert syntax_sentence("Something new (at line 1, column 2)") == (
        "something new",
        "See https://toml.io for how it is written.",
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", '"x"'), ('a"b\n', '"a\\"b\\n"'), ("x" * 99, '"' + "x" * 57 + '..."'), (True, "true"), (1.5, "1.5"),
        (date(2026, 1, 2), "2026-01-02"), ([1, "a", False, 4], '[1, "a", false, ...]'), ({"a": 1}, ""), (None, ""),
        ([{}], ""), ("https://me:secret@host/x", '"https://***@host/x"'),
        pytest.param(10**5000, "a very long number", id="long"),
    ],
)  # fmt: skip
def test_values_as_they_stand_in_the_file(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_paths_as_people_write_them() -> None:
    assert dotted(("source", "a b", "table", 0, "x.y")) == 'source."a b".table[1]."x.y"'


def test_the_nearest_known_name() -> None:
    assert did_you_mean("EVRY", ["every", "never"]) == 'Did you mean "every"?'
    assert did_you_mean("zzz", ["every"]) == ""


def test_branches_of_a_choice_are_no_part_of_a_path() -> None:
    tree = {"either": [{"x": "?"}]}
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate(tree)
    places = {place_in(tree, error["loc"], is_missing=False) for error in caught.value.errors()}
    assert places == {("either",), ("either", 0, "x")}


def test_the_keys_of_an_inner_table() -> None:
    assert keys_at(Everything, ("inner",)) == ["x"]
    assert keys_at(Everything, ("either", 0)) == ["x", "x"]
    assert keys_at(Everything, ("table",)) == []


def test_everything_not_built_is_in_the_corpus() -> None:
    file = Path(__file__).parents[1] / "data" / "config" / "not_built_yet.txt"
    said = re.sub(r"\[\d+\]", ".0", file.read_text(encoding="utf-8"))
    for entry in config_not_built.NOT_BUILT:
        pattern = re.escape(entry.path).replace(r"\*", r"\w+")
        assert re.search(rf": {pattern}( = .*)?: not built yet\. ", said), entry.path
