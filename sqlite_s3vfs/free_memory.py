"""Memory that is free, but that the C library keeps.

glibc gives each thread an arena of its own, and keeps in each what was freed there, some MiB, for the
same thread (https://www.gnu.org/software/libc/manual/html_node/The-GNU-Allocator.html). The blocks that
sixteen threads read and encode in turn so come to a hundred MiB that nobody uses.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


class Churn:
    """Gives memory back after each so many bytes that were made and let go again.

    Threads may count at once: a few bytes that are lost by that do not matter.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0

    def count(self, size: int) -> None:
        """So many bytes more were made."""
        self._bytes += size
        if self._bytes >= self._bytes_max:
            self._bytes = 0
            give_back()


def give_back() -> None:
    """Return free memory to the system, where the C library is glibc; some milliseconds.

    Only pages without anything in them: nothing is moved, and other threads go on.
    https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
