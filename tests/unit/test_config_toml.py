"""The scanner of positions agrees with tomllib on what a file holds."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.config.toml import KeyPath, find_positions

ROOT = Path(__file__).parents[2]

TRICKY = {
    "dotted keys": 'a.b.c = 1\na.b.d = 2\n"x y".z = 3\n',
    "quoted keys": "\"a.b\" = 1\n'c d' = 2\n[\"e\\u0041\".'f']\ng = 1\n",
    "arrays of tables": "[[a]]\nx = 1\n[[a.b]]\ny = 1\n[[a.b]]\ny = 2\n[[a]]\n[[a.b]]\ny = 3\n[a.c]\nz = 1\n",
    "sub-table before its parent": "[a.b.c]\nx = 1\n[a]\ny = 2\n[a.b]\nz = 3\n",
    "inline tables": 'a = { b = { c = [1, 2] }, "d" = { e.f = 1 } }\n',
    "lists over lines": "a = [\n  1, # one ]\n  [2,\n 3],\n  { x = 1 },\n]\nb = []\nc = {}\n",
    "long texts": 'a = """\n[not.a.table]\nb = 1\\\n"" """\nc = \'\'\'\n# no \'\' comment\n\'\'\'\nd = """x"""""\n',
    "texts with signs": 'a = "# no comment ] } , ="\nb = \'C:\\path\'\nc = "\\"" # "x\n',
    "values": "a = 09:00:00\nb = 1979-05-27 07:32:00Z\nc = -1_000.5e3\nd = inf\ne = 0xff\nf = true\n",
    "line ends of Windows": '[a]\r\nb = """x\r\ny"""\r\nc = 1\r\n',
    "no line end": "[a]\nb = 1",
    "comments and blanks": "\n\n# x\n  [ a . b ] # y\n\t c = 1 # z\n",
}


def paths_of(tree: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key, table and list item of what tomllib read."""
    if path:
        yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths_of(value, (*path, key))


@pytest.mark.parametrize("text", TRICKY.values(), ids=TRICKY)
def test_every_place_is_found(text: str) -> None:
    assert set(find_positions(text).lines) == set(paths_of(tomllib.loads(text)))


def test_lines_are_those_people_count() -> None:
    text = '# c\n[a]\nb = [\n  1,\n  2,\n]\nc = """\n\n"""\nd.e = 1\n\n[[f]]\ng = 1\n[[f]]\ng = { h = 2 }\n[i.j]\n[i]\n'
    lines = find_positions(text).lines
    expected = {
        ("a",): 2, ("a", "b"): 3, ("a", "b", 0): 4, ("a", "b", 1): 5, ("a", "c"): 7, ("a", "d"): 10,
        ("a", "d", "e"): 10, ("f",): 12, ("f", 0): 12, ("f", 0, "g"): 13, ("f", 1): 14, ("f", 1, "g"): 15,
        ("f", 1, "g", "h"): 15, ("i", "j"): 16, ("i",): 17,
    }  # fmt: skip
    assert dict(lines) == expected


def test_the_nearest_place_stands_for_what_is_not_there() -> None:
    positions = find_positions("x = 1\n[a]\nb = 1\n")
    assert [positions.line_of(("a", "c", 5)), positions.line_of(("nowhere",)), positions.line_of(())] == [2, 1, 1]


def test_what_is_written_twice_is_named_with_both_lines() -> None:
    positions = find_positions("[a]\nx = 1\nx = 2\n[a]\n[[b]]\n[[b]]\n")
    assert dict(positions.repeated) == {("a", "x"): (2, 3), ("a",): (1, 4)}


def test_a_fault_leaves_the_positions_before_it() -> None:
    assert find_positions('[a]\nb = 1\nc = "x\nd = 1\n').lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3}


def test_deep_nesting_is_survived() -> None:
    assert ("a",) in find_positions("a = " + "[" * 100_000).lines


keys = st.text("abAB01_- .\"'é\\\n", min_size=1, max_size=4)
scalars = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text("ab#]}\"'\n\\, =[", max_size=8), st.dates(), st.floats(allow_nan=False)
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12,
)


def quoted(text: str) -> str:
    body = "".join(f"\\u{ord(char):04x}" if char in '"\\\n' else char for char in text)
    return f'"{body}"'


def inline(value: Any, gap: str) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {inline(item, '')}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return f"[{gap}" + f",{gap}".join(inline(item, gap) for item in value) + f"{gap}]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else str(value)


def written(tree: dict[str, Any], gap: str, path: tuple[str, ...] = ()) -> Iterator[str]:
    """A TOML text of a tree: tables as headers where they can be, the rest in line."""
    tables = {key: value for key, value in tree.items() if isinstance(value, dict)}
    lists = {
        key: value
        for key, value in tree.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    }
    for key, value in tree.items():
        if key not in tables and key not in lists:
            yield f"{quoted(key)} = {inline(value, gap)} # x"
    for key, table in tables.items():
        yield f"[{'.'.join(quoted(step) for step in (*path, key))}]"
        yield from written(table, gap, (*path, key))
    for key, items in lists.items():
        for item in items:
            yield f"[[{'.'.join(quoted(step) for step in (*path, key))}]]"
            yield from written(item, gap, (*path, key))


@given(st.dictionaries(keys, trees, max_size=4), st.sampled_from(["", " ", "\n", "\n# x ]\n"]))
@settings(max_examples=100)
def test_any_tree_is_found_again(tree: dict[str, Any], gap: str) -> None:
    text = "\n".join(written(tree, gap))
    positions = find_positions(text)
    assert set(positions.lines) == set(paths_of(tomllib.loads(text)))
    lines = text.split("\n")
    for path, line in positions.lines.items():
        if isinstance(path[-1], str):
            assert quoted(path[-1]) in lines[line - 1]


@given(st.data())
@settings(max_examples=100)
def test_no_text_makes_it_fail(data: st.DataObject) -> None:
    text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(st.text("[]{}=\"'#\n\\ux.,a1", max_size=6))
    find_positions(text[:start] + put + text[start + cut :])
