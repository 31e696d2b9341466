"""What SQL costs, in requests: 4 KiB pages, everything that was seen before at hand."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import pytest

from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect

Spent = Callable[[], tuple[int, int]]


@pytest.fixture
def connection(connect: Connect) -> apsw.Connection:
    connection = connect("db")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)")
    with connection:
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{n:0100}") for n in range(300)])
    return connection


@pytest.fixture
def spent(vfs: S3VFS, connection: apsw.Connection) -> Spent:
    """(GETs, PUTs) since the last call; lists and deletes must be none."""
    last = vfs.metrics()

    def since() -> tuple[int, int]:
        nonlocal last
        now = vfs.metrics()
        difference, last = now - last, now
        assert difference.list.requests == difference.delete.requests == 0
        return difference.get.requests, difference.put.requests

    return since


def test_a_one_row_update_is_one_conditional_get_and_one_put(
    connection: apsw.Connection, spent: Spent
) -> None:
    connection.execute("UPDATE t SET b = 'new' WHERE a = 7")

    assert spent() == (1, 1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT b FROM t WHERE a = 7",
        "SELECT a FROM t WHERE b > '5'",
        "BEGIN; SELECT b FROM t WHERE a = 7; SELECT count(*) FROM t; COMMIT",
        "BEGIN IMMEDIATE; COMMIT",
        "UPDATE t SET b = 'new' WHERE a = 1000",
        "BEGIN; UPDATE t SET b = 'x' WHERE a < 100; SELECT sum(a) FROM t; ROLLBACK",
    ],
)
def test_what_commits_nothing_is_one_conditional_get(
    connection: apsw.Connection, spent: Spent, sql: str
) -> None:
    connection.execute(sql).fetchall()

    assert spent() == (1, 0)


def test_questions_in_a_transaction_cost_nothing(connection: apsw.Connection, spent: Spent) -> None:
    connection.execute("BEGIN; SELECT * FROM t").fetchall()
    spent()

    for name in ("version", "commit_id", "block_size", "stats"):
        connection.pragma(f"s3vfs_{name}")
    connection.execute("SELECT count(*) FROM t, t AS u").fetchall()

    assert spent() == (0, 0)


def test_opening_costs_nothing_and_the_header_is_read_once(
    connect: Connect, make_vfs: Callable[..., S3VFS], connection: apsw.Connection
) -> None:
    fresh = make_vfs()

    other = connect("db", through=fresh)
    at_open = fresh.metrics()
    other.execute("SELECT b FROM t WHERE a = 7").fetchall()

    assert at_open.total.requests <= 1
    assert fresh.metrics().total.requests <= 4
