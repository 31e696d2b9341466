"""Many frames at once: the same answer as one by one, for whole segments, parts and all damage."""

from __future__ import annotations

import random
import struct
import sys
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.many_frames import FramePlace, frames_are_whole, opened_frames
from sqlite_s3vfs.format.segment import (
    FRAME_HEADER_SIZE,
    DirectoryRow,
    Frame,
    decode_directory,
    encode_frame,
    encode_segment,
    opened_frame,
)

RANDOM = b"01234567"
NAME = ObjectName(3, RANDOM)
TEXT, NOISE = b"words and " * 30, random.Random(1).randbytes(80)
contents = st.lists(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), min_size=1, max_size=6)


def segment_of(*frames: Frame) -> tuple[bytes, list[DirectoryRow]]:
    data, _ = encode_segment(b"0123456789abcdef", NAME, frames)
    return bytes(data), decode_directory(data)[2]


SEGMENT, DIRECTORY = segment_of(
    encode_frame(RANDOM, 7, TEXT), encode_frame(RANDOM, 9, NOISE), encode_frame(RANDOM, 1 << 40, TEXT)
)


def each_is_whole(data: bytes, directory: list[DirectoryRow]) -> bool:
    """The answer of the frames looked at one by one."""
    for (block, offset, length, size), _ in directory:
        try:
            if len(opened_frame(data[offset : offset + length], RANDOM, block)) != size:
                return False
        except CorruptError:
            return False
    return True


@given(contents)
def test_frames_as_they_were_written_are_whole(several: list[bytes]):
    frames = [encode_frame(RANDOM, block, content) for block, content in enumerate(several)]

    data, directory = segment_of(*frames)

    assert frames_are_whole(data, RANDOM, directory)


def places_of(directory: list[DirectoryRow]) -> list[FramePlace]:
    return [FramePlace(*row.placed[:3]) for row in directory]


@given(contents, st.data())
def test_any_of_the_frames_are_opened(several: list[bytes], data: st.DataObject):
    frames = [encode_frame(RANDOM, block, content) for block, content in enumerate(several)]
    segment, directory = segment_of(*frames)
    wanted = data.draw(st.lists(st.sampled_from(range(len(several))), min_size=1, unique=True))
    start = min(directory[block].placed.offset for block in wanted)
    places = [
        FramePlace(block, offset - start, length)
        for block, offset, length in places_of([directory[block] for block in wanted])
    ]

    opened = opened_frames(segment[start:], RANDOM, places)

    assert opened == [several[block] for block in wanted]


def test_what_is_not_compressed_is_no_copy_and_nothing_can_be_written_to():
    opened = opened_frames(SEGMENT, RANDOM, places_of(DIRECTORY))

    assert opened is not None
    assert [view.obj is SEGMENT for view in opened] == [False, True, False]
    assert all(view.readonly for view in opened)


def test_a_frame_that_is_not_asked_for_may_be_damaged():
    damaged, places = bytearray(SEGMENT), places_of(DIRECTORY)
    damaged[places[1].offset + FRAME_HEADER_SIZE] ^= 1

    assert opened_frames(damaged, RANDOM, [places[0], places[2]]) == [TEXT, TEXT]
    assert opened_frames(damaged, RANDOM, places[:2]) is None
    assert opened_frames(damaged, RANDOM, places[1:]) is None


def test_the_sample_holds_both_codecs():
    assert [SEGMENT[row.placed.offset + 2] for row in DIRECTORY] == [1, 0, 1]


@pytest.mark.parametrize("bit", [0x01, 0x10, 0x80])
def test_no_changed_byte_passes(bit: int):
    for place in range(DIRECTORY[0].placed.offset, len(SEGMENT)):
        changed = bytearray(SEGMENT)
        changed[place] ^= bit

        assert not frames_are_whole(bytes(changed), RANDOM, DIRECTORY), place


@given(st.data())
def test_many_changed_bytes_get_the_same_answer_as_one_by_one(data: st.DataObject):
    first = DIRECTORY[0].placed.offset
    places = data.draw(st.lists(st.integers(first, len(SEGMENT) - 1), max_size=6))
    changed = bytearray(SEGMENT)
    for place in places:
        changed[place] = data.draw(st.integers(0, 255))

    whole = frames_are_whole(bytes(changed), RANDOM, DIRECTORY)

    assert whole == each_is_whole(bytes(changed), DIRECTORY)


def test_no_part_of_a_segment_passes():
    for size in range(len(SEGMENT)):
        assert not frames_are_whole(SEGMENT[:size], RANDOM, DIRECTORY), size


