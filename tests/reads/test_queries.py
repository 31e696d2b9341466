"""Whatever is fetched in advance, every answer is the one that plain SQLite gives."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from reads.conftest import QUERIES, ROWS, Connect
from sqlite_s3vfs.reader.map_reader import MapReader
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Imported = Callable[..., MemoryObjectStore]
MakeVFS = Callable[..., S3VFS]


def answers(connection: object) -> Iterator[object]:
    return (connection.execute(sql).fetchall() for sql in QUERIES)  # type: ignore[attr-defined]


@pytest.mark.parametrize("block_size", [1024, 4095, 65536])
@pytest.mark.parametrize("cache_bytes", [0, 200_000, 64 << 20])
def test_queries_answer_as_plain_sqlite_does(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, plain_file: Path, block_size: int,
    cache_bytes: int,
):
    if not cache_bytes and block_size > 4095:
        pytest.skip("without a cache each page is a request: slow, and no other way through the code")
    vfs = make_vfs(imported(block_size=block_size), cache_bytes=cache_bytes)
    connection = connect(vfs)
    plain = sqlite3.connect(plain_file)
    queries = QUERIES if cache_bytes > 200_000 else QUERIES[2:4] + QUERIES[8:]

    for sql in queries:
        assert connection.execute(sql).fetchall() == plain.execute(sql).fetchall(), sql
    assert vfs._engine.blocks.weight <= cache_bytes
    plain.close()


@pytest.mark.parametrize("pool_size", [1, 2, 3, 16])
def test_any_number_of_threads_gives_the_same(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, plain_file: Path, pool_size: int
):
    connection = connect(make_vfs(imported(), pool_size=pool_size))
    plain = sqlite3.connect(plain_file)

    assert list(answers(connection)) == [plain.execute(sql).fetchall() for sql in QUERIES]
    plain.close()


def change_at_random(connection: object, rnd: random.Random, round_: int) -> None:
    """The same statements on either connection."""
    execute = connection.execute  # type: ignore[attr-defined]
    execute("BEGIN")
    match round_ % 4:
        case 0:
            for _ in range(3):
                change = (rnd.randrange(60), rnd.randrange(ROWS))
                execute("UPDATE post SET user = ? WHERE id = ?", change)
        case 1:
            low = rnd.randrange(ROWS)
            execute("DELETE FROM other WHERE id BETWEEN ? AND ?", (low, low + 100))
        case 2:
            execute("UPDATE post SET body = body || ? WHERE id % 7 = ?", ("x" * 50, rnd.randrange(7)))
        case _:
            rows = [(10 * ROWS + 1000 * round_ + n, n % 60, "y" * 100) for n in range(300)]
            connection.executemany("INSERT INTO other VALUES (?, ?, ?)", rows)  # type: ignore[attr-defined]
    execute("COMMIT")


def run_changes(
    connection: object, other: Callable[[], object], plain: sqlite3.Connection, rounds: int
) -> None:
    for round_ in range(rounds):
        change_at_random(connection, random.Random(round_), round_)
        change_at_random(plain, random.Random(round_), round_)
        expected = list(answers(plain))
        assert list(answers(connection)) == expected
        assert list(answers(other())) == expected


@pytest.mark.usefixtures("_small_manifests")
def test_copies_of_interior_pages_stay_true_while_pages_change(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, plain_file: Path
):
    store = imported(block_size=4096)
    plain = sqlite3.connect(":memory:", isolation_level=None)
    plain.deserialize(plain_file.read_bytes())

    def cold() -> object:
        return connect(make_vfs(store))

    run_changes(connect(make_vfs(store)), cold, plain, 4)
    plain.close()


@pytest.mark.usefixtures("_small_manifests")
@pytest.mark.parametrize("mistaken", [False, True])
def test_copies_that_are_used_though_their_block_was_written_are_noticed(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, plain_file: Path, mistaken: bool
):
    """The mistake planted: a piece's copy goes before what the manifest says of its block.

    So that it shows, the manifest has no copies, and blocks that are written stay in it.
    """
    store = imported(block_size=4096)
    plain = sqlite3.connect(":memory:", isolation_level=None)
    plain.deserialize(plain_file.read_bytes())

    def whatever_was_written(self: MapReader, page: int, blocks: range) -> object:
        return self._valid_copy(self._piece_of(blocks[0]), page, blocks) if self._has_pieces else None

    def run() -> None:
        run_changes(connect(make_vfs(store)), lambda: connect(make_vfs(store)), plain, 3)

    with (
        patch("sqlite_s3vfs.planning.interior.INTERIOR_MAX", 0),
        patch("sqlite_s3vfs.transaction.map_folding.outgrows_manifest", return_value=False),
        patch.object(MapReader, "copy_of", whatever_was_written if mistaken else MapReader.copy_of),
        pytest.raises((AssertionError, apsw.CorruptError)) if mistaken else nullcontext(),
    ):
        run()
    plain.close()
