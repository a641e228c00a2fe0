"""Seconds of wall and CPU time, and the peak of memory, of one piece of work."""

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Measured:
    """What a piece of work took.

    `cpu_s` is this process alone, without the measuring; `peak_mb` its memory, `grown_mb` above the start.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    grown_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Measured]:
    """Measure the block."""
    found = Measured()
    done = threading.Event()
    start_mb = _resident_mb()
    peaks = [start_mb]
    own_s = 0.0

    def watch() -> None:
        nonlocal own_s
        while not done.wait(0.01):
            peaks.append(_resident_mb())
        own_s = time.thread_time()

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found.wall_s, spent_s = time.perf_counter() - wall, time.process_time() - cpu
        done.set()
        watcher.join()
        found.cpu_s = spent_s - own_s
        found.peak_mb = max(*peaks, _resident_mb())
        found.grown_mb = found.peak_mb - start_mb


def _resident_mb() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
