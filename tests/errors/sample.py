"""A small database that has some of everything: blocks, a tail, history, an index."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from sqlite_s3vfs.vfs.s3vfs import S3VFS

ROWS = "SELECT id, body FROM t ORDER BY id"
COUNT = "SELECT count(*) FROM t"
SMALL = "UPDATE t SET body = 'small' WHERE id = 7"
"""A commit that rides in the manifest."""
LARGE = "UPDATE t SET body = randomblob(900)"
"""A commit that has to write blocks."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A database in the store, and what it holds."""

    name: str
    rows: list[tuple[int, object]]
    file: bytes


def make_sample(vfs: S3VFS, name: str) -> Sample:
    """Write it."""
    connection = apsw.Connection(name, vfs=vfs.name)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body); CREATE INDEX i ON t (body)")
    with connection:
        connection.executemany("INSERT INTO t (body) VALUES (?)", ((f"{n:0400}",) for n in range(100)))
    connection.execute(LARGE)
    connection.execute("UPDATE t SET body = 'in the tail' WHERE id % 40 = 1")
    connection.close()
    return sample_of(vfs, name)


def sample_of(vfs: S3VFS, name: str) -> Sample:
    """What a database holds now."""
    connection = apsw.Connection(name, vfs=vfs.name)
    rows = connection.execute(ROWS).fetchall()
    connection.close()
    return Sample(name, rows, b"".join(vfs.serialize_iter(name)))


def plain_file() -> bytes:
    """Another SQLite database, as the bytes of its file."""
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE other (v); INSERT INTO other VALUES (zeroblob(200000))")
    return connection.serialize("main")


def read_all(connection: apsw.Connection) -> list[tuple[int, object]]:
    """Every row, after a look at every page."""
    assert connection.pragma("integrity_check") == "ok"
    return connection.execute(ROWS).fetchall()
