"""What a request for blocks of a segment has brought, opened: checked, unpacked, and where it lies.

Many blocks are opened all at once, in threads of their own, and share pieces of memory: alone, or in
the threads that fetch, they would take a quarter more time and half as much memory again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlite_s3vfs.cache import Content, Slab
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.format.blockmap import Locator, SegmentSource
from sqlite_s3vfs.format.envelope import Unpacker
from sqlite_s3vfs.format.many_frames import FramePlace, opened_frames
from sqlite_s3vfs.format.segment import opened_frame
from sqlite_s3vfs.pool import Pool

AT_ONCE_MIN = 8
"""Blocks that come by one request, are opened all at once, and share pieces of memory."""


@dataclass(frozen=True, slots=True)
class Range:
    """Blocks of one segment that are fetched by one request."""

    source: SegmentSource
    start: int
    stop: int
    blocks: tuple[tuple[int, Locator], ...]


def opened(part: Range, key: str, body: bytes, decoders: Pool) -> dict[int, Content]:
    """The blocks of an answer; what is stored as it is stays a part of that.

    Raises:
        CorruptError: a frame is not what was written.
    """
    random = part.source.name.random
    places = [
        FramePlace(block, locator.offset - part.start, locator.length)
        for block, locator in part.blocks
    ]
    contents: Sequence[Content] | None = None
    if len(places) >= AT_ONCE_MIN:
        contents = _run(partial(opened_frames, body, random, places), decoders)
    if contents is None:
        try:
            contents = _one_by_one(memoryview(body), random, places)
        except CorruptError as error:
            raise unreadable("a segment", key, error) from error
    return {
        block: checked(block, locator, content)
        for (block, locator), content in zip(part.blocks, contents, strict=True)
    }


def _run(task: Callable[[], list[memoryview] | None], decoders: Pool) -> list[memoryview] | None:
    """What ``task`` gives, run by a decoder; in the main thread at once.

    An interrupt (Ctrl-C) of a wait for a future may leave that locked: the decoder would wait for it for
    ever, and the end of the process for the decoder.
    """
    if threading.current_thread() is threading.main_thread():
        return task()
    return decoders.submit(task).result()


def _one_by_one(body: memoryview, random: bytes, places: Sequence[FramePlace]) -> list[Content]:
    unpacker = Unpacker()
    return [
        opened_frame(body[start : start + length], random, block, unpacker)
        for block, start, length in places
    ]


def checked(block: int, locator: Locator, content: Content) -> Content:
    """The bytes of the content that count."""
    if len(content) < locator.valid:
        raise CorruptError(
            f"a block is shorter than its map says. block={block} "
            f"size={len(content)} expected={locator.valid}"
        )
    return content if len(content) == locator.valid else content[: locator.valid]


def parts_of(body: bytes, contents: Mapping[int, Content]) -> list[int]:
    """The blocks among ``contents`` that are parts of ``body``."""
    return [
        block
        for block, content in contents.items()
        if isinstance(content, memoryview) and content.obj is body
    ]


def copied(contents: Mapping[int, Content], blocks: Sequence[int]) -> dict[int, Content]:
    """The same, some blocks of it copied: side by side, where these are many."""
    copy: Callable[[Content], Content] = bytes
    if len(blocks) >= AT_ONCE_MIN:
        copy = Slab(sum(len(contents[block]) for block in blocks)).add
    return {**contents, **{block: copy(contents[block]) for block in blocks}}
