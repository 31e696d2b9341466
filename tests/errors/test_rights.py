"""Credentials that lack rights, on a real server with real policies."""

from __future__ import annotations

import logging
from collections.abc import Callable

import apsw
import pytest
from vfs.processes import OtherProcess

from errors.conftest import MakeVFS, Open
from errors.expect import objects, refused, untouched
from errors.operations import MAKING, READING, WRITING, Operation, connect, uri
from errors.sample import COUNT, LARGE, SMALL, Sample, plain_file, read_all, sample_of
from sqlite_s3vfs.errors import AccessDeniedError, ConflictError, NotFoundError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

READ_ONLY = ("s3:GetObject", "s3:ListBucket")
EVERYTHING = {**READING, **WRITING, **MAKING}


@pytest.fixture
def reader(allowed: Callable[..., S3VFS]) -> S3VFS:
    return allowed(*READ_ONLY)


@pytest.mark.parametrize("operation", EVERYTHING.values(), ids=EVERYTHING)
def test_without_any_right_everything_is_denied_and_says_what_is_needed(
    allowed, sample: Sample, bucket_store: ObjectStore, prefix: str, operation: Operation
) -> None:
    nobody = allowed("s3:GetBucketLocation")

    with (
        untouched(bucket_store, prefix),
        refused(
            AccessDeniedError,
            operation.code and apsw.SQLITE_PERM,
            "s3 denied the get",
            "s3:GetObject",
            f"key='{sample.name}/manifest'",
            "code='AccessDenied'",
        ),
    ):
        operation.run(nobody, sample.name)

    assert nobody.metrics().put.requests == 0


@pytest.mark.parametrize("operation", READING.values(), ids=READING)
def test_with_the_right_to_read_each_way_of_reading_works(
    reader: S3VFS, sample: Sample, operation: Operation
) -> None:
    operation.run(reader, sample.name)

    spent = reader.metrics()
    assert spent.put.requests == spent.delete.requests == spent.total.failed == 0


def test_with_the_right_to_read_all_is_as_the_owner_sees_it(
    reader: S3VFS, owner: S3VFS, sample: Sample, prefix: str, open_through: Open
) -> None:
    connection = open_through(reader, sample.name)
    assert read_all(connection) == sample.rows
    assert b"".join(reader.serialize_iter(sample.name)) == sample.file
    assert reader.serialize_fileobj(sample.name).read() == sample.file
    assert read_all(open_through(reader, sample.name, mode="ro")) == sample.rows
    assert read_all(open_through(reader, sample.name, immutable="1")) == sample.rows
    connection.execute("ATTACH ? AS other", (uri(reader, sample.name),))
    joined = connection.execute("SELECT count(*) FROM t JOIN other.t AS o USING (id)").get
    assert joined == len(sample.rows)
    connection.execute("CREATE TEMP TABLE mine AS SELECT * FROM t; UPDATE mine SET body = 0")

    open_through(owner, sample.name).execute(SMALL)

    assert connection.execute("SELECT body FROM t WHERE id = 7").get == "small"
    assert list(reader.serialize_iter(f"{prefix}missing")) == []
    assert connect(reader, f"{prefix}missing").execute("SELECT * FROM sqlite_schema").fetchall() == []
    with refused(NotFoundError, apsw.SQLITE_CANTOPEN, "missing"):
        open_through(reader, f"{prefix}missing", mode="ro")
    spent = reader.metrics()
    assert spent.put.requests == spent.delete.requests == spent.total.failed == 0


@pytest.mark.parametrize("operation", WRITING.values(), ids=WRITING)
def test_with_the_right_to_read_each_way_of_writing_is_denied_and_leaves_nothing(
    reader: S3VFS, sample: Sample, bucket_store: ObjectStore, prefix: str, operation: Operation
) -> None:
    with (
        untouched(bucket_store, prefix),
        refused(
            AccessDeniedError,
            operation.code and apsw.SQLITE_PERM,
            "s3 denied the put",
            "the right s3:PutObject",
            f"key='{sample.name}/",
        ),
    ):
        operation.run(reader, sample.name)

    assert sample_of(reader, sample.name) == sample


