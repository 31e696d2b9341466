from __future__ import annotations

import struct
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.compression import BlockCompressor
from sqlite_s3vfs.format.envelope import HEADER_SIZE, envelope_end
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.segment import (
    FRAME_HEADER_SIZE,
    content_hash,
    decode_directory,
    decode_frame,
    encode_frame,
    encode_into,
    encode_segment,
    opened_frame,
    room_for,
)
from unit.format.hostile import gives_value_or_corrupt, mutations
from unit.format.values import database_ids, ids, names

RANDOM = b"01234567"
blocks = st.integers(0, (1 << 63) - 1)
contents = st.binary(max_size=600) | st.integers(0, 70_000).map(bytes)
FRAME = encode_frame(RANDOM, 7, b"content" * 20).stored
NAME = ObjectName(3, RANDOM)
SEGMENT, _ = encode_segment(
    b"0123456789abcdef", NAME, [encode_frame(RANDOM, 7, b"x" * 50), encode_frame(RANDOM, 9, b"y")]
)


@given(ids, blocks, contents)
def test_a_frame_gives_its_block_back(random: bytes, block: int, content: bytes):
    frame = encode_frame(random, block, content)

    assert decode_frame(frame.stored, random, block) == content
    assert (frame.block, frame.size) == (block, len(content))
    assert frame.content_hash == content_hash(content)


@given(contents)
def test_a_frame_is_never_much_larger_than_its_block(content: bytes):
    assert len(encode_frame(RANDOM, 0, content).stored) <= FRAME_HEADER_SIZE + len(content)


def test_the_strong_hash_is_blake3():
    """The first 16 bytes for no input, as BLAKE3's own test vectors have them."""
    assert content_hash(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc949"
    assert content_hash(memoryview(b"xyz")[1:2]) == content_hash(b"y")


@given(contents)
def test_an_opened_frame_is_no_copy_of_a_block_that_was_not_compressed(content: bytes):
    stored = encode_frame(RANDOM, 7, content).stored

    opened = opened_frame(memoryview(stored), RANDOM, 7)

    assert opened == content
    assert isinstance(opened, memoryview) == (len(stored) == FRAME_HEADER_SIZE + len(content))


@given(st.lists(contents, max_size=5))
def test_a_compressor_that_was_used_before_gives_the_same_frames(several: list[bytes]):
    by = BlockCompressor()

    for block, content in enumerate(several):
        assert encode_frame(RANDOM, block, content, by=by) == encode_frame(RANDOM, block, content)


def test_a_frame_header_has_32_bytes():
    assert FRAME_HEADER_SIZE == 32
    assert FRAME[:2] == b"Sb"


@given(ids, blocks, ids, blocks)
def test_a_frame_is_no_other_blocks_frame(random: bytes, block: int, other: bytes, elsewhere: int):
    frame = encode_frame(random, block, b"content")

    if (random, block) != (other, elsewhere):
        with pytest.raises(CorruptError):
            decode_frame(frame.stored, other, elsewhere)


@pytest.mark.parametrize("place", range(len(FRAME)))
def test_no_changed_byte_of_a_frame_passes(place: int):
    changed = bytearray(FRAME)
    changed[place] ^= 0x10

    with pytest.raises(CorruptError):
        decode_frame(bytes(changed), RANDOM, 7)


@pytest.mark.parametrize("size", range(len(FRAME)))
def test_no_part_of_a_frame_passes(size: int):
    with pytest.raises(CorruptError):
        decode_frame(FRAME[:size], RANDOM, 7)


@given(mutations(FRAME) | st.binary(max_size=100))
def test_any_bytes_give_a_block_or_corrupt(stored: bytes):
    gives_value_or_corrupt(lambda: decode_frame(stored, RANDOM, 7))


def forged_frame(codec: int, size: int, body: bytes) -> bytes:
    """A frame with a right checksum over whatever is claimed."""
    header = struct.pack("<2sBBIQ8sI", b"Sb", codec, 0, size, 7, RANDOM, len(body))
    return header + struct.pack("<I", zlib.crc32(body, zlib.crc32(header))) + body


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_frame_that_unfolds_to_more_than_it_tells_is_refused(tells_size: bool):
    bomb = zstandard.ZstdCompressor(write_content_size=tells_size).compress(bytes(64 << 20))
    stored = forged_frame(1, 65536, bomb)

    with pytest.raises(CorruptError):
        decode_frame(stored, RANDOM, 7)
    gives_value_or_corrupt(lambda: decode_frame(stored, RANDOM, 7), memory_max=1 << 20)


@pytest.mark.parametrize(
    ("codec", "size", "body"),
    [(0, 5, b"four"), (0, 3, b"four"), (2, 4, b"four"), (1, 4, b"four"), (1, 5, b"")],
)
def test_a_frame_whose_size_or_codec_is_wrong_is_refused(codec: int, size: int, body: bytes):
    with pytest.raises(CorruptError):
        decode_frame(forged_frame(codec, size, body), RANDOM, 7)


@given(database_ids, names, st.dictionaries(blocks, contents, max_size=6))
def test_a_segment_tells_where_its_blocks_lie(database_id, name, rows):
    frames = [encode_frame(name.random, block, content) for block, content in sorted(rows.items())]

    data, placed = encode_segment(database_id, name, frames)

    head = envelope_end(data[:HEADER_SIZE])
    found_id, found_name, directory = decode_directory(data[:head])
    assert (found_id, found_name) == (database_id, name)
    assert [row.placed for row in directory] == placed
    for row, (block, content) in zip(directory, sorted(rows.items()), strict=True):
        stored = data[row.placed.offset : row.placed.offset + row.placed.length]
        assert decode_frame(stored, name.random, block) == content
        assert row.placed.size == len(content)
        assert row.content_hash == content_hash(content)
    assert sum(row.placed.length for row in directory) == len(data) - head


@given(database_ids, names, st.dictionaries(blocks, contents, max_size=6))
def test_a_segment_made_in_its_room_is_the_same(database_id, name, rows):
    rows = dict(sorted(rows.items()))
    room = room_for(rows)

    placed = encode_into(room, database_id, name, rows)

    frames = [encode_frame(name.random, block, content) for block, content in rows.items()]
    assert (room, placed) == encode_segment(database_id, name, frames)


@given(mutations(SEGMENT) | st.binary(max_size=100))
def test_any_bytes_give_a_directory_or_corrupt(data: bytes):
    gives_value_or_corrupt(lambda: decode_directory(data))
