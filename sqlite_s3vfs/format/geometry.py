"""Block arithmetic: which blocks hold which bytes of the database file.

Offsets and sizes are bytes, block indexes count from 0, page numbers from 1, ranges are half-open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

PENDING_BYTE_OFFSET = 1 << 30
"""SQLite never reads or writes the page that holds this byte: https://www.sqlite.org/fileformat2.html#the_lock_byte_page"""


class BlockSpan(NamedTuple):
    """The part of one block that a byte range touches: bytes ``start`` to ``stop`` of the block."""

    block: int
    start: int
    stop: int


def block_spans(offset: int, size: int, block_size: int) -> Iterator[BlockSpan]:
    """Split ``size`` bytes at ``offset`` into spans, in file order, at most one a block."""
    end = offset + size
    while offset < end:
        block, start = divmod(offset, block_size)
        stop = min(block_size, start + end - offset)
        yield BlockSpan(block, start, stop)
        offset += stop - start


def unit_count(size: int, unit_size: int) -> int:
    """How many blocks (or pages) hold ``size`` bytes."""
    return -(-size // unit_size)


def overlapping(index: int, unit_size: int, other_size: int) -> range:
    """The units of ``other_size`` that share a byte with unit ``index`` (from 0) of ``unit_size``."""
    start = index * unit_size
    return range(start // other_size, unit_count(start + unit_size, other_size))
