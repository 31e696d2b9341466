"""Which blocks a fold takes along, though nothing changed in them: a pure policy.

Two things make storage and scans worse with every update, and the same rewriting mends both:

* Segments of which most blocks are dead keep all their bytes while one block lives. Where at least
  ``MOSTLY_DEAD`` of a segment is dead, its living blocks are written anew.
* A range of the file that was updated bit by bit lies in many segments, one request each. Where a
  window of ``WINDOW`` blocks has more than ``SCATTERED_MAX`` short runs, the blocks of these runs are
  written anew, side by side; long runs stay where they are.

Blocks are taken in the order of the file, up to ``room``, from a window on that the version tells: any
number of processes, however far apart their folds are, get round the whole file (``first_to_look_at``).

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
    known of its segments. ``skip`` are written anyway. Windows from block ``start`` on come first.
    """
    dying = {name for name, count in dead.items() if count.dead >= MOSTLY_DEAD * count.blocks}
    windows: dict[int, list[int]] = {}
    for block, locator in locators.items():
        source = locator.source
        if block not in skip and isinstance(source, SegmentSource) and not source.owner:
            windows.setdefault(block // WINDOW, []).append(block)
    first = start // WINDOW
    chosen: list[int] = []
    for window in sorted(windows, key=lambda index: (index < first, index)):
        wanted = _of_window(windows[window], locators, dying)
        if len(chosen) + len(wanted) > room:
            break
        chosen += wanted
    return tuple(sorted(chosen))


def _of_window(
    blocks: list[int], locators: Mapping[int, Locator], dying: Set[ObjectName]
) -> list[int]:
    names = {block: _segment(locators[block]) for block in blocks}
    runs = Counter(names.values())
    short = {name for name, count in runs.items() if count < SHORT_RUN}
    scattered = short if len(short) > SCATTERED_MAX else set()
    return [block for block in blocks if names[block] in dying or names[block] in scattered]


def _segment(locator: Locator) -> ObjectName:
    assert isinstance(locator.source, SegmentSource), "only segments are cleaned"
    return locator.source.name
