"""Copies of pages that ride in the manifest: which, in what order, within which budget."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import Locator, Piece, SegmentSource
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.planning.interior import (
    INTERIOR_MAX,
    OTHERS_MAX,
    PIECE_INTERIOR_MAX,
    Geometry,
    gather_interior,
    interior_content,
    interior_of_blocks,
    manifest_copies,
    outgrows_manifest,
    piece_copies,
    valid_copies,
)
from unit.format.hostile import gives_value_or_corrupt

TABLE, INDEX, LEAF = 5, 2, 13
PAGE_SIZE = 4096
FAR = 1 << 40


def page(kind: int, seed: int = 0) -> bytes:
    return bytes([kind]) + random.Random(seed).randbytes(PAGE_SIZE - 1)


def copy(number: int, kind: int = TABLE, size: int = 10, mark: bytes = b"") -> InteriorPage:
    return InteriorPage(number, kind, mark.ljust(size, b"."))


GEOMETRY = Geometry(PAGE_SIZE, 16 * PAGE_SIZE)
ALL_RECENT = range(1 << 40)


def carried(kept, fresh, touched=(), size=FAR, recent=ALL_RECENT) -> tuple[InteriorPage, ...]:
    copies = valid_copies(kept, fresh, touched_pages=set(touched), page_size=PAGE_SIZE, size=size)
    return manifest_copies(copies, recent, GEOMETRY)


def piece(*blocks: int, copies: tuple[InteriorPage, ...] = ()) -> Piece:
    source = SegmentSource(ObjectName(1, b"01234567"), 1, 1, 0)
    return Piece({block: Locator(source, 0, 1, 1) for block in blocks}, {}, copies)


def numbers(copies) -> list[int]:
    return [one.page for one in copies]


def test_interior_pages_and_page_1_are_copied():
    copies = gather_interior({7: page(TABLE), 1: page(LEAF), 3: page(LEAF), 5: page(INDEX)})

    assert [(found.page, found.page_type) for found in copies[1:]] == [(5, INDEX), (7, TABLE)]
    assert copies[0].page == 1
    assert interior_content(copies[2], PAGE_SIZE) == page(TABLE)


def test_fresh_copies_win_and_touched_ones_go():
    found = carried([copy(2, mark=b"old"), copy(3), copy(4)], [copy(2, mark=b"new")], touched=[2, 3])

    assert [(one.page, one.content[:3]) for one in found] == [(2, b"new"), (4, b"...")]


def test_copies_past_the_end_go():
    found = carried([copy(2), copy(3)], [copy(4)], size=3 * PAGE_SIZE - 1)

    assert [one.page for one in found] == [2]


def test_page_1_and_tables_come_first_then_low_numbers():
    found = carried([copy(2, INDEX), copy(9), copy(1, LEAF)], [copy(5, INDEX), copy(4)])

    assert [one.page for one in found] == [1, 4, 9, 2, 5]


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, INTERIOR_MAX)), max_size=12))
def test_the_budget_is_kept_and_each_page_comes_once(copies: list[tuple[int, int]]):
    found = carried([copy(number, size=size) for number, size in copies], [])

    assert sum(len(one.content) for one in found) <= INTERIOR_MAX
    assert len({one.page for one in found}) == len(found)


@given(st.binary(max_size=200))
def test_any_copy_gives_a_page_or_corrupt(content: bytes):
    gives_value_or_corrupt(lambda: interior_content(InteriorPage(2, TABLE, content), PAGE_SIZE))


def test_a_copy_of_another_size_is_corrupt():
    (one,) = gather_interior({2: page(TABLE)[:512]})

    with pytest.raises(CorruptError, match="wrong size"):
        interior_content(one, PAGE_SIZE)


def test_what_no_piece_has_comes_before_the_rest():
    found = carried([copy(1), copy(2), copy(40), copy(70, INDEX)], [], recent={4})

    assert numbers(found) == [1, 70, 2, 40]


def test_copies_outgrow_the_manifest_by_those_that_no_piece_has():
    half = INTERIOR_MAX // 2 + 1
    copies = [copy(2, size=half), copy(40, size=half)]

    assert outgrows_manifest(copies, {0, 2}, GEOMETRY)
    assert not outgrows_manifest(copies, {0}, GEOMETRY)
    assert not outgrows_manifest(copies, {7}, GEOMETRY)


def test_a_piece_keeps_copies_of_blocks_that_were_not_written():
    old = piece(0, 2, copies=(copy(2, mark=b"old"), copy(40, mark=b"old"), copy(70)))

    found = piece_copies(0, old, [copy(3, mark=b"new")], {0}, GEOMETRY)

    assert [(one.page, one.content[:3]) for one in found] == [(3, b"new"), (40, b"old")]


def test_a_piece_has_copies_of_its_own_blocks_only():
    second = 4096 * 16 + 1

    assert numbers(piece_copies(0, piece(), [copy(2), copy(second)], {0, 4096}, GEOMETRY)) == [2]
    assert numbers(piece_copies(1, piece(), [copy(2), copy(second)], {0, 4096}, GEOMETRY)) == [second]


def test_a_page_in_two_pieces_is_copied_into_none():
    odd = Geometry(8192, 4095)      # pages of up to 4096 bytes never lie in two pieces
    across = copy(2048)

    assert {block // 4096 for block in odd.blocks_of(across.page)} == {0, 1}
    for index in (0, 1):
        assert piece_copies(index, piece(), [across], {4095, 4096}, odd) == ()
    assert not outgrows_manifest([across._replace(content=bytes(INTERIOR_MAX + 1))], {4095}, odd)


def test_a_piece_keeps_within_its_budget_tables_first():
    third = PIECE_INTERIOR_MAX // 3 + 1
    copies = [copy(2, INDEX, third), copy(3, TABLE, third), copy(4, TABLE, third)]

    assert numbers(piece_copies(0, piece(), copies, {0}, GEOMETRY)) == [3, 4]


def test_interior_pages_are_found_in_whole_blocks():
    block = page(LEAF) + page(TABLE, 1) + page(INDEX, 2) + page(LEAF, 3)

    found = interior_of_blocks({3: block}, len(block), PAGE_SIZE)

    assert [(one.page, one.page_type) for one in found] == [(14, TABLE), (15, INDEX)]
    assert interior_content(found[0], PAGE_SIZE) == page(TABLE, 1)


def test_of_a_file_of_one_block_every_page_is_copied():
    content = page(TABLE) + page(LEAF, 1) + page(LEAF, 2)
    block_size = 16 * PAGE_SIZE

    small = interior_of_blocks({0: content}, block_size, PAGE_SIZE, size=len(content))

    assert numbers(small) == [1, 2, 3]
    assert interior_content(small[2], PAGE_SIZE) == page(LEAF, 2)
    for size in (0, block_size + 1):
        assert numbers(interior_of_blocks({0: content}, block_size, PAGE_SIZE, size=size)) == [1]


def test_other_pages_have_a_small_budget_and_take_the_place_of_no_interior_page():
    others = [copy(number, LEAF, OTHERS_MAX // 4) for number in range(2, 10)]
    upper = [copy(number, TABLE, 1 << 10) for number in range(10, 10 + (INTERIOR_MAX >> 10))]

    assert numbers(carried((), others)) == [2, 3, 4, 5]
    assert numbers(carried((), (*others, *upper))) == numbers(upper)


def test_other_pages_are_of_no_weight_for_the_map():
    others = [copy(number, LEAF, INTERIOR_MAX) for number in range(2, 10)]

    assert not outgrows_manifest(others, ALL_RECENT, GEOMETRY)
    assert piece_copies(0, piece(0), others, (), GEOMETRY) == ()
