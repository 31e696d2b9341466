"""Tail or blocks: the plan of a single commit."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.manifest import Commit, Manifest
from sqlite_s3vfs.format.tail import Encoding, TailEntry
from sqlite_s3vfs.planning.commit import (
    TAIL_COMMIT_MAX,
    TAIL_HARD_MAX,
    Changes,
    CommitPlan,
    plan_commit,
)

PAGE_SIZE = 4096
BASE = Manifest(
    database_id=b"0123456789abcdef",
    page_size=PAGE_SIZE,
    size=100 * PAGE_SIZE,
    block_size=65536,
    retention_seconds=3600,
    version=7,
    commits=(Commit(7, b"commit 7", 0, "", 100 * PAGE_SIZE, 1),),
)


def noise(seed: int, size: int = PAGE_SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def nowhere(page: int) -> None:
    return None


def changed(pages: dict[int, bytes], **other: int) -> Changes:
    known = {"page_size": PAGE_SIZE, "size": BASE.size, "base_limit": BASE.size}
    return Changes(pages=pages, **{**known, **other})


def planned(
    changes: Changes, base: Manifest | None = BASE, *, block_size=65536, tail=nowhere, blocks=nowhere
) -> CommitPlan:
    return plan_commit(base, changes, block_size=block_size, tail_page=tail, block_page=blocks)


def test_a_small_transaction_rides_in_the_tail():
    plan = planned(changed({9: b"b" * PAGE_SIZE, 1: b"a" * PAGE_SIZE}))

    assert [(entry.page, entry.version) for entry in plan.entries] == [(1, 8), (9, 8)]
    assert (plan.blocks, plan.drops) == ((), False)


def test_what_does_not_fit_goes_into_blocks_and_keeps_the_base():
    pages = {page: noise(page) for page in range(1, 10)}

    plan = planned(changed({**pages, 40: noise(40)}))

    assert sum(map(len, pages.values())) > TAIL_COMMIT_MAX
    assert plan == CommitPlan((), (0, 2), drops=True, pages=frozenset({*pages, 40}))


def test_many_pages_go_into_blocks_however_small():
    plan = planned(changed({page: bytes(PAGE_SIZE) for page in range(1, 66)}))

    assert plan.blocks == (0, 1, 2, 3, 4)


def test_a_full_tail_is_emptied_by_the_commit_that_finds_it_so():
    entries = tuple(TailEntry(page, 7, Encoding.STORED, noise(page)) for page in range(1, 32))
    full = replace(BASE, tail=entries)
    assert sum(entry.cost for entry in entries) > TAIL_HARD_MAX - 2 * PAGE_SIZE

    plan = planned(changed({90: noise(90), 91: noise(91)}), full)

    assert plan.blocks == (0, 1, 5)


def test_the_first_commit_has_nothing_to_keep():
    small = planned(changed({1: bytes(PAGE_SIZE)}, size=PAGE_SIZE, base_limit=0), None)
    large = planned(
        changed({page: noise(page) for page in range(1, 20)}, size=19 * PAGE_SIZE, base_limit=0), None
    )

    assert [entry.version for entry in small.entries] == [1]
    assert not small.drops
    assert (large.blocks, large.drops) == ((0, 1), False)


def test_a_shrink_keeps_the_base_even_if_it_rides_in_the_tail():
    plan = planned(changed({1: bytes(PAGE_SIZE)}, size=50 * PAGE_SIZE, base_limit=50 * PAGE_SIZE))

    assert len(plan.entries) == 1
    assert plan.drops


def test_another_page_size_writes_everything():
    plan = planned(changed({1: bytes(1024)}, page_size=1024, size=200 * 1024, base_limit=0))

    assert plan.blocks == tuple(range(unit_count(200 * 1024, 65536)))
    assert plan.drops


def test_an_empty_database_may_change_its_page_size_in_the_tail():
    empty = replace(BASE, size=0, commits=(Commit(7, b"commit 7", 0, "", 0, 1),))

    plan = planned(changed({1: bytes(512)}, page_size=512, size=512, base_limit=0), empty)

    assert len(plan.entries) == 1


@pytest.mark.parametrize("base_limit", [3 * PAGE_SIZE, 3 * PAGE_SIZE + 1])
def test_what_was_cut_off_and_regrown_is_written_as_blocks(base_limit: int):
    plan = planned(changed({1: bytes(PAGE_SIZE)}, size=20 * PAGE_SIZE, base_limit=base_limit))

    assert plan.blocks == (0, 1)
    assert plan.pages == {1, *range(4, 21)}


def test_a_page_of_the_tail_is_patched():
    old = noise(3)

    plan = planned(changed({3: old[:50] + b"new" + old[53:]}), tail={3: old}.get)

    (entry,) = plan.entries
    assert entry.encoding is Encoding.PATCH


LEAF, TABLE_INTERIOR, INDEX_INTERIOR = 13, 5, 2


@pytest.mark.parametrize(
    ("page", "kind", "patched"),
    [(3, LEAF, True), (3, TABLE_INTERIOR, False), (3, INDEX_INTERIOR, False), (1, LEAF, False)],
)
def test_what_every_open_needs_does_not_depend_on_a_block(page: int, kind: int, patched: bool):
    old = bytes([kind]) + noise(3)[1:]

    plan = planned(changed({page: old[:50] + b"new" + old[53:]}), blocks={page: old}.get)

    (entry,) = plan.entries
    assert (entry.encoding is Encoding.PATCH) == patched


@given(st.sampled_from([512, 4095, 4096, 4097, 6000]), st.integers(1, 90))
def test_a_page_in_two_blocks_is_never_a_patch(block_size: int, page: int):
    """One of its blocks may be written without the other: nothing to patch would be left."""
    old = noise(3)
    base = replace(BASE, block_size=block_size)
    changes = changed({page: old[:50] + b"new" + old[53:]})

    plan = planned(changes, base, block_size=block_size, tail={page: old}.get, blocks={page: old}.get)

    (entry,) = plan.entries
    whole = len(overlapping(page - 1, PAGE_SIZE, block_size)) == 1
    assert (entry.encoding is Encoding.PATCH) == whole


@given(st.sets(st.integers(1, 400), min_size=65, max_size=90), st.integers(400, 900))
def test_blocks_are_those_of_the_pages_ascending_and_in_the_file(pages: set[int], page_count: int):
    size = page_count * 512
    base = replace(BASE, page_size=512, size=1)
    changes = Changes(
        page_size=512, size=size, pages=dict.fromkeys(pages, bytes(512)), base_limit=1
    )

    plan = planned(changes, base, block_size=4095)

    wanted = {block for page in pages for block in overlapping(page - 1, 512, 4095)}
    assert plan.blocks == tuple(sorted(block for block in wanted if block * 4095 < size))
