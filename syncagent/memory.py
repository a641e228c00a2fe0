"""How this process keeps and frees memory; knows nothing of what it is for."""

import ctypes
import gc
import sys
from functools import cache

# <malloc.h>: parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_ARENAS = 2
#: Above what the parser takes to read a page of a hundred records: each mapping costs a fault for every 4 KiB of it.
_LARGE = 1024 * 1024
#: Python's own are 700, 10, 10: made for programs that leave cycles behind all the time.
_COLLECT_AFTER = (50_000, 20, 50)


@cache
def give_back_what_is_freed() -> None:
    """Before the first reader thread; does nothing where the C library is not glibc.

    glibc gives every thread a heap of its own and never takes one back, and after the first page of megabytes is freed
    it keeps all such buffers in the heaps, where small things between them hold them. With two heaps and buffers from
    a megabyte on mapped by themselves, what is freed goes back.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such knob, and no such habit
        return
    for name, value in ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)):
        mallopt(name, value)


@cache
def collect_less_often() -> None:
    """Before much is read, once everything is loaded.

    Records are plain dicts and tuples, freed as soon as they are written: the collector of cycles finds nothing among
    them, and looking through them, and through all the packages loaded, was an eighth of a first load's work.
    """
    gc.collect()  # what is garbage now would otherwise be kept for good
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
