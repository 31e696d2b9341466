"""Objects in a local directory: for development, and for databases that never leave the machine.

* An object is one file (``filenames`` says which): a header of 48 bytes with its ETag, then its bytes.
* A put writes a file of its own under ``@temporary``, forces it to the disk, and moves it over the old
  one. Readers see the old or the new object whole, whenever the writer is killed; what a killed
  writer leaves under ``@temporary`` is nobody's object, and is removed after an hour.
* Looking at a condition and moving is one step under the lock of the file ``@lock``, which puts and
  deletions of all threads and processes take; it is held for no more than that. Readers take none.
* The directory is made by the first put. A missing one has no objects.

Tried on Linux. File systems must support ``flock`` between all processes that share the directory.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CorruptError,
    InvalidArgumentError,
    S3VFSError,
    StoreUnavailableError,
)
from sqlite_s3vfs.ids import IdSource, RandomIds
from sqlite_s3vfs.store.arguments import (
    check_key,
    check_listing,
    check_put_conditions,
    check_range,
)
from sqlite_s3vfs.store.file_lock import locked
from sqlite_s3vfs.store.filenames import file_names, key_of
from sqlite_s3vfs.store.memory import etag_of
from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, PreconditionFailedError, Stored

_MAGIC = b"s3vfs-object-1 "
_ETAG_SIZE = 32
_HEADER_SIZE = len(_MAGIC) + _ETAG_SIZE + 1

_ABANDONED_SECONDS = 3600
"""A temporary file of this age has no writer any more: writing one takes seconds."""

_MOVE_ATTEMPTS = 200
"""Windows refuses to replace a file while somebody reads it, which takes milliseconds."""

_CANNOT_BE = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True, slots=True)
class _Head:
    etag: str
    size: int
    last_modified: float


class DirectoryObjectStore:
    """The objects in the directory ``path``, for any number of threads and processes of one machine.

    ``path`` need not exist. ``clock`` gives the store's times.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock | None = None, ids: IdSource | None = None
    ) -> None:
        self._root = Path(os.path.realpath(path))
        self._lock_path = self._root / "@lock"
        self._temporary = self._root / "@temporary"
        self._clock = clock or SystemClock()
        self._ids = ids or RandomIds()
        self._swept = False

    @property
    def identity(self) -> str:
        """The directory, with symbolic links resolved, as a URL."""
        return self._root.as_uri()

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """See ``ObjectStore.get``."""
        check_key(key)
        check_range(byte_range)
        with self._errors_of("get", key):
            try:
                file = self._path(key).open("rb")
            except FileNotFoundError:
                return None
            with file:
                head = _read_head(file)
                date = self._clock.now()
                if if_match is not None and head.etag != if_match:
                    raise PreconditionFailedError(
                        f"the object has another ETag. key={key!r} if_match={if_match} etag={head.etag}"
                    )
                if head.etag == if_none_match:
                    return NotModified(date=date)
                start, stop = byte_range or (0, head.size)
                file.seek(_HEADER_SIZE + start)
                body = file.read(max(0, min(stop, head.size) - start))
        return Fetched(body=body, etag=head.etag, last_modified=head.last_modified, date=date)

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """See ``ObjectStore.put``."""
        check_key(key)
        check_put_conditions(if_match=if_match, if_absent=if_absent)
        etag = etag_of(body)
        path = self._path(key)
        with self._errors_of("put", key):
            changed = _make_directories(self._temporary)
            self._sweep()
            temporary = self._temporary / self._ids.new_id().hex()
            try:
                _write(temporary, etag, body)
                with locked(self._lock_path):
                    if if_absent or if_match is not None:
                        self._check(key, path, if_match)
                    now = self._clock.now()
                    os.utime(temporary, ns=(int(now * 1e9), int(now * 1e9)))
                    changed += _make_directories(path.parent)
                    self._move(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            for directory in {path.parent, *changed}:
                _force_to_disk(directory)
        return Stored(etag=etag, date=now)

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """See ``ObjectStore.list``; all names under the last slash of ``prefix`` are read at once."""
        check_listing(prefix, start_after, limit)
        return self._rows(prefix, start_after, limit)

    def delete(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.delete``."""
        for key in keys:
            check_key(key)
        if not self._root.exists():
            return
        for key in keys:
            path = self._path(key)
            with self._errors_of("delete", key):
                with locked(self._lock_path):
                    path.unlink(missing_ok=True)
                    changed = self._prune(path.parent)
                if changed is not None:
                    _force_to_disk(changed)

    def close(self) -> None:
        """See ``ObjectStore.close``; nothing is kept open here."""

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*file_names(key))

    def _check(self, key: str, path: Path, if_match: str | None) -> None:
        try:
            with path.open("rb") as file:
                etag = _read_head(file).etag
        except FileNotFoundError:
            etag = None
        if etag != if_match:
            raise PreconditionFailedError(
                f"the condition of the put did not hold. key={key!r} if_match={if_match} etag={etag}"
            )

    def _move(self, temporary: Path, path: Path) -> None:
        for attempt in range(1, _MOVE_ATTEMPTS + 1):
            try:
                temporary.replace(path)
            except PermissionError:
                if sys.platform != "win32" or attempt == _MOVE_ATTEMPTS:
                    raise
                self._clock.sleep(0.005)
            else:
                return

    def _sweep(self) -> None:
        """Remove what killed writers left, once in the life of a store."""
        if self._swept:
            return
        self._swept = True
        abandoned = self._clock.now() - _ABANDONED_SECONDS
        for path in self._temporary.iterdir():
            try:
                if path.stat().st_mtime < abandoned:
                    path.unlink()
            except FileNotFoundError:
                continue  # moved to its place, or swept by another process

    def _prune(self, directory: Path) -> Path | None:
        """Remove what is empty from ``directory`` upwards; return the first that stays."""
        while directory != self._root:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return directory
            directory = directory.parent
        return self._root

    def _rows(self, prefix: str, start_after: str, limit: int | None) -> Iterator[Listed]:
        parent = file_names(f"{prefix[: prefix.rfind('/') + 1]}-")[:-1]
        with self._errors_of("list", prefix):
            keys = sorted(
                key for key in self._keys(parent) if key.startswith(prefix) and key > start_after
            )
        yielded = 0
        for key in keys:
            if yielded == limit:
                return
            with self._errors_of("list", prefix):
                try:
                    with self._path(key).open("rb") as file:
                        head = _read_head(file)
                except FileNotFoundError:
                    continue
            yielded += 1
            yield Listed(key=key, size=head.size, etag=head.etag, last_modified=head.last_modified)

    def _keys(self, parent: Sequence[str]) -> Iterator[str]:
        pending = [tuple(parent)]
        while pending:
            names = pending.pop()
            try:
                with os.scandir(self._root.joinpath(*names)) as entries:
                    found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            except FileNotFoundError:
                continue
            for name, is_directory in found:
                path = (*names, name)
                if is_directory:
                    pending.append(path)
                elif (key := key_of(path)) is not None:
                    yield key

    @contextmanager
    def _errors_of(self, operation: str, key: str) -> Iterator[None]:
        """Translate what the operating system says into our errors."""
        try:
            yield
        except S3VFSError:
            raise
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            facts = f"directory={str(self._root)!r} key={key!r} error={name}"
            if error.errno in _DENIED:
                raise AccessDeniedError(
                    f"the {operation} is not allowed here: check owner and mode of the directory and "
                    f"whether it can be written to. {facts}"
                ) from error
            if error.errno in _CANNOT_BE:
                raise InvalidArgumentError(
                    f"the {operation} cannot be done in this directory: the path is too long, or some "
                    f"other file is where a part of it belongs. {facts}"
                ) from error
            raise StoreUnavailableError(
                f"the file system could not carry out the {operation}. {facts}"
            ) from error


def _read_head(file: BinaryIO) -> _Head:
    header = file.read(_HEADER_SIZE)
    if len(header) != _HEADER_SIZE or not header.startswith(_MAGIC):
        raise CorruptError(
            "a file of the store is not one that it wrote: restore it from a copy. "
            f"path={file.name!r}"
        )
    status = os.fstat(file.fileno())
    return _Head(
        etag=f'"{header[len(_MAGIC) : -1].decode("latin-1")}"',
        size=status.st_size - _HEADER_SIZE,
        last_modified=status.st_mtime_ns / 1e9,
    )


def _write(path: Path, etag: str, body: bytes | bytearray) -> None:
    with path.open("xb") as file:
        file.write(_MAGIC + etag.strip('"').encode() + b"\n")
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _make_directories(path: Path) -> list[Path]:
    """Create ``path``; return the directories that got a new entry."""
    missing: list[Path] = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
    return [directory.parent for directory in missing]


def _force_to_disk(directory: Path) -> None:
    """Make the entries of a directory survive a loss of power; Windows cannot be asked to.

    https://man7.org/linux/man-pages/man2/fsync.2.html (notes on directories)
    """
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return  # emptied and removed meanwhile, by a deletion that forces its parent to the disk
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
