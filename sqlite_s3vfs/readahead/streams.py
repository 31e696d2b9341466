"""What a scan will need next, and how far ahead of it to fetch.

* **Waste is bounded by use.** What is fetched in advance and not used yet is at most twice what was
  used before, beside a small start.
* **Depth follows the need.** Beyond a few MiB it grows only while SQLite waits for what was fetched in
  advance: so it adapts to latency and bandwidth without measuring either.
* **Few large requests.** What comes next is handed out in batches, once the distance has room for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlite_s3vfs.readahead.view import View

_SKIPS_MAX = 256
"""Blocks passed over in one go because they are in memory already."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How far a kind of scan is read ahead; all but ``growth`` in blocks.

    ``first`` is fetched at the start, at most ``growth`` times what was used later, up to
    ``enough`` where SQLite does not wait and up to ``most`` where it does, in batches of ``batch``.
    """

    first: int
    growth: int
    enough: int
    most: int
    batch: int


class Stream:
    """One scan: the blocks still to come, and those fetched in advance."""

    def __init__(self, blocks: Iterator[int], depth: Depth, *, used: int = 0) -> None:
        self._blocks = blocks
        self._depth = depth
        self._enough = depth.enough
        self._issued: dict[int, None] = {}
        self.used = used

    def __contains__(self, block: int) -> bool:
        return block in self._issued

    def start(self, view: View) -> list[int]:
        """What to fetch at once."""
        return self._next(self._target(), view)

    def follow(self, block: int, view: View, *, waited: bool) -> list[int]:
        """SQLite has come to ``block``, which was issued, and ``waited`` for it: what to fetch now."""
        passed = -1
        while passed != block:
            passed = next(iter(self._issued))
            del self._issued[passed]
            self.used += 1
        if waited and self.used >= self._enough:
            self._enough = min(2 * self._enough, self._depth.most)
        target = self._target()
        room = target - len(self._issued)
        return self._next(room, view) if room >= min(self._depth.batch, max(1, target // 4)) else []

    def _target(self) -> int:
        """How many blocks may be fetched and not used yet."""
        return min(max(self._depth.first, self._depth.growth * self.used), self._enough)

    def _next(self, count: int, view: View) -> list[int]:
        found: list[int] = []
        skips = 0
        while len(found) < count and skips < _SKIPS_MAX:
            block = next(self._blocks, None)
            if block is None:
                break
            if block in self._issued or view.is_near(block):
                skips += 1
                continue
            self._issued[block] = None
            found.append(block)
        return found
