"""Which blocks a fold takes along, though nothing changed in them: a pure policy.

Two things make storage and scans worse with every update, and the same rewriting mends both:

* Segments of which most blocks are dead keep all their bytes while one block lives. Where at least
  ``MOSTLY_DEAD`` of a segment is dead, its living blocks are written anew.
* A range of the file that was updated bit by bit lies in many segments, one request each. Where a
  window of ``WINDOW`` blocks has more than ``SCATTERED_MAX`` short runs, the blocks of these runs are
  written anew, side by side; long runs stay where they are.

Segments that are mostly dead go first, the deadest before others: with random updates all windows are
scattered, and putting these in order alone leaves segments half dead. What ``room`` is left then goes
to scattered windows in the order of the file, from one on that the version tells: any number of
processes, however far apart their folds are, get round the whole file (``first_to_look_at``).

Mostly a fold in the background does this. Where no process lives long enough to make one, some of the
commits that write blocks anyway do it themselves (``has_turn``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from fractions import Fraction

from sqlite_s3vfs.format.blockmap import DeadBlocks, Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName

MOSTLY_DEAD = Fraction(2, 5)
"""With random updates about 0.78 of all segments lives then: 1.3 times a fresh import."""
WINDOW = 64
"""Blocks: a segment's worth of 4 MiB."""
SHORT_RUN = 8
"""A run of fewer blocks of one window in one segment is short."""
SCATTERED_MAX = 6
"""Short runs that one window may have."""
ALONG = 4
"""Blocks that are taken along, at most, for each that changed: to free one takes 1.5, mostly, and
the rest puts windows in order."""
TURNS = 8
"""One of so many commits cleans where no fold does."""
_GOLDEN, _RANGE = 0x9E3779B97F4A7C15, 1 << 64
"""Multiples of the golden ratio spread evenly, whatever the stride:
https://en.wikipedia.org/wiki/Hash_function#Fibonacci_hashing"""


def first_to_look_at(version: int, block_count: int) -> int:
    """The block from which on a fold or a commit of that version looks for something to clean."""
    return version * _GOLDEN % _RANGE * block_count // _RANGE


def has_turn(version: int) -> bool:
    """Whether the commit of that version is one of those that clean, where no fold does."""
    return version * _GOLDEN % _RANGE < _RANGE // TURNS


def blocks_to_clean(
    locators: Mapping[int, Locator],
    dead: Mapping[ObjectName, DeadBlocks],
    *,
    skip: Set[int],
    room: int,
    start: int = 0,
) -> tuple[int, ...]:
    """The blocks to take along, ascending, at most ``room``.

    ``locators`` are those of the part of the file that is looked at, ``dead`` the dead blocks that are
    known of its segments. ``skip`` are written anyway. Windows from ``start`` on come first.
    """
    free = {
        block: locator.source.name
        for block, locator in sorted(locators.items())
        if block not in skip
        and isinstance(locator.source, SegmentSource)
        and not locator.source.owner
    }
    chosen = _of_dying(free, dead, room)
    windows: dict[int, dict[int, ObjectName]] = {}
    for block, name in free.items():
        windows.setdefault(block // WINDOW, {})[block] = name
    first = start // WINDOW
    for window in sorted(windows, key=lambda index: (index < first, index)):
        wanted = _scattered(windows[window]) - chosen
        if len(chosen) + len(wanted) > room:
            break
        chosen |= wanted
    return tuple(sorted(chosen))


def _of_dying(
    free: Mapping[int, ObjectName], dead: Mapping[ObjectName, DeadBlocks], room: int
) -> set[int]:
    """The living blocks of mostly dead segments, as many segments as there is room for."""
    living: dict[ObjectName, list[int]] = {}
    for block, name in free.items():
        count = dead.get(name)
        if count is not None and count.dead >= MOSTLY_DEAD * count.blocks:
            living.setdefault(name, []).append(block)
    chosen: set[int] = set()
    for name in sorted(living, key=lambda name: (-dead[name].dead / dead[name].blocks, name)):
        if len(chosen) + len(living[name]) > room:
            break
        chosen.update(living[name])
    return chosen


def _scattered(window: Mapping[int, ObjectName]) -> set[int]:
    runs = Counter(window.values())
    short = {name for name, count in runs.items() if count < SHORT_RUN}
    if len(short) <= SCATTERED_MAX:
        return set()
    return {block for block, name in window.items() if name in short}
