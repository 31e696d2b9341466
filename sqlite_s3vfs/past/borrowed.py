"""The map of a fork: its parent's, with each locator saying whose object it refers to.

The pieces are read and written anew a few at a time, so memory does not grow with the database. A map
of a middling database fits the manifest, where it costs no object; the first commit that writes
blocks moves it into pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.format.blockmap import PIECE_SPAN, BlockMap, Locator, Piece, PieceRef
from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.mapcodec import encode_piece
from sqlite_s3vfs.planning.interior import Geometry, piece_copies
from sqlite_s3vfs.planning.mapfold import fold_map
from sqlite_s3vfs.reader.map_objects import MapObjects
from sqlite_s3vfs.uploads import Uploads

INLINE_BLOCKS_MAX = 20_480
"""Blocks whose locators a fork's first manifest holds itself: about 100 KiB of it."""
_PIECES_AT_ONCE = 16


def borrowed(locators: Mapping[int, Locator], owner: int) -> dict[int, Locator]:
    """The parent's locators as the fork has them; ``owner`` is the parent's place in its owners."""
    return {
        block: locator._replace(source=locator.source._replace(owner=locator.source.owner or owner))
        for block, locator in locators.items()
    }


def borrowed_map(parent: Database, kept: Manifest, child: Database, database_id: bytes, version: int,
                 uploads: Uploads) -> BlockMap:
    """The map of ``kept`` for version ``version`` of a fork. 1 GET and 1 PUT for each 4 096 blocks.

    None of the PUTs for up to ``INLINE_BLOCKS_MAX`` blocks.
    """
    owner = len(kept.owners) + 1
    reader = parent.view(kept).map_objects(kept.blocks)
    pieces = range(unit_count(kept.block_count, PIECE_SPAN))
    if not kept.blocks.pieces and not kept.blocks.nodes:
        return BlockMap(recent=borrowed(kept.blocks.recent, owner))
    recent: dict[int, Locator] = {}
    refs: dict[int, PieceRef] = {}
    for start in range(0, len(pieces), _PIECES_AT_ONCE):
        for index, piece in _pieces(reader, kept, pieces[start : start + _PIECES_AT_ONCE]).items():
            own = borrowed(piece.locators, owner)
            if kept.block_count <= INLINE_BLOCKS_MAX:
                recent.update(own)
            elif own:
                name = ObjectName(version, child.engine.ids.new_id())
                uploads.put(child.keys.map_piece(name), encode_piece(
                    database_id, name, Piece(own, {}, piece.interior)
                ))
                refs[index] = PieceRef(name, PIECE_SPAN)
    folded = fold_map(
        database_id,
        BlockMap(pieces=refs),
        {},
        {},
        {},
        lambda: ObjectName(version, child.engine.ids.new_id()),
    )
    for name, body in folded.objects:
        uploads.put(child.keys.map_piece(name), body)
    return BlockMap(recent, folded.blocks.pieces, folded.blocks.nodes)


def _pieces(reader: MapObjects, kept: Manifest, pieces: Sequence[int]) -> dict[int, Piece]:
    """By piece what the map knows of its blocks, and the copies of pages in them."""
    geometry = Geometry(kept.page_size or 1, kept.block_size)
    recent = kept.blocks.recent
    found = {}
    for index, piece in reader.load_pieces(pieces).items():
        copies = piece_copies(index, piece, kept.interior, recent, geometry)
        newer = {block: locator for block, locator in recent.items() if block // PIECE_SPAN == index}
        found[index] = Piece({**piece.locators, **newer}, {}, copies)
    return found
