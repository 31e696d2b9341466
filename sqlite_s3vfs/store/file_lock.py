"""A lock between processes and threads, on a file: released when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[int] = set()
"""Descriptors that hold a lock now. A forked child gets copies, and with them a share of the lock."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file ``path``, which is created; wait for it as long as it takes.

    The file is opened anew each time, because a lock belongs to the opened file
    (https://man7.org/linux/man-pages/man2/flock.2.html): so threads exclude one another too.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        _lock(descriptor)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            except OSError:  # not free within ten seconds
                continue
            return

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

    def try_lock(descriptor: int) -> bool:
        """Nothing to do: a file that somebody has opened is neither moved nor deleted here."""
        return True

else:
    import fcntl

    _NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def try_lock(descriptor: int) -> bool:
        """Lock the opened file until it is closed, or the process ends; False where it is locked.

        True, too, on file systems that know no locks: nobody could use one there.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        return True

    def _drop_copies() -> None:
        """In a forked child: locks of the parent's other threads must not outlive the parent."""
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_drop_copies)
