"""Block maps to bytes and back: the map's fields of a manifest, and map pieces as objects.

Locators are stored as five columns of little-endian numbers beside a table of sources, because a
map of thousands of rows is decoded at every open.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, cast

import zstandard

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    AncestorSource,
    BlockMap,
    DeadBlocks,
    Locator,
    Piece,
    PieceRef,
    SegmentSource,
    Source,
    sources_of,
)
from sqlite_s3vfs.format.envelope import ObjectKind, decompress, seal, unseal
from sqlite_s3vfs.format.fields import Record, binary, pack, rows, uint, unpack_map
from sqlite_s3vfs.format.interior import decode_copies
from sqlite_s3vfs.format.keys import RANDOM_SIZE, ObjectName

_COLUMNS = "QIQII"            # block, source, offset, length, valid
_ROW_SIZE = 8 + 4 + 8 + 4 + 4
_ROWS_MAX = 1 << 24
_UINT32_MAX = (1 << 32) - 1
_SEGMENT, _ANCESTOR = 0, 1
_new_locator = cast("Callable[[tuple[Source, int, int, int]], Locator]", partial(tuple.__new__, Locator))
"""What ``Locator._make`` does, in a third of the time: a cold lookup waits for thousands of them."""
_MD5_ETAG = re.compile(r'"([0-9a-f]{32})"')


def encode_locators(locators: Mapping[int, Locator]) -> dict[str, object]:
    """A table of locators as payload fields."""
    table = list(sources_of(locators.values()))
    position = {source: index for index, source in enumerate(table)}
    ordered = sorted(locators.items())
    columns = [
        [block for block, _ in ordered],
        [position[locator.source] for _, locator in ordered],
        [locator.offset for _, locator in ordered],
        [locator.length for _, locator in ordered],
        [locator.valid for _, locator in ordered],
    ]
    raw = b"".join(_column_bytes(code, column) for code, column in zip(_COLUMNS, columns, strict=True))
    return {
        "count": len(ordered),
        "columns": zstandard.ZstdCompressor(level=1).compress(raw),
        "sources": [_source_row(source) for source in table],
    }


def decode_locators(fields: object, *, rows_max: int = _ROWS_MAX) -> dict[int, Locator]:
    """The inverse of ``encode_locators``."""
    if not isinstance(fields, dict):
        raise CorruptError("block map table is not a map.")
    count = uint(fields.get("count"), "block map count", rows_max)
    raw = decompress(binary(fields.get("columns"), "block map columns"), count * _ROW_SIZE)
    if len(raw) != count * _ROW_SIZE:
        raise CorruptError(f"block map columns have the wrong size. size={len(raw)} rows={count}")
    sources = [_source(row) for row in rows(fields.get("sources"), "block map sources")]
    columns, position = [], 0
    for code in _COLUMNS:
        column = array(code)
        end = position + count * column.itemsize
        column.frombytes(raw[position:end])
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
        position = end
    if count and max(columns[1]) >= len(sources):
        raise CorruptError("block map refers to a source that it does not have.")
    blocks, positions, offsets, lengths, valids = columns
    if any(before >= after for before, after in pairwise(blocks)):
        raise CorruptError("block map is out of order.")
    fields = zip(map(sources.__getitem__, positions), offsets, lengths, valids, strict=True)
    return dict(zip(blocks, map(_new_locator, fields), strict=True))


def encode_map(blocks: BlockMap) -> dict[str, object]:
    """A block map as payload fields of a manifest."""
    return {
        "piece_span": PIECE_SPAN,
        "node_span": NODE_SPAN,
        "recent": encode_locators(blocks.recent),
        "pieces": encode_refs(blocks.pieces),
        "nodes": encode_refs(blocks.nodes),
    }


def decode_map(fields: object) -> BlockMap:
    """The inverse of ``encode_map``."""
    if not isinstance(fields, dict):
        raise CorruptError("block map is not a map.")
    if (fields.get("piece_span"), fields.get("node_span")) != (PIECE_SPAN, NODE_SPAN):
        raise CorruptError("block map has spans that format 1 does not have.")
    return BlockMap(
        recent=decode_locators(fields.get("recent")),
        pieces=decode_refs(fields.get("pieces"), PIECE_SPAN),
        nodes=decode_refs(fields.get("nodes"), PIECE_SPAN * NODE_SPAN),
    )


def encode_refs(refs: Mapping[int, PieceRef]) -> list[list[object]]:
    """References to map objects as payload rows."""
    return [
        [index, ref.name.version, ref.name.random, ref.limit] for index, ref in sorted(refs.items())
    ]


def decode_refs(value: object, span: int) -> dict[int, PieceRef]:
    """The inverse of ``encode_refs``; ``span`` is blocks a reference."""
    refs: dict[int, PieceRef] = {}
    previous = -1
    for row in rows(value, "map references"):
        record = Record(row, 4, "map reference")
        index = record.uint()
        name = ObjectName(record.uint(), record.binary(RANDOM_SIZE))
        refs[index] = PieceRef(name, record.uint(span))
        if index <= previous:
            raise CorruptError(f"map references are out of order. index={index}")
        previous = index
    return refs


def encode_piece(database_id: bytes, name: ObjectName, piece: Piece) -> bytes:
    """A map object that holds locators; its blocks are absolute indexes."""
    fields: dict[str, object] = {
        "locators": encode_locators(piece.locators),
        "dead": encode_dead(piece.dead),
        "interior": list(piece.interior),
    }
    return _encode_map_object(database_id, name, fields)


def encode_node(database_id: bytes, name: ObjectName, refs: Mapping[int, PieceRef]) -> bytes:
    """A map object that holds references to pieces; their indexes are absolute."""
    return _encode_map_object(database_id, name, {"pieces": encode_refs(refs)})


def decode_piece(data: bytes, database_id: bytes, name: ObjectName) -> Piece:
    """The inverse of ``encode_piece``; checks that it is the object it should be."""
    fields = _decode_map_object(data, database_id, name)
    locators = decode_locators(fields.get("locators"), rows_max=PIECE_SPAN)
    _check_one_unit(locators, PIECE_SPAN, name)
    copies = decode_copies(fields.get("interior", []))
    return Piece(locators, decode_dead(fields.get("dead")), tuple(copies))


def encode_dead(dead: Mapping[ObjectName, DeadBlocks]) -> list[list[object]]:
    """Counts of dead blocks as payload rows."""
    return [[name.version, name.random, *counts] for name, counts in dead.items()]


def decode_dead(value: object) -> dict[ObjectName, DeadBlocks]:
    """The inverse of ``encode_dead``."""
    found = {}
    for row in rows(value, "dead blocks"):
        record = Record(row, 6, "dead blocks of a segment")
        name = ObjectName(record.uint(), record.binary(RANDOM_SIZE))
        counts = (record.uint(), record.uint(), record.uint(_UINT32_MAX), record.uint(_UINT32_MAX))
        found[name] = DeadBlocks(*counts)
    return found


def decode_node(data: bytes, database_id: bytes, name: ObjectName) -> dict[int, PieceRef]:
    """The inverse of ``encode_node``; checks that it is the object it should be."""
    refs = decode_refs(_decode_map_object(data, database_id, name).get("pieces"), PIECE_SPAN)
    _check_one_unit(refs, NODE_SPAN, name)
    return refs


def _encode_map_object(database_id: bytes, name: ObjectName, fields: dict[str, object]) -> bytes:
    payload = pack({"version": name.version, **fields})
    return seal(ObjectKind.MAP_PIECE, database_id, name.random, payload)


def _decode_map_object(data: bytes, database_id: bytes, name: ObjectName) -> dict[str, Any]:
    envelope = unseal(data, ObjectKind.MAP_PIECE)
    payload = unpack_map(envelope.payload, "map piece")
    found = (envelope.database_id, payload.get("version"), envelope.object_id)
    if found != (database_id, name.version, name.random):
        raise CorruptError(f"another object lies where a map piece should. name={name}")
    return payload


def _check_one_unit(indexes: Iterable[int], span: int, name: ObjectName) -> None:
    if len({index // span for index in indexes}) > 1:
        raise CorruptError(f"a map piece reaches over its span. name={name}")


def _column_bytes(code: str, column: list[int]) -> bytes:
    packed = array(code, column)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _source_row(source: Source) -> list[object]:
    if isinstance(source, AncestorSource):
        digest = _MD5_ETAG.fullmatch(source.etag)
        return [_ANCESTOR, source.owner, bytes.fromhex(digest[1]) if digest else source.etag]
    name, first, blocks, home, owner = source
    return [_SEGMENT, owner, name.version, name.random, first, blocks, home]


def _source(row: object) -> Source:
    record = Record(row, 3, "block map source")
    kind, owner = record.uint(_ANCESTOR), record.uint(_UINT32_MAX)
    if kind == _ANCESTOR:
        return AncestorSource(record.etag(), owner)
    record = Record(row, 7, "segment source", start=2)
    name = ObjectName(record.uint(), record.binary(RANDOM_SIZE))
    return SegmentSource(name, record.uint(), record.uint(_UINT32_MAX), record.uint(), owner)
