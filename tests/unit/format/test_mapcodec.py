from __future__ import annotations

import sys
from array import array

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format import mapcodec
from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    AncestorSource,
    BlockMap,
    Locator,
    Piece,
    PieceRef,
    SegmentSource,
)
from sqlite_s3vfs.format.envelope import ObjectKind, seal
from sqlite_s3vfs.format.fields import pack
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.mapcodec import (
    decode_locators,
    decode_map,
    decode_node,
    decode_piece,
    encode_locators,
    encode_map,
    encode_node,
    encode_piece,
)
from unit.format.hostile import gives_value_or_corrupt, mutations
from unit.format.values import Draw, database_ids, draws, ids, names, uint63

DATABASE_ID = b"0123456789abcdef"
NAME = ObjectName(3, b"01234567")
SOURCE = SegmentSource(NAME, 3, 5, 0)
LOCATOR = Locator(SOURCE, 100, 50, 65536)
PIECE = encode_piece(DATABASE_ID, NAME, Piece({1: LOCATOR, 2: LOCATOR}, {}))
NODE = encode_node(DATABASE_ID, NAME, {1: PieceRef(NAME, 5)})


@given(draws)
def test_a_map_is_decoded_as_it_was_encoded(draw: Draw):
    blocks = draw.blocks(10_000, 65536)

    assert decode_map(encode_map(blocks)) == blocks


@given(draws)
def test_locators_may_name_any_block(draw: Draw):
    rows = dict(draw.some(lambda: (draw.uint(64), draw.locator(65536)), 30))

    assert decode_locators(encode_locators(rows)) == rows


@given(database_ids, names, draws)
def test_a_piece_is_decoded_as_it_was_encoded(database_id: bytes, name: ObjectName, draw: Draw):
    piece = draw.piece()

    assert decode_piece(encode_piece(database_id, name, piece), database_id, name) == piece


@given(database_ids, names, draws)
def test_a_node_is_decoded_as_it_was_encoded(database_id: bytes, name: ObjectName, draw: Draw):
    refs = draw.node()

    assert decode_node(encode_node(database_id, name, refs), database_id, name) == refs


def test_numbers_are_little_endian_on_every_machine(monkeypatch: pytest.MonkeyPatch):
    """On a big-endian machine ``array`` gives the other order, and the codec swaps it."""
    rows = {1: LOCATOR, 1 << 40: LOCATOR}
    raw = zstandard.ZstdDecompressor().decompress(encode_locators(rows)["columns"])

    assert raw[:16] == (1).to_bytes(8, "little") + (1 << 40).to_bytes(8, "little")
    other = "big" if sys.byteorder == "little" else "little"
    monkeypatch.setattr(mapcodec.sys, "byteorder", other)
    swapped = zstandard.ZstdDecompressor().decompress(encode_locators(rows)["columns"])
    assert swapped[:16] == (1).to_bytes(8, "big") + (1 << 40).to_bytes(8, "big")
    assert decode_locators(encode_locators(rows)) == rows


def test_neighbours_in_one_segment_cost_few_bytes():
    rows = {block: Locator(SOURCE, 100 + block * 30_000, 30_000, 65536) for block in range(4096)}

    assert len(encode_piece(DATABASE_ID, NAME, Piece(rows, {}))) < 12 * 4096


@given(database_ids, ids, uint63)
def test_another_object_in_the_place_of_a_piece_is_noticed(database_id, random, version):
    name = ObjectName(version, random)

    if (database_id, name) != (DATABASE_ID, NAME):
        with pytest.raises(CorruptError, match="another object"):
            decode_piece(PIECE, database_id, name)
        with pytest.raises(CorruptError, match="another object"):
            decode_node(NODE, database_id, name)


@given(mutations(PIECE) | mutations(NODE) | st.binary(max_size=100))
def test_any_bytes_give_a_map_object_or_corrupt(data: bytes):
    gives_value_or_corrupt(lambda: decode_piece(data, DATABASE_ID, NAME))
    gives_value_or_corrupt(lambda: decode_node(data, DATABASE_ID, NAME))


