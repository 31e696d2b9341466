"""What B-tree pages tell about other pages: the children of interior pages, the rowids of index leaves.

https://www.sqlite.org/fileformat2.html#b_tree_pages. Pages are looked at before SQLite has vouched for
them (a page of the free list may still look like an interior page), so everything here answers
"nothing" instead of raising an error where the bytes make no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property

from sqlite_s3vfs.format.sqlite_header import HEADER_SIZE, INDEX_INTERIOR, TABLE_INTERIOR, page_type

INDEX_LEAF = 10
TABLE_LEAF = 13
_INTERIOR_HEADER = 12
_LEAF_HEADER = 8
_CHILD = struct.Struct(">I")
_COUNT = struct.Struct(">H")
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
"""Bytes of the integers by serial type: https://www.sqlite.org/fileformat2.html#record_format"""

Page = bytes | memoryview


class InteriorNode:
    """An interior page: its children in the order of their keys."""

    def __init__(self, page: int, content: Page) -> None:
        self.page = page
        self._content = content
        self._start = HEADER_SIZE if page == 1 else 0
        self.is_table = page_type(content, page) == TABLE_INTERIOR

    @cached_property
    def _cells(self) -> Sequence[int]:
        """Offsets of the cells."""
        return _cell_offsets(self._content, self._start, _INTERIOR_HEADER)

    @cached_property
    def children(self) -> Sequence[int]:
        """Page numbers, from 1; empty where this is not an interior page."""
        if page_type(self._content, self.page) not in (TABLE_INTERIOR, INDEX_INTERIOR):
            return ()
        content, last = self._content, len(self._content) - _CHILD.size
        found = [_CHILD.unpack_from(content, cell)[0] for cell in self._cells if cell <= last]
        if len(found) < len(self._cells) or len(content) < self._start + _INTERIOR_HEADER:
            return ()
        return (*found, _CHILD.unpack_from(content, self._start + 8)[0])

    @cached_property
    def positions(self) -> dict[int, int]:
        """Where among the children each page is."""
        return {child: position for position, child in enumerate(self.children)}

    @property
    def child_count(self) -> int:
        """How many children it has."""
        return len(self._cells) + 1

    def number_at(self, position: int) -> int | None:
        """The largest number below the child there: of a rowid, or the first column of an index.

        None for the last child, which has no bound, and where the column is not an integer.
        """
        if not 0 <= position < len(self._cells):
            return None
        start = self._cells[position] + _CHILD.size
        if self.is_table:
            return _signed(varint(self._content, start)[0])
        return _first_integer(self._content, varint(self._content, start)[1])

    def position_of(self, number: int) -> int:
        """Which child has the first entry of a number, where that is what the page is ordered by."""
        low, high = 0, len(self._cells)
        while low < high:
            middle = (low + high) // 2
            bound = self.number_at(middle)
            if bound is not None and bound < number:
                low = middle + 1
            else:
                high = middle
        return low


class IndexLeaf:
    """A leaf of an index on a rowid table: which rows come in which order."""

    def __init__(self, page: int, content: Page) -> None:
        self.page = page
        self._content = content

    @cached_property
    def entries(self) -> Sequence[tuple[bytes, int]]:
        """First column (serial type and value, as stored) and rowid of each entry that tells both."""
        if page_type(self._content, self.page) != INDEX_LEAF:
            return ()
        offsets = _cell_offsets(self._content, 0, _LEAF_HEADER)
        found = (_index_entry(self._content, offset) for offset in offsets)
        return tuple(entry for entry in found if entry is not None)


def varint(content: Page, offset: int) -> tuple[int, int]:
    """A variable-length integer and where it ends; zeros are read past the end."""
    value = 0
    for position in range(offset, offset + 8):
        byte = content[position] if position < len(content) else 0
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + 1
    byte = content[offset + 8] if offset + 8 < len(content) else 0
    return value << 8 | byte, offset + 9


def _cell_offsets(content: Page, start: int, header: int) -> Sequence[int]:
    if len(content) < start + header:
        return ()
    (count,) = _COUNT.unpack_from(content, start + 3)
    if start + header + 2 * count > len(content):
        return ()
    return struct.unpack_from(f">{count}H", content, start + header)


def _index_entry(content: Page, offset: int) -> tuple[bytes, int] | None:
    """The first column and the rowid, which is the last one, of a cell that lies on its page whole."""
    size, start = varint(content, offset)
    # What is longer continues on overflow pages: https://www.sqlite.org/fileformat2.html#ovflpgsz
    if size > (len(content) - 12) * 64 // 255 - 23 or start + size > len(content):
        return None
    header_size, position = varint(content, start)
    header_end = start + header_size
    if not position < header_end <= start + size:
        return None
    first, position = varint(content, position)
    last = first
    while position < header_end:
        last, position = varint(content, position)
    width = _INTEGER_SIZES.get(last)
    if width is None or header_end + width > start + size:
        return None
    end = start + size
    rowid = int.from_bytes(content[end - width : end], "big", signed=True) if width else last - 8
    key = bytes(content[header_end : header_end + _value_size(first)])
    return first.to_bytes(9, "big") + key, rowid


def _first_integer(content: Page, start: int) -> int | None:
    """The first column of the record at ``start``, where it is an integer."""
    header_size, position = varint(content, start)
    serial_type, _ = varint(content, position)
    width = _INTEGER_SIZES.get(serial_type)
    if width is None or start + header_size + width > len(content):
        return None
    stored = content[start + header_size : start + header_size + width]
    return int.from_bytes(stored, "big", signed=True) if width else serial_type - 8


def _value_size(serial_type: int) -> int:
    if serial_type >= 12:
        return (serial_type - 12) // 2
    return 8 if serial_type == 7 else _INTEGER_SIZES.get(serial_type, 0)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
