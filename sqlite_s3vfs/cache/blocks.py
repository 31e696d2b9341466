"""The blocks in memory: one copy for all connections of a VFS, bounded in bytes.

* **Finding a block takes no lock.** It is asked for at every change of block, by every connection: a
  dictionary is safe to read while another thread changes it.
* **Nothing is ever stale.** A key names a place that is written once.
* **A scan does not push out what is used.** A block goes when it is the oldest and was not asked for
  a second time since it was last considered ("second chance"); a scan asks for each block once.
* **What was fetched in advance is told apart** (``fresh``) until somebody asks for it, so that
  predictions can be followed and those that were of no use be counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable


class CachedBlock:
    """The content of one block."""

    __slots__ = ("content", "fresh", "used")

    def __init__(self, content: bytes, *, fresh: bool) -> None:
        self.content = content
        self.fresh = fresh
        self.used = False


class BlockCache:
    """Blocks by key, up to ``capacity`` bytes of content; safe to share between threads."""

    def __init__(self, capacity: int, *, on_unused: Callable[[int], None] | None = None) -> None:
        """``on_unused`` is told the bytes of each block that goes without ever having been asked for."""
        self.capacity = capacity
        self._on_unused = on_unused
        self._weight = 0
        self._entries_lock = threading.RLock()
        self._entries: dict[Hashable, CachedBlock] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> CachedBlock | None:
        """The block; None where it is not kept. Whoever uses a ``fresh`` one sets that to False."""
        found = self._entries.get(key)
        if found is not None and not found.fresh:
            found.used = True
        return found

    def peek(self, key: Hashable) -> CachedBlock | None:
        """The same, without this counting as a use."""
        return self._entries.get(key)

    def put(self, key: Hashable, content: bytes, *, fresh: bool = False) -> None:
        """Keep a block, at the cost of others."""
        if len(content) > self.capacity:
            return
        with self._entries_lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._weight -= len(old.content)
            self._entries[key] = CachedBlock(content, fresh=fresh and (old is None or old.fresh))
            self._weight += len(content)
            unused = self._make_room()
        if unused and self._on_unused:
            self._on_unused(unused)

    def clear(self) -> None:
        """Forget everything."""
        with self._entries_lock:
            self._entries.clear()
            self._weight = 0

    @property
    def weight(self) -> int:
        """Bytes of what is kept."""
        return self._weight

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held the lock at the fork."""
        self._entries_lock = threading.RLock()
        self._entries = dict(self._entries)
        self._weight = sum(len(entry.content) for entry in self._entries.values())

    def _make_room(self) -> int:
        """Let the oldest go until what is left fits; the bytes among them that were of no use."""
        unused = 0
        while self._weight > self.capacity:
            key = next(iter(self._entries))
            entry = self._entries.pop(key)
            if entry.used:
                entry.used = False
                self._entries[key] = entry
                continue
            self._weight -= len(entry.content)
            unused += len(entry.content) if entry.fresh else 0
        return unused
