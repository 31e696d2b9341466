"""What a newer release may have written: read where that is possible, never lost, never guessed at."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import refused, untouched
from errors.operations import READING, WRITING
from errors.sample import SMALL, Sample, make_sample, read_all
from sqlite_s3vfs.errors import UnsupportedFormatError
from sqlite_s3vfs.format.envelope import FORMAT_VERSION, HEADER_SIZE
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.format.manifestcodec import decode_manifest, encode_manifest
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore

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


@pytest.mark.parametrize("state", [State.PENDING, State.ABORTED, State.TOMBSTONE])
def test_a_database_that_is_no_database_now_is_not_touched(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, state: State
) -> None:
    """What a later release makes of removal and forks; its manifest is of this format."""
    rewrite(store, lambda manifest: replace(manifest, state=state))

    for operation in (*READING.values(), *WRITING.values()):
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


UNCHECKED = pytest.mark.xfail(reason="only a transaction's begin looks at write features, without names")


@UNCHECKED
@pytest.mark.parametrize("operation", WRITING.values(), ids=WRITING)
def test_with_a_feature_that_writers_must_know_nothing_is_written(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open, operation
) -> None:
    rewrite(store, with_write_feature)
    vfs = make_vfs(store)

    code = operation.code and apsw.SQLITE_NOTADB
    with untouched(store, ""), refused(UnsupportedFormatError, code, WAY_OUT, "db", "statistics"):
        operation.run(vfs, "db")

    assert read_all(open_through(vfs, "db")) == there.rows


@pytest.mark.parametrize(
    "change", [with_feature, pytest.param(with_write_feature, marks=UNCHECKED)]
)
def test_a_connection_at_work_meets_a_newer_release(
    store: ObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open, change
) -> None:
    """The upgrade of another process: here the transaction loses, and the database is not touched."""
    connection = open_through(make_vfs(store), "db")
    connection.execute("BEGIN IMMEDIATE").execute(SMALL)
    rewrite(store, change)

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
