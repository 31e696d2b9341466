"""What sqlite-s3vfs 0.0.x left in a bucket, told from a listing and the first bytes.

It stored a database as ``{prefix}/{index:010d}``, one object for each block of the file, and SQLite's
rollback journal in the same way under ``{prefix}-journal/``. Nothing states the block size, so it is
inferred; blocks that were never written are absent, and a block ends at the last byte ever written
to it (invariant I10).

Facts come in two steps, because what a listing means depends on the size of the file, and that stands
in page 1, or in the journal of a transaction that was cut off:

    read_layout        listing → which objects, and an identity to compare two listings by
    assemble_journal   bodies of the journal's objects → the journal, unless ``is_journal`` denies it
    describe_file      layout, first bytes, playback of the journal → size, block size, blocks

Keys of any other form are not ours and are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.fields import pack
from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.rollback_journal import MAGIC, JournalPlayback, parse_journal_header
from sqlite_s3vfs.format.sqlite_header import HEADER_SIZE, SQLiteHeader, parse_header

_INDEX = re.compile(r"[0-9]{10}")
_IDENTITY_SIZE = 16


@dataclass(frozen=True, slots=True, order=True)
class AncestorBlock:
    """A block object: its index from 0, bytes and ETag as listed."""

    index: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class AncestorLayout:
    """The block objects of a database and of its journal, each in order of index."""

    prefix: str
    blocks: tuple[AncestorBlock, ...]
    journal: tuple[AncestorBlock, ...]

    @property
    def identity(self) -> bytes:
        """Equal for two listings exactly when all objects, the journal's too, have equal ETags."""
        objects = pack(
            [
                [[block.index, block.size, block.etag] for block in part]
                for part in (self.blocks, self.journal)
            ]
        )
        return hashlib.blake2b(objects, digest_size=_IDENTITY_SIZE, person=b"ancestor").digest()

    @property
    def header_blocks(self) -> tuple[AncestorBlock, ...]:
        """The blocks whose contents, joined, begin with SQLite's header; empty without block 0."""
        first = self.blocks[0]
        if first.index != 0:
            return ()
        count = unit_count(HEADER_SIZE, max(1, first.size))
        return tuple(block for block in self.blocks[:count] if block.index < count)

    @property
    def journal_keys(self) -> tuple[str, ...]:
        """The keys of the journal's objects."""
        prefix = DatabaseKeys(self.prefix).ancestor_journal_prefix
        return tuple(f"{prefix}{block.index:010d}" for block in self.journal)


@dataclass(frozen=True, slots=True)
class AncestorFile:
    """The database file that the objects hold, as SQLite sees it once its journal is played back.

    ``blocks`` are those that hold bytes of it, their sizes cut to its end; what neither they nor the
    journal hold was never written and reads as zeros. Size 0: the very first transaction was cut off.
    """

    page_size: int
    size: int
    block_size: int
    blocks: tuple[AncestorBlock, ...]

    def block_size_for(self, preferred: int) -> int:
        """The block size that the database goes on with, in bytes.

        Where object 0 is the only one, nothing tells where a second one would have begun, and any
        size from its own on is right; its own could be a poor one, so ``preferred`` is the least.
        """
        only_the_first = all(block.index == 0 for block in self.blocks)
        return max(preferred, self.block_size) if only_the_first else self.block_size


def is_block_name(name: str) -> bool:
    """Whether an object of that name, below the prefix, is a block."""
    return _INDEX.fullmatch(name) is not None


def read_layout(prefix: str, rows: Iterable[tuple[str, int, str]]) -> AncestorLayout | None:
    """The block objects among ``rows`` of (key, size, ETag); None where the database has none.

    The rows are those of ``{prefix}/`` and of ``{prefix}-journal/``, in any order.
    """
    keys = DatabaseKeys(prefix)
    blocks: list[AncestorBlock] = []
    journal: list[AncestorBlock] = []
    parts = {f"{prefix}/": blocks, keys.ancestor_journal_prefix: journal}
    for key, size, etag in rows:
        parent, slash, name = key.rpartition("/")
        part = parts.get(parent + slash)
        if part is not None and is_block_name(name):
            part.append(AncestorBlock(int(name), size, etag))
    if not blocks:
        return None
    return AncestorLayout(prefix, tuple(sorted(blocks)), tuple(sorted(journal)))


def assemble_journal(bodies: Mapping[int, bytes]) -> bytes:
    """The journal whose objects, by index, have these contents; zeros where none was written.

    SQLite writes a journal from front to back, so that only the gap between the last record of one
    header and the next header (at a multiple of the sector size) is left out. Hence object 0 is full
    where there is an object 1, unless it ends at such a gap; then the place of the next header's
    magic tells the block size.
    """
    if 0 not in bodies:
        return b""
    block_size = _journal_block_size(bodies[0], bodies.get(1))
    journal = bytearray()
    for index in sorted(bodies):
        journal += bytes(max(0, index * block_size - len(journal)))
        journal += bodies[index]
    return bytes(journal)


def is_journal(journal: bytes) -> bool:
    """Whether the assembled bytes are a rollback journal: hot, or cold with zeros for a header.

    Anything else under the journal's keys belongs to somebody else and must stay: a database may be
    named ``{prefix}-journal``, and once adopted it has no object 0.
    """
    return journal[: len(MAGIC)] in (MAGIC, bytes(len(MAGIC)))


