"""A segment's frames, checked all at once: one pass for the checksums, one call of zstd.

Checked one by one, each of some 64 frames gives up the interpreter's lock twice, for a few
microseconds of work, and waits for it among all threads that fetch. Here the checksum of the frames'
bytes as they lie in the segment is worked out from those in their headers, by
``crc32(A + B) == crc32_combine(crc32(A), crc32(B), len(B))``
(https://zlib.net/manual.html#Checksum), and compared with that of the bytes: a frame that does not have
its checksum makes the whole differ. Which one it was takes a look at each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import zstandard
from zlib_ng.zlib_ng import crc32, crc32_combine

from sqlite_s3vfs.format.segment import (
    FRAME_CHECKSUM,
    FRAME_FIELDS,
    FRAME_HEADER_SIZE,
    FRAME_MAGIC,
    STORED,
    ZSTD,
    DirectoryRow,
)

_MANY_AT_ONCE = "multi_decompress_to_buffer" in zstandard.backend_features
"""zstandard's C backend has it, its others have not (https://python-zstandard.readthedocs.io)."""


def frames_are_whole(data: bytes, random: bytes, directory: Sequence[DirectoryRow]) -> bool:
    """Whether each frame can be opened and is what the directory says; no: look at each."""
    if not directory or not _MANY_AT_ONCE:
        return False
    frames = memoryview(data)
    expected = 0
    packed: list[bytes | bytearray | memoryview] = []
    sizes: list[int] = []
    for (block, offset, length, size), _ in directory:
        head = frames[offset : offset + FRAME_HEADER_SIZE]
        if len(head) < FRAME_HEADER_SIZE:
            return False
        magic, codec, _, own_size, own_block, own_random, body = FRAME_FIELDS.unpack_from(head)
        own = (magic, own_block, own_random, own_size, FRAME_HEADER_SIZE + body)
        if own != (FRAME_MAGIC, block, random, size, length):
            return False
        (checksum,) = FRAME_CHECKSUM.unpack_from(head, FRAME_FIELDS.size)
        of_body = checksum ^ crc32_combine(crc32(head[: FRAME_FIELDS.size]), 0, body)
        expected = crc32_combine(crc32(head, expected), of_body, body)
        if codec == ZSTD:
            packed.append(frames[offset + FRAME_HEADER_SIZE : offset + length])
            sizes.append(size)
        elif codec != STORED or size != body:
            return False
    first, last = directory[0].placed, directory[-1].placed
    if crc32(frames[first.offset : last.offset + last.length]) != expected:
        return False
    return not packed or _can_be_unpacked(packed, sizes)


def _can_be_unpacked(packed: list[bytes | bytearray | memoryview], sizes: Sequence[int]) -> bool:
    try:
        zstandard.ZstdDecompressor().multi_decompress_to_buffer(
            packed, decompressed_sizes=struct.pack(f"={len(sizes)}Q", *sizes)
        )
    except zstandard.ZstdError:
        return False
    return True
