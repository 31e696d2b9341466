"""Who opens the blocks of an answer."""

from __future__ import annotations

import random
import threading

import pytest

from sqlite_s3vfs.format.blockmap import Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.segment import encode_frame, encode_segment
from sqlite_s3vfs.pool import InlinePool, T, Task, run_inline
from sqlite_s3vfs.reader.answers import AT_ONCE_MIN, Range, opened

NAME = ObjectName(3, b"01234567")


class Decoders(InlinePool):
    """Counts its tasks."""

    def __init__(self) -> None:
        self.tasks = 0

    def submit(self, task: Task[T]):
        self.tasks += 1
        return run_inline(task)


def answer(count: int) -> tuple[Range, bytes, dict[int, bytes]]:
    noise = random.Random(1)
    contents = {block: noise.choice([b"words " * 99, noise.randbytes(99)]) for block in range(count)}
    frames = [encode_frame(NAME.random, block, content) for block, content in contents.items()]
    data, placed = encode_segment(b"0123456789abcdef", NAME, frames)
    source, start = SegmentSource(NAME, 3, count, 0), placed[0].offset
    blocks = tuple(
        (one.block, Locator(source, one.offset, one.length, one.size)) for one in placed
    )
    return Range(source, start, len(data), blocks), bytes(data[start:]), contents


@pytest.mark.parametrize(("count", "tasks"), [(AT_ONCE_MIN - 1, 0), (AT_ONCE_MIN, 1)])
def test_many_blocks_are_opened_by_a_decoder(count: int, tasks: int):
    part, body, contents = answer(count)
    decoders, found = Decoders(), []

    thread = threading.Thread(target=lambda: found.append(opened(part, "key", body, decoders)))
    thread.start()
    thread.join()

    assert found == [contents]
    assert decoders.tasks == tasks


def test_the_main_thread_which_may_be_interrupted_waits_for_no_decoder():
    part, body, contents = answer(AT_ONCE_MIN)
    decoders = Decoders()

    assert opened(part, "key", body, decoders) == contents
    assert decoders.tasks == 0
