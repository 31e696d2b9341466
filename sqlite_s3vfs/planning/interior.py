"""Interior B-tree pages, gathered while blocks are written and shipped with the map.

They are 0.3 % of a database; with them at hand a cold lookup costs one block instead of one for each
level of the tree. A copy is the page as the *blocks* of the same version hold it. There are two places:

* **the manifest**, within a small budget: page 1 first, then what no piece has. A database of a single
  block has its other pages there too, as far as they fit: to open and read it is no request more;
* **the map pieces**: copies of pages whose blocks the piece maps. Such a copy is valid for every version
  that refers to the piece and has none of the page's blocks in ``recent`` or beyond the limit: the
  locators of the piece say where the copied bytes lie, so whatever changes the one changes the other.

When the manifest has no room left for what no piece has, the map is folded.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass
from itertools import chain

import zstandard

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import PIECE_SPAN, Piece
from sqlite_s3vfs.format.envelope import decompress
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.sqlite_header import (
    INDEX_INTERIOR,
    TABLE_INTERIOR,
    is_interior_page,
    page_type,
)

INTERIOR_MAX = 32 << 10
"""Bytes of compressed copies in one manifest."""
OTHERS_MAX = 16 << 10
"""Of these, bytes of copies of other pages."""
PIECE_INTERIOR_MAX = 512 << 10
"""Bytes of compressed copies in one map piece, which maps 256 MiB in blocks of 64 KiB."""

_LEVEL = 3
_INTERIOR_TYPES = (TABLE_INTERIOR, INDEX_INTERIOR)


def gather_interior(pages: Mapping[int, bytes]) -> tuple[InteriorPage, ...]:
    """The interior pages (and page 1) among ``pages``, compressed."""
    return _compressed(
        {
            page: content
            for page, content in pages.items()
            if page == 1 or is_interior_page(content, page)
        }
    )


def interior_of_blocks(
    contents: Mapping[int, bytes | memoryview], block_size: int, page_size: int, *, size: int = 0
) -> tuple[InteriorPage, ...]:
    """The interior pages (and page 1) that lie in one of these blocks altogether, compressed.

    ``size`` is that of the file, if it is known: where it is one block, every page of it.
    """
    pages = {}
    every = 0 < size <= block_size
    for block, content in contents.items() if page_size else ():
        offset = block * block_size
        start = -offset % page_size
        types = bytes(content[start::page_size])        # of all pages at once: most blocks have none
        if block and not any(kind in types for kind in _INTERIOR_TYPES):
            continue
        for position in range(start, len(content) - page_size + 1, page_size):
            number = (offset + position) // page_size + 1
            if every or number == 1 or content[position] in _INTERIOR_TYPES:
                pages[number] = bytes(content[position : position + page_size])
    return _compressed(pages)


def valid_copies(
    kept: Iterable[InteriorPage],
    fresh: Iterable[InteriorPage],
    *,
    touched_pages: Set[int],
    page_size: int,
    size: int,
) -> tuple[InteriorPage, ...]:
    """All copies that the next manifest might have: old ones of untouched pages, and fresh ones.

    ``touched_pages`` are those whose bytes in the blocks may differ from the base's.
    """
    still = (copy for copy in kept if copy.page not in touched_pages)
    chosen: dict[int, InteriorPage] = {}
    for copy in chain(fresh, still):
        if copy.page * page_size <= size:
            chosen.setdefault(copy.page, copy)
    return tuple(chosen.values())


def manifest_copies(
    copies: Iterable[InteriorPage], recent: Container[int], geometry: Geometry
) -> tuple[InteriorPage, ...]:
    """The copies for the manifest itself, within its budget; ``recent`` are blocks in no piece."""
    chosen = []
    room, room_for_others = INTERIOR_MAX, OTHERS_MAX
    for copy in sorted(copies, key=lambda copy: (*_worth(copy, recent, geometry), copy.page)):
        size = len(copy.content)
        if size <= room and (is_upper(copy) or size <= room_for_others):
            chosen.append(copy)
            room -= size
            room_for_others -= 0 if is_upper(copy) else size
    return tuple(chosen)


def outgrows_manifest(
    copies: Iterable[InteriorPage], recent: Container[int], geometry: Geometry
) -> bool:
    """Whether the manifest has no room for copies that no piece has."""
    only_here = (
        len(copy.content)
        for copy in copies
        if is_upper(copy)
        and any(block in recent for block in geometry.blocks_of(copy.page))
        and geometry.is_of_one_piece(copy.page)
    )
    return sum(only_here) > INTERIOR_MAX


def piece_copies(
    index: int,
    old: Piece,
    copies: Iterable[InteriorPage],
    recent: Container[int],
    geometry: Geometry,
) -> tuple[InteriorPage, ...]:
    """The copies for a piece that is written anew, from those in the ``old`` one, within its limit.

    ``copies`` are all that are known of the new version, ``recent`` the blocks that move into pieces.
    """
    unchanged = (
        copy
        for copy in old.interior
        if all(
            block in old.locators and block not in recent
            for block in geometry.blocks_of(copy.page)
        )
    )
    chosen: dict[int, InteriorPage] = {}
    room = PIECE_INTERIOR_MAX
    for copy in sorted(filter(is_upper, chain(copies, unchanged)), key=_kind):
        fits = geometry.is_of_one_piece(copy.page, index) and len(copy.content) <= room
        if fits and copy.page not in chosen:
            chosen[copy.page] = copy
            room -= len(copy.content)
    return tuple(chosen[page] for page in sorted(chosen))


@dataclass(frozen=True, slots=True)
class Geometry:
    """How pages lie in blocks, and blocks in pieces."""

    page_size: int
    block_size: int

    def blocks_of(self, page: int) -> range:
        """The blocks that a page (from 1) lies in."""
        return overlapping(page - 1, self.page_size, self.block_size)

    def is_of_one_piece(self, page: int, piece: int | None = None) -> bool:
        """Whether a page's blocks are all mapped by one piece, and by the one given.

        Of the two pieces of any other page one may be written anew without the other.
        """
        blocks = self.blocks_of(page)
        own = blocks[0] // PIECE_SPAN
        return own == blocks[-1] // PIECE_SPAN and piece in (None, own)


def is_upper(copy: InteriorPage) -> bool:
    """Whether it is page 1 or an interior page, not another one of a small database."""
    return copy.page == 1 or copy.page_type in _INTERIOR_TYPES


def _compressed(pages: Mapping[int, bytes]) -> tuple[InteriorPage, ...]:
    by = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return tuple(
        InteriorPage(page, page_type(content, page), by.compress(content))
        for page, content in sorted(pages.items())
    )


def _worth(
    copy: InteriorPage, recent: Container[int], geometry: Geometry
) -> tuple[bool, bool, bool, bool]:
    """Page 1 first, then upper pages, of these what no piece has first, then as ``_kind``."""
    in_piece = not any(block in recent for block in geometry.blocks_of(copy.page))
    return (copy.page != 1, not is_upper(copy), in_piece, _kind(copy)[0])


def _kind(copy: InteriorPage) -> tuple[bool, int]:
    """Tables first (one of their pages leads to hundreds of others, one of an index to tens), then low
    page numbers: roots are made before what grows below them."""
    return (copy.page != 1 and copy.page_type != TABLE_INTERIOR, copy.page)


def interior_content(page: InteriorPage, page_size: int) -> bytes:
    """The page itself.

    Raises:
        CorruptError: the copy is damaged.
    """
    content = decompress(page.content, page_size)
    if len(content) != page_size:
        raise CorruptError(f"interior page has the wrong size. page={page.page}")
    return content
