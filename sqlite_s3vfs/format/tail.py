"""The tail: pages of the recent small commits, each with the version that wrote it.

Entries are kept in the order of their commits, and of pages within one; a page may have several. An
entry is the page itself, the page compressed, or a patch: zstd with the page's previous version (as it
is without this entry: the entry before it, or what the blocks hold) as dictionary.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import zstandard

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.envelope import decompress
from sqlite_s3vfs.format.fields import Record, rows

ENTRY_OVERHEAD = 16
"""Bytes that an entry costs beside its content, about."""

_LEVEL = 3


class Encoding(enum.IntEnum):
    """How the content of an entry is stored."""

    STORED = 0
    COMPRESSED = 1
    PATCH = 2

    @property
    def needs_previous(self) -> bool:
        """Whether the page's previous version is needed to decode."""
        return self is Encoding.PATCH


class TailEntry(NamedTuple):
    """Page ``page`` (from 1) as version ``version`` wrote it."""

    page: int
    version: int
    encoding: Encoding
    content: bytes

    @property
    def cost(self) -> int:
        """Bytes that it takes in the manifest, about."""
        return len(self.content) + ENTRY_OVERHEAD


def encode_page(page: int, version: int, content: bytes, previous: bytes | None) -> TailEntry:
    """The smallest entry for a page; ``previous`` allows a patch."""
    best = TailEntry(page, version, Encoding.STORED, content)
    compressed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(content)
    if len(compressed) < len(best.content):
        best = TailEntry(page, version, Encoding.COMPRESSED, compressed)
    if previous:
        dictionary = zstandard.ZstdCompressionDict(
            previous, dict_type=zstandard.DICT_TYPE_RAWCONTENT
        )
        patch = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=dictionary, write_checksum=True
        ).compress(content)
        if len(patch) < len(best.content):
            best = TailEntry(page, version, Encoding.PATCH, patch)
    return best


def decode_page(entry: TailEntry, page_size: int, previous: bytes | None) -> bytes:
    """The page of an entry; a patch needs ``previous``.

    Raises:
        CorruptError: the entry does not give a page of that size.
    """
    match entry.encoding:
        case Encoding.STORED:
            content = entry.content
        case Encoding.COMPRESSED:
            content = decompress(entry.content, page_size)
        case Encoding.PATCH:
            assert previous is not None, "a patch is decoded with the page's previous version"
            content = decompress(entry.content, page_size, dictionary=previous)
    if len(content) != page_size:
        raise CorruptError(f"tail entry has the wrong size. page={entry.page} size={len(content)}")
    return content


def decode_tail(value: object) -> tuple[TailEntry, ...]:
    """The entries of payload rows: packed as they are, each is a row of its fields in their order."""
    entries = []
    for row in rows(value, "tail"):
        record = Record(row, 4, "tail entry")
        page, version = record.uint(), record.uint()
        encoding = Encoding(record.uint(int(Encoding.PATCH)))
        entries.append(TailEntry(page, version, encoding, record.binary()))
    _check_order(entries)
    return tuple(entries)


def _check_order(entries: Sequence[TailEntry]) -> None:
    places = [(entry.version, entry.page) for entry in entries]
    ascending = all(before < after for before, after in pairwise(places))
    if not ascending or any(entry.page < 1 for entry in entries):
        raise CorruptError("tail entries are out of order.")
