"""Several readers, one writer: scripts run in threads of their own, their writing in the thread that owns the cache.

A script reads at its own pace and hands its writing to its lane; at most AHEAD pieces of it wait there, so that memory
stays flat however slow the disk is. After a failure nothing more of that lane is written: a later page would carry a
later bookmark. Knows nothing of sources, streams or SQL.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Pages of one lane that may wait, or be in writing, while its reader has the next in hand (a page may be megabytes).
AHEAD = 1
#: How soon a stop is noticed while nothing is to be written.
_LOOK_S = 0.1
#: A reader that was told to end and does not is left behind after so long (a call no one can interrupt).
PATIENCE_S = 10.0
#: The same once this process is being ended.
_LAST_S = 2.0

#: Writing: takes the one connection; its result goes back to the reader that asked.
Work = Callable[[sqlite3.Connection], T]


class Cancelled(Exception):
    """Nothing more of this lane is wanted."""


@dataclass(slots=True)
class _Piece:
    """One piece of writing, or (without `work`) the end of a lane."""

    lane: "Lane"
    work: Work[Any] | None
    is_done: threading.Event | None = None
    value: Any = None
    error: Exception | None = None


class Lane:
    """One reader's way to the writer."""

    def __init__(self, inbox: "SimpleQueue[_Piece]") -> None:
        self._inbox = inbox
        self._room = threading.Semaphore(AHEAD)
        self.error: Exception | None = None  # why nothing more of it is written

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody else ended it; what its reader runs into from then on is no fault of the source."""
        return isinstance(self.error, Cancelled)

    def post(self, work: Work[object]) -> None:
        """Have this written, in the order given. Raises what an earlier piece of this lane failed with."""
        self._hand_over(_Piece(self, work))

    def ask(self, work: Work[T]) -> T:
        """The same, and wait for its result."""
        piece = _Piece(self, work, threading.Event())
        self._hand_over(piece)
        assert piece.is_done is not None
        piece.is_done.wait()
        if piece.error is not None:
            raise piece.error
        value: T = piece.value
        return value

    def _hand_over(self, piece: _Piece) -> None:
        self._room.acquire()
        if self.error is not None:
            self._room.release()
            raise self.error
        self._inbox.put(piece)

    def write(self, piece: _Piece, conn: sqlite3.Connection) -> None:
        """In the writer's thread: do it, unless the lane has failed before."""
        try:
            if self.error is None:
                assert piece.work is not None
                piece.value = piece.work(conn)
        except Exception as error:  # goes to the reader, which knows what it means
            self.error = error
        except BaseException:
            self.error = Cancelled()
            raise
        finally:
            piece.error = self.error
            if piece.is_done is not None:
                piece.is_done.set()
            self._room.release()


@dataclass(slots=True)
class Script(Generic[T]):
    """What a reader does: reads its vendor and writes through the lane. Its outcome, or what it raised."""

    name: str
    run: Callable[[Lane], T]
    outcome: T | None = None
    error: Exception | None = None
    lane: Lane | None = None
    began: float = field(default_factory=time.monotonic)


class Crew(Generic[T]):
    """Runs scripts side by side. `interrupt` makes the readers' vendor calls end; `stop` is looked at all the time."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        *,
        interrupt: Callable[[], None],
        stop: threading.Event | None = None,
    ) -> None:
        self._conn = conn
        self._interrupt = interrupt
        self._stop = stop
        self._inbox: SimpleQueue[_Piece] = SimpleQueue()
        self._running: dict[int, tuple[Script[T], threading.Thread]] = {}
        self._cancelled_at: float | None = None

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def work(self, next_script: Callable[[], Script[T] | None], ended: Callable[[Script[T]], None]) -> None:
        """Start what `next_script` gives until it gives nothing and nothing runs; tell `ended` of each, in this thread.

        What happens to this thread itself (a second Ctrl-C) ends the readers and goes on to the caller.
        """
        try:
            while True:
                while not self.is_stopped and (script := next_script()) is not None:
                    self._start(script)
                if not self._running:
                    return
                self._serve(ended)
                if self.is_stopped:
                    self.cancel()
                if self._cancelled_at is not None and time.monotonic() - self._cancelled_at > PATIENCE_S:
                    self._leave_behind(ended)
        except BaseException:
            self.cancel()
            with contextlib.suppress(Exception):
                self._drain(ended)
            raise

    def cancel(self) -> None:
        """Write nothing more of what runs now, and have its readers end."""
        if self._cancelled_at is not None:
            return
        self._cancelled_at = time.monotonic()
        for script, _ in self._running.values():
            if script.lane is not None and script.lane.error is None:
                script.lane.error = Cancelled()
        if self._running:
            self._interrupt()

    def _start(self, script: Script[T]) -> None:
        lane = script.lane = Lane(self._inbox)
        script.began = time.monotonic()

        def run() -> None:
            try:
                script.outcome = script.run(lane)
            except Exception as error:
                script.error = error
            finally:
                self._inbox.put(_Piece(lane, None))

        # A daemon thread: one stuck in a call to a silent server must not keep the process from ending.
        thread = threading.Thread(target=run, name=f"read {script.name}", daemon=True)
        self._running[id(lane)] = (script, thread)
        thread.start()

    def _serve(self, ended: Callable[[Script[T]], None]) -> None:
        """Take one piece, or look up after a moment without any."""
        try:
            piece = self._inbox.get(timeout=_LOOK_S)
        except Empty:
            return
        if piece.work is not None:
            piece.lane.write(piece, self._conn)
        elif id(piece.lane) in self._running:
            script, thread = self._running.pop(id(piece.lane))
            thread.join()
            ended(script)

    def _drain(self, ended: Callable[[Script[T]], None]) -> None:
        """After a failure of this thread: answer the readers until they have ended, for a short while."""
        deadline = time.monotonic() + _LAST_S
        while self._running and time.monotonic() < deadline:
            self._serve(ended)

    def _leave_behind(self, ended: Callable[[Script[T]], None]) -> None:
        for script, _ in [self._running.pop(key) for key in list(self._running)]:
            log.warning("%s: its last call does not end; left behind", script.name, extra={"action": "reader_left"})
            script.error = Cancelled()
            ended(script)


def alongside(
    work: Callable[[], T],
    conn: sqlite3.Connection,
    *,
    name: str,
    interrupt: Callable[[], None],
    stop: threading.Event | None = None,
) -> T:
    """What `work` returns, done in a thread of its own so that a stop ends it at once. Raises Cancelled then."""
    scripts = [Script(name, lambda _lane: work())]
    done: list[Script[T]] = []
    Crew[T](conn, interrupt=interrupt, stop=stop).work(lambda: scripts.pop() if scripts else None, done.append)
    if not done:
        raise Cancelled
    (script,) = done
    if script.error is not None:
        raise Cancelled if script.lane is not None and script.lane.is_cancelled else script.error
    assert script.outcome is not None
    return script.outcome
