"""The cache on a local disk: bounded, shared, and never believed where it is damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
import pytest

from reads.conftest import QUERIES, Connect
from sqlite_s3vfs.cache import DiskCache, disk
from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing.ids import SeededIds
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Imported = Callable[..., MemoryObjectStore]
MakeVFS = Callable[..., S3VFS]
MIB = 1 << 20


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def cache(directory: Path, capacity: int = 10 * MIB) -> DiskCache:
    return DiskCache(str(directory), capacity, RandomIds())


def test_what_was_kept_is_there_for_the_next_process(tmp_path: Path):
    cache(tmp_path).put("key", b"some bytes")

    assert cache(tmp_path).get("key") == b"some bytes"
    assert cache(tmp_path).get("another key") is None


def damages() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "empty": lambda stored: b"",
        "cut in its head": lambda stored: stored[:10],
        "cut short": lambda stored: stored[:-1],
        "longer": lambda stored: stored + b"x",
        "one bit": lambda stored: stored[:-5] + bytes([stored[-5] ^ 1]) + stored[-4:],
        "zeros": lambda stored: bytes(len(stored)),
        "another version": lambda stored: b"S3VFSc\r\0" + stored[8:],
    }


@pytest.mark.parametrize("damage", damages().values(), ids=damages())
def test_a_damaged_file_is_ignored_and_replaced(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
):
    kept = cache(tmp_path)
    kept.put("key", b"some bytes")
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))

    with caplog.at_level(logging.WARNING):
        assert kept.get("key") is None
    kept.put("key", b"some bytes")

    assert "damaged" in caplog.text
    assert kept.get("key") == b"some bytes"


def test_a_file_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path):
    kept = cache(tmp_path)
    kept.put("one", b"of one")
    (path,) = files(tmp_path)
    kept.put("two", b"of two")
    (other,) = set(files(tmp_path)) - {path}

    path.replace(other)

    assert kept.get("two") is None


def test_the_directory_keeps_within_its_bound_and_the_oldest_go(tmp_path: Path):
    kept = cache(tmp_path, MIB)
    for number in range(60):
        kept.put(f"key {number}", bytes(50_000))
        path = kept._path(f"key {number}")
        os.utime(path, (number, number))
        if number == 30:
            os.utime(kept._path("key 20"), (1000, 1000))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= MIB

    assert kept.get("key 0") is None
    assert kept.get("key 59") is not None


def test_drafts_of_processes_that_died_go_too(tmp_path: Path):
    kept = cache(tmp_path, MIB)
    kept.put("key", b"x")
    draft = files(tmp_path)[0].with_name("draft")
    draft.write_bytes(bytes(900_000))
    os.utime(draft, (1, 1))

    fresh = cache(tmp_path, MIB)
    fresh.put("other", bytes(400_000))

    assert not draft.exists()
    assert fresh.get("other") is not None


def test_files_that_are_not_ours_stay(tmp_path: Path):
    mine = tmp_path / "letters.txt"
    mine.write_bytes(bytes(2 * MIB))

    cache(tmp_path, MIB).put("key", bytes(600_000))

    assert mine.exists()


def test_a_directory_that_cannot_be_written_to_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_bytes(b"")
    kept = cache(tmp_path / "file" / "below")

    with caplog.at_level(logging.WARNING):
        kept.put("key", b"x")
        kept.put("key", b"x")

    assert kept.get("key") is None
    assert len(caplog.records) == 1


def test_a_second_process_asks_for_nothing_but_the_manifest(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, tmp_path: Path
):
    store = imported(block_size=4096)
    first, second = (make_vfs(store, cache_dir=str(tmp_path)) for _ in range(2))
    expected = [connect(first).execute(sql).fetchall() for sql in QUERIES[:3]]
    keys: list[str] = []
    second._engine.store.on_request = lambda record: keys.append(record.key)

    assert [connect(second).execute(sql).fetchall() for sql in QUERIES[:3]] == expected
    assert set(keys) == {"db/manifest"}


def test_blocks_of_an_adopted_database_are_kept_too(
    store: MemoryObjectStore, plain_file: Path, make_vfs: MakeVFS, connect: Connect, tmp_path: Path
):
    content = plain_file.read_bytes()
    for start in range(0, len(content), 4096):
        store.put(f"db/{start // 4096:010d}", content[start : start + 4096])
    connect(make_vfs(store)).execute("UPDATE other SET user = 1 WHERE id = 5")
    first, second = (make_vfs(store, cache_dir=str(tmp_path)) for _ in range(2))
    expected = connect(first).execute(QUERIES[0]).fetchall()
    keys: list[str] = []
    second._engine.store.on_request = lambda record: keys.append(record.key)

    assert connect(second).execute(QUERIES[0]).fetchall() == expected
    assert set(keys) == {"db/manifest"}


def damage_every_file(directory: Path) -> None:
    for path in files(directory):
        stored = path.read_bytes()
        path.write_bytes(stored[:-3] + bytes([stored[-3] ^ 255]) + stored[-2:])


@pytest.mark.parametrize("checked", [True, False])
def test_damage_on_disk_never_reaches_sqlite(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, tmp_path: Path, checked: bool
):
    """Without the hash (the mistake planted) it does: as an error, where the frame has its own."""
    store = imported(block_size=4096)
    expected = connect(make_vfs(store)).execute(QUERIES[0]).fetchall()
    connect(make_vfs(store, cache_dir=str(tmp_path))).execute(QUERIES[0]).fetchall()
    assert len(files(tmp_path)) > 50
    damage_every_file(tmp_path)
    connection = connect(make_vfs(store, cache_dir=str(tmp_path)))

    if checked:
        assert connection.execute(QUERIES[0]).fetchall() == expected
    else:
        trusting = patch.object(disk, "_head", lambda key, body: AnyHead(disk._MAGIC))
        with trusting, pytest.raises(Exception, match=r"malformed|damaged|corrupt"):
            connection.execute(QUERIES[0]).fetchall()


class AnyHead(bytes):
    """Equal to every head."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


