"""Ordinary SQLite: every journal mode and synchronous setting, rollbacks, rewritten files."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect

JOURNAL_MODES = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"]
SYNCHRONOUS = ["OFF", "NORMAL", "FULL", "EXTRA"]
MODES = list(itertools.product(JOURNAL_MODES, SYNCHRONOUS))
ROLLBACK_MODES = JOURNAL_MODES[:4]

FILL = (
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "INSERT INTO t SELECT i, hex(randomblob({size})) FROM n"
)


def content(connection: apsw.Connection) -> list[tuple[object, ...]]:
    assert connection.pragma("integrity_check") == "ok"
    return connection.execute("SELECT * FROM t ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize(("journal_mode", "synchronous"), MODES)
def test_what_was_committed_is_seen_by_another_process(
    connect: Connect, make_vfs: Callable[..., S3VFS], journal_mode: str, synchronous: str
) -> None:
    connection = connect("db")
    assert connection.pragma("journal_mode", journal_mode) == journal_mode.lower()
    connection.pragma("synchronous", synchronous)
    connection.execute("CREATE TABLE t (a, b)")
    for number in range(3):
        connection.execute("INSERT INTO t VALUES (?, 'x')", (number,))
    with connection:
        connection.execute("UPDATE t SET b = 'y' WHERE a = 1")
        connection.execute("DELETE FROM t WHERE a = 2")

    assert content(connect("db", through=make_vfs())) == [(0, "x"), (1, "y")]
    assert content(connection) == [(0, "x"), (1, "y")]


@pytest.mark.parametrize("cache_size", [2, 2000])
@pytest.mark.parametrize(("journal_mode", "synchronous"), MODES)
def test_a_rollback_leaves_nothing_behind(
    connect: Connect,
    make_vfs: Callable[..., S3VFS],
    journal_mode: str,
    synchronous: str,
    cache_size: int,
) -> None:
    """With a cache of two pages the transaction has written pages before it is rolled back."""
    connection = connect("db")
    connection.pragma("journal_mode", journal_mode)
    connection.pragma("synchronous", synchronous)
    connection.pragma("cache_size", cache_size)
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute(FILL.format(rows=200, size=100))
    before, version = content(connection), connection.pragma("s3vfs_version")

    connection.execute("BEGIN; UPDATE t SET b = 'x'; DELETE FROM t WHERE a > 100")
    connection.execute("CREATE TABLE u (a); INSERT INTO u SELECT b FROM t")
    connection.execute("ROLLBACK")

    assert content(connection) == before
    assert connection.pragma("s3vfs_version") == version
    assert content(connect("db", through=make_vfs())) == before
    connection.execute("INSERT INTO t VALUES (0, 'after')")
    assert content(connect("db", through=make_vfs())) == [(0, "after"), *before]


@pytest.mark.parametrize("cache_size", [2, 2000])
@pytest.mark.parametrize("journal_mode", ROLLBACK_MODES)
def test_savepoints_and_failing_statements_roll_back_their_part(
    connect: Connect, make_vfs: Callable[..., S3VFS], journal_mode: str, cache_size: int
) -> None:
    connection = connect("db")
    connection.pragma("journal_mode", journal_mode)
    connection.pragma("cache_size", cache_size)
    connection.execute("CREATE TABLE t (a INTEGER UNIQUE, b)")
    connection.execute("BEGIN")
    connection.execute(FILL.format(rows=200, size=100))
    before = content(connection)
    connection.execute(
        "SAVEPOINT one; UPDATE t SET b = 'one'; SAVEPOINT two; DELETE FROM t WHERE a > 50"
    )
    connection.execute("ROLLBACK TO two; RELEASE two")
    assert {row[1] for row in content(connection)} == {"one"}
    connection.execute("ROLLBACK TO one; RELEASE one")
    with pytest.raises(apsw.ConstraintError):
        connection.execute("UPDATE t SET a = a + 10 * (a > 100), b = 'failed' WHERE a < 195")
    assert content(connection) == before

    connection.execute("COMMIT")

    assert content(connect("db", through=make_vfs())) == before


@pytest.mark.parametrize("block_size", [512, 4095, 4096, 4097, 65536])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_the_file_is_what_sqlite_makes_elsewhere(
    make_vfs: Callable[..., S3VFS], tmp_path: Path, page_size: int, block_size: int
) -> None:
    """The same statements on a local file and here give the same bytes."""
    vfs, local = make_vfs(block_size=block_size), tmp_path / "local.sqlite"
    for connection in (apsw.Connection("db", vfs=vfs.name), apsw.Connection(str(local))):
        connection.execute(f"PRAGMA page_size={page_size}")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        for number in range(5):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, str(number) * 3000))
        connection.execute("DELETE FROM t WHERE a = 2; CREATE INDEX i ON t (b); VACUUM")
        connection.execute("UPDATE t SET b = 'x' WHERE a = 3")
        connection.close()

    assert b"".join(vfs.serialize_iter("db")) == local.read_bytes()


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
@pytest.mark.parametrize("auto_vacuum", ["NONE", "FULL", "INCREMENTAL"])
def test_the_file_shrinks_and_changes_its_page_size(
    connect: Connect, make_vfs: Callable[..., S3VFS], journal_mode: str, auto_vacuum: str
) -> None:
    other = connect("db", through=make_vfs())
    connection = connect("db")
    connection.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
    connection.pragma("journal_mode", journal_mode)
    connection.execute("CREATE TABLE t (a, b)")
    for page_size in (1024, 65536, 512, 4096):
        connection.execute(FILL.format(rows=300, size=300))
        large = connection.pragma("page_count") * connection.pragma("page_size")
        connection.execute("DELETE FROM t WHERE a > 10 AND a < 299; PRAGMA incremental_vacuum")
        connection.pragma("page_size", page_size)
        connection.execute("VACUUM")

        assert connection.pragma("page_size") == page_size
        assert connection.pragma("page_count") * page_size < large
        assert content(other) == content(connection)


def test_a_large_value_and_temporary_objects(connect: Connect, make_vfs: Callable[..., S3VFS]) -> None:
    connection = connect("db")
    connection.execute("PRAGMA cache_size=5; PRAGMA temp.cache_size=5")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    value = bytes(range(256)) * 12_000
    connection.execute("INSERT INTO t VALUES (1, ?), (2, zeroblob(3000000))", (value,))
    with connection.blob_open("main", "t", "b", 2, True) as blob:
        blob.seek(2_500_000)
        blob.write(b"inside")
    connection.execute(
        "CREATE TEMP TABLE s AS SELECT * FROM t; CREATE TEMP TABLE r AS SELECT hex(b) FROM s"
    )

    other = connect("db", through=make_vfs())
    assert other.execute("SELECT b FROM t WHERE a = 1").get == value
    assert other.execute("SELECT substr(b, 2500001, 6), length(b) FROM t WHERE a = 2").get == (
        b"inside",
        3_000_000,
    )
    assert other.execute("SELECT count(*) FROM sqlite_schema").get == 1


@pytest.mark.parametrize("module", ["fts5(b)", "rtree(id, low, high)"])
def test_virtual_tables(connect: Connect, make_vfs: Callable[..., S3VFS], module: str) -> None:
    connection = connect("db")
    connection.execute(f"CREATE VIRTUAL TABLE v USING {module}")
    with connection:
        for number in range(50):
            values = (f"word{number} common",) if "fts5" in module else (number, number, number + 1.0)
            connection.execute(f"INSERT INTO v VALUES ({','.join('?' * len(values))})", values)

    other = connect("db", through=make_vfs())
    where = "v MATCH 'word7'" if "fts5" in module else "low <= 7 AND high >= 7.5"
    assert len(other.execute(f"SELECT * FROM v WHERE {where}").fetchall()) in (1, 8)
    assert other.pragma("integrity_check") == "ok"


@pytest.mark.parametrize("source_mode", ["delete", "wal"])
@pytest.mark.parametrize("target_exists", [False, True])
def test_backup_into_and_out_of_the_store(
    connect: Connect,
    make_vfs: Callable[..., S3VFS],
    tmp_path: Path,
    source_mode: str,
    *,
    target_exists: bool,
) -> None:
    """A backup copies the mark of WAL mode along; here it must not make the database unreadable."""
    target, witness = connect("db"), connect("db", through=make_vfs())
    if target_exists:
        target.execute("CREATE TABLE old (a); INSERT INTO old VALUES (1)")
        assert witness.execute("SELECT * FROM old").fetchall() == [(1,)]
    source = apsw.Connection(str(tmp_path / "source.sqlite"))
    assert source.pragma("journal_mode", source_mode) == source_mode
    source.execute("CREATE TABLE t (a, b)")
    source.execute(FILL.format(rows=500, size=100))

    with target.backup("main", source, "main") as backup:
        backup.step()

    assert content(target) == content(source) == content(witness)
    target.execute("INSERT INTO t VALUES (0, 'after')")
    assert content(witness)[0] == (0, "after")
    back = apsw.Connection(str(tmp_path / "back.sqlite"))
    with back.backup("main", witness, "main") as backup:
        backup.step()
    assert content(back) == content(target)


def test_vacuum_into_both_directions(connect: Connect, vfs: S3VFS, tmp_path: Path) -> None:
    connection = connect("db")
    connection.execute("CREATE TABLE t (a, b)")
    connection.execute(FILL.format(rows=100, size=100))
    local = tmp_path / "local.sqlite"

    connection.execute(f"VACUUM INTO 'file:{local}?vfs={apsw.vfs_names()[0]}'")
    connection.execute("VACUUM INTO 'copies/one'")

    assert sqlite3.connect(local).execute("SELECT count(*) FROM t").fetchone() == (100,)
    assert content(connect("copies/one")) == content(connection)


def test_deserialize_is_seen_by_open_connections(connect: Connect, vfs: S3VFS, tmp_path: Path) -> None:
    connection = connect("db")
    connection.execute("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'old')")
    local = apsw.Connection(str(tmp_path / "local.sqlite"))
    local.pragma("journal_mode", "WAL")
    local.execute("CREATE TABLE t (b, a, c); INSERT INTO t VALUES ('new', 2, 3)")
    local.close()

    vfs.deserialize_iter("db", iter([(tmp_path / "local.sqlite").read_bytes()]))

    assert content(connection) == [("new", 2, 3)]
    connection.execute("INSERT INTO t VALUES ('newer', 3, 4)")
    assert content(connect("db")) == [("new", 2, 3), ("newer", 3, 4)]
    assert vfs.serialize_fileobj("db").read(16) == b"SQLite format 3\0"
