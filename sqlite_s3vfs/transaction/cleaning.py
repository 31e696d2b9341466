"""Looking for blocks that a fold, or a commit, takes along though nothing changed in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set

from sqlite_s3vfs.format.blockmap import PIECE_SPAN, SegmentSource
from sqlite_s3vfs.planning.cleaning import blocks_to_clean, first_to_look_at
from sqlite_s3vfs.planning.liveness import after_replacing
from sqlite_s3vfs.reader import Snapshot

CLEAN_BYTES_MAX = 32 << 20
"""Bytes of blocks that are taken along at once."""

ROOM_MIN = 16
PART_MAX = 4
"""At most one block in so many is taken along at once: as long as the retention both copies are kept."""

HOMES_MAX = 8
"""Pieces of the map that are looked into for counts of dead blocks."""


def blocks_to_take_along(
    snapshot: Snapshot,
    *,
    written: Set[int],
    room: int,
    skip: Set[int] = frozenset(),
) -> tuple[int, ...]:
    """Blocks of mostly dead segments, and of ranges that lie in too many, in one piece of the map.

    ``written`` are the blocks that are written anyway: what they replace counts as dead already.
    The version tells the piece, so that processes that come and go get round as well. Ascending, at
    most ``room``, none of ``skip``. Up to a few GETs of map pieces; 0 while the manifest is the map.
    """
    base = snapshot.manifest
    if not base.block_count:
        return ()
    map_objects = snapshot.map_objects(base.blocks)
    start = first_to_look_at(base.version, base.block_count)
    index = start // PIECE_SPAN
    covered = range(index * PIECE_SPAN, (index + 1) * PIECE_SPAN)
    recent = {block: found for block, found in base.blocks.recent.items() if block in covered}
    locators = {**map_objects.load_pieces([index])[index].locators, **recent}
    homes = Counter(
        locator.source.home
        for locator in locators.values()
        if isinstance(locator.source, SegmentSource) and not locator.source.owner
    )
    dead = dict(base.dead)
    wanted = [home for home, _ in homes.most_common(HOMES_MAX)]
    for piece in map_objects.load_pieces(wanted).values():
        for name, count in piece.dead.items():
            more = dead[name].dead if name in dead else 0
            dead[name] = count._replace(dead=count.dead + more)
    replaced = {block: locators[block] for block in written if block in locators}
    dying = after_replacing(dead, replaced, base.version + 1).dead
    room = min(room, max(ROOM_MIN, base.block_count // PART_MAX))
    return blocks_to_clean(locators, dying, skip=written | skip, room=room, start=start)
