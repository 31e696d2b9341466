"""Settings that cannot be, and arguments that are none."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import check_message, refused
from sqlite_s3vfs import connect
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.settings import BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

BAD_BLOCK_SIZES = [0, -1, 1, BLOCK_SIZE_MIN - 1, BLOCK_SIZE_MAX + 1, 1 << 40, 4096.0, "4096", True, b"1"]
BAD = {
    "segment_size": [0, -1, (64 << 10) - 1, (64 << 20) + 1, 1e6, "1", None],
    "cache_bytes": [-1, 1.5, "1", None, (1 << 50) + 1],
    "pool_size": [0, -1, 1025, 2.0, "16", None],
    "retention_seconds": [0, 59, -1, 3600.5, "1h", None],
    "locking": ["", "lease", "OPTIMISTIC", None, 1],
    "writer": ["x" * 256, "a\nb", "a\x00b", "\udc80", "é" * 128],
}


@pytest.mark.parametrize("size", BAD_BLOCK_SIZES, ids=repr)
def test_an_impossible_block_size_is_refused_and_told(size: Any) -> None:
    name = "s3vfs-with-a-bad-block-size"
    for make in (
        lambda: vfs_with(size, name=name),
        lambda: Settings(block_size=size),
    ):
        with refused(InvalidArgumentError, None, "from 512 to 16777216", f"block_size={size!r}"):
            make()
    assert name not in apsw.vfs_names()


def vfs_with(block_size: Any, **arguments: Any) -> object:
    return S3VFS(MemoryObjectStore(), block_size, **arguments)


@pytest.mark.parametrize("size", [BLOCK_SIZE_MIN, 513, 4095, BLOCK_SIZE_MAX])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_every_other_block_size_works(
    make_vfs: MakeVFS, open_through: Open, size: int, page_size: int
) -> None:
    connection = open_through(make_vfs(MemoryObjectStore(), block_size=size), "db")
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("CREATE TABLE t AS SELECT randomblob(300000) AS v")

    assert connection.pragma("s3vfs_block_size") == str(size)
    assert connection.pragma("integrity_check") == "ok"


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values], ids=repr
)
def test_an_impossible_setting_is_refused_and_told(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Settings(**{name: value})

    check_message(caught.value)
    assert f"{name}=" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "pragma", ["s3vfs_", "s3vfs_versions", "s3vfs_version=3", "s3vfs_block_size(512)", "S3VFS_nothing"]
)
def test_a_pragma_that_is_none_is_refused(make_vfs: MakeVFS, open_through: Open, pragma: str) -> None:
    connection = open_through(make_vfs(MemoryObjectStore()), "db")

    with refused(InvalidArgumentError, apsw.SQLITE_ERROR, "pragma="):
        connection.execute(f"PRAGMA {pragma}").fetchall()

    assert connection.pragma("s3vfs_version") == "0"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "http://localhost/bucket/db",
        "file:///db",
        "file://host/directory/db",
        "memory:",
        "memory://db",
        "s3:bucket/db",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with refused(InvalidArgumentError, None, "s3://bucket/key", f"url={url!r}"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("memory:../a", apsw.SQLITE_CANTOPEN),
        ("memory:a/", apsw.SQLITE_CANTOPEN),
        ("s3://bucket/a//b", apsw.SQLITE_CANTOPEN),
        ("memory:a?nolock=1", apsw.SQLITE_CANTOPEN),
    ],
)
def test_a_url_of_a_bad_name_is_refused(
    url: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    with refused(InvalidArgumentError, code, "name="):
        connect(url)
