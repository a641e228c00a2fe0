"""A KPI's recent points as a small line: PNG for the mail, block characters for its text, words for its alt text.

Drawn from an SVG template by resvg. No text is inside: without fonts resvg silently draws none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

POINTS = 13
WIDTH, HEIGHT = 104, 32  # CSS pixels; the PNG has twice as many each way
INK = "#6f73f3"  # at least 3:1 on every ground a client may put behind the transparent picture
_LEFT, _RIGHT, _TOP, _BOTTOM = 3.0, 4.5, 4.0, 4.0  # room for the line's and the dot's own width
_BLOCKS = "▁▂▃▄▅▆▇█"
_GAP = "·"
_LEVEL_SHARE = 0.02  # a change below this share of the larger end is "level"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the SVG template draws, in its coordinates."""

    width: int
    height: int
    ink: str
    lines: tuple[str, ...]  # "x,y x,y ..." of each unbroken run of two or more points
    dots: tuple[tuple[str, str], ...]  # single points between gaps
    last: tuple[str, str] | None
    rules: tuple[str, ...]  # y of each goal


def drawing(values: Sequence[float | None], goals: Sequence[float] = ()) -> Drawing:
    """Where the line goes. A gap breaks it and the dot sits on the last known point; goals lie within the range."""
    shown = list(values)[-POINTS:]
    known = [v for v in shown if v is not None]
    everything = [*known, *goals]
    low, high = (min(everything), max(everything)) if everything else (0.0, 0.0)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(shown) - 1, 1)

    def y(value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM):.2f}"

    def x(index: int) -> str:
        return f"{_LEFT + index * step:.2f}" if len(shown) > 1 else f"{WIDTH - _RIGHT:.2f}"

    runs: list[list[tuple[str, str]]] = [[]]
    for index, value in enumerate(shown):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x(index), y(value)))
    runs = [run for run in runs if run]
    return Drawing(
        width=WIDTH,
        height=HEIGHT,
        ink=INK,
        lines=tuple(" ".join(f"{a},{b}" for a, b in run) for run in runs if len(run) > 1),
        dots=tuple(run[0] for run in runs if len(run) == 1),
        last=runs[-1][-1] if runs else None,
        rules=tuple(y(goal) for goal in goals),
    )


@lru_cache(maxsize=512)
def png(svg: str) -> bytes:
    """The SVG as a PNG of twice its size; the same bytes for the same picture, and drawn once for all recipients."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=2, skip_system_fonts=True))


def blocks(values: Sequence[float | None]) -> str:
    """The points as block characters, a middle dot for each gap: "▂▃·▅█"."""
    shown = list(values)[-POINTS:]
    known = [v for v in shown if v is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high - low

    def block(value: float | None) -> str:
        if value is None:
            return _GAP
        return _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] if span else _BLOCKS[3]

    return "".join(block(v) for v in shown)


def trend(values: Sequence[float | None]) -> str:
    """ "rising", "falling" or "level" from the first to the last known point; "none" without one."""
    known = [v for v in list(values)[-POINTS:] if v is not None]
    if not known:
        return "none"
    first, last = known[0], known[-1]
    if abs(last - first) <= _LEVEL_SHARE * max(abs(first), abs(last)):
        return "level"
    return "rising" if last > first else "falling"
