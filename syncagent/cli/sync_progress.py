"""How far a sync is, on a terminal: a line for each stream under way, and what the source is being waited for."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncagent.sync import Progress

#: A time left worked out from less than this is a guess nobody wants.
_SETTLED_S = 2.0
#: The rate is that of so long: a stream that waits for a limit, or for its last page, says so by it.
_LATELY_S = 20.0
#: Waits shorter than this are not worth a word.
_TELL_WAIT_S = 1.0


@dataclass(slots=True)
class Pace:
    """How fast a stream goes, from what it says of itself: `reading 12,000 of 34,000, 950/s, 23 s left`."""

    clock: Callable[[], float] = time.monotonic
    _phase: str = ""
    _seen: deque[tuple[float, int]] = field(default_factory=deque)  # (when, records), the oldest first

    def line(self, state: "Progress") -> str:
        """One line of at most 60 characters: phase, records, rate, time left, shares of the limits."""
        now = self.clock()
        if state.phase != self._phase:
            self._phase, self._seen = state.phase, deque()
        self._seen.append((now, state.read))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _LATELY_S:
            self._seen.popleft()
        took, done = now - self._seen[0][0], state.read - self._seen[0][1]
        rate = done / took if took > 0 else 0.0
        total = total_of(state)
        parts = [f"{state.read:,}" + (f" of {total:,}" if total is not None else "")]
        if rate >= 1:
            parts.append(f"{rate:,.0f}/s")
        if total is not None and rate > 0 and took >= _SETTLED_S and total > state.read:
            parts.append(f"{duration((total - state.read) / rate)} left")
        if state.limit_share is not None:
            parts.append(f"limit {state.limit_share:.0%}")
        if state.daily_share is not None:
            parts.append(f"day {state.daily_share:.0%}")
        return f"{state.phase} {', '.join(parts)}"


def total_of(state: "Progress") -> int | None:
    """How many there are in all; None once that is plainly a part (a stream may read several objects in turn)."""
    return state.total if state.total is not None and state.total >= state.read else None


def duration(seconds: float) -> str:
    """`23 s`, `4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class ProgressLines:
    """One line a stream, as long as it is under way."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[tuple[str, str], Any] = {}
        self._paces: dict[tuple[str, str], Pace] = {}

    def __call__(self, state: "Progress") -> None:
        key = (state.source, state.stream)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(f"{state.source} {state.stream}", total=None, said="")
            self._paces[key] = Pace()
        if state.done:
            self._progress.remove_task(self._tasks.pop(key))
            return
        said = self._paces[key].line(state)
        total = total_of(state)
        total = max(total, 1) if total is not None else None
        self._progress.update(self._tasks[key], completed=state.read, total=total, said=said)

    def wait(self, source: str, seconds: float, why: str) -> None:
        if seconds >= _TELL_WAIT_S:
            self._progress.console.print(f"{source}: waiting {seconds:.0f} s: {why}", style="dim", highlight=False)


@contextmanager
def progress_shown(is_quiet: bool) -> Iterator[Any]:
    """Progress on stderr where that is a terminal; nothing elsewhere."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=8), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress, _log_lines_above():
        yield ProgressLines(progress)


@contextmanager
def _log_lines_above() -> Iterator[None]:
    """Log lines go the way of everything said meanwhile: above the lines of progress, not into them."""
    moved = []
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.__stderr__:
            handler.setStream(sys.stderr)
            moved.append(handler)
    try:
        yield
    finally:
        for handler in moved:
            handler.setStream(sys.__stderr__)
