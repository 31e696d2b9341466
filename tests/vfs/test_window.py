"""Pages cut out of a block once and given out again and again."""

from __future__ import annotations

import gc
import weakref

import pytest

from sqlite_s3vfs.cache import BlockCache, CachedBlock
from sqlite_s3vfs.cache.slab import Slab
from sqlite_s3vfs.format.btree import INDEX_LEAF
from sqlite_s3vfs.vfs.window import Window

LEAF = 13


def content(size: int, page_size: int, start: int = 0) -> bytes:
    """Part of a file whose pages begin with the byte of a table's leaf and say their number."""
    file = b"".join(
        bytes([LEAF]) + number.to_bytes(4, "big") * (page_size // 4 - 1) + b"end"
        for number in range((start + size) // page_size + 1)
    )
    return file[start : start + size]


@pytest.mark.parametrize(
    ("start", "size"), [(65536, 65536), (3 * 4095, 4095), (5000, 3000), (65536, 9000)]
)
def test_the_pages_of_a_block_are_those_that_lie_in_it_whole(start: int, size: int):
    body = content(size, 1024, start)
    window = Window(None, start, CachedBlock(body, fresh=False))

    window.cut(1024)

    whole = [at for at in range(0, start + size, 1024) if start <= at and at + 1024 <= start + size]
    assert list(window.pages) == whole
    assert all(page == body[at - start : at - start + 1024] for at, page in window.pages.items())


def test_pages_that_tell_about_others_are_left_out():
    body = bytearray(content(8192, 1024))
    body[2048] = INDEX_LEAF
    window = Window(None, 65536, CachedBlock(bytes(body), fresh=False))

    window.cut(1024)

    assert set(window.pages) == {65536 + at for at in range(0, 8192, 1024) if at != 2048}


def test_another_window_on_the_block_has_them_at_once():
    cached = CachedBlock(content(8192, 1024), fresh=False)
    Window(None, 65536, cached).cut(1024)

    assert len(Window(None, 65536, cached).pages) == 8


@pytest.mark.parametrize("mistaken", [False, True])
def test_a_block_that_stays_without_its_slab_lets_go_of_it(mistaken: bool):
    """The mistake planted: its pages are kept, and with them all that came with the block."""
    slab = Slab(8192)
    memory = weakref.ref(slab._free.obj)
    cache = BlockCache(8192)
    first, second = slab.add(content(4096, 1024)), slab.add(bytes(4096))
    cache.put_all([("first", first), ("next", second)], fresh=False)
    del first, second
    cached = cache.get("first")
    assert cached is not None
    Window(None, 65536, cached).cut(1024)
    pages = cached.pages
    del slab

    cache.put("other", bytes(4096))
    if mistaken:
        cached.pages = pages
    else:
        del pages
    cache.put("another", bytes(4096))
    gc.collect()

    assert cached.content == content(4096, 1024)
    assert (memory() is None) != mistaken
