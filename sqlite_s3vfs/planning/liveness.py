"""What a commit leaves behind without a reference: dead blocks of segments, and dead objects.

Dead blocks are counted in the manifest until the map's recent part is moved into pieces; then the
counts of a segment go to its home piece (``mapfold``), so that the manifest does not grow with the
database. A count that is lost with a dropped home piece costs storage until a collection lists the
bucket; nothing is ever taken for dead that is alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlite_s3vfs.format.blockmap import (
    PIECE_SPAN,
    AncestorSource,
    BlockMap,
    DeadBlocks,
    Locator,
    SegmentSource,
)
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import Died
from sqlite_s3vfs.planning.fold import Fold


@dataclass(frozen=True, slots=True)
class Liveness:
    """Dead blocks by segment, and the objects that no version from now on refers to."""

    dead: Mapping[ObjectName, DeadBlocks]
    died: tuple[Died, ...]


def after_replacing(
    dead: Mapping[ObjectName, DeadBlocks], replaced: Mapping[int, Locator], version: int
) -> Liveness:
    """``replaced`` are the locators, by block, that ``version`` does not have any more."""
    counts = dict(dead)
    died = []
    for block, locator in replaced.items():
        source = locator.source
        if source.owner:
            continue                        # a parent's object: not ours to count or delete
        if isinstance(source, AncestorSource):
            died.append(Died(ObjectRef(Role.OLD_BLOCK, block), 1, version))
        else:
            counts[source.name] = _one_more(counts.get(source.name), source)
    for name in [name for name, count in counts.items() if count.dead >= count.blocks]:
        died.append(segment_died(name, counts.pop(name), version))
    return Liveness(counts, tuple(died))


def after_adopting(liveness: Liveness, fold: Fold, adopted: Iterable[int], version: int) -> Liveness:
    """Blocks of a fold that are not adopted are dead from the start, and so may whole segments be."""
    taken = set(adopted)
    counts, died = dict(liveness.dead), list(liveness.died)
    for name, blocks in fold.segments.items():
        own = [block for block, folded in fold.blocks.items() if folded.segment == name]
        left = sum(block not in taken for block in own)
        count = DeadBlocks(min(own) // PIECE_SPAN, fold.version + 1, blocks, left)
        if left == blocks:
            died.append(segment_died(name, count, version))
        elif left:
            counts[name] = count
    return Liveness(counts, tuple(died))


def content_died(version: int) -> Liveness:
    """All that ``version`` refers to is replaced by the next one."""
    died = Died(ObjectRef(Role.CONTENT, version), 1, version + 1)
    return Liveness({}, (died,) if version else ())


def map_objects_died(
    old: BlockMap, new: BlockMap, below_nodes: Iterable[ObjectName], version: int
) -> Iterable[Died]:
    """Map objects that ``old`` refers to and ``new`` does not.

    ``below_nodes`` are pieces that only nodes of ``new`` refer to.
    """
    for role, before, after in (
        (Role.MAP_PIECE, old.pieces, new.pieces),
        (Role.MAP_NODE, old.nodes, new.nodes),
    ):
        kept = {ref.name for ref in after.values()} | set(below_nodes)
        for ref in before.values():
            if ref.name not in kept:
                yield Died(ObjectRef.named(role, ref.name), ref.name.version, version)


def segment_died(name: ObjectName, count: DeadBlocks, version: int) -> Died:
    """A segment whose blocks are all dead."""
    return Died(ObjectRef.named(Role.SEGMENT, name), count.first, version)


def _one_more(count: DeadBlocks | None, source: SegmentSource) -> DeadBlocks:
    known = count or DeadBlocks(source.home, source.first, source.blocks, 0)
    return known._replace(dead=known.dead + 1)
