"""Which blocks leave a transaction's memory first, where it grows too large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlite_s3vfs.format.geometry import overlapping, unit_count


def blocks_to_spill(
    units: Sequence[int], *, unit_size: int, block_size: int, size: int, wanted: int | None
) -> tuple[int, ...]:
    """Blocks (ascending) that free about ``wanted`` bytes (None: all) of a file of ``size`` bytes.

    ``units`` are held, last written last.

    Whole blocks go first: nothing has to be read for them, and they free most for each byte that is
    uploaded. A page that is written again and again, of an index say, stays in memory once the rest
    of its block has gone. Among equals goes what was not written for longest. Block 0 stays as long
    as anything else can go: each commit writes page 1.
    """
    touched = _touched(units, unit_size, block_size)
    held = Counter(touched)
    touched.reverse()
    oldest_first = reversed(dict.fromkeys(touched))
    count = unit_count(size, block_size)
    chosen, freed = [], 0
    for block in sorted(oldest_first, key=lambda block: (block == 0, -held[block])):
        if wanted is not None and freed >= wanted:
            break
        if block < count:
            chosen.append(block)
            freed += min(held[block] * unit_size, block_size)
    return tuple(sorted(chosen))


def _touched(units: Sequence[int], unit_size: int, block_size: int) -> list[int]:
    """The block of each unit; all of them where a unit reaches over the end of one."""
    in_a_block, rest = divmod(block_size, unit_size)
    if not rest:
        return [unit // in_a_block for unit in units]
    return [block for unit in units for block in overlapping(unit, unit_size, block_size)]