def describe_file(
    layout: AncestorLayout, first_bytes: bytes, *, playback: JournalPlayback | None
) -> AncestorFile:
    """Size, page size, block size and blocks of the database file.

    ``first_bytes`` are the contents of ``layout.header_blocks``, joined. ``playback`` is what the
    journal restores; None where it is absent, not hot, or names a super-journal that is gone.

    The size is the header's where its last writer kept that up to date, as SQLite takes it; else the
    length of the file, in whole pages (https://www.sqlite.org/fileformat2.html#in_header_database_size).

    Raises:
        CorruptError: block 0 or the header is missing; the last page is missing, which makes the
            file malformed to SQLite too; no block size explains the objects.
    """
    if playback is not None and playback.page_count == 0:
        return AncestorFile(playback.page_size, 0, 0, ())
    header = _header(layout, first_bytes, playback)
    length = playback.size if playback is not None else _length(layout.blocks)
    size = header.size or unit_count(length, header.page_size) * header.page_size
    if playback is not None and size > length:
        raise CorruptError(
            "the journal restores fewer pages than the header of the database tells. "
            f"prefix={layout.prefix!r} size={size} restored={length}"
        )
    block_size = _block_size(
        layout.blocks,
        header.size or length,
        last_page_restored=playback is not None
        and unit_count(size, playback.page_size) in playback.pages,
    )
    if block_size is None:
        raise CorruptError(
            "the old layout's objects do not reach the end of the database: restore what is missing. "
            f"prefix={layout.prefix!r} size={size} objects={len(layout.blocks)}"
        )
    blocks = tuple(_within(layout.blocks, size, block_size))
    return AncestorFile(header.page_size, size, block_size, blocks)


def _header(
    layout: AncestorLayout, first_bytes: bytes, playback: JournalPlayback | None
) -> SQLiteHeader:
    if layout.blocks[0].index != 0 or not layout.blocks[0].size:
        raise CorruptError(
            "block 0 of the old layout is missing or empty: restore it. "
            f"prefix={layout.prefix!r} objects={len(layout.blocks)}"
        )
    if playback is not None:
        first_bytes = playback.pages.get(1, first_bytes)
    header = parse_header(first_bytes)
    if header is None:
        raise CorruptError(
            "block 0 of the old layout does not begin a SQLite database. "
            f"prefix={layout.prefix!r} size={layout.blocks[0].size}"
        )
    return header


def _length(blocks: Sequence[AncestorBlock]) -> int:
    """Bytes up to the last one that was ever written."""
    *before, last = blocks
    first_size = blocks[0].size
    dense = last.size <= first_size and all(block.size == first_size for block in before)
    block_size = first_size if dense else max(block.size for block in blocks)
    return last.index * block_size + last.size


def _block_size(blocks: Sequence[AncestorBlock], length: int, *, last_page_restored: bool) -> int | None:
    """The block size that explains the objects of a file of ``length`` bytes; None where none does.

    SQLite leaves pages out that were freed before they were ever written, but never the last page.
    (sqlite-s3vfs 0.0.36 takes a database with such pages for malformed, having its length from the sum
    of the objects' sizes; nothing is wrong with it.) So a full block is as large as, in this order,

    * object 0, where every object but the last is as large; larger ones past the end are leftovers;
    * the largest object, where the objects then reach the end of the file;
    * what makes the last object end where the file does, where holes have left no full block at all;
      an object 0 that is not the largest proves holes. (Without, it may have lost its end instead.)

    Objects that do not reach the end of the file are incomplete, unless the journal has the last page.
    """
    sizes = {block.index: block.size for block in blocks}
    complete, largest, final = sizes[0], max(sizes.values()), blocks[-1]

    def reaches_the_end(candidate: int) -> bool:
        last = (length - 1) // candidate
        return last_page_restored or last * candidate + sizes.get(last, -length) >= length

    before_last = range((length - 1) // complete)
    if all(sizes.get(index) == complete for index in before_last) and reaches_the_end(complete):
        return complete
    if reaches_the_end(largest):
        return largest
    candidate, remainder = divmod(length - final.size, final.index or 1)
    return candidate if complete < largest < candidate and remainder == 0 else None


def _within(blocks: Sequence[AncestorBlock], size: int, block_size: int) -> Iterator[AncestorBlock]:
    """The blocks that hold bytes of the file, cut to its end."""
    for block in blocks:
        rest = size - block.index * block_size
        if rest > 0:
            yield block if block.size <= rest else replace(block, size=rest)


def _journal_block_size(first: bytes, second: bytes | None) -> int:
    """The block size, from objects 0 and 1 of a journal; see ``assemble_journal``."""
    header = parse_journal_header(first, page_size=0)
    if header is None or second is None:
        return max(1, len(first))
    records_end = header.sector_size + header.record_count * header.record_size
    next_header = unit_count(records_end, header.sector_size) * header.sector_size
    place = second.find(MAGIC, 0, next_header - records_end + len(MAGIC))
    if len(first) != records_end or place < 0:
        return max(1, len(first))
    return next_header - place
