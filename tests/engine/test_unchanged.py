"""A new version of a file over the stored one: only what changed is uploaded, nothing is mistaken."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from sqlite_s3vfs.format.blockmap import SegmentSource
from sqlite_s3vfs.format.segment import decode_directory
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.transfer import deserialize, deserialize_iter, serialize_iter, unchanged
from sqlite_s3vfs.wiring import Database, Engine, open_database

BLOCK = 4096
SETTINGS = Settings(block_size=BLOCK, segment_size=64 << 10)


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def open_db(store: MemoryObjectStore) -> Callable[[], Database]:
    """The database as one more process has it."""
    return lambda: open_database(Engine(store, SETTINGS), "db.sqlite")


@pytest.fixture
def file(plain_file: Callable[..., bytes]) -> bytes:
    """About 500 KiB that do not compress, behind a header."""
    page_1 = bytearray(plain_file(rows=10)[:4096])
    page_1[28:32] = (120).to_bytes(4, "big")
    return bytes(page_1) + random.Random(1).randbytes(119 * 4096)


def changed(file: bytes, *blocks: int) -> bytes:
    new = bytearray(file)
    for block in blocks:
        new[block * BLOCK + 100] ^= 1
    return bytes(new)


def content(database: Database) -> bytes:
    """Without the header, whose counters are raised."""
    return b"".join(serialize_iter(database))[100:]


def uploaded(database: Database, file: bytes) -> int:
    before = database.engine.metrics.snapshot()
    deserialize_iter(database, [file])
    return (database.engine.metrics.snapshot() - before).put.bytes_up


def check_dead(database: Database) -> None:
    """Each segment that the newest version refers to has the right count of dead blocks."""
    manifest = database.snapshot().manifest
    live = Counter(locator.source for locator in manifest.blocks.recent.values())
    for source, count in live.items():
        assert isinstance(source, SegmentSource)
        found = database.engine.store.get(database.keys.segment(source.name))
        assert isinstance(found, Fetched)
        assert len(decode_directory(found.body)[2]) == source.blocks
        dead = manifest.dead[source.name].dead if source.name in manifest.dead else 0
        assert count + dead == source.blocks


def test_a_new_version_uploads_only_what_changed(open_db, file: bytes):
    deserialize_iter(open_db(), [file])
    new = changed(file, 5, 77, 78)

    up = uploaded(open_db(), new)

    assert content(open_db()) == new[100:]
    assert up < 3 * BLOCK + 30_000
    check_dead(open_db())


def test_versions_follow_each_other(open_db, file: bytes):
    """Longer, shorter, other sizes of the last block, back to what was before."""
    longer = file + random.Random(2).randbytes(50 * BLOCK + 2048)
    shorter, half = file[:-BLOCK], changed(file, *range(1, 120, 2))
    for new in (file, longer, changed(longer, 130), shorter, file, half):
        page_1 = bytearray(new)
        page_1[28:32] = (len(new) // 4096).to_bytes(4, "big")
        deserialize_iter(open_db(), [bytes(page_1)])

        assert content(open_db()) == bytes(page_1)[100:]
        check_dead(open_db())


def test_another_file_is_uploaded_whole(open_db, file: bytes):
    deserialize_iter(open_db(), [file])
    other = file[:4096] + random.Random(3).randbytes(119 * 4096)

    up = uploaded(open_db(), other)

    assert up > len(other)
    assert content(open_db()) == other[100:]
    check_dead(open_db())


def test_the_tail_is_no_part_of_what_is_compared(open_db, file: bytes):
    """A block under a changed page is stored as it was: the old file needs nothing of it again."""
    database = open_db()
    deserialize_iter(database, [file])
    transaction = database.begin(database.snapshot())
    transaction.write(7 * 4096, bytes(4096))
    transaction.commit(transaction.size)
    transaction.close()

    up = uploaded(open_db(), file)

    assert content(open_db()) == file[100:]
    assert up < 40_000


def interrupted(file: bytes, interrupt: Callable[[], None]) -> Iterator[bytes]:
    """The file, and half-way somebody does something."""
    yield file[: len(file) // 2]
    interrupt()
    yield file[len(file) // 2 :]


def replaced_meanwhile(open_db: Callable[[], Database], file: bytes) -> None:
    """Import over a database whose blocks another import moves at the same time."""
    deserialize_iter(open_db(), [file])
    other = changed(file, *range(1, 60))
    new = changed(file, 100)

    deserialize_iter(
        open_db(), interrupted(new, lambda: deserialize_iter(open_db(), [other]))
    )

    assert content(open_db()) == new[100:]
    before = set(open_db().snapshot().manifest.blocks.recent.values())
    names = {locator.source.name for locator in before}
    newest = open_db().snapshot().version
    assert newest == 3
    old_only = {name for name in names if name.version == 1}
    rows = Counter(locator.source.name for locator in before)
    # Of the first import's segments only those live on that the second one had kept as well.
    assert all(rows[name] <= 16 for name in old_only)
    assert sum(rows[name] for name in old_only) == 119 - 59 - 1
    check_dead(open_db())


def test_what_another_import_moved_is_uploaded_after_all(open_db, file: bytes):
    replaced_meanwhile(open_db, file)


def test_referring_to_what_the_replaced_version_does_not_have_is_noticed(
    open_db, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deserialize._Import, "_save_moved", lambda self, newest: None)

    with pytest.raises(AssertionError):
        replaced_meanwhile(open_db, file)


def test_taking_different_blocks_for_equal_is_noticed(
    open_db, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(unchanged.KnownBlocks, "locator", lambda self, block, content: (
        self._known[block][1] if block in self._known else None
    ))

    with pytest.raises(AssertionError):
        test_a_new_version_uploads_only_what_changed(open_db, file)


def test_forgetting_what_is_dead_beside_a_kept_block_is_noticed(
    open_db, file: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(deserialize, "dead_beside", lambda kept: {})

    with pytest.raises(AssertionError):
        test_a_new_version_uploads_only_what_changed(open_db, file)
