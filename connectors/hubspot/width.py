"""How many workers are worth while: as many as the wire keeps waiting, no more than the interpreter can serve."""

import time
from collections.abc import Callable

#: Of one core, all workers together. Where they are busier than `_BUSY`, the wire is no longer what is waited for: one
#: more would only fight with the others and with the writer for the interpreter. Below `_IDLE` all may begin at once.
_IDLE, _BUSY, _CROWDED = 0.1, 0.35, 0.5
_LOOK_S = 0.1


class Width:
    """`worked_s`: the processor's seconds all workers have used so far; `most`: never more than so many."""

    def __init__(
        self, worked_s: Callable[[], float], most: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worked_s = worked_s
        self._most = most
        self._clock = clock
        self._at, self._worked = clock(), worked_s()
        self._width = 1

    def now(self) -> int:
        """From 1 to `most`; looked at anew ten times a second at most."""
        at = self._clock()
        if at - self._at >= _LOOK_S:
            worked = self._worked_s()
            busy = (worked - self._worked) / (at - self._at)
            self._at, self._worked = at, worked
            if busy < _IDLE:
                self._width = self._most
            elif busy < _BUSY:
                self._width = min(self._width + 1, self._most)
            elif busy > _CROWDED:
                self._width = max(self._width - 1, 1)
        return self._width