def test_the_frames_of_another_segment_do_not_pass():
    assert not frames_are_whole(SEGMENT, b"76543210", DIRECTORY)


def test_frames_in_each_others_place_do_not_pass():
    frames = [encode_frame(RANDOM, block, NOISE) for block in (7, 9)]
    swapped, _ = segment_of(*frames[::-1])

    assert not frames_are_whole(swapped, RANDOM, segment_of(*frames)[1])


def _own_frame(codec: int, size: int, body: bytes) -> Frame:
    """A frame whose checksum is right, whatever it holds."""
    header = struct.pack("<2sBBIQ8sI", b"Sb", codec, 0, size, 7, RANDOM, len(body))
    head = header + struct.pack("<I", zlib.crc32(body, zlib.crc32(header)))
    return Frame(7, head, body, bytes(16), size)


PACKED = encode_frame(RANDOM, 7, TEXT).stored[FRAME_HEADER_SIZE:]


@pytest.mark.parametrize(
    "frame",
    [
        _own_frame(1, len(TEXT), PACKED[:-1]),
        _own_frame(1, len(TEXT) - 1, PACKED),
        _own_frame(1, len(TEXT) + 1, PACKED),
        _own_frame(1, len(NOISE), NOISE),
        _own_frame(0, len(NOISE) + 1, NOISE),
        _own_frame(2, len(NOISE), NOISE),
    ],
    ids=["cut short", "longer", "shorter", "no zstd", "another size", "unknown codec"],
)
def test_a_frame_that_cannot_be_unpacked_does_not_pass(frame: Frame):
    data, directory = segment_of(encode_frame(RANDOM, 3, TEXT), frame)

    assert not frames_are_whole(data, RANDOM, directory)
    assert not each_is_whole(data, directory)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_packed_frames_of_nothing_are_left_to_a_closer_look(at: int):
    """No writer makes such. zstandard 0.25 frees memory twice when it is given one among many."""
    several = [encode_frame(RANDOM, block, TEXT) for block in (3, 5)]
    several.insert(at, _own_frame(1, 0, zstandard.ZstdCompressor().compress(b"")))
    data, directory = segment_of(*several)

    assert opened_frames(data, RANDOM, places_of(directory)) is None
    assert each_is_whole(data, directory)


def test_packed_frames_without_a_byte_do_not_pass():
    """zstandard 0.25 finds nothing to do where all are so, and then fails by another error."""
    data, directory = segment_of(*[_own_frame(1, len(TEXT), b"")] * 8)

    assert opened_frames(data, RANDOM, places_of(directory)) is None
    assert not each_is_whole(data, directory)


@pytest.mark.skipif(sys.platform != "linux", reason="others do not hold a process to it")
def test_a_header_that_asks_for_more_memory_than_there_is_does_not_pass():
    resource = pytest.importorskip("resource")
    data, directory = segment_of(_own_frame(1, (1 << 32) - 1, PACKED))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), hard))
    try:
        opened = opened_frames(data, RANDOM, places_of(directory))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    assert opened is None
    assert not each_is_whole(data, directory)


def ending(start: bytes, checksum: int) -> bytes:
    """The four bytes that give what begins so this CRC-32."""
    basis = [(zlib.crc32(start + (1 << bit).to_bytes(4)) ^ zlib.crc32(start + bytes(4)), 1 << bit)
             for bit in range(32)]
    found, rest = 0, checksum ^ zlib.crc32(start + bytes(4))
    for place in reversed(range(32)):
        effect, bits = next(one for one in basis if one[0] >> place & 1)
        basis = [(e ^ effect, b ^ bits) if e >> place & 1 else (e, b) for e, b in basis]
        if rest >> place & 1:
            found, rest = found ^ bits, rest ^ effect
    return found.to_bytes(4)


def test_a_frame_that_is_cut_short_does_not_pass_by_a_made_up_checksum():
    whole, directory = segment_of(encode_frame(RANDOM, 7, NOISE))
    (place,) = places_of(directory)
    frame = whole[place.offset :]
    start = frame[:-20]
    cut = start + ending(start, zlib.crc32(frame))
    assert zlib.crc32(cut) == zlib.crc32(frame)

    assert opened_frames(cut, RANDOM, [place._replace(offset=0)]) is None
    assert opened_frames(frame, RANDOM, [place._replace(offset=0)]) == [NOISE]


def test_right_checksums_pass():
    """The twin of those above: what it makes by hand passes where nothing is wrong."""
    data, directory = segment_of(_own_frame(1, len(TEXT), PACKED))

    assert frames_are_whole(data, RANDOM, directory)
