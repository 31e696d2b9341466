"""Credentials that lack rights, and databases as sqlite-s3vfs 0.0.x lays them out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import objects, refused, untouched
from errors.operations import READING, WRITING, Operation, connect
from sqlite_s3vfs.errors import AccessDeniedError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

BLOCK_SIZE = 4096


@pytest.fixture
def file() -> bytes:
    """A plain SQLite file."""
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    with connection:
        connection.executemany("INSERT INTO t (body) VALUES (?)", ((f"{n:0400}",) for n in range(200)))
    return connection.serialize("main")


@pytest.fixture
def old(bucket_store: ObjectStore, prefix: str, file: bytes) -> str:
    """The name of a database in the old layout."""
    for index in range(len(file) // BLOCK_SIZE):
        block = file[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE]
        bucket_store.put(f"{prefix}old/{index:010d}", block)
    return f"{prefix}old"


@pytest.fixture
def reader(allowed: Callable[..., S3VFS]) -> S3VFS:
    return allowed("s3:GetObject", "s3:ListBucket")


@pytest.mark.parametrize("operation", READING.values(), ids=READING)
def test_with_the_right_to_read_an_old_database_can_be_read_as_it_is(
    reader: S3VFS, old: str, bucket_store: ObjectStore, operation: Operation
) -> None:
    with untouched(bucket_store, old):
        operation.run(reader, old)

    spent = reader.metrics()
    assert spent.put.requests == spent.delete.requests == spent.total.failed == 0


def test_with_the_right_to_read_its_bytes_are_those_of_the_file(
    reader: S3VFS, old: str, file: bytes, open_through: Open
) -> None:
    connection = open_through(reader, old)

    assert connection.execute("SELECT id, body FROM t").fetchall() == [
        (n + 1, f"{n:0400}") for n in range(200)
    ]
    assert connection.pragma("integrity_check") == "ok"
    assert b"".join(reader.serialize_iter(old)) == file


@pytest.mark.parametrize("operation", WRITING.values(), ids=WRITING)
def test_with_the_right_to_read_it_cannot_be_adopted(
    reader: S3VFS, old: str, file: bytes, bucket_store: ObjectStore, operation: Operation
) -> None:
    with (
        untouched(bucket_store, old),
        refused(
            AccessDeniedError, operation.code and apsw.SQLITE_PERM, "s3:PutObject", f"key='{old}/"
        ),
    ):
        operation.run(reader, old)

    assert b"".join(reader.serialize_iter(old)) == file


@pytest.mark.parametrize("missing", ["s3:GetObject", "s3:ListBucket"])
def test_the_right_that_is_missing_is_named(
    allowed: Callable[..., S3VFS], old: str, missing: str
) -> None:
    """Without a manifest the objects are listed, and then read."""
    rights = {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"} - {missing}
    vfs = allowed(*sorted(rights))

    for operation in (READING["serialize"], READING["select"], WRITING["create"]):
        with refused(AccessDeniedError, operation.code and apsw.SQLITE_PERM, missing, old):
            operation.run(vfs, old)


def test_without_the_right_to_delete_it_is_adopted_and_what_is_left_is_logged(
    allowed: Callable[..., S3VFS],
    make_vfs: MakeVFS,
    old: str,
    bucket_store: ObjectStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Block 0 is to go once its database was adopted; who may delete it does so with the next commit."""
    first_block = f"{old}/{0:010d}"

    with caplog.at_level(logging.WARNING):
        commit(allowed("s3:GetObject", "s3:ListBucket", "s3:PutObject"), old, "new")

    assert "condemned objects could not be deleted" in caplog.text
    assert first_block in objects(bucket_store, old)
    commit(make_vfs(bucket_store), old, "newer")
    assert first_block not in objects(bucket_store, old)
    connection = connect(make_vfs(bucket_store), old)
    bodies = connection.execute("SELECT body FROM t WHERE id < 3").fetchall()
    assert bodies == [("newer",), (f"{1:0400}",)]
    assert connection.pragma("integrity_check") == "ok"


def commit(vfs: S3VFS, name: str, body: str) -> None:
    """Change a row, and wait for what is done in the background."""
    connection = connect(vfs, name)
    connection.execute("UPDATE t SET body = ? WHERE id = 1", (body,))
    vfs.close()
    connection.close()
