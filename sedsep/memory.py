"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Have glibc reuse the memory of large arrays in this process instead of handing it back to the system each time.

    Torch and numpy ask for it anew for every result, and the system's zeroed pages cost more than most arithmetic on
    them: without this, separating a 10 s clip at the paper scale took 1.3 times as long on two cores, and rendering
    scenes is slowed as much. Memory stays at its peak. Without effect where the C library is another.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Hand back what is kept now, so that a peak can be measured."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
