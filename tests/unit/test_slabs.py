"""Slabs: nobody writes to what was handed out, and the memory is gone with the last block in use."""

from __future__ import annotations

import gc
import mmap
import weakref

import pytest

from sqlite_s3vfs.cache import BlockCache, Slab, slab

KIB = 1024


class Memory(mmap.mmap):
    """A mapping that a weak reference may point to."""


@pytest.fixture
def mappings(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Memory]]:
    made: list[weakref.ref[Memory]] = []

    def memory(size: int) -> mmap.mmap:
        mapping = Memory(-1, size)
        made.append(weakref.ref(mapping))
        return mapping

    monkeypatch.setattr(slab, "_memory", memory)
    return made


def blocks_of_a_slab(count: int) -> list[tuple[str, memoryview]]:
    room = Slab(count * KIB)
    return [(f"{number}", room.add(bytes([number]) * KIB)) for number in range(count)]


def alive(mappings: list[weakref.ref[Memory]]) -> int:
    gc.collect()
    return sum(mapping() is not None for mapping in mappings)


@pytest.mark.parametrize("size", [1, 4096, slab.HUGE, slab.HUGE + 1])
def test_what_is_put_in_comes_out(size: int):
    content = bytes(range(251)) * (size // 251) + b"x" * (size % 251)

    room = Slab(size + 3)

    assert room.add(content) == content
    assert room.add(b"end") == b"end"


def test_nobody_can_write_to_it():
    view = Slab(KIB).add(b"content")

    with pytest.raises(TypeError):
        view[0] = 1


def test_the_memory_goes_with_the_last_block(mappings: list[weakref.ref[Memory]]):
    cache = BlockCache(8 * KIB)
    cache.put_all(blocks_of_a_slab(8), fresh=False)
    before = alive(mappings)

    for number in range(7):
        cache.put(f"other {number}", bytes(KIB))
    with_one = alive(mappings)
    cache.put("other 7", bytes(KIB))

    assert (before, with_one, alive(mappings)) == (1, 1, 0)


def test_a_block_that_stays_does_not_keep_the_others(mappings: list[weakref.ref[Memory]]):
    cache = BlockCache(8 * KIB)
    cache.put_all(blocks_of_a_slab(8), fresh=False)
    cache.get("3")

    for number in range(7):
        cache.put(f"other {number}", bytes(KIB))

    kept = cache.peek("3")
    assert kept is not None
    assert kept.content == bytes([3]) * KIB
    assert alive(mappings) == 0


def test_blocks_larger_than_the_cache_are_not_kept():
    cache = BlockCache(2 * KIB)

    cache.put_all([("small", bytes(KIB)), ("large", bytes(3 * KIB))], fresh=True)

    assert "small" in cache
    assert "large" not in cache
    assert cache.weight == cache.fresh_weight == KIB
