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
