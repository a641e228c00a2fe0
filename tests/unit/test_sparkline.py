"""Sparklines: gaps, goals, odd series, the same bytes every time, an ink that is seen on every ground."""

import struct

import pytest

from scorecards.render import _environment
from scorecards.render.sparkline import HEIGHT, INK, POINTS, WIDTH, blocks, drawing, png, trend

Series = list[float | None]


def picture(values: Series, goals: tuple[float, ...] = ()) -> bytes:
    return png(_environment().get_template("sparkline.svg.j2").render(d=drawing(values, goals)))


@pytest.mark.parametrize(
    "values",
    [[], [None], [None] * 13, [5.0], [5.0] * 13, [1.0, None, 3.0], [None, 1.0, 2.0], [1e12, -1e-9], [1.0] * 40],
)  # fmt: skip
def test_any_series_is_drawn_at_twice_its_size_in_under_4_kb(values: Series) -> None:
    image = picture(values, (2.0,))
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", image[16:24]) == (WIDTH * 2, HEIGHT * 2)
    assert len(image) < 4096


def test_the_same_series_gives_the_same_bytes() -> None:
    values: Series = [1.0, 3.0, None, 2.0]
    first = picture(values, (2.5,))
    png.cache_clear()
    assert picture(values, (2.5,)) == first


def test_a_gap_stays_a_gap_and_the_dot_sits_on_the_last_known_point() -> None:
    found = drawing([1.0, 2.0, None, 4.0, None, 3.0, 5.0, None])
    assert len(found.lines) == 2
    assert len(found.dots) == 1
    assert found.last is not None
    assert float(found.last[0]) < WIDTH - 10


def test_the_goal_lies_within_the_picture_even_outside_the_values() -> None:
    found = drawing([1.0, 2.0], (10.0, -4.0))
    assert [0 < float(y) < HEIGHT for y in found.rules] == [True, True]


def test_only_the_last_points_are_drawn() -> None:
    found = drawing([float(i) for i in range(40)])
    assert len(found.lines[0].split()) == POINTS


def test_the_picture_has_no_text_and_no_remote_part() -> None:
    svg = _environment().get_template("sparkline.svg.j2").render(d=drawing([1.0, 2.0], (1.5,)))
    assert "<text" not in svg
    assert svg.count("http") == 1  # the namespace


def test_blocks_show_gaps_and_flat_lines() -> None:
    assert blocks([1.0, None, 8.0]) == "▁·█"
    assert blocks([3.0, 3.0]) == "▄▄"
    assert blocks([None, None]) == ""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([1.0, 2.0], "rising"),
        ([2.0, None, 1.0], "falling"),
        ([100.0, 5.0, 101.0], "level"),
        ([None], "none"),
        ([4.0], "level"),
    ],
)
def test_the_trend_is_from_the_first_to_the_last_known_point(values: Series, word: str) -> None:
    assert trend(values) == word


@pytest.mark.parametrize(
    "ground", ["#ffffff", "#f6f7f9", "#17191e", "#121212", "#1f1f1f", "#292929", "#333333", "#000000"]
)
def test_the_ink_is_seen_on_every_ground(ground: str) -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(INK), light(ground)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3
