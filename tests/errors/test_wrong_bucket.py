"""A bucket that does not exist."""

from __future__ import annotations

import apsw
import pytest

from errors.conftest import MakeVFS
from errors.expect import refused
from errors.operations import MAKING, READING, WRITING, Operation, connect
from sqlite_s3vfs.errors import NotFoundError
from sqlite_s3vfs.vfs.s3vfs import S3VFS

BUCKET = "there-is-no-such-bucket"
WORDS = ("check both names", f"bucket='{BUCKET}'", "endpoint='http", "code='NoSuchBucket'")


@pytest.fixture
def lost(minio, make_vfs: MakeVFS) -> S3VFS:
    return make_vfs(minio.Bucket(BUCKET))


@pytest.mark.parametrize("operation", READING.values(), ids=READING)
def test_reading_says_which_bucket_is_missing(lost: S3VFS, operation: Operation) -> None:
    with refused(NotFoundError, operation.code, "key='db/manifest'", *WORDS):
        operation.run(lost, "db")


@pytest.mark.parametrize("operation", [*WRITING.values(), *MAKING.values()], ids=[*WRITING, *MAKING])
def test_writing_finds_out_before_it_sends_anything(lost: S3VFS, operation: Operation) -> None:
    """A write begins with a read, and fails there."""
    with refused(NotFoundError, operation.code_at_begin, "key='db/manifest'", *WORDS):
        operation.run(lost, "db")

    assert lost.metrics().put.requests == 0


def test_opening_asks_nothing_and_the_same_connection_works_once_the_bucket_is_there(
    minio, make_vfs: MakeVFS, prefix: str
) -> None:
    bucket = minio.Bucket(f"s3vfs-later-{prefix.strip('/')}")
    connection = connect(make_vfs(bucket), "db")
    with refused(NotFoundError, apsw.SQLITE_IOERR_LOCK, bucket.name):
        connection.execute("CREATE TABLE t (v)")

    bucket.create()
    try:
        connection.execute("CREATE TABLE t (v)")
        assert connection.execute("SELECT count(*) FROM t").get == 0
    finally:
        bucket.objects.all().delete()
        bucket.delete()
