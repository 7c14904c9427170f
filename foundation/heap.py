"""Memory of a process: what the C library keeps of it, and when Python looks for cycles.

Freed memory is kept for the next array, not given back at once. By default glibc has a heap for
each thread, and gives large blocks back to the system when they are freed. Arrays of the same sizes
follow each other, layer after layer, in threads that come and go: the system has to clear the same
pages again each time.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SETTINGS = (
    (-8, 1),  # M_ARENA_MAX: one heap for all threads, whose arrays follow each other
    (-3, 64 * 1024**2),  # M_MMAP_THRESHOLD: what is smaller comes from the heap
    (-1, 256 * 1024**2),  # M_TRIM_THRESHOLD: free bytes at the heap's end that are kept
)
"""Parameters of ``mallopt`` by their numbers in glibc's malloc.h, with values."""

_VARIABLES = (
    "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES",
)  # fmt: skip
"""Environment variables with which the user chooses these."""


def keep_freed_memory() -> bool:
    """Let freed memory be taken again without asking the system, in a process that is ours alone.

    Returns:
        Whether it was set: not where the C library is another one, or the user chose.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _VARIABLES):
        return False
    import ctypes

    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is None:  # musl has no such function
        return False
    set_well = [choose(parameter, value) == 1 for parameter, value in _SETTINGS]
    return all(set_well)


@contextmanager
def without_collections() -> Iterator[None]:
    """Leave Python's search for cycles out of a block that makes many objects and drops few.

    While TensorFlow is imported and a model is loaded, it takes an eighth of the time and finds
    nothing.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
