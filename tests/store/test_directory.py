"""The directory store passes the suite that S3 passes; beyond that, files, processes and kill -9."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import pytest

from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.filenames import file_names
from sqlite_s3vfs.testing.store_suite import NestedKeysSuite, ObjectStoreSuite


class Around:
    """The files themselves, as the format of the directory says."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes | None:
        path = self._root.joinpath(*file_names(key))
        return path.read_bytes()[48:] if path.exists() else None

    def write(self, key: str, body: bytes) -> None:
        path = self._root.joinpath(*file_names(key))
        path.parent.mkdir(parents=True, exist_ok=True)
        header = b"s3vfs-object-1 " + md5(body).hexdigest().encode() + b"\n"
        path.write_bytes(header + body)


class TestDirectoryObjectStore(ObjectStoreSuite, NestedKeysSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryObjectStore:
        return DirectoryObjectStore(tmp_path / "store")

    @pytest.fixture
    def around(self, tmp_path: Path) -> Around:
        return Around(tmp_path / "store")
