"""What a fold takes along: mostly dead segments, and ranges in too many of them; bounded, in order."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.format.blockmap import DeadBlocks, Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.planning import cleaning
from sqlite_s3vfs.planning.cleaning import (
    ALONG,
    MOSTLY_DEAD,
    SCATTERED_MAX,
    SHORT_RUN,
    WINDOW,
    blocks_to_clean,
)


def name(number: int) -> ObjectName:
    return ObjectName(number, number.to_bytes(8, "big"))


def locator(number: int, blocks: int = 64, owner: int = 0) -> Locator:
    return Locator(SegmentSource(name(number), 1, blocks, 0, owner), 0, 100, 4096)


def dead(number: int, count: int, blocks: int = 64) -> dict[ObjectName, DeadBlocks]:
    return {name(number): DeadBlocks(0, 1, blocks, count)}


FRESH = {block: locator(1 + block // WINDOW) for block in range(4 * WINDOW)}


def test_a_fresh_import_is_left_alone():
    assert blocks_to_clean(FRESH, {}, skip=frozenset(), room=1000) == ()


def test_the_living_blocks_of_a_mostly_dead_segment_are_taken():
    living = {block: FRESH[block] for block in range(30)}
    assert blocks_to_clean(living, dead(1, 34), skip=frozenset(), room=1000) == tuple(range(30))
    assert blocks_to_clean(living, dead(1, 20), skip=frozenset(), room=1000) == ()


def test_short_runs_are_put_together_and_long_ones_stay():
    scattered = {block: locator(100 + block) for block in range(SCATTERED_MAX + 1)}
    assert blocks_to_clean({**FRESH, **scattered}, {}, skip=frozenset(), room=1000) == tuple(scattered)
    few = dict(list(scattered.items())[:SCATTERED_MAX])
    assert blocks_to_clean({**FRESH, **few}, {}, skip=frozenset(), room=1000) == ()


def test_objects_of_others_and_what_is_written_anyway_are_left_out():
    own = {block: locator(100 + block) for block in range(20)}
    foreign = {block: locator(100 + block, owner=1) for block in range(20)}
    assert blocks_to_clean(foreign, {}, skip=frozenset(), room=1000) == ()
    assert blocks_to_clean(own, {}, skip=frozenset(range(5)), room=1000) == tuple(range(5, 20))


def test_the_deadest_segments_go_before_others_and_before_scattered_windows():
    scattered = {block: locator(100 + block) for block in range(20)}
    half = {block: locator(1) for block in range(WINDOW, WINDOW + 32)}
    deader = {block: locator(2) for block in range(2 * WINDOW, 2 * WINDOW + 10)}
    counts = {**dead(1, 32), **dead(2, 54)}
    located = {**scattered, **half, **deader}
    skip: frozenset[int] = frozenset()
    chosen = [set(blocks_to_clean(located, counts, skip=skip, room=room)) for room in (10, 42, 62)]
    assert chosen == [set(deader), {*deader, *half}, set(located)]


@pytest.mark.parametrize("mistaken", [False, True])
def test_storage_stays_bounded_while_random_blocks_change(mistaken: bool, monkeypatch):
    """A hundred of 4 096 change between two folds. Planted: mostly dead segments wait their turn."""
    if mistaken:
        monkeypatch.setattr(cleaning, "_of_dying", lambda free, dead, room: set())
    chance = Random(3)
    located = {block: locator(1 + block // 64) for block in range(4096)}
    living = Counter(found.source.name for found in located.values())
    sizes = dict(living)
    for fold in range(100):
        changed = frozenset(chance.sample(range(4096), 100))
        left = living - Counter(located[block].source.name for block in changed)
        counts = {name: DeadBlocks(0, 1, size, size - left[name]) for name, size in sizes.items()}
        room = ALONG * 100 + 16
        along = blocks_to_clean(located, counts, skip=changed, room=room, start=fold * 1000 % 4096)
        blocks = sorted({*changed, *along})
        for start in range(0, len(blocks), 64):
            part = blocks[start : start + 64]
            located.update({block: locator(1000 + 100 * fold + start // 64) for block in part})
            sizes[located[part[0]].source.name] = len(part)
        living = Counter(found.source.name for found in located.values())
        sizes = {name: size for name, size in sizes.items() if living[name]}
    assert (sum(sizes.values()) < 1.5 * 4096) != mistaken


@given(st.integers(0, 1000), st.integers(0, 300), st.integers(0, 4 * WINDOW))
def test_whatever_the_map_it_is_bounded_ascending_and_worth_it(seed: int, room: int, start: int):
    chance = Random(seed)
    located = {block: locator(chance.randrange(1, 60)) for block in FRESH if chance.random() < 0.9}
    counts = {k: v for n in range(1, 60) for k, v in dead(n, chance.randrange(64)).items()}
    chosen = blocks_to_clean(located, counts, skip=frozenset(), room=room, start=start)
    assert len(chosen) <= room
    assert list(chosen) == sorted(set(chosen))
    for block in chosen:
        own = located[block].source.name
        window = range(block // WINDOW * WINDOW, (block // WINDOW + 1) * WINDOW)
        run = sum(located[b].source.name == own for b in window if b in located)
        assert counts[own].dead >= MOSTLY_DEAD * 64 or run < SHORT_RUN


def test_cleaning_in_turns_comes_to_an_end_with_everything_in_order():
    """Each step rewrites what was chosen; soon nothing is left to do."""
    chance = Random(7)
    located = {block: locator(chance.randrange(1, 200)) for block in FRESH}
    for step in range(40):
        chosen = blocks_to_clean(located, {}, skip=frozenset(), room=100, start=step * WINDOW % 256)
        located.update({block: locator(1000 + step) for block in chosen})
        if not chosen and step > 8:
            break
    else:
        raise AssertionError("it never comes to an end")
    windows = {block // WINDOW: set() for block in located}
    for block, found in located.items():
        windows[block // WINDOW].add(found.source.name)
    assert max(len(names) for names in windows.values()) <= SCATTERED_MAX + WINDOW // SHORT_RUN
