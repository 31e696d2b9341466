"""The directory store passes the suite that S3 passes; beyond that, its files and its errors."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CorruptError,
    InvalidArgumentError,
    StoreUnavailableError,
)
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.filenames import file_names
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.testing import ManualClock
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


def body_of(store: DirectoryObjectStore, key: str) -> bytes | None:
    found = store.get(key)
    return found.body if isinstance(found, Fetched) else None


def test_reading_a_missing_directory_finds_nothing_and_makes_nothing(tmp_path: Path):
    store = DirectoryObjectStore(tmp_path / "not" / "there")

    assert store.get("key") is None
    assert list(store.list("")) == []
    store.delete(["key"])

    assert list(tmp_path.iterdir()) == []


def test_the_first_put_makes_the_directory(tmp_path: Path):
    store = DirectoryObjectStore(tmp_path / "not" / "there")

    store.put("my/path/key", b"body")

    path = tmp_path / "not" / "there" / "my" / "path" / "key@"
    etag = md5(b"body").hexdigest()
    assert path.read_bytes() == f"s3vfs-object-1 {etag}\n".encode() + b"body"


def test_a_directory_has_one_identity_however_it_is_named(tmp_path: Path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)

    names = ["real", "link", "./real/../link/", tmp_path / "real"]

    assert len({DirectoryObjectStore(name).identity for name in names}) == 1
    assert DirectoryObjectStore("real").identity != DirectoryObjectStore("other").identity


def test_a_change_of_the_working_directory_does_not_matter(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = DirectoryObjectStore("store")
    store.put("key", b"body")

    monkeypatch.chdir("/")

    assert body_of(store, "key") == b"body"


def test_emptied_directories_are_removed_and_others_stay(tmp_path: Path):
    store = DirectoryObjectStore(tmp_path / "store")
    store.put("a/b/c/d", b"")
    store.put("a/e", b"")

    store.delete(["a/b/c/d"])
    assert not (tmp_path / "store" / "a" / "b").exists()
    assert body_of(store, "a/e") == b""

    store.delete(["a/e"])
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["@lock", "@temporary"]


def test_nothing_is_left_of_a_refused_put(tmp_path: Path):
    store = DirectoryObjectStore(tmp_path)
    store.put("key", b"body")

    with pytest.raises(Exception, match="condition"):
        store.put("key", b"other", if_absent=True)

    assert list((tmp_path / "@temporary").iterdir()) == []


def test_what_a_killed_writer_left_is_no_object_and_is_removed_after_an_hour(tmp_path: Path):
    clock = ManualClock()
    DirectoryObjectStore(tmp_path).put("key", b"body")
    for name, age in (("old", 3601), ("new", 3599)):
        left = tmp_path / "@temporary" / name
        left.write_bytes(b"s3vfs-object-1 half")
        os.utime(left, (clock.now() - age, clock.now() - age))
    store = DirectoryObjectStore(tmp_path, clock=clock)

    assert [row.key for row in store.list("")] == ["key"]
    store.put("other", b"body")

    assert [path.name for path in (tmp_path / "@temporary").iterdir()] == ["new"]


def test_a_writer_that_was_taken_for_dead_is_refused(tmp_path: Path, monkeypatch):
    """Frozen for hours after it had written its temporary file, which was swept meanwhile."""
    store = DirectoryObjectStore(tmp_path)
    store.put("key", b"before")

    class FreezingClock(ManualClock):
        def now(self) -> float:
            for path in (tmp_path / "@temporary").iterdir():
                path.unlink()
            return super().now()

    frozen = DirectoryObjectStore(tmp_path, clock=FreezingClock())

    with pytest.raises(StoreUnavailableError):
        frozen.put("key", b"after")

    assert body_of(store, "key") == b"before"


def test_files_of_others_are_not_listed(tmp_path: Path):
    store = DirectoryObjectStore(tmp_path)
    store.put("key", b"body")
    for name in (".DS_Store", "Thumbs.db", "README@", "key", "%6bey@"):
        (tmp_path / name).write_bytes(b"?")

    assert [row.key for row in store.list("")] == ["key"]


@pytest.mark.parametrize("content", [b"", b"s3vfs-object-1 ", b"x" * 100])
def test_a_file_that_the_store_did_not_write_is_corruption_and_not_an_object(
    tmp_path: Path, content: bytes
):
    (tmp_path / "key@").write_bytes(content)
    store = DirectoryObjectStore(tmp_path)

    with pytest.raises(CorruptError, match="key@"):
        store.get("key")
    with pytest.raises(CorruptError, match="key@"):
        list(store.list(""))
    with pytest.raises(CorruptError, match="key@"):
        store.put("key", b"body", if_absent=True)


def test_a_file_in_the_place_of_the_directory_is_an_error_of_the_caller(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    store = DirectoryObjectStore(tmp_path / "file")

    with pytest.raises(InvalidArgumentError, match="file"):
        store.get("key")
    with pytest.raises(InvalidArgumentError, match="file"):
        store.put("key", b"body")


def test_a_path_that_is_too_long_is_an_error_of_the_caller(tmp_path: Path):
    root = tmp_path
    while len(str(root)) < 3500:
        root = root / ("d" * 200)
    store = DirectoryObjectStore(root)

    with pytest.raises(InvalidArgumentError, match="too long"):
        store.put("k" * 1024, b"body")


@pytest.fixture
def as_an_ordinary_user() -> Iterator[Path]:
    """A directory that belongs to nobody in particular; root would be allowed everything."""
    path = Path(tempfile.mkdtemp())
    if os.geteuid() != 0:
        yield path
    else:
        path.chmod(0o777)
        os.seteuid(65534)
        try:
            yield path
        finally:
            os.seteuid(0)
    for directory in path.rglob("*"):
        if directory.is_dir():
            directory.chmod(0o700)
    shutil.rmtree(path)


def test_a_directory_without_the_right_to_write_can_be_read(as_an_ordinary_user: Path):
    root = as_an_ordinary_user / "store"
    DirectoryObjectStore(root).put("a/key", b"body")
    for path in (root / "a", root / "@temporary", root):
        path.chmod(0o555)
    store = DirectoryObjectStore(root)

    assert body_of(store, "a/key") == b"body"
    assert [row.key for row in store.list("")] == ["a/key"]
    with pytest.raises(AccessDeniedError, match="mode of the directory"):
        store.put("a/key", b"other")
    with pytest.raises(AccessDeniedError):
        store.delete(["a/key"])
    assert body_of(store, "a/key") == b"body"


def test_a_directory_without_the_right_to_read_is_no_empty_one(as_an_ordinary_user: Path):
    root = as_an_ordinary_user / "store"
    DirectoryObjectStore(root).put("a/key", b"body")
    root.chmod(0o000)
    store = DirectoryObjectStore(root)

    with pytest.raises(AccessDeniedError):
        store.get("a/key")
    with pytest.raises(AccessDeniedError):
        list(store.list(""))
    root.chmod(0o700)


def test_a_file_that_cannot_grow_leaves_the_old_object(tmp_path: Path):
    """A limit of the process stands for a full disk: it needs no right to mount one."""
    store = DirectoryObjectStore(tmp_path)
    store.put("key", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StoreUnavailableError, match="EFBIG"):
            store.put("key", b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert body_of(store, "key") == b"before"
    assert list((tmp_path / "@temporary").iterdir()) == []


def test_a_full_disk_leaves_the_old_object(tmp_path: Path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs the rights of root")
    try:
        store = DirectoryObjectStore(tmp_path)
        store.put("key", b"before")

        with pytest.raises(StoreUnavailableError, match="ENOSPC"):
            store.put("key", b"x" * (2 << 20))

        assert body_of(store, "key") == b"before"
        store.put("key", b"after")
        assert body_of(store, "key") == b"after"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
