"""A version's content taken over into another manifest: the map as it is, the tail anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import InteriorPage, Manifest
from sqlite_s3vfs.format.sqlite_header import SQLiteHeader, parse_header, raised_above
from sqlite_s3vfs.format.tail import TailEntry
from sqlite_s3vfs.planning.carrying import blocks_to_read, carried_rows, rows_by_page, rows_to_carry
from sqlite_s3vfs.planning.commit import TAIL_HARD_MAX
from sqlite_s3vfs.planning.fold import blocks_to_fold
from sqlite_s3vfs.planning.interior import gather_interior
from sqlite_s3vfs.planning.segments import SegmentBuilder, build_segments, locators_of
from sqlite_s3vfs.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Carried:
    """What cannot be taken over as it is: either rows for the tail, or blocks that were written.

    ``changed_pages`` are those whose bytes in the blocks change.
    """

    entries: tuple[TailEntry, ...]
    interior: tuple[InteriorPage, ...]
    written: Mapping[int, Locator] = field(default_factory=dict)
    changed_pages: frozenset[int] = frozenset()

    @property
    def pages(self) -> int:
        """How many pages are written."""
        return len(self.changed_pages) or len(self.entries)


def carry(past: Snapshot, target: Database, database_id: bytes, version: int, uploads: Uploads,
          *, above: SQLiteHeader | None = None) -> Carried:
    """Take the content of ``past`` over into ``version`` of ``target``; blocks are put as ``uploads``.

    ``above`` raises the counters of page 1. Mostly without a request; 1 GET for each range of blocks
    that several patches of one page rest on.
    """
    kept = past.manifest
    if not kept.size:
        return Carried((), ())
    contents = _contents(past, above)
    entries = carried_rows(kept, version, contents)
    if sum(entry.cost for entry in entries) <= TAIL_HARD_MAX:
        return Carried(entries, kept.interior)
    return _in_blocks(past, target, database_id, version, uploads, contents)


def _contents(past: Snapshot, above: SQLiteHeader | None) -> dict[int, bytes]:
    """Pages whose rows cannot be carried over, and page 1 where it changes."""
    kept = past.manifest
    past.fetch(blocks_to_read(kept))
    simple = rows_to_carry(kept)
    contents = {
        page: past.pages.tail_page(page) or b"" for page in rows_by_page(kept) if page not in simple
    }
    page_1 = bytes(past.read(0, kept.page_size)) if above else b""
    if above and parse_header(page_1):
        contents[1] = raised_above(page_1, above)
    return contents


def _in_blocks(past: Snapshot, target: Database, database_id: bytes, version: int, uploads: Uploads,
               contents: Mapping[int, bytes]) -> Carried:
    kept, engine = past.manifest, target.engine
    changed = {*rows_by_page(kept), *contents}
    blocks = {*blocks_to_fold(kept)}
    blocks.update(block for page in contents for block in _blocks_of(kept, page))
    builder = SegmentBuilder(
        database_id, engine.settings.segment_size, lambda: ObjectName(version, engine.ids.new_id())
    )
    found = _block_contents(past, sorted(blocks & set(range(kept.block_count))), contents.get(1, b""))
    written: dict[int, Locator] = {}
    for segment in build_segments(builder, found):
        uploads.put(target.keys.segment(segment.name), segment.data)
        written.update(locators_of([segment], version))
    pages = {page: contents.get(page) or past.pages.tail_page(page) or b"" for page in changed}
    untouched = (copy for copy in kept.interior if copy.page not in changed)
    return Carried((), (*gather_interior(pages), *untouched), written, frozenset(changed))


def _blocks_of(kept: Manifest, page: int) -> range:
    return overlapping(page - 1, kept.page_size, kept.block_size)


def _block_contents(past: Snapshot, blocks: list[int], page_1: bytes) -> list[tuple[int, bytes]]:
    """The blocks with the tail merged in, and with page 1 as it becomes."""
    kept = past.manifest
    past.fetch(blocks)
    found = []
    for block in blocks:
        start = block * kept.block_size
        content = bytearray(past.read(start, min(kept.block_size, kept.size - start)))
        visible = page_1[start : start + len(content)]
        content[: len(visible)] = visible
        found.append((block, bytes(content)))
    return found
