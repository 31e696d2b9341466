"""Fork, interpreter exit, and the lives of VFS objects.

* **A VFS object lives as long as anybody refers to it or has a file open through it.** SQLite keeps a
  pointer to it for every open database, and APSW a reference for a connection's main database only;
  so each ``MainFile`` refers to the VFS, too, and one that is reached by ``ATTACH`` alone stays. To
  keep them for ever would keep the caller's boto3 session with each of them, 13 MiB.
* **Fork.** A child has a copy of every open handle and none of the parent's threads. Those handles are
  dead, so that two processes never take themselves for the same writer; connections opened in the
  child work, with locks, threads and sockets of their own.
* **Exit.** SQLite neither unlocks nor closes what is still open; nothing of that was published, so
  there is nothing to undo. Background work is waited for.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from contextlib import ExitStack
from typing import Protocol
from weakref import WeakSet

from sqlite_s3vfs.transaction.locks import forget_all


class Living(Protocol):
    """What hears of forks and of the end."""

    def after_fork(self) -> None:
        """In a forked child: the parent's handles, locks, threads and sockets are not ours."""

    def at_exit(self) -> None:
        """The interpreter ends; handles may still be open, and may still be used."""


_living: WeakSet[Living] = WeakSet()
_just_made: deque[object] = deque(maxlen=8)
"""So that ``apsw.Connection(key_prefix, vfs=S3VFS(bucket).name)`` finds its VFS."""


def watch_process(vfs: object, living: Living) -> None:
    """Tell ``living``, as long as it lives, what happens to the process; keep ``vfs`` for a moment."""
    _living.add(living)
    _just_made.append(vfs)


def _after_fork() -> None:
    forget_all()
    for living in list(_living):
        living.after_fork()


def _at_exit() -> None:
    with ExitStack() as each:           # whatever one raises, the others are waited for
        for living in list(_living):
            each.callback(living.at_exit)


if hasattr(os, "register_at_fork"):     # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
