"""Many readers at once, and what happens to a scan while more of it is being fetched in advance."""

from __future__ import annotations

import gc
import mmap
import threading
import weakref
from collections.abc import Callable
from typing import Any

import apsw
import pytest

from reads.conftest import QUERIES, ROWS, Connect
from sqlite_s3vfs.cache import slab
from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.pool import THREAD_NAMES
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Imported = Callable[..., MemoryObjectStore]
MakeVFS = Callable[..., S3VFS]
SCAN = "SELECT sum(length(body)) FROM post"


def threads_of_the_library() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAMES)]


def under_way(vfs: S3VFS) -> tuple[object, ...]:
    """What is claimed, queued and being fetched in advance."""
    engine = vfs._engine
    return (
        dict(engine.flights._flights), list(engine.advance._queue), engine.advance._running,
        engine.advance._bytes,
    )


def test_sixteen_threads_share_one_small_cache(imported: Imported, make_vfs: MakeVFS, connect: Connect):
    store = imported(block_size=4096)
    plain = connect(make_vfs(store))
    queries = [QUERIES[at] for at in (2, 3, 8, 9)]
    expected = [plain.execute(sql).fetchall() for sql in queries]
    vfs = make_vfs(store, cache_bytes=200_000)
    wrong: list[object] = []

    def read(shift: int) -> None:
        try:
            connection = apsw.Connection("db", vfs=vfs.name)
            for step in range(len(queries)):
                at = (shift + step) % len(queries)
                if connection.execute(queries[at]).fetchall() != expected[at]:
                    wrong.append(queries[at])
                if vfs._engine.blocks.weight > 200_000 + 4096:
                    wrong.append(vfs._engine.blocks.weight)
            connection.close()
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=read, args=(shift,)) for shift in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert wrong == []
    vfs.close()
    assert vfs._engine.blocks.weight == 0
    assert under_way(vfs) == ({}, [], 0, 0)


class FailingStore(MemoryObjectStore):
    """Once ``left`` segments were read no more can be."""

    left = 1 << 30

    def get(self, key: str, **how: Any) -> Any:
        if "/segments/" in key:
            self.left -= 1
            if self.left < 0:
                raise StoreUnavailableError("the store is down.")
        return super().get(key, **how)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_scan_in_which_the_store_fails_says_so_and_works_again_afterwards(
    plain_file: Any, make_vfs: MakeVFS, connect: Connect, left: int
):
    store = FailingStore()
    make_vfs(store, block_size=1024).deserialize_iter("db", [plain_file.read_bytes()])
    vfs = make_vfs(store)
    connection = connect(vfs)
    connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    store.left = left

    with pytest.raises(apsw.IOError, match="the store is down"):
        connection.execute(SCAN).fetchall()

    store.left = 1 << 30
    assert connection.execute(SCAN).get == connect(make_vfs(store)).execute(SCAN).get
    connection.close()
    vfs.close()
    assert under_way(vfs) == ({}, [], 0, 0)


def test_closing_in_the_middle_of_a_scan_leaves_nothing_behind(
    imported: Imported, make_vfs: MakeVFS, connect: Connect
):
    store = imported(block_size=1024)
    before = threads_of_the_library()
    vfs = make_vfs(store)
    connection = connect(vfs)
    cursor = connection.execute("SELECT id, body FROM post")
    assert [next(cursor)[0] for _ in range(40)] == list(range(40))

    connection.close(force=True)
    vfs.close()

    assert under_way(vfs) == ({}, [], 0, 0)
    assert len(threads_of_the_library()) <= len(before)


def test_a_scan_goes_on_in_its_version_while_another_is_imported(
    imported: Imported, make_vfs: MakeVFS, connect: Connect
):
    store = imported(block_size=1024)
    connection = connect(make_vfs(store))
    cursor = connection.execute("SELECT id, body FROM post")
    rows = [next(cursor)]

    other = make_vfs(MemoryObjectStore())
    apsw.Connection("db", vfs=other.name).execute("CREATE TABLE post AS SELECT 'new' AS id")
    make_vfs(store).deserialize_iter("db", other.serialize_iter("db"))

    rows += cursor
    assert [row[0] for row in rows] == list(range(ROWS))
    assert connection.execute("SELECT id FROM post").fetchall() == [("new",)]


class Memory(mmap.mmap):
    """A mapping that a weak reference may point to."""


def test_an_idle_connection_keeps_no_memory_of_blocks(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    """A view of the block that it read last would keep all that came with it: megabytes each."""
    made: list[weakref.ref[Memory]] = []

    def memory(size: int) -> mmap.mmap:
        mapping = Memory(-1, size)
        made.append(weakref.ref(mapping))
        return mapping

    monkeypatch.setattr(slab, "_memory", memory)
    vfs = make_vfs(imported(block_size=4096))
    connection = connect(vfs)

    snapshot = vfs._databases.database("db").snapshot()
    snapshot.fetch(range(snapshot.block_count))

    def in_memory() -> int:
        vfs._engine.pool.close()            # nothing is under way any more
        vfs._engine.blocks.clear()
        gc.collect()
        return sum(mapping() is not None for mapping in made)

    cursor = connection.execute("SELECT substr(body, -9) FROM big")
    next(cursor)
    meanwhile = in_memory()
    cursor.close()

    assert (meanwhile, in_memory()) == (1, 0)
