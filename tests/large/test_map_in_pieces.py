"""Maps of more blocks than a manifest holds, under what real SQLite does to them.

Blocks of 512 bytes: 2 048 of them make the first piece, 4 096 a whole one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw
import pytest

from large.conftest import MakeTwins
from large.twins import Twins
from sqlite_s3vfs.planning.mapfold import RECENT_MAX
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore

MANIFEST_SIZE_MAX = 256 << 10
INSERT = "INSERT INTO t (body) VALUES (?)"

pytestmark = pytest.mark.slow


def rows(noise: random.Random, count: int) -> list[tuple[bytes]]:
    return [(noise.randbytes(noise.randrange(50, 900)),) for _ in range(count)]


def grow(twins: Twins, noise: random.Random, blocks: int) -> None:
    """Insert until the map has that many blocks, and then some."""
    while twins.manifest()[0].block_count <= blocks:
        twins.insert(INSERT, rows(noise, 2000))


def check(twins: Twins, *, pieces: int | None = None) -> None:
    """All is right, and the manifest stays small; it refers to at least ``pieces`` map pieces."""
    manifest, size = twins.manifest()
    assert size < MANIFEST_SIZE_MAX
    assert len(manifest.blocks.recent) <= RECENT_MAX
    assert pieces is None or len(manifest.blocks.pieces) >= pieces
    twins.check()


@pytest.mark.parametrize(
    "any_store", ["memory", pytest.param("minio", marks=pytest.mark.long)], indirect=True
)
def test_the_life_of_a_database_with_a_large_map(any_store: ObjectStore, twins_over: MakeTwins) -> None:
    noise = random.Random(1)
    twins = twins_over(any_store, block_size=512)
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    grow(twins, noise, 2048)
    check(twins, pieces=1)
    grow(twins, noise, 8192)
    check(twins, pieces=3)

    for _ in range(20):                                  # small commits on top: tail and recent rows
        row = noise.randrange(1, 9000)
        twins.execute("UPDATE t SET body = ? WHERE id = ?", (noise.randbytes(200), row))
    twins.execute("UPDATE t SET body = zeroblob(300) WHERE id % 7 = 0")
    check(twins, pieces=3)

    twins.reopen()
    twins.execute("CREATE INDEX by_length ON t (length(body), body)")
    twins.execute("BEGIN; DELETE FROM t; ROLLBACK")
    check(twins, pieces=3)

    twins.execute("DELETE FROM t WHERE id > 1500")
    twins.execute("VACUUM")                              # shrinks below a piece
    check(twins)
    grow(twins, noise, 5000)                             # and grows again over what was cut
    check(twins, pieces=2)

    twins.execute("DELETE FROM t; VACUUM")
    check(twins)
    twins.reopen()
    grow(twins, noise, 8192)
    check(twins, pieces=3)


@pytest.mark.parametrize("page_size", [512, 1024, 8192, 65536])
def test_pages_of_any_size_and_their_change(twins_over: MakeTwins, page_size: int) -> None:
    noise = random.Random(page_size)
    twins = twins_over(MemoryObjectStore(), block_size=512)
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    grow(twins, noise, 4200)

    twins.execute(f"PRAGMA page_size = {page_size}; VACUUM")
    check(twins, pieces=2)
    grow(twins, noise, 5000)
    twins.execute("DELETE FROM t WHERE id % 3 = 0")
    check(twins, pieces=2)
    twins.execute("PRAGMA page_size = 4096; VACUUM")
    check(twins)


@pytest.mark.parametrize("mode", ["FULL", "INCREMENTAL"])
def test_auto_vacuum_cuts_the_map_again_and_again(twins_over: MakeTwins, mode: str) -> None:
    noise = random.Random(mode)
    twins = twins_over(MemoryObjectStore(), block_size=512)
    twins.execute(f"PRAGMA auto_vacuum = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    grow(twins, noise, 6000)
    for divisor in (7, 5, 3, 2):
        twins.execute(f"DELETE FROM t WHERE id % {divisor} = 0")
        twins.execute("PRAGMA incremental_vacuum(700)")
        check(twins)
        twins.insert(INSERT, rows(noise, 100))
    check(twins, pieces=1)


@pytest.mark.parametrize("block_size", [513, 700, 4095])
def test_blocks_that_pages_do_not_fit(twins_over: MakeTwins, block_size: int) -> None:
    noise = random.Random(block_size)
    twins = twins_over(MemoryObjectStore(), block_size=block_size)
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    grow(twins, noise, 2300)
    for row in (1, 500, 900, 1500, 2000):
        twins.execute("UPDATE t SET body = ? WHERE id = ?", (noise.randbytes(800), row))
    check(twins, pieces=1)
    twins.execute("DELETE FROM t WHERE id > 700; VACUUM")
    check(twins)
    grow(twins, noise, 2300)
    check(twins, pieces=1)


def insert_some(twins: Twins, noise: random.Random) -> None:
    twins.insert(INSERT, rows(noise, noise.choice([1, 50, 1500])))


def update_some(twins: Twins, noise: random.Random) -> None:
    step = noise.choice([3, 50, 1000])
    twins.execute("UPDATE t SET body = ? WHERE id % ? = 1", (noise.randbytes(300), step))


def delete_some(twins: Twins, noise: random.Random) -> None:
    first = noise.randrange(4000)
    twins.execute("DELETE FROM t WHERE id BETWEEN ? AND ?", (first, first + noise.choice([10, 3000])))


def undo_some(twins: Twins, noise: random.Random) -> None:
    for connection in twins.both:
        connection.execute("PRAGMA cache_size = 20; BEGIN; DELETE FROM t WHERE id % 2 = 0; SAVEPOINT a")
    for connection in twins.both:
        connection.execute("UPDATE t SET body = zeroblob(100); ROLLBACK TO a")
    twins.execute(noise.choice(["COMMIT", "ROLLBACK"]))


def shrink(twins: Twins, noise: random.Random) -> None:
    twins.execute(f"PRAGMA page_size = {noise.choice([512, 2048, 4096])}; VACUUM")


def reopen(twins: Twins, noise: random.Random) -> None:
    twins.reopen()


def replace(twins: Twins, noise: random.Random) -> None:
    """The whole content anew, as a backup into each."""
    source = apsw.Connection(":memory:")
    source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    source.executemany(INSERT, rows(noise, noise.choice([10, 3000])))
    for connection in twins.both:
        with connection.backup("main", source, "main") as backup:
            backup.step()


STEPS: list[Callable[[Twins, random.Random], None]] = [
    insert_some, insert_some, update_some, update_some, delete_some, undo_some, shrink, reopen, replace
]


@pytest.mark.parametrize("seed", range(3))
def test_a_random_life(twins_over: MakeTwins, seed: int) -> None:
    noise = random.Random(seed)
    twins = twins_over(MemoryObjectStore(), block_size=noise.choice([512, 600]))
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    twins.insert(INSERT, rows(noise, 3000))
    for number in range(24):
        noise.choice(STEPS)(twins, noise)
        if number % 4 == 3:
            check(twins)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_random_lives(twins_over: MakeTwins, seed: int) -> None:
    test_a_random_life(twins_over, seed)