def table(
    columns: list[list[int]], *, sources: object = None, count: object = None
) -> dict[str, object]:
    """A table of locators made of whatever numbers."""
    raw = b"".join(
        array(code, column).tobytes() for code, column in zip("QIQII", columns, strict=True)
    )
    return {
        "count": len(columns[0]) if count is None else count,
        "columns": zstandard.ZstdCompressor().compress(raw),
        "sources": [[1, 0, '"etag"']] if sources is None else sources,
    }


ROW = [[7], [0], [0], [10], [10]]


def test_a_made_table_is_a_table():
    assert decode_locators(table(ROW)) == {7: Locator(AncestorSource('"etag"'), 0, 10, 10)}


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        table(ROW, count=2),
        table(ROW, count=0),
        table(ROW, count=-1),
        table(ROW, count=1 << 40),
        table(ROW, count="1"),
        table(ROW, sources=[]),
        table(ROW, sources={}),
        table(ROW, sources=[[2, 0, b"", 1, 1, 1, 1]]),
        table(ROW, sources=[[0, 0, 1, b"short", 1, 1, 1]]),
        table(ROW, sources=[[1, 0, 7]]),
        table(ROW, sources=[[0, 0, 1]]),
        table([[7], [1], [0], [10], [10]]),
        table([[7, 7], [0, 0], [0, 0], [10, 10], [10, 10]]),
        table([[8, 7], [0, 0], [0, 0], [10, 10], [10, 10]]),
        {**table(ROW), "columns": b"no zstd"},
        {**table(ROW), "columns": "text"},
    ],
)
def test_what_is_no_table_is_corrupt(fields: object):
    with pytest.raises(CorruptError):
        decode_locators(fields)


def piece_of(fields: dict[str, object]) -> bytes:
    payload = pack({"version": NAME.version, "dead": [], **fields})
    return seal(ObjectKind.MAP_PIECE, DATABASE_ID, NAME.random, payload)


def test_a_piece_with_more_rows_than_its_span_is_refused_before_it_unfolds():
    """A million rows of zeros are some KB compressed and would take hundreds of megabytes."""
    count = 1 << 20
    columns = zstandard.ZstdCompressor().compress(bytes(28 * count))
    stored = piece_of({"locators": {"count": count, "columns": columns, "sources": []}})

    with pytest.raises(CorruptError, match="count"):
        decode_piece(stored, DATABASE_ID, NAME)
    gives_value_or_corrupt(lambda: decode_piece(stored, DATABASE_ID, NAME), memory_max=1 << 20)


@pytest.mark.parametrize("far", [PIECE_SPAN, 1 << 40])
def test_a_piece_that_reaches_over_its_span_is_corrupt(far: int):
    rows = {PIECE_SPAN - 1: LOCATOR, far: LOCATOR}

    with pytest.raises(CorruptError, match="span"):
        decode_piece(piece_of({"locators": encode_locators(rows)}), DATABASE_ID, NAME)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 3, b"01234567", 5], [NODE_SPAN, 3, b"01234567", 5]],
        [[2, 3, b"01234567", 5], [1, 3, b"01234567", 5]],
        [[1, 3, b"01234567", 5], [1, 3, b"01234567", 5]],
        [[1, 3, b"01234567", PIECE_SPAN + 1]],
        [[1, 3, b"0123456", 5]],
        [[1, 3, b"01234567"]],
        None,
    ],
)
def test_what_is_no_node_is_corrupt(rows: object):
    with pytest.raises(CorruptError):
        decode_node(piece_of({"pieces": rows}), DATABASE_ID, NAME)


def test_a_map_with_other_spans_is_refused():
    for name in ("piece_span", "node_span"):
        with pytest.raises(CorruptError, match="spans"):
            decode_map({**encode_map(BlockMap()), name: 17})
