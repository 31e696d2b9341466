"""Moving the manifest's part of the block map into pieces, with the interior pages that belong there."""

from __future__ import annotations

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import Piece
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.planning.interior import Geometry, outgrows_manifest, piece_copies
from sqlite_s3vfs.planning.mapfold import (
    MapFold,
    fold_map,
    must_fold,
    nodes_to_load,
    pieces_to_write,
)
from sqlite_s3vfs.planning.successor import Prepared, all_copies, dead_blocks, next_map
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.uploads import Uploads


def fold_map_of(
    engine: Engine,
    keys: DatabaseKeys,
    base: Manifest,
    prepared: Prepared,
    snapshot: Snapshot,
    uploads: Uploads,
) -> MapFold | None:
    """Move the map's recent part into pieces where the manifest would grow too large.

    Reads the pieces that are written anew where they are not at hand; 1 PUT each.
    """
    blocks, dead = next_map(base, prepared), dead_blocks(base, prepared).dead
    copies = all_copies(base, prepared)
    geometry = Geometry(prepared.page_size or 1, base.block_size)
    if not must_fold(blocks, dead) and not outgrows_manifest(copies, blocks.recent, geometry):
        return None

    def copies_of(index: int, old: Piece) -> tuple[InteriorPage, ...]:
        same = base.page_size == prepared.page_size
        old = old if same else old._replace(interior=())
        return piece_copies(index, old, copies, blocks.recent, geometry)

    objects = snapshot.map_objects(blocks)
    version = base.version + 1
    pieces = pieces_to_write(blocks, dead)
    map_fold = fold_map(
        base.database_id,
        blocks,
        dead,
        objects.load_pieces(pieces),
        objects.load_nodes(nodes_to_load(blocks, pieces)),
        lambda: ObjectName(version, engine.ids.new_id()),
        copies_of,
    )
    for name, body in map_fold.objects:
        uploads.put(keys.map_piece(name), body)
    return map_fold
