"""What a newer release may have written: read where that is possible, never lost, never guessed at."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import objects, refused, untouched
from errors.operations import READING, WRITING, Operation
from errors.sample import LARGE, SMALL, Sample, make_sample, plain_file, read_all
from sqlite_s3vfs.errors import ReadOnlyError, UnsupportedFormatError
from sqlite_s3vfs.format.envelope import FORMAT_VERSION, HEADER_SIZE
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest, encode_manifest
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

WAY_OUT = "upgrade sqlite-s3vfs"
DIGEST_SIZE = 16


@pytest.fixture
def store() -> ObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def there(store: ObjectStore, make_vfs: MakeVFS) -> Sample:
    """The sample database."""
    return make_sample(make_vfs(store), "db")


def body_of(store: ObjectStore, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Fetched)
    return found.body


def with_version(body: bytes, version: int) -> bytes:
    """The object as a release with this format version would write it; its checksum is right."""
    header = bytearray(body[: HEADER_SIZE - DIGEST_SIZE])
    struct.pack_into("<H", header, 8, version)
    payload = body[HEADER_SIZE:]
    digest = hashlib.blake2b(bytes(header) + payload, digest_size=DIGEST_SIZE).digest()
    return bytes(header) + digest + payload


@contextmanager
def never_changed(store: ObjectStore, vfs: S3VFS) -> Iterator[None]:
    """The block does nothing but read: no upload, not even one that is removed again."""
    before = vfs.metrics()
    with untouched(store, ""):
        yield
    asked = vfs.metrics() - before
    assert asked.put.requests == asked.delete.requests == 0


def rewrite(store: ObjectStore, change: Callable[[Manifest], Manifest]) -> None:
    """Put the manifest as another release would have."""
    changed = change(decode_manifest(body_of(store, "db/manifest")))
    store.put("db/manifest", encode_manifest(changed, b"by other"))


def test_the_helper_writes_what_this_release_reads(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    store.put("db/manifest", with_version(body_of(store, "db/manifest"), FORMAT_VERSION))

    assert read_all(open_through(make_vfs(store), "db")) == there.rows


@pytest.mark.parametrize("operation", [*READING.values(), *WRITING.values()], ids=[*READING, *WRITING])
@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 65535])
def test_a_manifest_of_a_newer_format_is_not_touched(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, operation, version: int
) -> None:
    store.put("db/manifest", with_version(body_of(store, "db/manifest"), version))

    code = operation.code and apsw.SQLITE_NOTADB
    with untouched(store, ""), refused(UnsupportedFormatError, code, WAY_OUT, "key='db/manifest'"):
        operation.run(make_vfs(store), "db")


def with_feature(manifest: Manifest) -> Manifest:
    return replace(manifest, features=("new-map",))


def with_write_feature(manifest: Manifest) -> Manifest:
    return replace(manifest, write_features=("statistics",))


def test_a_feature_that_readers_must_know_is_not_touched(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS
) -> None:
    rewrite(store, with_feature)

    for operation in (*READING.values(), *WRITING.values()):
        code = operation.code and apsw.SQLITE_NOTADB
        with untouched(store, ""), refused(UnsupportedFormatError, code, WAY_OUT, "key='db/manifest'"):
            operation.run(make_vfs(store), "db")


def test_with_a_feature_that_writers_must_know_reading_works(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    rewrite(store, with_write_feature)
    vfs = make_vfs(store)

    with untouched(store, ""):
        assert read_all(open_through(vfs, "db")) == there.rows
        assert b"".join(vfs.serialize_iter("db")) == there.file
        for operation in READING.values():
            operation.run(vfs, "db")


READABLE = "a newer release wrote to the database, and this one can only read it"
STATEMENTS = {
    "insert": "INSERT INTO t (body) VALUES ('new')",
    "small update": SMALL,
    "large update": LARGE,
    "delete": "DELETE FROM t",
    "drop": "DROP TABLE t",
    "vacuum": "VACUUM",
    "begin": "BEGIN IMMEDIATE",
    "upgrade of a read": "BEGIN; SELECT count(*) FROM t; DELETE FROM t; COMMIT",
    "pragma": "PRAGMA user_version = 7",
    "attached": "ATTACH ':memory:' AS m; BEGIN; CREATE TABLE m.t (v); DELETE FROM main.t; COMMIT",
}


@pytest.mark.parametrize("operation", WRITING.values(), ids=WRITING)
def test_with_a_feature_that_writers_must_know_nothing_is_written(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open, operation: Operation
) -> None:
    rewrite(store, with_write_feature)
    vfs = make_vfs(store)

    code = operation.code and apsw.SQLITE_READONLY
    with (
        never_changed(store, vfs),
        refused(ReadOnlyError, code, READABLE, WAY_OUT, "prefix='db'", "statistics"),
    ):
        operation.run(vfs, "db")

    assert read_all(open_through(vfs, "db")) == there.rows


@pytest.mark.parametrize("sql", STATEMENTS.values(), ids=STATEMENTS)
def test_a_statement_that_writes_is_refused_and_the_connection_reads_on(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open, sql: str
) -> None:
    rewrite(store, with_write_feature)
    vfs = make_vfs(store)
    connection = open_through(vfs, "db")

    with never_changed(store, vfs):
        for _ in range(2):
            with refused(ReadOnlyError, apsw.SQLITE_READONLY, READABLE, WAY_OUT, "statistics"):
                connection.execute(sql).fetchall()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if sql.startswith("ATTACH"):
                connection.execute("DETACH m")
            assert read_all(connection) == there.rows


def test_two_databases_are_refused_before_either_is_written(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    vfs = make_vfs(store)
    make_sample(vfs, "second")
    rewrite(store, with_write_feature)
    connection = open_through(vfs, "second")
    connection.execute("ATTACH ? AS newer", (f"file:db?vfs={vfs.name}",))

    with never_changed(store, vfs):
        connection.execute("BEGIN").execute("DELETE FROM main.t")
        with refused(ReadOnlyError, apsw.SQLITE_READONLY, READABLE, WAY_OUT, "prefix='db'"):
            connection.execute("DELETE FROM newer.t")
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("sql", [SMALL, LARGE], ids=["in the manifest", "blocks"])
def test_a_connection_at_work_meets_a_release_that_writes_more(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open, sql: str
) -> None:
    """Maintenance of a newer release in mid-transaction: what was uploaded before is removed again."""
    connection = open_through(make_vfs(store), "db")
    connection.execute("BEGIN IMMEDIATE").execute(sql)
    rewrite(store, with_write_feature)

    with untouched(store, ""):
        with refused(ReadOnlyError, apsw.SQLITE_READONLY, READABLE, WAY_OUT, "statistics"):
            connection.execute("COMMIT")
        assert not connection.in_transaction
        assert read_all(connection) == there.rows
        with refused(ReadOnlyError, apsw.SQLITE_READONLY, READABLE, WAY_OUT, "statistics"):
            connection.execute(sql)


def test_an_import_at_work_meets_a_release_that_writes_more(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    vfs = make_vfs(store)

    def chunks() -> Iterator[bytes]:
        yield plain_file()
        rewrite(store, with_write_feature)

    with refused(ReadOnlyError, None, READABLE, WAY_OUT, "statistics"):
        vfs.deserialize_iter("db", chunks())

    assert read_all(open_through(vfs, "db")) == there.rows
    with never_changed(store, vfs), refused(ReadOnlyError, None, READABLE):
        vfs.deserialize_iter("db", chunks())


def test_without_the_check_the_feature_is_lost(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The planted mistake: what the tests above would show."""
    for module in ("manifests", "database", "transaction.commit"):
        monkeypatch.setattr(f"sqlite_s3vfs.{module}.check_replaceable", lambda *arguments: None)
    rewrite(store, with_write_feature)
    before = objects(store, "")

    open_through(make_vfs(store), "db").execute(SMALL)

    assert objects(store, "") != before


