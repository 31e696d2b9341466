"""Files that are being written, under names that several processes come to.

Whoever writes to one, moves it or deletes it holds its lock; a lock ends with its process, so that
what is not locked was abandoned. A lock belongs to the opened file, not to the name
(https://man7.org/linux/man-pages/man2/flock.2.html): it counts only while the name still leads there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.store.file_lock import try_lock


@contextmanager
def claimed(path: Path) -> Iterator[BinaryIO]:
    """The file, which is made where it is missing, for appending; locked until the end.

    Raises:
        ConflictError: another process, or thread, is at it.
    """
    while True:
        with path.open("ab") as file:
            if not try_lock(file.fileno()):
                raise ConflictError(
                    "another export of the same version to the same file is under way: wait for it. "
                    f"file={str(path)!r}"
                )
            if _is_at(path, file):
                yield file
                return


def publish(file: BinaryIO, path: Path, target: Path) -> None:
    """Move the claimed file ``path`` to ``target``, which is replaced."""
    _close_on_windows(file)
    path.replace(target)


def remove_abandoned(path: Path) -> None:
    """Delete the file, unless somebody is at it, or it is gone."""
    try:
        with path.open("r+b") as file:
            if try_lock(file.fileno()) and _is_at(path, file):
                _close_on_windows(file)
                path.unlink()
    except FileNotFoundError:
        return


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether nobody moved or deleted the file between its opening and its locking."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _close_on_windows(file: BinaryIO) -> None:
    """What is open cannot be moved or deleted there."""
    if sys.platform == "win32":
        file.close()
