"""Which blocks a fold rewrites, and which of them a later commit may adopt (I2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sqlite_s3vfs.format.blockmap import BlockMap, Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Commit, Manifest
from sqlite_s3vfs.format.segment import Placed
from sqlite_s3vfs.format.tail import Encoding, TailEntry
from sqlite_s3vfs.planning.fold import (
    Fold,
    FoldedBlock,
    MergedEntry,
    adoptable,
    blocks_to_fold,
    entry_identity,
    merged_entries,
)

NAME = ObjectName(8, b"segment!")
READ = Locator(SegmentSource(ObjectName(1, b"earlier!"), 1, 4, 0), 64, 100, 65536)
PLACED = Placed(1, 64, 100, 65536)


def entry(page: int, version: int) -> TailEntry:
    return TailEntry(page, version, Encoding.STORED, bytes(4096))


BASE = Manifest(
    database_id=b"0123456789abcdef",
    page_size=4096,
    size=64 * 4096,
    block_size=65536,
    retention_seconds=3600,
    version=7,
    commits=tuple(Commit(version, b"commit %d" % version, 0, "", 64 * 4096, 1) for version in (5, 6, 7)),
    blocks=BlockMap({1: READ}),
    tail=(entry(1, 5), entry(20, 5), entry(20, 7)),
)
MERGED = frozenset({MergedEntry(20, 5, b"commit 5"), MergedEntry(20, 7, b"commit 7")})
HISTORY = ObjectName(7, b"history!")
FOLD = Fold(7, {1: FoldedBlock(READ, MERGED, NAME, PLACED)}, {NAME: 1}, (), HISTORY, 0)


def test_a_fold_rewrites_the_blocks_that_the_tail_touches():
    assert blocks_to_fold(BASE) == (0, 1)
    assert merged_entries(BASE, 1) == MERGED
    assert merged_entries(BASE, 3) == frozenset()


def test_pages_in_two_blocks_are_folded_into_both():
    straddling = replace(BASE, block_size=4095, blocks=BlockMap())

    assert blocks_to_fold(straddling) == (0, 1, 19, 20)
    assert merged_entries(straddling, 19) == MERGED


def test_a_page_of_the_last_short_block_is_folded_into_what_there_is():
    short = replace(
        BASE, size=4096, commits=(Commit(7, b"commit 7", 0, "", 4096, 1),), tail=(entry(1, 7),)
    )

    assert blocks_to_fold(replace(short, block_size=4095)) == (0, 1)
    assert blocks_to_fold(replace(short, block_size=1 << 20)) == (0,)


def test_what_is_exactly_as_the_fold_read_it_is_adopted():
    later = replace(BASE, tail=(*BASE.tail, entry(20, 7), entry(3, 7)))

    assert adoptable(BASE, {1: READ}, FOLD) == {1}
    assert adoptable(later, {1: READ}, FOLD) == {1}


SINCE = {
    "the block lies elsewhere": (BASE, {1: READ._replace(offset=65)}),
    "the block was cut": (BASE, {1: READ._replace(valid=4096)}),
    "the block is a hole": (BASE, {}),
    "an entry is gone": (replace(BASE, tail=(entry(20, 7),)), {1: READ}),
    "an entry is of another commit with the same number": (
        replace(BASE, commits=(*BASE.commits[:2], BASE.commits[2]._replace(commit_id=b"another!"))),
        {1: READ},
    ),
    "the block is past the end": (
        replace(BASE, size=65536, tail=(), blocks=BlockMap()),
        {1: READ},
    ),
}


@pytest.mark.parametrize(("base", "locators"), SINCE.values(), ids=SINCE)
def test_whatever_happened_since_prevents_it(base: Manifest, locators: dict[int, Locator]):
    assert adoptable(base, locators, FOLD) == frozenset()


def test_a_hole_that_still_is_one_is_adopted():
    fold = replace(FOLD, blocks={1: FoldedBlock(None, MERGED, NAME, PLACED)})

    assert adoptable(BASE, {}, fold) == {1}
    assert adoptable(BASE, {1: READ}, fold) == frozenset()


def test_blocks_are_adopted_one_by_one():
    fold = replace(
        FOLD,
        blocks={
            0: FoldedBlock(None, frozenset({MergedEntry(1, 5, b"commit 5")}), NAME, PLACED),
            **FOLD.blocks,
        },
    )

    assert adoptable(BASE, {1: READ}, fold) == {0, 1}
    assert adoptable(BASE, {0: READ, 1: READ}, fold) == {1}


def test_an_entry_is_told_by_page_version_and_commit():
    assert entry_identity(BASE, 20, 5) == MergedEntry(20, 5, b"commit 5")
