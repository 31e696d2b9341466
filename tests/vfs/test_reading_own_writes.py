"""Inside a write transaction: reads come from the block at hand as far as nothing of it was written."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import apsw
import pytest

from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.planning.overlay import Overlay
from sqlite_s3vfs.vfs.main_file import MainFile
from sqlite_s3vfs.vfs.session import Session
from sqlite_s3vfs.vfs.states import State, Writing
from vfs.conftest import Connect

ROWS = 2000
MakeVFS = Callable[..., S3VFS]


@pytest.fixture
def connection(make_vfs: MakeVFS, connect: Connect) -> apsw.Connection:
    """Blocks of 16 pages, next to no page cache, and little memory for the transaction."""
    settings = Settings(block_size=16384, transaction_bytes=96 << 10)
    opened = connect("db", through=make_vfs(settings=settings))
    opened.execute("pragma page_size = 1024; pragma cache_size = 3")
    opened.execute("create table t(id integer primary key, n, body)")
    with opened:
        opened.executemany(
            "insert into t values (?, 0, ?)", ((number, b"x" * 200) for number in range(ROWS))
        )
    return opened


def wrong_rows(connection: apsw.Connection) -> int:
    """Rows are read and written in turns, back and forth in a block and beyond it; which are wrong?"""
    wrong = 0
    expected = dict.fromkeys(range(ROWS), 0)
    with connection:
        for turn in range(600):
            number = turn * 37 % ROWS
            near = [max(0, number - 5), min(ROWS - 1, number + 5), number]
            wrong += any(
                connection.execute("select n from t where id = ?", (one,)).get != expected[one]
                for one in near
            )
            connection.execute("update t set n = n + 1 where id = ?", (number,))
            expected[number] += 1
            own = connection.execute("select n from t where id = ?", (number,)).get
            wrong += own != expected[number]
        wrong += dict(connection.execute("select id, n from t")) != expected
    return wrong + (dict(connection.execute("select id, n from t")) != expected)


def is_noticed(connection: apsw.Connection) -> bool:
    try:
        return wrong_rows(connection) > 0
    except apsw.CorruptError:
        return True


def test_what_was_written_is_read_back(connection: apsw.Connection):
    assert wrong_rows(connection) == 0
    assert connection.execute("pragma integrity_check").get == "ok"


def test_a_block_with_writes_must_not_be_shown_as_it_was(connection: apsw.Connection):
    """The twin: without that rule SQLite sees pages as they were."""
    with patch.object(Overlay, "shows_base", lambda overlay, start, stop: True):
        assert is_noticed(connection)


def test_a_write_takes_the_shown_block_away(connection: apsw.Connection):
    """Likewise: a block that was shown before it was written to."""
    write = Session.write

    def forgetful(session: Session, offset: int, data: bytes) -> None:
        window = session.window
        write(session, offset, data)
        session.window = window

    with patch.object(Session, "write", forgetful):
        assert is_noticed(connection)


def test_most_pages_of_a_transaction_come_out_of_hand(connection: apsw.Connection):
    """A change of every row reads each page to journal it: one look at the overlay for each block."""
    read, seen = MainFile.xRead, [0, 0]
    state_read = Writing.read

    def counted(file: MainFile, amount: int, offset: int) -> object:
        seen[0] += isinstance(file._session.state, Writing)
        return read(file, amount, offset)

    def looked_up(state: State, offset: int, size: int, ahead: object) -> object:
        seen[1] += 1
        return state_read(state, offset, size, ahead)

    with patch.object(MainFile, "xRead", counted), patch.object(Writing, "read", looked_up):
        connection.execute("update t set n = n + 1 where id % 4 = 0 and id < 1000")
        connection.execute("begin immediate")
        assert connection.execute("select count(*) from t where n = 0").get == ROWS - 250
        connection.execute("rollback")

    pages, looks = seen
    assert pages > ROWS / 5
    assert looks < pages / 2
