"""Which blocks leave a transaction's memory first, where it grows too large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlite_s3vfs.format.geometry import overlapping, unit_count


def blocks_to_spill(
    units: Iterable[int], *, unit_size: int, block_size: int, size: int, wanted: int | None
) -> tuple[int, ...]:
    """Blocks (ascending) that free about ``wanted`` bytes (None: all) of a file of ``size`` bytes.

    ``units`` are held, last written last.

    Whole blocks go first: nothing has to be read for them, and they free most for each byte that is
    uploaded. A page that is written again and again, of an index say, stays in memory once the rest
    of its block has gone. Among equals goes what was not written for longest. Block 0 stays as long
    as anything else can go: each commit writes page 1.
    """
    held: dict[int, int] = {}
    count = unit_count(size, block_size)
    for block in _touched(units, unit_size, block_size):
        if block < count:
            held[block] = held.pop(block, 0) + 1
    chosen, freed = [], 0
    for block in sorted(held, key=lambda block: (block == 0, -held[block])):
        if wanted is not None and freed >= wanted:
            break
        chosen.append(block)
        freed += min(held[block] * unit_size, block_size)
    return tuple(sorted(chosen))


def _touched(units: Iterable[int], unit_size: int, block_size: int) -> Iterator[int]:
    """The block of each unit; all of them where a unit reaches over the end of one."""
    in_a_block, rest = divmod(block_size, unit_size)
    if not rest:
        return (unit // in_a_block for unit in units)
    return (block for unit in units for block in overlapping(unit, unit_size, block_size))
