"""The block map: block index → locator, as a value.

A map has three layers; the first that knows a block decides:

    recent   inside the manifest: what changed since the pieces were written
    pieces   references to objects of ``PIECE_SPAN`` consecutive blocks each
    nodes    references to objects of ``NODE_SPAN`` consecutive piece references each

A block that no layer knows is a hole: zeros that were never written. A reference carries a limit,
the number of blocks from its first one that it still speaks for, so that shrinking a database cuts
references instead of rewriting objects, and growing again finds holes. A locator's ``valid`` does the
same inside one block (invariant I3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName

PIECE_SPAN = 4096
NODE_SPAN = 256


class SegmentSource(NamedTuple):
    """A segment, as locators refer to it.

    ``first`` is the first version that referred to it, ``blocks`` how many blocks it was written
    with, ``home`` the index of the piece that covers its lowest block (where its dead blocks are
    counted once the map has pieces). ``owner`` is 0 for the database's own objects; a fork refers to
    those of its parents by their place in the manifest's ``owners``, from 1.
    """

    name: ObjectName
    first: int
    blocks: int
    home: int
    owner: int = 0


class AncestorSource(NamedTuple):
    """A block object of sqlite-s3vfs 0.0.x, read only while it has this ETag (invariant I10)."""

    etag: str
    owner: int = 0


Source = SegmentSource | AncestorSource


class Locator(NamedTuple):
    """Where a block lies: bytes ``offset`` to ``offset + length`` of an object.

    Of the block's content the first ``valid`` bytes count; the rest of the block is zeros.
    """

    source: Source
    offset: int
    length: int
    valid: int


class PieceRef(NamedTuple):
    """A map object, and how many of its blocks (from its first) still count."""

    name: ObjectName
    limit: int


class DeadBlocks(NamedTuple):
    """How many ``blocks`` of a segment no locator refers to any more; the rest as ``SegmentSource``."""

    home: int
    first: int
    blocks: int
    dead: int


class Piece(NamedTuple):
    """A map piece: locators, and dead blocks of the segments whose home it is, as counted in it.

    ``interior`` are copies of pages that lie in the piece's blocks altogether, as they are there.
    """

    locators: Mapping[int, Locator]
    dead: Mapping[ObjectName, DeadBlocks]
    interior: tuple[InteriorPage, ...] = ()


def _no_locators() -> Mapping[int, Locator]:
    return MappingProxyType({})


def _no_refs() -> Mapping[int, PieceRef]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BlockMap:
    """The map of one version. Its dictionaries are never changed."""

    recent: Mapping[int, Locator] = field(default_factory=_no_locators)
    pieces: Mapping[int, PieceRef] = field(default_factory=_no_refs)
    nodes: Mapping[int, PieceRef] = field(default_factory=_no_refs)

    def with_blocks(self, locators: Mapping[int, Locator]) -> BlockMap:
        """The map after ``locators`` were written."""
        return replace(self, recent={**self.recent, **locators})

    def piece_ref(self, piece: int) -> PieceRef | None:
        """The reference to a piece, as far as it is known without reading a node."""
        return self.pieces.get(piece)

    def node_ref(self, piece: int) -> PieceRef | None:
        """The node that may know a piece which ``pieces`` does not know."""
        ref = self.nodes.get(piece // NODE_SPAN)
        if ref is None or ref.limit <= (piece % NODE_SPAN) * PIECE_SPAN:
            return None
        return ref


def within_limit(ref: PieceRef, first_block: int, block: int) -> bool:
    """Whether the reference still speaks for the block."""
    return block - first_block < ref.limit


def cut_ref(ref: PieceRef, first_block: int, block_count: int) -> PieceRef | None:
    """The reference in a database of ``block_count`` blocks; None where nothing of it is left."""
    limit = min(ref.limit, block_count - first_block)
    return PieceRef(ref.name, limit) if limit > 0 else None


def cut_refs(
    refs: Mapping[int, PieceRef], span: int, block_count: int
) -> dict[int, PieceRef]:
    """All references, cut to a database of ``block_count`` blocks; ``span`` is blocks a reference."""
    cut = ((index, cut_ref(ref, index * span, block_count)) for index, ref in refs.items())
    return {index: ref for index, ref in cut if ref is not None}


def sources_of(locators: Iterable[Locator]) -> Iterator[Source]:
    """The distinct sources, in order of first use."""
    return iter(dict.fromkeys(locator.source for locator in locators))
