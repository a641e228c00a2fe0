"""Counts the calls of one stream, and notes how it was read, where streams share a connector and its threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Tally:
    """Calls made while this tally was the current one, and whether a bulk job was among them.

    Safe to share between threads.
    """

    __slots__ = ("_lock", "calls", "is_bulk")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = 0
        self.is_bulk = False

    def add(self) -> None:
        with self._lock:
            self.calls += 1


_CURRENT: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counted(tally: Tally) -> Iterator[Tally]:
    """Count the calls of this thread, and of what it hands to workers with `carried`, into `tally`."""
    token = _CURRENT.set(tally)
    try:
        yield tally
    finally:
        _CURRENT.reset(token)


def count_call() -> None:
    """One more request was sent."""
    tally = _CURRENT.get()
    if tally is not None:
        tally.add()


def note_bulk() -> None:
    """The rows that come now are those of a bulk job."""
    tally = _CURRENT.get()
    if tally is not None:
        tally.is_bulk = True


def carried(work: Callable[P, T]) -> Callable[P, T]:
    """`work`, to be run in another thread, counted where this thread's calls are counted."""
    context = copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(work, *args, **kwargs)

    return run
