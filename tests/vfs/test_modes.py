"""How a database can be opened, and the modes of SQLite that do not exist here."""

from __future__ import annotations

import logging
from collections.abc import Callable

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect


@pytest.fixture
def existing(connect: Connect) -> apsw.Connection:
    """A connection to ``db``, which has one table with one row."""
    connection = connect("db")
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    return connection


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_missing_database_is_not_made_without_create(
    connect: Connect, store: ObjectStore, mode: str
) -> None:
    with pytest.raises(apsw.CantOpenError, match="mode=rwc") as caught:
        connect("db", mode=mode)

    assert isinstance(caught.value.__cause__, NotFoundError)
    assert list(store.list("")) == []


def test_missing_is_asked_anew_each_time(connect: Connect, make_vfs: Callable[..., S3VFS]) -> None:
    """Another process makes the database after this one has seen that there is none."""
    assert connect("db").execute("SELECT * FROM sqlite_schema").fetchall() == []
    connect("db", through=make_vfs()).execute("CREATE TABLE t (v)")

    assert connect("db", mode="rw").execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]


def test_opening_an_empty_name_asks_twice_and_writes_nothing(connect: Connect, vfs: S3VFS) -> None:
    connect("db").execute("SELECT * FROM sqlite_schema").fetchall()

    assert vfs.metrics().put.requests == 0
    before = vfs.metrics()
    with pytest.raises(apsw.CantOpenError):
        connect("other", mode="rw")
    assert (vfs.metrics() - before).total.requests <= 4


def test_read_only_reads_what_is_new_and_writes_nothing(
    connect: Connect, existing: apsw.Connection
) -> None:
    reader = connect("db", mode="ro")
    assert reader.readonly("main")
    assert reader.execute("SELECT v FROM t").fetchall() == [(1,)]
    existing.execute("INSERT INTO t VALUES (2)")

    assert reader.execute("SELECT v FROM t").fetchall() == [(1,), (2,)]
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES (3)")
    assert reader.execute("SELECT v FROM t").fetchall() == [(1,), (2,)]


def test_the_read_only_flag_does_the_same(vfs: S3VFS, existing: apsw.Connection) -> None:
    reader = apsw.Connection("db", vfs=vfs.name, flags=apsw.SQLITE_OPEN_READONLY)

    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM t")


def test_immutable_stays_with_its_version_and_asks_nothing(
    connect: Connect, vfs: S3VFS, existing: apsw.Connection
) -> None:
    reader = connect("db", immutable="1")
    assert reader.execute("SELECT v FROM t").fetchall() == [(1,)]
    existing.execute("INSERT INTO t VALUES (2)")
    before = vfs.metrics()

    for _ in range(3):
        assert reader.execute("SELECT v FROM t").fetchall() == [(1,)]
        assert reader.pragma("s3vfs_version") == "2"

    assert (vfs.metrics() - before).total.requests == 0
    assert connect("db", immutable="1").execute("SELECT v FROM t").fetchall() == [(1,), (2,)]
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO t VALUES (3)")


def test_nolock_is_refused(connect: Connect, existing: apsw.Connection) -> None:
    with pytest.raises(apsw.CantOpenError, match="immutable=1") as caught:
        connect("db", nolock="1")

    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert connect("db", nolock="0").execute("SELECT v FROM t").fetchall() == [(1,)]


def test_wal_is_declined_as_sqlite_declines_it_and_logged(
    existing: apsw.Connection, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's contract: the answer is the mode in force. Programs that ask for WAL go on."""
    with caplog.at_level(logging.WARNING):
        assert existing.pragma("journal_mode", "WAL") == "delete"

        connect("db").pragma("journal_mode", "WAL")

    assert caplog.text.count("leave the pragma out") == 1
    existing.execute("INSERT INTO t VALUES (2)")
    assert connect("db").execute("SELECT v FROM t").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("pragma", ["locking_mode=EXCLUSIVE", "main.locking_mode='exclusive'"])
def test_exclusive_locking_is_refused(existing: apsw.Connection, pragma: str) -> None:
    with pytest.raises(apsw.SQLError, match="BEGIN IMMEDIATE") as caught:
        existing.execute(f"PRAGMA {pragma}")

    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert existing.pragma("locking_mode") == "normal"
    assert existing.execute("PRAGMA locking_mode=NORMAL").fetchall() == [("normal",)]
    existing.execute("INSERT INTO t VALUES (2)")


def test_exclusive_locking_by_the_back_door_loses_nothing(
    connect: Connect, existing: apsw.Connection
) -> None:
    """Asked of a database that is not ours, the pragma never gets to us, and applies to ours too."""
    connection = apsw.Connection(
        "", flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    )
    connection.execute(f"ATTACH 'file:db?vfs={existing.open_vfs}' AS b")
    connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
    connection.execute("INSERT INTO b.t VALUES (2)")

    with pytest.raises(apsw.IOError, match="PRAGMA locking_mode=NORMAL"):
        connection.execute("INSERT INTO b.t VALUES (3)")

    assert connect("db").execute("SELECT v FROM t").fetchall() == [(1,), (2,)]
    with pytest.raises(apsw.IOError, match="PRAGMA locking_mode=NORMAL"):
        connection.execute("PRAGMA b.journal_mode=WAL").fetchall()
    connection.execute("PRAGMA locking_mode=NORMAL").fetchall()
    assert connection.execute("SELECT v FROM b.t").fetchall() == [(1,), (2,)]
    connection.execute("INSERT INTO b.t VALUES (4)")
    assert connect("db").execute("SELECT v FROM t").fetchall() == [(1,), (2,), (4,)]


def test_a_closed_vfs_takes_no_new_connections_and_keeps_the_open_ones(
    store: ObjectStore, existing: apsw.Connection
) -> None:
    vfs = S3VFS(store)
    connection = apsw.Connection("db", vfs=vfs.name)
    name = vfs.name

    vfs.close()

    assert name not in apsw.vfs_names()
    with pytest.raises(apsw.SQLError, match="no such vfs"):
        apsw.Connection("db", vfs=name)
    connection.execute("INSERT INTO t VALUES (2)")
    assert existing.execute("SELECT v FROM t").fetchall() == [(1,), (2,)]
    connection.close()
    vfs.close()


def test_a_name_is_unique(store: ObjectStore) -> None:
    vfs = S3VFS(store, name="my-name")
    assert vfs.name == "my-name"

    with pytest.raises(InvalidArgumentError, match="my-name"):
        S3VFS(store, name="my-name")

    vfs.close()
    S3VFS(store, name="my-name").close()
    assert S3VFS(store).name != S3VFS(store).name


def test_the_ancestors_arguments_work(store: ObjectStore) -> None:
    by_position, by_name = S3VFS(store, 8192), S3VFS(bucket=store, block_size=4097)
    with_settings = S3VFS(store, settings=Settings(block_size=1024))

    for vfs, expected in ((by_position, 8192), (by_name, 4097), (with_settings, 1024)):
        connection = apsw.Connection(f"db-{expected}", vfs=vfs.name)
        connection.execute("CREATE TABLE t (v)")
        assert connection.pragma("s3vfs_block_size") == str(expected)


def test_what_is_no_bucket_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="boto3"):
        S3VFS("my-bucket")


def test_locking_none_is_a_setting() -> None:
    vfs = S3VFS(MemoryObjectStore(), locking="none")
    apsw.Connection("db", vfs=vfs.name).execute("CREATE TABLE t (v)")

    assert vfs.metrics().put.refused == 0  # no probe of the store's conditions
