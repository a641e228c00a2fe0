"""A call that ends in time, whatever it waits for."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How long after being interrupted a call may take to come back.
_GRACE_S = 3.0


class TookTooLong(Exception):
    """The call did not end within its time."""


def bounded(work: Callable[[], T], *, limit_s: float, interrupt: Callable[[], None]) -> T:
    """What `work` returns or raises, done in a thread of its own; it is interrupted when its time is over.

    Raises TookTooLong then.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)

    # A daemon thread: one that cannot be interrupted must not keep the process from ending.
    thread = threading.Thread(target=run, name="bounded", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        interrupt()
        thread.join(_GRACE_S)
        raise TookTooLong
    if errors:
        raise errors[0]
    return results[0]
