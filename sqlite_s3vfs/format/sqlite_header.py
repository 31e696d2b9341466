"""The few bytes of a SQLite file that the library reads or changes.

Offsets are those of https://www.sqlite.org/fileformat2.html#the_database_header; numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

MAGIC = b"SQLite format 3\x00"
HEADER_SIZE = 100
CHANGE_COUNTER = slice(24, 28)

_FORMAT_VERSIONS = slice(18, 20)
_SCHEMA_COOKIE = slice(40, 44)
_VALID_FOR = slice(92, 96)
TABLE_INTERIOR = 5
INDEX_INTERIOR = 2


@dataclass(frozen=True, slots=True)
class SQLiteHeader:
    """What the first 100 bytes say. ``page_count`` is 0 where the writer left none that is valid."""

    page_size: int
    page_count: int
    change_counter: int
    schema_cookie: int
    uses_wal: bool

    @property
    def size(self) -> int:
        """Bytes of the file as the header tells."""
        return self.page_size * self.page_count


def parse_header(page_1: bytes | memoryview) -> SQLiteHeader | None:
    """The header; None where these bytes do not begin a SQLite database."""
    if len(page_1) < HEADER_SIZE or bytes(page_1[:16]) != MAGIC:
        return None
    raw_page_size = _number(page_1, slice(16, 18))
    page_size = 65536 if raw_page_size == 1 else raw_page_size
    if page_size < 512 or page_size & (page_size - 1):
        return None
    counter = _number(page_1, CHANGE_COUNTER)
    # The count is to be believed only where a writer that keeps it up to date was the last one.
    trusted = counter == _number(page_1, _VALID_FOR)
    return SQLiteHeader(
        page_size=page_size,
        page_count=_number(page_1, slice(28, 32)) if trusted else 0,
        change_counter=counter,
        schema_cookie=_number(page_1, _SCHEMA_COOKIE),
        uses_wal=bytes(page_1[_FORMAT_VERSIONS]) != b"\x01\x01",
    )


def without_wal(page_1: bytes) -> bytes:
    """The page with the format versions of a rollback-journal database (research: WAL cannot open)."""
    return page_1[: _FORMAT_VERSIONS.start] + b"\x01\x01" + page_1[_FORMAT_VERSIONS.stop :]


def raised_above(page_1: bytes, *replaced: SQLiteHeader) -> bytes:
    """The page with change counter and schema cookie above its own and all the ``replaced`` ones.

    A connection that cached the replaced content then notices, its prepared statements included
    (invariant I9). Both count modulo 2^32 and are compared for equality only.
    """
    own = parse_header(page_1)
    assert own is not None, "page 1 begins with a header"
    every = (own, *replaced)
    counter = _above([header.change_counter for header in every])
    cookie = _above([header.schema_cookie for header in every])
    page = bytearray(page_1)
    page[CHANGE_COUNTER] = counter
    if own.page_count:
        page[_VALID_FOR] = counter
    page[_SCHEMA_COOKIE] = cookie
    return bytes(page)


def is_interior_page(page: bytes | memoryview, number: int) -> bool:
    """Whether the page looks like an interior B-tree page (false positives are harmless)."""
    return page_type(page, number) in (TABLE_INTERIOR, INDEX_INTERIOR)


def page_type(page: bytes | memoryview, number: int) -> int:
    """The byte that tells the kind of a B-tree page; 0 where the page is too short to have one."""
    position = HEADER_SIZE if number == 1 else 0
    return page[position] if len(page) > position else 0


def _number(page: bytes | memoryview, where: slice) -> int:
    return int.from_bytes(page[where], "big")


def _above(numbers: Sequence[int]) -> bytes:
    """The next number after all of these that is none of them, modulo 2^32."""
    number = max(numbers)
    while number in numbers:
        number = (number + 1) & 0xFFFFFFFF
    return struct.pack(">I", number)
