"""Conflicts, and what a connection sees after them: never a page of another version."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw
import pytest

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from sqlite_s3vfs.wiring import open_database
from vfs.conftest import Connect

JOURNAL_MODES = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"]


def values(connection: apsw.Connection) -> list[object]:
    return [row[0] for row in connection.execute("SELECT v FROM t ORDER BY rowid")]


@pytest.fixture(params=JOURNAL_MODES)
def rivals(
    request: pytest.FixtureRequest, connect: Connect, make_vfs: Callable[..., S3VFS]
) -> Iterator[tuple[apsw.Connection, apsw.Connection]]:
    """Two connections as if in two processes; ``t`` holds the value ``base``."""
    pair = connect("db"), connect("db", through=make_vfs())
    for connection in pair:
        connection.pragma("journal_mode", request.param)
    pair[0].execute("CREATE TABLE t (v); INSERT INTO t VALUES ('base')")
    return pair


def test_the_second_of_two_commits_is_refused_and_its_next_one_is_right(
    rivals: tuple[apsw.Connection, apsw.Connection],
) -> None:
    winner, loser = rivals
    loser.execute("BEGIN; UPDATE t SET v = 'lost'; INSERT INTO t VALUES ('lost')")
    winner.execute("INSERT INTO t VALUES ('won')")

    with pytest.raises(apsw.BusyError, match="run the transaction again") as caught:
        loser.execute("COMMIT")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert isinstance(caught.value.__cause__, ConflictError)
    assert not loser.in_transaction
    assert values(loser) == values(winner) == ["base", "won"]
    loser.execute("INSERT INTO t VALUES ('again')")
    assert values(loser) == values(winner) == ["base", "won", "again"]
    assert loser.pragma("integrity_check") == winner.pragma("integrity_check") == "ok"


def test_a_statement_on_its_own_is_refused_likewise(
    rivals: tuple[apsw.Connection, apsw.Connection],
) -> None:
    """The rival commits while the statement runs."""
    winner, loser = rivals
    loser.create_scalar_function("meanwhile", lambda: winner.execute("INSERT INTO t VALUES ('won')").get)

    with pytest.raises(apsw.BusyError) as caught:
        loser.execute("INSERT INTO t SELECT 'lost' || ifnull(meanwhile(), '')")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert values(loser) == ["base", "won"]


def test_the_losers_open_cursor_keeps_its_version(
    rivals: tuple[apsw.Connection, apsw.Connection],
) -> None:
    winner, loser = rivals
    with winner:
        winner.executemany("INSERT INTO t VALUES (?)", [(f"{n:0500}",) for n in range(100)])
    expected = values(loser)
    loser.execute("PRAGMA cache_size=3")
    cursor = loser.execute("SELECT v FROM t ORDER BY rowid")
    seen = [next(cursor)[0]]
    loser.execute("BEGIN; UPDATE t SET v = 'lost'")
    winner.execute("DELETE FROM t")

    with pytest.raises(apsw.BusyError):
        loser.execute("COMMIT")

    if loser.pragma("journal_mode") == "off":
        with pytest.raises(apsw.AbortError):  # without a journal SQLite ends them in a rollback
            list(cursor)
    else:
        seen += [row[0] for row in cursor]
        assert seen == expected
    assert values(loser) == []


def test_a_reader_that_is_known_to_be_behind_cannot_begin_to_write(
    rivals: tuple[apsw.Connection, apsw.Connection], connect: Connect, vfs: S3VFS
) -> None:
    """As in WAL mode: refused at the first write, and the reader goes on until it ends."""
    reader, _ = rivals
    reader.execute("BEGIN")
    assert values(reader) == ["base"]
    connect("db").execute("INSERT INTO t VALUES ('new')")

    with pytest.raises(apsw.BusyError) as caught:
        reader.execute("INSERT INTO t VALUES ('late')")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert reader.in_transaction
    assert values(reader) == ["base"]
    reader.execute("ROLLBACK")
    assert values(reader) == ["base", "new"]


def test_a_reader_keeps_its_version_through_its_whole_transaction(
    rivals: tuple[apsw.Connection, apsw.Connection],
) -> None:
    writer, reader = rivals
    reader.execute("BEGIN")
    assert values(reader) == ["base"]

    for number in range(5):
        writer.execute("UPDATE t SET v = ?", (number,))
        assert values(reader) == ["base"]

    reader.execute("COMMIT")
    assert values(reader) == [4]


def test_commits_under_an_open_cursor_build_on_each_other(
    rivals: tuple[apsw.Connection, apsw.Connection],
) -> None:
    """SQLite never lets go of SHARED meanwhile: the version has to move on with each commit."""
    connection, other = rivals
    connection.execute("INSERT INTO t VALUES ('second')")
    cursor = connection.execute("SELECT v FROM t")
    next(cursor)

    for number in range(3):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    other_sees = values(other)
    cursor.close()

    assert other_sees == values(connection) == ["base", "second", 0, 1, 2]


def test_a_foreign_commit_with_an_equal_change_counter_is_seen(
    rivals: tuple[apsw.Connection, apsw.Connection], store: ObjectStore
) -> None:
    """SQLite itself compares counters only; histories that part and meet again may have equal ones."""
    connection, _ = rivals
    assert values(connection) == ["base"]
    database = open_database(Engine(store), "db")
    transaction = database.begin(database.snapshot())
    before = bytes(transaction.read(0, transaction.size))
    leaf = before[4096:8192].replace(b"base", b"BASE")
    transaction.write(4096, leaf)
    transaction.commit(transaction.size)
    transaction.close()

    assert values(connection) == ["BASE"]
    assert bytes(database.snapshot().read(24, 16)) == before[24:40]


def test_own_commits_keep_the_page_cache(connect: Connect, make_vfs: Callable[..., S3VFS]) -> None:
    """A foreign commit costs the pages again, an own one does not."""
    connection, other = connect("db"), connect("db", through=make_vfs())
    connection.execute("CREATE TABLE t (v)")
    connection.executemany("INSERT INTO t VALUES (?)", [(f"{n:0500}",) for n in range(100)])

    def misses() -> int:
        before = connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
        values(connection)
        return connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - before

    misses()
    assert misses() == 0
    connection.execute("INSERT INTO t VALUES ('own')")
    assert misses() == 0
    connection.execute("BEGIN; INSERT INTO t VALUES ('rolled back'); ROLLBACK")
    assert misses() == 0
    other.execute("INSERT INTO t VALUES ('foreign')")
    assert misses() > 10


def test_a_schema_change_elsewhere_is_noticed(rivals: tuple[apsw.Connection, apsw.Connection]) -> None:
    one, other = rivals
    assert values(other) == ["base"]

    one.execute("ALTER TABLE t ADD COLUMN w DEFAULT 7; CREATE TABLE u AS SELECT * FROM t")

    assert other.execute("SELECT * FROM t").fetchall() == [("base", 7)]
    assert other.execute("SELECT * FROM u").fetchall() == [("base", 7)]
    one.execute("DROP TABLE u")
    with pytest.raises(apsw.SQLError, match="no such table"):
        other.execute("SELECT * FROM u")
