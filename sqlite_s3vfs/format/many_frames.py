"""Frames that came by one request, checked and opened all at once.

One by one, each of some 64 frames gives up the interpreter's lock several times, for a few
microseconds of work, and waits for it among all threads that fetch. Here one call checks the bytes of
all frames that lie side by side: their checksum is worked out from those in the headers, by
``crc32(A + B) == crc32_combine(crc32(A), crc32(B), len(B))``
(https://zlib.net/manual.html#Checksum), and a frame that does not have its own makes the whole differ
(several may hide each other, by the chance of one in 2^32 that any checksum has of missing damage).
Another call unpacks all. Where something is wrong nothing is said but that: whoever looks at each
(``segment.opened_frame``) finds which one it was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class FramePlace(NamedTuple):
    """Where the frame of a block lies in some bytes."""

    block: int
    offset: int
    length: int


class _Body(NamedTuple):
    """What a frame holds; ``size`` is that of the content."""

    codec: int
    size: int
    stored: memoryview


def opened_frames(
    data: bytes | memoryview, random: bytes, places: Sequence[FramePlace]
) -> list[memoryview] | None:
    """The contents of frames of one segment; None where one of them is damaged, or has to be looked at.

    What is not compressed is a part of ``data``; all others share pieces of memory, each as large as
    what was compressed together or larger. Nobody can write to either, if nobody can to ``data``.
    """
    bodies = _checked_bodies(memoryview(data), random, places) if _MANY_AT_ONCE else None
    if bodies is None:
        return None
    unpacked = _unpacked([body for body in bodies if body.codec == ZSTD])
    if unpacked is None:
        return None
    rest = iter(unpacked)
    return [next(rest) if body.codec == ZSTD else body.stored for body in bodies]


def frames_are_whole(data: bytes, random: bytes, directory: Sequence[DirectoryRow]) -> bool:
    """Whether each frame can be opened and is what the directory says; no: look at each."""
    placed = [row.placed for row in directory]
    places = [FramePlace(one.block, one.offset, one.length) for one in placed]
    contents = opened_frames(data, random, places) if places else None
    return contents is not None and all(
        len(content) == one.size for content, one in zip(contents, placed, strict=True)
    )


def _checked_bodies(
    data: memoryview, random: bytes, places: Iterable[FramePlace]
) -> list[_Body] | None:
    """None: a header or a checksum is not right, or a frame is none that a writer makes."""
    found: list[_Body] = []
    start = end = expected = 0              # of the frames that lie side by side
    for block, offset, length in places:
        head = data[offset : offset + FRAME_HEADER_SIZE]
        if len(head) < FRAME_HEADER_SIZE:
            return None
        magic, codec, _, size, own_block, own_random, stored = FRAME_FIELDS.unpack_from(head)
        own = (magic, own_block, own_random, FRAME_HEADER_SIZE + stored)
        if own != (FRAME_MAGIC, block, random, length):
            return None
        body = data[offset + FRAME_HEADER_SIZE : offset + length]
        if len(body) != stored:
            return None
        # For packed frames of nothing zstandard frees memory twice; it fails where all are empty.
        if (codec, size) != (STORED, stored) and (codec != ZSTD or not size or not stored):
            return None
        if offset != end:
            if crc32(data[start:end]) != expected:
                return None
            start, expected = offset, 0
        (checksum,) = FRAME_CHECKSUM.unpack_from(head, FRAME_FIELDS.size)
        of_stored = checksum ^ crc32_combine(crc32(head[: FRAME_FIELDS.size]), 0, stored)
        expected = crc32_combine(crc32(head, expected), of_stored, stored)
        end = offset + length
        found.append(_Body(codec, size, body))
    return found if crc32(data[start:end]) == expected else None


def _unpacked(bodies: Sequence[_Body]) -> list[memoryview] | None:
    """All frames' contents, side by side in few pieces of memory; None: one cannot be unpacked."""
    if not bodies:
        return []
    frames: list[bytes | bytearray | memoryview] = [body.stored for body in bodies]
    sizes = struct.pack(f"={len(bodies)}Q", *(body.size for body in bodies))
    try:
        contents = zstandard.ZstdDecompressor().multi_decompress_to_buffer(
            frames, decompressed_sizes=sizes
        )
    except (zstandard.ZstdError, MemoryError):      # it takes what headers ask for before it looks
        return None
    # Segments are buffers (https://python-zstandard.readthedocs.io); its types do not say so.
    return [memoryview(contents[index]) for index in range(len(bodies))]  # type: ignore[arg-type]
