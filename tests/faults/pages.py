"""Lists of numbers in the pages of a database: the workload of the interleavings.

Page 1 is a header that SQLite would take; every other page holds one list. A transaction reads lists
and appends to them, so that each list tells which transactions it has seen, in which order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from faults.clients import SMALLEST

PAGE_SIZE = 512
FILLER_SIZE = 60
HEADER = SMALLEST[:16] + PAGE_SIZE.to_bytes(2, "big") + SMALLEST[18:PAGE_SIZE]
Lists = Mapping[int, tuple[int, ...]]


def encode_list(page: int, numbers: Iterable[int]) -> bytes:
    """A page: one byte for each number from 1, zeros, and bytes that no compression makes smaller."""
    body = bytes(numbers)
    assert len(body) < PAGE_SIZE - FILLER_SIZE
    filler = random.Random(page).randbytes(FILLER_SIZE)
    return body.ljust(PAGE_SIZE - FILLER_SIZE, b"\x00") + filler


def decode_list(content: bytes | memoryview) -> tuple[int, ...]:
    """The list in a page; a page never written holds the empty one."""
    return tuple(bytes(content[: PAGE_SIZE - FILLER_SIZE]).rstrip(b"\x00"))


def offset_of(page: int) -> int:
    return (page - 1) * PAGE_SIZE


def header_for(pages: int) -> bytes:
    """Page 1 of a file with so many pages."""
    return HEADER[:28] + pages.to_bytes(4, "big") + HEADER[32:]
