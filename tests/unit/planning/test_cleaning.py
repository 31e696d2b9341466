"""What a fold takes along: mostly dead segments, and ranges in too many of them; bounded, in order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.format.blockmap import DeadBlocks, Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.planning.cleaning import (
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
