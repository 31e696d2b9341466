"""SQLite's rollback journal, read: what a hot journal says the database was before its transaction.

The format is https://www.sqlite.org/fileformat2.html#the_rollback_journal; where that page is silent,
the rules are those that SQLite follows when it rolls back a hot journal, tested against SQLite itself:

* a journal is hot only if its first byte is not zero and its first header is whole and valid; any
  other journal is dropped without a look at its records;
* the first header truncates the database to its original size, even where no record follows;
* records count until the first that is cut short, has page number 0 or the lock-byte page's number,
  or has a wrong checksum; nothing after it counts, not even under a further header;
* a record of a page past the original size is skipped, and its checksum is not looked at;
* a page is journaled once in a transaction; should one come twice, the later record wins;
* a further header begins at the next multiple of the sector size that the first one names;
* a record count of 0xffffffff (written without syncs) means: as many as fit into the journal;
* a super-journal name at the end makes the journal hot only while that super-journal exists
  (https://www.sqlite.org/fileformat2.html#the_super_journal): whoever has the store finds out.

Any bytes give a value or None.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlite_s3vfs.format.geometry import PENDING_BYTE_OFFSET, unit_count

MAGIC = bytes.fromhex("d9d505f920a163d7")

_HEADER = struct.Struct(">8sIIIII")
_NUMBER = struct.Struct(">I")
_ALL_THAT_FIT = 0xFFFFFFFF
_NUMBERS_PER_RECORD = 2 * _NUMBER.size
_PAGE_SIZES = frozenset(1 << power for power in range(9, 17))
_SECTOR_SIZES = frozenset(1 << power for power in range(5, 17))
_CHECKSUM_STRIDE = 200
_READER_SECTOR_SIZE = 512
"""SQLite reads no first header from a journal that is shorter than the reader's own sector size."""
_SUPER_JOURNAL_NAME_MAX = 1024
"""Longest path name of an APSW VFS; SQLite takes a longer super-journal name for none."""


class JournalHeader(NamedTuple):
    """One header; ``record_count`` may be 0xffffffff."""

    record_count: int
    checksum_seed: int
    page_count: int
    sector_size: int
    page_size: int

    @property
    def record_size(self) -> int:
        """Bytes of one record: page number, page, checksum."""
        return self.page_size + _NUMBERS_PER_RECORD


@dataclass(frozen=True, slots=True)
class JournalPlayback:
    """What undoes the transaction: cut or fill the file to ``page_count`` pages, put ``pages`` back.

    ``pages`` maps page numbers (from 1, none above ``page_count``) to their original bytes. While
    ``super_journal`` names one that does not exist, the transaction *was* committed and nothing of
    this applies.
    """

    page_size: int
    page_count: int
    pages: Mapping[int, bytes]
    super_journal: str | None

    @property
    def size(self) -> int:
        """Bytes of the database file before the transaction."""
        return self.page_count * self.page_size


def played_back(journal: bytes, *, page_size: int) -> JournalPlayback | None:
    """What a rollback of this journal restores; None where SQLite would restore nothing.

    ``page_size`` is the database's, for journals before SQLite 3.5.8, which do not tell it.
    """
    if len(journal) < _READER_SECTOR_SIZE or journal[0] == 0:
        return None
    first = parse_journal_header(journal, page_size=page_size)
    if first is None:
        return None
    pages: dict[int, bytes] = {}
    header: JournalHeader | None = first
    offset = 0
    while header is not None:
        offset = _play_records(journal, offset + first.sector_size, header, first, pages)
        offset = unit_count(offset, first.sector_size) * first.sector_size
        header = _further_header(journal, offset, first)
    return JournalPlayback(first.page_size, first.page_count, pages, super_journal_name(journal))


def parse_journal_header(journal: bytes, *, page_size: int) -> JournalHeader | None:
    """The header at the start of the journal; None where it is cut short, zeroed or invalid."""
    if len(journal) < _HEADER.size:
        return None
    magic, *numbers = _HEADER.unpack_from(journal)
    header = JournalHeader(*numbers)
    if header.page_size == 0:
        header = header._replace(page_size=page_size)
    if magic != MAGIC or header.page_size not in _PAGE_SIZES or header.sector_size not in _SECTOR_SIZES:
        return None
    return header


def super_journal_name(journal: bytes) -> str | None:
    """The super-journal's name, as it stands at the end of the journal; None where there is none."""
    end = len(journal) - 2 * _NUMBER.size - len(MAGIC)
    if end < 0 or not journal.endswith(MAGIC):
        return None
    size, checksum = struct.unpack_from(">II", journal, end)
    if not 0 < size <= min(end, _SUPER_JOURNAL_NAME_MAX):
        return None
    name = journal[end - size : end]
    # The sum is over C's char: signed on x86, unsigned on ARM. Either may have written it.
    unsigned = sum(name)
    signed = unsigned - 256 * sum(byte > 127 for byte in name)
    if checksum not in (unsigned, signed & 0xFFFFFFFF):
        return None
    return name.partition(b"\0")[0].decode(errors="surrogateescape") or None


def _play_records(
    journal: bytes,
    offset: int,
    header: JournalHeader,
    first: JournalHeader,
    pages: dict[int, bytes],
) -> int:
    """Collect the records of one header into ``pages``; the offset after them, or the journal's end."""
    count = header.record_count
    if count == _ALL_THAT_FIT:
        count = max(0, len(journal) - first.sector_size) // first.record_size
    lock_page = PENDING_BYTE_OFFSET // first.page_size + 1
    for _ in range(count):
        record_end = offset + first.record_size
        if record_end > len(journal):
            return len(journal)
        (number,) = _NUMBER.unpack_from(journal, offset)
        if number in (0, lock_page):
            return len(journal)
        if number <= first.page_count:
            page = journal[offset + _NUMBER.size : record_end - _NUMBER.size]
            (checksum,) = _NUMBER.unpack_from(journal, record_end - _NUMBER.size)
            if checksum != _checksum(page, header.checksum_seed):
                return len(journal)
            pages[number] = page
        offset = record_end
    return offset


def _further_header(journal: bytes, offset: int, first: JournalHeader) -> JournalHeader | None:
    """A header after the first; its sector and page size do not count."""
    if offset + first.sector_size > len(journal):
        return None
    magic, *numbers = _HEADER.unpack_from(journal, offset)
    if magic != MAGIC:
        return None
    return JournalHeader(*numbers)


def _checksum(page: bytes, seed: int) -> int:
    """The seed plus every 200th byte, counted back from the end of the page, byte 0 never."""
    start = len(page) % _CHECKSUM_STRIDE or _CHECKSUM_STRIDE
    return (seed + sum(page[start::_CHECKSUM_STRIDE])) & 0xFFFFFFFF
