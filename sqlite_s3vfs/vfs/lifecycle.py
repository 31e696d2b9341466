"""Fork, interpreter exit, and the lives of VFS objects.

* **A VFS object lives as long as the process.** SQLite keeps a pointer to it for every database that
  was opened through it; one that is reached by ``ATTACH`` alone and then collected as garbage would
  leave that pointer dangling. ``S3VFS.close`` frees what it holds.
* **Fork.** A child has a copy of every open handle and none of the parent's threads. Those handles are
  dead, so that two processes never take themselves for the same writer; connections opened in the
  child work, with locks, threads and sockets of their own.
* **Exit.** SQLite neither unlocks nor closes what is still open; nothing of that was published, so
  there is nothing to undo. Background work is waited for.
"""

from __future__ import annotations

import atexit
import os
from typing import Protocol

from sqlite_s3vfs.transaction.locks import forget_all


class Living(Protocol):
    """What hears of forks and of the end."""

    def after_fork(self) -> None:
        """In a forked child: the parent's handles, locks, threads and sockets are not ours."""

    def at_exit(self) -> None:
        """The interpreter ends; handles may still be open, and may still be used."""


_kept: list[tuple[object, Living]] = []


def keep_for_ever(vfs: object, living: Living) -> None:
    """Hold on to ``vfs`` until the process ends, and tell ``living`` what happens to the process."""
    _kept.append((vfs, living))


def _after_fork() -> None:
    forget_all()
    for _, living in _kept:
        living.after_fork()


def _at_exit() -> None:
    for _, living in _kept:
        living.at_exit()


if hasattr(os, "register_at_fork"):     # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
