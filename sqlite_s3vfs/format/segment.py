"""Segments: immutable objects of whole blocks, each compressed and checksummed by itself.

A segment is an envelope whose payload is the directory, then one frame a block, in the order of the
directory. A frame is read by byte range, without the directory, and identifies itself: the segment's
random id and the block index are in its header and under its checksum, so that a misdirected read is
an error and never another block's bytes. The directory adds a strong hash of each block's content.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from blake3 import blake3
from zlib_ng.zlib_ng import crc32

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.compression import BlockCompressor
from sqlite_s3vfs.format.envelope import ObjectKind, Unpacker, decompress, seal, unseal
from sqlite_s3vfs.format.fields import Record, pack, rows, unpack_map
from sqlite_s3vfs.format.keys import RANDOM_SIZE, ObjectName

CONTENT_HASH_SIZE = 16
DIRECTORY_SIZE_MAX, DIRECTORY_ROW_MAX = 256, 48
"""Bytes of a segment before its frames: at most so many, and so many more for each block."""

FRAME_MAGIC = b"Sb"
FRAME_FIELDS = struct.Struct("<2sBBIQ8sI")
"""Magic, codec, 0, size of the content, block, random id, length of the body; then the checksum."""
FRAME_CHECKSUM = struct.Struct("<I")
FRAME_HEADER_SIZE = FRAME_FIELDS.size + FRAME_CHECKSUM.size
STORED, ZSTD = 0, 1


class Frame(NamedTuple):
    """One block, ready to be put into a segment: encoded bytes, and the hash of the content.

    A body that is not compressed is the content itself and no copy of it.
    """

    block: int
    head: bytes
    body: bytes | memoryview
    content_hash: bytes
    size: int

    @property
    def length(self) -> int:
        """Bytes in the segment."""
        return len(self.head) + len(self.body)

    @property
    def stored(self) -> bytes:
        """The bytes in the segment."""
        return b"".join([self.head, self.body])


_Row = tuple[int, int, int, bytes]


class Placed(NamedTuple):
    """Where one block's frame lies in its segment. ``size`` is that of the content, in bytes."""

    block: int
    offset: int
    length: int
    size: int


class DirectoryRow(NamedTuple):
    """One block of a segment, as its directory tells."""

    placed: Placed
    content_hash: bytes


def encode_frame(
    random: bytes,
    block: int,
    content: bytes | memoryview,
    *,
    by: BlockCompressor | None = None,
) -> Frame:
    """Compress (where that helps) and checksum one block for the segment with that ``random`` id.

    ``by`` is a compressor that has been used before.
    """
    compressed = (by or BlockCompressor()).compress(content)
    body: bytes | memoryview
    codec, body = (ZSTD, compressed) if len(compressed) < len(content) else (STORED, content)
    header = FRAME_FIELDS.pack(FRAME_MAGIC, codec, 0, len(content), block, random, len(body))
    checksum = crc32(body, crc32(header))
    head = header + FRAME_CHECKSUM.pack(checksum)
    return Frame(block, head, body, content_hash(content), len(content))


def decode_frame(stored: bytes | memoryview, random: bytes, block: int) -> bytes:
    """The content of the block.

    Raises:
        CorruptError: damaged, cut short, or the frame of another block or segment.
    """
    return bytes(opened_frame(stored, random, block))


def opened_frame(
    stored: bytes | memoryview, random: bytes, block: int, unpacker: Unpacker | None = None
) -> bytes | memoryview:
    """The same, as a part of ``stored`` itself where the block is not compressed.

    Whoever opens many gives one ``unpacker`` for all of them.

    Raises:
        CorruptError: damaged, cut short, or the frame of another block or segment.
    """
    if len(stored) < FRAME_HEADER_SIZE:
        raise CorruptError(f"block frame is cut short. block={block} size={len(stored)}")
    magic, codec, _, size, own_block, own_random, length = FRAME_FIELDS.unpack_from(stored)
    body = stored[FRAME_HEADER_SIZE:]
    if (magic, own_block, own_random) != (FRAME_MAGIC, block, random):
        raise CorruptError(f"frame of another block. block={block} found={own_block}")
    (checksum,) = FRAME_CHECKSUM.unpack_from(stored, FRAME_FIELDS.size)
    if length != len(body) or checksum != crc32(body, crc32(stored[: FRAME_FIELDS.size])):
        raise CorruptError(f"block frame is damaged: the checksum does not match. block={block}")
    content = body if codec == STORED else decompress(body, size, unpacker=unpacker)
    if codec > ZSTD or len(content) != size:
        raise CorruptError(f"block frame cannot be unpacked. block={block} codec={codec}")
    return content


