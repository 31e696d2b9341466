"""SQLite's write lock among the connections of one process to one database.

Threads then queue on ``busy_timeout`` as they do on a file, and only processes meet at the manifest's
put. Safety does not depend on it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

# Re-entrant: garbage collection may close a connection, and so unlock, while this thread holds it.
_holders_lock = threading.RLock()
_holders: dict[Hashable, object] = {}


def try_lock(database: Hashable, holder: object) -> bool:
    """Take the write lock of a database, unless another holder has it."""
    with _holders_lock:
        return _holders.setdefault(database, holder) is holder


def unlock(database: Hashable, holder: object) -> None:
    """Give the write lock back; nothing happens where ``holder`` does not have it."""
    with _holders_lock:
        if _holders.get(database) is holder:
            del _holders[database]


def forget_all() -> None:
    """In a forked child: the holders are the parent's."""
    global _holders_lock
    _holders_lock = threading.RLock()
    _holders.clear()
