from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.format.geometry import block_spans, overlapping, unit_count

sizes = st.integers(1, 70_000)


@given(st.integers(0, 1 << 40), st.integers(0, 300_000), sizes)
def test_spans_cover_the_bytes_in_order_without_gap_or_overlap(offset: int, size: int, block_size: int):
    spans = list(block_spans(offset, size, block_size)) if size // block_size < 1000 else []

    position = offset
    for span in spans:
        assert span.block * block_size + span.start == position
        assert 0 <= span.start < span.stop <= block_size
        position += span.stop - span.start
    assert not spans or position == offset + size
    assert len({span.block for span in spans}) == len(spans)


@given(st.integers(0, 1 << 40), sizes)
def test_units_are_just_enough(size: int, unit_size: int):
    count = unit_count(size, unit_size)

    assert (count - 1) * unit_size < size <= count * unit_size or size == count == 0


@given(st.integers(0, 1000), st.integers(1, 5000), st.integers(1, 5000), st.data())
def test_overlapping_units_share_a_byte_and_others_do_not(index, unit_size, other_size, data):
    found = overlapping(index, unit_size, other_size)
    byte = data.draw(st.integers(0, (index + 2) * unit_size))

    shares = index * unit_size <= byte < (index + 1) * unit_size
    assert (byte // other_size in found) or not shares
    for unit in (found[0], found[-1]):
        assert unit * other_size < (index + 1) * unit_size
        assert (unit + 1) * other_size > index * unit_size
