"""The facts of the old layout, from listings made up for the cases that are rare in the wild."""

from __future__ import annotations

import struct

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.ancestor import (
    AncestorLayout,
    assemble_journal,
    describe_file,
    is_journal,
    read_layout,
)
from sqlite_s3vfs.format.rollback_journal import MAGIC, JournalPlayback

PAGE_SIZE = 4096


def header(page_count: int, *, trusted: bool = True) -> bytes:
    """The first 100 bytes of a database, as SQLite writes them."""
    connection = apsw.Connection(":memory:")
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}; CREATE TABLE t(a)")
    first = bytearray(connection.serialize("main")[:100])
    connection.close()
    first[28:32] = struct.pack(">I", page_count)
    first[24:28] = first[92:96] = struct.pack(">I", 7)
    first[95] -= not trusted
    return bytes(first)


def layout(sizes: dict[int, int]) -> AncestorLayout:
    """A database whose objects, by index, have these sizes."""
    rows = [(f"my/{index:010d}", size, f'"{index}"') for index, size in sizes.items()]
    found = read_layout("my", rows)
    assert found is not None
    return found


def written(content: bytes, block_size: int) -> dict[int, bytes]:
    """Contents of the ancestor's objects: a block ends at the last byte ever written to it."""
    blocks = {}
    for start in range(0, len(content), block_size):
        block = content[start : start + block_size].rstrip(b"\xff")
        if block:
            blocks[start // block_size] = block.replace(b"\xff", b"\0")
    return blocks


def test_nothing_listed_is_no_database() -> None:
    assert read_layout("my", []) is None
    assert read_layout("my", [("my-journal/0000000000", 512, "e"), ("my/manifest", 9, "e")]) is None
    assert read_layout("my", [("my/sub/0000000000", 512, "e"), ("my2/0000000000", 9, "e")]) is None


def test_the_journal_is_told_from_the_database_and_both_are_in_order() -> None:
    rows = [("a/b-journal/0000000001", 5, "j1"), ("a/b/0000000010", 7, "b10")]
    rows += [("a/b/0000000002", 7, "b2"), ("a/b-journal/0000000000", 6, "j0")]

    found = read_layout("a/b", rows)

    assert found is not None
    assert [(block.index, block.etag) for block in found.blocks] == [(2, "b2"), (10, "b10")]
    assert [(block.index, block.size) for block in found.journal] == [(0, 6), (1, 5)]
    assert found.journal_keys == ("a/b-journal/0000000000", "a/b-journal/0000000001")
    assert found.header_blocks == ()


def test_tiny_blocks_hold_the_header_together() -> None:
    found = layout({0: 40, 1: 40, 2: 40, 3: 40})

    assert [block.index for block in found.header_blocks] == [0, 1, 2]


@pytest.mark.parametrize("pages", [1, 2, 3, 16, 17, 40])
@pytest.mark.parametrize("block_size", [512, 4095, 4096, 4097, 65536])
def test_a_dense_file_proves_its_block_size(pages: int, block_size: int) -> None:
    size = pages * PAGE_SIZE
    sizes = {i: min(block_size, size - i * block_size) for i in range(-(-size // block_size))}

    file = describe_file(layout(sizes), header(pages), playback=None)

    assert (file.size, file.page_size) == (size, PAGE_SIZE)
    assert [block.size for block in file.blocks] == list(sizes.values())
    assert file.block_size_for(block_size) == block_size
    if len(sizes) > 1:
        assert file.block_size_for(1 << 20) == block_size


@given(st.integers(1, 60), st.sampled_from([1024, 4095, 4096, 8192, 10000, 65536]), st.integers(0, 60))
def test_holes_never_make_a_wrong_block_size(pages: int, block_size: int, hole: int) -> None:
    """Pages left out from anywhere but the ends: the right block size, or none and an error."""
    unwritten = range(1, min(1 + hole, pages - 1))
    content = b"".join((b"\xff" if i in unwritten else b"p") * PAGE_SIZE for i in range(pages))
    sizes = {index: len(block) for index, block in written(content, block_size).items()}

    try:
        file = describe_file(layout(sizes), header(pages), playback=None)
    except CorruptError:
        assert block_size not in sizes.values(), "a full block is proof enough"
        return
    assert file.size == len(content)
    if any(block.index for block in file.blocks):
        assert file.block_size == block_size


def test_holes_in_every_block_are_explained_by_where_the_last_one_ends() -> None:
    file = describe_file(layout({0: 16384, 2: 24576}), header(38), playback=None)

    assert file.block_size == 65536


def test_a_header_of_an_older_sqlite_leaves_the_size_to_the_objects() -> None:
    sizes = {0: 4096, 1: 4096, 2: 4000}

    file = describe_file(layout(sizes), header(99, trusted=False), playback=None)

    assert (file.size, file.block_size) == (3 * PAGE_SIZE, 4096)


@pytest.mark.parametrize(
    ("sizes", "pages"),
    [
        ({1: 4096}, 2),
        ({0: 4096}, 2),
        ({0: 4096, 1: 4096}, 3),
        ({0: 4096, 1: 4096, 2: 4095}, 3),
        ({0: 8192, 1: 4096}, 5),
        ({0: 8192, 1: 8192, 2: 4096}, 6),
        ({0: 0, 1: 4096}, 2),
    ],
)
def test_objects_that_do_not_reach_from_end_to_end_are_corruption(
    sizes: dict[int, int], pages: int
) -> None:
    with pytest.raises(CorruptError):
        describe_file(layout(sizes), header(pages), playback=None)


def test_leftovers_are_cut_off() -> None:
    file = describe_file(layout({0: 8192, 1: 8192, 2: 8192, 9: 65536}), header(3), playback=None)

    assert [(block.index, block.size) for block in file.blocks] == [(0, 8192), (1, 4096)]


def test_the_journals_size_and_first_page_count_rather_than_the_files() -> None:
    playback = JournalPlayback(PAGE_SIZE, 2, {1: header(2)}, None)

    file = describe_file(layout({0: 65536, 1: 30000}), b"garbage", playback=playback)

    assert (file.size, [block.index for block in file.blocks]) == (2 * PAGE_SIZE, [0])


def test_a_file_cut_in_mid_transaction_needs_its_last_page_in_the_journal() -> None:
    """VACUUM to another page size cuts the file before its journal is gone."""
    cut = layout({0: 8192, 1: 4096})
    pages = {number: bytes(PAGE_SIZE) for number in range(2, 9)} | {1: header(8)}

    file = describe_file(cut, b"", playback=JournalPlayback(PAGE_SIZE, 8, pages, None))

    assert (file.size, file.block_size) == (8 * PAGE_SIZE, 8192)
    del pages[8]
    with pytest.raises(CorruptError, match="do not reach the end"):
        describe_file(cut, b"", playback=JournalPlayback(PAGE_SIZE, 8, pages, None))


def test_a_journal_shorter_than_the_header_tells_is_corruption() -> None:
    playback = JournalPlayback(PAGE_SIZE, 2, {}, None)

    with pytest.raises(CorruptError, match="fewer pages"):
        describe_file(layout({0: 4096, 1: 4096, 2: 4096}), header(3), playback=playback)


@pytest.mark.parametrize("block_size", [64, 300, 512, 1000, 3631, 3632, 3633, 4000, 4095, 4096, 9999])
def test_a_journal_with_gaps_is_put_together_as_it_was_written(block_size: int) -> None:
    """Six records of 520 bytes end at 3632; the next header is at 4096, and what is between is not
    written. Where a block ends in that gap, its object is shorter than a block."""
    first = struct.pack(">8sIIIII", MAGIC, 6, 0, 9, 512, 512).ljust(512, b"h")
    gap = b"\xff" * (4096 - 512 - 6 * 520)
    journal = first + b"r" * (6 * 520) + gap + first + b"s" * 5200

    assert assemble_journal(written(journal, block_size)) == journal.replace(b"\xff", b"\0")


def test_what_is_no_journal_is_told_from_one() -> None:
    assert is_journal(MAGIC + b"anything")
    assert is_journal(bytes(512))
    assert not is_journal(assemble_journal({1: bytes(4096)})), "an adopted database has no object 0"
    assert not is_journal(header(2) + bytes(4000))
    assert not is_journal(b"\0")


@given(
    st.dictionaries(st.integers(0, 5), st.binary(max_size=60), max_size=4),
    st.dictionaries(st.integers(0, 9), st.integers(0, 70000), min_size=1, max_size=5),
    st.binary(max_size=120),
    st.sampled_from([0, 1, 2, 40, 0xFFFFFFFF]),
)
def test_any_listing_and_bytes_give_a_value_or_a_corrupt_error(
    bodies: dict[int, bytes], sizes: dict[int, int], first_bytes: bytes, pages: int
) -> None:
    journal = assemble_journal({i: MAGIC * (i == 0) + body for i, body in bodies.items()})
    assert len(journal) <= 6 * 70

    for begin in (first_bytes, header(pages) + first_bytes):
        try:
            file = describe_file(layout(sizes), begin, playback=None)
        except CorruptError:
            continue
        missing = file.size - sum(block.size for block in file.blocks)
        assert missing < PAGE_SIZE or len(sizes) > 1