def content_hash(content: bytes | memoryview) -> bytes:
    """The strong hash of a block's content: equal hashes are taken for equal blocks."""
    return blake3(content).digest(CONTENT_HASH_SIZE)


def encode_segment(
    database_id: bytes, name: ObjectName, frames: Sequence[Frame]
) -> tuple[bytearray, list[Placed]]:
    """Assemble a segment; where each frame lies comes back beside the bytes.

    A ``bytearray``, because that is what goes out to S3 without being copied.
    """
    head, placed = _directory(database_id, name, [_row(frame) for frame in frames])
    pieces = (piece for frame in frames for piece in (frame.head, frame.body))
    return bytearray().join([head, *pieces]), placed


def room_for(contents: Mapping[int, bytes | memoryview]) -> bytearray:
    """As many bytes as the segment of these blocks may have."""
    each = FRAME_HEADER_SIZE + DIRECTORY_ROW_MAX
    return bytearray(DIRECTORY_SIZE_MAX + len(contents) * each + sum(map(len, contents.values())))


def encode_into(
    room: bytearray, database_id: bytes, name: ObjectName, contents: Mapping[int, bytes | memoryview]
) -> list[Placed]:
    """Turn ``room_for`` the contents (blocks ascend) into their segment, with one frame more in memory.

    As ``encode_segment``, for threads: glibc keeps what a thread has freed for this thread
    (https://sourceware.org/glibc/manual/latest/html_node/The-GNU-Allocator.html), so whole segments
    made by each of 16 threads would stay in memory 16 times.
    """
    start = position = DIRECTORY_SIZE_MAX + len(contents) * DIRECTORY_ROW_MAX
    by, found = BlockCompressor(), []
    for block, content in contents.items():
        frame = encode_frame(name.random, block, content, by=by)
        body = position + len(frame.head)
        room[position:body] = frame.head
        position = body + len(frame.body)
        room[body:position] = frame.body
        found.append(_row(frame))
    head, placed = _directory(database_id, name, found)
    room[start - len(head) : start] = head
    del room[position:]
    del room[: start - len(head)]
    return placed


def _row(frame: Frame) -> _Row:
    return frame.block, frame.length, frame.size, frame.content_hash


def _directory(
    database_id: bytes, name: ObjectName, blocks: Sequence[_Row]
) -> tuple[bytes, list[Placed]]:
    """What comes before the frames, and where these lie."""
    head = seal(
        ObjectKind.SEGMENT,
        database_id,
        name.random,
        pack({"version": name.version, "blocks": blocks}),
    )
    placed, offset = [], len(head)
    for block, length, size, _ in blocks:
        placed.append(Placed(block, offset, length, size))
        offset += length
    return head, placed


def decode_directory(data: bytes | memoryview) -> tuple[bytes, ObjectName, list[DirectoryRow]]:
    """Database id, name and directory of a segment, from its first bytes (see ``envelope_end``)."""
    envelope = unseal(data, ObjectKind.SEGMENT)
    payload = unpack_map(envelope.payload, "segment directory")
    version = Record([payload.get("version")], 1, "segment version").uint()
    found, offset = [], envelope.end
    for row in rows(payload.get("blocks"), "segment blocks"):
        record = Record(row, 4, "segment block")
        block, length, size = record.uint(), record.uint(), record.uint()
        placed = Placed(block, offset, length, size)
        found.append(DirectoryRow(placed, record.binary(CONTENT_HASH_SIZE)))
        offset += length
    assert len(envelope.object_id) == RANDOM_SIZE
    return envelope.database_id, ObjectName(version, envelope.object_id), found
