"""The blocks in memory: what goes first."""

from __future__ import annotations

from sqlite_s3vfs.cache import BlockCache

KIB = 1024


def filled(count: int) -> BlockCache:
    cache = BlockCache(count * KIB)
    for number in range(count):
        cache.put(number, bytes([number]) * KIB)
    return cache


def kept(cache: BlockCache) -> set[int]:
    return {number for number in range(100) if cache.peek(number) is not None}


def test_what_was_replaced_goes_before_what_is_older():
    cache = filled(4)

    cache.retire([2, 3, 50])
    cache.put(10, b"x" * KIB)
    assert kept(cache) == {0, 1, 3, 10}
    cache.put(11, b"x" * KIB)

    assert kept(cache) == {0, 1, 10, 11}
    assert cache.weight == 4 * KIB


def test_it_stays_while_there_is_room():
    """A reader of an older version may still want it."""
    cache = BlockCache(4 * KIB)
    cache.put(1, b"x" * KIB)

    cache.retire([1])
    cache.put(2, b"x" * KIB)

    assert kept(cache) == {1, 2}


def test_without_replaced_ones_the_oldest_goes():
    cache = filled(4)

    cache.retire([50])
    cache.put(10, b"x" * KIB)

    assert kept(cache) == {1, 2, 3, 10}


def test_what_came_in_advance_and_was_replaced_counts_as_unused():
    unused: list[int] = []
    cache = BlockCache(2 * KIB, on_unused=unused.append)
    cache.put(1, b"x" * KIB, fresh=True)
    cache.put(2, b"x" * KIB)

    cache.retire([1])
    cache.put(3, b"x" * KIB)

    assert unused == [KIB]
    assert cache.fresh_weight == 0


def test_what_was_asked_for_again_outlives_what_a_scan_passes_by():
    cache = BlockCache(3)
    cache.put("index", b"x")
    for block in range(6):
        assert cache.get("index") is not None, "a scan reads on, and the index in between"
        cache.put(block, b"y")

    assert "index" in cache
    assert cache.weight == 3
    assert 0 not in cache
