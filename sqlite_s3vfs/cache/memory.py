"""Values kept near: bounded, least recently used first out.

What is cached never changes (segments and map pieces are immutable), so nothing is ever invalidated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Values by key, up to a total weight; safe to share between threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._weight = 0
        self._entries_lock = threading.RLock()
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value, which becomes the most recently used; None where it is not kept."""
        with self._entries_lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keep a value of ``weight``, at the cost of the least recently used ones."""
        if weight > self._capacity:
            return
        with self._entries_lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._weight -= old[1]
            self._entries[key] = (value, weight)
            self._weight += weight
            while self._weight > self._capacity:
                _, (_, freed) = self._entries.popitem(last=False)
                self._weight -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._entries_lock:
            self._entries.clear()
            self._weight = 0

    @property
    def weight(self) -> int:
        """Total weight of what is kept."""
        return self._weight

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held the lock at the fork."""
        self._entries_lock = threading.RLock()
        self._entries = OrderedDict(self._entries)