def test_names_of_drafts_are_taken_from_the_ids(tmp_path: Path):
    """Two processes that write the same file write different drafts."""
    seeds = [SeededIds(seed) for seed in (1, 2)]
    kept = [DiskCache(str(tmp_path), MIB, ids) for ids in seeds]

    for one in kept:
        one.put("key", b"x")

    assert len(files(tmp_path)) == 1


def test_what_was_damaged_is_written_anew(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, tmp_path: Path
):
    store = imported(block_size=4096)
    vfs = make_vfs(store, cache_dir=str(tmp_path))
    expected = connect(vfs).execute(QUERIES[0]).fetchall()
    damage_every_file(tmp_path)
    connect(make_vfs(store, cache_dir=str(tmp_path))).execute(QUERIES[0]).fetchall()
    last = make_vfs(store, cache_dir=str(tmp_path))
    keys: list[str] = []
    last._engine.store.on_request = lambda record: keys.append(record.key)

    assert connect(last).execute(QUERIES[0]).fetchall() == expected
    assert set(keys) == {"db/manifest"}


class DamagedOnTheWay(MemoryObjectStore):
    """What is read arrives with one byte changed, until it is ``mended``; manifests do not."""

    mended = True

    def get(self, key: str, **how: Any) -> Any:
        found = super().get(key, **how)
        if self.mended or key.endswith("/manifest"):
            return found
        return replace(found, body=found.body[:-9] + bytes([found.body[-9] ^ 1]) + found.body[-8:])


@pytest.mark.usefixtures("_small_manifests")
def test_what_came_damaged_is_not_kept(
    make_vfs: MakeVFS, connect: Connect, plain_file: Path, tmp_path: Path
):
    store = DamagedOnTheWay()
    make_vfs(store, block_size=4096).deserialize_iter("db", [plain_file.read_bytes()])
    store.mended = False
    with pytest.raises(apsw.CorruptError):
        connect(make_vfs(store, cache_dir=str(tmp_path))).execute(QUERIES[0]).fetchall()

    store.mended = True

    found = connect(make_vfs(store, cache_dir=str(tmp_path))).execute(QUERIES[0]).fetchall()
    assert found == connect(make_vfs(store)).execute(QUERIES[0]).fetchall()


@pytest.mark.skipif(sys.platform == "win32", reason="files have no bound there")
def test_a_disk_that_fills_up_in_the_middle_of_a_file_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    import resource

    kept = cache(tmp_path)
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, bounds[1]))
    try:
        with caplog.at_level(logging.WARNING):
            kept.put("large", bytes(200_000))
            kept.put("large", bytes(200_000))
            kept.put("small", b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)

    assert len(caplog.records) == 1
    assert kept.get("large") is None
    assert kept.get("small") == b"x"
    assert len(files(tmp_path)) == 1, "nothing is left of what did not fit"


def test_a_directory_that_is_removed_meanwhile_is_made_anew(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, tmp_path: Path
):
    directory = tmp_path / "cache"
    vfs = make_vfs(imported(block_size=4096), cache_dir=str(directory), cache_bytes=0)
    connection = connect(vfs)
    expected = connection.execute(QUERIES[8]).fetchall()
    shutil.rmtree(directory)
    connection.execute("PRAGMA shrink_memory")

    assert connection.execute(QUERIES[8]).fetchall() == expected
    assert files(directory)


def use_together(directory: str, seed: int) -> tuple[int, list[str]]:
    """What one of several processes finds: how much, and what it should not have found."""
    rnd, found, wrong = random.Random(seed), 0, []
    kept = cache(Path(directory), MIB)
    for _ in range(400):
        number = rnd.randrange(40)
        expected = bytes([number]) * (20_000 + number)
        match rnd.randrange(8):
            case 0:
                for path in files(Path(directory))[:3]:     # as a crash or a full disk leaves it
                    with suppress(OSError):
                        os.truncate(path, rnd.randrange(20_000))
            case 1 | 2 | 3:
                kept.put(f"key {number}", expected)
            case _:
                body = kept.get(f"key {number}")
                found += body is not None
                if body not in (None, expected):
                    wrong.append(f"key {number}")
    return found, wrong


def test_processes_that_write_damage_and_evict_at_once_never_find_wrong_bytes(tmp_path: Path):
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        outcomes = processes.starmap(use_together, [(str(tmp_path), seed) for seed in range(3)])

    assert all(found > 20 for found, _ in outcomes)
    assert [wrong for _, wrong in outcomes] == [[], [], []]
    kept = cache(tmp_path, MIB)
    kept.put("key", b"x")
    assert kept.get("key") == b"x"
    assert sum(path.stat().st_size for path in files(tmp_path)) <= MIB * (1 + 3 / 16)
