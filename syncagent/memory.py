"""Keeps the C library from holding on to memory that was freed; knows nothing of what it was for."""

import ctypes
import sys
from functools import cache

# <malloc.h>: parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_ARENAS = 2
_LARGE = 128 * 1024


@cache
def give_back_what_is_freed() -> None:
    """Before the first reader thread; does nothing where the C library is not glibc.

    glibc gives every thread a heap of its own and never takes one back, and after the first page of megabytes is freed
    it keeps all such buffers in the heaps, where small things between them hold them. With two heaps and buffers from
    128 KiB on mapped by themselves, a sync of both CRMs needs a fifth less.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such knob, and no such habit
        return
    for name, value in ((_ARENA_MAX, _ARENAS), (_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE)):
        mallopt(name, value)
