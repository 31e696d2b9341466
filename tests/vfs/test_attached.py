"""One transaction over several databases: all, none, or an error that says "partial"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from sqlite_s3vfs.errors import ConflictError, PartialCommitError, StoreUnavailableError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.faults import FOREVER, At, Fail, FaultyStore, puts_of
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect
from vfs.interference import BeforeCall

JOURNAL_MODES = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"]


def open_two(connect: Connect, journal_mode: str, through: S3VFS | None = None) -> apsw.Connection:
    """``a`` as main and ``b`` attached, one row each."""
    connection = connect("a", through=through)
    connection.execute("ATTACH 'b' AS b")
    for schema in ("main", "b"):
        connection.execute(f"PRAGMA {schema}.journal_mode={journal_mode}")
        connection.execute(f"CREATE TABLE {schema}.t (v)")
        connection.execute(f"INSERT INTO {schema}.t VALUES ('old')")
    return connection


def rows(connection: apsw.Connection, schema: str = "main") -> list[str]:
    return [row[0] for row in connection.execute(f"SELECT v FROM {schema}.t ORDER BY rowid")]


def write_both(connection: apsw.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO main.t VALUES ('new')")
    connection.execute("INSERT INTO b.t VALUES ('new')")


@pytest.mark.parametrize("synchronous", ["OFF", "FULL"])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_both_databases_are_committed(connect: Connect, journal_mode: str, synchronous: str) -> None:
    connection = open_two(connect, journal_mode)
    connection.execute(f"PRAGMA main.synchronous={synchronous}; PRAGMA b.synchronous={synchronous}")

    for _ in range(3):
        write_both(connection)
        connection.execute("COMMIT")

    assert rows(connect("a")) == rows(connect("b")) == ["old", "new", "new", "new"]
    assert rows(connection) == rows(connection, "b") == ["old", "new", "new", "new"]


@pytest.mark.parametrize("loser", ["a", "b"])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_conflict_in_one_leaves_both_as_they_were(
    connect: Connect, make_vfs: Callable[..., S3VFS], journal_mode: str, loser: str
) -> None:
    """The other process commits after the transaction has begun: seen by the check in phase one."""
    connection = open_two(connect, journal_mode)
    write_both(connection)
    connect(loser, through=make_vfs()).execute("INSERT INTO t VALUES ('other')")

    with pytest.raises(apsw.BusyError) as caught:
        connection.execute("COMMIT")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert isinstance(caught.value.__cause__, ConflictError)
    assert not connection.in_transaction
    expected = {"a": ["old"], "b": ["old"]}
    expected[loser] = ["old", "other"]
    assert {"a": rows(connection), "b": rows(connection, "b")} == expected
    write_both(connection)
    connection.execute("COMMIT")
    assert rows(connection) == expected["a"] + ["new"]
    assert rows(connection, "b") == expected["b"] + ["new"]


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_conflict_between_check_and_publish_of_the_first_commits_nothing(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore, journal_mode: str
) -> None:
    other = connect("a", through=make_vfs())
    race = BeforeCall(
        store, puts_of("a/manifest"), lambda: other.execute("INSERT INTO t VALUES ('other')")
    )
    connection = open_two(connect, journal_mode, make_vfs(race))
    write_both(connection)
    race.arm()

    with pytest.raises(apsw.IOError) as caught:
        connection.execute("COMMIT")

    assert isinstance(caught.value.__cause__, ConflictError)
    assert not connection.in_transaction
    assert rows(connection) == ["old", "other"]
    assert rows(connection, "b") == ["old"]
    write_both(connection)
    connection.execute("COMMIT")
    assert rows(connection) == ["old", "other", "new"]
    assert rows(connection, "b") == ["old", "new"]


@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_conflict_after_the_first_was_published_is_a_partial_commit(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore, journal_mode: str
) -> None:
    other = connect("b", through=make_vfs())
    race = BeforeCall(
        store, puts_of("b/manifest"), lambda: other.execute("INSERT INTO t VALUES ('other')")
    )
    connection = open_two(connect, journal_mode, make_vfs(race))
    write_both(connection)
    race.arm()

    with pytest.raises(apsw.IOError) as caught:
        connection.execute("COMMIT")

    assert isinstance(caught.value.__cause__, PartialCommitError)
    assert isinstance(caught.value.__cause__.__cause__, ConflictError)
    assert "not_committed='b' committed=['a']" in str(caught.value)
    assert not connection.in_transaction
    assert rows(connection) == ["old", "new"]
    assert rows(connection, "b") == ["old", "other"]
    write_both(connection)
    connection.execute("COMMIT")
    assert rows(connection) == ["old", "new", "new"]
    assert rows(connection, "b") == ["old", "other", "new"]


def test_an_open_cursor_never_shows_what_was_refused(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore
) -> None:
    """In the super-journal path SQLite ignores what phase two answers, but not an I/O error's effect."""
    other = connect("a", through=make_vfs())
    race = BeforeCall(
        store, puts_of("a/manifest"), lambda: other.execute("INSERT INTO t VALUES ('other')")
    )
    connection = open_two(connect, "DELETE", make_vfs(race))
    connection.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
        "INSERT INTO b.t SELECT hex(randomblob(200)) FROM n"
    )
    cursor = connection.execute("SELECT v FROM b.t ORDER BY rowid")
    next(cursor)
    write_both(connection)
    connection.execute("UPDATE b.t SET v = 'phantom'")
    race.arm()

    with pytest.raises(apsw.IOError):
        connection.execute("COMMIT")

    with pytest.raises(apsw.IOError):  # SQLite has dropped the cache that the cursor stood on
        list(cursor)
    assert "phantom" not in rows(connection, "b")
    assert connection.execute("PRAGMA b.integrity_check").fetchall() == [("ok",)]


