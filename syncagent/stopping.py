"""Being told to stop: an event that signal handlers may set, and that ends the waits of everything under way."""

import signal
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

_NAP_S = 0.1
_is_told = False


class ToldToStop(KeyboardInterrupt):
    """A class of our own: after a bare KeyboardInterrupt within exec (as named tuples are made while modules load)
    Python ends the process by SIGINT, whatever exit code it was given.
    """


def heed_signals() -> None:
    """From now on a command that is told to end says so and exits with its code, also while it is still loading."""

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_here())


def stop_here() -> NoReturn:
    """In a signal handler: end what this thread is doing. Raises ToldToStop."""
    global _is_told
    _is_told = True
    raise ToldToStop


def was_told_to_stop() -> bool:
    """Whether `stop_here` was called since this was last asked.

    What it raises does not always arrive: packages written in other languages make an error of their own of it, and
    some drop it.
    """
    global _is_told
    told, _is_told = _is_told, False
    return told


def stopped_line(arguments: Sequence[str]) -> str:
    """What is said of a command that ends before its work is done."""
    return "stopped; the next sync goes on from there" if "sync" in arguments else "stopped"


class StopEvent(threading.Event):
    """Set from a signal handler or another thread. A child is set with its parent, but not the other way round.

    threading's own event takes a lock to be set: a handler that interrupts a wait on it would wait for itself.
    """

    def __init__(self, parent: "StopEvent | None" = None) -> None:
        super().__init__()
        self._parent = parent
        self._told = False

    def child(self) -> "StopEvent":
        """For one piece of work that may end on its own (a connector that is closed sets its event)."""
        return StopEvent(self)

    def set(self) -> None:
        self._told = True

    def clear(self) -> None:
        self._told = False

    def is_set(self) -> bool:
        return self._told or (self._parent is not None and self._parent.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _NAP_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(left, _NAP_S))
        return self.is_set()
