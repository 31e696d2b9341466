"""Blocks to segments: frames are collected until a segment has its size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlite_s3vfs.format.blockmap import PIECE_SPAN, Locator, SegmentSource
from sqlite_s3vfs.format.compression import BlockCompressor
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.segment import (
    Frame,
    Placed,
    encode_frame,
    encode_into,
    encode_segment,
    room_for,
)


class Segment(NamedTuple):
    """A segment ready for upload, and where its blocks lie in it."""

    name: ObjectName
    data: bytes | bytearray
    placed: tuple[Placed, ...]


class SegmentBuilder:
    """Collects blocks in ascending order; each segment comes out as soon as it is full."""

    def __init__(
        self, database_id: bytes, segment_size: int, new_name: Callable[[], ObjectName]
    ) -> None:
        self._database_id = database_id
        self._segment_size = segment_size
        self._new_name = new_name
        self._name = new_name()
        self._frames: list[Frame] = []
        self._size = 0
        self._compressor = BlockCompressor()

    def add(self, block: int, content: bytes | memoryview) -> Segment | None:
        """Take one block; a segment where this one filled it."""
        frame = encode_frame(self._name.random, block, content, by=self._compressor)
        self._frames.append(frame)
        self._size += frame.length
        return self.finish() if self._size >= self._segment_size else None

    def finish(self) -> Segment | None:
        """What is left as a segment; None where nothing is."""
        if not self._frames:
            return None
        data, placed = encode_segment(self._database_id, self._name, self._frames)
        segment = Segment(self._name, data, tuple(placed))
        self._name, self._frames, self._size = self._new_name(), [], 0
        return segment


def encode_blocks(
    database_id: bytes,
    name: ObjectName,
    contents: Mapping[int, bytes | memoryview],
    room: bytearray | None = None,
) -> Segment:
    """One segment of all these blocks, which ascend. ``room_for`` them becomes the segment."""
    data = room_for(contents) if room is None else room
    return Segment(name, data, tuple(encode_into(data, database_id, name, contents)))


def locators_of(segments: Iterable[Segment], first: int) -> dict[int, Locator]:
    """The locators of the segments' blocks, in a map that version ``first`` is the first to have."""
    found = {}
    for segment in segments:
        home = min(placed.block for placed in segment.placed) // PIECE_SPAN
        source = SegmentSource(segment.name, first, len(segment.placed), home)
        for placed in segment.placed:
            found[placed.block] = Locator(source, placed.offset, placed.length, placed.size)
    return found


def block_counts(segments: Sequence[Segment]) -> dict[ObjectName, int]:
    """How many blocks each segment was written with."""
    return {segment.name: len(segment.placed) for segment in segments}


def noted(
    contents: Iterable[tuple[int, bytes]], notes: dict[int, bytes]
) -> Iterator[tuple[int, bytes]]:
    """The same blocks, each put into ``notes`` as it passes."""
    for block, content in contents:
        notes[block] = content
        yield block, content


def build_segments(
    builder: SegmentBuilder, contents: Iterable[tuple[int, bytes | memoryview]]
) -> Iterator[Segment]:
    """All segments for ``contents``, as they become full."""
    for block, content in contents:
        segment = builder.add(block, content)
        if segment:
            yield segment
    last = builder.finish()
    if last:
        yield last