def test_a_store_that_is_down_in_phase_one_lets_commit_be_repeated(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore
) -> None:
    faulty = FaultyStore(store)
    connection = open_two(connect, "DELETE", make_vfs(faulty))
    write_both(connection)
    faulty.plan(At(0, Fail(silence=FOREVER)))

    with pytest.raises(apsw.BusyError) as caught:
        connection.execute("COMMIT")
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    assert connection.in_transaction
    faulty.heal()
    connection.execute("COMMIT")

    assert rows(connect("a")) == rows(connect("b")) == ["old", "new"]


def test_a_local_file_takes_part(connect: Connect, tmp_path: Path) -> None:
    """SQLite names a super-journal, so the publish waits for phase two."""
    local = str(tmp_path / "local.sqlite")
    connection = connect("a")
    connection.execute(f"ATTACH 'file:{local}?vfs={apsw.vfs_names()[0]}' AS b")
    for schema in ("main", "b"):
        connection.execute(f"CREATE TABLE {schema}.t (v)")

    write_both(connection)
    connection.execute("COMMIT")

    assert rows(connect("a")) == ["new"]
    assert rows(apsw.Connection(local)) == ["new"]


def test_a_local_file_is_committed_where_ours_was_refused_too_late(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore, tmp_path: Path
) -> None:
    local = str(tmp_path / "local.sqlite")
    other = connect("a", through=make_vfs())
    race = BeforeCall(
        store, puts_of("a/manifest"), lambda: other.execute("INSERT INTO t VALUES ('other')")
    )
    connection = connect("a", through=make_vfs(race))
    connection.execute(f"ATTACH 'file:{local}?vfs={apsw.vfs_names()[0]}' AS b")
    for schema in ("main", "b"):
        connection.execute(f"CREATE TABLE {schema}.t (v)")
    write_both(connection)
    race.arm()

    with pytest.raises(apsw.IOError) as caught:
        connection.execute("COMMIT")

    assert isinstance(caught.value.__cause__, PartialCommitError)
    assert rows(connection) == ["other"]
    assert rows(apsw.Connection(local)) == ["new"]


def test_a_second_database_that_is_only_read_costs_no_check(connect: Connect, vfs: S3VFS) -> None:
    connection = open_two(connect, "DELETE")
    connection.execute("BEGIN")
    rows(connection, "b")
    connection.execute("INSERT INTO main.t VALUES ('new')")
    before = vfs.metrics()

    connection.execute("COMMIT")

    spent = vfs.metrics() - before
    assert (spent.get.requests, spent.put.requests) == (0, 1)


def test_a_rollback_is_played_back_where_another_vfs_made_the_super_journal(
    connect: Connect, make_vfs: Callable[..., S3VFS], tmp_path: Path
) -> None:
    """SQLite plays no journal back whose super-journal is gone: it must exist for every VFS of ours."""
    local = str(tmp_path / "local.sqlite")
    for main, main_vfs in (("a", make_vfs().name), (local, apsw.vfs_names()[0])):
        connection = apsw.Connection(
            main,
            vfs=main_vfs,
            flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI,
        )
        connection.execute(f"ATTACH 'file:b?vfs={make_vfs().name}' AS b")
        connection.execute(f"ATTACH 'file:c?vfs={make_vfs().name}' AS c")
        for schema in ("main", "b", "c"):
            connection.execute(f"CREATE TABLE IF NOT EXISTS {schema}.t (v)")
            connection.execute(f"DELETE FROM {schema}.t; INSERT INTO {schema}.t VALUES ('old')")
        write_both(connection)
        connection.execute("INSERT INTO c.t VALUES ('new')")
        connect("c", through=make_vfs()).execute("INSERT INTO t VALUES ('other')")

        with pytest.raises(apsw.BusyError):
            connection.execute("COMMIT")

        assert rows(connection) == rows(connection, "b") == ["old"]
        assert rows(connection, "c") == ["old", "other"]
        connection.close()
