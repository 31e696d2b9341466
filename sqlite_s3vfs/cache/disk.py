"""What was read, kept on a local disk as it was stored: bounded, and shared by processes.

* **Never stale.** A key names bytes that never change; nothing mutable is kept here.
* **Never wrong.** A file holds a hash over its key and its bytes. Whatever does not match (cut short by
  a crash, overwritten, renamed) is as good as absent: it is removed, and fetched and written again.
* **Shared without locks.** A file is written under a name of its own and then renamed: readers see all
  of it or nothing. Two processes that write the same file write the same bytes.
* **Never in the way.** A disk that is full or may not be written to costs a warning, and then requests.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from sqlite_s3vfs.ids import IdSource

_MAGIC = b"S3VFSc\r\n"
_DIGEST_SIZE = 16
_HEAD_SIZE = len(_MAGIC) + _DIGEST_SIZE
_LOOKS = 16
"""A process looks at the whole directory again once it has written this part of the bound."""
_KEPT = 0.9
"""How full the directory is left when the oldest files have gone."""

_log = logging.getLogger(__name__)


class DiskCache:
    """Bytes by key in ``directory``, about ``capacity`` of them; safe to share between threads.

    Each process that uses the directory may exceed the bound by a sixteenth until it looks again.
    """

    def __init__(self, directory: str, capacity: int, ids: IdSource) -> None:
        self._directory = Path(directory)
        self._capacity = capacity
        self._ids = ids
        self._warned = False
        self._room = 0
        self.forget_locks()

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``; None where they are not here, or not as they were written."""
        path = self._path(key)
        try:
            found = path.read_bytes()
        except OSError:
            return None
        body = found[_HEAD_SIZE:]
        if found[:_HEAD_SIZE] != _head(key, body):
            _log.warning("a damaged file of the cache is replaced. path=%s", path)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)              # the oldest go first
        return body

    def put(self, key: str, body: bytes | memoryview) -> None:
        """Keep bytes under ``key``, at the cost of those that were not used for longest."""
        if len(body) + _HEAD_SIZE > self._capacity:
            return
        path = self._path(key)
        draft = path.with_name(f"{path.name}.{self._ids.new_id().hex()}")
        try:
            self._make_room(len(body) + _HEAD_SIZE)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(draft, "wb") as file:
                file.write(_head(key, body))
                file.write(body)
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            self._warn(error)

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held the lock at the fork."""
        self._room_lock = threading.Lock()

    def _path(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=_DIGEST_SIZE).hexdigest()
        return self._directory / name[:2] / name[2:]

    def _make_room(self, size: int) -> None:
        """Remove the oldest files where there is no room: also drafts of processes that died."""
        with self._room_lock:
            self._room -= size
            if self._room >= 0:
                return
            files = sorted(_files(self._directory))
            total = sum(found[1] for found in files)
            for _, found, path in files if total + size > self._capacity else ():
                if total + size <= self._capacity * _KEPT:
                    break
                with suppress(OSError):
                    os.unlink(path)
                total -= found
            self._room = max(0, min(self._capacity // _LOOKS, self._capacity - total) - size)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("the cache directory cannot be written to. path=%s error=%s",
                         self._directory, error)


def _files(directory: Path) -> list[tuple[float, int, str]]:
    """Last use, size and path of all files."""
    found = []
    with suppress(FileNotFoundError), os.scandir(directory) as folders:
        for folder in folders:
            if len(folder.name) != 2 or not folder.is_dir():
                continue                # not ours
            with suppress(FileNotFoundError), os.scandir(folder) as files:
                for file in files:
                    with suppress(FileNotFoundError):
                        status = file.stat()
                        found.append((status.st_mtime, status.st_size, file.path))
    return found


def _head(key: str, body: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(key.encode() + b"\0", digest_size=_DIGEST_SIZE)
    digest.update(body)
    return _MAGIC + digest.digest()
