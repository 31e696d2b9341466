"""A stored segment, checked to its last byte, against itself and against those who refer to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.envelope import Unpacker
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.many_frames import frames_are_whole
from sqlite_s3vfs.format.segment import DirectoryRow, decode_directory, opened_frame


class Flaw(NamedTuple):
    """What is wrong with a segment, and with which of its blocks; None: with the whole of it."""

    block: int | None
    what: str


def flaws_of_segment(
    data: bytes, database_id: bytes, name: ObjectName, locators: Mapping[int, Iterable[Locator]]
) -> list[Flaw]:
    """Everything that is wrong with the bytes of a segment; ``locators`` are those into it, by block."""
    try:
        owner, own_name, directory = decode_directory(data)
    except CorruptError as error:
        return [Flaw(None, f"the directory cannot be read: {error}")]
    if (owner, own_name) != (database_id, name):
        return [Flaw(None, "another object lies where the segment should")]
    flaws = []
    if not frames_are_whole(data, name.random, directory):
        unpacker = Unpacker()
        flaws = [flaw for row in directory if (flaw := _flaw_of_frame(data, name, row, unpacker))]
    end = directory[-1].placed.offset + directory[-1].placed.length if directory else len(data)
    if end != len(data):
        flaws.append(Flaw(None, f"the segment has the wrong size: size={len(data)} expected={end}"))
    rows = {row.placed.block: row.placed for row in directory}
    for block, found in locators.items():
        for locator in found:
            placed = rows.get(block)
            if placed is None or (placed.offset, placed.length) != (locator.offset, locator.length):
                flaws.append(Flaw(block, "the map and the segment's directory do not agree"))
            elif locator.valid > placed.size:
                flaws.append(Flaw(block, "the block is shorter than the map says"))
    return flaws


def _flaw_of_frame(
    data: bytes, name: ObjectName, row: DirectoryRow, unpacker: Unpacker
) -> Flaw | None:
    placed = row.placed
    frame = memoryview(data)[placed.offset : placed.offset + placed.length]
    try:
        content = opened_frame(frame, name.random, placed.block, unpacker)
    except CorruptError as error:
        return Flaw(placed.block, str(error))
    if len(content) != placed.size:
        return Flaw(placed.block, "the content has another size than the directory says")
    return None
