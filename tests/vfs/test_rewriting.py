"""Transactions that change a few pages of many blocks: those are at hand when it comes to the commit."""

from __future__ import annotations

import random
from collections.abc import Callable
from unittest.mock import patch

import apsw
import pytest

from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.cache import BlockCache
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.transaction.folding import prepare_fold
from sqlite_s3vfs.uploads import Uploads
from sqlite_s3vfs.wiring import Engine, open_database
from vfs.conftest import Connect

ROWS = 6000
BLOCK_SIZE = 8192
MakeVFS = Callable[..., S3VFS]


def gets_of_many_transactions(vfs: S3VFS, connection: apsw.Connection) -> int:
    """Each writes a quarter of the blocks anew; the cache has room for all and half as many again."""
    connection.execute("create table t(id integer primary key, body)")
    with connection:
        connection.executemany(
            "insert into t values (?, ?)", ((number, b"x" * 400) for number in range(ROWS))
        )
    chance, before = random.Random(1), vfs.metrics().cache_misses
    for _ in range(8):
        changed = [(chance.randbytes(200), chance.randrange(ROWS)) for _ in range(100)]
        with connection:
            connection.executemany("update t set body = ? where id = ?", changed)
    return vfs.metrics().cache_misses - before


@pytest.fixture
def vfs(make_vfs: MakeVFS) -> S3VFS:
    return make_vfs(settings=Settings(block_size=BLOCK_SIZE, cache_bytes=int(ROWS * 400 * 1.6)))


@pytest.mark.parametrize("mistaken", [False, True])
def test_what_was_replaced_does_not_push_out_what_is_needed_next(
    vfs: S3VFS, connect: Connect, mistaken: bool
):
    connection = connect("db")
    connection.execute("pragma cache_size = 5")

    if mistaken:
        with patch.object(BlockCache, "retire", lambda cache, keys: None):
            misses = gets_of_many_transactions(vfs, connection)
    else:
        misses = gets_of_many_transactions(vfs, connection)

    assert (misses > 0) == mistaken
    assert connection.execute("pragma integrity_check").get == "ok"


def cached_by_cleaning(store: ObjectStore) -> tuple[int, int]:
    """A process that has nothing cached folds what needs cleaning: blocks written, bytes cached."""
    engine = Engine(store, Settings(block_size=BLOCK_SIZE))
    database = open_database(engine, "db")
    uploads = Uploads(engine)
    try:
        fold = prepare_fold(engine, database.keys, database.snapshot(), uploads, blocks_written=ROWS)
        uploads.finish()
        assert fold is not None, "there is something to clean"
        return len(fold.blocks), engine.blocks.weight
    finally:
        engine.close()


@pytest.mark.parametrize("mistaken", [False, True])
def test_what_is_only_cleaned_does_not_push_out_what_is_in_use(
    vfs: S3VFS, store: ObjectStore, connect: Connect, mistaken: bool, monkeypatch: pytest.MonkeyPatch
):
    connection = connect("db")
    gets_of_many_transactions(vfs, connection)
    if mistaken:
        monkeypatch.setattr(
            Snapshot, "contents_at_hand", lambda snapshot, blocks: dict.fromkeys(blocks, b"")
        )

    written, cached = cached_by_cleaning(store)

    assert written > 50
    assert (cached > 0) == mistaken
