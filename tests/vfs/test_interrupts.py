"""Ctrl-C at any instruction: no torn commit, no lost lock, and the same connection goes on."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from functools import partial

import apsw
import pytest

from sqlite_s3vfs import interrupts
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.faults import puts_of
from sqlite_s3vfs.vfs.main_file import MainFile
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect
from vfs.interference import BeforeCall, keyboard_interrupt_at


def rows(connection: apsw.Connection) -> list[object]:
    assert connection.pragma("integrity_check") == "ok"
    return [row[0] for row in connection.execute("SELECT v FROM t ORDER BY rowid")]


@pytest.fixture
def interrupted(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore
) -> tuple[apsw.Connection, BeforeCall]:
    """A connection, and what sends SIGINT to the process during the put of its next manifest."""
    press = BeforeCall(store, puts_of("db/manifest"), lambda: os.kill(os.getpid(), signal.SIGINT))
    connection = connect("db", through=make_vfs(press))
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES ('old')")
    return connection, press


@pytest.mark.parametrize("journal_mode", ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"])
@pytest.mark.parametrize(
    "sql", ["INSERT INTO t VALUES ('new')", "BEGIN; INSERT INTO t VALUES ('new'); COMMIT"]
)
def test_an_interrupt_during_the_publish_arrives_after_the_commit(
    interrupted: tuple[apsw.Connection, BeforeCall], connect: Connect, journal_mode: str, sql: str
) -> None:
    connection, press = interrupted
    connection.pragma("journal_mode", journal_mode)
    press.arm()

    with pytest.raises(KeyboardInterrupt):
        connection.execute(sql)

    assert press.struck
    assert not connection.in_transaction
    assert rows(connect("db")) == rows(connection) == ["old", "new"]
    connection.execute("INSERT INTO t VALUES ('after')")
    assert rows(connect("db")) == ["old", "new", "after"]


def test_an_interrupt_during_a_refused_commit_leaves_nothing(
    interrupted: tuple[apsw.Connection, BeforeCall], connect: Connect
) -> None:
    connection, press = interrupted
    connection.execute("BEGIN; INSERT INTO t VALUES ('lost')")
    connect("db").execute("INSERT INTO t VALUES ('won')")
    press.arm()

    with pytest.raises((KeyboardInterrupt, apsw.BusyError)):
        connection.execute("COMMIT")

    assert not connection.in_transaction
    assert rows(connection) == ["old", "won"]


SCRIPTS = {
    "insert": "INSERT INTO t VALUES ('new')",
    "transaction": "BEGIN; INSERT INTO t VALUES ('new'); COMMIT",
    "spilled": "BEGIN; UPDATE t SET v = v || hex(zeroblob(9000)); UPDATE t SET v = 'new'; COMMIT",
    "rollback": "BEGIN; UPDATE t SET v = v || hex(zeroblob(9000)); ROLLBACK",
    "attached": "BEGIN; INSERT INTO t VALUES ('new'); INSERT INTO other.u VALUES ('new'); COMMIT",
    "conflict": "COMMIT",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where none can be told
@pytest.mark.parametrize("open_cursor", [False, True])
@pytest.mark.parametrize("journal_mode", ["DELETE", "MEMORY"])
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.long)])
def test_an_interrupt_at_any_line_tears_nothing(
    connect: Connect,
    make_vfs: Callable[..., S3VFS],
    script: str,
    journal_mode: str,
    stride: int,
    *,
    open_cursor: bool,
) -> None:
    """Strike each line of the package in turn, then go on with the same connection."""
    witness_vfs = make_vfs()
    first = (list(SCRIPTS).index(script) * 4 + len(journal_mode) + open_cursor) % stride
    for step in itertools.count(first, stride):
        name = f"db{step}"
        connection = connect(name)
        connection.execute(f"ATTACH '{name}-other' AS other; CREATE TABLE other.u (v)")
        connection.pragma("journal_mode", journal_mode)
        connection.execute("PRAGMA cache_size=3; CREATE TABLE t (v)")
        connection.execute("INSERT INTO t VALUES ('old'), (zeroblob(5000)), ('old')")
        before = rows(connection)
        if script == "conflict":
            connection.execute("BEGIN; INSERT INTO t VALUES ('lost'); INSERT INTO other.u VALUES (1)")
            connect(name, through=witness_vfs).execute("INSERT INTO t VALUES ('won')")
            before.append("won")
        cursor = connection.execute("SELECT v FROM t") if open_cursor else None

        struck = _run_and_strike(connection, SCRIPTS[script], step)

        if cursor is not None:
            cursor.close(force=True)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        witness = connect(name, through=witness_vfs)
        assert rows(connection) == rows(witness), f"step={step}"
        if not struck:
            assert (rows(witness) != before) == (script not in ("rollback", "conflict"))
            return
        neighbour = connect(name)  # shares the write lock
        neighbour.execute("INSERT INTO t VALUES ('neighbour')")
        connection.execute("INSERT INTO t VALUES ('after')")
        assert rows(connection) == rows(witness) == rows(neighbour)
        assert rows(connection)[-2:] == ["neighbour", "after"]
        connection.execute("INSERT INTO other.u VALUES ('after')")
        for opened in (connection, witness, neighbour):
            opened.close()


def _run_and_strike(connection: apsw.Connection, script: str, step: int) -> bool:
    """Whether the interrupt came before the script was through."""
    with keyboard_interrupt_at(step) as raised:
        try:
            connection.execute(script)
        except KeyboardInterrupt:
            pass
        except apsw.Error:  # a conflict, or SQLite met the interrupt in a place of its own
            if not raised() and script != SCRIPTS["conflict"]:
                raise
        return raised()


@pytest.mark.parametrize("journal_mode", ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"])
def test_a_rollback_of_what_is_published_takes_the_open_cursor_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, journal_mode: str
) -> None:
    """Between sync and unlock: SQLite restores its page cache, so the version goes back with it."""
    connection = connect("db")
    connection.pragma("journal_mode", journal_mode)
    connection.execute("PRAGMA synchronous=FULL; PRAGMA cache_size=3; CREATE TABLE t (v)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n:0500}",) for n in range(100)])
    before = rows(connection)
    cursor = connection.execute("SELECT v FROM t ORDER BY rowid")
    seen = [next(cursor)[0]]
    connection.execute("BEGIN; UPDATE t SET v = 'new' || v")

    def interrupt(file: MainFile, flags: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MainFile, "xSync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            connection.execute("COMMIT")

    seen += [row[0] for row in cursor]
    assert seen == before
    assert rows(connect("db")) == rows(connection) == [f"new{v}" for v in before]


def test_an_interrupt_at_any_line_runs_an_uninterrupted_step_once_or_never() -> None:
    for line in itertools.count():
        runs: list[int] = []
        with keyboard_interrupt_at(line, within=interrupts.__file__) as raised:
            try:
                interrupts.run_uninterrupted(partial(runs.append, 1))
                told = "done"
            except KeyboardInterrupt:
                told = "interrupted"
        assert runs == [1] or (told == "interrupted" and not runs), f"line={line}"
        if not raised():
            assert told == "done"
            assert line > 10
            return


def test_a_commit_leaves_no_thread_behind_that_cannot_be_joined(connect: Connect) -> None:
    before = set(threading.enumerate())
    connection = connect("db")
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    connection.close()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("s3vfs-step"):
            thread.join(60)
        assert not isinstance(thread, threading._DummyThread)
