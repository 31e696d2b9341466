"""Memory for blocks that come together: taken from the system whole, and given back whole.

Blocks are fetched by a dozen threads and let go by others. An allocator with an arena for each thread
(glibc's) then holds about twice what is in use: 64 MiB of blocks took 140. A slab goes back
to the system once nothing refers to any of its blocks: whoever keeps few of them for long copies these.

Blocks that are not compressed are copied here out of the answer they came in, and those of the local
disk; what is unpacked lies in memory of its own already (``format/many_frames.py``).
"""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress

HUGE = 2 << 20
"""From here on pages of 2 MiB are asked for: to be handed 4 KiB at a time took a tenth of a scan
(https://docs.kernel.org/admin-guide/mm/transhuge.html)."""


class Slab:
    """Room for ``size`` bytes."""

    def __init__(self, size: int) -> None:
        self._free = memoryview(_memory(size))

    def add(self, content: bytes | memoryview) -> memoryview:
        """A copy of ``content`` in here, that cannot be written to."""
        place = self._free[: len(content)]
        self._free = self._free[len(content) :]
        place[:] = content
        return place.toreadonly()


def _memory(size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= HUGE and sys.platform == "linux":
        with suppress(OSError):             # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory
