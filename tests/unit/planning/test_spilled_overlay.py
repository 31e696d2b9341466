"""An overlay that gives up blocks against a plain byte array, and which blocks it gives up."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.planning.overlay import Overlay
from sqlite_s3vfs.planning.spill import blocks_to_spill
from tests.unit.planning.test_overlay import Operation, Truncate, model_of, noise, runs


class Kept:
    """Spilled blocks in memory."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.blocks: dict[int, bytes] = {}

    def __contains__(self, block: object) -> bool:
        return block in self.blocks

    def read(self, block: int, start: int, stop: int) -> bytes:
        return self.blocks[block][start:stop].ljust(stop - start, b"\x00")

    def cut(self, size: int) -> None:
        count = unit_count(size, self.block_size)
        self.blocks = {block: content for block, content in self.blocks.items() if block < count}
        last, inside = divmod(size, self.block_size)
        if last in self.blocks:
            self.blocks[last] = self.blocks[last][:inside]


def spill(overlay: Overlay, kept: Kept, wanted: int | None) -> None:
    size = kept.block_size
    blocks = blocks_to_spill(
        list(overlay.units()),
        unit_size=overlay.unit_size,
        block_size=size,
        size=overlay.size,
        wanted=wanted,
    )
    for block in blocks:
        kept.blocks[block] = overlay.read(block * size, min(size, overlay.size - block * size))
    overlay.release(blocks, set(blocks), size)


@given(runs(), st.sampled_from([512, 1000, 2048, 4095, 5000]), st.data())
@settings(max_examples=300)
def test_units_over_spilled_blocks_over_the_base_are_the_file(run, block_size: int, data):
    base, unit_size, operations = run
    overlay = Overlay(unit_size, len(base), lambda offset, size: base[offset : offset + size])
    overlay.spilled = kept = Kept(block_size)
    done: list[Operation] = []

    for operation in operations:
        done.append(operation)
        if isinstance(operation, Truncate):
            overlay.truncate(operation.size)
        else:
            overlay.write(operation.offset, operation.data)
        if data.draw(st.booleans()):
            spill(overlay, kept, data.draw(st.sampled_from([1, unit_size * 2, None])))
        assert overlay.read(0, overlay.size) == model_of(base, done)

    spill(overlay, kept, None)

    assert overlay.held_bytes == 0
    assert overlay.read(0, overlay.size) == model_of(base, operations)


def test_a_shrink_cuts_what_was_spilled():
    overlay = Overlay(512, 0, lambda offset, size: b"")
    overlay.spilled = kept = Kept(2048)
    for index in range(8):
        overlay.write(index * 512, noise(512, index))
    spill(overlay, kept, None)

    overlay.truncate(3 * 512)
    overlay.truncate(8 * 512)

    assert overlay.read(2 * 512, 6 * 512) == noise(512, 2) + bytes(5 * 512)


def chosen(units: list[int], wanted: int | None) -> tuple[int, ...]:
    """Of blocks of four units in a file of ten blocks."""
    return blocks_to_spill(units, unit_size=512, block_size=2048, size=10 * 2048, wanted=wanted)


def test_whole_blocks_go_before_parts_and_the_oldest_first():
    whole_9, whole_5, part_2 = [36, 37, 38, 39], [20, 21, 22, 23], [8, 9]

    assert chosen([*part_2, *whole_9, *whole_5], 2048) == (9,)
    assert chosen([*part_2, *whole_9, *whole_5], 4096) == (5, 9)
    assert chosen([21, 22, 23, *whole_9, 20], 1) == (9,)
    assert chosen([*part_2, *whole_9, *whole_5], None) == (2, 5, 9)


def test_the_block_of_page_1_goes_last():
    assert chosen([0, 1, 2, 3, 8], 1) == (2,)
    assert chosen([0, 1, 2, 3], 1) == (0,)


def test_nothing_behind_the_end_of_the_file_is_chosen():
    """A page of the old size may reach over the end of a file that got another page size."""
    assert blocks_to_spill([0], unit_size=4096, block_size=512, size=1024, wanted=None) == (0, 1)