@pytest.mark.parametrize("operation", [*WRITING.values(), *MAKING.values()], ids=[*WRITING, *MAKING])
def test_with_the_right_to_read_no_database_is_made(
    reader: S3VFS, bucket_store: ObjectStore, prefix: str, operation: Operation
) -> None:
    """What is denied is the first request of the probe of the store's conditions."""
    with (
        untouched(bucket_store, prefix),
        refused(
            AccessDeniedError, operation.code and apsw.SQLITE_PERM, "s3:PutObject", f"key='{prefix}new/"
        ),
    ):
        operation.run(reader, f"{prefix}new")


@pytest.mark.parametrize("sql", [SMALL, LARGE, "VACUUM", "DROP TABLE t", "PRAGMA user_version = 7"])
@pytest.mark.parametrize("journal_mode", ["DELETE", "MEMORY", "OFF"])
def test_a_denied_write_is_rolled_back_and_the_connection_goes_on(
    reader: S3VFS, owner: S3VFS, sample: Sample, open_through: Open, sql: str, journal_mode: str
) -> None:
    connection = open_through(reader, sample.name)
    connection.pragma("journal_mode", journal_mode)

    for _ in range(2):
        with refused(AccessDeniedError, apsw.SQLITE_PERM, "s3:PutObject"):
            connection.execute(sql)
        assert not connection.in_transaction
        assert read_all(connection) == sample.rows

    open_through(owner, sample.name).execute("INSERT INTO t (body) VALUES ('new')")
    assert connection.execute("SELECT body FROM t WHERE id = 101").get == "new"


def test_a_denied_transaction_is_over_and_its_savepoints_with_it(
    reader: S3VFS, sample: Sample, open_through: Open
) -> None:
    connection = open_through(reader, sample.name)
    connection.execute("PRAGMA cache_size = 5; BEGIN").execute(SMALL)
    connection.execute("SAVEPOINT a").execute(LARGE)

    with refused(AccessDeniedError, apsw.SQLITE_PERM, "s3:PutObject"):
        connection.execute("COMMIT")

    assert not connection.in_transaction
    assert read_all(connection) == sample.rows


def test_a_read_cursor_survives_a_denied_write(
    reader: S3VFS, sample: Sample, open_through: Open
) -> None:
    connection = open_through(reader, sample.name)
    connection.execute("PRAGMA cache_size = 3")
    rows = iter(connection.execute("SELECT id, body FROM t ORDER BY id"))
    first = next(rows)

    with refused(AccessDeniedError, apsw.SQLITE_PERM, "s3:PutObject"):
        connection.execute(SMALL)

    assert [first, *rows] == sample.rows


def test_credentials_may_read_one_database_and_write_another_in_one_transaction(
    bucket_with_policy, make_vfs: MakeVFS, sample: Sample, prefix: str, bucket_store: ObjectStore
) -> None:
    bucket = bucket_with_policy(
        {"Effect": "Allow", "Action": list(READ_ONLY), "Resource": ["{bucket}", "{bucket}/*"]},
        {
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:DeleteObject"],
            "Resource": f"{{bucket}}/{prefix}own/*",
        },
    )
    vfs = make_vfs(bucket)
    connection = connect(vfs, f"{prefix}own")
    connection.execute("CREATE TABLE copy (id, body)")
    connection.execute("ATTACH ? AS theirs", (uri(vfs, sample.name),))

    connection.execute("INSERT INTO copy SELECT * FROM theirs.t")
    with untouched(bucket_store, sample.name), refused(AccessDeniedError, apsw.SQLITE_PERM):
        connection.execute("DELETE FROM theirs.t")

    assert connection.execute("SELECT * FROM copy ORDER BY id").fetchall() == sample.rows


