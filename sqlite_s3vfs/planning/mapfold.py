"""What changed in the map, moved out of the manifest into pieces (and pieces into nodes).

A manifest carries at most about ``RECENT_MAX`` locators and ``PIECES_MAX`` references, so that it
does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    BlockMap,
    Locator,
    PieceRef,
    within_limit,
)
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.mapcodec import encode_node, encode_piece

RECENT_MAX = 2048
PIECES_MAX = 512

NewName = Callable[[], ObjectName]


@dataclass(frozen=True, slots=True)
class MapFold:
    """The smaller map, the objects to upload for it, and the map objects it no longer refers to."""

    blocks: BlockMap
    objects: tuple[tuple[ObjectName, bytes], ...]
    died: tuple[ObjectName, ...]


def pieces_to_load(blocks: BlockMap) -> tuple[int, ...]:
    """The pieces that ``recent`` overlays; their locators are needed to write them anew."""
    return tuple(sorted({block // PIECE_SPAN for block in blocks.recent}))


def nodes_to_load(blocks: BlockMap) -> tuple[int, ...]:
    """The nodes that hold references for a map whose ``pieces`` are about to move into nodes."""
    touched = {piece // NODE_SPAN for piece in (*blocks.pieces, *pieces_to_load(blocks))}
    return tuple(sorted(touched & set(blocks.nodes)))


def fold_map(
    database_id: bytes,
    blocks: BlockMap,
    loaded: Mapping[int, Mapping[int, Locator]],
    loaded_nodes: Mapping[int, Mapping[int, PieceRef]],
    new_name: NewName,
) -> MapFold:
    """Move ``recent`` into pieces; then, where there are too many, ``pieces`` into nodes.

    ``loaded`` holds the locators of every piece of ``pieces_to_load``, within their limits;
    ``loaded_nodes`` those of ``nodes_to_load``.
    """
    objects: list[tuple[ObjectName, bytes]] = []
    died: list[ObjectName] = []
    pieces = dict(blocks.pieces)
    for piece in pieces_to_load(blocks):
        first = piece * PIECE_SPAN
        fresh = {
            block: locator
            for block, locator in blocks.recent.items()
            if first <= block < first + PIECE_SPAN
        }
        name = new_name()
        objects.append((name, encode_piece(database_id, name, {**loaded.get(piece, {}), **fresh})))
        if piece in pieces:
            died.append(pieces[piece].name)
        pieces[piece] = PieceRef(name, PIECE_SPAN)
    folded = replace(blocks, recent={}, pieces=pieces)
    if len(pieces) > PIECES_MAX:
        folded = _fold_pieces(database_id, folded, loaded_nodes, new_name, objects, died)
    return MapFold(folded, tuple(objects), tuple(died))


def _fold_pieces(
    database_id: bytes,
    blocks: BlockMap,
    loaded_nodes: Mapping[int, Mapping[int, PieceRef]],
    new_name: NewName,
    objects: list[tuple[ObjectName, bytes]],
    died: list[ObjectName],
) -> BlockMap:
    nodes = dict(blocks.nodes)
    for node in sorted({piece // NODE_SPAN for piece in blocks.pieces}):
        first = node * NODE_SPAN
        fresh = {
            piece: ref
            for piece, ref in blocks.pieces.items()
            if first <= piece < first + NODE_SPAN
        }
        old = loaded_nodes.get(node, {})
        died.extend(ref.name for piece, ref in old.items() if piece in fresh)
        name = new_name()
        objects.append((name, encode_node(database_id, name, {**old, **fresh})))
        if node in nodes:
            died.append(nodes[node].name)
        nodes[node] = PieceRef(name, NODE_SPAN * PIECE_SPAN)
    return replace(blocks, pieces={}, nodes=nodes)


def limited_locators(
    ref: PieceRef, piece: int, locators: Mapping[int, Locator]
) -> dict[int, Locator]:
    """What a reference still shows of a piece's locators."""
    first = piece * PIECE_SPAN
    return {
        block: locator
        for block, locator in locators.items()
        if within_limit(ref, first, block)
    }


def limited_refs(ref: PieceRef, node: int, refs: Mapping[int, PieceRef]) -> dict[int, PieceRef]:
    """What a reference still shows of a node's references, each with its own limit cut too."""
    first = node * NODE_SPAN * PIECE_SPAN
    shown = {}
    for piece, inner in refs.items():
        limit = min(inner.limit, first + ref.limit - piece * PIECE_SPAN)
        if limit > 0:
            shown[piece] = PieceRef(inner.name, limit)
    return shown
