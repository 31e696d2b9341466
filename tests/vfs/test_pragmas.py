"""Questions that a connection can ask with PRAGMA s3vfs_…"""

from __future__ import annotations

import json
from collections.abc import Callable

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.vfs.pragmas import ANSWERS, SETTERS
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect


@pytest.fixture
def connection(connect: Connect) -> apsw.Connection:
    connection = connect("db")
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    return connection


def ask(connection: apsw.Connection, name: str, schema: str = "main") -> str:
    return str(connection.execute(f"PRAGMA {schema}.s3vfs_{name}").get)


def test_the_version_is_the_one_that_the_transaction_reads(
    connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS]
) -> None:
    other = connect("db", through=make_vfs())
    assert ask(connection, "version") == ask(other, "version") == "2"
    other.execute("BEGIN; SELECT v FROM t")
    before = ask(other, "version"), ask(other, "commit_id")

    connection.execute("INSERT INTO t VALUES (2)")

    assert (ask(other, "version"), ask(other, "commit_id")) == before
    assert ask(connection, "version") == "3"
    other.execute("COMMIT")
    assert ask(other, "version") == "3"
    assert ask(other, "commit_id") == ask(connection, "commit_id") != before[1]


def test_a_database_that_does_not_exist_has_version_0(connect: Connect) -> None:
    connection = connect("db")

    assert ask(connection, "version") == "0"
    assert ask(connection, "commit_id") == ""
    assert ask(connection, "block_size") == "65536"


def test_the_block_size_belongs_to_the_database(
    connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS]
) -> None:
    other_default = make_vfs(block_size=4096)

    assert ask(connect("db", through=other_default), "block_size") == "65536"
    assert ask(connect("new", through=other_default), "block_size") == "4096"


def test_the_counters_are_json(connection: apsw.Connection, vfs: S3VFS) -> None:
    counters = json.loads(ask(connection, "stats"))

    assert counters == vfs.metrics().as_dict()
    assert counters["put"]["requests"] > 0


def test_each_attached_database_answers_for_itself(connection: apsw.Connection) -> None:
    connection.execute("ATTACH 'b' AS b; CREATE TABLE b.t (v)")

    assert (ask(connection, "version"), ask(connection, "version", "b")) == ("2", "1")


@pytest.mark.parametrize("pragma", ["s3vfs_versions", "s3vfs_", "S3VFS_Nope", "s3vfs_nope=1"])
def test_an_unknown_question_lists_the_known_ones(connection: apsw.Connection, pragma: str) -> None:
    with pytest.raises(apsw.SQLError) as caught:
        connection.execute(f"PRAGMA {pragma}")

    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert all(name in str(caught.value) for name in ANSWERS)


@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - SETTERS))
def test_a_question_takes_no_value(connection: apsw.Connection, name: str) -> None:
    with pytest.raises(apsw.SQLError, match="takes no value"):
        connection.execute(f"PRAGMA {name}=1")

    assert connection.execute(f"PRAGMA {name.upper()}").get is not None