def test_a_connection_at_work_meets_a_newer_release(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    """The upgrade of another process: here the transaction loses, and the database is not touched."""
    connection = open_through(make_vfs(store), "db")
    connection.execute("BEGIN IMMEDIATE").execute(SMALL)
    rewrite(store, with_feature)

    with untouched(store, ""):
        with pytest.raises(apsw.Error):
            connection.execute("COMMIT")
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with refused(UnsupportedFormatError, apsw.SQLITE_NOTADB, WAY_OUT):
            connection.execute(SMALL)


@pytest.mark.parametrize("kind", ["maps", "segments"])
def test_an_object_of_a_newer_format_is_not_guessed_at(
    store: ObjectStore, make_vfs: MakeVFS, open_through: Open, kind: str
) -> None:
    """Segments are read by range, and their frames say nothing of a format: they are what they are."""
    vfs = make_vfs(store, block_size=512)
    connection = open_through(vfs, "db")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    connection.execute("CREATE TABLE big AS SELECT randomblob(1200000) AS v")
    key = max(row.key for row in store.list(f"db/{kind}/") if row.size > 2000)
    store.put(key, with_version(body_of(store, key), FORMAT_VERSION + 1))
    fresh = open_through(make_vfs(store), "db")

    if kind == "segments":
        assert fresh.execute("SELECT length(v) FROM big").get == 1200000
    else:
        with refused(UnsupportedFormatError, apsw.SQLITE_NOTADB, WAY_OUT, f"key='{key}'"):
            fresh.execute("SELECT length(v) FROM big").fetchall()
