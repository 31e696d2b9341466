"""Copies of pages that ride in the manifest: which, in what order, within which budget."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.manifest import InteriorPage
from sqlite_s3vfs.planning.interior import (
    INTERIOR_MAX,
    carried_interior,
    gather_interior,
    interior_content,
)
from unit.format.hostile import gives_value_or_corrupt

TABLE, INDEX, LEAF = 5, 2, 13
PAGE_SIZE = 4096
FAR = 1 << 40


def page(kind: int, seed: int = 0) -> bytes:
    return bytes([kind]) + random.Random(seed).randbytes(PAGE_SIZE - 1)


def copy(number: int, kind: int = TABLE, size: int = 10, mark: bytes = b"") -> InteriorPage:
    return InteriorPage(number, kind, mark.ljust(size, b"."))


def carried(kept, fresh, touched=(), size=FAR) -> tuple[InteriorPage, ...]:
    return carried_interior(kept, fresh, touched_pages=set(touched), page_size=PAGE_SIZE, size=size)


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
