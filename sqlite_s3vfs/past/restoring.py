"""A version of the past made the newest again, by one commit that copies no block.

The new version has the map of the old one. What cannot be taken as it is are the rows of its tail (they
name versions) and page 1: change counter and schema cookie are raised above both histories, so that no
open connection takes the restored content for the one that it remembers (I9, and
https://www.sqlite.org/fileformat2.html#schema_cookie).
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_s3vfs.database import Database, Snapshot, Version
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.sqlite_header import HEADER_SIZE, parse_header, raised_above
from sqlite_s3vfs.past.histories import head_of, manifest_at
from sqlite_s3vfs.past.moments import Moment
from sqlite_s3vfs.planning.carrying import blocks_to_read, carried_rows, rows_by_page, rows_to_carry
from sqlite_s3vfs.planning.commit import TAIL_HARD_MAX
from sqlite_s3vfs.planning.fold import blocks_to_fold
from sqlite_s3vfs.planning.interior import gather_interior
from sqlite_s3vfs.planning.segments import SegmentBuilder, build_segments, locators_of
from sqlite_s3vfs.planning.successor import Prepared
from sqlite_s3vfs.uploads import Uploads

_ATTEMPTS_MAX = 20


def restore(database: Database, moment: Moment) -> Snapshot:
    """Make the version of ``moment`` the newest again, as a commit of its own; that one.

    Atomic, and seen by open connections at their next transaction. What is replaced stays readable as
    any other version. No block is copied: about 6 requests, whatever the size.

    Raises:
        NotFoundError, SnapshotTooOldError: the version is out of reach; nothing was changed.
        ConflictError: others keep committing. CommitUnknownError: it may have been restored.
        StoreUnavailableError, AccessDeniedError, CorruptError: nothing was changed.
    """
    head_of(database)
    kept = manifest_at(database, moment)
    for attempt in range(_ATTEMPTS_MAX):
        base = database.version()
        content = _Restored(database, kept, base)
        uploads = Uploads(database.engine)
        try:
            database.publish_content(base, content.prepared, uploads)
        except ConflictError:
            if attempt + 1 == _ATTEMPTS_MAX or base.origin.manifest.database_id != kept.database_id:
                raise
        else:
            break
    return database.newest()


class _Restored:
    """The content of a version of the past, on top of ``base``."""

    def __init__(self, database: Database, kept: Manifest, base: Version) -> None:
        self._database = database
        self._kept = kept
        self._past = database.view(kept)
        self._base = base

    def prepared(self, base: Manifest, snapshot: Snapshot, skeleton: Prepared,
                 uploads: Uploads) -> Prepared:
        """The commit, with its pages in the tail, or where that would be too long in blocks."""
        kept = self._kept
        contents = self._contents(snapshot)
        prepared = replace(
            skeleton,
            restored=kept,
            page_size=kept.page_size,
            size=kept.size,
            interior=kept.interior,
            entries=carried_rows(kept, base.version + 1, contents),
        )
        if sum(entry.cost for entry in prepared.entries) > TAIL_HARD_MAX:
            prepared = self._in_blocks(base, prepared, contents, uploads)
        pages = len(prepared.entries) or len(prepared.changed_pages)
        return replace(prepared, pages_written=pages)

    def _contents(self, snapshot: Snapshot) -> dict[int, bytes]:
        """Page 1 as it will be, and pages whose rows cannot be carried over."""
        kept, past = self._kept, self._past
        if not kept.size:
            return {}
        past.fetch(blocks_to_read(kept))
        page_1 = bytes(past.read(0, kept.page_size))
        replaced = parse_header(snapshot.read(0, HEADER_SIZE)) if snapshot.size else None
        if replaced and parse_header(page_1):
            page_1 = raised_above(page_1, replaced)
        contents = {page: past.pages.tail_page(page) or b"" for page in self._to_encode()}
        return {**contents, 1: page_1}

    def _to_encode(self) -> list[int]:
        simple = rows_to_carry(self._kept)
        return [page for page in rows_by_page(self._kept) if page not in simple]

    def _in_blocks(
        self, base: Manifest, prepared: Prepared, contents: dict[int, bytes], uploads: Uploads
    ) -> Prepared:
        kept, past, engine = self._kept, self._past, self._database.engine
        version = base.version + 1
        first = overlapping(0, kept.page_size, kept.block_size)
        blocks = sorted({*blocks_to_fold(kept), *first} & set(range(kept.block_count)))
        builder = SegmentBuilder(
            kept.database_id,
            engine.settings.segment_size,
            lambda: ObjectName(version, engine.ids.new_id()),
        )
        written = {}
        for segment in build_segments(builder, self._block_contents(blocks, contents[1])):
            uploads.put(self._database.keys.segment(segment.name), segment.data)
            written.update(locators_of([segment], version))
        pages = {page: past.pages.tail_page(page) or b"" for page in rows_by_page(kept)}
        pages[1] = contents[1]
        untouched = (copy for copy in kept.interior if copy.page not in pages)
        return replace(
            prepared,
            entries=(),
            written=written,
            replaced=past.locators(blocks),
            changed_pages=frozenset(pages),
            interior=(*gather_interior(pages), *untouched),
        )

    def _block_contents(self, blocks: list[int], page_1: bytes) -> list[tuple[int, bytes]]:
        kept, past = self._kept, self._past
        past.fetch(blocks)
        found = []
        for block in blocks:
            start = block * kept.block_size
            content = bytearray(past.read(start, min(kept.block_size, kept.size - start)))
            visible = page_1[start : start + len(content)]
            content[: len(visible)] = visible
            found.append((block, bytes(content)))
        return found
