"""The whole way from SQL to each kind of store: memory, a directory, MinIO."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import apsw
import pytest

from sqlite_s3vfs.errors import AccessDeniedError, NotFoundError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.retry import run_transaction
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from tests import conftest
from vfs.processes import OtherProcess

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket, S3ServiceResource


@pytest.fixture
def open_db(any_store: ObjectStore, prefix: str) -> Iterator[Callable[..., apsw.Connection]]:
    """Opens the same database, as if in another process each time."""
    made: list[tuple[S3VFS, apsw.Connection]] = []

    def open_connection(name: str = "db", **arguments: object) -> apsw.Connection:
        vfs = S3VFS(OtherProcess(any_store, str(len(made))), **arguments)
        made.append((vfs, apsw.Connection(prefix + name, vfs=vfs.name)))
        return made[-1][1]

    yield open_connection
    for vfs, connection in made:
        connection.close(force=True)
        vfs.close()


@pytest.mark.parametrize("block_size", [4095, 65536])
def test_ordinary_work(open_db: Callable[..., apsw.Connection], block_size: int) -> None:
    connection = open_db(block_size=block_size)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{n:0200}") for n in range(5000)])
    for number in range(5):
        connection.execute("UPDATE t SET b = 'x' WHERE a = ?", (number,))
    connection.execute("BEGIN; DELETE FROM t; ROLLBACK")
    connection.execute("DELETE FROM t WHERE a > 1000; VACUUM")

    other = open_db()
    assert other.pragma("integrity_check") == "ok"
    assert other.execute("SELECT count(*), sum(b = 'x') FROM t").get == (1001, 5)


def test_two_writers_and_one_winner(open_db: Callable[..., apsw.Connection]) -> None:
    winner, loser = open_db(), open_db()
    winner.execute("CREATE TABLE t (v)")
    loser.execute("BEGIN; INSERT INTO t VALUES ('lost')")
    winner.execute("INSERT INTO t VALUES ('won')")

    with pytest.raises(apsw.BusyError) as caught:
        loser.execute("COMMIT")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert loser.execute("SELECT v FROM t").fetchall() == [("won",)]


@pytest.mark.slow
def test_writers_in_several_processes_lose_no_increment(
    open_db: Callable[..., apsw.Connection],
) -> None:
    open_db().execute("CREATE TABLE t (n); INSERT INTO t VALUES (0)")
    connections = [open_db() for _ in range(4)]

    def work(connection: apsw.Connection) -> None:
        for _ in range(10):
            run_transaction(connection, lambda c: c.execute("UPDATE t SET n = n + 1"), attempts=500)

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(work, connection) for connection in connections]:
            finished.result(timeout=120)

    assert open_db().execute("SELECT n FROM t").get == 40


def test_a_bucket_works_as_the_ancestor_had_it(minio_bucket: Bucket, prefix: str) -> None:
    s3vfs = S3VFS(bucket=minio_bucket, block_size=4096)
    key_prefix = f"{prefix}my/path/cool.sqlite"
    with apsw.Connection(key_prefix, vfs=s3vfs.name) as connection:
        connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")

    target = minio_bucket.Object(f"{prefix}plain.sqlite")
    target.upload_fileobj(s3vfs.serialize_fileobj(key_prefix=key_prefix))
    s3vfs.deserialize_iter(
        key_prefix=f"{key_prefix}-copy", bytes_iter=target.get()["Body"].iter_chunks()
    )

    copy = apsw.Connection(f"{key_prefix}-copy", vfs=s3vfs.name)
    assert copy.execute("SELECT v FROM t").get == 1
    assert b"".join(s3vfs.serialize_iter(key_prefix=f"{key_prefix}-copy")) == target.get()["Body"].read()


def test_a_bucket_that_does_not_exist_is_said_to_be_missing(minio: S3ServiceResource) -> None:
    vfs = S3VFS(minio.Bucket("there-is-no-such-bucket"))
    connection = apsw.Connection("db", vfs=vfs.name)

    for sql in ("SELECT * FROM sqlite_schema", "CREATE TABLE t (v)"):
        with pytest.raises(apsw.Error, match="there-is-no-such-bucket") as caught:
            connection.execute(sql)
        assert isinstance(caught.value.__cause__, NotFoundError)


def test_credentials_that_may_only_read_can_read(
    minio_bucket: Bucket, bucket_allowing: Callable[..., Bucket], prefix: str
) -> None:
    writer = apsw.Connection(f"{prefix}db", vfs=S3VFS(minio_bucket).name)
    writer.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    reader_vfs = S3VFS(bucket_allowing("s3:GetObject", "s3:ListBucket"))
    reader = apsw.Connection(f"{prefix}db", vfs=reader_vfs.name)

    assert reader.execute("SELECT v FROM t").get == 1
    with pytest.raises(apsw.PermissionsError) as caught:
        reader.execute("INSERT INTO t VALUES (2)")

    assert isinstance(caught.value.__cause__, AccessDeniedError)
    assert not reader.in_transaction
    assert reader.execute("SELECT count(*) FROM t").get == 1
    writer.execute("INSERT INTO t VALUES (3)")
    assert reader.execute("SELECT count(*) FROM t").get == 2


def test_connections_to_s3_survive_a_fork(minio_bucket: Bucket, prefix: str) -> None:
    """Parent and child write in turn, each over sockets of its own."""
    script = """
        import os, sys
        import apsw, boto3
        from sqlite_s3vfs.vfs.s3vfs import S3VFS

        endpoint, access_key, secret_key, bucket, name = sys.argv[1:]
        resource = boto3.resource("s3", endpoint_url=endpoint, aws_access_key_id=access_key,
                                  aws_secret_access_key=secret_key, region_name="us-east-1")
        vfs = S3VFS(resource.Bucket(bucket))
        parent = apsw.Connection(name, vfs=vfs.name)
        parent.execute("CREATE TABLE t (v BLOB)")
        for _ in range(5):
            parent.execute("INSERT INTO t VALUES (randomblob(300000))")
            child = os.fork()
            if child == 0:
                connection = apsw.Connection(name, vfs=vfs.name)
                connection.execute("INSERT INTO t VALUES (randomblob(300000))")
                assert len(connection.execute("SELECT v FROM t").fetchall()) % 2 == 0
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        print(parent.execute("SELECT count(*) FROM t").get, parent.pragma("integrity_check"))
    """
    where = (conftest.ENDPOINT, conftest.ACCESS_KEY, conftest.SECRET_KEY, minio_bucket.name)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *where, f"{prefix}db"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("10 ok\n", "")
