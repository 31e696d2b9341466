"""Databases of sqlite-s3vfs 0.0.x: what a cold lookup costs once they are adopted."""

from __future__ import annotations

from collections.abc import Callable, Container
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import apsw
import pytest

from reads.conftest import Connect
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.transaction import commit
from sqlite_s3vfs.transaction.commit import Work, _interior_at_hand
from sqlite_s3vfs.vfs.s3vfs import S3VFS

MakeVFS = Callable[..., S3VFS]
BLOCK_SIZE = 1024
LOOKUP = "SELECT body FROM post WHERE id = 700"


@pytest.fixture
def old(plain_file: Path, store: MemoryObjectStore) -> MemoryObjectStore:
    """The database as 0.0.x would have written it: one object for each block."""
    content = plain_file.read_bytes()
    for block in range(0, len(content), BLOCK_SIZE):
        store.put(f"db/{block // BLOCK_SIZE:010d}", content[block : block + BLOCK_SIZE])
    return store


def old_blocks_read(vfs: S3VFS, connect: Connect, sql: str) -> list[str]:
    """The keys of the old objects that a fresh VFS reads for a question."""
    keys: list[str] = []
    vfs._engine.store.on_request = lambda record: keys.append(record.key)
    connect(vfs).execute(sql).fetchall()
    return [key for key in keys if key.removeprefix("db/").isdigit()]


def test_the_interior_pages_that_the_first_writer_read_ride_along(
    old: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect
):
    connect(make_vfs(old)).execute("UPDATE post SET body = 'x' WHERE id = 690")

    assert len(old_blocks_read(make_vfs(old), connect, LOOKUP)) == 1, "the leaf alone"


def test_a_lookup_of_the_first_row_costs_at_most_one_block_more(
    old: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect
):
    connect(make_vfs(old)).execute("UPDATE post SET body = 'x' WHERE id = 20")

    read = old_blocks_read(make_vfs(old), connect, "SELECT body FROM post WHERE id = 0")

    assert len(read) <= 2, f"each old block is a request: {read}"


def test_where_it_read_none_a_lookup_reads_each_level(
    old: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect
):
    connect(make_vfs(old)).execute("PRAGMA user_version = 7")

    assert len(old_blocks_read(make_vfs(old), connect, LOOKUP)) > 1


@pytest.mark.parametrize("mistaken", [False, True])
def test_what_the_first_commit_writes_has_no_copy_of_before(
    old: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect, mistaken: bool
):
    """Every tree is read, then pages of theirs come to be others. Planted: those are copied as well."""
    connection = connect(make_vfs(old))
    connection.execute("PRAGMA integrity_check").fetchall()

    def copies(work: Work, written: Container[int]) -> object:
        return _interior_at_hand(work, () if mistaken else written)

    with patch.object(commit, "_interior_at_hand", copies):
        connection.execute("""
            BEGIN; DROP TABLE other; DROP TABLE big; DELETE FROM post WHERE id > 900;
            INSERT INTO post SELECT id + 10000, user, body FROM post; COMMIT""")
    fresh = connect(make_vfs(old, cache_bytes=0))       # with no block at hand copies are what is read

    with pytest.raises((AssertionError, apsw.CorruptError)) if mistaken else nullcontext():
        assert fresh.execute("PRAGMA integrity_check").get == "ok"
        for sql in ("SELECT * FROM post", "SELECT id FROM post ORDER BY user, id"):
            assert fresh.execute(sql).fetchall() == connection.execute(sql).fetchall()