@pytest.mark.parametrize("operation", WRITING.values(), ids=WRITING)
def test_where_only_the_manifest_is_denied_the_database_stays_as_it_was(
    bucket_with_policy,
    make_vfs: MakeVFS,
    sample: Sample,
    operation: Operation,
) -> None:
    """The uploads stay, for collection: an earlier try of the put, silently repeated, may still land."""
    vfs = make_vfs(
        bucket_with_policy(
            {"Effect": "Allow", "Action": "s3:*", "Resource": ["{bucket}", "{bucket}/*"]},
            {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "{bucket}/*/manifest"},
        )
    )

    with refused(
        AccessDeniedError,
        operation.code and apsw.SQLITE_PERM,
        "s3:PutObject",
        f"key='{sample.name}/manifest'",
    ):
        operation.run(vfs, sample.name)

    assert sample_of(vfs, sample.name) == sample


def test_without_the_right_to_list_a_database_can_be_read_and_written(
    allowed, owner: S3VFS, sample: Sample, open_through: Open
) -> None:
    """Only a name without a manifest is listed."""
    vfs = allowed("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
    connection = open_through(vfs, sample.name)

    assert read_all(connection) == sample.rows
    connection.execute(SMALL).execute(LARGE)

    assert b"".join(vfs.serialize_iter(sample.name)) == sample_of(owner, sample.name).file
    vfs.deserialize_iter(sample.name, [plain_file()])
    assert connection.execute("SELECT count(*) FROM other").get == 1


@pytest.mark.parametrize("operation", EVERYTHING.values(), ids=EVERYTHING)
def test_without_the_right_to_list_a_missing_database_cannot_be_told_from_a_denied_one(
    allowed, bucket_store: ObjectStore, prefix: str, operation: Operation
) -> None:
    """S3 answers 403 to the get already, MinIO to the listing that follows."""
    vfs = allowed("s3:GetObject", "s3:PutObject", "s3:DeleteObject")

    with (
        untouched(bucket_store, prefix),
        refused(
            AccessDeniedError, operation.code and apsw.SQLITE_PERM, "s3:ListBucket", f"{prefix}missing"
        ),
    ):
        operation.run(vfs, f"{prefix}missing")


@pytest.fixture
def keeper(allowed: Callable[..., S3VFS]) -> S3VFS:
    """May write and never delete."""
    return allowed("s3:GetObject", "s3:ListBucket", "s3:PutObject")


def test_without_the_right_to_delete_every_commit_works(
    keeper: S3VFS, owner: S3VFS, sample: Sample, open_through: Open, prefix: str
) -> None:
    connection = open_through(keeper, sample.name)

    for sql in (SMALL, LARGE, "DELETE FROM t WHERE id > 50", "VACUUM", SMALL):
        connection.execute(sql)

    assert read_all(connection) == sample_of(owner, sample.name).rows
    keeper.deserialize_iter(sample.name, [plain_file()])
    assert open_through(owner, sample.name).execute("SELECT count(*) FROM other").get == 1
    connect(keeper, f"{prefix}new").execute("CREATE TABLE t (v)")
    assert open_through(owner, f"{prefix}new").execute(COUNT).get == 0


def test_without_the_right_to_delete_what_is_left_behind_is_logged(
    keeper: S3VFS,
    make_vfs: MakeVFS,
    sample: Sample,
    bucket_store: ObjectStore,
    open_through: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The uploads of a commit that lost. That it lost is what the application is told."""
    elsewhere = make_vfs(OtherProcess(bucket_store, "elsewhere"))
    loser, winner = open_through(keeper, sample.name), open_through(elsewhere, sample.name)
    loser.execute("BEGIN").execute(LARGE)
    winner.execute("UPDATE t SET body = 'winner' WHERE id = 7")
    before = objects(bucket_store, sample.name)

    with caplog.at_level(logging.WARNING), refused(ConflictError, apsw.SQLITE_BUSY_SNAPSHOT):
        loser.execute("COMMIT")

    left = objects(bucket_store, sample.name).keys() - before.keys()
    assert left
    assert any(key in caplog.text for key in left)
    assert loser.execute("SELECT body FROM t WHERE id = 7").get == "winner"
    loser.execute("UPDATE t SET body = 'again' WHERE id = 7")
    assert winner.execute("SELECT body FROM t WHERE id = 7").get == "again"
    assert read_all(winner) == read_all(loser)
