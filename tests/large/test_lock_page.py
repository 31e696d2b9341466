"""Databases that reach over the page at 1 GiB, which SQLite never uses.

It is the page of the byte that file systems lock
(https://www.sqlite.org/fileformat2.html#the_lock_byte_page).
Blobs of zeros bring a database there cheaply: nobody stores them twice.
"""

from __future__ import annotations

import random

import pytest

from large.conftest import MakeTwins
from large.twins import Twins
from sqlite_s3vfs.store.memory import MemoryObjectStore

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

GIB = 1 << 30
STEP = 60 << 20
INSERT = "INSERT INTO t (body) VALUES (?)"


def rows(noise: random.Random, count: int) -> list[tuple[bytes]]:
    return [(noise.randbytes(noise.randrange(20000, 60000)),) for _ in range(count)]


def size_of(twins: Twins) -> int:
    return twins.manifest()[0].size


@pytest.mark.parametrize(
    ("page_size", "block_size"), [(65536, 64 << 10), (4096, 64 << 10), (32768, 1_000_003)]
)
def test_a_database_grows_over_the_lock_page_and_shrinks_and_grows_again(
    twins_over: MakeTwins, page_size: int, block_size: int
) -> None:
    noise = random.Random(page_size)
    twins = twins_over(MemoryObjectStore(), block_size=block_size)
    twins.execute(f"PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = INCREMENTAL")
    twins.execute("CREATE TABLE zeros (id INTEGER PRIMARY KEY, body)")
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body); CREATE INDEX i ON t (length(body))")
    while size_of(twins) + STEP < GIB:
        twins.execute("INSERT INTO zeros (body) VALUES (zeroblob(?))", (STEP - (1 << 20),))
    assert GIB - STEP - (1 << 20) < size_of(twins) < GIB
    for connection in twins.both:                   # over it, and back by a rollback
        connection.execute("PRAGMA cache_size = -1000; BEGIN")
        connection.executemany(INSERT, rows(random.Random(1), 2500))
        connection.execute("ROLLBACK")
    assert size_of(twins) < GIB
    while size_of(twins) < GIB + (8 << 20):         # over it in many commits
        twins.insert(INSERT, rows(noise, 100))
    twins.check(tables=("t",))

    twins.execute("UPDATE t SET body = CAST(body || 'x' AS BLOB) WHERE id % 3 = 0")
    twins.execute("BEGIN; DELETE FROM t WHERE id % 2 = 0; SAVEPOINT a; DELETE FROM zeros WHERE id = 3")
    twins.execute("ROLLBACK TO a; COMMIT")
    twins.execute("DELETE FROM zeros WHERE id < 3; PRAGMA incremental_vacuum")
    assert size_of(twins) < GIB                     # what lay behind it has moved to before it
    twins.check(tables=("t",))

    twins.reopen()
    while size_of(twins) < GIB + (8 << 20):
        twins.insert(INSERT, rows(noise, 500))
    twins.check(tables=("t",))
