"""What a scan will need next, and how far ahead of it to fetch.

* **Waste is bounded by use.** What is fetched in advance and not used yet is at most twice what was
  used before, beside a small start.
* **Depth follows the need.** Beyond a few MiB it grows only while SQLite waits for what was fetched in
  advance: so it adapts to latency and bandwidth without measuring either.
* **Few large requests.** What comes next is handed out in batches, once the distance has room for one
  or half of it is used, and a batch ends where a stored object does if that is near: the next one then
  begins with another.
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

    def __init__(
        self, blocks: Iterator[int], depth: Depth, *, used: int = 0, guessed: bool = False
    ) -> None:
        """``guessed``: nothing but the first block speaks for it so far."""
        self._blocks = blocks
        self._depth = depth
        self._guessed = guessed
        self._enough = depth.enough
        self._issued: dict[int, None] = {}
        self._held_back: int | None = None
        self.used = used
        self.at = 0
        """When it was followed last, in reads of all streams."""

    def __contains__(self, block: int) -> bool:
        return block in self._issued

    def __iter__(self) -> Iterator[int]:
        return iter(self._issued)

    def is_part_of(self, other: Stream) -> bool:
        """Whether another stream is about to fetch, or has fetched, what comes first in this one."""
        if self._held_back is None:
            self._held_back = next(self._blocks, None)
        return self._held_back is not None and (
            self._held_back in other or self._held_back == other._held_back
        )

    def start(self, view: View) -> list[int]:
        """What to fetch at once: for a guess what one request may bring, and one block otherwise."""
        count = min(self._allowed(1), self._enough)
        return self._next(1 if self._guessed else count, count, view)

    def follow(self, block: int, view: View, *, waited: bool, share: int = 1) -> list[int]:
        """SQLite has come to ``block``, which was issued, and ``waited`` for it: what to fetch now.

        ``share``: so many streams divide the bound among themselves.
        """
        passed = -1
        while passed != block:
            passed = next(iter(self._issued))
            del self._issued[passed]
        self.used += 1
        depth = self._depth
        if waited and self.used >= self._enough:
            self._enough = max(depth.enough, min(2 * self._enough, depth.most - depth.batch))
        target = min(self._allowed(share), self._enough)
        room = target - len(self._issued)
        if room < min(depth.batch, max(1, target // 2)):
            return []
        return self._next(room, self._allowed(share) - len(self._issued), view)

    def _allowed(self, share: int) -> int:
        """How many blocks may be fetched and not used yet, so that waste stays bounded."""
        depth = self._depth
        return max(1, min(max(depth.first, depth.growth * self.used), depth.most // max(1, share)))

    def _next(self, count: int, allowed: int, view: View) -> list[int]:
        """About ``count`` blocks, ending where a stored object does if that is near."""
        most = min(count + self._depth.batch - 1, allowed)
        found: list[int] = []
        skips = 0
        while len(found) < most and skips < _SKIPS_MAX:
            block, self._held_back = self._held_back, None
            if block is None:
                block = next(self._blocks, None)
            if block is None:
                break
            if block in self._issued or view.is_near(block):
                skips += 1
                continue
            if len(found) >= count and not view.is_together(block, found[-1]):
                self._held_back = block
                break
            self._issued[block] = None
            found.append(block)
        return found
