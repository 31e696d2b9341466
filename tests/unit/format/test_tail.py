from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.fields import pack, unpack_map
from sqlite_s3vfs.format.tail import (
    Encoding,
    TailEntry,
    decode_page,
    decode_tail,
    encode_page,
)
from unit.format.hostile import gives_value_or_corrupt
from unit.format.values import PAGE_SIZES, Draw, draws

page_sizes = st.sampled_from(PAGE_SIZES)


@st.composite
def page_pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A page and what became of it."""
    size = draw(page_sizes)
    seed = draw(st.binary(min_size=1, max_size=200))
    old = (seed * (size // len(seed) + 1))[:size]
    place = draw(st.integers(0, size - 1))
    put = draw(st.binary(max_size=50))
    return old, (old[:place] + put + old[place + len(put) :])[:size]


@given(page_pairs(), st.booleans())
def test_a_page_comes_back_from_its_entry(pair: tuple[bytes, bytes], patched: bool):
    old, new = pair

    entry = encode_page(3, 7, new, old if patched else None)

    assert (entry.page, entry.version) == (3, 7)
    assert decode_page(entry, len(new), old) == new
    assert entry.encoding is not Encoding.PATCH or patched
    assert len(entry.content) <= len(new)


def test_the_smallest_encoding_is_taken():
    noise = random.Random(1).randbytes(4096)
    changed = noise[:100] + b"changed" + noise[107:]

    assert encode_page(1, 1, bytes(4096), None).encoding is Encoding.COMPRESSED
    assert encode_page(1, 1, changed, noise).encoding is Encoding.PATCH
    assert len(encode_page(1, 1, changed, noise).content) < 60


def test_a_patch_over_another_page_than_its_own_is_corrupt_and_never_another_page():
    """The checksum of the frame tells; without it zstd would give a page of garbage."""
    old, other = bytes(range(256)) * 16, bytes(range(255, -1, -1)) * 16
    entry = encode_page(1, 1, old[:50] + b"!" + old[51:], old)
    assert entry.encoding is Encoding.PATCH

    with pytest.raises(CorruptError):
        decode_page(entry, 4096, other)


def test_without_a_checksum_the_wrong_page_would_pass():
    """The planted mistake of the test before: frames without a checksum."""
    old, other = bytes(range(256)) * 16, bytes(range(255, -1, -1)) * 16
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    frame = zstandard.ZstdCompressor(level=3, dict_data=dictionary).compress(old[:50] + b"!" + old[51:])
    entry = TailEntry(1, 1, Encoding.PATCH, frame)

    assert decode_page(entry, 4096, old)[50:51] == b"!"
    assert len(decode_page(entry, 4096, other)) == 4096


@given(draws)
def test_a_tail_is_decoded_as_it_was_encoded(draw: Draw):
    tail = draw.tail(50, range(3, 9))

    assert decode_tail(unpack_map(pack({"tail": tail}), "manifest")["tail"]) == tail


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 1, 0, b""]],
        [[1, 2, 0, b""], [1, 1, 0, b""]],
        [[2, 1, 0, b""], [1, 1, 0, b""]],
        [[1, 1, 0, b""], [1, 1, 0, b""]],
        [[1, 1, 3, b""]],
        [[1, 1, 0, "text"]],
        [[1, 1, 0]],
        [7],
        {},
        None,
    ],
)
def test_what_is_no_tail_is_corrupt(rows: object):
    with pytest.raises(CorruptError):
        decode_tail(rows)


@given(st.sampled_from(Encoding), st.binary(max_size=200), page_sizes, st.binary(max_size=100))
def test_any_entry_gives_a_page_or_corrupt(encoding, content, page_size, previous):
    gives_value_or_corrupt(lambda: decode_page(TailEntry(1, 1, encoding, content), page_size, previous))


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("tells_size", [True, False])
def test_an_entry_does_not_unfold_to_more_than_a_page(encoding: Encoding, tells_size: bool):
    bomb = zstandard.ZstdCompressor(write_content_size=tells_size).compress(bytes(64 << 20))
    entry = TailEntry(1, 1, encoding, bomb)

    with pytest.raises(CorruptError):
        decode_page(entry, 4096, b"previous")
    gives_value_or_corrupt(lambda: decode_page(entry, 4096, b"previous"), memory_max=1 << 20)
