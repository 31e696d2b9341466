"""What changed in the map, moved out of the manifest into pieces (and pieces into nodes).

A manifest carries at most about ``RECENT_MAX`` locators, ``PIECES_MAX`` references and ``DEAD_MAX``
counts of dead blocks, so that it does not grow with the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    BlockMap,
    DeadBlocks,
    Locator,
    Piece,
    PieceRef,
    within_limit,
)
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.mapcodec import encode_node, encode_piece

RECENT_MAX = 2048
PIECES_MAX = 512
DEAD_MAX = 1024

NewName = Callable[[], ObjectName]
CopiesOf = Callable[[int, Piece], tuple[InteriorPage, ...]]


@dataclass(frozen=True, slots=True)
class MapFold:
    """The smaller map and the objects to upload for it.

    ``dead`` are the counts of dead blocks that stay in the manifest; ``killed`` the segments whose
    last live block turned out to be gone; ``below_nodes`` the pieces that only nodes refer to now.
    """

    blocks: BlockMap
    objects: tuple[tuple[ObjectName, bytes], ...]
    dead: Mapping[ObjectName, DeadBlocks]
    killed: Mapping[ObjectName, DeadBlocks]
    below_nodes: frozenset[ObjectName]


def must_fold(blocks: BlockMap, dead: Mapping[ObjectName, DeadBlocks]) -> bool:
    """Whether the manifest would grow too large without."""
    return len(blocks.recent) > RECENT_MAX or len(dead) > DEAD_MAX


def pieces_to_write(
    blocks: BlockMap, dead: Mapping[ObjectName, DeadBlocks]
) -> tuple[int, ...]:
    """The pieces that ``recent`` overlays, and where there is much to count, the homes of ``dead``."""
    homes = {count.home for count in dead.values()} if len(dead) > DEAD_MAX else set()
    return tuple(sorted({block // PIECE_SPAN for block in blocks.recent} | homes))


def nodes_to_load(blocks: BlockMap, pieces: Iterable[int]) -> tuple[int, ...]:
    """The nodes that hold references for a map whose ``pieces`` are about to move into nodes."""
    touched = {piece // NODE_SPAN for piece in (*blocks.pieces, *pieces)}
    return tuple(sorted(touched & set(blocks.nodes)))


def fold_map(
    database_id: bytes,
    blocks: BlockMap,
    dead: Mapping[ObjectName, DeadBlocks],
    loaded: Mapping[int, Piece],
    loaded_nodes: Mapping[int, Mapping[int, PieceRef]],
    new_name: NewName,
    copies_of: CopiesOf = lambda piece, old: (),
) -> MapFold:
    """Move ``recent`` into pieces; then, where there are too many, ``pieces`` into nodes.

    ``loaded`` holds every piece of ``pieces_to_write``, within its limit; ``loaded_nodes`` those of
    ``nodes_to_load``. ``copies_of`` gives the interior copies for a piece: of its index and its past.
    """
    objects: list[tuple[ObjectName, bytes]] = []
    pieces = dict(blocks.pieces)
    kept = dict(dead)
    killed: dict[ObjectName, DeadBlocks] = {}
    for index, old in loaded.items():
        first = index * PIECE_SPAN
        fresh = {
            block: locator
            for block, locator in blocks.recent.items()
            if first <= block < first + PIECE_SPAN
        }
        counts = dict(old.dead)
        for name in [name for name, count in kept.items() if count.home == index]:
            count = kept.pop(name)
            before = counts.pop(name, count._replace(dead=0)).dead
            target = killed if before + count.dead >= count.blocks else counts
            target[name] = count._replace(dead=before + count.dead)
        name = new_name()
        piece = Piece({**old.locators, **fresh}, counts, copies_of(index, old))
        objects.append((name, encode_piece(database_id, name, piece)))
        pieces[index] = PieceRef(name, PIECE_SPAN)
    folded = replace(blocks, recent={}, pieces=pieces)
    below: frozenset[ObjectName] = frozenset()
    if len(pieces) > PIECES_MAX:
        below = frozenset(ref.name for ref in pieces.values())
        folded = _fold_pieces(database_id, folded, loaded_nodes, new_name, objects)
    return MapFold(folded, tuple(objects), kept, killed, below)


def _fold_pieces(
    database_id: bytes,
    blocks: BlockMap,
    loaded_nodes: Mapping[int, Mapping[int, PieceRef]],
    new_name: NewName,
    objects: list[tuple[ObjectName, bytes]],
) -> BlockMap:
    nodes = dict(blocks.nodes)
    for node in sorted({piece // NODE_SPAN for piece in blocks.pieces}):
        first = node * NODE_SPAN
        fresh = {
            piece: ref
            for piece, ref in blocks.pieces.items()
            if first <= piece < first + NODE_SPAN
        }
        name = new_name()
        refs = {**loaded_nodes.get(node, {}), **fresh}
        objects.append((name, encode_node(database_id, name, refs)))
        nodes[node] = PieceRef(name, NODE_SPAN * PIECE_SPAN)
    return replace(blocks, pieces={}, nodes=nodes)


def limited_locators(
    ref: PieceRef, piece: int, locators: Mapping[int, Locator]
) -> Mapping[int, Locator]:
    """What a reference still shows of a piece's locators."""
    first = piece * PIECE_SPAN
    if ref.limit >= PIECE_SPAN:
        return locators
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
