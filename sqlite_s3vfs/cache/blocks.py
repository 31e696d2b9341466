"""The blocks in memory: one copy for all connections of a VFS, bounded in bytes.

* **Finding a block takes no lock.** It is asked for at every change of block, by every connection: a
  dictionary is safe to read while another thread changes it.
* **Nothing is ever stale.** A key names a place that is written once.
* **A scan does not push out what is used.** A block goes when it is the oldest and was not asked for
  a second time since it was last considered ("second chance"); a scan asks for each block once.
* **What came in advance waits to be used,** where a slow scan goes along with a fast one that fills the
  cache over and over: it has ``FRESH_CHANCES``, while that is half of the cache at most.
* **What was replaced goes first.** Only readers of older versions may still want it; a writer that
  changes many blocks would otherwise push out those that it needs next.
* **The bound is that of the memory taken.** What stays for its second chance is copied out of its slab
  (or what else it shares with those that came with it), so that of all slabs only those at the end of
  the line are there in part.
* **What was fetched in advance is told apart** (``fresh``) until somebody asks for it, so that
  predictions can be followed and those that were of no use be counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable

FRESH_CHANCES = 4
"""How often the whole cache may be filled anew before a block that came in advance is given up."""

Content = bytes | memoryview
"""A view is one into memory that is shared with the blocks that came with it: a slab, for one."""


class CachedBlock:
    """The content of one block."""

    __slots__ = ("chances", "content", "fresh", "used")

    def __init__(self, content: Content, *, fresh: bool) -> None:
        self.content = content
        self.fresh = fresh
        self.used = False
        self.chances = FRESH_CHANCES if fresh else 0

    def stays(self, *, may_wait: bool) -> bool:
        """Whether it gets another chance, now that it is the oldest."""
        waits = may_wait and self.fresh and self.chances > 0
        if not self.used and not waits:
            return False
        self.used = False
        if waits:
            self.chances -= 1                       # as the rest of its slab does
        else:
            self.content = bytes(self.content)      # without the rest of its slab
        return True


class BlockCache:
    """Blocks by key, up to ``capacity`` bytes of content; safe to share between threads."""

    def __init__(self, capacity: int, *, on_unused: Callable[[int], None] | None = None) -> None:
        """``on_unused`` is told the bytes of each block that goes without ever having been asked for."""
        self.capacity = capacity
        self._on_unused = on_unused
        self._weight = 0
        self._fresh_weight = 0
        self._entries_lock = threading.RLock()
        self._entries: dict[Hashable, CachedBlock] = {}
        self._retired: dict[Hashable, None] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> CachedBlock | None:
        """The block; None where it is not kept. Whoever uses a ``fresh`` one says so (``use``)."""
        found = self._entries.get(key)
        if found is not None and not found.fresh:
            found.used = True
        return found

    def peek(self, key: Hashable) -> CachedBlock | None:
        """The same, without this counting as a use."""
        return self._entries.get(key)

    def put(self, key: Hashable, content: Content, *, fresh: bool = False) -> None:
        """Keep a block, at the cost of others."""
        self.put_all([(key, content)], fresh=fresh)

    def put_all(self, blocks: Iterable[tuple[Hashable, Content]], *, fresh: bool) -> None:
        """Keep blocks side by side: those of one slab then leave one after the other."""
        unused = 0
        with self._entries_lock:
            for key, content in blocks:
                if len(content) > self.capacity:
                    continue
                old, is_fresh = self._entries.pop(key, None), fresh
                if old is not None:
                    self._weight -= len(old.content)
                    is_fresh = self._no_more_fresh(old) and fresh
                self._entries[key] = CachedBlock(content, fresh=is_fresh)
                self._weight += len(content)
                self._fresh_weight += len(content) if is_fresh else 0
                unused += self._make_room()
        if unused and self._on_unused:
            self._on_unused(unused)

    def use(self, cached: CachedBlock) -> bool:
        """Somebody has asked for a block: whether it was the first time since it came in advance."""
        if not cached.fresh:
            return False
        with self._entries_lock:
            return self._no_more_fresh(cached)

    def give_up(self, key: Hashable) -> None:
        """Nobody waits for a block any more that may have come in advance."""
        cached = self._entries.get(key)
        if cached is not None and self.use(cached) and self._on_unused:
            self._on_unused(len(cached.content))

    def retire(self, keys: Iterable[Hashable]) -> None:
        """These blocks are the first to go."""
        with self._entries_lock:
            self._retired.update((key, None) for key in keys if key in self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._entries_lock:
            self._entries.clear()
            self._retired.clear()
            self._weight = self._fresh_weight = 0

    @property
    def weight(self) -> int:
        """Bytes of what is kept."""
        return self._weight

    @property
    def fresh_weight(self) -> int:
        """Bytes among them that came in advance and were not asked for yet."""
        return self._fresh_weight

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held the lock at the fork."""
        self._entries_lock = threading.RLock()
        self._entries, self._retired = dict(self._entries), dict(self._retired)
        entries = self._entries.values()
        self._weight = sum(len(entry.content) for entry in entries)
        self._fresh_weight = sum(len(entry.content) for entry in entries if entry.fresh)

    def _no_more_fresh(self, cached: CachedBlock) -> bool:
        """Whether it was fresh until now."""
        if not cached.fresh:
            return False
        cached.fresh = False
        self._fresh_weight -= len(cached.content)
        return True

    def _make_room(self) -> int:
        """Let the oldest go until what is left fits; the bytes among them that were of no use."""
        unused = 0
        while self._weight > self.capacity:
            key = next(iter(self._retired), None)
            if key is None:
                key = next(iter(self._entries))
                if self._entries[key].stays(may_wait=2 * self._fresh_weight <= self.capacity):
                    self._entries[key] = self._entries.pop(key)
                    continue
            self._retired.pop(key, None)
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._weight -= len(entry.content)
                unused += len(entry.content) if self._no_more_fresh(entry) else 0
        return unused
