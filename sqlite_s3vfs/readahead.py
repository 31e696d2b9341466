"""Which blocks to fetch together with the one that is wanted. Pure prediction: no I/O.

A block is taken for part of a scan when one of the blocks read shortly before is its neighbour
(interior pages make a scan jump, so "the last one" alone would not do). Each further step of the same
scan doubles what is fetched, up to a bound.
"""

from __future__ import annotations

from collections import deque

_REMEMBERED = 16
_AHEAD_MAX = 1024


class SequentialReadAhead:
    """Watches the blocks that one connection misses in the cache."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=_REMEMBERED)
        self._ahead = 0

    def wanted(self, block: int) -> range:
        """The block that is missing, and those that a scan will need next (ascending or descending)."""
        if block - 1 in self._recent:
            step = 1
        elif block + 1 in self._recent:
            step = -1
        else:
            self._ahead = 0
            self._recent.append(block)
            return range(block, block + 1)
        self._ahead = min(max(1, self._ahead * 2), _AHEAD_MAX)
        stop = block + step * (self._ahead + 1)
        found = range(block, max(stop, -1), step)
        self._recent.append(found[-1])
        return found
