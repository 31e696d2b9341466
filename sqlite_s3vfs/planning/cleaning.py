"""Which blocks a fold takes along, though nothing changed in them: a pure policy.

Two things make storage and scans worse with every update, and the same rewriting mends both:

* Segments of which most blocks are dead keep all their bytes while one block lives. Where at least
  ``MOSTLY_DEAD`` of a segment is dead, its living blocks are written anew.
* A range of the file that was updated bit by bit lies in many segments, one request each. Where a
  window of ``WINDOW`` blocks has more than ``SCATTERED_MAX`` short runs, the blocks of these runs are
  written anew, side by side; long runs stay where they are.

Blocks are taken in the order of the file, up to ``room``, from the window where the last fold stopped.
Each window is one step of work for the whole file in turn, so that nothing is left out for ever.
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
